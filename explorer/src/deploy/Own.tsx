// SPDX-License-Identifier: Apache-2.0
import { A } from '@solidjs/router';
import { Show, type JSX } from 'solid-js';
import type { TwinContract } from '../chain/types';
import { t } from '../texts';
import { ContractLink, Section } from '../ui/parts';
import type { Column } from '../ui/sort';
import { Table } from '../ui/Table';
import type { Payer } from '../wallet/payer';

interface Props {
  payer: Payer | undefined;
  kind: TwinContract['target']['type'];
  title: string;
  empty: string;
  columns: Column<TwinContract>[];
}

/** The payer's open contracts of a kind, each with how to give it back. */
export function Own(props: Props): JSX.Element {
  return (
    <Show when={props.payer?.twin}>
      {(twin) => (
        <Section title={props.title}>
          <Table
            label={props.title}
            rows={twin().contracts.filter(({ target }) => target.type === props.kind)}
            empty={props.empty}
            columns={[
              ...props.columns,
              { key: 'contract', title: t.contracts.columns.contract, cell: ({ contract }) => <ContractLink id={contract} /> },
              { key: 'cancel', title: t.deploy.tasks.cancel, cell: ({ contract }) => <A href={`/deploy?cancel=${contract}`}>{t.deploy.giveBack}</A> },
            ]}
          />
        </Section>
      )}
    </Show>
  );
}
