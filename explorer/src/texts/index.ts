// SPDX-License-Identifier: Apache-2.0
// Every text of the explorer, by area. A translation replaces the files of this folder.
import { common } from './common';
import { connection } from './connection';
import { contracts } from './contracts';
import { farms } from './farms';
import { nodes } from './nodes';
import { twins } from './twins';

export { count } from './common';
export const t = { ...common, connection, contracts, farms, nodes, twins };
