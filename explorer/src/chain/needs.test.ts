// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import { lacking, type Compat } from './needs';

/** A runtime that lacks these. */
function runtime(isMissing: (path: string) => boolean): Compat {
  const named = (path: string): object =>
    new Proxy({ isCompatible: () => !isMissing(path.slice(1)) }, { get: (own, key) => (key in own ? Reflect.get(own, key) : named(`${path}.${String(key)}`)) });
  return named('') as Compat;
}

test('a runtime that answers all lacks nothing', () => expect(lacking(runtime(() => false))).toEqual([]));

test('what a runtime has changed is named', () => {
  const changed = ['apis.GridApi.quote_rent', 'query.Billing.Bills', 'constants.System.Version', 'tx.Contracts.cancel'];
  expect(lacking(runtime((path) => changed.includes(path)))).toEqual(['quote_rent', 'Billing.Bills', 'System.Version', 'Contracts.cancel']);
});

test('a chain without the grid’s reads is another', () => {
  expect(lacking(runtime((path) => path.startsWith('apis.')))).toBeUndefined();
  expect(lacking({ apis: {}, query: {}, constants: {}, tx: {} })).toBeUndefined();
});
