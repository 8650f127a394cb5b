// SPDX-License-Identifier: Apache-2.0
//! Public addresses with their networks and gateways, as farmers write them.

use crate::output::Usage;
use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};
use std::{
    fmt::{self, Display},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};
use tfgrid_client::{
    api::runtime_types::tfgrid_primitives::net::Interface as ForChain,
    primitives::net::{AddressError, Interface},
};

/// An address and how many leading bits of it name its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InNetwork<Address> {
    address: Address,
    prefix: u8,
}

/// Why a text isn't one.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} isn't an address with the length of its network's prefix, such as 185.69.166.10/24")]
pub struct NoNetwork(String);

impl<Address: FromStr> FromStr for InNetwork<Address> {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let parsed = text.split_once('/').and_then(|(address, prefix)| {
            Some(Self { address: address.parse().ok()?, prefix: prefix.parse().ok()? })
        });
        parsed.ok_or_else(|| NoNetwork(text.into()))
    }
}

impl<Address: Display> Display for InNetwork<Address> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[derive(Args)]
pub struct Interfaces {
    /// Public IPv4 address with its network, such as 185.69.166.10/24
    #[arg(long, value_name = "A/P", requires = "gateway")]
    ipv4: Option<InNetwork<Ipv4Addr>>,
    /// The IPv4 router to other networks
    #[arg(long, value_name = "A", requires = "ipv4")]
    gateway: Option<Ipv4Addr>,
    /// Public IPv6 address with its network, such as 2a02:1802:5e::10/64
    #[arg(long, value_name = "A/P", requires = "gateway6")]
    ipv6: Option<InNetwork<Ipv6Addr>>,
    /// The IPv6 router to other networks; may be link-local
    #[arg(long, value_name = "A", requires = "ipv6")]
    gateway6: Option<Ipv6Addr>,
}

impl Interfaces {
    /// The IPv4 interface.
    ///
    /// # Errors
    /// If it breaks a rule of the chain.
    pub fn v4(&self) -> Result<Option<ForChain<[u8; 4]>>> {
        let (Some(InNetwork { address, prefix }), Some(gateway)) = (self.ipv4, self.gateway) else {
            return Ok(None);
        };
        let interface = Interface { address: address.octets(), prefix, gateway: gateway.octets() };
        ensure_valid(interface.check(), address.into(), prefix, gateway.into())?;
        Ok(Some(ForChain { address: interface.address, prefix, gateway: interface.gateway }))
    }

    /// The IPv6 interface.
    ///
    /// # Errors
    /// If it breaks a rule of the chain.
    pub fn v6(&self) -> Result<Option<ForChain<[u8; 16]>>> {
        let (Some(InNetwork { address, prefix }), Some(gateway)) = (self.ipv6, self.gateway6) else {
            return Ok(None);
        };
        let interface = Interface { address: address.octets(), prefix, gateway: gateway.octets() };
        ensure_valid(interface.check(), address.into(), prefix, gateway.into())?;
        Ok(Some(ForChain { address: interface.address, prefix, gateway: interface.gateway }))
    }
}

fn ensure_valid(
    checked: Result<(), AddressError>,
    address: IpAddr,
    prefix: u8,
    gateway: IpAddr,
) -> Result<()> {
    let why = match checked {
        Ok(()) => return Ok(()),
        Err(AddressError::NotPublic) => "the internet doesn't route packets to the address",
        Err(AddressError::PrefixOutOfRange) => "a prefix has 8 to 32 bits, that of IPv6 16 to 128",
        Err(AddressError::NotAMachine) => "the address names its network, or all machines in it",
        Err(AddressError::GatewayInvalid) => {
            "the gateway must be a public address of another machine in the same network"
        }
    };
    bail!(Usage::new(format!("{address}/{prefix} with gateway {gateway} can't be used: {why}")))
}

/// An interface of the chain, as people and scripts read it.
pub fn shown<Address: Copy + Into<IpAddr>>(interface: &ForChain<Address>) -> (String, Value) {
    let (address, gateway): (IpAddr, IpAddr) = (interface.address.into(), interface.gateway.into());
    let address = InNetwork { address, prefix: interface.prefix }.to_string();
    let value = json!({ "address": address, "gateway": gateway.to_string() });
    (format!("{address} via {gateway}"), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interfaces(ipv4: &str, gateway: &str) -> Interfaces {
        Interfaces {
            ipv4: Some(ipv4.parse().unwrap()),
            gateway: Some(gateway.parse().unwrap()),
            ipv6: Some("2a02:1802:5e::10/64".parse().unwrap()),
            gateway6: Some("fe80::1".parse().unwrap()),
        }
    }

    #[test]
    fn an_interface_is_read_and_shown() {
        let given = interfaces("185.69.166.10/24", "185.69.166.1");
        let (text, value) = shown(&given.v4().unwrap().unwrap());
        assert_eq!(text, "185.69.166.10/24 via 185.69.166.1");
        assert_eq!(value["gateway"], "185.69.166.1");
        assert_eq!(shown(&given.v6().unwrap().unwrap()).0, "2a02:1802:5e::10/64 via fe80::1");
        for wrong in ["", "185.69.166.10", "185.69.166.10/x", "host/24", "2a02::1/24"] {
            assert!(wrong.parse::<InNetwork<Ipv4Addr>>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_interface_that_cannot_work_is_refused_with_the_reason() {
        for (ipv4, gateway, why) in [
            ("10.0.0.2/24", "10.0.0.1", "doesn't route"),
            ("185.69.166.10/4", "185.69.166.1", "8 to 32 bits"),
            ("185.69.166.0/24", "185.69.166.1", "names its network"),
            ("185.69.166.10/24", "185.69.167.1", "in the same network"),
        ] {
            let error = interfaces(ipv4, gateway).v4().map(drop).unwrap_err().to_string();
            assert!(error.contains(why), "{ipv4}: {error}");
        }
    }
}
