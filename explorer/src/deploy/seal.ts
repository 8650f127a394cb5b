// SPDX-License-Identifier: Apache-2.0
// Sealed bodies and secrets (docs/FORMATS.md §4.1 and §4.2): for the node, the owner's twin and the owner's bots.
import { base64, bech32 } from '@scure/base';
import type { At } from '../chain/read';
import { openSecrets, type Deployment } from './deployment';

export interface SealKeys {
  /** The twin in whose contracts alone nodes open it. */
  twin: number;
  /** X25519 public keys in hex, as the chain has them. */
  node: string;
  owner: string | undefined;
  bots: string[];
}

export async function sealKeys({ api, opt }: At, node: number, twin: number, account: string): Promise<SealKeys | undefined> {
  const [record, owner, [proxies]] = await Promise.all([
    api.query.Nodes.Nodes.getValue(node, opt),
    api.query.Twins.Twins.getValue(twin, opt),
    api.query.Proxy.Proxies.getValue(account, opt),
  ]);
  const bots = await Promise.all(
    proxies.filter(({ proxy_type }) => proxy_type.type === 'Deploy').map(async ({ delegate }) => {
      const bot = await api.query.Twins.TwinByAccount.getValue(delegate, opt);
      const key = bot === undefined ? undefined : (await api.query.Twins.Twins.getValue(bot, opt))?.encryption_key;
      // Whoever has stolen a bot would keep its owner from sealing anything.
      return key !== undefined && (await isStrong(key)) ? key : undefined;
    }),
  );
  return record && { twin, node: record.encryption_key, owner: owner?.encryption_key, bots: bots.filter((key) => key !== undefined) };
}

/** A key of the chain as a recipient of age. */
export function recipient(key: string): string {
  const bytes = Uint8Array.from(key.replace(/^0x/, '').match(/../g) ?? [], (byte) => parseInt(byte, 16));
  return bech32.encode('age', bech32.toWords(bytes));
}

/** Whether not everyone could open what is sealed to a key. */
export async function isStrong(key: string): Promise<boolean> {
  const { Encrypter } = await import('age-encryption');
  const encrypter = new Encrypter();
  encrypter.addRecipient(recipient(key));
  return encrypter.encrypt(new Uint8Array()).then(() => true, () => false);
}

/** The type of the stanza that says for which twin's contracts a file is. */
const TWIN = 'tfgrid-twin';

/** Fails if a key is weak: anyone could open what is sealed to it. */
export async function seal(plain: Uint8Array, { twin, node, owner, bots }: SealKeys): Promise<Uint8Array> {
  const { Encrypter, Stanza } = await import('age-encryption');
  const encrypter = new Encrypter();
  for (const key of new Set([node, ...(owner ? [owner] : []), ...bots])) encrypter.addRecipient(recipient(key));
  // The chain shows it to everyone, and without a twin the node would open a copy in a stranger's contract.
  encrypter.addRecipient({ wrapFileKey: () => [new Stanza([TWIN, String(twin)], new Uint8Array())] });
  return encrypter.encrypt(plain);
}

/** A body whose secrets, if it has any, are sealed, and nothing else. */
export async function sealSecrets(plain: Uint8Array, keys: SealKeys): Promise<Uint8Array> {
  const body = JSON.parse(new TextDecoder().decode(plain)) as Deployment;
  const secrets = openSecrets(body);
  if (!secrets) return plain;
  const sealed = await seal(new TextEncoder().encode(JSON.stringify(secrets)), keys);
  return new TextEncoder().encode(JSON.stringify({ ...body, secrets: base64.encode(sealed) }));
}

/** What age adds to a text: a header, a stanza for each reader, and that of the twin. */
const HEADER_BYTES = 102;
const STANZA_BYTES = 98;
const twinBytes = (twin: number): number => `-> ${TWIN} ${twin}\n\n`.length;

/** Bytes of a text once it is sealed. */
export const sealedSize = (bytes: number, { twin, owner, bots }: SealKeys): number =>
  bytes + HEADER_BYTES + STANZA_BYTES * (1 + (owner ? 1 : 0) + bots.length) + twinBytes(twin);
