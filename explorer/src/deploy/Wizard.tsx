// SPDX-License-Identifier: Apache-2.0
// From a draft to a contract: what to run, where, what it costs, the call, and how it comes up.
import { createEffect, createMemo, createResource, createSignal, lazy, on, Show, Suspense, type JSX } from 'solid-js';
import { createRead } from '../chain/read';
import { parseFilter, scaled } from '../grid/nodes';
import { GIB } from '../lib/format';
import { parseU32, parseU64 } from '../lib/ids';
import type { Query } from '../lib/query';
import { utf8, visible } from '../lib/safe';
import { t } from '../texts';
import { TextField } from '../ui/fields';
import { Failure, Section } from '../ui/parts';
import { account, type Account } from '../wallet/accounts';
import type { Payer } from '../wallet/payer';
import { fieldsOf, type Call } from '../wallet/send';
import { compacted, example, isConfidential, needs, openSecrets, parse, publicIps, text as asText, type Deployment } from './deployment';
import { createDraft } from './draft';
import { Form } from './Form';
import { listed } from './networks';
import { NodeChoice } from './NodeChoice';
import { PlanView } from './PlanView';
import { Rising } from './Rising';

const text = t.deploy;
const Sign = lazy(() => import('../wallet/Sign'));
const Editor = lazy(() => import('./Editor'));
const MOST_IPS = 16;

export function Wizard(props: { query: Query; payer: Payer | undefined }): JSX.Element {
  const firstDraft = (): string => {
    const { free } = parseFilter(props.query.get);
    return asText(example(Number(free.cru) || 1, free.mru || GIB, free.sru || GIB));
  };
  const [draft, setDraft] = createDraft(firstDraft);
  const [call, setCall] = createSignal<Call>();
  const [created, setCreated] = createSignal<bigint>();
  const update = (): bigint | undefined => parseU64(props.query.get('update'));
  const old = createRead(update, async ({ api, opt }, id) =>
    id === undefined ? undefined : { contract: await api.query.Contracts.Contracts.getValue(id, opt), body: await api.query.Contracts.Bodies.getValue(id, opt) });
  const oldNode = createMemo(() => {
    const kind = old.value()?.contract?.kind;
    return kind?.type === 'Node' ? kind.value : undefined;
  });
  // The first read of a contract puts its body into the draft; later ones leave what was changed.
  createEffect(on(() => old.at() !== undefined && update(), (id) => {
    const body = old.value()?.body;
    if (id !== false && body?.type === 'Plain') setDraft(reindented(utf8(body.value)));
  }));
  const deployment = createMemo(() => parse(draft()));
  const [checker] = createResource(() => import('./check'));
  const problems = createMemo(() => checker.latest?.check(draft()));
  const wanted = createMemo((): Wanted | undefined => {
    const valid = problems()?.length === 0 ? deployment() : undefined;
    if (!valid) return undefined;
    const secrets = openSecrets(valid);
    return {
      resources: needs(valid),
      networks: listed(valid),
      plain: compacted(draft()),
      isConfidential: isConfidential(valid),
      secrets: secrets && new TextEncoder().encode(JSON.stringify(secrets)).length,
      types: new Set(valid.workloads.map(({ type }) => type)),
    };
  });
  const node = (): number | undefined => oldNode()?.node ?? parseU32(props.query.get('node'));
  /** As many as machines ask for, or more. */
  const ips = (): number => Math.min(Math.max(parseFilter(props.query.get).ips, deployment() ? publicIps(deployment() as Deployment) : 0), MOST_IPS);
  const rented = createMemo(() => new Set((props.payer?.twin?.contracts ?? []).flatMap(({ target }) => (target.type === 'Rent' ? [target.value.node] : []))));
  const traffic = (): number => Number(scaled(props.query.get('traffic'), 0) ?? 0n);
  return (
    <Show
      when={created() === undefined}
      fallback={<Rising contract={created() as bigint} onAnother={() => (setCreated(undefined), setCall(undefined))} />}
    >
      <Show
        when={account() && call()}
        fallback={
          <>
            <Show when={update() !== undefined}>
              <Failure read={old} />
              <p class="notice">{text.updating(String(update()))} <Show when={old.value()?.body?.type === 'Sealed'}>{text.updateSealed}</Show></p>
            </Show>
            <Section title={text.what} note={<button type="button" onClick={() => setDraft(firstDraft())}>{text.startOver}</button>}>
              <Show when={deployment()} fallback={<p class="notice warn">{text.notInForm}</p>}>
                {(deployment) => <Form deployment={deployment()} onChange={(changed) => setDraft(asText(changed))} />}
              </Show>
              <div role="status">
                <Show when={problems()?.length} fallback={<Show when={wanted()} fallback={<p class="loading">{t.loading}</p>}>{(wanted) => <p class="muted">{text.valid(wanted().plain.length)}</p>}</Show>}>
                  <ul class="notice bad problems">
                    {problems()?.map(({ path, message }) => <li>{path && <code>{visible(path)}</code>} {visible(message)}</li>)}
                  </ul>
                </Show>
              </div>
              <Json draft={draft()} onChange={setDraft} />
              <p class="muted">{text.draft}</p>
            </Section>
            <Section title={text.where}>
              <form class="filters" aria-label={text.where} onSubmit={(event) => event.preventDefault()}>
                <TextField query={props.query} name="node" label={text.node} numeric />
                <TextField query={props.query} name="ips" label={text.ips} numeric />
                <Show when={update() === undefined}><TextField query={props.query} name="traffic" label={text.traffic} numeric /></Show>
              </form>
              <Show when={wanted() && update() === undefined}><NodeChoice query={props.query} wanted={wanted()} ips={ips()} node={node()} rented={rented()} /></Show>
            </Section>
            <Section title={text.plan}>
              <Show when={props.payer?.twin && node() !== undefined && wanted()} fallback={<p class="muted">{text.noPlan}</p>}>
                <PlanView payer={props.payer as Payer} node={node() as number} wanted={wanted()} ips={ips()} traffic={traffic()} update={update()} onCall={setCall} />
              </Show>
            </Section>
          </>
        }
      >
        {(call) => (
          <Sign
            call={call()}
            account={account() as Account}
            onBack={() => setCall(undefined)}
            onSuccess={(sent) => setCreated(update() ?? fieldsOf<{ contract: bigint }>(sent, 'Contracts', 'NodeContractCreated')?.contract)}
          />
        )}
      </Show>
    </Show>
  );
}

export interface Wanted {
  resources: ReturnType<typeof needs>;
  networks: ReturnType<typeof listed>;
  plain: Uint8Array;
  isConfidential: boolean;
  /** Bytes of the secrets that are yet to be sealed. */
  secrets: number | undefined;
  types: Set<string>;
}

/** JSON in lines; what isn't JSON as it stands. */
function reindented(json: string): string {
  try {
    return `${JSON.stringify(JSON.parse(json), null, 2)}\n`;
  } catch {
    return json;
  }
}

/** The editor is loaded when it is first opened. */
function Json(props: { draft: string; onChange(text: string): void }): JSX.Element {
  const [isOpen, setOpen] = createSignal(false);
  return (
    <details onToggle={(event) => event.currentTarget.open && setOpen(true)}>
      <summary>{text.json}</summary>
      <p class="muted">{text.jsonNote}</p>
      <Show when={isOpen()}>
        <Suspense fallback={<p class="loading">{t.loading}</p>}><Editor text={props.draft} onChange={props.onChange} /></Suspense>
      </Show>
    </details>
  );
}
