// SPDX-License-Identifier: Apache-2.0
//! What the agent needs on its machine. It is checked before a boot ticket is spent: a node that can't run
//! workloads must not join a farm.

use crate::{
    config::Place,
    drivers::{
        address::TC,
        dockerd,
        firewall::NFT,
        network::{NSENTER, WG, WIREGUARD_GO},
        pool::{self, PoolPlace},
        tools::{Tool, run},
        uplink::IP,
    },
};
use anyhow::{Context, Result, bail, ensure};
use std::{fmt, path::Path};
use tfgrid_client::deployment::DiskKind;

/// Creates loop devices, for a pool in a file.
const LOOP_CONTROL: &str = "/dev/loop-control";
/// There where the kernel has WireGuard, also without a module.
const WIREGUARD_MODULE: &str = "/sys/module/wireguard";
/// Limit for the container engine to answer.
pub const ENGINE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// A requirement and whether the machine meets it.
#[derive(Debug)]
pub struct Requirement {
    /// What is required.
    pub name: String,
    /// Why it isn't met and what to do.
    pub result: Result<()>,
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.result {
            Ok(()) => write!(f, "ok       {}", self.name),
            Err(why) => write!(f, "missing  {}: {why:#}", self.name),
        }
    }
}

/// Checks what doesn't come by waiting.
pub async fn check_system(place: &Place) -> Vec<Requirement> {
    let mut requirements = vec![Requirement { name: "root".into(), result: check_root() }];
    let own_engine = dockerd::TOOLS.into_iter().filter(|_| place.engine.is_none());
    for tool in pool::TOOLS.into_iter().chain([&NFT, &IP, &NSENTER, &TC, &WG]).chain(own_engine) {
        requirements.push(Requirement { name: tool.program.into(), result: check_tool(tool) });
    }
    requirements.push(Requirement { name: "loop devices".into(), result: check_loop_devices(place) });
    requirements.push(Requirement { name: "WireGuard".into(), result: check_wireguard() });
    requirements.push(Requirement { name: "nftables in the kernel".into(), result: check_nftables().await });
    requirements
}

/// Checks that there is a place for the storage pool.
pub fn check_place(place: &Place) -> Requirement {
    let is_known = place.pool.is_some() || PoolPlace::is_remembered(&place.data, DiskKind::Ssd);
    let result = if is_known { Ok(()) } else { PoolPlace::within(&place.data).map(drop) };
    Requirement { name: "storage pool".into(), result }
}

/// Fails with all requirements that aren't met.
///
/// # Errors
/// If there is one.
pub fn ensure_met(requirements: &[Requirement]) -> Result<()> {
    let missing: Vec<String> =
        requirements.iter().filter(|r| r.result.is_err()).map(|r| format!("\n  {r}")).collect();
    ensure!(missing.is_empty(), "this machine can't run workloads:{}", missing.concat());
    Ok(())
}

fn check_root() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "run zos-agent as root: it mounts volumes and sets firewall rules"
    );
    Ok(())
}

fn check_tool(tool: &Tool) -> Result<()> {
    ensure!(tool.is_installed(), "install the package {}", tool.package);
    Ok(())
}

fn check_loop_devices(place: &Place) -> Result<()> {
    let is_needed =
        [&place.pool, &place.hdd_pool].iter().any(|pool| matches!(pool, Some(PoolPlace::File(_))));
    ensure!(
        !is_needed || Path::new(LOOP_CONTROL).exists(),
        "{LOOP_CONTROL} doesn't exist: load the kernel module `loop`"
    );
    Ok(())
}

fn check_wireguard() -> Result<()> {
    ensure!(
        Path::new(WIREGUARD_MODULE).exists() || WIREGUARD_GO.is_installed(),
        "install the package {}, or load the kernel module `wireguard`",
        WIREGUARD_GO.package
    );
    Ok(())
}

async fn check_nftables() -> Result<()> {
    if !NFT.is_installed() {
        bail!("nft is missing");
    }
    run(&NFT, &["list", "tables"]).await.context("the kernel must have nftables")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_missing_requirements_are_named_at_once() {
        let requirement = |name: &str, result| Requirement { name: name.into(), result };
        let met = requirement("root", Ok(()));
        assert!(ensure_met(&[met]).is_ok());
        let requirements = [
            requirement("root", Ok(())),
            requirement("nft", Err(anyhow::anyhow!("install the package nftables"))),
            requirement("losetup", Err(anyhow::anyhow!("install the package mount"))),
        ];
        let error = ensure_met(&requirements).unwrap_err().to_string();
        assert_eq!(
            error,
            "this machine can't run workloads:\n  missing  nft: install the package nftables\n  \
             missing  losetup: install the package mount"
        );
    }

    #[test]
    fn a_missing_tool_is_named_with_its_package() {
        let tool = Tool { program: "no-such-tool", package: "some-package" };
        assert_eq!(check_tool(&tool).unwrap_err().to_string(), "install the package some-package");
    }

    #[test]
    fn a_place_that_can_not_be_used_says_what_to_do() {
        let place = Place {
            data: "/proc/node".into(),
            pool: None,
            hdd_pool: None,
            engine: None,
            unsafe_engine: false,
        };
        let shown = check_place(&place).to_string();
        assert!(shown.starts_with("missing  storage pool: /proc/node isn't on btrfs"), "{shown}");
    }
}
