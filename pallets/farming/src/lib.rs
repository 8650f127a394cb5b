// SPDX-License-Identifier: Apache-2.0
#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

mod dispatchable_impls;
mod period_impls;
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

#[cfg(feature = "runtime-benchmarks")]
pub use benchmarking::BenchmarkHelper;
pub use pallet::*;
pub use types::*;
pub use weights::WeightInfo;

/// The pallet's declarations.
#[frame_support::pallet]
pub mod pallet {
    use super::*;
    use alloc::vec::Vec;
    use frame_support::{pallet_prelude::*, traits::fungible};
    use frame_system::pallet_prelude::*;
    use tfgrid_primitives::{
        Balance, FarmId, NodeId, Resources, TftPrice,
        traits::{Clock, FarmDirectory, FarmedNodes, PriceHistory},
    };

    const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

    /// The pallet's handle.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// Configuration of the pallet.
    #[pallet::config]
    pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {
        /// TFT. Rewards are minted and bonds are held in it.
        type Currency: fungible::Mutate<Self::AccountId, Balance = Balance>
            + fungible::MutateHold<Self::AccountId, Balance = Balance, Reason = Self::RuntimeHoldReason>;
        /// The runtime's hold reasons.
        type RuntimeHoldReason: From<HoldReason>;
        /// Looks up the capacity and uptime of nodes.
        type Nodes: FarmedNodes;
        /// Looks up farmers, who get the rewards and on whose accounts bonds are held.
        type Farms: FarmDirectory<Self::AccountId>;
        /// Calendar time: periods are 30 days of it.
        type Clock: Clock;
        /// Average prices of TFT.
        type Prices: PriceHistory;
        /// Enrols nodes.
        type CertifierOrigin: EnsureOrigin<Self::RuntimeOrigin>;
        /// Voids rewards, forfeits bonds and sets the policy.
        type GovernanceOrigin: EnsureOrigin<Self::RuntimeOrigin>;
        /// Weights of the calls.
        type WeightInfo: WeightInfo;
        /// Creates what the benchmarks need in other pallets.
        #[cfg(feature = "runtime-benchmarks")]
        type BenchmarkHelper: BenchmarkHelper<Self::AccountId>;
    }

    /// Hold reasons of the pallet.
    #[pallet::composite_enum]
    pub enum HoldReason {
        /// Bonds of the enrolled nodes of a farmer.
        Bond,
    }

    /// Rates and limits of farming. Without a policy no node is enrolled and nothing is minted.
    #[pallet::storage]
    pub type Policy<T> = StorageValue<_, FarmingPolicy>;

    /// Enrolments of nodes that earn, and of nodes that have left while their bonds are held.
    #[pallet::storage]
    pub type Enrolments<T> = StorageMap<_, Twox64Concat, NodeId, Enrolment>;

    /// Number of enrolments of a farm.
    #[pallet::storage]
    pub type FarmEnrolments<T> = StorageMap<_, Twox64Concat, FarmId, u32, ValueQuery>;

    /// Rewards of a node per period.
    #[pallet::storage]
    pub type NodeRewards<T> = StorageMap<_, Twox64Concat, NodeId, Rewards, ValueQuery>;

    /// Rewards of all nodes per period.
    #[pallet::storage]
    pub type Totals<T> = StorageValue<_, PeriodTotals, ValueQuery>;

    /// Genesis of the pallet.
    #[pallet::genesis_config]
    #[derive(frame_support::DefaultNoBound)]
    pub struct GenesisConfig<T: Config> {
        /// Rates and limits of farming.
        pub policy: Option<FarmingPolicy>,
        /// Marker; carries no data.
        #[serde(skip)]
        pub _runtime: core::marker::PhantomData<T>,
    }

    #[pallet::genesis_build]
    impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
        fn build(&self) {
            let is_valid = self.policy.is_none_or(|policy| policy.is_valid());
            assert!(is_valid, "a part of the farming policy is out of bounds");
            Policy::<T>::set(self.policy);
        }
    }

    /// Events of the pallet.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A node is enrolled: it earns from now on.
        Enrolled {
            /// Id of the node.
            node: NodeId,
            /// Farm of the node.
            farm: FarmId,
            /// Hold on the farmer's account, in 1e-7 TFT.
            bond: Balance,
            /// Price by which its rewards are converted, in 1e-7 USD per TFT.
            price: TftPrice,
        },
        /// A period of a node is closed.
        PeriodClosed {
            /// Id of the node.
            node: NodeId,
            /// Number of the period.
            period: u32,
            /// Reward before it is scaled to the period's cap, in 1e-7 TFT.
            tft: Balance,
        },
        /// A reward was minted for a farmer.
        RewardClaimed {
            /// Id of the node.
            node: NodeId,
            /// Number of the period.
            period: u32,
            /// Farm whose farmer gets it.
            farm: FarmId,
            /// Amount minted, in 1e-7 TFT.
            tft: Balance,
        },
        /// Governance has voided the reward of a node for a period.
        RewardVoided {
            /// Id of the node.
            node: NodeId,
            /// Number of the period.
            period: u32,
            /// Reward that is voided, in 1e-7 TFT; zero if the period wasn't closed yet.
            tft: Balance,
        },
        /// A node has stopped earning.
        NodeLeft {
            /// Id of the node.
            node: NodeId,
            /// Farm of the node.
            farm: FarmId,
            /// First period in which its bond can be withdrawn.
            until: u32,
        },
        /// The bond of a node is released and its enrolment is deleted.
        BondReleased {
            /// Id of the node.
            node: NodeId,
            /// Farm whose farmer had the bond.
            farm: FarmId,
            /// Hold released, in 1e-7 TFT.
            bond: Balance,
        },
        /// Governance has burnt the bond of a node and voided what hasn't matured; its enrolment is deleted.
        BondForfeited {
            /// Id of the node.
            node: NodeId,
            /// Farm whose farmer had the bond.
            farm: FarmId,
            /// Amount burnt, in 1e-7 TFT.
            bond: Balance,
        },
        /// A certifier has seen what a node offers: it counts from the next period on.
        Inspected {
            /// Id of the node.
            node: NodeId,
            /// Capacity that the certifier saw.
            seen: Resources,
        },
        /// Governance has set a new policy.
        PolicySet {
            /// The new policy.
            policy: FarmingPolicy,
        },
    }

    /// Errors of the pallet.
    #[pallet::error]
    pub enum Error<T> {
        /// No node has this id.
        UnknownNode,
        /// The node is enrolled already.
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
        /// A part of the policy is out of bounds.
        PolicyInvalid,
        /// The node has no reward for this period: it earned nothing, wasn't closed in time, or was voided.
        NoReward,
        /// A reward matures two periods after its own.
        NotMature,
        /// The reward has matured: it can't be voided any more.
        AlreadyMature,
        /// The reward is claimed already.
        AlreadyClaimed,
        /// The period is older than the 13 that are kept.
        PeriodForgotten,
    }

    #[pallet::call(weight = T::WeightInfo)]
    impl<T: Config> Pallet<T> {
        /// Enrols a node: it earns from now on. Holds a bond on its farmer's account.
        ///
        /// - `seen`: what the certifier saw of it, not what the node says when the call is made: no period counts
        ///   more.
        #[pallet::call_index(0)]
        pub fn enrol(origin: OriginFor<T>, node: NodeId, seen: Resources) -> DispatchResult {
            T::CertifierOrigin::ensure_origin(origin)?;
            Self::do_enrol(node, Some(seen))
        }

        /// Ends the farming of a node of the caller, the open period included. Its bond can be withdrawn when
        /// its last reward has matured.
        #[pallet::call_index(1)]
        pub fn leave(origin: OriginFor<T>, node: NodeId) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_leave(account, node)
        }

        /// Mints all unclaimed rewards of a node that has left for its farmer, releases the bond and deletes
        /// the enrolment. Anybody may call it.
        #[pallet::call_index(2)]
        pub fn withdraw(origin: OriginFor<T>, node: NodeId) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_withdraw(node)
        }

        /// Mints the matured reward of a node for a period, scaled to the period's cap, for its farmer.
        /// Anybody may call it, once.
        #[pallet::call_index(3)]
        pub fn claim(origin: OriginFor<T>, node: NodeId, period: u32) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_claim(node, period)
        }

        /// Voids the reward of a node for a period that hasn't matured.
        #[pallet::call_index(4)]
        pub fn void(origin: OriginFor<T>, node: NodeId, period: u32) -> DispatchResult {
            T::GovernanceOrigin::ensure_origin(origin)?;
            Self::do_void(node, period)
        }

        /// Burns the bond of a node, voids what hasn't matured, mints what has for its farmer and deletes the
        /// enrolment.
        #[pallet::call_index(5)]
        pub fn forfeit(origin: OriginFor<T>, node: NodeId) -> DispatchResult {
            T::GovernanceOrigin::ensure_origin(origin)?;
            Self::do_forfeit(node)
        }

        /// Sets the policy for all periods that aren't closed yet. Bonds on hold stay as they are.
        #[pallet::call_index(6)]
        pub fn set_policy(origin: OriginFor<T>, policy: FarmingPolicy) -> DispatchResult {
            T::GovernanceOrigin::ensure_origin(origin)?;
            Self::do_set_policy(policy)
        }

        /// Lets an enrolled node earn for what a certifier has seen of it, from its next period on.
        ///
        /// - `seen`: what the certifier saw, not what the node says when the call is made.
        #[pallet::call_index(7)]
        pub fn inspect(origin: OriginFor<T>, node: NodeId, seen: Resources) -> DispatchResult {
            T::CertifierOrigin::ensure_origin(origin)?;
            Self::do_inspect(node, seen)
        }
    }

    #[pallet::view_functions]
    impl<T: Config> Pallet<T> {
        /// The enrolment of a node; `None` for one that isn't enrolled.
        pub fn node_enrolment(node: NodeId) -> Option<Enrolment> {
            Enrolments::<T>::get(node)
        }

        /// Rewards of a node in the last 13 periods, oldest first.
        pub fn node_rewards(node: NodeId) -> Vec<RewardInfo> {
            Self::rewards_of(node)
        }

        /// Totals of the last 13 periods, oldest first.
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
