// SPDX-License-Identifier: Apache-2.0
// Sends a call. It is a success only if the event in its finalized block says so.
import type { Transaction, TxEvent } from 'polkadot-api';
import { createEffect, createRoot } from 'solid-js';
import type { Chain } from '../chain/connection';
import type { ChainEvent } from '../chain/decode';
import { visible } from '../lib/safe';
import { t } from '../texts';
import type { Account } from './accounts';

export type Call = Transaction;
export type Step = 'signing' | 'pool' | 'block' | 'late';

export interface Sent {
  ok: boolean;
  error?: { name: string; docs: string };
  block: number;
  index: number;
  events: ChainEvent[];
}

const FINAL_TIMEOUT_MS = 120_000;

/** Fails if the call wasn't sent; answers nothing while it isn't known what became of it. */
export function send(chain: Chain, call: Call, { signer }: Account, onStep: (step: Step) => void): Promise<Sent | undefined> {
  return new Promise((resolve, reject) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    onStep('signing');
    const watched = call.signSubmitAndWatch(signer).subscribe({
      next: (event: TxEvent) => {
        if (event.type === 'broadcasted') {
          onStep('pool');
          timer ??= setTimeout(() => {
            watched.unsubscribe();
            onStep('late');
            resolve(undefined);
          }, FINAL_TIMEOUT_MS);
        }
        if (event.type === 'txBestBlocksState' && event.found) onStep('block');
        if (event.type === 'finalized') {
          result(chain, event.block).then(resolve, reject).finally(() => clearTimeout(timer));
        }
      },
      error: (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    });
  });
}

/** What the chain's refusal to take a call means, by its name; else what the wallet or the library says. */
export function refusal(cause: unknown): string {
  const name = (cause as { error?: { value?: { type?: string } } } | null)?.error?.value?.type ?? '';
  const message = cause instanceof Error ? cause.message : String(cause);
  if (/cancel|reject|denied/i.test(message)) return t.wallet.cancelled;
  return t.wallet.failed(t.wallet.invalid[name] ?? visible(message));
}

async function result(chain: Chain, { hash, number, index }: { hash: string; number: number; index: number }): Promise<Sent> {
  const { outcome, readBlock } = await import('../chain/decode');
  const release = chain.client.hodlBlock(hash);
  const block = await headAt(chain, number).then(() => readBlock(chain, hash)).finally(release);
  const found = block && outcome(block, index);
  if (!found) throw new Error(`the node doesn't have the events of block ${number} any more`);
  const events = block.events?.filter((event) => event.transaction === index) ?? [];
  return { ...found, block: number, index, events };
}

/** Waits until the page has seen that block. */
const headAt = (chain: Chain, number: number): Promise<void> =>
  createRoot((dispose) => new Promise((resolve) => {
    createEffect(() => {
      if ((chain.state.head?.number ?? 0) < number) return;
      resolve();
      dispose();
    });
  }));

/** The fields of the first event with this name. */
export const fieldsOf = <Fields>({ events }: Sent, pallet: string, name: string): Fields | undefined =>
  events.find((event) => event.pallet === pallet && event.name === name)?.fields as Fields | undefined;
