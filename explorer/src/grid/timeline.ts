// SPDX-License-Identifier: Apache-2.0
// The life of a contract, from the records that the chain keeps of it.
import type { ChainContract, Closed, Failure, LiveState, Status } from '../chain/types';
import { utf8, visible } from '../lib/safe';
import { t } from '../texts';

export interface Moment {
  /** Seconds since 1970; none where the chain doesn't tell. */
  at: number | undefined;
  what: string;
  why?: string;
  tone: 'plain' | 'good' | 'warn' | 'bad';
}

export interface Records {
  contract: ChainContract | undefined;
  closed: Closed | undefined;
  failure: Failure | undefined;
  status: Status;
  /** Of its node. */
  live: LiveState | undefined;
  /** Of its payer. */
  grace: { since: bigint; until: bigint } | undefined;
  /** Calendar time of a grid time. */
  calendar(grid: bigint): number;
}

const text = t.contracts;

/** What the node said of a version that it can't run: the meaning, its words, where, and what to do. */
export function failureWords({ code, path, text: words }: Failure): { meaning: string; advice: string; path: string; words: string } {
  const [meaning = code.type, advice = ''] = text.failures[code.type] ?? [];
  return { meaning, advice, path: visible(utf8(path)), words: visible(utf8(words)) };
}

const explained = (failure: Failure): string => {
  const { meaning, path, words } = failureWords(failure);
  return [meaning, path && `${text.failureAt} ${path}:`, words].filter(Boolean).join(' ');
};

/** Oldest first; what is still to come is last. */
export function timeline({ contract, closed, failure, status, live, grace, calendar }: Records): Moment[] {
  const events = text.events;
  const moments: Moment[] = [];
  const add = (at: number | undefined, tone: Moment['tone'], what: string, why?: string): void =>
    void moments.push({ at, what, tone, ...(why && { why }) });
  const isNode = contract?.kind.type === 'Node';
  if (contract) {
    add(calendar(contract.created_at), 'plain', isNode ? events.created : events.createdOther);
    if (isNode && contract.state.type === 'Deployed') add(calendar(contract.deployed_at), 'good', events.deployed);
  }
  // A failure stays on record when later versions are deployed: when it was isn't.
  if (failure && !closed) add(undefined, 'bad', events.rejected(failure.version), explained(failure));
  const deployment = contract?.kind.type === 'Node' ? contract.kind.value : undefined;
  const { pending } = deployment ?? {};
  if (pending) add(calendar(pending.answer.asked_at), 'plain', events.update(pending.version));
  if (status.type === 'NodeOffline' && live?.type === 'Offline') add(calendar(live.value.since), 'warn', events.offline);
  if (status.type === 'Paused' && grace) add(calendar(grace.since), 'warn', events.paused);
  moments.sort((a, b) => (a.at ?? Infinity) - (b.at ?? Infinity) || 0);
  if (contract?.state.type === 'Created' && deployment) add(calendar(deployment.answer.by), 'plain', events.awaiting);
  if (pending) add(calendar(pending.answer.by), 'plain', events.awaiting);
  if (status.type === 'Paused' && grace) add(calendar(grace.until), 'warn', events.closes);
  if (closed) {
    const why = [text.reasons[closed.reason.type], failure && explained(failure)].filter(Boolean).join(' ');
    add(Number(closed.closed_at_unix), closed.reason.type === 'Cancelled' ? 'plain' : 'bad', events.closed, why);
  }
  return moments;
}
