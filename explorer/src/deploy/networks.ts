// SPDX-License-Identifier: Apache-2.0
// Private networks of a deployment (docs/FORMATS.md §4.4): what its contract lists of them, and their rules.
import { t } from '../texts';
import { isMachine, isNetwork, type Deployment, type Peer, type Workload } from './deployment';

const text = t.deploy.problems;
/** The most networks of a deployment, and characters of the name of one. */
const [MOST, MOST_NAME] = [4, 20];

/** An IPv4 network: its first address, as a number, and how many it has. */
export interface Net {
  first: number;
  size: number;
}

export function parseIp(text: string | undefined): number | undefined {
  const parts = text?.split('.') ?? [];
  const isIp = parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256);
  return isIp ? parts.reduce((sum, part) => sum * 256 + Number(part), 0) : undefined;
}

export const contains = (outer: Net, inner: Net): boolean => outer.first <= inner.first && inner.first + inner.size <= outer.first + outer.size;

/** Private use (RFC 1918): 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16. */
const PRIVATE: Net[] = [{ first: 0x0a_00_00_00, size: 2 ** 24 }, { first: 0xac_10_00_00, size: 2 ** 20 }, { first: 0xc0_a8_00_00, size: 2 ** 16 }];

/** A private network with a prefix of 16 to 30 and no host bits; none for anything else. */
export function parseNet(text: string | null | undefined): Net | undefined {
  const [, ip, prefix] = /^([\d.]+)\/(1[6-9]|2\d|30)$/.exec(text ?? '') ?? [];
  const first = parseIp(ip);
  if (first === undefined) return undefined;
  const net = { first, size: 2 ** (32 - Number(prefix)) };
  return first % net.size === 0 && PRIVATE.some((one) => contains(one, net)) ? net : undefined;
}

/** A subnet that no network of the deployment has. */
export function freeSubnet(workloads: Workload[]): string {
  const taken = workloads.filter(isNetwork).flatMap(({ data }) => parseNet(data.subnet) ?? []);
  const isFree = (net: Net | undefined): boolean => net !== undefined && !taken.some((other) => contains(other, net) || contains(net, other));
  const subnets = Array.from({ length: MOST + 1 }, (_, i) => `10.${20 + i}.0.0/16`);
  return subnets.find((subnet) => isFree(parseNet(subnet))) ?? '';
}

/** What a contract lists, by which the nodes of its twin's contracts find each other. */
export const listed = ({ workloads }: Deployment): { name: Uint8Array; subnet: { address: string; prefix: number } }[] =>
  workloads.filter(isNetwork).flatMap(({ name, data }) => {
    const net = parseNet(data.range ?? data.subnet);
    const address = net && `0x${net.first.toString(16).padStart(8, '0')}`;
    return net && address ? [{ name: new TextEncoder().encode(name), subnet: { address, prefix: 32 - Math.log2(net.size) } }] : [];
  });

type Say = (path: string, message: string) => void;

/** Says each problem of networks, and of machines in them. */
export function checkNetworks(workloads: Workload[], say: Say): void {
  const found = new Map<string, { name: string; subnet: Net | undefined; shown: string; range: Net | undefined }>();
  workloads.forEach((workload, i) => {
    if (!isNetwork(workload)) return;
    const { name, data } = workload;
    const path = `/workloads/${i}`;
    const [subnet, range] = [parseNet(data.subnet), parseNet(data.range ?? data.subnet)];
    if (name.length > MOST_NAME) say(`${path}/name`, text.networkName(MOST_NAME));
    if (found.size === MOST) say(path, text.manyNetworks(MOST));
    if (!subnet) say(`${path}/data/subnet`, text.subnet);
    else if (!range) say(`${path}/data/range`, text.subnet);
    else if (!contains(subnet, range)) say(`${path}/data/range`, text.range(data.subnet));
    const other = subnet && [...found.values()].find((one) => one.subnet && (contains(one.subnet, subnet) || contains(subnet, one.subnet)));
    if (other) say(`${path}/data/subnet`, text.overlaps(other.name));
    found.set(name, { name, subnet, range, shown: data.range ?? data.subnet });
    checkPeers(data.peers ?? [], workloads, (field, message) => say(`${path}/data/peers/${field}`, message));
  });

  const taken = new Set<number>();
  /** Interfaces without an address of their own, by the names of their networks. */
  const unnamed: [path: string, network: string][] = [];
  workloads.forEach((workload, i) => {
    if (!isMachine(workload)) return;
    const { interfaces = [], internet = true, health } = workload.data;
    if (!internet && !interfaces.length && health && !('exec' in health)) say(`/workloads/${i}/data/health`, text.noHealth);
    interfaces.forEach(({ network, ip }, j) => {
      const path = `/workloads/${i}/data/interfaces/${j}`;
      const net = found.get(network);
      if (!net) return say(`${path}/network`, text.noNetwork(network));
      if (interfaces.findIndex((other) => other.network === network) < j) return say(`${path}/network`, text.inTwice(network));
      if (ip == null) return unnamed.push([`${path}/network`, network]);
      const address = parseIp(ip);
      if (!address || !net.range || !isHost(net.range, address)) return say(`${path}/ip`, text.ip(net.shown));
      if (taken.has(address)) say(`${path}/ip`, text.ipTaken(ip));
      taken.add(address);
    });
  });
  workloads.forEach((workload, i) => {
    if (!isNetwork(workload)) return;
    const net = found.get(workload.name);
    workload.data.peers?.forEach(({ ip }, j) => {
      const path = `/workloads/${i}/data/peers/${j}`;
      if (ip == null) return unnamed.push([`${path}/name`, workload.name]);
      const address = parseIp(ip);
      if (!address || !net?.range || !isHost(net.range, address)) return say(`${path}/ip`, text.ip(net?.shown ?? ''));
      if (taken.has(address)) say(`${path}/ip`, text.ipTaken(ip));
      taken.add(address);
    });
  });
  for (const [path, network] of unnamed) {
    const range = found.get(network)?.range;
    const address = range && free(range, taken);
    if (address !== undefined) taken.add(address);
    else if (range) say(path, text.full(network));
  }
}

/** 32 bytes in base64: the last character holds four bits. */
const KEY = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;
const NO_KEY = `${'A'.repeat(43)}=`;

/** Says each problem of a network's peers but those of their addresses. */
function checkPeers(peers: Peer[], workloads: Workload[], say: Say): void {
  peers.forEach(({ name, public_key }, i) => {
    const isTaken = workloads.some((one) => one.name === name) || peers.findIndex((other) => other.name === name) < i;
    if (isTaken) say(`${i}/name`, text.twice(name));
    const other = peers.slice(0, i).find((one) => one.public_key === public_key);
    if (!KEY.test(public_key) || public_key === NO_KEY) say(`${i}/public_key`, text.peerKey);
    else if (other) say(`${i}/public_key`, text.peerKeyTaken(other.name));
  });
}

/** Machines have neither the network's own address, nor its router's, nor that of all of them. */
const isHost = ({ first, size }: Net, address: number): boolean => address > first + 1 && address < first + size - 1;

function free({ first, size }: Net, taken: ReadonlySet<number>): number | undefined {
  for (let address = first + 2; address < first + size - 1; address += 1) if (!taken.has(address)) return address;
  return undefined;
}
