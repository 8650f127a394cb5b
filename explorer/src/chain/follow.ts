// SPDX-License-Identifier: Apache-2.0
// Which block pages show: the newest finalized one of one chain, over connections that come and go. What an earlier
// connection was asked isn't believed: another chain may have answered.
import { inTime } from '../lib/wait';
import type { ChainState, Head, Health } from './connection';

/** What the present connection is asked. */
export interface Asked {
  genesis(): Promise<string>;
  /** The chain with this genesis, and which reads it lacks; none if it lacks all. */
  describe(genesis: string): Promise<Required<Pick<ChainState, 'chain' | 'unsupported'>> | undefined>;
  /** A block's timestamp, in seconds since 1970. */
  timeOf(hash: string): Promise<number>;
  /** Keeps a block readable until the answer is called. */
  hold(hash: string): () => void;
}

export interface Follower {
  opened(): void;
  closed(): void;
  /** Takes the newest finalized block. It needn't be told again after another connection. */
  told(block: { number: number; hash: string }): void;
  /** Judges how old the shown block is, and asks again what had no answer. Called every few seconds. */
  tick(): void;
}

interface Connection {
  state: 'closed' | 'open' | 'right' | 'wrong';
  isAsked: boolean;
}

interface Told {
  number: number;
  hash: string;
  turn: number;
  askedOn?: Connection | undefined;
}

/** Ten blocks. */
const STALL_SECONDS = 30;
const QUIET_SECONDS = 12;

export function createFollower(node: Asked, state: Readonly<ChainState>, set: (changes: Partial<ChainState>) => void): Follower {
  let connection: Connection = { state: 'closed', isAsked: false };
  let expected: string | undefined;
  let newest: Told | undefined;
  let turns = 0;
  /** Turn of the shown block. */
  let shown = 0;
  let releaseShown = (): void => {};

  const age = (head: Head): number => Date.now() / 1000 - head.time;
  const health = (head = state.head): Health => (!head ? 'connecting' : age(head) > STALL_SECONDS ? 'stalled' : 'live');

  /** Another chain than before is never mixed with it. */
  async function identify(): Promise<void> {
    const mine = connection;
    if (mine.state !== 'open' || mine.isAsked) return;
    mine.isAsked = true;
    try {
      const genesis = await inTime(node.genesis());
      const found = expected === undefined || genesis === expected ? await inTime(node.describe(genesis)) : undefined;
      if (mine !== connection) return;
      if (!found) {
        mine.state = 'wrong';
        newest = undefined;
        return set({ health: 'wrong' });
      }
      expected = genesis;
      mine.state = 'right';
      set({ ...found, health: health() });
      void show();
    } catch {
      // The connection went away, or the node is slow.
    } finally {
      mine.isAsked = false;
    }
  }

  /** Shows the newest block, unless a later one is shown by then. */
  async function show(): Promise<void> {
    const [mine, block] = [connection, newest];
    if (mine.state !== 'right' || !block || block.turn <= shown || block.askedOn === mine) return;
    block.askedOn = mine;
    let release = (): void => {};
    try {
      release = node.hold(block.hash);
      const time = await inTime(node.timeOf(block.hash));
      if (mine !== connection || block.turn < shown) return release();
      const head = { number: block.number, hash: block.hash, time };
      shown = block.turn;
      set({ head, health: health(head) });
      releaseShown();
      releaseShown = release;
    } catch {
      release();
      if (block.askedOn === mine) block.askedOn = undefined;
    }
  }

  return {
    opened() {
      connection = { state: 'open', isAsked: false };
      void identify();
    },
    closed() {
      connection = { state: 'closed', isAsked: false };
      set({ health: state.health === 'wrong' ? 'wrong' : 'lost' });
    },
    told({ number, hash }) {
      if (connection.state === 'wrong') return;
      newest = { number, hash, turn: ++turns };
      void show();
    },
    tick() {
      void identify();
      if (connection.state !== 'right') return;
      void show();
      set({ health: health() });
      // A connection on which nothing is said counts as lost, also where a chain makes no blocks.
      if (!state.head || age(state.head) > QUIET_SECONDS) void node.genesis().catch(() => undefined);
    },
  };
}
