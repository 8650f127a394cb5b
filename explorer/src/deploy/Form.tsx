// SPDX-License-Identifier: Apache-2.0
import { Index, Match, Show, Switch, type JSX } from 'solid-js';
import { GIB, MIB, parseBytes } from '../lib/format';
import { visible } from '../lib/safe';
import { t } from '../texts';
import {
  envText, exactSize, example, isLogs, isMachine, openSecrets, parseEnv, parseText, shownText, type Deployment, type Logs, type Machine, type Volume,
  type Workload,
} from './deployment';

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
const numberOf = (field: string): number | string => (Number.isFinite(Number(field)) && field.trim() ? Number(field) : field);

/** Machines and disks. A change writes the whole deployment anew. */
export function Form(props: Props): JSX.Element {
  const workloads = (): Workload[] => props.deployment.workloads;
  const set = (changed: Workload[]): void => props.onChange({ ...props.deployment, workloads: changed });
  const replace = (i: number, changed: Workload): void => set(workloads().map((one, j) => (j === i ? changed : one)));
  const fresh = (stem: string): string => {
    const names = new Set(workloads().map(({ name }) => name));
    for (let n = 1; ; n += 1) if (!names.has(`${stem}${n}`)) return `${stem}${n}`;
  };
  const addMachine = (): void => {
    const machine = example(1, 512n * MIB, GIB).workloads.find(isMachine);
    if (machine) set([...workloads(), { ...machine, name: fresh('machine'), data: { ...machine.data, mounts: [] } }]);
  };
  const addDisk = (): void => set([...workloads(), { name: fresh('disk'), type: 'zmount', data: { size: Number(GIB) } }]);
  return (
    <form onSubmit={(event) => event.preventDefault()} aria-label={text.what}>
      <Field label={text.fields.description} value={props.deployment.description ?? ''} onChange={(value) => props.onChange({ ...props.deployment, description: value })} />
      <Index each={workloads()}>
        {(workload, i) => (
          <fieldset>
            <legend>{(isMachine(workload()) ? text.machine : isLogs(workload()) ? text.logs : text.disk)(visible(workload().name))}</legend>
            <div class="filters">
              <Field label={text.fields.name} value={workload().name} onChange={(name) => replace(i, { ...workload(), name })} />
              <Switch fallback={<DiskFields data={workload().data as Volume} type={workload().type} onChange={(changed) => replace(i, { ...workload(), ...changed } as Workload)} />}>
                <Match when={isMachine(workload())}>
                  <MachineFields data={workload().data as Machine} onChange={(data) => replace(i, { ...workload(), data } as Workload)} />
                </Match>
                <Match when={isLogs(workload())}>
                  <LogsFields data={workload().data as Logs} onChange={(data) => replace(i, { ...workload(), data } as Workload)} />
                </Match>
              </Switch>
              <button type="button" onClick={() => set(workloads().filter((_, j) => j !== i))}>{text.remove(visible(workload().name))}</button>
            </div>
          </fieldset>
        )}
      </Index>
      <Show when={typeof props.deployment.secrets !== 'string'}>
        <Lines
          label={text.fields.secrets}
          value={envText(openSecrets(props.deployment))}
          onChange={(value) => props.onChange({ ...props.deployment, secrets: value.trim() ? (parseEnv(value) as Record<string, string>) : undefined })}
        />
      </Show>
      <p class="buttons">
        <button type="button" onClick={addMachine}>{text.addMachine}</button>
        <button type="button" onClick={addDisk}>{text.addDisk}</button>
      </p>
    </form>
  );
}

function MachineFields(props: { data: Machine; onChange(data: Machine): void }): JSX.Element {
  const set = (changes: Record<string, unknown>): void => {
    const changed = { ...props.data, ...changes };
    props.onChange(Object.fromEntries(Object.entries(changed).filter(([, value]) => value !== undefined)) as unknown as Machine);
  };
  const mounts = (): string => (props.data.mounts ?? []).map(({ name, path }) => `${name}:${path}`).join('\n');
  const parseMounts = (lines: string): Machine['mounts'] =>
    lines.split('\n').filter((line) => line.trim()).map((line) => {
      const [name = '', ...path] = line.trim().split(':');
      return { name, path: path.join(':') };
    });
  return (
    <>
      <Field wide label={text.fields.image} value={props.data.image} onChange={(image) => set({ image })} />
      <Field label={text.fields.cpu} value={String(props.data.cpu)} onChange={(value) => set({ cpu: numberOf(value) })} />
      <Field label={text.fields.memory} value={exactSize(props.data.memory)} onChange={(value) => set({ memory: bytesOf(value) })} />
      <Field label={text.fields.rootfs} value={exactSize(props.data.rootfs)} onChange={(value) => set({ rootfs: value.trim() ? bytesOf(value) : undefined })} />
      <Field
        label={text.fields.port}
        value={String(props.data.health?.http?.port ?? '')}
        onChange={(value) => set({ health: value.trim() ? { ...props.data.health, http: { ...props.data.health?.http, port: numberOf(value) } } : undefined })}
      />
      <Field label={text.fields.gpus} value={String(props.data.gpus ?? '')} onChange={(value) => set({ gpus: value.trim() ? numberOf(value) : undefined })} />
      <Lines label={text.fields.mounts} value={mounts()} onChange={(value) => set({ mounts: parseMounts(value) })} />
      <Lines label={text.fields.env} value={envText(props.data.env)} onChange={(value) => set({ env: value.trim() ? parseEnv(value) : undefined })} />
    </>
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
      <label class="check">
        <input type="checkbox" checked={props.type === 'volume'} onChange={(event) => props.onChange({ type: event.currentTarget.checked ? 'volume' : 'zmount' })} />
        {text.fields.shared}
      </label>
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

function Lines(props: FieldProps): JSX.Element {
  return (
    <label class="wide">
      {props.label}
      <textarea rows="2" spellcheck={false} value={props.value} onChange={(event) => props.onChange(event.currentTarget.value)} />
    </label>
  );
}
