// SPDX-License-Identifier: Apache-2.0
import { A } from '@solidjs/router';
import { createMemo, Show, type JSX } from 'solid-js';
import { createRead } from '../chain/read';
import { parseU32 } from '../lib/ids';
import { useQuery } from '../lib/query';
import { number } from '../lib/format';
import { t } from '../texts';
import { FindForm } from '../ui/fields';
import { AsOf, Long, Page, Shown } from '../ui/parts';
import { Table } from '../ui/Table';
import type { Column } from '../ui/sort';

const text = t.twins;
const SHOWN = 100;

interface Row {
  id: number;
  account: string;
  contracts: number;
}

export default function Twins(): JSX.Element {
  const query = useQuery();
  const before = createMemo(() => parseU32(query.get('before')));
  const read = createRead(
    before,
    async ({ api, opt }, before) => {
      const last = await api.query.Twins.LastTwinId.getValue(opt);
      const from = before !== undefined && before <= last ? before - 1 : last;
      const ids = Array.from({ length: Math.min(SHOWN, from) }, (_, i): [number] => [from - i]);
      const [twins, counts] = await Promise.all([
        api.query.Twins.Twins.getValues(ids, opt),
        api.query.Contracts.TwinContractCount.getValues(ids, opt),
      ]);
      const rows = ids.flatMap(([id], i): Row[] => {
        const twin = twins[i];
        return twin ? [{ id, account: twin.account, contracts: counts[i] ?? 0 }] : [];
      });
      return { rows, last, from };
    },
    5,
  );
  return (
    <Page title={t.pages.twins} note={<AsOf read={read} />}>
      <p>{text.about}</p>
      <FindForm label={text.search} button={text.find} path={(text) => (parseU32(text) === undefined ? undefined : `/twins/${text}`)} />
      <Shown read={read}>
        {(list) => (
          <>
            <p class="muted">{text.count(number(list().last))}</p>
            <Table label={t.pages.twins} rows={list().rows} columns={COLUMNS} sort={query.sort()} onSort={query.setSort} />
            <p>
              <Show when={list().from > SHOWN}><A href={`/twins?before=${list().from - SHOWN + 1}`}>{t.contracts.older}</A></Show>
            </p>
          </>
        )}
      </Shown>
    </Page>
  );
}

const COLUMNS: Column<Row>[] = [
  { key: 'twin', title: text.columns.twin, cell: ({ id }) => <A href={`/twins/${id}`}>{id}</A>, sort: ({ id }) => id },
  { key: 'account', title: text.columns.account, cell: ({ account }) => <Long text={account} /> },
  { key: 'contracts', title: text.columns.contracts, numeric: true, cell: ({ contracts }) => number(contracts), sort: ({ contracts }) => contracts },
];
