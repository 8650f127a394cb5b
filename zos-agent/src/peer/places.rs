// SPDX-License-Identifier: Apache-2.0
//! Places for what is open at the same time, so that nobody keeps out the others.

use super::Known;
use iroh::endpoint::IncomingAddr;
use std::net::{IpAddr, Ipv6Addr};
use tfgrid_client::peer::{Counts, Place};
use tfgrid_primitives::PublicKey;

/// Handshakes at the same time of one origin.
const MAX_HANDSHAKES_OF_ORIGIN: usize = 8;

/// Where a handshake comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// An IPv4 address or an IPv6 /64.
    Network(IpAddr),
    /// A key, of which the relay has seen a proof.
    Relayed(PublicKey),
}

impl Origin {
    /// `None` of an address that the endpoint doesn't listen at.
    pub fn of(address: IncomingAddr) -> Option<Self> {
        match address {
            IncomingAddr::Ip(address) => Some(Self::Network(match address.ip().to_canonical() {
                IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
                ip => ip,
            })),
            IncomingAddr::Relay { endpoint_id, .. } => Some(Self::Relayed(*endpoint_id.as_bytes())),
            _ => None,
        }
    }
}

/// Callers that have places for handshakes in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    Direct,
    RelayedOwners,
    RelayedStrangers,
}

impl Group {
    fn of(origin: Origin, known: &Known) -> Self {
        match origin {
            Origin::Network(_) => Self::Direct,
            Origin::Relayed(key) if known.knows(&key) => Self::RelayedOwners,
            Origin::Relayed(_) => Self::RelayedStrangers,
        }
    }

    /// Handshakes at the same time.
    fn places(self) -> usize {
        match self {
            Self::Direct => 256,
            Self::RelayedOwners | Self::RelayedStrangers => 64,
        }
    }
}

/// The handshakes that go on.
#[derive(Default)]
pub struct Handshakes {
    of_origin: Counts<Origin>,
    of_group: Counts<Group>,
}

impl Handshakes {
    /// The places of one more handshake.
    pub fn begin(&self, origin: Origin, known: &Known) -> Option<(Place<Origin>, Place<Group>)> {
        let group = Group::of(origin, known);
        let of_origin = Place::take(&self.of_origin, origin, MAX_HANDSHAKES_OF_ORIGIN)?;
        Some((of_origin, Place::take(&self.of_group, group, group.places())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iroh::SecretKey;
    use std::collections::BTreeMap;

    const OWNER: PublicKey = [1; 32];

    fn known() -> Known {
        Known::new(BTreeMap::from([(1, vec![OWNER])]), BTreeMap::from([(10, 1)]))
    }

    #[test]
    fn strangers_over_a_relay_keep_out_no_others() {
        let (handshakes, known) = (Handshakes::default(), known());
        let stranger = |n: u8| Origin::Relayed([n; 32]);
        let taken: Vec<_> = (100..).map_while(|n| handshakes.begin(stranger(n), &known)).collect();
        assert_eq!(taken.len(), 64);
        let direct = Origin::Network([192, 0, 2, 1].into());
        let others = [Origin::Relayed(OWNER), direct].map(|origin| handshakes.begin(origin, &known));
        assert!(others.iter().all(Option::is_some));
        drop(taken);
        assert!(handshakes.begin(stranger(100), &known).is_some());
    }

    #[test]
    fn each_origin_has_8_handshakes_at_a_time() {
        let (handshakes, known) = (Handshakes::default(), known());
        let direct = |address: &str| IncomingAddr::Ip(address.parse().unwrap());
        let relayed = |secret: u8| IncomingAddr::Relay {
            url: "https://relay.example".parse().unwrap(),
            endpoint_id: SecretKey::from_bytes(&[secret; 32]).public(),
        };
        for [first, same, other] in [
            ["192.0.2.1:1", "[::ffff:192.0.2.1]:2", "192.0.2.2:1"].map(direct),
            ["[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8:0:1::1]:1"].map(direct),
            [7, 7, 8].map(relayed),
        ] {
            let begin = |address: &IncomingAddr| handshakes.begin(Origin::of(address.clone())?, &known);
            let places: Vec<_> = (0..9).map_while(|_| begin(&first)).collect();
            assert_eq!(places.len(), 8, "{first:?}");
            assert!(begin(&same).is_none(), "{same:?}");
            assert!(begin(&other).is_some(), "{other:?}");
        }
    }
}
