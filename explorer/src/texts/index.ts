// SPDX-License-Identifier: Apache-2.0
// Every text of the explorer, by area, but `advice.ts`, which is loaded on demand. A translation replaces the files of
// this folder.
import { blocks, search } from './blocks';
import { calculator } from './calculator';
import { common } from './common';
import { connection } from './connection';
import { contracts } from './contracts';
import { deploy, wallet } from './deploy';
import { farms } from './farms';
import { grid } from './grid';
import { nodes } from './nodes';
import { twins } from './twins';
import { watch } from './watch';

export { count } from './common';
export const t = { ...common, blocks, calculator, connection, contracts, deploy, farms, find: search, grid, nodes, twins, wallet, watch };
