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

/** JSON without what no page reads. */
const slimJson: Plugin = {
  name: 'slim-json',
  enforce: 'pre',
  transform: (code, id) => {
    const slim = Object.entries(SLIM).find(([file]) => id.endsWith(file))?.[1];
    return slim && slim(code);
  },
};
const SLIM: Record<string, (json: string) => string> = {
  'deployment.schema.json': (json) => JSON.stringify(JSON.parse(json), (key, value) => (NOTES.has(key) && typeof value !== 'object' ? undefined : value)),
  'countries-110m.json': (json) => JSON.stringify(coarse(JSON.parse(json))),
};
const NOTES = new Set(['title', 'description', 'default', 'format']);

/** Ten times coarser than the file, which is still finer than the map's pixels; the outlines of countries alone. */
function coarse({ type, transform, arcs, objects }: World): object {
  const [x, y] = transform.scale;
  const geometries = objects.countries.geometries.map(({ type, id, arcs }) => ({ type, id, arcs }));
  return { type, transform: { ...transform, scale: [x * COARSER, y * COARSER] }, arcs: arcs.map(coarseArc), objects: { countries: { ...objects.countries, geometries } } };
}

/** Each point of an arc is a step from the one before. */
function coarseArc(steps: [number, number][]): [number, number][] {
  let [x, y, lastX, lastY] = [0, 0, 0, 0];
  return steps.flatMap(([dx, dy], i): [number, number][] => {
    [x, y] = [x + dx, y + dy];
    const [stepX, stepY] = [Math.round(x / COARSER) - lastX, Math.round(y / COARSER) - lastY];
    [lastX, lastY] = [lastX + stepX, lastY + stepY];
    const isEnd = i === 0 || i === steps.length - 1;
    return isEnd || stepX !== 0 || stepY !== 0 ? [[stepX, stepY]] : [];
  });
}
const COARSER = 10;

interface World {
  type: string;
  transform: { scale: [number, number]; translate: [number, number] };
  arcs: [number, number][][];
  objects: { countries: { type: string; geometries: { type: string; id?: string; arcs: unknown }[] } };
}

export default defineConfig({
  // The files work from any folder of any server.
  base: './',
  // The schema of deployments is in `docs/`.
  server: { fs: { allow: ['..'] } },
  plugins: [withoutMetadata, withoutOtherKeys, slimJson, solid()],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // For the test of the sizes.
    manifest: true,
  },
  test: { environment: 'node', include: ['src/**/*.test.ts'] },
});
