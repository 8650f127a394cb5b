// SPDX-License-Identifier: Apache-2.0
// Creates contracts of //Bob's on a development chain, so many on each of these nodes, with a small volume each. Nodes
// have a day to answer for them.
//
//   node rent.mjs ws://127.0.0.1:9944 49 14 21

import { connect, keyPair, submit, submitAsRoot } from '../../tests/js/grid.mjs';

const MIB = 2 ** 20;
const DAY_MS = 86_400_000;
const RATE = 10_000_000_000n;
/** Contracts of one transaction: they fit a block. */
const AT_ONCE = 100;

const api = await connect(process.argv[2]);
const [each, ...nodes] = process.argv.slice(3).map(Number);
const answer = { Intervals: { AnswerMs: [null, DAY_MS] } };
await submitAsRoot(api, api.tx.parameters.setParameter(answer), keyPair('//Alice'));
const body = { version: 1, workloads: [{ name: 'data', type: 'zmount', data: { size: 16 * MIB } }] };
const needs = { cru: 0, mru: 0, sru: 16 * MIB, hru: 0, gpu: 0 };
const create = (node) =>
  api.tx.contracts.createNodeContract(node, needs, { Plain: JSON.stringify(body) }, 0, [], 0, RATE);
const calls = nodes.flatMap((node) => Array.from({ length: each }, () => create(node)));
for (let from = 0; from < calls.length; from += AT_ONCE) {
  await submit(api, api.tx.utility.batchAll(calls.slice(from, from + AT_ONCE)), keyPair('//Bob'));
}
await api.disconnect();
