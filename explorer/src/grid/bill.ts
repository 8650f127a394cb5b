// SPDX-License-Identifier: Apache-2.0
// A contract's charges by month. Lines are cut from running sums, so that they add up to the total to the unit.
import { whole } from '../chain/types';

const MONTH_SECONDS = 720 * 3_600;
const MONTHS_KEPT = 13;

/** In 1e-10 USD and 1e-7 TFT. */
export interface Amount {
  usd: bigint;
  tft: bigint;
}

export interface Charges {
  /** As the chain keeps them: TFT with 64 bits of fraction. */
  months: { month: number; charge: Amount }[];
  /** What was charged when the last month was written, also with fractions; none for a closed contract. */
  settled: Amount | undefined;
  total: Amount;
  /** The block's time, in seconds since 1970. */
  now: number;
}

export interface Line extends Amount {
  /** First second of the month; none for all months before those that the chain keeps. */
  from: number | undefined;
}

export function billLines({ months, settled, total, now }: Charges): Line[] {
  const lines: Line[] = [];
  const push = (from: number | undefined, usd: bigint, tft: bigint): void => {
    const same = lines.at(-1);
    if (same && same.from === from && from !== undefined) Object.assign(same, { usd: same.usd + usd, tft: same.tft + tft });
    else if (usd > 0n || tft > 0n) lines.push({ from, usd, tft });
  };
  const kept = months.reduce((sum, { charge }) => ({ usd: sum.usd + charge.usd, tft: sum.tft + charge.tft }), { usd: 0n, tft: 0n });
  const written = settled ? { usd: settled.usd, tft: whole(settled.tft) } : total;
  const dropped = months.length >= MONTHS_KEPT;
  const earlier = dropped ? { usd: written.usd - kept.usd, tft: written.tft - whole(kept.tft) } : { usd: 0n, tft: 0n };
  push(undefined, earlier.usd, earlier.tft);
  let exact = 0n;
  for (const { month, charge } of months) {
    const before = whole(exact);
    exact += charge.tft;
    push(month * MONTH_SECONDS, charge.usd, whole(exact) - before);
  }
  const rest = { usd: total.usd - earlier.usd - kept.usd, tft: total.tft - earlier.tft - whole(exact) };
  const present = Math.max(Math.floor(now / MONTH_SECONDS), months.at(-1)?.month ?? 0);
  push(present * MONTH_SECONDS, rest.usd, rest.tft);
  return lines;
}

/** Of several contracts, summed by month. */
export function merged(bills: Line[][]): Line[] {
  const months = new Map<number | undefined, Line>();
  for (const { from, usd, tft } of bills.flat()) {
    const before = months.get(from) ?? { usd: 0n, tft: 0n };
    months.set(from, { from, usd: before.usd + usd, tft: before.tft + tft });
  }
  return [...months.values()].sort((a, b) => (a.from ?? 0) - (b.from ?? 0));
}
