// SPDX-License-Identifier: Apache-2.0
//! The last snapshot, kept on disk with the bodies of what was confirmed: after a reboot, that starts again even if the
//! chain can't be reached. Sealed bodies stay sealed there.

use super::{Body, ChainLimits, Contract, ContractState, Head, HeadAge, Snapshot, desired::Desired};
use crate::store::Store;
use anyhow::{Context, Result};
use codec::{DecodeAll, Encode};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tfgrid_client::sealing::SealKey;

const FILE: &str = "snapshot.json";

#[derive(Serialize, Deserialize)]
struct Stored {
    head: Head,
    limits: ChainLimits,
    contracts: Vec<Confirmed>,
}

/// A contract whose active version the node has confirmed.
#[derive(Serialize, Deserialize)]
struct Confirmed {
    contract: Contract,
    /// SCALE in hex.
    body: String,
}

/// Replaces the snapshot on disk. Nothing of it is kept that the node hasn't confirmed.
///
/// # Errors
/// If it can't be written.
pub fn write(store: &Store, snapshot: &Snapshot) -> Result<()> {
    let confirmed = snapshot.contracts.values().filter_map(|desired| {
        let contract = Contract { pending: None, ..desired.contract.clone() };
        let body = desired.body.as_ref().filter(|_| contract.state == ContractState::Deployed)?;
        Some(Confirmed { contract, body: hex::encode(body.encode()) })
    });
    let Snapshot { head, limits, .. } = *snapshot;
    store.write(FILE, &Stored { head, limits, contracts: confirmed.collect() })
}

/// The snapshot on disk, `None` if there is none. Its sealed bodies are opened with `key`.
///
/// # Errors
/// If it is damaged.
pub fn read(store: &Store, key: &SealKey) -> Result<Option<Snapshot>> {
    let Some(Stored { head, limits, contracts }) = store.read(FILE)? else { return Ok(None) };
    let desired = |Confirmed { contract, body }| {
        let body = Body::decode_all(&mut &hex::decode(body)?[..])?;
        Ok((contract.id, Arc::new(Desired::new(contract, Some(body), None, key))))
    };
    let contracts = contracts.into_iter().map(desired).collect::<Result<_>>();
    let contracts = contracts.with_context(|| format!("{FILE} is damaged"))?;
    let grants = Default::default();
    Ok(Some(Snapshot { head, age: HeadAge::Stored, contracts, limits, grants }))
}
