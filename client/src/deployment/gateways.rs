// SPDX-License-Identifier: Apache-2.0
//! Web gateways: a site of the owner's is published under a name or a domain.

use super::{Deployment, Network, Rejection, Workload, WorkloadData, json::Cursor, rules::invalid_at};
use crate::units::{is_label, parse_unique_name};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};
use tfgrid_primitives::net::is_public;

/// The most backends of a site.
pub const MAX_BACKENDS: usize = 4;
/// The most bytes of a name on the gateways.
const MAX_NAME_BYTES: usize = 63;
/// The most bytes of a domain.
const MAX_DOMAIN_BYTES: usize = 253;
/// Port of mail servers.
const SMTP: u16 = 25;

const MAX_REQUEST_BYTES: u64 = 1 << 40;
const MAX_REQUESTS_PER_SECOND: u64 = 100_000;
const MAX_CONNECTIONS: u64 = 2_000;
const MAX_ANSWER_SECONDS: u64 = 3_600;

/// A site under a name below the gateway's domain. The name belongs to the twin, by a name contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct GatewayNameProxy {
    /// The name, such as `shop` for `shop.gw1.example.org`.
    #[schemars(length(max = MAX_NAME_BYTES))]
    pub name: String,
    /// The site.
    #[serde(flatten)]
    pub site: Site,
}

/// A site under a domain of the owner's, which must lead to the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct GatewayFqdnProxy {
    /// The domain, such as `www.example.org`.
    #[schemars(length(max = MAX_DOMAIN_BYTES))]
    pub fqdn: String,
    /// The site.
    #[serde(flatten)]
    pub site: Site,
}

/// Where a gateway sends requests, and how many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Site {
    /// Name of a `network` of this deployment in which the backends are; without it, they have public addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Addresses such as `http://10.20.1.5:8080`, `h2c://…` (HTTP/2 and gRPC without TLS) or, with `tls_passthrough`,
    /// `tcp://10.20.1.5:443`.
    #[schemars(with = "Vec<String>", length(min = 1, max = MAX_BACKENDS))]
    pub backends: Vec<Backend>,
    /// Whether the backends do TLS themselves, with certificates of their own.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tls_passthrough: bool,
    /// Whether the backends are told the client's address by the PROXY protocol, version 2.
    #[serde(default, skip_serializing_if = "is_false")]
    pub proxy_protocol: bool,
    /// Limits of the site.
    #[serde(default, skip_serializing_if = "SiteLimits::is_default")]
    pub limits: SiteLimits,
}

/// Limits of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct SiteLimits {
    /// Bytes that a request says to have.
    #[schemars(range(max = MAX_REQUEST_BYTES))]
    pub request_bytes: u64,
    /// Requests, with `tls_passthrough` connections, in a second.
    #[schemars(range(min = 1, max = MAX_REQUESTS_PER_SECOND))]
    pub requests_per_second: u64,
    /// Requests, with `tls_passthrough` connections, at the same time.
    #[schemars(range(min = 1, max = MAX_CONNECTIONS))]
    pub connections: u64,
    /// Seconds in which a backend says something.
    #[schemars(range(min = 1, max = MAX_ANSWER_SECONDS))]
    pub answer_seconds: u64,
}

impl Default for SiteLimits {
    fn default() -> Self {
        Self { request_bytes: 100 << 20, requests_per_second: 1_000, connections: 1_000, answer_seconds: 60 }
    }
}

impl SiteLimits {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Deployment {
    /// The names on gateways that its sites are to have, each with the JSON pointer to it.
    pub fn site_names(&self) -> impl Iterator<Item = (String, &str)> {
        self.workloads.iter().enumerate().filter_map(|(index, workload)| match &workload.data {
            WorkloadData::GatewayNameProxy(site) => {
                Some((format!("/workloads/{index}/data/name"), site.name.as_str()))
            }
            _ => None,
        })
    }

    /// The addresses of its sites on a gateway with this domain, by the names of their workloads.
    pub fn site_urls(&self, domain: Option<&str>) -> BTreeMap<&str, String> {
        let host = |data: &WorkloadData| match data {
            WorkloadData::GatewayNameProxy(site) => Some(format!("{}.{}", site.name, domain?)),
            WorkloadData::GatewayFqdnProxy(site) => Some(site.fqdn.clone()),
            _ => None,
        };
        let url = |workload: &Workload| Some(format!("https://{}", host(&workload.data)?));
        self.workloads.iter().filter_map(|site| Some((site.name.as_str(), url(site)?))).collect()
    }
}

/// How a gateway talks to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BackendProtocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/2 without TLS.
    H2c,
    /// Whatever the client sends.
    Tcp,
}

/// A program that answers requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend {
    /// How the gateway talks to it.
    pub protocol: BackendProtocol,
    /// Its address.
    pub address: SocketAddr,
}

/// The text isn't an address of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is an address with a port, such as http://10.20.1.5:8080, h2c://10.20.1.5:9000 or tcp://10.20.1.5:443, not a name"
)]
pub struct BackendError;

impl FromStr for Backend {
    type Err = BackendError;

    fn from_str(text: &str) -> Result<Self, BackendError> {
        let (scheme, address) = text.split_once("://").ok_or(BackendError)?;
        let protocol = match scheme {
            "http" => BackendProtocol::Http,
            "h2c" => BackendProtocol::H2c,
            "tcp" => BackendProtocol::Tcp,
            _ => return Err(BackendError),
        };
        let address: SocketAddr = address.parse().map_err(|_| BackendError)?;
        if address.port() == 0 {
            return Err(BackendError);
        }
        Ok(Self { protocol, address })
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            BackendProtocol::Http => "http",
            BackendProtocol::H2c => "h2c",
            BackendProtocol::Tcp => "tcp",
        };
        write!(f, "{scheme}://{}", self.address)
    }
}

impl Serialize for Backend {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Backend {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn is_false(value: &bool) -> bool {
    !*value
}

const SITE_FIELDS: [&str; 5] = ["network", "backends", "tls_passthrough", "proxy_protocol", "limits"];

pub(super) fn name_proxy(at: &Cursor) -> Result<GatewayNameProxy, Rejection> {
    let fields = at.fields()?;
    fields.only(&[&["name"][..], &SITE_FIELDS].concat())?;
    let name_at = fields.required("name")?;
    let name = name_at.string()?;
    let name = parse_unique_name(name).map_err(|error| name_at.invalid(error.to_string()))?;
    Ok(GatewayNameProxy { name, site: site(at)? })
}

pub(super) fn fqdn_proxy(at: &Cursor) -> Result<GatewayFqdnProxy, Rejection> {
    let fields = at.fields()?;
    fields.only(&[&["fqdn"][..], &SITE_FIELDS].concat())?;
    let fqdn_at = fields.required("fqdn")?;
    let fqdn = fqdn_at.string()?;
    if !is_domain(fqdn) {
        return Err(fqdn_at.invalid(format!(
            "a domain has two labels or more of a-z, 0-9 and inner hyphens, such as www.example.org; this is {fqdn:?}"
        )));
    }
    Ok(GatewayFqdnProxy { fqdn: fqdn.into(), site: site(at)? })
}

fn is_domain(text: &str) -> bool {
    let is_number = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    text.len() <= MAX_DOMAIN_BYTES
        && text.split('.').all(|label| is_label(label, 63))
        && text.rsplit_once('.').is_some_and(|(_, top)| !is_number(top))
}

fn site(at: &Cursor) -> Result<Site, Rejection> {
    let fields = at.fields()?;
    let flag = |name| fields.optional(name).map_or(Ok(false), |at| at.bool());
    let network = fields.optional("network").map(|at| at.string().map(str::to_owned)).transpose()?;
    let (tls_passthrough, proxy_protocol) = (flag("tls_passthrough")?, flag("proxy_protocol")?);
    if let Some(at) = fields.optional("proxy_protocol").filter(|_| proxy_protocol && !tls_passthrough) {
        return Err(at.invalid("needs tls_passthrough; others are told by X-Forwarded-For"));
    }
    // Only names in private networks: two gateways could send a connection to each other for ever.
    if let Some(at) = fields.optional("tls_passthrough").filter(|_| tls_passthrough && network.is_none()) {
        return Err(at.invalid("needs a network, in which the backends are"));
    }
    let items = fields.required("backends")?.items(1..=MAX_BACKENDS)?;
    let backends = items
        .iter()
        .map(|at| backend(at, tls_passthrough, network.is_none()))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(other) = backends.iter().position(|other| other.protocol != backends[0].protocol) {
        return Err(items[other].invalid("all backends of a site have the same protocol"));
    }
    let limits = fields.optional("limits").map(|at| limits(&at)).transpose()?.unwrap_or_default();
    Ok(Site { network, backends, tls_passthrough, proxy_protocol, limits })
}

fn backend(at: &Cursor, tls_passthrough: bool, is_public_one: bool) -> Result<Backend, Rejection> {
    let text = at.string()?;
    let backend: Backend =
        text.parse().map_err(|error: BackendError| at.invalid(format!("{error}; this is {text:?}")))?;
    let ip = backend.address.ip();
    match backend.protocol {
        BackendProtocol::Tcp if !tls_passthrough => {
            return Err(at.invalid("tcp:// needs tls_passthrough; others are http:// or h2c://"));
        }
        BackendProtocol::Http | BackendProtocol::H2c if tls_passthrough => {
            return Err(at.invalid("with tls_passthrough, backends are tcp://"));
        }
        _ => {}
    }
    if is_public_one && !is_public(ip.to_canonical()) {
        return Err(at.invalid(format!("without a network, backends have public addresses; {ip} isn't one")));
    }
    if is_public_one && backend.address.port() == SMTP {
        return Err(at.invalid(format!("port {SMTP} is for mail")));
    }
    Ok(backend)
}

fn limits(at: &Cursor) -> Result<SiteLimits, Rejection> {
    let fields = at.fields()?;
    fields.only(&["request_bytes", "requests_per_second", "connections", "answer_seconds"])?;
    let limit = |name, least: u64, most: u64, default: u64| {
        let Some(at) = fields.optional(name) else { return Ok(default) };
        let value = at.whole()?;
        if (least..=most).contains(&value) {
            return Ok(value);
        }
        Err(at.invalid(format!("is a number from {least} to {most}, this is {value}")))
    };
    let default = SiteLimits::default();
    Ok(SiteLimits {
        request_bytes: limit("request_bytes", 0, MAX_REQUEST_BYTES, default.request_bytes)?,
        requests_per_second: limit(
            "requests_per_second",
            1,
            MAX_REQUESTS_PER_SECOND,
            default.requests_per_second,
        )?,
        connections: limit("connections", 1, MAX_CONNECTIONS, default.connections)?,
        answer_seconds: limit("answer_seconds", 1, MAX_ANSWER_SECONDS, default.answer_seconds)?,
    })
}

/// Each name and domain is published once, and backends in a network have addresses for machines there.
pub(super) fn check(workloads: &[Workload]) -> Result<(), Rejection> {
    let networks: BTreeMap<&str, &Network> = workloads
        .iter()
        .filter_map(|workload| match &workload.data {
            WorkloadData::Network(network) => Some((workload.name.as_str(), network)),
            _ => None,
        })
        .collect();
    let mut published = BTreeMap::new();
    for (index, workload) in workloads.iter().enumerate() {
        let (field, host, site) = match &workload.data {
            WorkloadData::GatewayNameProxy(proxy) => ("name", &proxy.name, &proxy.site),
            WorkloadData::GatewayFqdnProxy(proxy) => ("fqdn", &proxy.fqdn, &proxy.site),
            _ => continue,
        };
        let refused =
            |field: &str, message| Err(invalid_at(format!("/workloads/{index}/data/{field}"), message));
        if let Some(first) = published.insert(host, index) {
            return refused(field, format!("/workloads/{first} publishes {host:?} already"));
        }
        let Some(name) = &site.network else { continue };
        let Some(network) = networks.get(name.as_str()) else {
            return refused("network", format!("{name:?} isn't a network of this deployment"));
        };
        for (position, backend) in site.backends.iter().enumerate() {
            if !is_for_machines(network, backend.address.ip()) {
                let message = format!("isn't an address for machines in {}", network.subnet);
                return refused(&format!("backends/{position}"), message);
            }
        }
    }
    Ok(())
}

fn is_for_machines(network: &Network, ip: IpAddr) -> bool {
    let IpAddr::V4(ip) = ip else { return false };
    network.subnet.contains(&ip)
        && ip != network.subnet.network()
        && ip != network.subnet.broadcast()
        && ip != network.gateway()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tfgrid_primitives::FailureCode::{self, BodyInvalid, BodyUnsupported};

    fn name_proxy() -> Value {
        json!({ "name": "shop", "network": "backend", "backends": ["http://10.20.1.5:8080"] })
    }

    fn read(kind: &str, data: Value) -> Result<Deployment, Rejection> {
        let network = json!({ "name": "backend", "type": "network",
                              "data": { "subnet": "10.20.0.0/16", "range": "10.20.1.0/24" } });
        let gateway = json!({ "name": "web", "type": kind, "data": data });
        let document = json!({ "version": 1, "workloads": [network, gateway] });
        Deployment::parse(&serde_json::to_vec(&document).unwrap())
    }

    fn named(field: &str, value: Value) -> Result<Deployment, Rejection> {
        let mut data = name_proxy();
        data[field] = value;
        read("gateway-name-proxy", data)
    }

    fn public(fields: Value) -> Result<Deployment, Rejection> {
        let mut data = json!({ "fqdn": "www.example.org", "backends": ["http://185.69.166.20:80"] });
        data.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        read("gateway-fqdn-proxy", data)
    }

    #[test]
    fn a_site_is_read_and_written_the_same() {
        let passthrough = json!({ "network": "backend", "tls_passthrough": true, "proxy_protocol": true,
                                  "backends": ["tcp://10.20.1.5:443", "tcp://10.20.7.5:443"] });
        let limits = json!({ "limits": { "request_bytes": 0, "connections": 7 } });
        for deployment in [named("name", json!("a")), public(json!({})), public(passthrough), public(limits)]
        {
            let deployment = deployment.unwrap();
            let body = deployment.to_body().unwrap();
            assert_eq!(Deployment::parse(&body).unwrap(), deployment);
        }
        let text = String::from_utf8(public(json!({})).unwrap().to_body().unwrap()).unwrap();
        assert!(
            text.contains(r#""type":"gateway-fqdn-proxy","data":{"fqdn":"www.example.org","backends":["#),
            "{text}"
        );
        assert!(!text.contains("limits"), "{text}");
    }

    #[test]
    fn what_breaks_a_rule_is_refused_where_it_stands() {
        let several = |count| json!(vec!["http://10.20.1.5:80"; count]);
        let cases: Vec<(Result<Deployment, Rejection>, FailureCode, &str)> = vec![
            (named("name", json!("Shop")), BodyInvalid, "/name"),
            (named("name", json!("xn--shop")), BodyInvalid, "/name"),
            (named("fqdn", json!("a.example")), BodyUnsupported, "/fqdn"),
            (named("backends", json!([])), BodyInvalid, "/backends"),
            (named("backends", several(MAX_BACKENDS + 1)), BodyInvalid, "/backends"),
            (named("backends", json!(["10.20.1.5:80"])), BodyInvalid, "/backends/0"),
            (named("backends", json!(["http://web:80"])), BodyInvalid, "/backends/0"),
            (named("backends", json!(["http://10.20.1.5"])), BodyInvalid, "/backends/0"),
            (named("backends", json!(["http://10.20.1.5:0"])), BodyInvalid, "/backends/0"),
            (named("backends", json!(["https://10.20.1.5:80"])), BodyInvalid, "/backends/0"),
            (named("backends", json!(["tcp://10.20.1.5:80"])), BodyInvalid, "/backends/0"),
            (
                named("backends", json!(["http://10.20.1.5:80", "h2c://10.20.1.5:81"])),
                BodyInvalid,
                "/backends/1",
            ),
            // The router's, of another network, public, loopback.
            (named("backends", json!(["http://10.20.1.1:80"])), BodyInvalid, "/backends/0"),
            (named("backends", json!(["http://10.21.1.5:80"])), BodyInvalid, "/backends/0"),
            (named("backends", json!(["http://185.69.166.20:80"])), BodyInvalid, "/backends/0"),
            (named("backends", json!(["http://[::1]:80"])), BodyInvalid, "/backends/0"),
            (named("network", json!("other")), BodyInvalid, "/network"),
            (named("network", json!("web")), BodyInvalid, "/network"),
            (named("tls_passthrough", json!("yes")), BodyInvalid, "/tls_passthrough"),
            (named("tls_passthrough", json!(true)), BodyInvalid, "/backends/0"),
            (named("proxy_protocol", json!(true)), BodyInvalid, "/proxy_protocol"),
            (named("limits", json!({ "connections": 0 })), BodyInvalid, "/limits/connections"),
            (named("limits", json!({ "connections": 2_001 })), BodyInvalid, "/limits/connections"),
            (named("limits", json!({ "bytes": 1 })), BodyUnsupported, "/limits/bytes"),
            (public(json!({ "fqdn": "localhost" })), BodyInvalid, "/fqdn"),
            (public(json!({ "fqdn": "www.example.org." })), BodyInvalid, "/fqdn"),
            (public(json!({ "fqdn": "1.2.3.4" })), BodyInvalid, "/fqdn"),
            (public(json!({ "tls_passthrough": true })), BodyInvalid, "/tls_passthrough"),
            (public(json!({ "backends": ["http://10.20.1.5:80"] })), BodyInvalid, "/backends/0"),
            (public(json!({ "backends": ["http://127.0.0.1:80"] })), BodyInvalid, "/backends/0"),
            (public(json!({ "backends": ["http://169.254.169.254:80"] })), BodyInvalid, "/backends/0"),
            (public(json!({ "backends": ["http://[::ffff:10.0.0.1]:80"] })), BodyInvalid, "/backends/0"),
            (public(json!({ "backends": ["http://185.69.166.20:25"] })), BodyInvalid, "/backends/0"),
        ];
        for (read, code, field) in cases {
            let rejection = read.unwrap_err();
            let expected = (code, format!("/workloads/1/data{field}"));
            assert_eq!((rejection.code, rejection.path.clone()), expected, "{rejection}");
        }
    }

    #[test]
    fn sites_have_names_and_addresses() {
        let named = named("name", json!("shop")).unwrap();
        let names: Vec<_> = named.site_names().collect();
        assert_eq!(names, [("/workloads/1/data/name".to_owned(), "shop")]);
        let url = "https://shop.gw1.example.org".to_owned();
        assert_eq!(named.site_urls(Some("gw1.example.org")), [("web", url)].into());
        assert!(named.site_urls(None).is_empty(), "a gateway without a domain publishes no names");
        let public = public(json!({})).unwrap();
        assert_eq!(public.site_names().count(), 0);
        assert_eq!(public.site_urls(None), [("web", "https://www.example.org".to_owned())].into());
    }

    #[test]
    fn a_host_is_published_once() {
        let gateway = |name: &str| {
            json!({ "name": name, "type": "gateway-name-proxy",
            "data": { "name": "shop", "backends": ["http://185.69.166.20:80"] } })
        };
        let document = json!({ "version": 1, "workloads": [gateway("a"), gateway("b")] });
        let rejection = Deployment::parse(&serde_json::to_vec(&document).unwrap()).unwrap_err();
        assert_eq!(rejection.path, "/workloads/1/data/name");
    }
}
