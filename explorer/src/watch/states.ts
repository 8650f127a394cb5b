// SPDX-License-Identifier: Apache-2.0
// The states of what is watched at one block, and what changed between two.
import { PAGE, pages, type At } from '../chain/read';
import { NOTHING, type Offer, type Status } from '../chain/types';
import { parseU32 } from '../lib/ids';
import { t } from '../texts';
import type { Kind, Watched } from './list';

export interface NodeState {
  id: number;
  state: keyof typeof t.watch.states;
  /** Calendar time of the last heartbeat. */
  heard: number | undefined;
}

export interface FundState {
  id: number;
  state: keyof typeof t.watch.fundStates;
  /** Seconds since 1970. */
  until: number | undefined;
  credit: bigint;
}

export interface ContractState {
  id: bigint;
  state: Status['type'];
}

export interface States {
  nodes: NodeState[];
  contracts: ContractState[];
  funds: FundState[];
  /** What the chain doesn't know. */
  missing: Watched[];
}

/** Funds that end sooner are short. */
const SHORT_SECONDS = 3 * 86_400;
const ALL = { free: NOTHING, country: undefined, certified: false, rentable: false, unavailable: true };

const nodeState = ({ online, draining }: Offer): NodeState['state'] => (!online ? 'offline' : draining ? 'draining' : 'online');

export async function readStates({ api, opt, time }: At, list: Watched[]): Promise<States> {
  const info = await api.apis.GridApi.grid_info(opt);
  const missing: Watched[] = [];
  const ids = (kind: Kind): number[] => list.filter((one) => one.kind === kind).flatMap(({ id }) => parseU32(id) ?? []);
  const lost = (kind: Kind, id: number | bigint): [] => (missing.push({ kind, id: String(id) }), []);

  const offers = await Promise.all([
    ...ids('node').map(async (id) => (await api.apis.GridApi.node_offer(id, opt)) ?? lost('node', id)),
    ...ids('farm').map((farm) => pages((after: number | undefined) => api.apis.GridApi.find_nodes({ ...ALL, farm }, after, PAGE, opt))),
  ]);
  const nodes = await Promise.all(
    unique(offers.flat(), ({ node }) => node).map(async (offer) => {
      const beat = await api.query.Nodes.Heartbeats.getValue(offer.node, opt);
      return { id: offer.node, state: nodeState(offer), heard: beat && time - Number(info.grid_now - beat.at) / 1000 };
    }),
  );

  const contracts = await Promise.all([
    ...list.filter(({ kind }) => kind === 'contract').map(async ({ id }) => {
      const status = await api.apis.GridApi.contract_status(BigInt(id), opt);
      return status ? [{ id: BigInt(id), state: status.type }] : lost('contract', BigInt(id));
    }),
    ...ids('twin').map(async (twin) => {
      const own = await pages((after: bigint | undefined) => api.apis.GridApi.contracts_of_twin(twin, after, PAGE, opt));
      return own.map(({ contract, status }) => ({ id: contract, state: status.type }));
    }),
  ]);

  const funds = await Promise.all(
    ids('twin').map(async (id) => {
      const [record, payer, until] = await Promise.all([
        api.query.Twins.Twins.getValue(id, opt), api.apis.GridApi.payer(id, opt), api.apis.GridApi.funded_until(id, opt),
      ]);
      return record ? [fundState(id, payer, until, time)] : lost('twin', id);
    }),
  );
  return { nodes, contracts: unique(contracts.flat(), ({ id }) => id).sort((a, b) => (a.id < b.id ? -1 : 1)), funds: funds.flat(), missing };
}

function fundState(id: number, { credit, exhausted }: { credit: bigint; exhausted: boolean }, end: bigint | undefined, now: number): FundState {
  const until = end === undefined ? undefined : Number(end);
  const state = exhausted ? 'usedUp' : until === undefined ? 'free' : until - now < SHORT_SECONDS ? 'short' : 'good';
  return { id, state, until, credit };
}

const unique = <Item, Id>(items: Item[], id: (item: Item) => Id): Item[] => [...new Map(items.map((item) => [id(item), item])).values()];

const text = t.watch;

/** In words. What is new to the list is no change; a contract of a twin that is gone from it has closed. */
export function changes(before: States, after: States): string[] {
  const moved = <Item extends { id: number | bigint; state: string }>(old: Item[], now: Item[], words: (item: Item) => string): string[] => {
    const states = new Map(old.map(({ id, state }) => [id, state]));
    return now.filter(({ id, state }) => (states.get(id) ?? state) !== state).map(words);
  };
  return [
    ...moved(before.nodes, after.nodes, ({ id, state }) => text.node(String(id), text.states[state])),
    ...moved(before.contracts, after.contracts, ({ id, state }) => text.contract(String(id), t.contracts.states[state])),
    ...moved(before.funds, after.funds, ({ id, state }) => text.twin(String(id), text.fundStates[state])),
  ];
}

/** Contracts that were there and aren't any more, whose twin is still watched. */
export const gone = (before: States, after: States): bigint[] => {
  const open = new Set(after.contracts.map(({ id }) => id));
  return before.contracts.map(({ id }) => id).filter((id) => !open.has(id));
};
