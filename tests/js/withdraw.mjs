// SPDX-License-Identifier: Apache-2.0
// Withdraws all credit that no contract needs to the account.
//
//   node withdraw.mjs --key //Bob

import { keyPair, main, submit, tft, twinOf } from './grid.mjs';

// Running contracts need credit for an hour. The minute more covers the time until the call is in a block.
const KEPT_MINUTES = 61n;

/** Credit that running contracts need, in 1e-7 TFT. Rates are in 1e-10 USD per hour, prices in 1e-7 USD. */
async function kept(api, rate) {
  const { tftPrice } = await api.call.gridApi.gridInfo();
  return (rate.toBigInt() * 10n ** 4n * KEPT_MINUTES) / (tftPrice.toBigInt() * 60n) + 1n;
}

main({
  usage: 'withdraw.mjs --key KEY',
  async run(api, { key }) {
    const pair = keyPair(key);
    const { credit, rate } = await api.call.gridApi.payer(await twinOf(api, pair));
    const free = credit.toBigInt() - (rate.isZero() ? 0n : await kept(api, rate));
    if (free <= 0n) throw new Error('nothing can be withdrawn: running contracts need an hour of credit');
    await submit(api, api.tx.billing.withdraw(free), pair);
    const amount = tft(free);
    return { json: { tft: amount }, text: `${amount} TFT were withdrawn to ${pair.address}` };
  },
});
