// SPDX-License-Identifier: Apache-2.0
import { createSignal, lazy, Show, type JSX } from 'solid-js';
import { account, type Account } from '../wallet/accounts';
import type { Call } from '../wallet/send';

const Sign = lazy(() => import('../wallet/Sign'));

/** A form whose answer is a call; then the call to sign. */
export function Signed(props: { children(propose: (call: Call | undefined) => void): JSX.Element }): JSX.Element {
  const [call, setCall] = createSignal<Call>();
  return (
    <Show when={account() && call()} fallback={props.children((call) => setCall(() => call))}>
      {(call) => <Sign call={call()} account={account() as Account} onBack={() => setCall(undefined)} />}
    </Show>
  );
}
