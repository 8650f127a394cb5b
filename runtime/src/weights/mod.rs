// SPDX-License-Identifier: Apache-2.0
//! Weights of what isn't a pallet of ours: `make weights` writes them, except for those of the extensions.

pub mod balances;
pub mod extensions;
pub mod overhead;
