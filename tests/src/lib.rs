// SPDX-License-Identifier: Apache-2.0

//! The whole system on one machine, for tests, the demo and people who want to try it: a chain, a
//! Docker engine, a registry with an image, a node agent, a farmer and a user.
//!
//! Everything that runs belongs to a [`Run`]. However the process that started it ends, by
//! returning, by panicking or by `kill -9`, the run's cleaner stops it and undoes what it did to
//! the machine.

mod agent;
mod bill;
mod chain;
mod engine;
mod footprint;
mod funds;
mod grid;
mod http;
mod people;
mod process;
mod registry;
mod run;
mod scenarios;
mod steps;
mod wait;

pub use agent::Agent;
pub use chain::Chain;
pub use engine::Engine;
pub use footprint::Footprint;
pub use funds::out_of_funds;
pub use grid::{on_a_grid, on_a_run, Grid, Options, DEPOSIT};
pub use http::get;
pub use people::{page_of, text, tft_units, units, Person, Site};
pub use process::Process;
pub use registry::{Registry, GREETING};
pub use run::{binary, free_port, repository, Machine, Run};
pub use scenarios::{on_one_grid, Scenario};
pub use steps::Steps;
pub use wait::wait_for;
