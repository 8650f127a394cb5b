// SPDX-License-Identifier: Apache-2.0
// Blocks in words: calls, events and errors, by the metadata of the block's own runtime.
import type { EventPhase } from 'polkadot-api';
import { getDynamicBuilder, getLookupFn } from '@polkadot-api/metadata-builders';
import { Blake2256, compact, decAnyMetadata, extrinsicFormat, unifyMetadata, type UnifiedMetadata } from './substrate';
import { hex } from '../lib/safe';
import type { Chain } from './connection';

/** A call or an event: `Contracts.cancel`, its fields, and what the chain's documentation says of it. */
export interface Named {
  pallet: string;
  name: string;
  fields: unknown;
  docs: string;
}

export interface Transaction {
  index: number;
  hash: string;
  signer: string | undefined;
  call: Named;
}

export interface ChainEvent extends Named {
  /** Index of the transaction that it belongs to; none for the block's own. */
  transaction: number | undefined;
}

export interface DecodedBlock {
  number: number;
  hash: string;
  parent: string;
  /** Seconds since 1970. */
  time: number | undefined;
  transactions: Transaction[];
  /** None where the node has dropped the block's state. */
  events: ChainEvent[] | undefined;
  runtime: Runtime;
}

/** A module's error: its name and what the chain says of it. */
export interface Runtime {
  error(dispatchError: unknown): { name: string; docs: string };
  decode(extrinsic: Uint8Array, index: number): Transaction;
  docs(kind: 'calls' | 'events' | 'errors', pallet: string, name: string): string;
}

type Enum = { type: string; value: unknown };
const isEnum = (value: unknown): value is Enum => typeof value === 'object' && value !== null && 'type' in value && 'value' in value;

const runtimes = new WeakMap<Uint8Array, Runtime>();

async function runtimeAt(chain: Chain, hash: string): Promise<Runtime> {
  const metadata = await chain.client.getMetadata(hash);
  const known = runtimes.get(metadata);
  if (known) return known;
  const runtime = readRuntime(unifyMetadata(decAnyMetadata(metadata)));
  runtimes.set(metadata, runtime);
  return runtime;
}

function readRuntime(metadata: UnifiedMetadata): Runtime {
  const lookup = getLookupFn(metadata);
  const { buildDefinition } = getDynamicBuilder(lookup);
  if (!('address' in metadata.extrinsic)) throw new Error('the chain’s metadata is older than version 15');
  const { address, signature, call } = metadata.extrinsic;
  const codecs = { address: buildDefinition(address), signature: buildDefinition(signature), call: buildDefinition(call) };
  const extensions = Object.values(metadata.extrinsic.signedExtensions)[0] ?? [];
  const extensionCodecs = extensions.map(({ type }) => buildDefinition(type));

  const docs: Runtime['docs'] = (kind, pallet, name) => {
    const id = metadata.pallets.find((one) => one.name === pallet)?.[kind];
    const type = typeof id === 'object' ? id.type : id;
    const def = type === undefined ? undefined : metadata.lookup[type]?.def;
    const found = def?.tag === 'variant' ? def.value.find((variant) => variant.name === name) : undefined;
    return firstParagraph(found?.docs ?? []);
  };

  return {
    docs,
    decode(extrinsic, index) {
      const reader = new Reader(extrinsic);
      reader.skip(compact(extrinsic).size);
      const format = extrinsicFormat.dec(extrinsic.slice(reader.at, reader.at + 1));
      reader.skip(1);
      let signer: string | undefined;
      if (format.type === 'signed') {
        const account = reader.take(codecs.address);
        signer = isEnum(account) ? String(account.value) : String(account);
        reader.take(codecs.signature);
        for (const codec of extensionCodecs) reader.take(codec);
      } else if (format.type === 'general') {
        reader.skip(1);
        for (const codec of extensionCodecs) reader.take(codec);
      }
      return { index, hash: hex(Blake2256(extrinsic)), signer, call: named('calls', reader.take(codecs.call), docs) };
    },
    error(error) {
      if (isEnum(error) && error.type === 'Module' && isEnum(error.value)) {
        const { type: pallet, value } = error.value;
        const name = isEnum(value) ? value.type : '';
        return { name: `${pallet}.${name}`, docs: docs('errors', pallet, name) };
      }
      const name = isEnum(error) ? [error.type, isEnum(error.value) && error.value.type].filter(Boolean).join('.') : String(error);
      return { name, docs: '' };
    },
  };
}

/** Takes values off the front of bytes: each is as long as its own encoding. */
class Reader {
  at = 0;
  constructor(private readonly bytes: Uint8Array) {}
  skip(count: number): void {
    this.at += count;
  }
  take(codec: { enc: (value: unknown) => Uint8Array; dec: (bytes: Uint8Array) => unknown }): unknown {
    const value = codec.dec(this.bytes.slice(this.at));
    this.skip(codec.enc(value).length);
    return value;
  }
}

function named(kind: 'calls' | 'events', value: unknown, docs: Runtime['docs']): Named {
  if (!isEnum(value)) return { pallet: '', name: '', fields: value, docs: '' };
  const inner = isEnum(value.value) ? value.value : { type: '', value: value.value };
  return { pallet: value.type, name: inner.type, fields: inner.value, docs: docs(kind, value.type, inner.type) };
}

const firstParagraph = (docs: string[]): string => {
  const end = docs.findIndex((line) => line.trim() === '');
  return (end < 0 ? docs : docs.slice(0, end)).map((line) => line.trim()).join(' ').replaceAll('`', '');
};

/** The finalized block with this number or hash; none if the node doesn't know it. */
export async function readBlock(chain: Chain, ref: number | string): Promise<DecodedBlock | undefined> {
  const hash = typeof ref === 'string' ? ref : await hashOf(chain, ref);
  if (hash === undefined) return undefined;
  const header = await chain.client.getBlockHeader(hash).catch(() => undefined);
  if (!header || (typeof ref === 'string' && (await hashOf(chain, header.number)) !== hash)) return undefined;
  const [body, runtime] = await Promise.all([chain.client.getBlockBody(hash), runtimeAt(chain, hash)]);
  const transactions = body.map((bytes, index) => runtime.decode(bytes, index));
  // Events are of every pallet: descriptors of them all would be larger than the rest.
  const all = chain.client.getUnsafeApi<any>().query.System?.Events?.getValue({ at: hash });
  const events = (await all?.catch(() => undefined)) as { phase: EventPhase; event: unknown }[] | undefined;
  const now = await chain.api.query.Timestamp.Now.getValue({ at: hash }).catch(() => undefined);
  return {
    number: header.number,
    hash,
    parent: header.parentHash,
    time: now === undefined ? undefined : Number(now) / 1000,
    transactions,
    events: events?.map(({ phase, event }) => ({
      ...named('events', event, runtime.docs),
      transaction: phase.type === 'ApplyExtrinsic' ? phase.value : undefined,
    })),
    runtime,
  };
}

/** Hash of a finalized block by its number. */
async function hashOf(chain: Chain, number: number): Promise<string | undefined> {
  const head = chain.state.head;
  if (!head || number > head.number) return undefined;
  const hash = await chain.client._request<string | null>('chain_getBlockHash', [number]);
  return hash ?? undefined;
}

export interface Outcome {
  ok: boolean;
  /** Of a failed one. */
  error?: { name: string; docs: string };
}

/** What became of a transaction: a success only if its event says so. */
export function outcome({ events, runtime }: DecodedBlock, index: number): Outcome | undefined {
  const own = events?.filter((event) => event.transaction === index && event.pallet === 'System');
  const failed = own?.find(({ name }) => name === 'ExtrinsicFailed');
  if (failed) return { ok: false, error: runtime.error((failed.fields as { dispatch_error: unknown }).dispatch_error) };
  return own?.some(({ name }) => name === 'ExtrinsicSuccess') ? { ok: true } : undefined;
}
