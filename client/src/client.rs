// SPDX-License-Identifier: Apache-2.0
//! The connection to a node of the chain.

use crate::{At, Config, Error};
use sp_core::H256;
use std::{future::Future, time::Duration};
use subxt::{
    OnlineClient,
    client::Blocks,
    config::RpcConfigFor,
    rpcs::{LegacyRpcMethods, RpcClient},
};

/// How long a node may take to answer before it counts as gone.
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
        let connecting = async {
            let rpc = RpcClient::from_insecure_url(url).await.map_err(|e| e.to_string())?;
            let api = OnlineClient::from_rpc_client(rpc.clone()).await.map_err(|e| e.to_string())?;
            Ok::<_, String>(Self { api, legacy: LegacyRpcMethods::new(rpc) })
        };
        let answer = tokio::time::timeout(ANSWER_WITHIN, connecting).await;
        let answer =
            answer.unwrap_or_else(|_| Err(format!("no answer within {} s", ANSWER_WITHIN.as_secs())));
        answer.map_err(|reason| Error::Connect { url: url.into(), reason })
    }

    /// The hash of block 0: tells chains apart, and is part of everything that machines sign.
    pub fn genesis(&self) -> H256 {
        H256(self.api.genesis_hash().0)
    }

    /// The grid at the last finalized block.
    pub async fn finalized(&self) -> Result<At, Error> {
        let at = in_time("the finalized head", self.api.at_current_block()).await?;
        Ok(At(at))
    }

    /// Finalized heads from now on.
    pub async fn follow(&self) -> Result<Heads, Error> {
        Ok(Heads(in_time("finalized heads", self.api.stream_blocks()).await?))
    }
}

/// A stream of finalized heads.
pub struct Heads(Blocks<Config>);

impl Heads {
    /// The next head, in order and without gaps; `None` when the connection is gone.
    pub async fn next(&mut self) -> Option<Result<At, Error>> {
        let block = match self.0.next().await? {
            Ok(block) => block,
            Err(e) => return Some(Err(Error::read("a finalized head")(&e))),
        };
        Some(in_time("a finalized head", block.at()).await.map(At))
    }
}

/// Waits for an answer for [`ANSWER_WITHIN`].
pub(crate) async fn in_time<T, E: std::fmt::Display>(
    what: &str,
    asking: impl Future<Output = Result<T, E>>,
) -> Result<T, Error> {
    match tokio::time::timeout(ANSWER_WITHIN, asking).await {
        Ok(answer) => answer.map_err(|e| Error::read(what)(&e)),
        Err(_) => Err(Error::TimedOut { what: what.into(), within: ANSWER_WITHIN }),
    }
}
