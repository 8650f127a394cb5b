// SPDX-License-Identifier: Apache-2.0
// A deployment as JSON (docs/FORMATS.md §4). Its text is the one source: the form reads it and writes it back whole, so
// fields that the form doesn't have stay as they are.
import { NOTHING, type Resources } from '../chain/types';
import { GIB, KIB, MIB, TIB } from '../lib/format';

/** A text, or the name of one of the deployment's secrets. */
export type Text = string | { secret: string };

export interface Machine {
  image: string;
  cpu: number;
  memory: number;
  rootfs?: number;
  mounts?: { name: string; path: string }[];
  env?: Record<string, Text>;
  gpus?: number;
  user?: string | null;
  workdir?: string | null;
  hostname?: string | null;
  shm?: number | null;
  ulimits?: Record<string, number>;
  entrypoint?: string[];
  args?: string[];
  registry?: { user: Text; password: Text } | null;
  health?: { http?: { port: number; path?: string }; exec?: string[] } | null;
  interfaces?: Interface[];
  internet?: boolean;
  public_ip?: boolean;
  ipv6?: boolean;
  /** Such as `80/tcp` and `8000-8010/udp`. */
  ports?: string[];
}

/** A machine's place in a private network. */
export interface Interface {
  network: string;
  ip?: string | null;
}

export interface Volume {
  size: number;
  disk?: 'ssd' | 'hdd' | null;
}

/** Sends a machine's output to an address. */
export interface Logs {
  zmachine: string;
  output: Text;
}

export interface Network {
  subnet: string;
  /** Addresses of this deployment's machines; else the whole subnet. */
  range?: string | null;
  peers?: Peer[];
}

/** A computer of the owner's in a private network. */
export interface Peer {
  name: string;
  public_key: string;
  ip?: string | null;
}

/** A site behind a web gateway: under a name of the twin's, or a domain of its own. */
export interface Site {
  name?: string;
  fqdn?: string;
  network?: string | null;
  backends: string[];
  tls_passthrough?: boolean;
  proxy_protocol?: boolean;
}

export type Workload =
  | { name: string; type: 'zmachine'; data: Machine }
  | { name: string; type: 'zmount' | 'volume'; data: Volume }
  | { name: string; type: 'zlogs'; data: Logs }
  | { name: string; type: 'network'; data: Network }
  | { name: string; type: 'gateway-name-proxy' | 'gateway-fqdn-proxy'; data: Site };

export interface Deployment {
  version: 1;
  description?: string | null;
  /** As their owner writes them, or sealed. */
  secrets?: Record<string, string> | string | null;
  workloads: Workload[];
}

/** The most bytes of a body. */
export const MAX_BYTES = 8_192;
const DEFAULT_ROOTFS = 1_073_741_824;

export const text = (deployment: Deployment): string => `${JSON.stringify(deployment, null, 2)}\n`;

/** A web server with a disk: what the form begins with. */
export const example = (cpu: number, memory: bigint, disk: bigint): Deployment => ({
  version: 1,
  description: 'a web server with a disk',
  workloads: [
    { name: 'data', type: 'zmount', data: { size: Number(disk) } },
    {
      name: 'web',
      type: 'zmachine',
      data: {
        image: 'docker.io/library/nginx:1.29-alpine',
        cpu,
        memory: Number(memory),
        rootfs: Number(512n * MIB),
        mounts: [{ name: 'data', path: '/data' }],
        health: { http: { port: 80 } },
      },
    },
  ],
});

/** The workloads of a text; none if it isn't JSON of the shape that the form shows. */
export function parse(json: string): Deployment | undefined {
  try {
    const value = JSON.parse(json) as Deployment;
    return Array.isArray(value?.workloads) && value.workloads.every(isShown) ? value : undefined;
  } catch {
    return undefined;
  }
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;
const isList = (value: unknown): boolean => value == null || (Array.isArray(value) && value.every(isObject));
const isShown = (one: Workload): boolean =>
  typeof one?.name === 'string' && isObject(one.data) && (!isMachine(one) || ([one.data.mounts, one.data.interfaces].every(isList) && isTexts(one.data.ports))) &&
  (!isSite(one) || isTexts(one.data.backends));
const isTexts = (value: unknown): boolean => value == null || (Array.isArray(value) && value.every((one) => typeof one === 'string'));

type OfType<Type extends Workload['type']> = Extract<Workload, { type: Type }>;
export const isMachine = (workload: Workload): workload is OfType<'zmachine'> => workload.type === 'zmachine';
export const isLogs = (workload: Workload): workload is OfType<'zlogs'> => workload.type === 'zlogs';
export const isNetwork = (workload: Workload): workload is OfType<'network'> => workload.type === 'network';
export const isSite = (workload: Workload): workload is Extract<Workload, { data: Site }> => workload.type === 'gateway-name-proxy' || workload.type === 'gateway-fqdn-proxy';
export const isVolume = (workload: Workload): workload is Extract<Workload, { data: Volume }> => workload.type === 'zmount' || workload.type === 'volume';

/** A name that no workload has. */
export function freshName(workloads: Workload[], stem: string): string {
  const names = new Set(workloads.map(({ name }) => name));
  for (let n = 1; ; n += 1) if (!names.has(`${stem}${n}`)) return `${stem}${n}`;
}

/** What sends the output of a machine. */
export const logsOf = (workloads: Workload[], machine: string): OfType<'zlogs'> | undefined =>
  workloads.filter(isLogs).find(({ data }) => data.zmachine === machine);

/** The workloads with the output of a machine sent to another address; to none with an empty one. */
export function withOutput(workloads: Workload[], machine: string, address: string): Workload[] {
  const old = logsOf(workloads, machine);
  if (!address.trim()) return workloads.filter((one) => one !== old);
  const logs: Workload = { ...old, name: old?.name ?? freshName(workloads, 'logs'), type: 'zlogs', data: { ...old?.data, zmachine: machine, output: parseText(address.trim()) } };
  return old ? workloads.map((one) => (one === old ? logs : one)) : [...workloads, logs];
}

/** The workloads with another name for one of them, also where others refer to it. */
export function renamed(workloads: Workload[], at: number, name: string): Workload[] {
  const old = workloads[at];
  const follow = <One, Key extends keyof One>(list: One[] | undefined, key: Key): One[] | undefined =>
    list?.map((one) => (one[key] === old?.name ? { ...one, [key]: name } : one));
  return workloads.map((one, i): Workload => {
    if (i === at) return { ...one, name };
    if (!old) return one;
    if (isLogs(one) && isMachine(old)) return { ...one, data: follow([one.data], 'zmachine')?.[0] ?? one.data };
    if (isSite(one) && isNetwork(old)) return { ...one, data: follow([one.data], 'network')?.[0] ?? one.data };
    if (!isMachine(one)) return one;
    if (isVolume(old) && one.data.mounts) return { ...one, data: { ...one.data, mounts: follow(one.data.mounts, 'name') } };
    if (isNetwork(old) && one.data.interfaces) return { ...one, data: { ...one.data, interfaces: follow(one.data.interfaces, 'network') } };
    return one;
  });
}

/** The workloads without one of them; the output of a machine goes with it. */
export function without(workloads: Workload[], at: number): Workload[] {
  const gone = workloads[at];
  return workloads.filter((one, i) => i !== at && !(gone && isMachine(gone) && isLogs(one) && one.data.zmachine === gone.name));
}

const size = (value: unknown): bigint => (typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? BigInt(value) : 0n);

/** What a contract must reserve for it. */
export function needs({ workloads }: Deployment): Resources {
  const sum = { ...NOTHING };
  let hundredths = 0;
  for (const workload of workloads) {
    if (isMachine(workload)) {
      hundredths += Math.round((Number(workload.data.cpu) || 0) * 100);
      sum.mru += size(workload.data.memory);
      sum.sru += size(workload.data.rootfs ?? DEFAULT_ROOTFS);
      sum.gpu += size(workload.data.gpus);
    } else if (isVolume(workload)) {
      sum[workload.data.disk === 'hdd' ? 'hru' : 'sru'] += size(workload.data.size);
    }
  }
  return { ...sum, cru: BigInt(Math.ceil(hundredths / 100)) };
}

/** How many public IPv4 addresses its machines ask for. */
export const publicIps = ({ workloads }: Deployment): number => workloads.filter((one) => isMachine(one) && one.data.public_ip === true).length;

/** Secrets as their owner writes them. */
export const openSecrets = ({ secrets }: Deployment): Record<string, string> | undefined =>
  typeof secrets === 'object' && secrets !== null ? secrets : undefined;

/** Whether it holds what isn't for everyone: who names secrets has chosen what is. */
export const isConfidential = ({ secrets, workloads }: Deployment): boolean =>
  secrets == null && workloads.some((one) => isMachine(one) && (one.data.registry != null || Object.keys(one.data.env ?? {}).length > 0));

/** JSON without its white space: what goes to the chain. What a copied body says it replaces is of another contract. */
export const compacted = (json: string): Uint8Array => new TextEncoder().encode(JSON.stringify({ ...JSON.parse(json), replaces: undefined }));

/** Bytes in the largest unit that shows them exactly: `512 MiB`. */
export function exactSize(value: number | undefined): string {
  if (value === undefined) return '';
  const bytes = size(value);
  const unit = ([[TIB, 'TiB'], [GIB, 'GiB'], [MIB, 'MiB'], [KIB, 'KiB']] as const).find(([unit]) => bytes >= unit && bytes % unit === 0n);
  return unit ? `${bytes / unit[0]} ${unit[1]}` : String(value);
}

const SECRET = /^\{"secret":"([^"\\]*)"\}$/;
export const shownText = (text: Text): string => (typeof text === 'string' ? text : JSON.stringify(text));
export const parseText = (shown: string): Text => {
  const secret = SECRET.exec(shown)?.[1];
  return secret === undefined ? shown : { secret };
};

/** `KEY=value` a line; a value that is a secret is `{"secret":"NAME"}`. */
export const envText = (env: Record<string, Text> | undefined): string =>
  Object.entries(env ?? {}).map(([key, value]) => `${key}=${shownText(value)}`).join('\n');

export function parseEnv(lines: string): Record<string, Text> {
  const pairs = lines.split('\n').filter((line) => line.trim()).map((line): [string, Text] => {
    const at = line.indexOf('=');
    return at < 0 ? [line.trim(), ''] : [line.slice(0, at).trim(), parseText(line.slice(at + 1))];
  });
  return Object.fromEntries(pairs);
}

/** Words with spaces or lines between them. */
export const parseWords = (text: string): string[] => text.split(/\s+/).filter(Boolean);

/** `network` or `network:address` a line. */
export const interfaceText = (interfaces: Interface[] | undefined): string =>
  (interfaces ?? []).map(({ network, ip }) => (ip == null ? network : `${network}:${ip}`)).join('\n');

export const parseInterfaces = (lines: string): Interface[] =>
  lines.split('\n').filter((line) => line.trim()).map((line) => {
    const [network = '', ...ip] = line.trim().split(':');
    return ip.length ? { network, ip: ip.join(':') } : { network };
  });
