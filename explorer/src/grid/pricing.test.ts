// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { GIB } from '../lib/format';
import { capacityRate, rateOn } from './pricing';

const { policy, cases } = JSON.parse(readFileSync('../docs/vectors/cost.json', 'utf8'));
const LIST = {
  cu: BigInt(policy.cu), su: BigInt(policy.su), nu: BigInt(policy.nu), ipv4: BigInt(policy.ipv4), unique_name: BigInt(policy.unique_name),
  gpu: BigInt(policy.gpu), rent_percent: policy.rent_percent, certified_percent: policy.certified_percent, minimum: 0n,
};
const gi = (value: number | undefined): bigint => BigInt(value ?? 0) * GIB;
const capacity = (input: Record<string, number>) => ({ cru: BigInt(input.cru ?? 0), mru: gi(input.mru), sru: gi(input.sru), hru: gi(input.hru), gpu: 0n });

test('rates agree with the vectors', () => {
  const plain = cases.filter(({ input }: { input: Record<string, unknown> }) => Number(input.seconds) >= 3_600 && !input.rent && !input.runway);
  expect(plain.length).toBeGreaterThan(4);
  for (const { input, expect: known } of plain) {
    const rate = capacityRate(LIST, capacity(input), input.ips ?? 0, input.certified ?? false) ?? 0n;
    const usd = (rate * BigInt(input.seconds)) / 3_600n;
    expect((usd + 500n) / 1_000n, JSON.stringify(input)).toBe(BigInt(known.usd_units));
  }
});

test('a tiny contract pays for its place on a large node', () => {
  const node = { cru: 512n, mru: 8_192n * GIB, sru: 100_000n * GIB, hru: 0n, gpu: 2n };
  const tiny = { cru: 1n, mru: GIB / 8n, sru: GIB / 8n, hru: 0n, gpu: 0n };
  const alone = capacityRate(LIST, tiny, 0, false) ?? 0n;
  const there = rateOn(LIST, 1_000, node, tiny, 0, false) ?? 0n;
  expect(there).toBeGreaterThan(alone);
  expect(there).toBe(((capacityRate(LIST, { ...node, gpu: 0n }, 0, false) ?? 0n) + 999n) / 1_000n);
});

test('GPUs have no rate while the list has no price', () => {
  expect(capacityRate(LIST, { ...capacity({ cru: 1 }), gpu: 1n }, 0, false)).toBeUndefined();
});

test('no contract is below the minimum', () => {
  expect(capacityRate({ ...LIST, minimum: 1_000n }, capacity({}), 0, false)).toBe(1_000_000n);
});
