// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import { GIB } from '../lib/format';
import { check } from './check';
import {
  example, interfaceText, isMachine, logsOf, needs, parse, parseInterfaces, renamed, text, withOutput, without, type Interface, type Machine, type Network,
  type Workload,
} from './deployment';
import { freeSubnet, listed } from './networks';

const machine = (name: string, interfaces: Interface[], changes: Partial<Machine> = {}): Workload => {
  const data = example(1, GIB, GIB).workloads.find(isMachine)?.data as Machine;
  return { name, type: 'zmachine', data: { ...data, mounts: [], interfaces, ...changes } };
};
const network = (name: string, subnet: string, range?: string): Workload => ({ name, type: 'network', data: range === undefined ? { subnet } : { subnet, range } });
const of = (...workloads: Workload[]): string => text({ version: 1, workloads });
const paths = (...workloads: Workload[]): string[] => check(of(...workloads)).map(({ path }) => path);
const messages = (...workloads: Workload[]): string => check(of(...workloads)).map(({ message }) => message).join('\n');

const backend = network('backend', '10.20.0.0/16', '10.20.1.0/24');

test('machines in private networks have no errors', () => {
  expect(paths(backend, machine('web', [{ network: 'backend' }]), machine('db', [{ network: 'backend', ip: '10.20.1.5' }], { internet: false }))).toEqual([]);
});

test('a network is private and without host bits', () => {
  for (const subnet of ['10.0.0.0/16', '172.31.255.252/30', '192.168.0.0/24']) expect(paths(network('a', subnet))).toEqual([]);
  for (const subnet of ['10.0.0.0/15', '10.0.0.0/31', '10.0.0.1/24', '8.8.8.0/24', '172.32.0.0/16', 'fd00::/64', '10.0.0.0', '10.00.0.0/16', '10.256.0.0/16']) {
    expect(paths(network('a', subnet)), subnet).toEqual(['/workloads/0/data/subnet']);
  }
});

test('a range lies in its subnet', () => {
  for (const range of ['10.21.0.0/24', '10.20.1.1/24', '10.0.0.0/16', '']) expect(paths(network('a', '10.20.0.0/16', range)), range).toEqual(['/workloads/0/data/range']);
});

test('networks have short names, are few and share no address', () => {
  expect(paths(network('a'.repeat(21), '10.20.0.0/16'))).toEqual(['/workloads/0/name']);
  expect(paths(...[0, 1, 2, 3, 4].map((n) => network(`n${n}`, `10.${n}.0.0/16`)))).toEqual(['/workloads/4']);
  expect(messages(network('a', '10.20.0.0/16'), network('b', '10.20.4.0/24'))).toBe('“a” has addresses of it already.');
});

test('an interface is in a network of the deployment, once', () => {
  expect(paths(machine('web', [{ network: 'none' }]))).toEqual(['/workloads/0/data/interfaces/0/network']);
  expect(paths(backend, machine('web', [{ network: 'backend' }, { network: 'backend' }]))).toEqual(['/workloads/1/data/interfaces/1/network']);
});

test('an address is of the range, and of one machine', () => {
  for (const ip of ['10.20.1.0', '10.20.1.1', '10.20.1.255', '10.20.2.2', '::1', 'web']) {
    expect(paths(backend, machine('web', [{ network: 'backend', ip }])), ip).toEqual(['/workloads/1/data/interfaces/0/ip']);
  }
  const named = (name: string): Workload => machine(name, [{ network: 'backend', ip: '10.20.1.5' }]);
  expect(paths(backend, named('web'), named('db'))).toEqual(['/workloads/2/data/interfaces/0/ip']);
});

test('a range holds no more machines than addresses', () => {
  const small = network('small', '10.20.0.0/29');
  const machines = (count: number): Workload[] => Array.from({ length: count }, (_, i) => machine(`m${i}`, [i === 3 ? { network: 'small', ip: '10.20.0.4' } : { network: 'small' }]));
  expect(paths(small, ...machines(5))).toEqual([]);
  expect(paths(small, ...machines(6))).toEqual(['/workloads/6/data/interfaces/0/network']);
});

test('a connection checks no machine without a network', () => {
  expect(paths(machine('web', [], { internet: false }))).toEqual(['/workloads/0/data/health']);
  expect(paths(machine('web', [], { internet: false, health: { exec: ['/check'] } }))).toEqual([]);
  expect(paths(machine('web', [], { internet: false, health: null }))).toEqual([]);
});

test('output goes to a host over TLS', () => {
  const web = machine('web', []);
  const to = (output: string): string[] => paths(web, { name: 'logs', type: 'zlogs', data: { zmachine: 'web', output } });
  for (const address of ['https://logs.example/in?token=a', 'wss://[2001:db8::1]:8443', 'syslog+tls://logs.example', 'syslog+tls://logs.example:6514']) expect(to(address), address).toEqual([]);
  const long = `https://logs.example/${'a'.repeat(1_024)}`;
  for (const address of ['', 'http://logs.example', 'https://', 'https://user@logs.example/', 'https://logs.example/#part', 'syslog+tls://logs.example/in', 'logs.example', long]) {
    expect(to(address), address).toEqual(['/workloads/1/data/output']);
  }
});

test('a contract lists the networks with its ranges, and reserves nothing for them', () => {
  const deployment = { version: 1 as const, workloads: [backend, network('b', '192.168.0.0/24')] };
  expect(listed(deployment)).toEqual([
    { name: new TextEncoder().encode('backend'), subnet: { address: '0x0a140100', prefix: 24 } },
    { name: new TextEncoder().encode('b'), subnet: { address: '0xc0a80000', prefix: 24 } },
  ]);
  expect(needs(deployment)).toEqual({ cru: 0n, mru: 0n, sru: 0n, hru: 0n, gpu: 0n });
});

test('a new network gets addresses that no other has', () => {
  expect(freeSubnet([])).toBe('10.20.0.0/16');
  expect(freeSubnet([network('a', '10.20.128.0/24'), network('b', '10.21.0.0/16')])).toBe('10.22.0.0/16');
});

test('interfaces survive the form', () => {
  const interfaces = [{ network: 'backend' }, { network: 'b', ip: '10.20.1.5' }];
  expect(parseInterfaces(interfaceText(interfaces))).toEqual(interfaces);
});

test('what refers to a workload follows its name', () => {
  const logs: Workload = { name: 'logs', type: 'zlogs', data: { zmachine: 'web', output: 'https://logs.example/' } };
  const disk: Workload = { name: 'data', type: 'zmount', data: { size: Number(GIB) } };
  const workloads = [backend, disk, machine('web', [{ network: 'backend' }], { mounts: [{ name: 'data', path: '/data' }] }), logs];
  const all = [...workloads.keys()].reduce((list, at) => renamed(list, at, `new-${list[at]?.name}`), workloads);
  expect(all.map(({ name }) => name)).toEqual(['new-backend', 'new-data', 'new-web', 'new-logs']);
  expect(paths(...all)).toEqual([]);
  // A name of another kind of workload isn't meant.
  expect(renamed(workloads, 3, 'web')[2]).toEqual(workloads[2]);
});

test('the output of a machine is set, changed and taken away', () => {
  const web = machine('web', []);
  const first = withOutput([web], 'web', 'https://logs.example/');
  expect(paths(...first)).toEqual([]);
  const changed = withOutput(first, 'web', '{"secret":"to"}');
  expect(changed.length).toBe(2);
  expect(logsOf(changed, 'web')?.data.output).toEqual({ secret: 'to' });
  expect(withOutput(changed, 'web', ' ')).toEqual([web]);
  expect(without(changed, 0)).toEqual([]);
});

test('JSON that the form has no fields for is left to the editor', () => {
  const odd = (data: object): string => JSON.stringify({ version: 1, workloads: [{ name: 'web', type: 'zmachine', data }] });
  for (const data of [{ mounts: {} }, { mounts: [null] }, { interfaces: 'backend' }, { interfaces: [1] }]) expect(parse(odd(data))).toBeUndefined();
  for (const name of [undefined, 1]) expect(parse(JSON.stringify({ version: 1, workloads: [{ name, type: 'network', data: {} }] }))).toBeUndefined();
  expect(parse(odd({ mounts: null }))).toBeDefined();
  expect(parse(JSON.stringify({ version: 1, workloads: [{ name: 'a', type: 'of-tomorrow', data: {} as Network }] }))).toBeDefined();
});
