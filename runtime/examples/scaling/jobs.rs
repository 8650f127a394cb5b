// SPDX-License-Identifier: Apache-2.0
//! What is measured, each by its name.

use crate::{
    chain,
    grid::{self, Payer, Size},
};
use frame_support::{
    dispatch::{GetDispatchInfo, RawOrigin},
    traits::{OnPoll, OnTimestampSet},
    weights::{Weight, WeightMeter},
};
use pallet_grid_billing::PayersByExhaustion;
use pallet_grid_clock::PriceClockState;
use tfgrid_primitives::{PriceTime, traits::Clock as _, units::TFT};
use tfgrid_runtime::*;

/// What is measured.
pub struct Scenario {
    pub name: &'static str,
    /// Prepares a fresh view of a grid of this size for the `n`th time, and says what is to be done on it.
    pub prepare: fn(size: Size, n: u32) -> Job,
    /// Looks at what was done, and isn't measured.
    pub look: fn(),
}

impl Scenario {
    pub const fn new(name: &'static str, prepare: fn(size: Size, n: u32) -> Job) -> Self {
        Self { name, prepare, look: || () }
    }

    const fn look(self, look: fn()) -> Self {
        Self { look, ..self }
    }
}

/// What is done once.
pub struct Job {
    pub work: Box<dyn FnOnce()>,
    /// What the chain reckons with for it.
    pub weight: Option<Weight>,
}

pub const SCENARIOS: [Scenario; 15] = [
    Scenario::new("`create_node_contract`", |size, n| {
        let node = size.pick(n + 1).node();
        Job::by(size.pick(n), chain::create(node, chain::small()))
    }),
    Scenario::new("start: `report_deployed`", |size, n| start(size.pick(n))),
    Scenario::new("stop: `cancel`", |size, n| Job::by(size.pick(n), chain::cancel(size.pick(n).contract()))),
    Scenario::new("`deposit`", |size, n| deposit(size.pick(n))),
    Scenario::new("`deposit` that lets a paused payer's contracts go on", |size, n| {
        pause(size.pick(n));
        deposit(size.pick(n))
    }),
    Scenario::new("`withdraw`", |size, n| {
        Job::by(size.pick(n), pallet_grid_billing::Call::withdraw { amount: TFT })
    }),
    Scenario::new("`claim`", |size, n| {
        grid::nothing_is_set_aside();
        Job::by(size.pick(n), pallet_grid_billing::Call::collect { contract: size.pick(n).contract() })
    }),
    Scenario::new("another price of TFT: `set_price`", |_, _| set_price()),
    HOOKS,
    EMPTY_BLOCK,
    Scenario::new("a block, 1 payer runs out", |_, _| block_with_due(1)).look(nobody_is_due),
    Scenario::new("a block, 100 payers run out", |_, _| block_with_due(100)).look(nobody_is_due),
    Scenario::new("a block, 200 payers run out", |_, _| block_with_due(200)).look(nobody_is_due),
    Scenario::new("a block, 300 payers run out", |_, _| block_with_due(300)).look(nobody_is_due),
    Scenario::new("a block, 500 payers run out", |_, _| block_with_due(500)),
];

/// What billing does by itself in each block.
pub const HOOKS: Scenario = Scenario::new("billing's hooks, nothing due", |_, _| hooks());
pub const EMPTY_BLOCK: Scenario = Scenario::new("a block, nothing due", |_, _| block_with_due(0));

impl Job {
    fn by(payer: Payer, call: impl Into<RuntimeCall>) -> Self {
        Self::call(RuntimeOrigin::signed(payer.account()), call)
    }

    fn call(origin: RuntimeOrigin, call: impl Into<RuntimeCall>) -> Self {
        let call = call.into();
        let weight = Some(call.get_dispatch_info().call_weight);
        let work = move || grid::dispatch(origin, call).expect("the call succeeds");
        Self { work: Box::new(work), weight }
    }
}

/// A node says that a new contract of the payer runs.
fn start(payer: Payer) -> Job {
    let create = chain::create(payer.node(), chain::small());
    grid::dispatch(RuntimeOrigin::signed(payer.account()), create.into()).expect("it can be created");
    let contract = pallet_grid_contracts::LastContractId::<Runtime>::get();
    Job::call(RawOrigin::None.into(), grid::machine(payer.node()).deployed(contract, b"{}"))
}

fn deposit(payer: Payer) -> Job {
    let (twin, amount) = (payer.twin(), 100 * TFT);
    Job::by(payer, pallet_grid_billing::Call::deposit { twin, amount })
}

/// The payer's credit ends, and so do those before it.
fn pause(payer: Payer) {
    let twin = payer.twin();
    let end = pallet_grid_billing::Payers::<Runtime>::get(twin).agenda_end().expect("it is charged");
    set_clock(end);
    let poke = pallet_grid_billing::Call::poke { twin };
    grid::dispatch(RuntimeOrigin::signed(payer.account()), poke.into()).expect("its credit has ended");
}

fn set_price() -> Job {
    let price = pallet_grid_clock::PriceClockState::<Runtime>::get().price + 1;
    Job::call(RawOrigin::Root.into(), pallet_grid_clock::Call::set_price { price })
}

/// All that clock and billing do in a block of their own accord.
fn hooks() -> Job {
    let timestamp = Timestamp::get() + SLOT_DURATION;
    let work = move || {
        <Clock as OnTimestampSet<_>>::on_timestamp_set(timestamp);
        Clock::on_poll(System::block_number() + 1, &mut WeightMeter::with_limit(Weight::MAX));
    };
    Job { work: Box::new(work), weight: None }
}

/// A block that comes when the credit of the next `payers` has just ended. It serves those that fit into its
/// share.
fn block_with_due(payers: usize) -> Job {
    let last = PayersByExhaustion::<Runtime>::iter_keys().take(payers).last();
    if let Some(last) = last {
        set_clock(last.end());
    }
    Job { work: Box::new(|| chain::block(vec![])), weight: None }
}

/// Whoever's credit has ended waits since the first block that came then.
fn nobody_is_due() {
    let next = PayersByExhaustion::<Runtime>::iter_keys().next();
    assert!(next.is_none_or(|next| next.end() > Clock::price_now()), "a payer wasn't served in time");
}

/// The price clock comes to this place.
pub fn set_clock(place: PriceTime) {
    PriceClockState::<Runtime>::mutate(|clock| (clock.base, clock.since_base_ms) = (place, 0));
}
