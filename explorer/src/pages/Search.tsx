// SPDX-License-Identifier: Apache-2.0
import { A } from '@solidjs/router';
import { createMemo, For, Show, type JSX } from 'solid-js';
import { readBlock } from '../chain/decode';
import { createRead, type At } from '../chain/read';
import { farmsOfTwin } from '../grid/loading';
import { isAddress, isHash, parseTransaction, parseU32, parseU64 } from '../lib/ids';
import { useQuery } from '../lib/query';
import { utf8, visible } from '../lib/safe';
import { t } from '../texts';
import { Page, Shown } from '../ui/parts';

const text = t.find;
/** A transaction's hash has no index on the chain: it is looked for in so many blocks. */
const RECENT = 100;

interface Hit {
  kind: keyof typeof text.found;
  name: string;
  path: string;
  note?: string;
}

async function search(at: At, wanted: string): Promise<Hit[]> {
  const parts = await Promise.all([byId(at, wanted), byName(at, wanted), byAddress(at, wanted), byIndex(at, wanted), isHash(wanted) ? byHash(at, wanted.toLowerCase()) : []]);
  return parts.flat();
}

async function byId({ api, opt, number }: At, wanted: string): Promise<Hit[]> {
  const [id, contract] = [parseU32(wanted), parseU64(wanted)];
  if (contract === undefined) return [];
  const [offer, status, twin, farm] = await Promise.all([
    id === undefined ? undefined : api.apis.GridApi.node_offer(id, opt),
    api.apis.GridApi.contract_status(contract, opt),
    id === undefined ? undefined : api.query.Twins.Twins.getValue(id, opt),
    id === undefined ? undefined : api.query.Farms.Farms.getValue(id, opt),
  ]);
  const hits: Hit[] = [];
  if (offer) hits.push({ kind: 'node', name: wanted, path: `/nodes/${id}` });
  if (status) hits.push({ kind: 'contract', name: wanted, path: `/contracts/${contract}`, note: t.contracts.states[status.type] });
  if (farm) hits.push({ kind: 'farm', name: `${wanted} (${visible(utf8(farm.name))})`, path: `/farms/${id}` });
  if (twin) hits.push({ kind: 'twin', name: wanted, path: `/twins/${id}` });
  if (id !== undefined && id <= number) hits.push({ kind: 'block', name: wanted, path: `/blocks/${id}` });
  return hits;
}

async function byName({ api, opt }: At, wanted: string): Promise<Hit[]> {
  const bytes = new TextEncoder().encode(wanted);
  const [exact, farms, name] = await Promise.all([
    api.apis.GridApi.farm_by_name(bytes, opt),
    api.query.Farms.Farms.getEntries(opt),
    /^[a-z0-9-]{1,63}$/.test(wanted) ? api.query.Contracts.Names.getValue(bytes, opt) : undefined,
  ]);
  const named = farms.filter(({ keyArgs: [id], value }) => id === exact || utf8(value.name).toLowerCase().includes(wanted.toLowerCase()));
  const hits: Hit[] = named.map(({ keyArgs: [id], value }) => ({ kind: 'farm', name: visible(utf8(value.name)), path: `/farms/${id}` }));
  if (name !== undefined) hits.push({ kind: 'name', name: wanted, path: `/contracts/${name}` });
  return hits;
}

async function byAddress(at: At, wanted: string): Promise<Hit[]> {
  const { api, opt } = at;
  if (!isAddress(wanted)) return [];
  // What isn't an address is refused by the client.
  const twin = await api.query.Twins.TwinByAccount.getValue(wanted, opt).catch(() => null);
  if (twin === null) return [];
  if (twin === undefined) return [{ kind: 'account', name: wanted, path: '/twins', note: text.noTwin }];
  const farms = await farmsOfTwin(at, twin);
  return [
    { kind: 'twin', name: String(twin), path: `/twins/${twin}`, note: wanted },
    ...farms.map(({ id, name }): Hit => ({ kind: 'farm', name: visible(name), path: `/farms/${id}` })),
  ];
}

async function byIndex({ chain }: At, wanted: string): Promise<Hit[]> {
  const named = parseTransaction(wanted);
  const block = named && (await readBlock(chain, named.block).catch(() => undefined));
  return block?.transactions[named?.index ?? -1] ? [{ kind: 'transaction', name: wanted, path: `/blocks/${block.number}/${named?.index}` }] : [];
}

async function byHash({ chain, number: head }: At, wanted: string): Promise<Hit[]> {
  const block = await readBlock(chain, wanted).catch(() => undefined);
  if (block) return [{ kind: 'block', name: String(block.number), path: `/blocks/${block.number}` }];
  for (let number = head; number >= 0 && number > head - RECENT; number -= 1) {
    const found = (await readBlock(chain, number))?.transactions.find(({ hash }) => hash === wanted);
    if (found) return [{ kind: 'transaction', name: `${number}-${found.index}`, path: `/blocks/${number}/${found.index}` }];
  }
  return [];
}

export default function Search(): JSX.Element {
  const query = useQuery();
  const wanted = createMemo(() => query.get('q').trim().slice(0, 200));
  const read = createRead(wanted, (at, wanted) => (wanted ? search(at, wanted) : Promise.resolve([])), Infinity);
  return (
    <Page title={text.title(visible(wanted()))}>
      <Show when={wanted()} fallback={<p>{text.empty}</p>}>
        <Shown read={read}>
          {(hits) => (
            <>
              <ul class="hits">
                <For each={hits()} fallback={<li class="notice">{text.none(visible(wanted()))} <Show when={isHash(wanted())}>{text.recent(RECENT)}</Show></li>}>
                  {({ kind, name, path, note }) => (
                    <li><A href={path}>{text.found[kind]} {name}</A> <Show when={note}><span class="muted">{note}</span></Show></li>
                  )}
                </For>
              </ul>
            </>
          )}
        </Shown>
      </Show>
    </Page>
  );
}
