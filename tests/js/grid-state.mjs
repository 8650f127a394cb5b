// SPDX-License-Identifier: Apache-2.0
// Waits until the chain shows something, and prints it as JSON:
//
//   node grid-state.mjs node          the first node, once it is online
//   node grid-state.mjs usage 1       what contract 1 has used and cost, once its node says it
//   node grid-state.mjs deployed 1    what its node says about it, once it has deployed it
//   node grid-state.mjs paused 1      what contract 1 has cost, once its owner's credit is used up
//   node grid-state.mjs closed 1      why contract 1 closed and what it cost
//   node grid-state.mjs free 1        what node 1 can still reserve
//   node grid-state.mjs heartbeat 1   the number of the last heartbeat of node 1
//   node grid-state.mjs account       the key's free and held TFT and its twin's credit, and when

import { parseArgs } from 'node:util';
import { connect, keyPair, main, tft, twinOf, untilFinal } from './grid.mjs';

const { values: options, positionals: [what, id] } = parseArgs({
  allowPositionals: true,
  options: {
    url: { type: 'string', default: 'ws://127.0.0.1:9944' },
    key: { type: 'string' },
    seconds: { type: 'string', default: '120' },
    json: { type: 'boolean', default: true },
  },
});

/** Each answers nothing for as long as it isn't so. */
const states = {
  async node(at) {
    const [key] = await at.query.nodes.nodes.keys();
    if (!key) return;
    const node = key.args[0].toNumber();
    return (await at.call.gridApi.nodeOnline(node)).isTrue ? { node } : undefined;
  },

  async usage(at) {
    const status = (await at.call.gridApi.contractStatus(id)).unwrap();
    const usage = await at.query.contracts.usage(id);
    if (usage.isNone || !status.isDeployed) return;
    const cost = status.asDeployed.tft.toBigInt();
    return cost > 0n ? { usage: usage.unwrap(), tft: tft(cost) } : undefined;
  },

  async deployed(at) {
    const result = await at.query.contracts.results(id);
    return result.isSome ? { result: JSON.parse(result.unwrap().toUtf8()) } : undefined;
  },

  async paused(at) {
    const status = (await at.call.gridApi.contractStatus(id)).unwrap();
    if (status.isClosed) throw new Error(`contract ${id} is closed: ${status.asClosed.reason.toString()}`);
    return status.isPaused ? { tft: tft(status.asPaused.tft.toBigInt()) } : undefined;
  },

  async closed(at) {
    const closed = await at.query.contracts.closed(id);
    if (closed.isNone) return;
    const { reason, tft: cost } = closed.unwrap();
    return { reason: reason.toHuman(), tft: tft(cost.toBigInt()) };
  },

  async free(at) {
    return (await at.call.gridApi.nodeFree(id)).unwrap();
  },

  async heartbeat(at) {
    const { sequence } = (await at.query.nodes.heartbeats(id)).unwrap();
    return { sequence: sequence.toNumber() };
  },

  async account(at, api) {
    const { address } = keyPair(options.key);
    const { data } = await at.query.system.account(address);
    const { credit } = await at.call.gridApi.payer(await twinOf(api, { address }));
    const [free, held, credited] = [data.free, data.reserved, credit].map((x) => tft(x.toBigInt()));
    return { free, held, credit: credited, block: (await at.query.system.number()).toNumber() };
  },
};

main(async () => {
  const { url, seconds } = options;
  const probe = states[what];
  if (!probe) throw new Error(`usage: grid-state.mjs (${Object.keys(states).join(' | ')}) [ID] [--url URL]`);

  const api = await connect(url);
  try {
    const label = [what, id].filter(Boolean).join(' ');
    const found = await untilFinal(api, label, Number(seconds), (at) => probe(at, api));
    console.log(JSON.stringify(found));
  } finally {
    await api.disconnect();
  }
});
