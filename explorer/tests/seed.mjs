// SPDX-License-Identifier: Apache-2.0
// Fills a development chain with a grid to look at: farms, nodes, twins, and contracts in every state. Prints what it made
// as a line of JSON, then keeps the nodes' heartbeats coming until its standard input ends.
//
//   node seed.mjs ws://127.0.0.1:9944

import { connect, keyPair, submit, submitAsRoot, untilFinal } from '../../tests/js/grid.mjs';
import { deployed, details, failed, heartbeat, machineKey, opening, registration } from '../../tests/js/reports.mjs';
import { Encrypter } from 'age-encryption';
import { readFile } from 'node:fs/promises';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const TFT = 10_000_000n;
const BEAT_MS = 9_000;
const WAIT_SECONDS = 60;

const api = await connect(process.argv[2] ?? 'ws://127.0.0.1:9944');
const { sealed_body: sealKeys } = JSON.parse(await readFile(new URL('../../docs/vectors/formats.json', import.meta.url)));
const [alice, bob, charlie, dave] = ['//Alice', '//Bob', '//Charlie', '//Dave'].map(keyPair);
let sequence = Date.now();

/** Sends a machine's call; says which one a refusal is about. */
const send = (call) => call.send().catch((error) => {
  throw new Error(`${call.method.section}.${call.method.method} was refused: ${error.message.split('\n')[0]}`);
});
const batch = (pair, ...calls) => submit(api, api.tx.utility.batchAll(calls), pair);
const eventsOf = ({ events }, kind) => events.filter(({ event }) => kind.is(event)).map(({ event }) => event.data);

const MACHINES = [
  { cru: 8, mru: 16 * GIB, sru: 500 * GIB, hru: 2048 * GIB, gpu: 0, city: 'Ghent', country: 'BE', at: [51_053_800, 3_725_000] },
  { cru: 16, mru: 32 * GIB, sru: 1000 * GIB, hru: 0, gpu: 0, city: 'Antwerp', country: 'BE', at: [51_219_400, 4_402_500] },
  { cru: 4, mru: 6 * GIB, sru: 250 * GIB, hru: 0, gpu: 0, city: 'Lochristi', country: 'BE', at: [51_096_000, 3_834_000] },
  { cru: 32, mru: 128 * GIB, sru: 4000 * GIB, hru: 0, gpu: 1, city: 'Singapore', country: 'SG', at: [1_290_000, 103_850_000] },
  { cru: 8, mru: 8 * GIB, sru: 200 * GIB, hru: 0, gpu: 0, city: 'Cairo \u202e<img src=x>', country: 'EG', at: [30_044_000, 31_236_000] },
  { cru: 8, mru: 16 * GIB, sru: 500 * GIB, hru: 0, gpu: 0, city: 'Zürich', country: 'CH', at: [47_376_900, 8_541_700] },
  { cru: 2, mru: 4 * GIB, sru: 100 * GIB, hru: 0, gpu: 0, city: 'Dar es Salaam', country: 'TZ', at: [-6_792_000, 39_208_000] },
].map(({ city, country, at: [latitude, longitude], ...resources }, i) => ({
  resources, location: { latitude, longitude, country, city }, key: machineKey('explorer', i + 1), ticket: machineKey('ticket', i + 1), isVm: i === 1,
}));
/** The last machine falls silent. */
const SILENT = MACHINES.length;

// People.
for (const [pair, tft] of [[alice, 10n], [bob, 5000n], [charlie, 0n], [dave, 1n]]) {
  const encryption = pair === bob ? `0x${sealKeys.owner.key}` : null;
  const { events } = await submit(api, api.tx.twins.create([], encryption), pair);
  pair.twin = eventsOf({ events }, api.events.twins.TwinCreated)[0].twin.toNumber();
  if (tft > 0n) await submit(api, api.tx.billing.deposit(pair.twin, tft * TFT), pair);
}

// Farms.
const farm = eventsOf(await submit(api, api.tx.farms.create('ghent-sun'), alice), api.events.farms.FarmCreated)[0].farm.toNumber();
await submit(api, api.tx.farms.create('empty-barn'), dave);
const expires = Math.floor(Date.now() / 1000) + 7 * 86_400;
const ip = (n) => ({ v4: { address: [185, 69, 166, n], prefix: 24, gateway: [185, 69, 166, 1] }, v6: null });
await batch(alice,
  ...MACHINES.map(({ ticket }) => api.tx.farms.openTicket(farm, ticket.publicKey, 1, expires, opening(api, ticket, farm))),
  ...[10, 11, 12].map((n) => api.tx.farms.addIp(farm, ip(n))));

// Nodes.
for (const { key, ticket, resources, isVm } of MACHINES) {
  await send(registration(api, ticket, key, {
    resources, isolation: isVm ? 'Vm' : 'Container', encryption_key: `0x${sealKeys.node.key}`,
  }));
}
for (const machine of MACHINES) {
  machine.node = await untilFinal(api, 'a node to join', WAIT_SECONDS, async (at) => {
    const node = await at.query.nodes.nodeByKey(machine.key.publicKey);
    return node.isSome ? node.unwrap().toNumber() : undefined;
  });
}
const beat = async () => {
  for (const { key, node } of MACHINES.slice(0, SILENT - 1)) await heartbeat(api, key, node, ++sequence).send().catch(() => {});
};
for (const { key, node, resources, isVm } of MACHINES) {
  const gpus = resources.gpu ? [{ vendor: 0x10de, device: 0x2684, memory: 24 * GIB }] : [];
  await send(details(api, key, node, ++sequence, {
    resources, isolation: isVm ? 'Vm' : 'Container', serial: `SN-${node}`, gpus, features: 0b110_1111,
    peer_addresses: `192.0.2.${node}:9617`, version: node === 1 ? '0.9.0' : '0.10.0 <img src=x>',
  }));
}
const beating = setInterval(beat, BEAT_MS);
const [n1, n2, , n4, n5, n6] = MACHINES.map(({ node }) => node);
await batch(alice, ...MACHINES.map(({ node, location }) => api.tx.nodes.setLocation(node, location)),
  api.tx.nodes.setPublicConfig(n2, { ipv4: { address: [185, 69, 166, 20], prefix: 24, gateway: [185, 69, 166, 1] }, ipv6: null, domain: 'gw1.grid.example', wireguard_ports: null }),
  api.tx.nodes.setExtraFee(n4, 1_000_000_000));
await submitAsRoot(api, api.tx.nodes.certify(n2, MACHINES[1].resources), alice);

// Contracts.
const site = (image, description) => JSON.stringify({
  version: 1,
  description,
  workloads: [
    { name: 'data', type: 'zmount', data: { size: 64 * MIB } },
    { name: 'web', type: 'zmachine', data: { image, cpu: 1, memory: 512 * MIB, rootfs: 512 * MIB, mounts: [{ name: 'data', path: '/data' }], health: { http: { port: 80 } } } },
  ],
});
const NEEDS = { cru: 1, mru: 512 * MIB, sru: 576 * MIB, hru: 0, gpu: 0 };
const RATE = 10_000_000_000n;
const create = (node, body, { needs = NEEDS, ips = 0, traffic = 0 } = {}) =>
  api.tx.contracts.createNodeContract(node, needs, body, ips, [], traffic, RATE);
const HOSTILE = '<script>document.title="owned"</script> \u202egnp.exe \u0007';
const encrypter = new Encrypter();
encrypter.addRecipient(sealKeys.node.recipient);
encrypter.addRecipient(sealKeys.owner.recipient);
const sealed = await encrypter.encrypt(site('registry.example/secret:1', 'only for its owner'));
const made = await batch(bob,
  create(n1, { Plain: site('registry.example/web:1', 'a page from a disk') }, { ips: 1, traffic: 5 }),
  create(n1, { Plain: site('registry.example/none:1', 'an image that is nowhere') }),
  create(n1, { Plain: `{"version":1,"description":${JSON.stringify(HOSTILE)},"workloads":[]}` }),
  create(n2, { Sealed: `0x${Buffer.from(sealed).toString('hex')}` }),
  create(n2, { Plain: site('registry.example/old:1', 'to be cancelled') }),
  create(n2, { Plain: '{"version":1,' }),
  api.tx.contracts.createNameContract('my-shop', RATE),
  api.tx.contracts.createRentContract(n6, RATE));
const ids = eventsOf(made, api.events.contracts.NodeContractCreated).map(({ contract }) => contract.toNumber());
const [web, missing, hostile, secret, cancelled, broken] = ids;
const key = (node) => MACHINES.find((machine) => machine.node === node).key;
const answer = async (node, contract, result) => {
  const { kind } = (await api.query.contracts.contracts(contract)).unwrap();
  await send(deployed(api, key(node), node, ++sequence, { contract, bodyHash: kind.asNode.bodyHash }, result));
};
const finished = (contract) => untilFinal(api, `contract ${contract} to be answered`, WAIT_SECONDS, async (at) => {
  const open = await at.query.contracts.contracts(contract);
  return open.isNone || open.unwrap().state.isDeployed ? true : undefined;
});
await answer(n1, web, { web: { ip: '172.30.0.2' } });
await answer(n1, hostile, { web: { ip: HOSTILE.slice(0, 30) } });
await answer(n2, secret, { web: { ip: '172.30.0.3' } });
await answer(n2, cancelled, { web: { ip: '172.30.0.4' } });
await send(failed(api, key(n1), n1, ++sequence, { contract: missing, version: 1, code: 'ImageNotFound', path: '/workloads/1/data/image', text: 'manifest unknown' }));
await send(failed(api, key(n2), n2, ++sequence, { contract: broken, version: 1, code: 'BodyNotJson', path: '', text: 'the JSON ends at column 13' }));
for (const contract of [web, missing, hostile, secret, cancelled, broken]) await finished(contract);
await submit(api, api.tx.contracts.cancel(cancelled, 'Cancelled'), bob);
await submit(api, api.tx.contracts.updateNodeContract(web, { ...NEEDS, cru: 2 }, { Plain: site('registry.example/web:2', 'the next page') }, 1, [], RATE), bob);

// A call that fails.
const refused = await new Promise((done, fail) => {
  api.tx.contracts.cancel(web, 'Cancelled')
    .signAndSend(dave, ({ status, txIndex }) => status.isFinalized && done({ block: status.asFinalized.toHex(), index: txIndex }))
    .catch(fail);
});

// A past: prices of 90 days, and two farming periods of the first node.
const DAY = 86_400;
const PERIOD = 30 * DAY;
const [today, period] = [DAY, PERIOD].map((length) => Math.floor(Date.now() / 1000 / length));
const bytesOf = (type, value) => api.createType(type, value).toHex();
const past = Array.from({ length: 90 }, (_, i) => [
  api.query.clock.dailyPrices.key(today - 90 + i),
  bytesOf('(u32, u64)', [today - 90 + i, Math.round(500_000 + 80_000 * Math.sin(i / 9) + 1_000 * i)]),
]);
const farmed = [[period - 3, 41n * TFT, 41n * TFT], [period - 2, 43n * TFT, null]];
await submitAsRoot(api, api.tx.system.setStorage([
  ...past,
  [api.query.farming.nodeRewards.key(n1), bytesOf('Vec<(u32, u128, Option<u128>)>', farmed)],
  [api.query.farming.totals.key(), bytesOf('Vec<(u32, u128, u128, u128, u128)>', farmed.map(([at, tft, paid]) => [at, 2_000_000n * TFT, tft, paid ?? 0n, 0n]))],
  [api.query.nodes.uptime.key(n1), bytesOf('Vec<(u32, u64)>', [[period - 3, 990 * PERIOD], [period - 2, 998 * PERIOD], [period, 60_000]])],
]), alice);

// A payer whose credit is used up: TFT is cheap for a while.
const price = async (usd) => submitAsRoot(api, api.tx.clock.setPrice(BigInt(Math.round(usd * 1e7))), alice);
// A little more than an hour of what the contract costs.
await submit(api, api.tx.billing.deposit(charlie.twin, TFT / 15n), charlie);
const lean = eventsOf(await submit(api, create(n5, { Plain: site('registry.example/lean:1', 'runs out of funds') }), charlie), api.events.contracts.NodeContractCreated)[0].contract.toNumber();
await answer(n5, lean, { web: { ip: '172.30.0.5' } });
await finished(lean);
await price(0.001);
await untilFinal(api, 'the credit to be used up', 10 * WAIT_SECONDS, async (at) =>
  (await at.call.gridApi.grace(charlie.twin)).isSome ? true : undefined);
await price(0.05);
const { grid_now: now } = (await api.call.gridApi.gridInfo()).toJSON();
await submit(api, api.tx.nodes.drain(n5, (now ?? (await api.call.gridApi.gridInfo()).gridNow.toNumber()) + 3_600_000, 'a new power supply'), alice);

const seeded = { farm, twins: { farmer: alice.twin, tenant: bob.twin, broke: charlie.twin }, nodes: MACHINES.map(({ node }) => node),
  refused, contracts: { web, missing, hostile, secret, cancelled, broken, lean } };
console.log(JSON.stringify(seeded));

// The first node deploys what comes from now on.
const answered = new Set();
const deploying = await api.rpc.chain.subscribeFinalizedHeads(async ({ hash }) => {
  const at = await api.at(hash);
  const { items } = await at.call.gridApi.contractsOfNode(n1, null, 500);
  for (const contract of items.filter(({ deployed }) => deployed.isFalse).map(({ contract }) => contract.toNumber())) {
    if (contract <= lean || answered.has(contract)) continue;
    answered.add(contract);
    await answer(n1, contract, { web: { ip: '172.30.0.9' } }).catch(() => answered.delete(contract));
  }
});
process.stdin.on('end', async () => {
  clearInterval(beating);
  deploying();
  await api.disconnect();
}).resume();
