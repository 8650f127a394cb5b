// SPDX-License-Identifier: Apache-2.0
import { A } from '@solidjs/router';
import { createMemo, For, Show, type Accessor, type JSX } from 'solid-js';
import { createRead, PAGE, pages, type At } from '../chain/read';
import { countryCode, type LiveState } from '../chain/types';
import { capacity, capacityQuery, parseFilter, PARTS, periodOf, PERIOD_SECONDS } from '../grid/nodes';
import { periods } from '../grid/uptime';
import { bytes, country, day, duration, GIB, moment, permille, tftPrice } from '../lib/format';
import { parseU32 } from '../lib/ids';
import { useQuery } from '../lib/query';
import { utf8, visible } from '../lib/safe';
import { t } from '../texts';
import { Bar } from '../ui/Bar';
import { CapacityFields, TextField } from '../ui/fields';
import { RecordPage } from '../ui/RecordPage';
import { Rate, Tft } from '../ui/Money';
import { Ago, Badge, ContractLink, Facts, FarmLink, Long, Section, Shown, TwinLink } from '../ui/parts';
import { StatusBadge } from '../ui/StatusBadge';
import { Table } from '../ui/Table';
import { wanted } from './Nodes';

const text = t.nodes;

async function readNode({ api, opt, time }: At, id: number) {
  const { Nodes, Contracts, Farms } = api.query;
  const [offer, record, info, liveness, heartbeat, details, location, config, rent, enrolment, uptimes, rewards, quoteRent] =
    await Promise.all([
      api.apis.GridApi.node_offer(id, opt),
      Nodes.Nodes.getValue(id, opt),
      api.apis.GridApi.grid_info(opt),
      Nodes.LivenessOf.getValue(id, opt),
      Nodes.Heartbeats.getValue(id, opt),
      Nodes.Details.getValue(id, opt),
      Nodes.Locations.getValue(id, opt),
      Nodes.PublicConfigs.getValue(id, opt),
      Contracts.Rents.getValue(id, opt),
      api.apis.GridApi.node_enrolment(id, opt),
      Nodes.Uptime.getValue(id, opt),
      api.apis.GridApi.node_rewards(id, opt),
      api.apis.GridApi.quote_rent(id, opt),
    ]);
  if (!offer || !record) return undefined;
  const [farm, tenant] = await Promise.all([
    Farms.Farms.getValue(offer.farm, opt),
    rent === undefined ? undefined : Contracts.Contracts.getValue(rent, opt),
  ]);
  return {
    offer, record, info, liveness, heartbeat, details, location, config, rent, enrolment, uptimes, rewards, quoteRent, farm,
    tenant: tenant?.twin, time,
    /** Calendar time of a grid time, as far as the chain hasn't stood still since. */
    calendar: (grid: bigint): number => time - Number(info.grid_now - grid) / 1000,
  };
}

type NodeView = NonNullable<Awaited<ReturnType<typeof readNode>>>;

export default function Node(): JSX.Element {
  return (
    <RecordPage kind="node" parse={parseU32} read={readNode} title={text.node}>
      {(node, id) => (
        <>
          <Warnings node={node()} />
          <div class="grid">
            <Section title={text.capacity}><Capacity node={node()} /></Section>
            <Section title={text.state}><State node={node()} /></Section>
          </div>
          <Price id={id()} node={node()} />
          <Section title={text.uptime}>
            <p class="muted">{text.uptimeMeans}</p>
            <Uptime node={node()} />
          </Section>
          <Section title={text.contracts}><Contracts id={id} /></Section>
          <Section title={text.hardware}><Hardware node={node()} /></Section>
        </>
      )}
    </RecordPage>
  );
}

function Warnings(props: { node: NodeView }): JSX.Element {
  const drain = (): NodeView['record']['settings']['drain'] => props.node.record.settings.drain;
  const live = (): LiveState | undefined => props.node.liveness?.state;
  return (
    <>
      <Show when={drain()}>
        {(drain) => (
          <p class="notice warn">
            {text.drainBy(visible(utf8(drain().reason)))} <Ago time={props.node.calendar(drain().deadline)} />.
          </p>
        )}
      </Show>
      <Show when={live()?.type === 'Offline' && (live() as { value: { cloned: boolean } }).value.cloned}>
        <p class="notice bad">{text.cloned}</p>
      </Show>
    </>
  );
}

function Capacity(props: { node: NodeView }): JSX.Element {
  return (
    <For each={PARTS.filter(([part]) => props.node.offer.total[part] > 0n)}>
      {([part, name, show]) => {
        const total = (): bigint => props.node.offer.total[part];
        const free = (): bigint => props.node.offer.free[part];
        return (
          <Bar
            label={name}
            part={total() - free()}
            whole={total()}
            text={text.capacityRow(show(total() - free()), show(total()), show(free()))}
          />
        );
      }}
    </For>
  );
}

function State(props: { node: NodeView }): JSX.Element {
  const node = (): NodeView => props.node;
  const since = (): number | undefined => {
    const state = node().liveness?.state;
    return state && node().calendar(state.value.since);
  };
  const streak = (): { beats: number } | undefined => {
    const state = node().liveness?.state;
    return state?.type === 'Offline' ? state.value.streak : undefined;
  };
  const place = (): string | undefined => {
    const { location } = node();
    const code = countryCode(location?.country);
    return location && [visible(utf8(location.city)), code && country(code)].filter(Boolean).join(', ');
  };
  return (
    <Facts
      rows={[
        [
          text.state,
          <>
            <Badge tone={node().offer.online ? 'good' : 'bad'} title={text.onlineMeans}>{node().offer.online ? text.online : text.offline}</Badge>
            <Show when={node().liveness?.state.type === 'Standby'}> {text.standby}</Show>
            <Show when={since()}>{(since) => <> {text.since(moment(since()))}</>}</Show>
          </>,
        ],
        [
          text.lastHeard,
          <>
            <Show when={node().heartbeat} fallback={t.none}>{(beat) => <Ago time={node().calendar(beat().at)} />}</Show>
            <Show when={streak()}>{(streak) => <>; {text.returning(streak().beats)}</>}</Show>
          </>,
        ],
        [text.farm, <><FarmLink id={node().offer.farm} name={utf8(node().farm?.name ?? new Uint8Array())} />{node().farm && <> (<TwinLink id={node().farm?.twin ?? 0} />)</>}</>],
        [text.location, place() ?? text.noLocation],
        [text.isolation, text.isolations[node().record.isolation.type]],
        [text.version, <span title={text.versionHint}>{visible(utf8(node().details?.version ?? new Uint8Array())) || t.unknown}</span>],
        [text.certification, node().offer.certified ? t.yes : t.no],
        [
          text.rent,
          <Show when={node().rent} fallback={t.no}>
            {(rent) => <><ContractLink id={rent()} /><Show when={node().tenant}>{(twin) => <>, {text.rentedBy} <TwinLink id={twin()} /></>}</Show></>}
          </Show>,
        ],
        [text.features, text.featureNames.filter((_, bit) => node().offer.features & (1 << bit)).join(', ') || t.unknown],
        [text.gateways, node().config?.domain ? visible(utf8(node().config?.domain ?? new Uint8Array())) : t.none],
        [text.undelivered, <span title={text.undeliveredNote('')}><Tft amount={node().offer.not_delivered} /></span>],
      ]}
    />
  );
}

function Price(props: { id: number; node: NodeView }): JSX.Element {
  const query = useQuery();
  const want = createMemo(() => wanted(parseFilter(query.get)));
  const quote = createRead(
    () => ({ id: props.id, ...want() }),
    ({ api, opt }, { id, resources, ips }) => api.apis.GridApi.quote(id, resources, ips, opt),
    20,
  );
  const price = (): bigint => props.node.info.tft_price;
  const link = (): string => {
    const { resources, ips } = want();
    return `node=${props.id}&${capacityQuery(resources, ips)}`;
  };
  return (
    <Section title={text.price} note={<span class="muted">{text.atPrice(tftPrice(price()))}</span>}>
      <form class="filters" onSubmit={(event) => event.preventDefault()} aria-label={text.price}>
        <CapacityFields query={query} parts={['cru', 'mru', 'sru', 'hru']} />
        <TextField query={query} name="ips" label={text.ipv4} numeric />
      </form>
      <Facts
        rows={[
          [
            capacity(want().resources),
            <Shown read={quote} absent={t.unknown}>{(rate) => <Rate rate={rate()} price={price()} />}</Shown>,
          ],
          [text.whole, <Show when={props.node.quoteRent !== undefined} fallback={t.unknown}><Rate rate={props.node.quoteRent ?? 0n} price={price()} /></Show>],
          [text.extraFee, props.node.offer.extra_fee > 0n ? <Rate rate={props.node.offer.extra_fee} price={price()} /> : t.none],
        ]}
      />
      <p>
        <A href={`/deploy?${link()}`}>{text.deployHere}</A> · <A href={`/calculator?${link()}`}>{t.pages.calculator}</A> ·{' '}
        <A href={`/deploy?task=rent&rent=${props.id}`}>{text.rentIt}</A> ·{' '}
        <A href={`/nodes?country=${countryCode(props.node.offer.country) ?? ''}&cru=${props.node.offer.free.cru}&mru=${props.node.offer.free.mru / GIB}`}>{text.similar}</A>
      </p>
    </Section>
  );
}

function Uptime(props: { node: NodeView }): JSX.Element {
  const now = (): number => periodOf(props.node.time);
  return (
    <Table
      label={text.uptime}
      rows={periods(props.node).toReversed()}
      empty={text.noUptime}
      columns={[
        { key: 'period', title: text.periods.period, cell: ({ first, last }) => <>{first === last ? text.period(first) : text.periodsTo(first, last)}{last === now() && <> <Badge tone="plain">{text.open}</Badge></>}</> },
        { key: 'from', title: text.periods.from, cell: ({ first }) => day(first * PERIOD_SECONDS) },
        { key: 'uptime', title: text.periods.uptime, numeric: true, cell: ({ ms }) => (ms > 0n ? duration(Number(ms) / 1000) : t.none) },
        { key: 'part', title: text.periods.part, numeric: true, cell: ({ part }) => (part === undefined ? text.tooNew : permille(part)) },
        { key: 'reward', title: text.periods.reward, numeric: true, cell: ({ reward }) => reward && <Tft amount={reward.tft} /> },
        { key: 'payout', title: text.periods.payout, numeric: true, cell: ({ reward }) => reward && <Tft amount={reward.payout} /> },
      ]}
    />
  );
}

function Contracts(props: { id: Accessor<number> }): JSX.Element {
  const read = createRead(props.id, async ({ api, opt }, id) => {
    const items = await pages((after: bigint | undefined) => api.apis.GridApi.contracts_of_node(id, after, PAGE, opt));
    return items.sort((a, b) => (a.contract < b.contract ? -1 : 1));
  });
  return (
    <Shown read={read}>
      {(contracts) => (
        <Table
          label={text.contracts}
          rows={contracts()}
          empty={text.noContracts}
          columns={[
            { key: 'contract', title: t.contracts.columns.contract, cell: ({ contract }) => <ContractLink id={contract} /> },
            { key: 'twin', title: t.contracts.columns.twin, cell: ({ twin }) => <TwinLink id={twin} /> },
            {
              key: 'state',
              title: t.contracts.columns.state,
              cell: ({ deployed, paused }) => <StatusBadge status={paused ? 'Paused' : deployed ? 'Deployed' : 'Created'} />,
            },
            { key: 'what', title: t.contracts.columns.what, cell: ({ resources }) => capacity(resources) },
          ]}
        />
      )}
    </Shown>
  );
}

function Hardware(props: { node: NodeView }): JSX.Element {
  const details = (): NodeView['details'] => props.node.details;
  return (
    <Facts
      rows={[
        [text.hardware, <Show when={details()} fallback={t.unknown}>{(details) => <>{details().virtualized ? text.virtualized : text.physical}{details().secure_boot && `, ${text.secureBoot}`}</>}</Show>],
        [text.traffic, <Show when={details()} fallback={t.unknown}>{(details) => <>{bytes(details().bytes_per_second)}/s</>}</Show>],
        [text.resources.gpu, details()?.gpus.map((gpu) => `${gpu.vendor.toString(16)}:${gpu.device.toString(16)}, ${bytes(gpu.memory)}`).join('; ') || t.none],
        [text.nodeKey, <Long text={props.node.record.key} />],
        [text.peerKey, <Long text={props.node.record.peer_key} />],
        [text.sealKey, <Long text={props.node.record.encryption_key} />],
      ]}
    />
  );
}
