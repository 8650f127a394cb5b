// SPDX-License-Identifier: Apache-2.0
// What is watched: kept in the browser, a list for each chain. Other tabs see changes at once.
import { createEffect, createSignal, on, onCleanup, type Accessor } from 'solid-js';

export const KINDS = ['node', 'farm', 'contract', 'twin'] as const;
export type Kind = (typeof KINDS)[number];

export interface Watched {
  kind: Kind;
  id: string;
}

const MOST = 200;
const key = (genesis: string): string => `tfgrid-watch-${genesis}`;
export const same = (a: Watched, b: Watched): boolean => a.kind === b.kind && a.id === b.id;

/** The list in a stored text; what makes no sense in it is left out. */
export function parseList(text: string | null): Watched[] {
  try {
    const list: unknown = JSON.parse(text ?? '[]');
    if (!Array.isArray(list)) return [];
    return list.filter((one: Partial<Watched> | null) => KINDS.includes(one?.kind as Kind) && /^\d{1,20}$/.test(String(one?.id))).slice(0, MOST);
  } catch {
    return [];
  }
}

export function createWatchList(genesis: Accessor<string | undefined>): [Accessor<Watched[]>, (list: Watched[]) => void] {
  const [list, setList] = createSignal<Watched[]>([]);
  const load = (): void => void setList(parseList(localStorage.getItem(key(genesis() ?? ''))));
  createEffect(on(genesis, load));
  const onStorage = (event: StorageEvent): void => {
    if (event.key === key(genesis() ?? '')) load();
  };
  addEventListener('storage', onStorage);
  onCleanup(() => removeEventListener('storage', onStorage));
  return [
    list,
    (next) => {
      localStorage.setItem(key(genesis() ?? ''), JSON.stringify(next.slice(0, MOST)));
      load();
    },
  ];
}
