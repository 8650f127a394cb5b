// SPDX-License-Identifier: Apache-2.0
//! How machines have ended, for their owners. Kept over restarts of the agent, which observes an exit again and
//! must not count it twice.

use crate::{
    drivers::{MachineSpec, ObservedMachine},
    store::Store,
};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tfgrid_primitives::{ContractId, text::printable};
use tracing::error;

const FILE: &str = "exits.json";
/// Bytes of a last line that are kept: more than any report has.
const MAX_LINE_BYTES: u32 = 256;

/// The exits of all contracts' machines.
#[derive(Debug)]
pub struct Exits {
    store: Store,
    by_contract: BTreeMap<ContractId, ContractExits>,
}

/// Exits of a contract's machines, by name.
pub type ContractExits = BTreeMap<String, Exit>;

/// The last exit of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Hash of the machine's spec.
    pub hash: String,
    /// The run that ended.
    instance: String,
    /// How many runs have ended after which it was to be started again.
    pub restarts: u32,
    /// Exit code.
    pub code: i64,
    /// Last line of its output; empty if there is none.
    pub line: String,
}

impl Exits {
    /// Reads what the last run has kept.
    ///
    /// # Errors
    /// If the file is damaged or can't be written.
    pub fn load(store: Store) -> Result<Self> {
        let by_contract = store.read_or_default(FILE)?;
        Ok(Self { store, by_contract })
    }

    /// Exits of the contract's machines.
    pub fn of(&self, contract: ContractId) -> Option<&ContractExits> {
        self.by_contract.get(&contract)
    }

    /// Last line of the machine's output at its last exit.
    pub fn line(&self, machine: &ObservedMachine) -> Option<&str> {
        let exit = self.of(machine.id.contract)?.get(&machine.id.name)?;
        (exit.instance == machine.instance && !exit.line.is_empty()).then_some(exit.line.as_str())
    }

    /// Whether this run has ended by itself and isn't noted yet.
    pub fn is_new(&self, machine: &ObservedMachine) -> bool {
        let known = self.of(machine.id.contract).and_then(|exits| exits.get(&machine.id.name));
        machine.exit().is_some() && known.is_none_or(|exit| exit.instance != machine.instance)
    }

    /// Notes the end of a run. Restarts are counted from zero for a machine with another spec.
    pub fn note(&mut self, spec: &MachineSpec, machine: &ObservedMachine, line: &str) {
        let Some(code) = machine.exit() else { return };
        let exits = self.by_contract.entry(spec.id.contract).or_default();
        let before = exits.get(&spec.id.name).filter(|exit| exit.hash == spec.hash).map_or(0, |e| e.restarts);
        let is_restart = spec.finished(machine).is_none();
        let exit = Exit {
            hash: spec.hash.clone(),
            instance: machine.instance.clone(),
            restarts: before.saturating_add(is_restart.into()),
            code,
            line: printable(line, MAX_LINE_BYTES),
        };
        exits.insert(spec.id.name.clone(), exit);
        self.save();
    }

    /// Forgets all contracts but those for which this holds.
    pub fn keep(&mut self, keeps: impl Fn(ContractId) -> bool) {
        let before = self.by_contract.len();
        self.by_contract.retain(|contract, _| keeps(*contract));
        if self.by_contract.len() != before {
            self.save();
        }
    }

    fn save(&self) {
        // A lost write only makes a count too low.
        if let Err(error) = self.store.write(FILE, &self.by_contract) {
            error!("{error:#}");
        }
    }
}
