// SPDX-License-Identifier: Apache-2.0
// What the page says of its connection: no node, a node that goes away, another one, another chain, a chain that stands still.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createServer } from 'node:http';
import type { Page } from 'playwright-core';
import { Explorer, Node, settled } from './harness';

const PORT = Number(process.env.EXPLORER_TEST_PORT ?? 9961) + 1;

let explorer: Explorer;
beforeAll(async () => {
  explorer = await Explorer.start();
});
afterAll(() => explorer?.end());

const says = (page: Page, words: string): Promise<unknown> =>
  page.waitForFunction((words) => document.querySelector('.banners')?.textContent?.includes(words), words, { timeout: 60_000 });
const isLive = (page: Page): Promise<unknown> =>
  page.waitForFunction(() => document.querySelector('.status')?.textContent?.startsWith('Live'), undefined, { timeout: 60_000 });

test('no node at the address is said, and the page stays usable', async () => {
  const { page, open } = await explorer.page('ws://127.0.0.1:1');
  try {
    await open('/');
    await says(page, 'No connection to ');
    await page.click('.status');
    await page.fill('input[inputmode=url]', 'http://nowhere');
    await page.click('text=Add and use');
    expect(await page.locator('main').innerText()).toContain('An address begins with ws:// or wss://');
  } finally {
    await page.context().close();
  }
});

test('a node that goes away is said, and found again', async () => {
  let node = await Node.start(PORT);
  const { page, open } = await explorer.page(node.url);
  try {
    await open('/');
    await isLive(page);
    await node.end();
    await says(page, 'No connection to ');
    expect(await page.locator('main').getAttribute('class')).toContain('stale');
    node = await Node.start(PORT);
    await isLive(page);
    expect(await page.locator('main').getAttribute('class')).not.toContain('stale');
  } finally {
    await page.context().close();
    await node.end();
  }
});

test('another chain at the endpoint is never mixed with the first', async () => {
  let node = await Node.start(PORT);
  const { page, open } = await explorer.page(node.url);
  try {
    await open('/');
    await isLive(page);
    await node.end();
    node = await Node.startOther(PORT);
    await says(page, 'serves another chain');
    expect(await page.locator('.status').innerText()).toContain('Wrong chain');
  } finally {
    await page.context().close();
    await node.end();
  }
});

test('the next endpoint is tried where one does not answer', async () => {
  const node = await Node.start(PORT);
  const { page } = await explorer.page(node.url);
  try {
    await page.addInitScript((url) => localStorage.setItem('tfgrid-endpoints', JSON.stringify([url])), node.url);
    await page.goto(`${explorer.origin}/?endpoint=ws://127.0.0.1:1#/connection`);
    await isLive(page);
    await settled(page);
    expect(await page.locator('main').innerText()).toContain('in use');
  } finally {
    await page.context().close();
    await node.end();
  }
});

test('a chain that stands still is never shown as fresh', async () => {
  const node = await Node.start(PORT, '--sealing', 'manual');
  const { page, open } = await explorer.page(node.url);
  try {
    await open('/');
    await says(page, 'The chain has finalized no block for');
    expect(await page.locator('.status').innerText()).toContain('Stalled');
  } finally {
    await page.context().close();
    await node.end();
  }
});

test('a server that is no node is said', async () => {
  const server = createServer((_, response) => response.end('hello')).listen(PORT, '127.0.0.1');
  const { page, open } = await explorer.page(`ws://127.0.0.1:${PORT}`);
  try {
    await open('/');
    await says(page, 'No connection to ');
  } finally {
    await page.context().close();
    server.closeAllConnections();
    server.close();
  }
});
