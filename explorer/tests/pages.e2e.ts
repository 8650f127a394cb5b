// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { says, setStage, settled, shot, simulate, textOf, violations } from './harness';

const VECTORS = JSON.parse(readFileSync(join(import.meta.dirname, '../../docs/vectors/formats.json'), 'utf8'));

/** From opening to a list with all its rows, on a busy machine. */
const LIST_MS = 10_000;

const stage = setStage();
const { on } = stage;

const paths = (): string[] => {
  const { contracts, twins, farm, refused } = stage.grid;
  return [
    '/', '/nodes', '/nodes?mru=8&country=BE', '/nodes/1', '/nodes/7', '/farms', `/farms/${farm}`, '/contracts',
    ...[contracts.web, contracts.missing, contracts.secret, contracts.lean].map((id) => `/contracts/${id}`),
    '/twins', `/twins/${twins.tenant}`, `/twins/${twins.broke}`, '/blocks', `/blocks/${refused.block}`, `/blocks/${refused.block}/${refused.index}`, '/search?q=ghent',
    '/connection', '/calculator', '/deploy', '/deploy?task=rent&rent=3', '/deploy?task=names&name=my-shop', '/deploy?task=buy&buy=1', '/deploy?task=cancel', '/deploy?task=deposit', '/deploy?task=withdraw', '/deploy?task=limits', '/watch', '/nowhere', '/nodes/abc', '/nodes/99999',
  ];
};

// Grace lasts some minutes on this chain: first.
test('a payer in grace sees what is missing and until when', () =>
  on(`/twins/${stage.grid.twins.broke}`, async (page) => {
    const text = await textOf(page);
    expect(text).toMatch(/A deposit of 0\.\d+ TFT lets them go on\. Otherwise they close in \d/);
    expect(text).toMatch(/Funds good until\s+–/);
    expect(text).not.toContain('The funds end soon');
  }));

test('a node with 8 GiB free in Belgium is found', () =>
  on('/nodes', async (page) => {
    await page.fill('input[name=mru]', '8');
    await page.selectOption('select[name=country]', 'BE');
    await page.waitForFunction(() => document.querySelector('[role=status].muted')?.textContent?.startsWith('2 of 7'));
    expect(await page.locator('tbody tr').count()).toBe(2);
    expect(await textOf(page)).toContain('memory: 6 GiB free, you want 8 GiB');
    expect(page.url()).toContain('mru=8');
    await page.reload();
    await settled(page);
    await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 2);
  }));

test('the price of a node is the chain’s own', () =>
  on('/nodes/1?cru=2&mru=4&sru=50', async (page) => {
    // CU = 1, SU = 0.25: 0.01 + 0.25 × 0.005 USD an hour.
    await page.waitForFunction(() => document.querySelector('main')?.textContent?.includes('$0.0113'));
    expect(await textOf(page)).toContain('$8.10');
  }));

test('the prices of the list are those of the nodes’ own pages', () =>
  on('/nodes?cru=1&mru=0.125&sru=1', async (page) => {
    await page.waitForFunction(() => {
      const rows = [...document.querySelectorAll('tbody tr')];
      return rows.length > 3 && rows.every((row) => row.textContent?.includes('$'));
    });
    const rows = await page.locator('tbody tr').evaluateAll((rows) => rows.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.innerText)));
    for (const cells of rows) {
      const price = cells.find((cell) => cell.startsWith('$'));
      await page.goto(`${page.url().split('#')[0]}#/nodes/${cells[0]}?cru=1&mru=0.125&sru=1`);
      await page.waitForFunction(
        ([title, price]) => document.querySelector('h1')?.textContent === title && document.querySelector('main')?.textContent?.includes(`${price} (`),
        [`Node ${cells[0]}`, price],
      );
    }
  }));

test('why a contract was closed is said in words', () =>
  on(`/contracts/${stage.grid.contracts.missing}`, async (page) => {
    const shown = await textOf(page);
    expect(shown).toContain('The registry doesn’t have the image.');
    expect(shown).toContain('/workloads/1/data/image');
    expect(shown).toContain('manifest unknown');
    expect(shown).toMatch(/^Contract \d+\s+As of .*\s+Closed .* ago\. The node can’t run the deployment\./);
  }));

test('a farmer’s twin names its farms', () =>
  on(`/twins/${stage.grid.twins.farmer}`, async (page) => expect(await page.getByRole('link', { name: 'ghent-sun' }).getAttribute('href')).toContain(`/farms/${stage.grid.farm}`)));

test('how long funds last is shown', () =>
  on(`/twins/${stage.grid.twins.tenant}`, async (page) => {
    expect(await textOf(page)).toMatch(/Funds good until\s+\d+ \w+ \d{4}/);
    await page.getByRole('button', { name: 'Sum up the bills' }).click();
    await says(page, 'Months of 720 hours');
    await says(page, 'closed in the last 90 days');
    expect(await violations(page)).toEqual([]);
  }));

test('a farm says what its contracts have earned', () =>
  on(`/farms/${stage.grid.farm}`, async (page) => {
    const [, amount, contracts] = /Collectable: earned by open contracts\s+([\d.]+) TFT from (\d+) contracts/.exec(await textOf(page)) ?? [];
    expect(Number(amount)).toBeGreaterThan(0);
    expect(Number(contracts)).toBeGreaterThan(2);
    for (const part of ['2 of 3 free', '99.8 %']) expect(await textOf(page)).toContain(part);
    expect(await page.locator('tbody td[data-label="Heard"]').first().innerText()).toMatch(/ago$/);
  }));

test('a contract says how long its owner’s funds last', () =>
  on(`/contracts/${stage.grid.contracts.web}`, async (page) => {
    expect(await textOf(page)).toMatch(/Funds good until\s+\d+ \w+ \d{4}/);
    await page.getByRole('link', { name: 'Deposit' }).click();
    await says(page, 'To the credit of twin');
  }));

test('a page follows the chain without a reload', () =>
  on(`/twins/${stage.grid.twins.tenant}`, async (page) => {
    const block = (): Promise<number> => page.locator('.as-of').innerText().then((text) => Number(/block ([\d,]+)/.exec(text)?.[1]?.replace(',', '')));
    const first = await block();
    await page.waitForFunction(
      (after) => Number(/block ([\d,]+)/.exec(document.querySelector('.as-of')?.textContent ?? '')?.[1]?.replace(',', '')) > after,
      first + 1,
    );
    expect(await block()).toBeGreaterThan(first + 1);
  }));

test('a sealed body opens with the owner’s key alone', () =>
  on(`/contracts/${stage.grid.contracts.secret}`, async (page) => {
    expect(await textOf(page)).toContain('This deployment is sealed');
    await page.fill('input[type=password]', 'AGE-SECRET-KEY-1');
    await page.click('text=Open');
    expect(await textOf(page)).toContain('A secret age key is AGE-SECRET-KEY-1');
    await page.fill('input[type=password]', VECTORS.sealed_body.owner.identity);
    await page.click('text=Open');
    await page.waitForFunction(() => document.querySelector('main')?.textContent?.includes('only for its owner'));
    expect(await page.evaluate((key) => JSON.stringify({ ...localStorage, ...sessionStorage }).includes(key), VECTORS.sealed_body.owner.identity)).toBe(false);
  }));

test('hostile text is shown, and does nothing', () =>
  on(`/contracts/${stage.grid.contracts.hostile}`, async (page) => {
    expect(await textOf(page)).toContain('<script>document.title');
    expect(await textOf(page)).toContain('⟨U+202E⟩gnp.exe');
    expect(await page.title()).not.toBe('owned');
    expect(await page.locator('main script, main img').count()).toBe(0);
  }));

test('a hostile place name and version are shown as they are', () =>
  on('/nodes/5', async (page) => {
    expect(await textOf(page)).toContain('Cairo ⟨U+202E⟩<img src=x>, Egypt');
    expect(await textOf(page)).toContain('0.10.0 <img src=x>');
    expect(await page.locator('main img').count()).toBe(0);
  }));

test('the list sorts nodes by their versions', () =>
  on('/nodes?sort=version', async (page) => {
    await page.waitForFunction(() => document.querySelector('tbody td[data-label="Version"]')?.textContent === '0.9.0');
    expect(await page.locator('tbody td[data-label="Version"]').last().innerText()).toBe('0.10.0 <img src=x>');
    expect(await page.locator('tbody tr td').first().innerText()).toBe('1');
  }));

test('malformed ids and ids that never were have words', async () => {
  await on('/nodes/abc', async (page) => expect(await textOf(page)).toContain('“abc” is no id of a node'));
  await on('/contracts/18446744073709551616', async (page) => expect(await textOf(page)).toContain('is no id of a contract'));
  await on('/contracts/99999', async (page) => expect(await textOf(page)).toContain('There is no contract 99999'));
  await on('/twins/%E0%A4%A', async (page) => expect(await textOf(page)).toContain('is no id of a twin'));
  await on('/blocks/99999999', async (page) => expect(await textOf(page)).toContain('There is no finalized block 99999999'));
});

test('a failed call says why, and who may', () =>
  on(`/blocks/${stage.grid.refused.block}/${stage.grid.refused.index}`, async (page) => {
    const shown = await textOf(page);
    expect(shown).toContain('Why it failed: Contracts.NotOwner');
    expect(shown).toContain('The contract belongs to another twin. Sign with the account of the owner’s twin.');
    expect(shown).toContain('Closes a contract of the caller\'s twin.');
    expect(shown).toMatch(/"contract": \d+/);
  }));

test('search takes ids, names and addresses', async () => {
  const found = (query: string, part: string): Promise<void> =>
    on(`/search?q=${encodeURIComponent(query)}`, async (page) => expect(await textOf(page)).toContain(part));
  await found('GHENT', 'Farm ghent-sun');
  await found('my-shop', 'Name on the gateways my-shop');
  await found('5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY', 'Twin 1');
  await found('5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY', 'Farm ghent-sun');
  await found('0xzz', 'Nothing is called');
});

test('a transaction is found by its block and index', () =>
  on('/blocks', async (page) => {
    const block = (await page.locator('tbody a').first().innerText()).replaceAll(',', '');
    await page.getByLabel('transaction such as 123-4').fill(`${block}-0`);
    await page.getByRole('button', { name: 'Find' }).click();
    await says(page, 'Timestamp.set');
    expect(page.url()).toContain(`/blocks/${block}/0`);
    await page.getByRole('searchbox', { name: 'Node or contract id' }).fill(`${block}-0`);
    await page.getByRole('button', { name: 'Search' }).click();
    await page.waitForURL(/#\/search/);
    await page.getByRole('link', { name: `Transaction ${block}-0` }).waitFor();
    await page.goto(`${page.url().split('#')[0]}#/search?q=${block}-99`);
    await says(page, 'Nothing is called');
  }));

test('sorting and search combine', () =>
  on('/nodes?sort=-mru', async (page) => {
    expect(await page.locator('tbody tr td').first().innerText()).toBe('4');
    await page.fill('input[name=q]', 'belgium');
    await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 3);
    expect(await page.locator('tbody tr td').first().innerText()).toBe('2');
  }));

test('a farmer’s nodes are found by the farmer’s address', () =>
  on('/nodes?unavailable=1&q=5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY', async (page) => {
    const count = (text: string): Promise<unknown> =>
      page.waitForFunction((text) => document.querySelector('[role=status].muted')?.textContent === text, text);
    await count('7 nodes');
    await page.fill('input[name=q]', '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty');
    await count('0 of 7 nodes');
    await page.fill('input[name=q]', '5'.repeat(48));
    await count('0 of 7 nodes');
    await page.fill('input[name=q]', 'ghent');
    await count('7 nodes');
  }));

test('the list says when the nodes in view were last heard', () =>
  on('/nodes', async (page) => {
    await page.waitForFunction(() => {
      const heard = [...document.querySelectorAll('tbody td[data-label="Heard"]')];
      return heard.length > 3 && heard.every((cell) => cell.textContent?.endsWith('ago'));
    });
  }));

for (const theme of ['light', 'dark'] as const) {
  for (const width of [390, 768, 1440]) {
    test(`every page is accessible, ${theme}, ${width} px`, { timeout: 300_000 }, async () => {
      const { page, problems, open } = await stage.explorer.page(stage.node.url, { theme, width });
      try {
        for (const path of paths()) {
          await open(path);
          await settled(page);
          expect(await violations(page), path).toEqual([]);
          const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          expect(overflow, `${path} is wider than the screen`).toBeLessThanOrEqual(0);
          await shot(page, `${theme}-${width}${path.replace(/[^a-z0-9]+/gi, '_')}`);
        }
        expect(problems).toEqual([]);
      } finally {
        await page.context().close();
      }
    });
  }
}

// Last, for the grid isn't the small one any more.
test('a long list has its rows at once, and while it scrolls', async () => {
  await simulate(stage.node.url, 300);
  await on('/nodes?unavailable=1&sort=node', async (page) => {
    expect(await page.evaluate(() => performance.now())).toBeLessThan(LIST_MS);
    await page.waitForFunction(() => document.querySelector('[role=status].muted')?.textContent?.startsWith('300'));
    const shown = (): Promise<number[]> =>
      page.locator('tbody tr[data-index] td:first-child').evaluateAll((cells) => cells.map((cell) => Number(cell.textContent)));
    expect((await shown()).slice(0, 3)).toEqual([1, 2, 3]);
    expect((await shown()).length).toBeLessThan(100);
    await page.locator('.table').evaluate((area) => area.scrollTo(0, area.scrollHeight));
    await page.waitForFunction(() => document.querySelector('tbody tr[aria-rowindex="301"]'));
    expect((await shown()).at(-1)).toBe(300);
    expect(await violations(page)).toEqual([]);
  });
  // A filter by facts needs those of nodes that aren't in view.
  await on('/nodes?unavailable=1&gateway=1', async (page) => {
    await page.waitForFunction(() => document.querySelector('[role=status].muted')?.textContent?.startsWith('1 of 300'));
    expect(await page.locator('tbody td').first().innerText()).toBe('2');
  });
});
