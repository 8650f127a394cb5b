// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';

const DIST = join(import.meta.dirname, '../dist');
const KB = 1000;
/** What a page loads before map, chart and editor, and everything. */
const [FIRST, ALL] = [150 * KB, 400 * KB];

interface Chunk {
  file: string;
  css?: string[];
  imports?: string[];
  dynamicImports?: string[];
}

const manifest = JSON.parse(readFileSync(join(DIST, '.vite/manifest.json'), 'utf8')) as Record<string, Chunk>;
const size = (file: string): number => gzipSync(readFileSync(join(DIST, file)), { level: 9 }).length;
const total = (files: Iterable<string>): number => [...new Set(files)].reduce((sum, file) => sum + size(file), 0);

/** Files that a chunk loads with itself. */
function needs(key: string, seen = new Set<string>()): Set<string> {
  const chunk = manifest[key];
  if (!chunk || seen.has(key)) return new Set();
  seen.add(key);
  return new Set([chunk.file, ...(chunk.css ?? []), ...(chunk.imports ?? []).flatMap((other) => [...needs(other, seen)])]);
}

const entry = needs('index.html');
/** The client loads the descriptors of the chain's calls by itself. */
const descriptors = Object.keys(manifest).filter((key) => key.includes('descriptors')).flatMap((key) => [...needs(key)]);
const pages = (manifest['index.html']?.dynamicImports ?? []).filter((key) => key.startsWith('src/'));

test('a page takes at most 150 kB before map, chart and editor', () => {
  expect(pages.length).toBeGreaterThan(10);
  const sizes = pages.map((page) => ({ page, size: total(['index.html', ...entry, ...descriptors, ...needs(page)]) }));
  const largest = sizes.reduce((a, b) => (b.size > a.size ? b : a));
  console.log(`${(largest.size / KB).toFixed(1)} kB: ${largest.page}`);
  expect(largest.size).toBeLessThanOrEqual(FIRST);
});

test('everything together takes at most 400 kB', () => {
  const files = readdirSync(join(DIST, 'assets')).map((name) => `assets/${name}`);
  console.log(`${(total(['index.html', ...files]) / KB).toFixed(1)} kB in all`);
  expect(total(['index.html', ...files])).toBeLessThanOrEqual(ALL);
});

test('the bundle has no copy of the metadata', () => {
  const copies = readdirSync(join(DIST, 'assets')).filter((name) => name.includes('_metadata-'));
  expect(total(copies.map((name) => `assets/${name}`))).toBeLessThan(KB);
});
