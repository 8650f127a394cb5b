// SPDX-License-Identifier: Apache-2.0
//! The time now, and times as people read them.

use std::time::SystemTime;
use tfgrid_client::primitives::UnixSeconds;

const DAY: u64 = 86_400;
/// Shorter times are told in seconds.
const TWO_MINUTES: u64 = 120;

/// By this computer's clock.
pub fn now() -> UnixSeconds {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

/// `2026-11-24 08:00 UTC`
pub fn moment(at: UnixSeconds) -> String {
    formatted(at, "%Y-%m-%d %H:%M UTC")
}

/// `2026-11-24 08:00:59 UTC`
pub fn exact_moment(at: UnixSeconds) -> String {
    formatted(at, "%Y-%m-%d %H:%M:%S UTC")
}

fn formatted(at: UnixSeconds, format: &str) -> String {
    let time = i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    time.map_or_else(|| "after the year 9999".into(), |time| time.strftime(format).to_string())
}

/// `3 d 4 h`, `4 h 5 min`, `5 min` or `5 s`
pub fn stretch(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / DAY, seconds % DAY / 3_600, seconds % 3_600 / 60);
    match (days, hours) {
        (0, 0) if seconds < TWO_MINUTES => format!("{seconds} s"),
        (0, 0) => format!("{minutes} min"),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
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
        assert_eq!(exact_moment(1_700_000_000), "2023-11-14 22:13:20 UTC");
        assert_eq!(moment(4_107_542_400), "2100-03-01 00:00 UTC");
        assert_eq!(moment(u64::MAX), "after the year 9999");
    }

    #[test]
    fn stretches_have_two_parts() {
        assert_eq!(
            (stretch(59), stretch(119), stretch(120)),
            ("59 s".into(), "119 s".into(), "2 min".into())
        );
        assert_eq!(stretch(3_600 + 120), "1 h 2 min");
        assert_eq!(stretch(3 * 86_400 + 4 * 3_600 + 59), "3 d 4 h");
    }
}
