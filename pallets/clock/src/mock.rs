// SPDX-License-Identifier: Apache-2.0
//! A runtime of this pallet alone. Deadlines are recorded when they are served.

use crate as pallet_grid_clock;
use frame_support::{
    derive_impl, parameter_types,
    weights::{Weight, WeightMeter},
};
use sp_runtime::BuildStorage;
use tfgrid_primitives::{
    Deadline, GridMillis, TftPrice,
    traits::{ServeDeadlines, ServePriceClock},
};

#[frame_support::runtime]
mod runtime {
    #[runtime::runtime]
    #[runtime::derive(RuntimeCall, RuntimeEvent, RuntimeError, RuntimeOrigin, RuntimeTask)]
    pub struct Test;

    #[runtime::pallet_index(0)]
    pub type System = frame_system;
    #[runtime::pallet_index(1)]
    pub type Clock = pallet_grid_clock;
}

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
    type Block = frame_system::mocking::MockBlock<Test>;
}

parameter_types! {
    /// What was served, and when.
    pub static Served: Vec<(GridMillis, Deadline)> = vec![];
    /// How often a sweep comes up again, at once.
    pub static StepsLeft: u32 = 0;
    /// What the oracles say.
    pub static Feed: Option<TftPrice> = None;
    /// What serving payers takes of a block, where that much is left.
    pub static PayersWeight: Weight = Weight::zero();
    /// What was left for payers.
    pub static LeftForPayers: Weight = Weight::zero();
}

impl pallet_grid_clock::Config for Test {
    type Deadlines = (Recorder, (), ());
    type Payers = Recorder;
    type PriceFeed = Feed;
    type PriceOrigin = frame_system::EnsureRoot<u64>;
    type BoundsOrigin = frame_system::EnsureRoot<u64>;
    type WeightInfo = ();
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = Recorder;
}

/// Serves everything and remembers it.
pub struct Recorder;

/// What each deadline takes.
pub const STEP: Weight = Weight::from_parts(1_000_000_000, 1_000);

impl ServeDeadlines for Recorder {
    fn weight_of(_: &Deadline) -> Option<Weight> {
        Some(STEP)
    }

    fn heaviest_step() -> Weight {
        STEP
    }

    fn serve(deadline: Deadline, now: GridMillis) -> Option<GridMillis> {
        Served::mutate(|served| served.push((now, deadline)));
        let again = matches!(deadline, Deadline::Sweep(_)) && StepsLeft::get() > 0;
        again.then(|| {
            StepsLeft::mutate(|left| *left -= 1);
            now
        })
    }
}

impl ServePriceClock for Recorder {
    fn serve_exhausted(meter: &mut WeightMeter) {
        LeftForPayers::set(meter.remaining());
        let _ = meter.try_consume(PayersWeight::get());
    }

    fn heaviest_step() -> Weight {
        Weight::zero()
    }
}

#[cfg(feature = "runtime-benchmarks")]
impl crate::BenchmarkHelper for Recorder {
    fn feed() {
        Feed::set(Some(tfgrid_primitives::units::USD));
    }
}

pallet_grid_mock_kit::mock_blocks!();

/// A fresh chain.
pub fn new_test_ext() -> sp_io::TestExternalities {
    let mut storage = frame_system::GenesisConfig::<Test>::default().build_storage().unwrap();
    pallet_grid_clock::GenesisConfig::<Test> { price: PRICE, ..Default::default() }
        .assimilate_storage(&mut storage)
        .unwrap();
    storage.into()
}

/// Runs `test` on a fresh chain, one block old, and checks the invariants afterwards.
pub fn run(test: impl FnOnce()) {
    new_test_ext().execute_with(|| {
        Served::set(vec![]);
        StepsLeft::set(0);
        Feed::set(None);
        PayersWeight::set(Weight::zero());
        block_at(START_MS);
        test();
        Clock::do_try_state().unwrap();
    });
}
