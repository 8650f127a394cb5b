// SPDX-License-Identifier: Apache-2.0
#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

mod dispatchable_impls;
mod period_impls;
mod types;
mod utility_impls;
pub mod weights;

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;

#[cfg(feature = "runtime-benchmarks")]
pub use benchmarking::BenchmarkHelper;
pub use pallet::*;
pub use types::*;
pub use weights::WeightInfo;

/// The pallet.
#[frame_support::pallet]
pub mod pallet {
    use super::*;
    use frame_support::{pallet_prelude::*, traits::fungible};
    use frame_system::pallet_prelude::*;
    use sp_runtime::Vec;
    use tfgrid_primitives::{
        Balance, FarmId, NodeId, TftPrice,
        traits::{Clock, FarmDirectory, FarmedNodes, PriceHistory},
    };

    const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

    /// The pallet's handle.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// What the pallet needs of its runtime.
    #[pallet::config]
    pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {
        /// TFT, which is minted, and in which bonds are held.
        type Currency: fungible::Mutate<Self::AccountId, Balance = Balance>
            + fungible::MutateHold<Self::AccountId, Balance = Balance, Reason = Self::RuntimeHoldReason>;
        /// The runtime's hold reasons.
        type RuntimeHoldReason: From<HoldReason>;
        /// What nodes are and how long they were up.
        type Nodes: FarmedNodes;
        /// Who is paid, and on whose account bonds are held.
        type Farms: FarmDirectory<Self::AccountId>;
        /// The calendar, which makes the periods.
        type Clock: Clock;
        /// The price at which nodes are enrolled.
        type Prices: PriceHistory;
        /// Enrols nodes.
        type CertifierOrigin: EnsureOrigin<Self::RuntimeOrigin>;
        /// Voids rewards, takes bonds and sets the policy.
        type GovernanceOrigin: EnsureOrigin<Self::RuntimeOrigin>;
        /// Weights of the calls.
        type WeightInfo: WeightInfo;
        /// Makes what benchmarks need of other pallets.
        #[cfg(feature = "runtime-benchmarks")]
        type BenchmarkHelper: BenchmarkHelper<Self::AccountId>;
    }

    /// Why the pallet holds TFT.
    #[pallet::composite_enum]
    pub enum HoldReason {
        /// The bonds of a farmer's enrolled nodes.
        Bond,
    }

    /// What is paid for what; nobody is enrolled and nothing is minted without.
    #[pallet::storage]
    pub type Policy<T> = StorageValue<_, FarmingPolicy>;

    /// The nodes that are paid for their capacity, and those whose bonds are still held.
    #[pallet::storage]
    pub type Enrolments<T> = StorageMap<_, Twox64Concat, NodeId, Enrolment>;

    /// How many records of [`Enrolments`] a farm has.
    #[pallet::storage]
    pub type FarmEnrolments<T> = StorageMap<_, Twox64Concat, FarmId, u32, ValueQuery>;

    /// What nodes have earned per period.
    #[pallet::storage]
    pub type NodeRewards<T> = StorageMap<_, Twox64Concat, NodeId, Rewards, ValueQuery>;

    /// What all nodes together have earned per period.
    #[pallet::storage]
    pub type Totals<T> = StorageValue<_, PeriodTotals, ValueQuery>;

    /// The first policy.
    #[pallet::genesis_config]
    #[derive(frame_support::DefaultNoBound)]
    pub struct GenesisConfig<T: Config> {
        /// What is paid for what.
        pub policy: Option<FarmingPolicy>,
        /// Nothing.
        #[serde(skip)]
        pub _runtime: core::marker::PhantomData<T>,
    }

    #[pallet::genesis_build]
    impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
        fn build(&self) {
            let is_valid = self.policy.is_none_or(|policy| policy.is_valid());
            assert!(is_valid, "the farming policy contradicts itself or is out of bounds");
            Policy::<T>::set(self.policy);
        }
    }

    /// What happened.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A node is paid for its capacity from now on.
        Enrolled {
            /// Its id.
            node: NodeId,
            /// Its farm.
            farm: FarmId,
            /// What the farmer's account holds for it, in 1e-7 TFT.
            bond: Balance,
            /// The price at which its rewards are paid, in 1e-7 USD per TFT.
            price: TftPrice,
        },
        /// A node's period is over, and this is what it earned in it.
        PeriodClosed {
            /// Its id.
            node: NodeId,
            /// The period.
            period: u32,
            /// The reward before it is scaled to the period's cap, in 1e-7 TFT.
            tft: Balance,
        },
        /// A reward was minted for a farmer.
        RewardClaimed {
            /// The node.
            node: NodeId,
            /// The period.
            period: u32,
            /// The farm that it goes to.
            farm: FarmId,
            /// How much, in 1e-7 TFT.
            tft: Balance,
        },
        /// Governance has voided what a node earned in a period.
        RewardVoided {
            /// The node.
            node: NodeId,
            /// The period.
            period: u32,
            /// What that was, in 1e-7 TFT; zero where the period wasn't closed yet.
            tft: Balance,
        },
        /// A node isn't paid for its capacity any more.
        NodeLeft {
            /// Its id.
            node: NodeId,
            /// Its farm.
            farm: FarmId,
            /// With this period its bond can be withdrawn.
            until: u32,
        },
        /// A bond is free again, and the node is forgotten.
        BondReleased {
            /// The node.
            node: NodeId,
            /// The farm.
            farm: FarmId,
            /// The bond, in 1e-7 TFT.
            bond: Balance,
        },
        /// Governance has taken a bond and what hasn't matured: it is burnt, and the node is forgotten.
        BondForfeited {
            /// The node.
            node: NodeId,
            /// The farm.
            farm: FarmId,
            /// How much was burnt, in 1e-7 TFT.
            bond: Balance,
        },
        /// Governance has set another policy.
        PolicySet {
            /// The policy.
            policy: FarmingPolicy,
        },
    }

    /// Why a call failed.
    #[pallet::error]
    pub enum Error<T> {
        /// No node has this id.
        UnknownNode,
        /// The node is enrolled.
        AlreadyEnrolled,
        /// The node has left, and its bond hasn't been withdrawn yet.
        BondNotWithdrawn,
        /// The node isn't enrolled.
        NotEnrolled,
        /// The caller isn't the farmer of this node.
        NotFarmer,
        /// The node's farm has no account.
        FarmerGone,
        /// The chain has no farming policy.
        NoPolicy,
        /// No price of TFT is recorded yet.
        NoPrice,
        /// The policy contradicts itself or is out of bounds.
        PolicyInvalid,
        /// The node earned nothing in this period, or it wasn't closed in time, or it was voided.
        NoReward,
        /// Rewards mature when a whole period lies between.
        NotMature,
        /// The reward has matured: it can't be voided any more.
        AlreadyMature,
        /// The reward was claimed before.
        AlreadyClaimed,
        /// The period is so long ago that it is forgotten.
        PeriodForgotten,
    }

    #[pallet::call(weight = T::WeightInfo)]
    impl<T: Config> Pallet<T> {
        /// A certifier has a node paid for its capacity. Holds a bond on its farmer's account.
        #[pallet::call_index(0)]
        pub fn enrol(origin: OriginFor<T>, node: NodeId) -> DispatchResult {
            T::CertifierOrigin::ensure_origin(origin)?;
            Self::do_enrol(node)
        }

        /// The farmer has a node not paid any more, not for the running period either. Its bond is free as
        /// soon as its last reward has matured.
        #[pallet::call_index(1)]
        pub fn leave(origin: OriginFor<T>, node: NodeId) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_leave(account, node)
        }

        /// Pays the farmer of a node that has left all that wasn't claimed yet, releases its bond and forgets
        /// it. Anybody may call it.
        #[pallet::call_index(2)]
        pub fn withdraw(origin: OriginFor<T>, node: NodeId) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_withdraw(node)
        }

        /// Mints what a node earned in a period for its farmer, scaled to the period's cap. Anybody may call
        /// it, once, when one whole period lies between.
        #[pallet::call_index(3)]
        pub fn claim(origin: OriginFor<T>, node: NodeId, period: u32) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_claim(node, period)
        }

        /// Governance voids what a node earns in a period that hasn't matured.
        #[pallet::call_index(4)]
        pub fn void(origin: OriginFor<T>, node: NodeId, period: u32) -> DispatchResult {
            T::GovernanceOrigin::ensure_origin(origin)?;
            Self::do_void(node, period)
        }

        /// Governance burns a node's bond, voids what hasn't matured and forgets the node. Its farmer is paid
        /// what has matured.
        #[pallet::call_index(5)]
        pub fn forfeit(origin: OriginFor<T>, node: NodeId) -> DispatchResult {
            T::GovernanceOrigin::ensure_origin(origin)?;
            Self::do_forfeit(node)
        }

        /// Governance sets what is paid for what, from the periods on that aren't closed yet. Bonds that are
        /// held stay as they are.
        #[pallet::call_index(6)]
        pub fn set_policy(origin: OriginFor<T>, policy: FarmingPolicy) -> DispatchResult {
            T::GovernanceOrigin::ensure_origin(origin)?;
            Self::do_set_policy(policy)
        }
    }

    #[pallet::view_functions]
    impl<T: Config> Pallet<T> {
        /// How a node is enrolled; `None` for one that isn't.
        pub fn node_enrolment(node: NodeId) -> Option<Enrolment> {
            Enrolments::<T>::get(node)
        }

        /// What a node has earned in the last 13 periods, oldest first.
        pub fn node_rewards(node: NodeId) -> Vec<RewardInfo> {
            Self::rewards_of(node)
        }

        /// What all nodes together have earned in the last 13 periods, oldest first.
        pub fn period_totals() -> PeriodTotals {
            Totals::<T>::get()
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
