// SPDX-License-Identifier: Apache-2.0
//! What the agent of a node has code for (`docs/FORMATS.md` §3.1).

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// A set of what a node serves. Its bits are stable; those that this build doesn't know are kept.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Features(pub u32);

impl Features {
    /// Workloads of type `zmachine`.
    pub const ZMACHINE: Self = Self(1 << 0);
    /// Workloads of type `zmount`.
    pub const ZMOUNT: Self = Self(1 << 1);
    /// Public addresses of contracts.
    pub const PUBLIC_IPS: Self = Self(1 << 2);
    /// Private networks.
    pub const NETWORKS: Self = Self(1 << 3);
    /// Sleep at the farmer's will, with a way to be woken.
    pub const POWER: Self = Self(1 << 4);
    /// Workloads of type `volume`.
    pub const VOLUME: Self = Self(1 << 5);
    /// Workloads of type `zlogs`.
    pub const ZLOGS: Self = Self(1 << 6);
    /// Workloads of types `gateway-name-proxy` and `gateway-fqdn-proxy`.
    pub const GATEWAYS: Self = Self(1 << 7);

    /// All that this build knows.
    pub const ALL: Self = Self(0b1111_1111);

    const NAMES: [(Self, &str); 8] = [
        (Self::ZMACHINE, "zmachine"),
        (Self::ZMOUNT, "zmount"),
        (Self::PUBLIC_IPS, "public-ips"),
        (Self::NETWORKS, "networks"),
        (Self::POWER, "power"),
        (Self::VOLUME, "volume"),
        (Self::ZLOGS, "zlogs"),
        (Self::GATEWAYS, "gateways"),
    ];

    /// Whether all of `other` is in it.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The union of both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The names of those that are in it, as people read them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(feature, _)| self.contains(*feature)).map(|(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn a_set_has_its_own_and_not_others() {
        let set = Features::ZMACHINE.and(Features::NETWORKS);
        assert!(set.contains(Features::ZMACHINE) && set.contains(Features::default()) && set.contains(set));
        assert!(!set.contains(Features::ZMOUNT) && !set.contains(set.and(Features::POWER)));
        assert_eq!(set.names().collect::<Vec<_>>(), ["zmachine", "networks"]);
    }

    #[test]
    fn bits_are_stable_and_unknown_ones_stay() {
        let all = Features::NAMES.map(|(feature, _)| feature.0);
        assert_eq!(all, [1, 2, 4, 8, 16, 32, 64, 128]);
        assert_eq!(all.iter().sum::<u32>(), Features::ALL.0);
        let newer = Features(0x8000_0001);
        assert_eq!(Features::decode(&mut &newer.encode()[..]), Ok(newer));
        assert_eq!(newer.names().collect::<Vec<_>>(), ["zmachine"]);
    }
}
