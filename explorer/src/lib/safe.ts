// SPDX-License-Identifier: Apache-2.0
// Texts of others. They reach the page as text nodes only; what would be invisible or reorder its surroundings is shown as
// its code point.

/** Control, format (bidi, zero-width, tags) and separator characters, lone surrogates, private use. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\u034f\u115f\u1160\u3164\uffa0]/gu;

const shown = (char: string): string =>
  `⟨U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}⟩`;

/** `text` on one line. */
export const visible = (text: string): string => text.replace(HIDDEN, shown);

/** `text` with its line breaks and tabs. */
export const visibleLines = (text: string): string =>
  text.replace(HIDDEN, (char) => (char === '\n' || char === '\t' ? char : shown(char)));

/** Text of UTF-8 bytes; bytes that aren't become U+FFFD. */
export const utf8 = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

export const hex = (bytes: Uint8Array): string =>
  `0x${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;

/** First and last characters of a long key or hash. */
export const short = (text: string, kept = 6): string =>
  text.length > 2 * kept + 3 ? `${text.slice(0, kept + 2)}…${text.slice(-kept)}` : text;
