// SPDX-License-Identifier: Apache-2.0
// Waits for a state of the chain and prints it as JSON:
//
//   node grid-state.mjs usage 1                  usage and cost of contract 1, once its node has reported usage
//   node grid-state.mjs heartbeat 1              sequence number of the next heartbeat of node 1
//   node grid-state.mjs account --key //Bob      free and held TFT of the account, and its twin's credit

import { keyPair, main, tft, twinOf, untilFinal } from './grid.mjs';

/** Sequence number of the last heartbeat at the first probe. */
let lastHeartbeat;

/** Probes by name. They return nothing until the state is reached. */
const states = {
  async usage(at, { id }) {
    const status = (await at.call.gridApi.contractStatus(id)).unwrap();
    const usage = await at.query.contracts.usage(id);
    if (usage.isNone || !status.isDeployed) return;
    const cost = status.asDeployed.tft.toBigInt();
    return cost > 0n ? { usage: usage.unwrap(), tft: tft(cost) } : undefined;
  },

  async heartbeat(at, { id }) {
    const { sequence } = (await at.query.nodes.heartbeats(id)).unwrap();
    lastHeartbeat ??= sequence;
    return sequence.gt(lastHeartbeat) ? { sequence: sequence.toNumber() } : undefined;
  },

  async account(at, { api, key }) {
    const { address } = keyPair(key);
    const { data } = await at.query.system.account(address);
    const { credit } = await at.call.gridApi.payer(await twinOf(api, { address }));
    const [free, held, credited] = [data.free, data.reserved, credit].map((x) => tft(x.toBigInt()));
    return { free, held, credit: credited };
  },
};

main({
  usage: `grid-state.mjs (${Object.keys(states).join(' | ')}) [ID] [--key KEY] [--seconds N]`,
  options: { seconds: { type: 'string', default: '120' } },
  isComplete: (_, [what]) => what in states,
  async run(api, { key, seconds }, [what, id]) {
    const label = [what, id].filter(Boolean).join(' ');
    const json = await untilFinal(api, label, Number(seconds), (at) => states[what](at, { api, key, id }));
    return { json };
  },
});
