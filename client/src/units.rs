// SPDX-License-Identifier: Apache-2.0
//! Amounts, sizes and times as people write and read them.

use crate::estimate::MONTH_HOURS;
use serde::{Deserialize, Serialize};
use std::{str::FromStr, time::Duration};
use tfgrid_primitives::{
    Balance, Resources, TftPrice, UsdRate,
    units::{GIB, MIB, TFT},
    views::CountryCode,
};

/// Units of rates and of charged amounts (1e-10 USD) in one USD.
pub const USD_UNITS: u128 = 10_000_000_000;

/// Why a text isn't the value that it should be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ParseError {
    #[error("{0:?} is below zero")]
    BelowZero(String),
    #[error("{0:?} is too large")]
    TooLarge(String),
    #[error("{0:?} isn't a whole number")]
    NotWhole(String),
    #[error("{text:?} isn't an amount of {unit}: write it like 12 or 12.5, with at most {decimals} decimals")]
    NoAmount { text: String, unit: &'static str, decimals: usize },
    #[error("the price of TFT must be above zero")]
    PriceZero,
    #[error("an amount above 0 is needed")]
    AmountZero,
    #[error("{0:?} {1}: write it like 512MiB, 2GiB or 1TiB, or in bytes like 1000000B")]
    NoSize(String, &'static str),
    #[error("{0:?} is too large: a size has less than 2^64 bytes")]
    SizeTooLarge(String),
    #[error("{0:?} isn't a part of a capacity: write it as in cru=2,mru=2GiB,sru=10GiB")]
    NoCapacityPart(String),
    #[error("{0:?} isn't a capacity: known are cru, mru, sru, hru and gpu")]
    UnknownCapacity(String),
    #[error("{0} is named twice")]
    CapacityTwice(String),
    #[error("{0} thousandths are more than all: 1000 at most")]
    AboveAll(u16),
    #[error("{0:?} isn't a country: use two letters, such as BE")]
    NoCountry(String),
    #[error(
        "{0:?} isn't a name: use 1 to 63 of a-z, 0-9 and hyphens, none at either end, and not xn-- in front"
    )]
    NoName(String),
    #[error("{text:?} isn't a time: write it like 90s, 30m, 12h or 7d ({source})")]
    NoDuration { text: String, source: humantime::DurationError },
    #[error("{0:?} isn't an id: ids are numbers such as 7")]
    NoId(String),
}

/// `1.25` TFT for 12,500,000 units; as few decimals as are exact.
pub fn format_tft(units: Balance) -> String {
    format_decimal(units, TFT, 7)
}

/// `0.0125` USD for 125,000,000 units of 1e-10 USD; as few decimals as are exact.
pub fn format_usd(units: u128) -> String {
    format_decimal(units, USD_UNITS, 10)
}

/// `0.05` USD for 500,000 units of 1e-7 USD: the price of one TFT.
pub fn format_price(units: TftPrice) -> String {
    format_tft(units.into())
}

fn format_decimal(units: u128, one: u128, decimals: usize) -> String {
    let (whole, fraction) = (units / one, units % one);
    if fraction == 0 {
        return whole.to_string();
    }
    format!("{whole}.{}", format!("{fraction:0decimals$}").trim_end_matches('0'))
}

/// 12,500,000 units for `1.25` or `1.25 TFT`.
pub fn parse_tft(text: &str) -> Result<Balance, ParseError> {
    parse_decimal(text, "TFT", 7)
}

/// An amount of TFT above zero.
pub fn parse_amount(text: &str) -> Result<Balance, ParseError> {
    match parse_tft(text)? {
        0 => Err(ParseError::AmountZero),
        amount => Ok(amount),
    }
}

/// 125,000,000 units (1e-10 USD per hour) for `0.0125` or `0.0125 USD`.
pub fn parse_rate(text: &str) -> Result<UsdRate, ParseError> {
    UsdRate::try_from(parse_decimal(text, "USD", 10)?).map_err(|_| ParseError::TooLarge(text.into()))
}

/// 500,000 units (1e-7 USD) for `0.05` or `0.05 USD`: the price of one TFT, above zero.
pub fn parse_price(text: &str) -> Result<TftPrice, ParseError> {
    let price = parse_decimal(text, "USD", 7)?;
    match TftPrice::try_from(price).map_err(|_| ParseError::TooLarge(text.into()))? {
        0 => Err(ParseError::PriceZero),
        price => Ok(price),
    }
}

/// Bytes for `512MiB`, `2GiB` or `1000000B`. Without a unit only `0` is a size.
pub fn parse_bytes(text: &str) -> Result<u64, ParseError> {
    let wrong = |why| Err(ParseError::NoSize(text.into(), why));
    let trimmed = text.trim();
    if trimmed.starts_with('-') {
        return Err(ParseError::BelowZero(text.into()));
    }
    let (number, unit) = trimmed.split_at(trimmed.bytes().take_while(u8::is_ascii_digit).count());
    let unit = match unit.trim_start() {
        _ if number.is_empty() => return wrong("isn't a size"),
        "" if number == "0" => 1,
        "" => return wrong("has no unit"),
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => MIB,
        "GiB" => GIB,
        "TiB" => GIB << 10,
        _ => return wrong("isn't a size"),
    };
    let bytes = number.parse().ok().and_then(|number: u64| number.checked_mul(unit));
    bytes.ok_or_else(|| ParseError::SizeTooLarge(text.into()))
}

/// Whole hours, rounded down, for `1.5` or `1.5 months` of 720 hours.
pub fn parse_months(text: &str) -> Result<u64, ParseError> {
    const DECIMALS: usize = 9;
    let months = parse_decimal(text, "months", DECIMALS)?;
    let hours = months.checked_mul(MONTH_HOURS.into()).map(|hours| hours / 10u128.pow(DECIMALS as u32));
    hours.and_then(|hours| hours.try_into().ok()).ok_or_else(|| ParseError::TooLarge(text.into()))
}

/// A number without sign or point.
pub fn parse_count<N: FromStr>(text: &str) -> Result<N, ParseError> {
    if text.starts_with('-') {
        return Err(ParseError::BelowZero(text.into()));
    }
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ParseError::NotWhole(text.into()));
    }
    text.parse().map_err(|_| ParseError::TooLarge(text.into()))
}

/// Thousandths: 0 to 1000.
pub fn parse_permille(text: &str) -> Result<u16, ParseError> {
    match parse_count(text)? {
        permille @ 0..=1_000 => Ok(permille),
        permille => Err(ParseError::AboveAll(permille)),
    }
}

/// `BE` for `BE` or `be`.
pub fn parse_country(text: &str) -> Result<CountryCode, ParseError> {
    let code = text.to_ascii_uppercase().into_bytes().try_into().ok();
    code.filter(|code: &CountryCode| code.iter().all(u8::is_ascii_uppercase))
        .ok_or_else(|| ParseError::NoCountry(text.into()))
}

/// A name on the gateways.
pub fn parse_unique_name(text: &str) -> Result<String, ParseError> {
    if is_label(text, 63) && !text.starts_with("xn--") {
        Ok(text.into())
    } else {
        Err(ParseError::NoName(text.into()))
    }
}

/// Whether a text has 1 to `most` of a-z, 0-9 and hyphens, none at either end.
pub(crate) fn is_label(text: &str, most: usize) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=most).contains(&text.len())
        && text.bytes().all(allowed)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Seconds to weeks, such as `90s`, `30m`, `12h` or `7d`.
pub fn parse_duration(text: &str) -> Result<Duration, ParseError> {
    humantime::parse_duration(text).map_err(|source| ParseError::NoDuration { text: text.into(), source })
}

/// The id of a contract, node, farm or twin.
pub fn parse_id<Id: FromStr>(text: &str) -> Result<Id, ParseError> {
    text.parse().map_err(|_| ParseError::NoId(text.into()))
}

/// Some parts of a capacity, written as `cru=2,mru=2GiB,sru=10GiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct CapacityParts {
    pub cru: Option<u64>,
    pub mru: Option<u64>,
    pub sru: Option<u64>,
    pub hru: Option<u64>,
    pub gpu: Option<u64>,
}

impl CapacityParts {
    /// `base` with the parts that are named here instead of its own.
    pub fn or(&self, base: Resources) -> Resources {
        Resources {
            cru: self.cru.unwrap_or(base.cru),
            mru: self.mru.unwrap_or(base.mru),
            sru: self.sru.unwrap_or(base.sru),
            hru: self.hru.unwrap_or(base.hru),
            gpu: self.gpu.unwrap_or(base.gpu),
        }
    }
}

impl FromStr for CapacityParts {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut parts = Self::default();
        for part in text.split(',') {
            let (name, value) =
                part.split_once('=').ok_or_else(|| ParseError::NoCapacityPart(part.into()))?;
            let (name, value) = (name.trim(), value.trim());
            let slot = match name {
                "cru" => &mut parts.cru,
                "mru" => &mut parts.mru,
                "sru" => &mut parts.sru,
                "hru" => &mut parts.hru,
                "gpu" => &mut parts.gpu,
                _ => return Err(ParseError::UnknownCapacity(name.into())),
            };
            let is_count = matches!(name, "cru" | "gpu");
            let value = if is_count { parse_count(value)? } else { parse_bytes(value)? };
            if slot.replace(value).is_some() {
                return Err(ParseError::CapacityTwice(name.into()));
            }
        }
        Ok(parts)
    }
}

/// A number with at most so many decimals, in units of the last, with or without its unit behind it.
fn parse_decimal(text: &str, unit: &'static str, decimals: usize) -> Result<u128, ParseError> {
    let trimmed = text.trim();
    let number = trimmed.strip_suffix(unit).unwrap_or(trimmed).trim_end();
    if number.starts_with('-') {
        return Err(ParseError::BelowZero(text.into()));
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let is_number = !whole.is_empty() && fraction.len() <= decimals && digits(whole) && digits(fraction);
    if !is_number {
        return Err(ParseError::NoAmount { text: text.into(), unit, decimals });
    }
    format!("{whole}{fraction:0<decimals$}").parse().map_err(|_| ParseError::TooLarge(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why<T>(outcome: Result<T, ParseError>) -> String {
        outcome.err().expect("the text is wrong").to_string()
    }

    #[test]
    fn amounts_survive_the_way_to_text_and_back() {
        for units in [0, 1, 9_999_999, TFT, 12_500_000, 1_000_000 * TFT + 7] {
            assert_eq!(parse_tft(&format_tft(units)), Ok(units));
        }
        assert_eq!(format_tft(12_500_000), "1.25");
        assert_eq!(parse_tft("1.25 TFT"), Ok(12_500_000));
    }

    #[test]
    fn dollars_have_ten_decimals() {
        assert_eq!(format_usd(103_750_000), "0.010375");
        assert_eq!(parse_rate("0.010375 USD"), Ok(103_750_000));
        assert_eq!((format_usd(1), parse_rate("0.0000000001")), ("0.0000000001".into(), Ok(1)));
        assert_eq!(format_usd(20_000_000_000), "2");
        assert!(parse_rate("0.00000000001").is_err() && parse_rate("9999999999").is_err());
    }

    #[test]
    fn capacity_is_read_part_by_part() {
        let parts: CapacityParts = "cru=2, mru=2GiB,sru=512KiB,hru=1TiB,gpu=1".parse().unwrap();
        let all = Resources { cru: 2, mru: 2 << 30, sru: 512 << 10, hru: 1 << 40, gpu: 1 };
        assert_eq!(parts.or(Resources::ZERO), all);
        let parts: CapacityParts = "mru=512MiB".parse().unwrap();
        assert_eq!(parts, CapacityParts { mru: Some(512 << 20), ..CapacityParts::default() });
        assert_eq!(parts.or(all), Resources { mru: 512 << 20, ..all });
    }

    #[test]
    fn a_mistake_in_a_capacity_is_named() {
        for (text, hint) in [
            ("", "\"\" isn't a part of a capacity"),
            ("cru", "isn't a part"),
            ("cru=1,", "isn't a part"),
            ("cpu=1", "\"cpu\" isn't a capacity: known are cru, mru, sru, hru and gpu"),
            ("cru=two", "isn't a whole number"),
            ("cru=2GiB", "isn't a whole number"),
            ("cru=1,cru=2", "cru is named twice"),
            ("mru=1GiB, mru=1GiB", "mru is named twice"),
            ("mru=2", "\"2\" has no unit: write it like 512MiB"),
            ("sru=1048576", "has no unit"),
            ("mru=2GB", "isn't a size"),
            ("mru=GiB", "isn't a size"),
            ("mru=99999999999TiB", "too large"),
            ("mru=-1GiB", "below zero"),
        ] {
            let error = why(text.parse::<CapacityParts>());
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn no_amount_is_refused_with_the_reason() {
        for text in ["", ".5", "1.12345678", "1,5", "1.2.3", "lots", "nan", "inf", "1e3", "1 TFT TFT"] {
            assert!(why(parse_tft(text)).contains("isn't an amount of TFT"), "{text:?}");
        }
        assert!(why(parse_tft("-1")).contains("below zero"));
        assert!(why(parse_tft(&"9".repeat(40))).contains("too large"));
        assert!(parse_price("cheap").is_err() && parse_price(&"9".repeat(20)).is_err());
        assert_eq!(parse_price("0.0"), Err(ParseError::PriceZero));
    }

    #[test]
    fn prices_and_sizes_are_read_with_their_unit() {
        assert_eq!(parse_price("0.05"), Ok(500_000));
        assert_eq!(parse_price("1 USD"), Ok(10_000_000));
        assert_eq!(parse_bytes("2GiB"), Ok(2 << 30));
        assert_eq!(parse_bytes("512 MiB"), Ok(512 << 20));
        assert_eq!(parse_bytes("4KiB"), Ok(4 << 10));
        assert_eq!(parse_bytes("1TiB"), Ok(1 << 40));
        assert_eq!(parse_bytes("134217729B"), Ok((128 << 20) + 1));
        assert_eq!((parse_bytes("0"), parse_bytes("0GiB")), (Ok(0), Ok(0)));
    }

    #[test]
    fn no_size_is_refused_with_the_reason() {
        for (text, hint) in [
            ("", "isn't a size"),
            ("GiB", "isn't a size"),
            ("B", "isn't a size"),
            ("1.5GiB", "isn't a size"),
            ("2GB", "isn't a size"),
            ("2kiB", "isn't a size"),
            ("2", "has no unit: write it like 512MiB"),
            ("-1GiB", "below zero"),
            ("99999999999TiB", "too large"),
            ("99999999999999999999B", "too large"),
        ] {
            assert!(why(parse_bytes(text)).contains(hint), "{text:?}");
        }
    }

    #[test]
    fn months_are_read_exactly_to_the_hour() {
        assert_eq!((parse_months("1.5"), parse_months("18 months")), (Ok(1_080), Ok(12_960)));
        assert_eq!((parse_months("2.99"), parse_months("0")), (Ok(2_152), Ok(0)));
        assert_eq!((parse_months("17.999999999"), parse_months("0.001388889")), (Ok(12_959), Ok(1)));
        for (text, hint) in
            [("nan", "isn't"), ("inf", "isn't"), ("1.0000000001", "isn't"), ("-1", "below zero")]
        {
            assert!(why(parse_months(text)).contains(hint), "{text}");
        }
        for text in ["9".repeat(25), "9".repeat(29), "9".repeat(40)] {
            assert!(why(parse_months(&text)).contains("too large"), "{text}");
        }
    }

    #[test]
    fn counts_are_whole_numbers() {
        assert_eq!((parse_count("0"), parse_count::<u64>("18446744073709551615")), (Ok(0u32), Ok(u64::MAX)));
        for (text, hint) in [
            ("-1", "below zero"),
            ("1.5", "isn't a whole number"),
            ("", "isn't a whole number"),
            ("+1", "isn't a whole number"),
            ("4294967296", "too large"),
        ] {
            assert!(why(parse_count::<u32>(text)).contains(hint), "{text:?}");
        }
        assert_eq!(
            (parse_permille("1000"), parse_permille("1001")),
            (Ok(1_000), Err(ParseError::AboveAll(1_001)))
        );
    }

    #[test]
    fn countries_have_two_letters() {
        assert_eq!(parse_country("be"), Ok(*b"BE"));
        for text in ["", "B", "BEL", "B1", "ß"] {
            assert!(parse_country(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_on_the_gateways_are_labels() {
        let longest = "a".repeat(63);
        for text in ["a", "my-shop", "0", &longest] {
            assert_eq!(parse_unique_name(text).as_deref(), Ok(text));
        }
        for text in ["", "My_Shop", "-a", "a-", "xn--a", "é", &"a".repeat(64)] {
            assert!(why(parse_unique_name(text)).contains("isn't a name"), "{text:?}");
        }
    }

    #[test]
    fn ids_are_numbers() {
        assert_eq!(parse_id::<u64>("7"), Ok(7));
        for text in ["abc", "-1", "1.5", "", "4294967296"] {
            assert_eq!(
                why(parse_id::<u32>(text)),
                format!("{text:?} isn't an id: ids are numbers such as 7")
            );
        }
    }

    #[test]
    fn times_are_read_with_their_unit() {
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(parse_duration("1w"), Ok(Duration::from_secs(604_800)));
        for text in ["", "5", "h", "1x", "-1s", "99999999999999999d", "1µ"] {
            assert!(why(parse_duration(text)).contains("isn't a time: write it like 90s"), "{text:?}");
        }
    }
}
