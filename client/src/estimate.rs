// SPDX-License-Identifier: Apache-2.0
//! What rates come to over time.

use tfgrid_primitives::{
    Balance, TftPrice,
    fixed::mul_div,
    units::{HOUR_MS, MONTH_MS},
};

/// Hours of a billing month.
pub const MONTH_HOURS: u64 = MONTH_MS / HOUR_MS;
/// A rate of one (1e-10 USD per hour) is as many units of TFT per hour, times the price in 1e-7 USD.
const RATE_TO_TFT: u128 = 10_000;

/// What `rate` (1e-10 USD per hour) comes to in `hours`, in 1e-7 TFT, rounded half up; `None` without a
/// price.
pub fn tft_for(rate: u128, hours: u64, price: TftPrice) -> Option<Balance> {
    let per_price = rate.checked_mul(RATE_TO_TFT)?.checked_mul(hours.into())?;
    per_price.checked_add(u128::from(price) / 2)?.checked_div(price.into())
}

/// The whole seconds for which `credit` (1e-7 TFT) pays `rate` (1e-10 USD per hour); `None` where the rate is
/// zero.
pub fn seconds_for(credit: Balance, rate: u128, price: TftPrice) -> Option<u64> {
    let per_hour = rate.saturating_mul(RATE_TO_TFT);
    let price_seconds = u128::from(price).saturating_mul((HOUR_MS / 1_000).into());
    (per_hour > 0).then(|| u64::try_from(mul_div(credit, price_seconds, per_hour)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_primitives::units::TFT;

    #[test]
    fn a_rate_of_one_dollar_costs_twenty_tft_an_hour_at_five_cents() {
        let (dollar, five_cents) = (10_000_000_000, 500_000);
        assert_eq!(tft_for(dollar, 1, five_cents), Some(20 * TFT));
        assert_eq!(tft_for(dollar, MONTH_HOURS, five_cents), Some(14_400 * TFT));
        assert_eq!(seconds_for(100 * TFT, dollar, five_cents), Some(5 * 3_600));
        assert_eq!(seconds_for(100 * TFT - 1, dollar, five_cents), Some(5 * 3_600 - 1));
    }

    #[test]
    fn half_a_unit_is_rounded_up_and_no_price_has_no_answer() {
        assert_eq!((tft_for(1, 1, 20_000), tft_for(1, 1, 20_002)), (Some(1), Some(0)));
        assert_eq!(tft_for(1, 1, 0), None);
        assert_eq!(tft_for(u128::MAX, 1, 1), None);
        assert_eq!((seconds_for(1, 0, 1), seconds_for(u128::MAX, 1, u64::MAX)), (None, Some(u64::MAX)));
    }
}
