// SPDX-License-Identifier: Apache-2.0
// What contracts have earned and nobody has collected.

/** A contract's account. Amounts of TFT have 64 bits of fraction. */
export interface Earning {
  /** Up to the last settlement. */
  uncollected: { shared: bigint; extra: bigint };
  /** In all, up to the last settlement. */
  settled: bigint;
  /** In all, up to now, in 1e-7 TFT. */
  charged: bigint;
  /** Its rates, of which the payer pays `factor` thousandths of the first. */
  rates: { usd: bigint; extra: bigint };
  factor: number;
}

/** The farm's part once it is collected, with 64 bits of fraction. Extra fees are the farm's alone. */
export function farmersPart({ uncollected, settled, charged, rates, factor }: Earning, shares: { foundation: number; staking: number }): bigint {
  const lately = (charged << 64n) > settled ? (charged << 64n) - settled : 0n;
  const [paid, extra] = [rates.usd * BigInt(factor), rates.extra * 1_000n];
  const latelyExtra = extra > 0n ? (lately * extra) / (paid + extra) : 0n;
  const shared = uncollected.shared + lately - latelyExtra;
  const others = (permille: number): bigint => (shared * BigInt(permille)) / 1_000n;
  return shared - others(shares.foundation) - others(shares.staking) + uncollected.extra + latelyExtra;
}
