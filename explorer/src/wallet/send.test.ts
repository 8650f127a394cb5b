// SPDX-License-Identifier: Apache-2.0
import type { TxEvent } from 'polkadot-api';
import { afterEach, expect, test, vi } from 'vitest';
import type { Chain } from '../chain/connection';
import type { Account } from './accounts';
import { send, type Call, type Step } from './send';

type Observer = { next: (event: TxEvent) => void; error: (cause: unknown) => void };

afterEach(() => { vi.useRealTimers(); });

test('a call that is told twice to be in the pool and then fails is not late', async () => {
  vi.useFakeTimers();
  const steps: Step[] = [];
  let observer: Observer | undefined;
  const subscribe = (given: Observer) => {
    observer = given;
    return { unsubscribe: () => undefined };
  };
  const call = { signSubmitAndWatch: () => ({ subscribe }) } as unknown as Call;
  const sent = send({} as Chain, call, { signer: {} } as Account, (step) => steps.push(step));
  const broadcasted = { type: 'broadcasted' } as TxEvent;
  observer?.next(broadcasted);
  observer?.next(broadcasted);
  observer?.error(new Error('dropped'));
  await expect(sent).rejects.toThrow('dropped');
  vi.runAllTimers();
  expect(steps).toEqual(['signing', 'pool', 'pool']);
});
