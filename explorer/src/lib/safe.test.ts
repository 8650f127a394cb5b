// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import { short, utf8, visible, visibleLines } from './safe';

test('control and bidi characters are shown as such', () => {
  expect(visible('a\u202eb\u0000\n')).toBe('a⟨U+202E⟩b⟨U+0000⟩⟨U+000A⟩');
  expect(visible('\u200bx\u{e0041}')).toBe('⟨U+200B⟩x⟨U+E0041⟩');
});

test('ordinary text of any script stays', () => {
  expect(visible('Ferme été 農場 🌞')).toBe('Ferme été 農場 🌞');
});

test('lines stay in a block of lines', () => {
  expect(visibleLines('a\n\tb\r')).toBe('a\n\tb⟨U+000D⟩');
});

test('broken UTF-8 is replaced', () => {
  expect(utf8(new Uint8Array([0x61, 0xff]))).toBe('a\ufffd');
});

test('short keeps both ends', () => {
  expect(short(`0x${'ab'.repeat(32)}`)).toBe('0xababab…ababab');
  expect(short('0xabcd')).toBe('0xabcd');
});
