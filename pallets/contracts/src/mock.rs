// SPDX-License-Identifier: Apache-2.0
//! A runtime of this pallet. The doubles of nodes, addresses and the ledger keep one [`State`], which tests set and
//! read and which a failed call leaves as it was.

use crate::{self as pallet_grid_contracts, ClosedContracts, ContractState, NodeContracts};
use codec::Encode;
use frame_support::{
    assert_storage_noop, ensure, parameter_types,
    traits::{ConstU32, ConstU64, ConstU128, fungible::InspectHold},
};
use frame_system::{EnsureRoot, RawOrigin};
pub use pallet_grid_mock_kit::{AccountId, MockClock};
use pallet_grid_mock_kit::{Armed, Chain, Directory, MockAgenda, mock_runtime};
use sp_runtime::{DispatchError, DispatchResult, traits::Dispatchable};
use std::collections::{BTreeMap, BTreeSet};
use tfgrid_primitives::{
    Balance, Charge, ContractId, Deadline, ExactTft, FarmId, Features, GridMillis, KeySignature, NodeId,
    PriceList, Rates, Refusal, ReportKind, Resources, TwinId, UsdRate,
    pricing::Priced,
    report::{DeployedPayload, FailedPayload, ProgressPayload, ReleasedPayload, UsagePayload},
    traits::{
        Agenda, Clock, ContractPrice, Ledger, NodeDirectory, NodeFacts, NodeReports, Outcome, Parties,
        PublicIps, ServeDeadlines, Service,
    },
    units::{DAY_MS, GIB, HOUR_MS, MINUTE_MS, TFT},
};

mock_runtime! {
    #[runtime::pallet_index(2)]
    pub type Contracts = pallet_grid_contracts;
}

pub type Call = pallet_grid_contracts::Call<Test>;
pub type Event = pallet_grid_contracts::Event<Test>;

pub const ANSWER_WITHIN: GridMillis = 5 * MINUTE_MS;
pub const ANSWER_LIMIT: GridMillis = 30 * MINUTE_MS;
pub const COOL_DOWN: GridMillis = DAY_MS;
pub const NOT_DELIVERED_WINDOW: GridMillis = HOUR_MS;
pub const TOMBSTONE_LIFE: GridMillis = 90 * DAY_MS;
pub const USAGE_INTERVAL: GridMillis = HOUR_MS;
pub const RESULT_INTERVAL: GridMillis = 10 * MINUTE_MS;
pub const DEPOSIT: Balance = TFT / 10;
pub const PER_BYTE: Balance = TFT / 1_000;
pub const NAME_DEPOSIT: Balance = TFT;
pub const SHORT_NAME_DEPOSIT: Balance = 10 * TFT;
pub const BYTES_PER_SECOND: u64 = 1_000_000;
/// More than two steps of a sweep take.
pub const MAX_CONTRACTS: u32 = 40;

impl pallet_grid_contracts::Config for Test {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type Twins = Directory;
    type Nodes = Machines;
    type PublicIps = Addresses;
    type Clock = MockClock;
    type Ledger = Recorder;
    type Agenda = MockAgenda;
    type GovernanceOrigin = EnsureRoot<AccountId>;
    type AnswerWithinMs = ConstU64<ANSWER_WITHIN>;
    type AnswerLimitMs = ConstU64<ANSWER_LIMIT>;
    type CoolDownMs = ConstU64<COOL_DOWN>;
    type NotDeliveredWindowMs = ConstU64<NOT_DELIVERED_WINDOW>;
    type TombstoneLifeMs = ConstU64<TOMBSTONE_LIFE>;
    type ContractDeposit = ConstU128<DEPOSIT>;
    type DepositPerByte = ConstU128<PER_BYTE>;
    type NameDeposit = ConstU128<NAME_DEPOSIT>;
    type ShortNameDeposit = ConstU128<SHORT_NAME_DEPOSIT>;
    type MaxContractsPerNode = ConstU32<1_000>;
    type MaxContractsPerTwin = ConstU32<MAX_CONTRACTS>;
    type UsageIntervalMs = ConstU64<USAGE_INTERVAL>;
    type ResultIntervalMs = ConstU64<RESULT_INTERVAL>;
    type WeightInfo = ();
}

parameter_types! {
    /// What the doubles keep.
    pub static Doubles: State = State::default();
}

/// What the doubles keep.
#[derive(Clone, Default)]
pub struct State {
    /// The nodes.
    pub nodes: BTreeMap<NodeId, Node>,
    /// The sequence of the last report.
    pub sequence: u64,
    /// The free public addresses of [`FARM`].
    pub free_ips: u8,
    /// The public addresses that contracts have or had.
    pub ips: BTreeMap<ContractId, HeldIps>,
    /// The price list, where there is one.
    pub prices: Option<PriceList>,
    /// The ledger accounts of open contracts.
    pub accounts: BTreeMap<ContractId, Account>,
    /// The calls of the ledger.
    pub trace: Vec<Traced>,
    /// The credit of no twin covers more than it does now.
    pub credit_too_low: bool,
    /// The price list is too recent for a reprice.
    pub list_too_recent: bool,
    /// The twins whose credit is used up, with whether their grace period has ended.
    pub exhausted: BTreeMap<TwinId, bool>,
    /// What each complaint gives back, in 1e-7 TFT.
    pub refund: Balance,
    /// For how long the credit of each twin lasts, in milliseconds.
    pub lasts_ms: GridMillis,
}

/// A node of [`FARM`].
#[derive(Clone)]
pub struct Node {
    pub facts: NodeFacts,
    /// What contracts have of it.
    pub used: Resources,
    /// What tenants got back because it hadn't delivered, in 1e-7 TFT.
    pub not_delivered: Balance,
}

/// The public addresses that a contract has or had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldIps {
    /// How many it has.
    pub kept: u8,
    /// When each that cools down is free, in grid time.
    pub cooling: Vec<GridMillis>,
}

/// A ledger account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub parties: Parties,
    pub price: ContractPrice,
    pub proposed: Option<ContractPrice>,
    pub charged: bool,
}

/// A call of the ledger, with the rate in 1e-10 USD per hour where it is about a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traced {
    Open(ContractId, UsdRate),
    /// With the time that it waited for its node, in grid time.
    Start(ContractId, GridMillis),
    /// With the time in which it was reserved, in grid time.
    PayWait(ContractId, GridMillis),
    Suspend(ContractId),
    Propose(ContractId, UsdRate),
    Accept(ContractId),
    /// With the time that is paid for, in grid time.
    Reject(ContractId, Option<GridMillis>),
    Replace(ContractId, UsdRate, Option<GridMillis>),
    Reprice(ContractId, UsdRate),
    Close(ContractId, Outcome),
    Forget(ContractId),
    BuyTraffic(ContractId, u32),
    UseTraffic(ContractId, u64),
}

pub const NO_CAPACITY: DispatchError = DispatchError::Other("not enough capacity");
pub const NODE_DRAINS: DispatchError = DispatchError::Other("the node drains");
pub const NO_IPS: DispatchError = DispatchError::Other("not enough addresses");
pub const CREDIT_TOO_LOW: DispatchError = DispatchError::Other("the credit is too low");
pub const LIST_TOO_RECENT: DispatchError = DispatchError::Other("the price list is too recent");

/// Shows and fills [`State::nodes`].
pub struct Machines;

impl NodeDirectory for Machines {
    fn facts(node: NodeId) -> Option<NodeFacts> {
        Doubles::get().nodes.get(&node).map(|node| node.facts)
    }

    fn reserve(node: NodeId, resources: &Resources) -> DispatchResult {
        on_node(node, |node| {
            ensure!(!node.facts.draining, NODE_DRAINS);
            take_capacity(node, &Resources::ZERO, resources)?;
            node.facts.contracts += 1;
            Ok(())
        })
    }

    fn reserve_whole(node: NodeId) -> DispatchResult {
        Self::reserve(node, &Resources::ZERO)?;
        on_node(node, |node| node.facts.rented = Some(node.facts.resources));
        Ok(())
    }

    fn release_whole(node: NodeId) {
        Self::release(node, &Resources::ZERO);
        Doubles::mutate(|state| {
            if let Some(node) = state.nodes.get_mut(&node) {
                node.facts.rented = None;
            }
        });
    }

    fn resize(node: NodeId, from: &Resources, to: &Resources) -> DispatchResult {
        on_node(node, |node| take_capacity(node, from, to))
    }

    fn release(node: NodeId, resources: &Resources) {
        Doubles::mutate(|state| {
            // A node that was removed has nothing to give back.
            let Some(node) = state.nodes.get_mut(&node) else { return };
            node.used = node.used.checked_sub(resources).expect("more is released than was reserved");
            node.facts.contracts -= 1;
        });
    }

    fn count_not_delivered(node: NodeId, tft: Balance) {
        on_node(node, |node| node.not_delivered += tft);
    }
}

fn take_capacity(node: &mut Node, from: &Resources, to: &Resources) -> DispatchResult {
    let others = node.used.checked_sub(from).expect("what changes is reserved");
    let used = others.checked_add(to).filter(|used| used.fits_in(&node.facts.resources));
    node.used = used.ok_or(NO_CAPACITY)?;
    Ok(())
}

/// Changes a node that exists.
pub fn on_node<R>(node: NodeId, change: impl FnOnce(&mut Node) -> R) -> R {
    Doubles::mutate(|state| change(state.nodes.get_mut(&node).expect("the node exists")))
}

impl NodeReports for Machines {
    fn verify(
        node: NodeId,
        kind: ReportKind,
        sequence: u64,
        payload: &impl Encode,
        signature: &KeySignature,
    ) -> Result<(), Refusal> {
        ensure!(Self::facts(node).is_some(), Refusal::NodeUnknown);
        ensure!(*signature == sign(node, kind, sequence, payload), Refusal::NodeSignatureWrong);
        Ok(())
    }
}

/// Stands for the signature of a node's key: a hash of what is signed.
fn sign(node: NodeId, kind: ReportKind, sequence: u64, payload: &impl Encode) -> KeySignature {
    KeySignature::from_raw(sp_io::hashing::keccak_512(&(node, kind, sequence, payload).encode()))
}

/// Keeps [`State::ips`].
pub struct Addresses;

impl PublicIps for Addresses {
    fn reserve(farm: FarmId, contract: ContractId, count: u8) -> DispatchResult {
        assert_eq!(farm, FARM);
        Doubles::mutate(|state| {
            let held = state.ips.entry(contract).or_default();
            while held.kept < count {
                if held.cooling.pop().is_none() {
                    state.free_ips = state.free_ips.checked_sub(1).ok_or(NO_IPS)?;
                }
                held.kept += 1;
            }
            Ok(())
        })
    }

    fn retire(contract: ContractId, kept: u8, until: GridMillis) -> bool {
        Doubles::mutate(|state| {
            let Some(held) = state.ips.get_mut(&contract).filter(|held| held.kept > kept) else {
                return false;
            };
            held.cooling.extend((kept..held.kept).map(|_| until));
            held.kept = kept;
            true
        })
    }

    fn is_cooling(contract: ContractId) -> bool {
        Doubles::get().ips.get(&contract).is_some_and(|held| !held.cooling.is_empty())
    }

    fn free(contract: ContractId, now: GridMillis) {
        Doubles::mutate(|state| {
            let Some(held) = state.ips.get_mut(&contract) else { return };
            let before = held.cooling.len();
            held.cooling.retain(|until| *until > now);
            state.free_ips += (before - held.cooling.len()) as u8;
        });
    }
}

/// Keeps [`State::accounts`] and records its calls in [`State::trace`].
pub struct Recorder;

/// When each grace period ends.
pub const GRACE_ENDS: GridMillis = 99 * HOUR_MS;
/// What complaints give back in the beginning, in 1e-7 TFT.
pub const REFUND: Balance = 17;
/// What every contract has been charged that was charged at all.
pub const CHARGE: Charge = Charge { tft: ExactTft::from_raw(70 << 64 | 1), usd: 350 };
/// As much traffic as credit buys.
pub const AFFORDABLE_GB: u32 = 1_000;

impl Recorder {
    fn record(call: Traced) {
        Doubles::mutate(|state| state.trace.push(call));
    }

    fn on_account<R>(contract: ContractId, change: impl FnOnce(&mut Account) -> R) -> R {
        Doubles::mutate(|state| change(state.accounts.get_mut(&contract).expect("the account is open")))
    }
}

impl Ledger for Recorder {
    fn quote(what: &Priced) -> Option<UsdRate> {
        what.rate(&Doubles::get().prices?)
    }

    fn open(contract: ContractId, parties: Parties, price: ContractPrice) -> Result<bool, DispatchError> {
        Self::record(Traced::Open(contract, price.rates.usd));
        Doubles::mutate(|state| {
            ensure!(!state.credit_too_low, CREDIT_TOO_LOW);
            let account = Account { parties, price, proposed: None, charged: false };
            let earlier = state.accounts.insert(contract, account);
            assert_eq!(earlier, None, "an account is opened once");
            Ok(!state.exhausted.contains_key(&parties.payer))
        })
    }

    fn start(contract: ContractId, waited_ms: GridMillis) {
        Self::record(Traced::Start(contract, waited_ms));
        Self::on_account(contract, |account| account.charged = true);
    }

    fn suspend(contract: ContractId) {
        Self::record(Traced::Suspend(contract));
        Self::on_account(contract, |account| account.charged = false);
    }

    fn pay_wait(contract: ContractId, reserved_ms: GridMillis) {
        Self::record(Traced::PayWait(contract, reserved_ms));
    }

    fn propose(contract: ContractId, price: ContractPrice, _: Rates) -> DispatchResult {
        Self::record(Traced::Propose(contract, price.rates.usd));
        let poor = Doubles::get().credit_too_low;
        Self::on_account(contract, |account| {
            ensure!(!poor || price.rates.usd <= account.price.rates.usd, CREDIT_TOO_LOW);
            account.proposed = Some(price);
            Ok(())
        })
    }

    fn accept(contract: ContractId, _: GridMillis) {
        Self::record(Traced::Accept(contract));
        Self::on_account(contract, |account| {
            account.price = account.proposed.take().expect("a price is proposed");
        });
    }

    fn reject(contract: ContractId, reserved_ms: Option<GridMillis>) {
        Self::record(Traced::Reject(contract, reserved_ms));
        Self::on_account(contract, |account| account.proposed.take().expect("a price is proposed"));
    }

    fn refund_of_complaint(contract: ContractId) -> Balance {
        Self::on_account(contract, |_| ());
        Doubles::get().refund
    }

    fn replace(
        contract: ContractId,
        price: ContractPrice,
        reserved_ms: Option<GridMillis>,
    ) -> DispatchResult {
        Self::record(Traced::Replace(contract, price.rates.usd, reserved_ms));
        let poor = Doubles::get().credit_too_low;
        Self::on_account(contract, |account| {
            ensure!(!poor || price.rates.usd <= account.price.rates.usd, CREDIT_TOO_LOW);
            assert!(!account.charged, "what is charged is updated");
            account.price = price;
            Ok(())
        })
    }

    fn reprice(contract: ContractId, price: ContractPrice) -> DispatchResult {
        Self::record(Traced::Reprice(contract, price.rates.usd));
        ensure!(!Doubles::get().list_too_recent, LIST_TOO_RECENT);
        Self::on_account(contract, |account| account.price = price);
        Ok(())
    }

    fn close(contract: ContractId, outcome: Outcome) -> Charge {
        Self::record(Traced::Close(contract, outcome));
        let charge = Self::charge_of(contract);
        let account = Doubles::mutate(|state| state.accounts.remove(&contract)).expect("the account is open");
        assert_eq!(account.proposed, None, "a proposal is accepted or rejected before the account closes");
        charge
    }

    fn forget(contract: ContractId) {
        Self::record(Traced::Forget(contract));
    }

    fn price_of(contract: ContractId) -> Option<ContractPrice> {
        Doubles::get().accounts.get(&contract).map(|account| account.price)
    }

    fn charge_of(contract: ContractId) -> Charge {
        let charged = Doubles::get().accounts.get(&contract).is_some_and(|account| account.charged);
        if charged { CHARGE } else { Charge::default() }
    }

    fn lasts_ms(_: TwinId) -> GridMillis {
        Doubles::get().lasts_ms
    }

    fn is_exhausted(twin: TwinId) -> bool {
        Doubles::get().exhausted.contains_key(&twin)
    }

    fn closes_at(twin: TwinId) -> Option<GridMillis> {
        Doubles::get().exhausted.get(&twin).map(|_| GRACE_ENDS)
    }

    fn must_close(twin: TwinId) -> bool {
        Doubles::get().exhausted.get(&twin).is_some_and(|grace_ended| *grace_ended)
    }

    fn buy_traffic(contract: ContractId, gb: u32) -> DispatchResult {
        Self::record(Traced::BuyTraffic(contract, gb));
        ensure!(gb <= AFFORDABLE_GB, CREDIT_TOO_LOW);
        Ok(())
    }

    fn use_traffic(contract: ContractId, bytes: u64) -> u64 {
        Self::record(Traced::UseTraffic(contract, bytes));
        bytes
    }
}

pub const FARM: FarmId = 7;
pub const NODE: NodeId = 1;
pub const OTHER_NODE: NodeId = 2;
pub const BOB: AccountId = 1;
pub const CHARLIE: AccountId = 2;
/// Has a twin, and one TFT.
pub const MODEST: AccountId = 3;
/// Has no twin.
pub const STRANGER: AccountId = 1_000;

pub fn capacity() -> Resources {
    Resources { cru: 100, mru: 100 * GIB, sru: 1_000 * GIB, ..Resources::ZERO }
}

/// An empty node that serves.
fn empty_node() -> Node {
    let facts = NodeFacts {
        farm: FARM,
        certified: false,
        online: true,
        draining: false,
        dedicated: false,
        extra_fee: 0,
        resources: capacity(),
        rented: None,
        bytes_per_second: BYTES_PER_SECOND,
        features: Features::ALL,
        contracts: 0,
        service: Service::Running,
    };
    Node { facts, used: Resources::ZERO, not_delivered: 0 }
}

/// What the contracts of a node should be doing changes, and their sweep is armed.
pub fn set_service(node: NodeId, service: Service) {
    on_node(node, |node| node.facts.service = service);
    arm_sweep(node);
}

/// A node goes away and leaves its contracts behind.
pub fn remove_node(node: NodeId) {
    Doubles::mutate(|state| state.nodes.remove(&node));
    arm_sweep(node);
}

fn arm_sweep(node: NodeId) {
    MockAgenda::arm(MockClock::grid_now(), Deadline::Sweep(node));
}

/// Serves the first deadline that is due, if any, once.
pub fn step() -> Option<Deadline> {
    let now = MockClock::grid_now();
    let (due, deadline) = Armed::get().first().copied().filter(|(due, _)| *due <= now)?;
    MockAgenda::disarm(due, deadline);
    if let Some(again) = Contracts::serve(deadline, now) {
        assert_eq!(again, now, "{deadline:?} goes to the tail of what is due");
        MockAgenda::arm(again, deadline);
    }
    Some(deadline)
}

/// Lets `ms` pass; what comes due in between is served at its time, in as many steps as it takes.
pub fn pass(ms: GridMillis) {
    pallet_grid_mock_kit::pass(ms, |deadline, now| {
        let is_last_step = |_| Contracts::serve(deadline, now).is_none();
        assert!((0..100).any(is_last_step), "{deadline:?} comes up for ever");
        None
    });
}

/// When `deadline` is due, if it is armed.
pub fn armed(deadline: Deadline) -> Option<GridMillis> {
    let armed = Armed::get();
    armed.iter().find(|(_, armed)| *armed == deadline).map(|(due, _)| *due)
}

/// The calls of the ledger since this was asked last.
pub fn traced() -> Vec<Traced> {
    Doubles::mutate(|state| std::mem::take(&mut state.trace))
}

pub fn account(contract: ContractId) -> Account {
    Doubles::get().accounts[&contract]
}

pub fn held(who: AccountId) -> Balance {
    Balances::balance_on_hold(&pallet_grid_contracts::HoldReason::Contract.into(), &who)
}

/// The sequence of the next report.
pub fn next() -> u64 {
    Doubles::mutate(|state| {
        state.sequence += 1;
        state.sequence
    })
}

/// Defines a function that signs a report for its node.
macro_rules! signed_report {
    ($name:ident, $call:ident, $kind:ident, $payload:ty) => {
        pub fn $name(node: NodeId, sequence: u64, payload: $payload) -> Call {
            let signature = sign(node, ReportKind::$kind, sequence, &payload);
            Call::$call { node, sequence, payload, signature }
        }
    };
}

signed_report!(deployed, report_deployed, Deployed, DeployedPayload);
signed_report!(failed, report_failed, Failed, FailedPayload);
signed_report!(progress, report_progress, Progress, ProgressPayload);
signed_report!(released, report_released, Released, ReleasedPayload);
signed_report!(usage, report_usage, Usage, UsagePayload);

/// The same report with a signature that isn't the node's.
pub fn forged(mut report: Call) -> Call {
    let (Call::report_deployed { signature, .. }
    | Call::report_failed { signature, .. }
    | Call::report_progress { signature, .. }
    | Call::report_released { signature, .. }
    | Call::report_usage { signature, .. }) = &mut report
    else {
        panic!("not a report: {report:?}");
    };
    *signature = KeySignature::from_raw([0; 64]);
    report
}

/// Sends a report through pool and block.
pub fn report(report: Call) -> Result<(), Refusal> {
    pallet_grid_mock_kit::report(RuntimeCall::Contracts(report))
}

/// Asserts that a report is refused for this reason and changes nothing.
#[track_caller]
pub fn assert_refused(call: Call, refusal: Refusal) {
    assert_storage_noop!(assert_eq!(report(call), Err(refusal), "expected: {}", refusal.text()));
}

/// A call; one that fails leaves the doubles as they were.
pub fn dispatch(origin: impl Into<RuntimeOrigin>, call: impl Into<Call>) -> DispatchResult {
    let before = Doubles::get();
    let result = RuntimeCall::Contracts(call.into()).dispatch(origin.into());
    if result.is_err() {
        Doubles::set(before);
    }
    result.map(drop).map_err(|failed| failed.error)
}

/// A call of a person.
pub fn call(who: AccountId, call: impl Into<Call>) -> DispatchResult {
    dispatch(RawOrigin::Signed(who), call)
}

/// Asserts that a person's call fails with `error` and changes nothing.
#[track_caller]
pub fn assert_fails(who: AccountId, what: impl Into<Call>, error: impl Into<DispatchError>) {
    pallet_grid_mock_kit::assert_fails(|| call(who, what), error);
}

/// Takes this pallet's events since they were taken last.
pub fn events() -> Vec<Event> {
    let events = System::read_events_for_pallet::<Event>();
    System::reset_events();
    events
}

/// The pallet and its neighbours keep the same of each contract.
fn check_doubles() {
    let State { nodes, accounts, .. } = Doubles::get();
    for (id, node) in &nodes {
        assert_eq!(node.used, Contracts::reserved_on(*id), "what node {id} has reserved");
        let listed = NodeContracts::<Test>::iter_key_prefix(id).count();
        assert_eq!(node.facts.contracts as usize, listed, "the contracts of node {id}");
    }
    let open: BTreeMap<_, _> = crate::Contracts::<Test>::iter().collect();
    assert!(open.keys().eq(accounts.keys()), "the ledger's accounts aren't those of the open contracts");
    for (id, record) in &open {
        let serves = |node| nodes.get(&node).is_some_and(|node| node.facts.service == Service::Running);
        let charged = record.state == ContractState::Deployed && record.node().is_none_or(serves);
        assert_eq!(accounts[id].charged, charged, "whether contract {id} is charged");
        let pending = record.deployment().and_then(|deployment| deployment.pending.as_ref());
        let proposed = accounts[id].proposed.map(|price| price.public_ips);
        assert_eq!(proposed, pending.map(|pending| pending.public_ips), "the proposal of contract {id}");
        let needed = accounts[id].price.public_ips.max(proposed.unwrap_or(0));
        let kept = Doubles::get().ips.get(id).map_or(0, |held| held.kept);
        assert_eq!(kept, needed, "the addresses of contract {id}");
    }
    let answers = open.iter().filter_map(|(id, record)| Some((record.awaited()?.by, Deadline::Answer(*id))));
    let tombstones = ClosedContracts::<Test>::iter()
        .map(|(id, closed)| (closed.closed_at + TOMBSTONE_LIFE, Deadline::Tombstone(id)));
    let expected: BTreeSet<_> = answers.chain(tombstones).collect();
    let is_cool_down = |deadline: &Deadline| matches!(deadline, Deadline::CoolDown(_));
    let found: BTreeSet<_> =
        Armed::get().into_iter().filter(|(_, deadline)| !is_cool_down(deadline)).collect();
    assert_eq!(found, expected, "the answers that are awaited and the tombstones have their deadlines");
    assert_eq!(crate::EndedRents::<Test>::iter().count(), 0, "an ended rent was left behind");
    assert_eq!(crate::Sweeps::<Test>::iter().count(), 0, "a sweep was left unfinished");
}

fn chain() -> Chain<Test> {
    Doubles::set(State {
        nodes: [NODE, OTHER_NODE].map(|node| (node, empty_node())).into(),
        free_ips: 8,
        prices: Some(PriceList::default()),
        refund: REFUND,
        lasts_ms: DAY_MS,
        ..State::default()
    });
    let rich = 10_000 * TFT;
    Chain::new([(BOB, rich), (CHARLIE, rich), (MODEST, TFT), (STRANGER, rich)])
}

/// Runs `test` on a chain that is a day old, with two nodes, and checks the invariants afterwards.
pub fn run(test: impl FnOnce()) {
    run_at(DAY_MS, test);
}

/// The same at this grid time.
pub fn run_at(now: GridMillis, test: impl FnOnce()) {
    chain().run(&[Contracts::do_try_state], || {
        MockClock::advance(now);
        test();
        pass(0);
        check_doubles();
    });
}
