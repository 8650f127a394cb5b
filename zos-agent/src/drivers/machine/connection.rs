// SPDX-License-Identifier: Apache-2.0
//! The connection to an engine, and whether that engine is fit for tenants.

use super::{ANSWER_SECONDS, failure};
use crate::drivers::{DriverError, pool::RUN, runtime};
use bollard::{API_DEFAULT_VERSION, Docker, models::SystemInfo};
use std::path::PathBuf;
use tracing::warn;

/// An engine to use.
#[derive(Clone, Debug)]
pub struct EngineChoice {
    /// Its socket, `unix:///…`.
    pub socket: String,
    /// Whether it is used even if it isn't fit for tenants.
    pub any: bool,
    /// Whether tenants' images may come from private addresses.
    pub private_registries: bool,
}

/// A connection to an engine.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Its API.
    pub docker: Docker,
    /// Its data folder.
    pub root: PathBuf,
    /// Whether machines' disks are in the storage pool.
    pub in_pool: bool,
    /// User and group of the host that are root in machines.
    pub first_user: u32,
}

impl Connection {
    /// Connects to the engine.
    pub async fn open(choice: &EngineChoice) -> Result<Self, DriverError> {
        let socket = &choice.socket;
        let ask = async {
            let docker = Docker::connect_with_unix(socket, ANSWER_SECONDS, API_DEFAULT_VERSION)?;
            let docker = docker.negotiate_version().await?;
            let info = docker.info().await?;
            Ok((docker, info))
        };
        let (docker, info) = ask.await.map_err(|error| failure("reach", socket, error))?;
        let lacks = lacks(&info).join("; ");
        if !lacks.is_empty() && !choice.any {
            return Err(DriverError::transient(format!(
                "the engine at {socket} isn't fit for tenants: {lacks}. Leave --engine out for one of the node's own, \
                 or add --unsafe-engine for development"
            )));
        }
        if !lacks.is_empty() {
            warn!("the engine at {socket} isn't fit for tenants: {lacks}");
        }
        let (in_pool, first_user) = (is_in_pool(&info), first_user(&info));
        let root = info.docker_root_dir.unwrap_or_default().into();
        Ok(Self { docker, root, in_pool, first_user })
    }
}

/// What an engine can't do that tenants' machines need.
fn lacks(info: &SystemInfo) -> Vec<&'static str> {
    [
        (is_in_pool(info), "machines' disks aren't in the storage pool, so nothing limits them"),
        (first_user(info) > 0, "root in a machine is root of this host, since it has no user namespaces"),
        (info.live_restore_enabled == Some(true), "machines stop with it, since it has no live restore"),
        (
            info.default_runtime.as_deref() == Some(runtime::NAME),
            "machines escape their quotas with btrfs's calls, since its default runtime isn't `zos-agent runtime` \
             under the name zos",
        ),
    ]
    .into_iter()
    .filter_map(|(has, lack)| (!has).then_some(lack))
    .collect()
}

fn is_in_pool(info: &SystemInfo) -> bool {
    let root = PathBuf::from(info.docker_root_dir.as_deref().unwrap_or_default());
    info.driver.as_deref() == Some("btrfs") && root.starts_with(RUN)
}

/// An engine with user namespaces names its data folder after their first user and group.
fn first_user(info: &SystemInfo) -> u32 {
    let has_namespaces = info.security_options.iter().flatten().any(|option| option == "name=userns");
    let root = PathBuf::from(info.docker_root_dir.as_deref().unwrap_or_default());
    let name = root.file_name().unwrap_or_default().to_string_lossy();
    let user = name.split('.').next().and_then(|user| user.parse().ok());
    user.filter(|_| has_namespaces).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(driver: &str, root: &str, options: &[&str], live_restore: bool) -> SystemInfo {
        SystemInfo {
            driver: Some(driver.into()),
            docker_root_dir: Some(root.into()),
            security_options: Some(options.iter().map(ToString::to_string).collect()),
            live_restore_enabled: Some(live_restore),
            default_runtime: Some(if live_restore { runtime::NAME } else { "runc" }.into()),
            ..Default::default()
        }
    }

    #[test]
    fn what_an_engine_lacks_is_named() {
        let own = info("btrfs", "/run/zos/abababab/pool/engine/docker/100000.100000", &["name=userns"], true);
        assert!(lacks(&own).is_empty());
        assert_eq!(first_user(&own), 100_000);
        let stock = info("overlay2", "/var/lib/docker", &["name=seccomp,profile=default"], false);
        assert_eq!(lacks(&stock).len(), 4);
        assert_eq!(first_user(&stock), 0);
        let elsewhere = info("btrfs", "/var/lib/docker/100000.100000", &["name=userns"], true);
        assert!(lacks(&elsewhere)[0].contains("storage pool"));
    }
}
