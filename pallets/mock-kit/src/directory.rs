// SPDX-License-Identifier: Apache-2.0
//! Twins and farms that are their numbers.

use crate::AccountId;
use frame_support::parameter_types;
use sp_core::{Pair, ed25519};
use tfgrid_primitives::{
    Balance, FarmId, PublicKey, Refusal, TwinId, UnixSeconds,
    traits::{BootTickets, FarmDirectory, FarmFacts, TwinDirectory},
    units::TFT,
};

/// What the ticket of a farm frees for each node that joins, in 1e-7 TFT.
pub const NODE_DEPOSIT: Balance = 10 * TFT;

parameter_types! {
    /// A farm that doesn't exist.
    pub static GoneFarm: Option<FarmId> = None;
    /// A farm whose nodes are only rented as a whole.
    pub static DedicatedFarm: Option<FarmId> = None;
    /// The node keys that tickets have admitted: (ticket, node key).
    pub static Spent: Vec<(PublicKey, PublicKey)> = vec![];
}

/// Twin `n` is account `n`, below 1,000. Farm `n` belongs to twin `FIRST_FARMER + n`, from 1 to 99, and
/// admits any node key once with its ticket ([`ticket_of`]).
pub struct Directory<const FIRST_FARMER: TwinId = 0>;

impl<const FIRST_FARMER: TwinId> TwinDirectory<AccountId> for Directory<FIRST_FARMER> {
    fn twin_of(account: &AccountId) -> Option<TwinId> {
        (*account < 1_000).then_some(*account as TwinId)
    }

    fn account_of(twin: TwinId) -> Option<AccountId> {
        (twin < 1_000).then_some(twin.into())
    }
}

impl<const FIRST_FARMER: TwinId> FarmDirectory<AccountId> for Directory<FIRST_FARMER> {
    fn facts(farm: FarmId) -> Option<FarmFacts> {
        let exists = (1..100).contains(&farm) && GoneFarm::get() != Some(farm);
        let dedicated = DedicatedFarm::get() == Some(farm);
        exists.then_some(FarmFacts { farmer: FIRST_FARMER + farm, dedicated })
    }

    fn farmer_account(farm: FarmId) -> Option<AccountId> {
        Self::farmer_of(farm).and_then(Self::account_of)
    }
}

impl<const FIRST_FARMER: TwinId> BootTickets for Directory<FIRST_FARMER> {
    fn check(ticket: &PublicKey, node_key: &PublicKey, _: UnixSeconds) -> Result<FarmId, Refusal> {
        let farm = (1..100).find(|farm| ticket_of(*farm).public().0 == *ticket);
        let farm = farm.ok_or(Refusal::TicketUnknown)?;
        let is_spent = Spent::get().contains(&(*ticket, *node_key));
        if is_spent { Err(Refusal::TicketUsed) } else { Ok(farm) }
    }

    fn spend(ticket: &PublicKey, node_key: &PublicKey) -> Balance {
        Spent::mutate(|spent| spent.push((*ticket, *node_key)));
        NODE_DEPOSIT
    }
}

/// The boot ticket of a farm.
pub fn ticket_of(farm: FarmId) -> ed25519::Pair {
    ed25519::Pair::from_seed(&[farm as u8; 32])
}

pub(crate) fn reset() {
    GoneFarm::set(None);
    DedicatedFarm::set(None);
    Spent::set(vec![]);
}
