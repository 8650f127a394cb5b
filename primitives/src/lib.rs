// SPDX-License-Identifier: Apache-2.0
//! Types and arithmetic that the pallets, the node agent and the command line share: ids, [`Resources`],
//! units, prices, the two clocks, the payer ledger, IP addresses and the bytes that machines sign.
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
pub mod ids;
pub mod ledger;
pub mod net;
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
pub use ids::{ContractId, FarmId, NodeId, ProviderId, PublicKey, TwinId};
pub use ledger::{Accrual, Charge, Funded, Payer, Rates};
pub use pricing::{Discount, PriceList, PricedNode};
pub use refusal::Refusal;
pub use report::{FailureCode, KeySignature, ReportKind, ReportMark, UsageItem, UsageTotals};
pub use resources::Resources;
pub use ticket::{Isolation, Registration};
pub use units::{Balance, GridMillis, TftPrice, UnixSeconds, UsdAmount, UsdRate};
