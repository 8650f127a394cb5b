// SPDX-License-Identifier: Apache-2.0
//! Totals over many runs of a machine, and of traffic that is paid for. Counters start at zero with each run of a
//! machine, and those of traffic when this host starts or somebody resets them.

use crate::drivers::{Counted, MachineUsage, PRIVATE, WorkloadId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tfgrid_primitives::{ContractId, UsageTotals};

/// Totals of all machines.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Totals {
    contracts: BTreeMap<ContractId, BTreeMap<String, Counters>>,
    /// Traffic by its class.
    #[serde(default)]
    traffic: BTreeMap<ContractId, BTreeMap<String, Traffic>>,
}

/// Totals of one class of traffic.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Traffic {
    /// The start of this host since which the counters count.
    boot: String,
    seen: Bytes,
    total: Bytes,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Bytes {
    received: u64,
    sent: u64,
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
    /// Adds a reading of one run. What its traffic costs is counted elsewhere; agents of earlier releases have counted
    /// it here, and no total falls.
    pub fn record(&mut self, machine: &WorkloadId, instance: &str, usage: MachineUsage) {
        let machines = self.contracts.entry(machine.contract).or_default();
        let counters = machines.entry(machine.name.clone()).or_default();
        if counters.instance != instance {
            counters.before = counters.before.plus(counters.now);
            counters.now = Reading::default();
            counters.instance = instance.to_owned();
        }
        counters.now = counters.now.raised_to(Reading { cpu_ms: usage.cpu_ms, ..Reading::default() });
        counters.memory_bytes = usage.memory_bytes;
    }

    /// Adds a reading of one class of traffic.
    pub fn count(&mut self, contract: ContractId, class: &str, boot: &str, counted: Counted) {
        let traffic = self.traffic.entry(contract).or_default().entry(class.to_owned()).or_default();
        let now = Bytes { received: counted.received_bytes, sent: counted.sent_bytes };
        let is_rebooted = traffic.boot != boot;
        // A contract that leaves one of its private networks takes along what was counted there.
        let is_reset = |now: u64, seen: u64| is_rebooted || now < seen && class != PRIVATE;
        let since = |now: u64, seen: u64| if is_reset(now, seen) { now } else { now.saturating_sub(seen) };
        let more = Bytes {
            received: since(now.received, traffic.seen.received),
            sent: since(now.sent, traffic.seen.sent),
        };
        traffic.total.received = traffic.total.received.saturating_add(more.received);
        traffic.total.sent = traffic.total.sent.saturating_add(more.sent);
        traffic.seen = now;
        boot.clone_into(&mut traffic.boot);
    }

    /// Totals of a contract without its disks, and of the traffic that its owner pays for. Memory is the sum of its
    /// running machines.
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
        let classes = self.traffic.get(&contract).into_iter().flatten();
        for (_, traffic) in classes.filter(|(class, _)| *class != PRIVATE) {
            totals.received_bytes = totals.received_bytes.saturating_add(traffic.total.received);
            totals.sent_bytes = totals.sent_bytes.saturating_add(traffic.total.sent);
        }
        totals
    }

    /// Bytes of all contracts that were received and sent, by classes.
    pub fn traffic(&self) -> BTreeMap<&str, Counted> {
        let mut classes: BTreeMap<&str, Counted> = BTreeMap::new();
        for (class, Traffic { total, .. }) in self.traffic.values().flatten() {
            let sum = classes.entry(class).or_default();
            sum.received_bytes = sum.received_bytes.saturating_add(total.received);
            sum.sent_bytes = sum.sent_bytes.saturating_add(total.sent);
        }
        classes
    }

    /// Drops all contracts for which `stays` is false.
    pub fn keep(&mut self, stays: impl Fn(ContractId) -> bool) {
        self.contracts.retain(|contract, _| stays(*contract));
        self.traffic.retain(|contract, _| stays(*contract));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> WorkloadId {
        WorkloadId { contract: 1, name: "web".into() }
    }

    fn used(cpu_ms: u64, memory_bytes: u64) -> MachineUsage {
        MachineUsage { cpu_ms, memory_bytes, received_bytes: 1_000, sent_bytes: 1_000 }
    }

    fn counted(received_bytes: u64, sent_bytes: u64) -> Counted {
        Counted { received_bytes, sent_bytes }
    }

    fn restarted(totals: &Totals) -> Totals {
        serde_json::from_str(&serde_json::to_string(totals).unwrap()).unwrap()
    }

    fn traffic(totals: &Totals) -> (u64, u64) {
        let totals = totals.of(1, |_| true);
        (totals.received_bytes, totals.sent_bytes)
    }

    #[test]
    fn totals_continue_after_a_restart_of_the_machine() {
        let mut totals = Totals::default();
        totals.record(&web(), "run 1", used(100, 7));
        totals.record(&web(), "run 1", used(150, 8));
        totals.record(&web(), "run 2", used(5, 9));
        let expected = UsageTotals { cpu_ms: 155, memory_bytes: 9, ..Default::default() };
        assert_eq!(totals.of(1, |_| true), expected);
    }

    #[test]
    fn totals_continue_after_a_restart_of_the_agent() {
        let mut totals = Totals::default();
        totals.record(&web(), "run 1", used(100, 7));
        totals.count(1, "public", "boot 1", counted(10, 20));
        let mut totals = restarted(&totals);
        totals.record(&web(), "run 1", used(120, 7));
        totals.count(1, "public", "boot 1", counted(15, 20));
        assert_eq!(totals.of(1, |_| true).cpu_ms, 120);
        assert_eq!(traffic(&totals), (15, 20));
    }

    #[test]
    fn a_falling_counter_reduces_no_total() {
        let mut totals = Totals::default();
        totals.record(&web(), "run 1", used(100, 7));
        totals.record(&web(), "run 1", used(90, 6));
        assert_eq!(totals.of(1, |_| true).cpu_ms, 100);
    }

    #[test]
    fn traffic_in_private_networks_costs_nothing() {
        let mut totals = Totals::default();
        totals.count(1, "public", "boot 1", counted(10, 20));
        totals.count(1, PRIVATE, "boot 1", counted(100, 200));
        // The contract has left one of two networks.
        totals.count(1, PRIVATE, "boot 1", counted(60, 120));
        totals.count(1, PRIVATE, "boot 1", counted(61, 122));
        totals.count(2, PRIVATE, "boot 1", counted(1, 2));
        assert_eq!(traffic(&totals), (10, 20));
        let expected = [(PRIVATE, counted(102, 204)), ("public", counted(10, 20))];
        assert_eq!(totals.traffic(), expected.into());
    }

    #[test]
    fn traffic_of_all_classes_goes_on_after_its_counters_are_reset() {
        let mut totals = Totals::default();
        totals.count(1, "public", "boot 1", counted(10, 20));
        totals.count(1, "gateway", "boot 1", counted(1, 2));
        assert_eq!(traffic(&totals), (11, 22));
        // Somebody has removed the rules.
        totals.count(1, "public", "boot 1", counted(4, 25));
        assert_eq!(traffic(&totals), (15, 27));
        // More than before the start of this host, and all of it new.
        totals.count(1, "public", "boot 2", counted(50, 50));
        assert_eq!(traffic(&totals), (65, 77));
    }

    #[test]
    fn traffic_that_earlier_agents_have_counted_stays() {
        let text = r#"{"contracts":{"1":{"web":{"instance":"run 1","memory_bytes":7,
            "before":{"cpu_ms":1,"received_bytes":2,"sent_bytes":3},
            "now":{"cpu_ms":4,"received_bytes":5,"sent_bytes":6}}}}}"#;
        let mut totals: Totals = serde_json::from_str(text).unwrap();
        totals.record(&web(), "run 1", used(10, 7));
        totals.record(&web(), "run 2", used(1, 7));
        totals.count(1, "public", "boot 1", counted(10, 20));
        assert_eq!(traffic(&totals), (17, 29));
        assert_eq!(totals.of(1, |_| true).cpu_ms, 12);
    }

    #[test]
    fn a_stopped_machine_uses_no_memory_but_keeps_its_totals() {
        let mut totals = Totals::default();
        totals.record(&web(), "run 1", used(100, 7));
        let stopped = totals.of(1, |_| false);
        assert_eq!((stopped.memory_bytes, stopped.cpu_ms), (0, 100));
    }

    #[test]
    fn totals_of_closed_contracts_are_dropped() {
        let mut totals = Totals::default();
        totals.record(&web(), "run 1", used(100, 7));
        totals.count(1, "public", "boot 1", counted(10, 20));
        totals.keep(|contract| contract != 1);
        assert_eq!(totals.of(1, |_| true), UsageTotals::default());
    }
}
