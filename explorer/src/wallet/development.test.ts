// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import { developmentAccounts } from './development';

test('development accounts have their well-known addresses', () => {
  expect(developmentAccounts().map(({ name, address }) => [name, address]).slice(0, 2)).toEqual([
    ['//Alice', '5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY'],
    ['//Bob', '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty'],
  ]);
});
