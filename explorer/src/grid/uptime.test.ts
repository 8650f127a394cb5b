// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import { PERIOD_SECONDS } from './nodes';
import { periods } from './uptime';

const kept = (list: [period: number, ms: bigint][]) => list.map(([period, ms]) => ({ period, ms }));
const DAY = 86_400;
const FULL = BigInt(PERIOD_SECONDS) * 1_000n;
const read = { rewards: [], enrolment: undefined, time: 27 * PERIOD_SECONDS + DAY };
const shown = (uptimes: [number, bigint][], more = {}) =>
  periods({ ...read, uptimes: kept(uptimes), ...more }).map(({ first, last, ms, part }) => [first, last, ms, part]);

test('a node that was off has the periods without uptime', () => {
  const day = BigInt(DAY) * 1_000n;
  expect(shown([[20, FULL], [24, FULL / 2n], [27, day / 2n]])).toEqual([
    [20, 20, FULL, 1_000], [21, 23, 0n, 0], [24, 24, FULL / 2n, 500], [25, 26, 0n, 0], [27, 27, day / 2n, 500],
  ]);
});

test('a node that is off has none since, with the running one', () => {
  expect(shown([[24, FULL]])).toEqual([[24, 24, FULL, 1_000], [25, 27, 0n, 0]]);
  expect(shown([[26, FULL]], { time: 27 * PERIOD_SECONDS + 60 })).toEqual([[26, 26, FULL, 1_000], [27, 27, 0n, undefined]]);
});

test('a node that never had uptime has no periods', () => {
  expect(shown([])).toEqual([]);
});

test('an enrolment in a period counts from there on', () => {
  const open = { period: 27, from: BigInt(27 * PERIOD_SECONDS + DAY / 2), uptime_before_ms: 10_000_000n };
  const enrolment = { phase: { type: 'Farming', value: open } };
  expect(shown([[27, 10_000_000n + 21_600_000n]], { enrolment })).toEqual([[27, 27, 31_600_000n, 500]]);
});

test('a reward is in the row of its period', () => {
  const reward = { period: 25, tft: 5n, payout: 5n, claimable_from: 0n, claimed: false };
  expect(periods({ ...read, uptimes: kept([[25, FULL], [26, FULL], [27, 0n]]), rewards: [reward] }).map((row) => row.reward?.tft)).toEqual([5n, undefined, undefined]);
});
