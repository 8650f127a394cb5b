// SPDX-License-Identifier: Apache-2.0
//! GPUs of this machine, and the device nodes by which programs use them.

use anyhow::{Context, Result};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tfgrid_primitives::report::{Gpu, MAX_GPUS};

const AMD: u16 = 0x1002;
const NVIDIA: u16 = 0x10de;
/// Nodes that all GPUs of a vendor share. Their drivers give a program no more than the GPUs whose own nodes it has.
const SHARED_BY_AMD: [&str; 1] = ["dev/kfd"];
const SHARED_BY_NVIDIA: [&str; 3] = ["dev/nvidiactl", "dev/nvidia-uvm", "dev/nvidia-uvm-tools"];

/// A GPU. Paths of its nodes are relative to the system's root folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostGpu {
    /// As the chain describes it.
    pub ids: Gpu,
    /// Device nodes of it alone; none if its driver isn't loaded.
    pub own: Vec<String>,
    /// Device nodes that it has in common with others.
    pub shared: Vec<String>,
}

impl HostGpu {
    /// All its device nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &String> {
        self.own.iter().chain(&self.shared)
    }
}

/// GPUs that machines may use.
#[derive(Clone, Debug, Default)]
pub struct Gpus {
    root: PathBuf,
    all: Vec<HostGpu>,
}

impl Gpus {
    /// The first `count` GPUs of the system with this root folder. All users of the host can open their nodes from then
    /// on, since root in a machine is none of its own; only machines with a GPU get them.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn open(root: &Path, count: u64) -> Result<Self> {
        let all = offered(found(root), count);
        for node in all.iter().flat_map(HostGpu::nodes) {
            let path = root.join(node);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666))
                .with_context(|| format!("can't let machines use {}", path.display()))?;
        }
        Ok(Self { root: root.into(), all })
    }

    /// Their number.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// The first `count` GPUs of which no node is `taken`; `None` if there are fewer.
    pub fn choose(&self, count: usize, taken: &BTreeSet<&str>) -> Option<Vec<&HostGpu>> {
        let is_free = |gpu: &&HostGpu| !gpu.own.iter().any(|node| taken.contains(node.as_str()));
        let chosen: Vec<_> = self.all.iter().filter(is_free).take(count).collect();
        (chosen.len() == count).then_some(chosen)
    }

    /// The path of a node on this host.
    pub fn path(&self, node: &str) -> PathBuf {
        self.root.join(node)
    }
}

/// PCI display controllers in the order of their addresses.
pub fn found(root: &Path) -> Vec<HostGpu> {
    let Ok(entries) = fs::read_dir(root.join("sys/bus/pci/devices")) else { return Vec::new() };
    let mut devices: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    devices.sort();
    devices.iter().filter_map(|device| gpu(root, device)).collect()
}

/// The first `count` of these that a machine can use.
pub fn offered(gpus: Vec<HostGpu>, count: u64) -> Vec<HostGpu> {
    let count = usize::try_from(count.min(MAX_GPUS.into())).unwrap_or(0);
    gpus.into_iter().filter(|gpu| !gpu.own.is_empty()).take(count).collect()
}

fn gpu(root: &Path, device: &Path) -> Option<HostGpu> {
    let number = |name| hex_number(fs::read_to_string(device.join(name)).ok()?.trim());
    let id = |name| u16::try_from(number(name)?).ok();
    // Class 3: display controllers.
    if number("class")? >> 16 != 3 {
        return None;
    }
    let regions = fs::read_to_string(device.join("resource")).unwrap_or_default();
    let memory = regions.lines().filter_map(region_size).max().unwrap_or(0);
    let ids = Gpu { vendor: id("vendor")?, device: id("device")?, memory };
    let shared: &[&str] = match ids.vendor {
        AMD => &SHARED_BY_AMD,
        NVIDIA => &SHARED_BY_NVIDIA,
        _ => &[],
    };
    let is_there = |node: &String| root.join(node).exists();
    let own = render_nodes(device).into_iter().chain(nvidia_node(root, device)).filter(is_there).collect();
    let shared = shared.iter().map(|node| (*node).to_owned()).filter(is_there).collect();
    Some(HostGpu { ids, own, shared })
}

/// Nodes of the kernel's graphics drivers that compute and render, and show nothing on a screen.
fn render_nodes(device: &Path) -> Vec<String> {
    let entries = fs::read_dir(device.join("drm")).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with("renderD")).map(|name| format!("dev/dri/{name}")).collect()
}

/// The node of NVIDIA's own driver.
fn nvidia_node(root: &Path, device: &Path) -> Option<String> {
    let file = root.join("proc/driver/nvidia/gpus").join(device.file_name()?).join("information");
    let information = fs::read_to_string(file).ok()?;
    let minor = information.lines().find_map(|line| line.strip_prefix("Device Minor:"))?;
    Some(format!("dev/nvidia{}", minor.trim().parse::<u32>().ok()?))
}

/// Size in bytes of a memory region; the line has its first address, last address and flags.
fn region_size(line: &str) -> Option<u64> {
    let mut words = line.split_whitespace().map(hex_number);
    let (first, last) = (words.next()??, words.next()??);
    (last > first).then(|| (last - first).saturating_add(1))
}

fn hex_number(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// A card of each of the two vendors, one without a driver, and a bridge.
    fn system() -> TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for (address, class, vendor, device) in [
            ("0000:00:01.0", "0x060400", "0x8086", "0x1901"),
            ("0000:01:00.0", "0x030000", "0x10de", "0x1db4"),
            ("0000:02:00.0", "0x030200", "0x1002", "0x73bf"),
            ("0000:03:00.0", "0x030000", "0x1a03", "0x2000"),
        ] {
            for (file, text) in [("class", class), ("vendor", vendor), ("device", device)] {
                write(&format!("sys/bus/pci/devices/{address}/{file}"), &format!("{text}\n"));
            }
        }
        let regions = "0x00000000f6000000 0x00000000f6ffffff 0x0000000000040200\n\
            0x00000000e0000000 0x00000000efffffff 0x000000000014220c\n\
            0x0000000000000000 0x0000000000000000 0x0000000000000000\n";
        write("sys/bus/pci/devices/0000:01:00.0/resource", regions);
        write("proc/driver/nvidia/gpus/0000:01:00.0/information", "Model: x\nDevice Minor: \t 3\n");
        for name in ["renderD129", "card1"] {
            write(&format!("sys/bus/pci/devices/0000:02:00.0/drm/{name}/dev"), "226:129\n");
        }
        for node in ["nvidia3", "nvidiactl", "kfd", "dri/renderD129", "dri/card1"] {
            write(&format!("dev/{node}"), "");
        }
        root
    }

    #[test]
    fn a_gpu_has_its_own_nodes_and_those_of_its_vendor() {
        let root = system();
        let gpu = |vendor, device, memory, own: &[&str], shared: &[&str]| HostGpu {
            ids: Gpu { vendor, device, memory },
            own: own.iter().map(ToString::to_string).collect(),
            shared: shared.iter().map(ToString::to_string).collect(),
        };
        let found = found(root.path());
        assert_eq!(
            found,
            [
                gpu(NVIDIA, 0x1db4, 256 << 20, &["dev/nvidia3"], &["dev/nvidiactl"]),
                gpu(AMD, 0x73bf, 0, &["dev/dri/renderD129"], &["dev/kfd"]),
                gpu(0x1a03, 0x2000, 0, &[], &[]),
            ]
        );
        // What no machine could use isn't offered.
        assert_eq!(offered(found.clone(), 3), found[..2]);
        assert_eq!(offered(found.clone(), 1), found[..1]);
    }

    #[test]
    fn machines_can_open_the_nodes_that_are_offered() {
        let root = system();
        let mode = |node: &str| fs::metadata(root.path().join(node)).unwrap().permissions().mode() & 0o777;
        fs::set_permissions(root.path().join("dev/dri/renderD129"), fs::Permissions::from_mode(0o660))
            .unwrap();
        assert_eq!(Gpus::open(root.path(), 1).unwrap().count(), 1);
        assert_eq!((mode("dev/nvidia3"), mode("dev/nvidiactl")), (0o666, 0o666));
        assert_eq!(mode("dev/dri/renderD129"), 0o660);
        assert_eq!(Gpus::open(root.path(), 3).unwrap().count(), 2);
        assert_eq!(mode("dev/dri/renderD129"), 0o666);
    }

    #[test]
    fn a_gpu_with_a_node_of_another_machine_is_not_free() {
        let root = system();
        let gpus = Gpus::open(root.path(), 2).unwrap();
        let chosen = |count, taken: &[&str]| {
            let chosen = gpus.choose(count, &taken.iter().copied().collect());
            chosen.map(|gpus| gpus.iter().map(|gpu| gpu.ids.vendor).collect::<Vec<_>>())
        };
        assert_eq!(chosen(2, &[]), Some(vec![NVIDIA, AMD]));
        assert_eq!(chosen(1, &["dev/nvidia3"]), Some(vec![AMD]));
        assert_eq!(chosen(2, &["dev/nvidia3"]), None);
        assert_eq!(chosen(3, &[]), None);
    }
}
