// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { GIB, MIB } from '../lib/format';
import { check } from './check';
import { compacted, envText, example, exactSize, isConfidential, needs, parse, parseEnv, text, type Deployment, type Workload } from './deployment';
import { isStrong, recipient, seal, sealedSize, sealSecrets } from './seal';
import { open } from '../grid/body';

const { sealed_body: vector } = JSON.parse(readFileSync('../docs/vectors/formats.json', 'utf8'));
const site = readFileSync('../docs/examples/site.json', 'utf8');

/** The example with changes to its machine and disk. */
function changed(machine: object, disk: object = {}): string {
  const deployment = example(1, 512n * MIB, GIB);
  Object.assign(deployment.workloads[1] ?? {}, machine);
  Object.assign(deployment.workloads[0] ?? {}, disk);
  return text(deployment);
}
const data = (changes: object): string => changed({ data: { ...(example(1, 512n * MIB, GIB).workloads[1]?.data), ...changes } });
const problems = (json: string): [string, string][] => check(json).map(({ path, message }) => [path, message]);

test('a copy of what a bot has moved replaces nothing', () => {
  const moved = '{"version": 1, "replaces": {"contract": 7}, "workloads": []}';
  expect(new TextDecoder().decode(compacted(moved))).toBe('{"version":1,"workloads":[]}');
});

test('the example of the form and that of the docs have no errors', () => {
  expect(problems(changed({}))).toEqual([]);
  expect(problems(site)).toEqual([]);
});

test('errors of the schema are said once, where they are', () => {
  expect(problems(data({ cpu: 0 })).map(([path]) => path)).toEqual(['/workloads/1/data/cpu']);
  expect(problems(data({ memory: '1 GiB' })).map(([path]) => path)).toEqual(['/workloads/1/data/memory']);
  expect(problems(data({ health: { http: { port: 70_000 } } })).map(([path]) => path)).toEqual(['/workloads/1/data/health/http/port']);
  expect(problems(data({ colour: 'red' })).map(([path]) => path)).toEqual(['/workloads/1/data/colour']);
  expect(problems(changed({ name: 'Web' })).map(([path]) => path)).toEqual(['/workloads/1/name']);
  expect(problems('{"version":1,"workloads":[]}').map(([path]) => path)).toEqual(['/workloads']);
  expect(problems(changed({ type: 'vm' })).map(([path]) => path)).toEqual(['/workloads/1/type']);
  expect(problems(changed({ zip: 1 }))).toEqual([['/workloads/1/zip', 'There is no field “zip”.']]);
});

test('JSON that does not parse names its line', () => {
  expect(problems('{\n  "version": 1,\n  workloads: []\n}')[0]?.[1]).toContain('line 3');
  expect(problems('')[0]?.[1]).toContain('line 1');
});

test('names, mounts and images follow the rules', () => {
  expect(problems(changed({ name: 'data' }))[0]).toEqual(['/workloads/1/name', 'Two workloads are called “data”.']);
  expect(problems(data({ mounts: [{ name: 'no', path: '/a' }] }))[0]?.[0]).toBe('/workloads/1/data/mounts/0/name');
  expect(problems(data({ mounts: [{ name: 'data', path: '/a' }, { name: 'data', path: '/b' }] }))).toEqual([]);
  const both = example(1, 512n * MIB, GIB);
  both.workloads.push({ ...(both.workloads[1] as Workload), name: 'other' });
  expect(problems(text(both))).toEqual([['/workloads/2/data/mounts/0/name', expect.stringContaining('one machine alone')]]);
  for (const image of ['nginx', 'nginx:1', 'docker.io/library/nginx', 'library/nginx:1']) expect(problems(data({ image }))[0]?.[0]).toBe('/workloads/1/data/image');
  for (const image of ['docker.io/library/nginx:1', 'localhost:5000/a:b', '127.0.0.1:5000/web:1', `ghcr.io/a/b@sha256:${'0'.repeat(64)}`]) expect(problems(data({ image }))).toEqual([]);
  expect(problems(data({ env: { A: 'x'.repeat(8_192) } }))[0]?.[1]).toContain('8,192');
});

test('a contract reserves the sum of its workloads', () => {
  const deployment = parse(site) as Deployment;
  expect(needs(deployment).cru).toBeGreaterThan(0n);
  expect(needs(example(0.3, GIB, 2n * GIB))).toEqual({ cru: 1n, mru: GIB, sru: 2n * GIB + 512n * MIB, hru: 0n, gpu: 0n });
  const machine = example(1.01, GIB, GIB);
  machine.workloads.shift();
  delete (machine.workloads[0]?.data as { rootfs?: number }).rootfs;
  expect(needs(machine)).toMatchObject({ cru: 2n, sru: GIB });
});

test('what holds an environment is confidential', () => {
  expect(isConfidential(example(1, GIB, GIB))).toBe(false);
  expect(isConfidential(parse(data({ env: { TOKEN: 'x' } })) as Deployment)).toBe(true);
});

test('GPUs are reserved, and outputs need nothing', () => {
  const deployment = parse(data({ gpus: 2 })) as Deployment;
  deployment.workloads.push({ name: 'logs', type: 'zlogs', data: { zmachine: 'web', output: 'https://logs.example/' } });
  expect(problems(text(deployment))).toEqual([]);
  expect(needs(deployment)).toMatchObject({ gpu: 2n, hru: 0n });
});

test('an output is of a machine, and of each once', () => {
  const logs = (...machines: string[]): string => {
    const deployment = example(1, GIB, GIB);
    machines.forEach((zmachine, i) => deployment.workloads.push({ name: `logs${i}`, type: 'zlogs', data: { zmachine, output: 'https://logs.example/' } }));
    return text(deployment);
  };
  expect(problems(logs('data'))).toEqual([['/workloads/2/data/zmachine', 'No machine is called “data”.']]);
  expect(problems(logs('web', 'web')).map(([path]) => path)).toEqual(['/workloads/3/data/zmachine']);
});

test('secrets are sealed alone, and those that are named exist', async () => {
  const written = { ...(parse(data({ env: { DB: { secret: 'db' }, A: 'b' } })) as Deployment), secrets: { db: 'hidden' } };
  expect(problems(text(written))).toEqual([]);
  expect(problems(text({ ...written, secrets: {} }))).toEqual([['/workloads/1/data/env/DB', 'No secret is called “db”.']]);
  expect(isConfidential(written)).toBe(false);
  const keys = { twin: 7, node: vector.node.key, owner: vector.owner.key, bots: [] };
  const body = JSON.parse(new TextDecoder().decode(await sealSecrets(new TextEncoder().encode(JSON.stringify(written)), keys)));
  const secrets = Uint8Array.from(atob(body.secrets), (char) => char.charCodeAt(0));
  expect(secrets.length).toBe(sealedSize(JSON.stringify(written.secrets).length, keys));
  expect(JSON.parse(new TextDecoder().decode(await open(secrets, vector.owner.identity)))).toEqual({ db: 'hidden' });
  expect({ ...body, secrets: written.secrets }).toEqual(written);
});

test('sizes and environments survive the form', () => {
  expect([16_777_216, 1_610_612_736, 2 ** 40, 1_000].map(exactSize)).toEqual(['16 MiB', '1536 MiB', '1 TiB', '1000']);
  const env = { A: 'b=c', EMPTY: '', DB: { secret: 'db' } };
  expect(parseEnv(envText(env))).toEqual(env);
});

test('a sealed body names its twin and opens with the keys of node and owner', async () => {
  expect(recipient(vector.node.key)).toBe(vector.node.recipient);
  const sealed = await seal(new TextEncoder().encode('secret'), { twin: 7, node: `0x${vector.node.key}`, owner: vector.owner.key, bots: [] });
  expect(new TextDecoder().decode(sealed)).toContain('\n-> tfgrid-twin 7\n\n---');
  for (const { identity } of [vector.node, vector.owner]) expect(new TextDecoder().decode(await open(sealed, identity))).toBe('secret');
});

test('nothing is sealed to a weak key', async () => {
  expect(await Promise.all(['00'.repeat(32), vector.node.key].map(isStrong))).toEqual([false, true]);
  await expect(seal(new Uint8Array(1), { twin: 7, node: '00'.repeat(32), owner: undefined, bots: [] })).rejects.toThrow();
});
