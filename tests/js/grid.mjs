// SPDX-License-Identifier: Apache-2.0
// What each script needs: a chain, a key, and how a call ended.

// region: grid
import { ApiPromise, Keyring, WsProvider } from '@polkadot/api';

/** Connects to a chain, or fails at once. */
export async function connect(url) {
  const provider = new WsProvider(url);
  // polkadot-js doesn't know this extension; it adds nothing to a signed call.
  const signedExtensions = { AuthorizeCall: { extrinsic: {}, payload: {} } };
  const options = { provider, signedExtensions, noInitWarn: true, throwOnConnect: true };
  try {
    return await ApiPromise.create(options);
  } catch (error) {
    await provider.disconnect();
    throw new Error(`no chain answers at ${url} (${error.message}): does it run? --url names another`);
  }
}

/** The key pair of a secret URI: a phrase, or a development account such as //Bob. */
export function keyPair(uri) {
  return new Keyring({ type: 'sr25519' }).addFromUri(uri);
}

/** Signs and submits a call; answers with its block and events once that block is final. */
export function submit(api, call, pair) {
  const name = `${call.method.section}.${call.method.method}`;
  return new Promise((resolve, reject) => {
    call
      .signAndSend(pair, ({ status, events, dispatchError, isError }) => {
        if (dispatchError) reject(new Error(`${name} failed: ${explain(api, dispatchError)}`));
        else if (isError) reject(new Error(`${name} was dropped from the pool: ${status.type}`));
        else if (status.isFinalized) resolve({ block: status.asFinalized, events });
      })
      .catch((error) => reject(new Error(`${name} was refused: ${error.message}`)));
  });
}

/** Submits a call that only root may make, with the sudo key of a development chain. */
export async function submitAsRoot(api, call, pair) {
  const answer = await submit(api, api.tx.sudo.sudo(call), pair);
  const { event } = answer.events.find(({ event }) => api.events.sudo.Sudid.is(event));
  const { sudoResult } = event.data;
  if (sudoResult.isErr) {
    throw new Error(`${call.method.section}.${call.method.method} failed: ${explain(api, sudoResult.asErr)}`);
  }
  return answer;
}

function explain(api, error) {
  if (!error.isModule) return error.toString();
  const { section, name, docs } = api.registry.findMetaError(error.asModule);
  return `${section}.${name}: ${docs.join(' ').trim()}`;
}

/** Probes at each final block until there is an answer, at most `seconds` long. */
export async function untilFinal(api, what, seconds, probe) {
  let timer, unsubscribe;
  try {
    return await new Promise((resolve, reject) => {
      const giveUp = () => reject(new Error(`waited ${seconds} s for ${what}, in vain`));
      timer = setTimeout(giveUp, seconds * 1000);
      const look = async ({ hash }) => (await probe(await api.at(hash))) ?? undefined;
      api.rpc.chain
        .subscribeFinalizedHeads((head) =>
          look(head).then((found) => found !== undefined && resolve(found), reject))
        .then((stop) => (unsubscribe = stop), reject);
    });
  } finally {
    clearTimeout(timer);
    unsubscribe?.();
  }
}
// endregion

/** The twin of an account. */
export async function twinOf(api, { address }) {
  const twin = await api.query.twins.twinByAccount(address);
  if (twin.isNone) throw new Error(`${address} has no twin: threebot --key … twin create`);
  return twin.unwrap().toNumber();
}

/** An amount in units of 1e-7 TFT as people write it. */
export function tft(amount) {
  const digits = BigInt(amount).toString().padStart(8, '0');
  return `${digits.slice(0, -7)}.${digits.slice(-7)}`;
}

/** Runs a script: its answer as text or as JSON, its failure on one line. */
export async function main(script) {
  try {
    await script();
  } catch (error) {
    console.error(`error: ${error.message}`);
    process.exitCode = 1;
  }
}
