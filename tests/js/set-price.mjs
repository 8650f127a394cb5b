// SPDX-License-Identifier: Apache-2.0
// Sets the price of TFT on a development chain, in USD.
//
//   node set-price.mjs --key //Alice 0.05

import { parseArgs } from 'node:util';
import { connect, keyPair, main, submitAsRoot } from './grid.mjs';

const { values: options, positionals: [usd] } = parseArgs({
  allowPositionals: true,
  options: {
    url: { type: 'string', default: 'ws://127.0.0.1:9944' },
    key: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

main(async () => {
  const { url, key, json } = options;
  const price = Math.round(Number(usd) * 1e7);
  if (!key || !(price > 0)) throw new Error('usage: set-price.mjs --key KEY USD [--url URL]');

  const api = await connect(url);
  try {
    await submitAsRoot(api, api.tx.billing.setPrice(price), keyPair(key));
    console.log(json ? JSON.stringify({ price }) : `one TFT costs ${price / 1e7} USD`);
  } finally {
    await api.disconnect();
  }
});
