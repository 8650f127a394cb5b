// SPDX-License-Identifier: Apache-2.0
//! A chain that does what a test tells it, and what the real one does on reports.

#![allow(missing_docs)]

use super::{Body, Chain, ChainError, ChainLimits, Closed, Contract, ContractState, Head, Report, Submitted};
use crate::clock::unix_ms;
use async_trait::async_trait;
use futures::{stream, stream::BoxStream, StreamExt};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};
use tfgrid_primitives::{ContractId, Resources};
use tokio::sync::watch;

#[derive(Debug)]
struct State {
    head: Head,
    contracts: BTreeMap<ContractId, (Contract, Body)>,
    /// The last confirmed version of contracts that got a new one.
    before: BTreeMap<ContractId, (Contract, Body)>,
    closed: BTreeMap<ContractId, Closed>,
    reports: Vec<(u64, Report)>,
    age_ms: u64,
    refusing: bool,
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
            before: BTreeMap::new(),
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

    /// Creates a contract, or gives it a new version.
    pub fn deploy(&self, id: ContractId, body: &str) {
        self.deploy_with(id, Body::Plain(body.as_bytes().to_vec()));
    }

    pub fn deploy_with(&self, id: ContractId, body: Body) {
        self.block(|state| {
            let version = state.contracts.get(&id).map_or(1, |(contract, _)| contract.version + 1);
            let contract = Contract {
                id,
                version,
                state: ContractState::Created,
                paused: false,
                body_hash: body.hash().0,
                reserved: Resources { cru: 4, mru: 1 << 30, sru: 1 << 30, hru: 0, gpu: 0 },
            };
            state.closed.remove(&id);
            if let Some(before) = state.contracts.insert(id, (contract, body)) {
                state.before.insert(id, before);
            }
        });
    }

    /// The payer runs out of funds, or pays again.
    pub fn pause(&self, id: ContractId, paused: bool) {
        self.block(|state| state.contracts.get_mut(&id).unwrap().0.paused = paused);
    }

    /// Closes the contract and keeps a record of it.
    pub fn close(&self, id: ContractId) {
        self.block(|state| {
            state.contracts.remove(&id);
            state.closed.insert(id, Closed { reason: "Cancelled".into() });
        });
    }

    /// The contract vanishes without a trace, as on a lagging endpoint.
    pub fn lose(&self, id: ContractId) {
        self.block(|state| drop(state.contracts.remove(&id)));
    }

    /// The endpoint claims, at the head that it showed before, that the contract has closed.
    pub fn claim_closed(&self, id: ContractId) {
        let mut state = self.state();
        state.contracts.remove(&id);
        state.closed.insert(id, Closed { reason: "Cancelled".into() });
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

    async fn body(&self, contract: ContractId, _: &Head) -> Result<Option<Body>, ChainError> {
        Ok(self.state().contracts.get(&contract).map(|(_, body)| body.clone()))
    }

    async fn closed(&self, contract: ContractId, _: &Head) -> Result<Option<Closed>, ChainError> {
        Ok(self.state().closed.get(&contract).cloned())
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
            match report {
                Report::Deployed { contract, version, .. } => {
                    if let Some((known, _)) = state.contracts.get_mut(contract) {
                        if known.version == *version {
                            known.state = ContractState::Deployed;
                        }
                    }
                }
                Report::Failed { contract, .. } => {
                    state.contracts.remove(contract);
                    match state.before.remove(contract) {
                        Some(before) => drop(state.contracts.insert(*contract, before)),
                        None => {
                            drop(state.closed.insert(*contract, Closed { reason: "NodeRejected".into() }))
                        }
                    }
                }
                Report::Heartbeat { .. } | Report::Usage(_) => {}
            }
        });
        Ok(Submitted::Taken)
    }
}
