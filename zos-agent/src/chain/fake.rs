// SPDX-License-Identifier: Apache-2.0
//! A chain in memory: tests create and close contracts on it; on reports it acts as the real one does.

#![allow(missing_docs, clippy::new_without_default)]

use super::{
    Body, BodyOf, Chain, ChainError, ChainLimits, Closed, Contract, ContractState, Head, Report, Submitted,
    Traffic, Version,
};
use crate::{clock::unix_ms, drivers::fake::Points};
use async_trait::async_trait;
use futures::{StreamExt, stream, stream::BoxStream};
use ipnet::Ipv4Net;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};
use tfgrid_client::{
    grid_at::{NodePower, PublicPlace},
    peer::NodeAddress,
    public_ip::{PublicIp, PublicNetwork},
};
use tfgrid_primitives::{
    ContractId, NodeId, PublicKey, Refusal, Resources, TwinId,
    report::{DetailsPayload, PowerState},
};
use tokio::sync::watch;

/// A contract in a private network, with its range and node.
pub type Member = (ContractId, Ipv4Net, NodeId);

#[derive(Debug)]
struct State {
    head: Head,
    contracts: BTreeMap<ContractId, (Contract, Body)>,
    /// Bodies of pending versions.
    pending: BTreeMap<ContractId, Body>,
    /// Contracts with public addresses.
    with_ips: BTreeSet<ContractId>,
    /// Closed contracts whose addresses await the node's release.
    cooling: BTreeSet<ContractId>,
    closed: BTreeMap<ContractId, Closed>,
    reports: Vec<(u64, Report)>,
    /// Reports that the next block has.
    pool: Vec<(u64, Report)>,
    age_ms: u64,
    /// The reason for which all reports are refused.
    refusal: Option<Refusal>,
    is_registered: bool,
    is_cut_off: bool,
    loses_reports: bool,
    /// How often the endpoint was left.
    left: u32,
    power: NodePower,
    to_wake: Vec<NodeId>,
    /// Public IPs of contracts that are yet to be created.
    public_ips: BTreeMap<ContractId, Vec<PublicIp>>,
    public_network: Option<PublicNetwork>,
    traffic: BTreeMap<ContractId, Traffic>,
    /// Contracts with their ranges and nodes, of each twin's network.
    members: BTreeMap<(TwinId, String), Vec<Member>>,
    addresses: BTreeMap<NodeId, NodeAddress>,
    place: PublicPlace,
    holders: BTreeMap<String, TwinId>,
    /// Of each twin; `None` while they can't be read.
    peer_keys: Option<Vec<PublicKey>>,
    farmer: Option<TwinId>,
}

impl State {
    fn deploy(&mut self, id: ContractId, body: Body) {
        let last = self.contracts.get(&id).map(|(contract, _)| contract.pending.unwrap_or(contract.active));
        let version = Version {
            number: last.map_or(1, |last| last.number + 1),
            body_hash: body.hash().0,
            reserved: Resources { cru: 4, mru: 1 << 30, sru: 8 << 30, hru: 1 << 30, gpu: 0 },
        };
        if let Some((contract, _)) = self.contracts.get_mut(&id) {
            contract.pending = Some(version);
            self.pending.insert(id, body);
            return;
        }
        let state = ContractState::Created;
        let contract = Contract {
            id,
            twin: 1,
            active: version,
            state,
            pending: None,
            paused: false,
            public_ips: self.public_ips.remove(&id).unwrap_or_default(),
            public_network: self.public_network,
        };
        self.closed.remove(&id);
        self.contracts.insert(id, (contract, body));
    }

    fn close(&mut self, id: ContractId, reason: &str) {
        self.contracts.remove(&id);
        self.pending.remove(&id);
        self.closed.insert(id, Closed { reason: reason.into() });
        if self.with_ips.remove(&id) {
            self.cooling.insert(id);
        }
    }

    /// Applies a report as the chain does.
    fn on_report(&mut self, report: &Report) {
        match report {
            Report::Deployed { contract, version, body_hash, .. } => {
                self.on_deployed(*contract, *version, *body_hash);
            }
            Report::Failed { contract, failure } => self.on_failed(*contract, failure.version),
            Report::Released { contract } => {
                self.cooling.remove(contract);
            }
            Report::Sleep => self.power.state = PowerState::Standby,
            Report::Heartbeat { .. } | Report::Usage(_) | Report::Progress { .. } | Report::Details(_) => {}
        }
    }

    fn on_deployed(&mut self, id: ContractId, version: u32, body_hash: [u8; 32]) {
        let Some((contract, body)) = self.contracts.get_mut(&id) else { return };
        let is_pending = contract.pending.is_some_and(|p| p.number == version && p.body_hash == body_hash);
        if let (true, Some(pending)) = (is_pending, contract.pending) {
            contract.active = pending;
            contract.pending = None;
            *body = self.pending.remove(&id).unwrap();
        }
        if contract.active.number == version && contract.active.body_hash == body_hash {
            contract.state = ContractState::Deployed;
        }
    }

    fn on_failed(&mut self, id: ContractId, version: u32) {
        let Some((contract, _)) = self.contracts.get_mut(&id) else { return };
        if contract.pending.is_some_and(|pending| pending.number == version) {
            contract.pending = None;
            self.pending.remove(&id);
        } else if contract.active.number == version && contract.state == ContractState::Created {
            self.close(id, "NodeRejected");
        }
    }
}

/// The chain. Clones are the same chain.
#[derive(Clone)]
pub struct FakeChain {
    state: Arc<Mutex<State>>,
    heads: Arc<watch::Sender<Head>>,
    pub limits: ChainLimits,
    /// Each call has one, and a submission three.
    pub points: Points,
}

impl FakeChain {
    pub fn new() -> Self {
        let head = Head { number: 1, hash: [1; 32], timestamp_ms: unix_ms() };
        let state = State {
            head,
            contracts: BTreeMap::new(),
            pending: BTreeMap::new(),
            with_ips: BTreeSet::new(),
            cooling: BTreeSet::new(),
            closed: BTreeMap::new(),
            reports: Vec::new(),
            pool: Vec::new(),
            age_ms: 0,
            refusal: None,
            is_registered: true,
            is_cut_off: false,
            loses_reports: false,
            left: 0,
            power: NodePower { target: PowerState::Up, state: PowerState::Up, contracts: 0 },
            to_wake: Vec::new(),
            public_ips: BTreeMap::new(),
            public_network: None,
            traffic: BTreeMap::new(),
            members: BTreeMap::new(),
            addresses: BTreeMap::new(),
            place: PublicPlace::default(),
            holders: BTreeMap::new(),
            peer_keys: Some(Vec::new()),
            farmer: None,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            heads: Arc::new(watch::Sender::new(head)),
            limits: ChainLimits { heartbeat_ms: 3_600_000, usage_ms: 3_600_000, answer_ms: 300_000 },
            points: Points::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Changes something and finalizes a block with it.
    fn block(&self, change: impl FnOnce(&mut State)) {
        let head = {
            let mut state = self.state();
            for (sequence, report) in std::mem::take(&mut state.pool) {
                state.on_report(&report);
                state.reports.push((sequence, report));
            }
            change(&mut state);
            let number = state.head.number + 1;
            let timestamp_ms = unix_ms() - state.age_ms;
            state.head = Head { number, hash: [number as u8; 32], timestamp_ms };
            state.head
        };
        self.heads.send_replace(head);
    }

    /// An empty block.
    pub fn advance(&self) {
        self.block(|_| {});
    }

    /// From now on, the clock in blocks is this much behind.
    pub fn age_by(&self, age_ms: u64) {
        self.state().age_ms = age_ms;
    }

    /// From now on, all reports are refused for a reason that passes, or none is.
    pub fn refuse_reports(&self, refusing: bool) {
        self.state().refusal = refusing.then_some(Refusal::SequenceOld);
    }

    /// From now on, the endpoint takes reports that never get into a block, or does its work.
    pub fn lose_reports(&self, loses: bool) {
        self.state().loses_reports = loses;
    }

    /// How often the endpoint was left.
    pub fn left(&self) -> u32 {
        self.state().left
    }

    /// From now on, connections break at the next block and new ones fail, or don't.
    pub fn cut_off(&self, cut_off: bool) {
        self.state().is_cut_off = cut_off;
    }

    /// What the farmer wants, and what the chain knows.
    pub fn set_power(&self, target: PowerState, state: PowerState) {
        self.state().power = NodePower { target, state, contracts: 0 };
    }

    /// The node is rented.
    pub fn rent(&self) {
        self.state().power.contracts = 1;
    }

    pub fn set_nodes_to_wake(&self, nodes: &[NodeId]) {
        self.state().to_wake = nodes.to_vec();
    }

    /// Contracts of a twin's network with their ranges and nodes.
    pub fn set_members(&self, twin: TwinId, network: &str, members: &[Member]) {
        self.block(|state| drop(state.members.insert((twin, network.to_owned()), members.to_vec())));
    }

    /// Where a node is dialled.
    pub fn set_address(&self, node: NodeId, address: NodeAddress) {
        self.block(|state| drop(state.addresses.insert(node, address)));
    }

    /// The farmer removes the node.
    pub fn remove_node(&self) {
        self.block(|state| {
            state.is_registered = false;
            state.refusal = Some(Refusal::NodeUnknown);
        });
    }

    /// The endpoint is behind: it doesn't know the node yet, or does again.
    pub fn forget_node(&self, forgotten: bool) {
        self.state().refusal = forgotten.then_some(Refusal::NodeUnknown);
    }

    /// The farmer sets a public address and a domain.
    pub fn set_public_place(&self) {
        let place = PublicPlace {
            addresses: vec![[185, 69, 166, 10].into()],
            domain: Some("gw1.example.org".into()),
        };
        self.block(|state| state.place = place);
    }

    /// From now on, all twins have these keys; with `None` they can't be read.
    pub fn set_peer_keys(&self, keys: Option<Vec<PublicKey>>) {
        self.state().peer_keys = keys;
    }

    /// This twin owns the node's farm.
    pub fn set_farmer(&self, twin: TwinId) {
        self.state().farmer = Some(twin);
    }

    /// A twin reserves a name, or with `None`, it becomes free.
    pub fn hold_name(&self, name: &str, twin: Option<TwinId>) {
        self.block(|state| match twin {
            Some(twin) => drop(state.holders.insert(name.into(), twin)),
            None => drop(state.holders.remove(name)),
        });
    }

    /// Creates a contract, or asks for a new version of it.
    pub fn deploy(&self, id: ContractId, body: &str) {
        self.deploy_with(id, Body::Plain(body.as_bytes().to_vec()));
    }

    pub fn deploy_with(&self, id: ContractId, body: Body) {
        self.block(|state| state.deploy(id, body));
    }

    /// The contract has public addresses.
    pub fn give_addresses(&self, id: ContractId) {
        self.state().with_ips.insert(id);
    }

    /// The contract, which may be yet to come, has these public IPs from now on.
    pub fn set_public_ips(&self, id: ContractId, ips: &[PublicIp]) {
        self.block(|state| match state.contracts.get_mut(&id) {
            Some((contract, _)) => contract.public_ips = ips.to_vec(),
            None => drop(state.public_ips.insert(id, ips.to_vec())),
        });
    }

    /// The node's public IPv6 network, for contracts that are yet to be created.
    pub fn set_public_network(&self, network: PublicNetwork) {
        self.state().public_network = Some(network);
    }

    /// What the contract has bought, and what was reported of it.
    pub fn set_traffic(&self, id: ContractId, traffic: Traffic) {
        self.state().traffic.insert(id, traffic);
    }

    /// Whether a closed contract's addresses await the node's release.
    pub fn is_cooling_down(&self, id: ContractId) -> bool {
        self.state().cooling.contains(&id)
    }

    /// Number of the pending version.
    pub fn pending(&self, id: ContractId) -> Option<u32> {
        self.state().contracts.get(&id)?.0.pending.map(|pending| pending.number)
    }

    /// The chain drops the pending version.
    pub fn drop_update(&self, id: ContractId) {
        self.block(|state| {
            state.contracts.get_mut(&id).unwrap().0.pending = None;
            state.pending.remove(&id);
        });
    }

    /// Number of the active version.
    pub fn active(&self, id: ContractId) -> Option<u32> {
        self.state().contracts.get(&id).map(|(contract, _)| contract.active.number)
    }

    /// The chain takes a report that the active version runs, after all.
    pub fn confirm(&self, id: ContractId) {
        self.block(|state| state.contracts.get_mut(&id).unwrap().0.state = ContractState::Deployed);
    }

    /// The payer runs out of funds, or deposits.
    pub fn pause(&self, id: ContractId, paused: bool) {
        self.block(|state| state.contracts.get_mut(&id).unwrap().0.paused = paused);
    }

    /// Closes the contract and keeps a record of it.
    pub fn close(&self, id: ContractId) {
        self.block(|state| state.close(id, "Cancelled"));
    }

    /// A contract with public addresses is created and closed in one block.
    pub fn deploy_and_close(&self, id: ContractId, body: &str) {
        self.block(|state| {
            state.deploy(id, Body::Plain(body.as_bytes().to_vec()));
            state.with_ips.insert(id);
            state.close(id, "Cancelled");
        });
    }

    /// The contract vanishes without a record, as on an endpoint that is behind.
    pub fn lose(&self, id: ContractId) {
        self.block(|state| {
            state.contracts.remove(&id);
        });
    }

    /// The endpoint says, at a head that it served before, that the contract has closed.
    pub fn claim_closed(&self, id: ContractId) {
        self.state().close(id, "Cancelled");
    }

    /// Resolves at each new block.
    pub fn blocks(&self) -> watch::Receiver<Head> {
        self.heads.subscribe()
    }

    pub fn contract_state(&self, id: ContractId) -> Option<ContractState> {
        self.state().contracts.get(&id).map(|(contract, _)| contract.state)
    }

    /// Whether the last report on this deployment was the same, and is in force.
    fn knows(&self, report: &Report) -> bool {
        let Report::Deployed { contract, .. } = report else { return false };
        let state = self.state();
        let mut reports = state.reports.iter().rev().map(|(_, report)| report);
        let last = reports.find(|r| matches!(r, Report::Deployed { contract: c, .. } if c == contract));
        last == Some(report)
            && state.contracts.get(contract).is_some_and(|(c, _)| c.state == ContractState::Deployed)
    }

    /// All reports of one kind, oldest first.
    pub fn reports(&self, kind: &str) -> Vec<Report> {
        let state = self.state();
        state.reports.iter().map(|(_, report)| report).filter(|r| r.kind() == kind).cloned().collect()
    }

    /// The sequence numbers of all reports.
    pub fn sequences(&self) -> Vec<u64> {
        self.state().reports.iter().map(|(sequence, _)| *sequence).collect()
    }
}

#[async_trait]
impl Chain for FakeChain {
    async fn heads(&self) -> Result<BoxStream<'static, Result<Head, ChainError>>, ChainError> {
        if self.state().is_cut_off {
            return Err(ChainError::NotConnected);
        }
        let mut heads = self.heads.subscribe();
        heads.mark_changed();
        let chain = self.clone();
        let next = move |mut heads: watch::Receiver<Head>| {
            let chain = chain.clone();
            async move {
                heads.changed().await.ok()?;
                let head = *heads.borrow_and_update();
                let is_cut_off = chain.state().is_cut_off;
                Some((if is_cut_off { Err(ChainError::NotConnected) } else { Ok(head) }, heads))
            }
        };
        Ok(stream::unfold(heads, next).boxed())
    }

    async fn contracts(&self, _: &Head) -> Result<Vec<Contract>, ChainError> {
        self.points.point("contracts").await;
        Ok(self.state().contracts.values().map(|(contract, _)| contract.clone()).collect())
    }

    async fn body(&self, contract: ContractId, of: BodyOf, _: &Head) -> Result<Option<Body>, ChainError> {
        self.points.point("body").await;
        let state = self.state();
        Ok(match of {
            BodyOf::Active => state.contracts.get(&contract).map(|(_, body)| body.clone()),
            BodyOf::Pending => state.pending.get(&contract).cloned(),
        })
    }

    async fn closed(&self, contract: ContractId, _: &Head) -> Result<Option<Closed>, ChainError> {
        self.points.point("closed").await;
        Ok(self.state().closed.get(&contract).cloned())
    }

    async fn awaits_release(&self, contract: ContractId, _: &Head) -> Result<bool, ChainError> {
        self.points.point("awaits_release").await;
        Ok(self.is_cooling_down(contract))
    }

    async fn awaited_releases(&self, _: &Head) -> Result<Vec<ContractId>, ChainError> {
        Ok(self.state().cooling.iter().copied().collect())
    }

    async fn is_registered(&self, _: &Head) -> Result<bool, ChainError> {
        Ok(self.state().is_registered)
    }

    async fn details(&self, _: &Head) -> Result<Option<DetailsPayload>, ChainError> {
        Ok(None)
    }

    async fn power(&self, _: &Head) -> Result<NodePower, ChainError> {
        Ok(self.state().power)
    }

    async fn nodes_to_wake(&self, _: &Head) -> Result<Vec<NodeId>, ChainError> {
        Ok(self.state().to_wake.clone())
    }

    async fn public_place(&self, _: &Head) -> Result<PublicPlace, ChainError> {
        Ok(self.state().place.clone())
    }

    async fn name_holder(&self, name: &str, _: &Head) -> Result<Option<TwinId>, ChainError> {
        Ok(self.state().holders.get(name).copied())
    }

    async fn peer_keys(&self, _: TwinId, _: &Head) -> Result<Vec<PublicKey>, ChainError> {
        self.state().peer_keys.clone().ok_or(ChainError::NotConnected)
    }

    async fn farmer(&self, _: &Head) -> Result<Option<TwinId>, ChainError> {
        Ok(self.state().farmer)
    }

    async fn traffic(&self, contract: ContractId, _: &Head) -> Result<Traffic, ChainError> {
        Ok(self.state().traffic.get(&contract).copied().unwrap_or_default())
    }

    async fn network_members(
        &self,
        twin: TwinId,
        network: &str,
        _: &Head,
    ) -> Result<Vec<(ContractId, Ipv4Net)>, ChainError> {
        let members = self.state().members.get(&(twin, network.to_owned())).cloned().unwrap_or_default();
        Ok(members.into_iter().map(|(contract, range, _)| (contract, range)).collect())
    }

    async fn node_of_contract(&self, contract: ContractId, _: &Head) -> Result<Option<NodeId>, ChainError> {
        let state = self.state();
        let mut members = state.members.values().flatten();
        Ok(members.find(|(member, ..)| *member == contract).map(|(.., node)| *node))
    }

    async fn node_address(&self, node: NodeId, _: &Head) -> Result<Option<NodeAddress>, ChainError> {
        Ok(self.state().addresses.get(&node).cloned())
    }

    async fn limits(&self, _: &Head) -> Result<ChainLimits, ChainError> {
        Ok(self.limits)
    }

    async fn last_heartbeat(&self, _: &Head) -> Result<Option<u64>, ChainError> {
        let state = self.state();
        let last = state.reports.iter().rfind(|(_, report)| matches!(report, Report::Heartbeat { .. }));
        Ok(state.is_registered.then(|| last.map_or(0, |(sequence, _)| *sequence)))
    }

    async fn leave_endpoint(&self) {
        self.state().left += 1;
    }

    async fn submit(&self, sequence: u64, report: &Report) -> Result<Submitted, ChainError> {
        self.points.point("not submitted").await;
        if let Some(refusal) = self.state().refusal {
            return Err(ChainError::Refused(refusal));
        }
        if self.state().loses_reports {
            return Ok(Submitted::InPool);
        }
        if self.knows(report) {
            return Ok(Submitted::AlreadyKnown);
        }
        self.state().pool.push((sequence, report.clone()));
        self.points.point("in the pool").await;
        self.advance();
        self.points.point("in a block").await;
        Ok(Submitted::InPool)
    }
}
