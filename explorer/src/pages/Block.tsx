// SPDX-License-Identifier: Apache-2.0
import { A, useParams } from '@solidjs/router';
import { For, Show, type JSX } from 'solid-js';
import { outcome, type ChainEvent, type DecodedBlock, type Transaction } from '../chain/decode';
import { moment } from '../lib/format';
import { visible } from '../lib/safe';
import { shown } from '../lib/show';
import { t } from '../texts';
import { BlockFrame } from '../ui/BlockFrame';
import { Ago, Badge, Facts, Long, Section } from '../ui/parts';
import { Table } from '../ui/Table';

const text = t.blocks;

export default function Block(): JSX.Element {
  const params = useParams<{ block: string }>();
  return (
    <BlockFrame title={(block) => (block ? text.block(block.number) : t.pages.blocks + ' ' + visible(params.block ?? '').slice(0, 20))}>
      {(block) => (
        <>
          <Section title={text.hash}>
            <Facts
              rows={[
                [text.hash, <Long text={block().hash} />],
                [text.parent, <A href={`/blocks/${block().parent}`}>{block().number - 1}</A>],
                [text.time, <Show when={block().time} fallback={t.unknown}>{(time) => <>{moment(time())}, <Ago time={time()} /></>}</Show>],
              ]}
            />
          </Section>
          <Show when={!block().events}><p class="notice warn">{text.dropped}</p></Show>
          <Section title={text.transactions}>
            <Table<Transaction>
              label={text.transactions}
              rows={block().transactions}
              columns={[
                { key: 'index', title: text.txColumns.index, cell: ({ index }) => <A href={`/blocks/${block().number}/${index}`}>{block().number}-{index}</A> },
                { key: 'call', title: text.txColumns.call, cell: ({ call }) => <span title={call.docs}>{call.pallet}.{call.name}</span> },
                { key: 'signer', title: text.txColumns.signer, cell: ({ signer }) => (signer ? <Long text={signer} /> : t.none) },
                { key: 'outcome', title: text.txColumns.outcome, cell: ({ index }) => <OutcomeBadge block={block()} index={index} /> },
              ]}
            />
          </Section>
          <Section title={text.blockEvents}><Events events={block().events?.filter(({ transaction }) => transaction === undefined) ?? []} /></Section>
        </>
      )}
    </BlockFrame>
  );
}

export function OutcomeBadge(props: { block: DecodedBlock; index: number }): JSX.Element {
  return (
    <Show when={outcome(props.block, props.index)} fallback={text.unknownOutcome}>
      {(outcome) => (
        <>
          <Badge tone={outcome().ok ? 'good' : 'bad'}>{outcome().ok ? text.ok : text.failed}</Badge>
          <Show when={outcome().error}>{(error) => <> {error().name}</>}</Show>
        </>
      )}
    </Show>
  );
}

/** Events with what the chain's documentation says of them. */
export function Events(props: { events: ChainEvent[] }): JSX.Element {
  return (
    <ul class="events">
      <For each={props.events} fallback={<li class="muted">{t.none}</li>}>
        {({ pallet, name, docs, fields }) => (
          <li>
            <strong>{pallet}.{name}</strong> <span class="muted">{docs}</span>
            <Show when={fields !== undefined}><pre tabindex="0">{shown(fields)}</pre></Show>
          </li>
        )}
      </For>
    </ul>
  );
}
