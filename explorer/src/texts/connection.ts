// SPDX-License-Identifier: Apache-2.0
import { duration, number } from '../lib/format';

export const connection = {
  health: {
    connecting: 'Connecting',
    live: 'Live',
    stalled: 'Stalled',
    lost: 'Disconnected',
    wrong: 'Wrong chain',
  },
  banner: {
    connecting: (endpoint: string) => `Connecting to ${endpoint}…`,
    stalled: (seconds: number) =>
      `The chain has finalized no block for ${duration(seconds)}. What you see is as old as that.`,
    lost: (endpoint: string) =>
      `No connection to ${endpoint}. What you see may be out of date. Trying again, and the other endpoints in turn.`,
    wrong: (endpoint: string) =>
      `${endpoint} serves another chain. Nothing is read from it: choose another endpoint.`,
    unsupported: (names: string) =>
      `This chain's runtime is newer than this page. Pages that need these parts of it may be incomplete: ${names}. Everything else works. Look for a newer explorer.`,
  },
  explain:
    'The explorer reads one node at a time, and only finalized blocks. “Live” means that the newest finalized block is less than 30 seconds old. When an endpoint doesn’t answer, the next one is tried.',
  endpoints: 'Endpoints',
  inUse: 'in use',
  use: 'Use',
  remove: 'Remove',
  address: 'Address of a node’s RPC (ws:// or wss://)',
  addButton: 'Add and use',
  bad: 'An address begins with ws:// or wss://, such as wss://node.example:9944.',
  none: 'No endpoint is known. Add the address of a node.',
  link: 'A link with ?endpoint=ADDRESS before the # opens the explorer with that endpoint.',
  chain: 'Chain',
  genesis: 'Genesis hash',
  version: 'Runtime version',
  finalized: 'Finalized block',
  development: 'development chain',
  blockAge: (n: number, seconds: number) => `block ${number(n)}, ${duration(seconds)} ago`,
};
