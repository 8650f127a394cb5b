// SPDX-License-Identifier: Apache-2.0
//! Q64.64 fixed-point numbers, 64 bits before the point and 64 behind it, with a type for each unit.
//!
//! Products and quotients go through 512 bits, so nothing in between overflows. What the methods do at the
//! ends of the range is in their names; the operators `+` and `-` panic there and exist with `std` alone, for
//! tests and `try_state`.

use crate::units::Balance;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_core::U256;

/// How many bits are behind the point.
pub const FRACTION_BITS: u32 = 64;
/// The raw value of one.
pub const ONE: u128 = 1 << FRACTION_BITS;

/// `⌊a × b ÷ c⌋`, saturating; zero where `c` is zero.
pub fn mul_div(a: u128, b: u128, c: u128) -> u128 {
    let wide = U256::from(a).full_mul(U256::from(b)).checked_div(c.into()).unwrap_or_default();
    u128::try_from(wide).unwrap_or(u128::MAX)
}

macro_rules! fixed_point {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, DecodeWithMemTracking,
            MaxEncodedLen, TypeInfo,
        )]
        pub struct $name(u128);

        impl $name {
            /// The number zero, which is also the default.
            pub const ZERO: Self = Self(0);
            /// The largest value.
            pub const MAX: Self = Self(u128::MAX);

            /// The number whose value times 2⁶⁴ is `raw`.
            pub const fn from_raw(raw: u128) -> Self {
                Self(raw)
            }

            /// The value times 2⁶⁴.
            pub const fn raw(self) -> u128 {
                self.0
            }

            /// The sum, or the largest value.
            pub const fn saturating_add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }

            /// The difference, or zero.
            pub const fn saturating_sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }

            /// The difference; `None` where it would be negative.
            pub fn checked_sub(self, other: Self) -> Option<Self> {
                self.0.checked_sub(other.0).map(Self)
            }

            /// `⌊self × numerator ÷ denominator⌋` in the last place, saturating; zero where `denominator` is
            /// zero.
            pub fn scaled(self, numerator: u128, denominator: u128) -> Self {
                Self(mul_div(self.0, numerator, denominator))
            }
        }

        #[cfg(feature = "std")]
        impl core::ops::Add for $name {
            type Output = Self;

            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }

        #[cfg(feature = "std")]
        impl core::ops::Sub for $name {
            type Output = Self;

            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
        }

        #[cfg(feature = "std")]
        impl core::iter::Sum for $name {
            fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
                all.fold(Self::ZERO, |sum, next| sum + next)
            }
        }
    };
}

fixed_point! {
    /// A place on the price clock, or a stretch of it, in (1e-7 TFT) per (1e-10 USD/h): see [`crate::clock`].
    PriceTime
}

fixed_point! {
    /// An exact amount of TFT, in 1e-7 TFT: a [`Balance`] with a fraction.
    ExactTft
}

impl PriceTime {
    /// What `usd_rate` (1e-10 USD per hour) costs over this stretch; saturating.
    pub const fn cost_of(self, usd_rate: u128) -> ExactTft {
        ExactTft(self.0.saturating_mul(usd_rate))
    }
}

impl ExactTft {
    /// An amount without a fraction; saturates where it has more than 64 bits.
    pub const fn from_whole(amount: Balance) -> Self {
        if amount >> FRACTION_BITS == 0 { Self(amount << FRACTION_BITS) } else { Self::MAX }
    }

    /// The amount without its fraction.
    pub const fn whole(self) -> Balance {
        self.0 >> FRACTION_BITS
    }

    /// The fraction alone.
    pub const fn fraction(self) -> Self {
        Self(self.0 & (ONE - 1))
    }

    /// The least whole amount that isn't below this one.
    pub const fn ceil(self) -> Balance {
        self.whole().saturating_add((self.fraction().0 != 0) as u128)
    }

    /// `permille` thousandths of it, rounded down.
    pub fn permille(self, permille: u16) -> Self {
        self.scaled(permille.into(), 1_000)
    }
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
    fn whole_and_fraction_make_up_the_amount() {
        let amount = ExactTft::from_whole(5) + ExactTft::from_raw(3);
        assert_eq!((amount.whole(), amount.fraction(), amount.ceil()), (5, ExactTft::from_raw(3), 6));
        assert_eq!(ExactTft::from_whole(5).ceil(), 5);
        assert_eq!(ExactTft::from_whole(1 << 64), ExactTft::MAX);
    }

    #[test]
    fn the_ends_of_the_range_do_what_the_methods_say() {
        assert_eq!(PriceTime::MAX.saturating_add(PriceTime::from_raw(1)), PriceTime::MAX);
        assert_eq!(PriceTime::ZERO.saturating_sub(PriceTime::from_raw(1)), PriceTime::ZERO);
        assert_eq!(ExactTft::ZERO.checked_sub(ExactTft::from_raw(1)), None);
        assert_eq!(PriceTime::MAX.cost_of(2), ExactTft::MAX);
        assert_eq!(ExactTft::from_whole(10).permille(333).whole(), 3);
    }
}
