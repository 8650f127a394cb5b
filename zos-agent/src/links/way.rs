// SPDX-License-Identifier: Apache-2.0
//! The way of a tunnel's packets to another node: over the connection of the agents, which is there first, or directly.

use crate::drivers::network::{KEEPALIVE, TunnelPeer};
use std::{net::SocketAddr, time::Duration};
use tokio::time::Instant;

/// Limit for a direct address to be answered from.
const TRY_FOR: Duration = Duration::from_secs(7);
/// A direct way on which nothing has come for so long is left.
const SILENT_FOR: Duration = Duration::from_millis(2 * KEEPALIVE.as_millis() as u64 + 2_000);
/// Limit for something to come on a way that is there already.
const ADOPT_WITHIN: Duration = Duration::from_millis(KEEPALIVE.as_millis() as u64 + 1_000);
/// From one round of tries to the next.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// How far the search for a direct way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Packets go over the connection.
    Relayed,
    /// They go to a direct address, which hasn't answered yet.
    Trying,
    /// The other node answers directly.
    Direct,
}

/// The way to another node.
#[derive(Debug)]
pub struct Way {
    state: State,
    /// When something last changed: the state, or in a direct one the bytes received.
    since: Instant,
    received: Option<u64>,
    /// Addresses that were tried in this round.
    tried: usize,
    next_round: Instant,
}

impl Way {
    /// Begins over the connection.
    pub fn new(now: Instant) -> Self {
        Self { state: State::Relayed, since: now, received: None, tried: 0, next_round: now }
    }

    /// Whether the other node answers directly.
    pub fn is_direct(&self) -> bool {
        self.state == State::Direct
    }

    /// Where packets are to go from now on, if that changes. WireGuard itself follows the other node: packets go where
    /// the last one has come from. `relay` is the address on this machine that stands for the connection, `direct` are
    /// those at which the other node may be reached.
    pub fn next(
        &mut self,
        seen: &TunnelPeer,
        relay: SocketAddr,
        direct: &[SocketAddr],
        now: Instant,
    ) -> Option<SocketAddr> {
        let comes = self.received.is_some_and(|before| before != seen.received);
        self.received = Some(seen.received);
        let is_at_relay = seen.endpoint == Some(relay);
        match self.state {
            State::Relayed if !is_at_relay && comes => self.enter(State::Direct, now),
            // A direct way that was found before the agent's start stays if it is one.
            State::Relayed if !is_at_relay && seen.endpoint.is_some() && now - self.since < ADOPT_WITHIN => {}
            State::Relayed if !is_at_relay => return Some(relay),
            State::Relayed if seen.received > 0 => return self.try_direct(direct, now),
            State::Relayed => {}
            State::Trying if !is_at_relay && comes => self.enter(State::Direct, now),
            State::Trying if now - self.since >= TRY_FOR || is_at_relay => {
                self.enter(State::Relayed, now);
                return Some(relay);
            }
            State::Trying => {}
            State::Direct if is_at_relay || (!comes && now - self.since >= SILENT_FOR) => {
                self.enter(State::Relayed, now);
                (self.tried, self.next_round) = (0, now + TRY_AGAIN);
                return Some(relay);
            }
            State::Direct if comes => self.since = now,
            State::Direct => {}
        }
        None
    }

    /// The next direct address, once something has come over the connection.
    fn try_direct(&mut self, direct: &[SocketAddr], now: Instant) -> Option<SocketAddr> {
        if now < self.next_round {
            return None;
        }
        let Some(address) = direct.get(self.tried) else {
            (self.tried, self.next_round) = (0, now + TRY_AGAIN);
            return None;
        };
        self.tried += 1;
        self.enter(State::Trying, now);
        Some(*address)
    }

    fn enter(&mut self, state: State, now: Instant) {
        (self.state, self.since) = (state, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELAY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

    fn direct() -> [SocketAddr; 2] {
        [([192, 0, 2, 1], 7).into(), ([192, 0, 2, 2], 7).into()]
    }

    /// A peer that was last heard from there.
    fn seen(endpoint: SocketAddr, received: u64) -> TunnelPeer {
        let mut peer = TunnelPeer::default();
        (peer.endpoint, peer.received) = (Some(endpoint), received);
        peer
    }

    #[test]
    fn a_direct_address_that_answers_is_kept_until_it_is_silent() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut way = Way::new(start);
        let [first, second] = direct();
        assert_eq!(way.next(&seen(RELAY, 0), RELAY, &direct(), at(0)), None, "nothing has come yet");
        assert_eq!(way.next(&seen(RELAY, 92), RELAY, &direct(), at(1)), Some(first));
        assert_eq!(way.next(&seen(first, 92), RELAY, &direct(), at(2)), None);
        assert_eq!(way.next(&seen(first, 92), RELAY, &direct(), at(8)), Some(RELAY));
        assert_eq!(way.next(&seen(RELAY, 124), RELAY, &direct(), at(9)), Some(second));
        assert_eq!(way.next(&seen(second, 156), RELAY, &direct(), at(10)), None);
        assert!(way.is_direct());
        assert_eq!(way.next(&seen(second, 188), RELAY, &direct(), at(20)), None);
        assert_eq!(way.next(&seen(second, 188), RELAY, &direct(), at(31)), None);
        assert_eq!(way.next(&seen(second, 188), RELAY, &direct(), at(32)), Some(RELAY));
        assert!(!way.is_direct());
        assert_eq!(way.next(&seen(RELAY, 220), RELAY, &direct(), at(33)), None);
        assert_eq!(way.next(&seen(RELAY, 252), RELAY, &direct(), at(92)), Some(first), "it is tried again");
    }

    #[test]
    fn the_other_nodes_choice_is_followed() {
        let now = Instant::now();
        let mut way = Way::new(now);
        let [first, _] = direct();
        assert_eq!(way.next(&seen(first, 60), RELAY, &direct(), now), None);
        assert_eq!(way.next(&seen(first, 92), RELAY, &direct(), now), None);
        assert!(way.is_direct(), "the other node was heard directly");
        assert_eq!(way.next(&seen(RELAY, 124), RELAY, &direct(), now), Some(RELAY));
        assert!(!way.is_direct(), "the other node sends over the connection again");
    }

    #[test]
    fn a_way_of_an_earlier_agent_on_which_nothing_comes_is_left() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut way = Way::new(start);
        let [first, _] = direct();
        for seconds in [0, 3, 5] {
            assert_eq!(way.next(&seen(first, 92), RELAY, &direct(), at(seconds)), None);
        }
        assert_eq!(way.next(&seen(first, 92), RELAY, &direct(), at(6)), Some(RELAY));
        let mut way = Way::new(start);
        assert_eq!(way.next(&TunnelPeer::default(), RELAY, &direct(), start), Some(RELAY));
    }

    #[test]
    fn without_a_direct_address_packets_stay_on_the_connection() {
        let start = Instant::now();
        let mut way = Way::new(start);
        for seconds in 0..200 {
            let at = start + Duration::from_secs(seconds);
            assert_eq!(way.next(&seen(RELAY, seconds), RELAY, &[], at), None);
        }
        assert_eq!(way.state, State::Relayed);
    }
}
