// SPDX-License-Identifier: Apache-2.0
import { A, useParams } from '@solidjs/router';
import { createMemo, Show, type Accessor, type JSX } from 'solid-js';
import { outcome, type DecodedBlock, type Transaction as Found } from '../chain/decode';
import { moment, number, tftExact } from '../lib/format';
import { parseU32 } from '../lib/ids';
import { visible } from '../lib/safe';
import { shown } from '../lib/show';
import { t } from '../texts';
import { advice } from '../texts/advice';
import { BlockFrame } from '../ui/BlockFrame';
import { Facts, Long, Section } from '../ui/parts';
import { Events, OutcomeBadge } from './Block';

const text = t.blocks;

export default function Transaction(): JSX.Element {
  const params = useParams<{ block: string; index: string }>();
  const index = createMemo(() => parseU32(params.index ?? ''));
  return (
    <BlockFrame title={(block) => text.transaction(block?.number ?? 0, index() ?? 0)}>
      {(block) => (
        <Show
          when={block().transactions[index() ?? -1]}
          fallback={<p class="notice">{text.noTransaction(visible(params.index ?? '').slice(0, 40))} <A href={`/blocks/${block().number}`}>{text.block(block().number)}</A></p>}
        >
          {(found) => <View block={block} found={found} />}
        </Show>
      )}
    </BlockFrame>
  );
}

function View(props: { block: Accessor<DecodedBlock>; found: Accessor<Found> }): JSX.Element {
  const own = createMemo(() => props.block().events?.filter(({ transaction }) => transaction === props.found().index) ?? []);
  const error = createMemo(() => outcome(props.block(), props.found().index)?.error);
  const fee = createMemo(() => {
    const paid = own().find(({ pallet, name }) => pallet === 'TransactionPayment' && name === 'TransactionFeePaid');
    return (paid?.fields as { actual_fee: bigint } | undefined)?.actual_fee;
  });
  return (
    <>
      <Show when={error()}>
        {(error) => (
          <div class="notice bad">
            <p><strong>{text.why}: {error().name}</strong></p>
            <p>{error().docs} {advice(error().name)}</p>
          </div>
        )}
      </Show>
      <Section title={`${props.found().call.pallet}.${props.found().call.name}`}>
        <p>{props.found().call.docs}</p>
        <Facts
          rows={[
            [text.txColumns.outcome, <OutcomeBadge block={props.block()} index={props.found().index} />],
            [text.columns.block, <A href={`/blocks/${props.block().number}`}>{number(props.block().number)}</A>],
            [text.time, props.block().time === undefined ? t.unknown : moment(props.block().time ?? 0)],
            [text.txColumns.signer, <Show when={props.found().signer} fallback={text.unsigned}>{(signer) => <Long text={signer()} kept={8} />}</Show>],
            [text.fee, fee() === undefined ? t.none : tftExact(fee() ?? 0n)],
            [text.txHash, <Long text={props.found().hash} />],
          ]}
        />
        <h3>{text.args}</h3>
        <pre tabindex="0">{shown(props.found().call.fields)}</pre>
      </Section>
      <Section title={text.events}><Events events={own()} /></Section>
    </>
  );
}
