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
pub mod count;
pub mod farming;
pub mod features;
pub mod fixed;
pub mod ids;
pub mod ledger;
pub mod net;
pub mod pricing;
pub mod refund;
pub mod refusal;
pub mod report;
pub mod resources;
pub mod text;
pub mod ticket;
pub mod traits;
pub mod units;
pub mod views;
pub mod weights;

pub use agenda::{Deadline, DeadlineKey, ExhaustionKey};
pub use body::{Body, StoredBody};
pub use clock::{GridClock, PriceClock};
pub use features::Features;
pub use fixed::{ExactTft, PriceTime};
pub use ids::{ContractId, FarmId, NodeId, ProviderId, PublicKey, TwinId};
pub use ledger::{Accrual, Charge, FundedClocks, Payer, RateSums, Rates};
pub use pricing::{Discount, PriceList, PricedNode};
pub use refund::ClockSpan;
pub use refusal::Refusal;
pub use report::{FailureCode, KeySignature, ReportKind, ReportMark, UsageItem, UsageTotals};
pub use resources::Resources;
pub use ticket::{Isolation, Registration};
pub use units::{Balance, GridMillis, TftPrice, UnixSeconds, UsdAmount, UsdRate};
