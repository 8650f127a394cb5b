// SPDX-License-Identifier: Apache-2.0
//! `threebot net create`

use super::deploy::Execution;
use crate::{
    application::{Options, Owned, Running},
    cli::Global,
    output::Answer,
    sealing::{Identity, Sealing},
    session::Session,
    source::Source,
};
use anyhow::{Result, bail};
use clap::Args;
use ipnet::Ipv4Net;
use std::collections::BTreeMap;
use tfgrid_client::{
    deployment::{
        Application, MAX_NETWORK_NAME_BYTES, Network, NetworkPeer, Part, PresentRange, Workload,
        WorkloadData, is_workload_name, private_subnet,
    },
    primitives::NodeId,
    units::parse_id,
    wireguard::key_from_text,
};

/// Make a private network with a part on each of some nodes, or add nodes and peers to it
///
/// It becomes an application with the network's name, which `threebot cancel NAME` ends. Run again, also after an
/// interruption, it creates what is missing.
#[derive(Args)]
#[command(after_help = "\
A deployment whose `network` has this name and subnet, on whatever node, brings
its machines into the network.

Examples:
  threebot net create site --subnet 10.20.0.0/16 --node 1,2
  threebot net create site --subnet 10.20.0.0/16 --node 1 --peer laptop=KEY
  threebot net join site             with the computer that has this key")]
pub struct Create {
    /// Name of the network, which no other one of yours has
    #[arg(value_parser = network_name)]
    network: String,
    /// Addresses of the whole network, such as 10.20.0.0/16
    #[arg(long, value_name = "NET", value_parser = subnet)]
    subnet: Ipv4Net,
    /// Nodes that get a part, each with a range of these addresses
    #[arg(
        long = "node",
        value_name = "ID",
        value_delimiter = ',',
        required = true,
        value_parser = parse_id::<NodeId>
    )]
    nodes: Vec<NodeId>,
    /// A computer that may join over the first of these nodes, by its public key of WireGuard; may be repeated
    #[arg(long = "peer", value_name = "NAME=KEY", value_parser = peer)]
    peers: Vec<NetworkPeer>,
    #[command(flatten)]
    identity: Identity,
    #[command(flatten)]
    execution: Execution,
}

fn network_name(text: &str) -> Result<String, String> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    if is_workload_name(text) && text.len() <= MAX_NETWORK_NAME_BYTES && !is_number {
        return Ok(text.into());
    }
    Err(format!(
        "a network's name has 1 to {MAX_NETWORK_NAME_BYTES} of a-z, 0-9 and hyphens, none at either end, and not \
         digits alone"
    ))
}

fn subnet(text: &str) -> Result<Ipv4Net, String> {
    let rule = "a subnet is private IPv4 with a prefix of 16 to 30 and no host bits, such as 10.20.0.0/16";
    private_subnet(text).ok_or_else(|| rule.into())
}

fn peer(text: &str) -> Result<NetworkPeer, String> {
    let named = text.split_once('=').filter(|(name, _)| is_workload_name(name));
    let parsed = named.and_then(|(name, key)| {
        let public_key = key_from_text(key)?;
        Some(NetworkPeer { name: name.into(), public_key, ip: None })
    });
    parsed.ok_or_else(|| {
        "a peer is NAME=KEY, the name of a-z, 0-9 and hyphens, the key as `wg pubkey` prints it".into()
    })
}

impl Create {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let key = self.identity.read()?;
        let session = Session::open(global).await?;
        let at = session.grid.finalized().await?;
        let contracts = at.contracts_of_twin(session.twin(&at).await?).await?;
        let mut owned = Owned::read(&at, &contracts, key.as_ref()).await?;
        let standing = owned.take(&self.network);
        let application = self.application(&standing, &owned.ranges(&standing))?;
        let (source, sealing) = (Source::without_file(self.network), Sealing::default());
        let options =
            Options { source: &source, sealing: &sealing, key, no_pin: true, prune: false, max_rate: None };
        self.execution.roll_out(&session, application, &options).await
    }

    /// What stands of the network, with what is to be added. `standing` are the contracts of the application that has
    /// its name.
    fn application(&self, standing: &[Running], ranges: &[PresentRange]) -> Result<Application> {
        let name = &self.network;
        if let Some(other) = ranges.iter().find(|range| range.network == *name && range.part.is_none()) {
            bail!(
                "another contract of yours has {} of a network {name:?}: choose another name; `threebot net show` \
                 lists your networks",
                other.range
            );
        }
        let mut parts = BTreeMap::new();
        for running in standing {
            parts.insert(running.part.clone(), self.standing(running)?);
        }
        for node in &self.nodes {
            if !parts.values().any(|part| part.node == Some(*node)) {
                parts.insert(format!("node-{node}"), self.part(*node, Vec::new()));
            }
        }
        let first = self.nodes.first().copied();
        for part in parts.values_mut().filter(|part| part.node == first) {
            self.add_peers(part);
        }
        Ok(Application { version: 1, name: name.clone(), spread: None, parts })
    }

    /// A contract that an earlier run has made.
    fn standing(&self, running: &Running) -> Result<Part> {
        let (name, Running { contract, node, state, .. }) = (&self.network, running);
        match &state.deployment.workloads[..] {
            [Workload { name: present, data: WorkloadData::Network(network) }] if present == name => {
                if network.subnet != self.subnet {
                    bail!(
                        "your network {name:?} has the subnet {} (contract {contract}), and keeps it: choose another \
                         name, or leave it at --subnet {0}",
                        network.subnet
                    );
                }
                Ok(self.part(*node, network.peers.clone()))
            }
            _ => bail!(
                "contract {contract} is a part of your application {name:?}, which isn't a network alone: choose \
                 another name"
            ),
        }
    }

    fn part(&self, node: NodeId, peers: Vec<NetworkPeer>) -> Part {
        let network = Network { subnet: self.subnet, range: None, peers };
        let workload = Workload { name: self.network.clone(), data: WorkloadData::Network(network) };
        Part { node: Some(node), workloads: vec![workload], ..Part::default() }
    }

    /// One with the name of a peer that is there replaces it.
    fn add_peers(&self, part: &mut Part) {
        for workload in &mut part.workloads {
            if let WorkloadData::Network(network) = &mut workload.data {
                network.peers.retain(|peer| self.peers.iter().all(|new| new.name != peer.name));
                network.peers.extend(self.peers.iter().cloned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        application::State,
        cli::{Cli, Command},
        commands::net::Net,
    };
    use clap::Parser;
    use tfgrid_client::{primitives::Rates, wireguard::key_text};

    fn create(more: &[&str]) -> Result<Create> {
        let words = ["threebot", "net", "create", "site", "--subnet", "10.20.0.0/16"];
        let words = words.into_iter().chain(more.iter().copied());
        let Command::Net(Net::Create(create)) = Cli::try_parse_from(words)?.command else {
            bail!("another command")
        };
        Ok(create)
    }

    fn made(more: &[&str], standing: &[Running]) -> Result<Application> {
        create(more)?.application(standing, &[])
    }

    /// The contracts of the parts of an application.
    fn running(application: &Application) -> Vec<Running> {
        let contract = |(id, (name, part)): (u64, (&String, &Part))| {
            let deployment = application.deployment(name, part);
            Running {
                contract: id,
                application: application.name.clone(),
                part: name.clone(),
                node: part.node.unwrap(),
                state: State { resources: deployment.least_reservation(), deployment, public_ips: 0 },
                is_deployed: true,
                pending: None,
                rates: Rates::ZERO,
            }
        };
        (7..).zip(&application.parts).map(contract).collect()
    }

    fn peers_of(application: &Application, part: &str) -> Vec<(String, [u8; 32])> {
        let WorkloadData::Network(network) = &application.parts[part].workloads[0].data else {
            panic!("no network")
        };
        network.peers.iter().map(|peer| (peer.name.clone(), peer.public_key)).collect()
    }

    #[test]
    fn each_node_gets_a_part_that_its_chain_takes() {
        let mut site = made(&["--node", "3,9", "--node", "3"], &[]).unwrap();
        site.assign_ranges(&[]).unwrap();
        let bodies = site.parts.iter().map(|(name, part)| {
            let deployment = site.deployment(name, part);
            (part.node, String::from_utf8(deployment.to_body().unwrap()).unwrap())
        });
        let body = |node: u32, range: &str| {
            let part = format!(r#""application":{{"name":"site","part":"node-{node}"}}"#);
            let data = format!(r#"{{"subnet":"10.20.0.0/16","range":"{range}"}}"#);
            format!(
                r#"{{"version":1,{part},"workloads":[{{"name":"site","type":"network","data":{data}}}]}}"#
            )
        };
        let expected = [(Some(3), body(3, "10.20.0.0/24")), (Some(9), body(9, "10.20.1.0/24"))];
        assert_eq!(bodies.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_stands_stays_and_gets_nodes_and_peers() {
        let [one, two] = [[1; 32], [2; 32]];
        let laptop = |key| format!("laptop={}", key_text(&key));
        let site = made(&["--node", "3", "--peer", &laptop(one)], &[]).unwrap();
        let grown = made(&["--node", "9"], &running(&site)).unwrap();
        assert_eq!(grown.parts.keys().collect::<Vec<_>>(), ["node-3", "node-9"]);
        assert_eq!(peers_of(&grown, "node-3"), [("laptop".to_owned(), one)]);
        let changed = made(&["--node", "3", "--peer", &laptop(two)], &running(&grown)).unwrap();
        assert_eq!(peers_of(&changed, "node-3"), [("laptop".to_owned(), two)]);
        assert!(peers_of(&changed, "node-9").is_empty());
        assert_eq!(made(&["--node", "3,9"], &running(&changed)).unwrap(), changed);
    }

    #[test]
    fn a_name_that_is_taken_is_refused_with_by_what() {
        let error = |standing: &[Running], ranges: &[PresentRange]| {
            create(&["--node", "3"]).unwrap().application(standing, ranges).unwrap_err().to_string()
        };
        let range = "10.20.4.0/24".parse().unwrap();
        let other = error(&[], &[PresentRange { network: "site".into(), part: None, range }]);
        assert!(other.contains("another contract of yours has 10.20.4.0/24"), "{other}");
        let mut site = made(&["--node", "3"], &[]).unwrap();
        if let WorkloadData::Network(network) = &mut site.parts.get_mut("node-3").unwrap().workloads[0].data {
            network.subnet = "10.30.0.0/16".parse().unwrap();
        }
        let subnet = error(&running(&site), &[]);
        assert!(subnet.contains("has the subnet 10.30.0.0/16 (contract 7)"), "{subnet}");
        site.parts.get_mut("node-3").unwrap().workloads[0].name = "backend".into();
        let application = error(&running(&site), &[]);
        assert!(application.contains("contract 7 is a part of your application \"site\""), "{application}");
    }

    #[test]
    fn wrong_names_subnets_and_peers_are_refused() {
        for wrong in ["Site", "7", "a-network-of-that-length", "-a", ""] {
            assert!(network_name(wrong).unwrap_err().contains("not digits alone"), "{wrong}");
        }
        for wrong in ["8.8.0.0/16", "10.20.0.1/16", "10.0.0.0/8", "10.20.0.0"] {
            assert!(subnet(wrong).unwrap_err().contains("such as 10.20.0.0/16"), "{wrong}");
        }
        let key = key_text(&[1; 32]);
        for wrong in ["laptop", "laptop=", &key, &format!("My Laptop={key}")] {
            assert!(peer(wrong).unwrap_err().contains("NAME=KEY"), "{wrong}");
        }
        assert!(create(&[]).is_err(), "no node is named");
    }
}
