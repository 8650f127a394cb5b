// SPDX-License-Identifier: Apache-2.0
//! Writes a tree into an empty folder, or over an image's files, and nowhere else whatever it says.

use super::{Ids, KEPT_BYTES, MAX_KEPT_BYTES};
use anyhow::{Context, Result, bail, ensure};
use rustix::{
    fs::{
        AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags,
        chmodat, chownat, fchmod, fchown, fsetxattr, futimens, linkat, mkdirat, mknodat, openat, openat2,
        symlinkat, syncfs, unlinkat, utimensat,
    },
    io::{self, Errno},
};
use std::{
    ffi::OsStr,
    fs::{File, remove_dir_all},
    mem,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::FileExt},
    },
    path::Path,
};
use tfgrid_client::snapshot::{
    CHUNK_BYTES, ImageId, Item, Kind, Part, Position, Step, TreeError, chunk_hash, parent_and_name,
};

/// Writes the tree that `next` tells until its end, and sees that it is on disk. Where the folder has the files of an
/// image, the tree is what differs from them.
///
/// # Errors
/// If it isn't a tree, is one of another image, ends early, or can't be written.
pub fn write_tree(
    root: &Path,
    ids: Ids,
    image: Option<ImageId>,
    next: &mut dyn FnMut() -> Option<Part>,
) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root =
        openat(CWD, root, flags, Mode::empty()).with_context(|| format!("can't open {}", root.display()))?;
    let mut writer = Writer {
        root,
        ids,
        image,
        position: Position::default(),
        open: None,
        parent: None,
        file: None,
        folders: Vec::new(),
        kept_bytes: 0,
    };
    loop {
        match next().context("the tree ends early")? {
            Part::Batch(steps) => writer.batch(steps)?,
            Part::Content(content) => writer.content(&content)?,
            Part::End => return writer.finish(),
        }
    }
}

struct Writer {
    root: OwnedFd,
    ids: Ids,
    /// The image whose files are there already.
    image: Option<ImageId>,
    position: Position,
    /// A batch whose content isn't there yet.
    open: Option<Open>,
    /// The folder that was used last.
    parent: Option<(Vec<u8>, OwnedFd)>,
    file: Option<OpenFile>,
    /// They get what isn't their content at last.
    folders: Vec<Item>,
    kept_bytes: usize,
}

struct Open {
    /// Steps, and how many bytes of a file each has.
    steps: Vec<(Step, u64)>,
    content: Vec<u8>,
    missing: usize,
}

struct OpenFile {
    file: File,
    item: Item,
    at: u64,
}

impl Writer {
    fn batch(&mut self, steps: Vec<Step>) -> Result<()> {
        ensure!(self.open.is_none(), "content is missing");
        let (mut sized, mut missing) = (Vec::new(), 0);
        for step in steps {
            let bytes = self.position.step(&step)?;
            if let Step::Chunks(_) = step {
                missing += usize::try_from(bytes)?;
            }
            sized.push((step, bytes));
        }
        if missing == 0 {
            return self.apply(sized, &[]);
        }
        self.open = Some(Open { steps: sized, content: Vec::with_capacity(missing), missing });
        Ok(())
    }

    fn content(&mut self, content: &[u8]) -> Result<()> {
        if content.is_empty() {
            return Ok(());
        }
        let open = self.open.as_mut().filter(|open| content.len() <= open.missing);
        let open = open.context("there is more content than chunks")?;
        open.content.extend(content);
        open.missing -= content.len();
        match self.open.take_if(|open| open.missing == 0) {
            Some(open) => self.apply(open.steps, &open.content),
            None => Ok(()),
        }
    }

    fn apply(&mut self, steps: Vec<(Step, u64)>, mut content: &[u8]) -> Result<()> {
        for (step, bytes) in steps {
            match step {
                Step::Item(item) => {
                    self.end_file()?;
                    let shown = String::from_utf8_lossy(&item.path).into_owned();
                    self.create(item).with_context(|| format!("can't write {shown:?}"))?;
                }
                // It is looked at with the root, which follows.
                Step::Image(_) => {}
                Step::Gone(path) => {
                    self.end_file()?;
                    let shown = || format!("can't remove {:?}", String::from_utf8_lossy(&path));
                    self.remove(&path).with_context(shown)?;
                }
                Step::Zeros(_) => {
                    self.file()?.at += bytes;
                }
                Step::Chunks(hashes) => {
                    let (here, rest) = content.split_at(usize::try_from(bytes)?);
                    content = rest;
                    let are_same = here.chunks(CHUNK_BYTES).map(chunk_hash).eq(hashes);
                    ensure!(are_same, "a chunk has another content than its hash says");
                    let open = self.file()?;
                    open.file.write_all_at(here, open.at)?;
                    open.at += bytes;
                }
            }
        }
        Ok(())
    }

    fn file(&mut self) -> Result<&mut OpenFile> {
        self.file.as_mut().context("content of no file")
    }

    fn create(&mut self, item: Item) -> Result<()> {
        if item.path.is_empty() {
            self.ensure_image()?;
            return self.keep(item);
        }
        let (folder, name) = parent_and_name(&item.path);
        self.enter(folder)?;
        let Some((_, parent)) = &self.parent else { bail!("no folder is open") };
        if self.image.is_some() {
            make_room(parent, name, item.kind == Kind::Folder)?;
        }
        match &item.kind {
            Kind::Folder => {
                match mkdirat(parent, name, Mode::RWXU) {
                    // It is one of the image's.
                    Err(Errno::EXIST) if self.image.is_some() => {}
                    made => made?,
                }
                return self.keep(item);
            }
            Kind::File(size) => {
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = File::from(openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?);
                file.set_len(*size)?;
                self.file = Some(OpenFile { file, item, at: 0 });
                return Ok(());
            }
            // The first name has the rest.
            Kind::Same(first) => {
                let (folder, first) = parent_and_name(first);
                let folder = beneath(&self.root, folder, OFlags::PATH)?;
                return Ok(linkat(&folder, first, parent, name, AtFlags::empty())?);
            }
            Kind::Link(text) => symlinkat(&text[..], parent, name)?,
            Kind::Pipe => mknodat(parent, name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?,
        }
        let (user, group) = self.owner(&item);
        chownat(parent, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
        if item.kind == Kind::Pipe {
            chmodat(parent, name, Mode::from_raw_mode(item.mode), AtFlags::empty())?;
        }
        Ok(utimensat(parent, name, &times(&item), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Fails unless the folder has the files of the image from which the tree differs.
    fn ensure_image(&self) -> Result<()> {
        match (self.position.image(), self.image) {
            (was, is) if was == is => Ok(()),
            (_, None) => bail!("it is the root of a machine, not the content of a volume"),
            (None, _) => bail!("it is the content of a volume, not the root of a machine"),
            (Some(had), Some(has)) => bail!(TreeError::OtherImage { had, has }),
        }
    }

    /// Removes what the image has there.
    fn remove(&mut self, path: &[u8]) -> Result<()> {
        let (folder, name) = parent_and_name(path);
        self.enter(folder)?;
        let Some((_, parent)) = &self.parent else { bail!("no folder is open") };
        make_room(parent, name, false)
    }

    /// Opens a folder of the tree, unless it was the last one.
    fn enter(&mut self, folder: &[u8]) -> Result<()> {
        if self.parent.as_ref().is_none_or(|(open, _)| open != folder) {
            self.parent = Some((folder.to_vec(), beneath(&self.root, folder, OFlags::PATH)?));
        }
        Ok(())
    }

    /// Keeps what a folder gets at last: what is made in it changes its time.
    fn keep(&mut self, folder: Item) -> Result<()> {
        let attributes = folder.attributes.iter().map(|(name, value)| name.len() + value.len());
        self.kept_bytes += folder.path.len() + attributes.sum::<usize>() + KEPT_BYTES;
        ensure!(self.kept_bytes <= MAX_KEPT_BYTES, "it has too many folders");
        self.folders.push(folder);
        Ok(())
    }

    fn end_file(&mut self) -> Result<()> {
        match self.file.take() {
            Some(OpenFile { file, item, .. }) => self.describe(file, &item),
            None => Ok(()),
        }
    }

    /// Gives an open item its owner, attributes, mode and time, in an order in which none undoes another.
    fn describe(&self, file: impl Into<OwnedFd>, item: &Item) -> Result<()> {
        let file = file.into();
        let (user, group) = self.owner(item);
        fchown(&file, Some(user), Some(group))?;
        for (name, value) in &item.attributes {
            fsetxattr(&file, &name[..], value, XattrFlags::empty())?;
        }
        fchmod(&file, Mode::from_raw_mode(item.mode))?;
        Ok(futimens(&file, &times(item))?)
    }

    fn owner(&self, item: &Item) -> (Uid, Gid) {
        (Uid::from_raw(self.ids.outside(item.user)), Gid::from_raw(self.ids.outside(item.group)))
    }

    fn finish(mut self) -> Result<()> {
        ensure!(self.open.is_none(), "content is missing");
        self.position.end()?;
        self.end_file()?;
        for folder in mem::take(&mut self.folders).iter().rev() {
            let open = beneath(&self.root, &folder.path, OFlags::RDONLY)?;
            self.describe(open, folder)?;
        }
        Ok(syncfs(&self.root)?)
    }
}

/// Opens a folder of the tree. No link is followed, and nothing leads out of it.
fn beneath(root: &OwnedFd, path: &[u8], access: OFlags) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { &b"."[..] } else { path };
    let flags = access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    openat2(root, path, flags, Mode::empty(), resolve)
}

/// Removes what is there, but no folder where one is to be. No link is followed.
fn make_room(parent: &OwnedFd, name: &[u8], for_folder: bool) -> Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR) if !for_folder => {
            let folder = Path::new("/proc/self/fd").join(parent.as_raw_fd().to_string());
            Ok(remove_dir_all(folder.join(OsStr::from_bytes(name)))?)
        }
        Err(Errno::ISDIR | Errno::NOENT) => Ok(()),
        removed => Ok(removed?),
    }
}

fn times(item: &Item) -> Timestamps {
    let (seconds, nanoseconds) = item.changed;
    let changed = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    Timestamps { last_access: changed, last_modification: changed }
}
