// SPDX-License-Identifier: Apache-2.0
import type { JSX } from 'solid-js';

/** A part of a whole, as a bar; its text says the same. */
export function Bar(props: { label: string; part: bigint; whole: bigint; text: string }): JSX.Element {
  const permille = (): number => (props.whole > 0n ? Number((props.part * 1000n) / props.whole) : 0);
  return (
    <div class="bar">
      <div class="bar-text">
        <span>{props.label}</span>
        <span class="muted">{props.text}</span>
      </div>
      <meter aria-label={`${props.label}: ${props.text}`} min="0" max="1000" value={permille()} />
    </div>
  );
}
