// SPDX-License-Identifier: Apache-2.0
// Numbers, money, sizes and times as people read them. Chain amounts are integers: TFT in 1e-7, USD amounts and rates in
// 1e-10, prices in 1e-7 USD, grid time in milliseconds, calendar time in seconds (docs/FORMATS.md §1).

export const KIB = 1024n;
export const MIB = KIB ** 2n;
export const GIB = KIB ** 3n;
export const TIB = KIB ** 4n;
export const HOURS_PER_MONTH = 720n;

const TFT_DIGITS = 7;
const USD_DIGITS = 10;
const PRICE_DIGITS = 7;
const group = new Intl.NumberFormat('en');

/** `value` ÷ 10^digits without rounding, grouped, at least `least` decimals. */
export function decimal(value: bigint, digits: number, least = 0): string {
  const negative = value < 0n;
  const text = (negative ? -value : value).toString().padStart(digits + 1, '0');
  const whole = group.format(BigInt(text.slice(0, text.length - digits)));
  const rest = text.slice(text.length - digits).replace(/0+$/, '').padEnd(least, '0');
  return `${negative ? '−' : ''}${whole}${rest && `.${rest}`}`;
}

/** `value` in units of 10^-digits, rounded half up to `kept` decimals. */
export function rounded(value: bigint, digits: number, kept: number): string {
  const cut = 10n ** BigInt(digits - kept);
  const negative = value < 0n;
  const half = ((negative ? -value : value) + cut / 2n) / cut;
  return decimal(negative ? -half : half, kept, kept);
}

/** Decimals that keep three significant digits of `value`, at least two. */
function enough(value: bigint, digits: number): number {
  if (value === 0n) return 0;
  const size = (value < 0n ? -value : value).toString().length;
  return Math.min(digits, Math.max(2, digits - size + 3));
}

export const number = (value: number | bigint): string => group.format(value);

/** The exact amount. */
export const tftExact = (value: bigint): string => `${decimal(value, TFT_DIGITS)} TFT`;
/** For tables and cards: two decimals, more for small amounts. */
export const tft = (value: bigint): string => `${rounded(value, TFT_DIGITS, enough(value, TFT_DIGITS))} TFT`;
export const usdExact = (value: bigint): string => `$${decimal(value, USD_DIGITS, 2)}`;
export const usd = (value: bigint): string => `$${rounded(value, USD_DIGITS, enough(value, USD_DIGITS))}`;
/** Price of one TFT. */
export const tftPrice = (value: bigint): string => `$${decimal(value, PRICE_DIGITS, 2)}`;

/** What `usd` (1e-10 USD) is in 1e-7 TFT at `price` (1e-7 USD per TFT), rounded half up; none without a price. */
export function usdToTft(usdAmount: bigint, price: bigint): bigint | undefined {
  return price > 0n ? (usdAmount * 20_000n + price) / (price * 2n) : undefined;
}

export const perMonth = (rate: bigint): bigint => rate * HOURS_PER_MONTH;

const SIZES: [bigint, string][] = [[TIB, 'TiB'], [GIB, 'GiB'], [MIB, 'MiB'], [KIB, 'KiB']];

export function bytes(value: bigint): string {
  const unit = SIZES.find(([size]) => value >= size);
  if (!unit) return `${value} B`;
  const tenths = (value * 10n) / unit[0];
  return `${decimal(tenths, 1)} ${unit[1]}`;
}

/** Bytes of a text such as `8`, `8 GiB` or `500 MiB`; a lone number counts GiB. None for anything else. */
export function parseBytes(text: string): bigint | undefined {
  const match = /^\s*(\d{1,9})(?:\.(\d{1,3}))?\s*(?:([kmgt])i?b?)?\s*$/i.exec(text);
  if (!match) return undefined;
  const [, whole = '0', part = '', letter = 'g'] = match;
  const size = { k: KIB, m: MIB, g: GIB, t: TIB }[letter.toLowerCase()] ?? GIB;
  return (BigInt(whole + part) * size) / 10n ** BigInt(part.length);
}

const STEPS: [number, string][] = [[86_400, 'd'], [3_600, 'h'], [60, 'min'], [1, 's']];

/** A length of time, in its two largest units. */
export function duration(seconds: number): string {
  let left = Math.max(0, Math.floor(seconds));
  const parts: string[] = [];
  for (const [size, unit] of STEPS) {
    const count = Math.floor(left / size);
    left %= size;
    if (count > 0) parts.push(`${group.format(count)} ${unit}`);
    if (parts.length === 2 || (parts.length === 1 && count === 0)) break;
  }
  return parts.length ? parts.join(' ') : '0 s';
}

/** A moment in the reader's time zone. */
export function moment(unixSeconds: number): string {
  const date = new Date(unixSeconds * 1000);
  if (Number.isNaN(date.getTime())) return String(unixSeconds);
  return date.toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'short' });
}

export const day = (unixSeconds: number): string => new Date(unixSeconds * 1000).toISOString().slice(0, 10);

export const permille = (value: number | bigint): string => `${decimal(BigInt(value), 1)} %`;

const countryNames = new Intl.DisplayNames('en', { type: 'region', fallback: 'code' });
/** Lists ask for the same few names ten thousand times. */
const countries = new Map<string, string>();

/** Name of a country by its alpha-2 code; the code itself if it is none. */
export function country(code: string): string {
  if (!/^[A-Z]{2}$/.test(code)) return code;
  const name = countries.get(code) ?? countryNames.of(code) ?? code;
  countries.set(code, name);
  return name;
}
