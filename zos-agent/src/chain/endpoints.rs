// SPDX-License-Identifier: Apache-2.0
//! RPC endpoints of one chain, tried in turn.

use super::ChainError;
use crate::clock::unix_ms;
use sp_core::H256;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tfgrid_client::{Error, GridClient};
use tokio::time::timeout;
use tracing::warn;

/// Age in milliseconds from which a finalized head says that its endpoint is behind the chain, and is no reason to
/// destroy anything.
pub const STALE_MS: u64 = 300_000;
/// Limit for one endpoint to say which chain it serves, and how far it has come.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// The endpoints, and whose turn it is.
#[derive(Debug)]
pub struct Endpoints {
    urls: Vec<String>,
    next: AtomicUsize,
}

/// An endpoint that answers.
pub struct Dialled<C> {
    /// The connection.
    pub client: C,
    /// Hash of its chain's block 0.
    pub genesis: H256,
    /// Milliseconds by which its finalized head's clock is behind this machine's.
    pub behind_ms: u64,
}

impl Endpoints {
    /// The first one is tried first.
    pub fn new(urls: Vec<String>) -> Self {
        Self { urls, next: AtomicUsize::new(0) }
    }

    /// Their addresses.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Connects to the next endpoint that serves the chain with this genesis and keeps up with it; if none keeps up, to
    /// one that doesn't.
    ///
    /// # Errors
    /// If no endpoint answers, with the failure of each, or if all serve other chains.
    pub async fn connect(&self, genesis: Option<H256>) -> Result<GridClient, ChainError> {
        self.choose(genesis, dial).await
    }

    async fn choose<C, F>(&self, genesis: Option<H256>, dial: impl Fn(String) -> F) -> Result<C, ChainError>
    where
        F: Future<Output = Result<Dialled<C>, Error>>,
    {
        let (mut failures, mut behind) = (Vec::new(), None);
        for _ in &self.urls {
            // Counted before the call: a caller that gives up tries the others the next time.
            let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.urls.len();
            let url = self.urls[turn].clone();
            let why = match dial(url.clone()).await {
                Err(error) => error.into(),
                Ok(Dialled { genesis: found, client, behind_ms }) => match genesis {
                    Some(expected) if expected != found => ChainError::OtherChain { url, expected, found },
                    _ if behind_ms > STALE_MS => {
                        warn!(url, "the endpoint is {} s behind", behind_ms / 1_000);
                        behind.get_or_insert(client);
                        continue;
                    }
                    _ => return Ok(client),
                },
            };
            failures.push(why);
        }
        if let Some(client) = behind {
            return Ok(client);
        }
        let all = failures.iter().map(|why| format!("\n  {why}")).collect();
        let are_other = failures.iter().all(|why| matches!(why, ChainError::OtherChain { .. }));
        let is_one = failures.len() == 1;
        match failures.pop() {
            Some(why) if is_one || are_other => Err(why),
            _ => Err(ChainError::NoEndpoint(all)),
        }
    }
}

/// Connects to one endpoint.
///
/// # Errors
/// If it doesn't answer.
pub async fn dial(url: String) -> Result<Dialled<GridClient>, Error> {
    let dialling = async {
        let client = GridClient::connect(&url).await?;
        let now_ms = client.finalized().await?.timestamp_ms().await?;
        let behind_ms = unix_ms().saturating_sub(now_ms);
        Ok(Dialled { genesis: client.genesis(), client, behind_ms })
    };
    timeout(DIAL_TIMEOUT, dialling).await.unwrap_or_else(|_| {
        Err(Error::TimedOut { what: format!("a connection to {url}"), within: DIAL_TIMEOUT })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: H256 = H256([1; 32]);

    /// Endpoints named by what they are: `up`, `behind`, `other` or `down`. A client is its endpoint's name.
    fn endpoints(urls: &[&str]) -> Endpoints {
        Endpoints::new(urls.iter().map(ToString::to_string).collect())
    }

    async fn dial(url: String) -> Result<Dialled<String>, Error> {
        if url.starts_with("down") {
            return Err(Error::TimedOut { what: url, within: DIAL_TIMEOUT });
        }
        let genesis = if url.starts_with("other") { H256([2; 32]) } else { CHAIN };
        let behind_ms = if url.starts_with("behind") { STALE_MS + 1 } else { STALE_MS };
        Ok(Dialled { client: url, genesis, behind_ms })
    }

    async fn chosen(endpoints: &Endpoints) -> Result<String, String> {
        endpoints.choose(Some(CHAIN), dial).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn an_endpoint_that_fails_is_passed_over() {
        for bad in ["down", "other", "behind"] {
            assert_eq!(chosen(&endpoints(&[bad, "up"])).await.unwrap(), "up", "{bad}");
        }
    }

    #[tokio::test]
    async fn each_connection_is_to_the_next_endpoint() {
        let endpoints = endpoints(&["up 1", "down", "up 2"]);
        for expected in ["up 1", "up 2", "up 1"] {
            assert_eq!(chosen(&endpoints).await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn an_endpoint_that_is_behind_is_better_than_none() {
        assert_eq!(chosen(&endpoints(&["behind", "down"])).await.unwrap(), "behind");
    }

    #[tokio::test]
    async fn without_an_endpoint_each_failure_is_told() {
        let error = chosen(&endpoints(&["down 1", "other", "down 2"])).await.unwrap_err();
        for part in ["down 1", "other serves another chain", "down 2"] {
            assert!(error.contains(part), "{error}");
        }
        let result = endpoints(&["other", "other"]).choose(Some(CHAIN), dial).await;
        assert!(matches!(result, Err(ChainError::OtherChain { .. })));
    }

    #[tokio::test]
    async fn before_a_chain_is_known_the_first_one_counts() {
        let endpoints = endpoints(&["down", "other", "up"]);
        assert_eq!(endpoints.choose(None, dial).await.unwrap(), "other");
    }
}
