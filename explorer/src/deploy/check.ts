// SPDX-License-Identifier: Apache-2.0
// Whether a node would take a deployment: by the project's schema, then by the rules that a schema can't say.
import { Validator, type OutputUnit, type Schema } from '@cfworker/json-schema';
import schema from '../../../docs/deployment.schema.json';
import { t } from '../texts';
import { compacted, isLogs, isMachine, isVolume, MAX_BYTES, openSecrets, type Deployment, type Text } from './deployment';
import { checkMachine, hasControls } from './machine';
import { checkNetworks } from './networks';
import { checkSites } from './sites';

export interface Problem {
  /** JSON pointer, such as `/workloads/1/data/cpu`. */
  path: string;
  message: string;
  /** Offset in the text, of JSON that doesn't parse. */
  at?: number;
}

const text = t.deploy.problems;
const validator = new Validator(schema as Schema, '2020-12', false);
const MOST_DESCRIPTION = 256;
/** They repeat what their inner errors say. */
const OUTER = new Set(['properties', 'items', '$ref', 'oneOf', 'anyOf', 'false']);
/** Alternatives of the schema in their order, by what tells them apart. */
const TYPES = schema.$defs.Workload.oneOf.map(({ properties }) => properties.type.const);
const HEALTH = schema.$defs.Health.oneOf.map(({ required }) => String(required));

export function check(json: string): Problem[] {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    return [syntaxProblem(json, String((error as Error).message))];
  }
  const { valid, errors } = validator.validate(value);
  if (!valid) return schemaProblems(value, errors);
  return rules(value as Deployment, compacted(json).length);
}

function syntaxProblem(json: string, message: string): Problem {
  const position = /position (\d+)/.exec(message)?.[1];
  const at = position === undefined ? json.length : Number(position);
  return { path: '', message: text.syntax(json.slice(0, at).split('\n').length), at };
}

function schemaProblems(value: unknown, errors: OutputUnit[]): Problem[] {
  const problems = errors
    .filter((error) => !OUTER.has(error.keyword) && concerns(value, error) && isOwn(errors, error))
    .map(({ keyword, instanceLocation, error }): Problem => {
      const [, field] = keyword.endsWith('Properties') ? (/"(.*)"/.exec(error) ?? []) : [];
      const path = pointer(instanceLocation);
      return field === undefined ? { path, message: error } : { path: `${path}/${field}`, message: text.unknownField(field) };
    });
  return problems.filter((one, i) => problems.findIndex(({ path }) => path === one.path) === i);
}

/** Fields that no alternative has are only wrong by themselves where one of the alternatives fits. */
const isOwn = (errors: OutputUnit[], { keyword, instanceLocation }: OutputUnit): boolean =>
  keyword !== 'unevaluatedProperties' || !errors.some((other) => other.keyword === 'oneOf' && other.instanceLocation === instanceLocation);

/** Whether an error belongs to the alternative that the value is meant to be. */
function concerns(value: unknown, { keywordLocation, instanceLocation }: OutputUnit): boolean {
  if (/\/anyOf\/1(\/|$)/.test(keywordLocation)) return false;
  const path = pointer(instanceLocation);
  const [, index] = /^\/workloads\/(\d+)/.exec(path) ?? [];
  if (index === undefined) return true;
  const workload = at(value, `/workloads/${index}`) as { type?: string; data?: { health?: object } } | undefined;
  const [, kind] = /\/items(?:\/\$ref)?\/oneOf\/(\d)/.exec(keywordLocation) ?? [];
  const type = TYPES.indexOf(workload?.type ?? '');
  if (kind !== undefined && type < 0) return path.endsWith('/type');
  if (kind !== undefined && Number(kind) !== type) return false;
  const [, check] = /health.*\/oneOf\/(\d)/.exec(keywordLocation) ?? [];
  const health = HEALTH.findIndex((name) => name in (workload?.data?.health ?? {}));
  return check === undefined || health < 0 || Number(check) === health;
}

const pointer = (location: string): string => decodeURI(location.replace(/^#/, ''));
const at = (value: unknown, path: string): unknown =>
  path.split('/').slice(1).reduce<unknown>((inner, key) => (inner as Record<string, unknown> | undefined)?.[key], value);

/** Names, mounts, images, outputs, secrets, networks and sites. */
function rules(deployment: Deployment, bytes: number): Problem[] {
  const { workloads } = deployment;
  const problems: Problem[] = [];
  const names = new Set<string>();
  const volumes = new Map(workloads.filter(isVolume).map(({ name, type }) => [name, type]));
  const machines = new Set(workloads.filter(isMachine).map(({ name }) => name));
  const sent = new Set<string>();
  const secrets = openSecrets(deployment);
  const refer = (path: string, value: Text | undefined): void => {
    // Sealed ones can't be looked into.
    if (typeof value === 'object' && typeof deployment.secrets !== 'string' && !Object.hasOwn(secrets ?? {}, value.secret)) problems.push({ path, message: text.noSecret(value.secret) });
  };
  const open = (value: Text): string | undefined => (typeof value === 'string' ? value : secrets?.[value.secret]);
  const { description } = deployment;
  if (description != null && (hasControls(description) || new TextEncoder().encode(description).length > MOST_DESCRIPTION)) problems.push({ path: '/description', message: text.description });
  /** Which machine mounts what. */
  const mounted = new Map<string, number>();
  workloads.forEach((workload, i) => {
    const path = `/workloads/${i}`;
    if (names.has(workload.name)) problems.push({ path: `${path}/name`, message: text.twice(workload.name) });
    names.add(workload.name);
    if (isLogs(workload)) {
      const { zmachine, output } = workload.data;
      if (!machines.has(zmachine)) problems.push({ path: `${path}/data/zmachine`, message: text.noMachine(zmachine) });
      else if (sent.has(zmachine)) problems.push({ path: `${path}/data/zmachine`, message: text.sentTwice(zmachine) });
      sent.add(zmachine);
      const address = open(output);
      if (address !== undefined && !isOutput(address)) problems.push({ path: `${path}/data/output`, message: text.output });
      refer(`${path}/data/output`, output);
    }
    if (!isMachine(workload)) return;
    checkMachine(workload.data, open, (field, message) => problems.push({ path: `${path}/data/${field}`, message }));
    for (const [key, value] of Object.entries(workload.data.env ?? {})) refer(`${path}/data/env/${key}`, value);
    for (const [key, value] of Object.entries(workload.data.registry ?? {})) refer(`${path}/data/registry/${key}`, value);
    if (!IMAGE.test(workload.data.image)) problems.push({ path: `${path}/data/image`, message: text.image });
    workload.data.mounts?.forEach(({ name }, j) => {
      const type = volumes.get(name);
      const where = `${path}/data/mounts/${j}/name`;
      if (type === undefined) problems.push({ path: where, message: text.noVolume(name) });
      else if (type === 'zmount' && (mounted.get(name) ?? i) !== i) problems.push({ path: where, message: text.mountedTwice(name) });
      mounted.set(name, mounted.get(name) ?? i);
    });
  });
  checkNetworks(workloads, (path, message) => problems.push({ path, message }));
  checkSites(workloads, (path, message) => problems.push({ path, message }));
  if (bytes > MAX_BYTES) problems.push({ path: '', message: text.tooLong(bytes, MAX_BYTES) });
  return problems;
}

/** A host (with a dot or a port, or localhost), a path, and a tag or digest. */
const IMAGE = /^(localhost|[a-z0-9-]+(\.[a-z0-9-]+)+|[a-z0-9.-]+(?=:\d))(:\d+)?\/[a-z0-9._/-]+(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?(?<=:[\w.-]+|@sha256:[0-9a-f]{64})$/;

/** Where a node sends output: a host over TLS, without credentials that every log would show. */
function isOutput(address: string): boolean {
  if (!URL.canParse(address) || address.includes('#') || new TextEncoder().encode(address).length > MOST_OUTPUT) return false;
  const { protocol, hostname, username, password, pathname, search } = new URL(address);
  if (!hostname || username || password) return false;
  return protocol === 'syslog+tls:' ? pathname.length < 2 && !search : protocol === 'https:' || protocol === 'wss:';
}
const MOST_OUTPUT = 1_024;
