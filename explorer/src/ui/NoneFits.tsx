// SPDX-License-Identifier: Apache-2.0
// Why no node fits: how many each point rules out, and what the nearest one lacks.
import { A } from '@solidjs/router';
import { createMemo, For, Show, type JSX } from 'solid-js';
import { misses, ruledOut, type NodeFilter, type NodeRow } from '../grid/nodes';
import { country } from '../lib/format';
import { visible } from '../lib/safe';
import { t } from '../texts';
import { count } from '../texts/common';

const text = t.nodes;

export function NoneFits(props: { rows: NodeRow[]; filter: NodeFilter }): JSX.Element {
  const out = createMemo(() => ruledOut(props.rows, props.filter));
  return (
    <Show when={out().nearest}>
      {(nearest) => (
        <div class="notice warn">
          <p>{text.noneFits(out().nodes)}</p>
          <ul>
            <For each={out().points}>{({ rule, nodes }) => <li>{count(nodes, t.kinds.node)}: {rule}</li>}</For>
          </ul>
          <p>{text.nearest} <NodeIn row={nearest()} />: {misses(nearest(), props.filter).join('; ')}</p>
        </div>
      )}
    </Show>
  );
}

/** A node with its farm and country. */
export function NodeIn(props: { row: NodeRow }): JSX.Element {
  const place = (): string => [visible(props.row.farm?.name ?? ''), props.row.country && country(props.row.country)].filter(Boolean).join(', ');
  return <><A href={`/nodes/${props.row.offer.node}`}>{text.node(props.row.offer.node)}</A> ({place()})</>;
}
