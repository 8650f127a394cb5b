// SPDX-License-Identifier: Apache-2.0
//! Named counters of nftables, by contracts and directions. They keep their values when a table's rules are replaced.

use super::Counted;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use tfgrid_primitives::ContractId;

/// Direction of packets to machines.
pub const IN: &str = "in";
/// Direction of packets from machines.
pub const OUT: &str = "out";
/// Makes `nft` list all counters.
pub const LIST: [&str; 3] = ["-j", "list", "counters"];

#[derive(Deserialize)]
struct Listed {
    nftables: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    counter: Option<Counter>,
}

#[derive(Deserialize)]
struct Counter {
    family: String,
    table: String,
    name: String,
    bytes: u64,
}

/// Name of the counter of a contract.
pub fn counter(contract: ContractId, direction: &str) -> String {
    format!("contract-{contract}-{direction}")
}

/// The contract and direction of a counter with this name.
fn counted(name: &str) -> Option<(ContractId, &str)> {
    let (contract, direction) = name.strip_prefix("contract-")?.split_once('-')?;
    Some((contract.parse().ok()?, direction))
}

/// The bytes of a table's counters by their names, as [`LIST`] shows them.
///
/// # Errors
/// If the text isn't such a list.
pub fn read(listed: &str, table: &str) -> Result<BTreeMap<String, u64>> {
    let listed: Listed = serde_json::from_str(listed).context("can't understand `nft -j list counters`")?;
    let counters = listed.nftables.into_iter().filter_map(|object| object.counter);
    let its = counters.filter(|counter| counter.family == "inet" && counter.table == table);
    Ok(its.map(|counter| (counter.name, counter.bytes)).collect())
}

/// Adds what these counters have counted of contracts.
pub fn add(contracts: &mut BTreeMap<ContractId, Counted>, counters: &BTreeMap<String, u64>) {
    for (name, bytes) in counters {
        let Some((contract, direction)) = counted(name) else { continue };
        let Counted { received_bytes, sent_bytes } = contracts.entry(contract).or_default();
        let total = if direction == IN { received_bytes } else { sent_bytes };
        *total = total.saturating_add(*bytes);
    }
}

/// Replaces the table's rules in one transaction, and keeps the counters of these contracts. `there` are the counters
/// that exist.
pub fn script<'a>(
    table: &str,
    rules: &str,
    contracts: &BTreeSet<ContractId>,
    there: impl IntoIterator<Item = &'a String>,
) -> String {
    let wanted: BTreeSet<String> = contracts
        .iter()
        .flat_map(|contract| [IN, OUT].map(|direction| counter(*contract, direction)))
        .collect();
    let added = wanted.iter().map(|name| format!("add counter inet {table} {name}\n"));
    let gone = there.into_iter().filter(|name| !wanted.contains(*name));
    let deleted = gone.map(|name| format!("delete counter inet {table} {name}\n"));
    let (added, deleted): (String, String) = (added.collect(), deleted.collect());
    format!("add table inet {table}\n{added}flush table inet {table}\n{deleted}{rules}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn counters_of_contracts_that_stay_are_kept() {
        let there = [counter(7, IN), counter(8, IN), counter(8, OUT)];
        let script = script("t", "", &BTreeSet::from([7]), &there);
        let expected = "add table inet t\nadd counter inet t contract-7-in\nadd counter inet t contract-7-out\n\
                        flush table inet t\ndelete counter inet t contract-8-in\n\
                        delete counter inet t contract-8-out\n";
        assert_eq!(script, expected);
    }

    #[test]
    fn counters_of_a_table_are_added_by_contract() {
        let counter = |family: &str, table: &str, name: &str, bytes: u64| {
            json!({ "counter": {
                "family": family, "table": table, "name": name, "bytes": bytes,
            } })
        };
        let listed = json!({ "nftables": [
            { "metainfo": { "version": "1.0.6" } },
            counter("inet", "t", "contract-7-in", 5),
            counter("inet", "t", "contract-7-out", 6),
            counter("inet", "t", "contract-x-in", 7),
            counter("inet", "t", "other", 8),
            counter("inet", "u", "contract-7-in", 9),
            counter("ip", "t", "contract-7-in", 10),
        ] });
        let counters = read(&listed.to_string(), "t").unwrap();
        let mut contracts = BTreeMap::new();
        for times in 1..=2 {
            add(&mut contracts, &counters);
            let expected = Counted { received_bytes: 5 * times, sent_bytes: 6 * times };
            assert_eq!(contracts, BTreeMap::from([(7, expected)]));
        }
        assert!(read("nothing", "t").is_err());
    }
}
