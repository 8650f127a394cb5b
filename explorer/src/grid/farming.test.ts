// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { GIB } from '../lib/format';
import { capacityMusd, rewardTft, units } from './farming';

const { cases } = JSON.parse(readFileSync('../docs/vectors/farming.json', 'utf8'));
const DIY = { cu: 2_400n, su: 1_000n, nu: 30n, ipv4: 5n };

test('the farming vectors hold to the unit', () => {
  const capacityOnly = cases.filter(({ input }: { input: Record<string, number> }) => !input.nu_gib && !input.ip_seconds);
  expect(capacityOnly.length).toBeGreaterThan(2);
  for (const { input, expect: known } of capacityOnly) {
    const gi = (value: number): bigint => BigInt(value ?? 0) * GIB;
    const resources = { cru: BigInt(input.cru ?? 0), mru: gi(input.mru), sru: gi(input.sru), hru: gi(input.hru), gpu: 0n };
    const musd = capacityMusd(DIY, resources);
    expect(musd).toBe(BigInt(known.musd));
    expect(rewardTft(musd, input.uptime_permille, input.certified ?? false, BigInt(input.price_musd) * 10_000n)).toBe(BigInt(known.tft_units));
    expect(Math.abs(Number(units(resources).cu) / 1e6 - known.cu)).toBeLessThan(1e-5);
  }
});
