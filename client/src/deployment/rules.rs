// SPDX-License-Identifier: Apache-2.0
//! The rules of `docs/FORMATS.md` §4, from the document down to the string.

use super::{
    ApplicationPart, CAPABILITIES, Check, Cores, Deployment, DiskKind, Health, ImageReference, Interface,
    LastSnapshot, LogOutput, MAX_HOSTNAME_BYTES, MAX_NETWORK_NAME_BYTES, MAX_NETWORKS, MAX_PEERS, MAX_PORTS,
    MAX_START_SECONDS, MAX_STOP_SECONDS, MIN_BYTES, Mount, Network, NetworkPeer, Ports, Registry, Rejection,
    Replaces, Restart, STOP_SIGNALS, Secrets, Text, VERSION, Volume, Workload, WorkloadData, Zlogs, Zmachine,
    addresses, default_internet, default_path, default_rootfs, default_start_seconds, gateways,
    json::{Cursor, Fields},
};
use crate::{
    units::{is_label, parse_bytes},
    wireguard::key_from_text,
};
use ipnet::Ipv4Net;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};
use tfgrid_primitives::{
    FailureCode::{BodyInvalid, BodyNotJson},
    net::Subnet,
    report::MAX_GPUS,
    units::MIB,
};

/// The most that Linux allows where nobody has changed it.
const MAX_OPEN_FILES: u64 = 1 << 20;
const MAX_TEXT_BYTES: usize = 1_024;
/// The fields of a `zmachine`.
const OF_MACHINE: [&str; 25] = [
    "image",
    "registry",
    "cpu",
    "memory",
    "rootfs",
    "user",
    "workdir",
    "hostname",
    "shm",
    "stop_signal",
    "stop_seconds",
    "restart",
    "health",
    "ulimits",
    "gpus",
    "capabilities",
    "interfaces",
    "internet",
    "public_ip",
    "ipv6",
    "ports",
    "mounts",
    "env",
    "entrypoint",
    "args",
];

pub(super) fn deployment(root: &Cursor) -> Result<Deployment, Rejection> {
    // A document without these isn't a deployment at all.
    let no_deployment = |rejection| Rejection { code: BodyNotJson, ..rejection };
    let fields = root.fields().map_err(|rejection| match rejection.path.as_str() {
        "" => no_deployment(rejection),
        _ => rejection,
    })?;
    let version = fields.required("version").map_err(no_deployment)?;
    let workloads_at = fields.required("workloads").map_err(no_deployment)?;

    if version.whole()? != VERSION {
        return Err(version.unsupported(format!("this node knows version {VERSION} only")));
    }
    fields.only(&["version", "description", "application", "replaces", "secrets", "workloads"])?;
    let description = fields.optional("description").map(|at| description(&at)).transpose()?;
    let application = fields.optional("application").map(|at| application_part(&at)).transpose()?;
    let replaces = fields.optional("replaces").map(|at| replaces(&at)).transpose()?;

    let items = workloads_at.items(1..=32)?;
    let workloads = items.iter().map(workload).collect::<Result<Vec<_>, _>>()?;
    check_names_unique(&workloads)?;
    check_peer_names(&workloads)?;
    check_mounts(&workloads)?;
    check_networks(&workloads)?;
    addresses::check(&workloads)?;
    check_logs(&workloads)?;
    gateways::check(&workloads)?;
    let secrets = fields.optional("secrets").map(|at| secrets(&at)).transpose()?;
    let deployment = Deployment { version: VERSION, description, application, replaces, secrets, workloads };
    deployment.check_open_secrets()?;
    Ok(deployment)
}

fn application_part(at: &Cursor) -> Result<ApplicationPart, Rejection> {
    let fields = at.fields()?;
    fields.only(&["name", "part"])?;
    Ok(ApplicationPart { name: name(&fields.required("name")?)?, part: name(&fields.required("part")?)? })
}

fn replaces(at: &Cursor) -> Result<Replaces, Rejection> {
    let fields = at.fields()?;
    fields.only(&["contract", "snapshot"])?;
    let snapshot = fields.optional("snapshot").map(|at| last_snapshot(&at)).transpose()?;
    Ok(Replaces { contract: fields.required("contract")?.whole()?, snapshot })
}

fn last_snapshot(at: &Cursor) -> Result<LastSnapshot, Rejection> {
    let fields = at.fields()?;
    fields.only(&["contract", "taken_at"])?;
    let [contract, taken_at] = [fields.required("contract")?.whole()?, fields.required("taken_at")?.whole()?];
    Ok(LastSnapshot { contract, taken_at })
}

/// A map of texts, or what it became when it was sealed.
fn secrets(at: &Cursor) -> Result<Secrets, Rejection> {
    if let Some(sealed) = at.written_string() {
        return Ok(Secrets::Sealed(sealed.into()));
    }
    let texts = at.fields()?;
    texts
        .iter()
        .map(|(name, at)| Ok((name.to_owned(), at.string()?.to_owned())))
        .collect::<Result<_, _>>()
        .map(Secrets::Open)
}

/// A text that obeys the rule, or the name of a secret.
fn text(at: &Cursor, rule: fn(&str) -> Result<(), String>) -> Result<Text, Rejection> {
    if let Ok(fields) = at.fields() {
        // No message repeats what may be meant as a secret.
        let named = fields.required("secret").and_then(|name| Ok(name.string()?.to_owned()));
        return match (fields.only(&["secret"]), named) {
            (Ok(()), Ok(secret)) => Ok(Text::Secret { secret }),
            _ => Err(at.invalid(r#"is a text, or { "secret": NAME } with a name of `secrets`"#)),
        };
    }
    let text = at.string()?;
    rule(text).map_err(|rule| at.invalid(rule))?;
    Ok(Text::Plain(text.into()))
}

fn description(at: &Cursor) -> Result<String, Rejection> {
    let text = at.string()?;
    if text.len() > 256 {
        return Err(at.invalid(format!("has at most 256 bytes, this has {}", text.len())));
    }
    if text.chars().any(char::is_control) {
        return Err(at.invalid("has no control characters, such as line breaks"));
    }
    Ok(text.into())
}

fn workload(at: &Cursor) -> Result<Workload, Rejection> {
    let fields = at.fields()?;
    let type_at = fields.required("type")?;
    let read = match type_at.string()? {
        "zmachine" => |data: &Cursor| zmachine(data).map(WorkloadData::Zmachine),
        "zmount" => |data: &Cursor| volume(data).map(WorkloadData::Zmount),
        "volume" => |data: &Cursor| volume(data).map(WorkloadData::Volume),
        "zlogs" => |data: &Cursor| zlogs(data).map(WorkloadData::Zlogs),
        "network" => |data: &Cursor| network(data).map(WorkloadData::Network),
        "gateway-name-proxy" => {
            |data: &Cursor| gateways::name_proxy(data).map(WorkloadData::GatewayNameProxy)
        }
        "gateway-fqdn-proxy" => {
            |data: &Cursor| gateways::fqdn_proxy(data).map(WorkloadData::GatewayFqdnProxy)
        }
        other => {
            return Err(type_at.unsupported(format!(
                "the type {other:?} is unknown; known are: zmachine, zmount, volume, zlogs, network, \
                 gateway-name-proxy, gateway-fqdn-proxy"
            )));
        }
    };
    fields.only(&["name", "type", "data"])?;
    Ok(Workload { name: name(&fields.required("name")?)?, data: read(&fields.required("data")?)? })
}

/// Whether a workload may have this name.
pub fn is_workload_name(text: &str) -> bool {
    is_label(text, 32)
}

pub(super) fn name(at: &Cursor) -> Result<String, Rejection> {
    let text = at.string()?;
    if is_workload_name(text) {
        Ok(text.into())
    } else {
        Err(at.invalid(format!(
            "a name has 1 to 32 of a-z, 0-9 and hyphens, none at either end; this is {text:?}"
        )))
    }
}

fn volume(at: &Cursor) -> Result<Volume, Rejection> {
    let fields = at.fields()?;
    fields.only(&["size", "disk"])?;
    let size_at = fields.required("size")?;
    let size = at_least_16_mib(&size_at)?;
    if size % MIB != 0 {
        return Err(size_at.invalid(format!("is whole MiB (multiples of {MIB} bytes), this is {size} bytes")));
    }
    Ok(Volume { size, disk: fields.optional("disk").map(|at| disk(&at)).transpose()? })
}

fn network(at: &Cursor) -> Result<Network, Rejection> {
    let fields = at.fields()?;
    fields.only(&["subnet", "range", "peers"])?;
    let network = Network {
        subnet: subnet(&fields.required("subnet")?)?,
        range: fields.optional("range").map(|at| subnet(&at)).transpose()?,
        peers: fields.optional("peers").map(|at| peers(&at)).transpose()?.unwrap_or_default(),
    };
    match fields.optional("range").filter(|_| !network.subnet.contains(&network.range())) {
        None => Ok(network),
        Some(at) => Err(at.invalid(format!("lies in the subnet {}", network.subnet))),
    }
}

fn peers(at: &Cursor) -> Result<Vec<NetworkPeer>, Rejection> {
    let mut peers: Vec<NetworkPeer> = Vec::new();
    for item in at.items(0..=MAX_PEERS)? {
        let fields = item.fields()?;
        fields.only(&["name", "public_key", "ip"])?;
        let key_at = fields.required("public_key")?;
        let key = key_from_text(key_at.string()?).filter(|key| *key != [0; 32]);
        let public_key =
            key.ok_or_else(|| key_at.invalid("is a public key of WireGuard, as `wg pubkey` prints it"))?;
        if let Some(other) = peers.iter().find(|other| other.public_key == public_key) {
            return Err(key_at.invalid(format!("the peer {:?} has this key already", other.name)));
        }
        let ip = fields.optional("ip").map(|at| ip(&at)).transpose()?;
        peers.push(NetworkPeer { name: name(&fields.required("name")?)?, public_key, ip });
    }
    Ok(peers)
}

/// What a private network may have as its subnet: private, with a prefix of 16 to 30 and no host bits.
pub fn private_subnet(text: &str) -> Option<Ipv4Net> {
    let is_valid =
        |net: &Ipv4Net| Subnet { address: net.addr().octets(), prefix: net.prefix_len() }.is_valid();
    text.parse().ok().filter(is_valid)
}

fn subnet(at: &Cursor) -> Result<Ipv4Net, Rejection> {
    let text = at.string()?;
    private_subnet(text).ok_or_else(|| {
        at.invalid(format!(
            "is a private IPv4 network with a prefix of 16 to 30 and no host bits, \
             such as 10.20.0.0/16; this is {text:?}"
        ))
    })
}

fn disk(at: &Cursor) -> Result<DiskKind, Rejection> {
    match at.string()? {
        "ssd" => Ok(DiskKind::Ssd),
        "hdd" => Ok(DiskKind::Hdd),
        other => Err(at.invalid(format!("is ssd or hdd; this is {other:?}"))),
    }
}

fn zlogs(at: &Cursor) -> Result<Zlogs, Rejection> {
    let fields = at.fields()?;
    fields.only(&["zmachine", "output"])?;
    Ok(Zlogs {
        zmachine: name(&fields.required("zmachine")?)?,
        output: text(&fields.required("output")?, log_output)?,
    })
}

pub(super) fn log_output(text: &str) -> Result<(), String> {
    text.parse::<LogOutput>().map(drop).map_err(|rule| rule.to_string())
}

fn zmachine(at: &Cursor) -> Result<Zmachine, Rejection> {
    let fields = at.fields()?;
    fields.only(&OF_MACHINE)?;
    let memory = at_least_16_mib(&fields.required("memory")?)?;
    let interfaces = fields.optional("interfaces").map(|at| interfaces(&at)).transpose()?.unwrap_or_default();
    let internet =
        fields.optional("internet").map(|at| at.bool()).transpose()?.unwrap_or_else(default_internet);
    let [public_ip, ipv6] =
        [wants_public(&fields, "public_ip", internet)?, wants_public(&fields, "ipv6", internet)?];
    let ports = fields.optional("ports").map(|at| ports(&at, public_ip || ipv6)).transpose()?;
    let health =
        fields.optional("health").map(|at| health(&at, internet || !interfaces.is_empty())).transpose()?;
    Ok(Zmachine {
        image: image(&fields.required("image")?)?,
        registry: fields.optional("registry").map(|at| registry(&at)).transpose()?,
        cpu: cpu(&fields.required("cpu")?)?,
        memory,
        rootfs: fields
            .optional("rootfs")
            .map(|at| at_least_16_mib(&at))
            .transpose()?
            .unwrap_or_else(default_rootfs),
        user: fields.optional("user").map(|at| user(&at)).transpose()?,
        workdir: fields.optional("workdir").map(|at| workdir(&at)).transpose()?,
        hostname: fields.optional("hostname").map(|at| hostname(&at)).transpose()?,
        shm: fields.optional("shm").map(|at| shm(&at, memory)).transpose()?,
        stop_signal: fields.optional("stop_signal").map(|at| stop_signal(&at)).transpose()?,
        stop_seconds: fields.optional("stop_seconds").map(|at| stop_seconds(&at)).transpose()?,
        restart: fields.optional("restart").map(|at| restart(&at)).transpose()?,
        health,
        ulimits: fields.optional("ulimits").map(|at| ulimits(&at, memory)).transpose()?.unwrap_or_default(),
        gpus: fields.optional("gpus").map(|at| gpus(&at)).transpose()?.unwrap_or_default(),
        capabilities: fields
            .optional("capabilities")
            .map(|at| capabilities(&at))
            .transpose()?
            .unwrap_or_default(),
        interfaces,
        internet,
        public_ip,
        ipv6,
        ports: ports.unwrap_or_default(),
        mounts: fields.optional("mounts").map(|at| mounts(&at)).transpose()?.unwrap_or_default(),
        env: fields.optional("env").map(|at| env(&at)).transpose()?.unwrap_or_default(),
        entrypoint: fields.optional("entrypoint").map(|at| words(&at)).transpose()?.unwrap_or_default(),
        args: fields.optional("args").map(|at| words(&at)).transpose()?.unwrap_or_default(),
    })
}

fn image(at: &Cursor) -> Result<String, Rejection> {
    let text = at.string()?;
    text.parse::<ImageReference>().map_err(|rule| at.invalid(format!("{rule}; this is {text:?}")))?;
    Ok(text.into())
}

fn registry(at: &Cursor) -> Result<Registry, Rejection> {
    let fields = at.fields()?;
    fields.only(&["user", "password"])?;
    Ok(Registry {
        user: text(&fields.required("user")?, registry_user)?,
        password: text(&fields.required("password")?, credential)?,
    })
}

pub(super) fn registry_user(text: &str) -> Result<(), String> {
    credential(text)?;
    if text.contains(':') { Err("has no colon".into()) } else { Ok(()) }
}

/// A part of credentials, of which no message says anything. Docker's header for credentials is ambiguous about the
/// characters that are left out.
pub(super) fn credential(text: &str) -> Result<(), String> {
    let is_allowed = |b: u8| (b' '..=b'}').contains(&b) && !matches!(b, b'>' | b'?');
    if (1..=MAX_TEXT_BYTES).contains(&text.len()) && text.bytes().all(is_allowed) {
        Ok(())
    } else {
        Err(format!("has 1 to {MAX_TEXT_BYTES} printable ASCII characters without > ? ~"))
    }
}

fn cpu(at: &Cursor) -> Result<Cores, Rejection> {
    match at.hundredths()? {
        0 => Err(at.invalid("needs 0.01 cores or more")),
        hundredths => Ok(Cores(hundredths)),
    }
}

fn user(at: &Cursor) -> Result<String, Rejection> {
    let text = at.string()?;
    let is_part = |part: &str| {
        (1..=64).contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
    };
    if text.split(':').count() <= 2 && text.split(':').all(is_part) {
        Ok(text.into())
    } else {
        Err(at.invalid(format!(
            "a user is a name or number, with a group after a colon or without, \
             such as app or 1000:50; this is {text:?}"
        )))
    }
}

fn workdir(at: &Cursor) -> Result<String, Rejection> {
    let path = bounded_text(at)?;
    if path.starts_with('/') && !path.chars().any(char::is_control) {
        Ok(path)
    } else {
        Err(at.invalid(format!("a path starts with a slash and has no control characters; this is {path:?}")))
    }
}

fn hostname(at: &Cursor) -> Result<String, Rejection> {
    let text = at.string()?;
    if text.len() <= MAX_HOSTNAME_BYTES && text.split('.').all(|label| is_label(label, 63)) {
        Ok(text.into())
    } else {
        Err(at.invalid(format!(
            "a host name has at most {MAX_HOSTNAME_BYTES} characters: labels of 1 to 63 of a-z, 0-9 and inner hyphens, \
             with dots between them; this is {text:?}"
        )))
    }
}

fn shm(at: &Cursor, memory: u64) -> Result<u64, Rejection> {
    match at.whole()? {
        0 => Err(at.invalid("needs 1 byte or more")),
        bytes if bytes > memory => {
            Err(at
                .invalid(format!("is part of the machine's {memory} bytes of memory; this is {bytes} bytes")))
        }
        bytes => Ok(bytes),
    }
}

fn stop_signal(at: &Cursor) -> Result<String, Rejection> {
    let text = at.string()?;
    if STOP_SIGNALS.contains(&text) {
        Ok(text.into())
    } else {
        Err(at.invalid(format!("is one of {}; this is {text:?}", STOP_SIGNALS.join(", "))))
    }
}

fn stop_seconds(at: &Cursor) -> Result<u64, Rejection> {
    match at.whole()? {
        seconds @ 0..=MAX_STOP_SECONDS => Ok(seconds),
        seconds => Err(at.invalid(format!("is at most {MAX_STOP_SECONDS} seconds, this is {seconds}"))),
    }
}

fn restart(at: &Cursor) -> Result<Restart, Rejection> {
    match at.string()? {
        "always" => Ok(Restart::Always),
        "on-failure" => Ok(Restart::OnFailure),
        "never" => Ok(Restart::Never),
        other => Err(at.invalid(format!("is one of always, on-failure, never; this is {other:?}"))),
    }
}

/// Without a network, only a program can be run.
fn health(at: &Cursor, has_network: bool) -> Result<Health, Rejection> {
    let fields = at.fields()?;
    fields.only(&["http", "tcp", "exec", "start_seconds"])?;
    let check = match (fields.optional("http"), fields.optional("tcp"), fields.optional("exec")) {
        (Some(http), None, None) => {
            let fields = http.fields()?;
            fields.only(&["port", "path"])?;
            let path = fields.optional("path").map(|at| http_path(&at)).transpose()?;
            Check::Http { port: port(&fields.required("port")?)?, path: path.unwrap_or_else(default_path) }
        }
        (None, Some(tcp), None) => {
            let fields = tcp.fields()?;
            fields.only(&["port"])?;
            Check::Tcp { port: port(&fields.required("port")?)? }
        }
        (None, None, Some(exec)) => {
            Check::Exec(exec.items(1..=64)?.iter().map(bounded_text).collect::<Result<_, _>>()?)
        }
        _ => return Err(at.invalid("has exactly one of http, tcp and exec")),
    };
    if !has_network && !matches!(check, Check::Exec(_)) {
        return Err(at.invalid("can't be checked by a connection: the machine has no network"));
    }
    let start_seconds = match fields.optional("start_seconds").map(|at| Ok((at.whole()?, at))).transpose()? {
        None => default_start_seconds(),
        Some((seconds, _)) if seconds <= MAX_START_SECONDS => seconds,
        Some((seconds, at)) => {
            return Err(at.invalid(format!("is at most {MAX_START_SECONDS} seconds, this is {seconds}")));
        }
    };
    Ok(Health { check, start_seconds })
}

fn port(at: &Cursor) -> Result<u16, Rejection> {
    let number = at.whole()?;
    match u16::try_from(number) {
        Ok(port @ 1..) => Ok(port),
        _ => Err(at.invalid(format!("a port is a number from 1 to 65535, this is {number}"))),
    }
}

fn http_path(at: &Cursor) -> Result<String, Rejection> {
    let path = bounded_text(at)?;
    if path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(path)
    } else {
        Err(at.invalid(format!("a path starts with a slash and has printable ASCII only; this is {path:?}")))
    }
}

/// Only limits that concern nobody but the machine: the kernel counts processes, for one, over all machines of a user.
fn ulimits(at: &Cursor, memory: u64) -> Result<BTreeMap<String, u64>, Rejection> {
    let fields = at.fields()?;
    fields.only(&["core", "memlock", "nofile", "stack"])?;
    fields
        .iter()
        .map(|(name, at)| {
            let allowed = if name == "nofile" { 64..=MAX_OPEN_FILES } else { 0..=memory };
            let value = at.whole()?;
            if allowed.contains(&value) {
                return Ok((name.to_owned(), value));
            }
            let (least, most) = allowed.into_inner();
            Err(at.invalid(format!("is a number from {least} to {most}, this is {value}")))
        })
        .collect()
}

fn gpus(at: &Cursor) -> Result<u64, Rejection> {
    match at.whole()? {
        count if count <= MAX_GPUS.into() => Ok(count),
        count => Err(at.invalid(format!("is at most {MAX_GPUS}, this is {count}"))),
    }
}

fn capabilities(at: &Cursor) -> Result<BTreeSet<String>, Rejection> {
    at.items(0..=CAPABILITIES.len())?
        .iter()
        .map(|item| match item.string()? {
            name if CAPABILITIES.contains(&name) => Ok(name.to_owned()),
            name => Err(item.invalid(format!("is one of {}; this is {name:?}", CAPABILITIES.join(", ")))),
        })
        .collect()
}

fn at_least_16_mib(at: &Cursor) -> Result<u64, Rejection> {
    let bytes = at.whole().map_err(|rejection| match at.written_string().map(parse_bytes) {
        Some(Ok(bytes)) => at.invalid(format!("{}: write {bytes}", rejection.message)),
        _ => rejection,
    })?;
    if bytes < MIN_BYTES {
        return Err(at.invalid(format!("needs 16 MiB ({MIN_BYTES} bytes) or more, this is {bytes} bytes")));
    }
    Ok(bytes)
}

fn interfaces(at: &Cursor) -> Result<Vec<Interface>, Rejection> {
    let mut interfaces: Vec<Interface> = Vec::new();
    for item in at.items(0..=MAX_NETWORKS)? {
        let fields = item.fields()?;
        fields.only(&["network", "ip"])?;
        let network_at = fields.required("network")?;
        let network = name(&network_at)?;
        if interfaces.iter().any(|other| other.network == network) {
            return Err(network_at.invalid(format!("the machine has an interface in {network:?} already")));
        }
        interfaces.push(Interface { network, ip: fields.optional("ip").map(|at| ip(&at)).transpose()? });
    }
    Ok(interfaces)
}

/// Whether it asks for a public address, which is of the internet.
fn wants_public(fields: &Fields, name: &str, internet: bool) -> Result<bool, Rejection> {
    let Some(at) = fields.optional(name) else { return Ok(false) };
    let wanted = at.bool()?;
    if wanted && !internet {
        return Err(at.invalid("a machine with a public address reaches the internet: leave out `internet`"));
    }
    Ok(wanted)
}

/// No port is in two of them: they are one set in a node's firewall.
fn ports(at: &Cursor, is_public: bool) -> Result<Vec<Ports>, Rejection> {
    let mut open: Vec<Ports> = Vec::new();
    for item in at.items(0..=MAX_PORTS)? {
        let text = item.string()?;
        let ports: Ports = text.parse().map_err(|rule| item.invalid(format!("{rule}; this is {text:?}")))?;
        if let Some(other) = open.iter().find(|other| other.overlaps(&ports)) {
            return Err(item.invalid(format!("{other} has ports of {ports} already")));
        }
        open.push(ports);
    }
    if !open.is_empty() && !is_public {
        return Err(at.invalid("opens ports of public addresses: ask for one with `public_ip` or `ipv6`"));
    }
    Ok(open)
}

fn ip(at: &Cursor) -> Result<Ipv4Addr, Rejection> {
    let text = at.string()?;
    text.parse().map_err(|_| at.invalid(format!("is an IPv4 address, such as 10.20.1.5; this is {text:?}")))
}

fn mounts(at: &Cursor) -> Result<Vec<Mount>, Rejection> {
    let mut mounts: Vec<Mount> = Vec::new();
    for item in at.items(0..=8)? {
        let fields = item.fields()?;
        fields.only(&["name", "path"])?;
        let path_at = fields.required("path")?;
        let mount = Mount { name: name(&fields.required("name")?)?, path: mount_path(&path_at)? };
        if mounts.iter().any(|other| other.path == mount.path) {
            return Err(path_at.invalid(format!("{:?} is a mount already", mount.path)));
        }
        mounts.push(mount);
    }
    Ok(mounts)
}

fn mount_path(at: &Cursor) -> Result<String, Rejection> {
    let path = at.string()?;
    let Some(relative) = path.strip_prefix('/') else {
        return Err(at.invalid(format!("a path starts with a slash; this is {path:?}")));
    };
    if relative.is_empty() {
        return Err(at.invalid("a volume can't replace the machine's root"));
    }
    if path.chars().any(char::is_control) {
        return Err(at.invalid("a path has no control characters"));
    }
    if relative.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(at.invalid(format!("a path has no empty, `.` or `..` parts; this is {path:?}")));
    }
    if matches!(relative.split('/').next(), Some("proc" | "sys" | "dev")) {
        return Err(at.invalid(format!("/proc, /sys and /dev belong to the system; this is {path:?}")));
    }
    Ok(path.into())
}

fn env(at: &Cursor) -> Result<BTreeMap<String, Text>, Rejection> {
    let fields = at.fields()?;
    fields
        .iter()
        .map(|(key, value)| {
            if key.is_empty() || key.contains(['=', '\0']) {
                return Err(value.invalid(format!(
                    "a variable's name has no `=` and no NUL, and isn't empty; this is {key:?}"
                )));
            }
            Ok((key.to_owned(), self::text(&value, c_string)?))
        })
        .collect()
}

fn words(at: &Cursor) -> Result<Vec<String>, Rejection> {
    at.items(0..=64)?.iter().map(bounded_text).collect()
}

/// A text that becomes a C string: short, and without a NUL.
fn bounded_text(at: &Cursor) -> Result<String, Rejection> {
    let text = at.string()?;
    if text.len() > MAX_TEXT_BYTES {
        return Err(at.invalid(format!("has at most {MAX_TEXT_BYTES} bytes, this has {}", text.len())));
    }
    c_string(text).map_err(|rule| at.invalid(rule))?;
    Ok(text.into())
}

pub(super) fn c_string(text: &str) -> Result<(), String> {
    if text.contains('\0') { Err("has no NUL character".into()) } else { Ok(()) }
}

fn check_names_unique(workloads: &[Workload]) -> Result<(), Rejection> {
    let mut seen = BTreeMap::new();
    for (index, workload) in workloads.iter().enumerate() {
        if let Some(first) = seen.insert(&workload.name, index) {
            return Err(invalid_at(
                format!("/workloads/{index}/name"),
                format!("/workloads/{first} has the name {:?} already", workload.name),
            ));
        }
    }
    Ok(())
}

/// A name in a network is that of one machine or peer.
fn check_peer_names(workloads: &[Workload]) -> Result<(), Rejection> {
    for (index, workload) in workloads.iter().enumerate() {
        let WorkloadData::Network(network) = &workload.data else { continue };
        for (position, NetworkPeer { name, .. }) in network.peers.iter().enumerate() {
            let is_taken = workloads.iter().any(|other| other.name == *name)
                || network.peers[..position].iter().any(|other| other.name == *name);
            if is_taken {
                return Err(invalid_at(
                    format!("/workloads/{index}/data/peers/{position}/name"),
                    format!("another peer or workload has the name {name:?} already"),
                ));
            }
        }
    }
    Ok(())
}

/// Every mount names a volume, and a `zmount` is mounted by one machine.
fn check_mounts(workloads: &[Workload]) -> Result<(), Rejection> {
    let named = |name: &str| workloads.iter().find(|w| w.name == name).map(|w| &w.data);
    let mut owners: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, workload) in workloads.iter().enumerate() {
        let WorkloadData::Zmachine(machine) = &workload.data else { continue };
        for (position, mount) in machine.mounts.iter().enumerate() {
            let path = format!("/workloads/{index}/data/mounts/{position}/name");
            match named(&mount.name) {
                Some(WorkloadData::Volume(_)) => continue,
                Some(WorkloadData::Zmount(_)) => {}
                Some(
                    WorkloadData::Zmachine(_)
                    | WorkloadData::Zlogs(_)
                    | WorkloadData::Network(_)
                    | WorkloadData::GatewayNameProxy(_)
                    | WorkloadData::GatewayFqdnProxy(_),
                )
                | None => {
                    let message = format!("{:?} isn't a zmount or volume of this deployment", mount.name);
                    return Err(invalid_at(path, message));
                }
            }
            match owners.insert(&mount.name, index) {
                Some(owner) if owner != index => {
                    return Err(invalid_at(
                        path,
                        format!(
                            "{:?} is mounted by /workloads/{owner} already; a zmount belongs to one machine, \
                             a volume can be shared",
                            mount.name
                        ),
                    ));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Output is that of a machine, and goes to one address.
fn check_logs(workloads: &[Workload]) -> Result<(), Rejection> {
    let is_machine =
        |name: &str| workloads.iter().any(|w| w.name == name && matches!(w.data, WorkloadData::Zmachine(_)));
    let mut seen = BTreeSet::new();
    for (index, workload) in workloads.iter().enumerate() {
        let WorkloadData::Zlogs(Zlogs { zmachine, .. }) = &workload.data else { continue };
        let message = if !is_machine(zmachine) {
            format!("{zmachine:?} isn't a zmachine of this deployment")
        } else if !seen.insert(zmachine) {
            format!("the output of {zmachine:?} goes to another address already")
        } else {
            continue;
        };
        return Err(invalid_at(format!("/workloads/{index}/data/zmachine"), message));
    }
    Ok(())
}

/// The chain lists so many networks of a contract, with names of that length. A machine may be in all of them, so none
/// has another's addresses.
fn check_networks(workloads: &[Workload]) -> Result<(), Rejection> {
    let mut networks: Vec<(usize, &Network)> = Vec::new();
    for (index, workload) in workloads.iter().enumerate() {
        let WorkloadData::Network(network) = &workload.data else { continue };
        if workload.name.len() > MAX_NETWORK_NAME_BYTES {
            let message = format!("the name of a network has at most {MAX_NETWORK_NAME_BYTES} characters");
            return Err(invalid_at(format!("/workloads/{index}/name"), message));
        }
        if networks.len() == MAX_NETWORKS {
            let message = format!("a deployment has at most {MAX_NETWORKS} networks");
            return Err(invalid_at(format!("/workloads/{index}"), message));
        }
        let overlaps = |other: &Network| {
            other.subnet.contains(&network.subnet) || network.subnet.contains(&other.subnet)
        };
        if let Some((other, _)) = networks.iter().find(|(_, other)| overlaps(other)) {
            let message = format!("/workloads/{other} has addresses of {} already", network.subnet);
            return Err(invalid_at(format!("/workloads/{index}/data/subnet"), message));
        }
        networks.push((index, network));
    }
    Ok(())
}

pub(super) fn invalid_at(path: String, message: String) -> Rejection {
    Rejection::new(BodyInvalid, path, message)
}
