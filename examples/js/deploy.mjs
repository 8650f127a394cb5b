// SPDX-License-Identifier: Apache-2.0
// Finds a node, deploys a web server on it, waits until it runs, shows what it costs, and cancels it.
//
//   npm ci
//   node deploy.mjs --key //Bob --image docker.io/library/nginx:1.27-alpine

import { parseArgs } from 'node:util';
import { sr25519CreateDerive } from '@polkadot-labs/hdkd';
import { DEV_PHRASE, entropyToMiniSecret, mnemonicToEntropy, ss58Address } from '@polkadot-labs/hdkd-helpers';
import { Binary, createClient, Enum } from 'polkadot-api';
import { getPolkadotSigner } from 'polkadot-api/signer';
import { getWsProvider } from 'polkadot-api/ws';
import WebSocket from 'ws';

const MIB = 1024 ** 2;
const PAGE = 100;
const AT = { at: 'finalized' };

const deployment = (image) => ({
  version: 1,
  description: 'a web server, from JavaScript',
  workloads: [
    { name: 'data', type: 'zmount', data: { size: 16 * MIB } },
    {
      name: 'web',
      type: 'zmachine',
      data: { image, cpu: 0.5, memory: 128 * MIB, rootfs: 64 * MIB, mounts: [{ name: 'data', path: '/data' }] },
    },
  ],
});

/** What the workloads need, as docs/FORMATS.md §4 sums it up. */
function needs({ workloads }) {
  const sum = (of) => workloads.reduce((total, { data }) => total + of(data), 0);
  return {
    cru: BigInt(Math.ceil(sum(({ cpu = 0 }) => Math.round(cpu * 100)) / 100)),
    mru: BigInt(sum(({ memory = 0 }) => memory)),
    sru: BigInt(sum(({ rootfs = 0, size = 0 }) => rootfs + size)),
    hru: 0n,
    gpu: 0n,
  };
}

/** The account of a phrase with or without a path, or of a path such as //Bob of the development phrase. */
function account(uri) {
  const [phrase, ...names] = uri.split('//');
  const derive = sr25519CreateDerive(entropyToMiniSecret(mnemonicToEntropy(phrase || DEV_PHRASE)));
  const pair = derive(names.map((name) => `//${name}`).join(''));
  return { address: ss58Address(pair.publicKey, 42), signer: getPolkadotSigner(pair.publicKey, 'Sr25519', pair.sign) };
}

const json = (value) => JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? `${item}` : item));

/** Submits a call; returns its events once its block is final. */
async function submit(name, call, signer) {
  const { ok, dispatchError, events } = await call.signAndSubmit(signer);
  if (!ok) throw new Error(`the chain refused ${name}: ${json(dispatchError)}`);
  return events;
}

/** The chosen node, or else the cheapest with room for so much, and its rate in 1e-10 USD per hour. */
async function findNode(api, free, chosen) {
  const filter = { free, farm: undefined, country: undefined, certified: false, rentable: false, unavailable: false };
  const found = [];
  let after;
  do {
    const page = await api.apis.GridApi.find_nodes(filter, after, PAGE, AT);
    found.push(...page.items.map(({ node }) => node).filter((node) => chosen === undefined || node === chosen));
    after = page.next;
  } while (after !== undefined);
  const quote = async (node) => ({ node, rate: await api.apis.GridApi.quote(node, free, 0, AT) });
  const offers = await Promise.all(found.map(quote));
  if (offers.length === 0) throw new Error('no such node is online with so much free: see `threebot node find`');
  return offers.reduce((best, offer) => (offer.rate < best.rate ? offer : best));
}

/** Creates a contract, for no more than it costs now; returns its id. */
async function deploy(api, signer, node, resources, body, rate) {
  const call = api.tx.Contracts.create_node_contract({
    node,
    resources,
    body: Enum('Plain', Binary.fromText(JSON.stringify(body))),
    public_ips: 0,
    networks: [],
    traffic_gb: 0,
    max_usd_rate: rate,
  });
  const events = await submit('Contracts.create_node_contract', call, signer);
  const created = events.find(({ type, value }) => type === 'Contracts' && value.type === 'NodeContractCreated');
  return created.value.value.contract;
}

/** Waits until the node has deployed a contract; returns what the node says about it. */
async function untilDeployed(api, contract, seconds) {
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    const closed = await api.query.Contracts.ClosedContracts.getValue(contract, AT);
    if (closed) throw new Error(`contract ${contract} is closed: ${closed.reason.type}`);
    const { state } = await api.query.Contracts.Contracts.getValue(contract, AT);
    if (state.type === 'Deployed') {
      return JSON.parse(Binary.toText(await api.query.Contracts.Results.getValue(contract, AT)));
    }
    await new Promise((done) => setTimeout(done, 1000));
  }
  throw new Error(`contract ${contract} isn't deployed after ${seconds} s: \`threebot show ${contract}\` tells why`);
}

/** Finds, deploys, waits, bills and cancels; returns all that it saw. */
async function round(api, { key, image, node: chosen, seconds }) {
  const { address, signer } = account(key);
  if ((await api.query.Twins.TwinByAccount.getValue(address, AT)) === undefined) {
    throw new Error(`${address} has no twin: create one with \`threebot twin create\``);
  }
  const body = deployment(image);
  const resources = needs(body);
  const { node, rate } = await findNode(api, resources, chosen && Number(chosen));
  const contract = await deploy(api, signer, node, resources, body, rate);
  let result, billed;
  try {
    result = await untilDeployed(api, contract, Number(seconds));
    billed = (await api.apis.GridApi.contract_status(contract, AT)).value.tft;
  } finally {
    if (await api.query.Contracts.Contracts.getValue(contract, AT)) {
      await submit('Contracts.cancel', api.tx.Contracts.cancel({ contract, reason: Enum('Cancelled') }), signer);
    }
  }
  const { tft } = await api.query.Contracts.ClosedContracts.getValue(contract, AT);
  return { node, contract: Number(contract), rate_usd_1e10: rate, result, billed_tft_1e7: billed, total_tft_1e7: tft };
}

const { values: options } = parseArgs({
  options: {
    chain: { type: 'string', default: 'ws://127.0.0.1:9944' },
    key: { type: 'string' },
    image: { type: 'string' },
    node: { type: 'string' },
    seconds: { type: 'string', default: '120' },
  },
});
if (!options.key || !options.image) {
  console.error('usage: deploy.mjs --key URI --image IMAGE [--chain URL] [--node N] [--seconds N]');
  process.exit(2);
}
const client = createClient(getWsProvider(options.chain, { websocketClass: WebSocket }));
try {
  // Its calls and types come from the chain: `papi add` makes checked ones of them for TypeScript.
  console.log(json(await round(client.getUnsafeApi(), options)));
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
} finally {
  client.destroy();
}
