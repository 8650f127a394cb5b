// SPDX-License-Identifier: Apache-2.0
//! A runtime of this pallet and balances, with farms that are their numbers, clocks that tests move and an
//! agenda in memory.

use crate as pallet_grid_nodes;
use frame_support::{
    derive_impl, parameter_types,
    traits::{Authorize, ConstU32, ConstU64, ConstU128},
};
use frame_system::RawOrigin;
use sp_core::{H256, Pair, ed25519};
use sp_runtime::{
    BuildStorage, DispatchError, DispatchResult, Weight,
    traits::Dispatchable,
    transaction_validity::{InvalidTransaction, TransactionSource, TransactionValidityError},
};
use std::collections::BTreeSet;
use tfgrid_primitives::{
    Balance, Deadline, FarmId, GridMillis, Isolation, NodeId, PublicKey, PriceTime, Refusal, Registration,
    ReportKind, Resources, TwinId, UnixSeconds,
    report::{DetailsPayload, HeartbeatPayload, PowerPayload, PowerState, report_bytes},
    traits::{
        Agenda, BootTickets, Clock, FarmDirectory, FarmFacts, FarmedNode, FarmedNodes, FarmingPeriods,
        ServeDeadlines,
    },
    units::{DAY_MS, GIB, HOUR_MS, MINUTE_MS, TFT},
};

#[frame_support::runtime]
mod runtime {
    #[runtime::runtime]
    #[runtime::derive(
        RuntimeCall,
        RuntimeEvent,
        RuntimeError,
        RuntimeOrigin,
        RuntimeTask,
        RuntimeHoldReason,
        RuntimeFreezeReason,
        RuntimeViewFunction
    )]
    pub struct Test;

    #[runtime::pallet_index(0)]
    pub type System = frame_system;
    #[runtime::pallet_index(1)]
    pub type Balances = pallet_balances;
    #[runtime::pallet_index(2)]
    pub type Nodes = pallet_grid_nodes;
}

pub type AccountId = u64;
pub type Call = pallet_grid_nodes::Call<Test>;

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
    type Block = frame_system::mocking::MockBlock<Test>;
    type AccountData = pallet_balances::AccountData<u128>;
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Test {
    type AccountStore = System;
    type Balance = u128;
    type ExistentialDeposit = ConstU128<1_000>;
}

pub const INTERVAL: GridMillis = 10 * MINUTE_MS;
pub const LONG_OFFLINE: GridMillis = 14 * DAY_MS;
pub const DRAIN_NOTICE: GridMillis = 7 * DAY_MS;
pub const FEE_NOTICE: GridMillis = 24 * HOUR_MS;
pub const NODE_DEPOSIT: Balance = 10 * TFT;
/// The first second of a farming period.
const START: UnixSeconds = 656 * crate::uptime::PERIOD_SECONDS;

parameter_types! {
    pub const MaxResources: Resources =
        Resources { cru: 256, mru: 4_096 * GIB, sru: u64::MAX, hru: u64::MAX, gpu: 16 };
    /// Grid time; the calendar and the price clock go with it.
    pub static Grid: GridMillis = 0;
    /// What is armed.
    pub static Armed: BTreeSet<(GridMillis, Deadline)> = BTreeSet::new();
    /// The sweeps that were asked for.
    pub static Swept: Vec<NodeId> = vec![];
    /// Which tickets have admitted whom.
    pub static Spent: Vec<(PublicKey, PublicKey)> = vec![];
    /// Farms whose nodes are only rented as a whole.
    pub static DedicatedFarm: Option<FarmId> = None;
    pub static MaxExtraFee: u64 = 1_000;
    /// What farming was told, and what it could see of the node at that moment.
    pub static Farmed: Vec<(Told, NodeId, Option<FarmedNode>)> = vec![];
}

/// What farming was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Joined,
    Heard,
    Changed,
    Left,
}

/// Writes down in [`Farmed`] what it is told.
pub struct Recorder;

impl Recorder {
    fn note(told: Told, node: NodeId) {
        Farmed::mutate(|notes| notes.push((told, node, Nodes::describe(node))));
    }
}

impl FarmingPeriods for Recorder {
    fn joined(node: NodeId) {
        Self::note(Told::Joined, node);
    }

    fn heard(node: NodeId) {
        Self::note(Told::Heard, node);
    }

    fn changed(node: NodeId) {
        Self::note(Told::Changed, node);
    }

    fn left(node: NodeId) {
        Self::note(Told::Left, node);
    }

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

impl pallet_grid_nodes::Config for Test {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type Farms = Numbers;
    type Clock = SetClock;
    type Agenda = InMemory;
    type Farming = Recorder;
    type CertifierOrigin = frame_system::EnsureRoot<AccountId>;
    type HeartbeatInterval = ConstU64<INTERVAL>;
    type LongOffline = ConstU64<LONG_OFFLINE>;
    type DrainNotice = ConstU64<DRAIN_NOTICE>;
    type ExtraFeeNotice = ConstU64<FEE_NOTICE>;
    type MaxExtraFee = MaxExtraFee;
    type MaxResources = MaxResources;
    type MaxContractsPerNode = ConstU32<3>;
    type WeightInfo = ();
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = Numbers;
}

#[cfg(feature = "runtime-benchmarks")]
impl crate::BenchmarkHelper<AccountId> for Numbers {
    fn farm() -> (AccountId, FarmId) {
        let farm = if Spent::get().is_empty() { FARM } else { OTHER_FARM };
        (farm.into(), farm)
    }

    fn open_ticket(farm: FarmId, ticket: PublicKey) {
        assert_eq!(ticket_of(farm).public().0, ticket);
    }

    fn pass(ms: GridMillis) {
        Grid::mutate(|now| *now += ms);
    }

    fn key(n: u8) -> PublicKey {
        ticket_of(n.into()).public().0
    }

    fn sign(n: u8, bytes: &[u8]) -> ed25519::Signature {
        ticket_of(n.into()).sign(bytes)
    }
}

/// Farm `n` belongs to account `n` and admits whoever has the ticket whose seed is its number.
pub struct Numbers;

impl FarmDirectory<AccountId> for Numbers {
    fn farmer_of(farm: FarmId) -> Option<TwinId> {
        (1..100).contains(&farm).then_some(farm)
    }

    fn facts(farm: FarmId) -> Option<FarmFacts> {
        let dedicated = DedicatedFarm::get() == Some(farm);
        Self::farmer_of(farm).map(|farmer| FarmFacts { farmer, dedicated })
    }

    fn farmer_account(farm: FarmId) -> Option<AccountId> {
        Self::farmer_of(farm).map(AccountId::from)
    }
}

impl BootTickets for Numbers {
    fn check(ticket: &PublicKey, node_key: &PublicKey, _: UnixSeconds) -> Result<FarmId, Refusal> {
        let farm = [FARM, OTHER_FARM].into_iter().find(|farm| ticket_of(*farm).public().0 == *ticket);
        let spent = Spent::get().contains(&(*ticket, *node_key));
        match farm {
            Some(_) if spent => Err(Refusal::TicketUsed),
            Some(farm) => Ok(farm),
            None => Err(Refusal::TicketUnknown),
        }
    }

    fn spend(ticket: &PublicKey, node_key: &PublicKey) -> Balance {
        Spent::mutate(|spent| spent.push((*ticket, *node_key)));
        NODE_DEPOSIT
    }
}

/// Shows [`Grid`].
pub struct SetClock;

impl Clock for SetClock {
    fn grid_now() -> GridMillis {
        Grid::get()
    }

    fn unix_now() -> UnixSeconds {
        START + Grid::get() / 1_000
    }

    fn price_now() -> PriceTime {
        Grid::get().into()
    }
}

/// Keeps what is armed in [`Armed`].
pub struct InMemory;

impl Agenda for InMemory {
    fn arm(due: GridMillis, deadline: Deadline) {
        Armed::mutate(|armed| armed.insert((due, deadline)));
    }

    fn disarm(due: GridMillis, deadline: Deadline) {
        Armed::mutate(|armed| armed.remove(&(due, deadline)));
    }
}

pub const FARM: FarmId = 1;
pub const OTHER_FARM: FarmId = 2;
pub const FARMER: AccountId = 1;
pub const OTHER: AccountId = 2;
pub const STRANGER: AccountId = 3;

/// A machine with its key and what it has told.
pub struct Machine {
    pub id: NodeId,
    pub key: ed25519::Pair,
    pub sequence: u64,
    pub nonce: u64,
}

pub fn ticket_of(farm: FarmId) -> ed25519::Pair {
    ed25519::Pair::from_seed(&[farm as u8; 32])
}

pub fn capacity() -> Resources {
    Resources { cru: 100, mru: 100 * GIB, sru: 1_000 * GIB, ..Resources::ZERO }
}

/// The call that registers a key at a farm, signed by both keys.
pub fn register(farm: FarmId, key: &ed25519::Pair, resources: Resources) -> Call {
    let ticket = ticket_of(farm);
    let registration = Registration {
        ticket: ticket.public().0,
        node_key: key.public().0,
        peer_key: [3; 32],
        encryption_key: [4; 32],
        resources,
        isolation: Isolation::Container,
        valid_until: SetClock::unix_now() + 600,
    };
    let bytes = registration.signing_bytes(genesis());
    Call::register { registration, ticket_signature: ticket.sign(&bytes), node_signature: key.sign(&bytes) }
}

fn genesis() -> H256 {
    crate::authorize_impls::genesis::<Test>()
}

impl Machine {
    pub fn key(n: u8) -> ed25519::Pair {
        ed25519::Pair::from_seed(&[100 + n; 32])
    }

    /// A machine that has joined [`FARM`].
    pub fn join(n: u8) -> Self {
        let key = Self::key(n);
        report(register(FARM, &key, capacity())).unwrap();
        let id = crate::NodeByKey::<Test>::get(key.public().0).unwrap();
        Self { id, key, sequence: 0, nonce: n.into() }
    }

    pub fn sign(&mut self, kind: ReportKind, payload: &impl codec::Encode) -> (u64, ed25519::Signature) {
        self.sequence += 1;
        let bytes = report_bytes(genesis(), self.id, kind, self.sequence, payload);
        (self.sequence, self.key.sign(&bytes))
    }

    pub fn heartbeat(&mut self) -> Call {
        let payload = HeartbeatPayload { boot_nonce: self.nonce };
        let (sequence, signature) = self.sign(ReportKind::Heartbeat, &payload);
        Call::heartbeat { node: self.id, sequence, payload, signature }
    }

    /// The heartbeat of the machine in a boot with this nonce.
    pub fn beat_as(&mut self, nonce: u64) {
        self.nonce = nonce;
        report(self.heartbeat()).unwrap();
    }

    pub fn details(&mut self, payload: DetailsPayload) -> Call {
        let (sequence, signature) = self.sign(ReportKind::Details, &payload);
        Call::report_details { node: self.id, sequence, payload, signature }
    }

    pub fn power(&mut self, state: PowerState) -> Call {
        let payload = PowerPayload { state };
        let (sequence, signature) = self.sign(ReportKind::Power, &payload);
        Call::report_power { node: self.id, sequence, payload, signature }
    }

    /// Lets so many intervals pass, with a heartbeat at the end of each.
    pub fn beat(&mut self, intervals: u64) {
        for _ in 0..intervals {
            pass(INTERVAL);
            report(self.heartbeat()).unwrap();
        }
    }
}

/// Lets `ms` pass; what comes due in between is served at its time.
pub fn pass(ms: GridMillis) {
    let until = Grid::get() + ms;
    while let Some((due, deadline)) = Armed::get().first().copied().filter(|(due, _)| *due <= until) {
        Armed::mutate(|armed| armed.remove(&(due, deadline)));
        Grid::set(Grid::get().max(due));
        serve(deadline);
    }
    Grid::set(until);
}

fn serve(deadline: Deadline) {
    if let Deadline::Sweep(node) = deadline {
        return Swept::mutate(|swept| swept.push(node));
    }
    if let Some(due) = Nodes::serve(deadline, Grid::get()) {
        assert!(due > Grid::get(), "{deadline:?} would come up for ever");
        InMemory::arm(due, deadline);
    }
}

/// Takes the sweeps that were asked for up to now.
pub fn swept() -> Vec<NodeId> {
    pass(0);
    Swept::take()
}

/// A report as the pool and a block take it.
pub fn report(call: Call) -> Result<(), Refusal> {
    let call = RuntimeCall::Nodes(call);
    match call.authorize(TransactionSource::External).expect("machines authorise this") {
        Ok(_) => call.dispatch(RawOrigin::Authorized.into()).unwrap(),
        Err(TransactionValidityError::Invalid(InvalidTransaction::Custom(code))) => {
            return Err(Refusal::from_code(code).unwrap());
        }
        Err(other) => panic!("refused without a reason: {other:?}"),
    };
    Ok(())
}

/// Asserts that a report is refused for this reason.
#[track_caller]
pub fn assert_refused(call: Call, refusal: Refusal) {
    assert_eq!(report(call), Err(refusal), "expected: {}", refusal.text());
}

/// A call of a person.
pub fn call(who: AccountId, call: Call) -> DispatchResult {
    RuntimeCall::Nodes(call).dispatch(RawOrigin::Signed(who).into()).map(drop).map_err(|e| e.error)
}

/// Asserts that a person's call fails with `error` and changes nothing.
#[track_caller]
pub fn assert_fails(who: AccountId, what: Call, error: impl Into<DispatchError>) {
    let (root, armed) = (storage_root(), Armed::get());
    assert_eq!(call(who, what), Err(error.into()));
    assert_eq!(root, storage_root(), "a failed call changed something");
    assert_eq!(armed, Armed::get(), "a failed call moved a deadline");
}

fn storage_root() -> Vec<u8> {
    sp_io::storage::root(sp_runtime::StateVersion::V1)
}

/// The last event of this pallet.
pub fn last_event() -> pallet_grid_nodes::Event<Test> {
    let events = System::read_events_for_pallet::<pallet_grid_nodes::Event<Test>>();
    events.into_iter().last().expect("an event")
}

/// Each node is looked at once, when its record says; each drain ends once.
fn check_deadlines() {
    let armed = Armed::get();
    for (node, live) in crate::Liveliness::<Test>::iter() {
        assert!(armed.contains(&(live.check_at, Deadline::Silence(node))), "nobody looks at node {node}");
    }
    let silences = armed.iter().filter(|(_, deadline)| matches!(deadline, Deadline::Silence(_))).count();
    assert_eq!(silences, crate::Liveliness::<Test>::iter().count(), "a node is looked at twice");
    let drains = armed.iter().filter(|(_, deadline)| matches!(deadline, Deadline::Drain(_))).copied();
    let ahead = crate::Nodes::<Test>::iter().filter_map(|(node, record)| {
        let drain = record.terms.drain.filter(|drain| drain.deadline > Grid::get())?;
        Some((drain.deadline, Deadline::Drain(node)))
    });
    let (drains, ahead): (BTreeSet<_>, BTreeSet<_>) = (drains.collect(), ahead.collect());
    assert_eq!(drains, ahead, "the drains ahead aren't those armed");
}

/// A fresh chain, a day old.
pub fn new_chain() -> sp_io::TestExternalities {
    let mut storage = frame_system::GenesisConfig::<Test>::default().build_storage().unwrap();
    let rich = 10_000 * TFT;
    pallet_balances::GenesisConfig::<Test> {
        balances: vec![(FARMER, rich), (OTHER, rich), (STRANGER, rich)],
        ..Default::default()
    }
    .assimilate_storage(&mut storage)
    .unwrap();
    let mut chain = sp_io::TestExternalities::new(storage);
    chain.execute_with(|| {
        System::set_block_number(1);
        Grid::set(DAY_MS);
        Armed::set(BTreeSet::new());
        Swept::set(vec![]);
        Spent::set(vec![]);
        DedicatedFarm::set(None);
        MaxExtraFee::set(1_000);
        Farmed::set(vec![]);
    });
    chain
}

/// Runs `test` on a fresh chain and checks the laws afterwards.
pub fn run(test: impl FnOnce()) {
    new_chain().execute_with(|| {
        test();
        pass(0);
        Nodes::do_try_state().unwrap();
        check_deadlines();
    });
}
