// SPDX-License-Identifier: Apache-2.0
import type { JSX } from 'solid-js';
import { t } from '../texts';
import { Page } from '../ui/parts';

export default function Deploy(): JSX.Element {
  return <Page title={t.pages.deploy}>{null}</Page>;
}
