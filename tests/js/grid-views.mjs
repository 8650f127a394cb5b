// SPDX-License-Identifier: Apache-2.0
// Asks every read of GridApi about one node, farm, twin and contract, and prints the answers as JSON by name:
//
//   node grid-views.mjs --node 1 --farm 1 --twin 2 --contract 1

import { parseArgs } from 'node:util';
import { connect, main } from './grid.mjs';

const { values: options } = parseArgs({
  options: {
    url: { type: 'string', default: 'ws://127.0.0.1:9944' },
    key: { type: 'string' },
    node: { type: 'string', default: '1' },
    farm: { type: 'string', default: '1' },
    twin: { type: 'string', default: '1' },
    contract: { type: 'string', default: '1' },
    json: { type: 'boolean', default: true },
  },
});

const LIMIT = 10;
const resources = { cru: 1, mru: 2 ** 30, sru: 2 ** 30, hru: 0, gpu: 0 };
const anyNode = { free: resources, farm: null, country: null, certified: false, rentable: false, unavailable: true };

/** The arguments of each read, by its name; a read that isn't listed here has none. */
const args = {
  quote: [options.node, resources, 0],
  quoteRent: [options.node],
  contractStatus: [options.contract],
  contractsOfNode: [options.node, null, LIMIT],
  contractsOfTwin: [options.twin, null, LIMIT],
  nodeFree: [options.node],
  nodeOnline: [options.node],
  nodeOffer: [options.node],
  findNodes: [anyNode, null, LIMIT],
  nodeUptime: [options.node, 0],
  farmByName: ['the-farm'],
  ipsOfFarm: [options.farm, null, LIMIT],
  payer: [options.twin],
  fundedUntil: [options.twin],
  grace: [options.twin],
  discountPermille: [options.twin],
  allowance: [options.contract],
  bill: [options.contract],
  nodeEnrolment: [options.node],
  nodeRewards: [options.node],
};

main(async () => {
  const api = await connect(options.url);
  try {
    const answers = {};
    for (const [name, read] of Object.entries(api.call.gridApi)) {
      answers[name] = (await read(...(args[name] ?? []))).toJSON();
    }
    console.log(JSON.stringify(answers));
  } finally {
    await api.disconnect();
  }
});
