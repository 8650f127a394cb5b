// SPDX-License-Identifier: Apache-2.0
//! What reads and writes of the state cost, written by `make weights PALLETS=storage`.
//!
//! The SDK's for ParityDb: not measured yet.

use sp_core::parameter_types;
use sp_weights::{RuntimeDbWeight, constants::WEIGHT_REF_TIME_PER_NANOS};

parameter_types! {
    /// A read and a write of one key.
    pub const DbWeight: RuntimeDbWeight = RuntimeDbWeight {
        read: 8_000 * WEIGHT_REF_TIME_PER_NANOS,
        write: 50_000 * WEIGHT_REF_TIME_PER_NANOS,
    };
}
