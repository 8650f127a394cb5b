// SPDX-License-Identifier: Apache-2.0
import { A } from '@solidjs/router';
import type { JSX } from 'solid-js';
import { useChain } from '../chain/connection';
import { readBlock, type DecodedBlock } from '../chain/decode';
import { createRead } from '../chain/read';
import { number } from '../lib/format';
import { parseTransaction } from '../lib/ids';
import { t } from '../texts';
import { FindForm } from '../ui/fields';
import { Ago, Long, Page, Shown } from '../ui/parts';
import { Table } from '../ui/Table';
import type { Column } from '../ui/sort';

const text = t.blocks;
const SHOWN = 10;

export default function Blocks(): JSX.Element {
  const chain = useChain();
  const seen = new Map<number, DecodedBlock>();
  const read = createRead(() => undefined, async ({ number: head }) => {
    const wanted = Array.from({ length: Math.min(SHOWN, head + 1) }, (_, i) => head - i);
    for (const number of [...seen.keys()].filter((number) => !wanted.includes(number))) seen.delete(number);
    for (const number of wanted) {
      const block = seen.get(number) ?? (await readBlock(chain, number));
      if (block) seen.set(number, block);
    }
    return wanted.flatMap((number) => seen.get(number) ?? []);
  });
  return (
    <Page title={t.pages.blocks}>
      <FindForm label={text.search} button={text.find} path={pathOf} />
      <Shown read={read}>{(blocks) => <Table label={text.latest} rows={blocks()} columns={COLUMNS} />}</Shown>
    </Page>
  );
}

/** Of a block by its number, or of a transaction by its block and index. */
function pathOf(text: string): string | undefined {
  const named = parseTransaction(text);
  if (named) return `/blocks/${named.block}/${named.index}`;
  return /^\d+$/.test(text) ? `/blocks/${text}` : undefined;
}

/** What a block did, equal calls together. The timestamp is in each block. */
function calls({ transactions }: DecodedBlock): string {
  const counts = new Map<string, number>();
  for (const { call } of transactions) {
    const name = `${call.pallet}.${call.name}`;
    if (call.pallet !== 'Timestamp') counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].map(([name, count]) => (count > 1 ? text.times(count, name) : name)).join(', ');
}

const COLUMNS: Column<DecodedBlock>[] = [
  { key: 'block', title: text.columns.block, cell: (block) => <A href={`/blocks/${block.number}`}>{number(block.number)}</A> },
  { key: 'time', title: text.columns.time, cell: ({ time }) => (time === undefined ? t.unknown : <Ago time={time} />) },
  {
    key: 'calls',
    title: text.columns.calls,
    cell: (block) => <span class="wrap">{calls(block)}</span>,
  },
  { key: 'hash', title: text.hash, cell: ({ hash }) => <Long text={hash} /> },
];
