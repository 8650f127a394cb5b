// SPDX-License-Identifier: Apache-2.0
//! Moments and stretches of time as people read them.

use tfgrid_client::primitives::UnixSeconds;

const DAY: u64 = 86_400;

/// `2026-11-24 08:00 UTC`
pub fn moment(at: UnixSeconds) -> String {
    let (year, month, day) = date(at / DAY);
    let (hour, minute) = (at % DAY / 3_600, at % 3_600 / 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// `3 d 4 h`, `4 h 5 min` or `5 min`
pub fn stretch(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / DAY, seconds % DAY / 3_600, seconds % 3_600 / 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min"),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Year, month and day of a day since 1970, in the Gregorian calendar. Years begin in March here, so that
/// the leap day is the last one.
fn date(days: u64) -> (u64, u64, u64) {
    let since_0000_03_01 = days + 719_468;
    let (era, day_of_era) = (since_0000_03_01 / 146_097, since_0000_03_01 % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        assert_eq!(moment(0), "1970-01-01 00:00 UTC");
        assert_eq!(moment(951_782_399), "2000-02-28 23:59 UTC");
        assert_eq!(moment(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(moment(1_700_000_000), "2023-11-14 22:13 UTC");
        assert_eq!(moment(4_107_542_400), "2100-03-01 00:00 UTC");
    }

    #[test]
    fn stretches_have_two_parts() {
        assert_eq!(stretch(59), "0 min");
        assert_eq!(stretch(3_600 + 120), "1 h 2 min");
        assert_eq!(stretch(3 * 86_400 + 4 * 3_600 + 59), "3 d 4 h");
    }
}
