// SPDX-License-Identifier: Apache-2.0
//! How the pallets are configured: one file each.

mod balances;
mod billing;
mod clock;
pub mod consensus;
mod contracts;
mod farming;
mod farms;
pub mod fees;
mod governance;
mod nodes;
pub mod oracle;
pub mod parameters;
pub mod proxies;
mod system;
mod twins;
mod upgrades;
