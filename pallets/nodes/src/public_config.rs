// SPDX-License-Identifier: Apache-2.0
//! Public addresses, domain and ports of a node, and their rules. Pure: no storage.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{BoundedVec, traits::ConstU32};
use scale_info::TypeInfo;

pub use tfgrid_primitives::net::Interface;

/// Upper limit of characters in a domain name.
pub const MAX_DOMAIN: u32 = 253;
/// Upper limit of characters between two dots of a domain name.
const MAX_LABEL: usize = 63;

/// A domain name in lower case, without a dot at its end.
pub type Domain = BoundedVec<u8, ConstU32<MAX_DOMAIN>>;

/// How the internet reaches a node.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct PublicConfig {
    /// IPv4 address.
    pub ipv4: Option<Interface<[u8; 4]>>,
    /// IPv6 address.
    pub ipv6: Option<Interface<[u8; 16]>>,
    /// Domain under which the node serves gateway names.
    pub domain: Option<Domain>,
    /// UDP ports that lead to the node, for WireGuard.
    pub wireguard_ports: Option<Ports>,
}

/// A range of ports.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Ports {
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
}

impl PublicConfig {
    /// Whether both interfaces keep the rules of [`Interface::check`].
    pub fn has_valid_addresses(&self) -> bool {
        self.ipv4.is_none_or(|ipv4| ipv4.check().is_ok()) && self.ipv6.is_none_or(|ipv6| ipv6.check().is_ok())
    }

    /// Whether the domain keeps the rules of DNS.
    pub fn has_valid_domain(&self) -> bool {
        self.domain.as_ref().is_none_or(|domain| is_domain(domain))
    }

    /// Whether the ports are a range that starts above zero.
    pub fn has_valid_ports(&self) -> bool {
        self.wireguard_ports.is_none_or(|ports| ports.first > 0 && ports.first <= ports.last)
    }
}

/// Whether this is two or more labels of letters, digits and inner hyphens, the last one not a number (RFC
/// 1123 §2.1).
fn is_domain(domain: &[u8]) -> bool {
    let is_label = |label: &[u8]| {
        let inner = |c: &u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-');
        (1..=MAX_LABEL).contains(&label.len())
            && label.iter().all(inner)
            && !label.starts_with(b"-")
            && !label.ends_with(b"-")
    };
    let mut labels = domain.split(|c| *c == b'.');
    let all_valid = labels.clone().all(is_label);
    let named = labels.clone().next_back().is_some_and(|top| !top.iter().all(u8::is_ascii_digit));
    all_valid && named && labels.nth(1).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ipv4(address: [u8; 4], prefix: u8, gateway: [u8; 4]) -> bool {
        let ipv4 = Some(Interface { address, prefix, gateway });
        PublicConfig { ipv4, ..Default::default() }.has_valid_addresses()
    }

    fn ipv6(address: &str, prefix: u8, gateway: &str) -> bool {
        let octets = |text: &str| text.parse::<core::net::Ipv6Addr>().unwrap().octets();
        let (address, gateway) = (octets(address), octets(gateway));
        let ipv6 = Some(Interface { address, prefix, gateway });
        PublicConfig { ipv6, ..Default::default() }.has_valid_addresses()
    }

    #[test]
    fn an_ipv4_address_is_public_with_its_gateway_next_to_it() {
        assert!(ipv4([185, 69, 166, 10], 24, [185, 69, 166, 1]));
        assert!(!ipv4([185, 69, 166, 10], 24, [185, 69, 167, 1]), "the gateway is in another network");
        assert!(!ipv4([185, 69, 166, 10], 24, [185, 69, 166, 10]), "the node is its own gateway");
        assert!(!ipv4([185, 69, 166, 0], 24, [185, 69, 166, 1]), "the address names its network");
        assert!(!ipv4([185, 69, 166, 255], 24, [185, 69, 166, 1]), "the address names its broadcast");
        for prefix in [0, 7, 33, 255] {
            assert!(!ipv4([185, 69, 166, 10], prefix, [185, 69, 166, 1]), "prefix {prefix}");
        }
        assert!(ipv4([185, 69, 166, 10], 32, [185, 69, 166, 1]), "point to point");
        for private in [
            [10, 0, 0, 2],
            [127, 0, 0, 2],
            [169, 254, 0, 2],
            [172, 16, 0, 2],
            [192, 168, 0, 2],
            [100, 64, 0, 2],
            [198, 18, 0, 2],
            [192, 0, 0, 2],
            [192, 0, 2, 2],
            [192, 88, 99, 2],
            [0, 0, 0, 2],
            [224, 0, 0, 2],
            [255, 255, 255, 255],
        ] {
            let gateway = [private[0], private[1], private[2], 1];
            assert!(!ipv4(private, 24, gateway), "{private:?} isn't public");
        }
    }

    #[test]
    fn an_ipv6_address_is_public_with_its_gateway_next_to_it() {
        assert!(ipv6("2a10:b600::10", 64, "2a10:b600::1"));
        assert!(ipv6("2a10:b600::10", 64, "fe80::1"));
        assert!(!ipv6("2a10:b600::10", 64, "2a10:b601::1"));
        assert!(!ipv6("2a10:b600::10", 64, "2a10:b600::10"));
        assert!(!ipv6("2a10:b600::10", 15, "2a10:b600::1"));
        assert!(!ipv6("2a10:b600::10", 129, "2a10:b600::1"));
        let others = ["::1", "fe80::2", "fd00::2", "ff02::2", "2001:db8::2", "3fff::2", "::ffff:1.2.3.4"];
        for other in others.into_iter().chain(["2001::2", "2002::2"]) {
            assert!(!ipv6(other, 64, "fe80::1"), "{other} isn't public");
        }
    }

    #[test]
    fn a_domain_keeps_the_rules_of_dns() {
        let longest_label = [b'a'; MAX_LABEL];
        let longest = [&longest_label[..], b"example"].join(&b'.');
        for good in [&b"gent01.dev.grid.tf"[..], b"a.b", b"xn--bcher-kva.example", b"1.example", &longest] {
            assert!(is_domain(good), "{}", String::from_utf8_lossy(good));
        }
        let too_long = [&[b'a'; MAX_LABEL + 1][..], b"example"].join(&b'.');
        for bad in [
            &b""[..],
            b"localhost",
            b".example",
            b"a..example",
            b"a.example.",
            b"-a.example",
            b"a-.example",
            b"A.example",
            b"a_b.example",
            b"a b.example",
            b"1.2.3.4",
            "bücher.example".as_bytes(),
            &too_long,
        ] {
            assert!(!is_domain(bad), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn ports_are_a_range_without_zero() {
        let valid = |first, last| {
            let wireguard_ports = Some(Ports { first, last });
            PublicConfig { wireguard_ports, ..Default::default() }.has_valid_ports()
        };
        assert!(valid(1, 1) && valid(1, u16::MAX));
        assert!(!valid(0, 10) && !valid(11, 10));
    }
}
