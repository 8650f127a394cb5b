// SPDX-License-Identifier: Apache-2.0

/** A field that spreadsheets neither split nor run as a formula. */
function field(value: string | number | bigint): string {
  const text = String(value);
  const safe = typeof value === 'string' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export const csv = (rows: (string | number | bigint)[][]): string =>
  rows.map((row) => `${row.map(field).join(',')}\r\n`).join('');
