// SPDX-License-Identifier: Apache-2.0
// What something costs a payer, how long the credit lasts with it, and what keeps the chain from taking it.
import { A } from '@solidjs/router';
import { createMemo, Show, type JSX } from 'solid-js';
import { decimal, duration, permille, tft, tftPrice, usd } from '../lib/format';
import { t } from '../texts';
import { Rate, Tft } from '../ui/Money';
import { Facts } from '../ui/parts';
import type { Payer, PayerTwin } from '../wallet/payer';
import { plan } from './plan';

const text = t.deploy;

/** What is paid. */
export interface Terms {
  first?: [string, JSX.Element][];
  /** At list price, in 1e-10 USD per hour; none where the chain has no price. */
  rate: bigint | undefined;
  extra?: bigint;
  /** The rate that it replaces. */
  before?: bigint;
  /** Deposit in 1e-7 TFT. */
  held?: bigint;
  /** 1e-7 TFT for traffic, from the credit at once. */
  traffic?: bigint;
}

interface Props extends Terms {
  payer: Payer | undefined;
  /** Between the sums and the button. */
  children?: JSX.Element;
  onReview(): void;
}

export function Outlay(props: Props): JSX.Element {
  return (
    <Show when={props.payer?.twin && props.payer} fallback={<p class="muted">{text.noOutlay}</p>}>
      {(payer) => (
        <Show when={props.rate !== undefined} fallback={<p class="notice warn">{text.noPrice}</p>}>
          <Sums {...props} payer={payer()} rate={props.rate ?? 0n} />
        </Show>
      )}
    </Show>
  );
}

function Sums(props: Props & { payer: Payer; rate: bigint }): JSX.Element {
  const twin = (): PayerTwin => props.payer.twin as PayerTwin;
  const held = (): bigint => props.held ?? 0n;
  const traffic = (): bigint => props.traffic ?? 0n;
  const extra = (): bigint => props.extra ?? 0n;
  const added = (): bigint => props.rate - (props.before ?? 0n);
  const running = (): bigint => twin().payer.rate + twin().payer.committed;
  const made = createMemo(() =>
    plan({
      rate: added(),
      extra: extra(),
      before: running(),
      credit: twin().payer.credit,
      atOnce: traffic(),
      price: props.payer.price,
      levels: props.payer.policy?.levels ?? [],
    }),
  );
  const accountShort = (): bigint => (held() > props.payer.free ? held() - props.payer.free : 0n);
  const aboveLimit = (): string | undefined => {
    const { max_usd_rate, max_extra_fee } = twin().limits;
    if (added() > 0n && running() + added() > max_usd_rate) return text.aboveRate(usd(running() + added()), usd(max_usd_rate));
    return extra() > max_extra_fee ? text.aboveExtra(usd(extra()), usd(max_extra_fee)) : undefined;
  };
  const rows = (): [string, JSX.Element][] => {
    const rows = [...(props.first ?? [])];
    if (props.rate > 0n) rows.push([text.rate, <Rate rate={props.rate} price={props.payer.price} />]);
    if (props.rate > 0n && made().factor < 1_000) rows.push([text.youPay(permille(made().factor)), <Rate rate={(props.rate * BigInt(made().factor)) / 1_000n} price={props.payer.price} />]);
    if (extra() > 0n) rows.push([text.extra, <Rate rate={extra()} price={props.payer.price} />]);
    if (traffic() > 0n) rows.push([text.trafficCost, <Tft amount={traffic()} />]);
    if (held() > 0n) rows.push([text.held, <Tft amount={held()} />]);
    rows.push([text.account, <Tft amount={props.payer.free} />], [text.credit, <Tft amount={twin().payer.credit} />]);
    const { seconds } = made();
    if (seconds !== undefined) rows.push([text.lasts, <strong>{duration(seconds)}</strong>]);
    return rows;
  };
  return (
    <>
      <Facts rows={rows()} />
      <p class="muted">{t.nodes.atPrice(tftPrice(props.payer.price))}</p>
      {props.children}
      <Show when={made().missing > 0n}>
        <p class="notice bad">
          {text.missing(tft(made().missing))}{' '}
          <A href={`/deploy?task=deposit&amount=${decimal(made().missing, 7).replaceAll(',', '')}`}>{text.depositNow(tft(made().missing))}</A>
        </p>
      </Show>
      <Show when={accountShort() > 0n}><p class="notice bad">{text.accountShort(tft(accountShort()))}</p></Show>
      <Show when={aboveLimit()}>{(why) => <p class="notice bad">{why()} <A href="/deploy?task=limits">{text.tasks.limits}</A></p>}</Show>
      <p><button type="button" class="primary" disabled={made().missing > 0n || accountShort() > 0n || aboveLimit() !== undefined} onClick={() => props.onReview()}>{text.review}</button></p>
    </>
  );
}
