// SPDX-License-Identifier: Apache-2.0
import type { JSX } from 'solid-js';

export interface SortOrder {
  column: string;
  down: boolean;
}

export type SortValue = number | bigint | string | undefined;

export interface Column<Row> {
  /** Name in the URL. */
  key: string;
  title: string;
  /** A longer word on what the column means. */
  hint?: string;
  cell(row: Row): JSX.Element;
  /** What to sort by; rows without it come last. A column without `sort` isn't sortable. */
  sort?(row: Row): SortValue;
  numeric?: boolean;
}

/** Sorted copy: equal rows stay in their order, rows without a value come last in both directions. */
export function sortRows<Row>(rows: Row[], columns: Column<Row>[], order: SortOrder | undefined): Row[] {
  const by = order && columns.find(({ key }) => key === order.column)?.sort;
  if (!by) return rows;
  const keyed = rows.map((row) => ({ row, value: by(row) }));
  const side = order.down ? -1 : 1;
  keyed.sort((a, b) => {
    if (a.value === undefined || b.value === undefined) {
      return Number(a.value === undefined) - Number(b.value === undefined);
    }
    return side * (a.value < b.value ? -1 : a.value > b.value ? 1 : 0);
  });
  return keyed.map(({ row }) => row);
}

/** `price` ascending, `-price` descending. */
export const parseSort = (text: string): SortOrder | undefined =>
  text === '' ? undefined : text.startsWith('-') ? { column: text.slice(1), down: true } : { column: text, down: false };

export const showSort = (order: SortOrder | undefined): string =>
  order ? `${order.down ? '-' : ''}${order.column}` : '';
