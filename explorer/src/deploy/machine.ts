// SPDX-License-Identifier: Apache-2.0
// Rules of a machine (docs/FORMATS.md §4) that the schema can't say.
import { t } from '../texts';
import type { Machine, Text } from './deployment';

const text = t.deploy.problems;
const MOST_BYTES = 1_024;
const MOST_PORT = 65_535;
const [LEAST_FILES, MOST_FILES] = [64, 2 ** 20];

const length = (value: string): number => new TextEncoder().encode(value).length;
const isCString = (value: string): boolean => !value.includes('\0');
const isShort = (value: string): boolean => length(value) <= MOST_BYTES && isCString(value);
export const hasControls = (value: string): boolean => /\p{Cc}/u.test(value);

/** Docker's header for credentials is ambiguous about the characters that are left out. */
const isCredential = (value: string): boolean => /^[ -=@-}]{1,1024}$/.test(value);

const USER = /^[\w.-]{1,64}(:[\w.-]{1,64})?$/;
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const isMountPath = (path: string): boolean =>
  !hasControls(path) && /^\/[^/]/.test(path) && !/\/(\.{0,2})(\/|$)/.test(path) && !/^\/(proc|sys|dev)(\/|$)/.test(path);

/** The ports in a text such as `80/tcp` or `8000-8010/udp`. */
function parsePorts(text: string): { first: number; last: number; protocol: string } | undefined {
  const [, from, to, protocol = ''] = /^(\d{1,5})(?:-(\d{1,5}))?\/(tcp|udp)$/.exec(text) ?? [];
  const [first, last] = [Number(from), Number(to ?? from)];
  return first >= 1 && first <= last && last <= MOST_PORT ? { first, last, protocol } : undefined;
}

/** Says each problem at the path of its field, below the machine's data. `open` is what a text stands for, if that can be known. */
export function checkMachine(data: Machine, open: (value: Text) => string | undefined, say: (path: string, message: string) => void): void {
  const need = (path: string, value: string | null | undefined, rule: (value: string) => boolean, message: string): void => {
    if (value != null && !rule(value)) say(path, message);
  };
  if (!/^\d+(\.\d{1,2})?$/.test(String(data.cpu))) say('cpu', text.cpu);
  need('user', data.user, (user) => USER.test(user), text.user);
  need('workdir', data.workdir, (path) => isShort(path) && path.startsWith('/') && !hasControls(path), text.path);
  need('hostname', data.hostname, (name) => name.split('.').every((label) => LABEL.test(label)), text.hostname);
  if (data.shm != null && (data.shm < 1 || data.shm > data.memory)) say('shm', text.shm);
  need('health/http/path', data.health?.http?.path, (path) => isShort(path) && /^\/[!-~]*$/.test(path), text.httpPath);
  if (data.health?.exec && (data.health.exec.length < 1 || data.health.exec.length > 64)) say('health/exec', text.words);
  for (const [name, words] of [['health/exec', data.health?.exec], ['entrypoint', data.entrypoint], ['args', data.args]] as const) {
    words?.forEach((word, i) => need(`${name}/${i}`, word, isShort, text.word));
  }
  for (const [name, value] of Object.entries(data.ulimits ?? {})) {
    const [least, most] = name === 'nofile' ? [LEAST_FILES, MOST_FILES] : [0, data.memory];
    if (!['core', 'memlock', 'nofile', 'stack'].includes(name)) say(`ulimits/${name}`, text.unknownField(name));
    else if (value < least || value > most) say(`ulimits/${name}`, text.between(least, most));
  }
  for (const field of ['public_ip', 'ipv6'] as const) if (data[field] && data.internet === false) say(field, text.publicInternet);
  const opened = (data.ports ?? []).map(parsePorts);
  opened.forEach((ports, i) => {
    if (!ports) return say(`ports/${i}`, text.ports);
    const other = opened.slice(0, i).findIndex((one) => one && one.protocol === ports.protocol && one.first <= ports.last && ports.first <= one.last);
    if (other >= 0) say(`ports/${i}`, text.portsTwice(data.ports?.[other] ?? ''));
  });
  if (opened.length && !data.public_ip && !data.ipv6) say('ports', text.portsAlone);
  data.mounts?.forEach(({ path }, i, all) => {
    need(`mounts/${i}/path`, path, isMountPath, text.mountPath);
    if (all.findIndex((other) => other.path === path) < i) say(`mounts/${i}/path`, text.mountedAt(path));
  });
  for (const [key, value] of Object.entries(data.env ?? {})) {
    need(`env/${key}`, key, (key) => key !== '' && !/[=\0]/.test(key), text.envKey);
    need(`env/${key}`, open(value), isCString, text.nul);
  }
  if (!data.registry) return;
  need('registry/user', open(data.registry.user), (user) => isCredential(user) && !user.includes(':'), text.credential);
  need('registry/password', open(data.registry.password), isCredential, text.credential);
}
