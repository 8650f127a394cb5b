// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { NOTHING, type PriceList } from '../chain/types';
import { capacityRate } from '../grid/pricing';
import { GIB } from '../lib/format';
import { cost, factorFor, trafficUsd } from './cost';

const { policy, cases } = JSON.parse(readFileSync('../docs/vectors/cost.json', 'utf8'));
const list: PriceList = {
  ...Object.fromEntries(['cu', 'su', 'nu', 'ipv4', 'unique_name', 'gpu'].map((name) => [name, BigInt(policy[name])])),
  rent_percent: policy.rent_percent, certified_percent: policy.certified_percent, minimum: 0n,
} as PriceList;
const LEVELS = [{ hours: 1_080, permille: 800 }, { hours: 2_160, permille: 700 }, { hours: 4_320, permille: 600 }, { hours: 12_960, permille: 400 }];

/** A vector's input as the calculator takes it. */
function want(input: Record<string, number>, gib = GIB) {
  const [cru = 0, mru = 0, sru = 0, hru = 0, gpu = 0] = ['cru', 'mru', 'sru', 'hru', 'gpu'].map((name) => input[name] ?? 0);
  const resources = { cru: BigInt(cru), mru: BigInt(mru) * gib, sru: BigInt(sru) * gib, hru: BigInt(hru) * gib, gpu: BigInt(gpu) };
  return { resources, ips: input.ips ?? 0, certified: Boolean(input.certified), rent: Boolean(input.rent) };
}

test('the cost vectors hold', () => {
  for (const { note, input, expect: known } of cases) {
    const asked = want(input);
    const found = cost(list, asked);
    const traffic = trafficUsd(list, BigInt(input.nu_gb ?? 0), asked.certified);
    const factor = BigInt(factorFor(LEVELS, (input.runway ?? 0) * 720));
    const usd = (((found?.rate ?? 0n) * BigInt(input.seconds)) / 3_600n + traffic) * factor;
    expect(Math.abs(Number(usd) / 1e6 - known.usd_units), note).toBeLessThanOrEqual(1);
  }
});

test('the sum is the rate of the lists, and of its parts', () => {
  for (const certified of [false, true]) {
    const asked = want({ cru: 3, mru: 7, sru: 33, hru: 900, ips: 2, certified: Number(certified) });
    const found = cost(list, asked);
    expect(found?.rate).toBe(capacityRate(list, asked.resources, 2, certified));
    const sum = found?.lines.reduce((sum, { rate }) => sum + rate, 0n) ?? 0n;
    expect(Math.abs(Number(sum - (found?.rate ?? 0n)))).toBeLessThanOrEqual(5);
  }
});

test('GPUs without a price have no cost', () => {
  expect(cost(list, { resources: { ...NOTHING, gpu: 1n }, ips: 0, certified: false, rent: false })).toBeUndefined();
});

test('the price factor is that of the longest runway reached', () => {
  expect([0, 1_079, 1_080, 5_000, 99_999].map((hours) => factorFor(LEVELS, hours))).toEqual([1_000, 1_000, 800, 600, 400]);
});
