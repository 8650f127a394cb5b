// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import { parseList } from './list';
import { changes, gone, type States } from './states';

const states = (changes: Partial<States> = {}): States => ({
  nodes: [{ id: 1, state: 'online', heard: 5 }],
  contracts: [{ id: 7n, state: 'Deployed' }],
  funds: [{ id: 2, state: 'good', until: 9, credit: 1n }],
  missing: [],
  ...changes,
});

test('a stored list keeps what makes sense', () => {
  const good = [{ kind: 'node', id: '1' }, { kind: 'contract', id: '18446744073709551615' }];
  expect(parseList(JSON.stringify([...good, { kind: 'farm', id: 'x' }, { kind: 'moon', id: '1' }, null]))).toEqual(good);
  expect([null, '', '{}', 'nonsense'].map(parseList)).toEqual([[], [], [], []]);
});

test('each change of a state has a sentence', () => {
  const after = states({
    nodes: [{ id: 1, state: 'offline', heard: 5 }],
    contracts: [{ id: 7n, state: 'Paused' }],
    funds: [{ id: 2, state: 'short', until: 9, credit: 1n }],
  });
  expect(changes(states(), after)).toEqual(['Node 1 is now offline.', 'Contract 7: paused: no credit.', 'Funds of twin 2: end soon.']);
});

test('times alone, and what is new, are no change', () => {
  const after = states({ nodes: [{ id: 1, state: 'online', heard: 50 }, { id: 2, state: 'offline', heard: undefined }] });
  expect(changes(states(), after)).toEqual([]);
});

test('a contract that left its twin is gone', () => {
  expect(gone(states(), states({ contracts: [] }))).toEqual([7n]);
  expect(gone(states(), states())).toEqual([]);
});
