// SPDX-License-Identifier: Apache-2.0
// Which endpoints to try: the one in the link, those of the reader, then those that the page's host names in
// `endpoints.json`.

const STORED = 'tfgrid-endpoints';

/** A WebSocket URL in normal form. None for anything else. */
export function parseEndpoint(text: string): string | undefined {
  try {
    const url = new URL(text.trim());
    return url.protocol === 'ws:' || url.protocol === 'wss:' ? url.href.replace(/\/$/, '') : undefined;
  } catch {
    return undefined;
  }
}

/** The endpoint in the page's address: `?endpoint=` before the `#`. */
export const linkedEndpoint = (search: string): string | undefined =>
  parseEndpoint(new URLSearchParams(search).get('endpoint') ?? '');

export function storedEndpoints(): string[] {
  try {
    const list: unknown = JSON.parse(localStorage.getItem(STORED) ?? '[]');
    return Array.isArray(list) ? list.flatMap((url) => parseEndpoint(String(url)) ?? []) : [];
  } catch {
    return [];
  }
}

export const storeEndpoints = (endpoints: string[]): void => localStorage.setItem(STORED, JSON.stringify(endpoints));

async function hostedEndpoints(): Promise<string[]> {
  const response = await fetch('./endpoints.json', { signal: AbortSignal.timeout(5_000) });
  const list: unknown = await response.json();
  return Array.isArray(list) ? list.flatMap((url) => parseEndpoint(String(url)) ?? []) : [];
}

export async function endpoints(): Promise<string[]> {
  const hosted = await hostedEndpoints().catch(() => []);
  const all = [linkedEndpoint(location.search), ...storedEndpoints(), ...hosted];
  return [...new Set(all.filter((url) => url !== undefined))];
}
