// SPDX-License-Identifier: Apache-2.0

use anyhow::{Context, Result, ensure};
use std::{net::SocketAddr, time::Duration};
use ureq::{Agent, Body, Error, http::Response};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Fetches a page.
pub fn get(address: SocketAddr, path: &str) -> Result<String> {
    let url = format!("http://{address}{path}");
    text(agent().get(&url).call()).with_context(|| format!("can't fetch {url}"))
}

/// Posts a JSON document; returns the answer.
pub fn post(address: SocketAddr, json: &str) -> Result<String> {
    let url = format!("http://{address}/");
    let response = agent().post(&url).content_type("application/json").send(json);
    text(response).with_context(|| format!("can't post {json} to {url}"))
}

/// Without a proxy, whatever the environment names: all servers are on this machine.
fn agent() -> Agent {
    Agent::config_builder().proxy(None).timeout_global(Some(TIMEOUT)).build().into()
}

fn text(response: Result<Response<Body>, Error>) -> Result<String> {
    let mut response = response?;
    ensure!(response.status() == 200, "the answer is {}", response.status());
    Ok(response.body_mut().read_to_string()?)
}
