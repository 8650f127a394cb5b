// SPDX-License-Identifier: Apache-2.0
// Copies the nodes of a seeded development chain, and its first contract, until there are as many as asked for, through
// the sudo key. Copies have no deadline, so they stay as they are; those of the contract are in nobody's list.
//
//   node simulate.mjs ws://127.0.0.1:9944 10000 [100000]

import { connect, keyPair, submitAsRoot } from '../../tests/js/grid.mjs';

/** Nodes and contracts of one transaction: their records fit a block. */
const NODES = 600;
const CONTRACTS = 1000;

const api = await connect(process.argv[2]);
const [nodesWanted, contractsWanted] = [process.argv[3], process.argv[4] ?? 0].map(Number);
const { nodes, contracts, billing } = api.query;

/** The values of a record in these maps. */
async function record(maps, id) {
  const values = await Promise.all(maps.map((map) => api.rpc.state.getStorage(map.key(id))));
  return values.map((value) => value.unwrapOr(null)?.toHex());
}

/** What a copy under this id stores. */
const copy = (maps, values, id) => values.flatMap((value, i) => (value ? [[maps[i].key(id), value]] : []));

/** Stores copies up to `wanted`, so many at once; `itemsOf` has those of one, `last` is the id counter. */
async function fill(last, wanted, atOnce, type, itemsOf) {
  for (let from = (await last()).toNumber() + 1; from <= wanted; from += atOnce) {
    const end = Math.min(from + atOnce - 1, wanted);
    const items = Array.from({ length: end - from + 1 }, (_, i) => itemsOf(from + i)).flat();
    items.push([last.key(), api.createType(type, end).toHex(true)]);
    await submitAsRoot(api, api.tx.system.setStorage(items), keyPair('//Alice'));
  }
}

const nodeMaps = [nodes.nodes, nodes.livenessOf, nodes.heartbeats, nodes.details, nodes.locations, nodes.uptime];
const records = [];
for (let node = 1; node <= (await nodes.lastNodeId()).toNumber(); node += 1) {
  const farm = (await nodes.nodes(node)).unwrap().farm.toNumber();
  records.push({ farm, values: await record(nodeMaps, node) });
}
await fill(nodes.lastNodeId, nodesWanted, NODES, 'u32', (node) => {
  const { farm, values } = records[node % records.length];
  return [...copy(nodeMaps, values, node), [nodes.farmNodes.key(farm, node), '0x']];
});

const contractMaps = [contracts.contracts, contracts.bodies, contracts.results, billing.ledgerAccounts, billing.bills];
const first = await record(contractMaps, 1);
await fill(contracts.lastContractId, contractsWanted, CONTRACTS, 'u64', (contract) =>
  copy(contractMaps, first, contract));
await api.disconnect();
