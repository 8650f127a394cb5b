// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ChainState } from './connection';
import { createFollower, type Asked } from './follow';

/** Answers come when a test gives them. */
class Question<T> {
  readonly asked: { about: string; answer(value: T): void; fail(): void }[] = [];
  ask = (about: string): Promise<T> =>
    new Promise((answer, reject) => void this.asked.push({ about, answer, fail: () => reject(new Error('gone')) }));
}

const NOW = 1_700_000_000;
const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);

function scene() {
  const [genesis, time] = [new Question<string>(), new Question<number>()];
  const held: string[] = [];
  const node: Asked = {
    genesis: () => genesis.ask(''),
    describe: (found) => Promise.resolve({ chain: { name: 'grid', genesis: found, development: false, version: 1 }, unsupported: [] }),
    timeOf: time.ask,
    hold: (hash) => {
      held.push(hash);
      return () => void held.splice(held.indexOf(hash), 1);
    },
  };
  const state: ChainState = { health: 'connecting', endpoint: '', unsupported: [] };
  const follower = createFollower(node, state, (changes) => Object.assign(state, changes));
  const tell = (number: number, hash = `0x${number}`): void => follower.told({ number, hash });
  /** A connection whose chain is known by its genesis. */
  const open = async (found = 'grid'): Promise<void> => {
    follower.opened();
    genesis.asked.at(-1)?.answer(found);
    await settle();
  };
  /** Shows a block that is so many seconds old. */
  const show = async (number: number, age = 0): Promise<void> => {
    tell(number);
    time.asked.at(-1)?.answer(NOW - age);
    await settle();
  };
  return { state, follower, genesis, time, held, tell, open, show };
}

beforeEach(() => void vi.useFakeTimers({ now: NOW * 1000 }));
afterEach(() => void vi.useRealTimers());

test('an older block that answers late is not shown', async () => {
  const { state, held, time, tell, open } = scene();
  await open();
  tell(1);
  tell(2);
  const [first, second] = time.asked;
  second?.answer(NOW);
  await settle();
  first?.answer(NOW - 3);
  await settle();
  expect([state.head?.number, held]).toEqual([2, ['0x2']]);
});

test('blocks that come faster than answers are shown in order', async () => {
  const { state, held, time, tell, open } = scene();
  await open();
  for (const number of [1, 2, 3]) tell(number);
  time.asked[0]?.answer(NOW - 6);
  await settle();
  expect(state.head?.number).toBe(1);
  time.asked[2]?.answer(NOW);
  await settle();
  expect(state.head?.number).toBe(3);
  time.asked[1]?.fail();
  await settle();
  expect(held).toEqual(['0x3']);
});

test('a block from before the chain is known is shown with it', async () => {
  const { state, time, tell, open } = scene();
  tell(1);
  expect(time.asked).toEqual([]);
  await open();
  time.asked[0]?.answer(NOW);
  await settle();
  expect([state.head?.number, state.health, state.chain?.genesis]).toEqual([1, 'live', 'grid']);
});

test('a block that came just before a lost connection is shown', async () => {
  const { state, follower, time, tell, open } = scene();
  follower.opened();
  tell(1);
  follower.closed();
  expect(state.health).toBe('lost');
  await open();
  time.asked[0]?.answer(NOW);
  await settle();
  expect([state.head?.number, state.health]).toEqual([1, 'live']);
});

test('a block whose read a lost connection ended is read again', async () => {
  const { state, follower, held, time, tell, open } = scene();
  await open();
  tell(1);
  follower.closed();
  await open();
  expect(time.asked.length).toBe(2);
  time.asked[0]?.fail();
  time.asked[1]?.answer(NOW);
  await settle();
  expect([state.head?.number, held]).toEqual([1, ['0x1']]);
});

test('a failed read is tried again, once at a time', async () => {
  const { state, follower, held, time, tell, open } = scene();
  await open();
  tell(1);
  follower.tick();
  expect(time.asked.length).toBe(1);
  time.asked[0]?.fail();
  await settle();
  expect(held).toEqual([]);
  follower.tick();
  time.asked[1]?.answer(NOW);
  await settle();
  follower.tick();
  expect([state.head?.number, held, time.asked.length]).toEqual([1, ['0x1'], 2]);
});

test('what an earlier connection said is not believed', async () => {
  const { state, follower, genesis, tell, open } = scene();
  await open();
  follower.closed();
  follower.opened();
  const late = genesis.asked.at(-1);
  follower.closed();
  await open('other');
  expect(state.health).toBe('wrong');
  late?.answer('grid');
  await settle();
  tell(7);
  follower.tick();
  expect([state.health, state.head]).toEqual(['wrong', undefined]);
});

test('a block of another chain is never shown', async () => {
  const { state, follower, time, tell, open, show } = scene();
  await open();
  await show(5);
  tell(6);
  const late = time.asked.at(-1);
  follower.closed();
  follower.opened();
  tell(1, '0xother');
  late?.answer(NOW);
  await settle();
  expect(state.head?.number).toBe(5);
  follower.closed();
  await open('other');
  follower.closed();
  expect(state.health).toBe('wrong');
  await open();
  expect([state.health, state.head?.number, time.asked.map(({ about }) => about)]).toEqual(['live', 5, ['0x5', '0x6']]);
});

test('a chain whose reads are all unknown is the wrong one', async () => {
  const state: ChainState = { health: 'connecting', endpoint: '', unsupported: [] };
  const node: Asked = { genesis: async () => 'x', describe: async () => undefined, timeOf: async () => NOW, hold: () => () => undefined };
  createFollower(node, state, (changes) => Object.assign(state, changes)).opened();
  await settle();
  expect(state).toEqual({ health: 'wrong', endpoint: '', unsupported: [] });
});

test('a chain that is slow to name itself is asked again', async () => {
  const { state, follower, genesis } = scene();
  follower.opened();
  follower.tick();
  expect(genesis.asked.length).toBe(1);
  await vi.advanceTimersByTimeAsync(20_000);
  follower.tick();
  genesis.asked[1]?.answer('grid');
  await settle();
  expect([state.chain?.genesis, genesis.asked.length]).toEqual(['grid', 2]);
});

test('a stopped chain is stalled, and its connection kept', async () => {
  const { state, follower, genesis, open, show } = scene();
  await open();
  await show(1);
  follower.tick();
  expect([state.health, genesis.asked.length]).toEqual(['live', 1]);
  await vi.advanceTimersByTimeAsync(31_000);
  follower.tick();
  expect([state.health, genesis.asked.length]).toEqual(['stalled', 2]);
  await show(2, -31);
  expect(state.health).toBe('live');
});

test('a connection that comes back says how old the block is', async () => {
  const { state, follower, open, show } = scene();
  await open();
  await show(1, 60);
  follower.closed();
  expect(state.health).toBe('lost');
  follower.tick();
  expect(state.health).toBe('lost');
  await open();
  expect([state.health, state.head?.number]).toEqual(['stalled', 1]);
});
