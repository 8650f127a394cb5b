// SPDX-License-Identifier: Apache-2.0
#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

mod authorize_impls;
mod dispatchable_impls;
mod tick_impls;
mod types;
mod utility_impls;
pub mod weights;

pub use pallet::*;
pub use types::*;
pub use weights::WeightInfo;

/// The pallet.
#[frame_support::pallet]
pub mod pallet {
    use super::*;
    use frame_support::{pallet_prelude::*, traits::fungible};
    use frame_system::{ensure_authorized, pallet_prelude::*};
    use tfgrid_primitives::{
        report::HeartbeatPayload,
        traits::{Agenda, BootTickets, Clock, FarmDirectory},
        Balance, FarmId, GridMillis, KeySignature, NodeId, PublicKey, Registration, Resources,
    };

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
        /// Who the farmers are: a node's deposit is held on its farmer's account.
        type Farms: FarmDirectory<Self::AccountId> + BootTickets;
        /// Grid time for liveness, calendar time for registrations.
        type Clock: Clock;
        /// What comes due.
        type Agenda: Agenda;
        /// How long a node may be offline before its contracts close, in grid time.
        type LongOffline: Get<GridMillis>;
        /// How often a node says that it is alive, in grid time.
        type HeartbeatInterval: Get<GridMillis>;
        /// The most that one machine may offer.
        type MaxResources: Get<Resources>;
        /// The most contracts on one node.
        #[pallet::constant]
        type MaxContractsPerNode: Get<u32>;
        /// Weights of the calls.
        type WeightInfo: WeightInfo;
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
    }

    #[pallet::call(weight = T::WeightInfo)]
    impl<T: Config> Pallet<T> {
        /// A machine joins the farm of its boot ticket. Authorised by both keys of the registration, free.
        #[pallet::call_index(0)]
        #[pallet::weight((T::WeightInfo::register(), DispatchClass::Operational))]
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
        #[pallet::weight((T::WeightInfo::heartbeat(), DispatchClass::Operational))]
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
        pub fn remove(origin: OriginFor<T>, node: NodeId) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_remove(account, node)
        }
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn integrity_test() {
            assert!(T::HeartbeatInterval::get() > 0, "nodes must be given time between heartbeats");
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }
}
