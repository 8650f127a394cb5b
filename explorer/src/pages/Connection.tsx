// SPDX-License-Identifier: Apache-2.0
import { createSignal, For, Show, type JSX } from 'solid-js';
import { useChain } from '../chain/connection';
import { parseEndpoint, storedEndpoints, storeEndpoints } from '../chain/endpoints';
import { number } from '../lib/format';
import { visible } from '../lib/safe';
import { t } from '../texts';
import { Ago, Badge, Facts, Long, Page, Section } from '../ui/parts';

const text = t.connection;

/** Another endpoint may be on another chain: the page starts anew with it, and nothing of the old one is left. */
function use(endpoint: string): void {
  storeEndpoints([endpoint, ...storedEndpoints().filter((stored) => stored !== endpoint)]);
  const url = new URL(location.href);
  url.searchParams.delete('endpoint');
  history.replaceState(null, '', url);
  location.reload();
}

export default function Connection(): JSX.Element {
  const { state, endpoints } = useChain();
  const [address, setAddress] = createSignal('');
  const [bad, setBad] = createSignal(false);
  const [stored, setStored] = createSignal(storedEndpoints());
  const remove = (endpoint: string): void => {
    storeEndpoints(storedEndpoints().filter((other) => other !== endpoint));
    setStored(storedEndpoints());
  };
  const add = (event: SubmitEvent): void => {
    event.preventDefault();
    const endpoint = parseEndpoint(address());
    setBad(!endpoint);
    if (endpoint) use(endpoint);
  };
  return (
    <Page title={t.pages.connection}>
      <p>{text.explain}</p>
      <Section title={text.chain}>
        <Facts
          rows={[
            [t.pages.connection, text.health[state.health]],
            [
              text.chain,
              <Show when={state.chain} fallback={t.unknown}>
                {(chain) => (
                  <>
                    {visible(chain().name)} <Show when={chain().development}><Badge tone="warn">{text.development}</Badge></Show>
                  </>
                )}
              </Show>,
            ],
            [text.genesis, <Show when={state.chain} fallback={t.unknown}>{(chain) => <Long text={chain().genesis} />}</Show>],
            [text.version, state.chain ? number(state.chain.version) : t.unknown],
            [
              text.finalized,
              <Show when={state.head} fallback={t.unknown}>{(head) => <>{number(head().number)}, <Ago time={head().time} /></>}</Show>,
            ],
          ]}
        />
      </Section>
      <Section title={text.endpoints}>
        <ul class="endpoints">
          <For each={endpoints}>
            {(endpoint) => (
              <li>
                <code>{endpoint}</code>{' '}
                <Show when={endpoint === state.endpoint} fallback={<button type="button" onClick={() => use(endpoint)}>{text.use}</button>}>
                  <Badge tone="plain">{text.inUse}</Badge>
                </Show>{' '}
                <Show when={stored().includes(endpoint)}>
                  <button type="button" onClick={() => remove(endpoint)}>{text.remove}</button>
                </Show>
              </li>
            )}
          </For>
        </ul>
        <form onSubmit={add} class="inline">
          <label>
            {text.address}
            <input type="text" inputmode="url" value={address()} onInput={(event) => setAddress(event.currentTarget.value)} aria-invalid={bad()} />
          </label>
          <button type="submit">{text.addButton}</button>
        </form>
        <Show when={bad()}>
          <p class="notice bad" role="alert">{text.bad}</p>
        </Show>
        <p>{text.link}</p>
      </Section>
    </Page>
  );
}
