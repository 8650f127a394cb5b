// SPDX-License-Identifier: Apache-2.0
//! Ports of public addresses.

use crate::peer::protocol::Protocol;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, str::FromStr};

/// A range of open ports, as in `80/tcp`, `8000-8010/udp` or `22/tcp from 203.0.113.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Ports {
    /// The lowest port that is open.
    pub first: u16,
    /// The highest one, `first` itself where it is a single port.
    pub last: u16,
    /// What is spoken there.
    pub protocol: Protocol,
    /// The network from which they are reached, `None` for all.
    pub from: Option<IpNet>,
}

/// A text isn't a range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "ports are a number from 1 to 65535, or a first and a last one, with their protocol, and the network without host \
     bits that reaches them if not all do: 80/tcp, 8000-8010/udp, 22/tcp from 203.0.113.0/24"
)]
pub struct PortsError;

impl Ports {
    /// Whether both let something in to the same port.
    pub fn overlaps(&self, other: &Self) -> bool {
        let is_shared = match (&self.from, &other.from) {
            (Some(one), Some(other)) => one.contains(other) || other.contains(one),
            _ => true,
        };
        is_shared && self.protocol == other.protocol && self.first <= other.last && other.first <= self.last
    }
}

/// A network without host bits, or an address.
fn network(text: &str) -> Option<IpNet> {
    let network: Option<IpNet> = text.parse().ok().or_else(|| Some(text.parse::<IpAddr>().ok()?.into()));
    network.filter(|network| network.trunc() == *network)
}

impl FromStr for Ports {
    type Err = PortsError;

    fn from_str(text: &str) -> Result<Self, PortsError> {
        let (text, from) = match text.split_once(" from ") {
            Some((text, from)) => (text, Some(network(from).ok_or(PortsError)?)),
            None => (text, None),
        };
        let (range, protocol) = text.split_once('/').ok_or(PortsError)?;
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(PortsError),
        };
        // Rust reads `+80`, too.
        let number = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
        match (number(first), number(last)) {
            (Some(first @ 1..), Some(last)) if first <= last => Ok(Self { first, last, protocol, from }),
            _ => Err(PortsError),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last, protocol, from } = self;
        write!(f, "{first}")?;
        if last > first {
            write!(f, "-{last}")?;
        }
        f.write_str(match protocol {
            Protocol::Tcp => "/tcp",
            Protocol::Udp => "/udp",
        })?;
        from.map_or(Ok(()), |from| write!(f, " from {from}"))
    }
}

impl From<Ports> for String {
    fn from(ports: Ports) -> Self {
        ports.to_string()
    }
}

impl TryFrom<String> for Ports {
    type Error = PortsError;

    fn try_from(text: String) -> Result<Self, PortsError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_they_are_written() {
        for text in [
            "80/tcp",
            "53/udp",
            "8000-8010/tcp",
            "1-65535/udp",
            "22/tcp from 203.0.113.0/24",
            "5-6/udp from 2a10::/32",
        ] {
            assert_eq!(text.parse::<Ports>().unwrap().to_string(), text);
        }
        assert_eq!("22/tcp from 8.8.8.8".parse(), "22/tcp from 8.8.8.8/32".parse::<Ports>());
        assert_eq!("80-80/tcp".parse(), "80/tcp".parse::<Ports>());
    }

    #[test]
    fn other_texts_are_no_ports() {
        for text in [
            "",
            "80",
            "80/",
            "tcp",
            "0/tcp",
            "65536/tcp",
            "9-8/tcp",
            "80/TCP",
            "80/sctp",
            "+80/tcp",
            "-/tcp",
            "80 /tcp",
            "80/tcp from",
            "80/tcp from ",
            "80/tcp from all",
            "80/tcp from 203.0.113.7/24",
            "80/tcp from 203.0.113.0/33",
            "80/tcp  from 203.0.113.0/24",
            "80/tcp from 8.8.8.8 from 8.8.4.4",
        ] {
            assert_eq!(text.parse::<Ports>(), Err(PortsError), "{text:?}");
        }
    }

    #[test]
    fn ranges_of_one_protocol_overlap() {
        let overlap = |a: &str, b: &str| a.parse::<Ports>().unwrap().overlaps(&b.parse().unwrap());
        assert!(
            overlap("80/tcp", "80/tcp") && overlap("1-10/udp", "10-20/udp") && overlap("1-9/tcp", "5/tcp")
        );
        assert!(!overlap("80/tcp", "80/udp") && !overlap("1-9/tcp", "10/tcp"));
        assert!(overlap("80/tcp", "80/tcp from 8.8.8.8") && overlap("80/tcp from ::/0", "80/tcp"));
        assert!(overlap("80/tcp from 8.8.0.0/16", "80/tcp from 8.8.8.8"));
        assert!(!overlap("80/tcp from 8.8.8.8", "80/tcp from 8.8.4.4"));
        assert!(!overlap("80/tcp from 0.0.0.0/0", "80/tcp from ::/0"));
    }
}
