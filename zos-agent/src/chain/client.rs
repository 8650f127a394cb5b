// SPDX-License-Identifier: Apache-2.0
//! The chain over RPC: all contact with the client library is here.

use super::{
    Body, Chain, ChainError, ChainLimits, Closed, Contract, ContractState, Head, Report, Submitted, Version,
    Which,
};
use async_trait::async_trait;
use futures::{StreamExt, future::ready, stream, stream::BoxStream};
use sp_core::H256;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};
use tfgrid_client::{Error, GridAt as At, GridClient, MachineKey};
use tfgrid_primitives::{
    ContractId, NodeId, Refusal,
    report::{
        DeployedPayload, DetailsPayload, FailedPayload, HeartbeatPayload, ProgressPayload, ReleasedPayload,
    },
    views::NodeContract,
};
use tokio::sync::RwLock;

/// Blocks that are kept to be read again.
const BLOCKS_KEPT: usize = 8;

/// One node's view of the chain at an RPC endpoint.
pub struct RpcChain {
    url: String,
    genesis: H256,
    key: MachineKey,
    node: NodeId,
    connection: RwLock<Connection>,
    blocks: Blocks,
}

struct Connection {
    client: GridClient,
    /// A connection that was followed to its end is replaced.
    followed: bool,
}

impl RpcChain {
    /// The view of this node, with its report key, over a connection to `url`.
    pub fn new(url: String, client: GridClient, key: MachineKey, node: NodeId) -> Self {
        Self {
            url,
            genesis: client.genesis(),
            key,
            node,
            connection: RwLock::new(Connection { client, followed: false }),
            blocks: Blocks::default(),
        }
    }

    async fn client(&self) -> GridClient {
        self.connection.read().await.client.clone()
    }

    /// A connection that nobody has followed yet.
    async fn fresh_client(&self) -> Result<GridClient, ChainError> {
        let mut connection = self.connection.write().await;
        if connection.followed {
            let client = GridClient::connect(&self.url).await?;
            if client.genesis() != self.genesis {
                return Err(ChainError(format!(
                    "{} has another chain than before: its genesis is {:?}, was {:?}",
                    self.url,
                    client.genesis(),
                    self.genesis
                )));
            }
            connection.client = client;
        }
        connection.followed = true;
        Ok(connection.client.clone())
    }

    fn at(&self, head: &Head) -> Result<At, ChainError> {
        self.blocks
            .find(H256(head.hash))
            .ok_or_else(|| ChainError(format!("block {} isn't kept any more", head.number)))
    }
}

#[async_trait]
impl Chain for RpcChain {
    async fn heads(&self) -> Result<BoxStream<'static, Result<Head, ChainError>>, ChainError> {
        let client = self.fresh_client().await?;
        let heads = client.follow().await?;
        let first = client.finalized().await?;
        // The connection lives as long as the stream.
        let rest = stream::unfold((heads, client), |(mut heads, client)| async move {
            heads.next().await.map(|at| (at, (heads, client)))
        });
        // A stream begins with some blocks of the past.
        let newest = first.number();
        let rest = rest.skip_while(move |at| ready(matches!(at, Ok(at) if at.number() <= newest)));
        let blocks = self.blocks.clone();
        let read = move |at: Result<At, Error>| {
            let blocks = blocks.clone();
            async move { blocks.head(at?).await }
        };
        Ok(stream::once(async { Ok(first) }).chain(rest).then(read).boxed())
    }

    async fn contracts(&self, at: &Head) -> Result<Vec<Contract>, ChainError> {
        let contracts = self.at(at)?.contracts_of_node(self.node).await?;
        Ok(contracts.into_iter().map(contract).collect())
    }

    async fn body(&self, contract: ContractId, which: Which, at: &Head) -> Result<Option<Body>, ChainError> {
        let at = self.at(at)?;
        Ok(match which {
            Which::Standing => at.body(contract).await?,
            Which::Pending => at.pending_body(contract).await?,
        })
    }

    async fn closed(&self, contract: ContractId, at: &Head) -> Result<Option<Closed>, ChainError> {
        let closed = self.at(at)?.closed(contract).await?;
        Ok(closed.map(|closed| Closed { reason: format!("{:?}", closed.reason) }))
    }

    async fn awaits_release(&self, contract: ContractId, at: &Head) -> Result<bool, ChainError> {
        Ok(self.at(at)?.is_cooling_down(contract).await?)
    }

    async fn details(&self, at: &Head) -> Result<Option<DetailsPayload>, ChainError> {
        Ok(self.at(at)?.details(self.node).await?)
    }

    async fn limits(&self, at: &Head) -> Result<ChainLimits, ChainError> {
        let info = self.at(at)?.grid_info().await?;
        Ok(ChainLimits { heartbeat_ms: info.heartbeat_ms, usage_ms: info.usage_ms })
    }

    async fn submit(&self, sequence: u64, report: &Report) -> Result<Submitted, ChainError> {
        let client = self.client().await;
        let (key, node) = (&self.key, self.node);
        let result = match report.clone() {
            Report::Heartbeat { boot_nonce } => {
                client.heartbeat(key, node, sequence, HeartbeatPayload { boot_nonce }).await
            }
            Report::Deployed { contract, version, body_hash, result } => {
                let result = result.try_into().map_err(|_| too_long("a result"))?;
                let payload = DeployedPayload { contract, version, body_hash: H256(body_hash), result };
                client.report_deployed(key, node, sequence, payload).await
            }
            Report::Failed { contract, version, code, path } => {
                let path = path.into_bytes().try_into().map_err(|_| too_long("a path"))?;
                let payload = FailedPayload { contract, version, code, path };
                client.report_failed(key, node, sequence, payload).await
            }
            Report::Usage(items) => client.report_usage(key, node, sequence, items).await,
            Report::Progress { contract, version } => {
                client.report_progress(key, node, sequence, ProgressPayload { contract, version }).await
            }
            Report::Released { contract } => {
                client.report_released(key, node, sequence, ReleasedPayload { contract }).await
            }
            Report::Details(payload) => client.report_details(key, node, sequence, payload).await,
        };
        match result {
            Ok(()) => Ok(Submitted::Taken),
            Err(error) if is_known(report, error.refusal()) => Ok(Submitted::Known),
            Err(error) => Err(error.into()),
        }
    }
}

/// Refusals that say that the report isn't needed.
fn is_known(report: &Report, refusal: Option<Refusal>) -> bool {
    let Some(refusal) = refusal else { return false };
    match (report, refusal) {
        (_, Refusal::Unchanged | Refusal::AlreadyDeployed | Refusal::NothingToRelease) => true,
        // The next one comes at its time, and what a machine is, the chain was told just now.
        (
            Report::Heartbeat { .. } | Report::Usage(_) | Report::Progress { .. } | Report::Details(_),
            Refusal::TooSoon,
        ) => true,
        // The chain has its answer, or waits for none any more: the next snapshot tells.
        (Report::Progress { .. } | Report::Failed { .. }, Refusal::NothingPending) => true,
        (Report::Progress { .. }, Refusal::AnswerExpired) => true,
        _ => false,
    }
}

fn too_long(what: &str) -> ChainError {
    ChainError(format!("{what} is longer than the chain takes"))
}

fn contract(seen: NodeContract) -> Contract {
    let standing = Version { number: seen.version, body_hash: seen.body_hash.0, reserved: seen.resources };
    Contract {
        id: seen.contract,
        standing,
        state: match seen.deployed {
            true => ContractState::Deployed,
            false => ContractState::Created,
        },
        pending: seen.pending.map(|pending| Version {
            number: pending.version,
            body_hash: pending.body_hash.0,
            reserved: pending.resources,
        }),
        paused: seen.paused,
    }
}

impl From<Error> for ChainError {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

/// The last blocks, to read them by hash.
#[derive(Clone, Default)]
struct Blocks(Arc<Mutex<VecDeque<At>>>);

impl Blocks {
    /// Reads the block's head and keeps it.
    async fn head(&self, at: At) -> Result<Head, ChainError> {
        let number = u32::try_from(at.number())
            .map_err(|_| ChainError(format!("block number {} is beyond 32 bits", at.number())))?;
        let head = Head { number, hash: at.hash().0, timestamp_ms: at.timestamp_ms().await? };
        let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.push_back(at);
        if blocks.len() > BLOCKS_KEPT {
            blocks.pop_front();
        }
        Ok(head)
    }

    fn find(&self, hash: H256) -> Option<At> {
        let blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.iter().rev().find(|at| at.hash() == hash).cloned()
    }
}
