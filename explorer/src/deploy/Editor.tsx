// SPDX-License-Identifier: Apache-2.0
// JSON with errors at their lines. The shadow root adopts the editor's styles, which the page's policy forbids outside.
import { json } from '@codemirror/lang-json';
import { ensureSyntaxTree } from '@codemirror/language';
import { linter, lintGutter, type Diagnostic } from '@codemirror/lint';
import { EditorState } from '@codemirror/state';
import { EditorView, lineNumbers } from '@codemirror/view';
import { createEffect, onCleanup, onMount, type JSX } from 'solid-js';
import { t } from '../texts';
import { check, type Problem } from './check';

const PARSE_MS = 1_000;
type SyntaxNode = NonNullable<ReturnType<typeof ensureSyntaxTree>>['topNode'];

const THEME = EditorView.theme({
  '&': { color: 'inherit', border: '1px solid', borderRadius: '.4rem' },
  '.cm-scroller': { fontFamily: "ui-monospace, 'DejaVu Sans Mono', monospace", overflow: 'auto' },
  '.cm-gutters': { background: 'none', color: 'inherit' },
  '.cm-content': { caretColor: 'currentColor' },
  // The library's own marks are images in `data:` URLs, which the page's policy forbids.
  '.cm-lintRange-error': { backgroundImage: 'none', textDecoration: 'underline wavy var(--bad)' },
  '.cm-lint-marker-error': { content: '"●"', color: 'var(--bad)' },
  '.cm-tooltip': { background: 'Canvas', color: 'CanvasText' },
});

/** The value that a JSON pointer names, or the innermost one there is around it. */
function locate(state: EditorState, path: string): SyntaxNode | null {
  let node = ensureSyntaxTree(state, state.doc.length, PARSE_MS)?.topNode.firstChild ?? null;
  for (const key of path.split('/').slice(1)) {
    const next = node && inner(state, node, key);
    if (!next) break;
    node = next;
  }
  return node;
}

function inner(state: EditorState, node: SyntaxNode, key: string): SyntaxNode | null | undefined {
  if (node.name === 'Array') {
    const values: SyntaxNode[] = [];
    for (let child = node.firstChild; child; child = child.nextSibling) if (!/[[\],⚠]/.test(child.name)) values.push(child);
    return values[Number(key)];
  }
  const property = node.getChildren('Property').find((one) => {
    const name = one.getChild('PropertyName');
    return name && state.sliceDoc(name.from, name.to) === JSON.stringify(key);
  });
  return property?.lastChild;
}

function diagnostic(state: EditorState, { path, message, at }: Problem): Diagnostic {
  const node = at === undefined ? locate(state, path) : undefined;
  const line = state.doc.lineAt(Math.min(at ?? node?.from ?? 0, state.doc.length));
  const isBlock = !node || node.to > line.to;
  return { from: isBlock ? line.from : node.from, to: isBlock ? line.to : node.to, severity: 'error', message };
}

export default function Editor(props: { text: string; onChange(text: string): void }): JSX.Element {
  let host: HTMLDivElement | undefined;
  let view: EditorView | undefined;
  onMount(() => {
    const root = host?.attachShadow({ mode: 'open' });
    if (!root) return;
    view = new EditorView({
      doc: props.text,
      parent: root,
      root,
      extensions: [
        THEME, lineNumbers(), json(), lintGutter(),
        linter(({ state }) => check(state.doc.toString()).map((problem) => diagnostic(state, problem))),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ 'aria-label': t.deploy.json, spellcheck: 'false' }),
        EditorView.updateListener.of(({ docChanged, state }) => docChanged && props.onChange(state.doc.toString())),
      ],
    });
  });
  createEffect(() => {
    const { text } = props;
    if (view && view.state.doc.toString() !== text) view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
  });
  onCleanup(() => view?.destroy());
  return <div class="editor" ref={host} />;
}
