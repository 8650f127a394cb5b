// SPDX-License-Identifier: Apache-2.0
// Rates and amounts in both currencies.
import { Show, type JSX } from 'solid-js';
import { perMonth, tft, tftExact, usd, usdExact, usdToTft } from '../lib/format';
import { t } from '../texts';

/** An amount of TFT, exact on hover. */
export const Tft = (props: { amount: bigint }): JSX.Element => <span title={tftExact(props.amount)}>{tft(props.amount)}</span>;

/** An amount in 1e-10 USD, and in TFT at the present price. */
export function Usd(props: { amount: bigint; price?: bigint | undefined }): JSX.Element {
  return (
    <>
      <span title={usdExact(props.amount)}>{usd(props.amount)}</span>
      <Show when={usdToTft(props.amount, props.price ?? 0n)}>{(amount) => <> ({tft(amount())})</>}</Show>
    </>
  );
}

/** A rate in 1e-10 USD per hour: by hour and month, in USD and TFT. */
export function Rate(props: { rate: bigint; price?: bigint | undefined }): JSX.Element {
  return (
    <span class="rate">
      <span><Usd amount={props.rate} price={props.price} /> {t.nodes.perHour}</span>
      <span><Usd amount={perMonth(props.rate)} price={props.price} /> {t.nodes.perMonth}</span>
    </span>
  );
}
