// SPDX-License-Identifier: Apache-2.0

use crate::{Agent, Run, free_port};
use anyhow::Result;
use std::net::{IpAddr, SocketAddr};

/// A node on another machine than the grid's first one, or one of several.
pub struct OtherNode {
    pub agent: Agent,
    /// The node's id.
    pub id: u64,
    /// Where its peer endpoint is dialled.
    pub peer: SocketAddr,
}

impl OtherNode {
    /// Starts an agent under this name in the network of the calling thread, where it has this address; returns once it
    /// has joined.
    pub fn start(
        run: &Run,
        name: &'static str,
        (chain, ticket): (&str, &str),
        ip: IpAddr,
        more: &[&str],
    ) -> Result<Self> {
        let peer = SocketAddr::from((ip, free_port()?));
        let agent = Agent::start_other(run, name, chain, ticket, peer, more)?;
        let id = agent.joins()?;
        Ok(Self { agent, id, peer })
    }
}
