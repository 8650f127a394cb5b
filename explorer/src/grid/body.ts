// SPDX-License-Identifier: Apache-2.0
// Bodies of contracts: JSON for people to read, and sealed ones opened with their owner's key.
import { utf8, visibleLines } from '../lib/safe';

/** JSON with line breaks; the text as it stands if it is none. Control characters are shown as such. */
export function pretty(bytes: Uint8Array): { text: string; json: boolean } {
  const raw = utf8(bytes);
  try {
    return { text: visibleLines(JSON.stringify(JSON.parse(raw), null, 2)), json: true };
  } catch {
    return { text: visibleLines(raw), json: false };
  }
}

export const isIdentity = (text: string): boolean => /^AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}$/.test(text.trim());

/** The plain text of a sealed body. The key stays in this function. */
export async function open(sealed: Uint8Array, identity: string): Promise<Uint8Array> {
  const { Decrypter } = await import('age-encryption');
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity.trim());
  return decrypter.decrypt(sealed);
}
