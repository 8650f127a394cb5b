// SPDX-License-Identifier: Apache-2.0
// What this page asks of a runtime, and which of it the present one doesn't answer as expected.
import { whitelist } from '../../.papi/whitelist';

const READS = [
  'allowance', 'bill', 'contract_status', 'contracts_of_node', 'contracts_of_twin', 'daily_prices', 'farm_by_name',
  'find_nodes', 'funded_until', 'grace', 'grid_info', 'ips_of_farm', 'node_enrolment', 'node_offer', 'node_rewards',
  'payer', 'price_factor_permille', 'quote', 'quote_name', 'quote_rent',
];

type Entries = Record<string, Record<string, { isCompatible(): boolean }>>;
export type Compat = Record<'apis' | 'query' | 'constants' | 'tx', Entries>;

const KINDS: Record<string, keyof Compat> = { query: 'query', const: 'constants', tx: 'tx' };

/** Names of what is missing or has changed; none if no read of the grid is there: then it is another kind of chain. */
export function lacking(compat: Compat): string[] | undefined {
  const isLacking = (kind: keyof Compat, pallet: string, name: string): boolean => !compat[kind][pallet]?.[name]?.isCompatible();
  const reads = READS.filter((read) => isLacking('apis', 'GridApi', read));
  if (reads.length === READS.length) return undefined;
  const rest = whitelist.map((entry) => entry.split('.')).flatMap(([kind = '', pallet = '', name = '']) => {
    const of = KINDS[kind];
    return of && isLacking(of, pallet, name) ? `${pallet}.${name}` : [];
  });
  return [...reads, ...new Set(rest)];
}
