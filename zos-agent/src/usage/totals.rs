// SPDX-License-Identifier: Apache-2.0
//! Totals over many runs of a machine. The counters of each run start at zero.

use crate::drivers::{MachineUsage, WorkloadId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tfgrid_primitives::{ContractId, UsageTotals};

/// Totals of all machines.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Totals {
    contracts: BTreeMap<ContractId, BTreeMap<String, Counters>>,
}

/// Totals of one machine.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Counters {
    /// The present run.
    instance: String,
    /// Sum of earlier runs.
    before: Reading,
    /// Counters of the present run.
    now: Reading,
    memory_bytes: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Reading {
    cpu_ms: u64,
    received_bytes: u64,
    sent_bytes: u64,
}

impl Reading {
    fn plus(self, other: Self) -> Self {
        Self {
            cpu_ms: self.cpu_ms.saturating_add(other.cpu_ms),
            received_bytes: self.received_bytes.saturating_add(other.received_bytes),
            sent_bytes: self.sent_bytes.saturating_add(other.sent_bytes),
        }
    }

    /// The larger value of each counter: counters don't fall within a run.
    fn raised_to(self, other: Self) -> Self {
        Self {
            cpu_ms: self.cpu_ms.max(other.cpu_ms),
            received_bytes: self.received_bytes.max(other.received_bytes),
            sent_bytes: self.sent_bytes.max(other.sent_bytes),
        }
    }
}

impl Totals {
    /// Adds a reading of one run.
    pub fn record(&mut self, machine: &WorkloadId, instance: &str, usage: MachineUsage) {
        let machines = self.contracts.entry(machine.contract).or_default();
        let counters = machines.entry(machine.name.clone()).or_default();
        if counters.instance != instance {
            counters.before = counters.before.plus(counters.now);
            counters.now = Reading::default();
            counters.instance = instance.to_owned();
        }
        counters.now = counters.now.raised_to(Reading {
            cpu_ms: usage.cpu_ms,
            received_bytes: usage.received_bytes,
            sent_bytes: usage.sent_bytes,
        });
        counters.memory_bytes = usage.memory_bytes;
    }

    /// Totals of a contract without its disks. Memory is the sum of its running machines.
    pub fn of(&self, contract: ContractId, is_running: impl Fn(&str) -> bool) -> UsageTotals {
        let mut totals = UsageTotals::default();
        for (name, counters) in self.contracts.get(&contract).into_iter().flatten() {
            let sum = counters.before.plus(counters.now);
            totals.cpu_ms = totals.cpu_ms.saturating_add(sum.cpu_ms);
            totals.received_bytes = totals.received_bytes.saturating_add(sum.received_bytes);
            totals.sent_bytes = totals.sent_bytes.saturating_add(sum.sent_bytes);
            if is_running(name) {
                totals.memory_bytes = totals.memory_bytes.saturating_add(counters.memory_bytes);
            }
        }
        totals
    }

    /// Drops all contracts for which `stays` is false.
    pub fn keep(&mut self, stays: impl Fn(ContractId) -> bool) {
        self.contracts.retain(|contract, _| stays(*contract));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> WorkloadId {
        WorkloadId { contract: 1, name: "web".into() }
    }

    fn used(cpu_ms: u64, memory_bytes: u64, received_bytes: u64, sent_bytes: u64) -> MachineUsage {
        MachineUsage { cpu_ms, memory_bytes, received_bytes, sent_bytes }
    }

    #[test]
    fn totals_continue_after_a_restart_of_the_machine() {
        let mut totals = Totals::default();
        totals.record(&web(), "run 1", used(100, 7, 10, 20));
        totals.record(&web(), "run 1", used(150, 8, 15, 25));
        totals.record(&web(), "run 2", used(5, 9, 1, 2));
        let expected =
            UsageTotals { cpu_ms: 155, memory_bytes: 9, disk_bytes: 0, received_bytes: 16, sent_bytes: 27 };
        assert_eq!(totals.of(1, |_| true), expected);
    }

    #[test]
    fn totals_continue_after_a_restart_of_the_agent() {
        let mut totals = Totals::default();
        totals.record(&web(), "run 1", used(100, 7, 10, 20));
        let text = serde_json::to_string(&totals).unwrap();
        let mut totals: Totals = serde_json::from_str(&text).unwrap();
        totals.record(&web(), "run 1", used(120, 7, 10, 20));
        assert_eq!(totals.of(1, |_| true).cpu_ms, 120);
    }

    #[test]
    fn a_falling_counter_reduces_no_total() {
        let mut totals = Totals::default();
        totals.record(&web(), "run 1", used(100, 7, 10, 20));
        totals.record(&web(), "run 1", used(90, 6, 30, 5));
        let expected =
            UsageTotals { cpu_ms: 100, memory_bytes: 6, disk_bytes: 0, received_bytes: 30, sent_bytes: 20 };
        assert_eq!(totals.of(1, |_| true), expected);
    }

    #[test]
    fn a_stopped_machine_uses_no_memory_but_keeps_its_totals() {
        let mut totals = Totals::default();
        totals.record(&web(), "run 1", used(100, 7, 10, 20));
        let stopped = totals.of(1, |_| false);
        assert_eq!((stopped.memory_bytes, stopped.cpu_ms), (0, 100));
    }

    #[test]
    fn totals_of_closed_contracts_are_dropped() {
        let mut totals = Totals::default();
        totals.record(&web(), "run 1", used(100, 7, 10, 20));
        totals.keep(|contract| contract != 1);
        assert_eq!(totals.of(1, |_| true), UsageTotals::default());
    }
}
