// SPDX-License-Identifier: Apache-2.0
//! The node agent: it runs on this machine the workloads that the chain assigns to it.
//!
//! *Desired* are this node's contracts at the finalized head ([`chain`]). *Observed* is what runs and is mounted
//! ([`drivers`]). A pure function plans the steps between the two, and the [`engine`] executes them. The
//! agent may be killed at any instant: workloads keep running, and the next start finds them. User data is
//! deleted only when the chain has a record that its contract has closed.

#![warn(missing_docs)]

pub mod agent;
mod backoff;
pub mod chain;
mod clock;
pub mod config;
mod details;
pub mod doctor;
pub mod drivers;
pub mod engine;
pub mod former;
pub mod gpus;
pub mod host;
mod http;
pub mod identity;
mod join;
pub mod links;
pub mod logs;
pub mod metrics;
pub mod own_log;
pub mod peer;
pub mod power;
mod requirements;
pub mod self_test;
pub mod store;
mod ticket;
mod trees;
pub mod update;
pub mod usage;
