// SPDX-License-Identifier: Apache-2.0
//! The proxy's configuration, written as a whole. Pure.

use super::layout::{Pool, Protocol};
use sp_core::{Blake2Hasher, Hasher};
use std::{
    collections::BTreeMap,
    fmt::Write,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};
use tfgrid_client::deployment::MAX_BACKENDS;

/// Port of HTTP, which serves challenges of certificate authorities and leads to HTTPS.
pub const HTTP: u16 = 80;
/// Port of TLS.
pub const HTTPS: u16 = 443;

/// Limits that hold for all sites: connections, times in which nothing comes, the time for a request's headers, and the
/// one that an old process has for its last connections after a reload. Where the host allows fewer open files than
/// that takes, it goes on with fewer.
const GLOBAL: &str = r#"
    maxconn 20000
    no strict-limits
    mworker-max-reloads 8
    hard-stop-after 5m
    ssl-default-bind-options ssl-min-ver TLSv1.2
    tune.ssl.default-dh-param 2048
defaults common
    timeout connect 3s
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h
    timeout http-request 10s
    timeout queue 5s
    timeout check 2s
    retries 3
    option redispatch 1
    option persist
    balance roundrobin
    default-server check inter 1s fall 2 rise 1 maxconn 1000
defaults raw from common
    mode tcp
    option contstats
defaults front from common
    mode http
    option contstats
defaults web from common
    mode http
    http-reuse safe
    retry-on conn-failure empty-response 503
    http-request disable-l7-retry unless METH_GET
    http-request set-timeout server var(txn.answer)
    option forwardfor
    http-error status 503 content-type text/plain string "This site is published here, but none of its servers answers.\n"
"#;

/// Where all servers of a site have failed their checks, its first is tried all the same: a reload believes its first
/// check, and a pause of the network fails all. It takes `option persist`.
const LAST_RESORT: &str = r"
    use-server s0 unless { nbsrv gt 0 }";

/// Port 80. The names of files are filled in.
const PLAIN: &str = r#"
    tcp-request connection track-sc2 src,ipmask(32,64) table sources
    tcp-request connection reject if { sc2_conn_cur(sources) gt 256 }
    http-request set-var(txn.reply) path,map(CHALLENGES) if { path -m beg /.well-known/acme-challenge/ }
    http-request return status 200 content-type text/plain lf-string "%[var(txn.reply)]" if { var(txn.reply) -m found }
    http-request redirect scheme https code 308 if { req.hdr(host),field(1,:),lower,map(HOSTS) -m found }
    http-request redirect scheme https code 308 if { req.hdr(host),field(1,:),lower,map(PASSTHROUGH) -m found }
    http-request return status 404 content-type text/plain string "No site has this name here.\n"
"#;

/// Port 443, before TLS is ended or passed through. The random number of a client (32 bytes) tells its connections
/// apart: one that is passed through and comes back, such as by another gateway, has a number that is here already.
const TLS: &str = r#"
    tcp-request connection track-sc2 src,ipmask(32,64) table sources
    tcp-request connection reject if { sc2_conn_cur(sources) gt 256 }
    tcp-request inspect-delay 5s
    tcp-request content set-var(txn.route) req.ssl_sni,lower,map(PASSTHROUGH) if { req.ssl_hello_type 1 }
    tcp-request content set-var(txn.backend) var(txn.route),field(1,:) if { var(txn.route) -m found }
    tcp-request content set-var(txn.rate) var(txn.route),field(2,:) if { var(txn.route) -m found }
    tcp-request content set-var(txn.most) var(txn.route),field(4,:) if { var(txn.route) -m found }
    tcp-request content set-var(txn.slow) var(txn.route),field(6,:) if { var(txn.route) -m found }
    tcp-request content track-sc0 var(txn.backend) table limits if { var(txn.backend) -m found }
    tcp-request content reject if { var(txn.backend) -m found } { sc_conn_rate(0,limits),sub(txn.rate) gt 0 }
    tcp-request content reject if { var(txn.backend) -m found } { sc_conn_cur(0,limits),sub(txn.most) gt 0 }
    tcp-request content reject if { var(txn.backend) -m found } { sc_bytes_out_rate(0,limits),sub(txn.slow) gt 0 }
    tcp-request content reject if { var(txn.backend) -m found } { sc_bytes_in_rate(0,limits),sub(txn.slow) gt 0 }
    tcp-request content track-sc1 req.payload(11,32) table hellos if { var(txn.backend) -m found }
    tcp-request content reject if { var(txn.backend) -m found } { sc1_conn_cur(hellos) gt 1 }
    tcp-request content accept if { req.ssl_hello_type 1 }
    tcp-request content reject
    use_backend %[var(txn.backend)] if { var(txn.backend) -m found }
    default_backend terminate
"#;

/// What is counted: by site, by visitor, and by the random number of a TLS client.
const TABLES: &str = r"
backend limits from raw
    stick-table type string len 128 size 100k expire 2m store http_req_rate(1s),conn_rate(1s),conn_cur,bytes_in_rate(1m),bytes_out_rate(1m)
backend sources from raw
    stick-table type ipv6 size 100k expire 1m store conn_cur
backend hellos from raw
    stick-table type binary len 32 size 20k expire 1m store conn_cur
";

/// HTTP, after TLS is ended, first: a request that doesn't state the length of its body goes through a listener that
/// counts, and only such a request pays for that. Over HTTP/2, a `GET` may have a body that its head doesn't announce.
const MEASURED: &str = r#"
    acl is_sized req.hdr(content-length) -m found
    acl is_read method GET HEAD
    acl is_chunked req.hdr(transfer-encoding) -m found
    acl is_upgrade req.hdr(upgrade) -m found
    http-request wait-for-body time 1s if is_read !is_sized !is_chunked !is_upgrade
    http-request set-var(txn.backend) str(counted) if is_chunked || !is_sized !is_read !is_upgrade || !is_sized { req.body_len gt 0 }
    http-request allow if { var(txn.backend) -m found }
"#;

/// Lua that counts bodies and ends requests whose bodies are too long: rules of HAProxy see a body's first bytes alone.
pub const COUNTING: &str = r"local Limit = { flags = filter.FLT_CFG_FL_HTX }
Limit.__index = Limit

function Limit:new()
  return setmetatable({ seen = 0 }, Limit)
end

function Limit:http_headers(txn, message)
  if not message:is_resp() then
    self.most = tonumber(txn:get_var('txn.bytes')) or 0
    filter.register_data_filter(self, message.channel)
  end
end

function Limit:http_payload(txn, message)
  self.seen = self.seen + message:input()
  if self.seen > self.most then
    txn:done(txn:reply{ status = 413 })
  end
end

core.register_filter('body_limit', Limit, function(limit) return limit end)
";

/// HTTP of all requests. A client's own headers about who forwarded what are taken out.
const WEB: &str = r#"
    http-request set-var(txn.route) req.hdr(host),field(1,:),lower,map(HOSTS)
    http-request return status 404 content-type text/plain string "No site has this name here.\n" unless { var(txn.route) -m found }
    http-request set-var(txn.backend) var(txn.route),field(1,:)
    http-request set-var(txn.rate) var(txn.route),field(2,:)
    http-request set-var(txn.bytes) var(txn.route),field(3,:)
    http-request set-var(txn.most) var(txn.route),field(4,:)
    http-request set-var(txn.answer) var(txn.route),field(5,:)
    http-request set-var(txn.slow) var(txn.route),field(6,:)
    http-request track-sc0 var(txn.backend) table limits
    http-request return status 429 content-type text/plain string "Too many requests.\n" if { sc_http_req_rate(0,limits),sub(txn.rate) gt 0 }
    http-request return status 429 content-type text/plain string "Too many requests at the same time.\n" if { sc_conn_cur(0,limits),sub(txn.most) gt 0 }
    http-request return status 429 content-type text/plain string "The traffic that this site has paid for is used up: it is slow.\n" if { sc_bytes_out_rate(0,limits),sub(txn.slow) gt 0 } || { sc_bytes_in_rate(0,limits),sub(txn.slow) gt 0 }
    http-request deny deny_status 413 if { req.hdr_val(content-length),sub(txn.bytes) gt 0 }
    http-request del-header x-forwarded -m beg
    http-request del-header x-real-ip
    http-request del-header forwarded
    http-request set-header x-forwarded-proto https
    http-request set-header x-forwarded-host %[req.hdr(host)]
    http-request set-header x-forwarded-port 443
    use_backend %[var(txn.backend)]
"#;

/// Files of the proxy.
#[derive(Clone, Debug)]
pub struct Files {
    run: PathBuf,
    certificates: PathBuf,
}

impl Files {
    /// Of a node with this folder for what doesn't outlive the host's start, and this one for certificates.
    pub fn new(run: PathBuf, certificates: PathBuf) -> Self {
        Self { run, certificates }
    }

    pub fn folder(&self) -> &Path {
        &self.run
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.run.join("haproxy.cfg")
    }

    /// Socket for changes while it runs.
    pub fn socket(&self) -> PathBuf {
        self.run.join("admin.sock")
    }

    /// Folder that the process that serves requests sees as its root.
    pub fn empty(&self) -> PathBuf {
        self.run.join("empty")
    }

    /// From hosts to backends and limits.
    pub fn hosts(&self) -> PathBuf {
        self.run.join("hosts.map")
    }

    /// The same for hosts whose TLS is passed through.
    pub fn passthrough(&self) -> PathBuf {
        self.run.join("passthrough.map")
    }

    /// From paths to answers for certificate authorities.
    pub fn challenges(&self) -> PathBuf {
        self.run.join("challenges.map")
    }

    /// The file of [`COUNTING`].
    pub fn counting(&self) -> PathBuf {
        self.run.join("counting.lua")
    }

    /// Certificates with their hosts.
    pub fn list(&self) -> PathBuf {
        self.run.join("certificates.list")
    }

    /// Certificate and key of a host, whose name may be longer than one of a file.
    pub fn certificate(&self, host: &str) -> PathBuf {
        let name = hex::encode(&Blake2Hasher::hash(host.as_bytes())[..16]);
        self.certificates.join(format!("{name}.pem"))
    }

    fn filled(&self, rules: &str) -> String {
        rules
            .replace("CHALLENGES", &self.challenges().to_string_lossy())
            .replace("HOSTS", &self.hosts().to_string_lossy())
            .replace("PASSTHROUGH", &self.passthrough().to_string_lossy())
    }
}

/// What only a reload changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    /// Addresses at which it listens.
    pub bind: Vec<IpAddr>,
    /// The listener behind the one of port 443, in the kernel's abstract names.
    pub behind: String,
    /// Host whose certificate unknown names get.
    pub default: String,
    /// Pools of backends: their sizes, and namespaces of their networks with what identifies each.
    pub pools: BTreeMap<Pool, (usize, Option<(String, u64)>)>,
}

impl Structure {
    /// Whether this pool has so many backends that one has this index.
    pub fn has(&self, pool: &Pool, index: usize) -> bool {
        self.pools.get(pool).is_some_and(|(size, _)| index < *size)
    }

    /// Identifies it.
    pub fn hash(&self, files: &Files) -> String {
        let text = self.render(files, &BTreeMap::new(), "") + COUNTING;
        hex::encode(&Blake2Hasher::hash(text.as_bytes())[..8])
    }

    /// The configuration with the servers of these backends.
    pub fn config(&self, files: &Files, servers: &BTreeMap<String, Vec<SocketAddr>>) -> String {
        self.render(files, servers, &self.hash(files))
    }

    fn render(&self, files: &Files, servers: &BTreeMap<String, Vec<SocketAddr>>, hash: &str) -> String {
        let behind = &self.behind;
        let listen = |port: u16| -> String {
            self.bind.iter().map(|ip| format!("\n    bind {}", SocketAddr::new(*ip, port))).collect()
        };
        let certificate = files.certificate(&self.default);
        let mut text = format!(
            "global\n    description {hash}\n    stats socket {} mode 600 level admin expose-fd listeners\n    \
             chroot {}\n    lua-load-per-thread {}{GLOBAL}",
            files.socket().display(),
            files.empty().display(),
            files.counting().display(),
        );
        // Writing to a text can't fail.
        let _ = write!(
            text,
            "frontend plain from front{}{}frontend tls from raw{}{}backend terminate from raw\n    \
             server web abns@{behind} send-proxy-v2 no-check maxconn 0{TABLES}frontend web from front\n    \
             bind abns@{behind} accept-proxy ssl crt {} crt-list {} alpn h2,http/1.1{MEASURED}{}\
             backend counted from front\n    timeout server 2h\n    \
             server web abns@{behind}-counted send-proxy-v2 proto h2 no-check maxconn 0\n\
             frontend counted from front\n    bind abns@{behind}-counted accept-proxy proto h2\n    \
             filter lua.body_limit{}",
            listen(HTTP),
            files.filled(PLAIN),
            listen(HTTPS),
            files.filled(TLS),
            certificate.display(),
            files.list().display(),
            files.filled(WEB),
            files.filled(WEB),
        );
        for (pool, (size, namespace)) in &self.pools {
            for index in 0..*size {
                backend(&mut text, pool, index, namespace.as_ref(), servers);
            }
        }
        text
    }
}

fn backend(
    text: &mut String,
    pool: &Pool,
    index: usize,
    namespace: Option<&(String, u64)>,
    servers: &BTreeMap<String, Vec<SocketAddr>>,
) {
    let defaults = if pool.protocol.is_http() { "web" } else { "raw" };
    let name = pool.backend(index);
    let addresses = servers.get(&name).map(Vec::as_slice).unwrap_or_default();
    let _ = writeln!(text, "backend {name} from {defaults}{LAST_RESORT}");
    if let Some((namespace, id)) = namespace {
        let _ = writeln!(text, "    # {namespace} is {id}");
    }
    for slot in 0..MAX_BACKENDS {
        let address = addresses.get(slot);
        let at = address.map_or_else(|| "0.0.0.0:0".into(), ToString::to_string);
        let protocol = match pool.protocol {
            Protocol::H2c => " proto h2",
            Protocol::Proxy => " send-proxy-v2",
            Protocol::Http | Protocol::Tcp => "",
        };
        let within = namespace.map(|(name, _)| format!(" namespace {name}")).unwrap_or_default();
        let state = if address.is_some() { "" } else { " disabled" };
        let _ = writeln!(text, "    server s{slot} {at}{protocol}{within}{state}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::NetworkId;

    fn files() -> Files {
        Files::new("/run/zos/ab/gateway".into(), "/var/lib/zos/gateway".into())
    }

    fn structure() -> Structure {
        let network = NetworkId { twin: 5, name: "backend".into() };
        let pools = [
            (Pool { network: None, protocol: Protocol::Http }, (1, None)),
            (
                Pool { network: Some(network), protocol: Protocol::H2c },
                (1, Some(("zos-ab-5-backend".into(), 7))),
            ),
        ];
        Structure {
            bind: vec![[192, 0, 2, 1].into(), "2001:db8::1".parse().unwrap()],
            behind: "zos-ab-gateway".into(),
            default: "default".into(),
            pools: pools.into(),
        }
    }

    #[test]
    fn it_listens_at_all_addresses() {
        let text = structure().config(&files(), &BTreeMap::new());
        for bind in ["192.0.2.1:80", "192.0.2.1:443", "[2001:db8::1]:80", "[2001:db8::1]:443"] {
            assert!(text.contains(&format!("\n    bind {bind}\n")), "{bind}: {text}");
        }
    }

    #[test]
    fn a_visitor_has_few_of_all_connections() {
        let text = structure().config(&files(), &BTreeMap::new());
        let reject = "tcp-request connection reject if { sc2_conn_cur(sources) gt 256 }";
        let (_, plain) = text.split_once("frontend plain ").unwrap();
        let (plain, tls) = plain.split_once("frontend tls ").unwrap();
        let (tls, behind) = tls.split_once("frontend web ").unwrap();
        assert!(plain.contains(reject) && tls.contains(reject), "{text}");
        assert!(!behind.contains(reject), "its visitors have passed port 443: {behind}");
        assert!(text.contains("\n    maxconn 20000\n"), "{text}");
    }

    #[test]
    fn within_the_proxy_all_sites_have_no_limit_of_one_server() {
        let text = structure().config(&files(), &BTreeMap::new());
        let within: Vec<&str> = text.lines().filter(|line| line.contains("server web abns@")).collect();
        assert!(within.len() == 2 && within.iter().all(|line| line.ends_with(" maxconn 0")), "{within:?}");
    }

    #[test]
    fn servers_are_no_part_of_the_structure() {
        let servers = [("http.0".to_owned(), vec!["10.20.1.5:8080".parse().unwrap()])].into();
        let text = structure().config(&files(), &servers);
        assert!(text.contains("    server s0 10.20.1.5:8080\n    server s1 0.0.0.0:0 disabled\n"), "{text}");
        assert!(text.contains(&format!("description {}\n", structure().hash(&files()))), "{text}");
    }

    #[test]
    fn another_namespace_of_the_same_name_is_another_structure() {
        let mut other = structure();
        for (_, namespace) in other.pools.values_mut() {
            *namespace = namespace.take().map(|(name, id)| (name, id + 1));
        }
        assert_ne!(other.hash(&files()), structure().hash(&files()));
        let text = structure().config(&files(), &BTreeMap::new());
        assert!(text.contains("server s0 0.0.0.0:0 proto h2 namespace zos-ab-5-backend disabled"), "{text}");
    }
}
