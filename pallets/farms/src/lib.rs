// SPDX-License-Identifier: Apache-2.0
#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

mod dispatchable_impls;
mod types;
mod utility_impls;
pub mod weights;

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
    use frame_support::{pallet_prelude::*, traits::fungible};
    use frame_system::pallet_prelude::*;
    use tfgrid_primitives::{
        traits::{Clock, TwinDirectory},
        Balance, FarmId, PublicKey, TwinId, UnixSeconds,
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
        /// Who is who.
        type Twins: TwinDirectory<Self::AccountId>;
        /// Calendar time, for the expiry of tickets.
        type Clock: Clock;
        /// Held while a farm exists, in 1e-7 TFT.
        #[pallet::constant]
        type FarmDeposit: Get<Balance>;
        /// Held per node, from the moment its ticket is open, in 1e-7 TFT.
        #[pallet::constant]
        type NodeDeposit: Get<Balance>;
        /// Weights of the calls.
        type WeightInfo: WeightInfo;
    }

    /// Why the pallet holds TFT.
    #[pallet::composite_enum]
    pub enum HoldReason {
        /// The deposits of a twin's farms.
        Farm,
        /// The deposits of the nodes that may still join with a twin's open tickets.
        BootTicket,
    }

    /// The id given last.
    #[pallet::storage]
    pub type LastFarmId<T> = StorageValue<_, FarmId, ValueQuery>;

    /// The farms.
    #[pallet::storage]
    pub type Farms<T> = StorageMap<_, Twox64Concat, FarmId, Farm>;

    /// The farm of a name in lower case: the inverse of [`Farms`].
    #[pallet::storage]
    pub type FarmByName<T> = StorageMap<_, Blake2_128Concat, FarmName, FarmId>;

    /// Boot tickets by their public key.
    #[pallet::storage]
    pub type Tickets<T> = StorageMap<_, Blake2_128Concat, PublicKey, Ticket>;

    /// The node keys that a ticket has admitted.
    #[pallet::storage]
    pub type Admitted<T> = StorageDoubleMap<_, Blake2_128Concat, PublicKey, Blake2_128Concat, PublicKey, ()>;

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
        /// A boot ticket admits machines.
        TicketOpened {
            /// The farm that they join.
            farm: FarmId,
            /// The ticket's public key.
            ticket: PublicKey,
            /// How many.
            nodes: u32,
            /// Until when.
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
        /// Another farm has this name, upper and lower case alike.
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
    }

    #[pallet::call(weight = T::WeightInfo)]
    impl<T: Config> Pallet<T> {
        /// Creates a farm of the caller's twin.
        #[pallet::call_index(0)]
        pub fn create(origin: OriginFor<T>, name: BoundedVec<u8, ConstU32<256>>) -> DispatchResult {
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

        /// Closes a boot ticket and releases the deposit of the nodes that haven't joined. Called again an
        /// hour after its expiry, it removes the record.
        #[pallet::call_index(2)]
        pub fn close_ticket(origin: OriginFor<T>, ticket: PublicKey) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_close_ticket(account, ticket)
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
