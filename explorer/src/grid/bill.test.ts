// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import { billLines, merged, type Charges } from './bill';

const MONTH = 720 * 3_600;
const half = (halves: bigint): bigint => (halves << 64n) / 2n;
const month = (month: number, tft: bigint, usd: bigint) => ({ month, charge: { tft: half(2n * tft), usd } });
const cut = (charges: Omit<Charges, 'now'>): (string | number)[][] => {
  const lines = billLines({ ...charges, now: 700 * MONTH + 5 });
  const sum = lines.reduce((sum, line) => ({ usd: sum.usd + line.usd, tft: sum.tft + line.tft }), { usd: 0n, tft: 0n });
  expect(sum).toEqual(charges.total);
  return lines.map(({ from, tft, usd }) => [from === undefined ? 'earlier' : from / MONTH, Number(tft), Number(usd)]);
};

test('unwritten charges belong to the present month', () => {
  const months = [month(698, 10n, 100n), month(699, 20n, 200n)];
  const settled = { tft: half(60n), usd: 300n };
  expect(cut({ months, settled, total: { tft: 37n, usd: 370n } })).toEqual([[698, 10, 100], [699, 20, 200], [700, 7, 70]]);
  expect(cut({ months, settled, total: { tft: 30n, usd: 300n } })).toEqual([[698, 10, 100], [699, 20, 200]]);
});

test('the present month has one line', () => {
  const settled = { tft: half(60n), usd: 300n };
  expect(cut({ months: [month(700, 30n, 300n)], settled, total: { tft: 31n, usd: 310n } })).toEqual([[700, 31, 310]]);
});

test('fractions count where the sum reaches a unit', () => {
  const charge = { tft: half(1n), usd: 1n };
  const months = [{ month: 698, charge }, { month: 699, charge }];
  expect(cut({ months, settled: undefined, total: { tft: 1n, usd: 2n } })).toEqual([[698, 0, 1], [699, 1, 1]]);
});

test('dropped months are one line', () => {
  const months = Array.from({ length: 13 }, (_, i) => month(688 + i, 1n, 10n));
  const lines = cut({ months, settled: { tft: half(40n), usd: 200n }, total: { tft: 20n, usd: 200n } });
  expect(lines[0]).toEqual(['earlier', 7, 70]);
  expect(lines).toHaveLength(14);
});

test('a contract without charges has no line', () => {
  expect(cut({ months: [], settled: undefined, total: { tft: 0n, usd: 0n } })).toEqual([]);
});

test('bills of several contracts are summed by month', () => {
  const line = (from: number | undefined, usd: bigint, tft: bigint) => ({ from, usd, tft });
  expect(merged([[line(undefined, 5n, 1n), line(MONTH, 1n, 2n)], [], [line(0, 7n, 7n), line(MONTH, 10n, 20n)]])).toEqual([line(undefined, 5n, 1n), line(0, 7n, 7n), line(MONTH, 11n, 22n)]);
});
