// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import { farmersPart, type Earning } from './earnings';

const exact = (tft: bigint): bigint => tft << 64n;
const earning = (changes: Partial<Earning> = {}): Earning =>
  ({ uncollected: { shared: exact(1_000n), extra: 0n }, settled: exact(5_000n), charged: 5_000n, rates: { usd: 10n, extra: 0n }, factor: 1_000, ...changes });
const part = (changes?: Partial<Earning>): bigint => farmersPart(earning(changes), { foundation: 400, staking: 100 }) >> 64n;

test('what is settled is shared', () => expect(part()).toBe(500n));

test('what was earned since counts, too', () => {
  expect(part({ charged: 5_600n })).toBe(800n);
  expect(part({ charged: 5_600n, settled: exact(5_599n) + 1n })).toBe(500n);
});

test('a charge below the settled one takes nothing away', () => expect(part({ settled: exact(5_000n) + 7n })).toBe(500n));

test('extra fees are the farm’s alone, at full price', () => {
  expect(part({ uncollected: { shared: 0n, extra: exact(70n) } })).toBe(70n);
  // Of 600, a third is for 10 at half price, and two thirds for 10 at full price.
  expect(part({ uncollected: { shared: 0n, extra: 0n }, charged: 5_600n, rates: { usd: 10n, extra: 10n }, factor: 500 })).toBe(500n);
});
