// SPDX-License-Identifier: Apache-2.0
// Measures the explorer in a browser against a development chain with many nodes; prints a table.
import type { Page } from 'playwright-core';
import { test } from 'vitest';
import { Explorer, Node, PORT, seed, simulate } from './harness';

const COUNT = Number(process.env.NODES ?? 10_000);
const FOLLOW_MINUTES = Number(process.env.FOLLOW_MINUTES ?? 10);
const MINUTE_MS = 60_000;
const RUNS = 5;

test(`the explorer with ${COUNT} nodes`, { timeout: 3_600_000 + FOLLOW_MINUTES * MINUTE_MS }, async () => {
  const node = await Node.start(PORT);
  const end: (() => Promise<void>)[] = [() => node.end()];
  try {
    const seeder = await seed(node.url);
    end.unshift(() => seeder.end());
    await simulate(node.url, COUNT);
    const explorer = await Explorer.start();
    end.unshift(() => explorer.end());
    await measure(explorer, node.url);
  } finally {
    for (const stop of end) await stop();
  }
});

async function measure(explorer: Explorer, url: string): Promise<void> {
  const paints: number[] = [];
  const first: number[] = [];
  const all: number[] = [];
  for (let run = 0; run < RUNS; run += 1) {
    const { page, open } = await explorer.page(url);
    await open('/nodes');
    first.push(await when(page, () => document.querySelectorAll('tbody tr[data-index]').length > 0));
    all.push(await when(page, (count) => document.querySelector('[role=status].muted')?.textContent?.includes(count) === true, `of ${COUNT.toLocaleString('en')}`));
    paints.push(await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN));
    await page.context().close();
  }
  const { page, open } = await explorer.page(url);
  await open('/nodes?unavailable=1');
  await when(page, (count) => document.querySelector('[role=status].muted')?.textContent?.includes(count) === true, COUNT.toLocaleString('en'));
  const keys = await keystrokes(page);
  const use = await following(page);
  const row = (what: string, values: number[], unit = 'ms'): string => {
    const sorted = values.toSorted((a, b) => a - b);
    const show = (value: number | undefined): string => (value ?? NaN).toFixed(0);
    return `| ${what} | ${show(sorted[0])} | ${show(sorted[Math.floor(sorted.length / 2)])} | ${show(sorted.at(-1))} ${unit} |`;
  };
  console.log(['| what | least | median | most |', '|---|---|---|---|',
    row('first paint', paints), row('first rows', first), row(`all ${COUNT} nodes`, all),
    row('keystroke to result', keys), '',
    '| minutes of following | heap, MB | DOM nodes | listeners |', '|---|---|---|---|',
    ...use.map(([heap, nodes, listeners], minute) => `| ${minute} | ${(heap / 1e6).toFixed(1)} | ${nodes} | ${listeners} |`)].join('\n'));
}

/** Milliseconds from the opening of the page until `test` holds. */
async function when(page: Page, test: (arg: string) => boolean, arg = ''): Promise<number> {
  await page.waitForFunction(test, arg, { timeout: 60_000, polling: 'raf' });
  return page.evaluate(() => performance.now());
}

/** Times from a key to the frame that shows its result. */
const keystrokes = (page: Page): Promise<number[]> =>
  page.evaluate(async () => {
    const input = document.querySelector<HTMLInputElement>('input[name=q]');
    const times: number[] = [];
    for (const text of ['b', 'be', 'bel', 'belg', 'bel', 'b', '', 's', 'si', 'sin', '4', '42', '421', '']) {
      if (!input) break;
      const from = performance.now();
      input.value = text;
      input.dispatchEvent(new InputEvent('input', { bubbles: true }));
      await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
      times.push(performance.now() - from);
    }
    return times;
  });

type Use = [heap: number, nodes: number, listeners: number];

/** Bytes of the heap after collection, DOM nodes and listeners, each minute while the page follows the chain. */
async function following(page: Page): Promise<Use[]> {
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');
  const use = async (): Promise<Use> => {
    await session.send('HeapProfiler.collectGarbage');
    const { metrics } = await session.send('Performance.getMetrics');
    const value = (wanted: string): number => metrics.find(({ name }) => name === wanted)?.value ?? NaN;
    return [value('JSHeapUsedSize'), value('Nodes'), value('JSEventListeners')];
  };
  // The first reads fill caches.
  await page.waitForTimeout(30_000);
  const uses = [await use()];
  while (uses.length <= FOLLOW_MINUTES) {
    await page.waitForTimeout(MINUTE_MS);
    uses.push(await use());
  }
  return uses;
}
