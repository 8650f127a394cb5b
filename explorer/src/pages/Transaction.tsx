// SPDX-License-Identifier: Apache-2.0
import type { JSX } from 'solid-js';
import { t } from '../texts';
import { Page } from '../ui/parts';

export default function Transaction(): JSX.Element {
  return <Page title={t.pages.blocks}>{null}</Page>;
}
