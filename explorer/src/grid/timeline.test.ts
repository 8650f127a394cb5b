// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import type { ChainContract, Closed, Failure } from '../chain/types';
import { timeline, type Records } from './timeline';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const failure = (version: number): Failure => ({
  version, code: { type: 'ImageNotFound', value: undefined }, path: bytes('/workloads/1/data/image'), text: bytes('no\u202esuch'),
});
const answer = { asked_at: 10n, by: 60n };
const contract = (state: 'Created' | 'Deployed', pending = false): ChainContract => ({
  twin: 1, deposit: 0n, created_at: 10n, deployed_at: state === 'Deployed' ? 20n : 0n, state: { type: state, value: undefined },
  kind: {
    type: 'Node',
    value: {
      node: 1, resources: { cru: 1n, mru: 0n, sru: 0n, hru: 0n, gpu: 0n }, networks: [], version: 1, body_hash: '0x', last_version: 1, answer,
      pending: pending
        ? { version: 2, body_hash: '0x', resources: { cru: 1n, mru: 0n, sru: 0n, hru: 0n, gpu: 0n }, public_ips: 0, networks: [], deposit: 0n, answer: { asked_at: 40n, by: 90n } }
        : undefined,
      last_report: { sequence: 0n, at: 0n },
    },
  },
});
const records = (more: Partial<Records>): Records => ({
  contract: undefined, closed: undefined, failure: undefined, status: { type: 'Created', value: undefined }, live: undefined, grace: undefined,
  calendar: Number, ...more,
});
const shown = (more: Partial<Records>): [number | undefined, string][] => timeline(records(more)).map(({ at, what }) => [at, what]);

test('a contract that waits shows until when', () => {
  expect(shown({ contract: contract('Created') })).toEqual([[10, 'Created: the capacity is reserved'], [60, 'The node must answer']]);
});

test('an update and a pause come in order of time', () => {
  const status = { type: 'Paused', value: { tft: 0n, usd: 0n } } as const;
  expect(shown({ contract: contract('Deployed', true), status, grace: { since: 50n, until: 200n } })).toEqual([
    [10, 'Created: the capacity is reserved'],
    [20, 'Deployed by its node, and charged from here on'],
    [40, 'Update to version 2 asked for'],
    [50, 'Paused: the owner’s credit is used up'],
    [90, 'The node must answer'],
    [200, 'Closes unless the owner deposits'],
  ]);
});

test('a rejected contract says why, where and in whose words', () => {
  const closed: Closed = {
    twin: 1, node: 1, reason: { type: 'NodeRejected', value: { code: { type: 'ImageNotFound', value: undefined } } },
    closed_at: 30n, closed_at_unix: 33n, usd: 0n, tft: 0n,
  };
  const status = { type: 'Closed', value: { reason: closed.reason, tft: 0n, usd: 0n } } as const;
  expect(timeline(records({ closed, status, failure: failure(1) }))).toEqual([
    {
      at: 33,
      what: 'Closed',
      tone: 'bad',
      why: 'The node can’t run the deployment. The registry doesn’t have the image. At /workloads/1/data/image: no⟨U+202E⟩such',
    },
  ]);
});

test('a failure of an earlier version has no time', () => {
  const status = { type: 'Deployed', value: { tft: 0n, usd: 0n } } as const;
  expect(shown({ contract: contract('Deployed'), status, failure: failure(2) }).at(-1)).toEqual([undefined, 'Version 2 rejected by the node']);
});
