// SPDX-License-Identifier: Apache-2.0
// The well-known accounts of development chains.
import { getPublicKey, HDKD, secretFromSeed, sign } from '@scure/sr25519';
import { AccountId } from 'polkadot-api';
import { getPolkadotSigner } from 'polkadot-api/signer';
import type { Account } from './accounts';

/** Seed of the phrase from which every Substrate development chain derives its accounts. */
const SEED = 'fac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e';
const SS58_PREFIX = 42;

const bytes = (hex: string): Uint8Array => Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));

/** A name as the code of a hard derivation: SCALE, padded to 32 bytes. */
function chainCode(name: string): Uint8Array {
  const code = new Uint8Array(32);
  const text = new TextEncoder().encode(name);
  code.set([text.length << 2, ...text]);
  return code;
}

function developmentAccount(name: string): Account {
  const secret = HDKD.secretHard(secretFromSeed(bytes(SEED)), chainCode(name));
  const key = getPublicKey(secret);
  return {
    name: `//${name}`,
    address: AccountId(SS58_PREFIX).dec(key),
    signer: getPolkadotSigner(key, 'Sr25519', (message) => sign(secret, message)),
    isTest: true,
  };
}

export const developmentAccounts = (): Account[] => ['Alice', 'Bob', 'Charlie', 'Dave'].map(developmentAccount);
