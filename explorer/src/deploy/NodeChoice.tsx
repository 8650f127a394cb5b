// SPDX-License-Identifier: Apache-2.0
// The cheapest nodes that fit, or the one that the reader names, with why it doesn't.
import { A } from '@solidjs/router';
import { createMemo, Show, type JSX } from 'solid-js';
import { useNodes } from '../grid/loading';
import { capacity, parseFilter, select, type NodeRow } from '../grid/nodes';
import { country, perMonth, usd } from '../lib/format';
import type { Query } from '../lib/query';
import { visible } from '../lib/safe';
import { t } from '../texts';
import { Failure, NodeLink } from '../ui/parts';
import { Table } from '../ui/Table';
import type { Wanted } from './Wizard';

const text = t.deploy;
const SHOWN = 6;
/** Bits of a node's features that workload types need. */
const FEATURES: Record<string, number> = { zmachine: 0, zmount: 1, network: 3, volume: 5, zlogs: 6 };
const PUBLIC_IPS = 2;

const NO_FILTER = parseFilter(() => '');

export function NodeChoice(props: { query: Query; wanted: Wanted | undefined; ips: number; node: number | undefined; rented: ReadonlySet<number> }): JSX.Element {
  const asked = createMemo(() => ({ resources: props.wanted?.resources ?? NO_FILTER.free, ips: props.ips }), undefined, {
    equals: (a, b) => a.ips === b.ips && capacity(a.resources) === capacity(b.resources),
  });
  const nodes = useNodes(asked);
  const isMine = ({ offer }: NodeRow): boolean => props.rented.has(offer.node);
  /** Nodes that the reader may deploy on: not those that are rented by others, or only as a whole. */
  const open = createMemo(() => nodes.rows().map((row) => (isMine(row) ? { ...row, rented: false, rate: undefined } : row)).filter((row) => !row.offer.dedicated || isMine(row)));
  const serves = ({ offer }: NodeRow): boolean => {
    const bits = [...(props.wanted?.types ?? [])].map((type) => FEATURES[type] ?? 0);
    return [...bits, ...(props.ips > 0 ? [PUBLIC_IPS] : [])].every((bit) => offer.features & (1 << bit));
  };
  const selected = createMemo(() => {
    const { resources, ips } = asked();
    return select(open().filter(serves), { ...NO_FILTER, free: resources, ips });
  });
  const cheapest = createMemo(() => {
    const fit = selected().fit.slice().sort((a, b) => Number((a.rate ?? 0n) - (b.rate ?? 0n)));
    const chosen = fit.filter(({ offer }) => offer.node === props.node);
    return [...chosen, ...fit.filter((row) => !chosen.includes(row))].slice(0, SHOWN);
  });
  const misfit = (): string | undefined =>
    nodes.rows().some(({ offer }) => offer.node === props.node && offer.dedicated && !props.rented.has(offer.node)) ? t.nodes.misfit.dedicated : selected().near.find(({ row }) => row.offer.node === props.node)?.why;
  return (
    <>
      <Show when={misfit()}>{(why) => <p class="notice bad" role="alert">{t.nodes.node(props.node ?? 0)}: {why()}</p>}</Show>
      <Failure read={nodes.read} />
      <Show when={nodes.read.value()} fallback={<p class="loading">{t.loading}</p>}>
        <Table<NodeRow>
          label={text.where}
          rows={cheapest()}
          empty={text.noFit}
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
        <p class="muted">{text.cheapest(cheapest().length)} <A href="/nodes">{text.allNodes}</A></p>
      </Show>
    </>
  );
}
