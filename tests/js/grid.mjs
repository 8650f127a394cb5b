// SPDX-License-Identifier: Apache-2.0
// Shared by all scripts: connection, keys, submission of calls, and the frame of a script.

// region: grid
import { parseArgs } from 'node:util';
import { ApiPromise, Keyring, WsProvider } from '@polkadot/api';

/** Connects to a chain. Fails at once if none answers. */
export async function connect(url) {
  const provider = new WsProvider(url);
  try {
    return await ApiPromise.create({ provider, noInitWarn: true, throwOnConnect: true });
  } catch (error) {
    await provider.disconnect();
    throw new Error(`no chain answers at ${url} (${error.message}): is it running? Choose another with --url`);
  }
}

/** The key pair of a secret URI: a phrase, or a development account such as //Bob. */
export function keyPair(uri) {
  return new Keyring({ type: 'sr25519' }).addFromUri(uri);
}

/** Signs and submits a call; returns its block and events once the block is final. */
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

/** Submits a call as root, with the sudo key of a development chain. */
export async function submitAsRoot(api, call, pair) {
  const included = await submit(api, api.tx.sudo.sudo(call), pair);
  const { event } = included.events.find(({ event }) => api.events.sudo.Sudid.is(event));
  const { sudoResult } = event.data;
  if (sudoResult.isErr) {
    throw new Error(`${call.method.section}.${call.method.method} failed: ${explain(api, sudoResult.asErr)}`);
  }
  return included;
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
      const giveUp = () => reject(new Error(`timed out after ${seconds} s: ${what}`));
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

/** Formats units of 1e-7 TFT with seven decimals. */
export function tft(amount) {
  const digits = BigInt(amount).toString().padStart(8, '0');
  return `${digits.slice(0, -7)}.${digits.slice(-7)}`;
}

const COMMON_OPTIONS = {
  url: { type: 'string', default: 'ws://127.0.0.1:9944' },
  key: { type: 'string' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
};

/**
 * Runs a script: parses its arguments, connects, and prints what `run` returns, `{ json, text }`, as JSON with --json
 * and as text without it. An error is printed on one line.
 *
 * `run(api, options, positionals)` gets a connection and the arguments. `isComplete(options, positionals)` tells
 * whether the required arguments are there.
 */
export async function main({ usage, options = {}, isComplete = ({ key }) => key, run }) {
  let api;
  try {
    const allOptions = { ...COMMON_OPTIONS, ...options };
    const { values, positionals } = parseArgs({ allowPositionals: true, options: allOptions });
    const help = `usage: ${usage} [--url URL] [--json]`;
    if (values.help) {
      console.log(help);
      return;
    }
    if (!isComplete(values, positionals)) throw new Error(help);
    api = await connect(values.url);
    const { json, text } = await run(api, values, positionals);
    console.log(values.json || text === undefined ? JSON.stringify(json) : text);
  } catch (error) {
    console.error(`error: ${error.message}`);
    process.exitCode = 1;
  } finally {
    await api?.disconnect();
  }
}
