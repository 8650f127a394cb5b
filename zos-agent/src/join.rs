// SPDX-License-Identifier: Apache-2.0
//! Finds this node on the chain, or makes it join the farm of its boot ticket. Waits for a chain
//! that isn't there yet: nobody stands next to the machine to start it again.

use crate::{backoff::Backoff, host, host::CapacityOverride, identity::Identity, store::Store};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::{path::Path, time::Duration};
use tfgrid_client::{GridAt as At, GridClient, MachineKey};
use tfgrid_primitives::{Isolation, NodeId, Registration};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

const FILE: &str = "chain.json";
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(30) };
/// How long a registration may take from the pool to a finalized block before it is sent again.
const FINALIZED: Duration = Duration::from_secs(60);
/// How long a registration is valid; the chain allows an hour.
const VALID_SECONDS: u64 = 1_800;

/// How to join.
pub struct Joining<'a> {
    /// Where the chain is.
    pub url: &'a str,
    /// Who this node is.
    pub identity: &'a Identity,
    /// For a node that isn't registered yet.
    pub ticket: Option<MachineKey>,
    /// What the farmer sets himself.
    pub capacity: CapacityOverride,
    /// The data folder, for what its disk can offer.
    pub data: &'a Path,
    /// Remembers the chain.
    pub store: &'a Store,
}

/// The chain that a data folder belongs to.
#[derive(Debug, Serialize, Deserialize)]
struct Belonging {
    genesis: String,
}

impl Joining<'_> {
    /// Tries until the node is on the chain; returns a connection and the node's id.
    ///
    /// # Errors
    /// Where trying again can't help: no ticket, or another chain than before.
    pub async fn join(&self) -> Result<(GridClient, NodeId)> {
        let mut failures = 0u32;
        loop {
            let why = match self.connect().await? {
                Ok(joined) => return Ok(joined),
                Err(why) => why,
            };
            failures = failures.saturating_add(1);
            let delay = BACKOFF.delay(failures);
            warn!(retry_in = ?delay, "not on the grid yet: {why}");
            sleep(delay).await;
        }
    }

    /// The outer error ends the agent, the inner one is worth another try.
    async fn connect(&self) -> Result<Result<(GridClient, NodeId), tfgrid_client::Error>> {
        let client = match GridClient::connect(self.url).await {
            Ok(client) => client,
            Err(error) => return Ok(Err(error)),
        };
        self.check_chain(&client)?;
        let found = async {
            let at = client.finalized().await?;
            Ok((at.node_by_key(&self.identity.node_key().public()).await?, at))
        };
        let at = match found.await {
            Ok((Some(node), _)) => {
                info!(node, "this node is on the grid");
                return Ok(Ok((client, node)));
            }
            Ok((None, at)) => at,
            Err(error) => return Ok(Err(error)),
        };
        let ticket = self.ticket.as_ref().with_context(|| {
            format!(
                "this node isn't registered at {} and has no boot ticket: start it once with --ticket, \
                 or ZOS_TICKET, and the ticket that the farmer made with `threebot farm ticket`",
                self.url
            )
        })?;
        let node = self.register(&client, at, ticket).await?;
        Ok(node.map(|node| (client, node)))
    }

    /// A data folder of one chain must not meet another: contracts have the same ids on all.
    fn check_chain(&self, client: &GridClient) -> Result<()> {
        let genesis = hex::encode(client.genesis());
        match self.store.read::<Belonging>(FILE)? {
            None => self.store.write(FILE, &Belonging { genesis }),
            Some(known) if known.genesis == genesis => Ok(()),
            Some(known) => bail!(
                "{} belongs to the chain with genesis {}, and {} has the chain with genesis {genesis}: \
                 correct --chain, or choose another folder with --data",
                self.data.display(),
                known.genesis,
                self.url
            ),
        }
    }

    async fn register(
        &self,
        client: &GridClient,
        at: At,
        ticket: &MachineKey,
    ) -> Result<Result<NodeId, tfgrid_client::Error>> {
        let resources = self.capacity.apply(host::capacity(self.data)?);
        let node_key = self.identity.node_key();
        let sent = async {
            let registration = Registration {
                ticket: ticket.public(),
                node_key: node_key.public(),
                peer_key: self.identity.peer_key(),
                encryption_key: self.identity.encryption_key(),
                resources,
                isolation: Isolation::Container,
                valid_until: at.timestamp_ms().await? / 1_000 + VALID_SECONDS,
            };
            info!("joining with {}", host::Display(resources));
            let mut heads = client.follow().await?;
            client.register(&registration, ticket, node_key).await?;
            let appears = async {
                while let Some(at) = heads.next().await {
                    if let Some(node) = at?.node_by_key(&node_key.public()).await? {
                        return Ok(Some(node));
                    }
                }
                Ok::<_, tfgrid_client::Error>(None)
            };
            match timeout(FINALIZED, appears).await {
                Ok(Ok(Some(node))) => Ok(node),
                Ok(Err(error)) => Err(error),
                Ok(Ok(None)) | Err(_) => {
                    Err(tfgrid_client::Error::TimedOut { what: "the registration".into(), within: FINALIZED })
                }
            }
        };
        let node = sent.await;
        if let Ok(node) = &node {
            info!(node, "joined the farm");
        }
        Ok(node)
    }
}
