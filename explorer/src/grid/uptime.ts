// SPDX-License-Identifier: Apache-2.0
// The uptime of a node by farming period, with the periods in which it has none: the chain keeps the others alone.
import type { Enrolment, Reward } from '../chain/types';
import { periodOf, PERIOD_SECONDS, uptimePermille } from './nodes';

/** A period, or several in a row without uptime. */
export interface Periods {
  first: number;
  last: number;
  ms: bigint;
  /** In thousandths of the time that counts; none in its first hour. */
  part: number | undefined;
  reward: Reward | undefined;
}

interface Kept {
  /** Oldest first. */
  uptimes: { period: number; ms: bigint }[];
  rewards: Reward[];
  enrolment: Pick<Enrolment, 'phase'> | undefined;
  /** Seconds since 1970. */
  time: number;
}

/** From the first period that the chain keeps to the running one. Nothing of a node that never had uptime. */
export function periods({ uptimes, rewards, enrolment, time }: Kept): Periods[] {
  const open = enrolment?.phase.type === 'Farming' ? enrolment.phase.value : undefined;
  const row = (first: number, last: number, ms: bigint): Periods => {
    const isOpen = open?.period === first;
    const from = isOpen ? Number(open.from) : first * PERIOD_SECONDS;
    const end = Math.min(time, (last + 1) * PERIOD_SECONDS);
    const part = uptimePermille(ms - (isOpen ? open.uptime_before_ms : 0n), from, end);
    return { first, last, ms, part, reward: rewards.find(({ period }) => period === first) };
  };
  return uptimes.flatMap(({ period, ms }, i) => {
    const last = (uptimes[i + 1]?.period ?? periodOf(time) + 1) - 1;
    return last > period ? [row(period, period, ms), row(period + 1, last, 0n)] : [row(period, period, ms)];
  });
}
