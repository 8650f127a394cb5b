// SPDX-License-Identifier: Apache-2.0
import { createSignal, Show, type JSX } from 'solid-js';
import { useChain } from '../chain/connection';
import { scaled } from '../grid/nodes';
import { tft, tftExact } from '../lib/format';
import { parseU32 } from '../lib/ids';
import type { Query } from '../lib/query';
import { t } from '../texts';
import { Section } from '../ui/parts';
import type { Account } from '../wallet/accounts';
import type { Payer } from '../wallet/payer';
import { Signed } from './Signed';

const text = t.deploy;
export function CreateTwin(props: { account: Account }): JSX.Element {
  const { api } = useChain();
  return (
    <Signed>
      {(propose) => (
        <div class="notice" data-account={props.account.address}>
          <p>{text.createTwin}</p>
          <p><button type="button" class="primary" onClick={() => propose(api.tx.Twins.create({ peer_keys: [], encryption_key: undefined }))}>{text.createTwinCall}</button></p>
        </div>
      )}
    </Signed>
  );
}

/** An amount of TFT, at most `most`. */
function AmountForm(props: { most: bigint | undefined; first?: string; button: string; children?: JSX.Element; onInput?(text: string): void; onAmount(amount: bigint): void }): JSX.Element {
  const [value, setValue] = createSignal(props.first ?? '');
  const [error, setError] = createSignal<string>();
  const input = (text: string): void => {
    setValue(text);
    props.onInput?.(text);
  };
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const amount = /\.\d{8}/.test(value()) ? undefined : scaled(value(), 7);
    if (!amount) setError(text.badAmount);
    else if (props.most !== undefined && amount > props.most) setError(text.tooMuch(tftExact(props.most)));
    else {
      setError(undefined);
      props.onAmount(amount);
    }
  };
  return (
    <>
      <form class="inline" onSubmit={submit}>
        {props.children}
        <label>
          {text.amount}
          <input type="text" name="amount" inputmode="decimal" autocomplete="off" value={value()} aria-invalid={error() !== undefined} onInput={(event) => input(event.currentTarget.value)} />
        </label>
        <button type="submit" class="primary" disabled={props.most === undefined}>{props.button}</button>
      </form>
      <Show when={error()}>{(error) => <p class="notice bad" role="alert">{error()}</p>}</Show>
    </>
  );
}

export function Deposit(props: { query: Query; payer: Payer | undefined }): JSX.Element {
  const { api } = useChain();
  const twin = (): number | undefined => parseU32(props.query.get('deposit')) ?? props.payer?.twin?.id;
  return (
    <Signed>
      {(propose) => (
        <Section title={text.tasks.deposit}>
          <p>{text.depositNote}</p>
          <AmountForm
            most={twin() === undefined ? undefined : props.payer?.free}
            first={props.query.get('amount')}
            button={t.deploy.review}
            onInput={(amount) => props.query.set({ amount })}
            onAmount={(amount) => propose(api.tx.Billing.deposit({ twin: twin() ?? 0, amount }))}
          >
            <label>
              {text.depositTo}
              <input type="text" name="to" inputmode="numeric" value={twin() ?? ''} onChange={(event) => props.query.set({ task: 'deposit', deposit: event.currentTarget.value })} />
            </label>
          </AmountForm>
        </Section>
      )}
    </Signed>
  );
}

export function Withdraw(props: { payer: Payer | undefined }): JSX.Element {
  const { api } = useChain();
  const most = (): bigint | undefined => {
    const payer = props.payer?.twin?.payer;
    return payer && (payer.credit > payer.must_keep ? payer.credit - payer.must_keep : 0n);
  };
  return (
    <Signed>
      {(propose) => (
        <Section title={text.tasks.withdraw}>
          <Show when={most() !== undefined}><p>{text.withdrawNote(tft(most() ?? 0n))}</p></Show>
          <AmountForm most={most()} button={t.deploy.review} onAmount={(amount) => propose(api.tx.Billing.withdraw({ amount }))} />
        </Section>
      )}
    </Signed>
  );
}
