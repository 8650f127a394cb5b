// SPDX-License-Identifier: Apache-2.0
//! What reads and writes of the state cost, written by `make weights PALLETS=storage`.
//!
//! Measured on ParityDb with 1_000_000 keys, without the node's trie cache, on
//! AMD EPYC, 2 cores, 24 GiB. A write has its part of a block's root and commit, of 5_000 keys.
//!
//! - read: mean 4934 ns of 1000000; 50 % 4907, 95 % 6199, 99 % 6920, most 545166
//! - write: mean 49877 ns of 200; 50 % 49182, 95 % 80511, 99 % 93096, most 143609

use sp_core::parameter_types;
use sp_weights::{RuntimeDbWeight, constants::WEIGHT_REF_TIME_PER_NANOS};

parameter_types! {
    /// A read and a write of one key.
    pub const DbWeight: RuntimeDbWeight = RuntimeDbWeight {
        read: 4_934 * WEIGHT_REF_TIME_PER_NANOS,
        write: 49_877 * WEIGHT_REF_TIME_PER_NANOS,
    };
}
