// SPDX-License-Identifier: Apache-2.0
//! A runtime of this pallet, balances, the timestamp and migrations, with twins and farms that are their
//! numbers.

#[cfg(not(feature = "runtime-benchmarks"))]
pub mod migration;

use crate as pallet_grid_billing;
use crate::*;
use frame_support::{
    PalletId, derive_impl, parameter_types,
    traits::{ConstU64, ConstU128, OnPoll, OnTimestampSet},
    weights::{Weight, WeightMeter},
};
use sp_runtime::{BuildStorage, testing::UintAuthorityId};
use tfgrid_primitives::{
    Deadline, FarmId, GridMillis, NodeId, Q64, TftPrice, TwinId,
    ledger::Gap,
    traits::{FarmDirectory, FarmFacts, NodeLiveness, PaidUse, PaidUses, ServeDeadlines, TwinDirectory},
    units::{DAY_MS, HOUR_MS, MINUTE_MS, TFT, USD},
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
        RuntimeFreezeReason
    )]
    pub struct Test;

    #[runtime::pallet_index(0)]
    pub type System = frame_system;
    #[runtime::pallet_index(1)]
    pub type Balances = pallet_balances;
    #[runtime::pallet_index(2)]
    pub type Billing = pallet_grid_billing;
    #[runtime::pallet_index(3)]
    pub type Timestamp = pallet_timestamp;
    #[runtime::pallet_index(4)]
    pub type MultiBlockMigrations = pallet_migrations;
}

pub type AccountId = u64;
/// Accounts sign with their numbers.
pub type Block = frame_system::mocking::MockBlock<Test, UintAuthorityId>;

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
    type Block = Block;
    type AccountData = pallet_balances::AccountData<u128>;
    type MultiBlockMigrator = MultiBlockMigrations;
}

#[derive_impl(pallet_timestamp::config_preludes::TestDefaultConfig)]
impl pallet_timestamp::Config for Test {
    type OnTimestampSet = Billing;
}

#[derive_impl(pallet_migrations::config_preludes::TestDefaultConfig)]
impl pallet_migrations::Config for Test {
    type MigrationStatusHandler = Billing;
    #[cfg(not(feature = "runtime-benchmarks"))]
    type Migrations = migration::ShortenPayers;
    #[cfg(feature = "runtime-benchmarks")]
    type Migrations = pallet_migrations::mock_helpers::MockedMigrations;
}

/// The existential deposit.
pub const ED: u128 = 1_000;

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Test {
    type AccountStore = System;
    type Balance = u128;
    type ExistentialDeposit = ConstU128<ED>;
}

parameter_types! {
    pub const PotId: PalletId = PalletId(*b"tfg/bill");
    /// Where the price clock stood at the last heartbeat of node 1, where it is silent.
    pub static SilentSince: Option<Q64> = None;
    /// Its heartbeat is only a little late.
    pub static OnlyLate: bool = false;
    /// The last outage of node 1.
    pub static LastOutage: Gap = Gap::default();
    /// What was served, and when.
    pub static Served: Vec<(GridMillis, Deadline)> = vec![];
    /// Deadlines that come up again so often, at once.
    pub static StepsLeft: u32 = 0;
    /// How long earnings are set aside.
    pub static SetAside: GridMillis = HOUR_MS;
    /// What the oracles say.
    pub static Feed: Option<TftPrice> = None;
    /// What farming was told, by node.
    pub static Counted: Vec<(NodeId, PaidUse)> = vec![];
}

pub const GRACE_MAX_MS: u64 = 14 * DAY_MS;

impl pallet_grid_billing::Config for Test {
    type Currency = Balances;
    type Twins = Directory;
    type Farms = Directory;
    type Nodes = Directory;
    type Deadlines = Directory;
    type Contracts = ();
    type PriceFeed = Feed;
    type PaidUses = Directory;
    type PriceOrigin = frame_system::EnsureRoot<AccountId>;
    type PolicyOrigin = frame_system::EnsureRoot<AccountId>;
    type PotId = PotId;
    type MinRunwayMs = ConstU64<HOUR_MS>;
    type MinChargeMs = ConstU64<{ 10 * MINUTE_MS }>;
    type SetAsideMs = SetAside;
    type GraceMaxMs = ConstU64<GRACE_MAX_MS>;
    type WeightInfo = ();
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = Directory;
}

/// Twin `n` is account `n`; farm `n` belongs to twin 100 + n; ids from 1,000 on don't exist.
pub struct Directory;

impl TwinDirectory<AccountId> for Directory {
    fn twin_of(account: &AccountId) -> Option<TwinId> {
        (*account < 1_000).then_some(*account as TwinId)
    }

    fn account_of(twin: TwinId) -> Option<AccountId> {
        (twin < 1_000).then_some(twin.into())
    }
}

impl FarmDirectory<AccountId> for Directory {
    fn facts(farm: FarmId) -> Option<FarmFacts> {
        (farm < 100).then_some(FarmFacts { farmer: 100 + farm, dedicated: false })
    }

    fn farmer_account(farm: FarmId) -> Option<AccountId> {
        Self::farmer_of(farm).and_then(Self::account_of)
    }
}

impl NodeLiveness for Directory {
    fn silent_since(node: NodeId) -> Option<Q64> {
        SilentSince::get().filter(|_| node == 1)
    }

    fn offline_since(node: NodeId) -> Option<Q64> {
        Self::silent_since(node).filter(|_| !OnlyLate::get())
    }

    fn last_outage(node: NodeId) -> Gap {
        if node == 1 { LastOutage::get() } else { Gap::default() }
    }
}

impl PaidUses for Directory {
    fn count(node: NodeId, paid: PaidUse) {
        Counted::mutate(|counted| counted.push((node, paid)));
    }
}

#[cfg(feature = "runtime-benchmarks")]
impl crate::BenchmarkHelper<AccountId> for Directory {
    fn twin() -> (AccountId, TwinId) {
        (ALICE, ALICE as TwinId)
    }

    fn node() -> (FarmId, NodeId) {
        (7, 1)
    }

    fn hear(_: NodeId) {}

    fn contract() -> tfgrid_primitives::ContractId {
        9
    }

    fn feed() {
        Feed::set(Some(USD));
    }
}

impl ServeDeadlines for Directory {
    fn weight_of(_: &Deadline) -> Weight {
        Weight::from_parts(1_000_000_000, 1_000)
    }

    fn serve(deadline: Deadline, now: GridMillis) -> Option<GridMillis> {
        Served::mutate(|served| served.push((now, deadline)));
        let again = matches!(deadline, Deadline::Sweep(_)) && StepsLeft::get() > 0;
        again.then(|| StepsLeft::mutate(|left| *left -= 1));
        again.then_some(now)
    }
}

pub const ALICE: AccountId = 1;
pub const BOB: AccountId = 2;
pub const FOUNDATION: AccountId = 200;
pub const STAKING: AccountId = 201;
/// 0.05 USD per TFT.
pub const PRICE: u64 = USD / 20;
pub const START_MS: u64 = 1_700_000_000_000;

/// Lets `ms` pass in blocks of three seconds.
pub fn pass(ms: u64) {
    let until = Billing::price_clock().stepped_at_ms + ms;
    while Billing::price_clock().stepped_at_ms < until {
        block_at((Billing::price_clock().stepped_at_ms + 3_000).min(until));
    }
}

/// Lets `ms` pass in blocks of a minute, the longest that count in full.
pub fn pass_fast(ms: u64) {
    let until = Billing::price_clock().stepped_at_ms + ms;
    while Billing::price_clock().stepped_at_ms < until {
        block_at((Billing::price_clock().stepped_at_ms + MINUTE_MS).min(until));
    }
}

/// One block with this timestamp.
pub fn block_at(timestamp_ms: u64) {
    block_with(timestamp_ms, Weight::MAX);
}

/// One block with this timestamp, in which polling may take `weight`.
pub fn block_with(timestamp_ms: u64, weight: Weight) {
    System::set_block_number(System::block_number() + 1);
    Billing::on_timestamp_set(timestamp_ms);
    Billing::on_poll(System::block_number(), &mut WeightMeter::with_limit(weight));
}

/// A fresh chain.
pub fn externalities() -> sp_io::TestExternalities {
    let mut storage = frame_system::GenesisConfig::<Test>::default().build_storage().unwrap();
    pallet_balances::GenesisConfig::<Test> {
        balances: vec![(ALICE, 1_000 * TFT), (BOB, 1_000 * TFT)],
        ..Default::default()
    }
    .assimilate_storage(&mut storage)
    .unwrap();
    let policy = Some(Policy::standard(FOUNDATION, STAKING));
    pallet_grid_billing::GenesisConfig::<Test> { policy, price: PRICE }
        .assimilate_storage(&mut storage)
        .unwrap();
    storage.into()
}

/// Runs `test` on a fresh chain, one block old, and checks the laws afterwards.
pub fn run(test: impl FnOnce()) {
    run_from_genesis(|| {
        block_at(START_MS);
        test();
    });
}

/// Runs `test` on a chain without a block and checks the laws afterwards.
pub fn run_from_genesis(test: impl FnOnce()) {
    externalities().execute_with(|| {
        SilentSince::set(None);
        LastOutage::set(Gap::default());
        OnlyLate::set(false);
        Served::set(vec![]);
        StepsLeft::set(0);
        SetAside::set(HOUR_MS);
        Feed::set(None);
        Counted::set(vec![]);
        test();
        Billing::do_try_state().unwrap();
    });
}
