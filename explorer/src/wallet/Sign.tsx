// SPDX-License-Identifier: Apache-2.0
// What is signed, before the wallet opens; then what becomes of it.
import { A } from '@solidjs/router';
import { createResource, createSignal, Show, type JSX } from 'solid-js';
import { useChain } from '../chain/connection';
import { createRead } from '../chain/read';
import { Blake2256 } from '../chain/substrate';
import { tftExact } from '../lib/format';
import { hex, visible } from '../lib/safe';
import { shown } from '../lib/show';
import { t } from '../texts';
import { advice } from '../texts/advice';
import { Facts, Long, Section } from '../ui/parts';
import type { Account } from './accounts';
import { refusal, send, type Call, type Sent, type Step } from './send';

const text = t.wallet;

interface Props {
  call: Call;
  account: Account;
  onBack(): void;
  /** Called once the chain says that it is a success. */
  onSuccess?(sent: Sent): void;
}

export default function Sign(props: Props): JSX.Element {
  const chain = useChain();
  const [data] = createResource(() => props.call, async (call) => {
    const bytes = await call.getEncodedData();
    return { hex: hex(bytes), hash: hex(Blake2256(bytes)) };
  });
  const [fee] = createResource(() => props.call, (call) => call.getEstimatedFees(props.account.address));
  const free = createRead(() => props.account.address, async ({ api, opt }, address) => (await api.query.System.Account.getValue(address, opt)).data.free);
  const isPoor = (): boolean => !fee.error && (free.value() ?? fee.latest ?? 0n) < (fee.latest ?? 0n);
  const [step, setStep] = createSignal<Step>();
  const [sent, setSent] = createSignal<Sent>();
  const [error, setError] = createSignal<string>();
  const name = (): string => `${props.call.decodedCall.type}.${props.call.decodedCall.value.type}`;
  const go = async (): Promise<void> => {
    setError(undefined);
    try {
      const done = await send(chain, props.call, props.account, setStep);
      setSent(done);
      if (done?.ok) props.onSuccess?.(done);
    } catch (cause) {
      setError(refusal(cause));
      setStep(undefined);
    }
  };
  const isWaiting = (): boolean => step() !== undefined && !sent() && step() !== 'late';
  return (
    <Section title={text.call}>
      <Facts
        rows={[
          [text.pallet, <code>{name()}</code>],
          [text.from, <>{visible(props.account.name)} <Long text={props.account.address} /></>],
          [text.fee, <Show when={!fee.error} fallback={t.unknown}><Show when={fee()} fallback={t.loading}>{(fee) => tftExact(fee())}</Show></Show>],
          [text.hash, <Show when={data()}>{(data) => <Long text={data().hash} />}</Show>],
          [text.data, <Show when={data()}>{(data) => <Long text={data().hex} />}</Show>],
        ]}
      />
      <h3>{text.args}</h3>
      <pre tabindex="0">{shown(props.call.decodedCall.value.value)}</pre>
      <Show when={!sent()}>
        <Show when={isPoor()}><p class="notice bad">{text.noFee(tftExact(free.value() ?? 0n))}</p></Show>
        <p class="buttons">
          <button type="button" class="primary" disabled={step() !== undefined || isPoor()} onClick={() => void go()}>{text.sign}</button>
          <button type="button" disabled={isWaiting()} onClick={() => props.onBack()}>{text.back}</button>
        </p>
      </Show>
      <div role="status">
        <Show when={!sent() && step()}>{(step) => <p>{text.steps[step()]}</p>}</Show>
        <Show when={sent()}>
          {(sent) => (
            <div class={`notice ${sent().ok ? 'good' : 'bad'}`}>
              <Show when={sent().error} fallback={<p>{text.done}</p>}>
                {(error) => <p>{text.refusedCall(error().name)} {error().docs} {advice(error().name)}</p>}
              </Show>
              <p><A href={`/blocks/${sent().block}/${sent().index}`}>{text.transaction}</A></p>
            </div>
          )}
        </Show>
        <Show when={sent()}>{(sent) => <button type="button" onClick={() => props.onBack()}>{sent().ok ? text.goOn : text.back}</button>}</Show>
      </div>
      <Show when={error()}>{(error) => <p class="notice bad" role="alert">{error()}</p>}</Show>
    </Section>
  );
}
