// SPDX-License-Identifier: Apache-2.0
//! Weights of the extensions of signed transactions.
//!
//! `ExtrinsicBaseWeight` is measured with a signed remark, which passes through all of them, so it has their time
//! already. What they read of the block itself, such as its weight, the fee multiplier or the genesis hash, each
//! transaction reads again, from memory: that is in it, too. What is left is what differs from one transaction to
//! the next: the signer's account, which is read and written once for nonce, fee and call together, and the block
//! that a mortal transaction names. A call whose fee comes out of what it releases touches what it touches anyway.

use frame_support::weights::Weight;
use tfgrid_primitives::weights::DbWeight;

/// Weights of the extensions.
pub struct Weights;

impl frame_system::ExtensionsWeightInfo for Weights {
    fn check_genesis() -> Weight {
        Weight::zero()
    }

    fn check_mortality_mortal_transaction() -> Weight {
        DbWeight::get().reads(1)
    }

    fn check_mortality_immortal_transaction() -> Weight {
        Weight::zero()
    }

    fn check_non_zero_sender() -> Weight {
        Weight::zero()
    }

    fn check_nonce() -> Weight {
        DbWeight::get().reads_writes(1, 1)
    }

    fn check_spec_version() -> Weight {
        Weight::zero()
    }

    fn check_tx_version() -> Weight {
        Weight::zero()
    }

    fn check_weight() -> Weight {
        Weight::zero()
    }

    fn weight_reclaim() -> Weight {
        Weight::zero()
    }
}

impl pallet_transaction_payment::WeightInfo for Weights {
    fn charge_transaction_payment() -> Weight {
        Weight::zero()
    }
}
