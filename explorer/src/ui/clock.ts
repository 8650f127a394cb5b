// SPDX-License-Identifier: Apache-2.0
import { createSignal } from 'solid-js';

const seconds = (): number => Math.floor(Date.now() / 1000);
const [now, setNow] = createSignal(seconds());
setInterval(() => setNow(seconds()), 1_000);

/** The reader's clock, in seconds since 1970; moves every second. */
export { now };
