// SPDX-License-Identifier: Apache-2.0
//! A runtime of this pallet and balances, with farms that are their numbers, a calendar and a price that tests
//! set, and nodes that are heard from as tests say.

use crate::{self as pallet_grid_farming, FarmingPolicy, PRICE_DAYS};
use frame_support::{derive_impl, parameter_types, traits::ConstU128};
use frame_system::{EnsureRoot, RawOrigin};
use sp_runtime::{BuildStorage, DispatchError, DispatchResult, traits::Dispatchable};
use std::collections::BTreeMap;
use tfgrid_primitives::{
    Balance, ExactTft, FarmId, GridMillis, NodeId, PriceTime, Resources, TftPrice, TwinId, UnixSeconds,
    farming::{PERIOD_SECONDS, period_of, period_start},
    traits::{
        Clock, FarmDirectory, FarmFacts, FarmedNode, FarmedNodes, FarmingPeriods, OnPaidUse, PaidUse,
        PriceHistory,
    },
    units::{GIB, SECOND_MS, TFT, USD},
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
    pub type Farming = pallet_grid_farming;
}

pub type AccountId = u64;
pub type Call = pallet_grid_farming::Call<Test>;

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
    type Block = frame_system::mocking::MockBlock<Test>;
    type AccountData = pallet_balances::AccountData<u128>;
}

pub const EXISTENTIAL_DEPOSIT: Balance = 1_000;

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Test {
    type AccountStore = System;
    type Balance = u128;
    type ExistentialDeposit = ConstU128<EXISTENTIAL_DEPOSIT>;
}

/// The period in which tests begin, at its start.
pub const FIRST: u32 = 656;

parameter_types! {
    pub static Now: UnixSeconds = period_start(FIRST);
    pub static AveragePrice: Option<TftPrice> = Some(USD / 20);
    /// The machines there are.
    pub static Machines: BTreeMap<NodeId, FarmedNode> = BTreeMap::new();
    /// For how long each was heard from per period, in milliseconds.
    pub static Uptimes: BTreeMap<(NodeId, u32), u64> = BTreeMap::new();
    /// A farm that is gone.
    pub static GoneFarm: Option<FarmId> = None;
}

impl pallet_grid_farming::Config for Test {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type Nodes = SetNodes;
    type Farms = Numbers;
    type Clock = SetClock;
    type Prices = SetPrice;
    type CertifierOrigin = EnsureRoot<AccountId>;
    type GovernanceOrigin = EnsureRoot<AccountId>;
    type WeightInfo = ();
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = Numbers;
}

/// Shows [`Machines`] and [`Uptimes`].
pub struct SetNodes;

impl FarmedNodes for SetNodes {
    fn describe(node: NodeId) -> Option<FarmedNode> {
        Machines::get().get(&node).copied()
    }

    fn uptime_ms(node: NodeId, period: u32) -> u64 {
        Uptimes::get().get(&(node, period)).copied().unwrap_or(0)
    }
}

/// Farm `n` belongs to account `n`.
pub struct Numbers;

impl FarmDirectory<AccountId> for Numbers {
    fn facts(farm: FarmId) -> Option<FarmFacts> {
        let farmer: TwinId = (GoneFarm::get() != Some(farm)).then_some(farm)?;
        Some(FarmFacts { farmer, dedicated: false })
    }

    fn farmer_account(farm: FarmId) -> Option<AccountId> {
        Self::farmer_of(farm).map(AccountId::from)
    }
}

/// Shows [`Now`].
pub struct SetClock;

impl Clock for SetClock {
    fn grid_now() -> GridMillis {
        0
    }

    fn unix_now() -> UnixSeconds {
        Now::get()
    }

    fn price_now() -> PriceTime {
        PriceTime::ZERO
    }
}

/// Shows [`AveragePrice`].
pub struct SetPrice;

impl PriceHistory for SetPrice {
    fn average_price(days: u32) -> Option<TftPrice> {
        AveragePrice::get().filter(|_| days == PRICE_DAYS)
    }
}

#[cfg(feature = "runtime-benchmarks")]
impl crate::BenchmarkHelper<AccountId> for Numbers {
    fn node() -> (AccountId, NodeId) {
        join(1, FARM);
        (FARMER, 1)
    }

    fn be_up(node: NodeId, now: UnixSeconds) {
        Uptimes::mutate(|uptimes| uptimes.insert((node, period_of(Now::get())), PERIOD_MS));
        Now::set(now);
    }
}

pub const FARM: FarmId = 1;
pub const OTHER_FARM: FarmId = 2;
/// A farm whose farmer can't pay a bond.
pub const POOR_FARM: FarmId = 3;
pub const FARMER: AccountId = 1;
pub const OTHER: AccountId = 2;
pub const POOR: AccountId = 3;
pub const STRANGER: AccountId = 9;
pub const RICH: Balance = 10_000 * TFT;
pub const PERIOD_MS: u64 = PERIOD_SECONDS * SECOND_MS;

/// What [`machine`] earns in a whole period: 11,901 mUSD at 0.05 USD.
pub const FULL: Balance = 11_901 * TFT / 50;

pub fn machine(farm: FarmId) -> FarmedNode {
    let resources = Resources { cru: 8, mru: 16 * GIB, sru: 512 * GIB, hru: 1_024 * GIB, ..Resources::ZERO };
    FarmedNode { farm, resources, certified: false, virtualized: Some(false) }
}

pub fn policy() -> FarmingPolicy {
    FarmingPolicy::standard()
}

/// A machine joins a farm.
pub fn join(node: NodeId, farm: FarmId) {
    Machines::mutate(|machines| machines.insert(node, machine(farm)));
    Farming::joined(node);
}

/// A machine is taken out.
pub fn remove(node: NodeId) {
    Farming::left(node);
    Machines::mutate(|machines| machines.remove(&node));
    Uptimes::mutate(|uptimes| uptimes.retain(|(up, _), _| *up != node));
}

/// A machine goes over to another farm.
pub fn move_to(node: NodeId, farm: FarmId) {
    Farming::left(node);
    Machines::mutate(|machines| machines.get_mut(&node).map(|machine| machine.farm = farm));
    Farming::joined(node);
}

/// A machine shows itself otherwise.
pub fn change(node: NodeId, change: impl FnOnce(&mut FarmedNode)) {
    Machines::mutate(|machines| change(machines.get_mut(&node).unwrap()));
    Farming::changed(node);
}

/// A machine was up all the time since the present period began, and says so.
pub fn be_up(node: NodeId) {
    let up = (Now::get() - period_start(period_of(Now::get()))) * SECOND_MS;
    Uptimes::mutate(|uptimes| uptimes.insert((node, period_of(Now::get())), up));
    Farming::heard(node);
}

/// Goes on to the start of the next period; these nodes are up until then, and heard from a moment later.
pub fn next_period(nodes: &[NodeId]) {
    let period = period_of(Now::get());
    for node in nodes {
        Uptimes::mutate(|uptimes| uptimes.insert((*node, period), PERIOD_MS));
    }
    Now::set(period_start(period + 1));
    nodes.iter().for_each(|node| Farming::heard(*node));
}

/// Contracts have paid `tft` for so much on a node, the farmer's share left out.
pub fn pay_for(node: NodeId, traffic_bytes: u64, ip_seconds: u64, tft: Balance) {
    Farming::on_paid_use(node, PaidUse { traffic_bytes, ip_ms: ip_seconds * SECOND_MS, tft: ExactTft::from_whole(tft) });
}

/// A call of a person.
pub fn call(who: AccountId, call: Call) -> DispatchResult {
    dispatch(RawOrigin::Signed(who).into(), call)
}

/// A call of governance or a certifier.
pub fn govern(call: Call) -> DispatchResult {
    dispatch(RuntimeOrigin::root(), call)
}

fn dispatch(origin: RuntimeOrigin, call: Call) -> DispatchResult {
    RuntimeCall::Farming(call).dispatch(origin).map(drop).map_err(|error| error.error)
}

/// Asserts that a call fails with `error` and changes nothing.
#[track_caller]
pub fn assert_fails(what: impl FnOnce() -> DispatchResult, error: impl Into<DispatchError>) {
    let root = sp_io::storage::root(sp_runtime::StateVersion::V1);
    assert_eq!(what(), Err(error.into()));
    assert_eq!(root, sp_io::storage::root(sp_runtime::StateVersion::V1), "a failed call changed something");
}

pub fn enrol(node: NodeId) -> DispatchResult {
    govern(Call::enrol { node })
}

pub fn claim(node: NodeId, period: u32) -> DispatchResult {
    call(STRANGER, Call::claim { node, period })
}

/// The last event of this pallet.
pub fn last_event() -> pallet_grid_farming::Event<Test> {
    System::read_events_for_pallet::<pallet_grid_farming::Event<Test>>().pop().expect("an event")
}

/// A fresh chain whose period has just begun.
pub fn new_chain() -> sp_io::TestExternalities {
    let mut storage = frame_system::GenesisConfig::<Test>::default().build_storage().unwrap();
    pallet_balances::GenesisConfig::<Test> {
        balances: vec![(FARMER, RICH), (OTHER, RICH), (POOR, TFT), (STRANGER, RICH)],
        ..Default::default()
    }
    .assimilate_storage(&mut storage)
    .unwrap();
    pallet_grid_farming::GenesisConfig::<Test> { policy: Some(policy()), ..Default::default() }
        .assimilate_storage(&mut storage)
        .unwrap();
    let mut chain = sp_io::TestExternalities::new(storage);
    chain.execute_with(|| {
        System::set_block_number(1);
        Now::set(period_start(FIRST));
        AveragePrice::set(Some(USD / 20));
        Machines::set(BTreeMap::new());
        Uptimes::set(BTreeMap::new());
        GoneFarm::set(None);
    });
    chain
}

/// Runs `test` on a fresh chain and checks the laws afterwards.
pub fn run(test: impl FnOnce()) {
    new_chain().execute_with(|| {
        test();
        Farming::do_try_state().unwrap();
    });
}

/// Runs `test` with a machine that is enrolled since the start of the period.
pub fn run_with_node(test: impl FnOnce()) {
    run(|| {
        join(1, FARM);
        enrol(1).unwrap();
        test();
    });
}
