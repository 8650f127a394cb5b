// SPDX-License-Identifier: Apache-2.0
import { A } from '@solidjs/router';
import { For, lazy, Match, Show, Switch, type JSX } from 'solid-js';
import { tft } from '../lib/format';
import { useQuery } from '../lib/query';
import { t } from '../texts';
import { Facts, Failure, Page, TwinLink } from '../ui/parts';
import { account } from '../wallet/accounts';
import { usePayer } from '../wallet/payer';
import { Wallet } from '../wallet/Wallet';
import { Wizard } from './Wizard';

const Cancel = lazy(() => import('./Cancel'));
const Limits = lazy(() => import('./Limits'));
const Names = lazy(() => import('./Names'));
const Rent = lazy(() => import('./Rent'));
const Traffic = lazy(() => import('./Traffic'));
const CreateTwin = lazy(() => import('./Money').then(({ CreateTwin }) => ({ default: CreateTwin })));
const Deposit = lazy(() => import('./Money').then(({ Deposit }) => ({ default: Deposit })));
const Withdraw = lazy(() => import('./Money').then(({ Withdraw }) => ({ default: Withdraw })));

const TASKS = ['deploy', 'rent', 'names', 'buy', 'cancel', 'deposit', 'withdraw', 'limits'] as const;

export default function Deploy(): JSX.Element {
  const query = useQuery();
  const payer = usePayer();
  const task = (): (typeof TASKS)[number] => TASKS.find((name) => query.get('task') === name) ?? TASKS.find((name) => query.get(name) !== '') ?? 'deploy';
  return (
    <Page title={t.pages.deploy}>
      <nav class="tabs" aria-label={t.pages.deploy}>
        <For each={TASKS}>
          {(name) => <A href={`/deploy?task=${name}`} class={name === task() ? 'active' : ''} activeClass="" aria-current={name === task() ? 'page' : undefined}>{t.deploy.tasks[name]}</A>}
        </For>
      </nav>
      <Wallet>
        <Failure read={payer} />
        <Show when={payer.value()}>
          {(payer) => (
            <>
              <Facts
                rows={[
                  [t.wallet.twin, <Show when={payer().twin} fallback={t.wallet.noTwin}>{(twin) => <TwinLink id={twin().id} />}</Show>],
                  [t.wallet.balance, tft(payer().free)],
                  ...(payer().twin ? [[t.deploy.credit, tft(payer().twin?.payer.credit ?? 0n)] as [string, JSX.Element]] : []),
                ]}
              />
              <Show when={!payer().twin && account()}>{(account) => <CreateTwin account={account()} />}</Show>
            </>
          )}
        </Show>
      </Wallet>
      <Switch>
        <Match when={task() === 'deploy'}><Wizard query={query} payer={payer.value()} /></Match>
        <Match when={task() === 'rent'}><Rent query={query} payer={payer.value()} /></Match>
        <Match when={task() === 'names'}><Names query={query} payer={payer.value()} /></Match>
        <Match when={task() === 'buy'}><Traffic query={query} payer={payer.value()} /></Match>
        <Match when={task() === 'limits'}><Limits payer={payer.value()} /></Match>
        <Match when={task() === 'cancel'}><Cancel query={query} payer={payer.value()} /></Match>
        <Match when={task() === 'deposit'}><Deposit query={query} payer={payer.value()} /></Match>
        <Match when={task() === 'withdraw'}><Withdraw payer={payer.value()} /></Match>
      </Switch>
    </Page>
  );
}
