// SPDX-License-Identifier: Apache-2.0
// What changed the balances of an account and the credit of its twin since a block, line by line.
//
//   node bill.mjs --key //Bob --since 17

import { parseArgs } from 'node:util';
import { connect, keyPair, main, tft, twinOf } from './grid.mjs';

const { values: options } = parseArgs({
  options: {
    url: { type: 'string', default: 'ws://127.0.0.1:9944' },
    key: { type: 'string' },
    since: { type: 'string', default: '0' },
    json: { type: 'boolean', default: false },
  },
});

/** A line: what it is for, and what it adds to account and credit, in 1e-7 TFT. */
const line = (what, account, credit) => ({ what, account: BigInt(account), credit: BigInt(credit) });

/** The lines of what an event moved, if it moved anything of this person's. */
function moved({ events }, event, address, twin) {
  const { data } = event;
  if (events.transactionPayment.TransactionFeePaid.is(event)) {
    return data.who.eq(address) ? [line('fee', -data.actualFee.toBigInt(), 0)] : [];
  }
  if (events.billing.Deposited.is(event)) {
    const amount = data.amount.toBigInt();
    const [paid, got] = [data.from.eq(address), data.twin.eq(twin)];
    return paid || got ? [line('deposit', paid ? -amount : 0, got ? amount : 0)] : [];
  }
  const [withdrawn, refilled] = [events.billing.Withdrawn.is(event), events.billing.Refilled.is(event)];
  if ((withdrawn || refilled) && data.twin.eq(twin)) {
    const amount = data.amount.toBigInt() * (withdrawn ? 1n : -1n);
    return [line(withdrawn ? 'withdrawal' : 'refill', amount, -amount)];
  }
  return [];
}

/** The twin's contracts that an event is about. */
const contractOf = ({ section, data }, twin) =>
  section === 'contracts' && data.contract && data.twin?.eq(twin) ? [data.contract.toNumber()] : [];

async function balances(at, address, twin) {
  const { data } = await at.query.system.account(address);
  const { credit } = await at.call.gridApi.payer(twin);
  return { account: data.free.toBigInt() + data.reserved.toBigInt(), credit: credit.toBigInt() };
}

/** What a contract was charged up to a block: by months of 30 days, and what the chain doesn't name a month for. */
async function charges(at, contract) {
  const status = await at.call.gridApi.contractStatus(contract);
  const total = status.isSome ? status.unwrap().value.tft?.toBigInt() ?? 0n : 0n;
  // Kept to 64 binary places of a unit.
  const months = (await at.call.gridApi.bill(contract))
    .map(({ month, charge }) => [month.toNumber(), charge.tft.toBigInt() >> 64n]);
  return { months: new Map(months), rest: total - months.reduce((sum, [, cost]) => sum + cost, 0n) };
}

/** A contract's lines: what it was charged between two blocks. */
async function charged(first, end, contract) {
  const [before, after] = [await charges(first, contract), await charges(end, contract)];
  const lines = [...after.months].map(([month, cost]) => {
    const begin = new Date(month * 30 * 86_400_000).toISOString().slice(0, 10);
    return line(`contract ${contract}, ${begin}`, 0, (before.months.get(month) ?? 0n) - cost);
  });
  // Not settled yet, or the least that a contract costs.
  const rest = before.rest - after.rest;
  return rest === 0n ? lines : [...lines, line(`contract ${contract}, rest`, 0, rest)];
}

async function bill(api, { address }, since) {
  const twin = await twinOf(api, { address });
  const at = async (number) => api.at(await api.rpc.chain.getBlockHash(number));
  const last = (await api.rpc.chain.getHeader(await api.rpc.chain.getFinalizedHead())).number.toNumber();
  const [first, end] = [await at(since), await at(last)];

  const lines = [];
  const open = await first.query.contracts.twinContracts.keys(twin);
  const contracts = new Set(open.map(({ args: [, contract] }) => contract.toNumber()));
  for (let number = since + 1; number <= last; number += 1) {
    for (const { event } of await (await at(number)).query.system.events()) {
      lines.push(...moved(api, event, address, twin));
      contractOf(event, twin).forEach((contract) => contracts.add(contract));
    }
  }
  for (const contract of contracts) lines.push(...(await charged(first, end, contract)));
  const [before, after] = [await balances(first, address, twin), await balances(end, address, twin)];
  return { before, lines, after };
}

const asJson = ({ account, credit, ...rest }) =>
  ({ ...rest, account_units: account.toString(), credit_units: credit.toString() });
const signed = (amount) => (amount < 0n ? `-${tft(-amount)}` : tft(amount)).padStart(22);

main(async () => {
  const { url, key, since, json } = options;
  if (!key) throw new Error('usage: bill.mjs --key KEY [--since BLOCK] [--url URL]');

  const api = await connect(url);
  try {
    const { before, lines, after } = await bill(api, keyPair(key), Number(since));
    if (json) {
      console.log(JSON.stringify({ before: asJson(before), lines: lines.map(asJson), after: asJson(after) }));
    } else {
      [{ what: 'before', ...before }, ...lines, { what: 'after', ...after }].forEach(
        ({ what, account, credit }) => console.log(what.padEnd(24), signed(account), signed(credit)));
    }
  } finally {
    await api.disconnect();
  }
});
