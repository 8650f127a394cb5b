// SPDX-License-Identifier: Apache-2.0
import { A } from '@solidjs/router';
import { createMemo, createSignal, For, lazy, Show, Suspense, type JSX } from 'solid-js';
import { createRead } from '../chain/read';
import { countryCode, whole, type Offer, type Resources } from '../chain/types';
import { LIST_BLOCKS, useOffers } from '../grid/loading';
import { PARTS } from '../grid/nodes';
import { bytes, country, day, number, tftPrice } from '../lib/format';
import { useQuery } from '../lib/query';
import { utf8, visible } from '../lib/safe';
import { t } from '../texts';
import { Bar } from '../ui/Bar';
import { Tft, Usd } from '../ui/Money';
import { AsOf, Page, Section, Shown } from '../ui/parts';
import { Table } from '../ui/Table';
import type { Column } from '../ui/sort';
import type { Place } from '../ui/Map';

const text = t.grid;
const Map_ = lazy(() => import('../ui/Map'));
const Chart = lazy(() => import('../ui/Chart'));

interface CountryRow {
  code: string;
  nodes: number;
  online: number;
  cru: bigint;
  mru: bigint;
  sru: bigint;
}

export default function Grid(): JSX.Element {
  const query = useQuery();
  const nodes = useOffers();
  const facts = createRead(() => undefined, async ({ api, opt }) => {
    const [info, prices, contracts] = await Promise.all([
      api.apis.GridApi.grid_info(opt),
      api.apis.GridApi.daily_prices(opt),
      api.query.Contracts.LastContractId.getValue(opt),
    ]);
    return { price: info.tft_price, prices, contracts };
  });
  const online = createMemo(() => nodes.offers().filter((offer) => offer.online));
  const sum = (part: keyof Resources, of: 'total' | 'free'): bigint => online().reduce((sum, offer) => sum + offer[of][part], 0n);
  const countries = createMemo(() => {
    const rows = new Map<string, CountryRow>();
    for (const { country: code, online, free } of nodes.offers().map((offer) => ({ ...offer, country: countryCode(offer.country) ?? '' }))) {
      const row = rows.get(code) ?? { code, nodes: 0, online: 0, cru: 0n, mru: 0n, sru: 0n };
      row.nodes += 1;
      if (online) {
        row.online += 1;
        row.cru += free.cru;
        row.mru += free.mru;
        row.sru += free.sru;
      }
      rows.set(code, row);
    }
    return [...rows.values()].sort((a, b) => b.nodes - a.nodes);
  });
  return (
    <Page title={t.pages.grid} note={<AsOf read={nodes.read} />}>
      <p>{text.about}</p>
      <nav class="tabs" aria-label={text.finds}>
        <For each={text.find}>{([path, name]) => <A href={path}>{name}</A>}</For>
      </nav>
      <Shown read={nodes.read}>
        {() => (
          <>
            <dl class="figures">
              <div><dt>{text.online}</dt><dd><A href="/nodes">{number(online().length)}</A><small>{text.of(nodes.offers().length)}</small></dd></div>
              <div><dt>{text.farms}</dt><dd><A href="/farms">{number(nodes.farms.value()?.size ?? 0)}</A></dd></div>
              <div><dt>{text.countries}</dt><dd>{number(countries().filter(({ code }) => code).length)}</dd></div>
              <div>
                <dt>{text.contracts}</dt>
                <dd>
                  <A href="/contracts">{number(nodes.offers().reduce((sum, offer) => sum + offer.contracts, 0))}</A>
                  <small>{text.made(facts.value()?.contracts ?? 0n)}</small>
                </dd>
              </div>
              <div><dt>{text.price}</dt><dd><Show when={facts.value()} fallback="–">{(facts) => tftPrice(facts().price)}</Show></dd></div>
            </dl>
            <Section title={text.capacity}>
              <div class="bars">
                <For each={PARTS}>
                  {([part, name, show]) => (
                    <Show when={sum(part, 'total') > 0n}>
                      <Bar
                        label={name}
                        part={sum(part, 'total') - sum(part, 'free')}
                        whole={sum(part, 'total')}
                        text={t.nodes.capacityRow(show(sum(part, 'total') - sum(part, 'free')), show(sum(part, 'total')), show(sum(part, 'free')))}
                      />
                    </Show>
                  )}
                </For>
              </div>
            </Section>
            <div class="grid wide">
              <Section title={text.map}><Places offers={nodes.offers()} /></Section>
              <Section title={text.byCountry}>
                <Table label={text.byCountry} rows={countries()} columns={COLUMNS} sort={query.sort()} onSort={query.setSort} />
              </Section>
            </div>
          </>
        )}
      </Shown>
      <div class="grid">
        <Section title={text.history}>
          <Shown read={facts}>
            {(facts) => (
              <Show when={facts().prices.length > 1} fallback={<p class="muted">{text.shortHistory}</p>}>
                <Suspense fallback={<p class="loading">{t.loading}</p>}>
                  <Chart
                    label={history(facts().prices)}
                    name={text.price}
                    points={facts().prices.map(({ day, price }) => [day * 86_400, Number(price) / 1e7])}
                  />
                </Suspense>
              </Show>
            )}
          </Shown>
        </Section>
        <Section title={text.charged}><Charged /></Section>
      </div>
    </Page>
  );
}

function history(prices: { day: number; price: bigint }[]): string {
  const [first, last] = [prices[0], prices.at(-1)];
  if (!first || !last) return text.history;
  return text.historyLabel(day(first.day * 86_400), tftPrice(first.price), day(last.day * 86_400), tftPrice(last.price));
}

/** Nodes stay where they are. */
const PLACES_BLOCKS = 200;

/** Nodes by the place that their farmers name, on a map. */
function Places(props: { offers: Offer[] }): JSX.Element {
  const read = createRead(() => undefined, ({ api, opt }) => api.query.Nodes.Locations.getEntries(opt), PLACES_BLOCKS);
  const places = createMemo(() => {
    const online = new Set(props.offers.filter((offer) => offer.online).map(({ node }) => node));
    const places = new Map<string, Place>();
    for (const { keyArgs: [node], value } of read.value() ?? []) {
      const at: [number, number] = [value.longitude / 1e6, value.latitude / 1e6];
      const key = at.map((degrees) => degrees.toFixed(1)).join();
      const code = countryCode(value.country);
      const name = [visible(utf8(value.city)), code && country(code)].filter(Boolean).join(', ');
      const place = places.get(key) ?? { name, at, nodes: 0, online: 0 };
      place.nodes += 1;
      if (online.has(node)) place.online += 1;
      places.set(key, place);
    }
    return [...places.values()];
  });
  return (
    <Shown read={read}>
      {() => (
        <Show when={places().length > 0} fallback={<p class="muted">{text.noPlaces}</p>}>
          <Suspense fallback={<p class="loading">{t.loading}</p>}><Map_ places={places()} /></Suspense>
        </Show>
      )}
    </Shown>
  );
}

interface MonthRow {
  month: number;
  usd: bigint;
  tft: bigint;
  contracts: number;
}

const MONTH_SECONDS = 720 * 3_600;

/** Sums of all contracts' bills: many records, so only when asked for. */
function Charged(): JSX.Element {
  const [asked, setAsked] = createSignal(false);
  const read = createRead(asked, async ({ api, opt }, asked) => {
    const months = new Map<number, MonthRow>();
    const bills = asked ? await api.query.Billing.Bills.getEntries(opt) : [];
    for (const { month, charge } of bills.flatMap(({ value }) => value)) {
      const row = months.get(month) ?? { month, usd: 0n, tft: 0n, contracts: 0 };
      months.set(month, { month, usd: row.usd + charge.usd, tft: row.tft + charge.tft, contracts: row.contracts + 1 });
    }
    return [...months.values()].sort((a, b) => b.month - a.month);
  }, LIST_BLOCKS);
  return (
    <>
      <Show when={asked()} fallback={<button type="button" onClick={() => setAsked(true)}>{text.chargedLoad}</button>}>
        <Shown read={read}>{(months) => <Table label={text.charged} rows={months()} columns={MONTH_COLUMNS} empty={text.noCharges} />}</Shown>
      </Show>
      <p class="muted">{text.chargedNote}</p>
    </>
  );
}

const MONTH_COLUMNS: Column<MonthRow>[] = [
  { key: 'month', title: text.chargedColumns.month, cell: ({ month }) => day(month * MONTH_SECONDS) },
  { key: 'tft', title: text.chargedColumns.tft, numeric: true, cell: ({ tft }) => <Tft amount={whole(tft)} /> },
  { key: 'usd', title: text.chargedColumns.usd, numeric: true, cell: ({ usd }) => <Usd amount={usd} /> },
  { key: 'contracts', title: text.chargedColumns.contracts, numeric: true, cell: ({ contracts }) => number(contracts) },
];

const COLUMNS: Column<CountryRow>[] = [
  {
    key: 'country',
    title: text.columns.country,
    cell: ({ code }) => (code ? <A href={`/nodes?country=${code}`}>{country(code)}</A> : t.unknown),
    sort: ({ code }) => (code ? country(code) : undefined),
  },
  { key: 'nodes', title: text.columns.nodes, numeric: true, cell: ({ nodes }) => number(nodes), sort: ({ nodes }) => nodes },
  { key: 'online', title: text.columns.online, numeric: true, cell: ({ online }) => number(online), sort: ({ online }) => online },
  { key: 'cru', title: text.columns.cru, numeric: true, cell: ({ cru }) => number(cru), sort: ({ cru }) => cru },
  { key: 'mru', title: text.columns.mru, numeric: true, cell: ({ mru }) => bytes(mru), sort: ({ mru }) => mru },
  { key: 'sru', title: text.columns.sru, numeric: true, cell: ({ sru }) => bytes(sru), sort: ({ sru }) => sru },
];
