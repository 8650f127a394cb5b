// SPDX-License-Identifier: Apache-2.0
#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

mod dispatchable_impls;
#[cfg(any(feature = "std", feature = "try-runtime"))]
mod try_state;
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

/// The pallet's declarations.
#[frame_support::pallet]
pub mod pallet {
    use super::*;
    use frame_support::{pallet_prelude::*, traits::fungible};
    use frame_system::pallet_prelude::*;
    use tfgrid_primitives::{
        Balance, PublicKey, TwinId,
        traits::{OnTwinLeft, TwinInUse},
    };

    const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

    /// The pallet's handle.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// Configuration of the pallet.
    #[pallet::config]
    pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {
        /// TFT. Deposits are held in it.
        type Currency: fungible::MutateHold<Self::AccountId, Balance = Balance, Reason = Self::RuntimeHoldReason>;
        /// The runtime's hold reasons.
        type RuntimeHoldReason: From<HoldReason> + Copy + PartialEq + 'static;
        /// Hold reasons of deposits that move with a twin, this pallet's own among them: at most
        /// [`MAX_DEPOSIT_REASONS`], none twice.
        type DepositReasons: Get<&'static [Self::RuntimeHoldReason]>;
        /// Tells whether a twin owns something, and clears settings of its owner.
        type InUse: TwinInUse;
        /// Clears what only the owner of a twin may set.
        type OnTwinLeft: OnTwinLeft;
        /// Deposit of a twin, in 1e-7 TFT.
        #[pallet::constant]
        type TwinDeposit: Get<Balance>;
        /// Deposit of a byte of peer addresses, in 1e-7 TFT.
        #[pallet::constant]
        type DepositPerByte: Get<Balance>;
        /// Weights of the calls.
        type WeightInfo: WeightInfo;
    }

    /// Hold reasons of the pallet.
    #[pallet::composite_enum]
    pub enum HoldReason {
        /// Deposit of a twin.
        Twin,
        /// Deposit of a twin's peer addresses.
        PeerAddresses,
    }

    /// The id of the twin that was created last.
    #[pallet::storage]
    pub type LastTwinId<T> = StorageValue<_, TwinId, ValueQuery>;

    /// Twins by id.
    #[pallet::storage]
    pub type Twins<T: Config> = StorageMap<_, Twox64Concat, TwinId, TwinOf<T>>;

    /// The twin of an account: the inverse of [`Twins`].
    #[pallet::storage]
    pub type TwinByAccount<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, TwinId>;

    /// The account to which a twin is offered.
    #[pallet::storage]
    pub type TransferOffers<T: Config> = StorageMap<_, Twox64Concat, TwinId, T::AccountId>;

    /// Where the bots of a twin are dialled under its peer keys, as its owner says.
    #[pallet::storage]
    pub type PeerAddresses<T> = StorageMap<_, Twox64Concat, TwinId, Addresses>;

    /// Events of the pallet.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// An account has created its twin.
        TwinCreated {
            /// Id of the new twin.
            twin: TwinId,
            /// Account of the twin.
            account: T::AccountId,
            /// Hold on the account, in 1e-7 TFT.
            deposit: Balance,
        },
        /// The keys of a twin have changed.
        TwinUpdated {
            /// Id of the twin.
            twin: TwinId,
        },
        /// A twin is offered to another account.
        TransferOffered {
            /// Id of the twin.
            twin: TwinId,
            /// Account that may accept it.
            to: T::AccountId,
        },
        /// The offer of a twin is withdrawn.
        OfferWithdrawn {
            /// Id of the twin.
            twin: TwinId,
        },
        /// A twin has moved to another account.
        TwinTransferred {
            /// Id of the twin.
            twin: TwinId,
            /// Previous account.
            from: T::AccountId,
            /// New account.
            to: T::AccountId,
            /// Sum of the deposits that moved with it, in 1e-7 TFT.
            deposits: Balance,
        },
        /// A twin is removed.
        TwinRemoved {
            /// Id that the twin had.
            twin: TwinId,
            /// Hold released on its account, in 1e-7 TFT.
            released: Balance,
        },
        /// The peer addresses of a twin have changed.
        PeerAddressesSet {
            /// Id of the twin.
            twin: TwinId,
            /// Hold on its account for them, in 1e-7 TFT.
            deposit: Balance,
        },
    }

    /// Errors of the pallet.
    #[pallet::error]
    pub enum Error<T> {
        /// The account has a twin already.
        AccountHasTwin,
        /// The account has no twin.
        NoTwin,
        /// A peer key is listed twice.
        DuplicatePeerKey,
        /// No id is left for another twin.
        IdsExhausted,
        /// The twin isn't offered to any account.
        NoOffer,
        /// The twin isn't offered to the caller.
        NotOffered,
        /// The twin still owns farms, contracts or credit.
        TwinInUse,
        /// The peer addresses aren't printable text.
        NotPrintable,
    }

    #[pallet::call(weight = T::WeightInfo)]
    impl<T: Config> Pallet<T> {
        /// Creates the caller's twin and holds its deposit.
        ///
        /// - `peer_keys`: up to four ed25519 keys under which the twin's machines and bots are dialled.
        /// - `encryption_key`: X25519 key to which others seal messages for this twin.
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

        /// Offers the caller's twin, with everything that it owns, to the account `to`. Replaces an earlier
        /// offer.
        #[pallet::call_index(2)]
        pub fn offer_transfer(origin: OriginFor<T>, to: T::AccountId) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_offer_transfer(account, to)
        }

        /// Withdraws the offer of the caller's twin.
        #[pallet::call_index(3)]
        pub fn withdraw_offer(origin: OriginFor<T>) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_withdraw_offer(account)
        }

        /// Moves a twin that is offered to the caller to the caller's account, which must have none. Its
        /// deposits move with it, on hold; its keys, which the previous owner knows, and its peer addresses are
        /// removed.
        #[pallet::call_index(4)]
        pub fn accept_transfer(origin: OriginFor<T>, twin: TwinId) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_accept_transfer(account, twin)
        }

        /// Removes the caller's twin, which must own nothing, and releases its deposits.
        #[pallet::call_index(5)]
        pub fn remove(origin: OriginFor<T>) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_remove(account)
        }

        /// Replaces the peer addresses of the caller's twin and holds the deposit of their bytes; empty ones
        /// remove them.
        #[pallet::call_index(6)]
        pub fn set_peer_addresses(origin: OriginFor<T>, addresses: Addresses) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_set_peer_addresses(account, addresses)
        }
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn integrity_test() {
            let reasons = T::DepositReasons::get();
            assert!(reasons.contains(&HoldReason::Twin.into()), "the deposit of a twin must move with it");
            assert!(reasons.len() <= MAX_DEPOSIT_REASONS, "the weights count on at most MAX_DEPOSIT_REASONS");
            assert!(are_distinct(reasons), "a hold reason is listed twice");
            assert!(T::DepositPerByte::get() > 0, "twins with peer addresses are known by their deposits");
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }
}
