// SPDX-License-Identifier: Apache-2.0
// The cheapest nodes that fit, or the one that the reader names, with why it doesn't.
import { A } from '@solidjs/router';
import { createMemo, Show, type JSX } from 'solid-js';
import { useNodes } from '../grid/loading';
import { capacity, capacityQuery, misses, parseFilter, select, type NodeFilter, type NodeRow } from '../grid/nodes';
import { country, perMonth, usd } from '../lib/format';
import type { Query } from '../lib/query';
import { visible } from '../lib/safe';
import { t } from '../texts';
import { Failure, NodeLink } from '../ui/parts';
import { NoneFits } from '../ui/NoneFits';
import { Table } from '../ui/Table';
import type { Wanted } from './Wizard';

const text = t.deploy;
const SHOWN = 6;
/** Bits of a node's features that workload types need. */
const FEATURES: Record<string, number> = { zmachine: 0, zmount: 1, network: 3, volume: 5, zlogs: 6, 'gateway-name-proxy': 7, 'gateway-fqdn-proxy': 7 };
const PUBLIC_IPS = 2;

const NO_FILTER: NodeFilter = { ...parseFilter(() => ''), shared: true };

export function NodeChoice(props: { query: Query; wanted: Wanted | undefined; ips: number; node: number | undefined; rented: ReadonlySet<number> }): JSX.Element {
  const filter = createMemo((): NodeFilter => {
    const bits = [...[...(props.wanted?.types ?? [])].map((type) => FEATURES[type] ?? 0), ...(props.ips > 0 ? [PUBLIC_IPS] : [])];
    const features = bits.reduce((all, bit) => all | (1 << bit), 0);
    return { ...NO_FILTER, free: props.wanted?.resources ?? NO_FILTER.free, ips: props.ips, features };
  }, undefined, { equals: (a, b) => a.ips === b.ips && a.features === b.features && capacity(a.free) === capacity(b.free) });
  const nodes = useNodes(() => ({ resources: filter().free, ips: filter().ips }));
  const isMine = ({ offer }: NodeRow): boolean => props.rented.has(offer.node);
  /** A node that the reader rents takes the reader's contracts. */
  const rows = createMemo(() => nodes.rows().map((row) => (isMine(row) ? { ...row, offer: { ...row.offer, dedicated: false }, rented: false, rate: undefined } : row)));
  const fit = createMemo(() => select(rows(), filter()).fit.sort((a, b) => Number((a.rate ?? 0n) - (b.rate ?? 0n))));
  const cheapest = createMemo(() => {
    const chosen = fit().filter(({ offer }) => offer.node === props.node);
    return [...chosen, ...fit().filter((row) => !chosen.includes(row))].slice(0, SHOWN);
  });
  const misfit = createMemo(() => {
    const chosen = rows().find(({ offer }) => offer.node === props.node);
    return chosen && misses(chosen, filter()).join('; ');
  });
  return (
    <>
      <Show when={misfit()}>{(why) => <p class="notice bad" role="alert">{t.nodes.node(props.node ?? 0)}: {why()}</p>}</Show>
      <Failure read={nodes.read} />
      <Show when={nodes.read.value()} fallback={<p class="loading">{t.loading}</p>}>
        <Show when={fit().length > 0} fallback={<NoneFits rows={rows()} filter={filter()} />}>
          <Table<NodeRow>
            label={text.where}
            rows={cheapest()}
            columns={[
              {
                key: 'choose',
                title: text.nodeColumns.choose,
                cell: ({ offer }) => (
                  <input type="radio" name="choice" aria-label={t.nodes.node(offer.node)} checked={offer.node === props.node} onChange={() => props.query.set({ node: String(offer.node) })} />
                ),
              },
              { key: 'node', title: text.nodeColumns.node, cell: ({ offer }) => <NodeLink id={offer.node} /> },
              { key: 'farm', title: text.nodeColumns.farm, cell: ({ offer, farm }) => visible(farm?.name ?? String(offer.farm)) },
              { key: 'country', title: text.nodeColumns.country, cell: ({ country: code }) => (code ? country(code) : t.unknown) },
              { key: 'free', title: text.nodeColumns.free, cell: ({ offer }) => <span class="wrap">{capacity(offer.free)}</span> },
              { key: 'price', title: text.nodeColumns.price, numeric: true, cell: (row) => (isMine(row) ? text.rentedByYou : row.rate === undefined ? t.unknown : usd(perMonth(row.rate))) },
            ]}
          />
          <p class="muted">{text.cheapest(cheapest().length, fit().length)}</p>
        </Show>
        <p class="muted"><A href={`/nodes?${capacityQuery(filter().free, filter().ips)}`}>{text.allNodes}</A></p>
      </Show>
    </>
  );
}
