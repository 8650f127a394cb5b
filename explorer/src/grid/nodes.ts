// SPDX-License-Identifier: Apache-2.0
// Nodes as people look for them: filters, search, and why a node that nearly fits doesn't.
import { countryCode, type Offer, type Resources } from '../chain/types';
import { bytes, country, GIB, MIB, number, parseBytes, permille, perMonth, tft, usd } from '../lib/format';
import { parseU32 } from '../lib/ids';
import { visible } from '../lib/safe';
import { t } from '../texts';

/** What the lists know of a node beside its offer: see `asksFacts`. */
export interface NodeFacts {
  vm: boolean;
  gateway: boolean;
  /** Uptime in the running period, in thousandths of the time that counts; none before the node's first hour. */
  uptime: number | undefined;
  /** Seconds since its last heartbeat at the block of the read. */
  heard: number | undefined;
  /** As its agent names it; none before its first report. */
  version: string | undefined;
}

export interface FarmFacts {
  name: string;
  /** Of the farmer. */
  twin: number;
  freeIps: number;
}

export interface NodeRow {
  offer: Offer;
  country: string | undefined;
  farm: FarmFacts | undefined;
  readonly facts: NodeFacts | undefined;
  /** Whether somebody rents it as a whole: it takes nobody else's contracts. */
  rented: boolean;
  /** Rate of what is looked for, in 1e-10 USD per hour. */
  readonly rate: bigint | undefined;
  /** What the search looks through: see `searched`. */
  words: string;
}

/** Whether a filter asks for facts. */
export const asksFacts = ({ vm, gateway, minUptime }: NodeFilter): boolean => vm || gateway || minUptime !== undefined;

/** Names that a node is found by, in lower case. */
export const searched = (farm: string, code: string | undefined): string => `${farm}\n${code ?? ''}\n${code ? country(code) : ''}`.toLowerCase();

export interface NodeFilter {
  free: Resources;
  ips: number;
  country: string;
  farm: string;
  certified: boolean;
  vm: boolean;
  gateway: boolean;
  rentable: boolean;
  /** Also nodes that are offline, asleep or draining. */
  unavailable: boolean;
  /** In 1e-10 USD per hour. */
  maxRate: bigint | undefined;
  /** In thousandths. */
  minUptime: number | undefined;
  /** In 1e-7 TFT that tenants got back. */
  maxUndelivered: bigint | undefined;
  /** Bits of what a node must serve: see `featureNames`. */
  features: number;
  /** Only nodes that take contracts beside others'. */
  shared: boolean;
  search: string;
  /** Whose nodes are looked for, instead of a search. */
  farmer: number | undefined;
}

export const FILTERS = [
  'cru', 'mru', 'sru', 'hru', 'gpu', 'ips', 'country', 'farm', 'certified', 'vm', 'gateway', 'rentable', 'unavailable',
  'price', 'uptime', 'undelivered', 'q',
] as const;

const count = (text: string): bigint => (/^\d{1,9}$/.test(text.trim()) ? BigInt(text.trim()) : 0n);

/** A decimal number times 10^digits. None for anything else. */
export function scaled(text: string, digits: number): bigint | undefined {
  const match = /^\s*(\d{1,9})(?:\.(\d{1,10}))?\s*$/.exec(text);
  if (!match) return undefined;
  const [, whole = '0', part = ''] = match;
  return BigInt(whole + part.slice(0, digits).padEnd(digits, '0'));
}

/** The filter of a page's URL; what makes no sense there doesn't filter. */
export function parseFilter(get: (name: string) => string): NodeFilter {
  const flag = (name: string): boolean => get(name) === '1';
  const uptime = scaled(get('uptime'), 1);
  return {
    free: {
      cru: count(get('cru')),
      mru: parseBytes(get('mru')) ?? 0n,
      sru: parseBytes(get('sru')) ?? 0n,
      hru: parseBytes(get('hru')) ?? 0n,
      gpu: count(get('gpu')),
    },
    ips: Number(count(get('ips'))),
    country: get('country'),
    farm: get('farm'),
    certified: flag('certified'),
    vm: flag('vm'),
    gateway: flag('gateway'),
    rentable: flag('rentable'),
    unavailable: flag('unavailable'),
    maxRate: (scaled(get('price'), 10) ?? 0n) / 720n || undefined,
    minUptime: uptime === undefined ? undefined : Number(uptime),
    maxUndelivered: scaled(get('undelivered'), 7),
    features: 0,
    shared: false,
    search: get('q').trim().toLowerCase(),
    farmer: undefined,
  };
}

const sizeIn = (bytes: bigint): string => (bytes % GIB === 0n ? String(bytes / GIB) : `${(bytes + MIB - 1n) / MIB} MiB`);

/** The filter that asks for a capacity, as a page's URL has it. Sizes are rounded up to MiB. */
export function capacityQuery({ cru, mru, sru, hru, gpu }: Resources, ips: number): string {
  return new URLSearchParams({ cru: String(cru), mru: sizeIn(mru), sru: sizeIn(sru), hru: sizeIn(hru), gpu: String(gpu), ips: String(ips) }).toString();
}

/** Whether a node is what a text of the search box looks for. */
function finder({ search, farmer }: NodeFilter): (row: NodeRow) => boolean {
  if (farmer !== undefined) return ({ farm }) => farm?.twin === farmer;
  if (search === '') return () => true;
  const id = parseU32(search);
  if (id !== undefined) return ({ offer }) => offer.node === id;
  return ({ words }) => words.includes(search);
}

/** The parts of a capacity, with how each is shown. */
export const PARTS: [keyof Resources, string, (value: bigint) => string][] = [
  ['cru', t.nodes.resources.cru, number],
  ['mru', t.nodes.resources.mru, bytes],
  ['sru', t.nodes.resources.sru, bytes],
  ['hru', t.nodes.resources.hru, bytes],
  ['gpu', t.nodes.resources.gpu, number],
];

/** A capacity on one line. */
export const capacity = (resources: Resources): string =>
  PARTS.filter(([part]) => resources[part] > 0n).map(([part, name, show]) => `${show(resources[part])} ${name}`).join(', ');

interface Check {
  /** Whether a filter asks for it. */
  asked(filter: NodeFilter): boolean;
  fits(row: NodeRow, filter: NodeFilter): boolean;
  /** Why a node doesn't. */
  why(row: NodeRow, filter: NodeFilter): string;
  /** What nodes have in common that don't. */
  rule(filter: NodeFilter): string;
  /** How much of it a node lacks that doesn't, from 0 to 1; else all of it. */
  lacks?(row: NodeRow, filter: NodeFilter): number;
}

const { misfit: why, rules } = t.nodes;
const isUsable = ({ unavailable }: NodeFilter): boolean => !unavailable;
const part = (has: bigint | number, wants: bigint | number): number => 1 - Number(has) / Number(wants);

/** Facts that aren't loaded rule nothing out. */
const CHECKS: Check[] = [
  ...PARTS.map(([name, shown, show]): Check => ({
    asked: ({ free }) => free[name] > 0n,
    fits: ({ offer }, { free }) => offer.free[name] >= free[name],
    why: ({ offer }, { free }) => why.free(shown, show(offer.free[name]), show(free[name])),
    rule: ({ free }) => rules.free(shown, show(free[name])),
    lacks: ({ offer }, { free }) => part(offer.free[name], free[name]),
  })),
  {
    asked: ({ ips }) => ips > 0,
    fits: ({ farm }, { ips }) => (farm?.freeIps ?? 0) >= ips,
    why: ({ farm }, { ips }) => why.ips(farm?.freeIps ?? 0, ips),
    rule: ({ ips }) => rules.ips(ips),
    lacks: ({ farm }, { ips }) => part(farm?.freeIps ?? 0, ips),
  },
  { asked: ({ country }) => country !== '', fits: (row, filter) => row.country === filter.country, why: ({ country: code }) => why.country(code && country(code)), rule: (filter) => rules.country(country(filter.country)) },
  { asked: ({ farm }) => farm !== '', fits: ({ offer }, { farm }) => String(offer.farm) === farm, why: ({ offer, farm }) => why.farm(visible(farm?.name ?? String(offer.farm))), rule: () => rules.farm },
  { asked: ({ certified }) => certified, fits: ({ offer }) => offer.certified, why: () => why.certified, rule: () => rules.certified },
  { asked: ({ rentable }) => rentable, fits: ({ offer }) => offer.contracts === 0 && !offer.draining, why: ({ offer }) => why.rentable(offer.contracts), rule: () => rules.rentable },
  { asked: isUsable, fits: ({ offer }) => offer.online, why: () => why.offline, rule: () => rules.offline },
  { asked: isUsable, fits: ({ offer }) => !offer.draining, why: () => why.draining, rule: () => rules.draining },
  { asked: isUsable, fits: ({ rented }) => !rented, why: () => why.rented, rule: () => rules.rented },
  { asked: ({ shared }) => shared, fits: ({ offer }) => !offer.dedicated, why: () => why.dedicated, rule: () => rules.dedicated },
  ...t.nodes.featureNames.map((name, bit): Check => ({
    asked: ({ features }) => (features & (1 << bit)) !== 0,
    fits: ({ offer }) => (offer.features & (1 << bit)) !== 0,
    why: () => why.feature(name),
    rule: () => rules.feature(name),
  })),
  { asked: ({ vm }) => vm, fits: ({ facts }) => facts === undefined || facts.vm, why: () => why.vm, rule: () => rules.vm },
  { asked: ({ gateway }) => gateway, fits: ({ facts }) => facts === undefined || facts.gateway, why: () => why.gateway, rule: () => rules.gateway },
  {
    asked: ({ minUptime }) => minUptime !== undefined,
    fits: ({ facts }, { minUptime = 0 }) => facts?.uptime === undefined || facts.uptime >= minUptime,
    why: ({ facts }, { minUptime }) => why.uptime(permille(facts?.uptime ?? 0), permille(minUptime ?? 0)),
    rule: ({ minUptime }) => rules.uptime(permille(minUptime ?? 0)),
  },
  {
    asked: ({ maxRate }) => maxRate !== undefined,
    fits: ({ rate }, { maxRate = 0n }) => rate === undefined || rate <= maxRate,
    why: ({ rate }) => why.price(usd(perMonth(rate ?? 0n))),
    rule: ({ maxRate }) => rules.price(usd(perMonth(maxRate ?? 0n))),
  },
  {
    asked: ({ maxUndelivered }) => maxUndelivered !== undefined,
    fits: ({ offer }, { maxUndelivered = 0n }) => offer.not_delivered <= maxUndelivered,
    why: ({ offer }) => why.undelivered(tft(offer.not_delivered)),
    rule: ({ maxUndelivered }) => rules.undelivered(tft(maxUndelivered ?? 0n)),
  },
];

/** Nodes that fit, and those that fail in one point alone with that point. */
export function select(rows: NodeRow[], filter: NodeFilter): { fit: NodeRow[]; near: { row: NodeRow; why: string }[] } {
  const fit: NodeRow[] = [];
  const near: { row: NodeRow; why: string }[] = [];
  const isFound = finder(filter);
  const checks = CHECKS.filter((check) => check.asked(filter));
  for (const row of rows) {
    if (!isFound(row)) continue;
    const missed = checks.find((check) => !check.fits(row, filter));
    if (!missed) fit.push(row);
    else if (checks.every((check) => check === missed || check.fits(row, filter))) near.push({ row, why: missed.why(row, filter) });
  }
  return { fit, near };
}

/** Each point in which a node doesn't fit. */
export const misses = (row: NodeRow, filter: NodeFilter): string[] =>
  CHECKS.filter((check) => check.asked(filter) && !check.fits(row, filter)).map((check) => check.why(row, filter));

/** Of nodes that the search finds: how many each point rules out, most first, and the one that lacks least. */
export function ruledOut(rows: NodeRow[], filter: NodeFilter): { nodes: number; points: { rule: string; nodes: number }[]; nearest: NodeRow | undefined } {
  const found = rows.filter(finder(filter));
  const checks = CHECKS.filter((check) => check.asked(filter));
  const points = checks.map((check) => ({ rule: check.rule(filter), nodes: found.filter((row) => !check.fits(row, filter)).length }));
  const lacks = (row: NodeRow): number => checks.filter((check) => !check.fits(row, filter)).reduce((sum, check) => sum + (check.lacks?.(row, filter) ?? 1), 0);
  const [nearest] = found.map((row) => ({ row, lacks: lacks(row) })).sort((a, b) => a.lacks - b.lacks);
  return { nodes: found.length, points: points.filter(({ nodes }) => nodes > 0).sort((a, b) => b.nodes - a.nodes), nearest: nearest?.row };
}

/** What versions are sorted by: numbers in them by their value. */
export const versionOrder = (version: string): string => version.replace(/\d+/g, (digits) => digits.padStart(10, '0'));

/** Uptime in thousandths of the time that counts in a farming period; none within its first hour. */
export function uptimePermille(upMs: bigint, fromSeconds: number, now: number): number | undefined {
  const counted = now - fromSeconds;
  return counted < 3_600 ? undefined : Math.min(1_000, Math.floor(Number(upMs) / counted));
}

export const PERIOD_SECONDS = 30 * 86_400;
export const periodOf = (unixSeconds: number): number => Math.floor(unixSeconds / PERIOD_SECONDS);
export const codeOf = (offer: Offer): string | undefined => countryCode(offer.country);
