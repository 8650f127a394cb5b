// SPDX-License-Identifier: Apache-2.0
//! What people read of a bot's rights is what the runtime's filter admits.

use codec::{Decode, Encode};
use frame_support::traits::{GetCallMetadata, InstanceFilter};
use pallet_grid_contracts::{Call, CancelReason};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tfgrid_runtime::{ProxyType, RuntimeCall};

/// More than any call's arguments take.
const ZEROS: usize = 4_096;

/// Each call with arguments of zeros, by its name such as `Billing.deposit`.
fn calls() -> BTreeMap<String, RuntimeCall> {
    let of_indices = |pallet: u8, call: u8| {
        let bytes = [&[pallet, call][..], &[0; ZEROS]].concat();
        RuntimeCall::decode(&mut &*bytes).ok()
    };
    let all = (0..=u8::MAX).flat_map(|pallet| (0..=u8::MAX).map(move |call| (pallet, call)));
    let calls = all.filter_map(|(pallet, call)| of_indices(pallet, call));
    let named = calls.map(|call| {
        let of = call.get_call_metadata();
        (format!("{}.{}", of.pallet_name, of.function_name), call)
    });
    named.collect()
}

fn rights() -> Value {
    serde_json::from_str(include_str!("../../../docs/vectors/bot.json")).unwrap()
}

fn names(list: &Value) -> BTreeSet<String> {
    list.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_bot_is_admitted_to_what_is_told_and_nothing_else() {
    let calls = calls();
    let admitted = |call: &&RuntimeCall| ProxyType::Deploy.filter(call);
    let found: BTreeSet<String> =
        calls.iter().filter(|(_, call)| admitted(call)).map(|(name, _)| name.clone()).collect();
    assert_eq!(found, names(&rights()["admitted"]));
    // None is left out but those whose arguments can't be zeros.
    let unmade = ["Contracts.report_failed", "Grandpa."];
    for pallet in RuntimeCall::get_module_names() {
        for call in RuntimeCall::get_call_names(pallet) {
            let name = format!("{pallet}.{call}");
            let is_unmade = unmade.iter().any(|unmade| name.starts_with(unmade));
            assert!(is_unmade || calls.contains_key(&name), "{name} isn't decoded");
        }
    }
}

#[test]
fn what_a_bot_never_does_its_filter_refuses() {
    let calls = calls();
    for right in rights()["never"].as_array().unwrap() {
        for name in names(&right["calls"]) {
            let call = calls.get(&name).unwrap_or_else(|| panic!("there is no call {name}"));
            assert!(!ProxyType::Deploy.filter(call), "a bot may call {name}: {}", right["text"]);
        }
    }
}

#[test]
fn a_bot_neither_complains_nor_buys_traffic_with_a_contract() {
    let cancel = |reason| RuntimeCall::Contracts(Call::cancel { contract: 1, reason });
    assert!(ProxyType::Deploy.filter(&cancel(CancelReason::Cancelled)));
    assert!(!ProxyType::Deploy.filter(&cancel(CancelReason::NotDelivered)));
    let mut create = calls().remove("Contracts.create_node_contract").unwrap();
    assert!(ProxyType::Deploy.filter(&create));
    let RuntimeCall::Contracts(Call::create_node_contract { traffic_gb, .. }) = &mut create else {
        panic!("{:?} is another call", create.encode())
    };
    *traffic_gb = 1;
    assert!(!ProxyType::Deploy.filter(&create));
}
