// SPDX-License-Identifier: Apache-2.0
//! How the pallets know each other: by what they need, not by path.

use crate::{
    Balance, ContractId, FarmId, GridMillis, NodeId, ProviderId, PublicKey, TftPrice, TwinId, UnixSeconds,
    UsdAmount, UsdRate,
    deadline::Deadline,
    fixed::Q64,
    ledger::{Charge, Gap, Rates},
    pricing::Priced,
    refusal::Refusal,
    report::{KeySignature, ReportKind},
    resources::Resources,
    views::ClosingReason,
};
use codec::{Decode, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_runtime::{DispatchResult, Weight};

/// The directory of twins.
pub trait TwinDirectory<AccountId> {
    /// The twin of an account.
    fn twin_of(account: &AccountId) -> Option<TwinId>;
    /// The account of a twin.
    fn account_of(twin: TwinId) -> Option<AccountId>;
}

/// What depends on a twin.
pub trait TwinUse {
    /// Whether `twin` owns something, so that it can't be removed.
    fn is_in_use(twin: TwinId) -> bool;
    /// What its owner has wished counts no more: it is somebody else's, or gone.
    fn forget_owner(_twin: TwinId) {}
}

impl TwinUse for () {
    fn is_in_use(_: TwinId) -> bool {
        false
    }
}

impl<A: TwinUse, B: TwinUse, C: TwinUse> TwinUse for (A, B, C) {
    fn is_in_use(twin: TwinId) -> bool {
        A::is_in_use(twin) || B::is_in_use(twin) || C::is_in_use(twin)
    }

    fn forget_owner(twin: TwinId) {
        A::forget_owner(twin);
        B::forget_owner(twin);
        C::forget_owner(twin);
    }
}

/// What others must know of a farm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FarmFacts {
    /// The twin that owns it.
    pub farmer: TwinId,
    /// Its nodes are only rented as a whole.
    pub dedicated: bool,
}

/// The directory of farms.
pub trait FarmDirectory<AccountId> {
    /// What is known of a farm.
    fn facts(farm: FarmId) -> Option<FarmFacts>;
    /// The twin that owns a farm.
    fn farmer_of(farm: FarmId) -> Option<TwinId> {
        Self::facts(farm).map(|facts| facts.farmer)
    }
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

/// What depends on a farm, so that it can't be removed.
pub trait FarmUse {
    /// Whether nodes belong to `farm`.
    fn has_nodes(_farm: FarmId) -> bool {
        false
    }
    /// Whether `farm` has earned what hasn't been paid out.
    fn has_earnings(_farm: FarmId) -> bool {
        false
    }
}

impl FarmUse for () {}

impl<A: FarmUse, B: FarmUse> FarmUse for (A, B) {
    fn has_nodes(farm: FarmId) -> bool {
        A::has_nodes(farm) || B::has_nodes(farm)
    }

    fn has_earnings(farm: FarmId) -> bool {
        A::has_earnings(farm) || B::has_earnings(farm)
    }
}

/// The public addresses of farms, as the contracts pallet reserves them.
pub trait PublicIps {
    /// Takes `count` free addresses of `farm` for `contract`, or says why it can't. Zero is a no-op.
    fn reserve(farm: FarmId, contract: ContractId, count: u8) -> DispatchResult;
    /// The contract is closed: its addresses cool down, nobody else gets them yet. Says whether it had any.
    fn retire(contract: ContractId) -> bool;
    /// Whether addresses of this closed contract cool down.
    fn is_cooling(contract: ContractId) -> bool;
    /// The addresses have cooled down and are free. A no-op where there are none.
    fn free(contract: ContractId);
}

/// What a node's contracts should be doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub enum Service {
    /// They run and are charged.
    Running,
    /// The node is silent: nothing is charged.
    Suspended,
    /// They close.
    Ended(ClosingReason),
}

/// What contracts and billing must know of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// The farm that it belongs to.
    pub farm: FarmId,
    /// Whether a certifier vouched for it.
    pub certified: bool,
    /// Whether it counts as online.
    pub online: bool,
    /// Whether it takes no new contracts because its farmer drains it.
    pub draining: bool,
    /// Whether it is only rented as a whole; its farm's wish included.
    pub dedicated: bool,
    /// What the farmer asks for a rent beside the list price, in 1e-10 USD per hour.
    pub extra_fee: UsdRate,
    /// All that it offers.
    pub resources: Resources,
    /// How many contracts have capacity of it.
    pub contracts: u32,
    /// What its contracts should be doing.
    pub service: Service,
}

/// Nodes, as the contracts pallet uses them.
pub trait NodeDirectory {
    /// What is known of a node.
    fn facts(node: NodeId) -> Option<NodeFacts>;
    /// Takes `resources` of the node's free capacity for one more contract, or says why it can't.
    fn reserve(node: NodeId, resources: &Resources) -> DispatchResult;
    /// A contract's reservation changes from `from` to `to`, or why it can't. Never fails where `to` fits in
    /// `from`.
    fn resize(node: NodeId, from: &Resources, to: &Resources) -> DispatchResult;
    /// Gives back what one contract had.
    fn release(node: NodeId, resources: &Resources);
    /// A tenant says that the node didn't deliver: counted for people to see.
    fn count_not_delivered(node: NodeId);
}

/// Whether nodes are heard from, as the ledger uses them.
pub trait NodeLiveness {
    /// Where the price clock stood at the node's last heartbeat, if that is older than one interval; `None`
    /// while it is heard from. An unknown node is silent since ever.
    fn silent_since(node: NodeId) -> Option<Q64>;
    /// The same where so many heartbeats were missed that it counts as offline, whether or not anybody has
    /// noticed: what was charged since then goes back. One that is a little late gives nothing back.
    fn offline_since(node: NodeId) -> Option<Q64>;
    /// The stretch of the price clock in which the node served nobody last, up to its return.
    fn last_outage(node: NodeId) -> Gap;
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

/// The chain's clocks.
pub trait Clock {
    /// Grid time: what deadlines count.
    fn grid_now() -> GridMillis;
    /// The block's timestamp.
    fn unix_now() -> UnixSeconds;
    /// The price clock.
    fn price_now() -> Q64;
}

/// What comes due in grid time.
pub trait Agenda {
    /// `deadline` comes up at `due`, in a block whose grid time has reached it. Arming twice is arming once.
    fn arm(due: GridMillis, deadline: Deadline);
    /// It doesn't come up at `due` after all. A no-op where it wasn't armed.
    fn disarm(due: GridMillis, deadline: Deadline);
}

/// Those whom the agenda calls.
pub trait ServeDeadlines {
    /// The most that one step of it takes.
    fn weight_of(deadline: &Deadline) -> Weight;
    /// Does one bounded step. `Some(due)`: it comes up again then; `now` puts it at the tail of what is due.
    fn serve(deadline: Deadline, now: GridMillis) -> Option<GridMillis>;
}

/// Who is charged for a contract and who earns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parties {
    /// Who pays.
    pub payer: TwinId,
    /// The farm that earns the farmer's part; `None` gives it to the foundation.
    pub farm: Option<FarmId>,
    /// The node that serves it; claims are refused while it is silent.
    pub node: Option<NodeId>,
    /// How many public IPs its rate includes.
    pub public_ips: u8,
    /// What they are of the rate, in 1e-10 USD per hour.
    pub ip_rate: UsdRate,
    /// What it is priced for, so that it can be priced anew; `None` where its price is agreed.
    pub priced: Option<Priced>,
}

/// What goes back to the payer of what a contract has earned and not paid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refund {
    /// Nothing, but what fell into a silence of the node.
    Served,
    /// All of it: nothing was delivered.
    All,
}

/// What a contract was charged when its charge ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stopped {
    /// In all.
    pub charge: Charge,
    /// For traffic among it, in 1e-10 USD.
    pub traffic_usd: UsdAmount,
}

/// The billing ledger, as the contracts pallet uses it.
pub trait Ledger {
    /// What this costs per hour at the present list, or `None` where the price exceeds all bounds.
    fn quote(what: &Priced) -> Option<UsdRate>;
    /// Refuses unless `twin`'s credit pays for all that it runs and `more` for the minimum runway, and its
    /// owner's limits admit that.
    fn ensure_affordable(twin: TwinId, more: Rates) -> DispatchResult;
    /// A contract of `twin` may be charged these rates without another word of its owner: credit must suffice for
    /// them from now on.
    fn promise(twin: TwinId, rates: Rates);
    /// It won't be.
    fn take_back(twin: TwinId, rates: Rates);
    /// Charges for `contract` from now on what was promised.
    fn start(contract: ContractId, parties: Parties, rates: Rates);
    /// Charges other rates for it from now on. Where a trial of lower ones goes on, they count from its begin.
    fn resize(contract: ContractId, rates: Rates);
    /// Begins a trial of a lower rate (1e-10 USD per hour): what is charged beyond it from now on is set aside, and
    /// goes back when [`Ledger::resize`] says that it counts.
    fn begin_trial(contract: ContractId, usd: UsdRate);
    /// The trial comes to nothing: what was charged is earned.
    fn end_trial(contract: ContractId);
    /// From now on it is priced for something else; beside [`Ledger::resize`], where what it has changed.
    fn describe(_contract: ContractId, _priced: Priced) {}
    /// Stops charging while its node is silent; gives back what was charged since the last heartbeat. Its rates
    /// are promised meanwhile.
    fn suspend(contract: ContractId);
    /// Goes on charging. Where its node was back before anybody had stopped the charge, gives back what was
    /// charged during the silence.
    fn resume(contract: ContractId);
    /// Ends the charge, credits the earnings to their payees, returns the traffic that wasn't used and says
    /// what was charged. Also for a contract that never started.
    fn stop(contract: ContractId, refund: Refund) -> Stopped;
    /// Charges what `contract` misses to ten minutes of `rates` in USD, at the present price, as far as the
    /// credit of `payer` goes. Traffic doesn't count as any of it, and no farmer shares in it. Says what it was
    /// charged in all then.
    fn charge_minimum(contract: ContractId, payer: TwinId, rates: Rates, stopped: Stopped) -> Charge;
    /// What a running contract has been charged up to now; nothing for one that doesn't run.
    fn charge_of(contract: ContractId) -> Charge;
    /// Whether `twin` runs contracts on credit that is used up.
    fn is_exhausted(twin: TwinId) -> bool;
    /// Whether patience with it has ended, too.
    fn must_close(twin: TwinId) -> bool;
    /// Moves credit into the contract's traffic allowance, at the price and discount of this moment; whether
    /// or not it runs yet.
    fn buy_traffic(contract: ContractId, payer: TwinId, gb: u32, certified: bool) -> DispatchResult;
    /// Draws on the allowance of a running contract. Says how many of the bytes it covered.
    fn use_traffic(contract: ContractId, bytes: u64) -> u64;
    /// The contract is closed and its tombstone gone: what people could read of its charges goes, too.
    fn forget(_contract: ContractId) {}
    /// `provider` shares in what the contract earns; once per contract.
    fn attach_provider(contract: ContractId, provider: ProviderId) -> DispatchResult;
}

/// What contracts have agreed to pay, as the ledger tells them of another price list.
pub trait AgreedRates {
    /// `contract` costs `usd` (1e-10 USD per hour) beside its extra fee from now on, or why it can't be told now.
    fn agree(contract: ContractId, usd: UsdRate) -> DispatchResult;
}

impl AgreedRates for () {
    fn agree(_: ContractId, _: UsdRate) -> DispatchResult {
        Ok(())
    }
}

/// What was paid for public traffic and addresses on a node, as farming counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct PaidUse {
    /// Public traffic, in bytes.
    pub traffic_bytes: u64,
    /// Public addresses × milliseconds.
    pub ip_ms: u64,
    /// What was paid for both and didn't go to the farmer, in Q64.64 of 1e-7 TFT: farming never mints more
    /// for them.
    pub tft: Q64,
}

/// Those who are told of it, when a contract's earnings are settled.
pub trait PaidUses {
    /// `node`'s contracts have paid for this.
    fn count(node: NodeId, paid: PaidUse);
}

impl PaidUses for () {
    fn count(_: NodeId, _: PaidUse) {}
}

/// The price of TFT over time.
pub trait PriceHistory {
    /// The mean of the daily prices of the last `days` days, in 1e-7 USD; `None` while none is recorded.
    fn average_price(days: u32) -> Option<TftPrice>;
}

/// What farming must know of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FarmedNode {
    /// The farm that it belongs to.
    pub farm: FarmId,
    /// All that it offers.
    pub resources: Resources,
    /// Whether a certifier vouches for it.
    pub certified: bool,
    /// Whether the machine says that it is a virtual one; `None` while it hasn't said what it is.
    pub virtualized: Option<bool>,
}

/// Nodes, as farming sees them.
pub trait FarmedNodes {
    /// What is known of a node.
    fn describe(node: NodeId) -> Option<FarmedNode>;
    /// For how long it was heard from in a period, in milliseconds.
    fn uptime_ms(node: NodeId, period: u32) -> u64;
}

/// Those who reward nodes per period, as they are told of what nodes do.
pub trait FarmingPeriods {
    /// The node has joined its farm.
    fn joined(node: NodeId);
    /// It was heard from, and its uptime up to now is counted.
    fn heard(node: NodeId);
    /// What it offers, whether it is certified or what it says of itself has changed.
    fn changed(node: NodeId);
    /// It is about to leave its farm.
    fn left(node: NodeId);
    /// The most that [`FarmingPeriods::joined`] takes.
    fn weight_of_joining() -> Weight;
    /// The most that [`FarmingPeriods::heard`] or [`FarmingPeriods::changed`] takes.
    fn weight_of_telling() -> Weight;
    /// The most that [`FarmingPeriods::left`] takes.
    fn weight_of_leaving() -> Weight;
}

impl FarmingPeriods for () {
    fn joined(_: NodeId) {}
    fn heard(_: NodeId) {}
    fn changed(_: NodeId) {}
    fn left(_: NodeId) {}
    fn weight_of_joining() -> Weight {
        Weight::zero()
    }
    fn weight_of_telling() -> Weight {
        Weight::zero()
    }
    fn weight_of_leaving() -> Weight {
        Weight::zero()
    }
}
