// SPDX-License-Identifier: Apache-2.0
import { A } from '@solidjs/router';
import { createMemo, Show, type JSX } from 'solid-js';
import { createRead, PAGE, pages, type At } from '../chain/read';
import { countryCode, NOTHING, whole, type Enrolment, type IpInfo, type Offer, type Reward } from '../chain/types';
import { farmersPart } from '../grid/earnings';
import { capacityMusd, lesser, rewardTft, units } from '../grid/farming';
import { periodOf, PERIOD_SECONDS, uptimePermille } from '../grid/nodes';
import { bytes, country, day, decimal, number, permille, tftPrice } from '../lib/format';
import { csv } from '../lib/csv';
import { parseU32 } from '../lib/ids';
import { same } from '../lib/same';
import { useQuery } from '../lib/query';
import { utf8, visible } from '../lib/safe';
import { t } from '../texts';
import { RecordPage } from '../ui/RecordPage';
import { Tft } from '../ui/Money';
import { Ago, Badge, ContractLink, download, Facts, NodeLink, Section, Shown, TwinLink } from '../ui/parts';
import { Table } from '../ui/Table';
import type { Column } from '../ui/sort';

const text = t.farms;

interface FarmNode {
  offer: Offer;
  rewards: Reward[];
  enrolment: Enrolment | undefined;
  /** For how many milliseconds it was heard, by period. */
  heardIn: ReadonlyMap<number, bigint>;
  /** Time of its last heartbeat. */
  heard: number | undefined;
}

async function readFarm({ api, opt, time }: At, id: number) {
  const farm = await api.query.Farms.Farms.getValue(id, opt);
  if (!farm) return undefined;
  const filter = { free: NOTHING, farm: id, country: undefined, certified: false, rentable: false, unavailable: true };
  const [offers, ips, payable, policy, billing, info] = await Promise.all([
    pages((after: number | undefined) => api.apis.GridApi.find_nodes(filter, after, PAGE, opt)),
    pages((after: number | undefined) => api.apis.GridApi.ips_of_farm(id, after, PAGE, opt)),
    api.query.Billing.Payable.getValue({ type: 'Farm', value: id }, opt),
    api.query.Farming.Policy.getValue(opt),
    api.query.Billing.Policy.getValue(opt),
    api.apis.GridApi.grid_info(opt),
  ]);
  const nodes = await Promise.all(
    offers.map(async (offer): Promise<FarmNode> => {
      const [rewards, enrolment, uptimes, beat] = await Promise.all([
        api.apis.GridApi.node_rewards(offer.node, opt),
        api.apis.GridApi.node_enrolment(offer.node, opt),
        api.query.Nodes.Uptime.getValue(offer.node, opt),
        api.query.Nodes.Heartbeats.getValue(offer.node, opt),
      ]);
      const heardIn = new Map(uptimes.map(({ period, ms }) => [period, ms]));
      return { offer, rewards, enrolment, heardIn, heard: beat && time - Number(info.grid_now - beat.at) / 1000 };
    }),
  );
  ips.sort((a, b) => a.ip - b.ip);
  return { farm, nodes, ips, payable: whole(payable), policy, shares: billing?.shares, time };
}

type FarmView = NonNullable<Awaited<ReturnType<typeof readFarm>>>;

/** Each node of a farm takes four calls: less often than each block. */
const FARM_BLOCKS = 5;

export default function Farm(): JSX.Element {
  return (
    <RecordPage
      kind="farm"
      parse={parseU32}
      read={readFarm}
      every={FARM_BLOCKS}
      title={(id, farm) => text.farm(visible(utf8(farm?.farm.name ?? new Uint8Array())) || String(id))}
    >
      {(farm, id) => (
        <>
          <div class="grid">
            <Section title={text.about}>
              <Facts
                rows={[
                  [text.farmer, <TwinLink id={farm().farm.twin} />],
                  [text.certification, text.certifications[farm().farm.certification.type]],
                  [text.deposit, <Tft amount={farm().farm.deposit} />],
                  ...(farm().farm.dedicated ? [[text.nodes, text.dedicated] as [string, JSX.Element]] : []),
                ]}
              />
            </Section>
            <Section title={text.earnings}>
              <Facts rows={[[text.collected, <Tft amount={farm().payable} />], [text.collectable, <Collectable id={id()} farm={farm()} />]]} />
              <p class="muted">{text.share(permille(farm().shares?.farm ?? 0))} {text.collect} <code>threebot collect --farm {id()}</code></p>
            </Section>
          </div>
          <Section title={text.nodes}><Nodes nodes={farm().nodes} /></Section>
          <Section title={text.ips} note={<span class="muted">{text.ipsFree(farm().ips.filter(({ state }) => state.type === 'Free').length, farm().ips.length)}</span>}><Ips ips={farm().ips} /></Section>
          <Section title={text.rewards}><Rewards id={id()} farm={farm()} /></Section>
          <Section title={text.open}><Running farm={farm()} /></Section>
        </>
      )}
    </RecordPage>
  );
}

/** What the farm would get of what its contracts have earned and nobody has collected. */
async function readCollectable({ api, opt }: At, farm: number, nodes: number[], shares: NonNullable<FarmView['shares']>) {
  const [lists, rents] = await Promise.all([
    Promise.all(nodes.map((node) => pages((after: bigint | undefined) => api.apis.GridApi.contracts_of_node(node, after, PAGE, opt)))),
    api.query.Contracts.Rents.getValues(nodes.map((node): [number] => [node]), opt),
  ]);
  const contracts = [...lists.flat().map(({ contract }) => contract), ...rents.flatMap((rent) => rent ?? [])];
  const accounts = await api.query.Billing.LedgerAccounts.getValues(contracts.map((contract): [bigint] => [contract]), opt);
  const parts = await Promise.all(contracts.map(async (contract, i) => {
    const account = accounts[i];
    if (account?.farm !== farm) return 0n;
    const { payer, accrual, price: { rates }, is_charged, uncollected } = account;
    const [status, factor] = await Promise.all([
      is_charged ? api.apis.GridApi.contract_status(contract, opt) : undefined,
      rates.extra > 0n ? api.apis.GridApi.price_factor_permille(payer, opt) : 1_000,
    ]);
    const settled = accrual.charged.tft;
    const charged = status && status.type !== 'Created' ? status.value.tft : whole(settled);
    return farmersPart({ uncollected, settled, charged, rates, factor }, shares);
  }));
  return { amount: whole(parts.reduce((sum, part) => sum + part, 0n)), contracts: parts.filter((part) => part > 0n).length };
}

function Collectable(props: { id: number; farm: FarmView }): JSX.Element {
  const asked = createMemo(() => ({ id: props.id, nodes: props.farm.nodes.map(({ offer }) => offer.node), shares: props.farm.shares }), undefined, { equals: same });
  const read = createRead(asked, async (at, { id, nodes, shares }) => shares && readCollectable(at, id, nodes, shares), 20);
  return <Shown read={read} absent={t.unknown}>{(found) => <><Tft amount={found().amount} /> {text.fromContracts(found().contracts)}</>}</Shown>;
}

function Nodes(props: { nodes: FarmNode[] }): JSX.Element {
  const query = useQuery();
  return <Table label={text.nodes} rows={props.nodes} columns={NODE_COLUMNS} sort={query.sort()} onSort={query.setSort} empty={text.noNodes} />;
}

const NODE_COLUMNS: Column<FarmNode>[] = [
  { key: 'node', title: t.nodes.columns.node, cell: ({ offer }) => <NodeLink id={offer.node} />, sort: ({ offer }) => offer.node },
  {
    key: 'state',
    title: t.nodes.columns.state,
    cell: ({ offer }) => (
      <>
        <Badge tone={offer.online ? 'good' : 'bad'} title={t.nodes.onlineMeans}>{offer.online ? t.nodes.online : t.nodes.offline}</Badge>
        {offer.draining && <> <Badge tone="warn">{t.nodes.draining}</Badge></>}
      </>
    ),
    sort: ({ offer }) => Number(offer.online),
  },
  { key: 'heard', title: t.nodes.columns.heard, cell: ({ heard }) => (heard === undefined ? t.none : <Ago time={heard} />), sort: ({ heard }) => heard },
  { key: 'country', title: t.nodes.columns.country, cell: ({ offer }) => country(countryCode(offer.country) ?? '') || t.unknown, sort: ({ offer }) => countryCode(offer.country) },
  { key: 'cru', title: t.nodes.columns.cru, numeric: true, cell: ({ offer }) => number(offer.free.cru), sort: ({ offer }) => offer.free.cru },
  { key: 'mru', title: t.nodes.columns.mru, numeric: true, cell: ({ offer }) => bytes(offer.free.mru), sort: ({ offer }) => offer.free.mru },
  { key: 'sru', title: t.nodes.columns.sru, numeric: true, cell: ({ offer }) => bytes(offer.free.sru), sort: ({ offer }) => offer.free.sru },
  { key: 'contracts', title: t.nodes.columns.contracts, numeric: true, cell: ({ offer }) => number(offer.contracts), sort: ({ offer }) => offer.contracts },
];

const octets = (hex: string): string => (hex.slice(2).match(/../g) ?? []).map((byte) => parseInt(byte, 16)).join('.');

function Ips(props: { ips: IpInfo[] }): JSX.Element {
  return (
    <Table
      label={text.ips}
      rows={props.ips}
      empty={text.noIps}
      columns={[
        { key: 'address', title: text.ipColumns.address, cell: ({ address: { v4 } }) => <code>{octets(v4.address)}/{v4.prefix}</code> },
        { key: 'gateway', title: text.ipColumns.gateway, cell: ({ address: { v4 } }) => <code>{octets(v4.gateway)}</code> },
        { key: 'state', title: text.ipColumns.state, cell: ({ state }) => <Badge tone={state.type === 'Free' ? 'good' : 'plain'}>{text.ipStates[state.type]}</Badge> },
        { key: 'contract', title: text.ipColumns.contract, cell: ({ state }) => (state.type === 'Free' ? '' : <ContractLink id={state.value} />) },
      ]}
    />
  );
}

/** Thousandths of a closed period in which a node was heard; none where the chain has forgotten. */
function uptimeIn(period: number, heardIn: FarmNode['heardIn']): number | undefined {
  const ms = heardIn.get(period);
  return ms === undefined ? undefined : uptimePermille(ms, period * PERIOD_SECONDS, (period + 1) * PERIOD_SECONDS);
}

const state = (reward: Reward, now: number): string =>
  reward.claimed ? text.claimed : Number(reward.claimable_from) <= now ? text.claimable : text.maturing;

function Rewards(props: { id: number; farm: FarmView }): JSX.Element {
  const rows = createMemo(() => props.farm.nodes.flatMap(({ offer, rewards, heardIn }) => rewards.map((reward) => ({ node: offer.node, reward, uptime: uptimeIn(reward.period, heardIn) }))));
  const save = (): void =>
    download(`farm-${props.id}-rewards.csv`, 'text/csv', csv([
      Object.values(text.rewardColumns),
      ...rows().map(({ node, reward, uptime }) => [
        node, reward.period, day(reward.period * PERIOD_SECONDS), uptime === undefined ? '' : permille(uptime), decimal(reward.tft, 7), decimal(reward.payout, 7), day(Number(reward.claimable_from)), state(reward, props.farm.time),
      ]),
    ]));
  return (
    <>
      <Table
        label={text.rewards}
        rows={rows()}
        empty={text.noRewards}
        columns={[
          { key: 'node', title: text.rewardColumns.node, cell: ({ node }) => <NodeLink id={node} /> },
          { key: 'period', title: text.rewardColumns.period, cell: ({ reward }) => reward.period },
          { key: 'from', title: text.rewardColumns.from, cell: ({ reward }) => day(reward.period * PERIOD_SECONDS) },
          { key: 'uptime', title: text.rewardColumns.uptime, hint: text.uptimeHint, numeric: true, cell: ({ uptime }) => (uptime === undefined ? t.unknown : permille(uptime)) },
          { key: 'reward', title: text.rewardColumns.reward, numeric: true, cell: ({ reward }) => <Tft amount={reward.tft} /> },
          { key: 'payout', title: text.rewardColumns.payout, numeric: true, cell: ({ reward }) => <Tft amount={reward.payout} /> },
          { key: 'claimable', title: text.rewardColumns.claimable, cell: ({ reward }) => day(Number(reward.claimable_from)) },
          { key: 'state', title: text.rewardColumns.state, cell: ({ reward }) => state(reward, props.farm.time) },
        ]}
      />
      <Show when={rows().length > 0}><button type="button" onClick={save}>{t.csv}</button></Show>
      <h3>{text.formula}</h3>
      <p>{text.formulaText}</p>
      <Show when={props.farm.policy}>
        {(policy) => (
          <p>
            {text.rates(number(policy().rates.cu), number(policy().rates.su), number(policy().rates.nu), number(policy().rates.ipv4))}{' '}
            {text.minimum(permille(policy().min_uptime_permille))}
          </p>
        )}
      </Show>
    </>
  );
}

interface Run {
  node: number;
  cu: bigint;
  su: bigint;
  uptime: number | undefined;
  price: bigint;
  certified: boolean;
  tft: bigint | undefined;
}

/** What the open period has come to, with the numbers of the formula. */
function Running(props: { farm: FarmView }): JSX.Element {
  const rows = createMemo(() =>
    props.farm.nodes.flatMap(({ offer, enrolment, heardIn }): Run[] => {
      const { policy, time } = props.farm;
      if (!policy || enrolment?.phase.type !== 'Farming') return [];
      const open = enrolment.phase.value;
      const counted = lesser(open.least_resources, policy.maxima);
      const up = heardIn.get(periodOf(time)) ?? 0n;
      const uptime = uptimePermille(up - open.uptime_before_ms, Number(open.from), time);
      const musd = capacityMusd(policy.rates, counted);
      const earns = open.virtualized === false && !open.void;
      const tft = earns && uptime !== undefined ? rewardTft(musd, uptime, open.certified, enrolment.price) : undefined;
      return [{ node: offer.node, ...units(counted), uptime, price: enrolment.price, certified: open.certified, tft }];
    }),
  );
  return (
    <>
      <Table
        label={text.open}
        rows={rows()}
        empty={text.notEnrolled}
        columns={[
          { key: 'node', title: text.openColumns.node, cell: ({ node }) => <NodeLink id={node} /> },
          { key: 'cu', title: text.openColumns.cu, numeric: true, cell: ({ cu }) => decimal(cu, 6) },
          { key: 'su', title: text.openColumns.su, numeric: true, cell: ({ su }) => decimal(su, 6) },
          { key: 'uptime', title: text.openColumns.uptime, numeric: true, cell: ({ uptime }) => (uptime === undefined ? t.nodes.tooNew : permille(uptime)) },
          { key: 'price', title: text.openColumns.price, numeric: true, cell: ({ price }) => tftPrice(price) },
          { key: 'certified', title: text.openColumns.certified, cell: ({ certified }) => (certified ? t.yes : t.no) },
          { key: 'estimate', title: text.openColumns.estimate, numeric: true, cell: ({ tft }) => (tft === undefined ? t.unknown : <Tft amount={tft} />) },
        ]}
      />
      <p class="muted">{text.estimateNote} <A href="/calculator">{t.pages.calculator}</A></p>
    </>
  );
}
