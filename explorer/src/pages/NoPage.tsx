// SPDX-License-Identifier: Apache-2.0
import { A } from '@solidjs/router';
import type { JSX } from 'solid-js';
import { t } from '../texts';
import { Page } from '../ui/parts';

export default function NoPage(): JSX.Element {
  return (
    <Page title={t.noPage}>
      <p>
        <A href="/">{t.toGrid}</A>
      </p>
    </Page>
  );
}
