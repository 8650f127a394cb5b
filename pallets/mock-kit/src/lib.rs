// SPDX-License-Identifier: Apache-2.0
//! What the mocks of the grid's pallets share. A dev-dependency only: it panics where a test is to fail.
//!
//! # A mock
//!
//! 1. [`mock_runtime!`] declares the runtime `Test` of frame-system, pallet-balances and the pallet under
//!    test, with the configs of the first two. All three, and frame-support, are dependencies or
//!    dev-dependencies of the crate under test.
//! 2. The mock implements the pallet's `Config` with doubles:
//!
//!    | trait | double | tests set or read |
//!    |---|---|---|
//!    | `Clock` | [`MockClock`] | [`MockClock::advance`], [`MockClock::set_unix`] |
//!    | `Agenda` | [`MockAgenda`] | [`Armed`], [`pass`] |
//!    | `TwinDirectory`, `FarmDirectory` | [`Directory`] | [`GoneFarm`], [`DedicatedFarm`] |
//!    | `BootTickets` | [`Directory`] | [`ticket_of`], [`Spent`] |
//!    | `FarmingPeriods`, `OnPaidUse` | [`Recorder`] | [`Recorded`], [`Counted`] |
//!
//! 3. [`Chain`] builds the genesis, resets all doubles, and runs a test with the invariants checked afterwards.
//!    Statics of the mock itself are reset where it makes its chain.
//!
//! Clock and billing are tested with the real clock instead of the doubles above, and build chains of their own:
//! [`mock_blocks!`] declares what makes their blocks.
//!
//! ```ignore
//! pallet_grid_mock_kit::mock_runtime! {
//!     #[runtime::pallet_index(2)]
//!     pub type Farms = pallet_grid_farms;
//! }
//!
//! impl pallet_grid_farms::Config for Test {
//!     type Currency = Balances;
//!     type Twins = Directory;
//!     type Clock = MockClock;
//!     // …
//! }
//!
//! pub fn run(test: impl FnOnce()) {
//!     Chain::<Test>::new([(1, 100 * TFT)]).run(&[Farms::do_try_state], test);
//! }
//! ```
//!
//! Tests dispatch with [`signed`], [`report`] and [`assert_fails`]. The doubles keep their state in
//! thread-locals, so tests run in parallel.

mod agenda;
mod blocks;
mod calls;
mod chain;
mod clock;
mod directory;
mod recorder;
mod runtime;

pub use agenda::{Armed, MockAgenda, pass};
pub use calls::{assert_fails, report, signed};
pub use chain::{Chain, Check};
pub use clock::{MockClock, START};
pub use directory::{DedicatedFarm, Directory, GoneFarm, NODE_DEPOSIT, Spent, ticket_of};
pub use recorder::{Counted, FarmingEvent, Recorded, Recorder};
pub use runtime::{AccountId, Balance, EXISTENTIAL_DEPOSIT};
