// SPDX-License-Identifier: Apache-2.0
#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

mod authorize_impls;
mod dispatchable_impls;
pub mod liveness;
pub mod public_config;
mod tick_impls;
mod types;
pub mod uptime;
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
pub use liveness::{Heartbeat, LiveState, Liveness, Outage};
pub use pallet::*;
pub use public_config::PublicConfig;
pub use types::*;
pub use uptime::Uptimes;
pub use weights::WeightInfo;

/// The pallet.
#[frame_support::pallet]
pub mod pallet {
    use super::*;
    use frame_support::{pallet_prelude::*, traits::fungible};
    use frame_system::{ensure_authorized, pallet_prelude::*};
    use sp_core::H256;
    use tfgrid_primitives::{
        Balance, FarmId, GridMillis, KeySignature, NodeId, PublicKey, Registration, ReportKind, ReportMark,
        Resources, UsdRate,
        report::{DetailsPayload, HeartbeatPayload, PowerPayload, PowerState},
        traits::{Agenda, BootTickets, Clock, FarmDirectory, FarmingPeriods},
        views::{NodeFilter, NodeOffer, Page},
    };

    const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

    /// The pallet's handle.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// What the pallet needs of its runtime.
    #[pallet::config]
    pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>, Hash = H256> {
        /// TFT, in which deposits are held.
        type Currency: fungible::MutateHold<Self::AccountId, Balance = Balance, Reason = Self::RuntimeHoldReason>;
        /// The runtime's hold reasons.
        type RuntimeHoldReason: From<HoldReason>;
        /// Who the farmers are: a node's deposit is held on its farmer's account.
        type Farms: FarmDirectory<Self::AccountId> + BootTickets;
        /// Grid time for liveness, calendar time for registrations and uptime.
        type Clock: Clock;
        /// What comes due.
        type Agenda: Agenda;
        /// Who rewards nodes per period.
        type Farming: FarmingPeriods;
        /// Vouches for nodes.
        type CertifierOrigin: EnsureOrigin<Self::RuntimeOrigin>;
        /// How often a node says that it is alive, in grid time.
        type HeartbeatInterval: Get<GridMillis>;
        /// How long a node may be offline before its contracts close, in grid time.
        type LongOffline: Get<GridMillis>;
        /// How long before its end a drain is announced, in grid time.
        type DrainNotice: Get<GridMillis>;
        /// How long before it counts a higher extra fee is announced, in grid time.
        type ExtraFeeNotice: Get<GridMillis>;
        /// The most that a farmer may ask for a rent beside the list price, in 1e-10 USD per hour.
        type MaxExtraFee: Get<UsdRate>;
        /// The most that one machine may offer.
        type MaxResources: Get<Resources>;
        /// The most contracts on one node.
        #[pallet::constant]
        type MaxContractsPerNode: Get<u32>;
        /// Weights of the calls.
        type WeightInfo: WeightInfo;
        /// Makes what benchmarks need of other pallets.
        #[cfg(feature = "runtime-benchmarks")]
        type BenchmarkHelper: BenchmarkHelper<Self::AccountId>;
    }

    /// Why the pallet holds TFT.
    #[pallet::composite_enum]
    pub enum HoldReason {
        /// The deposits of a farmer's nodes.
        Node,
    }

    /// The id given last.
    #[pallet::storage]
    pub type LastNodeId<T> = StorageValue<_, NodeId, ValueQuery>;

    /// The nodes.
    #[pallet::storage]
    pub type Nodes<T> = StorageMap<_, Twox64Concat, NodeId, Node>;

    /// The node of a report key: the inverse of [`Nodes`].
    #[pallet::storage]
    pub type NodeByKey<T> = StorageMap<_, Blake2_128Concat, PublicKey, NodeId>;

    /// The nodes of a farm.
    #[pallet::storage]
    pub type FarmNodes<T> = StorageDoubleMap<_, Twox64Concat, FarmId, Twox64Concat, NodeId, ()>;

    /// What of a node is promised to contracts.
    #[pallet::storage]
    pub type Reserved<T> = StorageMap<_, Twox64Concat, NodeId, Reservation, ValueQuery>;

    /// When a node was last heard from.
    #[pallet::storage]
    pub type Heartbeats<T> = StorageMap<_, Twox64Concat, NodeId, Heartbeat>;

    /// Whether a node counts as online.
    #[pallet::storage]
    pub type Liveliness<T> = StorageMap<_, Twox64Concat, NodeId, Liveness>;

    /// For how long a node was heard from, per farming period.
    #[pallet::storage]
    pub type Uptime<T> = StorageMap<_, Twox64Concat, NodeId, Uptimes, ValueQuery>;

    /// What a node's machine is, once it has said so.
    #[pallet::storage]
    pub type Details<T> = StorageMap<_, Twox64Concat, NodeId, MachineDetails>;

    /// A node's last report of each kind that is taken here, heartbeats aside.
    #[pallet::storage]
    pub type LastReports<T> = StorageDoubleMap<_, Twox64Concat, NodeId, Twox64Concat, ReportKind, ReportMark>;

    /// Where a node stands.
    #[pallet::storage]
    pub type Locations<T> = StorageMap<_, Twox64Concat, NodeId, Location>;

    /// Under what the world reaches a node.
    #[pallet::storage]
    pub type PublicConfigs<T> = StorageMap<_, Twox64Concat, NodeId, PublicConfig>;

    /// How often tenants said that a node didn't deliver.
    #[pallet::storage]
    pub type NotDelivered<T> = StorageMap<_, Twox64Concat, NodeId, u32, ValueQuery>;

    /// What happened.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A machine has joined a farm.
        NodeRegistered {
            /// Its id.
            node: NodeId,
            /// The farm.
            farm: FarmId,
            /// Its report key.
            key: PublicKey,
            /// What the farmer's account holds for it, in 1e-7 TFT.
            deposit: Balance,
        },
        /// A node has gone over to another farm. What the old farmer had decided about it is forgotten.
        NodeMoved {
            /// Its id.
            node: NodeId,
            /// The farm that it has left.
            from: FarmId,
            /// The farm that it belongs to now.
            to: FarmId,
            /// What the old farmer's account no longer holds, in 1e-7 TFT.
            released: Balance,
            /// What the new farmer's account holds, in 1e-7 TFT.
            deposit: Balance,
        },
        /// A node has left its farm.
        NodeRemoved {
            /// Its id.
            node: NodeId,
            /// The farm.
            farm: FarmId,
            /// What is no longer held, in 1e-7 TFT.
            released: Balance,
        },
        /// A node has missed its heartbeats: its contracts aren't charged.
        NodeOffline {
            /// Its id.
            node: NodeId,
        },
        /// A node is back: its contracts are charged again.
        NodeOnline {
            /// Its id.
            node: NodeId,
        },
        /// A node has been offline for so long that its contracts close.
        NodeGivenUp {
            /// Its id.
            node: NodeId,
        },
        /// Several machines use a node's key: it is offline until its farmer has cleared that.
        NodeCloned {
            /// Its id.
            node: NodeId,
        },
        /// The farmer says that one machine alone has the node's key now.
        CloneCleared {
            /// Its id.
            node: NodeId,
        },
        /// A node has said what it is and offers.
        DetailsReported {
            /// Its id.
            node: NodeId,
        },
        /// A certifier vouches for a node, or no longer does, or its hardware isn't what was vouched for.
        CertificationChanged {
            /// Its id.
            node: NodeId,
            /// Whether it is certified now.
            certified: bool,
        },
        /// The farmer has said where a node stands.
        LocationSet {
            /// Its id.
            node: NodeId,
        },
        /// The farmer has said, or taken back, under what the world reaches a node.
        PublicConfigSet {
            /// Its id.
            node: NodeId,
        },
        /// The farmer has said whether a node is only rented as a whole.
        DedicatedSet {
            /// Its id.
            node: NodeId,
            /// Whether it is.
            dedicated: bool,
        },
        /// The farmer asks another extra fee for renting a node.
        ExtraFeeSet {
            /// Its id.
            node: NodeId,
            /// The fee, in 1e-10 USD per hour.
            fee: UsdRate,
            /// The grid time from which it counts.
            from: GridMillis,
        },
        /// A node takes no new contracts, and those that it has close at the deadline.
        DrainAnnounced {
            /// Its id.
            node: NodeId,
            /// When, in grid time.
            deadline: GridMillis,
        },
        /// A node takes contracts again.
        DrainCancelled {
            /// Its id.
            node: NodeId,
        },
        /// The deadline of a drain has come: the node's contracts close.
        DrainEnded {
            /// Its id.
            node: NodeId,
        },
        /// The farmer wants a node to sleep or to be up.
        PowerTargetSet {
            /// Its id.
            node: NodeId,
            /// Which.
            target: PowerState,
        },
        /// A node sleeps or has woken.
        PowerChanged {
            /// Its id.
            node: NodeId,
            /// Which.
            state: PowerState,
        },
    }

    /// Why a call failed.
    #[pallet::error]
    pub enum Error<T> {
        /// No node has this id.
        UnknownNode,
        /// The caller isn't the farmer of this node.
        NotFarmer,
        /// Contracts still have capacity of this node.
        NodeInUse,
        /// The node has less free than is asked for.
        NotEnoughCapacity,
        /// The node carries as many contracts as the chain admits.
        TooManyContracts,
        /// The farmer drains the node: it takes no new contracts.
        NodeDraining,
        /// A place on Earth has a latitude of at most 90 and a longitude of at most 180 degrees.
        CoordinatesOutOfRange,
        /// A country's code has two capital letters.
        CountryInvalid,
        /// This isn't UTF-8 without control characters.
        TextInvalid,
        /// An address isn't public, or its prefix or gateway can't be used (`tfgrid_primitives::net`).
        AddressInvalid,
        /// The domain breaks a rule of DNS, has capital letters or a dot at its end.
        DomainInvalid,
        /// A range of ports starts above zero and doesn't end before it starts.
        PortsInvalid,
        /// The extra fee is above what the chain admits.
        ExtraFeeAboveMaximum,
        /// A drain ends no sooner than its notice says.
        DrainTooSoon,
        /// The node isn't drained.
        NotDraining,
        /// The node's key isn't known to be used by several machines.
        NotCloned,
    }

    #[pallet::call(weight = T::WeightInfo)]
    impl<T: Config> Pallet<T> {
        /// A machine joins the farm of its boot ticket, or goes over to it with an empty node. Authorised by
        /// both keys of the registration, free.
        #[pallet::call_index(0)]
        #[pallet::weight((
            T::WeightInfo::register()
                .saturating_add(T::Farming::weight_of_leaving())
                .saturating_add(T::Farming::weight_of_joining()),
            DispatchClass::Operational,
        ))]
        #[pallet::authorize(Self::authorize_register)]
        pub fn register(
            origin: OriginFor<T>,
            registration: Registration,
            _ticket_signature: KeySignature,
            _node_signature: KeySignature,
        ) -> DispatchResult {
            ensure_authorized(origin)?;
            Self::do_register(registration);
            Ok(())
        }

        /// A node says that it is alive. Authorised by its key, free, at most one per half an interval.
        #[pallet::call_index(1)]
        #[pallet::weight((
            T::WeightInfo::heartbeat().saturating_add(T::Farming::weight_of_telling()),
            DispatchClass::Operational,
        ))]
        #[pallet::authorize(Self::authorize_heartbeat)]
        pub fn heartbeat(
            origin: OriginFor<T>,
            node: NodeId,
            sequence: u64,
            payload: HeartbeatPayload,
            _signature: KeySignature,
        ) -> DispatchResult {
            ensure_authorized(origin)?;
            Self::do_heartbeat(node, sequence, payload);
            Ok(())
        }

        /// The farmer takes an empty node out of the directory; its deposit is free again.
        #[pallet::call_index(2)]
        #[pallet::weight(T::WeightInfo::remove().saturating_add(T::Farming::weight_of_leaving()))]
        pub fn remove(origin: OriginFor<T>, node: NodeId) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_remove(account, node)
        }

        /// A node says what it is and offers: never less than is reserved. Authorised by its key, free, at
        /// most one per interval between heartbeats.
        #[pallet::call_index(3)]
        #[pallet::weight((
            T::WeightInfo::report_details().saturating_add(T::Farming::weight_of_telling()),
            DispatchClass::Operational,
        ))]
        #[pallet::authorize(Self::authorize_report_details)]
        pub fn report_details(
            origin: OriginFor<T>,
            node: NodeId,
            sequence: u64,
            payload: DetailsPayload,
            _signature: KeySignature,
        ) -> DispatchResult {
            ensure_authorized(origin)?;
            Self::do_report_details(node, sequence, payload);
            Ok(())
        }

        /// An empty node goes to sleep, as its farmer wants, or has woken; a heartbeat wakes it as well.
        /// Authorised by its key, free, at most one per half an interval between heartbeats.
        #[pallet::call_index(4)]
        #[pallet::weight((T::WeightInfo::report_power(), DispatchClass::Operational))]
        #[pallet::authorize(Self::authorize_report_power)]
        pub fn report_power(
            origin: OriginFor<T>,
            node: NodeId,
            sequence: u64,
            payload: PowerPayload,
            _signature: KeySignature,
        ) -> DispatchResult {
            ensure_authorized(origin)?;
            Self::do_report_power(node, sequence, payload.state);
            Ok(())
        }

        /// The farmer says where a node stands.
        #[pallet::call_index(5)]
        pub fn set_location(origin: OriginFor<T>, node: NodeId, location: Location) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_set_location(account, node, location)
        }

        /// The farmer says, or takes back with `None`, under what the world reaches a node.
        #[pallet::call_index(6)]
        pub fn set_public_config(
            origin: OriginFor<T>,
            node: NodeId,
            config: Option<PublicConfig>,
        ) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_set_public_config(account, node, config)
        }

        /// The farmer says whether a node is only rented as a whole. Contracts that it has stay.
        #[pallet::call_index(7)]
        pub fn set_dedicated(origin: OriginFor<T>, node: NodeId, dedicated: bool) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_set_dedicated(account, node, dedicated)
        }

        /// The farmer asks `fee`, in 1e-10 USD per hour, for renting the node beside the list price. Less
        /// counts at once, more after notice.
        #[pallet::call_index(8)]
        pub fn set_extra_fee(origin: OriginFor<T>, node: NodeId, fee: UsdRate) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_set_extra_fee(account, node, fee)
        }

        /// The farmer announces that the node's contracts close at `deadline` (grid time); it takes no new
        /// ones from now on. Called again, it moves the deadline, with the same notice.
        #[pallet::call_index(9)]
        pub fn drain(
            origin: OriginFor<T>,
            node: NodeId,
            deadline: GridMillis,
            reason: DrainReason,
        ) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_drain(account, node, Drain { deadline, reason })
        }

        /// The farmer ends a drain: the node takes contracts again.
        #[pallet::call_index(10)]
        pub fn cancel_drain(origin: OriginFor<T>, node: NodeId) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_cancel_drain(account, node)
        }

        /// The farmer wants a node up, or an empty one to sleep.
        #[pallet::call_index(11)]
        pub fn set_power_target(origin: OriginFor<T>, node: NodeId, target: PowerState) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_set_power_target(account, node, target)
        }

        /// The farmer says that one machine alone has the node's key now: its heartbeats count again.
        #[pallet::call_index(12)]
        pub fn clear_clone(origin: OriginFor<T>, node: NodeId) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_clear_clone(account, node)
        }

        /// A certifier vouches for what a node offers now, or no longer vouches for it.
        #[pallet::call_index(13)]
        #[pallet::weight(T::WeightInfo::certify().saturating_add(T::Farming::weight_of_telling()))]
        pub fn certify(origin: OriginFor<T>, node: NodeId, certified: bool) -> DispatchResult {
            T::CertifierOrigin::ensure_origin(origin)?;
            Self::do_certify(node, certified)
        }
    }

    #[pallet::view_functions]
    impl<T: Config> Pallet<T> {
        /// What a node could still reserve; `None` for an unknown node.
        pub fn node_free(node: NodeId) -> Option<Resources> {
            Self::free(node)
        }

        /// Whether a node counts as online.
        pub fn node_online(node: NodeId) -> bool {
            Self::is_online(node)
        }

        /// A node as people look for it; `None` for an unknown node.
        pub fn node_offer(node: NodeId) -> Option<NodeOffer> {
            Self::offer_of(node)
        }

        /// Nodes that match, in ascending order of their ids, at most 500 and from 500 ids; go on with
        /// the page's cursor, also where a page is empty.
        pub fn find_nodes(filter: NodeFilter, after: Option<NodeId>, limit: u32) -> Page<NodeOffer, NodeId> {
            Self::page_of_nodes(&filter, after, limit)
        }

        /// For how many milliseconds of a farming period (its first second ÷ 30 days) a node was heard from.
        pub fn node_uptime(node: NodeId, period: u32) -> u64 {
            Uptime::<T>::get(node).in_period(period)
        }
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn integrity_test() {
            assert!(T::HeartbeatInterval::get() > 0, "nodes must be given time between heartbeats");
            assert!(T::LongOffline::get() > 0, "an offline node would be looked at in every block");
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }
}
