// SPDX-License-Identifier: Apache-2.0
// Every text of the explorer, by area. A translation replaces the files of this folder.
import { common } from './common';
import { connection } from './connection';

export { count } from './common';
export const t = { ...common, connection };
