// SPDX-License-Identifier: Apache-2.0
// Floods the pool of a development chain with all that is free or cheap, until it is ended: transactions that fill
// blocks and pay for it, reports of as many nodes as its ticket admits, among them corrections of results and progress
// of a contract on each, and reports and registrations that are invalid. The key's account needs a twin.
//
//   node flood.mjs --key //Ferdie --ticket TICKET --nodes 64

import { FLOODERS } from './flooders.mjs';
import { keyPair, main, submit as include, twinOf } from './grid.mjs';
import { deployed, details, heartbeat, machineKey, progress, registration, ticketKey } from './reports.mjs';

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

/** The smallest contract, and credit for many of them. */
const TINY = { cru: 0, mru: 0, sru: 1, hru: 0, gpu: 0 };
const CREDIT = 100_000_000;
const ANY_RATE = '18446744073709551615';

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

/** Registers a node; answers with its id. */
async function join(api, ticket, key) {
  for (;;) {
    const node = await api.query.nodes.nodeByKey(key.publicKey);
    if (node.isSome) return node.unwrap().toNumber();
    await submit(api, registration(api, ticket, key));
    await pause();
  }
}

/** Opens two contracts on each node; answers with them by node: one to be deployed, and one that waits for ever. */
async function reserve(api, pair, nodes) {
  const deposit = api.tx.billing.deposit(await twinOf(api, pair), CREDIT);
  const create = (node) => api.tx.contracts.createNodeContract(node, TINY, { Plain: '{}' }, 0, [], 0, ANY_RATE);
  const calls = [deposit, ...nodes.flatMap((node) => [create(node), create(node)])];
  const { events } = await include(api, api.tx.utility.batchAll(calls), pair);
  const opened = events.filter(({ event }) => api.events.contracts.NodeContractCreated.is(event));
  const contracts = new Map(nodes.map((node) => [node, []]));
  for (const { event: { data } } of opened) {
    const record = await api.query.contracts.contracts(data.contract);
    const { bodyHash } = record.unwrap().kind.asNode;
    contracts.get(data.node.toNumber()).push({ contract: data.contract.toNumber(), bodyHash });
  }
  return contracts;
}

/** Sends all kinds of reports of its nodes as soon as the chain takes them. */
async function report(api, keys, contracts) {
  const nodes = [...contracts];
  for (;;) {
    await Promise.all(keys.flatMap((key, n) => {
      const [node, [running, waiting]] = nodes[n];
      const now = Date.now();
      return [
        heartbeat(api, key, node, now), details(api, key, node, now),
        deployed(api, key, node, now, running, { now }), progress(api, key, node, now, waiting),
      ].map((extrinsic) => submit(api, extrinsic));
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
  isComplete: ({ key, ticket, nodes }) => key && ticket && nodes,
  async run(api, { key, ticket, nodes }) {
    const secret = ticketKey(ticket);
    const keys = Array.from({ length: Number(nodes) }, (_, n) => machineKey('flood', n));
    const ids = await Promise.all(keys.map((machine) => join(api, secret, machine)));
    // Before the flood, which has the same account.
    const contracts = await reserve(api, keyPair(key), ids);
    await Promise.all([
      ...FLOODERS.map((uri) => pay(api, keyPair(uri))), report(api, keys, contracts), invent(api, secret),
    ]);
  },
});
