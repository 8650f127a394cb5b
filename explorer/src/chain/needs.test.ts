// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import { lacking, type Compat, type Needs } from './needs';

const NEEDS: Needs = {
  apis: { GridApi: { bill: 1, quote_rent: 2 } },
  storage: { Billing: { Bills: 3, Policy: 4 }, Farming: { Policy: 5 } },
  constants: { System: { Version: 6 } },
  tx: { Contracts: { cancel: 7 }, Farming: {} },
};

/** A runtime that lacks these. */
function runtime(isMissing: (path: string) => boolean): Compat {
  const named = (path: string): object =>
    new Proxy({ isCompatible: () => !isMissing(path.slice(1)) }, { get: (own, key) => (key in own ? Reflect.get(own, key) : named(`${path}.${String(key)}`)) });
  return named('') as Compat;
}

test('a runtime that answers all lacks nothing', () => expect(lacking(NEEDS, runtime(() => false))).toEqual([]));

test('what a runtime has changed is named', () => {
  const changed = ['apis.GridApi.quote_rent', 'query.Billing.Bills', 'query.Farming.Policy', 'constants.System.Version', 'tx.Contracts.cancel'];
  expect(lacking(NEEDS, runtime((path) => changed.includes(path)))).toEqual(['quote_rent', 'Billing.Bills', 'Farming.Policy', 'System.Version', 'Contracts.cancel']);
});

test('a chain without the grid’s reads is another', () => {
  expect(lacking(NEEDS, runtime((path) => path.startsWith('apis.')))).toBeUndefined();
  expect(lacking(NEEDS, { apis: {}, query: {}, constants: {}, tx: {} })).toBeUndefined();
});
