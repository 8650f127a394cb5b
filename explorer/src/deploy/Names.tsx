// SPDX-License-Identifier: Apache-2.0
import { createMemo, type JSX } from 'solid-js';
import { useChain } from '../chain/connection';
import { createRead } from '../chain/read';
import type { Query } from '../lib/query';
import { utf8, visible } from '../lib/safe';
import { t } from '../texts';
import { TextField } from '../ui/fields';
import { ContractLink } from '../ui/parts';
import type { Payer } from '../wallet/payer';
import { Own } from './Own';
import { Proposal } from './Proposal';

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
    <Proposal
      payer={props.payer}
      title={text.tasks.names}
      note={text.namesNote}
      fields={<TextField query={props.query} name="name" label={text.name} />}
      isAsked={typed() !== ''}
      found={found}
      absent={text.badName}
      refusal={({ name, taken }) => taken !== undefined && <>{text.nameTaken(name)} <ContractLink id={taken} /></>}
      terms={({ rate, held }) => ({ rate, held })}
      call={({ name, rate }) => api.tx.Contracts.create_name_contract({ name: bytes(name), max_usd_rate: rate ?? 0n })}
    >
      <Own
        payer={props.payer}
        kind="Name"
        title={text.yourNames}
        empty={text.noNames}
        columns={[{ key: 'name', title: text.name, cell: ({ target }) => target.type === 'Name' && visible(utf8(target.value.name)) }]}
      />
    </Proposal>
  );
}
