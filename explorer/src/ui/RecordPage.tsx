// SPDX-License-Identifier: Apache-2.0
// The page of one record with a number: a malformed id, and one that never was, have words of their own.
import { useParams } from '@solidjs/router';
import { createMemo, Show, type Accessor, type JSX } from 'solid-js';
import { createRead, type At } from '../chain/read';
import { visible } from '../lib/safe';
import { t } from '../texts';
import { AsOf, Page, Shown } from './parts';

interface Props<Id, Value> {
  kind: keyof typeof t.kinds;
  parse(text: string): Id | undefined;
  read(at: At, id: Id): Promise<Value>;
  /** Blocks from one read to the next. */
  every?: number;
  title(id: Id, value: Value | undefined): string;
  /** Why there may be none. */
  absent?: string;
  children(value: Accessor<NonNullable<Value>>, id: Accessor<Id>): JSX.Element;
}

export function RecordPage<Id extends number | bigint, Value>(props: Props<Id, Value>): JSX.Element {
  const params = useParams<{ id: string }>();
  const id = createMemo(() => props.parse(params.id ?? ''));
  return (
    <Show
      when={id() !== undefined}
      fallback={
        <Page title={t.noPage}>
          <p class="notice bad">{t.badId(t.kinds[props.kind], visible(params.id ?? '').slice(0, 80))}</p>
        </Page>
      }
    >
      <Found {...props} id={id as Accessor<Id>} />
    </Show>
  );
}

function Found<Id extends number | bigint, Value>(props: Props<Id, Value> & { id: Accessor<Id> }): JSX.Element {
  const read = createRead(props.id, props.read, props.every);
  return (
    <Page title={props.title(props.id(), read.value())} note={<AsOf read={read} />}>
      <Shown read={read} absent={<p class="notice">{t.notFound(t.kinds[props.kind], String(props.id()))} {props.absent}</p>}>
        {(value) => props.children(value, props.id)}
      </Shown>
    </Page>
  );
}
