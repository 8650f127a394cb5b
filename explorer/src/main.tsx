// SPDX-License-Identifier: Apache-2.0
import { render } from 'solid-js/web';
import { App } from './app';
import { endpoints } from './chain/endpoints';
import './styles.css';
import { apply } from './ui/theme';

/** The router can't read a path with a broken escape: it leads to no page. */
function repairPath(): void {
  try {
    decodeURIComponent(location.hash);
  } catch {
    history.replaceState(null, '', `#${location.hash.slice(1).replaceAll('%', '%25')}`);
  }
}

apply();
repairPath();
addEventListener('hashchange', repairPath);
const root = document.getElementById('root');
if (root) {
  const list = await endpoints();
  render(() => <App endpoints={list} />, root);
}
