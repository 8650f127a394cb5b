// SPDX-License-Identifier: Apache-2.0
//! Trees of files as they go over a stream (`docs/FORMATS.md` §8.1): read from a volume, and written to one.

mod read;
mod write;

pub use read::{Batch, Chunk, content, read_tree};
pub use write::write_tree;

use tfgrid_client::snapshot::MAX_ID;

/// The user that a machine sees where the owner is none of its own, as the kernel shows it.
const NOBODY: u32 = 65_534;
/// Bytes that are kept of a tree while it is read or written, such as names of files with several.
const MAX_KEPT_BYTES: usize = 64 << 20;
/// Bytes that are kept for each name, beside those of the name.
const KEPT_BYTES: usize = 64;

/// Users and groups of machines: the host has them from this one on.
#[derive(Clone, Copy, Debug)]
pub struct Ids {
    /// The host's id of root in a machine.
    pub first: u32,
}

impl Ids {
    /// The machine's id.
    pub fn inside(self, outside: u32) -> u32 {
        outside.checked_sub(self.first).filter(|id| *id <= MAX_ID).unwrap_or(NOBODY)
    }

    /// The host's id.
    fn outside(self, inside: u32) -> u32 {
        self.first.saturating_add(inside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};
    use rustix::{
        fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr},
        process::getuid,
    };
    use std::{
        fs::{self, File},
        os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink},
        path::Path,
    };
    use tfgrid_client::snapshot::{CHUNK_BYTES, Item, Kind, Part, Step};

    /// Something to make in a tree.
    #[derive(Clone, Debug)]
    enum Made {
        Folder,
        /// Stretches of bytes at offsets, which may leave holes, and the size.
        File(Vec<(u16, u16, u8)>, u32),
        Link(String),
        Same(String),
        Pipe,
        Mode(u32),
        Attribute(Vec<u8>),
    }

    fn path() -> impl Strategy<Value = String> {
        vec(prop_oneof!["a", "b", "c d", "\u{fc}"], 1..4).prop_map(|names| names.join("/"))
    }

    fn made() -> impl Strategy<Value = Made> {
        let stretch = (any::<u16>(), 0u16..20_000, any::<u8>());
        prop_oneof![
            3 => Just(Made::Folder),
            4 => (vec(stretch, 0..4), 0u32..100_000).prop_map(|(stretches, size)| Made::File(stretches, size)),
            1 => prop_oneof![path(), r"(\.\./\.\./|/)nowhere"].prop_map(Made::Link),
            2 => path().prop_map(Made::Same),
            1 => Just(Made::Pipe),
            1 => (0u32..0o10000).prop_map(Made::Mode),
            1 => vec(any::<u8>(), 0..100).prop_map(Made::Attribute),
        ]
    }

    /// Makes it, if it can be made there.
    fn make(root: &Path, path: &str, made: &Made) {
        let path = root.join(path);
        let is_link = path.is_symlink();
        let _ = match made {
            Made::Folder => fs::create_dir(&path),
            Made::File(stretches, size) if !path.exists() && !is_link => File::create(&path).map(|file| {
                file.set_len((*size).into()).unwrap();
                for (at, length, byte) in stretches {
                    file.write_all_at(&vec![*byte; usize::from(*length)], (*at).into()).unwrap();
                }
            }),
            Made::Link(text) => symlink(text, &path),
            Made::Same(first) if root.join(first).is_file() => fs::hard_link(root.join(first), &path),
            Made::Pipe => mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).map_err(Into::into),
            // Its owner can still read it.
            Made::Mode(mode) if !is_link => {
                fs::set_permissions(&path, PermissionsExt::from_mode(mode | 0o700))
            }
            Made::Attribute(value) if !is_link => {
                setxattr(&path, "user.test", value, XattrFlags::empty()).map_err(Into::into)
            }
            Made::File(..) | Made::Same(_) | Made::Mode(_) | Made::Attribute(_) => Ok(()),
        };
    }

    fn own() -> Ids {
        Ids { first: getuid().as_raw() }
    }

    /// All parts of a tree, with all content.
    fn parts(root: &Path) -> Vec<Part> {
        let mut parts = Vec::new();
        read_tree(root, own(), &mut |batch| {
            parts.push(Part::Batch(batch.steps));
            parts.push(Part::Content(content(&batch.chunks)?));
            Ok(())
        })
        .unwrap();
        parts.push(Part::End);
        parts
    }

    fn write(root: &Path, parts: Vec<Part>) -> anyhow::Result<()> {
        let mut parts = parts.into_iter();
        write_tree(root, own(), &mut || parts.next())
    }

    fn item(path: &str, kind: Kind) -> Step {
        let owner = Ids { first: getuid().as_raw() };
        let id = owner.inside(getuid().as_raw());
        Step::Item(Item {
            path: path.into(),
            kind,
            mode: 0o700,
            user: id,
            group: id,
            changed: (1, 2),
            attributes: Vec::new(),
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_tree_is_the_same_after_it_was_read_and_written(all in vec((path(), made()), 0..24)) {
            let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            for (path, made) in &all {
                make(old.path(), path, made);
            }
            let parts = parts(old.path());
            write(new.path(), parts.clone()).unwrap();
            prop_assert_eq!(&self::parts(new.path()), &parts);
            for step in parts.iter().flat_map(|part| if let Part::Batch(steps) = part { &steps[..] } else { &[] }) {
                let Step::Item(Item { path, kind: Kind::File(_), .. }) = step else { continue };
                let path = std::str::from_utf8(path).unwrap();
                let [old, new] = [old.path().join(path), new.path().join(path)];
                prop_assert_eq!(fs::read(&old).unwrap(), fs::read(&new).unwrap());
                prop_assert_eq!(fs::metadata(&old).unwrap().nlink(), fs::metadata(&new).unwrap().nlink());
            }
        }
    }

    #[test]
    fn holes_stay_holes() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = File::create(old.path().join("sparse")).unwrap();
        file.set_len(1 << 40).unwrap();
        file.write_all_at(b"deep inside", 1 << 39).unwrap();
        write(new.path(), parts(old.path())).unwrap();
        let copied = File::open(new.path().join("sparse")).unwrap();
        let metadata = copied.metadata().unwrap();
        assert_eq!(metadata.len(), 1 << 40);
        assert!(metadata.blocks() * 512 < 1 << 20, "{} blocks", metadata.blocks());
        let mut bytes = [0; 11];
        copied.read_exact_at(&mut bytes, 1 << 39).unwrap();
        assert_eq!(&bytes, b"deep inside");
    }

    #[test]
    fn what_leads_out_of_the_folder_is_refused() {
        let secret = tempfile::tempdir().unwrap();
        fs::write(secret.path().join("file"), "mine").unwrap();
        let outside = secret.path().to_str().unwrap();
        let link = || item("link", Kind::Link(outside.into()));
        for hostile in [
            vec![link(), item("link/new", Kind::Folder)],
            vec![link(), item("link/new", Kind::File(0))],
            vec![link(), item("same", Kind::Same(b"link/file".to_vec()))],
            vec![link(), item("link", Kind::File(0))],
            vec![item("../new", Kind::Folder)],
            vec![item(&format!("{outside}/new"), Kind::Folder)],
            vec![item("same", Kind::Same(format!("..{outside}/file").into_bytes()))],
            vec![item("missing/new", Kind::Folder)],
        ] {
            let root = tempfile::tempdir().unwrap();
            let steps = [vec![item("", Kind::Folder)], hostile].concat();
            let error = write(root.path(), vec![Part::Batch(steps.clone()), Part::End]).unwrap_err();
            assert!(!format!("{error:#}").is_empty(), "{steps:?}");
            let names: Vec<_> =
                fs::read_dir(secret.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(names, ["file"], "{steps:?}");
        }
    }

    #[test]
    fn content_that_is_not_as_announced_is_refused() {
        let chunk = vec![7; CHUNK_BYTES];
        let hash = tfgrid_client::snapshot::chunk_hash(&chunk);
        let batch = || {
            let file = item("file", Kind::File(CHUNK_BYTES as u64));
            Part::Batch(vec![item("", Kind::Folder), file, Step::Chunks(vec![hash])])
        };
        let refused = |parts: Vec<Part>| {
            let root = tempfile::tempdir().unwrap();
            format!("{:#}", write(root.path(), parts).unwrap_err())
        };
        let other = refused(vec![batch(), Part::Content(vec![8; CHUNK_BYTES])]);
        assert!(other.contains("another content"), "{other}");
        let long = refused(vec![batch(), Part::Content(chunk.clone()), Part::Content(vec![7])]);
        assert!(long.contains("more content"), "{long}");
        for cut in [vec![batch(), Part::End], vec![batch(), batch()], vec![batch()], vec![Part::End]] {
            assert!(!refused(cut).is_empty());
        }
        let root = tempfile::tempdir().unwrap();
        let halves = chunk.chunks(CHUNK_BYTES / 2).map(|half| Part::Content(half.to_vec()));
        write(root.path(), [batch()].into_iter().chain(halves).chain([Part::End]).collect()).unwrap();
        assert_eq!(fs::read(root.path().join("file")).unwrap(), chunk);
    }

    #[test]
    fn owners_are_those_that_a_machine_sees() {
        let ids = Ids { first: 100_000 };
        assert_eq!((ids.inside(100_000), ids.inside(165_535)), (0, 65_535));
        assert_eq!((ids.inside(0), ids.inside(165_536)), (NOBODY, NOBODY));
        assert_eq!(ids.outside(999), 100_999);
    }
}
