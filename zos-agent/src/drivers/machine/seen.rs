// SPDX-License-Identifier: Apache-2.0
//! What was seen of running machines. The engine's list and its events tell which have changed since: only these are
//! inspected again.

use crate::drivers::{Condition, MachineState, ObservedMachine};
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Machines that run, by the ids of their containers.
#[derive(Default)]
pub struct Seen(Mutex<Known>);

#[derive(Default)]
struct Known {
    machines: HashMap<String, ObservedMachine>,
    /// How often something was forgotten.
    changes: u64,
}

impl Seen {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes up to now: to be taken before a container is inspected.
    pub fn changes(&self) -> u64 {
        self.known().changes
    }

    /// What was seen of a container, if it is as it was then.
    pub fn unchanged(&self, listed: &ContainerSummary) -> Option<ObservedMachine> {
        let machine = self.known().machines.get(listed.id.as_deref()?)?.clone();
        match &machine.state {
            MachineState::Running { condition, .. }
                if listed_condition(listed).as_ref() == Some(condition) =>
            {
                Some(machine)
            }
            _ => None,
        }
    }

    /// Remembers what was seen of a container, unless it may have changed since these `changes`.
    pub fn note(&self, id: &str, machine: &ObservedMachine, changes: u64) {
        let mut known = self.known();
        if known.changes == changes {
            known.machines.insert(id.to_owned(), machine.clone());
        }
    }

    /// What comes of these containers is yet to be seen.
    pub fn forget(&self, is_gone: impl Fn(&str) -> bool) {
        let mut known = self.known();
        known.changes = known.changes.wrapping_add(1);
        known.machines.retain(|id, _| !is_gone(id));
    }
}

/// What the engine's list says of a running container's own check, if that is all that there is to tell.
fn listed_condition(listed: &ContainerSummary) -> Option<Condition> {
    let status = listed.status.as_deref().unwrap_or_default();
    match listed.state {
        Some(ContainerSummaryStateEnum::RUNNING) if status.ends_with("(healthy)") => Some(Condition::Healthy),
        Some(ContainerSummaryStateEnum::RUNNING) if !status.contains('(') => Some(Condition::Unchecked),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::WorkloadId;

    fn listed(state: ContainerSummaryStateEnum, status: &str) -> ContainerSummary {
        ContainerSummary {
            id: Some("c1".into()),
            state: Some(state),
            status: Some(status.into()),
            ..Default::default()
        }
    }

    fn running(condition: Condition) -> ObservedMachine {
        ObservedMachine {
            id: WorkloadId { contract: 1, name: "web".into() },
            hash: "abc".into(),
            instance: "c1@now".into(),
            state: MachineState::Running { ip: None, condition },
        }
    }

    #[test]
    fn only_a_container_that_is_as_it_was_needs_no_inspection() {
        use ContainerSummaryStateEnum::{EXITED, PAUSED, RUNNING};
        let seen = Seen::default();
        let is_known = |state, status: &str| seen.unchanged(&listed(state, status)).is_some();
        assert!(!is_known(RUNNING, "Up 5 seconds"));
        seen.note("c1", &running(Condition::Unchecked), seen.changes());
        assert!(is_known(RUNNING, "Up 5 seconds"));
        for (state, status) in [
            (RUNNING, "Up 5 seconds (healthy)"),
            (RUNNING, "Up 5 seconds (unhealthy)"),
            (RUNNING, "Up 5 seconds (health: starting)"),
            (PAUSED, "Up 5 seconds (Paused)"),
            (EXITED, "Exited (0) 5 seconds ago"),
        ] {
            assert!(!is_known(state, status), "{status}");
        }
        seen.note("c1", &running(Condition::Healthy), seen.changes());
        assert!(is_known(RUNNING, "Up 2 hours (healthy)") && !is_known(RUNNING, "Up 2 hours"));
        seen.note("c1", &running(Condition::Starting), seen.changes());
        assert!(!is_known(RUNNING, "Up 5 seconds (health: starting)"));
    }

    #[test]
    fn an_event_of_a_container_has_it_inspected_again() {
        let seen = Seen::default();
        let up = listed(ContainerSummaryStateEnum::RUNNING, "Up 5 seconds");
        seen.note("c1", &running(Condition::Unchecked), seen.changes());
        seen.forget(|id| id == "c2");
        assert_eq!(seen.unchanged(&up), Some(running(Condition::Unchecked)));
        let before = seen.changes();
        seen.forget(|id| id == "c1");
        assert_eq!(seen.unchanged(&up), None);
        seen.note("c1", &running(Condition::Unchecked), before);
        assert_eq!(seen.unchanged(&up), None, "it was inspected before the event");
    }
}
