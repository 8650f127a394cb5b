// SPDX-License-Identifier: Apache-2.0
#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

mod dispatchable_impls;
mod tick_impls;
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
    use frame_support::pallet_prelude::*;
    use frame_system::pallet_prelude::*;
    use sp_staking::SessionIndex;

    const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

    /// The pallet's handle.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// What the pallet needs of its runtime.
    #[pallet::config]
    pub trait Config:
        frame_system::Config<RuntimeEvent: From<Event<Self>>>
        + pallet_session::Config<ValidatorId = <Self as frame_system::Config>::AccountId>
    {
        /// Who changes the set.
        type ManagerOrigin: EnsureOrigin<Self::RuntimeOrigin>;
        /// The most validators.
        #[pallet::constant]
        type MaxValidators: Get<u32>;
        /// The most changes that wait for their session.
        #[pallet::constant]
        type MaxPending: Get<u32>;
        /// How many sessions ago a candidate may have announced itself and still count as alive.
        #[pallet::constant]
        type HeardWithin: Get<SessionIndex>;
        /// Weights of the calls.
        type WeightInfo: WeightInfo;
    }

    /// The validators from the next session on.
    #[pallet::storage]
    pub type Chosen<T: Config> = StorageValue<_, BoundedVec<T::AccountId, T::MaxValidators>, ValueQuery>;

    /// Changes that wait for their session, the next one first.
    #[pallet::storage]
    pub type Pending<T: Config> =
        StorageValue<_, BoundedVec<Change<T::AccountId>, T::MaxPending>, ValueQuery>;

    /// The session in which a candidate last announced itself.
    #[pallet::storage]
    pub type Heard<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, SessionIndex>;

    /// A chain starts with the validators whose session keys its genesis has.
    #[pallet::genesis_config]
    #[derive(frame_support::DefaultNoBound)]
    pub struct GenesisConfig<T: Config> {
        /// Nothing: `pallet-session` has the keys.
        #[serde(skip)]
        pub _runtime: core::marker::PhantomData<T>,
    }

    #[pallet::genesis_build]
    impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
        fn build(&self) {
            let chosen = BoundedVec::try_from(pallet_session::Pallet::<T>::validators());
            Chosen::<T>::put(chosen.expect("no more validators at genesis than MaxValidators"));
        }
    }

    /// What happened.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A candidate says that it is alive.
        Announced {
            /// Which.
            account: T::AccountId,
            /// In which session.
            session: SessionIndex,
        },
        /// A change of the set waits for its session.
        ChangeQueued {
            /// Of whom.
            change: Change<T::AccountId>,
        },
        /// The set has changed.
        SetChanged {
            /// Of whom.
            change: Change<T::AccountId>,
            /// From which session on.
            session: SessionIndex,
        },
        /// A change came to nothing, because by then it broke a rule.
        ChangeDropped {
            /// Of whom.
            change: Change<T::AccountId>,
        },
        /// An account that is no validator took back its session keys.
        Retired {
            /// Whose they were.
            account: T::AccountId,
        },
    }

    /// Why a call failed.
    #[pallet::error]
    pub enum Error<T> {
        /// The account has no session keys.
        NoSessionKeys,
        /// The candidate hasn't announced itself lately.
        NotHeardFrom,
        /// The account is a validator already.
        AlreadyValidator,
        /// The account isn't a validator.
        NotValidator,
        /// Another change of this account waits for its session.
        ChangePending,
        /// As many changes wait as may.
        TooManyPending,
        /// There are as many validators as may be.
        SetFull,
        /// A chain without validators makes no blocks: the last one stays.
        LastValidator,
        /// The account makes blocks, or is about to: its session keys stay.
        StillValidator,
    }

    #[pallet::call(weight = <T as Config>::WeightInfo)]
    impl<T: Config> Pallet<T> {
        /// Says that the caller's machine is alive: only candidates that were heard from become validators.
        #[pallet::call_index(0)]
        pub fn announce(origin: OriginFor<T>) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_announce(account)
        }

        /// Queues a candidate: it makes blocks two sessions after its turn has come.
        #[pallet::call_index(1)]
        pub fn add_validator(origin: OriginFor<T>, account: T::AccountId) -> DispatchResult {
            T::ManagerOrigin::ensure_origin(origin)?;
            Self::do_add_validator(account)
        }

        /// Queues the leaving of a validator: it goes on making blocks until the session after its turn ends.
        #[pallet::call_index(2)]
        pub fn remove_validator(origin: OriginFor<T>, account: T::AccountId) -> DispatchResult {
            T::ManagerOrigin::ensure_origin(origin)?;
            Self::do_remove_validator(account)
        }

        /// Takes back the session keys of the caller, which is no validator, and releases their deposit.
        #[pallet::call_index(3)]
        pub fn retire(origin: OriginFor<T>) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_retire(account)
        }
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn integrity_test() {
            assert!(T::MaxValidators::get() > 0, "a chain needs a validator");
            assert!(T::MaxPending::get() > 0, "no change could ever wait for its session");
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }
}
