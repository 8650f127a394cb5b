// SPDX-License-Identifier: Apache-2.0
// Calls every function of GridApi for one node, farm, twin and contract, and prints the answers as JSON by name:
//
//   node grid-views.mjs --node 1 --farm 1 --twin 2 --contract 1

import { main } from './grid.mjs';

const LIMIT = 10;
const resources = { cru: 1, mru: 2 ** 30, sru: 2 ** 30, hru: 0, gpu: 0 };
const anyNode = { free: resources, farm: null, country: null, certified: false, rentable: false, unavailable: true };

/** Arguments of each function by name. Functions that aren't listed have none. */
const args = ({ node, farm, twin, contract }) => ({
  quote: [node, resources, 0],
  quoteRent: [node],
  contractStatus: [contract],
  contractsOfNode: [node, null, LIMIT],
  contractsOfTwin: [twin, null, LIMIT],
  nodeFree: [node],
  nodeOnline: [node],
  nodeOffer: [node],
  findNodes: [anyNode, null, LIMIT],
  nodeUptime: [node, 0],
  farmByName: ['the-farm'],
  ipsOfFarm: [farm, null, LIMIT],
  payer: [twin],
  fundedUntil: [twin],
  grace: [twin],
  priceFactorPermille: [twin],
  allowance: [contract],
  bill: [contract],
  nodeEnrolment: [node],
  nodeRewards: [node],
});

const id = { type: 'string', default: '1' };

main({
  usage: 'grid-views.mjs [--node N] [--farm N] [--twin N] [--contract N]',
  options: { node: id, farm: id, twin: id, contract: id },
  isComplete: () => true,
  async run(api, options) {
    const json = {};
    for (const [name, call] of Object.entries(api.call.gridApi)) {
      json[name] = (await call(...(args(options)[name] ?? []))).toJSON();
    }
    return { json };
  },
});
