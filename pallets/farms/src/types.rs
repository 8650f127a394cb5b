// SPDX-License-Identifier: Apache-2.0
//! The records of the pallet.

use crate::{FarmName, Interface};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{BoundedVec, traits::ConstU32};
use scale_info::TypeInfo;
use tfgrid_primitives::{
    Balance, ContractId, FarmId, TwinId, UnixSeconds, net::AddressError, ticket::MAX_REGISTRATION_SECONDS,
};

/// The most nodes that one ticket admits.
pub const MAX_TICKET_NODES: u32 = 100;
/// The longest that a ticket is open, in seconds.
pub const MAX_TICKET_SECONDS: UnixSeconds = 366 * 24 * 3_600;

/// The most public IPs of a farm.
pub const MAX_FARM_IPS: u32 = 256;
/// The most public IPs of a contract.
pub const MAX_CONTRACT_IPS: u32 = 16;

/// Id of a public IP. The first is 1.
pub type IpId = u32;
/// The public IPs of a contract.
pub type IpIds = BoundedVec<IpId, ConstU32<MAX_CONTRACT_IPS>>;

/// A farm offers nodes and public IPs.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Farm {
    /// The farmer.
    pub twin: TwinId,
    /// As the farmer writes it.
    pub name: FarmName,
    /// Its nodes are only rented as a whole.
    pub dedicated: bool,
    /// What governance says of it.
    pub certification: Certification,
    /// What is held for it, in 1e-7 TFT.
    pub deposit: Balance,
}

/// How far a farm is known to governance: a label for people.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Certification {
    /// Nobody has looked at it.
    #[default]
    #[codec(index = 0)]
    NotCertified,
    /// It keeps what the grid asks of a data centre.
    #[codec(index = 1)]
    Gold,
}

/// What a farm offers as one public IP.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct PublicIp {
    /// An IPv4 address.
    pub v4: Interface<[u8; 4]>,
    /// An IPv6 address that comes with it.
    pub v6: Option<Interface<[u8; 16]>>,
}

impl PublicIp {
    /// The addresses that no other public IP may have.
    pub fn addresses(&self) -> impl Iterator<Item = Address> {
        let v6 = self.v6.map(|v6| Address::V6(v6.address));
        core::iter::once(Address::V4(self.v4.address)).chain(v6)
    }

    /// Checks both interfaces.
    pub fn check(&self) -> Result<(), AddressError> {
        self.v4.check()?;
        self.v6.map_or(Ok(()), |v6| v6.check())
    }
}

/// An address without its network: unique among public IPs.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Address {
    /// IPv4.
    V4([u8; 4]),
    /// IPv6.
    V6([u8; 16]),
}

/// A public IP of a farm.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct FarmIp {
    /// The farm.
    pub farm: FarmId,
    /// The addresses.
    pub address: PublicIp,
    /// The contract that has it, or had it and cools down.
    pub contract: Option<ContractId>,
    /// Governance has removed it: it goes when the contract lets go of it.
    pub removed: bool,
    /// What is held for it, in 1e-7 TFT.
    pub deposit: Balance,
}

/// A public IP, for people to see.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct IpInfo {
    /// Its id.
    pub ip: IpId,
    /// The addresses.
    pub address: PublicIp,
    /// Who has it.
    pub state: IpState,
    /// Governance has removed it: it goes when its contract lets go of it.
    pub removed: bool,
}

/// Who has a public IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub enum IpState {
    /// Nobody.
    Free,
    /// An open contract.
    Taken(ContractId),
    /// A closed contract whose node may still use it.
    CoolingDown(ContractId),
}

/// A boot ticket: lets machines join a farm without money or people.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Ticket {
    /// The farm that machines join.
    pub farm: FarmId,
    /// How many may still join.
    pub nodes_left: u32,
    /// Until when, in seconds since 1970.
    pub expires: UnixSeconds,
    /// Whether the farmer has closed it.
    pub closed: bool,
    /// What is held for each node that may still join, in 1e-7 TFT.
    pub deposit_per_node: Balance,
}

impl Ticket {
    /// What is held for the nodes that may still join, in 1e-7 TFT.
    pub fn deposit(&self) -> Balance {
        self.deposit_per_node.saturating_mul(self.nodes_left.into())
    }

    /// Whether no registration that was ever signed for it can still be valid, so that forgetting it
    /// (and whom it admitted) lets nobody in again.
    pub(crate) fn is_forgettable(&self, now: UnixSeconds) -> bool {
        now > self.expires.saturating_add(MAX_REGISTRATION_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_addresses_of_a_public_ip_are_unique() {
        let v4 = Interface { address: [1, 1, 1, 2], prefix: 24, gateway: [1, 1, 1, 1] };
        let v6 = Interface { address: [32; 16], prefix: 64, gateway: [33; 16] };
        let all = |v6| PublicIp { v4, v6 }.addresses().collect::<Vec<_>>();
        assert_eq!(all(None), [Address::V4([1, 1, 1, 2])]);
        assert_eq!(all(Some(v6)), [Address::V4([1, 1, 1, 2]), Address::V6([32; 16])]);
    }

    #[test]
    fn both_interfaces_of_a_public_ip_are_checked() {
        let v4 = Interface { address: [1, 1, 1, 2], prefix: 24, gateway: [1, 1, 1, 1] };
        let v6 = Interface { address: [32; 16], prefix: 64, gateway: [33; 16] };
        assert_eq!(PublicIp { v4, v6: None }.check(), Ok(()));
        assert_eq!(PublicIp { v4, v6: Some(v6) }.check(), Err(AddressError::GatewayInvalid));
        let broken = Interface { gateway: v4.address, ..v4 };
        assert_eq!(PublicIp { v4: broken, v6: None }.check(), Err(AddressError::GatewayInvalid));
    }
}
