// SPDX-License-Identifier: Apache-2.0
//! The disk of the node's state and its storage pool: the one that an earlier boot has taken, else a blank one. A disk
//! that holds anything is never written.

use crate::system::{entries, run, tool};
use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, mount};
use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// Data folder of the agent.
pub const FOLDER: &str = "/var/lib/zos";
/// Label of a disk that an image has taken.
const LABEL: &str = "zos-state";
/// Its label before: nothing was ever written to it but the file system, which a power cut may have left in parts.
const NEW_LABEL: &str = "zos-state-new";
/// Smaller ones are sticks and cards.
const MIN_BYTES: u64 = 8 << 30;
/// Bytes at either end that must be zero on a blank disk, beside signatures that `blkid` knows.
const MARGIN: u64 = 1 << 20;
/// The superblock of btrfs, and where its magic number and the label are in it. `mkfs.btrfs` has another number until
/// it ends.
const SUPERBLOCK: u64 = 64 << 10;
const MAGIC: (usize, &[u8]) = (0x40, b"_BHRfS_M");
const UNFINISHED_MAGIC: &[u8] = b"!BHRfS_M";
const LABEL_AT: usize = 0x12b;
/// Exit code of `blkid` that has found nothing.
const NOTHING_FOUND: i32 = 2;
/// Devices of the kernel that aren't disks of the machine.
const NO_DISKS: [&str; 7] = ["dm-", "fd", "loop", "md", "ram", "sr", "zram"];

/// What a disk holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    /// The state of a node that booted from an image.
    State,
    /// A file system for it that was never used.
    New,
    Nothing,
    /// What it is, for people.
    Other(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Disk {
    device: PathBuf,
    bytes: u64,
    is_flash: bool,
    content: Content,
}

/// Mounts the node's disk, and says which it is.
pub fn open() -> Result<String> {
    let disks: Vec<Disk> = entries(Path::new("/sys/block")).iter().filter_map(|disk| examine(disk)).collect();
    let disk = choose(&disks)?;
    let device = &disk.device;
    if disk.content != Content::State {
        // Without force, it refuses a disk that holds a file system, as a last check.
        let force = (disk.content == Content::New).then_some("-f");
        run(tool("mkfs.btrfs").args(["-q", "-L", NEW_LABEL]).args(force).arg(device))?;
    }
    // Flags that are set here would stay on machines' mounts, which must be as they ask.
    mount(device, FOLDER, "btrfs", MountFlags::empty(), None)
        .with_context(|| format!("can't mount {}", device.display()))?;
    if disk.content != Content::State {
        // The kernel returns when it is on the disk, with all of the file system.
        run(tool("btrfs").args(["filesystem", "label", FOLDER, LABEL]))?;
    }
    Ok(format!("{}, {} GiB", device.display(), disk.bytes >> 30))
}

/// The node's disk, else the largest blank one, flash before hard disks.
fn choose(disks: &[Disk]) -> Result<&Disk> {
    let own: Vec<&Disk> = disks.iter().filter(|disk| disk.content == Content::State).collect();
    match own.as_slice() {
        [disk] => return Ok(disk),
        [] => {}
        several => {
            let names: Vec<String> = several.iter().map(|disk| disk.device.display().to_string()).collect();
            bail!("{} hold the state of a node each: leave one of them in the machine", names.join(" and "));
        }
    }
    let blank = disks.iter().filter(|disk| matches!(disk.content, Content::Nothing | Content::New));
    if let Some(disk) = blank.max_by_key(|disk| (disk.is_flash, disk.bytes)) {
        return Ok(disk);
    }
    let held: Vec<String> = disks
        .iter()
        .filter_map(|disk| match &disk.content {
            Content::Other(what) => Some(format!("{} holds {what}", disk.device.display())),
            _ => None,
        })
        .collect();
    if held.is_empty() {
        bail!("there is none of {} GiB or more: connect one", MIN_BYTES >> 30);
    }
    bail!(
        "none is blank, and none is touched: {}. Connect a blank disk, or blank one elsewhere",
        held.join("; ")
    )
}

/// `None` for what is no disk that a node may use.
fn examine(entry: &Path) -> Option<Disk> {
    let name = entry.file_name()?.to_str()?;
    let is = |file: &str| fs::read_to_string(entry.join(file)).is_ok_and(|text| text.trim() == "1");
    let sectors: u64 = fs::read_to_string(entry.join("size")).ok()?.trim().parse().ok()?;
    let bytes = sectors * 512;
    if NO_DISKS.iter().any(|prefix| name.starts_with(prefix))
        || is("removable")
        || is("ro")
        || bytes < MIN_BYTES
    {
        return None;
    }
    let device = Path::new("/dev").join(name.replace('!', "/"));
    let content =
        content(&device, bytes).unwrap_or_else(|why| Content::Other(format!("what can't be read: {why:#}")));
    Some(Disk { content, bytes, is_flash: !is("queue/rotational"), device })
}

fn content(device: &Path, bytes: u64) -> Result<Content> {
    let mut file = File::open(device)?;
    if let Some(own) = own_content(&mut file)? {
        return Ok(own);
    }
    let probe = tool("blkid")
        .args(["-p", "-o", "value", "-s", "TYPE", "-s", "PTTYPE"])
        .arg(device)
        .stdout(std::process::Stdio::piped())
        .output()?;
    if probe.status.code() != Some(NOTHING_FOUND) {
        let found = String::from_utf8_lossy(&probe.stdout).trim().replace('\n', ", ");
        return Ok(Content::Other(if found.is_empty() { "something".into() } else { found }));
    }
    let is_blank = is_zero(&mut file, 0)? && is_zero(&mut file, bytes - MARGIN)?;
    Ok(if is_blank { Content::Nothing } else { Content::Other("data without a known format".into()) })
}

/// `None` on a disk that no image has written.
fn own_content(file: &mut File) -> Result<Option<Content>> {
    let mut block = [0; 4096];
    file.seek(SeekFrom::Start(SUPERBLOCK))?;
    file.read_exact(&mut block)?;
    let (at, magic) = MAGIC;
    let has_magic = |magic: &[u8]| block[at..].starts_with(magic);
    let has_label = |label: &str| block[LABEL_AT..].starts_with(&[label.as_bytes(), &[0]].concat());
    if has_magic(magic) && has_label(LABEL) {
        return Ok(Some(Content::State));
    }
    let is_new = (has_magic(magic) || has_magic(UNFINISHED_MAGIC)) && has_label(NEW_LABEL);
    Ok(is_new.then_some(Content::New))
}

fn is_zero(file: &mut File, at: u64) -> Result<bool> {
    let mut margin = vec![0; MARGIN as usize];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut margin)?;
    Ok(margin.iter().all(|byte| *byte == 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    fn disk(name: &str, gib: u64, is_flash: bool, content: Content) -> Disk {
        Disk { device: Path::new("/dev").join(name), bytes: gib << 30, is_flash, content }
    }

    fn chosen(disks: &[Disk]) -> Result<String, String> {
        choose(disks).map(|disk| disk.device.display().to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_nodes_disk_is_used_else_the_largest_blank_flash() {
        let other = disk("sda", 4_000, true, Content::Other("dos".into()));
        let hard = disk("sdb", 8_000, false, Content::Nothing);
        let (small, large) =
            (disk("sdc", 100, true, Content::Nothing), disk("sdd", 200, true, Content::Nothing));
        let own = disk("sde", 50, false, Content::State);
        let all = [other.clone(), hard.clone(), small.clone(), large.clone(), own];
        assert_eq!(chosen(&all).unwrap(), "/dev/sde");
        assert_eq!(chosen(&all[..4]).unwrap(), "/dev/sdd");
        assert_eq!(chosen(&[other, hard]).unwrap(), "/dev/sdb");
    }

    #[test]
    fn without_a_blank_disk_it_says_what_each_holds() {
        let disks = [
            disk("sda", 100, true, Content::Other("ext4".into())),
            disk("sdb", 100, true, Content::Other("gpt".into())),
        ];
        let why = chosen(&disks).unwrap_err();
        assert!(why.contains("/dev/sda holds ext4; /dev/sdb holds gpt"), "{why}");
        assert!(chosen(&[]).unwrap_err().contains("8 GiB"));
        let two = [disk("sda", 100, true, Content::State), disk("sdb", 100, true, Content::State)];
        assert!(chosen(&two).unwrap_err().starts_with("/dev/sda and /dev/sdb hold the state"));
    }

    fn written(bytes: u64, parts: &[(u64, &[u8])]) -> (tempfile::NamedTempFile, u64) {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(bytes).unwrap();
        for (at, part) in parts {
            file.as_file().write_all_at(part, *at).unwrap();
        }
        (file, bytes)
    }

    #[test]
    fn only_zeros_without_a_signature_are_nothing() {
        let of = |parts: &[(u64, &[u8])]| {
            let (file, bytes) = written(64 << 20, parts);
            content(file.path(), bytes).unwrap()
        };
        assert_eq!(of(&[]), Content::Nothing);
        let unknown = Content::Other("data without a known format".into());
        assert_eq!(of(&[(700_000, b"x")]), unknown);
        assert_eq!(of(&[((64 << 20) - 10, b"x")]), unknown);
        assert_eq!(
            of(&[(0x438, b"\x53\xef"), (0x418, &[0, 0, 0, 0]), (0x44c, &[1])]),
            of(&[(0x438, b"\x53\xef")])
        );
        assert!(matches!(of(&[(0, b"LUKS\xba\xbe\0\x01")]), Content::Other(_)));
        assert_eq!(of(&[(0x10040, b"_BHRfS_M"), (0x1012b, b"zos-state")]), Content::State);
        assert!(matches!(of(&[(0x10040, b"_BHRfS_M"), (0x1012b, b"zos-state-2")]), Content::Other(_)));
        assert_eq!(of(&[(0x10040, b"!BHRfS_M"), (0x1012b, b"zos-state")]), unknown);
    }

    #[test]
    fn a_file_system_that_was_never_used_is_made_again() {
        for magic in [b"_BHRfS_M", b"!BHRfS_M"] {
            let (file, bytes) = written(64 << 20, &[(0x10040, magic), (0x1012b, b"zos-state-new")]);
            assert_eq!(content(file.path(), bytes).unwrap(), Content::New);
        }
        let (new, other) = (disk("sda", 100, true, Content::New), disk("sdb", 90, true, Content::Nothing));
        let own = disk("sdc", 50, false, Content::State);
        assert_eq!(chosen(&[new.clone(), other.clone()]).unwrap(), "/dev/sda");
        assert_eq!(chosen(&[new, other, own]).unwrap(), "/dev/sdc");
    }
}
