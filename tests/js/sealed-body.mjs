// SPDX-License-Identifier: Apache-2.0
// Seals a body to X25519 keys as the chain has them, or opens one; reads stdin, prints to stdout:
//
//   node sealed-body.mjs seal TWIN KEY… < site.json > body  for contracts of this twin alone; keys in hex
//   node sealed-body.mjs open SECRET < body                 secret key in hex

import { text, buffer } from 'node:stream/consumers';
import { bech32 } from '@scure/base';
import { Decrypter, Encrypter, Stanza } from 'age-encryption';

/** The recipient of age that stands for a key. */
const recipient = (key) => bech32.encode('age', bech32.toWords(key));
/** The identity of age that stands for a secret key. */
const identity = (secret) => bech32.encode('age-secret-key-', bech32.toWords(secret)).toUpperCase();

async function seal(plain, twin, keys) {
  const encrypter = new Encrypter();
  for (const key of keys) encrypter.addRecipient(recipient(key));
  encrypter.addRecipient({ wrapFileKey: () => [new Stanza(['tfgrid-twin', twin], new Uint8Array())] });
  return encrypter.encrypt(plain);
}

async function open(sealed, secret) {
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity(secret));
  return decrypter.decrypt(sealed, 'text');
}

const fromHex = (key) => Uint8Array.from(Buffer.from(key, 'hex'));
const [action, first, ...keys] = process.argv.slice(2);
if (action === 'seal' && /^\d+$/.test(first) && keys.length > 0) {
  process.stdout.write(await seal(await text(process.stdin), first, keys.map(fromHex)));
} else if (action === 'open' && first && keys.length === 0) {
  process.stdout.write(await open(new Uint8Array(await buffer(process.stdin)), fromHex(first)));
} else {
  console.error('usage: sealed-body.mjs (seal TWIN KEY… | open SECRET) < IN > OUT');
  if (action !== '--help') process.exitCode = 2;
}
