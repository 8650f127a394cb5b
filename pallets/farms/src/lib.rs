// SPDX-License-Identifier: Apache-2.0
#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

mod dispatchable_impls;
mod ip_impls;
mod name;
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
pub use name::{FarmName, MAX_NAME, MAX_WRITTEN_NAME, MIN_NAME, NameSkeleton, WrittenName};
pub use pallet::*;
pub use tfgrid_primitives::net::Interface;
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
        Balance, ContractId, FarmId, PublicKey, TwinId, UnixSeconds,
        traits::{Clock, FarmUse, TwinDirectory},
        views::Page,
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
        /// Calendar time, for the expiry of tickets.
        type Clock: Clock;
        /// What depends on a farm.
        type Use: FarmUse;
        /// Who certifies farms and removes public IPs that aren't their farmer's.
        type GovernanceOrigin: EnsureOrigin<Self::RuntimeOrigin>;
        /// Held while a farm exists, in 1e-7 TFT.
        #[pallet::constant]
        type FarmDeposit: Get<Balance>;
        /// Held per node, from the moment its ticket is open, in 1e-7 TFT.
        #[pallet::constant]
        type NodeDeposit: Get<Balance>;
        /// Held per public IP, in 1e-7 TFT.
        #[pallet::constant]
        type IpDeposit: Get<Balance>;
        /// Weights of the calls.
        type WeightInfo: WeightInfo;
        /// Makes what benchmarks need of other pallets.
        #[cfg(feature = "runtime-benchmarks")]
        type BenchmarkHelper: BenchmarkHelper<Self::AccountId>;
    }

    /// Why the pallet holds TFT.
    #[pallet::composite_enum]
    pub enum HoldReason {
        /// The deposits of a twin's farms.
        Farm,
        /// The deposits of the nodes that may still join with a twin's open tickets.
        BootTicket,
        /// The deposits of the public IPs of a twin's farms.
        PublicIp,
    }

    /// The id given last.
    #[pallet::storage]
    pub type LastFarmId<T> = StorageValue<_, FarmId, ValueQuery>;

    /// The farms.
    #[pallet::storage]
    pub type Farms<T> = StorageMap<_, Twox64Concat, FarmId, Farm>;

    /// The farm of a name and of all that look like it: the inverse of [`Farms`].
    #[pallet::storage]
    pub type FarmByName<T> = StorageMap<_, Blake2_128Concat, NameSkeleton, FarmId>;

    /// How many farms a twin owns.
    #[pallet::storage]
    pub type FarmCount<T> = StorageMap<_, Twox64Concat, TwinId, u32, ValueQuery>;

    /// Boot tickets by their public key.
    #[pallet::storage]
    pub type Tickets<T> = StorageMap<_, Blake2_128Concat, PublicKey, Ticket>;

    /// The node keys that a ticket has admitted.
    #[pallet::storage]
    pub type Admitted<T> = StorageDoubleMap<_, Blake2_128Concat, PublicKey, Blake2_128Concat, PublicKey, ()>;

    /// How many tickets of a farm its farmer hasn't closed.
    #[pallet::storage]
    pub type OpenTickets<T> = StorageMap<_, Twox64Concat, FarmId, u32, ValueQuery>;

    /// The id of a public IP given last.
    #[pallet::storage]
    pub type LastIpId<T> = StorageValue<_, IpId, ValueQuery>;

    /// The public IPs.
    #[pallet::storage]
    pub type Ips<T> = StorageMap<_, Twox64Concat, IpId, FarmIp>;

    /// The public IP of an address, IPv4 or IPv6: the inverse of [`Ips`], those left out that governance removed.
    #[pallet::storage]
    pub type IpByAddress<T> = StorageMap<_, Blake2_128Concat, Address, IpId>;

    /// The public IPs of a farm.
    #[pallet::storage]
    pub type FarmIps<T> = StorageDoubleMap<_, Twox64Concat, FarmId, Twox64Concat, IpId, ()>;

    /// How many these are.
    #[pallet::storage]
    pub type FarmIpCount<T> = StorageMap<_, Twox64Concat, FarmId, u32, ValueQuery>;

    /// Those of them that no contract has.
    #[pallet::storage]
    pub type FreeIps<T> = StorageDoubleMap<_, Twox64Concat, FarmId, Twox64Concat, IpId, ()>;

    /// The public IPs that a contract has, or had and cool down.
    #[pallet::storage]
    pub type ContractIps<T> = StorageMap<_, Twox64Concat, ContractId, IpIds>;

    /// The closed contracts whose public IPs cool down.
    #[pallet::storage]
    pub type CoolingDown<T> = StorageMap<_, Twox64Concat, ContractId, ()>;

    /// What happened.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A farm exists.
        FarmCreated {
            /// Its id.
            farm: FarmId,
            /// Its farmer.
            twin: TwinId,
            /// What is held for it, in 1e-7 TFT.
            deposit: Balance,
        },
        /// A farm has another name.
        FarmRenamed {
            /// Its id.
            farm: FarmId,
        },
        /// A farm's nodes are only rented as a whole, or no longer so.
        FarmDedicated {
            /// Its id.
            farm: FarmId,
            /// Whether they are.
            dedicated: bool,
        },
        /// Governance has looked at a farm.
        FarmCertified {
            /// Its id.
            farm: FarmId,
            /// With this result.
            certification: Certification,
        },
        /// A farm is gone.
        FarmRemoved {
            /// Its id.
            farm: FarmId,
            /// What is no longer held, in 1e-7 TFT.
            released: Balance,
        },
        /// A boot ticket admits machines.
        TicketOpened {
            /// The farm that they join.
            farm: FarmId,
            /// The ticket's public key.
            ticket: PublicKey,
            /// How many.
            nodes: u32,
            /// Until when, in seconds since 1970.
            expires: UnixSeconds,
            /// What is held for them, in 1e-7 TFT.
            deposit: Balance,
        },
        /// A boot ticket admits no more machines.
        TicketClosed {
            /// The farm that it was for.
            farm: FarmId,
            /// The ticket's public key.
            ticket: PublicKey,
            /// What is no longer held, in 1e-7 TFT.
            released: Balance,
        },
        /// A closed boot ticket is forgotten.
        TicketForgotten {
            /// The farm that it was for.
            farm: FarmId,
            /// The ticket's public key.
            ticket: PublicKey,
        },
        /// A farm offers a public IP.
        IpAdded {
            /// The farm.
            farm: FarmId,
            /// The public IP.
            ip: IpId,
            /// What is held for it, in 1e-7 TFT.
            deposit: Balance,
        },
        /// A farm no longer offers a public IP. A contract that has it keeps it.
        IpRemoved {
            /// The farm.
            farm: FarmId,
            /// The public IP.
            ip: IpId,
            /// What is no longer held, in 1e-7 TFT.
            released: Balance,
        },
        /// A contract has public IPs.
        IpsReserved {
            /// The contract.
            contract: ContractId,
            /// The public IPs.
            ips: IpIds,
        },
        /// A contract's public IPs are free.
        IpsFreed {
            /// The contract.
            contract: ContractId,
        },
    }

    /// Why a call failed.
    #[pallet::error]
    pub enum Error<T> {
        /// The caller has no twin.
        NoTwin,
        /// No farm has this id.
        UnknownFarm,
        /// The caller isn't the farmer of this farm.
        NotFarmer,
        /// A farm's name has 3 to 40 characters of `A–Z a–z 0–9 _ -`.
        NameInvalid,
        /// Another farm has this name, or one that looks like it.
        NameTaken,
        /// All farm ids are given away.
        IdsExhausted,
        /// This key has been opened as a ticket before.
        TicketExists,
        /// No ticket has this key.
        UnknownTicket,
        /// A ticket admits 1 to 100 nodes.
        NodeCountOutOfRange,
        /// A ticket expires in the future and within a year.
        ExpiryOutOfRange,
        /// The ticket is closed already; its record goes when its expiry is over by an hour.
        TicketAlreadyClosed,
        /// Nodes belong to the farm.
        FarmHasNodes,
        /// The farm has earned what hasn't been paid out.
        FarmHasEarnings,
        /// The farm has public IPs.
        FarmHasIps,
        /// The farm has boot tickets that aren't closed.
        FarmHasOpenTickets,
        /// No public IP has this id.
        UnknownIp,
        /// A contract has this public IP, or had it until lately.
        IpInUse,
        /// The internet doesn't route packets to the address.
        IpNotPublic,
        /// A prefix has 8 to 32 bits for IPv4, 16 to 128 for IPv6.
        PrefixOutOfRange,
        /// The address names its network or the network's broadcast.
        AddressNotUsable,
        /// The gateway isn't a public address of another machine in the same network.
        GatewayInvalid,
        /// This address is offered already.
        AddressTaken,
        /// The farm has as many public IPs as the chain admits.
        TooManyIps,
        /// The farm hasn't as many free public IPs.
        NotEnoughIps,
        /// A contract has at most 16 public IPs.
        IpCountOutOfRange,
        /// The contract has public IPs already.
        ContractHasIps,
    }

    #[pallet::call(weight = T::WeightInfo)]
    impl<T: Config> Pallet<T> {
        /// Creates a farm of the caller's twin.
        #[pallet::call_index(0)]
        pub fn create(origin: OriginFor<T>, name: WrittenName) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_create(account, name.into_inner())
        }

        /// Opens a boot ticket: up to `nodes` machines that carry the secret half of `ticket` (ed25519) may
        /// join `farm` until `expires` (seconds since 1970). The deposit of that many nodes is held.
        #[pallet::call_index(1)]
        pub fn open_ticket(
            origin: OriginFor<T>,
            farm: FarmId,
            ticket: PublicKey,
            nodes: u32,
            expires: UnixSeconds,
        ) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_open_ticket(account, farm, ticket, nodes, expires)
        }

        /// Closes a boot ticket and releases the deposit of the nodes that haven't joined. An hour after its
        /// expiry, the record goes too: at once, or by a second call, that anybody may make.
        #[pallet::call_index(2)]
        pub fn close_ticket(origin: OriginFor<T>, ticket: PublicKey) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_close_ticket(account, ticket)
        }

        /// Gives a farm another name.
        #[pallet::call_index(3)]
        pub fn update(origin: OriginFor<T>, farm: FarmId, name: WrittenName) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_update(account, farm, name.into_inner())
        }

        /// Says whether the nodes of a farm are only rented as a whole. Contracts that exist stay.
        #[pallet::call_index(4)]
        pub fn set_dedicated(origin: OriginFor<T>, farm: FarmId, dedicated: bool) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_set_dedicated(account, farm, dedicated)
        }

        /// Removes a farm without nodes, public IPs, open tickets and earnings; its deposit is free again.
        #[pallet::call_index(5)]
        pub fn remove(origin: OriginFor<T>, farm: FarmId) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_remove(account, farm)
        }

        /// Offers a public IP to the contracts on a farm's nodes. Its deposit is held.
        #[pallet::call_index(6)]
        pub fn add_ip(origin: OriginFor<T>, farm: FarmId, address: PublicIp) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_add_ip(account, farm, address)
        }

        /// Takes back a public IP that no contract has; its deposit is free again.
        #[pallet::call_index(7)]
        pub fn remove_ip(origin: OriginFor<T>, ip: IpId) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_remove_ip(account, ip)
        }

        /// Governance takes a public IP from a farm that doesn't own it, so that its owner can offer it. A contract
        /// that has it keeps it on record until it closes; the farmer gets the deposit back at once.
        #[pallet::call_index(8)]
        pub fn force_remove_ip(origin: OriginFor<T>, ip: IpId) -> DispatchResult {
            T::GovernanceOrigin::ensure_origin(origin)?;
            Self::do_force_remove_ip(ip)
        }

        /// Governance certifies a farm, or no longer does.
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
        /// The farm that has this name, or one that looks like it.
        pub fn farm_by_name(name: Vec<u8>) -> Option<FarmId> {
            Self::find_by_name(name)
        }

        /// A farm's public IPs, at most 500, in no particular order; go on with `next`.
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
