// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import * as f from './format';

test('amounts are exact', () => {
  expect(f.tftExact(12_345_678_901n)).toBe('1,234.5678901 TFT');
  expect(f.tftExact(0n)).toBe('0 TFT');
  expect(f.usdExact(10_000_000_000n)).toBe('$1.00');
  expect(f.usdExact(1n)).toBe('$0.0000000001');
  expect(f.tftPrice(500_000n)).toBe('$0.05');
});

test('amounts on cards keep three digits and round half up', () => {
  expect(f.tft(12_345_678_901n)).toBe('1,234.57 TFT');
  expect(f.tft(123_456n)).toBe('0.0123 TFT');
  expect(f.tft(1n)).toBe('0.0000001 TFT');
  expect(f.tft(0n)).toBe('0 TFT');
  expect(f.usd(12_345_000_000n)).toBe('$1.23');
  expect(f.rounded(-15n, 1, 0)).toBe('−2');
});

test('USD in TFT is rounded half up at the price', () => {
  expect(f.usdToTft(10_000_000_000n, 10_000_000n)).toBe(10_000_000n);
  expect(f.usdToTft(10_000_000_000n, 500_000n)).toBe(200_000_000n);
  expect(f.usdToTft(500n, 10_000_000n)).toBe(1n);
  expect(f.usdToTft(499n, 10_000_000n)).toBe(0n);
  expect(f.usdToTft(1n, 0n)).toBeUndefined();
});

test('bytes have the largest unit', () => {
  expect(f.bytes(8n * f.GIB)).toBe('8 GiB');
  expect(f.bytes(1536n * f.MIB)).toBe('1.5 GiB');
  expect(f.bytes(1023n)).toBe('1023 B');
});

test('sizes are read with and without unit', () => {
  expect(f.parseBytes('8')).toBe(8n * f.GIB);
  expect(f.parseBytes('0.5 TiB')).toBe(512n * f.GIB);
  expect(f.parseBytes('500 mib')).toBe(500n * f.MIB);
  expect(['', 'x', '-1', '1e9', '8 GiB 2'].map(f.parseBytes)).toEqual(Array(5).fill(undefined));
});

test('durations have two units', () => {
  expect(f.duration(0)).toBe('0 s');
  expect(f.duration(59)).toBe('59 s');
  expect(f.duration(3_600)).toBe('1 h');
  expect(f.duration(93_784)).toBe('1 d 2 h');
  expect(f.duration(86_460)).toBe('1 d');
});

test('country names come from their codes', () => {
  expect(f.country('BE')).toBe('Belgium');
  expect(f.country('ZZ1')).toBe('ZZ1');
});
