// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import { plan } from './plan';

const TFT = 10_000_000n;
const USD = 10_000_000_000n;
/** A TFT costs 1 USD, so an hour of the two rates costs 2 TFT. */
const terms = { rate: USD, before: USD, credit: 0n, atOnce: 0n, price: TFT, levels: [{ hours: 1_080, permille: 800 }] };

test('the credit must pay for an hour of everything', () => {
  expect(plan(terms)).toEqual({ factor: 1_000, seconds: 0, missing: 2n * TFT });
  expect(plan({ ...terms, credit: 5n * TFT, atOnce: 4n * TFT })).toMatchObject({ missing: TFT, seconds: 1_800 });
  expect(plan({ ...terms, credit: 4n * TFT })).toEqual({ factor: 1_000, seconds: 7_200, missing: 0n });
});

test('a long runway is cheaper, and so longer', () => {
  expect(plan({ ...terms, credit: 2n * 1_080n * TFT })).toEqual({ factor: 800, seconds: 1_350 * 3_600, missing: 0n });
});

test('where nothing is charged the credit has no end', () => {
  expect(plan({ ...terms, rate: 0n, before: 0n }).seconds).toBeUndefined();
});
