// SPDX-License-Identifier: Apache-2.0
//! What the pallets, the node agent and the command line agree on: ids, [`Resources`], units, pricing,
//! the two clocks, the payer ledger's arithmetic and the bytes that machines sign.
//!
//! Pure and `no_std`: nothing here touches storage, and nothing here uses floats.

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

pub mod agenda;
pub mod body;
pub mod clock;
pub mod deadline;
pub mod farming;
pub mod fixed;
pub mod ledger;
pub mod pricing;
pub mod refusal;
pub mod report;
pub mod resources;
pub mod ticket;
pub mod traits;
pub mod units;
pub mod views;

pub use agenda::EndKey;
pub use body::{Body, StoredBody};
pub use clock::{GridClock, PriceClock};
pub use deadline::{Deadline, DeadlineKey};
pub use fixed::Q64;
pub use ledger::{Accrual, Charge, Funded, Payer, Rates};
pub use pricing::{Discount, PriceList, PricedNode};
pub use refusal::Refusal;
pub use report::{FailureCode, KeySignature, ReportKind, ReportMark, UsageItem, UsageTotals};
pub use resources::Resources;
pub use ticket::{Isolation, Registration};
pub use units::{Balance, GridMillis, TftPrice, UnixSeconds, UsdAmount, UsdRate};

/// Id of a twin. The first is 1.
pub type TwinId = u32;
/// Id of a farm. The first is 1.
pub type FarmId = u32;
/// Id of a node. The first is 1.
pub type NodeId = u32;
/// Id of a contract of any kind. The first is 1.
pub type ContractId = u64;
/// Id of a solution provider. The first is 1.
pub type ProviderId = u32;
/// An ed25519 or X25519 public key.
pub type PublicKey = [u8; 32];
