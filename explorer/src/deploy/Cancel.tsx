// SPDX-License-Identifier: Apache-2.0
import { createSignal, Show, type JSX } from 'solid-js';
import { useChain } from '../chain/connection';
import type { TwinContract } from '../chain/types';
import { capacity } from '../grid/nodes';
import { perMonth, usd } from '../lib/format';
import { parseU64 } from '../lib/ids';
import type { Query } from '../lib/query';
import { utf8, visible } from '../lib/safe';
import { t } from '../texts';
import { ContractLink, Section } from '../ui/parts';
import { StatusBadge } from '../ui/StatusBadge';
import { Table } from '../ui/Table';
import type { Payer } from '../wallet/payer';
import type { Call } from '../wallet/send';
import { Signed } from './Signed';

const text = t.deploy;
/** Calls of one transaction: far below what a block takes. */
const MOST = 100;

export default function Cancel(props: { query: Query; payer: Payer | undefined }): JSX.Element {
  const { api, client } = useChain();
  const linked = (): bigint | undefined => parseU64(props.query.get('cancel'));
  const [chosen, setChosen] = createSignal<ReadonlySet<bigint>>(new Set(linked() === undefined ? [] : [linked() as bigint]));
  const contracts = (): TwinContract[] => props.payer?.twin?.contracts ?? [];
  const open = (): bigint[] => contracts().map(({ contract }) => contract).filter((id) => chosen().has(id));
  const toggle = (id: bigint): void => {
    const next = new Set(chosen());
    if (!next.delete(id)) next.add(id);
    setChosen(next);
  };
  const proposed = (): Call | undefined => {
    const calls = open().map((contract) => api.tx.Contracts.cancel({ contract, reason: { type: 'Cancelled', value: undefined } }));
    const [only] = calls;
    if (calls.length === 1) return only;
    // A batch takes every call there is: descriptors of them all would be larger than the rest.
    return client.getUnsafeApi<any>().tx.Utility?.batch_all?.({ calls: calls.map(({ decodedCall }) => decodedCall) });
  };
  return (
    <Signed>
      {(propose) => (
        <Section title={text.cancelWhich}>
          <p>{text.cancelNote}</p>
          <Show when={props.payer?.twin}>
            <Table
              label={text.cancelWhich}
              rows={contracts()}
              empty={text.noContracts}
              columns={[
                {
                  key: 'choose',
                  title: text.nodeColumns.choose,
                  cell: ({ contract }) => (
                    <input type="checkbox" aria-label={t.contracts.contract(contract)} checked={chosen().has(contract)} onChange={() => toggle(contract)} />
                  ),
                },
                { key: 'contract', title: t.contracts.columns.contract, cell: ({ contract }) => <ContractLink id={contract} /> },
                {
                  key: 'what',
                  title: t.contracts.columns.what,
                  cell: ({ target }) =>
                    target.type === 'Node' ? capacity(target.value.resources)
                    : target.type === 'Rent' ? t.contracts.kinds.Rent
                    : visible(utf8(target.value.name)),
                },
                { key: 'state', title: t.contracts.columns.state, cell: ({ status }) => <StatusBadge status={status.type} /> },
                { key: 'rate', title: t.contracts.columns.rate, numeric: true, cell: ({ rate, extra }) => usd(perMonth(rate + extra)) },
              ]}
            />
            <Show when={open().length > MOST}><p class="notice bad">{text.cancelMost(MOST)}</p></Show>
            <p><button type="button" class="primary" disabled={open().length === 0 || open().length > MOST} onClick={() => propose(proposed())}>{text.cancelChosen(open().length)}</button></p>
          </Show>
        </Section>
      )}
    </Signed>
  );
}
