// SPDX-License-Identifier: Apache-2.0
//! `threebot heal`: moves what a dead node took to another one (docs/BOT.md).
//!
//! What is done follows from finalized state, mandate, journal and time alone ([`decide`]); [`act`] carries it out,
//! through [`act::World`], and writes down each step before it.

mod act;
mod chain;
mod data;
mod decide;
#[cfg(test)]
mod fake;
mod journal;
mod mandate;
mod metrics;
mod retention;
mod tell;

pub use act::Healer;
pub use chain::Chain;
pub use data::{Job, Jobs, Snapshots, Times, Volumes};
pub use decide::{Decision, Hold, Open, Order, Phase, Release, Seen, Wanted};
pub use journal::{Journal, Kept, Memory, Move, PartName, Saved, Step};
pub use mandate::{Mandate, Schedule, mandate_schema};
pub use metrics::{Metrics, serve};
pub use retention::Retention;
pub use tell::{Message, Teller};
