// SPDX-License-Identifier: Apache-2.0
import { decimal, permille } from '../lib/format';
import { t } from '../texts';

/** What prepaid runway earns, as the chain's policy has it. */
export const factorRule = (levels: readonly { hours: number; permille: number }[]): string =>
  levels.map((level) => t.twins.level(decimal(BigInt(Math.round(level.hours / 72)), 1), permille(level.permille))).join('; ');

interface Reminder {
  uid: string;
  title: string;
  text: string;
  /** Seconds since 1970. */
  at: number;
  now: number;
}

const stamp = (unixSeconds: number): string => new Date(unixSeconds * 1000).toISOString().replace(/[-:]|\.\d+/g, '');
const escaped = (text: string): string => text.replace(/[\\;,]/g, (char) => `\\${char}`).replace(/\r?\n/g, '\\n');

/** Lines of iCalendar have at most 75 bytes; a continuation begins with a space. */
function folded(line: string): string {
  const lines: string[] = [];
  let part = '';
  let bytes = 0;
  for (const char of line) {
    const size = new TextEncoder().encode(char).length;
    if (bytes + size > 74) {
      lines.push(part);
      part = '';
      bytes = 1;
    }
    part += char;
    bytes += size;
  }
  return [...lines, part].join('\r\n ');
}

/** An event of a calendar, with an alarm three days before. */
export const calendarFile = ({ uid, title, text, at, now }: Reminder): string =>
  [
    'BEGIN:VCALENDAR', 'VERSION:2.0', 'PRODID:-//TF Grid Explorer//EN', 'BEGIN:VEVENT',
    `UID:${escaped(uid)}`, `DTSTAMP:${stamp(now)}`, `DTSTART:${stamp(at)}`, `SUMMARY:${escaped(title)}`,
    `DESCRIPTION:${escaped(text)}`,
    'BEGIN:VALARM', 'ACTION:DISPLAY', `DESCRIPTION:${escaped(title)}`, 'TRIGGER:-P3D', 'END:VALARM',
    'END:VEVENT', 'END:VCALENDAR',
  ].map((line) => `${folded(line)}\r\n`).join('');
