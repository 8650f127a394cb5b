// SPDX-License-Identifier: Apache-2.0
// What a twin's contracts may cost, and what refills may take.
import { createSignal, Show, type JSX } from 'solid-js';
import { useChain } from '../chain/connection';
import { NO_LIMIT } from '../chain/types';
import { scaled } from '../grid/nodes';
import { decimal } from '../lib/format';
import { parseU32 } from '../lib/ids';
import { t } from '../texts';
import { Section } from '../ui/parts';
import type { Payer, PayerTwin } from '../wallet/payer';
import { Signed } from './Signed';

const text = t.deploy;
const [USD_DIGITS, TFT_DIGITS] = [10, 7];
const LEAST_HOURS = 24;
const USUAL_HOURS = 72;

export default function Limits(props: { payer: Payer | undefined }): JSX.Element {
  return (
    <Show when={props.payer?.twin} fallback={<p class="muted">{text.noOutlay}</p>}>
      {(twin) => (
        <>
          <Signed>{(propose) => <Spending twin={twin()} onCall={propose} />}</Signed>
          <Signed>{(propose) => <Refill twin={twin()} onCall={propose} />}</Signed>
        </>
      )}
    </Show>
  );
}

type Props = { twin: PayerTwin; onCall: Parameters<Parameters<typeof Signed>[0]['children']>[0] };

function Spending(props: Props): JSX.Element {
  const { api } = useChain();
  const shown = (value: bigint, digits: number): string => (value === NO_LIMIT ? '' : decimal(value, digits).replaceAll(',', ''));
  const { max_usd_rate, max_extra_fee, refill_per_30_days } = props.twin.limits;
  const [rate, setRate] = createSignal(shown(max_usd_rate, USD_DIGITS));
  const [extra, setExtra] = createSignal(shown(max_extra_fee, USD_DIGITS));
  const [refill, setRefill] = createSignal(shown(refill_per_30_days, TFT_DIGITS));
  const [isBad, setBad] = createSignal(false);
  const propose = (event: SubmitEvent): void => {
    event.preventDefault();
    const limits = [rate().trim() ? scaled(rate(), USD_DIGITS) : NO_LIMIT, scaled(extra(), USD_DIGITS), scaled(refill(), TFT_DIGITS)] as const;
    const [max_usd_rate, max_extra_fee, refill_per_30_days] = limits;
    const isMeant = max_usd_rate !== undefined && max_extra_fee !== undefined && refill_per_30_days !== undefined;
    setBad(!isMeant);
    if (isMeant) props.onCall(api.tx.Billing.set_limits({ limits: { max_usd_rate, max_extra_fee, refill_per_30_days } }));
  };
  return (
    <Section title={text.tasks.limits}>
      <p>{text.limitsNote}</p>
      <form onSubmit={propose}>
        <div class="filters">
          <Amount name="rate" label={text.limitRate} value={rate()} onInput={setRate} />
          <Amount name="extra" label={text.limitExtra} value={extra()} onInput={setExtra} />
          <Amount name="refill" label={text.limitRefill} value={refill()} onInput={setRefill} />
        </div>
        <Show when={isBad()}><p class="notice bad" role="alert">{text.badLimit}</p></Show>
        <p><button type="submit" class="primary">{text.review}</button></p>
      </form>
    </Section>
  );
}

function Refill(props: Props): JSX.Element {
  const { api } = useChain();
  const [hours, setHours] = createSignal(String(props.twin.refill ?? USUAL_HOURS));
  const [isBad, setBad] = createSignal(false);
  const on = (event: SubmitEvent): void => {
    event.preventDefault();
    const asked = parseU32(hours().trim());
    const isMeant = asked !== undefined && asked >= LEAST_HOURS;
    setBad(!isMeant);
    if (isMeant) props.onCall(api.tx.Billing.set_auto_refill({ refill: asked }));
  };
  return (
    <Section title={t.twins.refill}>
      <p>{text.refillNote}</p>
      <p>{t.twins.refill}: {props.twin.refill === undefined ? t.none : t.twins.refillHours(props.twin.refill)}</p>
      <Show when={props.twin.limits.refill_per_30_days === 0n}><p class="notice warn">{text.refillBlocked}</p></Show>
      <form class="inline" onSubmit={on}>
        <Amount name="hours" label={text.refillHours} value={hours()} onInput={setHours} />
        <button type="submit" class="primary">{text.refillOn}</button>
        <button type="button" disabled={props.twin.refill === undefined} onClick={() => props.onCall(api.tx.Billing.set_auto_refill({ refill: undefined }))}>{text.refillOff}</button>
      </form>
      <Show when={isBad()}><p class="notice bad" role="alert">{text.badHours(LEAST_HOURS)}</p></Show>
    </Section>
  );
}

function Amount(props: { name: string; label: string; value: string; onInput(value: string): void }): JSX.Element {
  return (
    <label>
      {props.label}
      <input type="text" name={props.name} inputmode="decimal" autocomplete="off" value={props.value} onInput={(event) => props.onInput(event.currentTarget.value)} />
    </label>
  );
}
