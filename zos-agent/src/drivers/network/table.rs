// SPDX-License-Identifier: Apache-2.0
//! Names of machines in private networks. The agent writes them, and the resolver reads them.

use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};
use tfgrid_primitives::ContractId;

/// Name of the file in its folder.
pub const FILE: &str = "names.json";
/// Top-level domain for private use.
const DOMAIN: &str = ".internal";

/// Names of machines with their addresses.
pub type Names = BTreeMap<String, BTreeSet<Ipv4Addr>>;

/// All private networks of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Servers that know all other names.
    pub name_servers: Vec<IpAddr>,
    /// The networks that have a namespace.
    pub networks: Vec<NamedNetwork>,
}

/// A private network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedNetwork {
    /// Name of its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What is connected to it.
    pub machines: Vec<NamedMachine>,
    /// What of it isn't on this node.
    #[serde(flatten)]
    pub elsewhere: Elsewhere,
}

/// What of a private network isn't on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elsewhere {
    /// Machines on other nodes, and peers of the owner's.
    #[serde(default, rename = "elsewhere")]
    pub names: Names,
    /// Addresses of the owner's peers here, which ask this node's name server for all names.
    #[serde(default)]
    pub peers: BTreeSet<Ipv4Addr>,
}

/// A machine in a private network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedMachine {
    /// Its contract.
    pub contract: ContractId,
    /// Its name.
    pub name: String,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Whether it may ask for names of the internet.
    pub internet: bool,
}

/// What is known of a name.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Addresses of machines.
    Machines(Vec<Ipv4Addr>),
    /// The name is of a private network, which has no such machine.
    Nothing,
    /// The internet may have it.
    Elsewhere,
    /// The internet may have it, but not for this machine.
    Refused,
    /// The machine isn't known yet.
    NotYet,
}

impl Table {
    /// What a machine with this address in a namespace finds under a name, which is in lower case and without a dot at
    /// the end. A machine in several networks finds names of all.
    pub fn find(&self, namespace: &str, asker: IpAddr, name: &str) -> Found {
        let here = self.networks.iter().find(|network| network.namespace == namespace);
        let is_peer = here.is_some_and(|here| here.elsewhere.peers.iter().any(|ip| *ip == asker));
        let asker = here.and_then(|here| here.machines.iter().find(|machine| machine.ip == asker));
        let is_in = |network: &&NamedNetwork| {
            let has = |asker: &NamedMachine| {
                let is_it =
                    |other: &NamedMachine| (other.contract, &other.name) == (asker.contract, &asker.name);
                network.machines.iter().any(is_it)
            };
            network.namespace == namespace || asker.is_some_and(has)
        };
        let (machine, network) = match name.strip_suffix(DOMAIN) {
            Some(name) => match name.split_once('.') {
                Some((machine, network)) => (machine, Some(network)),
                None => return Found::Nothing,
            },
            None if !name.contains('.') => (name, None),
            None => {
                return match asker {
                    _ if is_peer => Found::Elsewhere,
                    None => Found::NotYet,
                    Some(NamedMachine { internet: true, .. }) => Found::Elsewhere,
                    Some(_) => Found::Refused,
                };
            }
        };
        let networks = self.networks.iter().filter(is_in);
        let networks = networks.filter(|found| network.is_none_or(|network| found.name == network));
        let addresses = networks.flat_map(|network| {
            let here = network.machines.iter().filter(|found| found.name == machine).map(|found| found.ip);
            here.chain(network.elsewhere.names.get(machine).into_iter().flatten().copied())
        });
        let found: Vec<_> = addresses.collect();
        if found.is_empty() { Found::Nothing } else { Found::Machines(found) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(contract: ContractId, name: &str, last: u8, internet: bool) -> NamedMachine {
        NamedMachine { contract, name: name.into(), ip: Ipv4Addr::new(10, 0, 0, last), internet }
    }

    /// Two networks with the same addresses, and a third in which a machine of the first is, too.
    fn table() -> Table {
        let network = |namespace: &str, name: &str, machines: &[NamedMachine]| NamedNetwork {
            namespace: namespace.into(),
            name: name.into(),
            machines: machines.to_vec(),
            elsewhere: Elsewhere::default(),
        };
        Table {
            name_servers: Vec::new(),
            networks: vec![
                network("a", "site", &[machine(1, "web", 2, true), machine(2, "db", 3, false)]),
                network("b", "site", &[machine(3, "web", 2, true)]),
                network("c", "back", &[machine(2, "db", 9, false), machine(2, "store", 4, false)]),
            ],
        }
    }

    fn ask(namespace: &str, last: u8, name: &str) -> Found {
        table().find(namespace, IpAddr::from([10, 0, 0, last]), name)
    }

    fn at(last: &[u8]) -> Found {
        Found::Machines(last.iter().map(|last| Ipv4Addr::new(10, 0, 0, *last)).collect())
    }

    #[test]
    fn a_machine_finds_those_of_its_network_by_both_names() {
        assert_eq!(ask("a", 2, "db"), at(&[3]));
        assert_eq!(ask("a", 2, "db.site.internal"), at(&[3]));
        assert_eq!(ask("a", 2, "web"), at(&[2]));
        // One that isn't known yet, too.
        assert_eq!(ask("a", 7, "db"), at(&[3]));
    }

    #[test]
    fn a_machine_finds_none_of_other_networks() {
        for name in ["db", "db.site.internal", "store", "store.back.internal", "internal", "site.internal"] {
            assert_eq!(ask("b", 2, name), Found::Nothing, "{name}");
        }
        assert_eq!(ask("a", 2, "store.back.internal"), Found::Nothing);
    }

    #[test]
    fn a_machine_in_two_networks_finds_names_of_both() {
        assert_eq!(ask("a", 3, "store.back.internal"), at(&[4]));
        assert_eq!(ask("c", 9, "web.site.internal"), at(&[2]));
        assert_eq!(ask("a", 3, "db"), at(&[3, 9]));
        assert_eq!(ask("a", 3, "db.back.internal"), at(&[9]));
    }

    #[test]
    fn a_name_on_two_nodes_has_both_addresses() {
        let mut table = table();
        let far = |last: u8| BTreeSet::from([Ipv4Addr::new(10, 0, 1, last)]);
        table.networks[0].elsewhere.names = [("db".into(), far(3)), ("far".into(), far(4))].into();
        let ask = |namespace: &str, name: &str| table.find(namespace, IpAddr::from([10, 0, 0, 2]), name);
        let both = vec![Ipv4Addr::new(10, 0, 0, 3), Ipv4Addr::new(10, 0, 1, 3)];
        assert_eq!(ask("a", "db.site.internal"), Found::Machines(both));
        assert_eq!(ask("a", "far"), Found::Machines(vec![Ipv4Addr::new(10, 0, 1, 4)]));
        assert_eq!(ask("b", "far.site.internal"), Found::Nothing);
    }

    #[test]
    fn a_peer_asks_for_all_names_of_its_network_and_the_internet() {
        let mut table = table();
        let laptop = Ipv4Addr::new(10, 0, 0, 9);
        let names = [("laptop".to_owned(), BTreeSet::from([laptop]))].into();
        table.networks[0].elsewhere = Elsewhere { names, peers: [laptop].into() };
        let ask = |namespace: &str, name: &str| table.find(namespace, laptop.into(), name);
        assert_eq!(ask("a", "db"), at(&[3]));
        assert_eq!(ask("a", "laptop.site.internal"), at(&[9]));
        assert_eq!(ask("a", "example.org"), Found::Elsewhere);
        assert_eq!(ask("a", "store.back.internal"), Found::Nothing);
        assert_eq!(ask("b", "example.org"), Found::NotYet);
        assert_eq!(ask("b", "laptop"), Found::Nothing);
    }

    #[test]
    fn names_of_an_earlier_agent_are_read() {
        let text = r#"{"namespace":"a","name":"site","machines":[],"elsewhere":{"db":["10.0.0.3"]}}"#;
        let network: NamedNetwork = serde_json::from_str(text).unwrap();
        let expected = NamedNetwork {
            namespace: "a".into(),
            name: "site".into(),
            machines: Vec::new(),
            elsewhere: Elsewhere {
                names: [("db".to_owned(), BTreeSet::from([Ipv4Addr::new(10, 0, 0, 3)]))].into(),
                peers: BTreeSet::new(),
            },
        };
        assert_eq!(network, expected);
        let text = serde_json::to_string(&expected).unwrap();
        assert_eq!(serde_json::from_str::<NamedNetwork>(&text).unwrap(), expected);
    }

    #[test]
    fn only_a_machine_with_internet_asks_for_other_names() {
        assert_eq!(ask("a", 2, "example.org"), Found::Elsewhere);
        assert_eq!(ask("a", 3, "example.org"), Found::Refused);
        assert_eq!(ask("a", 7, "example.org"), Found::NotYet);
    }
}
