// SPDX-License-Identifier: Apache-2.0
//! Units as people write and read them.

use tfgrid_primitives::{units::TFT, Balance};

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
    let wrong =
        || format!("{text:?} isn't an amount of TFT: write it like 12 or 12.5, with at most 7 decimals");
    let number = text.trim().trim_end_matches("TFT").trim_end();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.chars().all(|c| c.is_ascii_digit());
    if number.is_empty() || whole.is_empty() || fraction.len() > 7 || !digits(whole) || !digits(fraction) {
        return Err(wrong());
    }
    let whole: Balance = whole.parse().map_err(|_| wrong())?;
    let fraction: Balance = format!("{fraction:0<7}").parse().map_err(|_| wrong())?;
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
}
