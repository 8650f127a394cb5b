// SPDX-License-Identifier: Apache-2.0
// A block of the URL, by number or hash, read once: finalized blocks don't change.
import { useParams } from '@solidjs/router';
import { createMemo, Show, type Accessor, type JSX } from 'solid-js';
import { useChain } from '../chain/connection';
import { readBlock, type DecodedBlock } from '../chain/decode';
import { createRead } from '../chain/read';
import { isHash, parseU32 } from '../lib/ids';
import { visible } from '../lib/safe';
import { t } from '../texts';
import { Page, Shown } from './parts';

interface Props {
  title(block: DecodedBlock | undefined): string;
  children(block: Accessor<DecodedBlock>): JSX.Element;
}

export function BlockFrame(props: Props): JSX.Element {
  const params = useParams<{ block: string }>();
  const chain = useChain();
  const ref = createMemo(() => parseU32(params.block ?? '') ?? (isHash(params.block ?? '') ? (params.block ?? '').toLowerCase() : undefined));
  const read = createRead(ref, async (_, ref) => (ref === undefined ? undefined : readBlock(chain, ref)), Infinity);
  const shown = (): string => visible(params.block ?? '').slice(0, 80);
  return (
    <Show
      when={ref() !== undefined}
      fallback={<Page title={t.noPage}><p class="notice bad">{t.blocks.badRef(shown())}</p></Page>}
    >
      <Page title={props.title(read.value())}>
        <Shown read={read} absent={<p class="notice">{t.blocks.noBlock(shown())}</p>}>{props.children}</Shown>
      </Page>
    </Show>
  );
}
