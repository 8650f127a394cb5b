// SPDX-License-Identifier: Apache-2.0
// What a payer whose credit is used up must do, and by when.
import { Show, type JSX } from 'solid-js';
import { tft } from '../lib/format';
import { t } from '../texts';
import { Ago } from './parts';

const text = t.twins;

interface Props {
  payer: { credit: bigint; must_keep: bigint; exhausted: boolean };
  grace: { over: boolean; until: bigint } | undefined;
  calendar(grid: bigint): number;
}

export function UsedUp(props: Props): JSX.Element {
  const missing = (): bigint => (props.payer.must_keep > props.payer.credit ? props.payer.must_keep - props.payer.credit : 0n);
  return (
    <Show when={props.payer.exhausted}>
      <div class="notice bad" role="alert">
        <p><strong>{text.usedUp}</strong></p>
        <Show when={props.grace} fallback={<p>{text.graceOver}</p>}>
          {(grace) => <p>{grace().over ? text.graceOver : <>{text.grace(tft(missing()))} <Ago time={props.calendar(grace().until)} />.</>}</p>}
        </Show>
      </div>
    </Show>
  );
}
