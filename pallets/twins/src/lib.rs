// SPDX-License-Identifier: Apache-2.0
#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

mod dispatchable_impls;
mod types;
mod utility_impls;
pub mod weights;

#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;

pub use pallet::*;
pub use types::*;
pub use weights::WeightInfo;

/// The pallet.
#[frame_support::pallet]
pub mod pallet {
    use super::*;
    use frame_support::{pallet_prelude::*, traits::fungible};
    use frame_system::pallet_prelude::*;
    use tfgrid_primitives::{Balance, PublicKey, TwinId};

    const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

    /// The pallet's handle.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// What the pallet needs of its runtime.
    #[pallet::config]
    pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {
        /// TFT, in which deposits are held.
        type Currency: fungible::MutateHold<
            Self::AccountId,
            Balance = Balance,
            Reason = Self::RuntimeHoldReason,
        >;
        /// The runtime's hold reasons.
        type RuntimeHoldReason: From<HoldReason>;
        /// Held while a twin exists, in 1e-7 TFT.
        #[pallet::constant]
        type TwinDeposit: Get<Balance>;
        /// Weights of the calls.
        type WeightInfo: WeightInfo;
    }

    /// Why the pallet holds TFT.
    #[pallet::composite_enum]
    pub enum HoldReason {
        /// The deposit of a twin.
        Twin,
    }

    /// The id given last.
    #[pallet::storage]
    pub type LastTwinId<T> = StorageValue<_, TwinId, ValueQuery>;

    /// The twins.
    #[pallet::storage]
    pub type Twins<T: Config> = StorageMap<_, Twox64Concat, TwinId, TwinOf<T>>;

    /// The twin of an account: the inverse of [`Twins`].
    #[pallet::storage]
    pub type TwinByAccount<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, TwinId>;

    /// What happened.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A twin exists.
        TwinCreated {
            /// Its id.
            twin: TwinId,
            /// Its account.
            account: T::AccountId,
            /// What is held for it, in 1e-7 TFT.
            deposit: Balance,
        },
        /// A twin published other keys.
        TwinUpdated {
            /// Its id.
            twin: TwinId,
        },
    }

    /// Why a call failed.
    #[pallet::error]
    pub enum Error<T> {
        /// The account has a twin already.
        AccountHasTwin,
        /// The account has no twin.
        NoTwin,
        /// A peer key is listed twice.
        DuplicatePeerKey,
        /// All twin ids are given away.
        IdsExhausted,
    }

    #[pallet::call(weight = T::WeightInfo)]
    impl<T: Config> Pallet<T> {
        /// Creates the caller's twin.
        ///
        /// - `peer_keys`: up to four ed25519 keys under which the twin's machines and bots are dialled.
        /// - `encryption_key`: X25519 key to which others seal what only this twin may read.
        #[pallet::call_index(0)]
        pub fn create(
            origin: OriginFor<T>,
            peer_keys: PeerKeys,
            encryption_key: Option<PublicKey>,
        ) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_create(account, peer_keys, encryption_key)
        }

        /// Replaces the keys of the caller's twin.
        #[pallet::call_index(1)]
        pub fn update(
            origin: OriginFor<T>,
            peer_keys: PeerKeys,
            encryption_key: Option<PublicKey>,
        ) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_update(account, peer_keys, encryption_key)
        }
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }
}
