// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import { shown } from './show';

test('enums, numbers and bytes are readable', () => {
  const value = { contract: 7n, reason: { type: 'Cancelled', value: undefined }, body: { type: 'Plain', value: new TextEncoder().encode('{"a":"\u202e"}') } };
  expect(JSON.parse(shown(value))).toEqual({ contract: 7, reason: 'Cancelled', body: { Plain: '{"a":"⟨U+202E⟩"}' } });
});

test('numbers that JSON would round are texts', () => {
  expect(shown(2n ** 64n)).toBe('"18446744073709551616"');
});

test('binary bytes are hex, and long ones cut', () => {
  expect(shown(new Uint8Array([0xff, 0]))).toBe('"0xff00"');
  expect(shown(new Uint8Array(1000).fill(0xff))).toMatch(/… \(1000 bytes\)"$/);
});
