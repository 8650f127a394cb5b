// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import { check } from './check';

const MIB = 2 ** 20;
const DEPLOYMENT = {
  version: 1,
  workloads: [
    { name: 'data', type: 'zmount', data: { size: 64 * MIB } },
    { name: 'web', type: 'zmachine', data: { image: 'docker.io/library/busybox:1.36', cpu: 1, memory: 128 * MIB, mounts: [{ name: 'data', path: '/data' }] } },
  ],
};

/** The deployment with one value changed, and paths of its problems. */
function problems(at: string, value: unknown): string[] {
  const deployment = structuredClone(DEPLOYMENT) as unknown as Record<string, unknown>;
  const keys = at.split('/').slice(1);
  const inner = keys.slice(0, -1).reduce<Record<string, unknown>>((one, key) => (one[key] ??= {}) as Record<string, unknown>, deployment);
  inner[keys.at(-1) ?? ''] = value;
  return check(JSON.stringify(deployment)).map(({ path }) => path);
}
const ofMachine = (field: string, value: unknown): string[] => problems(`/workloads/1/data/${field}`, value).map((path) => path.replace('/workloads/1/data/', ''));

const long = (length: number): string => 'x'.repeat(length);
const REFUSED: [field: string, value: unknown, at?: string][] = [
  ['cpu', 0], ['cpu', 0.125], ['cpu', -0.5], ['cpu', '1'],
  ['user', ''], ['user', 'a:b:c'], ['user', 'a b'],
  ['workdir', 'srv'], ['workdir', '/a\u0007'],
  ['registry', { user: 'u:v', password: 'p' }, 'registry/user'],
  ['registry', { user: 'u', password: '' }, 'registry/password'],
  ['registry', { user: 'u', password: 'open~sesame' }, 'registry/password'],
  ['registry', { user: 'u', password: { secret: 'none' } }, 'registry/password'],
  ['hostname', 'web.'], ['hostname', 'Web'], ['hostname', `${long(63)}.a`],
  ['shm', 0], ['shm', 128 * MIB + 1],
  ['stop_signal', 'TERM'], ['stop_seconds', 301], ['restart', 'sometimes'],
  ['health', { tcp: { port: 0 } }, 'health/tcp/port'],
  ['health', { http: { port: 1, path: '/ x' } }, 'health/http/path'],
  ['health', { exec: [] }, 'health/exec'],
  ['ulimits', { nproc: 9 }, 'ulimits/nproc'], ['ulimits', { nofile: 63 }, 'ulimits/nofile'], ['ulimits', { memlock: 2 ** 40 }, 'ulimits/memlock'],
  ['gpus', 17], ['capabilities', ['SYS_ADMIN'], 'capabilities/0'], ['memory', 16 * MIB - 1], ['rootfs', 16 * MIB - 1], ['published', [80]],
  ...['data', '/', '/data/', '//data', '/a/../b', '/a/./b', '/proc', '/sys/fs', '/dev/shm', '/a\u0007'].map((path): [string, string] => ['mounts/0/path', path]),
  ['mounts/1', { name: 'data', path: '/data' }, 'mounts/1/path'],
  ['env/', 'x'], ['env/A=B', 'x'], ['env/A', 1], ['env/A', 'a\0b'],
  ['entrypoint', Array(65).fill('x')], ['args', [long(1_025)], 'args/0'], ['args', ['a\0'], 'args/0'],
];

test('each broken rule of a machine is said where it is', () => {
  for (const [field, value, at = field] of REFUSED) expect(ofMachine(field, value), `${field}: ${JSON.stringify(value)}`).toEqual([at]);
});

test('what the rules just allow has no errors', () => {
  const allowed: [string, unknown][] = [
    ['cpu', 0.01], ['cpu', 1.25], ['user', '1000:50'], ['workdir', '/'], ['hostname', `${long(60)}.abc`], ['shm', 128 * MIB],
    ['registry', { user: 'u', password: 'a:b c' }], ['health', { exec: ['/check'], start_seconds: 300 }], ['health', { http: { port: 65_535, path: '/a?b=c' } }],
    ['ulimits', { nofile: 64, stack: 128 * MIB, core: 0 }], ['mounts/0/path', '/srv/a.b/..c'], ['mounts/0/path', '/process'],
    ['env', { '1.a-b c/é': long(2_000), EMPTY: '' }], ['args', [long(1_024)]], ['user', null], ['health', null],
  ];
  for (const [field, value] of allowed) expect(ofMachine(field, value), `${field}: ${JSON.stringify(value)}`).toEqual([]);
});

test('a description is short and on one line', () => {
  for (const description of [long(257), 'é'.repeat(129), 'two\nlines']) expect(problems('/description', description)).toEqual(['/description']);
  expect(problems('/description', long(256))).toEqual([]);
});

test('a secret obeys the rule of each place that names it', () => {
  const deployment = structuredClone(DEPLOYMENT) as unknown as { secrets: object; workloads: { data: object }[] };
  deployment.secrets = { bad: 'a\0b~' };
  Object.assign(deployment.workloads[1]?.data ?? {}, { env: { A: { secret: 'bad' } }, registry: { user: { secret: 'bad' }, password: 'p' } });
  expect(check(JSON.stringify(deployment)).map(({ path }) => path)).toEqual(['/workloads/1/data/env/A', '/workloads/1/data/registry/user']);
  const sealed = { ...deployment, secrets: 'YWdl' };
  expect(check(JSON.stringify(sealed))).toEqual([]);
});
