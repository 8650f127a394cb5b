// SPDX-License-Identifier: Apache-2.0
// Copies the nodes of a seeded development chain until there are as many as asked for, through the sudo key. Copies have
// no deadline, so they stay as they are.
//
//   node simulate.mjs ws://127.0.0.1:9944 10000

import { connect, keyPair, submitAsRoot } from '../../tests/js/grid.mjs';

/** Nodes of one transaction: their records fit a block. */
const BATCH = 600;

const api = await connect(process.argv[2]);
const wanted = Number(process.argv[3]);
const { nodes } = api.query;
const last = (await nodes.lastNodeId()).toNumber();
const maps = [nodes.nodes, nodes.livenessOf, nodes.heartbeats, nodes.details, nodes.locations, nodes.uptime];
const records = [];
for (let node = 1; node <= last; node += 1) {
  const farm = (await nodes.nodes(node)).unwrap().farm.toNumber();
  const values = await Promise.all(maps.map((map) => api.rpc.state.getStorage(map.key(node))));
  records.push({ farm, values: values.map((value) => value.unwrapOr(null)?.toHex()) });
}
for (let from = last + 1; from <= wanted; from += BATCH) {
  const items = [];
  for (let node = from; node < Math.min(from + BATCH, wanted + 1); node += 1) {
    const { farm, values } = records[node % records.length];
    values.forEach((value, i) => value && items.push([maps[i].key(node), value]));
    items.push([nodes.farmNodes.key(farm, node), '0x']);
  }
  items.push([nodes.lastNodeId.key(), api.createType('u32', Math.min(from + BATCH - 1, wanted)).toHex(true)]);
  await submitAsRoot(api, api.tx.system.setStorage(items), keyPair('//Alice'));
}
await api.disconnect();
