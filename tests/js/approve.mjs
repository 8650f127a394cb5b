// SPDX-License-Identifier: Apache-2.0
// Lists the calls of a team's account that await signatures, and signs the one that is named, as any wallet can.
//
//   node approve.mjs --key //Bob --with 5Grwva…,5FLSig… --threshold 2
//   node approve.mjs --key //Bob --with 5Grwva…,5FLSig… --threshold 2 0x…

import { createKeyMulti, encodeAddress, sortAddresses } from '@polkadot/util-crypto';
import { keyPair, main, submit } from './grid.mjs';

// region: read
/** The call of a proposal, from the transaction that proposed it. Its hash proves that it is the one. */
async function proposedCall(api, hash, { height, index }) {
  const { block } = await api.rpc.chain.getBlock(await api.rpc.chain.getBlockHash(height));
  const call = findCall(block.extrinsics[index.toNumber()].method, hash);
  if (!call) throw new Error(`the block ${height} doesn't have the call ${hash}`);
  return call;
}

function findCall(call, hash) {
  if (call.hash.toHex() === hash) return call;
  for (const argument of call.args) {
    for (const inner of Array.isArray(argument) ? argument : [argument]) {
      const found = inner?.callIndex && findCall(inner, hash);
      if (found) return found;
    }
  }
}
// endregion

// region: sign
/** Signs a call for a team; the last signature that it needs makes it. */
async function sign(api, pair, others, threshold, when, call) {
  const { weight } = await api.call.transactionPaymentCallApi.queryCallInfo(call, call.encodedLength);
  const signature = api.tx.multisig.asMulti(threshold, others, when, call, weight);
  const { events } = await submit(api, signature, pair);
  const made = events.find(({ event }) => api.events.multisig.MultisigExecuted.is(event));
  if (made?.event.data.result.isErr) throw new Error(`the call failed: ${made.event.data.result.asErr}`);
  return Boolean(made);
}
// endregion

main({
  usage: 'approve.mjs --key KEY --with ACCOUNT,… --threshold N [HASH]',
  options: { with: { type: 'string' }, threshold: { type: 'string' } },
  isComplete: (options) => options.key && options.with && options.threshold,
  async run(api, options, [hash]) {
    const pair = keyPair(options.key);
    const [others, threshold] = [sortAddresses(options.with.split(','), 42), Number(options.threshold)];
    const account = encodeAddress(createKeyMulti([pair.address, ...others], threshold), 42);
    const entries = await api.query.multisig.multisigs.entries(account);
    const proposals = [];
    for (const [key, record] of entries) {
      const { when } = record.unwrap();
      const proposed = key.args[1].toHex();
      const call = await proposedCall(api, proposed, when);
      const made = proposed === hash && (await sign(api, pair, others, threshold, when, call));
      proposals.push({ call_hash: proposed, call: call.toHuman(), signed: proposed === hash, made });
    }
    if (hash && !proposals.some(({ signed }) => signed)) throw new Error(`no call ${hash} awaits signatures`);
    return { json: { account, proposals } };
  },
});
