// SPDX-License-Identifier: Apache-2.0
//! Records of the pallet.

use crate::{FarmName, Interface};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{BoundedVec, traits::ConstU32};
use scale_info::TypeInfo;
use tfgrid_primitives::{
    Balance, ContractId, FarmId, GridMillis, KeySignature, PublicKey, TwinId, UnixSeconds, net::AddressError,
    ticket::MAX_REGISTRATION_SECONDS,
};

/// Upper limit of nodes that one ticket admits.
pub const MAX_TICKET_NODES: u32 = 100;
/// Upper limit of the time until a ticket expires, in seconds.
pub const MAX_TICKET_SECONDS: UnixSeconds = 366 * 24 * 3_600;

/// Upper limit of public IPs of a farm.
pub const MAX_FARM_IPS: u32 = 256;
/// Upper limit of public IPs of a contract.
pub const MAX_CONTRACT_IPS: u32 = 16;

/// Id of a public IP, from 1 on.
pub type IpId = u32;
/// Public IPs of a contract.
pub type IpIds = BoundedVec<IpId, ConstU32<MAX_CONTRACT_IPS>>;

/// A farm offers nodes and public IPs.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Farm {
    /// Twin of the farmer.
    pub twin: TwinId,
    /// Name as its farmer spells it.
    pub name: FarmName,
    /// Whether its nodes are only rented as a whole.
    pub dedicated: bool,
    /// Label that governance has given it.
    pub certification: Certification,
    /// Hold on the farmer's account, in 1e-7 TFT.
    pub deposit: Balance,
}

/// Label of a farm by governance, for people to see.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Certification {
    /// Governance hasn't examined the farm.
    #[default]
    #[codec(index = 0)]
    NotCertified,
    /// The farm meets the requirements for a data centre.
    #[codec(index = 1)]
    Gold,
}

/// Addresses of one public IP.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct PublicIp {
    /// IPv4 address.
    pub v4: Interface<[u8; 4]>,
    /// IPv6 address that comes with it.
    pub v6: Option<Interface<[u8; 16]>>,
}

impl PublicIp {
    /// Addresses that no other public IP may have.
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
    /// Farm that offers it.
    pub farm: FarmId,
    /// Addresses.
    pub address: PublicIp,
    /// Contract that has it, also while it cools down.
    pub contract: Option<ContractId>,
    /// Whether governance has removed it: the record goes when the contract frees it.
    pub removed: bool,
    /// Hold on the farmer's account, in 1e-7 TFT.
    pub deposit: Balance,
}

/// A public IP, for people to see.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct IpInfo {
    /// Id.
    pub ip: IpId,
    /// Addresses.
    pub address: PublicIp,
    /// Whether a contract has it.
    pub state: IpState,
    /// Whether governance has removed it: the record goes when its contract frees it.
    pub removed: bool,
}

/// Whether a contract has a public IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub enum IpState {
    /// No contract has it.
    Free,
    /// An open contract has it.
    Taken(ContractId),
    /// A contract had it, whose node may still use it.
    CoolingDown(ContractId),
}

/// A public IP that a contract has or had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct HeldIp {
    /// The public IP.
    pub ip: IpId,
    /// Until when it cools down, in grid time, where the contract doesn't have it any more but its node may.
    pub cools_until: Option<GridMillis>,
}

/// The public IPs that a contract has or had.
pub type HeldIps = BoundedVec<HeldIp, ConstU32<MAX_CONTRACT_IPS>>;

/// What a farmer asks for a boot ticket.
pub struct TicketRequest {
    /// Public half of its key.
    pub ticket: PublicKey,
    /// Number of nodes that may join.
    pub nodes: u32,
    /// Last moment at which they may, in seconds since 1970.
    pub expires: UnixSeconds,
    /// Signature of its key for the farm.
    pub proof: KeySignature,
}

/// Boot ticket: lets machines join a farm without funds or people.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Ticket {
    /// Farm that machines join.
    pub farm: FarmId,
    /// Number of nodes that may still join.
    pub nodes_left: u32,
    /// Last moment at which nodes may join, in seconds since 1970.
    pub expires: UnixSeconds,
    /// Whether the farmer has closed it.
    pub closed: bool,
    /// Hold on the farmer's account for each node that may still join, in 1e-7 TFT.
    pub deposit_per_node: Balance,
}

impl Ticket {
    /// Hold for all nodes that may still join, in 1e-7 TFT.
    pub fn deposit(&self) -> Balance {
        self.deposit_per_node.saturating_mul(self.nodes_left.into())
    }

    /// Whether every registration that was signed for the ticket is invalid by `now`: without the record none
    /// could be replayed.
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
