// SPDX-License-Identifier: Apache-2.0
// Calculator, deployment with the test wallet, money and the watch list.
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { connect, fill, more, review, says, setStage, settled, shot, sign, textOf, violations } from './harness';

const NETWORK = 'Network: internet';

const stage = setStage();
const { on } = stage;

test('the calculator shows the parts and the chain’s quote', () =>
  on('/calculator?cru=2&mru=4&sru=50&months=6', async (page) => {
    await says(page, '1 CU × $0.0100 an hour');
    await says(page, '$8.10 (162.00 TFT) a month');
    await says(page, 'With 6 months prepaid: 60 %');
    await page.fill('input[name=node]', '2');
    await says(page, 'The chain’s quote on node 2');
    await says(page, '25 % on top');
    await page.fill('input[name=node]', '99');
    await says(page, 'There is no node 99.');
  }));

test('a deployment is planned, signed and watched', () =>
  on('/deploy?node=1', async (page) => {
    await connect(page, '//Bob');
    await page.getByLabel('Memory').fill('2 GiB');
    await page.getByLabel('Memory').press('Tab');
    await says(page, '1 vCPU, 2 GiB memory');
    await says(page, 'Anyone can read this deployment on the chain.');
    await says(page, 'The credit then lasts');
    expect(await violations(page)).toEqual([]);
    await shot(page, 'deploy-plan');
    await review(page);
    await says(page, 'Contracts.create_node_contract');
    await page.waitForFunction(() => /Fee\s+0\.\d+ TFT/.test(document.querySelector('main')?.innerText ?? ''));
    expect(await textOf(page)).toContain('"max_usd_rate"');
    expect(await violations(page)).toEqual([]);
    await shot(page, 'deploy-sign');
    await sign(page);
    await says(page, 'How it comes up');
    await says(page, 'It is deployed.');
    await says(page, '"ip": "172.30.0.9"');
    await shot(page, 'deploy-up');
  }));

test('an environment is sealed unless its owner says otherwise', () =>
  on('/deploy?node=1', async (page) => {
    await connect(page, '//Bob');
    await page.getByLabel('Environment').fill('TOKEN=secret-of-bob');
    await page.getByLabel('Environment').press('Tab');
    await says(page, 'Sealed to the node, to the key of your twin.');
    await page.locator('input[name=seal]').uncheck();
    await says(page, 'its environment and credentials included');
    await page.locator('input[name=seal]').check();
    await review(page);
    await says(page, '"Sealed"');
    expect(await textOf(page)).not.toContain('secret-of-bob');
    await sign(page);
    await says(page, 'How it comes up');
    await page.getByRole('link', { name: 'All about this contract' }).click();
    await says(page, 'This deployment is sealed');
  }));

test('secrets are sealed where the rest can be read', () =>
  on('/deploy?node=1', async (page) => {
    await connect(page, '//Bob');
    await page.getByLabel('Environment').fill('TOKEN={"secret":"token"}');
    await page.getByLabel('Environment').press('Tab');
    await says(page, 'No secret is called “token”.');
    await more(page, 'Secret values');
    await page.getByLabel('Secrets').fill('token=secret-of-bob');
    await page.getByLabel('Secrets').press('Tab');
    await says(page, 'but its secrets: they are sealed.');
    expect(await violations(page)).toEqual([]);
    await shot(page, 'secrets');
    await review(page);
    await says(page, '"Plain"');
    const call = await textOf(page);
    expect(call).toContain('docker.io/library/nginx');
    expect(call).not.toContain('secret-of-bob');
  }));

test('form and JSON are one, with errors at the line, and kept', () =>
  on('/deploy', async (page) => {
    await page.getByText('Deployment as JSON').click();
    const editor = page.getByRole('textbox', { name: 'Deployment as JSON' });
    await editor.waitFor();
    await page.getByLabel('Cores').fill('0');
    await page.getByLabel('Cores').press('Tab');
    await says(page, '/workloads/1/data/cpu');
    await page.locator('.cm-lint-marker-error').waitFor();
    const line = await page.locator('.cm-lintRange-error').innerText();
    expect(line).toBe('0');
    expect(await violations(page)).toEqual([]);
    await shot(page, 'deploy-json');
    await page.reload();
    await settled(page);
    await says(page, '/workloads/1/data/cpu');
    await page.getByText('Deployment as JSON').click();
    await editor.click();
    await page.keyboard.press('Control+a');
    await page.keyboard.type('{ nonsense');
    await says(page, 'This isn’t valid JSON at line 1.');
    await page.getByRole('button', { name: 'Start over' }).click();
    await says(page, 'No errors.');
  }));

test('private networks and output are in form and JSON, and on the chain', () =>
  on('/deploy?node=1', async (page) => {
    await connect(page, '//Bob');
    await page.getByText('Deployment as JSON').click();
    await page.getByRole('textbox', { name: 'Deployment as JSON' }).waitFor();
    await page.getByRole('button', { name: 'Add a private network' }).click();
    await more(page, NETWORK);
    await fill(page, 'Private networks, name[:address] a line', 'net1:10.20.0.1');
    await says(page, 'It isn’t an address for machines in 10.20.0.0/16');
    await page.locator('.cm-lint-marker-error').waitFor();
    expect(await page.locator('.cm-lintRange-error').innerText()).toBe('"10.20.0.1"');
    await fill(page, 'Private networks, name[:address] a line', 'net1:10.20.1.5');
    const network = page.getByRole('group', { name: 'Private network net1' });
    await network.getByLabel('Those of this deployment, if not all').fill('10.20.1.0/24');
    await network.getByLabel('Name').fill('backend');
    await network.getByLabel('Name').press('Tab');
    await page.getByLabel('Reaches the internet').uncheck();
    await fill(page, 'Send its output to, such as https://logs.example/in', 'http://logs.example');
    await says(page, 'Output goes to an address such as');
    await fill(page, 'Send its output to, such as https://logs.example/in', 'https://logs.example/in');
    await says(page, 'No errors.');
    const json = await page.locator('.cm-content').innerText();
    for (const part of ['"network": "backend"', '"ip": "10.20.1.5"', '"internet": false', '"type": "zlogs"', '"zmachine": "web"', '"range": "10.20.1.0/24"']) expect(json).toContain(part);
    expect(await violations(page)).toEqual([]);
    await shot(page, 'deploy-network');
    await review(page);
    await says(page, '"prefix": 24');
    await sign(page);
    await says(page, 'It is deployed.');
    await page.getByRole('link', { name: 'All about this contract' }).click();
    await page.waitForFunction(() => /Private networks\s+backend/.test(document.querySelector('main')?.innerText ?? ''));
  }));

test('public addresses and sites are in form and JSON, with what is wrong', () =>
  on('/deploy', async (page) => {
    await page.getByText('Deployment as JSON').click();
    await page.getByRole('textbox', { name: 'Deployment as JSON' }).waitFor();
    await more(page, NETWORK);
    await fill(page, 'Open ports of its public addresses, such as 80/tcp 443/tcp', '80/tcp 443/tcp');
    await says(page, 'Ports are those of public addresses');
    await page.getByLabel('Has a public IPv4 address').check();
    await says(page, 'No errors.');
    await page.getByRole('button', { name: 'Add a site' }).click();
    await fill(page, 'Backends, an address such as http://10.20.1.5:8080 a line', 'http://web:80');
    await says(page, 'A backend is an address with a port');
    await page.locator('.cm-lint-marker-error').waitFor();
    expect(await page.locator('.cm-lintRange-error').innerText()).toBe('"http://web:80"');
    await fill(page, 'Backends, an address such as http://10.20.1.5:8080 a line', 'http://185.69.166.10:80');
    await fill(page, 'Domain that leads to the gateway', 'www.example.org');
    await says(page, 'No errors.');
    const json = await page.locator('.cm-content').innerText();
    for (const part of ['"public_ip": true', '"80/tcp"', '"type": "gateway-fqdn-proxy"', '"fqdn": "www.example.org"', '"http://185.69.166.10:80"']) expect(json).toContain(part);
    expect(await violations(page)).toEqual([]);
    await says(page, '7 nodes: not serving sites');
    await says(page, 'doesn’t serve sites');
    await shot(page, 'deploy-site');
  }));

test('why no node fits is said, with what the nearest one lacks', () =>
  on('/deploy', async (page) => {
    await fill(page, 'Memory', '129 GiB');
    await says(page, 'No node fits. Of 7 nodes:');
    await says(page, '7 nodes: less than 129 GiB memory free');
    await says(page, '1 node: offline');
    await says(page, 'Nearest: Node 4 (ghent-sun, Singapore): memory: 128 GiB free, you want 129 GiB');
    expect(await textOf(page)).not.toContain('cheapest');
    expect(await violations(page)).toEqual([]);
    await shot(page, 'deploy-none-fits');
    await fill(page, 'Memory', '1 GiB');
    await says(page, 'All nodes that fit, the cheapest first.');
    await page.fill('input[name=node]', '5');
    await says(page, 'Node 5: ');
    await fill(page, 'Memory', '129.5 GiB');
    await says(page, '7 nodes: less than 129.5 GiB memory free');
    await page.getByRole('link', { name: 'Look at all nodes' }).click();
    await page.getByRole('heading', { name: 'Nodes', exact: true }).waitFor();
    await says(page, '7 nodes: less than 129.5 GiB memory free');
    expect(await page.inputValue('input[name=mru]')).toBe('132608 MiB');
    expect(await page.inputValue('input[name=cru]')).toBe('1');
  }));

test('JSON that the form can’t show stays in the editor', () =>
  on('/deploy', async (page) => {
    await page.getByText('Deployment as JSON').click();
    await page.getByRole('textbox', { name: 'Deployment as JSON' }).click();
    await page.keyboard.press('Control+a');
    await page.keyboard.insertText('{"version":1,"workloads":[{"name":"web","type":"zmachine","data":{"mounts":{}}}]}');
    await says(page, 'The form shows valid JSON with workloads alone');
    await says(page, '/workloads/0/data/mounts');
    await page.getByRole('button', { name: 'Start over' }).click();
    await says(page, 'No errors.');
  }));

test('a refused call is no success', () =>
  on('/deploy?task=deposit&deposit=4294967295&amount=1', async (page) => {
    await connect(page, '//Bob');
    await review(page);
    await says(page, 'Billing.deposit');
    await sign(page);
    await says(page, 'The chain refused it:');
    expect(await textOf(page)).not.toContain('Success');
  }));

test('a deposit reaches the credit, and can be withdrawn', () =>
  on('/deploy?task=deposit', async (page) => {
    await connect(page, '//Dave');
    await page.fill('input[name=amount]', '1.23456789');
    await review(page);
    await says(page, 'An amount is a number with at most 7 decimals');
    await page.fill('input[name=amount]', '2.5');
    await page.waitForURL(/amount=2\.5/);
    await review(page);
    await sign(page);
    await says(page, 'Success: the chain’s event says so.');
    await says(page, '3.50 TFT');
    await page.getByRole('link', { name: 'Withdraw' }).click();
    await page.fill('input[name=amount]', '1000');
    await review(page);
    await says(page, 'At most 3.5 TFT.');
  }));

test('a name is taken, shown and can be given back', () =>
  on('/deploy?task=names&name=my-shop', async (page) => {
    await connect(page, '//Dave');
    await says(page, 'The name “my-shop” is taken:');
    await page.fill('input[name=name]', 'No_Name');
    await says(page, 'A name is 1 to 63 of a-z, 0-9 and hyphens');
    await page.fill('input[name=name]', 'daves-shop');
    await says(page, 'The credit then lasts');
    expect(await violations(page)).toEqual([]);
    await shot(page, 'names');
    await review(page);
    await says(page, 'Contracts.create_name_contract');
    await says(page, '"name": "daves-shop"');
    await sign(page);
    await says(page, 'Success: the chain’s event says so.');
    await page.getByRole('button', { name: 'Done' }).click();
    await says(page, 'The name “daves-shop” is taken:');
    await page.getByRole('link', { name: 'Give back' }).click();
    await page.getByRole('button', { name: 'Cancel 1 contract' }).click();
    await sign(page);
    await says(page, 'Success: the chain’s event says so.');
    await page.getByRole('link', { name: /^twin \d+$/ }).click();
    await says(page, 'It has no open contract.');
    await page.getByRole('button', { name: 'Sum up the bills' }).click();
    await says(page, 'Months of 720 hours');
    expect(await textOf(page)).toMatch(/From\s+USD\s+TFT\s+\d{4}-\d\d-\d\d\s+\$0\.\d*[1-9]/);
  }));

test('a node is rented, and deployed on by its tenant alone', async () => {
  await on('/deploy?task=rent&rent=6', async (page) => {
    await connect(page, '//Alice');
    await says(page, 'Node 6: is rented as a whole');
    await page.fill('input[name=rent]', '1');
    await says(page, 'only empty nodes are rented');
    await page.fill('input[name=rent]', '99');
    await says(page, 'There is no node 99.');
    await page.fill('input[name=rent]', '3');
    await says(page, 'The credit then lasts');
    expect(await violations(page)).toEqual([]);
    await shot(page, 'rent');
    await review(page);
    await says(page, 'Contracts.create_rent_contract');
    await sign(page);
    await says(page, 'Success: the chain’s event says so.');
    await page.getByRole('button', { name: 'Done' }).click();
    await page.getByRole('link', { name: 'Deploy on it' }).click();
    await says(page, 'paid with the rent');
    await says(page, 'Runs on node 3.');
    await shot(page, 'rented');
    await review(page);
    await says(page, 'Contracts.create_node_contract');
    await sign(page);
    await says(page, 'The chain has reserved the capacity.');
  });
  await on('/deploy?node=3', async (page) => {
    await connect(page, '//Bob');
    await says(page, 'Node 3: is rented as a whole');
  });
});

test('traffic is bought for an own contract alone', () =>
  on(`/deploy?task=buy&buy=${stage.grid.contracts.web}&gb=2`, async (page) => {
    await connect(page, '//Dave');
    await says(page, `Contract ${stage.grid.contracts.web} isn’t an open contract of your twin.`);
    await page.selectOption('select[name=account]', { index: 1 });
    await says(page, 'Traffic, from your credit');
    expect(await violations(page)).toEqual([]);
    await shot(page, 'traffic');
    await review(page);
    await says(page, 'Billing.buy_traffic');
    await sign(page);
    await says(page, 'Success: the chain’s event says so.');
    await page.getByRole('button', { name: 'Done' }).click();
    await says(page, '7 GB');
    await page.fill('input[name=buy]', '999999');
    await says(page, 'There is no open deployment 999999.');
  }));

test('limits bind, and refills are set', () =>
  on('/deploy?task=limits', async (page) => {
    await connect(page, '//Dave');
    await page.fill('input[name=rate]', 'a lot');
    await review(page);
    await says(page, 'A limit is a number, such as 0.5.');
    await page.fill('input[name=rate]', '0.001');
    await page.fill('input[name=refill]', '3');
    expect(await violations(page)).toEqual([]);
    await shot(page, 'limits');
    await review(page);
    await says(page, 'Billing.set_limits');
    await sign(page);
    await says(page, 'Success: the chain’s event says so.');
    await page.getByRole('button', { name: 'Done' }).click();
    await page.fill('input[name=hours]', '5');
    await page.getByRole('button', { name: 'Review the refill' }).click();
    await says(page, 'A refill buys 24 hours or more.');
    await page.fill('input[name=hours]', '72');
    await page.getByRole('button', { name: 'Review the refill' }).click();
    await sign(page);
    await says(page, 'Success: the chain’s event says so.');
    await page.getByRole('button', { name: 'Done' }).click();
    await says(page, '72 hours at a time');
    await page.goto(`${page.url().split('#')[0]}#/deploy?node=1`);
    await says(page, 'and your limit is $0.00100.');
    expect(await page.getByRole('button', { name: 'Review the call' }).isDisabled()).toBe(true);
  }));

test('several contracts are cancelled at once', () =>
  on('/deploy?task=cancel', async (page) => {
    await connect(page, '//Bob');
    const { hostile, secret } = stage.grid.contracts;
    for (const id of [hostile, secret]) await page.getByLabel(`Contract ${id}`, { exact: true }).check();
    expect(await violations(page)).toEqual([]);
    await page.getByRole('button', { name: 'Cancel 2 contracts' }).click();
    await says(page, 'Utility.batch_all');
    await sign(page);
    await says(page, 'Success: the chain’s event says so.');
    await page.goto(`${page.url().split('#')[0]}#/contracts/${hostile}`);
    await says(page, 'Its owner cancelled it.');
  }));

test('without a wallet the page says how to get one', () =>
  on('/deploy', async (page) => void (await says(page, 'No wallet is in this browser.'))));

const STRANGER = { name: 'stranger', address: '5CDvHBym6RLoxTdX9MS1acpaDbNxaFagqM5LpBiFGjWT6o1n' };
const useWallet = (page: Page): Promise<void> => page.getByRole('button', { name: 'Connect a wallet: fake' }).click();

test('a wallet without accounts says so', () =>
  on('/deploy', async (page) => {
    await useWallet(page);
    await says(page, 'fake has no account for this page');
  }, { wallet: { accounts: [] } }));

test('accounts that are tied to another chain are named', () =>
  on('/deploy', async (page) => {
    await useWallet(page);
    await says(page, '1 account of this wallet is tied to another chain');
  }, { wallet: { accounts: [{ ...STRANGER, genesisHash: `0x${'11'.repeat(32)}` }] } }));

test('a wallet that refuses the page says so', () =>
  on('/deploy', async (page) => {
    await useWallet(page);
    await says(page, 'fake gave no accounts: Cancelled. Allow this page in the wallet');
  }, { wallet: { accounts: [STRANGER], refuses: true } }));

test('a rejected signature sends nothing', () =>
  on('/deploy?task=deposit&deposit=1&amount=0.5', async (page) => {
    await useWallet(page);
    await review(page);
    await sign(page);
    await says(page, 'The wallet didn’t sign it. Nothing was sent.');
    await page.getByRole('button', { name: 'Back' }).click();
    expect(await page.inputValue('input[name=amount]')).toBe('0.5');
  }, { wallet: { accounts: [{ name: 'dave', address: '5DAAnrj7VHTznn2AWBemMuyBwZWs6FNFjdyVXUeYum3PTXFy' }] } }));

test('an account without funds is told before it signs', () =>
  on('/deploy', async (page) => {
    await useWallet(page);
    await page.getByRole('button', { name: 'Create a twin' }).click();
    await says(page, 'The account has 0 TFT, less than the fee: send it TFT first.');
    expect(await page.getByRole('button', { name: 'Sign and send' }).isDisabled()).toBe(true);
  }, { wallet: { accounts: [STRANGER] } }));

test('two tabs share a draft, and say how each call ended', () =>
  on('/deploy?task=deposit&amount=0.1', async (page) => {
    const other = await page.context().newPage();
    await other.goto(page.url());
    for (const tab of [page, other]) {
      await connect(tab, '//Charlie');
      await review(tab);
      await tab.getByText('Billing.deposit').waitFor();
    }
    await Promise.all([sign(page), sign(other)]);
    const ends = await Promise.all([page, other].map(async (tab) => {
      await tab.waitForFunction(() => /Success: |It wasn’t sent: /.test(document.querySelector('main')?.innerText ?? ''));
      return textOf(tab);
    }));
    // Signed in the same block, both calls have the same number: one of them takes it.
    const refused = ends.filter((text) => !text.includes('Success: '));
    expect(refused.length).toBeLessThan(2);
    for (const text of refused) expect(text).toContain('another call of this account came first');
    for (const tab of [page, other]) await tab.goto(`${page.url().split('#')[0]}#/deploy`);
    await page.getByLabel('Description').fill('from the first tab');
    await page.getByLabel('Description').press('Tab');
    await other.waitForFunction(() => [...document.querySelectorAll('input')].some(({ value }) => value === 'from the first tab'));
  }));

test('the watch list tells what changes, and is kept', () =>
  on('/watch', async (page) => {
    const watch = async (kind: string, id: number): Promise<void> => {
      await page.selectOption('select[name=kind]', kind);
      await page.fill('input[name=id]', String(id));
      await page.getByRole('button', { name: 'Watch', exact: true }).click();
    };
    await watch('farm', stage.grid.farm);
    await watch('twin', stage.grid.twins.tenant);
    await watch('node', 99);
    await says(page, 'The chain has no node 99.');
    await says(page, 'draining');
    await page.getByRole('button', { name: 'Stop watching Node 99' }).click();
    const reminder = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Reminder for your calendar' }).click();
    expect((await reminder).suggestedFilename()).toBe(`twin-${stage.grid.twins.tenant}.ics`);
    expect(await violations(page)).toEqual([]);
    await shot(page, 'watch');
    await page.reload();
    await settled(page);
    await says(page, `Twin ${stage.grid.twins.tenant}`);
    const other = await page.context().newPage();
    await other.goto(`${page.url().split('#')[0]}#/deploy?cancel=${stage.grid.contracts.web}`);
    await connect(other, '//Bob');
    await other.getByRole('button', { name: 'Cancel 1 contract' }).click();
    await sign(other);
    await says(other, 'Success');
    await says(page, `Contract ${stage.grid.contracts.web}: closed. Its owner cancelled it.`);
  }));

test('the new pages fit a phone, in the dark', async () => {
  for (const path of ['/calculator', '/deploy?node=1', '/deploy?task=cancel', '/watch']) {
    await on(path, async (page) => {
      if (path.startsWith('/deploy')) await connect(page, '//Alice');
      await settled(page);
      expect(await violations(page), path).toEqual([]);
      expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), `${path} is wider than the screen`).toBeLessThanOrEqual(0);
      await shot(page, `phone${path.replace(/[^a-z0-9]+/gi, '-')}`);
    }, { width: 390, theme: 'dark' });
  }
});
