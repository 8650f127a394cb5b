// SPDX-License-Identifier: Apache-2.0
//! Blocks of mocks with the real clock.

/// Declares what makes blocks of the runtime `Test`, and sets the price of TFT, where the pallet `Clock` is the real
/// one. The crate under test has frame-support, tfgrid-primitives and a name `pallet_grid_clock`.
#[macro_export]
macro_rules! mock_blocks {
    () => {
        /// 0.05 USD per TFT.
        pub const PRICE: u64 = tfgrid_primitives::units::USD / 20;
        pub const START_MS: u64 = 1_700_000_000_000;

        /// The price clock.
        pub fn price_clock() -> tfgrid_primitives::PriceClock {
            pallet_grid_clock::PriceClockState::<Test>::get()
        }

        /// Sets the price of TFT, as governance does.
        pub fn set_price(price: tfgrid_primitives::TftPrice) {
            Clock::set_price(RuntimeOrigin::root(), price).unwrap();
        }

        /// Lets `ms` pass in blocks of three seconds.
        pub fn pass(ms: u64) {
            pass_in_steps(ms, 3_000);
        }

        /// Lets `ms` pass in blocks of a minute, the longest that count in full.
        pub fn pass_fast(ms: u64) {
            pass_in_steps(ms, tfgrid_primitives::units::MINUTE_MS);
        }

        fn pass_in_steps(ms: u64, step: u64) {
            let until = price_clock().stepped_at_ms + ms;
            while price_clock().stepped_at_ms < until {
                block_at((price_clock().stepped_at_ms + step).min(until));
            }
        }

        /// One block with this timestamp.
        pub fn block_at(timestamp_ms: u64) {
            block_with(timestamp_ms, frame_support::weights::Weight::MAX);
        }

        /// One block with this timestamp, in which polling may take `weight`.
        pub fn block_with(timestamp_ms: u64, weight: frame_support::weights::Weight) {
            use frame_support::{
                traits::{OnPoll, OnTimestampSet},
                weights::WeightMeter,
            };

            System::set_block_number(System::block_number() + 1);
            Clock::on_timestamp_set(timestamp_ms);
            Clock::on_poll(System::block_number(), &mut WeightMeter::with_limit(weight));
        }
    };
}
