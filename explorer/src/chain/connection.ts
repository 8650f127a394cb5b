// SPDX-License-Identifier: Apache-2.0
// The connection to a node's RPC: one at a time, over a list of endpoints. The state says whether what is shown is fresh.
import { tfgrid } from '@polkadot-api/descriptors';
import { createClient, type PolkadotClient, type TypedApi } from 'polkadot-api';
import { getWsProvider, type StatusChange, type WsJsonRpcProvider } from 'polkadot-api/ws';
import { createContext, onCleanup, useContext } from 'solid-js';
import { createStore } from 'solid-js/store';
import { createFollower } from './follow';
import { cachedMetadata, cacheMetadata } from './metadata';
import { lacking, type Compat, type Needs } from './needs';

export type Api = TypedApi<typeof tfgrid>;

export interface Head {
  number: number;
  hash: string;
  /** The block's timestamp, in seconds since 1970. */
  time: number;
}

/**
 * `live`: connected, and the newest finalized block is at most `STALL_SECONDS` old. `stalled`: connected, but it is older.
 * `lost`: not connected; a new attempt is under way. `wrong`: the endpoint's chain isn't the one looked for.
 */
export type Health = 'connecting' | 'live' | 'stalled' | 'lost' | 'wrong';

export interface ChainState {
  health: Health;
  /** The endpoint in use or tried. */
  endpoint: string;
  chain?: { name: string; genesis: string; development: boolean; version: number };
  head?: Head;
  /** What pages need and this runtime doesn't answer as the explorer expects. */
  unsupported: string[];
}

export interface Chain {
  state: ChainState;
  endpoints: string[];
  client: PolkadotClient;
  api: Api;
}

const CONNECT_TIMEOUT_MS = 8_000;
const SILENCE_MS = 20_000;
const TICK_MS = 3_000;

const ChainContext = createContext<Chain>();
export const ChainProvider = ChainContext.Provider;

export function useChain(): Chain {
  const chain = useContext(ChainContext);
  if (!chain) throw new Error('useChain is for components inside ChainProvider');
  return chain;
}

/** Opens the connection. Call inside a root: it is closed with its owner. */
export function openChain(endpoints: string[]): Chain {
  const [state, setState] = createStore<ChainState>({
    health: 'connecting',
    endpoint: endpoints[0] ?? '',
    unsupported: [],
  });
  const follower = createFollower({ genesis, describe, timeOf, hold: (hash) => client.hodlBlock(hash) }, state, (changes) => setState(changes));
  const provider: WsJsonRpcProvider = getWsProvider(endpoints, {
    timeout: CONNECT_TIMEOUT_MS,
    heartbeatTimeout: SILENCE_MS,
    onStatusChanged: (status: StatusChange) => {
      if ('uri' in status) setState('endpoint', status.uri);
      if (status.type === 'CONNECTED') follower.opened();
      if (status.type === 'ERROR' || status.type === 'CLOSE') follower.closed();
    },
  });
  const client = createClient(provider, { getMetadata: cachedMetadata, setMetadata: cacheMetadata });
  const api = client.getTypedApi(tfgrid);

  /** The client remembers the first chain's hash: the connection is asked. */
  async function genesis(): Promise<string> {
    const { genesisHash } = await client.getChainSpecData();
    return client._request<string>('chainSpec_v1_genesisHash', []).catch(() => genesisHash);
  }

  async function describe(genesis: string) {
    const { name, properties } = await client.getChainSpecData();
    const { compat, constants } = await api.getStaticApis();
    const unsupported = lacking((await tfgrid.descriptors) as Needs, compat as unknown as Compat);
    const version = constants.System.Version.spec_version;
    return unsupported && { unsupported, chain: { name, genesis, development: isDevelopment(name, properties), version } };
  }

  async function timeOf(hash: string): Promise<number> {
    return Number(await api.query.Timestamp.Now.getValue({ at: hash })) / 1000;
  }

  const follow = () => client.finalizedBlock$.subscribe({ next: follower.told, error: follower.closed });
  let heads = follow();
  const timer = setInterval(() => {
    // The client gives up where a node contradicts itself.
    if (heads.closed) {
      heads = follow();
      if (provider.getStatus().type === 'CONNECTED') follower.opened();
    }
    follower.tick();
  }, TICK_MS);
  onCleanup(() => {
    clearInterval(timer);
    heads.unsubscribe();
    client.destroy();
  });
  return { state, endpoints, client, api };
}

const isDevelopment = (name: string, properties: unknown): boolean =>
  /development/i.test(name) || (properties as { development?: boolean } | null)?.development === true;
