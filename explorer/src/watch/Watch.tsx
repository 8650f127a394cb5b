// SPDX-License-Identifier: Apache-2.0
import { createEffect, createSignal, For, on, Show, type JSX } from 'solid-js';
import { useChain } from '../chain/connection';
import { createRead } from '../chain/read';
import { calendarFile } from '../grid/funds';
import { moment } from '../lib/format';
import { parseU32, parseU64 } from '../lib/ids';
import { t } from '../texts';
import { now } from '../ui/clock';
import { Tft } from '../ui/Money';
import { Ago, AsOf, Badge, ContractLink, download, NodeLink, Page, Section, Shown, TwinLink, type Tone } from '../ui/parts';
import { StatusBadge } from '../ui/StatusBadge';
import { Table } from '../ui/Table';
import { createWatchList, KINDS, same, type Kind, type Watched } from './list';
import { changes, gone, readStates, type ContractState, type FundState, type NodeState, type States } from './states';

const text = t.watch;
const named = ({ kind, id }: Watched): string => text.watched(text.kinds[kind], id);

export default function Watch(): JSX.Element {
  const chain = useChain();
  const [list, setList] = createWatchList(() => chain.state.chain?.genesis);
  const read = createRead(list, readStates);
  const [news, setNews] = createSignal<{ at: number; what: string }[]>([]);
  let before: { list: Watched[]; states: States } | undefined;
  createEffect(
    on(read.value, (states) => {
      const current = list();
      if (!states) return;
      // With another list there is nothing to compare with.
      if (before?.list === current) void tell(before.states, states);
      before = { list: current, states };
    }),
  );

  async function tell(old: States, states: States): Promise<void> {
    const { api } = chain;
    const closed = await Promise.all(
      gone(old, states).map(async (id) => {
        const record = await api.query.Contracts.ClosedContracts.getValue(id).catch(() => undefined);
        return text.contract(String(id), record ? `${t.contracts.states.Closed}. ${t.contracts.reasons[record.reason.type]}` : t.contracts.states.Closed);
      }),
    );
    const found = [...changes(old, states), ...closed].map((what) => ({ at: now(), what }));
    if (found.length === 0) return;
    setNews((earlier) => [...found, ...earlier]);
    if ('Notification' in window && Notification.permission === 'granted') {
      for (const { what } of found) new Notification(t.title, { body: what, tag: what });
    }
  }

  return (
    <Page title={t.pages.watch} note={<AsOf read={read} />}>
      <Section title={text.add}>
        <p>{text.about}</p>
        <AddForm onAdd={(one) => setList([...list().filter((other) => !same(one, other)), one])} />
        <ul class="chips">
          <For each={list()} fallback={<li class="muted">{text.nothing}</li>}>
            {(one) => (
              <li>
                {named(one)}{' '}
                <button type="button" class="copy" aria-label={text.remove(named(one))} onClick={() => setList(list().filter((other) => !same(one, other)))}>×</button>
              </li>
            )}
          </For>
        </ul>
      </Section>
      <Notifications />
      <Section title={text.news}>
        <div role="status">
          <ul class="events">
            <For each={news()} fallback={<li class="muted">{text.noNews}</li>}>{({ at, what }) => <li><Ago time={at} />: {what}</li>}</For>
          </ul>
        </div>
      </Section>
      <Shown read={read}>
        {(states) => (
          <>
            <For each={states().missing}>{(one) => <p class="notice warn">{text.missing(named(one).toLowerCase())}</p>}</For>
            <Section title={text.funds}><Funds funds={states().funds} /></Section>
            <Section title={text.nodes}><Nodes nodes={states().nodes} /></Section>
            <Section title={text.contracts}><Contracts contracts={states().contracts} /></Section>
          </>
        )}
      </Shown>
    </Page>
  );
}

function AddForm(props: { onAdd(one: Watched): void }): JSX.Element {
  const [kind, setKind] = createSignal<Kind>('node');
  const [id, setId] = createSignal('');
  const [isBad, setBad] = createSignal(false);
  const add = (event: SubmitEvent): void => {
    event.preventDefault();
    const parsed = (kind() === 'contract' ? parseU64 : parseU32)(id().trim());
    setBad(parsed === undefined);
    if (parsed === undefined) return;
    props.onAdd({ kind: kind(), id: String(parsed) });
    setId('');
  };
  return (
    <>
      <form class="inline" onSubmit={add}>
        <label>
          {text.kind}
          <select name="kind" onChange={(event) => setKind(event.currentTarget.value as Kind)}>
            <For each={KINDS}>{(kind) => <option value={kind}>{text.kinds[kind]}</option>}</For>
          </select>
        </label>
        <label>
          {text.id}
          <input type="text" name="id" inputmode="numeric" autocomplete="off" value={id()} aria-invalid={isBad()} onInput={(event) => setId(event.currentTarget.value)} />
        </label>
        <button type="submit" class="primary">{text.add}</button>
      </form>
      <Show when={isBad()}><p class="notice bad" role="alert">{text.badId}</p></Show>
    </>
  );
}

function Notifications(): JSX.Element {
  const [permission, setPermission] = createSignal(window.isSecureContext && 'Notification' in window ? Notification.permission : undefined);
  const ask = async (): Promise<void> => void setPermission(await Notification.requestPermission());
  return (
    <Section title={text.notify}>
      <Show when={permission()} fallback={<p>{text.unsupported}</p>}>
        <Show when={permission() === 'default'} fallback={<p>{permission() === 'granted' ? text.on : text.denied}</p>}>
          <p>{text.asking}</p>
          <p><button type="button" onClick={() => void ask()}>{text.ask}</button></p>
        </Show>
      </Show>
    </Section>
  );
}

const NODE_TONES: Record<NodeState['state'], Tone> = { online: 'good', offline: 'bad', draining: 'warn' };
const FUND_TONES: Record<FundState['state'], Tone> = { good: 'good', short: 'warn', usedUp: 'bad', free: 'plain' };
const columns = text.columns;

function Nodes(props: { nodes: NodeState[] }): JSX.Element {
  return (
    <Table
      label={text.nodes}
      rows={props.nodes}
      empty={text.noNodes}
      columns={[
        { key: 'node', title: columns.node, cell: ({ id }) => <NodeLink id={id} /> },
        { key: 'state', title: columns.state, cell: ({ state }) => <Badge tone={NODE_TONES[state]}>{text.states[state]}</Badge> },
        { key: 'heard', title: columns.heard, cell: ({ heard }) => (heard === undefined ? t.none : <Ago time={heard} />) },
      ]}
    />
  );
}

function Contracts(props: { contracts: ContractState[] }): JSX.Element {
  return (
    <Table
      label={text.contracts}
      rows={props.contracts}
      empty={text.noContracts}
      columns={[
        { key: 'contract', title: columns.contract, cell: ({ id }) => <ContractLink id={id} /> },
        { key: 'state', title: columns.state, cell: ({ state }) => <StatusBadge status={state} /> },
      ]}
    />
  );
}

function Funds(props: { funds: FundState[] }): JSX.Element {
  const remind = (id: number, at: number): void =>
    download(`twin-${id}.ics`, 'text/calendar', calendarFile({
      uid: `twin-${id}-${at}@tfgrid`,
      title: t.twins.calendarTitle(id),
      text: t.twins.calendarText(`${location.href.split('#')[0]}#/twins/${id}`),
      at,
      now: now(),
    }));
  return (
    <Table
      label={text.funds}
      rows={props.funds}
      empty={text.noFunds}
      columns={[
        { key: 'twin', title: columns.twin, cell: ({ id }) => <TwinLink id={id} /> },
        { key: 'state', title: columns.state, cell: ({ state }) => <Badge tone={FUND_TONES[state]}>{text.fundStates[state]}</Badge> },
        { key: 'until', title: columns.until, cell: ({ until }) => (until === undefined ? '–' : <><Ago time={until} /> ({moment(until)})</>) },
        { key: 'credit', title: columns.credit, numeric: true, cell: ({ credit }) => <Tft amount={credit} /> },
        {
          key: 'reminder',
          title: columns.reminder,
          cell: ({ id, until }) => <Show when={until}>{(until) => <button type="button" onClick={() => remind(id, until())}>{t.twins.calendar}</button>}</Show>,
        },
      ]}
    />
  );
}
