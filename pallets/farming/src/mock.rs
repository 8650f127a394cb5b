// SPDX-License-Identifier: Apache-2.0
//! A runtime of this pallet, with nodes, uptimes and a price that tests set.

use crate::{self as pallet_grid_farming, FarmingPolicy, PRICE_DAYS};
use frame_support::parameter_types;
use frame_system::EnsureRoot;
pub use pallet_grid_mock_kit::{
    AccountId, EXISTENTIAL_DEPOSIT, GoneFarm, MockClock, START, assert_fails, signed,
};
use pallet_grid_mock_kit::{Chain, Directory, mock_runtime};
use sp_runtime::{DispatchResult, traits::Dispatchable};
use std::collections::BTreeMap;
use tfgrid_primitives::{
    Balance, FarmId, NodeId, Resources, TftPrice,
    farming::{PERIOD_SECONDS, period_of, period_start},
    traits::{Clock, FarmedNode, FarmedNodes, FarmingPeriods, OnPaidUse, PaidUse, PriceHistory},
    units::{GIB, SECOND_MS, TFT, USD},
};

mock_runtime! {
    #[runtime::pallet_index(2)]
    pub type Farming = pallet_grid_farming;
}

pub type Call = pallet_grid_farming::Call<Test>;

/// The period in which tests begin, at its start.
pub const FIRST: u32 = (START / PERIOD_SECONDS) as u32;

parameter_types! {
    pub static AveragePrice: Option<TftPrice> = Some(USD / 20);
    /// Machines by node id.
    pub static Machines: BTreeMap<NodeId, FarmedNode> = BTreeMap::new();
    /// Uptime per node and period, in milliseconds.
    pub static Uptimes: BTreeMap<(NodeId, u32), u64> = BTreeMap::new();
}

impl pallet_grid_farming::Config for Test {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type Nodes = SetNodes;
    type Farms = Directory;
    type Clock = MockClock;
    type Prices = SetPrice;
    type CertifierOrigin = EnsureRoot<AccountId>;
    type GovernanceOrigin = EnsureRoot<AccountId>;
    type WeightInfo = ();
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = BenchmarkDoubles;
}

/// Reads [`Machines`] and [`Uptimes`].
pub struct SetNodes;

impl FarmedNodes for SetNodes {
    fn describe(node: NodeId) -> Option<FarmedNode> {
        Machines::get().get(&node).copied()
    }

    fn uptime_ms(node: NodeId, period: u32) -> u64 {
        Uptimes::get().get(&(node, period)).copied().unwrap_or(0)
    }
}

/// Reads [`AveragePrice`].
pub struct SetPrice;

impl PriceHistory for SetPrice {
    fn average_price(days: u32) -> Option<TftPrice> {
        AveragePrice::get().filter(|_| days == PRICE_DAYS)
    }
}

/// What benchmarks need of other pallets.
#[cfg(feature = "runtime-benchmarks")]
pub struct BenchmarkDoubles;

#[cfg(feature = "runtime-benchmarks")]
impl crate::BenchmarkHelper<AccountId> for BenchmarkDoubles {
    fn node() -> (AccountId, NodeId) {
        join(1, FARM);
        (FARMER, 1)
    }

    fn be_up(node: NodeId, now: tfgrid_primitives::UnixSeconds) {
        Uptimes::mutate(|uptimes| uptimes.insert((node, period_of(MockClock::unix_now())), PERIOD_MS));
        MockClock::set_unix(now);
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

/// Reward of [`machine`] for a whole period: 11,901 mUSD at 0.05 USD.
pub const FULL: Balance = 11_901 * TFT / 50;

pub fn machine(farm: FarmId) -> FarmedNode {
    let resources = Resources { cru: 8, mru: 16 * GIB, sru: 512 * GIB, hru: 1_024 * GIB, ..Resources::ZERO };
    FarmedNode { farm, resources, certified: false, virtualized: Some(false) }
}

pub fn policy() -> FarmingPolicy {
    FarmingPolicy::standard()
}

/// Adds a machine to a farm.
pub fn join(node: NodeId, farm: FarmId) {
    Machines::mutate(|machines| machines.insert(node, machine(farm)));
    Farming::joined(node);
}

/// Removes a machine.
pub fn remove(node: NodeId) {
    Farming::left(node);
    Machines::mutate(|machines| machines.remove(&node));
    Uptimes::mutate(|uptimes| uptimes.retain(|(up, _), _| *up != node));
}

/// Moves a machine to another farm.
pub fn move_to(node: NodeId, farm: FarmId) {
    Farming::left(node);
    Machines::mutate(|machines| machines.get_mut(&node).map(|machine| machine.farm = farm));
    Farming::joined(node);
}

/// Changes the state of a machine.
pub fn change(node: NodeId, change: impl FnOnce(&mut FarmedNode)) {
    Machines::mutate(|machines| change(machines.get_mut(&node).unwrap()));
    Farming::changed(node);
}

/// Sends a heartbeat of a machine that was up since the present period began.
pub fn be_up(node: NodeId) {
    let up = (MockClock::unix_now() - period_start(period_of(MockClock::unix_now()))) * SECOND_MS;
    Uptimes::mutate(|uptimes| uptimes.insert((node, period_of(MockClock::unix_now())), up));
    Farming::heard(node);
}

/// Advances to the start of the next period. These nodes are up until then and send a heartbeat.
pub fn next_period(nodes: &[NodeId]) {
    let period = period_of(MockClock::unix_now());
    for node in nodes {
        Uptimes::mutate(|uptimes| uptimes.insert((*node, period), PERIOD_MS));
    }
    MockClock::set_unix(period_start(period + 1));
    nodes.iter().for_each(|node| Farming::heard(*node));
}

/// Lets `seconds` pass.
pub fn pass_seconds(seconds: u64) {
    MockClock::advance(seconds * SECOND_MS);
}

/// Counts what contracts paid for traffic and addresses on a node, without the farmer's share; `tft` for each.
pub fn pay_for(node: NodeId, traffic_bytes: u64, ip_seconds: u64, tft: Balance) {
    let tft = tfgrid_primitives::ExactTft::from_whole(tft);
    Farming::on_paid_use(
        node,
        PaidUse { traffic_bytes, ip_ms: ip_seconds * SECOND_MS, traffic_tft: tft, ip_tft: tft },
    );
}

/// A call of a person.
pub fn call(who: AccountId, call: Call) -> DispatchResult {
    signed(who, RuntimeCall::Farming(call))
}

/// A call of governance or a certifier.
pub fn govern(call: Call) -> DispatchResult {
    RuntimeCall::Farming(call).dispatch(RuntimeOrigin::root()).map(drop).map_err(|error| error.error)
}

/// A certifier saw what the machine offers.
pub fn enrol(node: NodeId) -> DispatchResult {
    let seen = Machines::get().get(&node).map(|machine| machine.resources).unwrap_or_default();
    govern(Call::enrol { node, seen })
}

pub fn claim(node: NodeId, period: u32) -> DispatchResult {
    call(STRANGER, Call::claim { node, period })
}

/// The last event of this pallet.
pub fn last_event() -> pallet_grid_farming::Event<Test> {
    System::read_events_for_pallet::<pallet_grid_farming::Event<Test>>().pop().expect("an event")
}

pub fn chain() -> Chain<Test> {
    AveragePrice::set(Some(USD / 20));
    Machines::take();
    Uptimes::take();
    Chain::<Test>::new([(FARMER, RICH), (OTHER, RICH), (POOR, TFT), (STRANGER, RICH)])
        .genesis(pallet_grid_farming::GenesisConfig::<Test> { policy: Some(policy()), ..Default::default() })
}

/// Runs `test` on a fresh chain at the start of a period and checks the invariants afterwards.
pub fn run(test: impl FnOnce()) {
    chain().run(&[Farming::do_try_state], test);
}

/// Runs `test` with a machine that is enrolled at the start of the period.
pub fn run_with_node(test: impl FnOnce()) {
    run(|| {
        join(1, FARM);
        enrol(1).unwrap();
        test();
    });
}
