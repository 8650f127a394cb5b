// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import { csv } from './csv';

test('fields are quoted, and no text is a formula', () => {
  expect(csv([['a,b', 'c"d', '=1+1', -2, 3n]])).toBe('"a,b","c""d",\'=1+1,-2,3\r\n');
});
