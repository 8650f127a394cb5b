// SPDX-License-Identifier: Apache-2.0
// All nodes of the grid, page by page: lists show the first ones at once. Facts that offers don't have come after them.
import { createMemo, createSignal, type Accessor } from 'solid-js';
import { createRead, PAGE, type At, type Read } from '../chain/read';
import { NOTHING, type Offer, type Resources } from '../chain/types';
import { utf8 } from '../lib/safe';
import { rateOn } from './pricing';
import { codeOf, periodOf, PERIOD_SECONDS, searched, uptimePermille, type FarmFacts, type NodeFacts, type NodeRow } from './nodes';

/** Nodes of the first page: more than a screen shows. */
const FIRST_PAGE = 100;
/** Pages on their way at the same time. */
const AT_ONCE = 4;
const EVERYTHING = { free: NOTHING, farm: undefined, country: undefined, certified: false, rentable: false, unavailable: true };
/** Lists of the whole grid are read again after so many blocks: a minute. */
export const LIST_BLOCKS = 20;

export interface Offers {
  offers: Accessor<Offer[]>;
  read: Read<Offer[]>;
  farms: Read<Map<number, FarmFacts>>;
}

export function useOffers(): Offers {
  const [partial, setPartial] = createSignal<Offer[]>([]);
  const read = createRead(() => undefined, (at) => allOffers(at, setPartial), LIST_BLOCKS);
  const farms = createRead(() => undefined, readFarms, LIST_BLOCKS);
  return { offers: () => read.value() ?? partial(), read, farms };
}

/** Whose facts a list needs. */
export interface FactsWanted {
  /** The nodes in view. */
  view: Accessor<number[]>;
  /** Whether the list is ordered or filtered by facts: then those of all nodes. */
  all: Accessor<boolean>;
}

/** All nodes with what a list shows of them; `wanted` is what their rate is asked for. */
export function useNodes(wanted: Accessor<{ resources: Resources; ips: number }>, facts?: FactsWanted): Offers & { rows: Accessor<NodeRow[]> } {
  const all = useOffers();
  const known = facts ? useFacts(facts, () => all.read.at() !== undefined) : () => new Map<number, NodeFacts>();
  const prices = createRead(() => undefined, readPrices, LIST_BLOCKS);
  const rows = createMemo(() => {
    const [farms, list, { resources, ips }] = [all.farms.value(), prices.value(), wanted()];
    const words = new Map<string, string>();
    return all.offers().map((offer): NodeRow => {
      const [country, farm] = [codeOf(offer), farms?.get(offer.farm)];
      const place = `${offer.farm} ${country}`;
      if (!words.has(place)) words.set(place, searched(farm?.name ?? '', country));
      return {
        offer,
        country,
        farm,
        // Facts come and change while the row stays.
        get facts() {
          return known().get(offer.node);
        },
        rented: list?.rented.has(offer.node) ?? false,
        // Of most rows nobody asks for it.
        get rate() {
          return list?.prices && rateOn(list.prices, list.places, offer.total, resources, ips, offer.certified);
        },
        words: words.get(place) ?? '',
      };
    });
  });
  return { ...all, rows };
}

/** The facts that are known by now. They are several records of a node: few are read, and after the offers. */
function useFacts({ view, all }: FactsWanted, ready: Accessor<boolean>): Accessor<ReadonlyMap<number, NodeFacts>> {
  const nodes = createMemo((): number[] | 'all' => (!ready() ? [] : all() ? 'all' : view()), undefined, { equals: (a, b) => String(a) === String(b) });
  const read = createRead(nodes, readFacts, LIST_BLOCKS);
  return createMemo((known: ReadonlyMap<number, NodeFacts>) => new Map([...known, ...(read.value() ?? [])]), new Map());
}

/**
 * All nodes, by their ids. A page goes through the ids after its cursor, so pages needn't wait for each other. What has come
 * is shown each time that it has doubled: a list is made anew a few times, not for each page.
 */
async function allOffers({ api, opt }: At, show: (offers: Offer[]) => void): Promise<Offer[]> {
  const page = (after: number | undefined, limit: number) => api.apis.GridApi.find_nodes(EVERYTHING, after, limit, opt);
  const [first, last] = await Promise.all([page(undefined, FIRST_PAGE), api.query.Nodes.LastNodeId.getValue(opt)]);
  show(first.items);
  const from = first.next ?? last;
  const starts = Array.from({ length: Math.ceil((last - from) / PAGE) }, (_, i) => from + i * PAGE);
  const come: Offer[][] = [first.items];
  let [shown, next] = [first.items.length, 0];
  const reader = async (): Promise<void> => {
    for (let i = next++; i < starts.length; i = next++) {
      come[i + 1] = (await page(starts[i], PAGE)).items;
      const all = come.flat();
      if (all.length < 2 * shown) continue;
      shown = all.length;
      show(all);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, reader));
  return come.flat();
}

/** The farms of some nodes, by node: ids and names. */
export async function farmsOf({ api, opt }: At, nodes: Iterable<number>): Promise<Map<number, { id: number; name: string }>> {
  const ids = [...new Set(nodes)];
  const records = await api.query.Nodes.Nodes.getValues(ids.map((id): [number] => [id]), opt);
  const farms = [...new Set(records.flatMap((record) => record?.farm ?? []))];
  const found = await api.query.Farms.Farms.getValues(farms.map((id): [number] => [id]), opt);
  const names = new Map(farms.map((id, i) => [id, utf8(found[i]?.name ?? new Uint8Array())]));
  return new Map(ids.flatMap((node, i) => {
    const farm = records[i]?.farm;
    return farm === undefined ? [] : [[node, { id: farm, name: names.get(farm) ?? '' }] as const];
  }));
}

/** A twin's farms. The chain has no index of them. */
export async function farmsOfTwin({ api, opt }: At, twin: number): Promise<{ id: number; name: string }[]> {
  const farms = await api.query.Farms.Farms.getEntries(opt);
  return farms.filter(({ value }) => value.twin === twin).map(({ keyArgs: [id], value }) => ({ id, name: utf8(value.name) }));
}

/** Names and free addresses of all farms. */
async function readFarms({ api, opt }: At): Promise<Map<number, FarmFacts>> {
  const [farms, free] = await Promise.all([
    api.query.Farms.Farms.getEntries(opt),
    api.query.Farms.FreeIps.getEntries(opt),
  ]);
  const found = new Map(farms.map(({ keyArgs: [farm], value }) => [farm, { name: utf8(value.name), twin: value.twin, freeIps: 0 }]));
  for (const { keyArgs: [farm] } of free) {
    const facts = found.get(farm);
    if (facts) facts.freeIps += 1;
  }
  return found;
}

/** What rates follow from, and the nodes that are rented as a whole. */
async function readPrices({ api, opt }: At) {
  const [policy, rents, places] = await Promise.all([
    api.query.Billing.Policy.getValue(opt),
    api.query.Contracts.Rents.getEntries(opt),
    api.constants.Contracts.MaxContractsPerNode(opt),
  ]);
  return { prices: policy?.prices, places, rented: new Set(rents.map(({ keyArgs }) => keyArgs[0])) };
}

async function readFacts(at: At, wanted: number[] | 'all'): Promise<Map<number, NodeFacts>> {
  const { api, opt, time } = at;
  const { Nodes, Farming } = api.query;
  const [info, nodes, configs, uptimes, heartbeats, enrolments, details] = await Promise.all([
    api.apis.GridApi.grid_info(opt),
    entries(Nodes.Nodes, wanted, at),
    entries(Nodes.PublicConfigs, wanted, at),
    entries(Nodes.Uptime, wanted, at),
    entries(Nodes.Heartbeats, wanted, at),
    entries(Farming.Enrolments, wanted, at),
    entries(Nodes.Details, wanted, at),
  ]);
  const period = periodOf(time);
  return new Map(
    [...nodes].map(([node, { isolation }]) => {
      const phase = enrolments.get(node)?.phase;
      const counted = phase?.type === 'Farming' && phase.value.period === period ? phase.value : undefined;
      const from = counted ? Number(counted.from) : period * PERIOD_SECONDS;
      const up = uptimes.get(node)?.find((one) => one.period === period)?.ms ?? 0n;
      const beat = heartbeats.get(node);
      const version = details.get(node)?.version;
      return [node, {
        vm: isolation.type === 'Vm',
        gateway: configs.get(node)?.domain !== undefined,
        uptime: uptimePermille(up - (counted?.uptime_before_ms ?? 0n), from, time),
        heard: beat && Number(info.grid_now - beat.at) / 1000,
        version: version && utf8(version),
      }];
    }),
  );
}

/** A map of the chain's with nodes as its keys. */
interface ByNode<Value> {
  getEntries(opt: At['opt']): Promise<{ keyArgs: [node: number]; value: NonNullable<Value> }[]>;
  getValues(keys: [node: number][], opt: At['opt']): Promise<Value[]>;
}

async function entries<Value>(map: ByNode<Value>, wanted: number[] | 'all', { opt }: At): Promise<Map<number, NonNullable<Value>>> {
  if (wanted === 'all') return new Map((await map.getEntries(opt)).map(({ keyArgs: [node], value }) => [node, value]));
  const values = await map.getValues(wanted.map((node) => [node]), opt);
  return new Map(wanted.flatMap((node, i) => (values[i] == null ? [] : [[node, values[i]] as const])));
}
