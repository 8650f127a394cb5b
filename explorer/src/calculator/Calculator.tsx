// SPDX-License-Identifier: Apache-2.0
import { onMount, type JSX } from 'solid-js';
import { createRead, type At } from '../chain/read';
import { useQuery } from '../lib/query';
import { t } from '../texts';
import { AsOf, Page, Section } from '../ui/parts';
import { Cost } from './Cost';
import { Farming } from './Farming';

/** What a first visitor sees the price and the reward of. */
const EXAMPLES = [{ cru: '2', mru: '4', sru: '50' }, { fcru: '8', fmru: '32', fsru: '500', fhru: '2000' }];

async function readTerms({ api, opt }: At) {
  const [policy, farming, info] = await Promise.all([
    api.query.Billing.Policy.getValue(opt),
    api.query.Farming.Policy.getValue(opt),
    api.apis.GridApi.grid_info(opt),
  ]);
  return { policy, farming, price: info.tft_price };
}

export type Terms = Awaited<ReturnType<typeof readTerms>>;

export default function Calculator(): JSX.Element {
  const query = useQuery();
  const terms = createRead(() => undefined, readTerms, 20);
  onMount(() => {
    const empty = EXAMPLES.filter((example) => Object.keys(example).every((name) => query.get(name) === ''));
    query.set(Object.assign({}, ...empty) as Record<string, string>);
  });
  return (
    <Page title={t.pages.calculator} note={<AsOf read={terms} />}>
      <Section title={t.calculator.cost} note={<span class="muted">{t.calculator.costNote}</span>}><Cost query={query} terms={terms} /></Section>
      <Section title={t.calculator.farming} note={<span class="muted">{t.calculator.farmingNote}</span>}><Farming query={query} terms={terms} /></Section>
    </Page>
  );
}
