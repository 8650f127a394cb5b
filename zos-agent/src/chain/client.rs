// SPDX-License-Identifier: Apache-2.0
//! The chain over RPC, through the client library.

use super::{
    Body, BodyOf, Chain, ChainError, ChainLimits, Closed, Contract, ContractState, Head, Report, Submitted,
    Traffic, Version, endpoints::Endpoints,
};
use async_trait::async_trait;
use futures::{FutureExt, StreamExt, future::ready, stream, stream::BoxStream};
use ipnet::Ipv4Net;
use sp_core::H256;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};
use tfgrid_client::{
    Error, GridAt, GridClient, MachineKey,
    grid_at::{NodePower, PublicPlace},
    peer::NodeAddress,
    public_ip::{PublicIp, PublicNetwork},
};
use tfgrid_primitives::{
    ContractId, NodeId, PublicKey, Refusal, TwinId,
    report::{
        DeployedPayload, DetailsPayload, FailedPayload, HeartbeatPayload, PowerPayload, PowerState,
        ProgressPayload, ReleasedPayload,
    },
    views::{GridInfo, NodeContract},
};
use tokio::sync::{RwLock, watch};

/// How many recent blocks stay readable.
const BLOCKS_KEPT: usize = 8;
/// Limit of records that are read at the same time.
const MAX_READS: usize = 16;

/// One node's access to the chain at its RPC endpoints.
pub struct RpcChain {
    endpoints: Endpoints,
    genesis: H256,
    key: MachineKey,
    node: NodeId,
    connection: RwLock<Option<Connection>>,
    /// Ends streams of heads.
    leaving: watch::Sender<()>,
    blocks: Blocks,
}

/// A node's place on the chain.
pub struct Joined {
    /// Hash of the chain's block 0.
    pub genesis: H256,
    /// The node's id.
    pub node: NodeId,
    /// A connection, if the chain was reached.
    pub client: Option<GridClient>,
}

struct Connection {
    client: GridClient,
    /// Whether its heads were followed: the next follower then needs a new connection.
    followed: bool,
}

impl RpcChain {
    /// Signs reports of the node with `key`; connects to `endpoints` where it has no connection.
    pub fn new(endpoints: Endpoints, joined: Joined, key: MachineKey) -> Self {
        let Joined { genesis, node, client } = joined;
        let connection = client.map(|client| Connection { client, followed: false });
        let (connection, leaving) = (RwLock::new(connection), watch::Sender::new(()));
        Self { endpoints, genesis, key, node, connection, leaving, blocks: Blocks::default() }
    }

    async fn client(&self) -> Result<GridClient, ChainError> {
        let connection = self.connection.read().await;
        connection.as_ref().map(|connection| connection.client.clone()).ok_or(ChainError::NotConnected)
    }

    /// A connection whose heads weren't followed yet.
    async fn fresh_client(&self) -> Result<GridClient, ChainError> {
        let mut connection = self.connection.write().await;
        let client = match &*connection {
            Some(Connection { client, followed: false }) => client.clone(),
            _ => self.endpoints.connect(Some(self.genesis)).await?,
        };
        *connection = Some(Connection { client: client.clone(), followed: true });
        Ok(client)
    }

    fn at(&self, head: &Head) -> Result<GridAt, ChainError> {
        self.blocks.find(H256(head.hash)).ok_or(ChainError::BlockDropped(head.number))
    }
}

#[async_trait]
impl Chain for RpcChain {
    async fn heads(&self) -> Result<BoxStream<'static, Result<Head, ChainError>>, ChainError> {
        let mut leaving = self.leaving.subscribe();
        let client = self.fresh_client().await?;
        let heads = client.follow().await?;
        let first = client.finalized().await?;
        // The connection lives as long as the stream.
        let rest = stream::unfold((heads, client), |(mut heads, client)| async move {
            heads.next().await.map(|at| (at, (heads, client)))
        });
        // The stream starts with some older blocks.
        let newest = first.number();
        let rest = rest.skip_while(move |at| ready(matches!(at, Ok(at) if at.number() <= newest)));
        let blocks = self.blocks.clone();
        let read = move |at: Result<GridAt, Error>| {
            let blocks = blocks.clone();
            async move { blocks.head(at?).await }
        };
        let left = async move { drop(leaving.changed().await) };
        Ok(stream::once(async { Ok(first) }).chain(rest).then(read).take_until(left.boxed()).boxed())
    }

    async fn contracts(&self, at: &Head) -> Result<Vec<Contract>, ChainError> {
        let at = self.at(at)?;
        let contracts = at.contracts_of_node(self.node).await?;
        if contracts.is_empty() {
            return Ok(Vec::new());
        }
        let network = at.public_network(self.node).await?;
        let mut ips = match at.farm_of_node(self.node).await? {
            Some(farm) => at.public_ips_by_contract(farm).await?,
            None => BTreeMap::new(),
        };
        let mut ips_of = |seen: &NodeContract| ips.remove(&seen.contract).unwrap_or_default();
        Ok(contracts.into_iter().map(|seen| contract(seen, ips_of(&seen), network)).collect())
    }

    async fn body(&self, contract: ContractId, of: BodyOf, at: &Head) -> Result<Option<Body>, ChainError> {
        let at = self.at(at)?;
        Ok(match of {
            BodyOf::Active => at.body(contract).await?,
            BodyOf::Pending => at.pending_body(contract).await?,
        })
    }

    async fn closed(&self, contract: ContractId, at: &Head) -> Result<Option<Closed>, ChainError> {
        let closed = self.at(at)?.closed(contract).await?;
        Ok(closed.map(|closed| Closed { reason: format!("{:?}", closed.reason) }))
    }

    async fn awaits_release(&self, contract: ContractId, at: &Head) -> Result<bool, ChainError> {
        Ok(self.at(at)?.is_cooling_down(contract).await?)
    }

    async fn awaited_releases(&self, at: &Head) -> Result<Vec<ContractId>, ChainError> {
        let at = self.at(at)?;
        let Some(farm) = at.farm_of_node(self.node).await? else { return Ok(Vec::new()) };
        let at = &at;
        let own = |contract| async move {
            let closed = at.closed(contract).await?;
            Ok(closed.filter(|closed| closed.node == Some(self.node)).map(|_| contract))
        };
        let cooling = at.cooling_down_in_farm(farm).await?;
        let found: Vec<_> = stream::iter(cooling).map(own).buffer_unordered(MAX_READS).collect().await;
        found.into_iter().filter_map(Result::transpose).collect()
    }

    async fn is_registered(&self, at: &Head) -> Result<bool, ChainError> {
        Ok(self.at(at)?.node_by_key(&self.key.public()).await? == Some(self.node))
    }

    async fn details(&self, at: &Head) -> Result<Option<DetailsPayload>, ChainError> {
        Ok(self.at(at)?.details(self.node).await?)
    }

    async fn public_place(&self, at: &Head) -> Result<PublicPlace, ChainError> {
        Ok(self.at(at)?.public_place(self.node).await?)
    }

    async fn name_holder(&self, name: &str, at: &Head) -> Result<Option<TwinId>, ChainError> {
        let at = self.at(at)?;
        let Some(contract) = at.contract_of_name(name).await? else { return Ok(None) };
        Ok(at.contract(contract).await?.map(|contract| contract.twin))
    }

    async fn peer_keys(&self, twin: TwinId, at: &Head) -> Result<Vec<PublicKey>, ChainError> {
        Ok(self.at(at)?.twin(twin).await?.map(|twin| twin.peer_keys.0).unwrap_or_default())
    }

    async fn farmer(&self, at: &Head) -> Result<Option<TwinId>, ChainError> {
        let at = self.at(at)?;
        let Some(farm) = at.farm_of_node(self.node).await? else { return Ok(None) };
        Ok(at.farmer(farm).await?)
    }

    async fn traffic(&self, contract: ContractId, at: &Head) -> Result<Traffic, ChainError> {
        let at = self.at(at)?;
        let reported = at.usage(contract).await?.unwrap_or_default();
        Ok(Traffic {
            left_bytes: at.traffic_left(contract).await?,
            reported_bytes: reported.received_bytes.saturating_add(reported.sent_bytes),
        })
    }

    async fn network_members(
        &self,
        twin: TwinId,
        network: &str,
        at: &Head,
    ) -> Result<Vec<(ContractId, Ipv4Net)>, ChainError> {
        Ok(self.at(at)?.network_members(twin, network).await?)
    }

    async fn node_of_contract(&self, contract: ContractId, at: &Head) -> Result<Option<NodeId>, ChainError> {
        Ok(self.at(at)?.node_of_contract(contract).await?)
    }

    async fn node_address(&self, node: NodeId, at: &Head) -> Result<Option<NodeAddress>, ChainError> {
        Ok(self.at(at)?.peer(node).await?)
    }

    async fn limits(&self, at: &Head) -> Result<ChainLimits, ChainError> {
        let GridInfo { heartbeat_ms, usage_ms, answer_ms, .. } = self.at(at)?.grid_info().await?;
        Ok(ChainLimits { heartbeat_ms, usage_ms, answer_ms })
    }

    async fn power(&self, at: &Head) -> Result<NodePower, ChainError> {
        self.at(at)?.node_power(self.node).await?.ok_or(ChainError::Refused(Refusal::NodeUnknown))
    }

    async fn nodes_to_wake(&self, at: &Head) -> Result<Vec<NodeId>, ChainError> {
        let at = self.at(at)?;
        let Some(farm) = at.farm_of_node(self.node).await? else { return Ok(Vec::new()) };
        let mut nodes = Vec::new();
        for node in at.nodes_of_farm(farm).await? {
            let power = at.node_power(node).await?.filter(|_| node != self.node);
            let is_to_wake =
                |power: NodePower| (power.target, power.state) == (PowerState::Up, PowerState::Standby);
            if power.is_some_and(is_to_wake) {
                nodes.push(node);
            }
        }
        Ok(nodes)
    }

    async fn last_heartbeat(&self, at: &Head) -> Result<Option<u64>, ChainError> {
        Ok(self.at(at)?.last_heartbeat(self.node).await?)
    }

    async fn leave_endpoint(&self) {
        *self.connection.write().await = None;
        self.leaving.send_replace(());
    }

    async fn submit(&self, sequence: u64, report: &Report) -> Result<Submitted, ChainError> {
        let client = self.client().await?;
        let (key, node) = (&self.key, self.node);
        let result = match report.clone() {
            Report::Heartbeat { boot_nonce } => {
                client.heartbeat(key, node, sequence, HeartbeatPayload { boot_nonce }).await
            }
            Report::Deployed { contract, version, body_hash, result } => {
                let result = result.try_into().map_err(|_| ChainError::TooLong("a result"))?;
                let payload = DeployedPayload { contract, version, body_hash: H256(body_hash), result };
                client.report_deployed(key, node, sequence, payload).await
            }
            Report::Failed { contract, failure } => {
                client.report_failed(key, node, sequence, FailedPayload { contract, failure }).await
            }
            Report::Usage(items) => client.report_usage(key, node, sequence, items).await,
            Report::Progress { contract, version } => {
                client.report_progress(key, node, sequence, ProgressPayload { contract, version }).await
            }
            Report::Released { contract } => {
                client.report_released(key, node, sequence, ReleasedPayload { contract }).await
            }
            Report::Details(payload) => client.report_details(key, node, sequence, payload).await,
            Report::Sleep => {
                client.report_power(key, node, sequence, PowerPayload { state: PowerState::Standby }).await
            }
        };
        match result {
            Ok(()) => Ok(Submitted::InPool),
            Err(error) => match error.refusal() {
                Some(refusal) if is_superfluous(report, refusal) => Ok(Submitted::AlreadyKnown),
                Some(refusal) => Err(ChainError::Refused(refusal)),
                None => Err(error.into()),
            },
        }
    }
}

/// Whether the refusal means that the chain doesn't need the report.
fn is_superfluous(report: &Report, refusal: Refusal) -> bool {
    match (report, refusal) {
        (_, Refusal::Unchanged | Refusal::AlreadyDeployed | Refusal::NothingToRelease) => true,
        // The next one is sent at its own time. Details aren't among them: those before them may have been others.
        (Report::Heartbeat { .. } | Report::Usage(_) | Report::Progress { .. }, Refusal::TooSoon) => true,
        // The chain has its answer, or no longer waits for one: the next snapshot shows which.
        (Report::Progress { .. } | Report::Failed { .. }, Refusal::NothingPending) => true,
        (Report::Progress { .. }, Refusal::AnswerExpired) => true,
        _ => false,
    }
}

fn contract(
    seen: NodeContract,
    public_ips: Vec<PublicIp>,
    public_network: Option<PublicNetwork>,
) -> Contract {
    let active = Version { number: seen.version, body_hash: seen.body_hash.0, reserved: seen.resources };
    Contract {
        id: seen.contract,
        twin: seen.twin,
        active,
        state: if seen.deployed { ContractState::Deployed } else { ContractState::Created },
        pending: seen.pending.map(|pending| Version {
            number: pending.version,
            body_hash: pending.body_hash.0,
            reserved: pending.resources,
        }),
        paused: seen.paused,
        public_ips,
        public_network,
    }
}

/// The most recent blocks, by hash.
#[derive(Clone, Default)]
struct Blocks(Arc<Mutex<VecDeque<GridAt>>>);

impl Blocks {
    /// Reads a block's head and keeps the block.
    async fn head(&self, at: GridAt) -> Result<Head, ChainError> {
        let number = u32::try_from(at.number()).map_err(|_| ChainError::BlockNumber(at.number()))?;
        let head = Head { number, hash: at.hash().0, timestamp_ms: at.timestamp_ms().await? };
        let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.push_back(at);
        if blocks.len() > BLOCKS_KEPT {
            blocks.pop_front();
        }
        Ok(head)
    }

    fn find(&self, hash: H256) -> Option<GridAt> {
        let blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.iter().rev().find(|at| at.hash() == hash).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_refused_as_too_soon_are_sent_again() {
        assert!(!is_superfluous(&Report::Details(Default::default()), Refusal::TooSoon));
        assert!(is_superfluous(&Report::Heartbeat { boot_nonce: 1 }, Refusal::TooSoon));
    }
}
