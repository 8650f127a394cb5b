// SPDX-License-Identifier: Apache-2.0
// The list price of capacity as the chain computes it (`primitives/src/pricing.rs`), for lists of nodes: whole numbers over
// one denominator, divided once. A page about one node asks the chain.
import type { PriceList, Resources } from '../chain/types';
import { GIB } from '../lib/format';

export const CU_DENOMINATOR = 8n * GIB;
export const SU_DENOMINATOR = 1_200n * GIB;
export const DENOMINATOR = 2_400n * GIB;
/** A unit of a list price (1e-7 USD per hour) in units of a rate (1e-10). */
export const RATE_PER_LIST_PRICE = 1_000n;

const most = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);

export function cuScaled({ cru, mru }: Resources): bigint {
  const cores = cru * GIB;
  return least(least(most(2n * mru, 4n * cores), most(mru, 8n * cores)), most(4n * mru, 2n * cores));
}

export const suScaled = ({ hru, sru }: Resources): bigint => hru + 6n * sru;

/** Rate of a node contract in 1e-10 USD per hour, rounded half up; none for GPUs without a price. */
export function capacityRate(list: PriceList, resources: Resources, ips: number, certified: boolean): bigint | undefined {
  if (resources.gpu > 0n && list.gpu === 0n) return undefined;
  const compute = cuScaled(resources) * (DENOMINATOR / CU_DENOMINATOR) * list.cu;
  const storage = suScaled(resources) * (DENOMINATOR / SU_DENOMINATOR) * list.su;
  const others = (resources.gpu * list.gpu + BigInt(ips) * list.ipv4) * DENOMINATOR;
  const percent = certified ? BigInt(list.certified_percent) : 100n;
  const scaled = (compute + storage + others) * percent * RATE_PER_LIST_PRICE;
  const rate = (2n * scaled + DENOMINATOR * 100n) / (DENOMINATOR * 200n);
  return most(rate, list.minimum * RATE_PER_LIST_PRICE);
}

/** The same on a node with this capacity: no contract costs less than its share of the node's places. */
export function rateOn(list: PriceList, places: number, node: Resources, resources: Resources, ips: number, certified: boolean): bigint | undefined {
  const rate = capacityRate(list, resources, ips, certified);
  const whole = capacityRate(list, { ...node, gpu: 0n }, 0, certified) ?? 0n;
  return rate === undefined ? undefined : most(rate, (whole + BigInt(places) - 1n) / BigInt(places));
}
