// SPDX-License-Identifier: Apache-2.0
// Reads blocks 0 to LAST, and prints as JSON how often each call succeeded:
//
//   node read-blocks.mjs 20

import { main } from './grid.mjs';

main({
  usage: 'read-blocks.mjs LAST',
  isComplete: (_, [last]) => last,
  async run(api, _, [last]) {
    const json = {};
    for (let number = 0; number <= Number(last); number++) {
      const hash = await api.rpc.chain.getBlockHash(number);
      const { block } = await api.rpc.chain.getBlock(hash);
      const events = await (await api.at(hash)).query.system.events();
      block.extrinsics.forEach(({ method }, index) => {
        const succeeded = events.some(({ phase, event }) =>
          phase.isApplyExtrinsic && phase.asApplyExtrinsic.eq(index) && api.events.system.ExtrinsicSuccess.is(event));
        const name = `${pascal(method.section)}.${snake(method.method)}`;
        json[name] = (json[name] ?? 0) + Number(succeeded);
      });
    }
    return { json };
  },
});

/** The runtime's names, of which polkadot-js makes its own. */
const pascal = (text) => text[0].toUpperCase() + text.slice(1);
const snake = (text) => text.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
