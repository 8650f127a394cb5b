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

export default defineConfig({
  // The files work from any folder of any server.
  base: './',
  // The schema of deployments is in `docs/`.
  server: { fs: { allow: ['..'] } },
  plugins: [withoutMetadata, withoutOtherKeys, solid()],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // For the test of the sizes.
    manifest: true,
  },
  test: { environment: 'node', include: ['src/**/*.test.ts'] },
});
