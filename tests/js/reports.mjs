// SPDX-License-Identifier: Apache-2.0
// Registers machines and signs their reports, as docs/FORMATS.md §2 and §3 say.

import { Keyring } from '@polkadot/api';
import { hexToU8a, stringToU8a, u8aConcat } from '@polkadot/util';

const TICKET = 'tfgrid-ticket-1:';
const HEARTBEAT = 0;
const DEPLOYED = 1;
const FAILED = 2;
const PROGRESS = 4;
const DETAILS = 6;
/** How long a registration is valid, in seconds; the chain allows an hour. */
const VALID_SECONDS = 1800;
export const CAPACITY = { cru: 8, mru: 2 ** 33, sru: 2 ** 35, hru: 0, gpu: 0 };

const ed25519 = (seed) => new Keyring({ type: 'ed25519' }).addFromSeed(seed);
const u32 = (value) => new Uint8Array(new Uint32Array([value]).buffer);
const u64 = (value) => new Uint8Array(new BigUint64Array([BigInt(value)]).buffer);

/** The key of a boot ticket in its text form. */
export const ticketKey = (text) => ed25519(hexToU8a(`0x${text.slice(TICKET.length)}`));

/** The signature with which a ticket's key lets a farm open it. */
export const opening = (api, ticket, farm) =>
  ticket.sign(u8aConcat(stringToU8a('tfgrid/opening/1'), api.genesisHash, u32(farm)));

/** The `n`-th key of a machine; those of different names differ. */
export const machineKey = (name, n) => ed25519(stringToU8a(`${name} ${n}`.padEnd(32)));

/** The registration of a machine, with `machine` in place of some fields; the chain's clock is that of its node. */
export function registration(api, ticket, key, machine = {}) {
  const fields = {
    ticket: ticket.publicKey, node_key: key.publicKey, peer_key: key.publicKey, encryption_key: key.publicKey,
    resources: CAPACITY, isolation: 'Container', valid_until: Math.floor(Date.now() / 1000) + VALID_SECONDS, ...machine,
  };
  const empty = new Uint8Array(64);
  const encoded = api.tx.nodes.register(fields, empty, empty).args[0].toU8a();
  const signed = u8aConcat(stringToU8a('tfgrid/ticket/v1'), api.genesisHash, encoded);
  return api.tx.nodes.register(fields, ticket.sign(signed), key.sign(signed));
}

function report(api, call, kind, key, node, sequence, payload) {
  const encoded = call(node, sequence, payload, new Uint8Array(64)).args[2].toU8a();
  const head = [stringToU8a('tfgrid/report/v1'), api.genesisHash, u32(node), [kind], u64(sequence)];
  return call(node, sequence, payload, key.sign(u8aConcat(...head, encoded)));
}

export const heartbeat = (api, key, node, sequence) =>
  report(api, api.tx.nodes.heartbeat, HEARTBEAT, key, node, sequence, { boot_nonce: node });

export function deployed(api, key, node, sequence, { contract, bodyHash }, result) {
  const payload = { contract, version: 1, body_hash: bodyHash, result: JSON.stringify(result) };
  return report(api, api.tx.contracts.reportDeployed, DEPLOYED, key, node, sequence, payload);
}

export const progress = (api, key, node, sequence, { contract }) =>
  report(api, api.tx.contracts.reportProgress, PROGRESS, key, node, sequence, { contract, version: 1 });

export function failed(api, key, node, sequence, { contract, version, code, path, text }) {
  const payload = { contract, failure: { version, code, path, text } };
  return report(api, api.tx.contracts.reportFailed, FAILED, key, node, sequence, payload);
}

/** A report of the hardware, with `machine` in place of some fields. */
export function details(api, key, node, sequence, machine = {}) {
  const payload = {
    resources: CAPACITY, isolation: 'Container', serial: '', virtualized: false, secure_boot: false, gpus: [],
    bytes_per_second: 125_000_000, features: 0b11, peer_addresses: '', version: '', ...machine,
  };
  return report(api, api.tx.nodes.reportDetails, DETAILS, key, node, sequence, payload);
}
