// SPDX-License-Identifier: Apache-2.0
//! Public IP addresses, and which of them a farm may offer. Pure: no storage.
//!
//! An address must be global unicast, so that the world can reach it. Where its prefix leaves room for a
//! network of more than two, it is neither the network's first address nor, for IPv4, its last: these name
//! the network and its broadcast. The gateway obeys the same rules and is another address of the same network,
//! but for two cases that hosters know well: a lone address (prefix 32 or 128) has no network, so its gateway
//! is any other public address, and an IPv6 gateway may be link-local.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// An IPv4 address as a machine is given it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Ipv4 {
    /// The address, as it is written.
    pub address: [u8; 4],
    /// How many bits of it are the network's: 8 to 32.
    pub prefix: u8,
    /// Where packets to the world go.
    pub gateway: [u8; 4],
}

/// An IPv6 address as a machine is given it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Ipv6 {
    /// The address, as it is written.
    pub address: [u8; 16],
    /// How many bits of it are the network's: 16 to 128.
    pub prefix: u8,
    /// Where packets to the world go.
    pub gateway: [u8; 16],
}

/// What a farm offers as one public IP.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct PublicIp {
    /// An IPv4 address.
    pub v4: Ipv4,
    /// An IPv6 address that comes with it.
    pub v6: Option<Ipv6>,
}

/// An address by itself: what is unique on the grid.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Address {
    /// IPv4.
    V4([u8; 4]),
    /// IPv6.
    V6([u8; 16]),
}

/// What is wrong with a public IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The address isn't public.
    NotPublic,
    /// The prefix is out of range.
    Prefix,
    /// The address is that of its network or its broadcast.
    NotHost,
    /// The gateway can't be one.
    Gateway,
}

impl PublicIp {
    /// The addresses that no other farm may offer.
    pub fn addresses(&self) -> impl Iterator<Item = Address> {
        let v6 = self.v6.map(|v6| Address::V6(v6.address));
        core::iter::once(Address::V4(self.v4.address)).chain(v6)
    }

    /// Refuses what nobody could use.
    pub fn check(&self) -> Result<(), Fault> {
        self.v4.check()?;
        self.v6.map_or(Ok(()), |v6| v6.check())
    }
}

impl Ipv4 {
    fn check(&self) -> Result<(), Fault> {
        let net = Net { bits: 32, prefix: self.prefix, address: v4(self.address), top_is_broadcast: true };
        let gateway = v4(self.gateway);
        if !is_public_v4(net.address) {
            return Err(Fault::NotPublic);
        }
        net.check_address(8)?;
        let fits = is_public_v4(gateway) && net.admits_gateway(gateway);
        fits.then_some(()).ok_or(Fault::Gateway)
    }
}

impl Ipv6 {
    fn check(&self) -> Result<(), Fault> {
        let address = u128::from_be_bytes(self.address);
        let net = Net { bits: 128, prefix: self.prefix, address, top_is_broadcast: false };
        let gateway = u128::from_be_bytes(self.gateway);
        if !is_public_v6(net.address) {
            return Err(Fault::NotPublic);
        }
        net.check_address(16)?;
        let fits = is_link_local_v6(gateway) || is_public_v6(gateway) && net.admits_gateway(gateway);
        fits.then_some(()).ok_or(Fault::Gateway)
    }
}

/// An address of `bits` bits in its network.
struct Net {
    bits: u8,
    prefix: u8,
    address: u128,
    top_is_broadcast: bool,
}

impl Net {
    fn check_address(&self, shortest_prefix: u8) -> Result<(), Fault> {
        if !(shortest_prefix..=self.bits).contains(&self.prefix) {
            return Err(Fault::Prefix);
        }
        self.is_host(self.address).then_some(()).ok_or(Fault::NotHost)
    }

    fn admits_gateway(&self, gateway: u128) -> bool {
        let lone = self.prefix == self.bits;
        gateway != self.address && (lone || self.contains(gateway) && self.is_host(gateway))
    }

    fn contains(&self, other: u128) -> bool {
        (self.address ^ other) & !self.host_mask() == 0
    }

    /// Whether an address of this network is a machine's.
    fn is_host(&self, address: u128) -> bool {
        let host = address & self.host_mask();
        let has_room = self.bits.saturating_sub(self.prefix) > 1;
        !has_room || host != 0 && !(self.top_is_broadcast && host == self.host_mask())
    }

    /// The bits of an address that aren't the network's.
    fn host_mask(&self) -> u128 {
        low_bits(self.bits.saturating_sub(self.prefix))
    }
}

/// A number whose lowest `count` bits are set.
fn low_bits(count: u8) -> u128 {
    1u128.checked_shl(count.into()).map_or(u128::MAX, |power| power.saturating_sub(1))
}

fn v4(address: [u8; 4]) -> u128 {
    u32::from_be_bytes(address).into()
}

/// IPv4 networks that aren't global unicast (IANA's registry of special purposes, and all above 224.0.0.0).
const SPECIAL_V4: [([u8; 4], u8); 15] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

fn is_public_v4(address: u128) -> bool {
    let is_in = |(network, prefix): &([u8; 4], u8)| {
        let net = Net { bits: 32, prefix: *prefix, address: v4(*network), top_is_broadcast: true };
        net.contains(address)
    };
    !SPECIAL_V4.iter().any(is_in)
}

/// Of the IPv6 networks under 2000::/3, those that aren't global unicast: IETF protocols (2001::/23), both
/// documentation networks and 6to4.
const SPECIAL_V6: [(u128, u8); 4] =
    [(0x2001 << 112, 23), (0x2001_0db8 << 96, 32), (0x2002 << 112, 16), (0x3fff << 112, 20)];

fn is_public_v6(address: u128) -> bool {
    !SPECIAL_V6.iter().any(|special| is_in_v6(*special, address)) && is_in_v6((0x2000 << 112, 3), address)
}

fn is_link_local_v6(address: u128) -> bool {
    is_in_v6((0xfe80 << 112, 10), address) && address & low_bits(64) != 0
}

fn is_in_v6((network, prefix): (u128, u8), address: u128) -> bool {
    Net { bits: 128, prefix, address: network, top_is_broadcast: false }.contains(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn check_v4(address: &str, prefix: u8, gateway: &str) -> Result<(), Fault> {
        let octets = |text: &str| text.parse::<Ipv4Addr>().unwrap().octets();
        let v4 = Ipv4 { address: octets(address), prefix, gateway: octets(gateway) };
        PublicIp { v4, v6: None }.check()
    }

    fn check_v6(address: &str, prefix: u8, gateway: &str) -> Result<(), Fault> {
        let octets = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
        let v4 = Ipv4 { address: [1, 1, 1, 2], prefix: 24, gateway: [1, 1, 1, 1] };
        let v6 = Ipv6 { address: octets(address), prefix, gateway: octets(gateway) };
        PublicIp { v4, v6: Some(v6) }.check()
    }

    #[test]
    fn what_machines_are_given_is_admitted() {
        assert_eq!(check_v4("185.69.166.10", 24, "185.69.166.1"), Ok(()));
        assert_eq!(check_v4("185.69.166.10", 8, "185.0.0.1"), Ok(()));
        assert_eq!(check_v4("8.8.8.5", 30, "8.8.8.6"), Ok(()));
        assert_eq!(check_v6("2a10:b600:1::5", 64, "2a10:b600:1::1"), Ok(()));
        assert_eq!(check_v6("2a10:b600:1::5", 64, "fe80::1"), Ok(()));
        assert_eq!(check_v6("2a10:b600::5", 16, "2a10::1"), Ok(()));
        assert_eq!(check_v6("2a10:b600:1::ffff:ffff:ffff:ffff", 64, "2a10:b600:1::1"), Ok(()));
    }

    #[test]
    fn the_last_two_of_a_network_may_be_all_of_it() {
        assert_eq!(check_v4("8.8.8.4", 31, "8.8.8.5"), Ok(()));
        assert_eq!(check_v4("8.8.8.5", 31, "8.8.8.4"), Ok(()));
        assert_eq!(check_v6("2a10::4", 127, "2a10::5"), Ok(()));
        assert_eq!(check_v4("8.8.8.5", 31, "8.8.8.6"), Err(Fault::Gateway));
    }

    #[test]
    fn a_lone_address_has_any_public_gateway_but_itself() {
        assert_eq!(check_v4("8.8.8.8", 32, "9.9.9.9"), Ok(()));
        assert_eq!(check_v4("8.8.8.8", 32, "8.8.8.8"), Err(Fault::Gateway));
        assert_eq!(check_v4("8.8.8.8", 32, "10.0.0.1"), Err(Fault::Gateway));
        assert_eq!(check_v6("2a10::8", 128, "2a10:1::1"), Ok(()));
        assert_eq!(check_v6("2a10::8", 128, "2a10::8"), Err(Fault::Gateway));
        assert_eq!(check_v6("2a10::8", 128, "::1"), Err(Fault::Gateway));
    }

    #[test]
    fn special_networks_are_not_public_from_their_first_to_their_last_address() {
        let special = [
            ("0.0.0.0", "0.255.255.255"),
            ("10.0.0.0", "10.255.255.255"),
            ("100.64.0.0", "100.127.255.255"),
            ("127.0.0.0", "127.255.255.255"),
            ("169.254.0.0", "169.254.255.255"),
            ("172.16.0.0", "172.31.255.255"),
            ("192.0.0.0", "192.0.0.255"),
            ("192.0.2.0", "192.0.2.255"),
            ("192.88.99.0", "192.88.99.255"),
            ("192.168.0.0", "192.168.255.255"),
            ("198.18.0.0", "198.19.255.255"),
            ("198.51.100.0", "198.51.100.255"),
            ("203.0.113.0", "203.0.113.255"),
            ("224.0.0.0", "255.255.255.255"),
        ];
        let number = |text: &str| u128::from(u32::from(text.parse::<Ipv4Addr>().unwrap()));
        for (first, last) in special.map(|(first, last)| (number(first), number(last))) {
            assert!(!is_public_v4(first) && !is_public_v4(last), "{first:x}–{last:x}");
            let (before, after) = (first.checked_sub(1), (last < u32::MAX.into()).then_some(last + 1));
            for neighbour in before.into_iter().chain(after) {
                assert!(is_public_v4(neighbour), "{neighbour:x}");
            }
        }
        assert_eq!(check_v4("192.168.1.5", 24, "192.168.1.1"), Err(Fault::NotPublic));
    }

    #[test]
    fn only_global_unicast_ipv6_is_public() {
        let not = [
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "64:ff9b::1",
            "100::1",
            "1fff::1",
            "2001::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2001:db8:ffff::1",
            "2002::1",
            "3fff::1",
            "3fff:fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
        ];
        for address in not {
            assert_eq!(check_v6(address, 64, "2a10::1"), Err(Fault::NotPublic), "{address}");
        }
        for address in ["2000::5", "2001:200::5", "2001:db7::5", "2001:db9::5", "2003::5", "3fff:1000::5"] {
            assert_eq!(check_v6(address, 64, "fe80::1"), Ok(()), "{address}");
        }
    }

    #[test]
    fn prefixes_are_of_networks_that_exist() {
        assert_eq!(check_v4("8.8.8.8", 7, "8.8.8.1"), Err(Fault::Prefix));
        assert_eq!(check_v4("8.8.8.8", 33, "8.8.8.1"), Err(Fault::Prefix));
        assert_eq!(check_v4("8.8.8.8", 255, "8.8.8.1"), Err(Fault::Prefix));
        assert_eq!(check_v6("2a10::5", 15, "2a10::1"), Err(Fault::Prefix));
        assert_eq!(check_v6("2a10::5", 129, "2a10::1"), Err(Fault::Prefix));
    }

    #[test]
    fn neither_a_network_nor_its_broadcast_is_a_machine() {
        assert_eq!(check_v4("8.8.8.0", 24, "8.8.8.1"), Err(Fault::NotHost));
        assert_eq!(check_v4("8.8.8.255", 24, "8.8.8.1"), Err(Fault::NotHost));
        assert_eq!(check_v4("8.8.8.4", 30, "8.8.8.5"), Err(Fault::NotHost));
        assert_eq!(check_v4("8.8.8.7", 30, "8.8.8.5"), Err(Fault::NotHost));
        assert_eq!(check_v6("2a10::", 64, "2a10::1"), Err(Fault::NotHost));
    }

    #[test]
    fn a_gateway_is_another_machine_of_the_same_network() {
        for gateway in ["8.8.8.9", "8.8.8.0", "8.8.8.255", "8.8.9.1", "10.0.0.1", "0.0.0.0"] {
            assert_eq!(check_v4("8.8.8.9", 24, gateway), Err(Fault::Gateway), "{gateway}");
        }
        for gateway in ["2a10::9", "2a10::", "2a10:0:0:1::1", "::", "fe80::", "ff02::1"] {
            assert_eq!(check_v6("2a10::9", 64, gateway), Err(Fault::Gateway), "{gateway}");
        }
        assert_eq!(
            check_v4("172.1.0.1", 8, "172.16.0.1"),
            Err(Fault::Gateway),
            "a private part of a wide network"
        );
    }

    #[test]
    fn both_addresses_of_a_pair_are_unique() {
        let v4 = Ipv4 { address: [1, 1, 1, 2], prefix: 24, gateway: [1, 1, 1, 1] };
        let v6 = Ipv6 { address: [32; 16], prefix: 64, gateway: [33; 16] };
        let all = |v6| PublicIp { v4, v6 }.addresses().collect::<Vec<_>>();
        assert_eq!(all(None), [Address::V4([1, 1, 1, 2])]);
        assert_eq!(all(Some(v6)), [Address::V4([1, 1, 1, 2]), Address::V6([32; 16])]);
    }
}
