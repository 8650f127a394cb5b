// SPDX-License-Identifier: Apache-2.0
// The chain's metadata in the browser's cache, by the hash of the runtime's code: a second visit doesn't load it again.

const CACHE = 'tfgrid-metadata';
const key = (codeHash: string): string => `./metadata/${codeHash}`;

export async function cachedMetadata(codeHash: string): Promise<Uint8Array | null> {
  try {
    const found = await (await caches.open(CACHE)).match(key(codeHash));
    return found ? new Uint8Array(await found.arrayBuffer()) : null;
  } catch {
    // Pages over plain HTTP from another host, and private windows, have no cache.
    return null;
  }
}

/** Keeps the newest runtime's metadata alone. */
export async function cacheMetadata(codeHash: string, metadata: Uint8Array): Promise<void> {
  try {
    await caches.delete(CACHE);
    await (await caches.open(CACHE)).put(key(codeHash), new Response(metadata.slice()));
  } catch {
    // The same.
  }
}
