// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { isIdentity, open, pretty } from './body';

const { sealed_body: vector } = JSON.parse(readFileSync('../docs/vectors/formats.json', 'utf8'));
const sealed = Uint8Array.from(Buffer.from(vector.sealed, 'hex'));
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test('the sealed body of the vectors opens with either key', async () => {
  for (const { identity } of [vector.node, vector.owner]) {
    expect(isIdentity(identity)).toBe(true);
    expect(new TextDecoder().decode(await open(sealed, identity))).toBe(vector.plain);
  }
});

test('a damaged body does not open', async () => {
  const damaged = sealed.slice();
  damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 1;
  await expect(open(damaged, vector.owner.identity)).rejects.toThrow();
});

test('what is no secret key is told apart', () => {
  expect(['', 'age1xyz', vector.owner.recipient, `${vector.owner.identity}X`].map(isIdentity)).toEqual(Array(4).fill(false));
});

test('JSON is laid out and hostile text shown', () => {
  expect(pretty(bytes('{"a":"\u202e<b>"}'))).toEqual({ text: '{\n  "a": "⟨U+202E⟩<b>"\n}', json: true });
  expect(pretty(bytes('{"a":'))).toEqual({ text: '{"a":', json: false });
});
