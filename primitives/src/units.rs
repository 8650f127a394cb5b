// SPDX-License-Identifier: Apache-2.0
//! Units, as types. `docs/FORMATS.md` §1 is the table of them all.

/// An amount of TFT in units of 1e-7 TFT.
pub type Balance = u128;
/// USD per hour, in units of 1e-10 USD: what one contract costs.
pub type UsdRate = u64;
/// An amount of USD in units of 1e-10 USD.
pub type UsdAmount = u128;
/// The price of one TFT in units of 1e-7 USD.
pub type TftPrice = u64;
/// Milliseconds in which the chain ran (grid time): all deadlines count these.
pub type GridMillis = u64;
/// Calendar time in seconds since 1970, for what is agreed with clocks outside the chain.
pub type UnixSeconds = u64;

/// One TFT in units of [`Balance`].
pub const TFT: Balance = 10_000_000;
/// One USD in units of [`TftPrice`] and of list prices.
pub const USD: u64 = 10_000_000;
/// How many units of [`UsdRate`] make one unit of a list price (1e-7 USD per hour).
pub const RATE_PER_LIST_PRICE: u64 = 1_000;
/// One gibibyte in bytes.
pub const GIB: u64 = 1 << 30;
/// One mebibyte in bytes.
pub const MIB: u64 = 1 << 20;
/// One second in milliseconds.
pub const SECOND_MS: u64 = 1_000;
/// One minute in milliseconds.
pub const MINUTE_MS: u64 = 60 * SECOND_MS;
/// One hour in milliseconds.
pub const HOUR_MS: u64 = 60 * MINUTE_MS;
/// One day in milliseconds.
pub const DAY_MS: u64 = 24 * HOUR_MS;
/// One month in milliseconds: 720 hours, whatever the calendar says.
pub const MONTH_MS: u64 = 720 * HOUR_MS;
