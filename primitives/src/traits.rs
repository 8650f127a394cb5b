// SPDX-License-Identifier: Apache-2.0
//! How the pallets know each other: by what they need, not by path.

use crate::{
    ledger::{Charge, Rates},
    refusal::Refusal,
    report::{KeySignature, ReportKind},
    resources::Resources,
    Balance, ContractId, FarmId, GridMillis, NodeId, PublicKey, TwinId, UnixSeconds, UsdRate,
};
use codec::Encode;
use sp_runtime::DispatchError;

/// The directory of twins.
pub trait TwinDirectory<AccountId> {
    /// The twin of an account.
    fn twin_of(account: &AccountId) -> Option<TwinId>;
    /// The account of a twin.
    fn account_of(twin: TwinId) -> Option<AccountId>;
}

/// The directory of farms.
pub trait FarmDirectory<AccountId> {
    /// The twin that owns a farm.
    fn farmer_of(farm: FarmId) -> Option<TwinId>;
    /// The account of that twin.
    fn farmer_account(farm: FarmId) -> Option<AccountId>;
}

/// Boot tickets, as the nodes pallet spends them.
pub trait BootTickets {
    /// The farm that `ticket` admits `node_key` to at `now`, or why it doesn't.
    fn check(ticket: &PublicKey, node_key: &PublicKey, now: UnixSeconds) -> Result<FarmId, Refusal>;
    /// Spends one admission of a ticket that [`BootTickets::check`] has just admitted, and says how much
    /// of the farmer's deposit it freed, in 1e-7 TFT: the node's deposit from now on.
    fn spend(ticket: &PublicKey, node_key: &PublicKey) -> Balance;
}

/// What contracts and billing must know of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// The farm that it belongs to.
    pub farm: FarmId,
    /// Whether a certifier vouched for it.
    pub certified: bool,
    /// Whether it has been heard from lately.
    pub online: bool,
}

/// Nodes, as the contracts pallet uses them.
pub trait NodeDirectory {
    /// What is known of a node.
    fn facts(node: NodeId) -> Option<NodeFacts>;
    /// Takes `resources` of the node's free capacity, or says why it can't.
    fn reserve(node: NodeId, resources: &Resources) -> Result<(), DispatchError>;
    /// Gives them back.
    fn release(node: NodeId, resources: &Resources);
}

/// The keys of nodes, as pallets that take reports use them.
pub trait NodeReports {
    /// Refuses unless `node`'s key signed this report for this chain.
    fn verify(
        node: NodeId,
        kind: ReportKind,
        sequence: u64,
        payload: &impl Encode,
        signature: &KeySignature,
    ) -> Result<(), Refusal>;
}

/// Grid and calendar time.
pub trait Clock {
    /// Grid time: what deadlines count.
    fn grid_now() -> GridMillis;
    /// The block's timestamp.
    fn unix_now() -> UnixSeconds;
}

/// The billing ledger, as the contracts pallet uses it.
pub trait Ledger {
    /// What a contract for this capacity costs per hour at the present list, or `None` where the price exceeds
    /// all bounds.
    fn quote(resources: &Resources, public_ips: u32, certified: bool) -> Option<UsdRate>;
    /// Refuses unless `twin`'s credit pays for all that it runs and `more` for the minimum runway.
    fn ensure_runway(twin: TwinId, more: Rates) -> Result<(), DispatchError>;
    /// Charges `twin` for `contract` from now on, for the benefit of `farm`.
    fn start(contract: ContractId, twin: TwinId, farm: FarmId, rates: Rates);
    /// Ends the charge, credits the earnings to their payees and says what was charged in all.
    fn stop(contract: ContractId) -> Charge;
    /// What a running contract has been charged up to now; nothing for one that doesn't run.
    fn charge_of(contract: ContractId) -> Charge;
    /// Whether `twin` runs contracts on credit that is used up.
    fn is_exhausted(twin: TwinId) -> bool;
}
