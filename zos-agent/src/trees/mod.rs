// SPDX-License-Identifier: Apache-2.0
//! Trees of files as they go over a stream (`docs/FORMATS.md` §8.1): read from a volume or a machine's root, and
//! written to one.

mod read;
mod write;

pub use read::{Batch, Chunk, content, read_tree};
pub use write::write_tree;

use std::path::PathBuf;
use tfgrid_client::snapshot::{ImageId, MAX_ID};

/// The user that a machine sees where the owner is none of its own, as the kernel shows it.
const NOBODY: u32 = 65_534;
/// Bytes that are kept of a tree while it is read or written, such as names of files with several.
const MAX_KEPT_BYTES: usize = 64 << 20;
/// Bytes that are kept for each name, beside those of the name.
const KEPT_BYTES: usize = 64;

/// An image of which a machine's root is a snapshot.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// The folder with its files, as the root began.
    pub files: PathBuf,
}

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
        parts_since(None, root)
    }

    /// The same of what differs from an image.
    fn parts_since(image: Option<&Image>, root: &Path) -> Vec<Part> {
        let mut parts = Vec::new();
        read_tree(root, own(), image, &mut |batch| {
            parts.push(Part::Batch(batch.steps));
            parts.push(Part::Content(content(&batch.chunks)?));
            Ok(())
        })
        .unwrap();
        parts.push(Part::End);
        parts
    }

    fn write(root: &Path, parts: Vec<Part>) -> anyhow::Result<()> {
        write_over(None, root, parts)
    }

    /// The same into a folder that has the files of this image.
    fn write_over(image: Option<ImageId>, root: &Path, parts: Vec<Part>) -> anyhow::Result<()> {
        let mut parts = parts.into_iter();
        write_tree(root, own(), image, &mut || parts.next())
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

    const IMAGE: ImageId = [7; 32];

    /// Files of an image, and of a machine of it.
    fn image_and_root() -> (tempfile::TempDir, tempfile::TempDir) {
        let (image, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [&image, &root] {
            for name in ["etc", "var", "bin"] {
                fs::create_dir(folder.path().join(name)).unwrap();
            }
        }
        let (before, now) = (|path: &str| image.path().join(path), |path: &str| root.path().join(path));
        for name in ["etc/kept", "etc/changed", "etc/gone", "var/file", "bin/sh"] {
            fs::write(before(name), "of the image").unwrap();
        }
        for name in ["var/deep", "var/folder"] {
            fs::create_dir(before(name)).unwrap();
        }
        fs::write(before("var/deep/gone"), "of the image").unwrap();
        symlink("/usr", before("lib")).unwrap();
        // As in a snapshot, what isn't changed is the same.
        for name in ["etc/kept", "bin/sh"] {
            fs::hard_link(before(name), now(name)).unwrap();
        }
        fs::write(now("etc/changed"), "of the machine").unwrap();
        fs::write(now("var/folder"), "a file in place of a folder").unwrap();
        for folder in ["var/file", "lib"] {
            fs::create_dir(now(folder)).unwrap();
        }
        fs::write(now("lib/new"), "in place of a link").unwrap();
        (image, root)
    }

    /// Paths and contents of files, and paths of all else.
    fn content_of(root: &Path) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let parts = parts(root);
        let steps =
            parts.iter().flat_map(|part| if let Part::Batch(steps) = part { &steps[..] } else { &[] });
        let items =
            steps.filter_map(|step| if let Step::Item(item) = step { Some(&item.path) } else { None });
        let content = |path: &Vec<u8>| {
            let file = root.join(std::str::from_utf8(path).unwrap());
            (path.clone(), fs::read(file).ok())
        };
        items.map(content).collect()
    }

    #[test]
    fn a_root_is_what_differs_from_its_image() {
        let (image, root) = image_and_root();
        let files = image.path().to_owned();
        let parts = parts_since(Some(&Image { id: IMAGE, files }), root.path());
        let steps: Vec<_> = parts
            .iter()
            .flat_map(|part| if let Part::Batch(steps) = part { &steps[..] } else { &[] })
            .collect();
        assert_eq!(steps[0], &Step::Image(IMAGE));
        let has = |name: &str| {
            steps.iter().any(|step| matches!(step, Step::Item(item) if item.path == name.as_bytes()))
        };
        assert!(has("etc/changed") && has("var/folder") && has("lib/new"));
        assert!(!has("etc/kept") && !has("bin/sh"), "{steps:?}");
        let gone =
            steps.iter().filter_map(|step| if let Step::Gone(path) = step { Some(path) } else { None });
        assert_eq!(gone.collect::<Vec<_>>(), [b"etc/gone", b"var/deep"]);

        let (other, _) = image_and_root();
        write_over(Some(IMAGE), other.path(), parts).unwrap();
        assert_eq!(content_of(other.path()), content_of(root.path()));
    }

    #[test]
    fn a_root_is_written_over_its_own_image_alone() {
        let (image, root) = image_and_root();
        let files = image.path().to_owned();
        let of_root = parts_since(Some(&Image { id: IMAGE, files }), root.path());
        for (over, parts, words) in [
            (Some([8; 32]), of_root.clone(), "another image"),
            (None, of_root, "not the content of a volume"),
            (Some(IMAGE), parts(root.path()), "not the root of a machine"),
        ] {
            let (other, _) = image_and_root();
            let error = format!("{:#}", write_over(over, other.path(), parts).unwrap_err());
            assert!(error.contains(words), "{error}");
            assert!(other.path().join("etc/gone").exists(), "{words}");
        }
    }

    #[test]
    fn what_is_removed_of_a_root_is_in_it() {
        let outside = tempfile::tempdir().unwrap();
        fs::create_dir(outside.path().join("folder")).unwrap();
        fs::write(outside.path().join("folder/file"), "mine").unwrap();
        for hostile in [
            vec![Step::Gone(b"out/folder".to_vec())],
            vec![Step::Gone(b"out/folder/file".to_vec())],
            vec![item("out/folder/file", Kind::File(0))],
            vec![item("out/folder", Kind::Link(b"x".to_vec()))],
            vec![Step::Gone(b"../folder".to_vec())],
        ] {
            let root = tempfile::tempdir().unwrap();
            symlink(outside.path(), root.path().join("out")).unwrap();
            let steps = [vec![Step::Image(IMAGE), item("", Kind::Folder)], hostile].concat();
            write_over(Some(IMAGE), root.path(), vec![Part::Batch(steps), Part::End]).unwrap_err();
            assert_eq!(fs::read_to_string(outside.path().join("folder/file")).unwrap(), "mine");
        }
        // The link itself goes, and nothing behind it.
        let root = tempfile::tempdir().unwrap();
        symlink(outside.path(), root.path().join("out")).unwrap();
        let steps = vec![Step::Image(IMAGE), item("", Kind::Folder), Step::Gone(b"out".to_vec())];
        write_over(Some(IMAGE), root.path(), vec![Part::Batch(steps), Part::End]).unwrap();
        assert!(!root.path().join("out").is_symlink() && outside.path().join("folder/file").exists());
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
