// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import { reach } from './reach';

const of = (result: unknown): [string, string][] => reach(new TextEncoder().encode(JSON.stringify(result)));

test('a result names the addresses of sites and machines', () => {
  expect(of({ shop: { url: 'https://shop.gw1.example.org' }, web: { ip: '10.20.1.5', public_ip: '185.69.166.10', restarts: 2 }, job: { exit: 0 } }))
    .toEqual([['shop', 'https://shop.gw1.example.org'], ['web', '185.69.166.10, 10.20.1.5']]);
});

test('what is no result has no addresses', () => {
  for (const result of [null, 7, [], 'web', { web: 'up' }, { web: { ip: 7 } }]) expect(of(result)).toEqual([]);
  expect(reach(new TextEncoder().encode('{'))).toEqual([]);
});
