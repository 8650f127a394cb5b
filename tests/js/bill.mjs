// SPDX-License-Identifier: Apache-2.0
// Lists the changes to the balance of an account and the credit of its twin since a block.
//
//   node bill.mjs --key //Bob --since 17

import { keyPair, main, tft, twinOf } from './grid.mjs';

/** A line: its subject, and the changes to account and credit in 1e-7 TFT. */
const line = (what, account, credit) => ({ what, account: BigInt(account), credit: BigInt(credit) });

/** The lines of an event; none if it moved nothing of this account or twin. */
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

/** The twin's contract that an event names, in a list. */
const contractOf = ({ section, data }, twin) =>
  section === 'contracts' && data.contract && data.twin?.eq(twin) ? [data.contract.toNumber()] : [];

// region: read
/** What an account has, and the credit of its twin, in 1e-7 TFT. */
async function balances(at, address, twin) {
  const { data } = await at.query.system.account(address);
  const { credit } = await at.call.gridApi.payer(twin);
  return { account: data.free.toBigInt() + data.reserved.toBigInt(), credit: credit.toBigInt() };
}
// endregion

/** Length of a month of the chain: 30 days, counted from 1970. */
const MONTH_MS = 30 * 86_400_000;
/** Number of months that the chain keeps per contract. */
const MONTHS_KEPT = 13;
/** Whole units of an amount with 64 fractional bits. */
const whole = (amount) => amount >> 64n;

/**
 * Total charges of a contract at a block, by the end of each month. The first entry is the total of months that the
 * chain has dropped. Charges that the chain hasn't settled yet count for the present month.
 */
async function charges(at, contract) {
  const status = await at.call.gridApi.contractStatus(contract);
  const total = status.isSome ? status.unwrap().value.tft?.toBigInt() ?? 0n : 0n;
  const account = await at.query.billing.ledgerAccounts(contract);
  const written = account.isSome ? whole(account.unwrap().accrual.charged.tft.toBigInt()) : total;
  const months = (await at.call.gridApi.bill(contract))
    .map(({ month, charge }) => [month.toNumber(), charge.tft.toBigInt()]);
  const kept = whole(months.reduce((sum, [, cost]) => sum + cost, 0n));
  if (kept > written || (kept < written && months.length < MONTHS_KEPT)) {
    throw new Error(`the months of contract ${contract} sum up to ${kept}, but it was charged ${written}`);
  }
  const ends = new Map([['earlier', written - kept]]);
  let sum = 0n;
  for (const [month, cost] of months) {
    sum += cost;
    ends.set(nameOf(month), written - kept + whole(sum));
  }
  if (total > written) ends.set(nameOf(Math.floor((await at.query.timestamp.now()).toNumber() / MONTH_MS)), total);
  return [...ends];
}

const nameOf = (month) => new Date(month * MONTH_MS).toISOString().slice(0, 10);

/** The lines of a contract: its charges between two blocks. */
async function charged(first, end, contract) {
  let [, billed] = (await charges(first, contract)).at(-1);
  const ends = await charges(end, contract);
  return ends.flatMap(([month, until], at) => {
    const cost = until - billed;
    // A lower total at the end of a month was charged before the first block; a lower total at the end is a refund.
    if (cost === 0n || (cost < 0n && at + 1 < ends.length)) return [];
    billed = until;
    return [line(`contract ${contract}, ${month}`, 0, -cost)];
  });
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

main({
  usage: 'bill.mjs --key KEY [--since BLOCK]',
  options: { since: { type: 'string', default: '0' } },
  async run(api, { key, since }) {
    const { before, lines, after } = await bill(api, keyPair(key), Number(since));
    const rows = [{ what: 'before', ...before }, ...lines, { what: 'after', ...after }];
    return {
      json: { before: asJson(before), lines: lines.map(asJson), after: asJson(after) },
      text: rows
        .map(({ what, account, credit }) => [what.padEnd(24), signed(account), signed(credit)].join(' '))
        .join('\n'),
    };
  },
});
