// SPDX-License-Identifier: Apache-2.0
import { createMemo, Show, type JSX } from 'solid-js';
import type { Read } from '../chain/read';
import type { FarmingPolicy } from '../chain/types';
import { lesser, rewardTft, units, worth } from '../grid/farming';
import { capacity, parseFilter, scaled } from '../grid/nodes';
import { decimal, HOURS_PER_MONTH, number, permille, tft, tftPrice, usd } from '../lib/format';
import type { Query } from '../lib/query';
import { t } from '../texts';
import { CapacityFields, CheckField, TextField } from '../ui/fields';
import { Facts, Shown } from '../ui/parts';
import type { Terms } from './Calculator';

const text = t.calculator;
/** A thousandth of a USD in 1e-10 USD. */
const MUSD = 10_000_000n;

export function Farming(props: { query: Query; terms: Read<Terms> }): JSX.Element {
  return (
    <>
      <form class="filters" aria-label={text.farming} onSubmit={(event) => event.preventDefault()}>
        <CapacityFields query={props.query} prefix="f" parts={['cru', 'mru', 'sru', 'hru']} />
        <TextField query={props.query} name="fnu" label={text.farmTraffic} numeric />
        <TextField query={props.query} name="fips" label={text.farmIps} numeric />
        <TextField query={props.query} name="fuptime" label={text.uptime} numeric />
        <TextField query={props.query} name="fprice" label={text.price} numeric />
        <CheckField query={props.query} name="fcertified" label={text.farmCertified} />
      </form>
      <p class="muted">{text.priceHint}</p>
      <Shown read={props.terms}>
        {(terms) => <Show when={terms().farming}>{(policy) => <Reward query={props.query} policy={policy()} price={terms().price} />}</Show>}
      </Shown>
    </>
  );
}

function Reward(props: { query: Query; policy: FarmingPolicy; price: bigint }): JSX.Element {
  const offered = createMemo(() => parseFilter((name) => props.query.get(`f${name}`)));
  const counted = createMemo(() => lesser(offered().free, props.policy.maxima));
  const served = createMemo(() => ({
    nuGib: scaled(props.query.get('fnu'), 0) ?? 0n,
    ipSeconds: BigInt(offered().ips) * HOURS_PER_MONTH * 3_600n,
  }));
  const found = createMemo(() => worth(props.policy.rates, counted(), served()));
  const uptime = (): number => Math.min(1_000, offered().minUptime ?? 1_000);
  const enough = (): boolean => uptime() >= props.policy.min_uptime_permille;
  const price = (): bigint => scaled(props.query.get('fprice'), 7) || props.price;
  const reward = (): bigint => (enough() ? (rewardTft(found().musd, uptime(), offered().certified, price()) ?? 0n) : 0n);
  const amounts = (): Record<keyof typeof text.farmParts, string> => {
    const { cu, su } = units(counted());
    return { cu: decimal(cu, 6), su: decimal(su, 6), nu: number(served().nuGib), ipv4: number(served().ipSeconds / 3_600n) };
  };
  const both = (amount: bigint): string => `${tft(amount)} (${usd(amount * props.price / 10_000n)})`;
  const rows = (): [string, JSX.Element][] => {
    const { parts, musd } = found();
    const rows = (['cu', 'su', 'nu', 'ipv4'] as const).filter((part) => parts[part] > 0n).map((part): [string, JSX.Element] => [
      text.farmParts[part],
      <><span class="muted">{text.farmTimes(amounts()[part], text.farmUnits[part], usd(props.policy.rates[part] * MUSD))} =</span> {usd(parts[part] * MUSD)}</>,
    ]);
    rows.push([text.worth, usd(musd * MUSD)]);
    if (uptime() < 1_000) rows.push([text.withUptime(permille(uptime())), usd((musd * BigInt(uptime()) * MUSD) / 1_000n)]);
    if (offered().certified) rows.push([text.quarter, '× 1.25']);
    rows.push([
      text.reward,
      <>
        <strong class="rate">
          <span>{both(reward())} {text.perPeriod}</span>
          <span>{both(reward() / HOURS_PER_MONTH)} {t.nodes.perHour}</span>
        </strong>{' '}
        <span class="muted">{text.rewardAt(tftPrice(price()))}</span>
      </>,
    ]);
    return rows;
  };
  return (
    <>
      <Show when={!enough()}><p class="notice warn">{text.tooLow(permille(props.policy.min_uptime_permille))}</p></Show>
      <Show when={capacity(counted()) !== capacity(offered().free)}><p class="notice warn">{text.capped}{capacity(counted())}</p></Show>
      <Facts rows={rows()} />
      <p class="muted">{t.farms.formulaText} {text.upTo}</p>
    </>
  );
}
