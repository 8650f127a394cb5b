// SPDX-License-Identifier: Apache-2.0
import { A, useNavigate, type RouteSectionProps } from '@solidjs/router';
import { createSignal, ErrorBoundary, For, Match, Show, Suspense, Switch, type JSX } from 'solid-js';
import { useChain } from '../chain/connection';
import { visible } from '../lib/safe';
import { t } from '../texts';
import { now } from './clock';
import { Badge, type Tone } from './parts';
import { setTheme, theme, type Theme } from './theme';

const PAGES: [string, string][] = [
  ['/', t.pages.grid],
  ['/nodes', t.pages.nodes],
  ['/farms', t.pages.farms],
  ['/contracts', t.pages.contracts],
  ['/twins', t.pages.twins],
  ['/blocks', t.pages.blocks],
  ['/calculator', t.pages.calculator],
  ['/deploy', t.pages.deploy],
  ['/watch', t.pages.watch],
];

export function Layout(props: RouteSectionProps): JSX.Element {
  const chain = useChain();
  return (
    <>
      <a class="skip" href="#content" onClick={(event) => (event.preventDefault(), document.getElementById('content')?.focus())}>
        {t.skip}
      </a>
      <header class="top">
        <A href="/" class="brand" end>
          {t.title}
        </A>
        <SearchBox />
        <Status />
        <ThemeChoice />
        <nav aria-label={t.nav}>
          <For each={PAGES}>
            {([path, name]) => (
              <A href={path} end={path === '/'}>
                {name}
              </A>
            )}
          </For>
        </nav>
      </header>
      <Banner />
      <main id="content" tabindex="-1" classList={{ stale: chain.state.health !== 'live' }}>
        <ErrorBoundary
          fallback={(error: unknown, reset) => (
            <p class="notice bad" role="alert">
              {t.failed(visible(String(error)))}{' '}
              <button type="button" onClick={reset}>
                {t.retry}
              </button>
            </p>
          )}
        >
          <Suspense fallback={<p class="loading">{t.loading}</p>}>{props.children}</Suspense>
        </ErrorBoundary>
      </main>
    </>
  );
}

function SearchBox(): JSX.Element {
  const [text, setText] = createSignal('');
  const navigate = useNavigate();
  const search = (event: SubmitEvent): void => {
    event.preventDefault();
    if (text().trim()) navigate(`/search?q=${encodeURIComponent(text().trim())}`);
  };
  return (
    <form role="search" class="search" onSubmit={search}>
      <input
        type="search"
        aria-label={t.searchHint}
        placeholder={t.searchHint}
        value={text()}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <button type="submit">{t.search}</button>
    </form>
  );
}

const TONES: Record<string, Tone> = { live: 'good', connecting: 'plain', stalled: 'warn', lost: 'bad', wrong: 'bad' };

/** Whether what is shown is fresh, and how old it is. */
function Status(): JSX.Element {
  const { state } = useChain();
  return (
    <A href="/connection" class="status">
      <Badge tone={TONES[state.health] ?? 'plain'}>{t.connection.health[state.health]}</Badge>
      <Show when={state.head}>
        {(head) => <span class="age">{t.connection.blockAge(head().number, Math.max(0, now() - head().time))}</span>}
      </Show>
    </A>
  );
}

function Banner(): JSX.Element {
  const { state, endpoints } = useChain();
  const banner = t.connection.banner;
  return (
    <div role="status" class="banners">
      <Switch>
        <Match when={endpoints.length === 0}>
          <p class="banner bad">
            <A href="/connection">{t.connection.none}</A>
          </p>
        </Match>
        <Match when={state.health === 'connecting'}>
          <p class="banner">{banner.connecting(state.endpoint)}</p>
        </Match>
        <Match when={state.health === 'lost'}>
          <p class="banner bad">{banner.lost(state.endpoint)}</p>
        </Match>
        <Match when={state.health === 'wrong'}>
          <p class="banner bad">
            <A href="/connection">{banner.wrong(state.endpoint)}</A>
          </p>
        </Match>
        <Match when={state.health === 'stalled' && state.head}>
          {(head) => <p class="banner warn">{banner.stalled(Math.floor((now() - head().time) / 10) * 10)}</p>}
        </Match>
      </Switch>
      <Show when={state.unsupported.length > 0}>
        <p class="banner warn">{banner.unsupported(state.unsupported.join(', '))}</p>
      </Show>
    </div>
  );
}

function ThemeChoice(): JSX.Element {
  return (
    <select class="theme" aria-label={t.theme.label} value={theme()} onChange={(event) => setTheme(event.currentTarget.value as Theme)}>
      <For each={['auto', 'light', 'dark'] as const}>{(name) => <option value={name}>{t.theme[name]}</option>}</For>
    </select>
  );
}
