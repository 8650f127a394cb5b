// SPDX-License-Identifier: Apache-2.0

//! RPC methods beyond those of sc-service. It serves the legacy API (`system_*`, `chain_*`, `state_*`,
//! `author_*`) and the new one: `chainHead_v1`, `chainSpec_v1`, `transaction_v1`, and `archive_v1` on nodes
//! that keep all states (`--state-pruning archive`).

use crate::{
    sealing::SealingCommands,
    types::{FullClient, FullPool},
};
use jsonrpsee::RpcModule;
use pallet_transaction_payment_rpc::{TransactionPayment, TransactionPaymentApiServer};
use sc_consensus_manual_seal::rpc::{ManualSeal, ManualSealApiServer};
use sc_service::Error as ServiceError;
use std::sync::Arc;
use substrate_frame_rpc_system::{System, SystemApiServer};

/// Components that the methods use.
#[derive(Clone)]
pub struct RpcDeps {
    pub client: Arc<FullClient>,
    pub pool: Arc<FullPool>,
    /// Receiver of `engine_createBlock`; `None` without `--sealing`.
    pub sealing: Option<SealingCommands>,
}

/// All methods, to be merged with those of sc-service.
pub fn create(deps: RpcDeps) -> Result<RpcModule<()>, ServiceError> {
    let RpcDeps { client, pool, sealing } = deps;
    let twice = |error| ServiceError::Other(format!("two RPC methods share a name: {error}"));

    let mut module = RpcModule::new(());
    module.merge(System::new(client.clone(), pool).into_rpc()).map_err(twice)?;
    module.merge(TransactionPayment::new(client).into_rpc()).map_err(twice)?;
    if let Some(commands) = sealing {
        module.merge(ManualSeal::new(commands).into_rpc()).map_err(twice)?;
    }
    Ok(module)
}
