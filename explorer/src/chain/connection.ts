// SPDX-License-Identifier: Apache-2.0
// The connection to a node's RPC: one at a time, over a list of endpoints. The state says whether what is shown is fresh.
import { tfgrid } from '@polkadot-api/descriptors';
import { createClient, type PolkadotClient, type TypedApi } from 'polkadot-api';
import { getWsProvider, type StatusChange, type WsJsonRpcProvider } from 'polkadot-api/ws';
import { createContext, onCleanup, useContext } from 'solid-js';
import { createStore } from 'solid-js/store';
import { cachedMetadata, cacheMetadata } from './metadata';

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
  /** Reads of pages that this runtime doesn't answer as the explorer expects. */
  unsupported: string[];
}

export interface Chain {
  state: ChainState;
  endpoints: string[];
  client: PolkadotClient;
  api: Api;
}

/** What pages ask the runtime. */
const READS = [
  'allowance', 'bill', 'contract_status', 'contracts_of_node', 'contracts_of_twin', 'daily_prices', 'farm_by_name',
  'find_nodes', 'funded_until', 'grace', 'grid_info', 'ips_of_farm', 'node_enrolment', 'node_offer', 'node_rewards',
  'node_uptime', 'payer', 'period_totals', 'price_factor_permille', 'quote', 'quote_name', 'quote_rent',
] as const;

/** Ten blocks. */
const STALL_SECONDS = 30;
const CONNECT_TIMEOUT_MS = 8_000;
const SILENCE_MS = 20_000;

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
  let expected: string | undefined;
  /** Whether the chain behind the present connection is known to be the right one. */
  let identified = false;
  let newest: Head | undefined;
  let releaseShown = (): void => {};

  const provider: WsJsonRpcProvider = getWsProvider(endpoints, {
    timeout: CONNECT_TIMEOUT_MS,
    heartbeatTimeout: SILENCE_MS,
    onStatusChanged: (status: StatusChange) => {
      if ('uri' in status) setState('endpoint', status.uri);
      identified = false;
      newest = undefined;
      if (status.type === 'CONNECTED') void identify();
      if (status.type === 'ERROR' || status.type === 'CLOSE') setState('health', (h) => (h === 'wrong' ? h : 'lost'));
    },
  });
  const client = createClient(provider, { getMetadata: cachedMetadata, setMetadata: cacheMetadata });
  const api = client.getTypedApi(tfgrid);

  /** Finds out which chain answers; another one than before is never mixed with it. */
  async function identify(): Promise<void> {
    try {
      const { name, genesisHash, properties } = await client.getChainSpecData();
      const found = await client._request<string>('chainSpec_v1_genesisHash', []).catch(() => genesisHash);
      if (expected !== undefined && found !== expected) return setState('health', 'wrong');
      const { compat, constants } = await api.getStaticApis();
      const unsupported = READS.filter((read) => !compat.apis.GridApi[read].isCompatible());
      if (unsupported.length === READS.length) return setState('health', 'wrong');
      expected = found;
      const version = constants.System.Version.spec_version;
      setState({ unsupported, chain: { name, genesis: found, development: isDevelopment(name, properties), version } });
      identified = true;
      setState('health', (h) => (h === 'wrong' ? 'connecting' : h));
      show();
    } catch {
      // The connection went away, or the node was too slow: it is asked again.
    }
  }

  /** Shows the newest block of the right chain. */
  function show(): void {
    if (identified && newest) setState('head', newest);
    judge();
  }

  function judge(): void {
    if (!identified || !state.head) return;
    setState('health', Date.now() / 1000 - state.head.time > STALL_SECONDS ? 'stalled' : 'live');
  }

  const heads = client.finalizedBlock$.subscribe({
    next: async ({ number, hash }) => {
      // The node may forget a block when the next one is final: pages read the shown one until then.
      const release = client.hodlBlock(hash);
      const now = await api.query.Timestamp.Now.getValue({ at: hash }).catch(() => undefined);
      if (now === undefined) return release();
      newest = { number, hash, time: Number(now) / 1000 };
      show();
      releaseShown();
      releaseShown = release;
    },
    error: () => setState('health', (h) => (h === 'wrong' ? h : 'lost')),
  });
  const timer = setInterval(() => {
    if (identified) judge();
    else if (state.health !== 'wrong' && provider.getStatus().type === 'CONNECTED') void identify();
  }, 3_000);
  onCleanup(() => {
    clearInterval(timer);
    heads.unsubscribe();
    client.destroy();
  });
  return { state, endpoints, client, api };
}

const isDevelopment = (name: string, properties: unknown): boolean =>
  /development/i.test(name) || (properties as { development?: boolean } | null)?.development === true;
