// SPDX-License-Identifier: Apache-2.0
import { createMemo, Index, Match, Show, Switch, type JSX } from 'solid-js';
import { GIB, MIB, parseBytes } from '../lib/format';
import { visible } from '../lib/safe';
import { t } from '../texts';
import {
  envText, exactSize, example, freshName, interfaceText, isLogs, isMachine, isNetwork, isSite, isVolume, logsOf, openSecrets, parseEnv, parseInterfaces, parseText,
  parseWords, renamed, shownText, withOutput, without, type Deployment, type Logs, type Machine, type Network, type Site, type Volume, type Workload,
} from './deployment';
import { freeSubnet } from './networks';

const text = t.deploy;

interface Props {
  deployment: Deployment;
  onChange(deployment: Deployment): void;
}

/** What a field's text means; what means nothing is left for the check to refuse. */
const bytesOf = (field: string): number | string => {
  const bytes = parseBytes(field);
  return bytes === undefined ? field : Number(bytes);
};
/** The data with other fields; those that are `undefined` are left out. */
const changed = <Data extends object>(data: Data, changes: object): Data =>
  Object.fromEntries(Object.entries({ ...data, ...changes }).filter(([, value]) => value !== undefined)) as Data;
const numberOf = (field: string): number | string => (Number.isFinite(Number(field)) && field.trim() ? Number(field) : field);

const TITLES: Record<string, (name: string) => string> = { zmachine: text.machine, zmount: text.disk, volume: text.disk, zlogs: text.logs, network: text.network, 'gateway-name-proxy': text.site, 'gateway-fqdn-proxy': text.site };

/** Machines, disks, networks and sites. A change writes the whole deployment anew. */
export function Form(props: Props): JSX.Element {
  const workloads = (): Workload[] => props.deployment.workloads;
  const set = (changed: Workload[]): void => props.onChange({ ...props.deployment, workloads: changed });
  const replace = (i: number, changed: Workload): void => set(workloads().map((one, j) => (j === i ? changed : one)));
  const addMachine = (): void => {
    const machine = example(1, 512n * MIB, GIB).workloads.find(isMachine);
    if (machine) set([...workloads(), { ...machine, name: freshName(workloads(), 'machine'), data: { ...machine.data, mounts: [] } }]);
  };
  const addDisk = (): void => set([...workloads(), { name: freshName(workloads(), 'disk'), type: 'zmount', data: { size: Number(GIB) } }]);
  const addNetwork = (): void => set([...workloads(), { name: freshName(workloads(), 'net'), type: 'network', data: { subnet: freeSubnet(workloads()) } }]);
  const addSite = (): void => {
    const network = workloads().find(isNetwork)?.name;
    const name = freshName(workloads(), 'site');
    set([...workloads(), { name, type: 'gateway-name-proxy', data: { name, ...(network === undefined ? {} : { network }), backends: [] } }]);
  };
  /** Output is a field of its machine. */
  const isField = (workload: Workload): boolean => isLogs(workload) && isMachineName(workload.data.zmachine) && logsOf(workloads(), workload.data.zmachine) === workload;
  const isMachineName = (name: string): boolean => workloads().some((one) => isMachine(one) && one.name === name);
  return (
    <form onSubmit={(event) => event.preventDefault()} aria-label={text.what}>
      <div class="fields">
        <Field wide label={text.fields.description} value={props.deployment.description ?? ''} onChange={(value) => props.onChange({ ...props.deployment, description: value })} />
      </div>
      <Index each={workloads()}>
        {(workload, i) => (
          <Show when={!isField(workload())}>
            <fieldset>
              <legend>{(TITLES[workload().type] ?? text.other)(visible(workload().name))}</legend>
              <div class="fields">
                <Field label={text.fields.name} value={workload().name} onChange={(name) => set(renamed(workloads(), i, name))} />
                <Switch fallback={<p class="muted wide">{text.otherNote(visible(String(workload().type)))}</p>}>
                  <Match when={isMachine(workload())}>
                    <MachineFields
                      data={workload().data as Machine}
                      output={shownText(logsOf(workloads(), workload().name)?.data.output ?? '')}
                      onChange={(data) => replace(i, { ...workload(), data } as Workload)}
                      onOutput={(address) => set(withOutput(workloads(), workload().name, address))}
                    />
                  </Match>
                  <Match when={isVolume(workload())}>
                    <DiskFields data={workload().data as Volume} type={workload().type} onChange={(changed) => replace(i, { ...workload(), ...changed } as Workload)} />
                  </Match>
                  <Match when={isNetwork(workload())}>
                    <NetworkFields data={workload().data as Network} onChange={(data) => replace(i, { ...workload(), data } as Workload)} />
                  </Match>
                  <Match when={isSite(workload())}>
                    <SiteFields data={workload().data as Site} type={workload().type} onChange={(changed) => replace(i, { ...workload(), ...changed } as Workload)} />
                  </Match>
                  <Match when={isLogs(workload())}>
                    <LogsFields data={workload().data as Logs} onChange={(data) => replace(i, { ...workload(), data } as Workload)} />
                  </Match>
                </Switch>
              </div>
              <p class="buttons"><button type="button" onClick={() => set(without(workloads(), i))}>{text.remove(visible(workload().name))}</button></p>
            </fieldset>
          </Show>
        )}
      </Index>
      <Show when={typeof props.deployment.secrets !== 'string'}>
        <More title={text.secrets} holds={props.deployment.secrets != null}>
          <Lines
            label={text.fields.secrets}
            value={envText(openSecrets(props.deployment))}
            onChange={(value) => props.onChange({ ...props.deployment, secrets: value.trim() ? (parseEnv(value) as Record<string, string>) : undefined })}
          />
        </More>
      </Show>
      <p class="buttons">
        <button type="button" onClick={addMachine}>{text.addMachine}</button>
        <button type="button" onClick={addDisk}>{text.addDisk}</button>
        <button type="button" onClick={addNetwork}>{text.addNetwork}</button>
        <button type="button" onClick={addSite}>{text.addSite}</button>
      </p>
    </form>
  );
}

function MachineFields(props: { data: Machine; output: string; onChange(data: Machine): void; onOutput(address: string): void }): JSX.Element {
  const set = (changes: object): void => props.onChange(changed(props.data, changes));
  const mounts = (): string => (props.data.mounts ?? []).map(({ name, path }) => `${name}:${path}`).join('\n');
  const parseMounts = (lines: string): Machine['mounts'] =>
    lines.split('\n').filter((line) => line.trim()).map((line) => {
      const [name = '', ...path] = line.trim().split(':');
      return { name, path: path.join(':') };
    });
  return (
    <>
      <Field wide label={text.fields.image} value={props.data.image} onChange={(image) => set({ image })} />
      <Field label={text.fields.cpu} value={String(props.data.cpu ?? '')} onChange={(value) => set({ cpu: numberOf(value) })} />
      <Field label={text.fields.memory} value={exactSize(props.data.memory)} onChange={(value) => set({ memory: bytesOf(value) })} />
      <Field label={text.fields.rootfs} value={exactSize(props.data.rootfs)} onChange={(value) => set({ rootfs: value.trim() ? bytesOf(value) : undefined })} />
      <More title={text.inside} holds={mounts() !== '' || props.data.env !== undefined || props.data.gpus !== undefined}>
        <Lines label={text.fields.mounts} value={mounts()} onChange={(value) => set({ mounts: parseMounts(value) })} />
        <Lines label={text.fields.env} value={envText(props.data.env)} onChange={(value) => set({ env: value.trim() ? parseEnv(value) : undefined })} />
        <Field label={text.fields.gpus} value={String(props.data.gpus ?? '')} onChange={(value) => set({ gpus: value.trim() ? numberOf(value) : undefined })} />
      </More>
      <More
        title={text.reach}
        holds={props.data.internet === false || props.data.public_ip === true || props.data.ipv6 === true || props.data.ports !== undefined || props.data.interfaces !== undefined}
      >
        <Check label={text.fields.internet} checked={props.data.internet !== false} onChange={(isOn) => set({ internet: isOn ? undefined : false })} />
        <Check label={text.fields.publicIp} checked={props.data.public_ip === true} onChange={(isOn) => set({ public_ip: isOn || undefined })} />
        <Check label={text.fields.ipv6} checked={props.data.ipv6 === true} onChange={(isOn) => set({ ipv6: isOn || undefined })} />
        <Field wide label={text.fields.ports} value={(props.data.ports ?? []).join(' ')} onChange={(value) => set({ ports: value.trim() ? parseWords(value) : undefined })} />
        <Lines label={text.fields.interfaces} value={interfaceText(props.data.interfaces)} onChange={(value) => set({ interfaces: value.trim() ? parseInterfaces(value) : undefined })} />
      </More>
      <More title={text.watched} holds={props.data.health != null || props.output !== ''}>
        <Field
          label={text.fields.port}
          value={String(props.data.health?.http?.port ?? '')}
          onChange={(value) => set({ health: value.trim() ? { ...props.data.health, http: { ...props.data.health?.http, port: numberOf(value) } } : undefined })}
        />
        <Field wide label={text.fields.machineOutput} value={props.output} onChange={props.onOutput} />
      </More>
    </>
  );
}

/** Fields that few need: in sight from when they hold a value on. */
function More(props: { title: string; holds: boolean; children: JSX.Element }): JSX.Element {
  const isOpen = createMemo((was: boolean) => was || props.holds, false);
  return (
    <details class="more" open={isOpen()}>
      <summary>{props.title}</summary>
      <div class="fields">{props.children}</div>
    </details>
  );
}

function LogsFields(props: { data: Logs; onChange(data: Logs): void }): JSX.Element {
  return (
    <>
      <Field label={text.fields.zmachine} value={props.data.zmachine} onChange={(zmachine) => props.onChange({ ...props.data, zmachine })} />
      <Field wide label={text.fields.output} value={shownText(props.data.output)} onChange={(value) => props.onChange({ ...props.data, output: parseText(value) })} />
    </>
  );
}

function NetworkFields(props: { data: Network; onChange(data: Network): void }): JSX.Element {
  return (
    <>
      <Field label={text.fields.subnet} value={props.data.subnet ?? ''} onChange={(subnet) => props.onChange({ ...props.data, subnet })} />
      <Field label={text.fields.range} value={props.data.range ?? ''} onChange={(range) => props.onChange(changed(props.data, { range: range.trim() ? range : undefined }))} />
    </>
  );
}

/** A name on the gateway and a domain are two types of the same. */
function SiteFields(props: { data: Site; type: Workload['type']; onChange(changed: { type?: string; data?: object }): void }): JSX.Element {
  const set = (changes: object): void => props.onChange({ data: changed(props.data, changes) });
  const hostAs = (type: 'gateway-name-proxy' | 'gateway-fqdn-proxy', host: string): void =>
    props.onChange({ type, data: changed(props.data, type === 'gateway-name-proxy' ? { name: host, fqdn: undefined } : { fqdn: host, name: undefined }) });
  const isName = (): boolean => props.type === 'gateway-name-proxy';
  return (
    <>
      <Field label={text.fields.siteName} value={isName() ? (props.data.name ?? '') : ''} onChange={(name) => hostAs('gateway-name-proxy', name)} />
      <Field label={text.fields.fqdn} value={isName() ? '' : (props.data.fqdn ?? '')} onChange={(fqdn) => hostAs('gateway-fqdn-proxy', fqdn)} />
      <Field label={text.fields.network} value={props.data.network ?? ''} onChange={(network) => set({ network: network.trim() ? network : undefined })} />
      <Lines label={text.fields.backends} value={(props.data.backends ?? []).join('\n')} onChange={(value) => set({ backends: parseWords(value) })} />
      <Check label={text.fields.tlsPassthrough} checked={props.data.tls_passthrough === true} onChange={(isOn) => set({ tls_passthrough: isOn || undefined })} />
    </>
  );
}

function DiskFields(props: { data: Volume; type: Workload['type']; onChange(changed: { type?: string; data?: object }): void }): JSX.Element {
  return (
    <>
      <Field label={text.fields.size} value={exactSize(props.data.size)} onChange={(value) => props.onChange({ data: { ...props.data, size: bytesOf(value) } })} />
      <label>
        {text.fields.kind}
        <select onChange={(event) => props.onChange({ data: { ...props.data, disk: event.currentTarget.value } })}>
          <option value="ssd" selected={props.data.disk !== 'hdd'}>{text.kinds.ssd}</option>
          <option value="hdd" selected={props.data.disk === 'hdd'}>{text.kinds.hdd}</option>
        </select>
      </label>
      <Check label={text.fields.shared} checked={props.type === 'volume'} onChange={(isOn) => props.onChange({ type: isOn ? 'volume' : 'zmount' })} />
    </>
  );
}

interface FieldProps {
  label: string;
  value: string;
  onChange(value: string): void;
}

function Field(props: FieldProps & { wide?: boolean }): JSX.Element {
  return (
    <label classList={{ wide: props.wide }}>
      {props.label}
      <input type="text" autocomplete="off" spellcheck={false} value={props.value} onChange={(event) => props.onChange(event.currentTarget.value)} />
    </label>
  );
}

function Check(props: { label: string; checked: boolean; onChange(isOn: boolean): void }): JSX.Element {
  return (
    <label class="check">
      <input type="checkbox" checked={props.checked} onChange={(event) => props.onChange(event.currentTarget.checked)} />
      {props.label}
    </label>
  );
}

function Lines(props: FieldProps): JSX.Element {
  return (
    <label class="wide">
      {props.label}
      <textarea rows="2" spellcheck={false} value={props.value} onChange={(event) => props.onChange(event.currentTarget.value)} />
    </label>
  );
}
