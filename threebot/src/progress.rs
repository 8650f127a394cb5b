// SPDX-License-Identifier: Apache-2.0
//! How far something is that moves many bytes, as a terminal shows it.

use crate::contract::size_text;
use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};
use tfgrid_client::primitives::text::printable;

/// From one line to the next.
const EVERY: Duration = Duration::from_millis(200);
/// Limit of what goes before the numbers.
const WHAT_BYTES: u32 = 48;
/// What clears the line above the cursor, and goes there.
const ANEW: &str = "\x1b[A\r\x1b[K";

/// A line that is written over, and gone at the end.
pub struct Progress {
    is_watched: bool,
    begun: Instant,
    /// When the last line was written.
    told: Instant,
}

impl Progress {
    /// `is_watched` is whether there is a terminal for it.
    pub fn new(is_watched: bool) -> Self {
        let begun = Instant::now();
        Self { is_watched, begun, told: begun }
    }

    /// Tells how many bytes have been moved, and how fast; `what` goes before that.
    pub fn tell(&mut self, what: &str, moved: u64) {
        let anew = self.anew();
        if let Some(line) = self.line(what, moved, Instant::now()) {
            // It is ended: what stands there after Ctrl-C begins on a line of its own.
            print(&format!("{anew}{line}\n"));
        }
    }

    /// What clears the last line, if there is one.
    fn anew(&self) -> &'static str {
        if self.told > self.begun { ANEW } else { "" }
    }

    /// The line for this moment, if one is due.
    fn line(&mut self, what: &str, moved: u64, now: Instant) -> Option<String> {
        if !self.is_watched || now.duration_since(self.told) < EVERY {
            return None;
        }
        self.told = now;
        let ms = now.duration_since(self.begun).as_millis();
        let each_second = u64::try_from(u128::from(moved) * 1_000 / ms).unwrap_or(u64::MAX);
        let what = printable(what, WHAT_BYTES);
        let line = format!("{what} {} moved, {}/s", size_text(moved), size_text(each_second));
        Some(line.trim_start().into())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        print(self.anew());
    }
}

/// Whether somebody sees lines on stderr that aren't answers.
pub fn is_watched(json: bool) -> bool {
    !json && io::stderr().is_terminal()
}

/// Nothing is left to do if even stderr is closed.
fn print(text: &str) {
    let _ = write!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_their_rate_are_told_from_time_to_time() {
        let mut progress = Progress::new(true);
        let begun = progress.begun;
        let mut line = |ms, moved| progress.line("data:", moved, begun + Duration::from_millis(ms));
        assert_eq!(line(199, 1 << 20), None);
        assert_eq!(line(500, 5 << 20).as_deref(), Some("data: 5.00 MiB moved, 10.00 MiB/s"));
        assert_eq!(line(699, 9 << 20), None);
        assert_eq!(line(1_000, 3 << 30).as_deref(), Some("data: 3.00 GiB moved, 3.00 GiB/s"));
    }

    #[test]
    fn only_a_line_that_was_told_is_cleared() {
        let mut progress = Progress::new(true);
        assert_eq!(progress.anew(), "");
        progress.line("", 1 << 20, progress.begun + EVERY).unwrap();
        assert_eq!(progress.anew(), ANEW);
    }

    #[test]
    fn nothing_is_told_where_nobody_watches() {
        let mut progress = Progress::new(is_watched(true));
        let later = progress.begun + 10 * EVERY;
        assert_eq!(progress.line("", 1 << 20, later), None);
        assert_eq!(progress.anew(), "");
    }

    #[test]
    fn a_name_that_a_node_gave_moves_no_cursor() {
        let mut progress = Progress::new(true);
        let later = progress.begun + EVERY;
        let line = progress.line("a\r\x1b[2J\nb:", 0, later).unwrap();
        assert_eq!(line, "a  [2J b: 0.00 MiB moved, 0.00 MiB/s");
        let line = progress.line(&"a".repeat(1_000), 0, later + EVERY).unwrap();
        assert!(line.len() < 80, "{line}");
    }
}
