// SPDX-License-Identifier: Apache-2.0
import { hex, utf8, visible } from './safe';

const LONGEST = 400;

/** Bytes as text where they are printable, else in hex; both cut. */
function bytesShown(bytes: Uint8Array): string {
  const text = utf8(bytes);
  const cut = (shown: string): string => (shown.length > LONGEST ? `${shown.slice(0, LONGEST)}… (${bytes.length} bytes)` : shown);
  return bytes.length > 0 && !text.includes('\ufffd') ? cut(visible(text)) : cut(hex(bytes));
}

/** A decoded value for people to read, as JSON: enums by their name, numbers in full. */
export function shown(value: unknown): string {
  return JSON.stringify(plain(value), null, 2) ?? '';
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value.toString();
  if (typeof value === 'string') return visible(value);
  if (value instanceof Uint8Array) return bytesShown(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  if ('type' in value && 'value' in value && Object.keys(value).length === 2) {
    const name = String(value.type);
    return value.value === undefined ? name : { [name]: plain(value.value) };
  }
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}
