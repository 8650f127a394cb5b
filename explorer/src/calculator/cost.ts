// SPDX-License-Identifier: Apache-2.0
// What a rate consists of. The sum is the chain's own: see `grid/pricing.ts`, and `quote` where a node is chosen.
import type { PriceList, Resources } from '../chain/types';
import { CU_DENOMINATOR, cuScaled, DENOMINATOR, RATE_PER_LIST_PRICE, SU_DENOMINATOR, suScaled } from '../grid/pricing';

export interface Want {
  resources: Resources;
  ips: number;
  certified: boolean;
  /** The node is rented as a whole: capacity and GPUs cost `rent_percent`. */
  rent: boolean;
}

export interface Line {
  part: 'cu' | 'su' | 'gpu' | 'ipv4' | 'certified';
  /** Units in millionths. */
  units: bigint;
  /** In 1e-10 USD per hour. */
  rate: bigint;
}

const MILLION = 1_000_000n;
const half = (numerator: bigint, denominator: bigint): bigint => (2n * numerator + denominator) / (2n * denominator);

/** The parts of a list price, each rounded by itself, and their sum, rounded once; none for GPUs without a price. */
export function cost(list: PriceList, { resources, ips, certified, rent }: Want): { lines: Line[]; rate: bigint } | undefined {
  if (resources.gpu > 0n && list.gpu === 0n) return undefined;
  const share = rent ? BigInt(list.rent_percent) : 100n;
  const [cu, su] = [cuScaled(resources) * (DENOMINATOR / CU_DENOMINATOR), suScaled(resources) * (DENOMINATOR / SU_DENOMINATOR)];
  // In units of a rate, over `DENOMINATOR` and 10,000 for the two percentages.
  const exact = (scaledUnits: bigint, price: bigint, percent: bigint): bigint => scaledUnits * price * RATE_PER_LIST_PRICE * percent * 100n;
  const parts: [Line['part'], bigint, bigint][] = [
    ['cu', cu, exact(cu, list.cu, share)],
    ['su', su, exact(su, list.su, share)],
    ['gpu', resources.gpu * DENOMINATOR, exact(resources.gpu * DENOMINATOR, list.gpu, share)],
    ['ipv4', BigInt(ips) * DENOMINATOR, exact(BigInt(ips) * DENOMINATOR, list.ipv4, 100n)],
  ];
  const sum = parts.reduce((sum, [, , value]) => sum + value, 0n);
  const surcharge = certified ? (sum / 100n) * (BigInt(list.certified_percent) - 100n) : 0n;
  const lines = parts.map(([part, units, value]): Line => ({ part, units: (units * MILLION) / DENOMINATOR, rate: half(value, DENOMINATOR * 10_000n) }));
  lines.push({ part: 'certified', units: 0n, rate: half(surcharge, DENOMINATOR * 10_000n) });
  return { lines: lines.filter(({ rate }) => rate > 0n), rate: half(sum + surcharge, DENOMINATOR * 10_000n) };
}

/** What `gb` of public traffic cost, in 1e-10 USD. */
export const trafficUsd = (list: PriceList, gb: bigint, certified: boolean): bigint =>
  half(gb * list.nu * RATE_PER_LIST_PRICE * (certified ? BigInt(list.certified_percent) : 100n), 100n);

/** Thousandths of the list price that a payer with so many hours prepaid pays. */
export const factorFor = (levels: readonly { hours: number; permille: number }[], hours: number): number =>
  levels.reduce((least, level) => (level.hours <= hours ? Math.min(least, level.permille) : least), 1_000);
