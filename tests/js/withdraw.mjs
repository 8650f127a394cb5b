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

// The chain keeps an hour for what runs; the minute is for the blocks until this call is in one.
const KEPT_MINUTES = 61n;

/** What running contracts keep, in 1e-7 TFT: rates are in 1e-10 USD per hour, prices in 1e-7 USD. */
async function kept(api, rate) {
  const { tftPrice } = await api.call.gridApi.gridInfo();
  return (rate.toBigInt() * 10n ** 4n * KEPT_MINUTES) / (tftPrice.toBigInt() * 60n) + 1n;
}

main(async () => {
  const { url, key, json } = options;
  if (!key) throw new Error('usage: withdraw.mjs --key KEY [--url URL]');

  const api = await connect(url);
  try {
    const pair = keyPair(key);
    const { credit, rate } = await api.call.gridApi.payer(await twinOf(api, pair));
    const free = credit.toBigInt() - (rate.isZero() ? 0n : await kept(api, rate));
    if (free <= 0n) throw new Error('nothing can be withdrawn: what runs keeps an hour of credit');
    await submit(api, api.tx.billing.withdraw(free), pair);
    const amount = tft(free);
    console.log(json ? JSON.stringify({ tft: amount }) : `${amount} TFT are back in ${pair.address}`);
  } finally {
    await api.disconnect();
  }
});
