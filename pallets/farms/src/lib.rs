// SPDX-License-Identifier: Apache-2.0
#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

mod dispatchable_impls;
mod ip_impls;
mod name;
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
pub use name::{FarmName, MAX_NAME, MAX_UNCHECKED_NAME, MIN_NAME, NameSkeleton, UncheckedName};
pub use pallet::*;
pub use tfgrid_primitives::net::Interface;
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
        Balance, ContractId, FarmId, KeySignature, PublicKey, TwinId, UnixSeconds,
        traits::{Clock, FarmInUse, TwinDirectory},
        views::Page,
    };

    const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

    /// The pallet's handle.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// Configuration of the pallet.
    #[pallet::config]
    pub trait Config: frame_system::Config<Hash = sp_core::H256, RuntimeEvent: From<Event<Self>>> {
        /// TFT. Deposits are held in it.
        type Currency: fungible::MutateHold<Self::AccountId, Balance = Balance, Reason = Self::RuntimeHoldReason>;
        /// The runtime's hold reasons.
        type RuntimeHoldReason: From<HoldReason>;
        /// Looks up the twin of an account and the account of a twin.
        type Twins: TwinDirectory<Self::AccountId>;
        /// Calendar time, for the expiry of tickets.
        type Clock: Clock;
        /// Tells whether a farm has nodes or earnings.
        type Use: FarmInUse;
        /// Certifies farms and removes public IPs that their farmer doesn't own.
        type GovernanceOrigin: EnsureOrigin<Self::RuntimeOrigin>;
        /// Deposit of a farm, in 1e-7 TFT.
        #[pallet::constant]
        type FarmDeposit: Get<Balance>;
        /// Deposit of a node, held from the moment its ticket is opened, in 1e-7 TFT.
        #[pallet::constant]
        type NodeDeposit: Get<Balance>;
        /// Deposit of a public IP, in 1e-7 TFT.
        #[pallet::constant]
        type IpDeposit: Get<Balance>;
        /// Weights of the calls.
        type WeightInfo: WeightInfo;
        /// Creates what the benchmarks need in other pallets.
        #[cfg(feature = "runtime-benchmarks")]
        type BenchmarkHelper: BenchmarkHelper<Self::AccountId>;
    }

    /// Hold reasons of the pallet.
    #[pallet::composite_enum]
    pub enum HoldReason {
        /// Deposits of the farms of a twin.
        Farm,
        /// Deposits of the nodes that may still join with the open tickets of a twin.
        BootTicket,
        /// Deposits of the public IPs in the farms of a twin.
        PublicIp,
    }

    /// The id of the farm that was created last.
    #[pallet::storage]
    pub type LastFarmId<T> = StorageValue<_, FarmId, ValueQuery>;

    /// Farms by id.
    #[pallet::storage]
    pub type Farms<T> = StorageMap<_, Twox64Concat, FarmId, Farm>;

    /// The farm of a name and of all names that look like it: the inverse of [`Farms`].
    #[pallet::storage]
    pub type FarmByName<T> = StorageMap<_, Blake2_128Concat, NameSkeleton, FarmId>;

    /// Number of farms of a twin.
    #[pallet::storage]
    pub type FarmCount<T> = StorageMap<_, Twox64Concat, TwinId, u32, ValueQuery>;

    /// Boot tickets by their public key.
    #[pallet::storage]
    pub type Tickets<T> = StorageMap<_, Blake2_128Concat, PublicKey, Ticket>;

    /// Node keys that a ticket has admitted.
    #[pallet::storage]
    pub type Admitted<T> = StorageDoubleMap<_, Blake2_128Concat, PublicKey, Blake2_128Concat, PublicKey, ()>;

    /// Number of tickets of a farm that aren't closed.
    #[pallet::storage]
    pub type OpenTicketCount<T> = StorageMap<_, Twox64Concat, FarmId, u32, ValueQuery>;

    /// The id of the public IP that was added last.
    #[pallet::storage]
    pub type LastIpId<T> = StorageValue<_, IpId, ValueQuery>;

    /// Public IPs by id.
    #[pallet::storage]
    pub type Ips<T> = StorageMap<_, Twox64Concat, IpId, FarmIp>;

    /// The public IP of an IPv4 or IPv6 address: the inverse of [`Ips`], except for those that governance has
    /// removed.
    #[pallet::storage]
    pub type IpByAddress<T> = StorageMap<_, Blake2_128Concat, Address, IpId>;

    /// The public IPs of a farm.
    #[pallet::storage]
    pub type FarmIps<T> = StorageDoubleMap<_, Twox64Concat, FarmId, Twox64Concat, IpId, ()>;

    /// Number of public IPs of a farm.
    #[pallet::storage]
    pub type FarmIpCount<T> = StorageMap<_, Twox64Concat, FarmId, u32, ValueQuery>;

    /// The public IPs of a farm that no contract has.
    #[pallet::storage]
    pub type FreeIps<T> = StorageDoubleMap<_, Twox64Concat, FarmId, Twox64Concat, IpId, ()>;

    /// The public IPs of a contract, also while they cool down.
    #[pallet::storage]
    pub type ContractIps<T> = StorageMap<_, Twox64Concat, ContractId, HeldIps>;

    /// Events of the pallet.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A twin has created a farm.
        FarmCreated {
            /// Id of the new farm.
            farm: FarmId,
            /// Twin of the farmer.
            twin: TwinId,
            /// Hold on the farmer's account, in 1e-7 TFT.
            deposit: Balance,
        },
        /// A farm has a new name.
        FarmRenamed {
            /// Id of the farm.
            farm: FarmId,
        },
        /// The farmer has set whether the nodes of a farm are only rented as a whole.
        FarmDedicated {
            /// Id of the farm.
            farm: FarmId,
            /// Whether they are only rented as a whole.
            dedicated: bool,
        },
        /// Governance has labelled a farm.
        FarmCertified {
            /// Id of the farm.
            farm: FarmId,
            /// The new label.
            certification: Certification,
        },
        /// A farmer has removed a farm.
        FarmRemoved {
            /// Id that the farm had.
            farm: FarmId,
            /// Hold released on the farmer's account, in 1e-7 TFT.
            released: Balance,
        },
        /// A boot ticket is open: machines can join with it.
        TicketOpened {
            /// Farm that they join.
            farm: FarmId,
            /// Public key of the ticket.
            ticket: PublicKey,
            /// Number of nodes that may join.
            nodes: u32,
            /// Last moment at which they may, in seconds since 1970.
            expires: UnixSeconds,
            /// Hold on the farmer's account, in 1e-7 TFT.
            deposit: Balance,
        },
        /// A boot ticket is closed: it admits no more machines.
        TicketClosed {
            /// Farm that the ticket was for.
            farm: FarmId,
            /// Public key of the ticket.
            ticket: PublicKey,
            /// Hold released on the farmer's account, in 1e-7 TFT.
            released: Balance,
        },
        /// The record of a closed boot ticket is deleted.
        TicketForgotten {
            /// Farm that the ticket was for.
            farm: FarmId,
            /// Public key of the ticket.
            ticket: PublicKey,
        },
        /// A farm offers a new public IP.
        IpAdded {
            /// Farm that offers it.
            farm: FarmId,
            /// Id of the public IP.
            ip: IpId,
            /// Hold on the farmer's account, in 1e-7 TFT.
            deposit: Balance,
        },
        /// A farm no longer offers a public IP. A contract that has it keeps it.
        IpRemoved {
            /// Farm that offered it.
            farm: FarmId,
            /// Id of the public IP.
            ip: IpId,
            /// Hold released on the farmer's account, in 1e-7 TFT.
            released: Balance,
        },
        /// A contract has reserved public IPs.
        IpsReserved {
            /// Id of the contract that may use them.
            contract: ContractId,
            /// Ids of the public IPs.
            ips: IpIds,
        },
        /// Public IPs that a contract had are free.
        IpsFreed {
            /// Id of the contract that had them.
            contract: ContractId,
            /// Ids of the public IPs.
            ips: IpIds,
        },
    }

    /// Errors of the pallet.
    #[pallet::error]
    pub enum Error<T> {
        /// The caller has no twin.
        NoTwin,
        /// No farm has this id.
        UnknownFarm,
        /// The caller isn't the farmer of this farm.
        NotFarmer,
        /// The name of a farm has 3 to 40 characters of `A–Z a–z 0–9 _ -`.
        NameInvalid,
        /// Another farm has this name or one that looks like it.
        NameTaken,
        /// No id is left for another farm or public IP.
        IdsExhausted,
        /// A ticket with this key exists already.
        TicketExists,
        /// No ticket has this key.
        UnknownTicket,
        /// A ticket admits 1 to 100 nodes.
        NodeCountOutOfRange,
        /// A ticket expires in the future and within a year.
        ExpiryOutOfRange,
        /// The ticket is closed already. Its record can be deleted an hour after its expiry.
        TicketAlreadyClosed,
        /// The farm has nodes.
        FarmHasNodes,
        /// The farm has earnings that aren't paid out.
        FarmHasEarnings,
        /// The farm has public IPs.
        FarmHasIps,
        /// The farm has boot tickets that aren't closed.
        FarmHasOpenTickets,
        /// The proof isn't a signature of the ticket's key for this farm and chain.
        TicketProofWrong,
        /// No public IP has this id.
        UnknownIp,
        /// A contract has this public IP, or it cools down after one.
        IpInUse,
        /// The internet doesn't route packets to the address.
        IpNotPublic,
        /// A prefix has 8 to 32 bits for IPv4, 16 to 128 for IPv6.
        PrefixOutOfRange,
        /// The address names its network or the network's broadcast.
        AddressNotUsable,
        /// The gateway isn't a public address of another machine in the same network.
        GatewayInvalid,
        /// A public IP with this address exists already.
        AddressTaken,
        /// A farm has at most 256 public IPs.
        TooManyIps,
        /// The farm has fewer free public IPs than requested.
        NotEnoughIps,
        /// A contract has at most 16 public IPs.
        IpCountOutOfRange,
    }

    #[pallet::call(weight = T::WeightInfo)]
    impl<T: Config> Pallet<T> {
        /// Creates a farm for the caller's twin and holds its deposit.
        #[pallet::call_index(0)]
        pub fn create(origin: OriginFor<T>, name: UncheckedName) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_create(account, name.into_inner())
        }

        /// Opens a boot ticket: up to `nodes` machines with the secret half of `ticket` (ed25519) may join
        /// `farm` until `expires` (seconds since 1970). Holds the deposit of that many nodes.
        ///
        /// - `proof`: signature of `ticket` over [`opening_bytes`](tfgrid_primitives::ticket::opening_bytes).
        ///   Without it, whoever has seen the public half could have the farmer's machines.
        #[pallet::call_index(1)]
        pub fn open_ticket(
            origin: OriginFor<T>,
            farm: FarmId,
            ticket: PublicKey,
            nodes: u32,
            expires: UnixSeconds,
            proof: KeySignature,
        ) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_open_ticket(account, farm, TicketRequest { ticket, nodes, expires, proof })
        }

        /// Closes a boot ticket and releases the deposit of the nodes that haven't joined. From an hour after
        /// the expiry, deletes the record too: at once, or by a second call, which anybody may make.
        #[pallet::call_index(2)]
        pub fn close_ticket(origin: OriginFor<T>, ticket: PublicKey) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_close_ticket(account, ticket)
        }

        /// Renames a farm of the caller.
        #[pallet::call_index(3)]
        pub fn update(origin: OriginFor<T>, farm: FarmId, name: UncheckedName) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_update(account, farm, name.into_inner())
        }

        /// Sets whether the nodes of a farm are only rented as a whole. Existing contracts stay.
        #[pallet::call_index(4)]
        pub fn set_dedicated(origin: OriginFor<T>, farm: FarmId, dedicated: bool) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_set_dedicated(account, farm, dedicated)
        }

        /// Removes a farm without nodes, public IPs, open tickets and earnings, and releases its deposit.
        #[pallet::call_index(5)]
        pub fn remove(origin: OriginFor<T>, farm: FarmId) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_remove(account, farm)
        }

        /// Adds a public IP for contracts on the farm's nodes and holds its deposit.
        #[pallet::call_index(6)]
        pub fn add_ip(origin: OriginFor<T>, farm: FarmId, address: PublicIp) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_add_ip(account, farm, address)
        }

        /// Removes a public IP that no contract has and releases its deposit.
        #[pallet::call_index(7)]
        pub fn remove_ip(origin: OriginFor<T>, ip: IpId) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_remove_ip(account, ip)
        }

        /// Removes a public IP from a farm that doesn't own its addresses, so that the owner can offer them.
        /// Releases the deposit at once; a contract that has the public IP keeps its record until it closes.
        #[pallet::call_index(8)]
        pub fn force_remove_ip(origin: OriginFor<T>, ip: IpId) -> DispatchResult {
            T::GovernanceOrigin::ensure_origin(origin)?;
            Self::do_force_remove_ip(ip)
        }

        /// Sets the label of a farm.
        #[pallet::call_index(9)]
        pub fn set_certification(
            origin: OriginFor<T>,
            farm: FarmId,
            certification: Certification,
        ) -> DispatchResult {
            T::GovernanceOrigin::ensure_origin(origin)?;
            Self::do_set_certification(farm, certification)
        }
    }

    #[pallet::view_functions]
    impl<T: Config> Pallet<T> {
        /// The farm with this name or one that looks like it.
        pub fn farm_by_name(name: Vec<u8>) -> Option<FarmId> {
            Self::find_by_name(name)
        }

        /// Public IPs of a farm, at most 500, in no particular order. Follow the page's cursor.
        pub fn ips_of_farm(farm: FarmId, after: Option<IpId>, limit: u32) -> Page<IpInfo, IpId> {
            Self::page_of_farm(farm, after, limit)
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
