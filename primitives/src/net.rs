// SPDX-License-Identifier: Apache-2.0
//! Which IP addresses the internet routes to, how a machine may be given one, and private subnets.
//!
//! # Public addresses
//!
//! An address is *public* where IANA's registries of special-purpose addresses don't say otherwise:
//! [`NOT_PUBLIC_IPV4`] and [`NOT_PUBLIC_IPV6`] list the exceptions, and IPv6 is public within
//! [`GLOBAL_UNICAST_IPV6`] only. The lists are plain constants, so that a firewall can print them and a
//! pallet can ask [`is_public`].
//!
//! # Interfaces
//!
//! An [`Interface`] is valid if
//!
//! - its address is public;
//! - its prefix has 8 to 32 bits for IPv4, 16 to 128 bits for IPv6;
//! - its address names a machine: not the network (for IPv6 the subnet-router anycast address, RFC 4291 §2.6.1) and,
//!   for IPv4, not its broadcast. A network of two addresses has neither (RFC 3021, RFC 6164);
//! - its gateway is another public address that names a machine of the same network. An IPv6 gateway may be
//!   link-local instead, as routers announce themselves (RFC 4861 §4.2).
//!
//! **Point to point.** A prefix of 32 (IPv4) or 128 (IPv6) is a network of the address alone, so no gateway
//! lies in it. Hosters route single addresses to a machine like this, with the gateway of another network
//! that the machine reaches over the same link. Such an interface is valid with any other public gateway: to
//! refuse it would shut out farms that rent addresses one by one. A private gateway stays invalid: the chain
//! can't tell one that exists from a mistake.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use scale_info::TypeInfo;

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(first: u16, second: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), prefix)
}

/// IPv4 networks for private use (RFC 1918).
pub const PRIVATE_IPV4: [Ipv4Net; 3] = [v4(10, 0, 0, 0, 8), v4(172, 16, 0, 0, 12), v4(192, 168, 0, 0, 16)];

/// IPv4 networks whose addresses aren't public, in ascending order and without overlap.
pub const NOT_PUBLIC_IPV4: [Ipv4Net; 15] = [
    v4(0, 0, 0, 0, 8),       // this network: RFC 791 §3.2
    PRIVATE_IPV4[0],         // private use: RFC 1918
    v4(100, 64, 0, 0, 10),   // shared by carriers' NATs: RFC 6598
    v4(127, 0, 0, 0, 8),     // loopback: RFC 1122 §3.2.1.3
    v4(169, 254, 0, 0, 16),  // link-local: RFC 3927
    PRIVATE_IPV4[1],         // private use: RFC 1918
    v4(192, 0, 0, 0, 24),    // IETF protocols: RFC 6890 §2.1
    v4(192, 0, 2, 0, 24),    // documentation: RFC 5737
    v4(192, 88, 99, 0, 24),  // 6to4 relays, deprecated: RFC 7526
    PRIVATE_IPV4[2],         // private use: RFC 1918
    v4(198, 18, 0, 0, 15),   // benchmarks: RFC 2544
    v4(198, 51, 100, 0, 24), // documentation: RFC 5737
    v4(203, 0, 113, 0, 24),  // documentation: RFC 5737
    v4(224, 0, 0, 0, 4),     // multicast: RFC 5771
    v4(240, 0, 0, 0, 4),     // reserved, the limited broadcast among it: RFC 1112 §4, RFC 8190
];

/// The IPv6 network in which public addresses lie (RFC 4291 §2.4).
pub const GLOBAL_UNICAST_IPV6: Ipv6Net = v6(0x2000, 0, 3);

/// Parts of [`GLOBAL_UNICAST_IPV6`] whose addresses aren't public, in ascending order and without overlap.
pub const NOT_PUBLIC_IPV6: [Ipv6Net; 4] = [
    v6(0x2001, 0, 23),      // IETF protocols, such as Teredo and ORCHID: RFC 2928
    v6(0x2001, 0x0db8, 32), // documentation: RFC 3849
    v6(0x2002, 0, 16),      // 6to4: RFC 3056
    v6(0x3fff, 0, 20),      // documentation: RFC 9637
];

/// IPv6 networks of link-local addresses (RFC 4291 §2.5.6).
const LINK_LOCAL_IPV6: Ipv6Net = v6(0xfe80, 0, 10);

/// Whether the internet routes packets to `address`.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_IPV4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            GLOBAL_UNICAST_IPV6.contains(&address)
                && !NOT_PUBLIC_IPV6.iter().any(|network| network.contains(&address))
        }
    }
}

/// A public address of a machine, with its network and its gateway: `[u8; 4]` for IPv4, `[u8; 16]` for IPv6.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Interface<Address> {
    /// The address, in network byte order.
    pub address: Address,
    /// How many leading bits of the address name its network.
    pub prefix: u8,
    /// The router to other networks, in network byte order.
    pub gateway: Address,
}

/// The rule that an [`Interface`] breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// The internet doesn't route packets to the address.
    NotPublic,
    /// The prefix has too few or too many bits.
    PrefixOutOfRange,
    /// The address names its network or the network's broadcast.
    NotAMachine,
    /// The gateway isn't a public address of another machine in the same network.
    GatewayInvalid,
}

impl<Address: Copy + Into<IpAddr>> Interface<Address> {
    /// Checks the rules of the [module](self).
    pub fn check(&self) -> Result<(), AddressError> {
        let (address, gateway) = (self.address.into(), self.gateway.into());
        ensure(is_public(address), AddressError::NotPublic)?;
        let network = network_of(address, self.prefix).ok_or(AddressError::PrefixOutOfRange)?;
        ensure(is_machine(&network, address), AddressError::NotAMachine)?;
        ensure(is_gateway(&network, address, gateway), AddressError::GatewayInvalid)
    }
}

fn ensure(condition: bool, error: AddressError) -> Result<(), AddressError> {
    if condition { Ok(()) } else { Err(error) }
}

/// The network of `prefix` bits in which `address` lies; `None` where no public network has such a prefix.
fn network_of(address: IpAddr, prefix: u8) -> Option<IpNet> {
    let shortest = if address.is_ipv4() { 8 } else { 16 };
    IpNet::new(address, prefix).ok().filter(|_| prefix >= shortest)
}

fn is_machine(network: &IpNet, address: IpAddr) -> bool {
    let is_large = network.max_prefix_len().saturating_sub(network.prefix_len()) > 1;
    let is_broadcast = address.is_ipv4() && address == network.broadcast();
    !is_large || address != network.network() && !is_broadcast
}

fn is_gateway(network: &IpNet, address: IpAddr, gateway: IpAddr) -> bool {
    let is_point_to_point = network.prefix_len() == network.max_prefix_len();
    let is_neighbour = network.contains(&gateway) && is_machine(network, gateway);
    let is_router = is_public(gateway) && gateway != address && (is_point_to_point || is_neighbour);
    is_router || is_link_local_ipv6(gateway)
}

/// Whether `address` is link-local and names an interface: the last 64 bits aren't zero.
fn is_link_local_ipv6(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => LINK_LOCAL_IPV6.contains(&address) && address.segments()[4..] != [0; 4],
    }
}

/// An IPv4 network of a tenant: the machines of one twin on one node.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Subnet {
    /// The first address, in network byte order.
    pub address: [u8; 4],
    /// How many leading bits of an address name the network.
    pub prefix: u8,
}

impl Subnet {
    /// Whether the subnet is private ([`PRIVATE_IPV4`]), has a prefix of 16 to 30 bits and no host bits.
    pub fn is_valid(&self) -> bool {
        let is_private = |subnet: &Ipv4Net| PRIVATE_IPV4.iter().any(|network| network.contains(subnet));
        Ipv4Net::new(self.address.into(), self.prefix).is_ok_and(|subnet| {
            (16..=30).contains(&self.prefix) && subnet.network() == subnet.addr() && is_private(&subnet)
        })
    }

    /// The first and the last address, as numbers.
    pub fn bounds(&self) -> (u32, u32) {
        let first = u32::from_be_bytes(self.address);
        (first, first | u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0))
    }

    /// Whether it has all addresses of `other`.
    pub fn contains(&self, other: &Self) -> bool {
        let ((first, last), (others_first, others_last)) = (self.bounds(), other.bounds());
        first <= others_first && others_last <= last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AddressError::*;

    fn check_v4(address: &str, prefix: u8, gateway: &str) -> Result<(), AddressError> {
        let [address, gateway] = [address, gateway].map(|text| text.parse::<Ipv4Addr>().unwrap().octets());
        Interface { address, prefix, gateway }.check()
    }

    fn check_v6(address: &str, prefix: u8, gateway: &str) -> Result<(), AddressError> {
        let [address, gateway] = [address, gateway].map(|text| text.parse::<Ipv6Addr>().unwrap().octets());
        Interface { address, prefix, gateway }.check()
    }

    fn is_public_text(address: &str) -> bool {
        is_public(address.parse().unwrap())
    }

    mod public {
        use super::*;

        #[test]
        fn each_ipv4_range_is_closed_from_first_to_last() {
            let ranges = [
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
            for (first, last) in ranges {
                assert!(!is_public_text(first) && !is_public_text(last), "{first} to {last}");
                let [first, last] = [first, last].map(|text| u32::from(text.parse::<Ipv4Addr>().unwrap()));
                for neighbour in first.checked_sub(1).into_iter().chain(last.checked_add(1)) {
                    assert!(is_public(Ipv4Addr::from(neighbour).into()), "{}", Ipv4Addr::from(neighbour));
                }
            }
        }

        #[test]
        fn each_ipv6_range_is_closed_from_first_to_last() {
            let ranges = [
                ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
                ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
                ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
                ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ];
            for (first, last) in ranges {
                assert!(!is_public_text(first) && !is_public_text(last), "{first} to {last}");
                let [first, last] = [first, last].map(|text| u128::from(text.parse::<Ipv6Addr>().unwrap()));
                for neighbour in [first - 1, last + 1] {
                    assert!(is_public(Ipv6Addr::from(neighbour).into()), "{}", Ipv6Addr::from(neighbour));
                }
            }
        }

        #[test]
        fn ipv6_outside_global_unicast_is_not() {
            for address in ["::", "::1", "::ffff:8.8.8.8", "64:ff9b::1", "100::1", "1fff::1", "4000::1"] {
                assert!(!is_public_text(address), "{address}");
            }
            for address in ["5f00::1", "fc00::1", "fd00::2", "fe80::1", "ff02::1"] {
                assert!(!is_public_text(address), "{address}");
            }
            let last = "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
            assert!(is_public_text("2000::") && !is_public_text(last));
        }

        #[test]
        fn lists_print_as_sets_of_a_firewall() {
            let ipv4 = NOT_PUBLIC_IPV4.map(|network| network.to_string()).join(", ");
            assert!(ipv4.starts_with("0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, "), "{ipv4}");
            let ipv6 = NOT_PUBLIC_IPV6.map(|network| network.to_string()).join(", ");
            assert_eq!(ipv6, "2001::/23, 2001:db8::/32, 2002::/16, 3fff::/20");
        }

        #[test]
        fn lists_ascend_and_do_not_overlap() {
            assert!(NOT_PUBLIC_IPV4.windows(2).all(|pair| pair[0].broadcast() < pair[1].network()));
            assert!(NOT_PUBLIC_IPV6.windows(2).all(|pair| pair[0].broadcast() < pair[1].network()));
            assert!(NOT_PUBLIC_IPV4.iter().all(|network| network.trunc() == *network));
            assert!(NOT_PUBLIC_IPV6.iter().all(|network| network.trunc() == *network));
        }
    }

    mod interface {
        use super::*;

        #[test]
        fn addresses_that_hosters_assign_are_valid() {
            assert_eq!(check_v4("185.69.166.10", 24, "185.69.166.1"), Ok(()));
            assert_eq!(check_v4("185.69.166.10", 8, "185.0.0.1"), Ok(()));
            assert_eq!(check_v4("8.8.8.5", 30, "8.8.8.6"), Ok(()));
            assert_eq!(check_v6("2a10:b600:1::5", 64, "2a10:b600:1::1"), Ok(()));
            assert_eq!(check_v6("2a10:b600:1::5", 64, "fe80::1"), Ok(()));
            assert_eq!(check_v6("2a10:b600::5", 16, "2a10::1"), Ok(()));
            assert_eq!(check_v6("2a10:b600:1::ffff:ffff:ffff:ffff", 64, "2a10:b600:1::1"), Ok(()));
        }

        #[test]
        fn its_address_is_public() {
            assert_eq!(check_v4("192.168.1.5", 24, "192.168.1.1"), Err(NotPublic));
            assert_eq!(check_v4("192.88.99.5", 24, "192.88.99.1"), Err(NotPublic));
            assert_eq!(check_v6("2001::5", 64, "2001::1"), Err(NotPublic));
            assert_eq!(check_v6("2002::5", 64, "fe80::1"), Err(NotPublic));
        }

        #[test]
        fn its_prefix_is_in_range() {
            for prefix in [0, 7, 33, 255] {
                assert_eq!(check_v4("8.8.8.8", prefix, "8.8.8.1"), Err(PrefixOutOfRange), "{prefix}");
            }
            for prefix in [0, 15, 129, 255] {
                assert_eq!(check_v6("2a10::5", prefix, "2a10::1"), Err(PrefixOutOfRange), "{prefix}");
            }
        }

        #[test]
        fn neither_network_nor_broadcast_is_a_machine() {
            assert_eq!(check_v4("8.8.8.0", 24, "8.8.8.1"), Err(NotAMachine));
            assert_eq!(check_v4("8.8.8.255", 24, "8.8.8.1"), Err(NotAMachine));
            assert_eq!(check_v4("8.8.8.4", 30, "8.8.8.5"), Err(NotAMachine));
            assert_eq!(check_v4("8.8.8.7", 30, "8.8.8.5"), Err(NotAMachine));
            assert_eq!(check_v6("2a10::", 64, "2a10::1"), Err(NotAMachine));
        }

        #[test]
        fn both_addresses_of_a_network_of_two_are_machines() {
            assert_eq!(check_v4("8.8.8.4", 31, "8.8.8.5"), Ok(()));
            assert_eq!(check_v4("8.8.8.5", 31, "8.8.8.4"), Ok(()));
            assert_eq!(check_v6("2a10::4", 127, "2a10::5"), Ok(()));
            assert_eq!(check_v4("8.8.8.5", 31, "8.8.8.6"), Err(GatewayInvalid));
        }

        #[test]
        fn its_gateway_is_another_machine_of_the_network() {
            for gateway in ["8.8.8.9", "8.8.8.0", "8.8.8.255", "8.8.9.1", "10.0.0.1", "0.0.0.0"] {
                assert_eq!(check_v4("8.8.8.9", 24, gateway), Err(GatewayInvalid), "{gateway}");
            }
            let unusable = ["2a10::9", "2a10::", "2a10:0:0:1::1", "::", "fe80::", "ff02::1"];
            for gateway in unusable {
                assert_eq!(check_v6("2a10::9", 64, gateway), Err(GatewayInvalid), "{gateway}");
            }
        }

        #[test]
        fn its_gateway_is_public_in_a_wide_network_too() {
            assert_eq!(check_v4("172.1.0.1", 8, "172.16.0.1"), Err(GatewayInvalid));
            assert_eq!(check_v6("2001:db9::5", 16, "2001:db8::1"), Err(GatewayInvalid));
        }

        #[test]
        fn point_to_point_takes_any_other_public_gateway() {
            assert_eq!(check_v4("8.8.8.8", 32, "9.9.9.9"), Ok(()));
            assert_eq!(check_v4("8.8.8.8", 32, "8.8.8.1"), Ok(()));
            assert_eq!(check_v6("2a10::8", 128, "2a10:1::1"), Ok(()));
            assert_eq!(check_v6("2a10::8", 128, "fe80::1"), Ok(()));
            for gateway in ["8.8.8.8", "10.0.0.1", "172.31.1.1", "224.0.0.1"] {
                assert_eq!(check_v4("8.8.8.8", 32, gateway), Err(GatewayInvalid), "{gateway}");
            }
            for gateway in ["2a10::8", "::1", "fd00::1", "fe80::"] {
                assert_eq!(check_v6("2a10::8", 128, gateway), Err(GatewayInvalid), "{gateway}");
            }
        }
    }

    mod subnet {
        use super::*;

        fn is_valid(address: [u8; 4], prefix: u8) -> bool {
            Subnet { address, prefix }.is_valid()
        }

        #[test]
        fn lies_in_a_private_network() {
            for address in
                [[10, 0, 0, 0], [10, 255, 0, 0], [172, 16, 0, 0], [172, 31, 0, 0], [192, 168, 0, 0]]
            {
                assert!(is_valid(address, 16), "{address:?}");
            }
            let others = [[9, 255, 0, 0], [11, 0, 0, 0], [172, 15, 0, 0], [172, 32, 0, 0], [192, 167, 0, 0]];
            for address in others.into_iter().chain([[192, 169, 0, 0], [100, 64, 0, 0], [8, 8, 0, 0]]) {
                assert!(!is_valid(address, 16), "{address:?}");
            }
        }

        #[test]
        fn has_a_prefix_of_16_to_30_bits() {
            assert!((16..=30).all(|prefix| is_valid([10, 0, 0, 0], prefix)));
            assert!([0, 8, 15, 31, 32, 33, 255].iter().all(|prefix| !is_valid([10, 0, 0, 0], *prefix)));
        }

        #[test]
        fn has_no_host_bits() {
            assert!(is_valid([10, 1, 2, 4], 30) && !is_valid([10, 1, 2, 5], 30));
            assert!(is_valid([10, 1, 0, 0], 16) && !is_valid([10, 1, 1, 0], 16));
        }

        #[test]
        fn reaches_from_its_first_to_its_last_address() {
            let bounds = |address: [u8; 4], prefix| {
                let (first, last) = Subnet { address, prefix }.bounds();
                (first.to_be_bytes(), last.to_be_bytes())
            };
            assert_eq!(bounds([10, 1, 0, 0], 16), ([10, 1, 0, 0], [10, 1, 255, 255]));
            assert_eq!(bounds([10, 1, 2, 4], 30), ([10, 1, 2, 4], [10, 1, 2, 7]));
            for prefix in [32, 33, 255] {
                assert_eq!(bounds([10, 1, 2, 4], prefix), ([10, 1, 2, 4], [10, 1, 2, 4]), "{prefix}");
            }
        }

        #[test]
        fn has_the_addresses_of_what_lies_in_it() {
            let subnet = |third, prefix| Subnet { address: [10, 1, third, 0], prefix };
            assert!(subnet(0, 16).contains(&subnet(7, 24)) && subnet(7, 24).contains(&subnet(7, 24)));
            assert!(!subnet(7, 24).contains(&subnet(0, 16)) && !subnet(7, 24).contains(&subnet(8, 24)));
        }

        #[test]
        fn keeps_its_encoding() {
            assert_eq!(Subnet { address: [10, 1, 2, 0], prefix: 24 }.encode(), [10, 1, 2, 0, 24]);
        }
    }
}
