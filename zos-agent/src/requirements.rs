// SPDX-License-Identifier: Apache-2.0
//! What the agent needs on its machine. It is checked before a boot ticket is spent: a node that can't run
//! workloads must not join a farm.

use crate::{
    config::Place,
    drivers::{
        firewall::NFT,
        machine::DockerMachines,
        tools::{Tool, run},
        volume,
    },
};
use anyhow::{Context, Result, bail, ensure};
use std::{fmt, path::Path};
use tokio::time::timeout;

/// Creates loop devices for volumes.
const LOOP_CONTROL: &str = "/dev/loop-control";
/// Limit for the container engine to answer.
const ENGINE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

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

/// Checks everything but the container engine: none of it comes by waiting.
pub async fn check_system() -> Vec<Requirement> {
    let mut requirements = vec![Requirement { name: "root".into(), result: check_root() }];
    for tool in volume::TOOLS.into_iter().chain([&NFT]) {
        requirements.push(Requirement { name: tool.program.into(), result: check_tool(tool) });
    }
    requirements.push(Requirement { name: "loop devices".into(), result: check_loop_devices() });
    requirements.push(Requirement { name: "nftables in the kernel".into(), result: check_nftables().await });
    requirements
}

/// Checks that the container engine answers.
pub async fn check_engine(place: &Place) -> Requirement {
    let name = format!("Docker engine at {}", place.docker);
    // Keys matter only for what is created.
    let machines = DockerMachines::new(place.docker.clone(), &[0; 32], Vec::new());
    let result = match timeout(ENGINE_TIMEOUT, machines.version()).await {
        Ok(version) => version.map(drop).map_err(anyhow::Error::from),
        Err(_) => Err(anyhow::anyhow!("no answer within {ENGINE_TIMEOUT:?}")),
    };
    Requirement { name, result: result.context("start the engine, or name its socket with --docker") }
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

fn check_loop_devices() -> Result<()> {
    ensure!(Path::new(LOOP_CONTROL).exists(), "{LOOP_CONTROL} doesn't exist: load the kernel module `loop`");
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
    use std::path::PathBuf;

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

    #[tokio::test]
    async fn an_engine_that_does_not_run_is_named_with_its_socket() {
        let place = Place { data: PathBuf::from("/nowhere"), docker: "unix:///no/docker.sock".into() };
        let shown = check_engine(&place).await.to_string();
        assert!(
            shown.starts_with("missing  Docker engine at unix:///no/docker.sock: start the engine"),
            "{shown}"
        );
    }
}
