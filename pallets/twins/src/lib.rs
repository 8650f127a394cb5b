// SPDX-License-Identifier: Apache-2.0
#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

mod dispatchable_impls;
mod types;
mod utility_impls;
pub mod weights;

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
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
    use tfgrid_primitives::{Balance, PublicKey, TwinId, traits::{OnTwinLeft, TwinInUse}};

    const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

    /// The pallet's handle.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// What the pallet needs of its runtime.
    #[pallet::config]
    pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {
        /// TFT, in which deposits are held.
        type Currency: fungible::MutateHold<Self::AccountId, Balance = Balance, Reason = Self::RuntimeHoldReason>;
        /// The runtime's hold reasons.
        type RuntimeHoldReason: From<HoldReason> + Copy + PartialEq + 'static;
        /// The reasons of deposits that belong to a twin and move with it, this pallet's own among them: at most
        /// [`MAX_DEPOSIT_REASONS`], none twice.
        type DepositReasons: Get<&'static [Self::RuntimeHoldReason]>;
        /// What depends on a twin.
        type InUse: TwinInUse;
        /// What follows when a twin gets another owner or is removed.
        type OnTwinLeft: OnTwinLeft;
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

    /// The accounts that twins are offered to.
    #[pallet::storage]
    pub type Offers<T: Config> = StorageMap<_, Twox64Concat, TwinId, T::AccountId>;

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
        /// A twin is offered to another account.
        TransferOffered {
            /// Its id.
            twin: TwinId,
            /// Who may accept it.
            to: T::AccountId,
        },
        /// A twin is offered to nobody any more.
        OfferWithdrawn {
            /// Its id.
            twin: TwinId,
        },
        /// A twin has another account.
        TwinTransferred {
            /// Its id.
            twin: TwinId,
            /// Its account before.
            from: T::AccountId,
            /// Its account now.
            to: T::AccountId,
            /// The deposits that moved with it, in 1e-7 TFT.
            deposits: Balance,
        },
        /// A twin is gone.
        TwinRemoved {
            /// Its id.
            twin: TwinId,
            /// What is no longer held, in 1e-7 TFT.
            released: Balance,
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
        /// The twin is offered to nobody.
        NoOffer,
        /// The twin isn't offered to the caller.
        NotOffered,
        /// The twin still owns farms, contracts or credit.
        TwinInUse,
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

        /// Offers the caller's twin, with all that belongs to it, to the account `to`. A second offer takes the
        /// place of the first.
        #[pallet::call_index(2)]
        pub fn offer_transfer(origin: OriginFor<T>, to: T::AccountId) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_offer_transfer(account, to)
        }

        /// Takes back the offer of the caller's twin.
        #[pallet::call_index(3)]
        pub fn withdraw_offer(origin: OriginFor<T>) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_withdraw_offer(account)
        }

        /// Takes over a twin that is offered to the caller, who must have none. All its deposits move to the
        /// caller's account, on hold as they are; its keys go, for they are the former owner's.
        #[pallet::call_index(4)]
        pub fn accept_transfer(origin: OriginFor<T>, twin: TwinId) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_accept_transfer(account, twin)
        }

        /// Removes the caller's twin, which must own nothing; its deposit is free again.
        #[pallet::call_index(5)]
        pub fn remove(origin: OriginFor<T>) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_remove(account)
        }
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn integrity_test() {
            let reasons = T::DepositReasons::get();
            assert!(reasons.contains(&HoldReason::Twin.into()), "a twin's own deposit must move with it");
            assert!(reasons.len() <= MAX_DEPOSIT_REASONS, "more reasons than the weights count on");
            assert!(are_distinct(reasons), "a reason is listed twice");
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }
}
