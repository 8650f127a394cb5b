// SPDX-License-Identifier: Apache-2.0
//! What the mocks of the grid's pallets share. A dev-dependency only: it panics where a test is to fail.
//!
//! # A mock
//!
//! 1. [`mock_runtime!`] declares the runtime `Test` of frame-system, pallet-balances and the pallet under test, with
//!    the configs of the first two. The pallet names `frame-system` and `pallet-balances` among its own
//!    (dev-)dependencies.
//! 2. The mock implements the pallet's `Config` with doubles:
//!
//!    | trait | double | set by tests |
//!    |---|---|---|
//!    | `Clock` | [`MockClock`] | [`MockClock::advance`], [`MockClock::set_unix`] |
//!    | `Agenda` | [`MockAgenda`] | [`Armed`], [`pass`] |
//!    | `TwinDirectory`, `FarmDirectory`, `BootTickets` | [`Directory`] | [`GoneFarm`], [`DedicatedFarm`], [`Spent`] |
//!    | `FarmingPeriods`, `OnPaidUse` | [`Recorder`] | reads [`Recorded`], [`Counted`] |
//!
//! 3. [`Chain`] builds the genesis, sets all doubles back, and runs a test with the invariants checked afterwards.
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
//!     Chain::new::<Test>().balances::<Test>([(1, 100 * TFT)]).run(&[Farms::do_try_state], test);
//! }
//! ```
//!
//! Tests dispatch with [`signed`], [`report`] and [`assert_fails`]. The doubles keep their state in
//! thread-locals, so tests run in parallel.

mod agenda;
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
pub use runtime::{AccountId, EXISTENTIAL_DEPOSIT};
