// SPDX-License-Identifier: Apache-2.0

//! The whole system on one machine: a chain, a Docker engine, a registry with an image, a node agent, a
//! farmer and a user. Whole-system tests, `make demo` and `make dev` use it.
//!
//! Everything that runs belongs to a [`Run`]. However its owner ends, by returning, by a panic or by `kill
//! -9`, the run's cleaner stops it and undoes its changes to the machine.

mod agent;
mod authority;
mod bill;
mod chain;
mod deployment;
mod engine;
mod explorer;
mod footprint;
mod forwarded;
mod funds;
mod gateway;
mod grid;
mod help;
mod http;
mod inside;
mod joined;
mod lines;
mod nat;
mod other_machine;
mod other_node;
mod people;
mod process;
mod receiver;
mod registry;
mod relay;
mod run;
mod scenarios;
mod seeded;
mod steps;
mod three_nodes;
mod wait;
mod world;

pub use agent::{Agent, GATEWAY};
pub use authority::Authority;
pub use bill::Tft;
pub use chain::Chain;
pub use deployment::{MIB, page_deployment};
pub use engine::{Engine, remember_firewall};
pub use explorer::Explorer;
pub use footprint::Footprint;
pub use forwarded::Forwarded;
pub use funds::{HIGH_PRICE, LOW_PRICE, out_of_funds, set_price};
pub use gateway::{DOMAIN, shop_deployment};
pub use grid::{DEPOSIT, Grid, Options, on_a_grid, on_a_run, on_a_run_beside_others};
pub use help::asks_for_help;
pub use http::get;
pub use inside::{Inside, kill_programs, kill_wireguard};
pub use joined::Joined;
pub use lines::Lines;
pub use nat::{Nat, in_network_of};
pub use other_machine::OtherMachine;
pub use other_node::OtherNode;
pub use people::{Person, Site, answer, page_of, text, tft_units, units, with_a_yes};
pub use process::Process;
pub use receiver::LogReceiver;
pub use registry::{GREETING, Registry, TestImage};
pub use relay::Relay;
pub use run::{Machine, Run, binary, free_port, programs, repository};
pub use scenarios::{Scenario, on_one_grid};
pub use seeded::Seeded;
pub use steps::Steps;
pub use three_nodes::{ThreeNodes, site_network, small_volume};
pub use wait::wait_for;
pub use world::{Host, World};
