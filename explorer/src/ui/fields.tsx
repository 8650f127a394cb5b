// SPDX-License-Identifier: Apache-2.0
// Fields whose value is a parameter of the URL.
import { For, type JSX } from 'solid-js';
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
