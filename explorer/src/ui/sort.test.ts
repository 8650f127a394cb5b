// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import { parseSort, showSort, sortRows, type Column } from './sort';

interface Row {
  id: number;
  size?: bigint;
}
const columns: Column<Row>[] = [
  { key: 'size', title: 'Size', cell: () => null, sort: (row) => row.size },
  { key: 'id', title: 'Id', cell: () => null },
];
const rows: Row[] = [{ id: 1, size: 2n }, { id: 2 }, { id: 3, size: 1n }, { id: 4, size: 2n }];
const ids = (text: string): number[] => sortRows(rows, columns, parseSort(text)).map(({ id }) => id);

test('equal rows keep their order, absent values come last', () => {
  expect(ids('size')).toEqual([3, 1, 4, 2]);
  expect(ids('-size')).toEqual([1, 4, 3, 2]);
});

test('an unknown or unsortable column leaves the order', () => {
  expect(ids('')).toEqual([1, 2, 3, 4]);
  expect(ids('id')).toEqual([1, 2, 3, 4]);
  expect(ids('-constructor')).toEqual([1, 2, 3, 4]);
});

test('the order goes through the URL', () => {
  expect(['size', '-size', ''].map((text) => showSort(parseSort(text)))).toEqual(['size', '-size', '']);
});
