// SPDX-License-Identifier: Apache-2.0
import { A } from '@solidjs/router';
import { createMemo, createSignal, For, Show, type JSX } from 'solid-js';
import { createRead } from '../chain/read';
import { LIST_BLOCKS, useNodes } from '../grid/loading';
import { asksFacts, capacity, FILTERS, parseFilter, select, versionOrder, type NodeFilter, type NodeRow } from '../grid/nodes';
import { bytes, country, duration, GIB, number, perMonth, permille, usd } from '../lib/format';
import { isAddress } from '../lib/ids';
import { useQuery } from '../lib/query';
import { visible } from '../lib/safe';
import { t } from '../texts';
import { CheckField, SelectField, TextField } from '../ui/fields';
import { AsOf, Badge, Failure, FarmLink, Page } from '../ui/parts';
import { NodeIn, NoneFits } from '../ui/NoneFits';
import { Table } from '../ui/Table';
import type { Column } from '../ui/sort';

const text = t.nodes;

/** What a price is shown for while the filter asks for nothing. */
const SMALL = { cru: 1n, mru: GIB, sru: 10n * GIB, hru: 0n, gpu: 0n };

/** What the filter asks for, or something small. */
export function wanted({ free, ips }: NodeFilter): { resources: typeof SMALL; ips: number } {
  const asks = Object.values(free).some((part) => part > 0n);
  return { resources: asks ? free : SMALL, ips: Math.min(ips, 16) };
}

/** No twin has this id. */
const NOBODY = -1;

const shown = ({ resources, ips }: ReturnType<typeof wanted>): string =>
  [capacity(resources), ips > 0 && `${ips} ${text.ipv4}`].filter(Boolean).join(', ');

export default function Nodes(): JSX.Element {
  const query = useQuery();
  const address = createMemo(() => (isAddress(query.get('q').trim()) ? query.get('q').trim() : undefined));
  // What only looks like an address is refused by the client.
  const farmer = createRead(address, async ({ api, opt }, address) =>
    address === undefined ? undefined : api.query.Twins.TwinByAccount.getValue(address, opt).catch(() => undefined), LIST_BLOCKS);
  const filter = createMemo((): NodeFilter => ({ ...parseFilter(query.get), farmer: address() === undefined ? undefined : (farmer.value() ?? NOBODY) }));
  const price = createMemo(() => wanted(filter()), undefined, { equals: (a, b) => shown(a) === shown(b) });
  const [view, setView] = createSignal<number[]>([]);
  const isByFacts = (): boolean => asksFacts(filter()) || LAST_COLUMNS.some(({ key }) => key === query.sort()?.column);
  const nodes = useNodes(price, { view, all: isByFacts });
  const selected = createMemo(() => select(nodes.rows(), filter()));
  const countries = createMemo((): [string, string][] => [
    ['', text.anyCountry],
    ...[...new Set(nodes.rows().flatMap((row) => row.country ?? []))].map((code): [string, string] => [code, country(code)])
      .sort(([, a], [, b]) => a.localeCompare(b)),
  ]);
  const farms = createMemo((): [string, string][] => [
    ['', text.anyFarm],
    ...[...(nodes.farms.value() ?? [])].map(([id, { name }]): [string, string] => [String(id), visible(name)])
      .sort(([, a], [, b]) => a.localeCompare(b)),
  ]);
  const clear = (): void => query.set(Object.fromEntries(FILTERS.map((name) => [name, ''])));
  const columns = createMemo((): Column<NodeRow>[] => [...COLUMNS, priceColumn(shown(price())), ...LAST_COLUMNS]);
  return (
    <Page title={t.pages.nodes} note={<AsOf read={nodes.read} />}>
      <form class="filters" aria-label={text.filters} onSubmit={(event) => event.preventDefault()}>
        <TextField query={query} name="q" label={text.search} type="search" />
        <TextField query={query} name="cru" label={text.free.cru} numeric />
        <TextField query={query} name="mru" label={text.free.mru} numeric />
        <TextField query={query} name="sru" label={text.free.sru} numeric />
        <SelectField query={query} name="country" label={text.columns.country} options={countries()} />
        <details>
          <summary>{text.more}</summary>
          <div class="filters">
            <TextField query={query} name="hru" label={text.free.hru} numeric />
            <TextField query={query} name="gpu" label={text.free.gpu} numeric />
            <TextField query={query} name="ips" label={text.free.ips} numeric />
            <SelectField query={query} name="farm" label={text.columns.farm} options={farms()} />
            <TextField query={query} name="price" label={text.maxPrice} numeric />
            <TextField query={query} name="uptime" label={text.minUptime} numeric />
            <TextField query={query} name="undelivered" label={text.maxUndelivered} numeric />
            <CheckField query={query} name="certified" label={text.certified} />
            <CheckField query={query} name="vm" label={text.vm} />
            <CheckField query={query} name="gateway" label={text.gateway} />
            <CheckField query={query} name="rentable" label={text.rentable} />
            <CheckField query={query} name="unavailable" label={text.unavailable} />
          </div>
        </details>
        <button type="button" onClick={clear}>{text.clear}</button>
      </form>
      <Failure read={nodes.read} />
      <p role="status" class="muted">
        <Show when={nodes.read.value()} fallback={text.reading(nodes.offers().length)}>
          {t.rows(selected().fit.length, nodes.rows().length, t.kinds.node)}
        </Show>
      </p>
      <p class="muted">{text.priceOf(shown(price()))}</p>
      <Show when={nodes.offers().length > 0 || nodes.read.value()}>
        <Table label={t.pages.nodes} rows={selected().fit} columns={columns()} sort={query.sort()} onSort={query.setSort} onView={(rows) => setView(rows.map(({ offer }) => offer.node))} />
      </Show>
      <Show when={nodes.read.value() && selected().fit.length === 0}>
        <NoneFits rows={nodes.rows()} filter={filter()} />
      </Show>
      <Show when={selected().near.length > 0}>
        <details open={selected().fit.length < FEW} class="near">
          <summary>{text.near}: {number(selected().near.length)}</summary>
          <p class="muted">{text.nearNote}</p>
          <ul>
            <For each={selected().near.slice(0, NEAR_SHOWN)}>
              {({ row, why }) => <li><NodeIn row={row} />: {why}</li>}
            </For>
          </ul>
        </details>
      </Show>
      <p class="muted">{text.onlineMeans}</p>
    </Page>
  );
}

const NEAR_SHOWN = 20;
/** With fewer nodes that fit, those that nearly fit are in sight. */
const FEW = 5;

const COLUMNS: Column<NodeRow>[] = [
  { key: 'node', title: text.columns.node, cell: ({ offer }) => <A href={`/nodes/${offer.node}`}>{offer.node}</A>, sort: ({ offer }) => offer.node },
  { key: 'state', title: text.columns.state, cell: NodeState, sort: ({ offer }) => Number(offer.online) },
  {
    key: 'farm',
    title: text.columns.farm,
    cell: ({ offer, farm }) => <FarmLink id={offer.farm} name={farm?.name ?? ''} />,
    sort: ({ farm }) => farm?.name.toLowerCase(),
  },
  { key: 'country', title: text.columns.country, cell: (row) => (row.country ? country(row.country) : t.unknown), sort: (row) => row.country && country(row.country) },
  { key: 'cru', title: text.columns.cru, numeric: true, cell: ({ offer }) => number(offer.free.cru), sort: ({ offer }) => offer.free.cru },
  { key: 'mru', title: text.columns.mru, numeric: true, cell: ({ offer }) => bytes(offer.free.mru), sort: ({ offer }) => offer.free.mru },
  { key: 'sru', title: text.columns.sru, numeric: true, cell: ({ offer }) => bytes(offer.free.sru), sort: ({ offer }) => offer.free.sru },
  { key: 'hru', title: text.columns.hru, numeric: true, cell: ({ offer }) => bytes(offer.free.hru), sort: ({ offer }) => offer.free.hru },
  { key: 'ips', title: text.columns.ips, numeric: true, cell: ({ farm }) => (farm ? number(farm.freeIps) : ''), sort: ({ farm }) => farm?.freeIps },
];

const priceColumn = (what: string): Column<NodeRow> => ({
  key: 'price',
  title: text.columns.price,
  hint: text.priceHint(what),
  numeric: true,
  cell: ({ rate, rented }) => (rate === undefined || rented ? '' : usd(perMonth(rate))),
  sort: ({ rate, rented }) => (rented ? undefined : rate),
});

const LAST_COLUMNS: Column<NodeRow>[] = [
  {
    key: 'uptime',
    title: text.columns.uptime,
    hint: text.uptimeHint,
    numeric: true,
    cell: ({ facts }) => facts && (facts.uptime === undefined ? text.tooNew : permille(facts.uptime)),
    sort: ({ facts }) => facts?.uptime,
  },
  {
    key: 'heard',
    title: text.columns.heard,
    hint: text.heardHint,
    numeric: true,
    cell: ({ facts }) => facts && (facts.heard === undefined ? t.none : t.ago(duration(facts.heard))),
    sort: ({ facts }) => facts?.heard,
  },
  {
    key: 'version',
    title: text.version,
    hint: text.versionHint,
    cell: ({ facts }) => facts && (visible(facts.version ?? '') || t.unknown),
    sort: ({ facts }) => (facts?.version ? versionOrder(facts.version) : undefined),
  },
];

function NodeState({ offer, rented }: NodeRow): JSX.Element {
  return (
    <>
      <Badge tone={offer.online ? 'good' : 'bad'} title={text.onlineMeans}>{offer.online ? text.online : text.offline}</Badge>
      {rented && <> <Badge tone="plain">{text.rentedBadge}</Badge></>}
      {offer.draining && <> <Badge tone="warn">{text.draining}</Badge></>}
      {offer.certified && <> <Badge tone="plain">{text.certifiedBadge}</Badge></>}
      {offer.dedicated && <> <Badge tone="plain">{text.dedicated}</Badge></>}
    </>
  );
}
