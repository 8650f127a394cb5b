// SPDX-License-Identifier: Apache-2.0
// What the page says of its connection: no node, a node that goes away, another chain, a newer one, one that stands still.
import { createServer } from 'node:http';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Explorer, Node, PORT, says, settled, textOf } from './harness';

const NO_NODE = 'ws://127.0.0.1:1';
const UNANSWERED = { answers: false };

let explorer: Explorer;
beforeAll(async () => {
  explorer = await Explorer.start();
});
afterAll(() => explorer?.end());

const warns = (page: Page, words: string): Promise<unknown> =>
  page.waitForFunction((words) => document.querySelector('.banners')?.textContent?.includes(words), words, { timeout: 60_000 });
const shows = (page: Page, health: string): Promise<unknown> =>
  page.waitForFunction((health) => document.querySelector('.status')?.textContent?.startsWith(health), health, { timeout: 60_000 });
const isStale = async (page: Page): Promise<boolean> => (await page.locator('main').getAttribute('class'))?.includes('stale') === true;

/** Opens the grid's page on a chain of its own. */
async function onNode(check: (page: Page, node: Node) => Promise<void>, ...args: string[]): Promise<void> {
  const node = await Node.start(PORT, ...args);
  try {
    await explorer.visit(node.url, '/', (page) => check(page, node), UNANSWERED);
  } finally {
    await node.end();
  }
}

/** Opens the grid's page on a chain that goes away; what comes then at its address is ended, too. */
const onNodeThatEnds = (check: (page: Page) => Promise<void>, next: () => Promise<Node>): Promise<void> =>
  onNode(async (page, node) => {
    await shows(page, 'Live');
    await node.end();
    await warns(page, 'No connection to ');
    expect(await isStale(page)).toBe(true);
    const other = await next();
    try {
      await check(page);
    } finally {
      await other.end();
    }
  });

test('no node at the address is said, and the page stays usable', () =>
  explorer.visit(NO_NODE, '/', async (page) => {
    await warns(page, 'No connection to ');
    await page.click('.status');
    await page.fill('input[inputmode=url]', 'http://nowhere');
    await page.click('text=Add and use');
    await says(page, 'An address begins with ws:// or wss://');
  }, UNANSWERED));

test('a server that is no node is said', async () => {
  const server = createServer((_, response) => response.end('hello')).listen(PORT, '127.0.0.1');
  try {
    await explorer.visit(`ws://127.0.0.1:${PORT}`, '/', (page) => warns(page, 'No connection to ').then(), UNANSWERED);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test('a node that goes away is said, and found again', () =>
  onNodeThatEnds(async (page) => {
    // Where the chain begins anew, the client gives up the old one first.
    await page.waitForFunction(() => document.querySelector('.status')?.textContent?.startsWith('Live') === true && !document.querySelector('main.stale'), undefined, { timeout: 60_000 });
  }, () => Node.start(PORT)));

test('another chain at the endpoint is never mixed with the first', () =>
  onNodeThatEnds(async (page) => {
    await warns(page, 'serves another chain');
    await shows(page, 'Wrong chain');
  }, () => Node.startOther(PORT)));

test('the next endpoint is tried where one does not answer', () =>
  onNode(async (page, node) => {
    await page.addInitScript((url) => localStorage.setItem('tfgrid-endpoints', JSON.stringify([url])), node.url);
    await page.goto(`${explorer.origin}/?endpoint=${NO_NODE}#/connection`);
    await shows(page, 'Live');
    await settled(page);
    expect(await textOf(page)).toContain('in use');
  }));

/** Makes a block on a chain that makes none by itself. */
async function makeBlock({ url }: Node): Promise<void> {
  const call = { jsonrpc: '2.0', id: 1, method: 'engine_createBlock', params: [true, true] };
  const answer = await fetch(url.replace('ws:', 'http:'), { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(call) });
  expect(await answer.json()).toHaveProperty('result');
}

/** Answers whether the page has said since that it isn't connected. */
async function watchForLoss(page: Page): Promise<() => Promise<boolean>> {
  const lost = await page.evaluateHandle(() => {
    const seen = { lost: false };
    const look = (): void => void (seen.lost ||= document.querySelector('.status')?.textContent?.startsWith('Disconnected') === true);
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
    return seen;
  });
  return () => lost.evaluate((seen) => seen.lost);
}

test('a chain that stops is never shown as fresh, until it goes on', () =>
  onNode(async (page, node) => {
    await makeBlock(node);
    await shows(page, 'Live');
    const wasLost = await watchForLoss(page);
    await warns(page, 'The chain has finalized no block for 30 s.');
    await shows(page, 'Stalled');
    expect(await isStale(page)).toBe(true);
    await makeBlock(node);
    await shows(page, 'Live');
    expect(await isStale(page)).toBe(false);
    expect(await wasLost()).toBe(false);
  }, '--sealing', 'manual'));

test('a newer runtime is said, with what still works', async () => {
  const node = await Node.start(PORT);
  const { page, open } = await explorer.page(node.url);
  try {
    // The runtime has a read and a record by other names.
    const hex = (name: string): string => Buffer.from(name).toString('hex');
    const renamed = ([['quote_rent', 'quote_hire'], ['Locations', 'Placement']] as const).map(([known, newer]) => [hex(known), hex(newer)] as const);
    await page.routeWebSocket(node.url, (socket) => {
      socket.connectToServer().onMessage((message) => socket.send(renamed.reduce((text, [known, newer]) => text.replaceAll(known, newer), String(message))));
    });
    await open('/nodes');
    await warns(page, 'newer than this page. Pages that need these parts of it may be incomplete: quote_rent, Nodes.Locations.');
    await says(page, '0 nodes');
    await page.getByRole('link', { name: 'Calculator' }).click();
    await says(page, 'Sum, list price');
    await page.fill('input[name=node]', '1');
    await page.getByLabel('Rent the whole node').check();
    await says(page, 'This part can\'t be read:');
    await says(page, 'Sum, list price');
  } finally {
    await page.context().close();
    await node.end();
  }
});
