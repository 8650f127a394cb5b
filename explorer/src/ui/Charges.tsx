// SPDX-License-Identifier: Apache-2.0
// Charges by month, also as a file.
import { Show, type JSX } from 'solid-js';
import type { Line } from '../grid/bill';
import { csv } from '../lib/csv';
import { day, decimal } from '../lib/format';
import { t } from '../texts';
import { Tft, Usd } from './Money';
import { download } from './parts';
import { Table } from './Table';

const text = t.contracts;

export function Charges(props: { lines: Line[]; file: string }): JSX.Element {
  const save = (): void =>
    download(`${props.file}.csv`, 'text/csv', csv([
      [text.month, text.usd, text.tft],
      ...props.lines.map(({ from, usd, tft }) => [from === undefined ? '' : day(from), decimal(usd, 10), decimal(tft, 7)]),
    ]));
  return (
    <>
      <Table<Line>
        label={text.bill}
        rows={props.lines}
        empty={text.noBill}
        columns={[
          { key: 'month', title: text.month, cell: ({ from }) => (from === undefined ? '…' : day(from)) },
          { key: 'usd', title: text.usd, numeric: true, cell: ({ usd }) => <Usd amount={usd} /> },
          { key: 'tft', title: text.tft, numeric: true, cell: ({ tft }) => <Tft amount={tft} /> },
        ]}
      />
      <Show when={props.lines.length > 0}><button type="button" onClick={save}>{t.csv}</button></Show>
      <p class="muted">{text.billNote}</p>
    </>
  );
}
