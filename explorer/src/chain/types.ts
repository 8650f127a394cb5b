// SPDX-License-Identifier: Apache-2.0
// Names for the chain's records, as the descriptors type them.
import type { Api } from './connection';

type Answer<Call extends (...args: never[]) => Promise<unknown>> = NonNullable<Awaited<ReturnType<Call>>>;
type Grid = Api['apis']['GridApi'];
type Query = Api['query'];

export type Offer = Answer<Grid['node_offer']>;
export type Resources = Offer['free'];
export type Status = Answer<Grid['contract_status']>;
export type TwinContract = Answer<Grid['contracts_of_twin']>['items'][number];
export type Reward = Answer<Grid['node_rewards']>[number];
export type IpInfo = Answer<Grid['ips_of_farm']>['items'][number];
export type ChainContract = Answer<Query['Contracts']['Contracts']['getValue']>;
export type Closed = Answer<Query['Contracts']['ClosedContracts']['getValue']>;
export type Failure = Answer<Query['Contracts']['Failures']['getValue']>;
export type Body = Answer<Query['Contracts']['Bodies']['getValue']>;
export type LiveState = Answer<Query['Nodes']['LivenessOf']['getValue']>['state'];
export type FarmRecord = Answer<Query['Farms']['Farms']['getValue']>;
export type Enrolment = Answer<Query['Farming']['Enrolments']['getValue']>;
export type PriceList = Answer<Query['Billing']['Policy']['getValue']>['prices'];
export type FarmingPolicy = Answer<Query['Farming']['Policy']['getValue']>;

export const NOTHING: Resources = { cru: 0n, mru: 0n, sru: 0n, hru: 0n, gpu: 0n };

/** As a limit: none. */
export const NO_LIMIT = 2n ** 64n - 1n;

/** Amounts that the chain keeps with 64 bits of fraction, rounded down. */
export const whole = (exact: bigint): bigint => exact >> 64n;

/** `BE` for the chain's `0x4245`; none for anything but two capital letters. */
export function countryCode(hex: string | undefined): string | undefined {
  if (hex === undefined) return undefined;
  if (!codes.has(hex)) {
    const code = String.fromCharCode(...(hex.match(/[0-9a-f]{2}/gi)?.slice(-2) ?? []).map((byte) => parseInt(byte, 16)));
    codes.set(hex, /^[A-Z]{2}$/.test(code) ? code : undefined);
  }
  return codes.get(hex);
}
/** Lists ask for the same few ten thousand times. */
const codes = new Map<string, string | undefined>();
