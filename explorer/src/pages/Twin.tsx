// SPDX-License-Identifier: Apache-2.0
import { A } from '@solidjs/router';
import { createMemo, createSignal, For, Show, type JSX } from 'solid-js';
import { createRead, PAGE, pages, type At } from '../chain/read';
import { NO_LIMIT, type TwinContract } from '../chain/types';
import { calendarFile, factorRule } from '../grid/funds';
import { farmsOf, farmsOfTwin, LIST_BLOCKS } from '../grid/loading';
import { billLines, merged } from '../grid/bill';
import { capacity } from '../grid/nodes';
import { duration, moment, permille, perMonth, tft, tftPrice, usd } from '../lib/format';
import { parseU32 } from '../lib/ids';
import { useQuery } from '../lib/query';
import { utf8, visible } from '../lib/safe';
import { t } from '../texts';
import { RecordPage } from '../ui/RecordPage';
import { Charges } from '../ui/Charges';
import { UsedUp } from '../ui/Funds';
import { Rate, Tft, Usd } from '../ui/Money';
import { ContractLink, download, Facts, FarmLink, Long, NodeLink, Section, Shown } from '../ui/parts';
import { StatusBadge } from '../ui/StatusBadge';
import { Table } from '../ui/Table';
import type { Column } from '../ui/sort';

const text = t.twins;
/** Funds that end sooner are short. */
const SHORT_SECONDS = 3 * 86_400;

async function readTwin(at: At, id: number) {
  const { api, opt, time } = at;
  const { Billing, Twins, System } = api.query;
  const [twin, payer, until, grace, factor, info, policy, limits, refill, addresses] = await Promise.all([
    Twins.Twins.getValue(id, opt),
    api.apis.GridApi.payer(id, opt),
    api.apis.GridApi.funded_until(id, opt),
    api.apis.GridApi.grace(id, opt),
    api.apis.GridApi.price_factor_permille(id, opt),
    api.apis.GridApi.grid_info(opt),
    Billing.Policy.getValue(opt),
    Billing.OwnerLimits.getValue(id, opt),
    Billing.AutoRefills.getValue(id, opt),
    Twins.PeerAddresses.getValue(id, opt),
  ]);
  if (!twin) return undefined;
  const [account, contracts] = await Promise.all([
    System.Account.getValue(twin.account, opt),
    pages((after: bigint | undefined) => api.apis.GridApi.contracts_of_twin(id, after, PAGE, opt)),
  ]);
  const farms = await farmsOf(at, contracts.flatMap(({ target }) => (target.type === 'Name' ? [] : target.value.node)));
  contracts.sort((a, b) => (a.contract < b.contract ? -1 : 1));
  const calendar = (grid: bigint): number => time - Number(info.grid_now - grid) / 1000;
  return { twin, payer, until, grace, factor, info, policy, limits, refill, addresses, account, contracts, farms, calendar, time };
}

type TwinView = NonNullable<Awaited<ReturnType<typeof readTwin>>>;

export default function Twin(): JSX.Element {
  return (
    <RecordPage kind="twin" parse={parseU32} read={readTwin} title={text.twin}>
      {(twin, id) => (
        <>
          <Funds id={id()} twin={twin()} />
          <Section title={text.contracts}><Contracts contracts={twin().contracts} farms={twin().farms} /></Section>
          <Section title={t.contracts.bill} note={<span class="muted">{text.billsNote}</span>}><Bills id={id()} /></Section>
          <Section title={text.account}>
            <Facts
              rows={[
                [text.account, <Long text={twin().twin.account} kept={8} />],
                [text.balance, <><Tft amount={twin().account.data.free} />, <Tft amount={twin().account.data.reserved} /> {text.deposits}</>],
                [text.limits, text.limit(twin().limits.max_usd_rate === NO_LIMIT ? text.noLimit : text.limitRate(usd(twin().limits.max_usd_rate)), usd(twin().limits.max_extra_fee), tft(twin().limits.refill_per_30_days))],
                [text.refill, twin().refill === undefined ? t.none : text.refillHours(twin().refill ?? 0)],
                [text.keys, <For each={twin().twin.peer_keys} fallback={t.none}>{(key) => <><Long text={key} /> </>}</For>],
                [text.addresses, <Show when={twin().addresses} fallback={t.none}>{(bytes) => visible(utf8(bytes()))}</Show>],
                [text.sealKey, <Show when={twin().twin.encryption_key} fallback={t.none}>{(key) => <Long text={key()} />}</Show>],
              ]}
            />
            <Facts rows={[[text.farms, <Farms id={id()} />]]} />
          </Section>
        </>
      )}
    </RecordPage>
  );
}

function Farms(props: { id: number }): JSX.Element {
  const read = createRead(() => props.id, farmsOfTwin, LIST_BLOCKS);
  return <Shown read={read}>{(farms) => <For each={farms()} fallback={t.none}>{(farm) => <><FarmLink {...farm} /> </>}</For>}</Shown>;
}

function Funds(props: { id: number; twin: TwinView }): JSX.Element {
  const twin = (): TwinView => props.twin;
  /** When the credit is used up, no end is ahead. */
  const until = (): number | undefined => (twin().until === undefined || twin().payer.exhausted ? undefined : Number(twin().until));
  const remind = (at: number): void =>
    download(`twin-${props.id}.ics`, 'text/calendar', calendarFile({
      uid: `twin-${props.id}-${at}@tfgrid`,
      title: text.calendarTitle(props.id),
      text: text.calendarText(location.href),
      at,
      now: twin().time,
    }));
  return (
    <>
      <UsedUp payer={twin().payer} grace={twin().grace} calendar={twin().calendar} />
      <dl class="figures">
        <div>
          <dt>{text.good}</dt>
          <dd>
            <Show when={until()} fallback={<>–<small>{twin().payer.exhausted ? text.usedUp : text.nothing}</small></>}>
              {(end) => (
                <>
                  {moment(end())}
                  <small>{text.goodFor(duration(end() - twin().time))}</small>
                  <Show when={end() - twin().time < SHORT_SECONDS}><small class="warn-text">{text.short}</small></Show>
                </>
              )}
            </Show>
          </dd>
        </div>
        <div>
          <dt>{text.credit}</dt>
          <dd><Tft amount={twin().payer.credit} /><small>{text.mustKeep}: <Tft amount={twin().payer.must_keep} /></small></dd>
        </div>
        <div>
          <dt>{text.burn}</dt>
          <dd>{usd(perMonth(twin().payer.rate))}<small>{t.nodes.perMonth} · {usd(twin().payer.rate)} {t.nodes.perHour}</small></dd>
        </div>
        <div>
          <dt>{text.factor}</dt>
          <dd>{permille(twin().factor)}<small>{factorRule(twin().policy?.levels ?? [])}</small></dd>
        </div>
      </dl>
      <Show when={twin().payer.committed > 0n}>
        <p class="muted">{text.committed}: <Rate rate={twin().payer.committed} price={twin().info.tft_price} /> – {text.committedNote}.</p>
      </Show>
      <p>
        <A class="button" href={`/deploy?deposit=${props.id}`}>{text.depositLink}</A>{' '}
        <A class="button" href="/deploy?task=limits">{t.deploy.tasks.limits}</A>{' '}
        <Show when={until()}>{(end) => <button type="button" onClick={() => remind(end())}>{text.calendar}</button>}</Show>{' '}
        <span class="muted">{t.nodes.atPrice(tftPrice(twin().info.tft_price))}</span>
      </p>
    </>
  );
}

function Contracts(props: Pick<TwinView, 'contracts' | 'farms'>): JSX.Element {
  const query = useQuery();
  const rows = (): Row[] => props.contracts.map((row) => ({ ...row, farm: row.target.type === 'Name' ? undefined : props.farms.get(row.target.value.node) }));
  const total = createMemo(() => props.contracts.reduce((sum, { rate, extra }) => sum + rate + extra, 0n));
  return (
    <>
      <Table label={text.contracts} rows={rows()} columns={COLUMNS} empty={text.noContracts} sort={query.sort()} onSort={query.setSort} />
      <Show when={props.contracts.length > 1}><p class="muted">{text.sum}: <Rate rate={total()} /></p></Show>
    </>
  );
}

/** What its contracts were charged by month: many records, so only when asked for. No index has the closed ones. */
function Bills(props: { id: number }): JSX.Element {
  const [asked, setAsked] = createSignal(false);
  const read = createRead(() => (asked() ? props.id : undefined), async ({ api, opt, time }, id) => {
    if (id === undefined) return [];
    const [open, closed] = await Promise.all([
      pages((after: bigint | undefined) => api.apis.GridApi.contracts_of_twin(id, after, PAGE, opt)),
      api.query.Contracts.ClosedContracts.getEntries(opt),
    ]);
    const own = closed.filter(({ value }) => value.twin === id);
    return merged(await Promise.all([
      ...open.map(async (row) => {
        const [months, account] = await Promise.all([api.apis.GridApi.bill(row.contract, opt), api.query.Billing.LedgerAccounts.getValue(row.contract, opt)]);
        return billLines({ months, settled: account?.accrual.charged ?? { usd: 0n, tft: 0n }, total: charged(row), now: time });
      }),
      ...own.map(async ({ keyArgs: [contract], value: total }) => billLines({ months: await api.apis.GridApi.bill(contract, opt), settled: undefined, total, now: time })),
    ]));
  }, LIST_BLOCKS);
  return (
    <Show when={asked()} fallback={<button type="button" onClick={() => setAsked(true)}>{t.grid.chargedLoad}</button>}>
      <Shown read={read}>{(lines) => <Charges lines={lines()} file={`twin-${props.id}`} />}</Shown>
    </Show>
  );
}

const charged = ({ status }: TwinContract): { usd: bigint; tft: bigint } => (status.type === 'Created' ? { usd: 0n, tft: 0n } : status.value);

const columns = t.contracts.columns;
type Row = TwinContract & { farm: { id: number; name: string } | undefined };

const COLUMNS: Column<Row>[] = [
  { key: 'contract', title: columns.contract, cell: ({ contract }) => <ContractLink id={contract} />, sort: ({ contract }) => contract },
  {
    key: 'kind',
    title: columns.what,
    cell: ({ target }) =>
      target.type === 'Node' ? capacity(target.value.resources)
      : target.type === 'Rent' ? t.contracts.kinds.Rent
      : visible(utf8(target.value.name)),
    sort: ({ target }) => target.type,
  },
  {
    key: 'node',
    title: columns.node,
    cell: ({ target }) => (target.type === 'Name' ? '' : <NodeLink id={target.value.node} />),
    sort: ({ target }) => (target.type === 'Name' ? undefined : target.value.node),
  },
  { key: 'farm', title: columns.farm, cell: ({ farm }) => farm && <FarmLink {...farm} />, sort: ({ farm }) => farm?.name },
  { key: 'state', title: columns.state, cell: ({ status }) => <StatusBadge status={status.type} />, sort: ({ status }) => status.type },
  { key: 'rate', title: columns.rate, numeric: true, cell: ({ rate, extra }) => usd(perMonth(rate + extra)), sort: ({ rate, extra }) => rate + extra },
  { key: 'charged', title: columns.charged, numeric: true, cell: (row) => <Usd amount={charged(row).usd} />, sort: (row) => charged(row).usd },
];
