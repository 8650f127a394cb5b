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
  registry?: object | null;
  health?: { http?: { port: number } } | null;
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

export type Workload =
  | { name: string; type: 'zmachine'; data: Machine }
  | { name: string; type: 'zmount' | 'volume'; data: Volume }
  | { name: string; type: 'zlogs'; data: Logs };

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
    return Array.isArray(value?.workloads) && value.workloads.every((one) => typeof one?.data === 'object' && one.data) ? value : undefined;
  } catch {
    return undefined;
  }
}

export const isMachine = (workload: Workload): workload is Extract<Workload, { type: 'zmachine' }> => workload.type === 'zmachine';
export const isLogs = (workload: Workload): workload is Extract<Workload, { type: 'zlogs' }> => workload.type === 'zlogs';

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
    } else if (!isLogs(workload)) {
      sum[workload.data.disk === 'hdd' ? 'hru' : 'sru'] += size(workload.data.size);
    }
  }
  return { ...sum, cru: BigInt(Math.ceil(hundredths / 100)) };
}

/** Secrets as their owner writes them. */
export const openSecrets = ({ secrets }: Deployment): Record<string, string> | undefined =>
  typeof secrets === 'object' && secrets !== null ? secrets : undefined;

/** Whether it holds what isn't for everyone: who names secrets has chosen what is. */
export const isConfidential = ({ secrets, workloads }: Deployment): boolean =>
  secrets == null && workloads.some((one) => isMachine(one) && (one.data.registry != null || Object.keys(one.data.env ?? {}).length > 0));

/** JSON without its white space: what goes to the chain. */
export const compacted = (json: string): Uint8Array => new TextEncoder().encode(JSON.stringify(JSON.parse(json)));

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
