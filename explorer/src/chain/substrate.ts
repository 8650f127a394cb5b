// SPDX-License-Identifier: Apache-2.0
// The parts of SCALE that a block needs beside what the chain client decodes itself.
export { Blake2256, decAnyMetadata, extrinsicFormat, unifyMetadata, type UnifiedMetadata } from '@polkadot-api/substrate-bindings';

/** The compact number at the front of bytes, below 2^30, and how many bytes it takes. */
export function compact(bytes: Uint8Array): { value: number; size: number } {
  const [a = 0, b = 0, c = 0, d = 0] = bytes;
  switch (a & 3) {
    case 0:
      return { value: a >> 2, size: 1 };
    case 1:
      return { value: (a >> 2) | (b << 6), size: 2 };
    case 2:
      return { value: (a >> 2) | (b << 6) | (c << 14) | (d << 22), size: 4 };
    default:
      throw new Error('a length exceeds 2^30 bytes');
  }
}
