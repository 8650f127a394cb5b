// SPDX-License-Identifier: Apache-2.0
// Sets the price of TFT on a development chain, in USD.
//
//   node set-price.mjs --key //Alice 0.05

import { keyPair, main, submitAsRoot } from './grid.mjs';

const price = (usd) => Math.round(Number(usd) * 1e7);

main({
  usage: 'set-price.mjs --key KEY USD',
  isComplete: ({ key }, [usd]) => key && price(usd) > 0,
  async run(api, { key }, [usd]) {
    await submitAsRoot(api, api.tx.clock.setPrice(price(usd)), keyPair(key));
    return { json: { price: price(usd) }, text: `one TFT costs ${price(usd) / 1e7} USD` };
  },
});
