// SPDX-License-Identifier: Apache-2.0

use crate::Engine;
use anyhow::{Context, Result, bail};
use std::{collections::BTreeSet, fs, path::Path, process::Command};

/// Everything on this machine that a grid could leave behind, a line each. Taken before and after,
/// the difference is what leaked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint(BTreeSet<String>);

impl Footprint {
    /// Mounts, loop devices, interfaces, firewall tables and our folders.
    pub fn of_machine() -> Result<Self> {
        let mut lines = BTreeSet::new();
        for mount in fs::read_to_string("/proc/mounts")?.lines() {
            let place = mount.split(' ').nth(1).context("/proc/mounts has a line of one word")?;
            lines.insert(format!("mount {place}"));
        }
        lines.extend(output("loop device", "losetup", &["-l", "-n", "-O", "NAME,BACK-FILE"])?);
        for interface in fs::read_dir("/sys/class/net")? {
            lines.insert(format!("interface {}", interface?.file_name().to_string_lossy()));
        }
        lines.extend(output("firewall", "nft", &["list", "tables"])?);
        for entry in fs::read_dir(std::env::temp_dir())? {
            let name = entry?.file_name();
            if name.to_string_lossy().starts_with("tfgrid-") {
                lines.insert(format!("folder {}", name.to_string_lossy()));
            }
        }
        Ok(Self(lines))
    }

    /// What [`Self::of_machine`] holds, the engine's containers and networks, and the files below
    /// `folder`: what one contract could leave behind on a node that goes on running.
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
        add_files(folder, &mut lines)?;
        Ok(Self(lines))
    }

    /// What is there and wasn't `before`.
    pub fn beyond(&self, before: &Self) -> Vec<String> {
        self.0.difference(&before.0).cloned().collect()
    }

    /// Fails if anything is there that wasn't `before`.
    pub fn ensure_within(&self, before: &Self) -> Result<()> {
        let left = self.beyond(before);
        if !left.is_empty() {
            bail!("left behind: {}", left.join(", "));
        }
        Ok(())
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
