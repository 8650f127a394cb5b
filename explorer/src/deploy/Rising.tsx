// SPDX-License-Identifier: Apache-2.0
// A contract from the block that created it until its node says how to reach it, or why it can't.
import { A } from '@solidjs/router';
import { createMemo, Match, Show, Switch, type JSX } from 'solid-js';
import { createRead } from '../chain/read';
import { pretty } from '../grid/body';
import { reach } from '../grid/reach';
import { failureWords } from '../grid/timeline';
import { t } from '../texts';
import { AsOf, Facts, Section, Shown } from '../ui/parts';
import { StatusBadge } from '../ui/StatusBadge';

const text = t.deploy;

export function Rising(props: { contract: bigint; onAnother(): void }): JSX.Element {
  const read = createRead(() => props.contract, async ({ api, opt }, id) => {
    const [status, contract, failure, result, closed] = await Promise.all([
      api.apis.GridApi.contract_status(id, opt),
      api.query.Contracts.Contracts.getValue(id, opt),
      api.query.Contracts.Failures.getValue(id, opt),
      api.query.Contracts.Results.getValue(id, opt),
      api.query.Contracts.ClosedContracts.getValue(id, opt),
    ]);
    const kind = contract?.kind;
    return status && { status, failure, result, closed, isPending: kind?.type === 'Node' && kind.value.pending !== undefined };
  });
  return (
    <Section title={text.ready} note={<AsOf read={read} />}>
      <Shown read={read}>
        {(found) => (
          <>
            <p role="status">{t.contracts.contract(props.contract)}: <StatusBadge status={found().status.type} /></p>
            <Switch>
              <Match when={found().closed}>
                {(closed) => <p class="notice bad" role="alert">{text.closed} {t.contracts.reasons[closed().reason.type]}</p>}
              </Match>
              <Match when={found().status.type === 'Created' || found().isPending}><p>{text.waiting}</p></Match>
              <Match when={found().status.type === 'Deployed'}><p class="notice good">{text.up}</p></Match>
            </Switch>
            <Show when={found().failure}>
              {(failure) => {
                const words = createMemo(() => failureWords(failure()));
                return <p class="notice bad">{words().meaning} {words().advice} {words().path && <code>{words().path}</code>} {words().words}</p>;
              }}
            </Show>
            <Show when={found().result}>{(result) => <><h3>{text.reachable}</h3><Facts rows={reach(result())} /><pre tabindex="0">{pretty(result()).text}</pre><p class="muted">{text.forward} <code>threebot forward {props.contract.toString()} 8080:MACHINE:PORT</code></p></>}</Show>
          </>
        )}
      </Shown>
      <p class="buttons">
        <A class="button" href={`/contracts/${props.contract}`}>{text.toContract}</A>
        <button type="button" onClick={() => props.onAnother()}>{text.another}</button>
      </p>
    </Section>
  );
}
