// SPDX-License-Identifier: Apache-2.0
// Measures the explorer in a browser against a development chain with many nodes; prints a table.
import type { Page } from 'playwright-core';
import { test } from 'vitest';
import { Explorer, Node, PORT, seed, simulate } from './harness';

const COUNT = Number(process.env.NODES ?? 10_000);
const FOLLOW_SECONDS = Number(process.env.FOLLOW_SECONDS ?? 300);
const RUNS = 5;

test(`the explorer with ${COUNT} nodes`, { timeout: 3_600_000 }, async () => {
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
  const [before, after] = await following(page);
  const row = (what: string, values: number[], unit = 'ms'): string => {
    const sorted = values.toSorted((a, b) => a - b);
    const show = (value: number | undefined): string => (value ?? NaN).toFixed(0);
    return `| ${what} | ${show(sorted[0])} | ${show(sorted[Math.floor(sorted.length / 2)])} | ${show(sorted.at(-1))} ${unit} |`;
  };
  console.log(['| what | least | median | most |', '|---|---|---|---|',
    row('first paint', paints), row('first rows', first), row(`all ${COUNT} nodes`, all),
    row('keystroke to result', keys),
    row(`heap, before and after ${FOLLOW_SECONDS} s of following`, [before / 1e6, after / 1e6], 'MB')].join('\n'));
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

/** Bytes of the heap after collection, before and after the page has followed the chain. */
async function following(page: Page): Promise<[number, number]> {
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');
  const heap = async (): Promise<number> => {
    await session.send('HeapProfiler.collectGarbage');
    const { metrics } = await session.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === 'JSHeapUsedSize')?.value ?? NaN;
  };
  // The first reads fill caches.
  await page.waitForTimeout(30_000);
  const before = await heap();
  await page.waitForTimeout(FOLLOW_SECONDS * 1000);
  return [before, await heap()];
}
