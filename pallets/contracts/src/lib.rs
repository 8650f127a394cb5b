// SPDX-License-Identifier: Apache-2.0
#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

mod authorize_impls;
mod closing_impls;
mod dispatchable_impls;
pub mod migrations;
mod network_impls;
mod price_impls;
mod report_impls;
mod tick_impls;
#[cfg(any(feature = "std", feature = "try-runtime"))]
mod try_state;
mod types;
mod update_impls;
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
        Balance, Body, ContractId, GridMillis, KeySignature, NodeId, Resources, StoredBody, TwinId,
        UsageTotals, UsdAmount, UsdRate,
        report::{
            DeployedPayload, DeploymentResult, FailedPayload, Failure, MAX_USAGE_ITEMS, ProgressPayload,
            ReleasedPayload, UsagePayload,
        },
        traits::{Agenda, Clock, Ledger, NodeDirectory, NodeReports, PublicIps, TwinDirectory},
        views::{ClosedContract, ClosingReason, ContractStatus, NodeContract, Page, TwinContract},
    };

    const STORAGE_VERSION: StorageVersion = StorageVersion::new(2);

    /// The contracts pallet.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// What the pallet needs of its runtime.
    #[pallet::config]
    pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {
        /// TFT, in which deposits are held.
        type Currency: fungible::MutateHold<Self::AccountId, Balance = Balance, Reason = Self::RuntimeHoldReason>;
        /// The runtime's hold reasons.
        type RuntimeHoldReason: From<HoldReason>;
        /// Looks up the twin of an account and the account of a twin.
        type Twins: TwinDirectory<Self::AccountId>;
        /// Reserves capacity of nodes and verifies their reports.
        type Nodes: NodeDirectory + NodeReports;
        /// Reserves public addresses of farms.
        type PublicIps: PublicIps;
        /// Grid time for deadlines and rate limits, calendar time for people.
        type Clock: Clock;
        /// Charges for contracts.
        type Ledger: Ledger;
        /// Arms the deadlines of contracts.
        type Agenda: Agenda;
        /// May close contracts that must not run.
        type GovernanceOrigin: EnsureOrigin<Self::RuntimeOrigin>;
        /// How long a node may take to answer on a version, from the request or its last report of progress.
        type AnswerWithinMs: Get<GridMillis>;
        /// How long it may take in all, beside the download of its images.
        type AnswerLimitMs: Get<GridMillis>;
        /// How long the addresses of a closed contract cool down unless its node confirms their release.
        type CoolDownMs: Get<GridMillis>;
        /// How long after its deployment a contract can be cancelled as not delivered.
        type NotDeliveredWindowMs: Get<GridMillis>;
        /// How long a closed contract's tombstone is kept.
        type TombstoneLifeMs: Get<GridMillis>;
        /// Held for every contract, in 1e-7 TFT.
        #[pallet::constant]
        type ContractDeposit: Get<Balance>;
        /// Held for every byte of a body, in 1e-7 TFT.
        #[pallet::constant]
        type DepositPerByte: Get<Balance>;
        /// Held for a name, in 1e-7 TFT.
        #[pallet::constant]
        type NameDeposit: Get<Balance>;
        /// Held for a name of at most four letters, in 1e-7 TFT.
        #[pallet::constant]
        type ShortNameDeposit: Get<Balance>;
        /// The most contracts of one twin.
        #[pallet::constant]
        type MaxContractsPerTwin: Get<u32>;
        /// The most contracts of one node, which share its price: none costs less than its part.
        #[pallet::constant]
        type MaxContractsPerNode: Get<u32>;
        /// How often a node reports what its contracts use.
        type UsageIntervalMs: Get<GridMillis>;
        /// How often a node may correct results, of all its contracts together.
        type ResultIntervalMs: Get<GridMillis>;
        /// Weights of the calls.
        type WeightInfo: WeightInfo;
        /// Sets up other pallets for benchmarks.
        #[cfg(feature = "runtime-benchmarks")]
        type BenchmarkHelper: BenchmarkHelper<Self::AccountId>;
    }

    /// Reasons for which the pallet holds TFT.
    #[pallet::composite_enum]
    pub enum HoldReason {
        /// The deposits of a twin's contracts.
        Contract,
    }

    /// The contract id that was given last. No call counts it: all of a block write it once together.
    #[pallet::storage]
    #[pallet::whitelist_storage]
    pub type LastContractId<T> = StorageValue<_, ContractId, ValueQuery>;

    /// The open contracts.
    #[pallet::storage]
    pub type Contracts<T> = StorageMap<_, Twox64Concat, ContractId, Contract>;

    /// The bodies of the active versions of node contracts.
    #[pallet::storage]
    pub type Bodies<T> = StorageMap<_, Twox64Concat, ContractId, StoredBody>;

    /// The bodies of the pending versions of node contracts.
    #[pallet::storage]
    pub type PendingBodies<T> = StorageMap<_, Twox64Concat, ContractId, StoredBody>;

    /// The rent contracts of rented nodes.
    #[pallet::storage]
    pub type Rents<T> = StorageMap<_, Twox64Concat, NodeId, ContractId>;

    /// Nodes whose rent ended while contracts were on them, with the reason for which these close, too.
    #[pallet::storage]
    pub type EndedRents<T> = StorageMap<_, Twox64Concat, NodeId, ClosingReason>;

    /// The contracts that own names on the gateways.
    #[pallet::storage]
    pub type Names<T> = StorageMap<_, Blake2_128Concat, UniqueName, ContractId>;

    /// The results that nodes reported: how to reach what they deployed.
    #[pallet::storage]
    pub type Results<T> = StorageMap<_, Twox64Concat, ContractId, DeploymentResult>;

    /// The last version of each contract that its node rejected, and why. Kept as long as the contract and its
    /// tombstone, so that owners who look later see more than the code.
    #[pallet::storage]
    pub type Failures<T> = StorageMap<_, Twox64Concat, ContractId, Failure>;

    /// The use of deployed contracts, as their nodes reported it.
    #[pallet::storage]
    pub type Usage<T> = StorageMap<_, Twox64Concat, ContractId, UsageTotals>;

    /// The tombstones of closed contracts.
    #[pallet::storage]
    pub type ClosedContracts<T> = StorageMap<_, Twox64Concat, ContractId, ClosedContract>;

    /// The open contracts of each node, rents included.
    #[pallet::storage]
    pub type NodeContracts<T> = StorageDoubleMap<_, Twox64Concat, NodeId, Twox64Concat, ContractId, ()>;

    /// The open contracts of each twin.
    #[pallet::storage]
    pub type TwinContracts<T> = StorageDoubleMap<_, Twox64Concat, TwinId, Twox64Concat, ContractId, ()>;

    /// How many open contracts a twin has.
    #[pallet::storage]
    pub type TwinContractCount<T> = StorageMap<_, Twox64Concat, TwinId, u32, ValueQuery>;

    /// The contracts that take part in a twin's network, with their subnets.
    #[pallet::storage]
    pub type NetworkMembers<T> = StorageNMap<
        _,
        (
            NMapKey<Twox64Concat, TwinId>,
            NMapKey<Blake2_128Concat, NetworkName>,
            NMapKey<Twox64Concat, ContractId>,
        ),
        Subnet,
    >;

    /// The ranges of each network of a twin that contracts have, or will have once a pending version runs, by their
    /// last addresses as numbers, big-endian. No two have an address in common.
    #[pallet::storage]
    pub type NetworkRanges<T> =
        StorageDoubleMap<_, Blake2_128Concat, (TwinId, NetworkName), Identity, [u8; 4], Subnet>;

    /// The last usage report of a node.
    #[pallet::storage]
    pub type LastUsageReport<T> = StorageMap<_, Twox64Concat, NodeId, UsageMark, ValueQuery>;

    /// When the node corrected the result of a contract last, in grid time.
    #[pallet::storage]
    pub type LastCorrections<T> = StorageMap<_, Twox64Concat, NodeId, GridMillis>;

    /// How far unfinished sweeps got.
    #[pallet::storage]
    pub type Sweeps<T> = StorageMap<_, Twox64Concat, NodeId, Sweep>;

    /// How many contracts accounts cancelled as not delivered in the last 30 days, on whichever twin.
    #[pallet::storage]
    pub type AccountComplaints<T: Config> =
        StorageMap<_, Blake2_128Concat, T::AccountId, Complaints, ValueQuery>;

    /// Events of the pallet.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// Capacity was reserved; the node is asked to deploy the body.
        NodeContractCreated {
            /// The contract.
            contract: ContractId,
            /// The node.
            node: NodeId,
            /// The twin that owns it.
            twin: TwinId,
            /// What it costs once deployed, in 1e-10 USD per hour.
            rate: UsdRate,
            /// What is held for it, in 1e-7 TFT.
            deposit: Balance,
        },
        /// A node was rented, and is charged from this block on.
        RentContractCreated {
            /// The contract.
            contract: ContractId,
            /// The node.
            node: NodeId,
            /// The twin that owns it.
            twin: TwinId,
            /// What it costs, in 1e-10 USD per hour.
            rate: UsdRate,
            /// The farmer's extra fee, in 1e-10 USD per hour.
            extra: UsdRate,
            /// What is held for it, in 1e-7 TFT.
            deposit: Balance,
        },
        /// A name on the gateways was taken, and is charged from this block on.
        NameContractCreated {
            /// The contract.
            contract: ContractId,
            /// The twin that owns it.
            twin: TwinId,
            /// The name.
            name: UniqueName,
            /// What it costs, in 1e-10 USD per hour.
            rate: UsdRate,
            /// What is held for it, in 1e-7 TFT.
            deposit: Balance,
        },
        /// The node is asked to deploy another version; until it has, the active one stands.
        UpdateRequested {
            /// The contract.
            contract: ContractId,
            /// Its node.
            node: NodeId,
            /// The new version.
            version: u32,
            /// What it costs, in 1e-10 USD per hour.
            rate: UsdRate,
        },
        /// The node didn't answer on an update in time: the active version stands.
        UpdateExpired {
            /// The contract.
            contract: ContractId,
            /// The version that failed.
            version: u32,
        },
        /// The owner withdrew an update: the active version stands.
        UpdateWithdrawn {
            /// The contract.
            contract: ContractId,
            /// The version that was pending.
            version: u32,
        },
        /// The node is still working on a version.
        DeploymentProgressed {
            /// The contract.
            contract: ContractId,
            /// The version.
            version: u32,
            /// Grid time by which it must answer now.
            by: GridMillis,
        },
        /// The node deployed a version, which is charged from this block on.
        Deployed {
            /// The contract.
            contract: ContractId,
            /// Its node.
            node: NodeId,
            /// The version.
            version: u32,
        },
        /// The node corrected the result of a contract.
        ResultUpdated {
            /// The contract.
            contract: ContractId,
        },
        /// The node can't deploy a version as it is: the active one stands, or the contract closes.
        DeploymentRejected {
            /// The contract.
            contract: ContractId,
            /// Its node.
            node: NodeId,
            /// The version and why it can't run.
            failure: Failure,
        },
        /// A contract was brought to the present price list.
        Repriced {
            /// The contract.
            contract: ContractId,
            /// What it costs from now on, in 1e-10 USD per hour.
            rate: UsdRate,
        },
        /// A node reported the use of its contracts.
        UsageReported {
            /// The node.
            node: NodeId,
            /// How many items were taken.
            accepted: u32,
            /// The contracts whose items were refused.
            refused: BoundedVec<ContractId, ConstU32<MAX_USAGE_ITEMS>>,
        },
        /// A contract was closed: its capacity is free, its deposit released.
        ContractClosed {
            /// The contract.
            contract: ContractId,
            /// The reason.
            reason: ClosingReason,
            /// What it was charged in all, in 1e-7 TFT, without the fraction.
            tft: Balance,
            /// What it was charged in all, in 1e-10 USD.
            usd: UsdAmount,
            /// The deposit that was released, in 1e-7 TFT.
            released: Balance,
        },
    }

    /// Errors of the pallet.
    #[pallet::error]
    pub enum Error<T> {
        /// The caller has no twin.
        NoTwin,
        /// No node has this id.
        UnknownNode,
        /// The node is offline.
        NodeOffline,
        /// A body has 1 to 8,192 bytes.
        BodySizeOutOfRange,
        /// The price exceeds `max_usd_rate`.
        RateAboveMaximum,
        /// The price exceeds 2^64 units of 1e-10 USD per hour, or the list has no price for what is requested.
        RateOutOfRange,
        /// A node contract reserves something.
        NothingRequested,
        /// A network's name has 1 to 20 characters of `a–z 0–9 -`, no hyphen at either end.
        NetworkNameInvalid,
        /// A network's subnet is private IPv4, prefix 16 to 30, without host bits.
        SubnetInvalid,
        /// A network is listed twice.
        DuplicateNetwork,
        /// The node's agent doesn't serve public addresses.
        PublicIpsNotServed,
        /// The node's agent doesn't serve private networks.
        NetworksNotServed,
        /// The twin has as many contracts as it may have.
        TooManyContracts,
        /// No id is left for another contract or version.
        IdsExhausted,
        /// No open contract has this id.
        UnknownContract,
        /// The contract belongs to another twin.
        NotOwner,
        /// The contract isn't deployed.
        NotDeployed,
        /// Only node contracts have versions.
        NotANodeContract,
        /// A version of the contract awaits its node's answer.
        UpdatePending,
        /// No update of the contract awaits its node's answer.
        NoUpdatePending,
        /// The node is rented already; by another twin, if this is about a node contract.
        NodeRented,
        /// The node's rent ended, and contracts of it are still closing.
        RentEnding,
        /// The node is only rented as a whole.
        NodeDedicated,
        /// Only an empty node can be rented.
        NodeNotEmpty,
        /// Contracts are still on the rented node.
        RentInUse,
        /// Less is held for the contract than its cancellation costs.
        DepositTooSmall,
        /// A name has 1 to 63 characters of `a–z 0–9 -`, no hyphen at either end, and doesn't begin with `xn--`.
        NameInvalid,
        /// Somebody else has this name.
        NameTaken,
        /// The contract is on no node, so nothing is delivered.
        NotOnANode,
        /// The time in which the contract could be cancelled as not delivered is over.
        NotDeliveredWindowOver,
        /// The account cancelled three contracts as not delivered within 30 days.
        TooManyComplaints,
        /// The complaint would give nothing back: the minimum charge and used traffic stay paid, and no more than
        /// a tenth of what the foundation and stakers got of the account's payments for capacity comes back.
        NothingToRefund,
        /// Another contract of the twin has addresses of this range in the network, or a pending version of one.
        RangeTaken,
    }

    #[pallet::call(weight = T::WeightInfo)]
    impl<T: Config> Pallet<T> {
        /// Reserves capacity of a node and asks it to deploy `body`.
        ///
        /// - `resources`: what is reserved, and charged once the node has deployed the body.
        /// - `body`: the deployment (`docs/FORMATS.md` §4), at most 8,192 bytes.
        /// - `public_ips`: public IPv4 addresses of the node's farm.
        /// - `networks`: the private networks that the contract takes part in.
        /// - `traffic_gb`: public traffic paid in advance, in 10⁹ bytes.
        /// - `max_usd_rate`: fails if the contract costs more than this, in 1e-10 USD per hour.
        ///
        /// Its weight is less without addresses and traffic, for a payer that goes on as before.
        #[pallet::call_index(0)]
        #[pallet::weight(T::WeightInfo::create_node_contract(
            body.bytes().len() as u32,
            networks.len() as u32,
            u32::from(*public_ips),
        ))]
        pub fn create_node_contract(
            origin: OriginFor<T>,
            node: NodeId,
            resources: Resources,
            body: Body<Vec<u8>>,
            public_ips: u8,
            networks: Networks,
            traffic_gb: u32,
            max_usd_rate: UsdRate,
        ) -> DispatchResultWithPostInfo {
            let account = ensure_signed(origin)?;
            let request = CreateRequest { node, resources, public_ips, networks, traffic_gb, max_usd_rate };
            Self::do_create_node_contract(account, request, body)
        }

        /// Closes a contract of the caller's twin. It is charged up to this block, and its capacity is free.
        #[pallet::call_index(1)]
        pub fn cancel(origin: OriginFor<T>, contract: ContractId, reason: CancelReason) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_cancel(account, contract, reason)
        }

        /// A node reports that it deployed a version of a contract, or corrects the result. Authorized by its key.
        #[pallet::call_index(2)]
        #[pallet::weight((
            T::WeightInfo::report_deployed().saturating_add(T::WeightInfo::authorize_report_deployed()),
            DispatchClass::Operational,
        ))]
        #[pallet::authorize(Self::authorize_deployed)]
        pub fn report_deployed(
            origin: OriginFor<T>,
            _node: NodeId,
            sequence: u64,
            payload: DeployedPayload,
            _signature: KeySignature,
        ) -> DispatchResult {
            ensure_none(origin)?;
            Self::do_report_deployed(sequence, payload);
            Ok(())
        }

        /// A node reports that it can't deploy a version of a contract as it is: the active one stands, or the
        /// contract closes. Authorized by its key.
        #[pallet::call_index(3)]
        #[pallet::weight((
            T::WeightInfo::report_failed()
                .max(T::WeightInfo::report_failed_update())
                .saturating_add(T::WeightInfo::authorize_report_failed()),
            DispatchClass::Operational,
        ))]
        #[pallet::authorize(Self::authorize_failed)]
        pub fn report_failed(
            origin: OriginFor<T>,
            node: NodeId,
            sequence: u64,
            payload: FailedPayload,
            _signature: KeySignature,
        ) -> DispatchResult {
            ensure_none(origin)?;
            Self::do_report_failed(node, sequence, payload);
            Ok(())
        }

        /// A node reports the use of its contracts. Implausible items are refused one by one. Authorized by its
        /// key.
        #[pallet::call_index(4)]
        #[pallet::weight((
            T::WeightInfo::report_usage(payload.len() as u32)
                .saturating_add(T::WeightInfo::authorize_usage(payload.len() as u32)),
            DispatchClass::Operational,
        ))]
        #[pallet::weight_of_authorize(T::WeightInfo::authorize_usage(payload.len() as u32))]
        #[pallet::authorize(Self::authorize_usage)]
        pub fn report_usage(
            origin: OriginFor<T>,
            node: NodeId,
            sequence: u64,
            payload: UsagePayload,
            _signature: KeySignature,
        ) -> DispatchResult {
            ensure_none(origin)?;
            Self::do_report_usage(node, sequence, payload);
            Ok(())
        }

        /// Closes a contract that must not run.
        #[pallet::call_index(5)]
        pub fn force_close(origin: OriginFor<T>, contract: ContractId) -> DispatchResult {
            T::GovernanceOrigin::ensure_origin(origin)?;
            Self::do_force_close(contract)
        }

        /// Brings a contract to the present price list, 30 days after that was announced. Anyone may call it.
        #[pallet::call_index(6)]
        pub fn reprice(origin: OriginFor<T>, contract: ContractId) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_reprice(contract)
        }

        /// Asks the node of a contract to deploy another body, with other resources, public addresses and
        /// networks. Until it has answered, the active version stands. A version that awaits an answer already is
        /// replaced, also a first one, and paid for as far as it was reserved.
        ///
        /// - `public_ips`: public IPv4 addresses in all. The contract keeps those that it has, as far as it needs
        ///   them.
        /// - `networks`: all private networks that the contract takes part in.
        /// - `max_usd_rate`: fails if the contract would cost more than this, in 1e-10 USD per hour.
        #[pallet::call_index(7)]
        #[pallet::weight(
            T::WeightInfo::update_node_contract(body.bytes().len() as u32, networks.len() as u32)
                .saturating_add(T::WeightInfo::withdraw_update())
                .max(T::WeightInfo::replace_first_version(body.bytes().len() as u32, networks.len() as u32))
        )]
        pub fn update_node_contract(
            origin: OriginFor<T>,
            contract: ContractId,
            resources: Resources,
            body: Body<Vec<u8>>,
            public_ips: u8,
            networks: Networks,
            max_usd_rate: UsdRate,
        ) -> DispatchResult {
            let account = ensure_signed(origin)?;
            let request = UpdateRequest { resources, public_ips, networks, max_usd_rate };
            Self::do_update_node_contract(account, contract, request, body)
        }

        /// Rents a whole empty node: only its tenant can deploy on it, and contracts there pay for public
        /// addresses, the least rate at least, and for traffic.
        ///
        /// - `max_usd_rate`: fails if node and extra fee cost more than this together, in 1e-10 USD per hour.
        #[pallet::call_index(8)]
        pub fn create_rent_contract(
            origin: OriginFor<T>,
            node: NodeId,
            max_usd_rate: UsdRate,
        ) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_create_rent_contract(account, node, max_usd_rate)
        }

        /// Takes a unique name on the gateways.
        ///
        /// - `max_usd_rate`: fails if it costs more than this, in 1e-10 USD per hour.
        #[pallet::call_index(9)]
        pub fn create_name_contract(
            origin: OriginFor<T>,
            name: UniqueName,
            max_usd_rate: UsdRate,
        ) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_create_name_contract(account, name, max_usd_rate)
        }

        /// A node reports that it is still working on a version, which prolongs its answer. Authorized by its key.
        #[pallet::call_index(10)]
        #[pallet::weight((
            T::WeightInfo::report_progress().saturating_add(T::WeightInfo::authorize_report_progress()),
            DispatchClass::Operational,
        ))]
        #[pallet::authorize(Self::authorize_progress)]
        pub fn report_progress(
            origin: OriginFor<T>,
            _node: NodeId,
            sequence: u64,
            payload: ProgressPayload,
            _signature: KeySignature,
        ) -> DispatchResult {
            ensure_none(origin)?;
            Self::do_report_progress(sequence, payload);
            Ok(())
        }

        /// A node reports that it released what a closed contract had: the addresses are free for others.
        /// Authorized by its key.
        #[pallet::call_index(11)]
        #[pallet::weight((
            T::WeightInfo::report_released().saturating_add(T::WeightInfo::authorize_report_released()),
            DispatchClass::Operational,
        ))]
        #[pallet::authorize(Self::authorize_released)]
        pub fn report_released(
            origin: OriginFor<T>,
            _node: NodeId,
            _sequence: u64,
            payload: ReleasedPayload,
            _signature: KeySignature,
        ) -> DispatchResult {
            ensure_none(origin)?;
            Self::do_report_released(payload.contract);
            Ok(())
        }

        /// Withdraws an update that its node hasn't answered: the active version stands. What was reserved for
        /// it is paid for, as where the node doesn't answer.
        #[pallet::call_index(12)]
        pub fn withdraw_update(origin: OriginFor<T>, contract: ContractId) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_withdraw_update(account, contract)
        }
    }

    #[pallet::view_functions]
    impl<T: Config> Pallet<T> {
        /// What a node contract would cost per hour, in 1e-10 USD; `None` for an unknown node. On a rented node:
        /// what its tenant would pay.
        pub fn quote(node: NodeId, resources: Resources, public_ips: u8) -> Option<UsdRate> {
            Self::quote_of(node, resources, public_ips)
        }

        /// What renting a node would cost per hour with the farmer's extra fee, in 1e-10 USD; `None` for an
        /// unknown node.
        pub fn quote_rent(node: NodeId) -> Option<UsdRate> {
            Self::quote_of_rent(node)
        }

        /// What a name on the gateways costs per hour, in 1e-10 USD.
        pub fn quote_name() -> Option<UsdRate> {
            Self::quote_of_name()
        }

        /// The status of a contract; `None` for an id that was never given or whose tombstone is removed.
        pub fn contract_status(contract: ContractId) -> Option<ContractStatus> {
            Self::status_of(contract)
        }

        /// A node's open node contracts, at most 500 a page, in no particular order.
        pub fn contracts_of_node(
            node: NodeId,
            after: Option<ContractId>,
            limit: u32,
        ) -> Page<NodeContract, ContractId> {
            Self::page_of_node(node, after, limit)
        }

        /// A twin's open contracts, at most 500 a page, in no particular order.
        pub fn contracts_of_twin(
            twin: TwinId,
            after: Option<ContractId>,
            limit: u32,
        ) -> Page<TwinContract, ContractId> {
            Self::page_of_twin(twin, after, limit)
        }
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn on_initialize(_: BlockNumberFor<T>) -> Weight {
            // `LastContractId`, for all contracts that the block's calls will make.
            T::DbWeight::get().reads_writes(1, 1)
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }
}
