// SPDX-License-Identifier: Apache-2.0
import { createEffect, createMemo, createSignal, on, Show, type JSX } from 'solid-js';
import { trafficUsd } from '../calculator/cost';
import { useChain } from '../chain/connection';
import { createRead } from '../chain/read';
import { capacity } from '../grid/nodes';
import { usdToTft } from '../lib/format';
import { visible } from '../lib/safe';
import { t } from '../texts';
import { Shown } from '../ui/parts';
import type { Payer, PayerTwin } from '../wallet/payer';
import type { Call } from '../wallet/send';
import { Outlay } from './Outlay';
import { seal, sealedSize, sealKeys, sealSecrets } from './seal';
import type { Wanted } from './Wizard';

const text = t.deploy;
interface Props {
  payer: Payer;
  node: number;
  wanted: Wanted | undefined;
  ips: number;
  traffic: number;
  update: bigint | undefined;
  onCall(call: Call): void;
}

export function PlanView(props: Props): JSX.Element {
  const { api } = useChain();
  const twin = (): PayerTwin => props.payer.twin as PayerTwin;
  const wanted = (): Wanted => props.wanted as Wanted;
  const [isSealed, setSealed] = createSignal(wanted().isConfidential);
  createEffect(on(() => wanted().isConfidential, (confidential) => setSealed(confidential), { defer: true }));
  const [error, setError] = createSignal<string>();
  const asked = createMemo(() => ({ node: props.node, resources: wanted().resources, ips: props.ips, update: props.update, address: props.payer.address, twin: twin().id }), undefined, {
    equals: (a, b) => a.node === b.node && a.ips === b.ips && a.update === b.update && a.address === b.address && a.twin === b.twin && capacity(a.resources) === capacity(b.resources),
  });
  const terms = createRead(asked, async (at, { node, resources, ips, update, address, twin }) => {
    const { api, opt } = at;
    const [rate, offer, keys, deposit, perByte, old] = await Promise.all([
      api.apis.GridApi.quote(node, resources, ips, opt),
      api.apis.GridApi.node_offer(node, opt),
      sealKeys(at, node, twin, address),
      api.constants.Contracts.ContractDeposit(opt),
      api.constants.Contracts.DepositPerByte(opt),
      update === undefined ? undefined : api.query.Contracts.Contracts.getValue(update, opt),
    ]);
    return offer && keys ? { rate, offer, keys, deposit, perByte, old } : undefined;
  });
  const size = (): number => {
    const keys = terms.value()?.keys;
    const { plain, secrets } = wanted();
    if (!keys) return plain.length;
    if (isSealed()) return sealedSize(plain.length, keys);
    return secrets === undefined ? plain.length : plain.length - secrets + Math.ceil(sealedSize(secrets, keys) / 3) * 4;
  };
  const oldRate = (): bigint => twin().contracts.find(({ contract }) => contract === props.update)?.rate ?? 0n;
  const held = (): bigint => {
    const found = terms.value();
    const whole = found ? found.deposit + found.perByte * BigInt(size()) : 0n;
    const before = found?.old?.deposit ?? 0n;
    return whole > before ? whole - before : 0n;
  };
  const trafficTft = (): bigint => {
    const list = props.payer.policy?.prices;
    if (!list || props.update !== undefined) return 0n;
    return usdToTft(trafficUsd(list, BigInt(props.traffic), terms.value()?.offer.certified ?? false), props.payer.price) ?? 0n;
  };
  const propose = async (): Promise<void> => {
    const found = terms.value();
    if (!found) return;
    setError(undefined);
    try {
      const { plain, resources, networks } = wanted();
      const body = isSealed() ? { type: 'Sealed' as const, value: await seal(plain, found.keys) } : { type: 'Plain' as const, value: await sealSecrets(plain, found.keys) };
      const common = { resources, body, public_ips: props.ips, networks, max_usd_rate: found.rate ?? 0n };
      props.onCall(
        props.update === undefined
          ? api.tx.Contracts.create_node_contract({ ...common, node: props.node, traffic_gb: props.traffic })
          : api.tx.Contracts.update_node_contract({ ...common, contract: props.update }),
      );
    } catch (cause) {
      setError(visible(cause instanceof Error ? cause.message : String(cause)));
    }
  };
  return (
    <Shown read={terms} absent={<p class="notice bad">{t.notFound(t.kinds.node, String(props.node))}</p>}>
      {(found) => (
        <>
          <p>{text.chosenNode(props.node)}</p>
          <Outlay
            payer={props.payer}
            first={[[text.reserves, capacity(wanted().resources)]]}
            rate={found().rate}
            before={oldRate()}
            held={held()}
            traffic={trafficTft()}
            onReview={() => void propose()}
          >
            <label class="check">
              <input type="checkbox" name="seal" checked={isSealed()} onChange={(event) => setSealed(event.currentTarget.checked)} />
              {text.seal}
            </label>
            <Show
              when={isSealed()}
              fallback={<p class={wanted().isConfidential ? 'notice bad' : 'notice'}>{wanted().isConfidential ? text.public : wanted().secrets === undefined ? text.publicPlain : text.publicSecrets}</p>}
            >
              <p class="notice good">{text.sealedFor(found().keys.owner !== undefined, found().keys.bots.length)} {found().keys.owner === undefined && text.noOwnerKey}</p>
            </Show>
            <Show when={error()}>{(error) => <p class="notice bad" role="alert">{t.failed(error())}</p>}</Show>
          </Outlay>
        </>
      )}
    </Shown>
  );
}
