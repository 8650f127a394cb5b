// SPDX-License-Identifier: Apache-2.0
// Ends a contract: its capacity is free, its disks are deleted, what it cost stands.
//
//   node cancel-contract.mjs --key //Bob 1

import { parseArgs } from 'node:util';
import { connect, keyPair, main, submit, tft } from './grid.mjs';

const { values: options, positionals: [contract] } = parseArgs({
  allowPositionals: true,
  options: {
    url: { type: 'string', default: 'ws://127.0.0.1:9944' },
    key: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

main(async () => {
  const { url, key, json } = options;
  if (!key || !contract) throw new Error('usage: cancel-contract.mjs --key KEY CONTRACT [--url URL]');

  const api = await connect(url);
  try {
    await submit(api, api.tx.contracts.cancel(contract, 'Cancelled'), keyPair(key));
    const cost = (await api.query.contracts.closed(contract)).unwrap().tft.toBigInt();
    console.log(json
      ? JSON.stringify({ contract: Number(contract), tft: tft(cost) })
      : `contract ${contract} is closed; it cost ${tft(cost)} TFT`);
  } finally {
    await api.disconnect();
  }
});
