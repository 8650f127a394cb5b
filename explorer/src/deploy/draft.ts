// SPDX-License-Identifier: Apache-2.0
// The deployment that is being written: kept in the browser, also when a deployment fails. All tabs have the same.
import { createSignal, onCleanup, type Accessor } from 'solid-js';

const STORED = 'tfgrid-draft';

/** The stored draft, or what `first` makes. */
export function createDraft(first: () => string): [Accessor<string>, (text: string) => void] {
  const [draft, setDraft] = createSignal(localStorage.getItem(STORED) ?? first());
  const onStorage = ({ key, newValue }: StorageEvent): void => {
    if (key === STORED && newValue !== null) setDraft(newValue);
  };
  addEventListener('storage', onStorage);
  onCleanup(() => removeEventListener('storage', onStorage));
  return [
    draft,
    (text) => {
      localStorage.setItem(STORED, text);
      setDraft(text);
    },
  ];
}
