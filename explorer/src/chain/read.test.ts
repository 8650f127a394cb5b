// SPDX-License-Identifier: Apache-2.0
import { createComponent, createRoot, createSignal } from 'solid-js';
import { createStore } from 'solid-js/store';
import { afterEach, expect, test } from 'vitest';
import { ChainProvider, type Chain, type ChainState } from './connection';
import { createRead, type Read } from './read';

const ends: (() => void)[] = [];
afterEach(() => ends.splice(0).forEach((end) => end()));
const settle = (): Promise<unknown> => new Promise((done) => setTimeout(done));

/** A read every so many blocks, whose answers a test gives. */
function scene(every: number) {
  const [state, setState] = createStore<ChainState>({ health: 'live', endpoint: '', unsupported: [] });
  const [source, setSource] = createSignal('first');
  const asked: { what: string; block: number; answer(text: string): void; fail(): void }[] = [];
  const chain = { state, client: { hodlBlock: () => () => undefined } } as unknown as Chain;
  let read: Read<string> | undefined;
  createRoot((end) => {
    ends.push(end);
    const ask = (block: number, what: string): Promise<string> =>
      new Promise((answer, reject) => void asked.push({ what, block, answer, fail: () => reject(new Error('gone')) }));
    createComponent(ChainProvider, {
      value: chain,
      get children() {
        read = createRead(source, ({ number }, what) => ask(number, what), every);
        return undefined;
      },
    });
  });
  const head = (number: number): void => setState('head', { number, hash: `0x${number}`, time: number });
  return { read: read as Read<string>, asked, head, setSource };
}

test('a read waits for its block, and is never under way twice', async () => {
  const { read, asked, head } = scene(2);
  head(1);
  head(2);
  head(3);
  expect(asked.map(({ block }) => block)).toEqual([1]);
  asked[0]?.answer('one');
  await settle();
  expect([read.value(), read.at()?.number, asked.map(({ block }) => block)]).toEqual(['one', 1, [1, 3]]);
  asked[1]?.answer('three');
  await settle();
  head(4);
  expect([read.value(), asked.length]).toEqual(['three', 2]);
});

test('an answer to an earlier question is dropped', async () => {
  const { read, asked, head, setSource } = scene(1);
  head(1);
  setSource('second');
  asked[0]?.answer('to the first');
  await settle();
  expect([read.value(), asked.map(({ what }) => what)]).toEqual([undefined, ['first', 'second']]);
});

test('what failed is read again soon, however rarely else', async () => {
  const { read, asked, head } = scene(Infinity);
  head(1);
  asked[0]?.fail();
  await settle();
  expect([read.error()?.message, asked.length]).toEqual(['gone', 1]);
  for (let number = 2; number <= 8; number += 1) head(number);
  asked[1]?.answer('eight');
  await settle();
  head(99);
  expect([read.error(), read.value(), asked.map(({ block }) => block)]).toEqual([undefined, 'eight', [1, 8]]);
});

test('a chain that begins anew is read anew', async () => {
  const { read, asked, head } = scene(Infinity);
  head(9);
  asked[0]?.answer('nine');
  await settle();
  head(1);
  asked[1]?.answer('one');
  await settle();
  expect([read.value(), read.at()?.number]).toEqual(['one', 1]);
});
