// SPDX-License-Identifier: Apache-2.0
// Reads blocks 0 to LAST with PAPI's decoder, and prints as JSON how often each call is in them:
//
//   node read-blocks-papi.mjs 20

import { getExtrinsicDecoder } from '@polkadot-api/tx-utils';
import { hexToU8a } from '@polkadot/util';
import { main } from './grid.mjs';

/** The version of metadata that PAPI reads. */
const METADATA = 15;

main({
  usage: 'read-blocks-papi.mjs LAST',
  isComplete: (_, [last]) => last,
  async run(api, _, [last]) {
    const metadata = await api.call.metadata.metadataAtVersion(METADATA);
    const decode = getExtrinsicDecoder(metadata.unwrap().toU8a());
    const json = {};
    for (let number = 0; number <= Number(last); number++) {
      const hash = await api.rpc.chain.getBlockHash(number);
      // As it comes from the node, not as polkadot-js decodes it.
      const { block } = await api._rpcCore.provider.send('chain_getBlock', [hash.toHex()]);
      for (const extrinsic of block.extrinsics) {
        const { call } = decode(hexToU8a(extrinsic));
        const name = `${call.type}.${call.value.type}`;
        json[name] = (json[name] ?? 0) + 1;
      }
    }
    return { json };
  },
});
