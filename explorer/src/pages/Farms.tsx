// SPDX-License-Identifier: Apache-2.0
import { createMemo, type JSX } from 'solid-js';
import { createRead } from '../chain/read';
import type { FarmRecord } from '../chain/types';
import { LIST_BLOCKS, useOffers } from '../grid/loading';
import { bytes, number } from '../lib/format';
import { useQuery } from '../lib/query';
import { utf8 } from '../lib/safe';
import { t } from '../texts';
import { TextField } from '../ui/fields';
import { AsOf, Badge, FarmLink, Page, Shown, TwinLink } from '../ui/parts';
import { Table } from '../ui/Table';
import type { Column } from '../ui/sort';

const text = t.farms;

interface FarmRow {
  id: number;
  farm: FarmRecord;
  name: string;
  freeIps: number;
  nodes: number;
  online: number;
  cru: bigint;
  mru: bigint;
  sru: bigint;
}

export default function Farms(): JSX.Element {
  const query = useQuery();
  const read = createRead(() => undefined, ({ api, opt }) => api.query.Farms.Farms.getEntries(opt), LIST_BLOCKS);
  const nodes = useOffers();
  const rows = createMemo(() => {
    const farms = new Map(
      (read.value() ?? []).map(({ keyArgs: [id], value: farm }): [number, FarmRow] => [
        id,
        { id, farm, name: utf8(farm.name), freeIps: nodes.farms.value()?.get(id)?.freeIps ?? 0, nodes: 0, online: 0, cru: 0n, mru: 0n, sru: 0n },
      ]),
    );
    for (const { farm: id, online, free } of nodes.offers()) {
      const farm = farms.get(id);
      if (!farm) continue;
      farm.nodes += 1;
      if (!online) continue;
      farm.online += 1;
      farm.cru += free.cru;
      farm.mru += free.mru;
      farm.sru += free.sru;
    }
    return [...farms.values()];
  });
  const found = createMemo(() => rows().filter(({ name }) => name.toLowerCase().includes(query.get('q').trim().toLowerCase())));
  return (
    <Page title={t.pages.farms} note={<AsOf read={read} />}>
      <form class="filters" onSubmit={(event) => event.preventDefault()}>
        <TextField query={query} name="q" label={text.search} type="search" />
      </form>
      <Shown read={read}>
        {() => (
          <>
            <p role="status" class="muted">{t.rows(found().length, rows().length, t.kinds.farm)}</p>
            <Table label={t.pages.farms} rows={found()} columns={COLUMNS} sort={query.sort()} onSort={query.setSort} />
          </>
        )}
      </Shown>
    </Page>
  );
}

const COLUMNS: Column<FarmRow>[] = [
  {
    key: 'farm',
    title: text.columns.farm,
    cell: ({ id, name, farm }) => (
      <>
        <FarmLink id={id} name={name} />
        {farm.certification.type === 'Gold' && <> <Badge tone="good">{text.gold}</Badge></>}
      </>
    ),
    sort: ({ name }) => name.toLowerCase(),
  },
  { key: 'farmer', title: text.columns.farmer, cell: ({ farm }) => <TwinLink id={farm.twin} />, sort: ({ farm }) => farm.twin },
  { key: 'nodes', title: text.columns.nodes, numeric: true, cell: ({ nodes }) => number(nodes), sort: ({ nodes }) => nodes },
  { key: 'online', title: text.columns.online, numeric: true, cell: ({ online }) => number(online), sort: ({ online }) => online },
  { key: 'ips', title: text.columns.ips, numeric: true, cell: ({ freeIps }) => number(freeIps), sort: ({ freeIps }) => freeIps },
  { key: 'cru', title: text.columns.cru, numeric: true, cell: ({ cru }) => number(cru), sort: ({ cru }) => cru },
  { key: 'mru', title: text.columns.mru, numeric: true, cell: ({ mru }) => bytes(mru), sort: ({ mru }) => mru },
  { key: 'sru', title: text.columns.sru, numeric: true, cell: ({ sru }) => bytes(sru), sort: ({ sru }) => sru },
];
