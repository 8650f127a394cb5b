// SPDX-License-Identifier: Apache-2.0
//! Liveness of a node: the records, and the arithmetic of going offline and coming back. Pure: no storage.

use codec::{Decode, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use tfgrid_primitives::{
    GridMillis, PriceTime, ReportMark,
    refund::ClockSpan,
    units::{DAY_MS, HOUR_MS},
};

/// A node that has missed so many heartbeats is offline.
pub const MISSED_HEARTBEATS: u64 = 3;
/// A node is online again after so many heartbeats in a row.
pub const HEARTBEATS_TO_RETURN: u32 = 3;
/// Heartbeats more than so many intervals apart aren't in a row.
pub const MAX_STREAK_INTERVALS: u64 = 2;
/// Upper limit of the time that heartbeats in a row must span before a flapping node is online again.
pub const MAX_RETURN_TIME: GridMillis = HOUR_MS;
/// A node that was online for so long before it goes offline hasn't flapped.
pub const STEADY_TIME: GridMillis = DAY_MS;

/// The last heartbeat of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Heartbeat {
    /// Grid time at which the chain took it.
    pub at: GridMillis,
    /// Sequence number: that of the next heartbeat must be higher.
    pub sequence: u64,
    /// Nonce of the agent's present boot; `None` before the first heartbeat.
    pub boot_nonce: Option<u64>,
    /// Nonce before that one. Two machines under one key alternate between the two.
    pub previous_nonce: Option<u64>,
    /// Price clock at that time.
    pub clock: PriceTime,
}

impl Heartbeat {
    /// The record of a node that joins.
    pub(crate) fn at_joining(at: GridMillis, clock: PriceTime) -> Self {
        Self { at, sequence: 0, boot_nonce: None, previous_nonce: None, clock }
    }

    /// The mark that the next heartbeat must come after.
    pub(crate) fn mark(&self) -> ReportMark {
        ReportMark { sequence: self.sequence, at: self.at }
    }

    /// The same record at another moment.
    pub(crate) fn at_moment(self, at: GridMillis, clock: PriceTime) -> Self {
        Self { at, clock, ..self }
    }

    /// The record with the nonce of this heartbeat.
    pub(crate) fn of_boot(self, sequence: u64, nonce: u64) -> Self {
        let previous_nonce =
            if self.boot_nonce == Some(nonce) { self.previous_nonce } else { self.boot_nonce };
        Self { sequence, boot_nonce: Some(nonce), previous_nonce, ..self }
    }

    /// Whether a heartbeat with `nonce` comes from a second machine under the key: a boot that had ended goes
    /// on.
    pub(crate) fn is_contradicted_by(&self, nonce: u64) -> bool {
        self.boot_nonce != Some(nonce) && self.previous_nonce == Some(nonce)
    }
}

/// Whether a node is online, and when the chain checks that again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Liveness {
    /// Online, offline or asleep.
    pub state: LiveState,
    /// Grid time at which its [`Deadline::Silence`](tfgrid_primitives::Deadline) is due.
    pub check_at: GridMillis,
    /// How often in a row it went offline less than [`STEADY_TIME`] after it had come back.
    pub flaps: u8,
    /// Last outage on the price clock, up to the node's return: contracts that were charged through it are
    /// refunded.
    pub outage: ClockSpan,
}

/// Whether a node is online.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub enum LiveState {
    /// The node sends heartbeats.
    Online {
        /// Grid time at which it came online.
        since: GridMillis,
    },
    /// The node has missed [`MISSED_HEARTBEATS`], or is cloned.
    Offline(Outage),
    /// The node sleeps, as its farmer has asked.
    Standby {
        /// Grid time at which it went to sleep.
        since: GridMillis,
    },
}

/// An outage of a node that is offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Outage {
    /// Grid time at which the node went offline.
    pub since: GridMillis,
    /// Price clock at the last heartbeat before the outage: contracts are charged up to there.
    pub clock: PriceTime,
    /// Heartbeats in a row since then.
    pub streak: Option<HeartbeatStreak>,
    /// Whether two machines use the node's key: heartbeats don't count until the farmer clears that.
    pub cloned: bool,
    /// Whether the node has been offline for so long that its contracts close.
    pub given_up: bool,
}

impl Outage {
    /// An outage that begins.
    pub(crate) fn new(since: GridMillis, clock: PriceTime) -> Self {
        Self { since, clock, streak: None, cloned: false, given_up: false }
    }
}

/// Heartbeats in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct HeartbeatStreak {
    /// Number of heartbeats.
    pub beats: u32,
    /// Grid time of the first one.
    pub from: GridMillis,
}

impl HeartbeatStreak {
    /// The streak with another heartbeat at `now`, `gap` after the last one.
    pub(crate) fn with(before: Option<Self>, gap: GridMillis, now: GridMillis, interval: GridMillis) -> Self {
        let continues = gap <= interval.saturating_mul(MAX_STREAK_INTERVALS);
        let Self { beats, from } = before.filter(|_| continues).unwrap_or(Self { beats: 0, from: now });
        Self { beats: beats.saturating_add(1), from }
    }

    /// Whether the streak brings a node back at `now` that has flapped `flaps` times: the time that it must
    /// span doubles with each flap.
    pub(crate) fn suffices(&self, now: GridMillis, interval: GridMillis, flaps: u8) -> bool {
        let doublings = 1u64.checked_shl(flaps.into()).unwrap_or(u64::MAX);
        // An interval may be longer than the upper limit.
        let span = interval.saturating_mul(doublings).min(MAX_RETURN_TIME.max(interval));
        self.beats >= HEARTBEATS_TO_RETURN && now.saturating_sub(self.from) >= span
    }
}

impl Liveness {
    pub(crate) fn is_online(&self) -> bool {
        matches!(self.state, LiveState::Online { .. })
    }

    /// Number of flaps when the node goes offline at `now`.
    pub(crate) fn flaps_at(&self, now: GridMillis) -> u8 {
        match self.state {
            LiveState::Online { since } if now.saturating_sub(since) >= STEADY_TIME => 0,
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
    fn alternating_boots_are_a_clone_and_a_reboot_is_not() {
        let first = Heartbeat::at_joining(0, PriceTime::ZERO).of_boot(1, 7);
        assert!(!first.is_contradicted_by(7));
        assert!(!first.is_contradicted_by(8));
        let second = first.of_boot(2, 8);
        assert!(!second.is_contradicted_by(8));
        assert!(!second.of_boot(3, 8).is_contradicted_by(9));
        assert!(second.is_contradicted_by(7));
        assert!(second.of_boot(3, 8).is_contradicted_by(7));
        assert!(!second.of_boot(3, 9).is_contradicted_by(7), "an older boot is forgotten");
    }

    #[test]
    fn a_gap_of_more_than_two_intervals_ends_a_streak() {
        let streak = HeartbeatStreak::with(None, u64::MAX, 10, INTERVAL);
        assert_eq!(streak, HeartbeatStreak { beats: 1, from: 10 });
        let longer = HeartbeatStreak::with(Some(streak), 2 * INTERVAL, 20, INTERVAL);
        assert_eq!(longer, HeartbeatStreak { beats: 2, from: 10 });
        assert_eq!(
            HeartbeatStreak::with(Some(longer), 2 * INTERVAL + 1, 30, INTERVAL),
            HeartbeatStreak { beats: 1, from: 30 }
        );
    }

    #[test]
    fn the_way_back_doubles_with_each_flap_up_to_an_hour() {
        let streak = HeartbeatStreak { beats: 3, from: 0 };
        for (flaps, span) in [(0, 1), (1, 2), (2, 4), (3, 6), (4, 6), (63, 6), (64, 6), (255, 6)] {
            assert!(streak.suffices(span * INTERVAL, INTERVAL, flaps), "{flaps} flaps");
            assert!(!streak.suffices(span * INTERVAL - 1, INTERVAL, flaps), "{flaps} flaps");
        }
        assert!(!HeartbeatStreak { beats: 2, from: 0 }.suffices(u64::MAX, INTERVAL, 0));
    }

    #[test]
    fn a_steady_day_forgets_flaps_and_their_count_saturates() {
        let live = |state, flaps| Liveness { state, check_at: 0, flaps, outage: ClockSpan::default() };
        let online = LiveState::Online { since: 5 };
        assert_eq!(live(online, 3).flaps_at(5 + STEADY_TIME - 1), 4);
        assert_eq!(live(online, 3).flaps_at(5 + STEADY_TIME), 0);
        assert_eq!(live(online, u8::MAX).flaps_at(6), u8::MAX);
        assert_eq!(live(LiveState::Standby { since: 0 }, 3).flaps_at(u64::MAX), 3);
    }
}
