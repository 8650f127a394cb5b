// SPDX-License-Identifier: Apache-2.0
import type { Plugin } from 'vite';
import solid from 'vite-plugin-solid';
import { defineConfig } from 'vitest/config';

/** The descriptors bring a copy of the metadata that no page loads: a page reads the chain's own. */
const withoutMetadata: Plugin = {
  name: 'without-metadata',
  enforce: 'pre',
  load: (id) => (/descriptors\/dist\/.*_metadata-/.test(id) ? 'export default ""' : undefined),
};

/** Bodies are sealed to X25519 keys alone: age's other kinds of keys would double its size. */
const withoutOtherKeys: Plugin = {
  name: 'without-other-keys',
  enforce: 'pre',
  load: (id) =>
    /@noble\/(post-quantum\/hybrid|curves\/nist)\.js/.test(id) ? 'export const [MLKEM768P256, MLKEM768X25519, p256] = []' : undefined,
};

/** JSON without what no page reads: notes of the schema of deployments, names and the outline of all land of the map. */
const withoutNotes: Plugin = {
  name: 'without-notes',
  enforce: 'pre',
  transform: (code, id) => {
    const unread = Object.entries(UNREAD).find(([file]) => id.endsWith(file))?.[1];
    return unread && JSON.stringify(JSON.parse(code), (key, value) => (unread(key, value) ? undefined : value));
  },
};
const UNREAD: Record<string, (key: string, value: unknown) => boolean> = {
  'deployment.schema.json': (key, value) => ['title', 'description', 'default', 'format'].includes(key) && typeof value !== 'object',
  'countries-110m.json': (key) => ['properties', 'land', 'bbox'].includes(key),
};

export default defineConfig({
  // The files work from any folder of any server.
  base: './',
  // The schema of deployments is in `docs/`.
  server: { fs: { allow: ['..'] } },
  plugins: [withoutMetadata, withoutOtherKeys, withoutNotes, solid()],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // For the test of the sizes.
    manifest: true,
  },
  test: { environment: 'node', include: ['src/**/*.test.ts'] },
});
