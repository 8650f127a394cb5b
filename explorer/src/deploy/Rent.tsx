// SPDX-License-Identifier: Apache-2.0
import { A } from '@solidjs/router';
import { createMemo, type JSX } from 'solid-js';
import { useChain } from '../chain/connection';
import { createRead } from '../chain/read';
import type { Offer } from '../chain/types';
import { capacity } from '../grid/nodes';
import { perMonth, usd } from '../lib/format';
import { parseU32 } from '../lib/ids';
import type { Query } from '../lib/query';
import { visible } from '../lib/safe';
import { t } from '../texts';
import { TextField } from '../ui/fields';
import { NodeLink } from '../ui/parts';
import type { Payer } from '../wallet/payer';
import { Own } from './Own';
import { Proposal } from './Proposal';

const text = t.deploy;

export default function Rent(props: { query: Query; payer: Payer | undefined }): JSX.Element {
  const { api } = useChain();
  const typed = (): string => props.query.get('rent').trim();
  const found = createRead(createMemo(() => parseU32(typed())), async ({ api, opt }, node) => {
    if (node === undefined) return undefined;
    const [offer, rate, held, rent] = await Promise.all([
      api.apis.GridApi.node_offer(node, opt),
      api.apis.GridApi.quote_rent(node, opt),
      api.constants.Contracts.ContractDeposit(opt),
      api.query.Contracts.Rents.getValue(node, opt),
    ]);
    return offer && { offer, rate, held, refusal: refusal(offer, rent !== undefined) };
  });
  return (
    <Proposal
      payer={props.payer}
      title={text.tasks.rent}
      note={<>{text.rentNote} <A href="/nodes?rentable=1">{text.rentable}</A></>}
      fields={<TextField query={props.query} name="rent" label={text.node} numeric />}
      isAsked={typed() !== ''}
      found={found}
      absent={t.notFound(t.kinds.node, visible(typed()))}
      refusal={({ offer, refusal }) => refusal && `${t.nodes.node(offer.node)}: ${refusal}`}
      terms={({ offer, rate, held }) => ({
        first: [[text.reserves, capacity(offer.total)]], rate: rate && rate - offer.extra_fee, extra: offer.extra_fee, held,
      })}
      call={({ offer, rate }) => api.tx.Contracts.create_rent_contract({ node: offer.node, max_usd_rate: rate ?? 0n })}
    >
      <Own
        payer={props.payer}
        kind="Rent"
        title={text.yourNodes}
        empty={text.noRents}
        columns={[
          { key: 'node', title: text.node, cell: ({ target }) => target.type === 'Rent' && <NodeLink id={target.value.node} /> },
          { key: 'rate', title: t.contracts.columns.rate, numeric: true, cell: ({ rate, extra }) => usd(perMonth(rate + extra)) },
          { key: 'deploy', title: text.tasks.deploy, cell: ({ target }) => target.type === 'Rent' && <A href={`/deploy?node=${target.value.node}`}>{text.deployOn}</A> },
        ]}
      />
    </Proposal>
  );
}

/** Why nobody can rent a node now. */
function refusal({ online, draining, contracts }: Offer, isRented: boolean): string | undefined {
  const { misfit } = t.nodes;
  if (isRented) return misfit.rented;
  if (!online) return misfit.offline;
  return draining || contracts > 0 ? misfit.rentable(contracts) : undefined;
}
