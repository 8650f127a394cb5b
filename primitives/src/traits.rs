// SPDX-License-Identifier: Apache-2.0
//! How the pallets know each other: by what they need, not by path.

use crate::{
    agenda::Deadline,
    features::Features,
    fixed::{ExactTft, PriceTime},
    ids::{ContractId, FarmId, NodeId, PublicKey, TwinId},
    ledger::{Charge, Moment, Rates},
    pricing::Priced,
    refund::ClockSpan,
    refusal::Refusal,
    report::{KeySignature, ReportKind},
    resources::Resources,
    units::{Balance, GridMillis, TftPrice, UnixSeconds, UsdRate},
    views::ClosingReason,
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_runtime::{DispatchError, DispatchResult, Weight};
use sp_weights::WeightMeter;

/// The directory of twins.
pub trait TwinDirectory<AccountId> {
    /// The twin of an account.
    fn twin_of(account: &AccountId) -> Option<TwinId>;
    /// The account of a twin.
    fn account_of(twin: TwinId) -> Option<AccountId>;
}

/// Whether other pallets still need a twin.
pub trait TwinInUse {
    /// Whether `twin` owns something, so that it can't be removed.
    fn is_in_use(twin: TwinId) -> bool;
}

/// What follows when a twin gets another owner or is removed.
pub trait OnTwinLeft {
    /// Clears the settings that only `twin`'s owner may make: they aren't the next owner's.
    fn on_twin_left(twin: TwinId);
}

impl TwinInUse for () {
    fn is_in_use(_: TwinId) -> bool {
        false
    }
}

impl OnTwinLeft for () {
    fn on_twin_left(_: TwinId) {}
}

impl<A: TwinInUse, B: TwinInUse, C: TwinInUse> TwinInUse for (A, B, C) {
    fn is_in_use(twin: TwinId) -> bool {
        A::is_in_use(twin) || B::is_in_use(twin) || C::is_in_use(twin)
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

/// Whether other pallets still need a farm, so that it can't be removed.
pub trait FarmInUse {
    /// Whether nodes belong to `farm`.
    fn has_nodes(_farm: FarmId) -> bool {
        false
    }
    /// Whether `farm` has earned what hasn't been paid out.
    fn has_earnings(_farm: FarmId) -> bool {
        false
    }
}

impl FarmInUse for () {}

impl<A: FarmInUse, B: FarmInUse> FarmInUse for (A, B) {
    fn has_nodes(farm: FarmId) -> bool {
        A::has_nodes(farm) || B::has_nodes(farm)
    }

    fn has_earnings(farm: FarmId) -> bool {
        A::has_earnings(farm) || B::has_earnings(farm)
    }
}

/// The public addresses of farms, as the contracts pallet reserves them.
pub trait PublicIps {
    /// Sees to it that `contract` has `count` addresses of `farm` at least: first its own that cool down, then free
    /// ones. Says why it can't.
    fn reserve(farm: FarmId, contract: ContractId, count: u8) -> DispatchResult;
    /// All but `kept` of the addresses that `contract` has cool down until `until` (grid time): nobody else gets them
    /// yet. Says whether there are any.
    fn retire(contract: ContractId, kept: u8, until: GridMillis) -> bool;
    /// Whether addresses of `contract` cool down.
    fn is_cooling(contract: ContractId) -> bool;
    /// The addresses of `contract` that have cooled down at `now` (grid time) are free. A no-op where there are none.
    fn free(contract: ContractId, now: GridMillis);
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
    /// Whether it or its farm is dedicated: it is only rented as a whole.
    pub dedicated: bool,
    /// What the farmer asks for a rent beside the list price, in 1e-10 USD per hour.
    pub extra_fee: UsdRate,
    /// All that it offers.
    pub resources: Resources,
    /// What it offered when it was rented, if it is.
    pub rented: Option<Resources>,
    /// Public traffic that it can carry, in bytes per second.
    pub bytes_per_second: u64,
    /// What its agent has code for; nothing before it has said so.
    pub features: Features,
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
    /// Reserves all that the node offers for its tenant, whose contracts draw on it, or says why it can't.
    fn reserve_whole(node: NodeId) -> DispatchResult;
    /// Gives back what [`NodeDirectory::reserve_whole`] reserved.
    fn release_whole(node: NodeId);
    /// A contract's reservation changes from `from` to `to`, or why it can't. Never fails where `to` fits in
    /// `from`.
    fn resize(node: NodeId, from: &Resources, to: &Resources) -> DispatchResult;
    /// Gives back what one contract had.
    fn release(node: NodeId, resources: &Resources);
    /// A tenant says that the node didn't deliver and gets `tft` (1e-7 TFT) back for it: added to what people
    /// see of the node.
    fn count_not_delivered(node: NodeId, tft: Balance);
}

/// What follows when a node is removed.
pub trait OnNodeRemoved {
    /// Removes what is kept of `node`, which has no contracts.
    fn on_node_removed(node: NodeId);
}

impl OnNodeRemoved for () {
    fn on_node_removed(_: NodeId) {}
}

/// Whether nodes are heard from, as the ledger uses them.
pub trait NodeLiveness {
    /// Where the price clock stood at the node's last heartbeat, if that is older than one interval; `None`
    /// while its heartbeats come, and zero for an unknown node.
    fn silent_since(node: NodeId) -> Option<PriceTime>;
    /// The same where so many heartbeats were missed that it counts as offline, whether or not anybody has
    /// noticed: what was charged since then goes back. One that is a little late gives nothing back.
    fn offline_since(node: NodeId) -> Option<PriceTime>;
    /// The stretch of the price clock in which the node served nobody last, up to its return.
    fn last_outage(node: NodeId) -> ClockSpan;
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
    /// Grid time: all deadlines count it.
    fn grid_now() -> GridMillis;
    /// The block's timestamp.
    fn unix_now() -> UnixSeconds;
    /// The price clock.
    fn price_now() -> PriceTime;
}

/// The chain's clocks with what the ledger needs beside.
pub trait LedgerClock: Clock {
    /// The price clock and the charged milliseconds.
    fn now() -> Moment;
    /// The price of one TFT, in 1e-7 USD.
    fn tft_price() -> TftPrice;
}

/// The agenda of deadlines in grid time.
pub trait Agenda {
    /// `deadline` comes up at `due`, in the first block whose grid time has reached it. Arming twice is arming
    /// once.
    fn arm(due: GridMillis, deadline: Deadline);
    /// `deadline` doesn't come up at `due`. A no-op where it wasn't armed.
    fn disarm(due: GridMillis, deadline: Deadline);
    /// Whether `deadline` comes up at `due`; for invariants.
    fn is_armed(due: GridMillis, deadline: Deadline) -> bool;
}

/// Serves the deadlines that a pallet arms.
///
/// A tuple asks one pallet after the other; a kind of deadline belongs to the first that knows its weight.
pub trait ServeDeadlines {
    /// The most that one step of `deadline` takes; `None` for the kinds of other pallets.
    fn weight_of(deadline: &Deadline) -> Option<Weight>;
    /// The most that a step of any kind of this pallet takes.
    fn heaviest_step() -> Weight;
    /// Does one bounded step. With `Some(due)` the deadline comes up again then; `now` puts it at the tail of
    /// what is due.
    fn serve(deadline: Deadline, now: GridMillis) -> Option<GridMillis>;
}

impl ServeDeadlines for () {
    fn weight_of(_: &Deadline) -> Option<Weight> {
        None
    }

    fn heaviest_step() -> Weight {
        Weight::zero()
    }

    fn serve(_: Deadline, _: GridMillis) -> Option<GridMillis> {
        None
    }
}

impl<A: ServeDeadlines, B: ServeDeadlines, C: ServeDeadlines> ServeDeadlines for (A, B, C) {
    fn weight_of(deadline: &Deadline) -> Option<Weight> {
        A::weight_of(deadline).or_else(|| B::weight_of(deadline)).or_else(|| C::weight_of(deadline))
    }

    fn heaviest_step() -> Weight {
        A::heaviest_step().max(B::heaviest_step()).max(C::heaviest_step())
    }

    fn serve(deadline: Deadline, now: GridMillis) -> Option<GridMillis> {
        if A::weight_of(&deadline).is_some() {
            A::serve(deadline, now)
        } else if B::weight_of(&deadline).is_some() {
            B::serve(deadline, now)
        } else {
            C::serve(deadline, now)
        }
    }
}

/// Serves what has come due on the price clock, whose agenda isn't one of deadlines.
pub trait ServePriceClock {
    /// Serves payers whose credit is used up, in order, as far as `meter` goes.
    fn serve_exhausted(meter: &mut WeightMeter);
    /// The most that one payer takes, the look at the next one included.
    fn heaviest_step() -> Weight;
}

impl ServePriceClock for () {
    fn serve_exhausted(_: &mut WeightMeter) {}

    fn heaviest_step() -> Weight {
        Weight::zero()
    }
}

/// Who pays for a contract and who earns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parties {
    /// The twin that pays.
    pub payer: TwinId,
    /// The farm that earns the farmer's share; without one the foundation does.
    pub farm: Option<FarmId>,
    /// The node that serves the contract; nothing is collected while it is silent.
    pub node: Option<NodeId>,
}

/// What a contract costs, as its account keeps it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct ContractPrice {
    /// What is charged per hour.
    pub rates: Rates,
    /// The public addresses that the rates include.
    pub public_ips: u8,
    /// What these are of [`Rates::usd`], in 1e-10 USD per hour.
    pub ip_usd: UsdRate,
    /// Whether its node is certified, which makes traffic dearer.
    pub certified: bool,
}

impl ContractPrice {
    /// The price of what has neither addresses nor traffic.
    pub fn plain(rates: Rates) -> Self {
        Self { rates, ..Self::default() }
    }
}

/// How a contract ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was served until now, or its node fell silent: what fell into the silence goes back.
    Served,
    /// The same, but it ended by its owner's doing, or unconfirmed while its node was online: it pays the minimum
    /// charge at least, and for the time in which its capacity was reserved.
    EndedByOwner {
        /// How long it has been reserved, in grid time, where it was never deployed.
        reserved_ms: GridMillis,
    },
    /// Its owner says that it wasn't delivered: as much goes back as [`Ledger::refund_of_complaint`] says. What
    /// stays earns no farmer.
    NotDelivered,
}

/// The billing ledger, as the contracts pallet uses it: one account per contract, from `open` to `close`.
///
/// Rates are *committed* until `start` and while suspended, and *charged* in between.
pub trait Ledger {
    /// What this costs per hour at the present list, in 1e-10 USD; `None` where the price exceeds all bounds.
    fn quote(what: &Priced) -> Option<UsdRate>;
    /// Opens the account of `contract` with its rates committed. Refuses unless the payer's credit covers the
    /// minimum runway of all its rates and its owner's limits admit them. Says whether the payer goes on as before,
    /// which takes the least: at its price factor and its places in both agendas, and not in a grace period.
    fn open(contract: ContractId, parties: Parties, price: ContractPrice) -> Result<bool, DispatchError>;
    /// Charges `contract` from now on. Where it is charged already, its node was silent and is back before
    /// anybody suspended the contract: what was charged in between goes back. Where the wait for the node was paid
    /// for, its rest is now: `waited_ms` (grid time) in all.
    fn start(contract: ContractId, waited_ms: GridMillis);
    /// The payer pays for what a version that awaits its node's answer has reserved for `reserved_ms` (grid time),
    /// without what it has paid for the same wait.
    fn pay_wait(contract: ContractId, reserved_ms: GridMillis);
    /// Stops charging while the node is silent, and gives back what was charged since the last heartbeat.
    fn suspend(contract: ContractId);
    /// Proposes another price, in the place of an earlier proposal. `reserved` is the price of what both versions
    /// reserve: what it is above the present price is committed. Refuses it as `open` does.
    fn propose(contract: ContractId, price: ContractPrice, reserved: Rates) -> DispatchResult;
    /// The proposed price counts from now on. The payer pays for what was reserved beyond the present price for
    /// `reserved_ms`, the time in which the node was online.
    fn accept(contract: ContractId, reserved_ms: GridMillis);
    /// The present price stands. With `reserved_ms` the payer pays as after [`Ledger::accept`], and for the minimum
    /// charge's time at least.
    fn reject(contract: ContractId, reserved_ms: Option<GridMillis>);
    /// The price of a contract that was never charged becomes another one. With `reserved_ms` the payer pays for what
    /// it reserved until now, as after [`Ledger::reject`]. Refuses a dearer one as `open` does.
    fn replace(contract: ContractId, price: ContractPrice, reserved_ms: Option<GridMillis>)
    -> DispatchResult;
    /// Charges `price` from now on, 30 days after the present list was announced.
    fn reprice(contract: ContractId, price: ContractPrice) -> DispatchResult;
    /// Ends the charge, makes the earnings payable, returns unused traffic and says what was charged in all.
    fn close(contract: ContractId, outcome: Outcome) -> Charge;
    /// Removes what people could read of a closed contract's charges.
    fn forget(contract: ContractId);
    /// What an open contract costs.
    fn price_of(contract: ContractId) -> Option<ContractPrice>;
    /// What an open contract has been charged up to now.
    fn charge_of(contract: ContractId) -> Charge;
    /// For how long the credit of `twin` pays for all that is charged or committed, in milliseconds, at the present
    /// price of TFT.
    fn lasts_ms(twin: TwinId) -> GridMillis;
    /// Whether `twin`'s contracts are paused because its credit is used up.
    fn is_exhausted(twin: TwinId) -> bool;
    /// Grid time at which the grace period of `twin` ends, if its credit is used up.
    fn closes_at(twin: TwinId) -> Option<GridMillis>;
    /// Whether its grace period has ended, too.
    fn must_close(twin: TwinId) -> bool;
    /// What its payer would get back for the complaint that `contract` wasn't delivered, in 1e-7 TFT.
    fn refund_of_complaint(contract: ContractId) -> Balance;
    /// Moves the payer's credit into the traffic allowance of `contract`, at the list price of this moment.
    fn buy_traffic(contract: ContractId, gb: u32) -> DispatchResult;
    /// Draws on the allowance of `contract` and says how many of the bytes it covered.
    fn use_traffic(contract: ContractId, bytes: u64) -> u64;
}

/// What was paid for public traffic and addresses on a node, as farming counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct PaidUse {
    /// Public traffic, in bytes.
    pub traffic_bytes: u64,
    /// Public addresses × milliseconds.
    pub ip_ms: u64,
    /// What was paid for the traffic and didn't go to the farmer, in Q64.64 of 1e-7 TFT: farming never mints
    /// more for it, so that a farmer gets its list price at most.
    pub traffic_tft: ExactTft,
    /// The same for the addresses.
    pub ip_tft: ExactTft,
}

/// What follows when earnings of a node's contracts become payable.
pub trait OnPaidUse {
    /// `node`'s contracts have paid for this.
    fn on_paid_use(node: NodeId, paid: PaidUse);
}

impl OnPaidUse for () {
    fn on_paid_use(_: NodeId, _: PaidUse) {}
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
