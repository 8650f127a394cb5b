// SPDX-License-Identifier: Apache-2.0
// Something to buy: what it is, fields that name one, why the chain wouldn't take it, what it costs, and the call.
import { Show, type JSX } from 'solid-js';
import type { Read } from '../chain/read';
import { Section, Shown } from '../ui/parts';
import type { Payer } from '../wallet/payer';
import type { Call } from '../wallet/send';
import { Outlay, type Terms } from './Outlay';
import { Signed } from './Signed';

interface Props<Found> {
  payer: Payer | undefined;
  title: string;
  note: JSX.Element;
  fields: JSX.Element;
  /** Whether the fields name something. */
  isAsked: boolean;
  found: Read<Found>;
  absent?: JSX.Element;
  /** Why it can't be bought. */
  refusal(found: NonNullable<Found>): JSX.Element | undefined;
  /** None until all fields are filled in. */
  terms(found: NonNullable<Found>): Terms | undefined;
  call(found: NonNullable<Found>): Call;
  /** Below it. */
  children?: JSX.Element;
}

export function Proposal<Found>(props: Props<Found>): JSX.Element {
  return (
    <Signed>
      {(propose) => (
        <>
          <Section title={props.title}>
            <p>{props.note}</p>
            <form class="inline" onSubmit={(event) => event.preventDefault()}>{props.fields}</form>
            <Show when={props.isAsked}>
              <Shown read={props.found} absent={<Refusal>{props.absent}</Refusal>}>
                {(found) => (
                  <Show when={props.refusal(found())} fallback={<Show when={props.terms(found())}>{(terms) => <Outlay {...terms()} payer={props.payer} onReview={() => propose(props.call(found()))} />}</Show>}>
                    {(why) => <Refusal>{why()}</Refusal>}
                  </Show>
                )}
              </Shown>
            </Show>
          </Section>
          {props.children}
        </>
      )}
    </Signed>
  );
}

const Refusal = (props: { children: JSX.Element }): JSX.Element => <p class="notice bad" role="alert">{props.children}</p>;
