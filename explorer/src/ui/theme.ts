// SPDX-License-Identifier: Apache-2.0
import { createSignal } from 'solid-js';

export type Theme = 'auto' | 'light' | 'dark';
const STORED = 'tfgrid-theme';

const stored = localStorage.getItem(STORED);
const [theme, set] = createSignal<Theme>(stored === 'light' || stored === 'dark' ? stored : 'auto');

export { theme };

export function setTheme(theme: Theme): void {
  set(theme);
  localStorage.setItem(STORED, theme);
  apply();
}

/** The stylesheet follows `data-theme`, and the system without it. */
export function apply(): void {
  if (theme() === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme();
}
