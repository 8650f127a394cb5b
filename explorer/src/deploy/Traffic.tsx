// SPDX-License-Identifier: Apache-2.0
import { createMemo, Show, type JSX } from 'solid-js';
import { trafficUsd } from '../calculator/cost';
import { useChain } from '../chain/connection';
import { createRead } from '../chain/read';
import { scaled } from '../grid/nodes';
import { decimal, usdToTft } from '../lib/format';
import { parseU64 } from '../lib/ids';
import type { Query } from '../lib/query';
import { visible } from '../lib/safe';
import { t } from '../texts';
import { TextField } from '../ui/fields';
import { Section, Shown } from '../ui/parts';
import type { Payer } from '../wallet/payer';
import { Outlay } from './Outlay';
import { Signed } from './Signed';

const text = t.deploy;
/** The price may rise by this much until the call is in a block. */
const SLACK_PERCENT = 2n;
const MAX_GB = 2n ** 32n - 1n;

/** Public traffic for a contract, paid in advance. */
export default function Traffic(props: { query: Query; payer: Payer | undefined }): JSX.Element {
  const { api } = useChain();
  const typed = (): string => props.query.get('buy').trim();
  const found = createRead(createMemo(() => parseU64(typed())), async ({ api, opt }, contract) => {
    const record = contract === undefined ? undefined : await api.query.Contracts.Contracts.getValue(contract, opt);
    if (contract === undefined || record?.kind.type !== 'Node') return undefined;
    const { node } = record.kind.value;
    const [offer, allowance] = await Promise.all([api.apis.GridApi.node_offer(node, opt), api.apis.GridApi.allowance(contract, opt)]);
    return { contract, twin: record.twin, certified: offer?.certified ?? false, left: allowance?.bytes ?? 0n };
  });
  const gb = createMemo(() => {
    const gb = scaled(props.query.get('gb'), 0) ?? 0n;
    return gb > 0n && gb <= MAX_GB ? gb : undefined;
  });
  const cost = (certified: boolean): bigint | undefined => {
    const list = props.payer?.policy?.prices;
    return list && usdToTft(trafficUsd(list, gb() ?? 0n, certified), props.payer?.price ?? 0n);
  };
  return (
    <Signed>
      {(propose) => (
        <Section title={text.tasks.buy}>
          <p>{text.trafficNote}</p>
          <form class="inline" onSubmit={(event) => event.preventDefault()}>
            <TextField query={props.query} name="buy" label={t.contracts.columns.contract} numeric />
            <TextField query={props.query} name="gb" label={text.gb} numeric />
          </form>
          <Show when={typed()}>
            <Shown read={found} absent={<p class="notice bad" role="alert">{text.noTraffic(visible(typed()))}</p>}>
              {(found) => (
                <Show
                  when={!props.payer?.twin || props.payer.twin.id === found().twin}
                  fallback={<p class="notice bad" role="alert">{text.notYours(String(found().contract))}</p>}
                >
                  <Show when={gb()}>
                    {(gb) => (
                      <Outlay
                        payer={props.payer}
                        first={[[t.contracts.traffic, `${decimal(found().left, 9)} GB`]]}
                        rate={0n}
                        traffic={cost(found().certified) ?? 0n}
                        onReview={() => {
                          const most = ((cost(found().certified) ?? 0n) * (100n + SLACK_PERCENT)) / 100n;
                          propose(api.tx.Billing.buy_traffic({ contract: found().contract, gb: Number(gb()), max_tft: most }));
                        }}
                      />
                    )}
                  </Show>
                </Show>
              )}
            </Shown>
          </Show>
        </Section>
      )}
    </Signed>
  );
}
