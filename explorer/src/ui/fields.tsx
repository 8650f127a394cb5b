// SPDX-License-Identifier: Apache-2.0
// Fields whose value is a parameter of the URL.
import { useNavigate } from '@solidjs/router';
import { createSignal, For, type JSX } from 'solid-js';
import type { Resources } from '../chain/types';
import { t } from '../texts';
import type { Query } from '../lib/query';

interface Field {
  query: Query;
  name: string;
  label: string;
}

export function TextField(props: Field & { numeric?: boolean; type?: 'search' | 'text' }): JSX.Element {
  return (
    <label>
      {props.label}
      <input
        type={props.type ?? 'text'}
        name={props.name}
        inputmode={props.numeric ? 'decimal' : undefined}
        autocomplete="off"
        value={props.query.get(props.name)}
        onInput={(event) => props.query.set({ [props.name]: event.currentTarget.value })}
      />
    </label>
  );
}

/** Parts of a capacity, sizes in GiB. */
export function CapacityFields(props: { query: Query; prefix?: string; parts: readonly (keyof Resources)[] }): JSX.Element {
  const label = (part: keyof Resources): string => (part === 'cru' || part === 'gpu' ? t.nodes.resources[part] : t.nodes.gib(t.nodes.resources[part]));
  return <For each={props.parts}>{(part) => <TextField query={props.query} name={`${props.prefix ?? ''}${part}`} label={label(part)} numeric />}</For>;
}

/** Opens the record that a text is the id of; anything else is searched for. */
export function FindForm(props: { label: string; button: string; path(text: string): string | undefined }): JSX.Element {
  const navigate = useNavigate();
  const [text, setText] = createSignal('');
  const find = (event: SubmitEvent): void => {
    event.preventDefault();
    const wanted = text().trim();
    if (wanted) navigate(props.path(wanted) ?? `/search?q=${encodeURIComponent(wanted)}`);
  };
  return (
    <form class="inline" onSubmit={find}>
      <label>
        {props.label}
        <input type="search" value={text()} onInput={(event) => setText(event.currentTarget.value)} />
      </label>
      <button type="submit">{props.button}</button>
    </form>
  );
}

export function CheckField(props: Field): JSX.Element {
  return (
    <label class="check">
      <input
        type="checkbox"
        name={props.name}
        checked={props.query.flag(props.name)}
        onChange={(event) => props.query.set({ [props.name]: event.currentTarget.checked ? '1' : '' })}
      />
      {props.label}
    </label>
  );
}

export function SelectField(props: Field & { options: [string, string][] }): JSX.Element {
  return (
    <label>
      {props.label}
      <select name={props.name} onChange={(event) => props.query.set({ [props.name]: event.currentTarget.value })}>
        <For each={props.options}>
          {([value, text]) => (
            <option value={value} selected={value === props.query.get(props.name)}>
              {text}
            </option>
          )}
        </For>
      </select>
    </label>
  );
}
