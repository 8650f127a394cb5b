// SPDX-License-Identifier: Apache-2.0
//! The link by which this machine reaches the internet: the interface of its default route.

use super::tools::{Tool, run};
use anyhow::{Context, Result};
use serde::{Deserialize, de::DeserializeOwned};

pub(crate) const IP: Tool = Tool { program: "ip", package: "iproute2" };
/// MTU of a machine without an uplink: that of Ethernet.
const DEFAULT_MTU: u32 = 1_500;

#[derive(Deserialize)]
struct Route {
    /// Missing where a route has several next hops.
    dev: Option<String>,
    #[serde(default)]
    metric: u32,
}

#[derive(Deserialize)]
struct Link {
    mtu: u32,
}

/// Size of the largest packets that leave this machine unfragmented.
///
/// # Errors
/// If `ip` fails.
pub async fn mtu() -> Result<u32> {
    match interface().await? {
        Some(name) => mtu_of(&name).await,
        None => Ok(DEFAULT_MTU),
    }
}

/// The interface of the default route, `None` without one. IPv4's default route counts before IPv6's.
///
/// # Errors
/// If `ip` fails.
pub async fn interface() -> Result<Option<String>> {
    for family in ["-4", "-6"] {
        let routes: Vec<Route> = ip(&[family, "route", "show", "default"]).await?;
        let best = routes.into_iter().filter(|route| route.dev.is_some()).min_by_key(|route| route.metric);
        if let Some(name) = best.and_then(|route| route.dev) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Size of the largest packets that a link takes.
///
/// # Errors
/// If there is no such link.
pub async fn mtu_of(name: &str) -> Result<u32> {
    let links: Vec<Link> = ip(&["link", "show", "dev", name]).await?;
    links.first().map(|link| link.mtu).with_context(|| format!("there is no link {name}"))
}

async fn ip<T: DeserializeOwned>(args: &[&str]) -> Result<T> {
    read_ip(&IP, &[], args).await
}

/// What `ip` or `tc` says, run by `tool` with the arguments `before`.
///
/// # Errors
/// If it fails.
pub(crate) async fn read_ip<T: DeserializeOwned>(tool: &Tool, before: &[&str], args: &[&str]) -> Result<T> {
    let text = run(tool, &[before, &["-json"], args].concat()).await?;
    let command = || [&[tool.program], before, args].concat().join(" ");
    serde_json::from_str(&text).with_context(|| format!("can't understand `{}`", command()))
}
