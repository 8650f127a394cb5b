// SPDX-License-Identifier: Apache-2.0
//! JSON to an address of the user's.

use anyhow::{Context, Result};
use std::time::Duration;
use tokio::task::spawn_blocking;

/// The time that a receiver has to take it.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);

/// Posts it once. Errors don't name the address, which may be all that lets a caller in.
pub async fn post(address: &str, json: String) -> Result<()> {
    let address = address.to_owned();
    let posting = spawn_blocking(move || {
        let config = ureq::Agent::config_builder().timeout_global(Some(TAKEN_WITHIN)).build();
        ureq::Agent::new_with_config(config)
            .post(address)
            .content_type("application/json")
            .send(json)
            .map(drop)
    });
    posting.await.context("a post was interrupted")?.context("can't post to the webhook")
}
