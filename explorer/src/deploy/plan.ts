// SPDX-License-Identifier: Apache-2.0
// What a deployment costs a payer, and how long the credit lasts with it, before anything is signed.
import { factorFor } from '../calculator/cost';
import { usdToTft } from '../lib/format';

export interface Terms {
  /** Of the new contract, in 1e-10 USD per hour; of an update, what it adds. */
  rate: bigint;
  /** The farmer's extra fee, which has no discount; in 1e-10 USD per hour. */
  extra?: bigint;
  /** What all contracts of the payer cost without it, at list price. */
  before: bigint;
  /** 1e-7 TFT. */
  credit: bigint;
  /** 1e-7 TFT paid from the credit at once. */
  atOnce: bigint;
  /** 1e-7 USD per TFT. */
  price: bigint;
  levels: readonly { hours: number; permille: number }[];
}

export interface Plan {
  /** Thousandths of the list price that are paid. */
  factor: number;
  /** How long the credit lasts, in seconds; none while nothing is charged. */
  seconds: number | undefined;
  /** 1e-7 TFT without which the chain refuses it. */
  missing: bigint;
}

/** The chain asks for an hour of all rates. */
export function plan({ rate, extra = 0n, before, credit, atOnce, price, levels }: Terms): Plan {
  const hourly = usdToTft(before + rate + extra, price) ?? 0n;
  const left = credit > atOnce ? credit - atOnce : 0n;
  const needed = hourly + atOnce;
  const missing = needed > credit ? needed - credit : 0n;
  if (hourly === 0n) return { factor: 1_000, seconds: undefined, missing };
  const listSeconds = Number((left * 3_600n) / hourly);
  const factor = factorFor(levels, listSeconds / 3_600);
  const paid = ((before + rate) * BigInt(factor)) / 1_000n + extra;
  return { factor, seconds: Number((left * 3_600n) / (usdToTft(paid, price) || 1n)), missing };
}
