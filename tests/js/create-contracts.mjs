// SPDX-License-Identifier: Apache-2.0
// Creates many contracts with the same deployment, and prints their ids and when the last of them was final:
//
//   node create-contracts.mjs --key //Bob --node 1 --count 100 --file deployment.json

import { readFile } from 'node:fs/promises';
import { keyPair, main, submit } from './grid.mjs';

/** How many contracts are created by one transaction: it must fit a block. */
const BATCH = 50;

main({
  usage: 'create-contracts.mjs --key KEY --node N --count N --file FILE',
  options: { node: { type: 'string' }, count: { type: 'string' }, file: { type: 'string' } },
  isComplete: ({ key, node, count, file }) => key && node && count && file,
  async run(api, { key, node, count, file }) {
    const body = { Plain: await readFile(file, 'utf8') };
    const { workloads } = JSON.parse(body.Plain);
    const sum = (of) => workloads.reduce((total, { data }) => total + (of(data) ?? 0), 0);
    const resources = {
      cru: Math.ceil(sum((data) => data.cpu)),
      mru: sum((data) => data.memory),
      sru: sum((data) => data.rootfs) + sum((data) => data.size),
      hru: 0,
      gpu: 0,
    };
    const rate = (await api.call.gridApi.quote(node, resources, 0)).unwrap();
    const create = () => api.tx.contracts.createNodeContract(node, resources, body, 0, [], 0, rate);
    const contracts = [];
    for (let left = Number(count); left > 0; left -= BATCH) {
      const calls = Array.from({ length: Math.min(left, BATCH) }, create);
      const { events } = await submit(api, api.tx.utility.batchAll(calls), keyPair(key));
      const created = events.filter(({ event }) => api.events.contracts.NodeContractCreated.is(event));
      contracts.push(...created.map(({ event }) => event.data.contract.toNumber()));
    }
    return { json: { contracts, finalized_at: Date.now() } };
  },
});
