// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { GIB } from '../lib/format';
import { rewardTft, units, worth } from './farming';

const { cases } = JSON.parse(readFileSync('../docs/vectors/farming.json', 'utf8'));
const DIY = { cu: 2_400n, su: 1_000n, nu: 30n, ipv4: 5n };

test('the farming vectors hold to the unit', () => {
  for (const { input, expect: known } of cases) {
    const gi = (value: number): bigint => BigInt(value ?? 0) * GIB;
    const resources = { cru: BigInt(input.cru ?? 0), mru: gi(input.mru), sru: gi(input.sru), hru: gi(input.hru), gpu: 0n };
    const served = { nuGib: BigInt(input.nu_gib ?? 0), ipSeconds: BigInt(input.ip_seconds ?? 0) };
    const { musd } = worth(DIY, resources, served);
    expect(musd).toBe(BigInt(known.musd));
    expect(rewardTft(musd, input.uptime_permille, input.certified ?? false, BigInt(input.price_musd) * 10_000n)).toBe(BigInt(known.tft_units));
    expect(Math.abs(Number(units(resources).cu) / 1e6 - known.cu)).toBeLessThan(1e-5);
  }
});
