// SPDX-License-Identifier: Apache-2.0
//! Nodes, contracts and billing as they work together, through real blocks of the composed runtime:
//! whatever enters passes the pool's validation first, as it would in a node.

mod addresses;
mod attacks;
mod chain;
mod chain_specs;
mod contracts;
mod credit;
mod farming;
mod fuzz;
mod governance;
mod history;
mod hostile;
mod liveness;
mod metadata;
mod nodes;
mod oracle;
mod random;
mod rents;
mod rights;
mod specification;
mod twins;
mod updates;
mod upgrade;
mod validators;
