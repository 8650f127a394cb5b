// SPDX-License-Identifier: Apache-2.0
import { createMemo, type JSX } from 'solid-js';
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
import type { Payer } from '../wallet/payer';
import { Proposal } from './Proposal';

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
  const cost = (certified: boolean): bigint => {
    const list = props.payer?.policy?.prices;
    return (list && usdToTft(trafficUsd(list, gb() ?? 0n, certified), props.payer?.price ?? 0n)) ?? 0n;
  };
  return (
    <Proposal
      payer={props.payer}
      title={text.tasks.buy}
      note={text.trafficNote}
      fields={
        <>
          <TextField query={props.query} name="buy" label={t.contracts.columns.contract} numeric />
          <TextField query={props.query} name="gb" label={text.gb} numeric />
        </>
      }
      isAsked={typed() !== ''}
      found={found}
      absent={text.noTraffic(visible(typed()))}
      refusal={({ contract, twin }) => props.payer?.twin && props.payer.twin.id !== twin && text.notYours(String(contract))}
      terms={({ left, certified }) => (gb() === undefined ? undefined : { first: [[t.contracts.traffic, `${decimal(left, 9)} GB`]], rate: 0n, traffic: cost(certified) })}
      call={({ contract, certified }) => api.tx.Billing.buy_traffic({ contract, gb: Number(gb()), max_tft: (cost(certified) * (100n + SLACK_PERCENT)) / 100n })}
    />
  );
}
