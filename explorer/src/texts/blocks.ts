// SPDX-License-Identifier: Apache-2.0
import { number } from '../lib/format';

export const blocks = {
  block: (n: number) => `Block ${number(n)}`,
  latest: 'Newest finalized blocks',
  search: 'Number of a block, transaction such as 123-4, or hash',
  find: 'Find',
  columns: { block: 'Block', time: 'Time', calls: 'Calls', events: 'Events' },
  times: (n: number, name: string) => `${number(n)} × ${name}`,
  hash: 'Hash',
  parent: 'Parent',
  time: 'Time',
  transactions: 'Transactions',
  transaction: (block: number, index: number) => `Transaction ${number(block)}-${index}`,
  txColumns: { index: 'Index', call: 'Call', signer: 'Signer', outcome: 'Outcome' },
  unsigned: 'none: the call carries its own authority',
  ok: 'success',
  failed: 'failed',
  unknownOutcome: 'not known: the node has dropped the events of this block',
  why: 'Why it failed',
  fee: 'Fee',
  txHash: 'Hash',
  call: 'Call',
  args: 'Arguments',
  events: 'Events',
  blockEvents: 'Events of the block itself',
  noBlock: (ref: string) => `There is no finalized block ${ref}, or this node doesn’t have it any more. A node that keeps all blocks may: choose another endpoint.`,
  noTransaction: (index: string) => `This block has no transaction ${index}.`,
  badRef: (text: string) => `“${text}” is neither a block number nor a hash.`,
  dropped: 'The node has dropped the state of this block: calls are shown as they were sent, without their outcome.',
};

export const search = {
  title: (text: string) => `Search: ${text}`,
  empty: 'Type a node, contract, twin or block number, a farm’s name, an address or a hash.',
  none: (text: string) => `Nothing is called “${text}”. Ids are numbers; farms go by their name; addresses begin with 5; hashes with 0x.`,
  recent: (n: number) => `Transactions were looked for in the last ${number(n)} blocks.`,
  found: { node: 'Node', contract: 'Contract', twin: 'Twin', farm: 'Farm', block: 'Block', account: 'Account', transaction: 'Transaction', name: 'Name on the gateways' },
  noTwin: 'This account has no twin.',
};
