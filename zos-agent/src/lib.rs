// SPDX-License-Identifier: Apache-2.0
//! The node agent: it makes what runs on this machine what the chain says should run on it.
//!
//! *Desired* are this node's contracts at the finalized head ([`chain`]), *observed* is what is
//! really running and mounted ([`drivers`]); a pure function plans the difference, and the
//! [`engine`] has it carried out. The agent may be killed at any instant: workloads go on running
//! and are found again. User data is deleted only when the chain says that its contract has closed.

#![warn(missing_docs)]

pub mod agent;
mod backoff;
pub mod chain;
mod clock;
pub mod config;
mod details;
pub mod drivers;
pub mod engine;
pub mod host;
pub mod identity;
mod join;
pub mod metrics;
pub mod store;
pub mod usage;
