// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import { parseTransaction } from './ids';

test('a transaction is named by its block and index', () => {
  expect(parseTransaction('123-4')).toEqual({ block: 123, index: 4 });
  expect(['', '123', '-4', '123-', '1-2-3', '1-x', '4294967296-0'].map(parseTransaction)).toEqual(Array(7).fill(undefined));
});
