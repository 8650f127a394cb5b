// SPDX-License-Identifier: Apache-2.0
#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

mod authorize_impls;
mod dispatchable_impls;
pub mod liveness;
pub mod public_config;
mod tick_impls;
#[cfg(any(feature = "std", feature = "try-runtime"))]
mod try_state;
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
pub use liveness::{Heartbeat, HeartbeatStreak, LiveState, Liveness, Outage};
pub use pallet::*;
pub use public_config::PublicConfig;
pub use types::*;
pub use uptime::Uptimes;
pub use weights::WeightInfo;

/// The pallet's declarations.
#[frame_support::pallet]
pub mod pallet {
    use super::*;
    use frame_support::{pallet_prelude::*, traits::fungible};
    use frame_system::pallet_prelude::*;
    use sp_core::H256;
    use tfgrid_primitives::{
        Balance, FarmId, GridMillis, KeySignature, NodeId, PublicKey, Registration, ReportKind, ReportMark,
        Resources, UsdRate,
        report::{DetailsPayload, HeartbeatPayload, PowerPayload, PowerState},
        traits::{Agenda, BootTickets, Clock, FarmDirectory, FarmingPeriods, OnNodeRemoved},
        views::{NodeFilter, NodeOffer, Page},
    };

    const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

    /// The pallet's handle.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// Configuration of the pallet.
    #[pallet::config]
    pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>, Hash = H256> {
        /// TFT. Deposits are held in it.
        type Currency: fungible::MutateHold<Self::AccountId, Balance = Balance, Reason = Self::RuntimeHoldReason>;
        /// The runtime's hold reasons.
        type RuntimeHoldReason: From<HoldReason>;
        /// Looks up farmers, on whose accounts the deposits of nodes are held, and spends boot tickets.
        type Farms: FarmDirectory<Self::AccountId> + BootTickets;
        /// Grid time for liveness, calendar time for registrations and uptime.
        type Clock: Clock;
        /// Arms the deadlines that [`ServeDeadlines`](tfgrid_primitives::traits::ServeDeadlines) serves here.
        type Agenda: Agenda;
        /// Receives what counts for farming rewards.
        type Farming: FarmingPeriods;
        /// Removes what other pallets keep of a removed node.
        type OnRemoved: OnNodeRemoved;
        /// Certifies nodes.
        type CertifierOrigin: EnsureOrigin<Self::RuntimeOrigin>;
        /// Time between two heartbeats of a node.
        type HeartbeatInterval: Get<GridMillis>;
        /// Time offline after which a node's contracts close.
        type OfflineTimeout: Get<GridMillis>;
        /// Least time between the announcement of a drain and its deadline.
        type DrainNotice: Get<GridMillis>;
        /// Time between the announcement of a higher extra fee and the moment from which it counts.
        type ExtraFeeNotice: Get<GridMillis>;
        /// Upper limit of the extra fee that a farmer charges for renting a node, beside the list price.
        type MaxExtraFee: Get<UsdRate>;
        /// Upper limit of what one node offers, part by part.
        type MaxResources: Get<Resources>;
        /// Upper limit of contracts on one node.
        #[pallet::constant]
        type MaxContractsPerNode: Get<u32>;
        /// Weights of the calls and deadlines.
        type WeightInfo: WeightInfo;
        /// Creates what the benchmarks need in other pallets.
        #[cfg(feature = "runtime-benchmarks")]
        type BenchmarkHelper: BenchmarkHelper<Self::AccountId>;
    }

    /// Hold reasons of the pallet.
    #[pallet::composite_enum]
    pub enum HoldReason {
        /// Deposits of the nodes of a farmer.
        Node,
    }

    /// The id of the node that joined last.
    #[pallet::storage]
    pub type LastNodeId<T> = StorageValue<_, NodeId, ValueQuery>;

    /// Nodes by id.
    #[pallet::storage]
    pub type Nodes<T> = StorageMap<_, Twox64Concat, NodeId, Node>;

    /// The node of a report key: the inverse of [`Nodes`].
    #[pallet::storage]
    pub type NodeByKey<T> = StorageMap<_, Blake2_128Concat, PublicKey, NodeId>;

    /// The nodes of a farm.
    #[pallet::storage]
    pub type FarmNodes<T> = StorageDoubleMap<_, Twox64Concat, FarmId, Twox64Concat, NodeId, ()>;

    /// Capacity of a node that its contracts reserve.
    #[pallet::storage]
    pub type Reserved<T> = StorageMap<_, Twox64Concat, NodeId, Reservation, ValueQuery>;

    /// The last heartbeat of a node.
    #[pallet::storage]
    pub type Heartbeats<T> = StorageMap<_, Twox64Concat, NodeId, Heartbeat>;

    /// Whether a node is online.
    #[pallet::storage]
    pub type LivenessOf<T> = StorageMap<_, Twox64Concat, NodeId, Liveness>;

    /// Uptime of a node per farming period.
    #[pallet::storage]
    pub type Uptime<T> = StorageMap<_, Twox64Concat, NodeId, Uptimes, ValueQuery>;

    /// Hardware of a node, since its first report of details.
    #[pallet::storage]
    pub type Details<T> = StorageMap<_, Twox64Concat, NodeId, MachineDetails>;

    /// The last report of details and the last report of power of a node.
    #[pallet::storage]
    pub type LastReports<T> = StorageDoubleMap<_, Twox64Concat, NodeId, Twox64Concat, ReportKind, ReportMark>;

    /// Where a node stands, according to its farmer.
    #[pallet::storage]
    pub type Locations<T> = StorageMap<_, Twox64Concat, NodeId, Location>;

    /// Public addresses, domain and ports of a node, according to its farmer.
    #[pallet::storage]
    pub type PublicConfigs<T> = StorageMap<_, Twox64Concat, NodeId, PublicConfig>;

    /// What tenants got back because a node hadn't delivered.
    #[pallet::storage]
    pub type NotDelivered<T> = StorageMap<_, Twox64Concat, NodeId, Undelivered, ValueQuery>;

    /// Events of the pallet.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A machine has joined a farm.
        NodeRegistered {
            /// Id of the new node.
            node: NodeId,
            /// Farm that it has joined.
            farm: FarmId,
            /// Ed25519 key of its reports.
            key: PublicKey,
            /// Hold on the farmer's account, in 1e-7 TFT.
            deposit: Balance,
        },
        /// A node has moved to another farm. The settings of the old farmer are removed.
        NodeMoved {
            /// Id of the node.
            node: NodeId,
            /// Farm that it has left.
            from: FarmId,
            /// Farm that it belongs to now.
            to: FarmId,
            /// Hold released on the old farmer's account, in 1e-7 TFT.
            released: Balance,
            /// Hold on the new farmer's account, in 1e-7 TFT.
            deposit: Balance,
        },
        /// A farmer has removed a node.
        NodeRemoved {
            /// Id that the node had.
            node: NodeId,
            /// Farm that it belonged to.
            farm: FarmId,
            /// Hold released on the farmer's account, in 1e-7 TFT.
            released: Balance,
        },
        /// A node has missed three heartbeats and is offline: its contracts aren't charged.
        NodeOffline {
            /// Id of the node.
            node: NodeId,
        },
        /// A node is online again: its contracts are charged again.
        NodeOnline {
            /// Id of the node.
            node: NodeId,
        },
        /// A node has been offline for `OfflineTimeout`: its contracts close.
        NodeGivenUp {
            /// Id of the node.
            node: NodeId,
        },
        /// Two machines use the key of a node: it is offline until its farmer calls `clear_clone`.
        NodeCloned {
            /// Id of the node.
            node: NodeId,
        },
        /// The farmer has declared that only one machine uses the key of a node.
        CloneCleared {
            /// Id of the node.
            node: NodeId,
        },
        /// A node has reported its hardware and capacity.
        DetailsReported {
            /// Id of the node.
            node: NodeId,
        },
        /// A certifier has certified a node or withdrawn its certificate, or the node has lost it by a change
        /// of hardware.
        CertificationChanged {
            /// Id of the node.
            node: NodeId,
            /// Whether the node is certified now.
            certified: bool,
        },
        /// The farmer has set the location of a node.
        LocationSet {
            /// Id of the node.
            node: NodeId,
        },
        /// The farmer has set or removed the public config of a node.
        PublicConfigSet {
            /// Id of the node.
            node: NodeId,
        },
        /// The farmer has set whether a node is only rented as a whole.
        DedicatedSet {
            /// Id of the node.
            node: NodeId,
            /// Whether it is only rented as a whole.
            dedicated: bool,
        },
        /// The farmer has set the extra fee for renting a node.
        ExtraFeeSet {
            /// Id of the node.
            node: NodeId,
            /// Fee in 1e-10 USD per hour.
            fee: UsdRate,
            /// Grid time from which the fee counts.
            from: GridMillis,
        },
        /// A node takes no new contracts; its contracts close at the deadline.
        DrainAnnounced {
            /// Id of the node.
            node: NodeId,
            /// Grid time at which the contracts close.
            deadline: GridMillis,
        },
        /// The farmer has cancelled a drain: the node takes contracts again.
        DrainCancelled {
            /// Id of the node.
            node: NodeId,
        },
        /// A drain has reached its deadline: the node's contracts close.
        DrainEnded {
            /// Id of the node.
            node: NodeId,
        },
        /// The farmer has set whether a node is to sleep.
        PowerTargetSet {
            /// Id of the node.
            node: NodeId,
            /// State that the farmer asks for.
            target: PowerState,
        },
        /// A node has gone to sleep or has woken up.
        PowerChanged {
            /// Id of the node.
            node: NodeId,
            /// State of the node now.
            state: PowerState,
        },
    }

    /// Errors of the pallet.
    #[pallet::error]
    pub enum Error<T> {
        /// No node has this id.
        UnknownNode,
        /// The caller isn't the farmer of this node.
        NotFarmer,
        /// Contracts still reserve capacity of this node.
        NodeInUse,
        /// The node has less free capacity than requested.
        NotEnoughCapacity,
        /// The node has `MaxContractsPerNode` contracts.
        TooManyContracts,
        /// The node is draining: it takes no new contracts.
        NodeDraining,
        /// A latitude is at most 90 degrees, a longitude at most 180 degrees.
        CoordinatesOutOfRange,
        /// A country code has two capital letters (ISO 3166-1 alpha-2).
        CountryInvalid,
        /// A text is UTF-8 without control characters.
        TextInvalid,
        /// An address isn't public, or its prefix or gateway can't be used (`tfgrid_primitives::net`).
        AddressInvalid,
        /// The domain breaks a rule of DNS, has capital letters, or ends with a dot.
        DomainInvalid,
        /// A range of ports starts at 1 or above and ends no lower than it starts.
        PortsInvalid,
        /// The extra fee exceeds `MaxExtraFee`.
        ExtraFeeAboveMaximum,
        /// The deadline of a drain is at least `DrainNotice` away.
        DrainTooSoon,
        /// The node isn't draining.
        NotDraining,
        /// The node offers other capacity than the certifier saw.
        OffersOtherThanSeen,
        /// The node isn't marked as cloned.
        NotCloned,
        /// The node's agent can't send it to sleep and have it woken.
        PowerNotServed,
    }

    #[pallet::call(weight = T::WeightInfo)]
    impl<T: Config> Pallet<T> {
        /// Adds a machine as a node to the farm of its boot ticket, or moves an empty node to that farm.
        /// Authorised by ticket key and node key; free.
        #[pallet::call_index(0)]
        #[pallet::weight((
            T::WeightInfo::register()
                .saturating_add(T::WeightInfo::authorize_register())
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
            ensure_none(origin)?;
            Self::do_register(registration);
            Ok(())
        }

        /// Reports that a node is alive. Authorised by its key; free; at most one per half
        /// `HeartbeatInterval`.
        #[pallet::call_index(1)]
        #[pallet::weight((
            T::WeightInfo::heartbeat()
                .saturating_add(T::WeightInfo::authorize_heartbeat())
                .saturating_add(T::Farming::weight_of_telling()),
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
            ensure_none(origin)?;
            Self::do_heartbeat(node, sequence, payload);
            Ok(())
        }

        /// Removes an empty node of the caller and releases its deposit.
        #[pallet::call_index(2)]
        #[pallet::weight(T::WeightInfo::remove().saturating_add(T::Farming::weight_of_leaving()))]
        pub fn remove(origin: OriginFor<T>, node: NodeId) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_remove(account, node)
        }

        /// Reports hardware and capacity of a node: no less than its contracts reserve. Authorised by its
        /// key; free; at most one per `HeartbeatInterval`.
        #[pallet::call_index(3)]
        #[pallet::weight((
            T::WeightInfo::report_details()
                .saturating_add(T::WeightInfo::authorize_report_details())
                .saturating_add(T::Farming::weight_of_telling()),
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
            ensure_none(origin)?;
            Self::do_report_details(node, sequence, payload);
            Ok(())
        }

        /// Reports that an empty node goes to sleep, which its farmer has asked for, or has woken up; a
        /// heartbeat wakes it as well. Authorised by its key; free; at most one per half `HeartbeatInterval`.
        #[pallet::call_index(4)]
        #[pallet::weight((
            T::WeightInfo::report_power().saturating_add(T::WeightInfo::authorize_report_power()),
            DispatchClass::Operational,
        ))]
        #[pallet::authorize(Self::authorize_report_power)]
        pub fn report_power(
            origin: OriginFor<T>,
            node: NodeId,
            sequence: u64,
            payload: PowerPayload,
            _signature: KeySignature,
        ) -> DispatchResult {
            ensure_none(origin)?;
            Self::do_report_power(node, sequence, payload.state);
            Ok(())
        }

        /// Sets the location of a node of the caller.
        #[pallet::call_index(5)]
        pub fn set_location(origin: OriginFor<T>, node: NodeId, location: Location) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_set_location(account, node, location)
        }

        /// Sets the public addresses, domain and ports of a node of the caller; `None` removes them.
        #[pallet::call_index(6)]
        pub fn set_public_config(
            origin: OriginFor<T>,
            node: NodeId,
            config: Option<PublicConfig>,
        ) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_set_public_config(account, node, config)
        }

        /// Sets whether a node of the caller is only rented as a whole. Existing contracts stay.
        #[pallet::call_index(7)]
        pub fn set_dedicated(origin: OriginFor<T>, node: NodeId, dedicated: bool) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_set_dedicated(account, node, dedicated)
        }

        /// Sets the extra fee for renting a node of the caller, beside the list price, in 1e-10 USD per hour.
        /// A lower fee counts at once, a higher one after `ExtraFeeNotice`.
        #[pallet::call_index(8)]
        pub fn set_extra_fee(origin: OriginFor<T>, node: NodeId, fee: UsdRate) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_set_extra_fee(account, node, fee)
        }

        /// Drains a node of the caller: it takes no new contracts, and its contracts close at `deadline`
        /// (grid time). A second call moves the deadline, with the same notice.
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

        /// Cancels the drain of a node of the caller: it takes contracts again.
        #[pallet::call_index(10)]
        pub fn cancel_drain(origin: OriginFor<T>, node: NodeId) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_cancel_drain(account, node)
        }

        /// Asks a node of the caller to be up or, if it is empty, to sleep.
        #[pallet::call_index(11)]
        pub fn set_power_target(origin: OriginFor<T>, node: NodeId, target: PowerState) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_set_power_target(account, node, target)
        }

        /// Declares that only one machine uses the key of a node of the caller: its heartbeats count again.
        #[pallet::call_index(12)]
        pub fn clear_clone(origin: OriginFor<T>, node: NodeId) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_clear_clone(account, node)
        }

        /// Certifies a node, or withdraws its certificate.
        ///
        /// - `seen`: what the certifier saw of it, which it must offer when the call is made; `None` withdraws.
        #[pallet::call_index(13)]
        #[pallet::weight(T::WeightInfo::certify().saturating_add(T::Farming::weight_of_telling()))]
        pub fn certify(origin: OriginFor<T>, node: NodeId, seen: Option<Resources>) -> DispatchResult {
            T::CertifierOrigin::ensure_origin(origin)?;
            Self::do_certify(node, seen)
        }
    }

    #[pallet::view_functions]
    impl<T: Config> Pallet<T> {
        /// Free capacity of a node; `None` for an unknown node.
        pub fn node_free(node: NodeId) -> Option<Resources> {
            Self::free(node)
        }

        /// Whether a node is online.
        pub fn node_online(node: NodeId) -> bool {
            Self::is_online(node)
        }

        /// What a node offers to tenants; `None` for an unknown node.
        pub fn node_offer(node: NodeId) -> Option<NodeOffer> {
            Self::offer_of(node)
        }

        /// Nodes that match `filter`, in ascending order of their ids. Scans at most 500 ids: follow the
        /// page's cursor also after an empty page.
        pub fn find_nodes(filter: NodeFilter, after: Option<NodeId>, limit: u32) -> Page<NodeOffer, NodeId> {
            Self::page_of_nodes(&filter, after, limit)
        }

        /// Uptime of a node in a farming period (its first second ÷ 30 days), in milliseconds.
        pub fn node_uptime(node: NodeId, period: u32) -> u64 {
            Uptime::<T>::get(node).in_period(period)
        }
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn integrity_test() {
            assert!(
                T::HeartbeatInterval::get() > 0,
                "HeartbeatInterval is zero: every node would be offline"
            );
            assert!(
                T::OfflineTimeout::get() > 0,
                "OfflineTimeout is zero: offline nodes would be checked in every block"
            );
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }
}
