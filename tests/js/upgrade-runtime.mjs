// SPDX-License-Identifier: Apache-2.0
// Upgrades the runtime of a development chain. The new code is the present code in different bytes, so that every
// node compiles it again; migrations run as with a higher spec version.
//
//   node upgrade-runtime.mjs --key //Alice

import { randomBytes } from 'node:crypto';
import { keyPair, main, submitAsRoot, untilFinal } from './grid.mjs';

/** Storage key of the runtime: `:code`. */
const CODE = '0x3a636f6465';
/** Prefix of a compressed runtime. */
const COMPRESSED = '0x52bc537646db8e05';
/** Start of a zstd frame that decoders skip: its magic number and its length of four bytes. */
const SKIPPED = '502a4d1804000000';
/** Number of blocks from setting a runtime to its first block. */
const DELAY = 2;

/** The same code in different bytes. */
function repacked(code) {
  if (!code.startsWith(COMPRESSED)) throw new Error('the runtime is not compressed');
  return `${code}${SKIPPED}${randomBytes(4).toString('hex')}`;
}

/** Sets the code, and removes the record of the last upgrade in the last block of the old runtime. */
function upgrade(api, code) {
  const forget = api.tx.system.killStorage([api.query.system.lastRuntimeUpgrade.key()]);
  return api.tx.utility.batchAll([
    api.tx.scheduler.scheduleAfter(DELAY - 2, null, 0, forget),
    api.tx.system.setCodeWithoutChecks(code),
  ]);
}

main({
  usage: 'upgrade-runtime.mjs --key KEY',
  options: { seconds: { type: 'string', default: '120' } },
  async run(api, { key, seconds }) {
    const code = await api.rpc.state.getStorage.raw(CODE);
    const { block } = await submitAsRoot(api, upgrade(api, repacked(code)), keyPair(key));
    const set = (await api.rpc.chain.getHeader(block)).number.toNumber();
    const number = await untilFinal(api, 'the new runtime', Number(seconds), async (at) => {
      const number = (await at.query.system.number()).toNumber();
      if (number < set + DELAY) return;
      const last = await at.query.system.lastRuntimeUpgrade();
      if (last.isNone) throw new Error(`the new runtime hasn't migrated in block ${number}`);
      return number;
    });
    if ((await api.rpc.state.getStorage.raw(CODE)) === code) throw new Error('the runtime is still the old one');
    return { json: { block: number }, text: `the new runtime made block ${number}` };
  },
});
