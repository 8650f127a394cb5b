// SPDX-License-Identifier: Apache-2.0
//! Units as people write and read them.

use tfgrid_primitives::{
    units::{GIB, MIB, TFT},
    Balance, Resources, TftPrice, UsdRate,
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

/// Bytes for `512MiB`, `2GiB`, `1TiB` or a plain number of bytes.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} isn't a size: write it like 512MiB, 2GiB, 1TiB, or in bytes");
    let text = text.trim();
    let (number, unit) = ["MiB", "GiB", "TiB"]
        .iter()
        .zip([MIB, GIB, GIB << 10])
        .find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|number| (number, unit)))
        .unwrap_or((text, 1));
    let number: u64 = number.trim_end().parse().map_err(|_| wrong())?;
    number.checked_mul(unit).ok_or_else(wrong)
}

/// Resources for `cru=2,mru=2GiB,sru=10GiB`; what isn't named is zero.
pub fn parse_resources(text: &str) -> Result<Resources, String> {
    let mut resources = Resources::ZERO;
    for part in text.split(',') {
        let (name, value) = part.split_once('=').ok_or_else(|| {
            format!("{part:?} isn't a part of a capacity: write it as in cru=2,mru=2GiB,sru=10GiB")
        })?;
        let count = || value.trim().parse().map_err(|_| format!("{value:?} isn't a whole number"));
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
    let wrong = || {
        format!(
            "{text:?} isn't an amount of {unit}: write it like 12 or 12.5, with at most {decimals} decimals"
        )
    };
    let number = text.trim().trim_end_matches(unit).trim_end();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.chars().all(|c| c.is_ascii_digit());
    let is_number = !whole.is_empty() && fraction.len() <= decimals && digits(whole) && digits(fraction);
    if !is_number {
        return Err(wrong());
    }
    format!("{whole}{fraction:0<decimals$}").parse().map_err(|_| wrong())
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
    fn what_is_no_amount_is_refused() {
        for text in ["", ".5", "-1", "1.12345678", "1,5", "1.2.3", "lots", &"9".repeat(40)] {
            assert!(parse_tft(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn prices_and_sizes_are_read_with_their_unit() {
        assert_eq!(parse_price("0.05"), Ok(500_000));
        assert_eq!(parse_price("1 USD"), Ok(10_000_000));
        assert_eq!(parse_bytes("2GiB"), Ok(2 << 30));
        assert_eq!(parse_bytes("512 MiB"), Ok(512 << 20));
        assert_eq!(parse_bytes("1TiB"), Ok(1 << 40));
        assert_eq!(parse_bytes("0"), Ok(0));
        for text in ["", "GiB", "-1GiB", "1.5GiB", "2GB", "99999999999TiB"] {
            assert!(parse_bytes(text).is_err(), "{text:?}");
        }
        assert!(parse_price("cheap").is_err());
    }
}
