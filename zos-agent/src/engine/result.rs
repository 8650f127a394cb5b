// SPDX-License-Identifier: Apache-2.0
//! What the contract's owner needs to reach his workloads (`docs/FORMATS.md` §5).

use super::{desired::Workloads, observed::ObservedContract};
use crate::drivers::MachineState;
use tfgrid_primitives::report::MAX_RESULT_BYTES;

/// JSON from workload name to `{ "ip": … }`. Workloads come in the deployment's order; those that
/// don't fit into the contract any more are left out.
pub fn result(workloads: &Workloads, observed: Option<&ObservedContract>) -> Vec<u8> {
    let mut text = String::from("{");
    for spec in &workloads.machines {
        let machine = observed.and_then(|observed| observed.machines.get(&spec.id.name));
        let Some(MachineState::Running { ip: Some(ip) }) = machine.map(|machine| &machine.state) else {
            continue;
        };
        let separator = if text.len() > 1 { "," } else { "" };
        // Neither a workload's name nor an address needs escaping.
        let entry = format!(r#"{separator}"{}":{{"ip":"{ip}"}}"#, spec.id.name);
        if text.len() + entry.len() < MAX_RESULT_BYTES as usize {
            text.push_str(&entry);
        }
    }
    text.push('}');
    text.into_bytes()
}
