// SPDX-License-Identifier: Apache-2.0
#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

mod authorize_impls;
#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod closing_impls;
mod dispatchable_impls;
mod report_impls;
mod tick_impls;
mod types;
mod update_impls;
mod utility_impls;
pub mod weights;

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
    use frame_system::{ensure_authorized, pallet_prelude::*};
    use sp_runtime::Vec;
    use tfgrid_primitives::{
        Balance, Body, ContractId, FailureCode, GridMillis, KeySignature, NodeId, ProviderId, ReportMark,
        Resources, StoredBody, TwinId, UsageTotals, UsdAmount, UsdRate,
        report::{
            DeployedPayload, DeploymentResult, FailedPayload, FailurePath, MAX_USAGE_ITEMS, ProgressPayload,
            ReleasedPayload, UsagePayload,
        },
        traits::{Agenda, Clock, Ledger, NodeDirectory, NodeReports, PublicIps, TwinDirectory},
        views::{ClosedContract, ClosingReason, ContractStatus, NodeContract, Page, TwinContract},
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
        type Currency: fungible::MutateHold<Self::AccountId, Balance = Balance, Reason = Self::RuntimeHoldReason>;
        /// The runtime's hold reasons.
        type RuntimeHoldReason: From<HoldReason>;
        /// Who is who.
        type Twins: TwinDirectory<Self::AccountId>;
        /// Whose capacity is reserved, and who signs reports.
        type Nodes: NodeDirectory + NodeReports;
        /// The farms' public addresses.
        type PublicIps: PublicIps;
        /// Grid time for rate limits, calendar time for people.
        type Clock: Clock;
        /// Who is charged.
        type Ledger: Ledger;
        /// What comes due.
        type Agenda: Agenda;
        /// Who may close contracts that must not run.
        type GovernanceOrigin: EnsureOrigin<Self::RuntimeOrigin>;
        /// How long a node may take to answer a new version, or after it reported progress, in grid time.
        type AnswerWithin: Get<GridMillis>;
        /// How long it may take in all, in grid time.
        type AnswerLimit: Get<GridMillis>;
        /// How long the addresses of a closed contract wait for its node to let go of them, in grid time.
        type CoolDown: Get<GridMillis>;
        /// How long after its deployment a contract can be cancelled as not delivered, in grid time.
        type NotDeliveredWindow: Get<GridMillis>;
        /// How long a closed contract is remembered, in grid time.
        type TombstoneLife: Get<GridMillis>;
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
        /// The most public traffic that a node can carry, in bytes per second.
        #[pallet::constant]
        type MaxBytesPerSecond: Get<u64>;
        /// The most contracts of one twin.
        #[pallet::constant]
        type MaxContractsPerTwin: Get<u32>;
        /// How often a node may report what its contracts use, in grid time.
        type UsageInterval: Get<GridMillis>;
        /// How often a node may correct the result of a contract, in grid time.
        type ResultInterval: Get<GridMillis>;
        /// Weights of the calls.
        type WeightInfo: WeightInfo;
        /// What benchmarks need of other pallets.
        #[cfg(feature = "runtime-benchmarks")]
        type BenchmarkHelper: BenchmarkHelper<Self::AccountId>;
    }

    /// Why the pallet holds TFT.
    #[pallet::composite_enum]
    pub enum HoldReason {
        /// The deposits of a twin's contracts.
        Contract,
    }

    /// The id given last.
    #[pallet::storage]
    pub type LastContractId<T> = StorageValue<_, ContractId, ValueQuery>;

    /// The open contracts.
    #[pallet::storage]
    pub type Contracts<T> = StorageMap<_, Twox64Concat, ContractId, Contract>;

    /// Their deployments.
    #[pallet::storage]
    pub type Bodies<T> = StorageMap<_, Twox64Concat, ContractId, StoredBody>;

    /// The deployments of versions that wait for their nodes' answers.
    #[pallet::storage]
    pub type PendingBodies<T> = StorageMap<_, Twox64Concat, ContractId, StoredBody>;

    /// The rent contracts of rented nodes.
    #[pallet::storage]
    pub type Rents<T> = StorageMap<_, Twox64Concat, NodeId, ContractId>;

    /// Nodes whose rent has ended while contracts were on them: these end for the same reason.
    #[pallet::storage]
    pub type EndedRents<T> = StorageMap<_, Twox64Concat, NodeId, ClosingReason>;

    /// The contracts that have the gateways' names.
    #[pallet::storage]
    pub type Names<T> = StorageMap<_, Blake2_128Concat, UniqueName, ContractId>;

    /// What their nodes wrote about how to reach them.
    #[pallet::storage]
    pub type Results<T> = StorageMap<_, Twox64Concat, ContractId, DeploymentResult>;

    /// What they have used.
    #[pallet::storage]
    pub type Usage<T> = StorageMap<_, Twox64Concat, ContractId, UsageTotals>;

    /// What is remembered of closed contracts.
    #[pallet::storage]
    pub type Closed<T> = StorageMap<_, Twox64Concat, ContractId, ClosedContract>;

    /// The open contracts on a node.
    #[pallet::storage]
    pub type NodeContracts<T> = StorageDoubleMap<_, Twox64Concat, NodeId, Twox64Concat, ContractId, ()>;

    /// The open contracts of a twin.
    #[pallet::storage]
    pub type TwinContracts<T> = StorageDoubleMap<_, Twox64Concat, TwinId, Twox64Concat, ContractId, ()>;

    /// How many these are.
    #[pallet::storage]
    pub type TwinContractCount<T> = StorageMap<_, Twox64Concat, TwinId, u32, ValueQuery>;

    /// The contracts that take part in a twin's network.
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

    /// The last usage report of a node.
    #[pallet::storage]
    pub type LastUsageReport<T> = StorageMap<_, Twox64Concat, NodeId, ReportMark, ValueQuery>;

    /// The sweeps that have begun and not ended.
    #[pallet::storage]
    pub type Sweeps<T> = StorageMap<_, Twox64Concat, NodeId, Sweep>;

    /// What twins have lately cancelled as not delivered.
    #[pallet::storage]
    pub type TwinComplaints<T> = StorageMap<_, Twox64Concat, TwinId, Complaints, ValueQuery>;

    /// What happened.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// Capacity is reserved; the node is to deploy the body.
        NodeContractCreated {
            /// The contract.
            contract: ContractId,
            /// Whose capacity.
            node: NodeId,
            /// For whom.
            twin: TwinId,
            /// What it will cost, in 1e-10 USD per hour.
            rate: UsdRate,
            /// What is held for it, in 1e-7 TFT.
            deposit: Balance,
        },
        /// A whole node is its tenant's; it is charged from this block on.
        RentContractCreated {
            /// The contract.
            contract: ContractId,
            /// The node.
            node: NodeId,
            /// For whom.
            twin: TwinId,
            /// What it costs, in 1e-10 USD per hour.
            rate: UsdRate,
            /// The farmer's extra fee, in 1e-10 USD per hour.
            extra: UsdRate,
            /// What is held for it, in 1e-7 TFT.
            deposit: Balance,
        },
        /// A name on the gateways is its owner's; it is charged from this block on.
        NameContractCreated {
            /// The contract.
            contract: ContractId,
            /// For whom.
            twin: TwinId,
            /// The name.
            name: UniqueName,
            /// What it costs, in 1e-10 USD per hour.
            rate: UsdRate,
            /// What is held for it, in 1e-7 TFT.
            deposit: Balance,
        },
        /// The node is to deploy another version; until it has, the present one stands.
        UpdateRequested {
            /// The contract.
            contract: ContractId,
            /// Its node.
            node: NodeId,
            /// The new version.
            version: u32,
            /// What that costs, in 1e-10 USD per hour.
            rate: UsdRate,
        },
        /// The node didn't answer in time: the present version stands.
        UpdateExpired {
            /// The contract.
            contract: ContractId,
            /// The version that came to nothing.
            version: u32,
        },
        /// The node is still at work on a version.
        DeploymentProgressed {
            /// The contract.
            contract: ContractId,
            /// The version.
            version: u32,
            /// Until when it must answer now, in grid time.
            by: GridMillis,
        },
        /// The node has deployed a version; it is charged from this block on.
        Deployed {
            /// The contract.
            contract: ContractId,
            /// Its node.
            node: NodeId,
            /// Which version of the body.
            version: u32,
        },
        /// The node has written another result.
        ResultUpdated {
            /// The contract.
            contract: ContractId,
        },
        /// The node can't deploy a version as it is: the one before stands, or the contract closes.
        DeploymentRejected {
            /// The contract.
            contract: ContractId,
            /// Its node.
            node: NodeId,
            /// The version.
            version: u32,
            /// Why.
            code: FailureCode,
            /// Where in the body (a JSON pointer).
            path: FailurePath,
        },
        /// A solution provider shares in what a contract earns.
        ProviderAttached {
            /// The contract.
            contract: ContractId,
            /// The provider.
            provider: ProviderId,
        },
        /// A node has reported what its contracts use.
        UsageReported {
            /// The node.
            node: NodeId,
            /// For how many contracts.
            accepted: u32,
            /// The contracts whose items were refused.
            refused: BoundedVec<ContractId, ConstU32<MAX_USAGE_ITEMS>>,
        },
        /// A contract is closed: its capacity is free, its deposit released.
        ContractClosed {
            /// The contract.
            contract: ContractId,
            /// Why.
            reason: ClosingReason,
            /// What it was charged in all, in 1e-7 TFT, fraction left out.
            tft: Balance,
            /// What it was charged in all, in 1e-10 USD.
            usd: UsdAmount,
            /// What is no longer held, in 1e-7 TFT.
            released: Balance,
        },
    }

    /// Why a call failed.
    #[pallet::error]
    pub enum Error<T> {
        /// The caller has no twin.
        NoTwin,
        /// No node has this id.
        UnknownNode,
        /// The node hasn't been heard from lately.
        NodeOffline,
        /// A body has 1 to 8,192 bytes.
        BodySizeOutOfRange,
        /// The price is above `max_usd_rate`.
        RateAboveMaximum,
        /// The price is above all bounds.
        RateOutOfRange,
        /// A network's name has 1 to 20 characters of `a–z 0–9 -`, no hyphen at either end.
        NetworkNameInvalid,
        /// A network's subnet is private IPv4, prefix 16 to 30, without host bits.
        SubnetInvalid,
        /// A network is listed twice.
        DuplicateNetwork,
        /// The twin has as many contracts as the chain admits.
        TooManyContracts,
        /// All contract ids are given away.
        IdsExhausted,
        /// No open contract has this id.
        UnknownContract,
        /// The contract belongs to another twin.
        NotOwner,
        /// The contract isn't deployed.
        NotDeployed,
        /// Only a node contract has versions.
        NothingToUpdate,
        /// A version of the contract still waits for its node's answer.
        UpdatePending,
        /// Another twin rents the node, or somebody does and it can't be rented twice.
        NodeRented,
        /// A rent of the node has ended, and contracts that were on it are still closing.
        RentEnding,
        /// The node is only rented as a whole.
        NodeDedicated,
        /// Only an empty node can be rented.
        NodeNotEmpty,
        /// Contracts are still on the rented node.
        RentInUse,
        /// A name has 1 to 63 characters of `a–z 0–9 -`, no hyphen at either end, and doesn't begin with `xn--`.
        NameInvalid,
        /// The name is somebody's.
        NameTaken,
        /// No node delivers a name.
        NothingToDeliver,
        /// The time in which it could be cancelled as not delivered is over.
        DeliveryUncontested,
        /// The twin has cancelled three contracts as not delivered within 30 days.
        TooManyComplaints,
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
        #[pallet::call_index(0)]
        #[pallet::weight(T::WeightInfo::create_node_contract(
            body.bytes().len() as u32,
            networks.len() as u32,
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
        ) -> DispatchResult {
            let account = ensure_signed(origin)?;
            let wish = Wish { node, resources, public_ips, networks, traffic_gb, max_usd_rate };
            Self::do_create_node_contract(account, wish, body)
        }

        /// Closes a contract of the caller's twin: it is charged up to this block and its capacity is free.
        #[pallet::call_index(1)]
        pub fn cancel(origin: OriginFor<T>, contract: ContractId, reason: CancelReason) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_cancel(account, contract, reason)
        }

        /// A node has deployed a version of a contract, or has another result to show. Authorised by its key.
        #[pallet::call_index(2)]
        #[pallet::weight((T::WeightInfo::report_deployed(), DispatchClass::Operational))]
        #[pallet::authorize(Self::authorize_deployed)]
        pub fn report_deployed(
            origin: OriginFor<T>,
            _node: NodeId,
            sequence: u64,
            payload: DeployedPayload,
            _signature: KeySignature,
        ) -> DispatchResult {
            ensure_authorized(origin)?;
            Self::do_report_deployed(sequence, payload);
            Ok(())
        }

        /// A node can't deploy a version of a contract as it is: the one before stands, or the contract closes.
        /// Authorised by its key.
        #[pallet::call_index(3)]
        #[pallet::weight((T::WeightInfo::report_failed(), DispatchClass::Operational))]
        #[pallet::authorize(Self::authorize_failed)]
        pub fn report_failed(
            origin: OriginFor<T>,
            node: NodeId,
            sequence: u64,
            payload: FailedPayload,
            _signature: KeySignature,
        ) -> DispatchResult {
            ensure_authorized(origin)?;
            Self::do_report_failed(node, sequence, payload);
            Ok(())
        }

        /// A node says what its contracts have used. Items that can't be true are refused one by one.
        /// Authorised by its key.
        #[pallet::call_index(4)]
        #[pallet::weight((
            T::WeightInfo::report_usage(payload.len() as u32),
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
            ensure_authorized(origin)?;
            Self::do_report_usage(node, sequence, payload);
            Ok(())
        }

        /// Closes a contract that must not run.
        #[pallet::call_index(5)]
        pub fn force_close(origin: OriginFor<T>, contract: ContractId) -> DispatchResult {
            T::GovernanceOrigin::ensure_origin(origin)?;
            Self::do_force_close(contract)
        }

        /// Names the solution provider of a contract of the caller's twin, once.
        #[pallet::call_index(6)]
        pub fn attach_provider(
            origin: OriginFor<T>,
            contract: ContractId,
            provider: ProviderId,
        ) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_attach_provider(account, contract, provider)
        }

        /// Asks the node of a deployed contract to deploy another body, with other resources. Until it has
        /// answered, the larger of both is reserved and the smaller billed; where it fails, the old version
        /// stands.
        ///
        /// - `max_usd_rate`: fails if the contract would cost more than this, in 1e-10 USD per hour.
        #[pallet::call_index(7)]
        #[pallet::weight(T::WeightInfo::update_node_contract(body.bytes().len() as u32))]
        pub fn update_node_contract(
            origin: OriginFor<T>,
            contract: ContractId,
            resources: Resources,
            body: Body<Vec<u8>>,
            max_usd_rate: UsdRate,
        ) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_update_node_contract(account, contract, UpdateWish { resources, max_usd_rate }, body)
        }

        /// Rents an empty node as a whole: only its tenant has contracts on it, and pays for their addresses
        /// and traffic alone.
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

        /// A node is still at work on a version and takes longer. Authorised by its key.
        #[pallet::call_index(10)]
        #[pallet::weight((T::WeightInfo::report_progress(), DispatchClass::Operational))]
        #[pallet::authorize(Self::authorize_progress)]
        pub fn report_progress(
            origin: OriginFor<T>,
            _node: NodeId,
            sequence: u64,
            payload: ProgressPayload,
            _signature: KeySignature,
        ) -> DispatchResult {
            ensure_authorized(origin)?;
            Self::do_report_progress(sequence, payload);
            Ok(())
        }

        /// What a closed contract had is gone from its node: its addresses are free for others. Authorised by
        /// the node's key.
        #[pallet::call_index(11)]
        #[pallet::weight((T::WeightInfo::report_released(), DispatchClass::Operational))]
        #[pallet::authorize(Self::authorize_released)]
        pub fn report_released(
            origin: OriginFor<T>,
            _node: NodeId,
            _sequence: u64,
            payload: ReleasedPayload,
            _signature: KeySignature,
        ) -> DispatchResult {
            ensure_authorized(origin)?;
            T::PublicIps::free(payload.contract);
            Ok(())
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

        /// How a contract stands; `None` for an id that was never given or is forgotten.
        pub fn contract_status(contract: ContractId) -> Option<ContractStatus> {
            Self::status_of(contract)
        }

        /// A node's open contracts, at most 500, in no particular order; go on with the last id.
        pub fn contracts_of_node(node: NodeId, after: Option<ContractId>, limit: u32) -> Vec<NodeContract> {
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
        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }
}
