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
      <div
        class="meter"
        role="meter"
        aria-label={props.label}
        aria-valuemin="0"
        aria-valuemax="1000"
        aria-valuenow={permille()}
        aria-valuetext={props.text}
      >
        <div style={{ width: `${permille() / 10}%` }} />
      </div>
    </div>
  );
}
