// SPDX-License-Identifier: Apache-2.0

/** Whether two decoded values have the same content. Functions are equal only to themselves. */
export function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (a instanceof Uint8Array !== b instanceof Uint8Array || Array.isArray(a) !== Array.isArray(b)) return false;
  const [left, right] = [Object.entries(a), Object.entries(b)];
  return left.length === right.length && left.every(([key, value]) => key in b && same(value, (b as Record<string, unknown>)[key]));
}
