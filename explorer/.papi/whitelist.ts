// SPDX-License-Identifier: Apache-2.0
// What pages call: `papi generate` leaves everything else out of the bundle.
import type { WhitelistEntry } from '@polkadot-api/descriptors';

export const whitelist: WhitelistEntry[] = [
  'api.GridApi.*',
  'query.Billing.*',
  'query.Clock.*',
  'query.Contracts.*',
  'query.Farming.*',
  'query.Farms.*',
  'query.Nodes.*',
  'query.Proxy.Proxies',
  'query.System.Account',
  'query.System.Events',
  'query.Timestamp.Now',
  'query.Twins.*',
  'const.Contracts.ContractDeposit',
  'const.Contracts.DepositPerByte',
  'const.Contracts.MaxContractsPerNode',
  'const.System.Version',
  'tx.Billing.*',
  'tx.Contracts.*',
  'tx.Twins.create',
  'tx.Utility.batch_all',
];
