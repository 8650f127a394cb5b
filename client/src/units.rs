// SPDX-License-Identifier: Apache-2.0
//! Units as people write and read them.

use crate::estimate::MONTH_HOURS;
use std::str::FromStr;
use tfgrid_primitives::{
    Balance, Resources, TftPrice, UsdRate,
    units::{GIB, MIB, TFT},
};

/// Units of rates and of charged amounts (1e-10 USD) in one USD.
pub const USD_UNITS: u128 = 10_000_000_000;

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
pub fn parse_tft(text: &str) -> Result<Balance, String> {
    parse_decimal(text, "TFT", 7)
}

/// 125,000,000 units (1e-10 USD per hour) for `0.0125` or `0.0125 USD`.
pub fn parse_rate(text: &str) -> Result<UsdRate, String> {
    UsdRate::try_from(parse_decimal(text, "USD", 10)?).map_err(|_| format!("{text:?} is too high a rate"))
}

/// 500,000 units (1e-7 USD) for `0.05` or `0.05 USD`: the price of one TFT.
pub fn parse_price(text: &str) -> Result<TftPrice, String> {
    TftPrice::try_from(parse_decimal(text, "USD", 7)?).map_err(|_| format!("{text:?} is too high a price"))
}

/// Bytes for `512MiB`, `2GiB`, `1TiB` or `1000000B`; nothing is `0`.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = |why: &str| {
        Err(format!("{text:?} {why}: write it like 512MiB, 2GiB or 1TiB, or in bytes like 1000000B"))
    };
    let trimmed = text.trim();
    if trimmed.starts_with('-') {
        return Err(below_zero(text));
    }
    let (number, unit) = trimmed.split_at(trimmed.bytes().take_while(u8::is_ascii_digit).count());
    if number.is_empty() {
        return wrong("isn't a size");
    }
    let unit = match unit.trim_start() {
        "" if number == "0" => 1,
        "" => return wrong("has no unit"),
        "B" => 1,
        "MiB" => MIB,
        "GiB" => GIB,
        "TiB" => GIB << 10,
        _ => return wrong("isn't a size"),
    };
    let bytes = number.parse().ok().and_then(|number: u64| number.checked_mul(unit));
    bytes.ok_or_else(|| format!("{text:?} is too large: a size has less than 2^64 bytes"))
}

/// Whole hours, the rest left out, for `1.5` or `1.5 months` of 720 hours.
pub fn parse_months(text: &str) -> Result<u64, String> {
    const DECIMALS: usize = 9;
    let months = parse_decimal(text, "months", DECIMALS)?;
    let hours = months.checked_mul(MONTH_HOURS.into()).map(|hours| hours / 10u128.pow(DECIMALS as u32));
    hours.and_then(|hours| hours.try_into().ok()).ok_or_else(|| too_large(text))
}

/// A number without sign or point.
pub fn parse_count<N: FromStr>(text: &str) -> Result<N, String> {
    if text.starts_with('-') {
        return Err(below_zero(text));
    }
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{text:?} isn't a whole number"));
    }
    text.parse().map_err(|_| too_large(text))
}

/// Resources for `cru=2,mru=2GiB,sru=10GiB`; what isn't named is zero.
pub fn parse_resources(text: &str) -> Result<Resources, String> {
    let mut resources = Resources::ZERO;
    for part in text.split(',') {
        let (name, value) = part.split_once('=').ok_or_else(|| {
            format!("{part:?} isn't a part of a capacity: write it as in cru=2,mru=2GiB,sru=10GiB")
        })?;
        let count = || parse_count(value.trim());
        match name.trim() {
            "cru" => resources.cru = count()?,
            "mru" => resources.mru = parse_bytes(value)?,
            "sru" => resources.sru = parse_bytes(value)?,
            "hru" => resources.hru = parse_bytes(value)?,
            "gpu" => resources.gpu = count()?,
            other => return Err(format!("{other:?} isn't a capacity: known are cru, mru, sru, hru and gpu")),
        }
    }
    Ok(resources)
}

/// A number with at most so many decimals, in units of the last, with or without its unit behind it.
fn parse_decimal(text: &str, unit: &str, decimals: usize) -> Result<u128, String> {
    let trimmed = text.trim();
    let number = trimmed.strip_suffix(unit).unwrap_or(trimmed).trim_end();
    if number.starts_with('-') {
        return Err(below_zero(text));
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let is_number = !whole.is_empty() && fraction.len() <= decimals && digits(whole) && digits(fraction);
    if !is_number {
        return Err(format!(
            "{text:?} isn't an amount of {unit}: write it like 12 or 12.5, with at most {decimals} decimals"
        ));
    }
    format!("{whole}{fraction:0<decimals$}").parse().map_err(|_| too_large(text))
}

fn below_zero(text: &str) -> String {
    format!("{text:?} is below zero")
}

fn too_large(text: &str) -> String {
    format!("{text:?} is too large")
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let expected = Resources { cru: 2, mru: 2 << 30, sru: 10 << 30, hru: 0, gpu: 1 };
        assert_eq!(parse_resources("cru=2, mru=2GiB,sru=10GiB,gpu=1"), Ok(expected));
        for (text, hint) in [
            ("", "isn't a part"),
            ("cru", "isn't a part"),
            ("cpu=1", "known are"),
            ("cru=two", "whole number"),
            ("mru=2GB", "isn't a size"),
        ] {
            assert!(parse_resources(text).unwrap_err().contains(hint), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused_with_the_reason() {
        for text in ["", ".5", "1.12345678", "1,5", "1.2.3", "lots", "nan", "inf", "1e3", "1 TFT TFT"] {
            assert!(parse_tft(text).unwrap_err().contains("isn't an amount of TFT"), "{text:?}");
        }
        assert!(parse_tft("-1").unwrap_err().contains("below zero"));
        assert!(parse_tft(&"9".repeat(40)).unwrap_err().contains("too large"));
        assert!(parse_price("cheap").is_err() && parse_price(&"9".repeat(20)).is_err());
    }

    #[test]
    fn prices_and_sizes_are_read_with_their_unit() {
        assert_eq!(parse_price("0.05"), Ok(500_000));
        assert_eq!(parse_price("1 USD"), Ok(10_000_000));
        assert_eq!(parse_bytes("2GiB"), Ok(2 << 30));
        assert_eq!(parse_bytes("512 MiB"), Ok(512 << 20));
        assert_eq!(parse_bytes("1TiB"), Ok(1 << 40));
        assert_eq!(parse_bytes("134217729B"), Ok((128 << 20) + 1));
        assert_eq!((parse_bytes("0"), parse_bytes("0GiB")), (Ok(0), Ok(0)));
    }

    #[test]
    fn what_is_no_size_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "isn't a size"),
            ("GiB", "isn't a size"),
            ("B", "isn't a size"),
            ("1.5GiB", "isn't a size"),
            ("2GB", "isn't a size"),
            ("2", "has no unit: write it like 512MiB"),
            ("-1GiB", "below zero"),
            ("99999999999TiB", "too large"),
            ("99999999999999999999B", "too large"),
        ] {
            assert!(parse_bytes(text).unwrap_err().contains(why), "{text:?}");
        }
    }

    #[test]
    fn months_are_read_exactly_to_the_hour() {
        assert_eq!((parse_months("1.5"), parse_months("18 months")), (Ok(1_080), Ok(12_960)));
        assert_eq!((parse_months("2.99"), parse_months("0")), (Ok(2_152), Ok(0)));
        assert_eq!((parse_months("17.999999999"), parse_months("0.001388889")), (Ok(12_959), Ok(1)));
        for (text, why) in
            [("nan", "isn't"), ("inf", "isn't"), ("1.0000000001", "isn't"), ("-1", "below zero")]
        {
            assert!(parse_months(text).unwrap_err().contains(why), "{text}");
        }
        for text in ["9".repeat(25), "9".repeat(29), "9".repeat(40)] {
            assert!(parse_months(&text).unwrap_err().contains("too large"), "{text}");
        }
    }

    #[test]
    fn counts_are_whole_numbers() {
        assert_eq!((parse_count("0"), parse_count::<u64>("18446744073709551615")), (Ok(0u32), Ok(u64::MAX)));
        for (text, why) in [
            ("-1", "below zero"),
            ("1.5", "isn't a whole number"),
            ("", "isn't a whole number"),
            ("+1", "isn't a whole number"),
            ("4294967296", "too large"),
        ] {
            assert!(parse_count::<u32>(text).unwrap_err().contains(why), "{text:?}");
        }
    }
}
