// SPDX-License-Identifier: Apache-2.0
// Waits until the chain shows something, and prints it as JSON:
//
//   node grid-state.mjs usage 1       what contract 1 has used and cost, once its node says it
//   node grid-state.mjs heartbeat 1   the number of the next heartbeat of node 1
//   node grid-state.mjs account       the key's free and held TFT and its twin's credit

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

/** The number of the last heartbeat at the first look. */
let lastHeartbeat;

/** Each answers nothing for as long as it isn't so. */
const states = {
  async usage(at) {
    const status = (await at.call.gridApi.contractStatus(id)).unwrap();
    const usage = await at.query.contracts.usage(id);
    if (usage.isNone || !status.isDeployed) return;
    const cost = status.asDeployed.tft.toBigInt();
    return cost > 0n ? { usage: usage.unwrap(), tft: tft(cost) } : undefined;
  },

  async heartbeat(at) {
    const { sequence } = (await at.query.nodes.heartbeats(id)).unwrap();
    lastHeartbeat ??= sequence;
    return sequence.gt(lastHeartbeat) ? { sequence: sequence.toNumber() } : undefined;
  },

  async account(at, api) {
    const { address } = keyPair(options.key);
    const { data } = await at.query.system.account(address);
    const { credit } = await at.call.gridApi.payer(await twinOf(api, { address }));
    const [free, held, credited] = [data.free, data.reserved, credit].map((x) => tft(x.toBigInt()));
    return { free, held, credit: credited };
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
