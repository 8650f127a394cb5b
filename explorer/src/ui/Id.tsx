// SPDX-License-Identifier: Apache-2.0
// The frame of a page about one thing with a number: a malformed id, or one that never was, has words of its own.
import { useParams } from '@solidjs/router';
import { createMemo, Show, type Accessor, type JSX } from 'solid-js';
import { visible } from '../lib/safe';
import { t } from '../texts';
import { Page } from './parts';

interface Props<Id> {
  /** What it is, in a sentence: `node`. */
  kind: string;
  parse(text: string): Id | undefined;
  children(id: Accessor<Id>): JSX.Element;
}

export function WithId<Id extends number | bigint>(props: Props<Id>): JSX.Element {
  const params = useParams<{ id: string }>();
  const id = createMemo(() => props.parse(params.id ?? ''));
  return (
    <Show
      when={id() !== undefined}
      fallback={
        <Page title={t.noPage}>
          <p class="notice bad">{t.badId(props.kind, visible(params.id ?? '').slice(0, 80))}</p>
        </Page>
      }
    >
      {props.children(id as Accessor<Id>)}
    </Show>
  );
}
