// SPDX-License-Identifier: Apache-2.0
//! Public addresses: the host routes each to its machine over a link of its own, and answers for it on the public
//! interface. No network is shared on which a machine could take another's.
//!
//! What is set is kept in a file, from which observation puts back what is missing in the kernel. Links end with the
//! runs of their machines; until the next one, packets to its addresses are dropped.

mod kernel;
mod link;
mod rules;

pub(crate) use link::TC;

use super::{
    AddressDriver, AddressSpec, Counted, DriverError, ObservedAddresses, ObservedLink, Process,
    TrafficCounter, WorkloadId, counters,
    firewall::NFT,
    forwarding::Forwarding,
    gateway::Gateway,
    machine::names::base36,
    network::short_hash,
    tools::{run, run_with_input},
    uplink,
};
use crate::store::Store;
use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use kernel::Kernel;
use link::{Link, PREFIX};
use rules::{Host, Machine, rules};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    str::FromStr,
    sync::Arc,
};
use tfgrid_primitives::{ContractId, FailureCode, PublicKey};
use tokio::sync::Mutex;
use tracing::{info, warn};

const FILE: &str = "addresses.json";
/// What links take part in is decided by the rules here, not by Docker's.
const FORWARDING: Forwarding = Forwarding([&["-i", "za+", "-j", "ACCEPT"], &["-o", "za+", "-j", "ACCEPT"]]);

/// The interface that public addresses are reached by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicInterface {
    /// That of the default route.
    Default,
    /// The one with this name.
    Named(String),
}

impl FromStr for PublicInterface {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@');
        match text {
            "default" => Ok(Self::Default),
            _ if (1..=15).contains(&text.len()) && text.bytes().all(is_allowed) => {
                Ok(Self::Named(text.into()))
            }
            _ => {
                Err("write the interface's name, such as eth0, or default for that of the default route"
                    .into())
            }
        }
    }
}

/// The public interface as it is now.
struct Uplink {
    name: String,
    mtu: u32,
    /// Whether the default route leads over it.
    is_default: bool,
}

/// What is set.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Memory {
    contracts: BTreeMap<ContractId, BTreeMap<String, AddressSpec>>,
    /// Addresses that nobody has any more, of which the kernel may have something.
    leaving: BTreeSet<IpAddr>,
}

impl Memory {
    fn machines(&self) -> impl Iterator<Item = (WorkloadId, &AddressSpec)> {
        self.contracts.iter().flat_map(|(contract, machines)| {
            let contract = *contract;
            machines.iter().map(move |(name, spec)| (WorkloadId { contract, name: name.clone() }, spec))
        })
    }

    fn spec(&self, id: &WorkloadId) -> Option<&AddressSpec> {
        self.contracts.get(&id.contract)?.get(&id.name)
    }

    fn is_empty(&self) -> bool {
        self.contracts.is_empty() && self.leaving.is_empty()
    }

    /// Another contract that has one of the addresses of these machines.
    fn holder(
        &self,
        contract: ContractId,
        machines: &BTreeMap<String, AddressSpec>,
    ) -> Option<(ContractId, IpAddr)> {
        let wanted: BTreeSet<IpAddr> = machines.values().flat_map(AddressSpec::ips).collect();
        let others = self.machines().filter(|(id, _)| id.contract != contract);
        let mut held = others.flat_map(|(id, spec)| spec.ips().into_iter().map(move |ip| (id.contract, ip)));
        held.find(|(_, ip)| wanted.contains(ip))
    }

    /// Gives a contract these machines. What it had leaves, unless it is somebody's.
    fn set(&mut self, contract: ContractId, machines: &BTreeMap<String, AddressSpec>) {
        let before = self.contracts.remove(&contract).unwrap_or_default();
        self.leaving.extend(before.values().flat_map(AddressSpec::ips));
        if !machines.is_empty() {
            self.contracts.insert(contract, machines.clone());
        }
        let wanted: BTreeSet<IpAddr> = self.machines().flat_map(|(_, spec)| spec.ips()).collect();
        self.leaving.retain(|ip| !wanted.contains(ip));
    }
}

struct State {
    memory: Memory,
    /// Contracts whose machines are slow.
    slow: BTreeSet<ContractId>,
}

/// The public addresses of a node.
pub struct PublicAddresses {
    node: PublicKey,
    table: String,
    store: Store,
    interface: Option<PublicInterface>,
    name_servers: Vec<IpAddr>,
    allow_smtp: bool,
    gateway: Option<Arc<Gateway>>,
    /// Held while something is changed.
    state: Mutex<State>,
}

impl PublicAddresses {
    /// Addresses of the node with this key, reached by `interface`; without one, it serves none. What is set is kept in
    /// `store`. With `allow_smtp` machines reach mail servers; they ask these name servers.
    ///
    /// # Errors
    /// If the file in the store is damaged.
    pub fn new(
        node: &PublicKey,
        store: Store,
        interface: Option<PublicInterface>,
        name_servers: Vec<IpAddr>,
        allow_smtp: bool,
    ) -> Result<Self> {
        let memory = store.read(FILE)?.unwrap_or_default();
        let table = format!("zos-public-{}", hex::encode(&node[..4]));
        let state = Mutex::new(State { memory, slow: BTreeSet::new() });
        Ok(Self { node: *node, table, store, interface, name_servers, allow_smtp, gateway: None, state })
    }

    /// Machines reach the sites of this gateway.
    #[must_use]
    pub fn with_gateway(self, gateway: Arc<Gateway>) -> Self {
        Self { gateway: Some(gateway), ..self }
    }

    /// Checks that the public interface is there.
    ///
    /// # Errors
    /// If it isn't.
    pub async fn ensure_ready(&self) -> Result<()> {
        match self.interface {
            Some(_) => self.uplink().await.map(drop),
            None => Ok(()),
        }
    }

    /// Removes everything of the node's public addresses; returns their number.
    ///
    /// # Errors
    /// If something can't be removed.
    pub async fn purge(&self) -> Result<usize> {
        let mut state = self.state.lock().await;
        for (name, _) in self.links().await? {
            link::delete(&name).await?;
        }
        let contracts: Vec<ContractId> = state.memory.contracts.keys().copied().collect();
        for contract in contracts {
            state.memory.set(contract, &BTreeMap::new());
        }
        let count = state.memory.leaving.len();
        self.apply(&mut state.memory).await?;
        Ok(count)
    }

    /// Name of a machine's link, unique on this host.
    fn link(&self, machine: &WorkloadId) -> String {
        let hash = short_hash(&format!("{} {machine}", hex::encode(self.node)));
        format!("{PREFIX}{}", base36(hash >> 8))
    }

    /// The node's links, by their names.
    async fn links(&self) -> Result<Vec<(String, Link)>> {
        let links = link::all().await?.into_iter();
        Ok(links.filter(|(name, link)| *name == self.link(&link.machine)).collect())
    }

    async fn uplink(&self) -> Result<Uplink> {
        let default = uplink::interface().await?;
        let name = match &self.interface {
            Some(PublicInterface::Named(name)) => name.clone(),
            Some(PublicInterface::Default) => default.clone().context(
                "this machine has no default route: name the public interface with --public-interface",
            )?,
            None => {
                bail!("machines have public addresses: name their interface with --public-interface again")
            }
        };
        let mtu = uplink::mtu_of(&name).await;
        let mtu = mtu.with_context(|| format!("can't serve public addresses by the interface {name}"))?;
        Ok(Uplink { mtu, is_default: default.as_ref() == Some(&name), name })
    }

    /// Makes the kernel have what is set, and nothing of what leaves.
    async fn apply(&self, memory: &mut Memory) -> Result<()> {
        let uplink = if memory.contracts.is_empty() { None } else { Some(self.uplink().await?) };
        let kernel = Kernel::read().await?;
        match &uplink {
            Some(uplink) => {
                FORWARDING.allow().await?;
                let addresses: Vec<_> =
                    memory.machines().flat_map(|(_, spec)| spec.addresses.iter().copied()).collect();
                kernel.add(&addresses, &uplink.name, !uplink.is_default).await?;
                self.set_rules(memory, uplink).await?;
            }
            None => {
                let table = &self.table;
                run_with_input(
                    &NFT,
                    &["-f", "-"],
                    &format!("add table inet {table}\ndelete table inet {table}\n"),
                )
                .await?;
                if link::all().await?.is_empty() {
                    FORWARDING.forbid().await;
                }
            }
        }
        kernel.remove(&memory.leaving).await?;
        if !memory.leaving.is_empty() {
            memory.leaving.clear();
            self.store.write(FILE, memory)?;
        }
        Ok(())
    }

    /// Sets the rules, unless they are in place.
    async fn set_rules(&self, memory: &Memory, uplink: &Uplink) -> Result<()> {
        let Self { table, allow_smtp, .. } = self;
        let machines: Vec<Machine> = memory
            .machines()
            .map(|(id, spec)| Machine { contract: id.contract, link: self.link(&id), spec })
            .collect();
        let gateway = self.gateway.as_ref().map(|gateway| gateway.addresses()).unwrap_or_default();
        let host =
            Host { table, uplink: &uplink.name, mtu: uplink.mtu, allow_smtp: *allow_smtp, gateway: &gateway };
        let (rules, mark) = rules(&host, &machines);
        let listed = run(&NFT, &["list", "table", "inet", table]).await;
        if listed.as_ref().is_ok_and(|listed| listed.contains(&mark)) {
            return Ok(());
        }
        let there = self.counters().await?;
        let contracts = memory.contracts.keys().copied().collect();
        run_with_input(&NFT, &["-f", "-"], &counters::script(table, &rules, &contracts, there.keys()))
            .await
            .context("can't set the rules for public addresses")?;
        info!(interface = uplink.name, machines = machines.len(), "rules for public addresses are set");
        Ok(())
    }

    async fn shape(&self, slow: &BTreeSet<ContractId>) -> Result<()> {
        for (name, link) in self.links().await? {
            // A machine that ends meanwhile takes its link along.
            if let Err(error) = link::shape(&name, &link, slow.contains(&link.machine.contract)).await {
                warn!(
                    contract = link.machine.contract,
                    machine = %link.machine,
                    why = format!("{error:#}"),
                    "can't set the speed of its public addresses"
                );
            }
        }
        Ok(())
    }

    async fn counters(&self) -> Result<BTreeMap<String, u64>> {
        counters::read(&run(&NFT, &counters::LIST).await?, &self.table)
    }
}

#[async_trait]
impl AddressDriver for PublicAddresses {
    async fn observe(&self) -> Result<ObservedAddresses, DriverError> {
        let mut state = self.state.lock().await;
        if state.memory.is_empty() {
            return Ok(ObservedAddresses::default());
        }
        self.apply(&mut state.memory).await?;
        let links = self.links().await?.into_iter().map(|(_, link)| ObservedLink {
            machine: link.machine,
            instance: link.instance,
            ips: link.ips,
        });
        let machines = state.memory.machines().map(|(id, spec)| (id, spec.clone())).collect();
        Ok(ObservedAddresses { machines, links: links.collect() })
    }

    async fn set(
        &self,
        contract: ContractId,
        machines: &BTreeMap<String, AddressSpec>,
    ) -> Result<(), DriverError> {
        let mut state = self.state.lock().await;
        if self.interface.is_none() && !machines.is_empty() {
            return Err(DriverError::Invalid {
                code: FailureCode::BodyUnsupported,
                field: "",
                message: "this node serves no public addresses".into(),
            });
        }
        // No rules have room for two, and without rules nobody has an address.
        if let Some((other, ip)) = state.memory.holder(contract, machines) {
            return Err(DriverError::transient(format!("contract {other} has the address {ip}")));
        }
        // Before anything is changed: after a crash, nothing is forgotten.
        state.memory.set(contract, machines);
        self.store.write(FILE, &state.memory)?;
        for (name, link) in self.links().await? {
            let stays = machines.get(&link.machine.name).is_some_and(|spec| spec.ips() == link.ips);
            if link.machine.contract == contract && !stays {
                link::delete(&name).await?;
            }
        }
        self.apply(&mut state.memory).await?;
        let ips: Vec<IpAddr> = machines.values().flat_map(AddressSpec::ips).collect();
        info!(contract, ?ips, "public addresses");
        Ok(())
    }

    async fn attach(&self, id: &WorkloadId, process: &Process) -> Result<(), DriverError> {
        let state = self.state.lock().await;
        let Some(spec) = state.memory.spec(id) else { return Ok(()) };
        let uplink = self.uplink().await?;
        let name = self.link(id);
        link::connect(&name, id, process, spec, &self.name_servers, uplink.mtu).await?;
        if state.slow.contains(&id.contract) {
            self.shape(&state.slow).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl TrafficCounter for PublicAddresses {
    fn class(&self) -> &'static str {
        "public"
    }

    async fn counted(&self) -> Result<BTreeMap<ContractId, Counted>, DriverError> {
        let mut contracts: BTreeMap<ContractId, Counted> = BTreeMap::new();
        if self.state.lock().await.memory.contracts.is_empty() {
            return Ok(contracts);
        }
        counters::add(&mut contracts, &self.counters().await?);
        Ok(contracts)
    }

    async fn slow_down(&self, contracts: &BTreeSet<ContractId>) -> Result<(), DriverError> {
        let mut state = self.state.lock().await;
        state.slow.clone_from(contracts);
        Ok(self.shape(&state.slow).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_client::public_ip::PublicAddress;

    fn spec(ip: &str) -> AddressSpec {
        let address = PublicAddress { ip: ip.parse().unwrap(), gateway: [11, 1, 1, 1].into() };
        AddressSpec { addresses: vec![address], ports: Vec::new() }
    }

    fn machines(machines: &[(&str, &str)]) -> BTreeMap<String, AddressSpec> {
        machines.iter().map(|(name, ip)| ((*name).to_owned(), spec(ip))).collect()
    }

    fn leaving(memory: &Memory) -> Vec<String> {
        memory.leaving.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_address_leaves_once_nobody_has_it() {
        let mut memory = Memory::default();
        memory.set(1, &machines(&[("web", "11.1.1.9"), ("db", "11.1.1.10")]));
        assert!(memory.leaving.is_empty());
        memory.set(1, &machines(&[("web", "11.1.1.10")]));
        assert_eq!(leaving(&memory), ["11.1.1.9"]);
        memory.set(2, &machines(&[("web", "11.1.1.9")]));
        assert!(memory.leaving.is_empty());
        memory.set(1, &machines(&[]));
        assert_eq!(leaving(&memory), ["11.1.1.10"]);
        assert!(!memory.is_empty() && memory.contracts.len() == 1);
    }

    #[tokio::test]
    async fn an_address_of_another_contract_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut memory = Memory::default();
        memory.set(1, &machines(&[("web", "11.1.1.9")]));
        assert_eq!(memory.holder(1, &machines(&[("db", "11.1.1.9")])), None);
        assert_eq!(memory.holder(2, &machines(&[("web", "11.1.1.10")])), None);
        let store = Store::open(folder.path()).unwrap();
        store.write(FILE, &memory).unwrap();
        let interface = Some(PublicInterface::Default);
        let addresses = PublicAddresses::new(&[0xab; 32], store, interface, Vec::new(), false).unwrap();
        let taken = machines(&[("web", "11.1.1.10"), ("db", "11.1.1.9")]);
        let refused = format!("{:#}", anyhow::Error::from(addresses.set(2, &taken).await.unwrap_err()));
        assert!(refused.contains("contract 1 has the address 11.1.1.9"), "{refused}");
        assert!(!addresses.state.lock().await.memory.contracts.contains_key(&2));
    }

    #[test]
    fn what_is_set_survives_a_restart() {
        let mut memory = Memory::default();
        memory.set(1, &machines(&[("web", "11.1.1.9")]));
        let read: Memory = serde_json::from_str(&serde_json::to_string(&memory).unwrap()).unwrap();
        assert_eq!(read.contracts, memory.contracts);
    }

    #[test]
    fn an_interface_has_a_name_that_linux_takes() {
        assert_eq!("default".parse(), Ok(PublicInterface::Default));
        assert_eq!("eth0.7".parse(), Ok(PublicInterface::Named("eth0.7".into())));
        for name in ["", "a b", "\"", "sixteen-letters-", "a/b"] {
            assert!(name.parse::<PublicInterface>().is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn a_node_without_a_public_interface_refuses() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let addresses = PublicAddresses::new(&[0xab; 32], store, None, Vec::new(), false).unwrap();
        let refused = addresses.set(1, &machines(&[("web", "11.1.1.9")])).await.unwrap_err();
        assert!(
            matches!(refused, DriverError::Invalid { code: FailureCode::BodyUnsupported, .. }),
            "{refused}"
        );
        assert_eq!(addresses.observe().await.unwrap(), ObservedAddresses::default());
    }
}
