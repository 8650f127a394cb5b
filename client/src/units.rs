// SPDX-License-Identifier: Apache-2.0
//! Units as people write and read them.

use tfgrid_primitives::{
    units::{GIB, MIB, TFT},
    Balance, TftPrice,
};

/// `1.25` TFT for 12,500,000 units; as few decimals as are exact.
pub fn format_tft(units: Balance) -> String {
    let (whole, fraction) = (units / TFT, units % TFT);
    if fraction == 0 {
        return whole.to_string();
    }
    format!("{whole}.{}", format!("{fraction:07}").trim_end_matches('0'))
}

/// 12,500,000 units for `1.25` or `1.25 TFT`.
pub fn parse_tft(text: &str) -> Result<Balance, String> {
    parse_decimal(text, "TFT")
}

/// 500,000 units (1e-7 USD) for `0.05` or `0.05 USD`: the price of one TFT.
pub fn parse_price(text: &str) -> Result<TftPrice, String> {
    TftPrice::try_from(parse_decimal(text, "USD")?).map_err(|_| format!("{text:?} is too high a price"))
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

/// A number with at most 7 decimals, in units of 1e-7, with or without its unit behind it.
fn parse_decimal(text: &str, unit: &str) -> Result<u128, String> {
    let wrong =
        || format!("{text:?} isn't an amount of {unit}: write it like 12 or 12.5, with at most 7 decimals");
    let number = text.trim().trim_end_matches(unit).trim_end();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.chars().all(|c| c.is_ascii_digit());
    if number.is_empty() || whole.is_empty() || fraction.len() > 7 || !digits(whole) || !digits(fraction) {
        return Err(wrong());
    }
    let whole: u128 = whole.parse().map_err(|_| wrong())?;
    let fraction: u128 = format!("{fraction:0<7}").parse().map_err(|_| wrong())?;
    whole.checked_mul(TFT).and_then(|units| units.checked_add(fraction)).ok_or_else(wrong)
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
