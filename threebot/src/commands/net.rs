// SPDX-License-Identifier: Apache-2.0
//! `threebot net`

use super::net_create::Create;
use crate::{
    application::{Deployed, SealedContract},
    cli::Global,
    device::{DeviceFile, config_folder},
    durable,
    output::{Answer, Usage},
    peer::{Connected, Target},
    sealing::Identity,
    session::{Session, read_key_file},
};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use ipnet::Ipv4Net;
use serde_json::{Value, json};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tfgrid_client::{
    deployment::{Deployment, Network, NetworkPeer},
    peer::{
        PeerError,
        protocol::{FailedCode, Joining},
    },
    primitives::{ContractId, NodeId},
    units::parse_id,
    wireguard::{key_from_text, key_text, new_secret, public_key},
};
use tokio::time::sleep;

/// A node has a tunnel for a new peer within so long.
const READY_WITHIN: Duration = Duration::from_secs(45);
/// From one try to the next.
const TRY_EVERY: Duration = Duration::from_millis(500);
/// What `wg-quick` asks for where a configuration has a name server.
const NEEDS_RESOLVCONF: &str = "
wg-quick needs resolvconf for the names of machines (package openresolv);
--no-dns leaves them out";

#[derive(Subcommand)]
pub enum Net {
    Create(Create),
    Join(Join),
    Show(Show),
}

impl Net {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        match self {
            Self::Create(command) => command.run(global).await,
            Self::Join(command) => command.run(global).await,
            Self::Show(command) => command.run(global).await,
        }
    }
}

/// Join a private network of yours with this computer, by WireGuard
#[derive(Args)]
#[command(after_help = "\
It writes a configuration of WireGuard, for a peer that the `network` of a
deployment names. Its node must be reachable by UDP. wg-quick lets machines have
names with resolvconf, and fails without it: install the package openresolv, or
leave names out with --no-dns.

Examples:
  threebot net join site --new-key         a key, and what to add for it
  threebot net join site                   writes site.conf
  threebot net join site --no-dns          the same without names of machines
  sudo wg-quick up ./site.conf             then machines answer by their names")]
pub struct Join {
    /// Name of the network
    network: String,
    /// The contract whose node is joined; needed if several have the peer
    #[arg(long, value_name = "ID", value_parser = parse_id::<ContractId>)]
    contract: Option<ContractId>,
    /// Name of the peer [default: the one with the key]
    #[arg(long, value_name = "NAME")]
    peer: Option<String>,
    /// File with the secret key of WireGuard, as `wg genkey` prints it [default: wireguard.key beside the device's]
    #[arg(long, value_name = "FILE")]
    private_key: Option<PathBuf>,
    /// Make the key first
    #[arg(long)]
    new_key: bool,
    /// The configuration [default: NETWORK.conf]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Leave out the name server: machines answer by their addresses alone, and wg-quick needs no resolvconf
    #[arg(long)]
    no_dns: bool,
    #[command(flatten)]
    device: DeviceFile,
    #[command(flatten)]
    identity: Identity,
}

/// List your private networks
#[derive(Args)]
pub struct Show {
    #[command(flatten)]
    identity: Identity,
}

/// A contract's part of a private network.
struct Part {
    contract: ContractId,
    node: NodeId,
    name: String,
    /// Whether `threebot net create` has made it, and can add to it.
    is_made: bool,
    network: Network,
    /// The peers with their addresses.
    peers: Vec<(NetworkPeer, Ipv4Addr)>,
}

/// The networks of the caller's contracts, as far as these can be read.
async fn own_parts(global: &Global, identity: &Identity) -> Result<(Vec<Part>, Deployed)> {
    let key = identity.read()?;
    let session = Session::open(global).await?;
    let at = session.grid.finalized().await?;
    let contracts = at.contracts_of_twin(session.twin(&at).await?).await?;
    let deployed = Deployed::read(&at, &contracts, key.as_ref()).await?;
    let open = deployed.open.iter();
    let parts =
        open.flat_map(|(contract, node, deployment)| parts_of(*contract, *node, deployment)).collect();
    Ok((parts, deployed))
}

fn parts_of(contract: ContractId, node: NodeId, deployment: &Deployment) -> Vec<Part> {
    let addresses = deployment.addresses();
    let part = |(name, network): (&str, &Network)| {
        let peer = |peer: &NetworkPeer| {
            let ip = *addresses.get(&(peer.name.clone(), name.to_owned()))?;
            Some((peer.clone(), ip))
        };
        let peers = network.peers.iter().filter_map(peer).collect();
        let is_made = deployment.workloads.len() == 1
            && deployment.application.as_ref().is_some_and(|application| application.name == name);
        Part { contract, node, name: name.to_owned(), is_made, network: network.clone(), peers }
    };
    deployment.networks().map(part).collect()
}

impl Join {
    async fn run(self, global: &Global) -> Result<Answer> {
        let secret = self.secret()?;
        let public = public_key(&secret);
        let (parts, deployed) = own_parts(global, &self.identity).await?;
        let (part, peer, ip) = self.found(&parts, &public, deployed.sealed_note().as_deref())?;
        let connected = Target::new(part.contract, self.device).connect(global).await?;
        let joining = joining(&connected, &part.name).await;
        let direct = connected.peer.direct_ip();
        let joining = connected.done(joining).await?;
        let Some(direct) = direct else {
            bail!(
                "node {} is reached over a relay alone, and WireGuard needs a direct way: have the peer in a contract \
                 on a node with a public address",
                part.node
            );
        };
        let names = (!self.no_dns).then_some(joining.name_server);
        let text = configuration(&part.name, &secret, ip, direct, (&joining, names));
        let file = self.out.unwrap_or_else(|| format!("{}.conf", part.name).into());
        write_secret(&file, &text)?;
        let endpoint = SocketAddr::new(direct, joining.port).to_string();
        let needs = if names.is_some() { NEEDS_RESOLVCONF } else { "" };
        Ok(Answer::new(
            format!(
                "{} has {ip} in {}: `sudo wg-quick up {}` joins it over node {}{needs}",
                peer.name,
                part.name,
                absolute(&file).display(),
                part.node
            ),
            json!({ "contract": part.contract, "network": part.name, "peer": peer.name, "ip": ip,
                    "endpoint": endpoint, "file": absolute(&file), "name_server": names }),
        ))
    }

    fn secret(&self) -> Result<[u8; 32]> {
        let file = match &self.private_key {
            Some(file) => file.clone(),
            None => config_folder("keep the key of WireGuard: name a file for it with --private-key")?
                .join("tfgrid-ledger/wireguard.key"),
        };
        if self.new_key && !file.exists() {
            let secret = new_secret();
            write_secret(&file, &format!("{}\n", key_text(&secret)))?;
            return Ok(secret);
        }
        if !file.exists() {
            bail!(Usage::new(format!(
                "this computer has no key of WireGuard yet ({} isn't there): --new-key makes one",
                file.display()
            )));
        }
        let text = read_key_file(&file)?;
        let wrong = || Usage::new(format!("{} isn't a secret key, as `wg genkey` prints it", file.display()));
        Ok(key_from_text(text.trim()).ok_or_else(wrong)?)
    }

    /// The peer with this key. `sealed` says what of the caller's can't be read.
    fn found<'a>(
        &self,
        parts: &'a [Part],
        key: &[u8; 32],
        sealed: Option<&str>,
    ) -> Result<(&'a Part, &'a NetworkPeer, Ipv4Addr)> {
        let of_network = parts.iter().filter(|part| part.name == self.network);
        let of_network: Vec<_> = of_network
            .filter(|part| self.contract.is_none_or(|contract| contract == part.contract))
            .collect();
        let is_it = |peer: &NetworkPeer| {
            peer.public_key == *key && self.peer.as_ref().is_none_or(|name| *name == peer.name)
        };
        let found =
            of_network.iter().flat_map(|part| part.peers.iter().map(move |(peer, ip)| (*part, peer, *ip)));
        let found: Vec<_> = found.filter(|(_, peer, _)| is_it(peer)).collect();
        let sealed = sealed.map_or_else(String::new, |note| format!("; {note}"));
        match (&found[..], &of_network[..]) {
            ([found], _) => Ok(*found),
            ([], []) => bail!("no contract of yours has the network {:?}{sealed}", self.network),
            ([], [part, ..]) => bail!("{}{sealed}", self.to_add(part, key)),
            (several, _) => {
                let ids: Vec<_> = several.iter().map(|(part, ..)| part.contract.to_string()).collect();
                let text = format!("contracts {} have this peer: choose one with --contract", ids.join(", "));
                bail!(Usage::new(text))
            }
        }
    }

    /// What is to be added to the deployment of a contract.
    fn to_add(&self, part: &Part, key: &[u8; 32]) -> String {
        let Part { contract, node, name, network, .. } = part;
        let (peer, key) = (self.peer.as_deref().unwrap_or("laptop"), key_text(key));
        let lacks = format!("the network {name} has no peer with the key of this computer");
        if part.is_made {
            let subnet = network.subnet;
            return format!(
                "{lacks}. Add it:\n\n  threebot net create {name} --subnet {subnet} --node {node} --peer {peer}={key}\n"
            );
        }
        format!(
            "{lacks}. Add to it in the deployment of contract {contract}, and run `threebot update {contract} -f \
             FILE`:\n\n  peers:\n    - {{ name: {peer}, public_key: {key} }}\n"
        )
    }
}

/// Asks until the node has a tunnel for its peers.
async fn joining(connected: &Connected, network: &str) -> Result<Joining, PeerError> {
    let begun = Instant::now();
    loop {
        match connected.peer.joining(connected.contract, network).await {
            Err(PeerError::Failed(failed))
                if failed.code == FailedCode::NotRunning && begun.elapsed() < READY_WITHIN =>
            {
                sleep(TRY_EVERY).await;
            }
            answer => return answer,
        }
    }
}

/// For `wg-quick`, with names of machines if a name server is given.
fn configuration(
    network: &str,
    secret: &[u8; 32],
    ip: Ipv4Addr,
    node: IpAddr,
    (Joining { public_key, port, subnet, mtu, .. }, names): (&Joining, Option<Ipv4Addr>),
) -> String {
    let dns = names.map_or_else(String::new, |server| format!("DNS = {server}, {network}.internal\n"));
    format!(
        "[Interface]\nPrivateKey = {}\nAddress = {ip}/32\n{dns}MTU = {mtu}\n\n\
         [Peer]\nPublicKey = {}\nEndpoint = {}\nAllowedIPs = {subnet}\nPersistentKeepalive = 25\n",
        key_text(secret),
        key_text(public_key),
        SocketAddr::new(node, *port)
    )
}

/// Writes a file for its user alone. One that is there stays.
fn write_secret(file: &Path, text: &str) -> Result<()> {
    if fs::read(file).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    if file.exists() {
        bail!("{} is there already and has other content: remove it, or name another file", file.display());
    }
    let write = || {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        durable::write_new(file, text.as_bytes())
    };
    write().with_context(|| format!("can't write {}", file.display()))
}

/// `wg-quick` takes a path by its slash.
fn absolute(file: &Path) -> PathBuf {
    std::path::absolute(file).unwrap_or_else(|_| file.to_owned())
}

impl Show {
    async fn run(self, global: &Global) -> Result<Answer> {
        let (parts, deployed) = own_parts(global, &self.identity).await?;
        let mut text = table(&parts, &deployed.sealed);
        text.extend(deployed.sealed_note().map(|note| format!("\n{note}")));
        let values: Vec<Value> = parts.iter().map(value).collect();
        let unread: Vec<ContractId> = deployed.sealed.iter().map(|sealed| sealed.contract).collect();
        let sealed: Vec<Value> = deployed.sealed.iter().flat_map(sealed_values).collect();
        Ok(Answer::new(text, json!({ "networks": values, "unread": unread, "sealed": sealed })))
    }
}

/// Networks, and what the chain says of those that can't be read.
fn table(parts: &[Part], sealed: &[SealedContract]) -> String {
    if parts.is_empty() && sealed.iter().all(|sealed| sealed.ranges.is_empty()) {
        return "you have no private network".into();
    }
    let row = |name: &str, contract: &str, node: &str, range: &str, subnet: &str| {
        format!("{name:<20}  {contract:>8}  {node:>8}  {range:<18}  {subnet}")
    };
    let mut rows = vec![row("NETWORK", "CONTRACT", "NODE", "RANGE", "OF")];
    for Part { contract, node, name, network, peers, .. } in parts {
        let (range, subnet) = (network.range().to_string(), network.subnet.to_string());
        rows.push(row(name, &contract.to_string(), &node.to_string(), &range, &subnet));
        rows.extend(peers.iter().map(|(peer, ip)| format!("  peer {} at {ip}", peer.name)));
    }
    for SealedContract { contract, node, ranges } in sealed {
        let (contract, node) = (contract.to_string(), node.to_string());
        let row =
            |(name, range): &(String, Ipv4Net)| row(name, &contract, &node, &range.to_string(), "sealed");
        rows.extend(ranges.iter().map(row));
    }
    rows.join("\n")
}

fn value(Part { contract, node, name, network, peers, .. }: &Part) -> Value {
    let peer = |(peer, ip): &(NetworkPeer, Ipv4Addr)| {
        let public_key = key_text(&peer.public_key);
        json!({ "name": peer.name, "public_key": public_key, "ip": ip })
    };
    json!({
        "network": name,
        "subnet": network.subnet.to_string(),
        "contract": contract,
        "node": node,
        "range": network.range().to_string(),
        "peers": peers.iter().map(peer).collect::<Vec<_>>(),
    })
}

fn sealed_values(SealedContract { contract, node, ranges }: &SealedContract) -> Vec<Value> {
    let value = |(name, range): &(String, Ipv4Net)| {
        let range = range.to_string();
        json!({ "network": name, "contract": contract, "node": node, "range": range })
    };
    ranges.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;
    use std::os::unix::fs::PermissionsExt;

    fn join(more: &[&str]) -> Join {
        let words = ["threebot", "net", "join", "site"].into_iter().chain(more.iter().copied());
        let Command::Net(Net::Join(join)) = Cli::try_parse_from(words).unwrap().command else {
            panic!("another command")
        };
        join
    }

    /// A contract on node 3 with a peer that has this key.
    fn part(contract: ContractId, key: u8) -> Part {
        let deployment = json!({ "version": 1, "workloads": [{ "name": "site", "type": "network", "data": {
            "subnet": "10.20.0.0/16", "range": "10.20.1.0/24",
            "peers": [{ "name": "laptop", "public_key": key_text(&[key; 32]), "ip": "10.20.1.7" }] } }] });
        let deployment = Deployment::parse(deployment.to_string().as_bytes()).unwrap();
        parts_of(contract, 3, &deployment).remove(0)
    }

    #[test]
    fn a_peer_is_found_by_its_key_or_told_how_to_add() {
        let parts = [part(7, 1), part(8, 1), part(9, 2)];
        let found = |more: &[&str], key: u8| {
            let found = join(more);
            let found = found.found(&parts, &[key; 32], Some("1 of your contracts are sealed"));
            found.map(|(part, peer, ip)| (part.contract, peer.name.clone(), ip.to_string()))
        };
        assert_eq!(found(&[], 2).unwrap(), (9, "laptop".into(), "10.20.1.7".into()));
        assert_eq!(found(&["--contract", "8"], 1).unwrap().0, 8);
        let error = |more: &[&str], key| found(more, key).unwrap_err().to_string();
        assert!(error(&[], 1).contains("contracts 7, 8 have this peer"), "{}", error(&[], 1));
        let add = error(&["--peer", "phone"], 3);
        let line = format!("    - {{ name: phone, public_key: {} }}\n", key_text(&[3; 32]));
        assert!(add.contains(&line) && add.contains("threebot update 7"), "{add}");
        assert!(add.ends_with("; 1 of your contracts are sealed"), "{add}");
        let made = [Part { is_made: true, ..part(7, 1) }];
        let add = join(&[]).found(&made, &[3; 32], None).err().unwrap().to_string();
        let create =
            format!("net create site --subnet 10.20.0.0/16 --node 3 --peer laptop={}", key_text(&[3; 32]));
        assert!(add.contains(&create), "{add}");
        let none = error(&["--contract", "12"], 1);
        assert!(none.contains("no contract of yours has the network \"site\""), "{none}");
    }

    #[test]
    fn the_configuration_leads_to_the_network_alone() {
        let joining = Joining {
            public_key: [2; 32],
            port: 21_000,
            subnet: "10.20.0.0/16".parse().unwrap(),
            name_server: [10, 20, 1, 1].into(),
            mtu: 1_420,
        };
        let node = "2001:db8::1".parse().unwrap();
        let text = |names| configuration("site", &[1; 32], [10, 20, 1, 7].into(), node, (&joining, names));
        let expected = "[Interface]
PrivateKey = AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=
Address = 10.20.1.7/32
DNS = 10.20.1.1, site.internal
MTU = 1420

[Peer]
PublicKey = AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=
Endpoint = [2001:db8::1]:21000
AllowedIPs = 10.20.0.0/16
PersistentKeepalive = 25
";
        assert_eq!(text(Some(joining.name_server)), expected);
        assert_eq!(text(None), expected.replace("DNS = 10.20.1.1, site.internal\n", ""));
    }

    #[test]
    fn a_new_key_is_for_its_user_alone_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/wireguard.key");
        let path = file.display().to_string();
        let error = join(&["--private-key", &path]).secret().unwrap_err().to_string();
        assert!(error.contains("--new-key makes one"), "{error}");
        let made = join(&["--private-key", &path, "--new-key"]).secret().unwrap();
        assert_eq!(join(&["--private-key", &path, "--new-key"]).secret().unwrap(), made);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&file, "not a key").unwrap();
        let error = join(&["--private-key", &path, "--new-key"]).secret().unwrap_err().to_string();
        assert!(error.contains("isn't a secret key") && !error.contains("not a key"), "{error}");
    }

    #[test]
    fn another_file_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site.conf");
        write_secret(&file, "a").unwrap();
        write_secret(&file, "a").unwrap();
        let error = write_secret(&file, "b").unwrap_err().to_string();
        assert!(error.contains("has other content"), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "a");
    }

    #[test]
    fn networks_are_a_table_with_their_peers() {
        let part = part(7, 1);
        let text = table(std::slice::from_ref(&part), &[]);
        let words: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(words, ["site", "7", "3", "10.20.1.0/24", "10.20.0.0/16"]);
        assert_eq!(text.lines().last(), Some("  peer laptop at 10.20.1.7"));
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert_eq!(value(&part)["peers"][0]["ip"], "10.20.1.7");
        assert_eq!(table(&[], &[]), "you have no private network");
    }

    #[test]
    fn networks_that_are_sealed_are_told_as_far_as_known() {
        let sealed = |contract, ranges| Deployed {
            sealed: vec![SealedContract { contract, node: 3, ranges }],
            ..Default::default()
        };
        let lan = sealed(7, vec![("lan".into(), "10.20.1.0/24".parse().unwrap())]);
        let text = table(&[], &lan.sealed);
        let words: Vec<&str> = text.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(words, ["lan", "7", "3", "10.20.1.0/24", "sealed"]);
        let value = json!({ "network": "lan", "contract": 7, "node": 3, "range": "10.20.1.0/24" });
        assert_eq!(sealed_values(&lan.sealed[0]), [value]);
        let note = "1 of your contracts are sealed: --identity with your key opens that";
        assert_eq!(lan.sealed_note().as_deref(), Some(note));
        assert_eq!(table(&[], &sealed(8, Vec::new()).sealed), "you have no private network");
        assert_eq!(Deployed::default().sealed_note(), None);
    }
}
