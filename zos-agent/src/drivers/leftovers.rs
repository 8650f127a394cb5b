// SPDX-License-Identifier: Apache-2.0
//! What a power cut leaves of the container engine's work. The engine doesn't sync all that it writes: an empty file of
//! a volume keeps it from starting for ever, a machine with an empty file is lost to it, and a layer counts as whole
//! whose files never reached the disk. The layers of a machine are whole: its root is a snapshot, before which the
//! kernel writes them.

use super::pool::{LAYERS, SUBVOLUMES, entries};
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

const IMAGES: &str = "image/btrfs/imagedb";
const DIGESTS: &str = "sha256";

/// What nothing uses of the engine's data.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Files and folders, which are removed in this order, and before the subvolumes.
    pub entries: Vec<PathBuf>,
    /// Those of layers and of machines' roots.
    pub subvolumes: Vec<PathBuf>,
}

/// The engine's description of a machine.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Machine {
    image: String,
    mount_points: Option<BTreeMap<String, MountPoint>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MountPoint {
    #[serde(default)]
    name: String,
}

/// What whole machines use.
#[derive(Default)]
struct Used {
    machines: BTreeSet<String>,
    images: BTreeSet<String>,
    layers: BTreeSet<String>,
    subvolumes: BTreeSet<String>,
}

/// What the engine with this data folder has of volumes, machines, images and layers that no whole machine uses. It and
/// all machines must have ended.
///
/// # Errors
/// If the folder can't be read, or is one of an engine whose files have another form.
pub fn find(data: &Path) -> Result<Leftovers> {
    let mut found = Leftovers::default();
    let mut volumes = BTreeSet::new();
    for volume in entries(&data.join("volumes"))?.into_iter().filter(|path| path.is_dir()) {
        if is_volume(&volume)? {
            volumes.insert(name(&volume));
        } else {
            found.entries.push(volume);
        }
    }
    let mut used = Used::default();
    let (machines, mounts) = (entries(&data.join("containers"))?, data.join(LAYERS).join("mounts"));
    // What isn't understood isn't broken: all machines would be removed.
    ensure!(
        machines.is_empty() || mounts.is_dir(),
        "machines have no layers: there is no {}",
        mounts.display()
    );
    for machine in machines {
        if !used.add(data, &machine, &volumes)? {
            found.entries.push(machine);
        }
    }
    let unused = |folder: PathBuf, used: &BTreeSet<String>| -> Result<Vec<PathBuf>> {
        Ok(entries(&folder)?.into_iter().filter(|path| !used.contains(&name(path))).collect())
    };
    let (layers, images) = (data.join(LAYERS), data.join(IMAGES));
    for (folder, used) in [
        (mounts, &used.machines),
        (images.join("content").join(DIGESTS), &used.images),
        (images.join("metadata").join(DIGESTS), &used.images),
        (layers.join(DIGESTS), &used.layers),
    ] {
        found.entries.extend(unused(folder, used)?);
    }
    found.subvolumes = unused(data.join(SUBVOLUMES), &used.subvolumes)?;
    Ok(found)
}

impl Used {
    /// Adds what the machine uses; `false` if the engine couldn't run it, as without one of these volumes.
    fn add(&mut self, data: &Path, machine: &Path, volumes: &BTreeSet<String>) -> Result<bool> {
        let id = name(machine);
        let file = machine.join("config.v2.json");
        let description = text(&file)?.unwrap_or_default();
        let Ok(description) = serde_json::from_str::<Value>(&description) else { return Ok(false) };
        let Machine { image, mount_points } = serde_json::from_value::<Machine>(description)
            .with_context(|| format!("can't understand {}", file.display()))?;
        let mut mounted = mount_points.iter().flatten().map(|(_, mount)| &mount.name);
        let lacks_volume = mounted.any(|volume| !volume.is_empty() && !volumes.contains(volume));
        let mount = data.join(LAYERS).join("mounts").join(&id);
        let (root, init) = (text(&mount.join("mount-id"))?, text(&mount.join("init-id"))?);
        let layers = layers(data, text(&mount.join("parent"))?)?;
        let (Some(root), Some(layers)) = (root.filter(|root| !root.is_empty()), layers) else {
            return Ok(false);
        };
        let is_empty = |text: &Option<String>| text.as_deref() == Some("");
        if lacks_volume || is_empty(&init) || is_empty(&text(&machine.join("hostconfig.json"))?) {
            return Ok(false);
        }
        self.machines.insert(id);
        self.images.insert(digest(&image).to_owned());
        self.subvolumes.extend([root].into_iter().chain(init));
        for (layer, subvolume) in layers {
            self.layers.insert(layer);
            self.subvolumes.insert(subvolume);
        }
        Ok(true)
    }
}

/// A layer with all below it, and the subvolume of each; `None` if one has lost its files.
fn layers(data: &Path, top: Option<String>) -> Result<Option<Vec<(String, String)>>> {
    let (mut layers, mut next) = (Vec::new(), top);
    while let Some(layer) = next {
        let folder = data.join(LAYERS).join(DIGESTS).join(digest(&layer));
        let subvolume = text(&folder.join("cache-id"))?.filter(|subvolume| !subvolume.is_empty());
        // An empty name is that of no layer.
        let Some(subvolume) = subvolume else { return Ok(None) };
        layers.push((digest(&layer).to_owned(), subvolume));
        next = text(&folder.join("parent"))?;
    }
    Ok(Some(layers))
}

/// Whether the engine knows where the volume is. Without that it would take a folder of its own for one of the node's.
fn is_volume(volume: &Path) -> Result<bool> {
    Ok(match text(&volume.join("opts.json"))? {
        Some(options) => serde_json::from_str::<Value>(&options).is_ok(),
        // Those that the engine makes by itself are in its own folder.
        None => !name(volume).starts_with("zos-"),
    })
}

fn digest(name: &str) -> &str {
    name.strip_prefix("sha256:").unwrap_or(name)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Content of a file, `None` if there is none.
fn text(file: &Path) -> Result<Option<String>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("can't read {}", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::details::tests::system;

    /// An engine's data with one machine.
    const MACHINE: [(&str, &str); 18] = [
        (
            "containers/c/config.v2.json",
            r#"{"Image":"sha256:i","MountPoints":{"/d":{"Name":"zos-v"},"/e":{}}}"#,
        ),
        ("containers/c/hostconfig.json", "{}"),
        ("image/btrfs/layerdb/mounts/c/mount-id", "m"),
        ("image/btrfs/layerdb/mounts/c/init-id", "m-init"),
        ("image/btrfs/layerdb/mounts/c/parent", "sha256:top"),
        ("image/btrfs/layerdb/sha256/top/cache-id", "t"),
        ("image/btrfs/layerdb/sha256/top/parent", "sha256:base"),
        ("image/btrfs/layerdb/sha256/base/cache-id", "b"),
        ("image/btrfs/imagedb/content/sha256/i", "{}"),
        ("image/btrfs/imagedb/metadata/sha256/i/lastUpdated", "2026"),
        ("btrfs/subvolumes/m/file", "x"),
        ("btrfs/subvolumes/m-init/file", "x"),
        ("btrfs/subvolumes/t/file", "x"),
        ("btrfs/subvolumes/b/file", "x"),
        ("volumes/zos-v/opts.json", r#"{"MountType":"none"}"#),
        ("volumes/metadata.db", "x"),
        ("volumes/plain/_data/file", "x"),
        ("network/files/local-kv.db", "x"),
    ];

    /// What is left over, without the engine's folder, after a change of a file.
    fn left(file: &str, content: Option<&str>) -> Vec<String> {
        let files = MACHINE.map(|(path, text)| (path, text.as_bytes()));
        let root = system(&files);
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match content {
            Some(content) => fs::write(path, content).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        let Leftovers { entries, subvolumes } = find(root.path()).unwrap();
        let paths = entries.iter().chain(&subvolumes);
        let short = |path: &PathBuf| path.strip_prefix(root.path()).unwrap().display().to_string();
        paths.map(short).collect()
    }

    #[test]
    fn what_a_whole_machine_uses_is_kept() {
        assert!(left("volumes/metadata.db", Some("y")).is_empty());
        assert!(find(Path::new("/no/such/engine")).unwrap() == Leftovers::default());
    }

    #[test]
    fn a_machine_with_an_empty_file_is_removed_with_its_image() {
        for file in [
            "containers/c/config.v2.json",
            "containers/c/hostconfig.json",
            "image/btrfs/layerdb/mounts/c/mount-id",
            "image/btrfs/layerdb/mounts/c/init-id",
            "image/btrfs/layerdb/mounts/c/parent",
            "image/btrfs/layerdb/sha256/base/cache-id",
        ] {
            let mut left = left(file, Some(""));
            left.sort();
            assert_eq!(
                left,
                [
                    "btrfs/subvolumes/b",
                    "btrfs/subvolumes/m",
                    "btrfs/subvolumes/m-init",
                    "btrfs/subvolumes/t",
                    "containers/c",
                    "image/btrfs/imagedb/content/sha256/i",
                    "image/btrfs/imagedb/metadata/sha256/i",
                    "image/btrfs/layerdb/mounts/c",
                    "image/btrfs/layerdb/sha256/base",
                    "image/btrfs/layerdb/sha256/top",
                ],
                "{file}"
            );
        }
    }

    #[test]
    fn a_volume_of_unknown_place_is_removed_with_its_machine() {
        for content in [Some(""), Some("{"), None] {
            let left = left("volumes/zos-v/opts.json", content);
            assert_eq!(left[..2], ["volumes/zos-v", "containers/c"], "{content:?}");
        }
        assert_eq!(left("volumes/other/opts.json", Some("")), ["volumes/other"]);
    }

    #[test]
    fn a_machine_whose_volume_was_never_written_is_removed() {
        let machine = r#"{"Image":"sha256:i","MountPoints":{"/d":{"Name":"zos-w"}}}"#;
        assert_eq!(left("containers/c/config.v2.json", Some(machine))[0], "containers/c");
    }

    #[test]
    fn nothing_is_removed_of_an_engine_with_other_files() {
        let files = MACHINE.map(|(path, text)| (path, text.as_bytes()));
        let refused = |change: fn(&Path)| {
            let root = system(&files);
            change(root.path());
            format!("{:#}", find(root.path()).unwrap_err())
        };
        let other = refused(|root| {
            fs::write(root.join("containers/c/config.v2.json"), r#"{"ImageRef":"sha256:i"}"#).unwrap();
        });
        assert!(other.starts_with("can't understand") && other.contains("config.v2.json"), "{other}");
        let moved = refused(|root| fs::rename(root.join("image/btrfs"), root.join("image/other")).unwrap());
        assert!(moved.contains("there is no") && moved.contains("layerdb/mounts"), "{moved}");
    }

    #[test]
    fn content_of_an_interrupted_download_is_removed() {
        assert_eq!(
            left("image/btrfs/layerdb/sha256/new/cache-id", Some("n")),
            ["image/btrfs/layerdb/sha256/new"]
        );
        assert_eq!(
            left("image/btrfs/imagedb/content/sha256/new", Some("{}")),
            ["image/btrfs/imagedb/content/sha256/new"]
        );
        assert_eq!(left("btrfs/subvolumes/n/file", Some("x")), ["btrfs/subvolumes/n"]);
    }
}
