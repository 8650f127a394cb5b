// SPDX-License-Identifier: Apache-2.0
// The whole way: what a page deploys on a real node answers over HTTP.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect, Development, Explorer, fill, more, review, says, shot, sign, textOf } from './harness';

const UP_MS = 120_000;

let dev: Development;
let explorer: Explorer;

beforeAll(async () => {
  explorer = await Explorer.start();
  dev = await Development.start();
}, 360_000);

afterAll(async () => {
  await explorer?.end();
  await dev?.end();
}, 180_000);

test('what the wizard deploys answers over HTTP', { timeout: 400_000 }, () =>
  explorer.visit(dev.printed('chain'), `/deploy?node=${dev.printed('node')}`, async (page) => {
    await connect(page, '//Bob');
    await fill(page, 'Image, with registry and tag', dev.printed('image'));
    await fill(page, 'Memory', '64 MiB');
    await fill(page, 'Root disk', '64 MiB');
    await fill(page, 'Size', '16 MiB');
    await fill(page, 'Environment, KEY=value a line', 'GREETING=hello from the page');
    await says(page, 'Sealed to the node');
    await review(page);
    await says(page, 'Contracts.create_node_contract');
    await sign(page);
    await says(page, 'It is deployed.', UP_MS);
    await shot(page, 'dev-up');
    const [, contract = ''] = /Contract (\d+):/.exec(await textOf(page)) ?? [];
    expect(await dev.fetch(contract, 'web')).toContain('hello from the page');

    await page.getByRole('link', { name: 'All about this contract' }).click();
    await page.getByRole('link', { name: 'Update' }).click();
    await says(page, `A new version of contract ${contract}.`);
    await more(page, 'Secret values');
    await fill(page, 'Secrets, NAME=text a line; KEY={"secret":"NAME"} names one', 'greeting=a secret greeting');
    await fill(page, 'Environment, KEY=value a line', 'GREETING={"secret":"greeting"}');
    await says(page, 'but its secrets: they are sealed.');
    await review(page);
    await says(page, 'Contracts.update_node_contract');
    await sign(page);
    await says(page, 'It is deployed.', UP_MS);
    expect(await dev.fetch(contract, 'web')).toContain('a secret greeting');

    await page.goto(`${page.url().split('#')[0]}#/deploy?cancel=${contract}`);
    await page.getByRole('button', { name: 'Cancel 1 contract' }).click();
    await sign(page);
    await says(page, 'Success: the chain’s event says so.');
    await page.goto(`${page.url().split('#')[0]}#/contracts/${contract}`);
    await says(page, 'Its owner cancelled it.');
  }));

test('make dev serves the explorer, with its policy', async () => {
  const address = dev.printed('explorer');
  const answer = await fetch(address);
  expect(answer.headers.get('content-security-policy')).toMatch(/script-src 'self'.*frame-ancestors 'none'/);
  const page = await explorer.browser.newPage();
  try {
    await page.goto(address);
    await says(page, 'As of block');
    await page.goto(`${address}/#/deploy`);
    await connect(page, '//Bob');
  } finally {
    await page.close();
  }
});
