// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { decAnyMetadata, unifyMetadata } from '../chain/substrate';
import { advice, ADVICE } from './advice';

const GRID = ['Clock', 'Billing', 'Twins', 'Farms', 'Nodes', 'Contracts', 'Farming'];

/** The errors of the grid's pallets. */
function errors(): string[] {
  const { pallets, lookup } = unifyMetadata(decAnyMetadata(readFileSync(new URL('../../../client/metadata.scale', import.meta.url))));
  return pallets.filter(({ name }) => GRID.includes(name)).flatMap(({ name, errors }) => {
    const id = typeof errors === 'object' ? errors.type : errors;
    const def = id === undefined ? undefined : lookup[id]?.def;
    return def?.tag === 'variant' ? def.value.map((variant) => `${name}.${variant.name}`) : [];
  });
}

test('each error of the grid’s pallets has a next step', () => {
  expect(errors().length).toBeGreaterThan(100);
  expect(errors().filter((error) => advice(error) === '')).toEqual([]);
});

test('no advice is about an error that is not there', () => {
  const known = new Set(errors());
  const advised = GRID.flatMap((pallet) => Object.keys(ADVICE[pallet] ?? {}).map((name) => `${pallet}.${name}`));
  expect(advised.filter((error) => !known.has(error))).toEqual([]);
});
