// SPDX-License-Identifier: Apache-2.0
// Cancels a contract: its capacity is freed, its disks are deleted, and what it was charged stays charged.
//
//   node cancel-contract.mjs --key //Bob 1

import { keyPair, main, submit, tft } from './grid.mjs';

main({
  usage: 'cancel-contract.mjs --key KEY CONTRACT',
  isComplete: ({ key }, [contract]) => key && contract,
  async run(api, { key }, [contract]) {
    await submit(api, api.tx.contracts.cancel(contract, 'Cancelled'), keyPair(key));
    const cost = tft((await api.query.contracts.closedContracts(contract)).unwrap().tft.toBigInt());
    return {
      json: { contract: Number(contract), tft: cost },
      text: `contract ${contract} is closed; it was charged ${cost} TFT`,
    };
  },
});
