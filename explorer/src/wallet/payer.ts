// SPDX-License-Identifier: Apache-2.0
// What the chain knows of the account that signs.
import type { Read } from '../chain/read';
import { createRead, PAGE, pages, type At } from '../chain/read';
import { account } from './accounts';

async function readPayer({ api, opt }: At, address: string | undefined) {
  if (address === undefined) return undefined;
  const [twin, record, info, policy] = await Promise.all([
    api.query.Twins.TwinByAccount.getValue(address, opt),
    api.query.System.Account.getValue(address, opt),
    api.apis.GridApi.grid_info(opt),
    api.query.Billing.Policy.getValue(opt),
  ]);
  const common = { address, free: record.data.free, price: info.tft_price, policy };
  if (twin === undefined) return { ...common, twin: undefined };
  const [payer, limits, refill, contracts] = await Promise.all([
    api.apis.GridApi.payer(twin, opt),
    api.query.Billing.OwnerLimits.getValue(twin, opt),
    api.query.Billing.AutoRefills.getValue(twin, opt),
    pages((after: bigint | undefined) => api.apis.GridApi.contracts_of_twin(twin, after, PAGE, opt)),
  ]);
  return { ...common, twin: { id: twin, payer, limits, refill, contracts } };
}

export type Payer = NonNullable<Awaited<ReturnType<typeof readPayer>>>;
export type PayerTwin = NonNullable<Payer['twin']>;

export const usePayer = (): Read<Payer | undefined> => createRead(() => account()?.address, readPayer);
