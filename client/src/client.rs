// SPDX-License-Identifier: Apache-2.0
//! The connection to a node of the chain.

use crate::{Config, Error, GridAt, error::ConnectError};
use sp_core::H256;
use std::{future::Future, time::Duration};
use subxt::{
    OnlineClient,
    client::Blocks,
    config::RpcConfigFor,
    rpcs::{self, LegacyRpcMethods, RpcClient},
};

/// The time that a node has to answer a request.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A connection to a node. Cloning shares it; when it breaks, every call fails and a new one must be made.
#[derive(Clone)]
pub struct GridClient {
    pub(crate) api: OnlineClient<Config>,
    pub(crate) legacy: LegacyRpcMethods<RpcConfigFor<Config>>,
}

impl GridClient {
    /// Connects to `ws://` or `wss://`.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let failed = |source| Error::Connect { url: url.into(), source };
        if !["ws://", "wss://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(failed(ConnectError::Scheme));
        }
        let connecting = async {
            let rpc = RpcClient::from_insecure_url(url).await.map_err(innermost)?;
            let api = OnlineClient::from_rpc_client(rpc.clone())
                .await
                .map_err(|e| ConnectError::Rpc(Box::new(e)))?;
            Ok(Self { api, legacy: LegacyRpcMethods::new(rpc) })
        };
        match tokio::time::timeout(ANSWER_WITHIN, connecting).await {
            Ok(connected) => connected.map_err(failed),
            Err(_) => Err(failed(ConnectError::TimedOut(ANSWER_WITHIN))),
        }
    }

    /// The hash of block 0: tells chains apart, and is part of everything that machines sign.
    pub fn genesis(&self) -> H256 {
        H256(self.api.genesis_hash().0)
    }

    /// Whether the chain is one on which TFT have a value, and not for development or tests.
    pub async fn is_live(&self) -> Result<bool, Error> {
        Ok(in_time("the chain's type", self.legacy.system_chain_type()).await? == "Live")
    }

    /// The grid at the last finalized block.
    pub async fn finalized(&self) -> Result<GridAt, Error> {
        let at = in_time("the finalized head", self.api.at_current_block()).await?;
        Ok(GridAt(at))
    }

    /// Finalized heads from now on.
    pub async fn follow(&self) -> Result<Heads, Error> {
        Ok(Heads(in_time("finalized heads", self.api.stream_blocks()).await?))
    }
}

/// Unwraps an error of the RPC client, whose layers all say the same.
fn innermost(error: rpcs::Error) -> ConnectError {
    match error {
        rpcs::Error::Client(inner) => match inner.downcast::<rpcs::Error>() {
            Ok(inner) => innermost(*inner),
            Err(inner) => ConnectError::Rpc(inner),
        },
        other => ConnectError::Rpc(Box::new(other)),
    }
}

/// A stream of finalized heads.
pub struct Heads(Blocks<Config>);

impl Heads {
    /// The next head, in order and without gaps; `None` when the connection is gone.
    pub async fn next(&mut self) -> Option<Result<GridAt, Error>> {
        const WHAT: &str = "a finalized head";
        let block = match self.0.next().await? {
            Ok(block) => block,
            Err(e) => return Some(Err(Error::read(WHAT)(e))),
        };
        Some(in_time(WHAT, block.at()).await.map(GridAt))
    }
}

/// Waits for an answer for [`ANSWER_WITHIN`].
pub(crate) async fn in_time<T, E: Into<subxt::Error>>(
    what: &str,
    asking: impl Future<Output = Result<T, E>>,
) -> Result<T, Error> {
    match tokio::time::timeout(ANSWER_WITHIN, asking).await {
        Ok(answer) => answer.map_err(Error::read(what)),
        Err(_) => Err(Error::TimedOut { what: what.into(), within: ANSWER_WITHIN }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_of_another_scheme_is_refused() {
        let error = GridClient::connect("http://127.0.0.1:9944").await.err().unwrap().to_string();
        assert!(error.contains("begins with ws:// or wss://"), "{error}");
    }

    #[tokio::test]
    async fn a_refused_connection_is_said_once() {
        // Nobody listens on the port of a closed listener.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = GridClient::connect(&format!("ws://127.0.0.1:{port}")).await.err().unwrap().to_string();
        assert!(error.contains("is the node running"), "{error}");
        assert!(!error.contains("RPC error"), "{error}");
    }
}
