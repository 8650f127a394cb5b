// SPDX-License-Identifier: Apache-2.0
// Floods the pool of a development chain with all that is free or cheap, until it is ended: transactions that fill
// blocks and pay for it, reports of as many nodes as its ticket admits, and reports and registrations that are invalid.
//
//   node flood.mjs --key //Ferdie --ticket TICKET --nodes 64

import { FLOODERS } from './flooders.mjs';
import { keyPair, main } from './grid.mjs';
import { details, heartbeat, machineKey, registration, ticketKey } from './reports.mjs';

/** Bytes of one paid transaction, and transfers in it: a block has neither bytes nor time for a hundred of them. */
const BYTES = 38_000;
const TRANSFERS = 75;
/** A thousandth of the fee. It passes before every call without a tip. */
const TIP = 1_000;
/** Transactions of one account that wait. All accounts together have more than a pool of 20 MiB holds. */
const WAITING = 64;
const BATCH = 8;
/** Invalid reports, and as many registrations, that are submitted together again and again. */
const INVALID = 50;
const PAUSE_MS = 200;

const pause = () => new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
/** Submits without the library's log line for each refusal; answers with whether the pool has taken it. */
const submit = (api, extrinsic) => send(api, extrinsic.toHex());
const send = (api, hex) => api._rpcCore.provider.send('author_submitExtrinsic', [hex]).then(() => true, () => false);

async function pay(api, pair) {
  const transfer = api.tx.balances.transferKeepAlive(pair.address, 1);
  const remark = api.tx.system.remark(new Uint8Array(BYTES));
  const call = api.tx.utility.batch([remark, ...Array(TRANSFERS).fill(transfer)]);
  const { genesisHash, runtimeVersion } = api;
  const options = { blockHash: genesisHash, genesisHash, runtimeVersion, era: 0, tip: TIP };
  for (;;) {
    const [{ nonce }, next] = await Promise.all([
      api.query.system.account(pair.address), api.rpc.system.accountNextIndex(pair.address),
    ]);
    const free = nonce.toNumber() + WAITING - next.toNumber();
    const batch = Array.from({ length: Math.min(free, BATCH) }, (_, i) =>
      submit(api, call.sign(pair, { ...options, nonce: next.toNumber() + i })));
    const taken = await Promise.all(batch);
    if (!taken.length || taken.includes(false)) await pause();
  }
}

/** Registers its nodes, and sends their reports as soon as the chain takes them. */
async function report(api, ticket, count) {
  const keys = Array.from({ length: count }, (_, n) => machineKey('flood', n));
  for (;;) {
    await Promise.all(keys.map(async (key) => {
      const node = await api.query.nodes.nodeByKey(key.publicKey);
      if (node.isNone) return submit(api, registration(api, ticket, key));
      const id = node.unwrap().toNumber();
      return Promise.all([heartbeat, details].map((kind) => submit(api, kind(api, key, id, Date.now()))));
    }));
    await pause();
  }
}

/** Reports of the first nodes and registrations with the ticket, each signed by a key that may not. */
async function invent(api, ticket) {
  const keys = Array.from({ length: INVALID }, (_, n) => machineKey('nobody', n));
  const made = keys.flatMap((key, n) => [
    heartbeat(api, key, 1 + (n % 4), Number.MAX_SAFE_INTEGER), registration(api, n % 2 ? ticket : key, key),
  ]).map((extrinsic) => extrinsic.toHex());
  for (;;) {
    await Promise.all(made.map((hex) => send(api, hex)));
    await pause();
  }
}

main({
  usage: 'flood.mjs --key KEY --ticket TICKET --nodes N',
  options: { ticket: { type: 'string' }, nodes: { type: 'string' } },
  isComplete: ({ ticket, nodes }) => ticket && nodes,
  async run(api, { ticket, nodes }) {
    const key = ticketKey(ticket);
    await Promise.all([
      ...FLOODERS.map((uri) => pay(api, keyPair(uri))), report(api, key, Number(nodes)), invent(api, key),
    ]);
  },
});
