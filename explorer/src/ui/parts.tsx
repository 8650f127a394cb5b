// SPDX-License-Identifier: Apache-2.0
// Small parts that every page uses.
import { A } from '@solidjs/router';
import { createEffect, createSignal, For, Match, onMount, Show, Switch, type JSX } from 'solid-js';
import type { Read } from '../chain/read';
import { duration, moment } from '../lib/format';
import { short, visible } from '../lib/safe';
import { t } from '../texts';
import { now } from './clock';

let opened = false;

/** The page's heading, also in the window's title. A page that is opened from another one takes the focus. */
export function Page(props: { title: string; children: JSX.Element; note?: JSX.Element }): JSX.Element {
  let heading: HTMLHeadingElement | undefined;
  createEffect(() => (document.title = `${props.title} · ${t.title}`));
  onMount(() => {
    if (opened) heading?.focus();
    opened = true;
  });
  return (
    <>
      <div class="page-head">
        <h1 tabindex="-1" ref={heading}>
          {props.title}
        </h1>
        {props.note}
      </div>
      {props.children}
    </>
  );
}

/** Why the last attempt of a read failed. */
export function Failure(props: { read: Read<unknown> }): JSX.Element {
  return (
    <Show when={props.read.error()}>
      {(error) => (
        <p class="notice bad" role="alert">
          {t.failed(visible(error().message))}{' '}
          <button type="button" onClick={() => props.read.retry()}>
            {t.retry}
          </button>
        </p>
      )}
    </Show>
  );
}

/** What a read answered: its value, why there is none, or that it is under way. A failure never blanks more than this. */
export function Shown<T>(props: { read: Read<T>; children: (value: () => NonNullable<T>) => JSX.Element; absent?: JSX.Element }): JSX.Element {
  return (
    <>
      <Failure read={props.read} />
      <Switch fallback={<Show when={!props.read.error()}><p class="loading" role="status">{t.loading}</p></Show>}>
        <Match when={props.read.value() != null}>{props.children(() => props.read.value() as NonNullable<T>)}</Match>
        <Match when={props.read.at()}>{props.absent}</Match>
      </Switch>
    </>
  );
}

/** The block at which something was read. */
export function AsOf(props: { read: Read<unknown> }): JSX.Element {
  return (
    <Show when={props.read.at()}>
      {(at) => (
        <p class="as-of" title={moment(at().time)}>
          {t.asOf(at().number)}, <Ago time={at().time} />
        </p>
      )}
    </Show>
  );
}

/** How far the reader's clock may be behind the chain's. */
const CLOCK_SECONDS = 5;

/** How long ago a moment was, by the reader's clock. */
export function Ago(props: { time: number }): JSX.Element {
  return (
    <time datetime={new Date(props.time * 1000).toISOString()} title={moment(props.time)}>
      {props.time > now() + CLOCK_SECONDS ? t.inTime(duration(props.time - now())) : t.ago(duration(now() - props.time))}
    </time>
  );
}

/** A hash or address: short, whole on hover and for the clipboard. */
export function Long(props: { text: string; kept?: number }): JSX.Element {
  const [copied, setCopied] = createSignal(false);
  return (
    <span class="long">
      <code title={visible(props.text)}>{short(visible(props.text), props.kept)}</code>
      <button
        type="button"
        class="copy"
        aria-label={`${t.copy} ${visible(props.text)}`}
        onClick={() => void navigator.clipboard.writeText(props.text).then(() => setCopied(true), () => setCopied(false))}
      >
        {copied() ? t.copied : t.copy}
      </button>
    </span>
  );
}

/** Pairs of a name and a value. */
export function Facts(props: { rows: [string, JSX.Element][] }): JSX.Element {
  return (
    <dl class="facts">
      <For each={props.rows}>
        {([name, value]) => (
          <div>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        )}
      </For>
    </dl>
  );
}

export function Section(props: { title: string; children: JSX.Element; note?: JSX.Element }): JSX.Element {
  return (
    <section class="card">
      <div class="section-head">
        <h2>{props.title}</h2>
        {props.note}
      </div>
      {props.children}
    </section>
  );
}

export type Tone = 'good' | 'bad' | 'warn' | 'plain';

/** A state, in words and colour. */
export function Badge(props: { tone: Tone; children: JSX.Element; title?: string }): JSX.Element {
  return (
    <span class={`badge ${props.tone}`} title={props.title}>
      {props.children}
    </span>
  );
}

export const NodeLink = (props: { id: number }): JSX.Element => <A href={`/nodes/${props.id}`}>{t.link(t.kinds.node, props.id)}</A>;
export const FarmLink = (props: { id: number; name: string }): JSX.Element => <A href={`/farms/${props.id}`}>{visible(props.name) || props.id}</A>;
export const TwinLink = (props: { id: number }): JSX.Element => <A href={`/twins/${props.id}`}>{t.link(t.kinds.twin, props.id)}</A>;
export const ContractLink = (props: { id: bigint }): JSX.Element => (
  <A href={`/contracts/${props.id}`}>{t.link(t.kinds.contract, props.id)}</A>
);

/** Saves text as a file of the reader's. */
export function download(name: string, type: string, text: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
