// SPDX-License-Identifier: Apache-2.0
// Takes all credit that no contract needs back to the account.
//
//   node withdraw.mjs --key //Bob

import { parseArgs } from 'node:util';
import { connect, keyPair, main, submit, tft, twinOf } from './grid.mjs';

const { values: options } = parseArgs({
  options: {
    url: { type: 'string', default: 'ws://127.0.0.1:9944' },
    key: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

main(async () => {
  const { url, key, json } = options;
  if (!key) throw new Error('usage: withdraw.mjs --key KEY [--url URL]');

  const api = await connect(url);
  try {
    const pair = keyPair(key);
    const { credit } = await api.call.gridApi.payer(await twinOf(api, pair));
    await submit(api, api.tx.billing.withdraw(credit), pair);
    const amount = tft(credit);
    console.log(json ? JSON.stringify({ tft: amount }) : `${amount} TFT are back in ${pair.address}`);
  } finally {
    await api.disconnect();
  }
});
