// SPDX-License-Identifier: Apache-2.0
import { A } from '@solidjs/router';
import { createMemo, Show, type JSX } from 'solid-js';
import { createRead, type At } from '../chain/read';
import type { Status } from '../chain/types';
import { farmsOf } from '../grid/loading';
import { number, usd } from '../lib/format';
import { parseU64 } from '../lib/ids';
import { useQuery } from '../lib/query';
import { t } from '../texts';
import { SelectField, TextField } from '../ui/fields';
import { AsOf, ContractLink, FarmLink, NodeLink, Page, Shown, TwinLink } from '../ui/parts';
import { StatusBadge } from '../ui/StatusBadge';
import { Table } from '../ui/Table';
import type { Column } from '../ui/sort';

const text = t.contracts;
/** Contracts of one page. */
const SHOWN = 100n;
const REFRESH_BLOCKS = 5;

interface Row {
  id: bigint;
  kind: 'Node' | 'Rent' | 'Name' | undefined;
  twin: number;
  node: number | undefined;
  farm: { id: number; name: string } | undefined;
  status: Status;
}

/** The contracts below `before`, the newest first. */
async function readContracts(at: At, before: bigint | undefined): Promise<{ rows: Row[]; last: bigint; from: bigint }> {
  const { api, opt } = at;
  const { Contracts } = api.query;
  const last = await Contracts.LastContractId.getValue(opt);
  const from = before !== undefined && before <= last ? before - 1n : last;
  const ids: bigint[] = [];
  for (let id = from; id > 0n && id > from - SHOWN; id -= 1n) ids.push(id);
  const keys = ids.map((id): [bigint] => [id]);
  const [open, closed, states] = await Promise.all([
    Contracts.Contracts.getValues(keys, opt),
    Contracts.ClosedContracts.getValues(keys, opt),
    Promise.all(ids.map((id) => api.apis.GridApi.contract_status(id, opt))),
  ]);
  const rows = ids.flatMap((id, i): Row[] => {
    const [contract, tombstone, status] = [open[i], closed[i], states[i]];
    if (!status) return [];
    const kind = contract?.kind;
    const node = kind?.type === 'Name' ? undefined : (kind?.value.node ?? tombstone?.node);
    return [{ id, kind: kind?.type, twin: contract?.twin ?? tombstone?.twin ?? 0, node, farm: undefined, status }];
  });
  const farms = await farmsOf(at, rows.flatMap(({ node }) => node ?? []));
  return { rows: rows.map((row) => ({ ...row, farm: row.node === undefined ? undefined : farms.get(row.node) })), last, from };
}

export default function Contracts(): JSX.Element {
  const query = useQuery();
  const before = createMemo(() => parseU64(query.get('before')));
  const read = createRead(before, readContracts, REFRESH_BLOCKS);
  const found = createMemo(() => {
    const [search, state] = [query.get('q').trim(), query.get('state')];
    return (read.value()?.rows ?? []).filter(
      ({ id, twin, node, status }) =>
        (!state || status.type === state) && (!search || [String(id), String(twin), String(node)].includes(search)),
    );
  });
  const states: [string, string][] = [['', text.anyState], ...Object.entries(text.states)];
  return (
    <Page title={t.pages.contracts} note={<AsOf read={read} />}>
      <p>{text.about}</p>
      <form class="filters" onSubmit={(event) => event.preventDefault()}>
        <TextField query={query} name="q" label={text.search} type="search" />
        <SelectField query={query} name="state" label={text.columns.state} options={states} />
      </form>
      <Shown read={read}>
        {(list) => (
          <>
            <p role="status" class="muted">{t.rows(found().length, list().rows.length, t.kinds.contract)} · {text.made(number(list().last))}</p>
            <Table label={t.pages.contracts} rows={found()} columns={COLUMNS} sort={query.sort()} onSort={query.setSort} empty={text.none} />
            <Show when={found().length === 0 && parseU64(query.get('q').trim())}>{(id) => <p><A href={`/contracts/${id()}`}>{text.openIt(String(id()))}</A></p>}</Show>
            <p>
              <Show when={list().from < list().last}><A href="/contracts">{text.newest}</A> </Show>
              <Show when={list().from > SHOWN}><A href={`/contracts?before=${list().from - SHOWN + 1n}`}>{text.older}</A></Show>
            </p>
            <p class="muted">{text.closedNote}</p>
          </>
        )}
      </Shown>
    </Page>
  );
}

const COLUMNS: Column<Row>[] = [
  { key: 'contract', title: text.columns.contract, cell: ({ id }) => <ContractLink id={id} />, sort: ({ id }) => id },
  { key: 'kind', title: text.columns.kind, cell: ({ kind }) => (kind ? text.kinds[kind] : ''), sort: ({ kind }) => kind },
  { key: 'twin', title: text.columns.twin, cell: ({ twin }) => <TwinLink id={twin} />, sort: ({ twin }) => twin },
  { key: 'node', title: text.columns.node, cell: ({ node }) => (node === undefined ? '' : <NodeLink id={node} />), sort: ({ node }) => node },
  {
    key: 'farm',
    title: text.columns.farm,
    cell: ({ farm }) => farm && <FarmLink {...farm} />,
    sort: ({ farm }) => farm?.name,
  },
  {
    key: 'state',
    title: text.columns.state,
    cell: ({ status }) => <><StatusBadge status={status.type} />{status.type === 'Closed' && <> {text.short[status.value.reason.type]}</>}</>,
    sort: ({ status }) => status.type,
  },
  {
    key: 'charged',
    title: text.columns.charged,
    numeric: true,
    cell: ({ status }) => (status.type === 'Created' ? '' : usd(status.value.usd)),
    sort: ({ status }) => (status.type === 'Created' ? undefined : status.value.usd),
  },
];
