// SPDX-License-Identifier: Apache-2.0

use crate::Engine;
use anyhow::{Context, Result, bail};
use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt, path::Path, process::Command};

/// Prefix of the folders of runs.
const RUN_PREFIX: &str = "tfgrid-";
/// The network of this program.
const NETWORK: &str = "/proc/self/ns/net";
/// Folder of network namespaces.
const NAMESPACES: &str = "/run/netns";
/// Prefix of the agent's containers, networks and network namespaces.
const AGENT_PREFIX: &str = "zos-";
/// Prefix of the agent's bridges.
const BRIDGE_PREFIX: &str = "zb";
/// Folder of agents' mount points and sockets.
const NODES: &str = "/run/zos";
/// The agent's firewall table.
const AGENT_TABLE: &str = "table inet zos";

/// Files of a node that come with its first private network and its first site. The certificate is that for visitors
/// who ask for no site.
const KEPT: [&str; 7] = [
    "/agent/gateway.log",
    "/agent/gateway/ed4b9d1b4d75067eafd60e3b7d593f02.pem",
    "/agent/gateway/sites.json",
    "/agent/resolver.log",
    "/agent/state/links.json",
    "/agent/state/wireguard-ports.json",
    "/agent/wireguard.log",
];

/// Everything on this machine that a grid could leave behind, one line per item. What a later footprint has
/// beyond an earlier one was left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint(BTreeSet<String>);

impl Footprint {
    /// Mounts, network interfaces and firewall tables; folders of runs in this network, and loop devices on files in
    /// them.
    pub fn of_machine() -> Result<Self> {
        let (mut lines, prefix) = (BTreeSet::new(), run_prefix()?);
        for mount in fs::read_to_string("/proc/mounts")?.lines() {
            let place = mount.split(' ').nth(1).context("/proc/mounts has a line without a mount point")?;
            // The first network namespace of a machine makes it a mount point.
            if place != NAMESPACES {
                lines.insert(format!("mount {place}"));
            }
        }
        let devices = output("loop device", "losetup", &["-l", "-n", "-O", "NAME,BACK-FILE"])?;
        let devices = devices.into_iter().filter(|device| device.contains(&format!("/{prefix}")));
        // The columns are as wide as the longest name.
        lines.extend(devices.map(|device| device.split_whitespace().collect::<Vec<_>>().join(" ")));
        for interface in fs::read_dir("/sys/class/net")? {
            let name = interface?.file_name().to_string_lossy().into_owned();
            // A container's own, which is listed below; or of one whose engine was killed as it made it: nobody can
            // tell whose that is.
            if !name.starts_with("veth") {
                lines.insert(format!("interface {name}"));
            }
        }
        lines.extend(output("firewall", "nft", &["list", "tables"])?);
        for entry in fs::read_dir(std::env::temp_dir())? {
            let name = entry?.file_name();
            if name.to_string_lossy().starts_with(&prefix) {
                lines.insert(format!("folder {}", name.to_string_lossy()));
            }
        }
        Ok(Self(lines))
    }

    /// [`Self::of_machine`] with the engine's containers, networks and volumes, and the files below `folder`:
    /// everything that a contract could leave behind on a running node.
    pub fn of_node(engine: &Engine, folder: &Path) -> Result<Self> {
        let Self(mut lines) = Self::of_machine()?;
        for container in engine.docker(&["ps", "-a", "--format", "{{.Names}}"])?.lines() {
            lines.insert(format!("container {container}"));
        }
        for network in engine.docker(&["network", "ls", "--format", "{{.Name}}"])?.lines() {
            lines.insert(format!("network {network}"));
        }
        for volume in engine.docker(&["volume", "ls", "--format", "{{.Name}}"])?.lines() {
            lines.insert(format!("engine volume {volume}"));
        }
        for node in fs::read_dir(NODES).into_iter().flatten().flatten() {
            for pool in ["pool", "hdd-pool"] {
                let volumes = fs::read_dir(node.path().join(pool).join("volumes"));
                let volumes = volumes.into_iter().flatten().flatten();
                lines.extend(volumes.map(|volume| format!("volume {}", volume.path().display())));
            }
        }
        add_files(folder, &mut lines)?;
        Ok(Self(lines))
    }

    /// Only items with a name that a grid gives. On a machine with other programs, the rest may be theirs.
    pub fn own(self) -> Self {
        Self(self.0.into_iter().filter(|line| is_own(line)).collect())
    }

    /// Items that aren't in `before`, without files that the node keeps whatever its contracts.
    pub fn beyond(&self, before: &Self) -> Vec<String> {
        let is_kept = |item: &&String| KEPT.iter().any(|file| item.ends_with(file));
        self.0.difference(&before.0).filter(|item| !is_kept(item)).cloned().collect()
    }

    /// Fails if there are items that aren't in `before`.
    pub fn ensure_within(&self, before: &Self) -> Result<()> {
        let left = self.beyond(before);
        if !left.is_empty() {
            bail!("left behind: {}", left.join(", "));
        }
        Ok(())
    }
}

/// Prefix of the folders of runs in this network: machines of programs' own share folders and loop devices.
pub(crate) fn run_prefix() -> Result<String> {
    let network = fs::metadata(NETWORK).with_context(|| format!("can't read {NETWORK}"))?;
    Ok(format!("{RUN_PREFIX}{}-", network.ino()))
}

/// Whether the item's name is one that a grid gives: it is in the folder of a run, or starts as the agent's
/// names do.
fn is_own(line: &str) -> bool {
    let name = line.rsplit(' ').next().unwrap_or_default();
    match line.split(' ').next() {
        Some("folder" | "file") => true,
        Some("mount" | "loop" | "volume") => {
            name.contains(&format!("/{RUN_PREFIX}"))
                || name.starts_with(NODES)
                || name.starts_with(&format!("{NAMESPACES}/{AGENT_PREFIX}"))
        }
        Some("interface") => name.starts_with(BRIDGE_PREFIX),
        Some("firewall") => line.ends_with(AGENT_TABLE),
        Some("container" | "network") => name.starts_with(AGENT_PREFIX),
        _ => false,
    }
}

fn output(kind: &str, program: &str, args: &[&str]) -> Result<Vec<String>> {
    let output = Command::new(program)
        .args(args)
        .output()
        .with_context(|| format!("can't run `{program}`: run `make setup`"))?;
    if !output.status.success() {
        bail!("`{program} {}`: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(|line| format!("{kind} {line}")).collect())
}

fn add_files(folder: &Path, lines: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("can't read {}", folder.display()))? {
        let entry = entry?;
        lines.insert(format!("file {}", entry.path().display()));
        if entry.file_type()?.is_dir() {
            add_files(&entry.path(), lines)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_of_other_programs_are_not_own() {
        let own = [
            "container zos-abababab-7-web",
            "file /tmp/tfgrid-x/agent/state/usage.json",
            "firewall table inet zos",
            "folder tfgrid-x",
            "interface zb7",
            "loop device /dev/loop0 /tmp/tfgrid-x/agent/pool.img",
            "mount /run/netns/zos-abababab-5-site",
            "mount /run/zos/abababab/pool",
            "network zos-7",
            "volume /run/zos/abababab/pool/volumes/7-data",
        ];
        let others = [
            "container db",
            "engine volume x",
            "firewall table inet vpn",
            "interface ve1",
            "loop device /dev/loop1 /var/lib/snapd/core.snap",
            "mount /run/netns/v1",
            "network bridge",
        ];
        let all = own.iter().chain(&others).map(|line| line.to_string());
        let found = Footprint(all.collect()).own();
        assert_eq!(found.0.iter().collect::<Vec<_>>(), own);
    }
}
