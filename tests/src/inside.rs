// SPDX-License-Identifier: Apache-2.0

//! What machines in private networks see of each other.

use crate::{Agent, Engine};
use anyhow::{Context, Result, ensure};
use std::{fs, process::Command};

/// A machine, of which programs can be run.
pub struct Inside {
    engine: Engine,
    container: String,
}

impl Inside {
    /// The only machine with this name on the engine of an agent.
    pub fn machine(agent: &Agent, name: &str) -> Result<Self> {
        let engine = agent.engine()?;
        let filter = format!("label=zos.workload={name}");
        let container = engine.docker(&["ps", "--quiet", "--filter", &filter])?;
        ensure!(
            !container.is_empty() && !container.contains('\n'),
            "there isn't one machine {name}: {container:?}"
        );
        Ok(Self { engine, container })
    }

    /// The address of a machine of the network `site`, as this one finds it under its name.
    pub fn address_of(&self, name: &str) -> Result<String> {
        let answer = self.busybox(&["nslookup", "-type=a", &format!("{name}.site.internal")])?;
        let address = answer.lines().filter_map(|line| line.strip_prefix("Address: ")).next_back();
        Ok(address.with_context(|| format!("no address: {answer}"))?.to_owned())
    }

    /// The page of a machine of the network `site`, as this one sees it under its name.
    pub fn page(&self, name: &str) -> Result<String> {
        self.page_at(&self.address_of(name)?)
    }

    /// The page at an address, as this machine sees it.
    pub fn page_at(&self, address: &str) -> Result<String> {
        self.busybox(&[
            "timeout",
            "2",
            "/bin/busybox",
            "wget",
            "-q",
            "-O",
            "-",
            &format!("http://{address}/"),
        ])
    }

    /// A process in its network.
    pub fn pid(&self) -> Result<u32> {
        let pid = self.engine.docker(&["inspect", "--format", "{{.State.Pid}}", &self.container])?;
        pid.parse().with_context(|| format!("{pid:?} is no process"))
    }

    fn busybox(&self, args: &[&str]) -> Result<String> {
        self.engine.docker(&[&["exec", &self.container, "/bin/busybox"][..], args].concat())
    }
}

/// Kills `wireguard-go` of the tunnels of this agent's networks, if it isn't the kernel that has them.
pub fn kill_wireguard(agent: &Agent) -> Result<()> {
    let prefix = format!("zos-{}-", agent.short_key()?);
    let mut tunnels = 0;
    for namespace in fs::read_dir("/run/netns")?.flatten() {
        let name = namespace.file_name().to_string_lossy().into_owned();
        if !name.starts_with(&prefix) {
            continue;
        }
        let links = Command::new("ip").args(["-n", &name, "-br", "link"]).output()?;
        let links = String::from_utf8(links.stdout)?;
        let Some(tunnel) = links.split_whitespace().find(|word| word.starts_with("zw-")) else { continue };
        let killed = kill_programs("wireguard-go", tunnel)?;
        ensure!(killed > 0 || fs::exists("/sys/module/wireguard")?, "{tunnel} has no process");
        tunnels += 1;
    }
    ensure!(tunnels == 1, "the node has {tunnels} tunnels");
    Ok(())
}

/// Kills the processes of a program that have this argument, as a crash would; returns how many.
pub fn kill_programs(program: &str, argument: &str) -> Result<usize> {
    let mut killed = 0;
    for process in fs::read_dir("/proc")?.flatten() {
        // A process may end meanwhile.
        let Ok(line) = fs::read(process.path().join("cmdline")) else { continue };
        let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let is_program = words.next().is_some_and(|first| first.rsplit('/').next() == Some(program));
        if is_program && words.any(|word| word == argument) {
            let pid = process.file_name().to_string_lossy().into_owned();
            if Command::new("sh").args(["-c", "kill -9 \"$0\" 2>/dev/null", &pid]).status()?.success() {
                killed += 1;
            }
        }
    }
    Ok(killed)
}
