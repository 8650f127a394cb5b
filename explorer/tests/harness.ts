// SPDX-License-Identifier: Apache-2.0
// A development chain, the built explorer and a browser; all of it is ended also when a test fails.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { chromium, type Browser, type Page, type Request } from 'playwright-core';
import { preview, type Plugin, type PreviewServer } from 'vite';
import { afterAll, beforeAll, expect } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');
const PROGRAMS = process.env.PROGRAMS ?? join(process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target'), 'debug');
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const PROGRAM = join(PROGRAMS, 'tfgrid-node');
const START_MS = 120_000;
const DEV_START_MS = 300_000;
const ANSWER_MS = 20_000;
/** Chromium drops requests when an interface of the machine comes or goes, as engines make them. */
const NETWORK_CHANGED = 'ERR_NETWORK_CHANGED';
const PAGE_MS = 60_000;
const FINAL_MS = 25_000;
const SHOTS = process.env.SCREENSHOTS;
/** Of the chain of a file's tests: files run one after another. */
export const PORT = Number(process.env.EXPLORER_TEST_PORT ?? 9961);
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Probes until there is an answer. */
export async function until<T>(what: string, ms: number, probe: () => Promise<T | undefined>): Promise<T> {
  for (const end = Date.now() + ms; ; ) {
    const found = await probe().catch(() => undefined);
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error(`timed out after ${ms / 1000} s: ${what}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

export class Node {
  private constructor(readonly url: string, readonly process: ChildProcess, private readonly folder: string) {}

  /** Starts a development chain on a port of its own. */
  static async start(port: number, ...args: string[]): Promise<Node> {
    return Node.of(['--dev', ...args], port);
  }

  /** Starts a development chain with another genesis. */
  static async startOther(port: number): Promise<Node> {
    const folder = mkdtempSync(join(tmpdir(), 'explorer-'));
    try {
      const { stdout } = await promisify(execFile)(PROGRAM, ['export-chain-spec', '--chain', 'dev'], { maxBuffer: 2 ** 26 });
      const spec = JSON.parse(stdout) as { genesis: { runtimeGenesis: { patch: { clock: { price: number } } } } };
      spec.genesis.runtimeGenesis.patch.clock.price += 1;
      writeFileSync(join(folder, 'other.json'), JSON.stringify(spec));
      return await Node.of(['--chain', join(folder, 'other.json'), '--alice', '--validator', '--force-authoring', '--unsafe-force-node-key-generation'], port);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  private static async of(chain: string[], port: number): Promise<Node> {
    if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} isn't there: run make build, or name its folder in PROGRAMS`);
    const folder = mkdtempSync(join(tmpdir(), 'explorer-'));
    const ports = ['--rpc-port', `${port}`, '--port', `${port + 30_000}`];
    const child = spawn(PROGRAM, [...chain, '--base-path', folder, ...ports, '--no-prometheus', '--rpc-cors', 'all'], { stdio: 'ignore' });
    const node = new Node(`ws://127.0.0.1:${port}`, child, folder);
    try {
      await until(`${node.url} to answer`, START_MS, async () => (await fetch(`http://127.0.0.1:${port}/health`)).ok || undefined);
    } catch (error) {
      await node.end();
      throw error;
    }
    return node;
  }

  async end(): Promise<void> {
    await ended(this.process, 'SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((done) => child.once('exit', done));
  child.kill(signal);
  await gone;
}

/** `make dev`: a chain, and a node with a real agent, engine and registry. All of it is removed at the end. */
export class Development {
  private constructor(private readonly process: ChildProcess, private readonly said: string) {}

  static async start(): Promise<Development> {
    const child = asRoot(join(PROGRAMS, 'dev'));
    let said = '';
    child.stdout?.on('data', (chunk) => (said += chunk));
    try {
      await until('make dev to be ready', DEV_START_MS, async () => child.exitCode !== null || said.includes('Ctrl-C ends') || undefined);
      if (child.exitCode !== null) throw new Error(`dev ended with ${child.exitCode}: ${said}`);
    } catch (error) {
      await ended(child, 'SIGINT');
      throw error;
    }
    return new Development(child, said);
  }

  /** What it prints beside a name. */
  printed(name: string): string {
    const found = new RegExp(`^(?: +|  export )${name}[ =]+([^\\s,]+)`, 'm').exec(this.said)?.[1];
    if (!found) throw new Error(`dev printed no ${name}: ${this.said}`);
    return found;
  }

  /** The page that a machine of the user's serves, over the peer network. */
  async fetch(contract: string, machine: string): Promise<string> {
    const device = { TFGRID_DEVICE: this.printed('TFGRID_DEVICE') };
    const args = ['--json', '--chain', this.printed('chain'), '--key', '//Bob', 'forward', contract, `0:${machine}:80`];
    const child = asRoot(join(PROGRAMS, 'threebot'), args, device);
    try {
      const { local } = JSON.parse(await firstLine(child)) as { local: string };
      return await (await fetch(`http://${local}/`, { signal: AbortSignal.timeout(ANSWER_MS) })).text();
    } finally {
      await ended(child, 'SIGINT');
    }
  }

  end(): Promise<void> {
    return ended(this.process, 'SIGINT');
  }
}

/** Mounts, networks and the user's key of `make dev` are root's. */
function asRoot(program: string, args: string[] = [], env: Record<string, string> = {}): ChildProcess {
  const command = [program, ...args];
  const set = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const [first = '', ...rest] = process.getuid?.() === 0 ? ['env', ...set, ...command] : ['sudo', 'env', `PATH=${process.env.PATH}`, ...set, ...command];
  return spawn(first, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
}

async function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((done, fail) => {
    if (child.stdout) createInterface({ input: child.stdout }).once('line', done);
    child.once('exit', (code) => fail(new Error(`${child.spawnargs.join(' ')} ended with ${code}`)));
  });
}

export interface Seeded {
  farm: number;
  twins: { farmer: number; tenant: number; broke: number };
  nodes: number[];
  /** A transaction that failed. */
  refused: { block: string; index: number };
  contracts: Record<'web' | 'missing' | 'hostile' | 'secret' | 'cancelled' | 'broken' | 'lean', number>;
}

export interface Seeder {
  grid: Seeded;
  end(): Promise<void>;
}

/** Fills a chain; its nodes send heartbeats until the end. */
export async function seed(url: string): Promise<Seeder> {
  const child = spawn(process.execPath, [join(ROOT, 'explorer/tests/seed.mjs'), url], { stdio: ['pipe', 'pipe', 'inherit'] });
  const line = await firstLine(child);
  return { grid: JSON.parse(line) as Seeded, end: () => ended(child, 'SIGTERM') };
}

/** Copies the nodes of a seeded chain until there are so many. */
export async function simulate(url: string, nodes: number): Promise<void> {
  await promisify(execFile)(process.execPath, [join(ROOT, 'explorer/tests/simulate.mjs'), url, `${nodes}`]);
}

/** A wallet in the browser that signs nothing. */
export interface FakeWallet {
  accounts: { name: string; address: string; genesisHash?: string }[];
  /** Whether it lets the page see them. */
  refuses?: boolean;
}

const injectWallet = ({ accounts, refuses }: FakeWallet): void => {
  const no = async (): Promise<never> => {
    throw new Error('Cancelled');
  };
  const typed = accounts.map((account) => ({ ...account, type: 'sr25519' }));
  const found = {
    name: 'fake',
    version: '1.0.0',
    signer: { signPayload: no, signRaw: no },
    accounts: { get: async () => typed, subscribe: (take: (found: object[]) => void) => (take(typed), () => undefined) },
  };
  Object.assign(window, { injectedWeb3: { fake: { version: '1.0.0', enable: async () => (refuses ? no() : found) } } });
};

export interface View {
  wallet?: FakeWallet;
  width?: number;
  theme?: 'light' | 'dark';
  /** Whether the chain answers: without answers a page goes on reading, and the console says why. */
  answers?: boolean;
}

/** A test's page tries the endpoints that the test names alone: others may answer on this machine. */
const withoutEndpoints: Plugin = {
  name: 'without-endpoints',
  configurePreviewServer: ({ middlewares }) => void middlewares.use('/endpoints.json', (_, response) => response.end('[]')),
};

export class Explorer {
  private constructor(private readonly server: PreviewServer, readonly browser: Browser, readonly origin: string) {}

  static async start(): Promise<Explorer> {
    if (!existsSync(CHROMIUM)) {
      throw new Error(`${CHROMIUM} isn't there: apt-get install --no-install-recommends chromium fonts-dejavu-core, or name it in CHROMIUM`);
    }
    const root = join(ROOT, 'explorer');
    const server = await preview({ root, logLevel: 'silent', plugins: [withoutEndpoints], preview: { port: 0, host: '127.0.0.1' } });
    const address = server.httpServer.address();
    if (!address || typeof address === 'string') throw new Error('the server has no port');
    const browser = await chromium.launch({ executablePath: CHROMIUM });
    return new Explorer(server, browser, `http://127.0.0.1:${address.port}`);
  }

  /** A page with its own storage; `problems` gets what the console, the page and other hosts' requests say. */
  async page(endpoint: string, { width = 1440, theme = 'light', wallet }: View = {}): Promise<{ page: Page; problems: string[]; open(path: string): Promise<void> }> {
    const context = await this.browser.newContext({ viewport: { width, height: 900 }, colorScheme: theme });
    if (wallet) await context.addInitScript(injectWallet, wallet);
    const page = await context.newPage();
    // Other work may share the machine.
    page.setDefaultTimeout(PAGE_MS);
    const problems: string[] = [];
    page.on('console', (message) => message.type() === 'error' && !message.text().includes(NETWORK_CHANGED) && problems.push(message.text()));
    page.on('pageerror', (error) => problems.push(String(error)));
    page.on('request', (request) => {
      if (!request.url().startsWith(this.origin) && request.url() !== 'about:blank') problems.push(`request to ${request.url()}`);
    });
    const open = async (path: string): Promise<void> => {
      // Another hash alone would leave the old page in place until the new one is there.
      await page.goto('about:blank');
      // What a changed network has dropped is loaded once more.
      const again = (request: Request): void => {
        if (request.failure()?.errorText.includes(NETWORK_CHANGED)) void page.reload().catch(() => undefined);
      };
      page.on('requestfailed', again);
      await page.goto(`${this.origin}/?endpoint=${endpoint}#${path}`).catch((error) => {
        if (!new RegExp(`${NETWORK_CHANGED}|interrupted`).test(String(error))) throw error;
      });
      await page.waitForSelector('h1');
      page.off('requestfailed', again);
    };
    return { page, problems, open };
  }

  /** Opens a page for one check, and closes it. */
  async visit(endpoint: string, path: string, check: (page: Page) => Promise<void>, view: View = {}): Promise<void> {
    const { page, problems, open } = await this.page(endpoint, view);
    try {
      await open(path);
      if (view.answers !== false) await settled(page);
      await check(page);
      if (view.answers !== false) expect(problems).toEqual([]);
    } catch (error) {
      await shot(page, `failed${path.replace(/[^a-z0-9]+/gi, '_')}`);
      throw error;
    } finally {
      await page.context().close();
    }
  }

  async end(): Promise<void> {
    await this.browser.close();
    await this.server.close();
  }
}

/** What the tests of a file share: the explorer, and a chain with a seeded grid. */
export interface Stage {
  node: Node;
  grid: Seeded;
  explorer: Explorer;
  on(path: string, check: (page: Page) => Promise<void>, view?: View): Promise<void>;
}

export function setStage(): Stage {
  const stage = {
    on: (path, check, view) => stage.explorer.visit(stage.node.url, path, check, view),
  } as Stage;
  let seeder: Seeder | undefined;
  beforeAll(async () => {
    stage.node = await Node.start(PORT);
    seeder = await seed(stage.node.url);
    stage.grid = seeder.grid;
    stage.explorer = await Explorer.start();
  });
  afterAll(async () => {
    await stage.explorer?.end();
    await seeder?.end();
    await stage.node?.end();
  });
  return stage;
}

/** What a page says, its heading included. */
export const textOf = (page: Page): Promise<string> => page.locator('main').innerText();

export const says = (page: Page, text: string, timeout = FINAL_MS): Promise<unknown> =>
  page.waitForFunction((text) => document.querySelector('main')?.innerText.includes(text), text, { timeout });

/** A picture of the page, if a folder for it is named. */
export async function shot(page: Page, name: string): Promise<void> {
  if (SHOTS) await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true });
}

/** Signs with an account of the test wallet. */
export async function connect(page: Page, account: string): Promise<void> {
  await page.getByRole('button', { name: 'Test wallet' }).click();
  const value = await page.locator('select[name=account] option', { hasText: account }).getAttribute('value');
  await page.selectOption('select[name=account]', value);
  await says(page, 'Balance');
}

/** Fills a field of the wizard and leaves it. */
export async function fill(page: Page, label: string, value: string): Promise<void> {
  const field = page.getByLabel(label, { exact: true });
  await field.fill(value);
  await field.press('Tab');
}

/** Opens fields that few need. */
export const more = (page: Page, title: string): Promise<void> => page.locator('summary', { hasText: title }).click();
export const review = (page: Page): Promise<void> => page.getByRole('button', { name: 'Review the call' }).click();
export const sign = (page: Page): Promise<void> => page.getByRole('button', { name: 'Sign and send' }).click();

/** Waits until nothing on the page is being read. */
export const settled = (page: Page): Promise<unknown> =>
  page.waitForFunction(() => document.querySelector('h1') && !document.querySelector('.loading'), undefined, { timeout: 30_000 });

/** What axe finds on the page. */
export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const { axe } = window as unknown as { axe: { run(): Promise<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }> } };
    const { violations } = await axe.run();
    return violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html.slice(0, 200)} ${nodes[0]?.failureSummary}`);
  });
}
