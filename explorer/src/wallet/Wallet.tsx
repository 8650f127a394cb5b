// SPDX-License-Identifier: Apache-2.0
// Chooses the account that signs, and says which of the causes it is if there is none.
import { createResource, createSignal, For, Show, type JSX } from 'solid-js';
import { useChain } from '../chain/connection';
import { short, visible } from '../lib/safe';
import { t } from '../texts';
import { Section } from '../ui/parts';
import { account, connectWallet, setAccount, wallets, type Account, type Found } from './accounts';

const text = t.wallet;
/** The accounts of the connected wallet: they stay while the page is open. */
const [offered, setOffered] = createSignal<Account[]>([]);

export function Wallet(props: { children?: JSX.Element }): JSX.Element {
  const chain = useChain();
  const [names] = createResource(wallets);
  const [error, setError] = createSignal<string>();
  const take = ({ accounts, elsewhere }: Found, name: string): void => {
    setOffered(accounts);
    setAccount(accounts[0]);
    const tied = elsewhere > 0 ? text.otherChain(elsewhere) : undefined;
    setError(accounts.length === 0 ? (tied ?? text.noAccounts(visible(name))) : tied);
  };
  const connect = async (name: string): Promise<void> => {
    try {
      take(await connectWallet(name, chain.state.chain?.genesis ?? ''), name);
    } catch (cause) {
      setError(text.refused(visible(name), visible(cause instanceof Error ? cause.message : String(cause))));
    }
  };
  const connectTest = async (): Promise<void> => {
    const { developmentAccounts } = await import('./development');
    take({ accounts: developmentAccounts(), elsewhere: 0 }, text.test);
  };
  const isDevelopment = (): boolean => chain.state.chain?.development === true;
  return (
    <Section title={text.title}>
      <Show
        when={account()}
        fallback={
          <>
            <p class="buttons">
              <For each={names() ?? []}>{(name) => <button type="button" class="primary" onClick={() => void connect(name)}>{text.choose}: {visible(name)}</button>}</For>
              <Show when={isDevelopment()}><button type="button" onClick={() => void connectTest()}>{text.test}</button></Show>
            </p>
            <Show when={names()?.length === 0}><p>{text.none}</p></Show>
            <p class="muted">{text.reading}</p>
          </>
        }
      >
        {(chosen) => (
          <>
            <Show when={chosen().isTest}><p class="notice warn">{text.testNote}</p></Show>
            <form class="inline" onSubmit={(event) => event.preventDefault()}>
              <label>
                {text.account}
                <select name="account" onChange={(event) => setAccount(offered().find(({ address }) => address === event.currentTarget.value))}>
                  <For each={offered()}>
                    {({ name, address }) => <option value={address} selected={address === chosen().address}>{visible(name)} {short(address)}</option>}
                  </For>
                </select>
              </label>
              <button type="button" onClick={() => (setAccount(undefined), setOffered([]))}>{text.disconnect}</button>
            </form>
            {props.children}
          </>
        )}
      </Show>
      <Show when={error()}>{(error) => <p class="notice bad" role="alert">{error()}</p>}</Show>
    </Section>
  );
}
