// SPDX-License-Identifier: Apache-2.0
// Gives a development chain a new runtime: the code that it has, in other bytes, so that every node compiles
// it anew, and with its migrations run as after a higher spec version.
//
//   node upgrade-runtime.mjs --key //Alice

import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import { connect, keyPair, main, submitAsRoot, untilFinal } from './grid.mjs';

const { values: options } = parseArgs({
  options: {
    url: { type: 'string', default: 'ws://127.0.0.1:9944' },
    key: { type: 'string' },
    seconds: { type: 'string', default: '120' },
    json: { type: 'boolean', default: false },
  },
});

/** The key of the runtime in the state: `:code`. */
const CODE = '0x3a636f6465';
/** What a compressed runtime begins with. */
const COMPRESSED = '0x52bc537646db8e05';
/** A zstd frame that decoders skip: its magic number, and the length of the four bytes that follow. */
const SKIPPED = '502a4d1804000000';
/** A new runtime is in force so many blocks after the one in which it was set. */
const DELAY = 2;

/** The same code in other bytes. */
function repacked(code) {
  if (!code.startsWith(COMPRESSED)) throw new Error('the runtime is not compressed');
  return `${code}${SKIPPED}${randomBytes(4).toString('hex')}`;
}

/** Sets the code, and in the last block of the old one has it forget which runtime was there last. */
function upgrade(api, code) {
  const forget = api.tx.system.killStorage([api.query.system.lastRuntimeUpgrade.key()]);
  return api.tx.utility.batchAll([
    api.tx.scheduler.scheduleAfter(DELAY - 2, null, 0, forget),
    api.tx.system.setCodeWithoutChecks(code),
  ]);
}

main(async () => {
  const { url, key, seconds, json } = options;
  if (!key) throw new Error('usage: upgrade-runtime.mjs --key KEY [--url URL]');

  const api = await connect(url);
  try {
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
    if ((await api.rpc.state.getStorage.raw(CODE)) === code) throw new Error('the runtime is the old one');
    console.log(json ? JSON.stringify({ block: number }) : `the new runtime made block ${number}`);
  } finally {
    await api.disconnect();
  }
});
