// SPDX-License-Identifier: Apache-2.0
import { render } from 'solid-js/web';
import { App } from './app';
import { endpoints } from './chain/endpoints';
import './styles.css';
import { apply } from './ui/theme';

apply();
const root = document.getElementById('root');
if (root) {
  const list = await endpoints();
  render(() => <App endpoints={list} />, root);
}
