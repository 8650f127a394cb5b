// SPDX-License-Identifier: Apache-2.0
// Waits until a flood fills the pool of a development chain, and counts the blocks until a node's reports and people's
// calls are in one. The node joins meanwhile.
//
//   node under-flood.mjs --key //Bob --council //Charlie --sudo //Alice --ticket TICKET --rounds 3

import { FLOODERS } from './flooders.mjs';
import { keyPair, main, twinOf } from './grid.mjs';
import { CAPACITY, heartbeat, machineKey, registration, ticketKey } from './reports.mjs';

/** Two thirds of what a pool of 20 MiB holds of the flood. A block has just taken some when it is counted. */
const HELD = 350;
/** Blocks that a call is waited for. */
const MOST_BLOCKS = 6;
/** A node's heartbeats come at least half an interval apart: two blocks. */
const BLOCKS_BETWEEN_HEARTBEATS = 2;
const WARM_UP_BLOCKS = 40;
const TFT = 10_000_000n;
const ONE = 10n ** 18n;

class Chain {
  constructor(api) {
    this.api = api;
    this.best = 0;
    this.heads = [];
    this.awaited = new Map();
  }

  /** Looks for what is awaited in each block as it comes: a node tells of some inclusions only with their finality. */
  async follow() {
    await this.api.rpc.chain.subscribeNewHeads(async ({ number, hash }) => {
      this.best = Math.max(this.best, number.toNumber());
      this.heads.splice(0).forEach((resolve) => resolve());
      const { block } = await this.ask('chain_getBlock', hash.toHex());
      block.extrinsics.forEach((extrinsic) => this.awaited.get(extrinsic)?.(number.toNumber()));
    });
    await this.next();
  }

  /** Asks the node without decoding the answer, which is large in a flood. */
  ask(method, ...params) {
    return this.api._rpcCore.provider.send(method, params);
  }

  next() {
    return new Promise((resolve) => this.heads.push(resolve));
  }

  async until(block) {
    while (this.best < block) await this.next();
  }

  /** How many transactions of the flood the pool holds. */
  async held() {
    const { api } = this;
    const of = async ({ address }) => {
      const [{ nonce }, next] =
        await Promise.all([api.query.system.account(address), api.rpc.system.accountNextIndex(address)]);
      return next.toNumber() - nonce.toNumber();
    };
    return (await Promise.all(FLOODERS.map(keyPair).map(of))).reduce((sum, held) => sum + held, 0);
  }

  /** The tip of `threebot`: 0.01 TFT times the multiplier of fees in a crowd. */
  async tip() {
    const multiplier = (await this.api.query.transactionPayment.nextFeeMultiplier()).toBigInt();
    return multiplier > ONE ? (TFT / 100n) * (multiplier / ONE) : 0n;
  }

  /** Submits an extrinsic; answers with the blocks until it is in one, or with why it isn't. */
  async blocksUntilIn(extrinsic) {
    const hex = extrinsic.toHex();
    const [begun, held] = [this.best, await this.held()];
    const included = new Promise((resolve) => {
      this.awaited.set(hex, (number) => resolve({ blocks: number - begun }));
      this.ask('author_submitExtrinsic', hex).catch((error) => resolve({ lost: error.message }));
    });
    const given = this.until(begun + MOST_BLOCKS).then(() => ({ lost: `not in ${MOST_BLOCKS} blocks` }));
    const outcome = await Promise.race([included, given]);
    this.awaited.delete(hex);
    return { begun, held, ...outcome };
  }
}

/** Registers the node; answers with its id. */
async function join(chain, ticket, key) {
  const { api } = chain;
  const joined = await chain.blocksUntilIn(registration(api, ticketKey(ticket), key));
  if (joined.lost) throw new Error(`the registration was lost: ${joined.lost}`);
  return { joined, node: (await api.query.nodes.nodeByKey(key.publicKey)).unwrap().toNumber() };
}

/** Sends heartbeats until `isOver()`, each two blocks after the last was in one. */
async function beat(chain, key, node, isOver) {
  const sent = [];
  while (!isOver()) {
    await chain.until(chain.best + BLOCKS_BETWEEN_HEARTBEATS);
    sent.push(await chain.blocksUntilIn(heartbeat(chain.api, key, node, Date.now())));
  }
  return sent;
}

/** The calls of a round, by name. */
function calls(api, twin, node, round) {
  const { tx } = api;
  const price = tx.clock.setPrice(500_000 + round);
  const body = { Plain: JSON.stringify({ version: 1, workloads: [] }) };
  const resources = { ...CAPACITY, cru: 1, mru: 2 ** 26, sru: 2 ** 24 };
  const deploy = tx.contracts.createNodeContract(node, resources, body, 0, [], 0, '18446744073709551615');
  return {
    deposit: ['key', tx.billing.deposit(twin, TFT)],
    deploy: ['key', deploy],
    council: ['council', tx.council.propose(2, price, price.encodedLength + 8)],
    sudo: ['sudo', tx.sudo.sudo(price)],
  };
}

async function measure(api, { key, council, sudo, ticket, rounds }) {
  const chain = new Chain(api);
  await chain.follow();
  const pairs = { key: keyPair(key), council: keyPair(council), sudo: keyPair(sudo) };
  const twin = await twinOf(api, pairs.key);
  const machine = machineKey('honest', 0);
  const { joined, node } = await join(chain, ticket, machine);

  let isOver = false;
  const beating = beat(chain, machine, node, () => isOver);
  const online = async () => (await api.call.gridApi.nodeOnline(node)).isTrue;
  const end = chain.best + WARM_UP_BLOCKS;
  while ((await chain.held()) < HELD || !(await online())) {
    if (chain.best > end) throw new Error(`after ${WARM_UP_BLOCKS} blocks the pool holds ${await chain.held()}`);
    await chain.next();
  }
  const included = { joined: [joined] };
  for (let round = 0; round < Number(rounds); round += 1) {
    const tip = await chain.tip();
    // Two calls of one account follow one another: each is measured for itself.
    for (const names of [['deposit', 'council', 'sudo'], ['deploy']]) {
      await Promise.all(names.map(async (name) => {
        const [who, call] = calls(api, twin, node, round)[name];
        const signed = await call.signAsync(pairs[who], { tip, nonce: -1 });
        (included[name] ??= []).push(await chain.blocksUntilIn(signed));
      }));
    }
  }
  isOver = true;
  included.heartbeat = await beating;
  const [contracts, motions, info] = await Promise.all([
    api.query.contracts.twinContracts.keys(twin), api.query.council.proposals(), api.call.gridApi.gridInfo(),
  ]);
  const effects = { contracts: contracts.length, motions: motions.length, price: info.tftPrice.toNumber() };
  return { node, online: await online(), effects, included };
}

main({
  usage: 'under-flood.mjs --key KEY --council KEY --sudo KEY --ticket TICKET [--rounds N]',
  options: {
    council: { type: 'string' },
    sudo: { type: 'string' },
    ticket: { type: 'string' },
    rounds: { type: 'string', default: '3' },
  },
  isComplete: ({ key, council, sudo, ticket }) => key && council && sudo && ticket,
  run: async (api, options) => ({ json: await measure(api, options) }),
});
