// SPDX-License-Identifier: Apache-2.0
// Reads of finalized state. A page reads everything at one block and says which.
import { createEffect, createSignal, on, onCleanup, untrack, type Accessor } from 'solid-js';
import { inTime } from '../lib/wait';
import { useChain, type Api, type Chain, type Head } from './connection';

/** The grid at one finalized block. */
export interface At extends Head {
  chain: Chain;
  api: Api;
  /** For the last argument of each call: `api.apis.GridApi.payer(twin, at.opt)`. */
  opt: { at: string };
}

export interface Read<T> {
  /** The last answer; it may be older than the head: see `at`. */
  value: Accessor<T | undefined>;
  /** The block that `value` was read at. */
  at: Accessor<Head | undefined>;
  /** Why the last attempt failed. */
  error: Accessor<Error | undefined>;
  retry(): void;
}

/** What failed is read again after so many blocks at most: a slow node gets time. */
const RETRY_BLOCKS = 7;

/**
 * Reads again at the newest finalized block, at most once every `every` blocks and never twice at a time. When `source`
 * changes, the old answer is dropped; an answer that comes after that is, too.
 */
export function createRead<S, T>(
  source: Accessor<S>,
  read: (at: At, source: S) => Promise<T>,
  every = 1,
): Read<T> {
  const chain = useChain();
  const [value, setValue] = createSignal<T>();
  const [at, setAt] = createSignal<Head>();
  const [error, setError] = createSignal<Error>();
  let run = 0;
  let busy = false;
  let tried: number | undefined;
  let alive = true;

  async function attempt(): Promise<void> {
    const head = untrack(() => chain.state.head);
    if (!head || busy || !alive) return;
    const mine = run;
    busy = true;
    tried = head.number;
    const { number, hash, time } = head;
    let release: (() => void) | undefined;
    try {
      release = chain.client.hodlBlock(hash);
      const asked = read({ number, hash, time, chain, api: chain.api, opt: { at: hash } }, untrack(source));
      const found = await inTime(asked);
      if (mine !== run) return;
      setValue(() => found);
      setAt({ number, hash, time });
      setError(undefined);
    } catch (cause) {
      if (mine === run) setError(cause instanceof Error ? cause : new Error(String(cause)));
    } finally {
      release?.();
      busy = false;
      if (mine !== run) void attempt();
      else due();
    }
  }

  /** Reads again if the head is far enough from the last attempt, or before it. */
  function due(): void {
    const head = untrack(() => chain.state.head);
    const wait = untrack(error) ? Math.min(every, RETRY_BLOCKS) : every;
    if (head && (tried === undefined || head.number < tried || head.number - tried >= wait)) void attempt();
  }

  createEffect(
    on(source, () => {
      run += 1;
      tried = undefined;
      setValue(undefined);
      setAt(undefined);
      setError(undefined);
      due();
    }),
  );
  createEffect(on(() => chain.state.head?.hash, due, { defer: true }));
  onCleanup(() => {
    alive = false;
    run += 1;
  });
  return {
    value,
    at,
    error,
    retry: () => {
      tried = undefined;
      due();
    },
  };
}

/** All items of a list that the chain answers in pages. */
export async function pages<Item, Cursor>(page: (after: Cursor | undefined) => Promise<{ items: Item[]; next?: Cursor | undefined }>): Promise<Item[]> {
  const all: Item[] = [];
  let after: Cursor | undefined;
  do {
    const { items, next } = await page(after);
    all.push(...items);
    after = next;
  } while (after !== undefined);
  return all;
}

export const PAGE = 500;
