// SPDX-License-Identifier: Apache-2.0
// Which of what this page asks of a runtime the present one doesn't answer as expected.

type Names<Entry> = Record<string, Record<string, Entry>>;
/** The bundle's descriptors: names of all that pages call. */
export type Needs = Record<'apis' | 'storage' | 'constants' | 'tx', Names<unknown>>;
export type Compat = Record<'apis' | 'query' | 'constants' | 'tx', Names<{ isCompatible(): boolean }>>;

/** Names of what is missing or has changed; none if no read of the grid is there: then it is another kind of chain. */
export function lacking({ apis, storage, constants, tx }: Needs, compat: Compat): string[] | undefined {
  const lacks = (needs: Names<unknown>, has: Compat[keyof Compat]): string[] =>
    Object.entries(needs).flatMap(([pallet, names]) =>
      Object.keys(names).filter((name) => !has[pallet]?.[name]?.isCompatible()).map((name) => (needs === apis ? name : `${pallet}.${name}`)));
  const reads = lacks(apis, compat.apis);
  if (reads.length === Object.values(apis).flatMap(Object.keys).length) return undefined;
  return [...new Set([...reads, ...lacks(storage, compat.query), ...lacks(constants, compat.constants), ...lacks(tx, compat.tx)])];
}
