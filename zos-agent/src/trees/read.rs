// SPDX-License-Identifier: Apache-2.0
//! Reads a tree that nobody changes.

use super::{Ids, Image, KEPT_BYTES, MAX_KEPT_BYTES};
use anyhow::{Context, Result, ensure};
use rustix::{
    fs::{OFlags, SeekFrom, lgetxattr, llistxattr, seek},
    io::Errno,
};
use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::{self, File, Metadata},
    io::{self, ErrorKind},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};
use tfgrid_client::snapshot::{
    Batcher, CHUNK_BYTES, Item, Kind, MAX_ATTRIBUTES_BYTES, Step, chunk_hash, is_attribute,
};

static ZEROS: [u8; CHUNK_BYTES] = [0; CHUNK_BYTES];
/// Bytes of the names of an item's extended attributes at most: what the kernel allows.
const MAX_ATTRIBUTE_NAMES_BYTES: usize = 64 * 1024;

/// Steps of a tree, and where their chunks are.
pub struct Batch {
    /// The steps.
    pub steps: Vec<Step>,
    /// Their chunks, in order.
    pub chunks: Vec<Chunk>,
}

/// A chunk of a file.
pub struct Chunk {
    file: Arc<PathBuf>,
    at: u64,
    length: usize,
}

/// Reads all of a tree, or what differs from the image of which it is a snapshot; `pass` gets it piece by piece.
/// Sockets and devices are left out.
///
/// # Errors
/// If it can't be read, or `pass` fails.
pub fn read_tree(
    root: &Path,
    ids: Ids,
    image: Option<&Image>,
    pass: &mut dyn FnMut(Batch) -> Result<()>,
) -> Result<()> {
    let mut reader = Reader {
        root,
        ids,
        image,
        pass,
        batcher: Batcher::default(),
        chunks: Vec::new(),
        linked: HashMap::new(),
        kept_bytes: 0,
    };
    reader.read()?;
    let (steps, chunks) = (reader.batcher.finish(), reader.chunks);
    (reader.pass)(Batch { steps, chunks })
}

/// The content of chunks.
///
/// # Errors
/// If it can't be read.
pub fn content(chunks: &[Chunk]) -> Result<Vec<u8>> {
    let mut content = vec![0; chunks.iter().map(|chunk| chunk.length).sum()];
    let mut rest = &mut content[..];
    let mut open: Option<(&Arc<PathBuf>, File)> = None;
    for chunk in chunks {
        let (here, after) = rest.split_at_mut(chunk.length);
        rest = after;
        let file = match open.take() {
            Some((path, file)) if Arc::ptr_eq(path, &chunk.file) => file,
            _ => open_file(&chunk.file)?,
        };
        file.read_exact_at(here, chunk.at).with_context(|| format!("can't read {}", chunk.file.display()))?;
        open = Some((&chunk.file, file));
    }
    Ok(content)
}

fn open_file(path: &Path) -> Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = File::options().read(true).custom_flags(flags.bits() as i32).open(path);
    opened.with_context(|| format!("can't open {}", path.display()))
}

struct Reader<'a> {
    root: &'a Path,
    ids: Ids,
    image: Option<&'a Image>,
    pass: &'a mut dyn FnMut(Batch) -> Result<()>,
    batcher: Batcher,
    /// Those of the next batch.
    chunks: Vec<Chunk>,
    /// First names of what has several, by device and number.
    linked: HashMap<(u64, u64), Vec<u8>>,
    kept_bytes: usize,
}

/// A folder of which names are still to be read, the next one last.
struct Open {
    path: Vec<u8>,
    names: Vec<Vec<u8>>,
    /// Whether the image has a folder with this path, too.
    is_in_image: bool,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<()> {
        if let Some(image) = self.image {
            self.push(Step::Image(image.id), None)?;
        }
        let mut open: Vec<Open> = self.item(Vec::new(), self.image.is_some())?.into_iter().collect();
        while let Some(folder) = open.last_mut() {
            let Some(name) = folder.names.pop() else {
                open.pop();
                continue;
            };
            self.kept_bytes = self.kept_bytes.saturating_sub(name.len() + KEPT_BYTES);
            let (path, may_be_in_image) = (joined(&folder.path, &name), folder.is_in_image);
            open.extend(self.item(path, may_be_in_image)?);
        }
        // Without its files, all would differ.
        let is_there = |image: &Image| fs::symlink_metadata(&image.files).is_ok();
        ensure!(self.image.is_none_or(is_there), "the machine was replaced meanwhile");
        Ok(())
    }

    /// Reads an item, which the image may have if it has its folder; returns what is in it if it is a folder.
    fn item(&mut self, path: Vec<u8>, may_be_in_image: bool) -> Result<Option<Open>> {
        let full = self.root.join(OsStr::from_bytes(&path));
        let shown = || format!("can't read {:?}", String::from_utf8_lossy(&path));
        let metadata = fs::symlink_metadata(&full).with_context(shown)?;
        let before = if may_be_in_image { self.in_image(&path).with_context(shown)? } else { None };
        let is_folder_in_image = before.as_ref().is_some_and(Metadata::is_dir);
        let is_same = before.as_ref().is_some_and(|before| is_unchanged(before, &metadata));
        // A tree begins with its root in each case.
        if is_same && !path.is_empty() {
            return if metadata.is_dir() { self.open(path, &full, true).map(Some) } else { Ok(None) };
        }
        let Some(kind) = self.kind(&path, &full, &metadata).with_context(shown)? else {
            if before.is_some() {
                self.push(Step::Gone(path), None)?;
            }
            return Ok(None);
        };
        let item = Item {
            path: path.clone(),
            kind,
            mode: metadata.mode() & 0o7777,
            user: self.ids.inside(metadata.uid()),
            group: self.ids.inside(metadata.gid()),
            changed: (metadata.mtime(), u32::try_from(metadata.mtime_nsec()).unwrap_or_default()),
            attributes: attributes(&full).with_context(shown)?,
        };
        // The stream refuses what this would send.
        item.check()?;
        let (is_folder, size) = match item.kind {
            Kind::Folder => (true, 0),
            Kind::File(size) => (false, size),
            Kind::Link(_) | Kind::Same(_) | Kind::Pipe => (false, 0),
        };
        self.push(Step::Item(item), None)?;
        if is_folder {
            return self.open(path, &full, is_folder_in_image).map(Some);
        }
        if size > 0 {
            self.file(Arc::new(full), size).with_context(shown)?;
        }
        Ok(None)
    }

    fn kind(&mut self, path: &[u8], full: &Path, metadata: &Metadata) -> Result<Option<Kind>> {
        let file_type = metadata.file_type();
        if file_type.is_dir() {
            return Ok(Some(Kind::Folder));
        }
        let is_known = file_type.is_file() || file_type.is_symlink() || file_type.is_fifo();
        if !is_known {
            return Ok(None);
        }
        if metadata.nlink() > 1 {
            let number = (metadata.dev(), metadata.ino());
            if let Some(first) = self.linked.get(&number) {
                return Ok(Some(Kind::Same(first.clone())));
            }
            self.keep(path)?;
            self.linked.insert(number, path.to_vec());
        }
        Ok(Some(if file_type.is_file() {
            Kind::File(metadata.len())
        } else if file_type.is_symlink() {
            Kind::Link(fs::read_link(full)?.into_os_string().into_vec())
        } else {
            Kind::Pipe
        }))
    }

    /// What is in a folder, after what the image has there and it hasn't.
    fn open(&mut self, path: Vec<u8>, full: &Path, is_in_image: bool) -> Result<Open> {
        let shown = || format!("can't read {:?}", String::from_utf8_lossy(&path));
        let names = self.names(full).with_context(shown)?;
        if let Some(image) = self.image.filter(|_| is_in_image) {
            let before = image.files.join(OsStr::from_bytes(&path));
            for entry in fs::read_dir(before).with_context(shown)? {
                let name = entry.with_context(shown)?.file_name().into_vec();
                if names.binary_search_by(|other| name.cmp(other)).is_err() {
                    self.push(Step::Gone(joined(&path, &name)), None)?;
                }
            }
        }
        Ok(Open { path, names, is_in_image })
    }

    /// What the image has at a path whose folder it has.
    fn in_image(&self, path: &[u8]) -> Result<Option<Metadata>> {
        let Some(image) = self.image else { return Ok(None) };
        match fs::symlink_metadata(image.files.join(OsStr::from_bytes(path))) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            found => Ok(Some(found?)),
        }
    }

    /// The names in a folder, the last one first.
    fn names(&mut self, folder: &Path) -> Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name().into_vec();
            self.keep(&name)?;
            names.push(name);
        }
        names.sort_by(|a, b| b.cmp(a));
        Ok(names)
    }

    fn keep(&mut self, name: &[u8]) -> Result<()> {
        self.kept_bytes += name.len() + KEPT_BYTES;
        ensure!(
            self.kept_bytes <= MAX_KEPT_BYTES,
            "there are too many names in its folders, or of files with several"
        );
        Ok(())
    }

    fn file(&mut self, path: Arc<PathBuf>, size: u64) -> Result<()> {
        let file = open_file(&path)?;
        let whole = CHUNK_BYTES as u64;
        let mut bytes = vec![0; CHUNK_BYTES];
        let (mut at, mut data_end) = (0, 0);
        while at < size {
            if at >= data_end {
                let data = found(seek(&file, SeekFrom::Data(at)), size)?;
                let zeros =
                    if data == size { (size - at).div_ceil(whole) } else { data.saturating_sub(at) / whole };
                if zeros > 0 {
                    self.push(Step::Zeros(zeros), None)?;
                    at += zeros.saturating_mul(whole).min(size - at);
                    continue;
                }
                data_end = found(seek(&file, SeekFrom::Hole(data)), size)?;
            }
            let length = CHUNK_BYTES.min(usize::try_from(size - at).unwrap_or(CHUNK_BYTES));
            let chunk = &mut bytes[..length];
            file.read_exact_at(chunk, at)?;
            if chunk == &ZEROS[..length] {
                self.push(Step::Zeros(1), None)?;
            } else {
                let hash = chunk_hash(chunk);
                self.push(Step::Chunks(vec![hash]), Some(Chunk { file: path.clone(), at, length }))?;
            }
            at += length as u64;
        }
        Ok(())
    }

    fn push(&mut self, step: Step, chunk: Option<Chunk>) -> Result<()> {
        if let Some(steps) = self.batcher.push(step) {
            let chunks = std::mem::take(&mut self.chunks);
            (self.pass)(Batch { steps, chunks })?;
        }
        self.chunks.extend(chunk);
        Ok(())
    }
}

/// Whether an item of a snapshot is as in what the snapshot was made of. The kernel notes the time of each change of an
/// item, which no program can set, and gives no item the number of another one.
fn is_unchanged(before: &Metadata, now: &Metadata) -> bool {
    let version = |it: &Metadata| (it.ino(), it.ctime(), it.ctime_nsec(), it.mode(), it.len());
    version(before) == version(now)
}

/// The path of a name in a folder.
fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, name].join(&b'/') }
}

/// Where a file goes on with data or a hole, its end if it doesn't.
fn found(at: rustix::io::Result<u64>, size: u64) -> io::Result<u64> {
    match at {
        Ok(at) => Ok(at.min(size)),
        Err(Errno::NXIO) => Ok(size),
        Err(error) => Err(error.into()),
    }
}

/// The extended attributes that are kept of a file.
fn attributes(path: &Path) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut names = vec![0; MAX_ATTRIBUTE_NAMES_BYTES];
    let length = match llistxattr(path, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => 0,
        Err(error) => return Err(error.into()),
    };
    let names = names[..length].split(|byte| *byte == 0).filter(|name| is_attribute(name));
    let mut attributes = Vec::new();
    let mut room = MAX_ATTRIBUTES_BYTES;
    for name in names {
        let mut value = vec![0; room];
        let length = match lgetxattr(path, name, &mut value[..]) {
            Err(Errno::RANGE) => None,
            read => Some(read?),
        };
        let left = length.and_then(|length| room.checked_sub(length + name.len()));
        room = left.context("its extended attributes are too long")?;
        value.truncate(length.unwrap_or_default());
        attributes.push((name.to_vec(), value));
    }
    attributes.sort();
    Ok(attributes)
}
