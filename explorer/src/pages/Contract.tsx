// SPDX-License-Identifier: Apache-2.0
import { A } from '@solidjs/router';
import { createEffect, createMemo, createSignal, For, on, Show, type JSX } from 'solid-js';
import type { At } from '../chain/read';
import type { Body, Status } from '../chain/types';
import { billLines } from '../grid/bill';
import { isIdentity, open, pretty } from '../grid/body';
import { failureWords, timeline } from '../grid/timeline';
import { bytes, decimal, duration, moment, permille, tftPrice } from '../lib/format';
import { parseU64 } from '../lib/ids';
import { utf8, visible } from '../lib/safe';
import { t } from '../texts';
import { capacity } from '../grid/nodes';
import { RecordPage } from '../ui/RecordPage';
import { Charges } from '../ui/Charges';
import { UsedUp } from '../ui/Funds';
import { Rate, Tft, Usd } from '../ui/Money';
import { Ago, Facts, Long, NodeLink, Section, TwinLink } from '../ui/parts';
import { StatusBadge } from '../ui/StatusBadge';

const text = t.contracts;

async function readContract({ api, opt, time }: At, id: bigint) {
  const { Contracts, Billing, Nodes, Farms } = api.query;
  const [status, contract, closed, failure, body, pendingBody, result, usage, account, months, allowance, info, ips] = await Promise.all([
    api.apis.GridApi.contract_status(id, opt),
    Contracts.Contracts.getValue(id, opt),
    Contracts.ClosedContracts.getValue(id, opt),
    Contracts.Failures.getValue(id, opt),
    Contracts.Bodies.getValue(id, opt),
    Contracts.PendingBodies.getValue(id, opt),
    Contracts.Results.getValue(id, opt),
    Contracts.Usage.getValue(id, opt),
    Billing.LedgerAccounts.getValue(id, opt),
    api.apis.GridApi.bill(id, opt),
    api.apis.GridApi.allowance(id, opt),
    api.apis.GridApi.grid_info(opt),
    Farms.ContractIps.getValue(id, opt),
  ]);
  if (!status) return undefined;
  const kind = contract?.kind;
  const node = closed?.node ?? (kind?.type === 'Node' || kind?.type === 'Rent' ? kind.value.node : undefined);
  const twin = closed?.twin ?? contract?.twin ?? 0;
  const [liveness, payer, until, grace, factor] = await Promise.all([
    node === undefined ? undefined : Nodes.LivenessOf.getValue(node, opt),
    api.apis.GridApi.payer(twin, opt),
    api.apis.GridApi.funded_until(twin, opt),
    api.apis.GridApi.grace(twin, opt),
    api.apis.GridApi.price_factor_permille(twin, opt),
  ]);
  const calendar = (grid: bigint): number => time - Number(info.grid_now - grid) / 1000;
  const moments = timeline({ contract, closed, failure, status, live: liveness?.state, grace, calendar });
  const total = status.type === 'Created' ? { usd: 0n, tft: 0n } : status.value;
  const lines = billLines({ months, settled: contract && (account?.accrual.charged ?? { usd: 0n, tft: 0n }), total, now: time });
  return { status, contract, closed, failure, body, pendingBody, result, usage, account, allowance, info, ips, node, twin, payer, until, grace, factor, moments, total, lines, calendar, time };
}

type ContractView = NonNullable<Awaited<ReturnType<typeof readContract>>>;

export default function Contract(): JSX.Element {
  return (
    <RecordPage
      kind="contract"
      parse={parseU64}
      read={readContract}
      title={text.contract}
      absent={text.closedNote}
    >
      {(contract, id) => (
        <>
          <Show when={contract().closed}>
            {(closed) => <p class="notice"><strong>{text.closedBecause} <Ago time={Number(closed().closed_at_unix)} />.</strong> {text.reasons[closed().reason.type]}</p>}
          </Show>
          <Failed contract={contract()} />
          <Show when={contract().contract}><UsedUp payer={contract().payer} grace={contract().grace} calendar={contract().calendar} /></Show>
          <div class="grid">
            <Section title={text.state}><State id={id()} contract={contract()} /></Section>
            <Section title={text.timeline}><Timeline contract={contract()} /></Section>
          </div>
          <div class="grid">
            <Section title={text.costs}><Costs contract={contract()} /></Section>
            <Section title={text.bill}><Charges lines={contract().lines} file={`${text.csv}-${id()}`} /></Section>
          </div>
          <Show when={contract().contract?.kind.type === 'Node'}>
            <Section title={text.result} note={<span class="muted">{text.resultNote}</span>}><Result result={contract().result} /></Section>
          </Show>
          <Bodies contract={contract()} />
        </>
      )}
    </RecordPage>
  );
}

/** Why the node can't run it, in words: first on the page, for that is what its owner looks for. */
function Failed(props: { contract: ContractView }): JSX.Element {
  return (
    <Show when={props.contract.failure}>
      {(failure) => {
        const words = createMemo(() => failureWords(failure()));
        return (
          <div class="notice bad">
            <p><strong>{text.failedVersion(failure().version)}.</strong> {words().meaning} {words().advice}</p>
            <Show when={words().path}><p>{text.failureAt} <code>{words().path}</code></p></Show>
            <Show when={words().words}><p>{text.failureText}: “{words().words}”</p></Show>
          </div>
        );
      }}
    </Show>
  );
}

function State(props: { id: bigint; contract: ContractView }): JSX.Element {
  const kind = createMemo(() => props.contract.contract?.kind);
  const deployment = createMemo(() => {
    const of = kind();
    return of?.type === 'Node' ? of.value : undefined;
  });
  const rows = (): [string, JSX.Element][] => {
    const { status, contract, node, twin, ips } = props.contract;
    const of = kind();
    const deployed = deployment();
    const rows: [string, JSX.Element][] = [
      [text.state, <><StatusBadge status={status.type} />{deployed?.pending && <> {text.updating(deployed.pending.version)}</>}</>],
      [text.owner, <TwinLink id={twin} />],
    ];
    if (of) rows.unshift([text.kind, text.kinds[of.type]]);
    if (node !== undefined) rows.push([text.node, <NodeLink id={node} />]);
    if (of?.type === 'Name') rows.push([text.name, visible(utf8(of.value.name))]);
    if (deployed) {
      rows.push([text.resources, capacity(deployed.resources)], [text.version, deployed.version]);
      if (deployed.networks.length) rows.push([text.networks, deployed.networks.map(({ name }) => visible(utf8(name))).join(', ')]);
      rows.push([text.bodyHash, <Long text={deployed.body_hash} />]);
    }
    if (ips?.length) rows.push([text.ips, ips.length]);
    if (contract) rows.push([text.deposit, <Tft amount={contract.deposit} />]);
    return rows;
  };
  return (
    <>
      <Facts rows={rows()} />
      <Show when={props.contract.contract}>
        <p>
          <Show when={deployment()}><A href={`/deploy?update=${props.id}`}>{text.updateLink}</A> · <A href={`/deploy?task=buy&buy=${props.id}`}>{text.trafficLink}</A> · </Show>
          <A href={`/deploy?deposit=${props.contract.twin}`}>{t.twins.depositLink}</A> · <A href={`/deploy?cancel=${props.id}`}>{text.cancelLink}</A>
        </p>
      </Show>
    </>
  );
}

function Timeline(props: { contract: ContractView }): JSX.Element {
  return (
    <>
      <ol class="timeline">
        <For each={props.contract.moments}>
          {({ at, what, why, tone }) => (
            <li class={tone}>
              <strong>{what}</strong> <Show when={at}>{(at) => <span class="muted"><Ago time={at()} /></span>}</Show>
              <Show when={why}><p>{why}</p></Show>
            </li>
          )}
        </For>
      </ol>
      <p class="muted">{text.timelineNote}</p>
    </>
  );
}

function Costs(props: { contract: ContractView }): JSX.Element {
  const price = (): bigint => props.contract.info.tft_price;
  const rates = (): { usd: bigint; extra: bigint } | undefined => props.contract.account?.price.rates;
  const paid = (rate: bigint): bigint => (rate * BigInt(props.contract.factor)) / 1000n;
  const isCharged = (status: Status['type']): boolean => status === 'Deployed';
  const rows = (): [string, JSX.Element][] => {
    const rows: [string, JSX.Element][] = [];
    const now = rates();
    if (now) {
      rows.push([text.listRate, <Rate rate={now.usd} price={price()} />]);
      rows.push([
        text.payRate(permille(props.contract.factor)),
        isCharged(props.contract.status.type) ? <Rate rate={paid(now.usd)} price={price()} /> : text.notCharged,
      ]);
      if (now.extra > 0n) rows.push([text.extraRate, <Rate rate={now.extra} price={price()} />]);
    }
    rows.push([text.charged, <><Usd amount={props.contract.total.usd} /> · <Tft amount={props.contract.total.tft} /></>]);
    const { allowance, usage, contract, twin, payer, until, time } = props.contract;
    if (contract && until !== undefined && !payer.exhausted) {
      rows.push([t.twins.good, <><A href={`/twins/${twin}`}>{moment(Number(until))}</A> <span class="muted">{t.twins.goodFor(duration(Number(until) - time))}</span></>]);
    }
    if (allowance) rows.push([text.traffic, `${decimal(allowance.bytes, 9)} GB`]);
    if (usage) {
      rows.push([
        text.usage,
        text.usageRow(duration(Number(usage.cpu_ms) / 1000), bytes(usage.memory_bytes), bytes(usage.disk_bytes), bytes(usage.received_bytes), bytes(usage.sent_bytes)),
      ]);
    }
    return rows;
  };
  return (
    <>
      <Facts rows={rows()} />
      <p class="muted">{t.nodes.atPrice(tftPrice(price()))}</p>
    </>
  );
}

function Result(props: { result: Uint8Array | undefined }): JSX.Element {
  return <Show when={props.result} fallback={<p class="muted">{text.noResult}</p>}>{(result) => <pre tabindex="0">{pretty(result()).text}</pre>}</Show>;
}

function Bodies(props: { contract: ContractView }): JSX.Element {
  const pending = (): number => {
    const kind = props.contract.contract?.kind;
    return kind?.type === 'Node' ? (kind.value.pending?.version ?? 0) : 0;
  };
  return (
    <>
      <Show when={props.contract.body}>{(body) => <Section title={text.body}><BodyView body={body()} /></Section>}</Show>
      <Show when={props.contract.pendingBody}>{(body) => <Section title={text.pendingBody(pending())}><BodyView body={body()} /></Section>}</Show>
      <Show when={props.contract.closed}><p class="muted">{text.bodyGone}</p></Show>
    </>
  );
}

/** The page reads the chain again with each block: a body that stays the same keeps what its reader has opened. */
function BodyView(props: { body: Body }): JSX.Element {
  const body = createMemo(() => props.body, undefined, { equals: (a, b) => a.type === b.type && a.value.length === b.value.length && a.value.every((byte, i) => byte === b.value[i]) });
  return (
    <Show when={body().type === 'Sealed'} fallback={<PlainBody bytes={body().value} />}>
      <SealedBody bytes={body().value} />
    </Show>
  );
}

function PlainBody(props: { bytes: Uint8Array }): JSX.Element {
  const shown = createMemo(() => pretty(props.bytes));
  return (
    <>
      <Show when={!shown().json}><p class="notice warn">{text.notJson}</p></Show>
      <pre tabindex="0">{shown().text}</pre>
      <p class="muted">{text.size(props.bytes.length)}</p>
    </>
  );
}

function SealedBody(props: { bytes: Uint8Array }): JSX.Element {
  const [plain, setPlain] = createSignal<Uint8Array>();
  const [error, setError] = createSignal<string>();
  let field: HTMLInputElement | undefined;
  createEffect(on(() => props.bytes, () => setPlain(undefined), { defer: true }));
  const tryOpen = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const identity = field?.value ?? '';
    if (!isIdentity(identity)) {
      setError(text.badKey);
      return;
    }
    try {
      setPlain(await open(props.bytes, identity));
      setError(undefined);
    } catch {
      setError(text.wrongKey);
    }
  };
  return (
    <Show
      when={plain()}
      fallback={
        <>
          <p>{text.sealed(props.bytes.length)}</p>
          <form class="inline" onSubmit={(event) => void tryOpen(event)}>
            <label>
              {text.identity}
              <input ref={field} type="password" autocomplete="off" spellcheck={false} aria-invalid={error() !== undefined} />
            </label>
            <button type="submit">{text.open_}</button>
          </form>
          <Show when={error()}><p class="notice bad" role="alert">{error()}</p></Show>
          <p class="muted">{text.sealedHint}</p>
        </>
      }
    >
      {(plain) => (
        <>
          <PlainBody bytes={plain()} />
          <button type="button" onClick={() => setPlain(undefined)}>{text.close}</button>
        </>
      )}
    </Show>
  );
}
