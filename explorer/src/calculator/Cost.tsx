// SPDX-License-Identifier: Apache-2.0
import { A } from '@solidjs/router';
import { createMemo, Show, type JSX } from 'solid-js';
import { createRead, type At, type Read } from '../chain/read';
import type { PriceList } from '../chain/types';
import { factorRule } from '../grid/funds';
import { parseFilter, scaled } from '../grid/nodes';
import { decimal, permille, tftPrice, usd } from '../lib/format';
import { parseU32 } from '../lib/ids';
import type { Query } from '../lib/query';
import { visible } from '../lib/safe';
import { t } from '../texts';
import { CapacityFields, CheckField, TextField } from '../ui/fields';
import { Rate, Usd } from '../ui/Money';
import { Facts, Failure, Shown } from '../ui/parts';
import type { Terms } from './Calculator';
import { cost, factorFor, trafficUsd, type Line, type Want } from './cost';

const text = t.calculator;
const RATE_DIGITS = 1_000n;

interface Ask extends Want {
  node: number | undefined;
}

async function readNode({ api, opt }: At, { node, resources, ips, rent }: Ask) {
  if (node === undefined) return undefined;
  const [offer, rate] = await Promise.all([
    api.apis.GridApi.node_offer(node, opt),
    rent ? api.apis.GridApi.quote_rent(node, opt) : api.apis.GridApi.quote(node, resources, ips, opt),
  ]);
  const extra = rent ? (offer?.extra_fee ?? 0n) : 0n;
  return offer && { offer, extra, rate: rate && rate - extra };
}

export function Cost(props: { query: Query; terms: Read<Terms> }): JSX.Element {
  const ask = createMemo((): Ask => {
    const { free, ips, certified } = parseFilter(props.query.get);
    const node = parseU32(props.query.get('node').trim());
    return { resources: free, ips: Math.min(ips, 16), certified, rent: props.query.flag('rent'), node };
  });
  const onNode = createRead(ask, readNode, 20);
  return (
    <>
      <form class="filters" aria-label={text.cost} onSubmit={(event) => event.preventDefault()}>
        <CapacityFields query={props.query} parts={['cru', 'mru', 'sru', 'hru', 'gpu']} />
        <TextField query={props.query} name="ips" label={text.ips} numeric />
        <TextField query={props.query} name="nu" label={text.traffic} numeric />
        <TextField query={props.query} name="months" label={text.prepaid} numeric />
        <TextField query={props.query} name="node" label={text.node} numeric />
        <Show when={ask().node === undefined}><CheckField query={props.query} name="certified" label={text.certified} /></Show>
        <CheckField query={props.query} name="rent" label={text.rent} />
      </form>
      <Show when={props.query.get('node').trim() && (ask().node === undefined || (onNode.at() && !onNode.value()))}>
        <p class="notice bad" role="alert">{text.noNode(visible(props.query.get('node')))}</p>
      </Show>
      <Failure read={onNode} />
      <Shown read={props.terms}>
        {(terms) => (
          <Show when={terms().policy}>
            {(policy) => <Sum query={props.query} ask={ask()} policy={policy()} price={terms().price} found={onNode.value()} />}
          </Show>
        )}
      </Shown>
    </>
  );
}

interface SumProps {
  query: Query;
  ask: Ask;
  policy: NonNullable<Terms['policy']>;
  price: bigint;
  found: Awaited<ReturnType<typeof readNode>>;
}

function Sum(props: SumProps): JSX.Element {
  const prices = (): PriceList => props.policy.prices;
  const wanted = createMemo((): Want => {
    const { found, ask } = props;
    const certified = found?.offer.certified ?? ask.certified;
    return found && ask.rent ? { ...ask, resources: found.offer.total, ips: 0, certified } : { ...ask, certified };
  });
  const parts = createMemo(() => cost(prices(), wanted()));
  const months = (): bigint => scaled(props.query.get('months'), 2) ?? 0n;
  const factor = (): number => factorFor(props.policy.levels, Number((months() * 720n) / 100n));
  const traffic = (): bigint => trafficUsd(prices(), scaled(props.query.get('nu'), 0) ?? 0n, wanted().certified);
  const rate = (): bigint => props.found?.rate ?? parts()?.rate ?? 0n;
  const shown = (line: Line): string =>
    line.part === 'certified'
      ? text.surcharge(prices().certified_percent - 100)
      : text.times(decimal(line.units, 6), text.units[line.part], usd(prices()[line.part] * RATE_DIGITS)) +
        (wanted().rent && line.part !== 'ipv4' ? ` × ${prices().rent_percent} %` : '');
  const rows = (): [string, JSX.Element][] => {
    const rows: [string, JSX.Element][] = (parts()?.lines ?? []).map((line) => [
      text.parts[line.part],
      <><span class="muted">{shown(line)} =</span> <Rate rate={line.rate} price={props.price} /></>,
    ]);
    rows.push([
      props.found ? text.quoted(props.found.offer.node) : text.sum,
      <><strong><Rate rate={rate()} price={props.price} /></strong>{note() && <p class="muted">{note()}</p>}</>,
    ]);
    if (factor() < 1_000) rows.push([text.discount(decimal(months(), 2), permille(factor())), <Rate rate={(rate() * BigInt(factor())) / 1_000n} price={props.price} />]);
    const extra = props.found?.extra ?? 0n;
    if (extra > 0n) rows.push([text.extra, <Rate rate={extra} price={props.price} />]);
    if (traffic() > 0n) rows.push([text.trafficOnce, <Usd amount={traffic()} price={props.price} />]);
    return rows;
  };
  const note = (): string | undefined => {
    const [quoted, sum] = [props.found?.rate, parts()?.rate];
    if (quoted === undefined || sum === undefined || quoted === sum) return undefined;
    return quoted > sum ? text.least : text.rented;
  };
  const link = (): string =>
    props.ask.rent ? new URLSearchParams({ task: 'rent', rent: props.query.get('node') }).toString() :
    new URLSearchParams(['node', 'cru', 'mru', 'sru', 'hru', 'gpu', 'ips'].flatMap((name) => (props.query.get(name) ? [[name, props.query.get(name)]] : []))).toString();
  return (
    <Show when={parts()} fallback={<p class="notice warn">{text.noGpuPrice}</p>}>
      <Facts rows={rows()} />
      <p><A class="button" href={`/deploy?${link()}`}>{text.deploy}</A></p>
      <p class="muted">{t.nodes.atPrice(tftPrice(props.price))}</p>
      <p class="muted">{text.cu} {text.rule(factorRule(props.policy.levels))}</p>
    </Show>
  );
}
