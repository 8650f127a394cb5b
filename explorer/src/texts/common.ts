// SPDX-License-Identifier: Apache-2.0
import { number } from '../lib/format';

/** `1 node`, `2 nodes`. */
export const count = (n: number | bigint, one: string, many = `${one}s`): string =>
  `${number(n)} ${BigInt(n) === 1n ? one : many}`;

export const common = {
  title: 'TF Grid Explorer',
  skip: 'Skip to the content',
  nav: 'Pages',
  pages: {
    grid: 'Grid',
    nodes: 'Nodes',
    farms: 'Farms',
    contracts: 'Contracts',
    twins: 'Twins',
    blocks: 'Blocks',
    calculator: 'Calculator',
    deploy: 'Deploy',
    watch: 'Watch list',
    connection: 'Connection',
  },
  search: 'Search',
  searchHint: 'Node or contract id, farm name, address, block hash',
  theme: { label: 'Theme', auto: 'Auto', light: 'Light', dark: 'Dark' },
  loading: 'Reading the chain…',
  retry: 'Try again',
  failed: (why: string) => `This part can't be read: ${why}.`,
  asOf: (n: number) => `As of block ${number(n)}`,
  /** In sentences, and in links. */
  kinds: { node: 'node', farm: 'farm', contract: 'contract', twin: 'twin' },
  link: (kind: string, id: number | bigint) => `${kind} ${id}`,
  yes: 'yes',
  no: 'no',
  none: 'none',
  unknown: 'not known',
  ago: (time: string) => `${time} ago`,
  inTime: (time: string) => `in ${time}`,
  notFound: (what: string, id: string) => `There is no ${what} ${id}.`,
  badId: (what: string, text: string) => `“${text}” is no id of a ${what}: an id is a number.`,
  noPage: 'There is no such page.',
  toGrid: 'Go to the grid',
  rows: (shown: number, all: number, one: string) =>
    shown === all ? count(all, one) : `${number(shown)} of ${count(all, one)}`,
  noRows: 'Nothing matches.',
  copy: 'Copy',
  copied: 'Copied',
  csv: 'Download as CSV',
};
