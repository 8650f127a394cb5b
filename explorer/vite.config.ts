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

export default defineConfig({
  // The files work from any folder of any server.
  base: './',
  // The schema of deployments is in `docs/`.
  server: { fs: { allow: ['..'] } },
  plugins: [withoutMetadata, solid()],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // For the test of the sizes.
    manifest: true,
  },
  test: { environment: 'node', include: ['src/**/*.test.ts'] },
});
