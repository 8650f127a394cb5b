// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import { same } from './same';

test('content counts, in depth', () => {
  expect(same({ a: [1n, { b: 'x' }] }, { a: [1n, { b: 'x' }] })).toBe(true);
  expect(same(new Uint8Array([1, 2]), new Uint8Array([1, 2]))).toBe(true);
  expect(same({ a: undefined }, { a: undefined })).toBe(true);
});

test('other values, lengths, keys and kinds differ', () => {
  const pairs: [unknown, unknown][] = [
    [1n, 1], [{ a: 1 }, { a: 2 }], [[1], [1, 2]], [{ a: undefined }, { b: undefined }], [[], {}], [null, {}],
    [new Uint8Array([1]), [1]], [() => 1, () => 1],
  ];
  expect(pairs.map(([a, b]) => same(a, b))).toEqual(Array(pairs.length).fill(false));
});
