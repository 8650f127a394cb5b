// SPDX-License-Identifier: Apache-2.0
//! Applications (docs/FORMATS.md §4.6): the parts that a file asks for, and the contracts that run them. Nothing is
//! kept but what stands on the chain.

mod owned;
mod placement;
mod rollout;
mod steps;

pub use owned::{
    Deployed, Owned, Running, SealedContract, contracts_named, ensure_ranges, key_text, state_of,
};
pub use placement::{Ask, Market, place};
pub use rollout::{Awaited, CALLS_AT_ONCE, Finished, Options, Rollout, await_all, cancelling, compare};
pub use steps::{Difference, State, are_secrets_unknown, differences};
