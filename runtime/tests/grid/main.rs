// SPDX-License-Identifier: Apache-2.0
//! Nodes, contracts and billing as they work together, through real blocks of the composed runtime:
//! whatever enters passes the pool's validation first, as it would in a node.

mod chain;
mod contracts;
mod governance;
mod liveness;
mod metadata;
mod nodes;
mod random;
mod twins;
mod upgrade;
mod validators;
