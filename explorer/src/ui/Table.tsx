// SPDX-License-Identifier: Apache-2.0
// A table for lists of any length: only rows in view are in the page. On narrow screens each row is a card.
import { createVirtualizer } from '@tanstack/solid-virtual';
import { createEffect, createMemo, For, Show, type JSX } from 'solid-js';
import { same } from '../lib/same';
import { t } from '../texts';
import { sortRows, type Column, type SortOrder } from './sort';

interface Props<Row> {
  /** Name of the table for screen readers. */
  label: string;
  rows: Row[];
  columns: Column<Row>[];
  sort?: SortOrder | undefined;
  onSort?(order: SortOrder): void;
  empty?: string;
  /** Told of the rows that are in the page. */
  onView?(rows: Row[]): void;
}

/** Shorter lists have all their rows in the page, and no scroll area of their own. */
const ALL_ROWS = 60;
const ROW_PX = 41;
const AHEAD = 6;

export function Table<Row>(props: Props<Row>): JSX.Element {
  let area: HTMLDivElement | undefined;
  /** Rows that a new read didn't change stay in the page, with the focus in them. */
  const rows = createMemo<Row[]>((before) => {
    if (props.rows.length > ALL_ROWS) return props.rows;
    return props.rows.map((row, i) => (i < before.length && same(before[i], row) ? (before[i] as Row) : row));
  }, []);
  const sorted = createMemo(() => sortRows(rows(), props.columns, props.sort));
  const long = (): boolean => sorted().length > ALL_ROWS;
  const virtual = createVirtualizer<HTMLDivElement, HTMLTableRowElement>({
    get count() {
      return long() ? sorted().length : 0;
    },
    getScrollElement: () => area ?? null,
    estimateSize: () => ROW_PX,
    overscan: AHEAD,
  });
  createEffect(() => {
    void props.sort;
    if (area) area.scrollTop = 0;
  });
  const first = (): number => (long() ? (virtual.getVirtualItems()[0]?.index ?? 0) : 0);
  /** Rows in view: those that stay in view stay in the page. */
  const visible = createMemo(() => (long() ? sorted().slice(first(), first() + virtual.getVirtualItems().length) : sorted()));
  createEffect(() => props.onView?.(visible()));
  const above = (): number => (long() ? (virtual.getVirtualItems()[0]?.start ?? 0) : 0);
  const below = (): number => (long() ? virtual.getTotalSize() - (virtual.getVirtualItems().at(-1)?.end ?? 0) : 0);

  const direction = (column: Column<Row>): 'ascending' | 'descending' | 'none' =>
    props.sort?.column !== column.key ? 'none' : props.sort.down ? 'descending' : 'ascending';
  const turn = (column: Column<Row>): void =>
    props.onSort?.({ column: column.key, down: direction(column) === 'none' ? column.numeric === true : direction(column) === 'ascending' });

  return (
    <>
      <Show when={sorted().length === 0}><p class="empty">{props.empty ?? t.noRows}</p></Show>
      {/* Always there: the virtual rows follow the area that they find when the table is mounted. */}
      <div class="table" classList={{ scrolls: long() }} hidden={sorted().length === 0} ref={area} role="region" aria-label={props.label} tabindex="0">
        <table role="table" aria-rowcount={sorted().length + 1} aria-label={props.label}>
          <thead role="rowgroup">
            <tr role="row" aria-rowindex="1">
              <For each={props.columns}>
                {(column) => (
                  <th
                    role="columnheader"
                    scope="col"
                    title={column.hint}
                    classList={{ numeric: column.numeric }}
                    aria-sort={column.sort && props.onSort ? direction(column) : undefined}
                  >
                    <Show when={column.sort && props.onSort} fallback={column.title}>
                      <button type="button" class="sort" onClick={() => turn(column)}>
                        {column.title}
                        <span aria-hidden="true" class="arrow">
                          {{ ascending: '▲', descending: '▼', none: '' }[direction(column)]}
                        </span>
                      </button>
                    </Show>
                  </th>
                )}
              </For>
            </tr>
          </thead>
          <tbody role="rowgroup">
            <Spacer height={above()} columns={props.columns.length} />
            <For each={visible()}>
              {(row, index) => (
                <tr
                  role="row"
                  aria-rowindex={first() + index() + 2}
                  data-index={first() + index()}
                  ref={(element) => queueMicrotask(() => element.isConnected && long() && virtual.measureElement(element))}
                >
                  <For each={props.columns}>
                    {(column) => (
                      <td role="cell" classList={{ numeric: column.numeric }} data-label={column.title}>
                        {column.cell(row)}
                      </td>
                    )}
                  </For>
                </tr>
              )}
            </For>
            <Spacer height={below()} columns={props.columns.length} />
          </tbody>
        </table>
      </div>
    </>
  );
}

function Spacer(props: { height: number; columns: number }): JSX.Element {
  return (
    <Show when={props.height > 0}>
      <tr class="spacer" aria-hidden="true">
        <td colspan={props.columns} style={{ height: `${props.height}px` }} />
      </tr>
    </Show>
  );
}
