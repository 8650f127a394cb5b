// SPDX-License-Identifier: Apache-2.0
//! A runtime of this pallet, the clock, balances, the timestamp and migrations. Twins and farms are their
//! numbers.

#[cfg(not(feature = "runtime-benchmarks"))]
pub mod migration;

use crate as pallet_grid_billing;
use crate::*;
use frame_support::{
    PalletId, derive_impl, parameter_types,
    traits::{ConstU64, ConstU128},
    weights::Weight,
};
pub use pallet_grid_mock_kit::{AccountId, EXISTENTIAL_DEPOSIT as ED};
use pallet_grid_mock_kit::{mock_blocks, mock_runtime};
use sp_runtime::{BuildStorage, testing::UintAuthorityId};
use tfgrid_primitives::{
    ClockSpan, Deadline, FarmId, GridMillis, NodeId, PriceTime, TwinId,
    traits::{FarmDirectory, FarmFacts, NodeLiveness, OnPaidUse, PaidUse, ServeDeadlines, TwinDirectory},
    units::{DAY_MS, HOUR_MS, MINUTE_MS, TFT},
};

mock_runtime! {
    system {
        type Block = Block;
        type MultiBlockMigrator = MultiBlockMigrations;
    }
    #[runtime::pallet_index(2)]
    pub type Billing = pallet_grid_billing;
    #[runtime::pallet_index(5)]
    pub type Clock = pallet_grid_clock;
    #[runtime::pallet_index(3)]
    pub type Timestamp = pallet_timestamp;
    #[runtime::pallet_index(4)]
    pub type MultiBlockMigrations = pallet_migrations;
}

/// Accounts sign with their numbers.
pub type Block = frame_system::mocking::MockBlock<Test, UintAuthorityId>;

#[derive_impl(pallet_timestamp::config_preludes::TestDefaultConfig)]
impl pallet_timestamp::Config for Test {
    type OnTimestampSet = Clock;
}

#[derive_impl(pallet_migrations::config_preludes::TestDefaultConfig)]
impl pallet_migrations::Config for Test {
    type MigrationStatusHandler = Clock;
    #[cfg(not(feature = "runtime-benchmarks"))]
    type Migrations = migration::ShortenPayers;
    #[cfg(feature = "runtime-benchmarks")]
    type Migrations = pallet_migrations::mock_helpers::MockedMigrations;
}

/// What deposits leave on an account beside the existential deposit.
pub const FEE_RESERVE: u128 = TFT / 10;

parameter_types! {
    pub const PotId: PalletId = PalletId(*b"tfg/bill");
    /// Where the price clock stood at the last heartbeat of node 1, where it is silent.
    pub static SilentSince: Option<PriceTime> = None;
    /// Its heartbeat is only a little late.
    pub static OnlyLate: bool = false;
    /// The last outage of node 1.
    pub static LastOutage: ClockSpan = ClockSpan::default();
    /// What was served, and when.
    pub static Served: Vec<(GridMillis, Deadline)> = vec![];
    /// How long earnings are set aside.
    pub static SetAside: GridMillis = HOUR_MS;
    /// What farming was told, by node.
    pub static Counted: Vec<(NodeId, PaidUse)> = vec![];
}

pub const GRACE_MAX_MS: u64 = 14 * DAY_MS;

impl pallet_grid_clock::Config for Test {
    type Deadlines = (Billing, Directory, ());
    type Payers = Billing;
    type PriceFeed = ();
    type PriceOrigin = frame_system::EnsureRoot<AccountId>;
    type BoundsOrigin = frame_system::EnsureRoot<AccountId>;
    type WeightInfo = ();
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = Directory;
}

impl pallet_grid_billing::Config for Test {
    type Currency = Balances;
    type Clock = Clock;
    type Agenda = Clock;
    type Twins = Directory;
    type Farms = Directory;
    type Nodes = Directory;
    type PaidUses = Directory;
    type PolicyOrigin = frame_system::EnsureRoot<AccountId>;
    type PotId = PotId;
    type MinRunwayMs = ConstU64<HOUR_MS>;
    type MinChargeMs = ConstU64<{ 10 * MINUTE_MS }>;
    type FeeReserve = ConstU128<FEE_RESERVE>;
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
    fn silent_since(node: NodeId) -> Option<PriceTime> {
        SilentSince::get().filter(|_| node == 1)
    }

    fn offline_since(node: NodeId) -> Option<PriceTime> {
        Self::silent_since(node).filter(|_| !OnlyLate::get())
    }

    fn last_outage(node: NodeId) -> ClockSpan {
        if node == 1 { LastOutage::get() } else { ClockSpan::default() }
    }
}

impl OnPaidUse for Directory {
    fn on_paid_use(node: NodeId, paid: PaidUse) {
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

    fn start_clocks() {
        block_at(START_MS);
    }

    fn pass(ms: GridMillis) {
        use frame_support::traits::OnTimestampSet;

        let start = price_clock().stepped_at_ms;
        for passed in (0..=ms).step_by(MINUTE_MS as usize) {
            Clock::on_timestamp_set(start + passed);
            pallet_grid_clock::GridClockState::<Test>::mutate(|clock| clock.step(start + passed));
        }
    }
}

#[cfg(feature = "runtime-benchmarks")]
impl pallet_grid_clock::BenchmarkHelper for Directory {
    fn feed() {}
}

impl ServeDeadlines for Directory {
    fn weight_of(_: &Deadline) -> Option<Weight> {
        Some(Self::heaviest_step())
    }

    fn heaviest_step() -> Weight {
        Weight::from_parts(1_000_000_000, 1_000)
    }

    fn serve(deadline: Deadline, now: GridMillis) -> Option<GridMillis> {
        Served::mutate(|served| served.push((now, deadline)));
        None
    }
}

pub const ALICE: AccountId = 1;
pub const BOB: AccountId = 2;
pub const FOUNDATION: AccountId = 200;
pub const STAKING: AccountId = 201;

mock_blocks!();

/// A fresh chain.
pub fn new_test_ext() -> sp_io::TestExternalities {
    let mut storage = frame_system::GenesisConfig::<Test>::default().build_storage().unwrap();
    pallet_balances::GenesisConfig::<Test> {
        balances: vec![(ALICE, 1_000 * TFT), (BOB, 1_000 * TFT)],
        ..Default::default()
    }
    .assimilate_storage(&mut storage)
    .unwrap();
    pallet_grid_clock::GenesisConfig::<Test> { price: PRICE, ..Default::default() }
        .assimilate_storage(&mut storage)
        .unwrap();
    let policy = Some(BillingPolicy::standard(FOUNDATION, STAKING));
    pallet_grid_billing::GenesisConfig::<Test> { policy }.assimilate_storage(&mut storage).unwrap();
    storage.into()
}

/// An owner's limits that bound no rate.
pub const NO_LIMITS: Limits = Limits { max_usd_rate: u64::MAX, max_extra_fee: 0, refill_per_30_days: 0 };

/// Runs `test` on a fresh chain, one block old, and checks the invariants afterwards.
pub fn run(test: impl FnOnce()) {
    run_from_genesis(|| {
        block_at(START_MS);
        test();
    });
}

/// Runs `test` on a chain without a block and checks the invariants afterwards.
pub fn run_from_genesis(test: impl FnOnce()) {
    new_test_ext().execute_with(|| {
        SilentSince::set(None);
        LastOutage::set(ClockSpan::default());
        OnlyLate::set(false);
        Served::set(vec![]);
        SetAside::set(HOUR_MS);
        Counted::set(vec![]);
        (1..=4).for_each(|twin| OwnerLimits::<Test>::insert(twin, NO_LIMITS));
        test();
        check_invariants();
    });
}

/// Checks the invariants of both pallets, and that no deadline is armed that nobody knows of.
pub fn check_invariants() {
    Clock::do_try_state().unwrap();
    Billing::do_try_state().unwrap();
    for key in pallet_grid_clock::Deadlines::<Test>::iter_keys() {
        let known = match key.deadline {
            Deadline::Grace(twin) => Graces::<Test>::get(twin).map(|grace| grace.until),
            Deadline::Review(twin) => Some(Payers::<Test>::get(twin).review_at),
            _ => continue,
        };
        assert_eq!(known, Some(key.due()), "{:?}", key.deadline);
    }
}
