// SPDX-License-Identifier: Apache-2.0
//! Finds this node on the chain, or joins the farm of its boot ticket. Waits for a chain or a container
//! engine that doesn't answer yet, since nobody is at the machine to restart the agent.

use crate::{
    backoff::Backoff,
    chain::{
        ChainError,
        client::Joined,
        endpoints::{Endpoints, STALE_MS},
    },
    clock::unix_ms,
    drivers::{machine::DockerMachines, pool::Pools},
    host,
    host::CapacityOverride,
    identity::Identity,
    store::Store,
};
use anyhow::{Context, Error, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use sp_core::H256;
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tfgrid_client::{GridClient, MachineKey};
use tfgrid_primitives::{Isolation, NodeId, Refusal, Registration, Resources};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

const FILE: &str = "chain.json";
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(15) };
/// Time from the pool to a finalized block after which a registration is sent again.
const FINALIZED_WITHIN: Duration = Duration::from_secs(60);
/// Validity of a registration in seconds; the chain accepts an hour at most.
const VALID_SECONDS: u64 = 1_800;
/// How long the chain must keep refusing a ticket before the agent gives up. By then a registration that is
/// in a block is final.
const REFUSED_FOR: Duration = Duration::from_secs(30);

/// Parameters of joining.
pub struct Joining<'a> {
    /// RPC endpoints of the chain.
    pub endpoints: &'a Endpoints,
    /// Keys of this node.
    pub identity: &'a Identity,
    /// Needed only for a node that isn't registered.
    pub ticket: Option<MachineKey>,
    /// Capacity that the farmer has set.
    pub capacity: CapacityOverride,
    /// Data folder.
    pub data: &'a Path,
    /// Storage pools.
    pub pools: &'a Pools,
    /// Container engine.
    pub machines: &'a DockerMachines,
    /// Remembers the chain.
    pub store: &'a Store,
}

/// The chain that a data folder belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Belonging {
    genesis: String,
    /// The node's id, once it was found there.
    node: Option<NodeId>,
}

impl Belonging {
    /// That of a node, `None` before it has reached a chain.
    ///
    /// # Errors
    /// If its file is damaged.
    pub fn known(store: &Store) -> Result<Option<Self>> {
        store.read(FILE)
    }

    /// Hash of the chain's block 0.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn genesis(&self) -> Result<H256> {
        let bytes = hex::decode(&self.genesis).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes
            .map(H256)
            .with_context(|| format!("{FILE} is damaged: {:?} is no hash of a block", self.genesis))
    }

    /// The node's place on the chain as it was last found, without a connection; `None` if it has never joined.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn joined(store: &Store) -> Result<Option<Joined>> {
        let Some(known) = Self::known(store)? else { return Ok(None) };
        let Some(node) = known.node else { return Ok(None) };
        Ok(Some(Joined { genesis: known.genesis()?, node, client: None }))
    }
}

/// Why a node isn't on the chain yet.
#[derive(Debug, thiserror::Error)]
enum NotJoined {
    /// Trying again may help.
    #[error(transparent)]
    Retry(Error),
    /// Trying again can't help.
    #[error(transparent)]
    Fatal(Error),
    /// The chain refuses the registration.
    #[error("the chain refuses the registration: {}", .0.text())]
    Refused(Refusal),
}

impl From<tfgrid_client::Error> for NotJoined {
    fn from(error: tfgrid_client::Error) -> Self {
        match error.refusal() {
            Some(refusal) => Self::Refused(refusal),
            None => Self::Retry(error.into()),
        }
    }
}

impl Joining<'_> {
    /// Tries until the node is on the chain. A node that was there before goes on without a connection if the first try
    /// fails: what it runs must not wait.
    ///
    /// # Errors
    /// If trying again can't help: no ticket, one that the chain doesn't accept, or another chain than
    /// before.
    pub async fn join(&self) -> Result<Joined> {
        let mut failures = 0u32;
        let mut refused_since = None;
        loop {
            let why = match self.attempt(failures).await {
                Ok(joined) => return Ok(joined),
                Err(NotJoined::Fatal(why)) => return Err(why),
                Err(why) => why,
            };
            if let NotJoined::Retry(why) = &why
                && let Some(joined) = Belonging::joined(self.store)?
            {
                warn!(node = joined.node, "the chain isn't reached: {why:#}");
                return Ok(joined);
            }
            if let NotJoined::Refused(refusal) = why
                && let Some(advice) = advice(refusal)
            {
                let since: Instant = *refused_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= REFUSED_FOR {
                    bail!("this node can't join: {}. {advice}", refusal.text());
                }
            }
            failures = failures.saturating_add(1);
            let delay = BACKOFF.delay(failures);
            warn!(retry_in = ?delay, "not on the grid yet: {:#}", Error::from(why));
            sleep(delay).await;
        }
    }

    async fn attempt(&self, failures: u32) -> Result<Joined, NotJoined> {
        let client = self.connect().await?;
        let genesis = client.genesis();
        let at = client.finalized().await?;
        if let Some(node) = at.node_by_key(&self.identity.node_key().public()).await? {
            info!(node, "this node is on the grid");
            self.remember(genesis, Some(node)).map_err(NotJoined::Fatal)?;
            return Ok(Joined { genesis, node, client: Some(client) });
        }
        let now_ms = at.timestamp_ms().await?;
        let behind_ms = unix_ms().saturating_sub(now_ms);
        if behind_ms > STALE_MS {
            let why = anyhow!(
                "every endpoint is {} s behind or more: waiting until one has caught up",
                behind_ms / 1_000
            );
            return Err(NotJoined::Retry(why));
        }
        let Some(ticket) = &self.ticket else {
            let known = Belonging::known(self.store).map_err(NotJoined::Fatal)?;
            if let Some(node) = known.and_then(|known| known.node) {
                // One endpoint says that it was removed: the outbox finds out whether it is true.
                warn!(node, "this node isn't on the chain any more, according to one endpoint");
                return Ok(Joined { genesis, node, client: Some(client) });
            }
            return Err(NotJoined::Fatal(anyhow!(
                "this node isn't registered at {} and has no boot ticket: get one from the farmer, who makes it \
                 with `threebot farm ticket`, and start the agent once with it in ZOS_TICKET or in a file that \
                 --ticket-file names",
                self.endpoints.urls().join(",")
            )));
        };
        // It was removed, if it was there.
        self.remember(genesis, None).map_err(NotJoined::Fatal)?;
        // A node that can't run workloads must not spend a ticket.
        self.machines.ready().await.map_err(|error| NotJoined::Retry(error.into()))?;
        let node = self.register(&client, now_ms, ticket, failures).await?;
        info!(node, "joined the farm");
        self.remember(genesis, Some(node)).map_err(NotJoined::Fatal)?;
        Ok(Joined { genesis, node, client: Some(client) })
    }

    /// Connects to the chain of the data folder, which must not be used with another: contracts have the same ids on
    /// all chains.
    async fn connect(&self) -> Result<GridClient, NotJoined> {
        let known = Belonging::known(self.store).map_err(NotJoined::Fatal)?;
        let genesis = known.as_ref().map(Belonging::genesis).transpose().map_err(NotJoined::Fatal)?;
        self.endpoints.connect(genesis).await.map_err(|error| match error {
            ChainError::OtherChain { url, expected, found } => NotJoined::Fatal(anyhow!(
                "{} belongs to the chain with genesis {}, and {url} serves the chain with genesis {}: correct --chain, \
                 or choose another folder with --data",
                self.data.display(),
                hex::encode(expected),
                hex::encode(found)
            )),
            error => NotJoined::Retry(error.into()),
        })
    }

    fn remember(&self, genesis: H256, node: Option<NodeId>) -> Result<()> {
        let belonging = Belonging { genesis: hex::encode(genesis), node };
        if Belonging::known(self.store)?.as_ref() == Some(&belonging) {
            return Ok(());
        }
        self.store.write(FILE, &belonging)
    }

    async fn register(
        &self,
        client: &GridClient,
        now_ms: u64,
        ticket: &MachineKey,
        failures: u32,
    ) -> Result<NodeId, NotJoined> {
        let node_key = self.identity.node_key();
        let registration = Registration {
            ticket: ticket.public(),
            node_key: node_key.public(),
            peer_key: self.identity.peer_key(),
            encryption_key: self.identity.encryption_key(),
            resources: self.resources().map_err(NotJoined::Fatal)?,
            isolation: Isolation::Container,
            // Each attempt differs: the pool bans a transaction that it has refused.
            valid_until: now_ms / 1_000 + VALID_SECONDS.saturating_sub(failures.into()),
        };
        info!("joining with {}", host::Display(registration.resources));
        let mut heads = client.follow().await?;
        client.register(&registration, ticket, node_key).await?;
        let appears = async {
            while let Some(at) = heads.next().await {
                if let Some(node) = at?.node_by_key(&node_key.public()).await? {
                    return Ok(node);
                }
            }
            Err(NotJoined::Retry(anyhow!("the connection ended before the registration was final")))
        };
        let joined = timeout(FINALIZED_WITHIN, appears).await;
        joined.unwrap_or_else(|_| {
            Err(NotJoined::Retry(anyhow!("the registration wasn't final within {FINALIZED_WITHIN:?}")))
        })
    }

    /// Capacity to offer.
    fn resources(&self) -> Result<Resources> {
        let storage = self.pools.offered()?;
        let found = host::capacity(storage, &CapacityOverride::default())?;
        let offered = host::capacity(storage, &self.capacity)?;
        if offered.cru > found.cru || offered.mru > found.mru {
            warn!(
                "--capacity offers {}, more than was found: {}. Workloads may fail",
                host::Display(offered),
                host::Display(found)
            );
        }
        Ok(offered)
    }
}

/// What to do about a refusal that lasts; `None` if it passes.
fn advice(refusal: Refusal) -> Option<&'static str> {
    match refusal {
        Refusal::TicketUnknown => {
            Some("Check that the ticket is complete and that --chain is the chain on which it was opened")
        }
        Refusal::TicketExpired | Refusal::TicketExhausted | Refusal::TicketRevoked => {
            Some("Ask the farmer for a new one (`threebot farm ticket`)")
        }
        Refusal::TicketUsed => Some(
            "A node that was removed needs a new ticket: ask the farmer for one (`threebot farm ticket`)",
        ),
        Refusal::CapacityOutOfRange => Some("Correct --capacity"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refusals_that_last_end_the_agent() {
        for refusal in [
            Refusal::TicketUnknown,
            Refusal::TicketExpired,
            Refusal::TicketExhausted,
            Refusal::TicketRevoked,
            Refusal::TicketUsed,
            Refusal::CapacityOutOfRange,
        ] {
            assert!(advice(refusal).is_some(), "{refusal:?}");
        }
        assert_eq!(advice(Refusal::ValidityOutOfRange), None);
        assert_eq!(advice(Refusal::TooSoon), None);
    }

    #[test]
    fn only_a_node_that_has_joined_has_a_place_on_the_chain() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let place = || Belonging::joined(&store).map(|found| found.map(|found| (found.genesis, found.node)));
        assert_eq!(place().unwrap(), None);
        let mut belonging = Belonging { genesis: "07".repeat(32), node: None };
        store.write(FILE, &belonging).unwrap();
        assert_eq!(place().unwrap(), None);
        belonging.node = Some(4);
        store.write(FILE, &belonging).unwrap();
        assert_eq!(place().unwrap(), Some((H256([7; 32]), 4)));
        belonging.genesis = "07".into();
        store.write(FILE, &belonging).unwrap();
        assert!(place().unwrap_err().to_string().contains("chain.json is damaged"));
    }
}
