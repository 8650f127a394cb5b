// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import { NOTHING, type Offer } from '../chain/types';
import { GIB, MIB } from '../lib/format';
import { capacityQuery, misses, parseFilter, ruledOut, searched, select, uptimePermille, versionOrder, type NodeRow } from './nodes';

const capacity = { cru: 8n, mru: 16n * GIB, sru: 100n * GIB, hru: 0n, gpu: 0n };
function row(node: number, offer: Partial<Offer> = {}, more: Partial<NodeRow> = {}): NodeRow {
  const found = {
    offer: {
      node, farm: 1, total: capacity, free: capacity, certified: false, online: true, draining: false, dedicated: false,
      extra_fee: 0n, country: '0x4245', contracts: 0, features: 3, not_delivered: 0n, ...offer,
    },
    country: 'BE',
    farm: { name: 'Ghent-Sun', twin: 1, freeIps: 2 },
    facts: { vm: false, gateway: false, uptime: 990, heard: 5, version: '0.1.0' },
    rented: false,
    rate: 100n,
    ...more,
  };
  return { ...found, words: searched(found.farm?.name ?? '', found.country) };
}
const filter = (text: string) => parseFilter((name) => new URLSearchParams(text).get(name) ?? '');
const chosen = (rows: NodeRow[], text: string) => {
  const { fit, near } = select(rows, filter(text));
  return { fit: fit.map(({ offer }) => offer.node), near: near.map(({ row, why }) => [row.offer.node, why]) };
};

test('filters combine, and one miss is said', () => {
  const rows = [row(1), row(2, { free: { ...capacity, mru: 6n * GIB } }), row(3, {}, { country: 'EG' }), row(4, { free: NOTHING }, { country: 'EG' })];
  expect(chosen(rows, 'mru=8&country=BE')).toEqual({
    fit: [1],
    near: [[2, 'memory: 6 GiB free, you want 8 GiB'], [3, 'stands in Egypt']],
  });
});

test('each point counts what it rules out, and the nearest lacks least', () => {
  const rows = [row(1, { online: false, free: { ...capacity, mru: GIB } }), row(2, { free: { ...capacity, mru: 6n * GIB } }), row(3, { free: { ...capacity, mru: 2n * GIB } }), row(4, { online: false })];
  const { nodes, points, nearest } = ruledOut(rows, filter('mru=8'));
  expect([nodes, points, nearest?.offer.node]).toEqual([4, [{ rule: 'less than 8 GiB memory free', nodes: 3 }, { rule: 'offline', nodes: 2 }], 2]);
  expect(misses(row(1, { online: false, free: { ...capacity, mru: GIB } }), filter('mru=8'))).toEqual(['memory: 1 GiB free, you want 8 GiB', 'is offline']);
  expect(ruledOut(rows, filter('mru=8&q=nowhere')).nearest).toBeUndefined();
});

test('a node that lacks a feature is named with it', () => {
  const sites = { ...filter(''), features: (1 << 0) | (1 << 7) };
  expect(misses(row(1, { features: 1 }), sites)).toEqual(['doesn’t serve sites']);
  expect(misses(row(1, { features: 129 }), sites)).toEqual([]);
  expect(misses(row(1, { dedicated: true }), { ...filter(''), shared: true })).toEqual(['is only rented as a whole']);
});

test('offline and draining nodes fit only when asked for', () => {
  const rows = [row(1, { online: false }), row(2, { draining: true })];
  expect(chosen(rows, '').fit).toEqual([]);
  expect(chosen(rows, 'unavailable=1').fit).toEqual([1, 2]);
});

test('facts that are not loaded rule nothing out', () => {
  expect(chosen([row(1, {}, { facts: undefined, rate: undefined })], 'vm=1&gateway=1&uptime=99.9&price=1').fit).toEqual([1]);
});

test('price, uptime, addresses and refunds bound the choice', () => {
  const one = [row(1, { not_delivered: 20_000_000n })];
  expect(chosen(one, 'uptime=99').fit).toEqual([1]);
  expect(chosen(one, 'uptime=99.1').fit).toEqual([]);
  expect(chosen(one, 'price=0.000008').fit).toEqual([1]);
  expect(chosen(one, 'price=0.000007').fit).toEqual([]);
  expect(chosen(one, 'ips=3').near).toEqual([[1, 'the farm has 2 free IPv4, you want 3']]);
  expect(chosen(one, 'undelivered=1').fit).toEqual([]);
});

test('search takes an id, a farm, a country and a farmer', () => {
  const rows = [row(1), row(12, {}, { farm: { name: 'other', twin: 2, freeIps: 0 }, country: 'EG' })];
  expect(['1', 'ghent', 'egypt', 'eg', 'x'].map((q) => chosen(rows, `q=${q}`).fit)).toEqual([[1], [1], [12], [12], []]);
  expect([2, 3].map((farmer) => select(rows, { ...filter('q=5'), farmer }).fit.map(({ offer }) => offer.node))).toEqual([[12], []]);
});

test('nonsense in the URL does not filter', () => {
  expect(chosen([row(1)], 'cru=-1&mru=x&uptime=abc&price=1e9&ips=%F0').fit).toEqual([1]);
});

test('uptime counts from its first hour on, to the whole', () => {
  expect(uptimePermille(3_599_000n, 0, 3_599)).toBeUndefined();
  expect(uptimePermille(3_600_000n, 0, 7_200)).toBe(500);
  expect(uptimePermille(9_000_000n, 0, 7_200)).toBe(1_000);
});

test('a capacity goes through the URL, rounded up to MiB', () => {
  const asked = { cru: 3n, mru: 576n * MIB, sru: 2n * GIB, hru: GIB + 1n, gpu: 1n };
  const { free, ips } = filter(capacityQuery(asked, 2));
  expect([free, ips]).toEqual([{ ...asked, hru: GIB + MIB }, 2]);
  expect(filter(capacityQuery(NOTHING, 0)).free).toEqual(NOTHING);
});

test('versions are in the order of their numbers', () => {
  const versions = ['0.9.1', '0.10.0', '0.9.0', '1.0.0-rc2', '1.0.0-rc10'];
  expect(versions.toSorted((a, b) => (versionOrder(a) < versionOrder(b) ? -1 : 1))).toEqual(['0.9.0', '0.9.1', '0.10.0', '1.0.0-rc2', '1.0.0-rc10']);
});
