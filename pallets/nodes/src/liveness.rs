// SPDX-License-Identifier: Apache-2.0
//! Whether a node counts as online: the records, and the arithmetic of leaving and coming back.

use codec::{Decode, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use tfgrid_primitives::{
    GridMillis, PriceTime, ReportMark,
    refund::ClockSpan,
    units::{DAY_MS, HOUR_MS},
};

/// Heartbeats that a node may miss before it counts as offline.
pub const MISSED_HEARTBEATS: u64 = 3;
/// Heartbeats in a row after which a node is back.
pub const HEARTBEATS_TO_RETURN: u32 = 3;
/// Heartbeats further apart than so many intervals aren't in a row.
pub const LONGEST_GAP: u64 = 2;
/// A node that flaps must be heard from for at most this long before it is back.
pub const LONGEST_RETURN: GridMillis = HOUR_MS;
/// A node that stayed online for this long hasn't flapped.
pub const STEADY: GridMillis = DAY_MS;

/// A node's last sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Heartbeat {
    /// Grid time at which it came in.
    pub at: GridMillis,
    /// Its sequence: the next must be above.
    pub sequence: u64,
    /// The agent's nonce of this boot; none before the first heartbeat.
    pub boot_nonce: Option<u64>,
    /// The nonce before that. Machines that take turns under one key come back to it.
    pub previous_nonce: Option<u64>,
    /// Where the price clock stood.
    pub clock: PriceTime,
}

impl Heartbeat {
    /// What a node starts with when it joins.
    pub(crate) fn at_joining(at: GridMillis, clock: PriceTime) -> Self {
        Self { at, sequence: 0, boot_nonce: None, previous_nonce: None, clock }
    }

    /// What the next heartbeat must come after.
    pub(crate) fn mark(&self) -> ReportMark {
        ReportMark { sequence: self.sequence, at: self.at }
    }

    /// The same at another moment: the node was heard from in another way.
    pub(crate) fn at_moment(self, at: GridMillis, clock: PriceTime) -> Self {
        Self { at, clock, ..self }
    }

    /// The agent tells this nonce now.
    pub(crate) fn of_boot(self, sequence: u64, nonce: u64) -> Self {
        let previous_nonce =
            if self.boot_nonce == Some(nonce) { self.previous_nonce } else { self.boot_nonce };
        Self { sequence, boot_nonce: Some(nonce), previous_nonce, ..self }
    }

    /// Whether a heartbeat with `nonce` betrays a second machine under the key: a boot that was over goes on.
    pub(crate) fn is_contradicted_by(&self, nonce: u64) -> bool {
        self.boot_nonce != Some(nonce) && self.previous_nonce == Some(nonce)
    }
}

/// Whether a node counts as online, and when that is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Liveness {
    /// Online, offline or asleep.
    pub state: LiveState,
    /// When its [`Deadline::Silence`](tfgrid_primitives::Deadline) is due.
    pub check_at: GridMillis,
    /// How often it went offline less than a day after it had returned.
    pub flaps: u8,
    /// The stretch of the price clock in which it served nobody last, up to its return: contracts that were
    /// charged through it get that back.
    pub outage: ClockSpan,
}

/// Whether a node counts as online.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub enum LiveState {
    /// It is heard from.
    Online {
        /// Since when.
        since: GridMillis,
    },
    /// It was silent for too long, or is cloned.
    Offline(Outage),
    /// It sleeps, as its farmer wants.
    Standby {
        /// Since when.
        since: GridMillis,
    },
}

/// A time in which a node is offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Outage {
    /// Since when.
    pub since: GridMillis,
    /// Where the price clock stood at the last heartbeat before it: up to there contracts are paid.
    pub clock: PriceTime,
    /// The heartbeats in a row that it has sent since.
    pub row: Option<Row>,
    /// Several machines use its key: heartbeats don't count until its farmer has cleared that.
    pub cloned: bool,
    /// It has been offline for so long that its contracts close.
    pub given_up: bool,
}

impl Outage {
    /// One that begins.
    pub(crate) fn new(since: GridMillis, clock: PriceTime) -> Self {
        Self { since, clock, row: None, cloned: false, given_up: false }
    }
}

/// Heartbeats in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Row {
    /// How many.
    pub beats: u32,
    /// When the first of them came.
    pub from: GridMillis,
}

impl Row {
    /// `before` and a heartbeat at `now`, `gap` after the last one.
    pub(crate) fn with(before: Option<Self>, gap: GridMillis, now: GridMillis, interval: GridMillis) -> Self {
        let in_row = gap <= interval.saturating_mul(LONGEST_GAP);
        let Self { beats, from } = before.filter(|_| in_row).unwrap_or(Self { beats: 0, from: now });
        Self { beats: beats.saturating_add(1), from }
    }

    /// Whether it is enough to come back at `now` after `flaps` flaps: the time that it must span doubles
    /// with each.
    pub(crate) fn suffices(&self, now: GridMillis, interval: GridMillis, flaps: u8) -> bool {
        let doublings = 1u64.checked_shl(flaps.into()).unwrap_or(u64::MAX);
        // A row spans an interval at least, also where that is the longer of both.
        let span = interval.saturating_mul(doublings).min(LONGEST_RETURN.max(interval));
        self.beats >= HEARTBEATS_TO_RETURN && now.saturating_sub(self.from) >= span
    }
}

impl Liveness {
    /// How often the node has flapped if it goes offline at `now`.
    pub(crate) fn flaps_at(&self, now: GridMillis) -> u8 {
        match self.state {
            LiveState::Online { since } if now.saturating_sub(since) >= STEADY => 0,
            LiveState::Online { .. } => self.flaps.saturating_add(1),
            LiveState::Offline(_) | LiveState::Standby { .. } => self.flaps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: GridMillis = 600_000;

    #[test]
    fn a_reboot_is_no_clone_and_taking_turns_is() {
        let first = Heartbeat::at_joining(0, 0).of_boot(1, 7);
        assert!(!first.is_contradicted_by(7));
        assert!(!first.is_contradicted_by(8));
        let second = first.of_boot(2, 8);
        assert!(!second.is_contradicted_by(8));
        assert!(!second.of_boot(3, 8).is_contradicted_by(9));
        assert!(second.is_contradicted_by(7));
        assert!(second.of_boot(3, 8).is_contradicted_by(7));
        assert!(!second.of_boot(3, 9).is_contradicted_by(7), "a boot long over is forgotten");
    }

    #[test]
    fn a_row_breaks_where_a_gap_is_longer_than_two_intervals() {
        let row = Row::with(None, u64::MAX, 10, INTERVAL);
        assert_eq!(row, Row { beats: 1, from: 10 });
        let longer = Row::with(Some(row), 2 * INTERVAL, 20, INTERVAL);
        assert_eq!(longer, Row { beats: 2, from: 10 });
        assert_eq!(Row::with(Some(longer), 2 * INTERVAL + 1, 30, INTERVAL), Row { beats: 1, from: 30 });
    }

    #[test]
    fn the_time_to_return_doubles_with_each_flap_up_to_an_hour() {
        let row = Row { beats: 3, from: 0 };
        for (flaps, span) in [(0, 1), (1, 2), (2, 4), (3, 6), (4, 6), (63, 6), (64, 6), (255, 6)] {
            assert!(row.suffices(span * INTERVAL, INTERVAL, flaps), "{flaps} flaps");
            assert!(!row.suffices(span * INTERVAL - 1, INTERVAL, flaps), "{flaps} flaps");
        }
        assert!(!Row { beats: 2, from: 0 }.suffices(u64::MAX, INTERVAL, 0));
    }

    #[test]
    fn flaps_are_counted_unless_the_node_was_steady_and_do_not_wrap() {
        let live = |state, flaps| Liveness { state, check_at: 0, flaps, outage: ClockSpan::default() };
        let online = LiveState::Online { since: 5 };
        assert_eq!(live(online, 3).flaps_at(5 + STEADY - 1), 4);
        assert_eq!(live(online, 3).flaps_at(5 + STEADY), 0);
        assert_eq!(live(online, u8::MAX).flaps_at(6), u8::MAX);
        assert_eq!(live(LiveState::Standby { since: 0 }, 3).flaps_at(u64::MAX), 3);
    }
}
