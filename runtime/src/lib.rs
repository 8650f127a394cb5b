// SPDX-License-Identifier: Apache-2.0
//! The state transition function of TF Grid Ledger: the pallets composed.
//!
//! One file per pallet's configuration in `configs/`; what the node and light clients call is in
//! `apis.rs`; what a chain starts with is in `genesis.rs`.

#![cfg_attr(not(feature = "std"), no_std)]
// The runtime macro unrolls over its pallets.
#![recursion_limit = "256"]

#[cfg(feature = "std")]
include!(concat!(env!("OUT_DIR"), "/wasm_binary.rs"));

extern crate alloc;

// First, for the macros that it defines.
#[cfg(feature = "runtime-benchmarks")]
#[macro_use]
mod benchmarks;

pub mod apis;
mod configs;
pub mod genesis;
pub mod grid_api;
mod reports;
mod weights;

pub use apis::{RUNTIME_API_VERSIONS, RuntimeApi};
pub use configs::{consensus::SESSION, fees, oracle::PriceKey, parameters, proxies::ProxyType};

use alloc::vec::Vec;
use sp_runtime::{
    MultiAddress, MultiSignature, generic, impl_opaque_keys,
    traits::{BlakeTwo256, IdentifyAccount, Verify},
};
use sp_version::RuntimeVersion;

/// Types that don't know the runtime's calls, for the node.
pub mod opaque {
    use super::*;
    use sp_runtime::OpaqueExtrinsic;

    /// A header.
    pub type Header = generic::Header<BlockNumber, BlakeTwo256>;
    /// A block of undecoded extrinsics.
    pub type Block = generic::Block<Header, OpaqueExtrinsic>;
}

impl_opaque_keys! {
    /// What a validator signs with.
    pub struct SessionKeys {
        pub aura: Aura,
        pub grandpa: Grandpa,
    }
}

/// A signature of any of the usual kinds.
pub type Signature = MultiSignature;
/// An account.
pub type AccountId = <<Signature as Verify>::Signer as IdentifyAccount>::AccountId;
/// How calls name accounts.
pub type Address = MultiAddress<AccountId, ()>;
/// An amount in 1e-7 TFT.
pub type Balance = tfgrid_primitives::Balance;
/// How many transactions an account has sent.
pub type Nonce = u32;
/// A block hash.
pub type Hash = sp_core::H256;
/// A block number.
pub type BlockNumber = u32;
/// A header.
pub type Header = generic::Header<BlockNumber, BlakeTwo256>;
/// A block.
pub type Block = generic::Block<Header, UncheckedExtrinsic>;
/// What every transaction of a signer passes through.
pub type TxExtension = (
    frame_system::CheckNonZeroSender<Runtime>,
    frame_system::CheckSpecVersion<Runtime>,
    frame_system::CheckTxVersion<Runtime>,
    frame_system::CheckGenesis<Runtime>,
    frame_system::CheckEra<Runtime>,
    frame_system::CheckNonce<Runtime>,
    frame_system::CheckWeight<Runtime>,
    pallet_transaction_payment::ChargeTransactionPayment<Runtime>,
    frame_metadata_hash_extension::CheckMetadataHash<Runtime>,
    frame_system::WeightReclaim<Runtime>,
);
/// A transaction.
pub type UncheckedExtrinsic = generic::UncheckedExtrinsic<Address, RuntimeCall, Signature, TxExtension>;
/// What executes blocks.
pub type Executive = frame_executive::Executive<
    Runtime,
    Block,
    frame_system::ChainContext<Runtime>,
    reports::BareReports,
    AllPalletsWithSystem,
>;

/// Slots are three seconds long.
pub const SLOT_DURATION: u64 = 3_000;
/// Blocks in a minute.
pub const MINUTE: BlockNumber = 20;
/// Blocks in a day.
pub const DAY: BlockNumber = 24 * 60 * MINUTE;

/// Which runtime this is.
#[sp_version::runtime_version]
pub const VERSION: RuntimeVersion = RuntimeVersion {
    spec_name: alloc::borrow::Cow::Borrowed("tfgrid"),
    impl_name: alloc::borrow::Cow::Borrowed("tfgrid"),
    authoring_version: 1,
    spec_version: 1,
    impl_version: 1,
    apis: apis::RUNTIME_API_VERSIONS,
    transaction_version: 1,
    system_version: 3,
};

/// The metadata that clients are generated from, as `client/metadata.scale` holds it: version 16, prefixed.
#[cfg(feature = "std")]
pub fn metadata_file() -> Result<Vec<u8>, &'static str> {
    let metadata = Runtime::metadata_at_version(16).ok_or("this frame-support has no metadata version 16")?;
    Ok((*metadata).clone())
}

/// What a transaction with this nonce carries beside its call: no tip, and no end.
#[cfg(feature = "std")]
pub fn extensions(nonce: Nonce) -> TxExtension {
    (
        frame_system::CheckNonZeroSender::new(),
        frame_system::CheckSpecVersion::new(),
        frame_system::CheckTxVersion::new(),
        frame_system::CheckGenesis::new(),
        frame_system::CheckEra::from(generic::Era::Immortal),
        frame_system::CheckNonce::from(nonce),
        frame_system::CheckWeight::new(),
        pallet_transaction_payment::ChargeTransactionPayment::from(0),
        frame_metadata_hash_extension::CheckMetadataHash::new(false),
        frame_system::WeightReclaim::new(),
    )
}

#[frame_support::runtime]
mod runtime {
    #[runtime::runtime]
    #[runtime::derive(
        RuntimeCall,
        RuntimeEvent,
        RuntimeError,
        RuntimeOrigin,
        RuntimeFreezeReason,
        RuntimeHoldReason,
        RuntimeSlashReason,
        RuntimeLockId,
        RuntimeTask,
        RuntimeViewFunction
    )]
    pub struct Runtime;

    #[runtime::pallet_index(0)]
    pub type System = frame_system;
    #[runtime::pallet_index(1)]
    pub type Timestamp = pallet_timestamp;
    #[runtime::pallet_index(2)]
    pub type Aura = pallet_aura;
    #[runtime::pallet_index(3)]
    pub type Grandpa = pallet_grandpa;

    // After Aura, whose check of a block's slot is about the validators before the change.
    #[runtime::pallet_index(4)]
    pub type Session = pallet_session;
    #[runtime::pallet_index(5)]
    pub type Validators = pallet_grid_validators;

    #[runtime::pallet_index(10)]
    pub type Balances = pallet_balances;
    #[runtime::pallet_index(11)]
    pub type TransactionPayment = pallet_transaction_payment;

    #[runtime::pallet_index(20)]
    pub type Sudo = pallet_sudo;
    #[runtime::pallet_index(21)]
    pub type Parameters = pallet_parameters;
    #[runtime::pallet_index(22)]
    pub type InitialIntervals = crate::parameters::initial_intervals;

    #[runtime::pallet_index(23)]
    pub type Council = pallet_collective<Instance1>;
    #[runtime::pallet_index(24)]
    pub type CouncilMembership = pallet_membership<Instance1>;
    #[runtime::pallet_index(25)]
    pub type Preimage = pallet_preimage;
    #[runtime::pallet_index(26)]
    pub type Scheduler = pallet_scheduler;
    #[runtime::pallet_index(27)]
    pub type MultiBlockMigrations = pallet_migrations;
    #[runtime::pallet_index(28)]
    pub type Whitelist = pallet_whitelist;

    #[runtime::pallet_index(30)]
    pub type Utility = pallet_utility;
    #[runtime::pallet_index(31)]
    pub type Proxy = pallet_proxy;
    #[runtime::pallet_index(32)]
    pub type Multisig = pallet_multisig;
    #[runtime::pallet_index(33)]
    pub type Oracle = pallet_oracle;
    #[runtime::pallet_index(34)]
    pub type Feeders = pallet_membership<Instance2>;

    // The clock comes before the pallets that read it, so that it has stepped when they are polled.
    #[runtime::pallet_index(49)]
    pub type Clock = pallet_grid_clock;
    #[runtime::pallet_index(50)]
    pub type Billing = pallet_grid_billing;
    #[runtime::pallet_index(51)]
    pub type Twins = pallet_grid_twins;
    #[runtime::pallet_index(52)]
    pub type Farms = pallet_grid_farms;
    #[runtime::pallet_index(53)]
    pub type Nodes = pallet_grid_nodes;
    #[runtime::pallet_index(54)]
    pub type Contracts = pallet_grid_contracts;
    #[runtime::pallet_index(55)]
    pub type Farming = pallet_grid_farming;
}
