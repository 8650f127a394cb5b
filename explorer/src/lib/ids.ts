// SPDX-License-Identifier: Apache-2.0
// Ids from URLs and search boxes.

const digits = (text: string, max: bigint): bigint | undefined => {
  if (!/^\d{1,20}$/.test(text)) return undefined;
  const id = BigInt(text);
  return id <= max ? id : undefined;
};

/** Id of a twin, farm or node, or a block number. None for anything else. */
export function parseU32(text: string): number | undefined {
  const id = digits(text, 2n ** 32n - 1n);
  return id === undefined ? undefined : Number(id);
}

/** Id of a contract. None for anything else. */
export const parseU64 = (text: string): bigint | undefined => digits(text, 2n ** 64n - 1n);

/** A transaction by its block's number and its index, such as `123-4`. None for anything else. */
export function parseTransaction(text: string): { block: number; index: number } | undefined {
  const [block, index] = /^\d+-\d+$/.test(text) ? text.split('-').map(parseU32) : [];
  return block === undefined || index === undefined ? undefined : { block, index };
}

/** Whether a text looks like an account's address; the client knows for sure. */
export const isAddress = (text: string): boolean => /^[1-9A-HJ-NP-Za-km-z]{46,49}$/.test(text);

export const isHash = (text: string): boolean => /^0x[0-9a-f]{64}$/i.test(text);
