// SPDX-License-Identifier: Apache-2.0
// Seals a body to X25519 keys as the chain has them, or opens one; reads stdin, prints to stdout:
//
//   node sealed-body.mjs seal KEY… < site.json > body      keys in hex
//   node sealed-body.mjs open SECRET < body                secret key in hex

import { text, buffer } from 'node:stream/consumers';
import { bech32 } from '@scure/base';
import { Decrypter, Encrypter } from 'age-encryption';

/** The recipient of age that stands for a key. */
const recipient = (key) => bech32.encode('age', bech32.toWords(key));
/** The identity of age that stands for a secret key. */
const identity = (secret) => bech32.encode('age-secret-key-', bech32.toWords(secret)).toUpperCase();

async function seal(plain, keys) {
  const encrypter = new Encrypter();
  for (const key of keys) encrypter.addRecipient(recipient(key));
  return encrypter.encrypt(plain);
}

async function open(sealed, secret) {
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity(secret));
  return decrypter.decrypt(sealed, 'text');
}

const [action, ...keys] = process.argv.slice(2);
const bytes = keys.map((key) => Uint8Array.from(Buffer.from(key, 'hex')));
if (action === 'seal' && bytes.length > 0) {
  process.stdout.write(await seal(await text(process.stdin), bytes));
} else if (action === 'open' && bytes.length === 1) {
  process.stdout.write(await open(new Uint8Array(await buffer(process.stdin)), bytes[0]));
} else {
  console.error('usage: sealed-body.mjs (seal KEY… | open SECRET) < IN > OUT');
  if (action !== '--help') process.exitCode = 2;
}
