// SPDX-License-Identifier: Apache-2.0
//! An agenda in memory.

use crate::MockClock;
use frame_support::parameter_types;
use std::collections::BTreeSet;
use tfgrid_primitives::{
    Deadline, GridMillis,
    traits::{Agenda, Clock},
};

parameter_types! {
    /// The deadlines that are armed.
    pub static Armed: BTreeSet<(GridMillis, Deadline)> = BTreeSet::new();
}

/// Keeps its deadlines in [`Armed`]; [`pass`] serves them.
pub struct MockAgenda;

impl Agenda for MockAgenda {
    fn arm(due: GridMillis, deadline: Deadline) {
        Armed::mutate(|armed| armed.insert((due, deadline)));
    }

    fn disarm(due: GridMillis, deadline: Deadline) {
        Armed::mutate(|armed| armed.remove(&(due, deadline)));
    }

    fn is_armed(due: GridMillis, deadline: Deadline) -> bool {
        Armed::get().contains(&(due, deadline))
    }
}

/// Lets `ms` pass. Each deadline is served at its time by `serve`, and armed again at the time that `serve`
/// returns.
pub fn pass(ms: GridMillis, serve: impl Fn(Deadline, GridMillis) -> Option<GridMillis>) {
    let until = MockClock::grid_now() + ms;
    while let Some((due, deadline)) = Armed::get().first().copied().filter(|(due, _)| *due <= until) {
        MockAgenda::disarm(due, deadline);
        let now = MockClock::grid_now().max(due);
        MockClock::set_grid(now);
        if let Some(again) = serve(deadline, now) {
            assert!(again > now, "{deadline:?} would come up for ever");
            MockAgenda::arm(again, deadline);
        }
    }
    MockClock::set_grid(until);
}

pub(crate) fn reset() {
    Armed::take();
}
