// SPDX-License-Identifier: Apache-2.0
import { createMemo, Show, type JSX } from 'solid-js';
import { useChain } from '../chain/connection';
import { createRead } from '../chain/read';
import type { Query } from '../lib/query';
import { utf8, visible } from '../lib/safe';
import { t } from '../texts';
import { TextField } from '../ui/fields';
import { ContractLink, Section, Shown } from '../ui/parts';
import type { Payer } from '../wallet/payer';
import { Outlay } from './Outlay';
import { Own } from './Own';
import { Signed } from './Signed';

const text = t.deploy;
/** The chain's rule for names on the gateways. */
const NAME = /^(?!xn--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** Names up to this length have a deposit of their own. */
const SHORT = 4;

const bytes = (name: string): Uint8Array => new TextEncoder().encode(name);

export default function Names(props: { query: Query; payer: Payer | undefined }): JSX.Element {
  const { api } = useChain();
  const typed = (): string => props.query.get('name').trim();
  const name = createMemo(() => (NAME.test(typed()) ? typed() : undefined));
  const found = createRead(name, async ({ api, opt }, name) => {
    if (name === undefined) return undefined;
    const [rate, held, taken] = await Promise.all([
      api.apis.GridApi.quote_name(opt),
      name.length > SHORT ? api.constants.Contracts.NameDeposit(opt) : api.constants.Contracts.ShortNameDeposit(opt),
      api.query.Contracts.Names.getValue(bytes(name), opt),
    ]);
    return { name, rate, held, taken };
  });
  return (
    <Signed>
      {(propose) => (
        <>
          <Section title={text.tasks.names}>
            <p>{text.namesNote}</p>
            <form class="inline" onSubmit={(event) => event.preventDefault()}>
              <TextField query={props.query} name="name" label={text.name} />
            </form>
            <Show when={name()} fallback={<Show when={typed()}><p class="notice bad" role="alert">{text.badName}</p></Show>}>
              <Shown read={found}>
                {(found) => (
                  <Show
                    when={found().taken === undefined}
                    fallback={<p class="notice bad" role="alert">{text.nameTaken(found().name)} <ContractLink id={found().taken ?? 0n} /></p>}
                  >
                    <Outlay
                      payer={props.payer}
                      rate={found().rate}
                      held={found().held}
                      onReview={() => propose(api.tx.Contracts.create_name_contract({ name: bytes(found().name), max_usd_rate: found().rate ?? 0n }))}
                    />
                  </Show>
                )}
              </Shown>
            </Show>
          </Section>
          <Own
            payer={props.payer}
            kind="Name"
            title={text.yourNames}
            empty={text.noNames}
            columns={[{ key: 'name', title: text.name, cell: ({ target }) => target.type === 'Name' && visible(utf8(target.value.name)) }]}
          />
        </>
      )}
    </Signed>
  );
}
