// SPDX-License-Identifier: Apache-2.0
//! Archives in which files go from and to machines, in the format of `tar`.

use rustix::fs::OFlags;
use std::{
    cell::Cell,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use tar::{Archive, Builder, Header};

/// Rights that nothing unpacked has: an archive may be of a stranger.
const OTHERS_WRITE: u32 = 0o022;
/// Limit of an archive's headers and names from one item's content to the next: all are read into memory.
const HEADER_BYTES: u64 = 64 * 1024;
/// Limit of the headers of folders, which are kept until the end.
const FOLDER_BYTES: u64 = 64 * 1024 * 1024;

/// Packs a file, folder or symbolic link under this name. What changes meanwhile is packed as it is found. Within a
/// folder, what is neither file, folder nor link is left out.
///
/// # Errors
/// If it can't be read, or nobody takes the archive (`BrokenPipe`).
pub fn pack(archive: impl Write, from: &Path, name: &Path) -> io::Result<()> {
    let mut archive = Builder::new(archive);
    let mut left = vec![(from.to_owned(), name.to_owned())];
    while let Some((path, name)) = left.pop() {
        let metadata = path.symlink_metadata().map_err(|why| unread(&path, &why))?;
        let mut header = Header::new_gnu();
        header.set_metadata(&metadata);
        if metadata.is_dir() {
            archive.append_data(&mut header, &name, io::empty())?;
            left.extend(names(&path)?.into_iter().map(|entry| (path.join(&entry), name.join(&entry))));
        } else if metadata.is_symlink() {
            let target = path.read_link().map_err(|why| unread(&path, &why))?;
            archive.append_link(&mut header, &name, target)?;
        } else if metadata.is_file() {
            append_file(&mut archive, &path, &name)?;
        } else if path == from {
            return Err(unread(&path, &io::Error::other("it is neither a file nor a folder")));
        }
    }
    archive.into_inner()?.flush()
}

fn names(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let names = fs::read_dir(folder).and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.file_name().into())).collect::<io::Result<_>>()
    });
    names.map_err(|why| unread(folder, &why))
}

/// Packs a file with the size that it has at first: what it gets later is left out, what it loses becomes zeros.
fn append_file(archive: &mut Builder<impl Write>, path: &Path, name: &Path) -> io::Result<()> {
    // It may be a link or a pipe by now.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::options().read(true).custom_flags(flags.bits() as i32).open(path);
    let file = file.map_err(|why| unread(path, &why))?;
    let metadata = file.metadata().map_err(|why| unread(path, &why))?;
    let mut header = Header::new_gnu();
    header.set_metadata(&metadata);
    let size = metadata.len();
    archive.append_data(&mut header, name, file.take(size).chain(io::repeat(0)).take(size))
}

fn unread(path: &Path, why: &io::Error) -> io::Error {
    io::Error::new(why.kind(), format!("can't read {}: {why}", path.display()))
}

/// A reader that fails once nothing is left of what may be read.
struct Limited<'a, R> {
    inner: R,
    left: &'a Cell<u64>,
}

impl<R: Read> Read for Limited<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(io::Error::other("the archive has a header or name that is too long"));
        }
        let most = usize::try_from(left).map_or(into.len(), |left| left.min(into.len()));
        let count = self.inner.read(&mut into[..most])?;
        self.left.set(left.saturating_sub(count as u64));
        Ok(count)
    }
}

/// Unpacks an archive into a folder, and reads it to its end. What it makes belongs to who unpacks it.
///
/// # Errors
/// If it isn't an archive, leads out of the folder, or can't be written.
pub fn unpack(archive: impl Read, into: &Path) -> io::Result<()> {
    let left = Cell::new(HEADER_BYTES);
    let mut archive = Archive::new(Limited { inner: archive, left: &left });
    archive.set_mask(OTHERS_WRITE);
    unpack_items(&mut archive, &left, into)?;
    left.set(u64::MAX);
    io::copy(&mut archive.into_inner(), &mut io::sink()).map(drop)
}

/// Unpacks all items; `left` is what the archive may still read.
fn unpack_items(archive: &mut Archive<impl Read>, left: &Cell<u64>, into: &Path) -> io::Result<()> {
    let (mut folders, mut kept) = (Vec::new(), 0);
    for item in archive.entries()? {
        let mut item = item?;
        if item.header().entry_type().is_dir() {
            kept += HEADER_BYTES - left.get();
            if kept > FOLDER_BYTES {
                return Err(io::Error::other("the archive has too many folders"));
            }
            folders.push(item);
        } else {
            left.set(u64::MAX);
            item.unpack_in(into)?;
        }
        left.set(HEADER_BYTES);
    }
    // Last, each before its parent: one may be read-only.
    folders.sort_by(|a, b| b.path_bytes().cmp(&a.path_bytes()));
    folders.iter_mut().try_for_each(|folder| folder.unpack_in(into).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::{
        fs::Permissions,
        io::pipe,
        os::unix::fs::{PermissionsExt, symlink},
        thread::spawn,
    };
    use tar::EntryType;

    /// Packs a path under another name, and unpacks that into a folder.
    fn copy(from: PathBuf, into: &Path) {
        let (reader, writer) = pipe().unwrap();
        let packing = spawn(move || pack(writer, &from, Path::new("other")).unwrap());
        unpack(reader, into).unwrap();
        packing.join().unwrap();
    }

    #[test]
    fn what_is_packed_is_unpacked_under_its_new_name() {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path().join("site");
        let long = site.join("x".repeat(200)).join("y".repeat(200));
        fs::create_dir_all(&long).unwrap();
        fs::write(long.join("page"), "hello").unwrap();
        copy(site, folder.path());
        let other = folder.path().join("other").join("x".repeat(200)).join("y".repeat(200));
        assert_eq!(fs::read_to_string(other.join("page")).unwrap(), "hello");
    }

    #[test]
    fn links_within_a_folder_stay_links() {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path().join("site");
        let home = folder.path().join("home");
        fs::create_dir(&site).unwrap();
        fs::create_dir(&home).unwrap();
        symlink(&home, site.join("link")).unwrap();
        copy(site, folder.path());
        assert_eq!(fs::read_link(folder.path().join("other/link")).unwrap(), home);
    }

    #[test]
    fn what_is_unpacked_is_written_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path().join("site");
        fs::create_dir(&site).unwrap();
        fs::write(site.join("page"), "hello").unwrap();
        for path in [site.join("page"), site.clone()] {
            fs::set_permissions(path, Permissions::from_mode(0o4777)).unwrap();
        }
        copy(site, folder.path());
        for path in ["other", "other/page"] {
            let mode = folder.path().join(path).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o755, "{path}");
        }
    }

    #[test]
    fn a_pipe_is_left_out_of_a_folder_and_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path().join("site");
        fs::create_dir(&site).unwrap();
        mknodat(CWD, site.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let error = pack(io::sink(), &site.join("pipe"), Path::new("pipe")).unwrap_err().to_string();
        assert!(error.ends_with("site/pipe: it is neither a file nor a folder"), "{error}");
        copy(site, folder.path());
        assert_eq!(fs::read_dir(folder.path().join("other")).unwrap().count(), 0);
    }

    #[test]
    fn a_path_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = pack(io::sink(), &folder.path().join("nothing"), Path::new("x")).unwrap_err();
        assert!(error.to_string().contains("nothing: No such file"), "{error}");
    }

    /// Adds to a file, or cuts it, at the first write.
    struct Changing {
        archive: Vec<u8>,
        file: PathBuf,
        size: u64,
    }

    impl Write for Changing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            File::options().write(true).open(&self.file)?.set_len(self.size)?;
            self.archive.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_file_that_changes_keeps_the_size_of_its_header() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log");
        for size in [0, 5_000] {
            fs::write(&file, [b'a'; 1_000]).unwrap();
            let mut changing = Changing { archive: Vec::new(), file: file.clone(), size };
            pack(&mut changing, &file, Path::new("copied")).unwrap();
            unpack(&changing.archive[..], folder.path()).unwrap();
            assert_eq!(fs::read(folder.path().join("copied")).unwrap().len(), 1_000);
        }
    }

    /// An item of an archive with so many bytes, a multiple of 512.
    fn item(kind: EntryType, path: &str, size: u64) -> Vec<u8> {
        let mut header = Header::new_gnu();
        header.set_path(path).unwrap();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(size);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(vec![b'a'; usize::try_from(size).unwrap()]);
        bytes
    }

    #[test]
    fn names_in_an_archive_are_limited() {
        let folder = tempfile::tempdir().unwrap();
        let unpacked = |kind, size| {
            let file = item(EntryType::Regular, "site", 2 * HEADER_BYTES);
            unpack(&[item(kind, "name", size), file].concat()[..], folder.path())
        };
        unpacked(EntryType::Regular, 2 * HEADER_BYTES).unwrap();
        unpacked(EntryType::XGlobalHeader, 512).unwrap();
        let kinds =
            [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader, EntryType::XGlobalHeader];
        for kind in kinds {
            let error = unpacked(kind, HEADER_BYTES).unwrap_err().to_string();
            assert!(error.contains("too long"), "{kind:?}: {error}");
        }
    }

    #[test]
    fn folders_in_an_archive_are_limited() {
        let folder = tempfile::tempdir().unwrap();
        let name = item(EntryType::GNULongName, "name", HEADER_BYTES / 2);
        let one = [name, item(EntryType::Directory, "site", 0)].concat();
        let count = FOLDER_BYTES / one.len() as u64 + 1;
        let many = one.repeat(usize::try_from(count).unwrap());
        let error = unpack(&many[..], folder.path()).unwrap_err().to_string();
        assert!(error.contains("too many folders"), "{error}");
    }
}
