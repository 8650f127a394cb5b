// SPDX-License-Identifier: Apache-2.0
//! A node's peer endpoint: the owner of a contract asks its node there, without a gateway or a public address of the
//! workload (`docs/FORMATS.md` §8).
//!
//! A caller is known by its [`Device`] key, which is one of the peer keys that the chain has of the owner's twin.

mod address;
mod caller;
pub mod frame;
mod lasting;
pub mod msg;
mod place;
pub mod protocol;
mod rate;
mod transport;

pub use address::{NodeAddress, PeerAddresses};
pub use caller::{
    BROKEN_OFF, Call, Device, IDLE, Input, NodePeer, Output, PeerError, TOO_MANY, UNKNOWN_CALLER,
};
pub use lasting::{LastingEndpoint, Opened, hears};
pub use place::{Counts, Place};
pub use rate::Rate;
pub use transport::transport;
