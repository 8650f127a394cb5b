// SPDX-License-Identifier: Apache-2.0
import { HashRouter, Route } from '@solidjs/router';
import { For, lazy, type JSX } from 'solid-js';
import { ChainProvider, openChain } from './chain/connection';
import { Layout } from './ui/Layout';

/** A page is loaded when it is first opened. Paths that hold an id name it in their parameters. */
const ROUTES: [string, () => Promise<{ default: () => JSX.Element }>][] = [
  ['/', () => import('./pages/Grid')],
  ['/nodes', () => import('./pages/Nodes')],
  ['/nodes/:id', () => import('./pages/Node')],
  ['/farms', () => import('./pages/Farms')],
  ['/farms/:id', () => import('./pages/Farm')],
  ['/contracts', () => import('./pages/Contracts')],
  ['/contracts/:id', () => import('./pages/Contract')],
  ['/twins', () => import('./pages/Twins')],
  ['/twins/:id', () => import('./pages/Twin')],
  ['/blocks', () => import('./pages/Blocks')],
  ['/blocks/:block', () => import('./pages/Block')],
  ['/blocks/:block/:index', () => import('./pages/Transaction')],
  ['/search', () => import('./pages/Search')],
  ['/connection', () => import('./pages/Connection')],
  ['/calculator', () => import('./calculator/Calculator')],
  ['/deploy', () => import('./deploy/Deploy')],
  ['/watch', () => import('./watch/Watch')],
  ['*', () => import('./pages/NoPage')],
];

export function App(props: { endpoints: string[] }): JSX.Element {
  const chain = openChain(props.endpoints);
  return (
    <ChainProvider value={chain}>
      <HashRouter root={Layout}>
        <For each={ROUTES}>{([path, load]) => <Route path={path} component={lazy(load)} />}</For>
      </HashRouter>
    </ChainProvider>
  );
}
