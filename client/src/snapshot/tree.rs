// SPDX-License-Identifier: Apache-2.0
//! A tree of files as a sequence of steps.

use codec::{Decode, DecodeAll, Encode};

/// Bytes of a chunk; the last one of a file may be shorter. As long as a page of most databases, so that one that
/// changes moves no other.
pub const CHUNK_BYTES: usize = 8 * 1_024;
/// Chunks of a batch at most.
pub const BATCH_CHUNKS: usize = 1_024;
/// Bytes of an encoded batch at most, so that it fits a frame.
pub const MAX_BATCH_BYTES: usize = 60_000;
/// Bytes of content in a part at most.
pub const CONTENT_BYTES: usize = 7 * CHUNK_BYTES;
/// Bytes of a path at most.
pub const MAX_PATH_BYTES: usize = 4_095;
/// Bytes of a file's name at most.
pub const MAX_NAME_BYTES: usize = 255;
/// Bytes of an item's extended attributes at most, names and values.
pub const MAX_ATTRIBUTES_BYTES: usize = 16 * 1_024;
/// The highest id of a user or group that a machine has.
pub const MAX_ID: u32 = 65_535;
/// The bits of a mode that aren't the type.
const MODE_BITS: u32 = 0o7777;
/// Nanoseconds of a second.
const SECOND: u32 = 1_000_000_000;

/// Hash of a chunk's content: BLAKE3.
pub type ChunkHash = [u8; 32];

/// The hash of a chunk, by which it is known in a place and to the other end.
pub fn chunk_hash(chunk: &[u8]) -> ChunkHash {
    *blake3::hash(chunk).as_bytes()
}

/// Id of an image: the SHA-256 hash of its configuration, which names its layers.
pub type ImageId = [u8; 32];

/// What either end sends of a tree, in data frames, one part in each.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Part {
    /// The next steps. Those of a file go on in the next batch.
    Batch(Vec<Step>),
    /// Content of chunks of the first batch of which some is missing.
    Content(Vec<u8>),
    /// The tree is whole.
    End,
}

/// A step through a tree: folders come before what is in them, the root with an empty path first.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Step {
    /// The next item.
    Item(Item),
    /// So many chunks of the last file that have only zeros, and take no room.
    Zeros(u64),
    /// The next chunks of the last file.
    Chunks(Vec<ChunkHash>),
    /// Before all others: the tree is what differs from the files of this image, as a machine's root does.
    Image(ImageId),
    /// The image's item with this path isn't there, nor anything in it.
    Gone(Vec<u8>),
}

/// A file, a folder or the like, as machines see it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Item {
    /// Names with `/` between them, without one at either end.
    pub path: Vec<u8>,
    /// Whether it is a file, a folder or something else.
    pub kind: Kind,
    /// Its mode: the lower twelve bits of Unix, without the type.
    pub mode: u32,
    /// Id of its owner, as in the machine.
    pub user: u32,
    /// Id of its group, as in the machine.
    pub group: u32,
    /// When it was changed: seconds since 1970, and nanoseconds.
    pub changed: (i64, u32),
    /// Extended attributes of the class `user`.
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What an item is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file of so many bytes, of which steps follow.
    File(u64),
    /// A symbolic link with this text.
    Link(Vec<u8>),
    /// Another name of the item with this path, which came before.
    Same(Vec<u8>),
    /// A named pipe.
    Pipe,
}

/// A tree that isn't one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The part can't be read.
    #[error("a part of the tree can't be read: {0}")]
    Part(#[from] codec::Error),
    /// The path leads elsewhere, or is too long.
    #[error("the path {0:?} can't be one of a tree")]
    Path(String),
    /// A field of an item has a value that it can't have.
    #[error("{path:?} has a {field} that no file has")]
    Field {
        /// Its path.
        path: String,
        /// The field.
        field: &'static str,
    },
    /// A tree begins with its root, which is a folder and comes once.
    #[error("the tree doesn't begin with its root")]
    Root,
    /// Only what differs from an image has paths that are gone.
    #[error("{0:?} is said to be gone, and the tree is that of no image")]
    Gone(String),
    /// The root of a machine goes into one of the same image.
    #[error(
        "it is the root of a machine with another image, sha256:{}, and this one has sha256:{}: deploy the image that \
         it had, by its digest",
        hex::encode(.had),
        hex::encode(.has)
    )]
    OtherImage {
        /// The image of the machine whose root it is.
        had: ImageId,
        /// The image of the one into which it was to go.
        has: ImageId,
    },
    /// There is less content than the file's size, or more.
    #[error("the content of a file isn't as long as the file")]
    Length,
    /// A batch has more chunks than it may.
    #[error("a batch has more than {BATCH_CHUNKS} chunks")]
    Batch,
}

impl Part {
    /// Reads a part from the bytes of a data frame.
    ///
    /// # Errors
    /// If the bytes aren't one, or a batch has too many chunks.
    pub fn read(bytes: &[u8]) -> Result<Self, TreeError> {
        let part = Self::decode_all(&mut &*bytes)?;
        if let Self::Batch(steps) = &part {
            let chunks = steps.iter().map(|step| match step {
                Step::Chunks(hashes) => hashes.len(),
                Step::Item(_) | Step::Zeros(_) | Step::Image(_) | Step::Gone(_) => 0,
            });
            if chunks.fold(0, usize::saturating_add) > BATCH_CHUNKS {
                return Err(TreeError::Batch);
            }
        }
        Ok(part)
    }

    /// The bytes that [`Self::read`] reads.
    pub fn written(&self) -> Vec<u8> {
        self.encode()
    }
}

impl Item {
    /// Fails for what no machine could have written: a path that leads out of the tree, a mode with bits of a type, an
    /// owner that no machine has, attributes of other classes.
    ///
    /// # Errors
    /// [`TreeError`] with the path and the field.
    pub fn check(&self) -> Result<(), TreeError> {
        let path = String::from_utf8_lossy(&self.path);
        check_path(&self.path)?;
        let field = |field| TreeError::Field { path: path.clone().into_owned(), field };
        match &self.kind {
            Kind::Link(text) if text.is_empty() || text.len() > MAX_PATH_BYTES || text.contains(&0) => {
                return Err(field("text"));
            }
            Kind::Same(first) => {
                check_path(first)?;
                if first.is_empty() {
                    return Err(field("other name"));
                }
            }
            Kind::Folder | Kind::File(_) | Kind::Link(_) | Kind::Pipe => {}
        }
        if self.mode & !MODE_BITS != 0 {
            return Err(field("mode"));
        }
        if self.user > MAX_ID || self.group > MAX_ID {
            return Err(field("user or group"));
        }
        if self.changed.1 >= SECOND {
            return Err(field("time"));
        }
        let length = self.attributes.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        if length > MAX_ATTRIBUTES_BYTES || !self.attributes.iter().all(|(name, _)| is_attribute(name)) {
            return Err(field("extended attribute"));
        }
        Ok(())
    }
}

/// Whether an extended attribute is kept: those of the class `user`. The others are of the kernel or the host.
pub fn is_attribute(name: &[u8]) -> bool {
    name.starts_with(b"user.") && name.len() <= MAX_NAME_BYTES && !name.contains(&0)
}

/// A path stays in its tree: no name is empty or leads elsewhere.
fn check_path(path: &[u8]) -> Result<(), TreeError> {
    let is_name = |name: &[u8]| {
        !matches!(name, b"" | b"." | b"..") && name.len() <= MAX_NAME_BYTES && !name.contains(&0)
    };
    if path.len() <= MAX_PATH_BYTES && (path.is_empty() || path.split(|byte| *byte == b'/').all(is_name)) {
        return Ok(());
    }
    Err(TreeError::Path(String::from_utf8_lossy(path).into_owned()))
}

/// The folder of a path, empty for the root, and the name there.
pub fn parent_and_name(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// Steps of the next batch.
#[derive(Debug, Default)]
pub struct Batcher {
    steps: Vec<Step>,
    bytes: usize,
    chunks: usize,
}

impl Batcher {
    /// Adds an item, zeros or a single chunk. Returns the steps before it where a batch has no room for it too.
    pub fn push(&mut self, step: Step) -> Option<Vec<Step>> {
        let bytes = step.encoded_size();
        let chunks = usize::from(matches!(step, Step::Chunks(_)));
        let is_full = self.bytes + bytes > MAX_BATCH_BYTES || self.chunks + chunks > BATCH_CHUNKS;
        let full = is_full.then(|| self.finish());
        self.bytes += bytes;
        self.chunks += chunks;
        match (self.steps.last_mut(), &step) {
            (Some(Step::Zeros(last)), Step::Zeros(more)) => *last += more,
            (Some(Step::Chunks(last)), Step::Chunks(more)) => last.extend(more),
            _ => self.steps.push(step),
        }
        full
    }

    /// The steps of the last batch.
    pub fn finish(&mut self) -> Vec<Step> {
        std::mem::take(self).steps
    }
}

/// How far a sequence of steps is.
#[derive(Debug, Default)]
pub struct Position {
    has_begun: bool,
    image: Option<ImageId>,
    /// Bytes of the last file that are to come.
    left: u64,
}

impl Position {
    /// Takes the next step; returns how many bytes of the last file it stands for.
    ///
    /// # Errors
    /// If no tree goes on so: it doesn't begin with its root, or a file has more or less content than its size.
    pub fn step(&mut self, step: &Step) -> Result<u64, TreeError> {
        match step {
            Step::Item(item) => {
                self.end_file()?;
                item.check()?;
                let is_root = item.path.is_empty();
                if is_root == self.has_begun || (is_root && item.kind != Kind::Folder) {
                    return Err(TreeError::Root);
                }
                self.has_begun = true;
                self.left = if let Kind::File(size) = item.kind { size } else { 0 };
                Ok(0)
            }
            Step::Zeros(chunks) => self.take(*chunks),
            Step::Chunks(hashes) => self.take(hashes.len() as u64),
            Step::Image(image) => {
                if self.has_begun || self.image.is_some() {
                    return Err(TreeError::Root);
                }
                self.image = Some(*image);
                Ok(0)
            }
            Step::Gone(path) => {
                self.end_file()?;
                check_path(path)?;
                if !self.has_begun || path.is_empty() {
                    return Err(TreeError::Root);
                }
                if self.image.is_none() {
                    return Err(TreeError::Gone(String::from_utf8_lossy(path).into_owned()));
                }
                Ok(0)
            }
        }
    }

    /// The image from which the tree differs, if it is one that says so.
    pub fn image(&self) -> Option<ImageId> {
        self.image
    }

    /// Ends the tree here.
    ///
    /// # Errors
    /// If there was no root, or content of the last file is missing.
    pub fn end(&self) -> Result<(), TreeError> {
        self.end_file()?;
        if self.has_begun { Ok(()) } else { Err(TreeError::Root) }
    }

    fn end_file(&self) -> Result<(), TreeError> {
        if self.left == 0 { Ok(()) } else { Err(TreeError::Length) }
    }

    fn take(&mut self, chunks: u64) -> Result<u64, TreeError> {
        if chunks == 0 || chunks > self.left.div_ceil(CHUNK_BYTES as u64) {
            return Err(TreeError::Length);
        }
        let bytes = chunks.saturating_mul(CHUNK_BYTES as u64).min(self.left);
        self.left -= bytes;
        Ok(bytes)
    }
}

/// Which chunks of a batch are wanted, as bits, the first one lowest in the first byte.
pub fn wanted_bits(wanted: &[bool]) -> Vec<u8> {
    let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, bit| (byte << 1) | u8::from(*bit));
    wanted.chunks(8).map(byte).collect()
}

/// Whether the chunk with this index in its batch is wanted; one beyond the bits isn't.
pub fn is_wanted(bits: &[u8], chunk: usize) -> bool {
    bits.get(chunk / 8).is_some_and(|byte| (byte >> (chunk % 8)) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn item(path: &str, kind: Kind) -> Item {
        Item {
            path: path.into(),
            kind,
            mode: 0o644,
            user: 0,
            group: 0,
            changed: (0, 0),
            attributes: Vec::new(),
        }
    }

    #[test]
    fn a_path_that_leaves_the_tree_is_refused() {
        let long = format!("{}x", "a/".repeat(2_048));
        let name = "n".repeat(256);
        for path in ["/etc/passwd", "..", "a/../b", "a//b", "a/", ".", "./a", "a\0b", &long, &name] {
            let refused = item(path, Kind::Folder).check();
            assert!(matches!(refused, Err(TreeError::Path(_))), "{path}: {refused:?}");
            let refused = item("b", Kind::Same(path.into())).check();
            assert!(matches!(refused, Err(TreeError::Path(_))), "{path}: {refused:?}");
        }
        for path in ["", "a", "a/...", "a/b c/\u{fc}"] {
            item(path, Kind::Folder).check().unwrap();
        }
    }

    #[test]
    fn fields_that_no_file_has_are_refused() {
        let with = |change: &dyn Fn(&mut Item)| {
            let mut changed = item("a", Kind::File(0));
            change(&mut changed);
            changed.check()
        };
        for (field, refused) in [
            ("mode", with(&|item| item.mode = 0o100_644)),
            ("user or group", with(&|item| item.group = 65_536)),
            ("time", with(&|item| item.changed.1 = 1_000_000_000)),
            ("text", with(&|item| item.kind = Kind::Link(Vec::new()))),
            ("other name", with(&|item| item.kind = Kind::Same(Vec::new()))),
            (
                "extended attribute",
                with(&|item| item.attributes = vec![(b"trusted.zos.id".to_vec(), b"5".to_vec())]),
            ),
            (
                "extended attribute",
                with(&|item| item.attributes = vec![(b"user.x".to_vec(), vec![0; 16_384])]),
            ),
        ] {
            assert_eq!(refused, Err(TreeError::Field { path: "a".into(), field }));
        }
    }

    /// The bytes of a file of this size with these steps.
    fn steps(size: u64, steps: &[Step]) -> Result<u64, TreeError> {
        let mut position = Position::default();
        position.step(&Step::Item(item("", Kind::Folder)))?;
        position.step(&Step::Item(item("a", Kind::File(size))))?;
        let mut bytes = 0;
        for step in steps {
            bytes += position.step(step)?;
        }
        position.end()?;
        Ok(bytes)
    }

    #[test]
    fn the_content_of_a_file_is_as_long_as_the_file() {
        let chunks = |count| Step::Chunks(vec![[1; 32]; count]);
        assert_eq!(steps(8_193, &[Step::Zeros(1), chunks(1)]), Ok(8_193));
        assert_eq!(steps(0, &[]), Ok(0));
        for (size, wrong) in [
            (8_193, vec![chunks(1)]),
            (8_192, vec![chunks(2)]),
            (8_192, vec![Step::Zeros(u64::MAX)]),
            (0, vec![Step::Zeros(0)]),
        ] {
            assert_eq!(steps(size, &wrong), Err(TreeError::Length), "{size} {wrong:?}");
        }
    }

    #[test]
    fn a_tree_begins_with_its_root() {
        let mut position = Position::default();
        assert_eq!(position.end(), Err(TreeError::Root));
        assert_eq!(position.step(&Step::Item(item("a", Kind::Folder))), Err(TreeError::Root));
        assert_eq!(position.step(&Step::Item(item("", Kind::File(0)))), Err(TreeError::Root));
        position.step(&Step::Item(item("", Kind::Folder))).unwrap();
        assert_eq!(position.step(&Step::Item(item("", Kind::Folder))), Err(TreeError::Root));
    }

    #[test]
    fn only_what_differs_from_an_image_has_paths_that_are_gone() {
        let root = || Step::Item(item("", Kind::Folder));
        let gone = |path: &str| Step::Gone(path.into());
        let all = |steps: &[Step]| {
            let mut position = Position::default();
            steps.iter().try_for_each(|step| position.step(step).map(drop))?;
            position.end().map(|()| position.image())
        };
        let file = Step::Item(item("a", Kind::File(1)));
        assert_eq!(all(&[root()]), Ok(None));
        assert_eq!(all(&[Step::Image([7; 32]), root(), gone("etc/motd")]), Ok(Some([7; 32])));
        assert_eq!(all(&[root(), gone("a")]), Err(TreeError::Gone("a".into())));
        for wrong in [
            vec![Step::Image([7; 32]), Step::Image([7; 32]), root()],
            vec![root(), Step::Image([7; 32])],
            vec![Step::Image([7; 32]), gone("a"), root()],
            vec![Step::Image([7; 32]), root(), gone("")],
            vec![Step::Image([7; 32])],
        ] {
            assert_eq!(all(&wrong), Err(TreeError::Root), "{wrong:?}");
        }
        assert_eq!(all(&[Step::Image([7; 32]), root(), file, gone("b")]), Err(TreeError::Length));
        let out = all(&[Step::Image([7; 32]), root(), gone("../b")]);
        assert!(matches!(out, Err(TreeError::Path(_))), "{out:?}");
    }

    #[test]
    fn a_batch_with_too_many_chunks_is_refused() {
        let batch = |count| Part::Batch(vec![Step::Chunks(vec![[1; 32]; count])]).encode();
        assert!(Part::read(&batch(BATCH_CHUNKS)).is_ok());
        assert_eq!(Part::read(&batch(BATCH_CHUNKS + 1)), Err(TreeError::Batch));
        assert!(matches!(Part::read(&[9]), Err(TreeError::Part(_))));
        assert!(matches!(Part::read(&[2, 2]), Err(TreeError::Part(_))), "something follows");
    }

    #[test]
    fn full_batches_fit_a_frame() {
        let mut batcher = Batcher::default();
        let long =
            Item { attributes: vec![(b"user.x".to_vec(), vec![0; 16_000])], ..item("a", Kind::File(1)) };
        let mut batches = Vec::new();
        for _ in 0..10 {
            batches.extend(batcher.push(Step::Item(long.clone())));
            batches.extend(batcher.push(Step::Zeros(1)));
        }
        batches.extend((0..3_000).filter_map(|_| batcher.push(Step::Chunks(vec![[1; 32]]))));
        batches.push(batcher.finish());
        for steps in &batches {
            let bytes = Part::Batch(steps.clone()).encode();
            assert!(
                !steps.is_empty() && bytes.len() <= crate::peer::frame::MAX_FRAME_BYTES,
                "{}",
                bytes.len()
            );
            Part::read(&bytes).unwrap();
        }
        let steps = batches.concat();
        let items = steps.iter().filter(|step| matches!(step, Step::Item(_))).count();
        let chunks = steps.iter().filter_map(|step| match step {
            Step::Chunks(hashes) => Some(hashes.len()),
            Step::Item(_) | Step::Zeros(_) | Step::Image(_) | Step::Gone(_) => None,
        });
        assert_eq!((items, chunks.sum()), (10, 3_000));
    }

    proptest! {
        #[test]
        fn bits_say_what_is_wanted(wanted in prop::collection::vec(any::<bool>(), 0..40)) {
            let bits = wanted_bits(&wanted);
            prop_assert_eq!(bits.len(), wanted.len().div_ceil(8));
            for (chunk, wanted) in wanted.iter().enumerate() {
                prop_assert_eq!(is_wanted(&bits, chunk), *wanted);
            }
            prop_assert!(!is_wanted(&bits, 8 * bits.len()));
        }

        #[test]
        fn any_bytes_are_a_part_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            if let Ok(part) = Part::read(&bytes) {
                prop_assert_eq!(Part::read(&part.encode()), Ok(part));
            }
        }
    }
}
