// SPDX-License-Identifier: Apache-2.0
//! What a block costs before anybody's transaction, and a transaction beside its call, written by
//! `make weights PALLETS=overhead`.
//!
//! Measured with the wasm runtime: a block executed 100 times, with 1000 remarks and without,
//! on AMD EPYC, 2 cores, 24 GiB.

use frame_support::{parameter_types, weights::Weight};

parameter_types! {
    /// A block with its inherents:
    /// mean 224161 ns of 100; 50 % 217011, 95 % 268096, 99 % 285152, most 347004.
    pub const BlockExecutionWeight: Weight = Weight::from_parts(224_161_000, 0);
    /// A signed remark, with its signature and all extensions:
    /// mean 113143 ns of 100; 50 % 112902, 95 % 115579, 99 % 118530, most 120408.
    pub const ExtrinsicBaseWeight: Weight = Weight::from_parts(113_143_000, 0);
}
