// SPDX-License-Identifier: Apache-2.0
//! Ids, which the chain gives in ascending order from 1 on and never twice, and keys.

/// Id of a twin.
pub type TwinId = u32;
/// Id of a farm.
pub type FarmId = u32;
/// Id of a node.
pub type NodeId = u32;
/// Id of a contract of any kind.
pub type ContractId = u64;
/// Id of a solution provider.
pub type ProviderId = u32;
/// An ed25519 or X25519 public key.
pub type PublicKey = [u8; 32];
