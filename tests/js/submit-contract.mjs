// SPDX-License-Identifier: Apache-2.0
// Deploys a web server on a node and waits until it runs.
//
//   node submit-contract.mjs --key //Bob --node 1 --image 127.0.0.1:5000/web@sha256:…
//   node submit-contract.mjs --key //Bob --node 1 --file deployment.json

import { readFile } from 'node:fs/promises';
import { keyPair, main, submit, untilFinal } from './grid.mjs';

// region: deployment
const MiB = 1024 ** 2;

/** A web server with a disk of its own. */
function webServer(image, greeting) {
  return {
    version: 1,
    description: 'a page from a disk',
    workloads: [
      { name: 'data', type: 'zmount', data: { size: 64 * MiB } },
      {
        name: 'web',
        type: 'zmachine',
        data: {
          image,
          cpu: 1,
          memory: 128 * MiB,
          rootfs: 64 * MiB,
          mounts: [{ name: 'data', path: '/data' }],
          env: { GREETING: greeting },
          health: { http: { port: 80 } },
        },
      },
    ],
  };
}
// endregion

// region: submit
/** Creates a node contract, for no more than it costs now; answers with its id. */
async function createContract(api, pair, node, body) {
  const resources = { cru: 1, mru: 128 * MiB, sru: 128 * MiB, hru: 0, gpu: 0 };
  const rate = await api.call.gridApi.quote(node, resources, 0);
  if (rate.isNone) throw new Error(`there is no node ${node}`);

  const call = api.tx.contracts.createNodeContract(
    node, resources, { Plain: body }, 0, [], 0, rate.unwrap());
  const { events } = await submit(api, call, pair);
  const created = events.find(({ event }) => api.events.contracts.NodeContractCreated.is(event));
  return { contract: created.event.data.contract.toNumber(), rate: rate.unwrap().toBigInt() };
}

/** Waits until the node has deployed the contract; answers with what it says about it. */
function untilDeployed(api, contract, seconds) {
  return untilFinal(api, `contract ${contract} to be deployed`, seconds, async (at) => {
    const closed = await at.query.contracts.closedContracts(contract);
    if (closed.isSome) {
      throw new Error(`contract ${contract} is closed: ${closed.unwrap().reason.toString()}`);
    }
    const { state } = (await at.query.contracts.contracts(contract)).unwrap();
    if (state.isDeployed) return JSON.parse((await at.query.contracts.results(contract)).unwrap().toUtf8());
  });
}
// endregion

main({
  usage: 'submit-contract.mjs --key KEY --node N (--image IMAGE [--greeting TEXT] | --file FILE) [--seconds N]',
  options: {
    node: { type: 'string' },
    image: { type: 'string' },
    file: { type: 'string' },
    greeting: { type: 'string', default: 'hello from the grid' },
    seconds: { type: 'string', default: '120' },
  },
  isComplete: ({ key, node, image, file }) => key && node && (image || file),
  async run(api, { key, node, image, file, greeting, seconds, json }) {
    const body = file ? await readFile(file, 'utf8') : JSON.stringify(webServer(image, greeting));
    const submittedAt = Date.now();
    const { contract, rate } = await createContract(api, keyPair(key), Number(node), body);
    if (!json) console.log(`contract ${contract}, ${Number(rate) / 1e10} USD/h`);
    const result = await untilDeployed(api, contract, Number(seconds));
    return {
      json: { contract, result, submitted_at: submittedAt },
      text: Object.entries(result).map(([name, { ip }]) => `${name} runs at http://${ip}/`).join('\n'),
    };
  },
});
