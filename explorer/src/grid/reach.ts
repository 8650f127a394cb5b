// SPDX-License-Identifier: Apache-2.0
// Where a node says that machines and sites are reached (docs/FORMATS.md §5).
import { utf8, visible } from '../lib/safe';

/** What leads to a machine or site, what the internet reaches first. */
const FIELDS = ['url', 'public_ip', 'ipv6', 'ip'];

/** Names with their addresses, from a result; nothing if it isn't as it should be. */
export function reach(result: Uint8Array): [name: string, addresses: string][] {
  let machines: unknown;
  try {
    machines = JSON.parse(utf8(result));
  } catch {
    return [];
  }
  if (typeof machines !== 'object' || machines === null) return [];
  return Object.entries(machines).flatMap(([name, fields]: [string, unknown]): [string, string][] => {
    if (typeof fields !== 'object' || fields === null) return [];
    const addresses = FIELDS.map((field) => (fields as Record<string, unknown>)[field]).filter((value) => typeof value === 'string');
    return addresses.length ? [[visible(name), addresses.map((address) => visible(address)).join(', ')]] : [];
  });
}
