// SPDX-License-Identifier: Apache-2.0
//! Rust SDK for TF Grid Ledger: typed access to the chain over [`subxt`], generated from the runtime's
//! metadata (`metadata.scale`, made by `make metadata`).
//!
//! - [`GridClient`] connects, follows finalized heads and submits.
//! - [`GridAt`] reads the grid's state at one block.
//! - [`Keypair`] signs for a person or a bot, [`MachineKey`] for a machine.
//! - [`deployment`] is the JSON inside a node contract, with every rule checked; [`sealing`] hides it from all but the
//!   node and its owner.
//! - [`team`] is about accounts that several people sign for, [`call`] tells what they sign.
//! - [`peer`] asks the node itself: output, shells, files and ports of machines; [`snapshot`] is what it tells of
//!   volumes, [`archive`] how files go from and to machines.

#![deny(missing_docs)]

pub mod archive;
pub mod bill;
pub mod call;
pub mod causes;
pub mod client;
pub mod collect;
pub mod deployment;
pub mod error;
pub mod estimate;
pub mod farmer;
pub mod finding;
pub mod grid_at;
pub mod keys;
pub mod machine;
pub mod peer;
pub mod public_ip;
pub mod report;
pub mod sealing;
pub mod snapshot;
pub mod stored_key;
pub mod submit;
pub mod team;
pub mod transactions;
pub mod trouble;
pub mod units;
pub mod wireguard;

pub use bill::Bill;
pub use call::Call;
pub use client::{GridClient, Heads};
pub use error::Error;
pub use grid_at::{BootTicket, GridAt};
pub use keys::{Keypair, Scheme, is_development_key, new_phrase, parse_suri};
pub use machine::MachineKey;
pub use sp_core::H256;
pub use stored_key::StoredKey;
pub use submit::Included;
pub use subxt::utils::AccountId32;
pub use team::{Proposal, Team};
pub use tfgrid_primitives as primitives;
pub use transactions::Transaction;

/// subxt's settings for this chain: those of any Substrate chain.
pub type Config = subxt::SubstrateConfig;

/// Calls, storage, events and runtime APIs, generated from the runtime's metadata. The types of
/// `tfgrid_primitives` are used where the runtime uses them.
#[allow(missing_docs, clippy::all)]
#[subxt::subxt(
    runtime_metadata_path = "metadata.scale",
    substitute_type(
        path = "tfgrid_primitives::fixed::ExactTft",
        with = "::subxt::utils::Static<::tfgrid_primitives::ExactTft>"
    ),
    substitute_type(
        path = "tfgrid_primitives::traits::ContractPrice",
        with = "::subxt::utils::Static<::tfgrid_primitives::traits::ContractPrice>"
    ),
    substitute_type(
        path = "tfgrid_primitives::resources::Resources",
        with = "::subxt::utils::Static<::tfgrid_primitives::Resources>"
    ),
    substitute_type(
        path = "tfgrid_primitives::ticket::Registration",
        with = "::subxt::utils::Static<::tfgrid_primitives::Registration>"
    ),
    substitute_type(
        path = "tfgrid_primitives::report::HeartbeatPayload",
        with = "::subxt::utils::Static<::tfgrid_primitives::report::HeartbeatPayload>"
    ),
    substitute_type(
        path = "tfgrid_primitives::report::DeployedPayload",
        with = "::subxt::utils::Static<::tfgrid_primitives::report::DeployedPayload>"
    ),
    substitute_type(
        path = "tfgrid_primitives::report::FailedPayload",
        with = "::subxt::utils::Static<::tfgrid_primitives::report::FailedPayload>"
    ),
    substitute_type(
        path = "tfgrid_primitives::report::Failure",
        with = "::subxt::utils::Static<::tfgrid_primitives::report::Failure>"
    ),
    substitute_type(
        path = "tfgrid_primitives::ticket::Isolation",
        with = "::subxt::utils::Static<::tfgrid_primitives::Isolation>"
    ),
    substitute_type(
        path = "tfgrid_primitives::report::ProgressPayload",
        with = "::subxt::utils::Static<::tfgrid_primitives::report::ProgressPayload>"
    ),
    substitute_type(
        path = "tfgrid_primitives::report::ReleasedPayload",
        with = "::subxt::utils::Static<::tfgrid_primitives::report::ReleasedPayload>"
    ),
    substitute_type(
        path = "tfgrid_primitives::report::DetailsPayload",
        with = "::subxt::utils::Static<::tfgrid_primitives::report::DetailsPayload>"
    ),
    substitute_type(
        path = "tfgrid_primitives::features::Features",
        with = "::subxt::utils::Static<::tfgrid_primitives::Features>"
    ),
    substitute_type(
        path = "tfgrid_primitives::report::PowerPayload",
        with = "::subxt::utils::Static<::tfgrid_primitives::report::PowerPayload>"
    ),
    substitute_type(
        path = "tfgrid_primitives::report::Gpu",
        with = "::subxt::utils::Static<::tfgrid_primitives::report::Gpu>"
    ),
    substitute_type(
        path = "tfgrid_primitives::views::TwinContract",
        with = "::subxt::utils::Static<::tfgrid_primitives::views::TwinContract>"
    ),
    substitute_type(
        path = "tfgrid_primitives::views::NodeFilter",
        with = "::subxt::utils::Static<::tfgrid_primitives::views::NodeFilter>"
    ),
    substitute_type(
        path = "tfgrid_primitives::views::NodeOffer",
        with = "::subxt::utils::Static<::tfgrid_primitives::views::NodeOffer>"
    ),
    substitute_type(
        path = "tfgrid_primitives::pricing::PriceList",
        with = "::subxt::utils::Static<::tfgrid_primitives::PriceList>"
    ),
    substitute_type(
        path = "tfgrid_primitives::report::UsageItem",
        with = "::subxt::utils::Static<::tfgrid_primitives::UsageItem>"
    ),
    substitute_type(
        path = "tfgrid_primitives::report::UsageTotals",
        with = "::subxt::utils::Static<::tfgrid_primitives::UsageTotals>"
    ),
    substitute_type(
        path = "tfgrid_primitives::report::FailureCode",
        with = "::subxt::utils::Static<::tfgrid_primitives::FailureCode>"
    ),
    substitute_type(
        path = "tfgrid_primitives::views::ClosingReason",
        with = "::subxt::utils::Static<::tfgrid_primitives::views::ClosingReason>"
    ),
    substitute_type(
        path = "tfgrid_primitives::views::ClosedContract",
        with = "::subxt::utils::Static<::tfgrid_primitives::views::ClosedContract>"
    ),
    substitute_type(
        path = "tfgrid_primitives::views::ContractStatus",
        with = "::subxt::utils::Static<::tfgrid_primitives::views::ContractStatus>"
    ),
    substitute_type(
        path = "tfgrid_primitives::views::NodeContract",
        with = "::subxt::utils::Static<::tfgrid_primitives::views::NodeContract>"
    ),
    substitute_type(
        path = "tfgrid_primitives::views::GridInfo",
        with = "::subxt::utils::Static<::tfgrid_primitives::views::GridInfo>"
    ),
    substitute_type(
        path = "tfgrid_primitives::views::PayerInfo",
        with = "::subxt::utils::Static<::tfgrid_primitives::views::PayerInfo>"
    )
)]
pub mod api {}
