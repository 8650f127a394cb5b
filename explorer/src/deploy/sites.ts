// SPDX-License-Identifier: Apache-2.0
// Sites behind a web gateway (docs/FORMATS.md §4.7): the rules that the schema can't say.
import { t } from '../texts';
import { isNetwork, isSite, type Network, type Site, type Workload } from './deployment';
import { contains, parseIp, parseNet, type Net } from './networks';

const text = t.deploy.problems;
const MOST_PORT = 65_535;
const MAIL = 25;

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const isName = (name: string): boolean => LABEL.test(name) && !name.startsWith('xn--');
const isDomain = (domain: string): boolean => {
  const labels = domain.split('.');
  return domain.length <= 253 && labels.length > 1 && labels.every((label) => LABEL.test(label)) && !/^\d+$/.test(labels.at(-1) ?? '');
};

interface Backend {
  protocol: string;
  host: string;
  port: number;
}

function parseBackend(address: string): Backend | undefined {
  const [, protocol = '', v6, v4, port] = /^(http|h2c|tcp):\/\/(?:\[([0-9a-fA-F:.]+)\]|([\d.]+)):(\d{1,5})$/.exec(address) ?? [];
  const isIp = v6 === undefined ? parseIp(v4) !== undefined : URL.canParse(`http://[${v6}]/`);
  const number = Number(port);
  return isIp && number >= 1 && number <= MOST_PORT ? { protocol, host: v6 ?? v4 ?? '', port: number } : undefined;
}

const net = (ip: string, prefix: number): Net => ({ first: parseIp(ip) ?? 0, size: 2 ** (32 - prefix) });
/** IPv4 networks that the internet doesn't lead to. */
const NOT_PUBLIC = [
  net('0.0.0.0', 8), net('10.0.0.0', 8), net('100.64.0.0', 10), net('127.0.0.0', 8), net('169.254.0.0', 16), net('172.16.0.0', 12), net('192.0.0.0', 24),
  net('192.0.2.0', 24), net('192.88.99.0', 24), net('192.168.0.0', 16), net('198.18.0.0', 15), net('198.51.100.0', 24), net('203.0.113.0', 24), net('224.0.0.0', 3),
];

function isPublic(host: string): boolean {
  const first = parseIp(host);
  if (first !== undefined) return !NOT_PUBLIC.some((one) => contains(one, { first, size: 1 }));
  return /^[23][0-9a-f]{3}:/i.test(host) && !/^(2001:(:|0*1?[0-9a-f]{0,2}:|0?db8:)|2002:|3fff:(:|0*[0-9a-f]{0,3}:))/i.test(host);
}

type Say = (path: string, message: string) => void;

/** Says each problem of sites. */
export function checkSites(workloads: Workload[], say: Say): void {
  const networks = new Map(workloads.filter(isNetwork).map(({ name, data }) => [name, data]));
  const published = new Set<string>();
  workloads.forEach((workload, i) => {
    if (!isSite(workload)) return;
    const { data } = workload;
    const path = `/workloads/${i}/data`;
    const [field, host] = workload.type === 'gateway-name-proxy' ? (['name', data.name ?? ''] as const) : (['fqdn', data.fqdn ?? ''] as const);
    if (!(field === 'name' ? isName(host) : isDomain(host))) say(`${path}/${field}`, field === 'name' ? text.siteName : text.domain);
    else if (published.has(host)) say(`${path}/${field}`, text.publishedTwice(host));
    published.add(host);
    if (data.proxy_protocol && !data.tls_passthrough) say(`${path}/proxy_protocol`, text.proxyProtocol);
    if (data.tls_passthrough && data.network == null) say(`${path}/tls_passthrough`, text.passthrough);
    const network = data.network == null ? undefined : networks.get(data.network);
    if (data.network != null && !network) return say(`${path}/network`, text.noNetwork(data.network));
    checkBackends(data, network, (at, message) => say(`${path}/backends/${at}`, message));
  });
}

/** Whether an address is for machines of a network: neither the network's own, nor its router's, nor that of all. */
function isForMachines({ subnet, range }: Network, host: string): boolean {
  const [whole, part, ip] = [parseNet(subnet), parseNet(range ?? subnet), parseIp(host)];
  // What is wrong with the network is said there.
  if (!whole || !part) return true;
  return ip !== undefined && ip > whole.first && ip < whole.first + whole.size - 1 && ip !== part.first + 1;
}

function checkBackends({ backends, tls_passthrough }: Site, network: Network | undefined, say: Say): void {
  const parsed = backends.map(parseBackend);
  parsed.forEach((backend, i) => {
    if (!backend) return say(`${i}`, text.backend);
    if ((backend.protocol === 'tcp') !== Boolean(tls_passthrough)) say(`${i}`, tls_passthrough ? text.backendTcp : text.backendHttp);
    else if (backend.protocol !== parsed[0]?.protocol) say(`${i}`, text.backendsDiffer);
    else if (!network && (!isPublic(backend.host) || backend.port === MAIL)) say(`${i}`, text.backendPublic);
    else if (network && !isForMachines(network, backend.host)) say(`${i}`, text.ip(network.subnet));
  });
}
