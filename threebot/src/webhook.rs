// SPDX-License-Identifier: Apache-2.0
//! JSON to an address of the user's.

use anyhow::{Context, Result};
use std::time::Duration;
use tokio::task::spawn_blocking;
use ureq::http::Uri;

/// The time that a receiver has to take it.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);

/// The address of a webhook.
pub fn parse_webhook(text: &str) -> Result<String, &'static str> {
    let uri: Option<Uri> = text.parse().ok();
    let is_web = |uri: &Uri| ["http", "https"].map(Some).contains(&uri.scheme_str()) && uri.host().is_some();
    match uri.as_ref() {
        Some(uri) if is_web(uri) => Ok(text.into()),
        _ => Err("a webhook's address begins with https:// or http://, and a host follows"),
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_a_web_address() {
        for address in ["https://example.org/hook?key=1", "http://127.0.0.1:8080"] {
            assert_eq!(parse_webhook(address), Ok(address.into()));
        }
        for wrong in ["", "foo", "ftp://host", "https://", "example.org/hook", "https://a b"] {
            assert!(parse_webhook(wrong).is_err(), "{wrong}");
        }
    }
}
