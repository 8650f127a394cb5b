// SPDX-License-Identifier: Apache-2.0
//! A chain that does what a test tells it, and what the real one does on reports.

#![allow(missing_docs)]

use super::{
    Body, Chain, ChainError, ChainLimits, Closed, Contract, ContractState, Head, Report, Submitted, Version,
    Which,
};
use crate::clock::unix_ms;
use async_trait::async_trait;
use futures::{StreamExt, stream, stream::BoxStream};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};
use tfgrid_primitives::{ContractId, Resources, report::DetailsPayload};
use tokio::sync::watch;

#[derive(Debug)]
struct State {
    head: Head,
    contracts: BTreeMap<ContractId, (Contract, Body)>,
    /// The bodies of the versions that wait for the node's answer.
    pending: BTreeMap<ContractId, Body>,
    /// Contracts with public addresses.
    with_ips: BTreeSet<ContractId>,
    /// Closed ones whose addresses wait for the node's release.
    cooling: BTreeSet<ContractId>,
    closed: BTreeMap<ContractId, Closed>,
    reports: Vec<(u64, Report)>,
    age_ms: u64,
    refusing: bool,
}

impl State {
    fn deploy(&mut self, id: ContractId, body: Body) {
        let last = self.contracts.get(&id).map(|(contract, _)| contract.pending.unwrap_or(contract.standing));
        let version = Version {
            number: last.map_or(1, |last| last.number + 1),
            body_hash: body.hash().0,
            reserved: Resources { cru: 4, mru: 1 << 30, sru: 1 << 30, hru: 0, gpu: 0 },
        };
        if let Some((contract, _)) = self.contracts.get_mut(&id) {
            contract.pending = Some(version);
            self.pending.insert(id, body);
            return;
        }
        let state = ContractState::Created;
        let contract = Contract { id, standing: version, state, pending: None, paused: false };
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

    /// Does what the chain does on a report.
    fn hear(&mut self, report: &Report) {
        match report {
            Report::Deployed { contract, version, body_hash, .. } => {
                self.hear_deployed(*contract, *version, *body_hash);
            }
            Report::Failed { contract, version, .. } => self.hear_failed(*contract, *version),
            Report::Released { contract } => drop(self.cooling.remove(contract)),
            Report::Heartbeat { .. } | Report::Usage(_) | Report::Progress { .. } | Report::Details(_) => {}
        }
    }

    fn hear_deployed(&mut self, id: ContractId, version: u32, body_hash: [u8; 32]) {
        let Some((contract, body)) = self.contracts.get_mut(&id) else { return };
        let is_pending = contract.pending.is_some_and(|p| p.number == version && p.body_hash == body_hash);
        if let (true, Some(pending)) = (is_pending, contract.pending) {
            contract.standing = pending;
            contract.pending = None;
            *body = self.pending.remove(&id).unwrap();
        }
        if contract.standing.number == version && contract.standing.body_hash == body_hash {
            contract.state = ContractState::Deployed;
        }
    }

    fn hear_failed(&mut self, id: ContractId, version: u32) {
        let Some((contract, _)) = self.contracts.get_mut(&id) else { return };
        if contract.pending.is_some_and(|pending| pending.number == version) {
            contract.pending = None;
            self.pending.remove(&id);
        } else if contract.standing.number == version && contract.state == ContractState::Created {
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
            age_ms: 0,
            refusing: false,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            heads: Arc::new(watch::Sender::new(head)),
            limits: ChainLimits { heartbeat_ms: 3_600_000, usage_ms: 3_600_000 },
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Changes something and finalizes a block with it.
    fn block(&self, change: impl FnOnce(&mut State)) {
        let head = {
            let mut state = self.state();
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

    /// From now on, blocks come with a clock that lags by this much.
    pub fn age_by(&self, age_ms: u64) {
        self.state().age_ms = age_ms;
    }

    /// From now on, reports are refused, or not.
    pub fn refuse_reports(&self, refusing: bool) {
        self.state().refusing = refusing;
    }

    /// Creates a contract, or asks for a new version of it.
    pub fn deploy(&self, id: ContractId, body: &str) {
        self.deploy_with(id, Body::Plain(body.as_bytes().to_vec()));
    }

    pub fn deploy_with(&self, id: ContractId, body: Body) {
        self.block(|state| state.deploy(id, body));
    }

    /// The contract has public addresses, too.
    pub fn give_addresses(&self, id: ContractId) {
        self.state().with_ips.insert(id);
    }

    /// Whether the chain keeps a closed contract's addresses back.
    pub fn is_cooling_down(&self, id: ContractId) -> bool {
        self.state().cooling.contains(&id)
    }

    /// The update that waits for the node's answer.
    pub fn pending(&self, id: ContractId) -> Option<u32> {
        self.state().contracts.get(&id)?.0.pending.map(|pending| pending.number)
    }

    /// The chain waits no longer for the node's answer on an update.
    pub fn drop_update(&self, id: ContractId) {
        self.block(|state| {
            state.contracts.get_mut(&id).unwrap().0.pending = None;
            state.pending.remove(&id);
        });
    }

    /// The version that stands.
    pub fn standing(&self, id: ContractId) -> Option<u32> {
        self.state().contracts.get(&id).map(|(contract, _)| contract.standing.number)
    }

    /// The payer runs out of funds, or pays again.
    pub fn pause(&self, id: ContractId, paused: bool) {
        self.block(|state| state.contracts.get_mut(&id).unwrap().0.paused = paused);
    }

    /// Closes the contract and keeps a record of it.
    pub fn close(&self, id: ContractId) {
        self.block(|state| state.close(id, "Cancelled"));
    }

    /// The contract vanishes without a trace, as on a lagging endpoint.
    pub fn lose(&self, id: ContractId) {
        self.block(|state| drop(state.contracts.remove(&id)));
    }

    /// The endpoint claims, at the head that it showed before, that the contract has closed.
    pub fn claim_closed(&self, id: ContractId) {
        self.state().close(id, "Cancelled");
    }

    /// Blocks as they come, for tests that wait.
    pub fn blocks(&self) -> watch::Receiver<Head> {
        self.heads.subscribe()
    }

    pub fn contract_state(&self, id: ContractId) -> Option<ContractState> {
        self.state().contracts.get(&id).map(|(contract, _)| contract.state)
    }

    /// Whether the last report of a deployment said the same, and the chain shows it.
    fn knows(&self, report: &Report) -> bool {
        let Report::Deployed { contract, .. } = report else { return false };
        let state = self.state();
        let mut said = state.reports.iter().rev().map(|(_, said)| said);
        let last = said.find(|said| matches!(said, Report::Deployed { contract: c, .. } if c == contract));
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
        let mut heads = self.heads.subscribe();
        heads.mark_changed();
        let next = |mut heads: watch::Receiver<Head>| async move {
            heads.changed().await.ok()?;
            let head = *heads.borrow_and_update();
            Some((Ok(head), heads))
        };
        Ok(stream::unfold(heads, next).boxed())
    }

    async fn contracts(&self, _: &Head) -> Result<Vec<Contract>, ChainError> {
        Ok(self.state().contracts.values().map(|(contract, _)| contract.clone()).collect())
    }

    async fn body(&self, contract: ContractId, which: Which, _: &Head) -> Result<Option<Body>, ChainError> {
        let state = self.state();
        Ok(match which {
            Which::Standing => state.contracts.get(&contract).map(|(_, body)| body.clone()),
            Which::Pending => state.pending.get(&contract).cloned(),
        })
    }

    async fn closed(&self, contract: ContractId, _: &Head) -> Result<Option<Closed>, ChainError> {
        Ok(self.state().closed.get(&contract).cloned())
    }

    async fn awaits_release(&self, contract: ContractId, _: &Head) -> Result<bool, ChainError> {
        Ok(self.is_cooling_down(contract))
    }

    async fn details(&self, _: &Head) -> Result<Option<DetailsPayload>, ChainError> {
        Ok(None)
    }

    async fn limits(&self, _: &Head) -> Result<ChainLimits, ChainError> {
        Ok(self.limits)
    }

    async fn submit(&self, sequence: u64, report: &Report) -> Result<Submitted, ChainError> {
        if self.state().refusing {
            return Err(ChainError("the test says no".into()));
        }
        if self.knows(report) {
            return Ok(Submitted::Known);
        }
        self.block(|state| {
            state.reports.push((sequence, report.clone()));
            state.hear(report);
        });
        Ok(Submitted::Taken)
    }
}
