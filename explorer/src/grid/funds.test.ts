// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import { calendarFile, factorRule } from './funds';

test('a reminder is an event with folded lines', () => {
  const file = calendarFile({ uid: 'a', title: 'Funds, end', text: `see ${'é'.repeat(60)}`, at: 1_800_000_000, now: 0 });
  expect(file).toContain('DTSTART:20270115T080000Z\r\n');
  expect(file).toContain('SUMMARY:Funds\\, end\r\n');
  const lines = file.split('\r\n');
  expect(Math.max(...lines.map((line) => new TextEncoder().encode(line).length))).toBeLessThanOrEqual(75);
  expect(file.replaceAll('\r\n ', '')).toContain(`DESCRIPTION:see ${'é'.repeat(60)}\r\n`);
});

test('the rule of the price factor comes from the policy', () => {
  expect(factorRule([{ hours: 1_080, permille: 800 }, { hours: 12_960, permille: 400 }])).toBe(
    '1.5 months prepaid: 80 %; 18 months prepaid: 40 %',
  );
});
