// SPDX-License-Identifier: Apache-2.0
//! What a block costs before anybody's transaction, and a transaction beside its call, written by
//! `make weights PALLETS=overhead`.
//!
//! The SDK's: not measured yet.

use frame_support::{parameter_types, weights::Weight};

parameter_types! {
    /// A block with its inherents.
    pub const BlockExecutionWeight: Weight = Weight::from_parts(431_614_000, 0);
    /// A signed remark, with its signature and all extensions.
    pub const ExtrinsicBaseWeight: Weight = Weight::from_parts(108_157_000, 0);
}
