// SPDX-License-Identifier: Apache-2.0
#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

mod dispatchable_impls;
mod tick_impls;
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
    use frame_support::pallet_prelude::*;
    use frame_system::pallet_prelude::*;
    use sp_staking::SessionIndex;

    const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

    /// The pallet's handle.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// Configuration of the pallet.
    #[pallet::config]
    pub trait Config:
        frame_system::Config<RuntimeEvent: From<Event<Self>>>
        + pallet_session::Config<ValidatorId = <Self as frame_system::Config>::AccountId>
    {
        /// Adds and removes validators.
        type ManagerOrigin: EnsureOrigin<Self::RuntimeOrigin>;
        /// Upper limit of validators.
        #[pallet::constant]
        type MaxValidators: Get<u32>;
        /// Upper limit of pending changes.
        #[pallet::constant]
        type MaxPendingChanges: Get<u32>;
        /// Upper limit of sessions since a candidate announced itself.
        #[pallet::constant]
        type MaxSilence: Get<SessionIndex>;
        /// Weights of the calls.
        type WeightInfo: WeightInfo;
    }

    /// The validators from the next session on.
    #[pallet::storage]
    pub type ChosenValidators<T: Config> =
        StorageValue<_, BoundedVec<T::AccountId, T::MaxValidators>, ValueQuery>;

    /// Changes that wait for their session, the next one first.
    #[pallet::storage]
    pub type PendingChanges<T: Config> =
        StorageValue<_, BoundedVec<Change<T::AccountId>, T::MaxPendingChanges>, ValueQuery>;

    /// The session in which a candidate last announced itself.
    #[pallet::storage]
    pub type LastAnnouncement<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, SessionIndex>;

    /// Genesis of the pallet: the validators are those whose session keys `pallet-session` has at genesis.
    #[pallet::genesis_config]
    #[derive(frame_support::DefaultNoBound)]
    pub struct GenesisConfig<T: Config> {
        /// Marker; carries no data.
        #[serde(skip)]
        pub _runtime: core::marker::PhantomData<T>,
    }

    #[pallet::genesis_build]
    impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
        fn build(&self) {
            let chosen = BoundedVec::try_from(pallet_session::Pallet::<T>::validators());
            ChosenValidators::<T>::put(chosen.expect("no more validators at genesis than MaxValidators"));
        }
    }

    /// Events of the pallet.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A candidate has announced itself.
        Announced {
            /// Account of the candidate.
            account: T::AccountId,
            /// Session in which it did.
            session: SessionIndex,
        },
        /// A change of the set is pending.
        ChangeQueued {
            /// Who is to join or leave.
            change: Change<T::AccountId>,
        },
        /// A change of the set is made.
        SetChanged {
            /// Who joins or leaves.
            change: Change<T::AccountId>,
            /// First session with the new set.
            session: SessionIndex,
        },
        /// A pending change is dropped, because it broke a rule when its turn came.
        ChangeDropped {
            /// Who was to join or leave.
            change: Change<T::AccountId>,
        },
        /// An account that isn't a validator has removed its session keys.
        Retired {
            /// Account that had them.
            account: T::AccountId,
        },
    }

    /// Errors of the pallet.
    #[pallet::error]
    pub enum Error<T> {
        /// The account has no session keys.
        NoSessionKeys,
        /// The candidate hasn't announced itself in the last `MaxSilence` sessions.
        NotAnnounced,
        /// The account is a validator already.
        AlreadyValidator,
        /// The account isn't a validator.
        NotValidator,
        /// Another change of this account is pending.
        ChangePending,
        /// `MaxPendingChanges` changes are pending.
        TooManyPending,
        /// The set has `MaxValidators` validators, pending changes included.
        SetFull,
        /// The last validator can't be removed: a chain without validators makes no blocks.
        LastValidator,
        /// The account makes blocks in this session or a planned one: it keeps its session keys.
        StillValidator,
    }

    #[pallet::call(weight = <T as Config>::WeightInfo)]
    impl<T: Config> Pallet<T> {
        /// Announces that the caller's machine is alive: a candidate must do so before it becomes a
        /// validator.
        #[pallet::call_index(0)]
        pub fn announce(origin: OriginFor<T>) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_announce(account)
        }

        /// Queues a candidate to become a validator: it makes blocks from the second session after its turn.
        #[pallet::call_index(1)]
        pub fn add_validator(origin: OriginFor<T>, account: T::AccountId) -> DispatchResult {
            T::ManagerOrigin::ensure_origin(origin)?;
            Self::do_add_validator(account)
        }

        /// Queues a validator to leave: it makes blocks until the end of the session after its turn.
        #[pallet::call_index(2)]
        pub fn remove_validator(origin: OriginFor<T>, account: T::AccountId) -> DispatchResult {
            T::ManagerOrigin::ensure_origin(origin)?;
            Self::do_remove_validator(account)
        }

        /// Removes the session keys of the caller, which isn't a validator, and releases their deposit.
        #[pallet::call_index(3)]
        pub fn retire(origin: OriginFor<T>) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_retire(account)
        }
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn integrity_test() {
            assert!(T::MaxValidators::get() > 0, "MaxValidators is zero: a chain needs a validator");
            assert!(T::MaxPendingChanges::get() > 0, "MaxPendingChanges is zero: the set could never change");
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }
}
