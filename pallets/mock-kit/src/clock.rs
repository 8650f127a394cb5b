// SPDX-License-Identifier: Apache-2.0
//! A clock that tests move.

use frame_support::parameter_types;
use tfgrid_primitives::{
    GridMillis, PriceTime, UnixSeconds, farming::PERIOD_SECONDS, traits::Clock, units::SECOND_MS,
};

/// The calendar at grid time zero: the first second of a farming period, in seconds since 1970.
pub const START: UnixSeconds = 656 * PERIOD_SECONDS;

parameter_types! {
    static Elapsed: GridMillis = 0;
}

/// Grid time, calendar and price clock run side by side: the price clock moves by one per millisecond.
pub struct MockClock;

impl MockClock {
    /// Lets `ms` pass; no deadline is served. See [`pass`](crate::pass).
    pub fn advance(ms: GridMillis) {
        Elapsed::mutate(|elapsed| *elapsed += ms);
    }

    /// Moves all clocks to a moment of the calendar, no earlier than [`START`].
    pub fn set_unix(seconds: UnixSeconds) {
        Elapsed::set((seconds - START) * SECOND_MS);
    }

    /// Moves all clocks to this grid time.
    pub(crate) fn set_grid(now: GridMillis) {
        Elapsed::set(now);
    }
}

impl Clock for MockClock {
    fn grid_now() -> GridMillis {
        Elapsed::get()
    }

    fn unix_now() -> UnixSeconds {
        START + Elapsed::get() / SECOND_MS
    }

    fn price_now() -> PriceTime {
        PriceTime::from_raw(Elapsed::get().into())
    }
}

pub(crate) fn reset() {
    Elapsed::set(0);
}
