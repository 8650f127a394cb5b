// SPDX-License-Identifier: Apache-2.0
// The farming reward as the chain computes it (docs/CALCULATORS.md): whole numbers over one denominator, divided once.
import type { FarmingPolicy, Resources } from '../chain/types';
import { GIB } from '../lib/format';

const CU_DENOMINATOR = 100n * GIB;
const SU_DENOMINATOR = 6_000n * GIB;
const least = (...values: bigint[]): bigint => values.reduce((a, b) => (b < a ? b : a));
const cuScaled = ({ cru, mru, sru }: Resources): bigint => least(200n * cru * GIB, 25n * (mru > GIB ? mru - GIB : 0n), 2n * sru);
const suScaled = ({ hru, sru }: Resources): bigint => 5n * hru + 24n * sru;

/** Compute and storage units in millionths, rounded down. */
export const units = (resources: Resources): { cu: bigint; su: bigint } => ({
  cu: (cuScaled(resources) * 1_000_000n) / CU_DENOMINATOR,
  su: (suScaled(resources) * 1_000_000n) / SU_DENOMINATOR,
});

/** Traffic (GiB) and seconds of addresses that contracts paid for in the period. */
interface Served {
  nuGib: bigint;
  ipSeconds: bigint;
}

/** What capacity, and what it served, is worth in a period: each part and, rounded once, the sum, in mUSD. */
export function worth(rates: FarmingPolicy['rates'], resources: Resources, { nuGib, ipSeconds }: Served) {
  const denominator = SU_DENOMINATOR * 3_600n;
  const parts = {
    cu: cuScaled(resources) * (denominator / CU_DENOMINATOR) * rates.cu,
    su: suScaled(resources) * 3_600n * rates.su,
    nu: nuGib * rates.nu * denominator,
    ipv4: ipSeconds * rates.ipv4 * SU_DENOMINATOR,
  };
  const musd = (scaled: bigint): bigint => scaled / denominator;
  return {
    parts: { cu: musd(parts.cu), su: musd(parts.su), nu: musd(parts.nu), ipv4: musd(parts.ipv4) },
    musd: musd(parts.cu + parts.su + parts.nu + parts.ipv4),
  };
}

/** What capacity is worth in a period, in mUSD. */
export const capacityMusd = (rates: FarmingPolicy['rates'], resources: Resources): bigint =>
  worth(rates, resources, { nuGib: 0n, ipSeconds: 0n }).musd;

/** `musd` in 1e-7 TFT at `price` (1e-7 USD); none without a price. */
export function rewardTft(musd: bigint, uptimePermille: number, certified: boolean, price: bigint): bigint | undefined {
  if (price === 0n) return undefined;
  const uptime = BigInt(Math.min(uptimePermille, 1_000));
  return (musd * uptime * (certified ? 125n : 100n) * 10_000_000n * 10_000n) / (price * 100_000n);
}

/** Part by part the lesser of both. */
export const lesser = (a: Resources, b: Resources): Resources => ({
  cru: least(a.cru, b.cru), mru: least(a.mru, b.mru), sru: least(a.sru, b.sru), hru: least(a.hru, b.hru), gpu: least(a.gpu, b.gpu),
});
