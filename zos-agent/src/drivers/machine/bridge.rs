// SPDX-License-Identifier: Apache-2.0
//! Bridges of contracts' networks. The engine makes them, and uses one that is there already: nodes of different chains
//! on one machine have contracts with the same ids. The alias of a bridge says whose it is.

use super::names::bridge;
use crate::drivers::{
    DriverError,
    tools::run,
    uplink::{IP, read_ip},
};
use anyhow::Result;
use serde::Deserialize;
use tfgrid_primitives::ContractId;

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    ifalias: String,
}

/// The alias of the contract's bridge, empty if it has none; `None` if there is no such bridge.
pub async fn alias(contract: ContractId) -> Result<Option<String>> {
    let links: Result<Vec<Link>> = read_ip(&IP, &[], &["link", "show", "dev", &bridge(contract)]).await;
    match links {
        Err(error) if error.to_string().contains("does not exist") => Ok(None),
        links => Ok(links?.into_iter().next().map(|link| link.ifalias)),
    }
}

/// Gives the contract's bridge an alias, if there is one without.
pub async fn claim(contract: ContractId, name: &str) -> Result<(), DriverError> {
    match alias(contract).await? {
        Some(alias) if alias.is_empty() => {
            run(&IP, &["link", "set", "dev", &bridge(contract), "alias", name]).await?;
            Ok(())
        }
        Some(alias) if alias != name => Err(taken(contract)),
        _ => Ok(()),
    }
}

/// Removes the contract's bridge, if there is one. An engine that finds it where another ended takes it for somebody
/// else's.
pub async fn remove(contract: ContractId) -> Result<()> {
    if alias(contract).await?.is_some() {
        run(&IP, &["link", "delete", &bridge(contract)]).await?;
    }
    Ok(())
}

/// The failure where the contract's bridge is another's.
pub fn taken(contract: ContractId) -> DriverError {
    DriverError::transient(format!(
        "the bridge {} on this machine isn't this node's, as where a node of another chain has a contract with the same \
         id: move one of the nodes to another machine, or remove the bridge if nobody uses it",
        bridge(contract)
    ))
}
