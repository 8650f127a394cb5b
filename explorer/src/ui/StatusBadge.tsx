// SPDX-License-Identifier: Apache-2.0
import type { JSX } from 'solid-js';
import type { Status } from '../chain/types';
import { t } from '../texts';
import { Badge, type Tone } from './parts';

const TONES: Record<Status['type'], Tone> = { Created: 'plain', Deployed: 'good', Paused: 'warn', NodeOffline: 'warn', Closed: 'plain' };

/** The state of a contract. */
export const StatusBadge = (props: { status: Status['type'] }): JSX.Element => (
  <Badge tone={TONES[props.status]}>{t.contracts.states[props.status]}</Badge>
);
