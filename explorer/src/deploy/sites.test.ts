// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import { GIB } from '../lib/format';
import { check } from './check';
import { example, isMachine, publicIps, renamed, text, type Machine, type Network, type Peer, type Site, type Workload } from './deployment';

const machine = (changes: Partial<Machine>): Workload => {
  const data = example(1, GIB, GIB).workloads.find(isMachine)?.data as Machine;
  return { name: 'web', type: 'zmachine', data: { ...data, mounts: [], ...changes } };
};
const network = (changes: Partial<Network> = {}): Workload => ({ name: 'backend', type: 'network', data: { subnet: '10.20.0.0/16', range: '10.20.1.0/24', ...changes } });
const site = (changes: Partial<Site>): Workload =>
  ({ name: 'shop', type: 'gateway-name-proxy', data: { name: 'shop', network: 'backend', backends: ['http://10.20.1.5:8080'], ...changes } });
const domain = (fqdn: string): Workload => ({ name: 'shop', type: 'gateway-fqdn-proxy', data: { fqdn, backends: ['http://185.69.166.10:80'] } });
const paths = (...workloads: Workload[]): string[] => check(text({ version: 1, workloads })).map(({ path }) => path);

test('a machine with public addresses reaches the internet', () => {
  expect(paths(machine({ public_ip: true, ipv6: true, ports: ['80/tcp', '8000-8010/udp'] }))).toEqual([]);
  const alone = [network(), machine({ public_ip: true, ipv6: true, internet: false, interfaces: [{ network: 'backend' }] })] as const;
  expect(paths(...alone)).toEqual(['/workloads/1/data/public_ip', '/workloads/1/data/ipv6']);
});

test('ports have a protocol, are of a public address and open once', () => {
  for (const port of ['80', '0/tcp', '65536/tcp', '10-9/tcp', '+80/tcp', '80/sctp', '']) {
    expect(paths(machine({ public_ip: true, ports: [port] })), port).toEqual(['/workloads/0/data/ports/0']);
  }
  expect(paths(machine({ ports: ['80/tcp'] }))).toEqual(['/workloads/0/data/ports']);
  expect(paths(machine({ ipv6: true, ports: ['80-90/tcp', '85/udp', '90-99/tcp'] }))).toEqual(['/workloads/0/data/ports/2']);
});

test('a contract has as many addresses as machines ask for', () => {
  expect(publicIps({ version: 1, workloads: [machine({ public_ip: true }), machine({ ipv6: true }), network()] })).toBe(1);
});

test('peers have names, keys and addresses of their own', () => {
  const key = (letter: string): string => `${letter.repeat(42)}A=`;
  const peer = (name: string, letter: string, ip?: string): Peer => ({ name, public_key: key(letter), ...(ip === undefined ? {} : { ip }) });
  const of = (...peers: Peer[]): string[] => paths(network({ peers }), machine({ interfaces: [{ network: 'backend', ip: '10.20.1.5' }] }));
  expect(of(peer('laptop', 'b'), peer('phone', 'c', '10.20.1.6'))).toEqual([]);
  expect(of(peer('web', 'b'))).toEqual(['/workloads/0/data/peers/0/name']);
  expect(of(peer('laptop', 'b'), peer('laptop', 'c'))).toEqual(['/workloads/0/data/peers/1/name']);
  expect(of(peer('laptop', 'b'), peer('phone', 'b'))).toEqual(['/workloads/0/data/peers/1/public_key']);
  expect(of({ name: 'laptop', public_key: `${'A'.repeat(43)}=` })).toEqual(['/workloads/0/data/peers/0/public_key']);
  for (const ip of ['10.20.1.5', '10.20.1.1', '10.20.2.9', 'x']) expect(of(peer('laptop', 'b', ip)), ip).toEqual(['/workloads/0/data/peers/0/ip']);
});

test('a site has a name on the gateways, or a domain', () => {
  expect(paths(network(), site({}))).toEqual([]);
  for (const name of ['Shop', '-shop', 'xn--shop', '']) expect(paths(network(), site({ name })), name).toEqual(['/workloads/1/data/name']);
  expect(paths(domain('www.example.org'))).toEqual([]);
  for (const fqdn of ['example', 'www.example.7', 'www..org', 'WWW.example.org']) expect(paths(domain(fqdn)), fqdn).toEqual(['/workloads/0/data/fqdn']);
  expect(paths(network(), site({}), { ...site({}), name: 'again' })).toEqual(['/workloads/2/data/name']);
});

test('backends are addresses of the network, or public ones', () => {
  for (const backend of ['http://web:80', 'http://10.20.1.5', 'https://10.20.1.5:443', 'tcp://10.20.1.5:443', 'http://10.21.1.5:80', 'http://10.20.1.1:80', 'http://[::1]:80']) {
    expect(paths(network(), site({ backends: [backend] })), backend).toEqual(['/workloads/1/data/backends/0']);
  }
  expect(paths(network(), site({ backends: ['http://10.20.1.5:80', 'h2c://10.20.2.5:80'] }))).toEqual(['/workloads/1/data/backends/1']);
  const without = (backend: string): string[] => paths(site({ network: null, backends: [backend] }));
  for (const backend of ['http://185.69.166.10:80', 'h2c://[2a02:1234::1]:80']) expect(without(backend), backend).toEqual([]);
  for (const backend of ['http://10.20.1.5:80', 'http://127.0.0.1:80', 'http://185.69.166.10:25', 'http://[2001:db8::1]:80', 'http://[fd00::1]:80']) {
    expect(without(backend), backend).toEqual(['/workloads/0/data/backends/0']);
  }
  expect(paths(site({ network: 'none' }))).toEqual(['/workloads/0/data/network']);
});

test('tls is passed through to backends of a network alone', () => {
  expect(paths(network(), site({ tls_passthrough: true, proxy_protocol: true, backends: ['tcp://10.20.1.5:443'] }))).toEqual([]);
  expect(paths(network(), site({ proxy_protocol: true }))).toEqual(['/workloads/1/data/proxy_protocol']);
  expect(paths(site({ network: null, tls_passthrough: true, backends: ['tcp://185.69.166.10:443'] }))).toEqual(['/workloads/0/data/tls_passthrough']);
});

test('sites follow the name of their network', () => {
  expect((renamed([network(), site({})], 0, 'inner')[1]?.data as Site).network).toBe('inner');
});
