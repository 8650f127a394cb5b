// SPDX-License-Identifier: Apache-2.0
//! Q64.64 fixed-point numbers: 64 bits before the point, 64 behind it, in a `u128`.
//!
//! Products and quotients go through 256 bits, so nothing in between overflows.

use sp_core::U256;

/// A Q64.64 number: the value times 2⁶⁴.
pub type Q64 = u128;

/// One, as a Q64.64 number.
pub const ONE: Q64 = 1 << 64;

/// `whole` as a Q64.64 number; saturates where it has more than 64 bits.
pub fn from_whole(whole: u128) -> Q64 {
    if whole >> 64 == 0 { whole << 64 } else { Q64::MAX }
}

/// The whole part of `q`.
pub fn whole(q: Q64) -> u128 {
    q >> 64
}

/// The part of `q` behind the point.
pub fn fraction(q: Q64) -> Q64 {
    q & (ONE - 1)
}

/// `⌈q⌉`: the least whole number that isn't below `q`.
pub fn ceil(q: Q64) -> u128 {
    whole(q).saturating_add((fraction(q) != 0) as u128)
}

/// `⌊a × b ÷ c⌋`, saturating; zero where `c` is zero.
pub fn mul_div(a: u128, b: u128, c: u128) -> u128 {
    narrow(U256::from(a).full_mul(U256::from(b)).checked_div(c.into()).unwrap_or_default())
}

/// `a × b`, saturating.
pub fn mul(a: u128, b: u128) -> u128 {
    a.saturating_mul(b)
}

fn narrow(wide: sp_core::U512) -> u128 {
    u128::try_from(wide).unwrap_or(u128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mul_div_is_exact_beyond_128_bits_and_saturates() {
        assert_eq!(mul_div(u128::MAX, 7, 7), u128::MAX);
        assert_eq!(mul_div(u128::MAX, 8, 7), u128::MAX);
        assert_eq!(mul_div(1 << 100, 1 << 100, 1 << 90), 1 << 110);
        assert_eq!(mul_div(1, 1, 0), 0);
    }

    #[test]
    fn whole_and_fraction_make_up_the_number() {
        let q = from_whole(5) + 3;
        assert_eq!((whole(q), fraction(q), ceil(q)), (5, 3, 6));
        assert_eq!(ceil(from_whole(5)), 5);
        assert_eq!(from_whole(1 << 64), Q64::MAX);
    }
}
