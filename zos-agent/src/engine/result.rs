// SPDX-License-Identifier: Apache-2.0
//! The result of a deployment: how its owner reaches the workloads (`docs/FORMATS.md` §5).

use super::observed::ObservedContract;
use crate::{chain::desired::Workloads, drivers::MachineState};
use tfgrid_primitives::report::MAX_RESULT_BYTES;

/// JSON from workload name to `{ "ip": … }`, in the order of the deployment, without the workloads that
/// exceed the size limit.
pub fn result(workloads: &Workloads, observed: Option<&ObservedContract>) -> Vec<u8> {
    let mut text = String::from("{");
    for spec in &workloads.machines {
        let machine = observed.and_then(|observed| observed.machines.get(&spec.id.name));
        let Some(MachineState::Running { ip: Some(ip) }) = machine.map(|machine| &machine.state) else {
            continue;
        };
        let separator = if text.len() > 1 { "," } else { "" };
        // Neither names of workloads nor addresses need escaping.
        let entry = format!(r#"{separator}"{}":{{"ip":"{ip}"}}"#, spec.id.name);
        if text.len() + entry.len() < MAX_RESULT_BYTES as usize {
            text.push_str(&entry);
        }
    }
    text.push('}');
    text.into_bytes()
}
