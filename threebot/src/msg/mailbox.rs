// SPDX-License-Identifier: Apache-2.0
//! Messages that have come. What is in the mailbox outlives a crash, and is in it once, however often it is sent.

use super::{now_ms, safe_name};
use crate::durable;
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    fs::{self, File, TryLockError},
    io::Write,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tfgrid_client::{
    peer::msg::{FileHead, MAX_TEXT_BYTES, MessageId, Refusal, RefusalCode, TwinMessage},
    primitives::TwinId,
};
use tokio::sync::watch;

/// Messages that nobody has read.
const MAX_UNREAD: usize = 1_000;
/// The same of one sender.
const MAX_UNREAD_OF_SENDER: usize = 100;
/// Bytes of files that are still where they were received.
const MAX_BYTES: u64 = 256 << 20;
/// The same of one sender.
const MAX_BYTES_OF_SENDER: u64 = 64 << 20;
/// Messages that were read, and may be sent again until they expire.
const MAX_READ: usize = 100_000;
/// The same of one sender.
const MAX_READ_OF_SENDER: usize = 10_000;
/// What the name of a file ends with that is being received.
const PART: &str = ".part";

/// A message among those of all senders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key {
    pub from: TwinId,
    pub id: MessageId,
}

/// A text that isn't one.
#[derive(Debug, thiserror::Error)]
#[error(
    "a received message is named by its sender's twin and its id, such as 7-000102030405060708090a0b0c0d0e0f"
)]
pub struct NoKey;

impl Key {
    pub fn of(message: &TwinMessage) -> Self {
        Self { from: message.from, id: message.id }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from, self.id)
    }
}

impl FromStr for Key {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let (from, id) = text.split_once('-').ok_or(NoKey)?;
        Ok(Self { from: from.parse().map_err(|_| NoKey)?, id: id.parse().map_err(|_| NoKey)? })
    }
}

impl TryFrom<String> for Key {
    type Error = NoKey;

    fn try_from(text: String) -> Result<Self, NoKey> {
        text.parse()
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.to_string()
    }
}

/// A message in the mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    pub message: TwinMessage,
    pub at_ms: u64,
    /// Where its file is.
    pub file: Option<PathBuf>,
}

/// What is kept of a message that was read.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    expires_ms: u64,
    answer: Option<String>,
}

/// The messages of a twin's bot, in a folder that nobody else uses meanwhile.
pub struct Mailbox {
    folder: PathBuf,
    index: Mutex<Index>,
    changed: watch::Sender<()>,
    _lock: File,
}

#[derive(Default)]
struct Index {
    /// By the time at which they came.
    unread: BTreeMap<(u64, Key), TwinMessage>,
    /// When they expire.
    read: HashMap<Key, u64>,
    /// With the bytes of their files.
    arriving: BTreeMap<Key, u64>,
}

impl Index {
    fn is_unread(&self, key: &Key) -> bool {
        self.unread.keys().any(|(_, unread)| unread == key)
    }

    /// Whether there is room for a message.
    fn room(&self, from: TwinId) -> Result<(), &'static str> {
        let all = self.arriving.keys().chain(self.unread.keys().map(|(_, key)| key));
        let (count, of_sender) =
            all.fold((0, 0), |(count, own), key| (count + 1, own + usize::from(key.from == from)));
        let read_of_sender = self.read.keys().filter(|key| key.from == from).count();
        match () {
            () if of_sender >= MAX_UNREAD_OF_SENDER => {
                Err("too many messages of this sender wait to be read")
            }
            () if read_of_sender >= MAX_READ_OF_SENDER => {
                Err("too many messages of this sender haven't expired")
            }
            () if count >= MAX_UNREAD || self.read.len() >= MAX_READ => Err("the mailbox is full"),
            () => Ok(()),
        }
    }
}

/// A message that is sent.
pub enum Begun {
    /// It is in the mailbox already, or was.
    Known,
    New(Arrival),
}

impl Mailbox {
    /// Opens the mailbox in a folder, which is made if it isn't there.
    pub fn open(folder: &Path) -> Result<Arc<Self>> {
        for part in ["unread", "read", "files"] {
            durable::create_folder(&folder.join(part))?;
        }
        let lock = durable::create(&folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "another `threebot msg listen` uses {}: stop it first, or name another folder with --folder",
                folder.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("can't lock {}", folder.display()));
            }
        }
        let mailbox = Self {
            folder: folder.to_owned(),
            index: Mutex::default(),
            changed: watch::channel(()).0,
            _lock: lock,
        };
        mailbox.load()?;
        Ok(Arc::new(mailbox))
    }

    fn load(&self) -> Result<()> {
        // The files of messages are named by more than a key.
        for key in durable::names(&self.folder.join("files"), PART)? {
            if key.parse::<Key>().is_ok() {
                durable::remove(&self.folder.join("files").join(format!("{key}{PART}")))?;
            }
        }
        let mut index = self.index();
        for key in self.keys("read")? {
            if let Some(known) = durable::read::<Known>(&self.read_file(&key))? {
                index.read.insert(key, known.expires_ms);
            }
        }
        for key in self.keys("unread")? {
            // A crash came between the two steps of reading it.
            if index.read.contains_key(&key) {
                durable::remove(&self.unread_file(&key))?;
            } else if let Some(received) = durable::read::<Received>(&self.unread_file(&key))? {
                index.unread.insert((received.at_ms, key), received.message);
            }
        }
        Ok(())
    }

    fn keys(&self, part: &str) -> Result<Vec<Key>> {
        let names = durable::names(&self.folder.join(part), ".json")?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unread_file(&self, key: &Key) -> PathBuf {
        self.folder.join("unread").join(format!("{key}.json"))
    }

    fn read_file(&self, key: &Key) -> PathBuf {
        self.folder.join("read").join(format!("{key}.json"))
    }

    /// Resolves to a change of what is in the mailbox.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Begins to take a message.
    ///
    /// # Errors
    /// If there is no room for it now.
    pub fn begin(self: &Arc<Self>, message: &TwinMessage) -> Result<Begun, Refusal> {
        let refused = |why: &str| Refusal { code: RefusalCode::TooMany, message: why.into() };
        let key = Key::of(message);
        let bytes = message.file.as_ref().map_or(0, |file| file.bytes);
        let mut index = self.index();
        let now = now_ms();
        for (key, _) in index.read.extract_if(|_, expires_ms| *expires_ms < now) {
            // It is tried again once the mailbox is opened.
            let _ = durable::remove(&self.read_file(&key));
        }
        if index.read.contains_key(&key) || index.is_unread(&key) {
            return Ok(Begun::Known);
        }
        if index.arriving.contains_key(&key) {
            return Err(refused("the same message is being received"));
        }
        index.room(key.from).map_err(refused)?;
        if bytes > 0 {
            self.room_for_file(&index, key.from, bytes).map_err(refused)?;
        }
        index.arriving.insert(key, bytes);
        let part = self.folder.join("files").join(format!("{key}{PART}"));
        Ok(Begun::New(Arrival { mailbox: self.clone(), key, part }))
    }

    /// Whether there is room for a file of so many bytes beside those that are there or being received.
    fn room_for_file(&self, index: &Index, from: TwinId, bytes: u64) -> Result<(), &'static str> {
        let of = |file: fs::DirEntry| {
            let name = file.file_name().into_string().ok()?;
            let of_sender = name.starts_with(&format!("{from}-"));
            // They count as they were announced.
            let is_part = name.strip_suffix(PART).is_some_and(|key| key.parse::<Key>().is_ok());
            let bytes = if is_part { 0 } else { file.metadata().ok()?.len() };
            Some((of_sender, bytes))
        };
        let files = fs::read_dir(self.folder.join("files")).into_iter().flatten().flatten().filter_map(of);
        let arriving = index.arriving.iter().map(|(key, bytes)| (key.from == from, *bytes));
        let add = |(all, own): (u64, u64), (of_sender, bytes): (bool, u64)| {
            (all.saturating_add(bytes), own.saturating_add(if of_sender { bytes } else { 0 }))
        };
        let (all, own) = files.chain(arriving).fold((bytes, bytes), add);
        match () {
            () if own > MAX_BYTES_OF_SENDER => Err("too many files of this sender are in the mailbox"),
            () if all > MAX_BYTES => Err("the mailbox is full of files"),
            () => Ok(()),
        }
    }

    /// The unread messages that aren't among these, in the order in which they came.
    pub fn unread(&self, beside: &BTreeSet<Key>) -> Result<Vec<Received>> {
        let keys: Vec<Key> = self.index().unread.keys().map(|(_, key)| *key).collect();
        let wanted = keys.into_iter().filter(|key| !beside.contains(key));
        wanted.filter_map(|key| durable::read(&self.unread_file(&key)).transpose()).collect()
    }

    /// Marks a message as read.
    pub fn done(&self, key: &Key) -> Result<()> {
        self.finish(key, None)
    }

    /// Keeps the answer to a request, which is read by that. The first answer stays.
    pub fn answer(&self, key: &Key, text: String) -> Result<()> {
        ensure!(text.len() <= MAX_TEXT_BYTES, "an answer has {MAX_TEXT_BYTES} bytes at most");
        self.finish(key, Some(text))?;
        self.changed.send_replace(());
        Ok(())
    }

    /// Marks a message as read together with its answer: a crash leaves no request that is read and has none.
    fn finish(&self, key: &Key, answer: Option<String>) -> Result<()> {
        let mut index = self.index();
        let unread = index.unread.iter().find(|((_, unread), _)| unread == key);
        if let Some((place, expires_ms)) = unread.map(|(place, message)| (*place, message.expires_ms)) {
            durable::write(&self.read_file(key), &Known { expires_ms, answer })?;
            durable::remove(&self.unread_file(key))?;
            index.unread.remove(&place);
            index.read.insert(*key, expires_ms);
            return Ok(());
        }
        let known = durable::read::<Known>(&self.read_file(key))?;
        let known = known.with_context(|| format!("no message {key} was received, or it has expired"))?;
        if answer.is_some() && known.answer.is_none() {
            durable::write(&self.read_file(key), &Known { answer, ..known })?;
        }
        Ok(())
    }

    /// The answer to a request, once there is one.
    pub fn answer_of(&self, key: &Key) -> Result<Option<String>> {
        Ok(durable::read::<Known>(&self.read_file(key))?.and_then(|known| known.answer))
    }
}

/// A message that is being received, until this is dropped.
pub struct Arrival {
    mailbox: Arc<Mailbox>,
    key: Key,
    /// Where the bytes of its file go.
    part: PathBuf,
}

impl Arrival {
    /// Begins its file.
    pub fn file(&self, head: &FileHead) -> Result<ArrivingFile> {
        Ok(ArrivingFile { file: durable::create(&self.part)?, left: head.bytes })
    }

    /// Puts it into the mailbox for good.
    pub fn store(&self, message: TwinMessage, file: Option<ArrivingFile>) -> Result<()> {
        let mailbox = &self.mailbox;
        let place = match (&message.file, file) {
            (Some(head), Some(ArrivingFile { file, left })) => {
                ensure!(left == 0, "{left} bytes of its file are missing");
                let name = format!("{}-{}", self.key, safe_name(&head.name));
                let place = mailbox.folder.join("files").join(name);
                durable::publish(&file, &self.part, &place)?;
                Some(place)
            }
            _ => None,
        };
        let at_ms = now_ms();
        let received = Received { message: message.clone(), at_ms, file: place };
        durable::write(&mailbox.unread_file(&self.key), &received)?;
        mailbox.index().unread.insert((at_ms, self.key), message);
        mailbox.changed.send_replace(());
        Ok(())
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.mailbox.index().arriving.remove(&self.key);
        // It is tried again once the mailbox is opened.
        let _ = durable::remove(&self.part);
    }
}

/// A file of which not all bytes may have come.
pub struct ArrivingFile {
    file: File,
    left: u64,
}

impl ArrivingFile {
    /// Bytes that are to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// If they are more than the sender has said, or can't be written.
    pub fn add(&mut self, bytes: &[u8]) -> Result<()> {
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.context("there are more bytes of the file than was said")?;
        self.file.write_all(bytes).context("can't write the file of a message")
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::time::Duration;

    pub fn message(number: u8) -> TwinMessage {
        let expires_ms = now_ms() + 60_000;
        TwinMessage {
            id: MessageId([number; 16]),
            from: 7,
            to: 9,
            expires_ms,
            text: format!("message {number}"),
            file: None,
            request: false,
        }
    }

    fn new(mailbox: &Arc<Mailbox>, message: &TwinMessage) -> Arrival {
        match mailbox.begin(message) {
            Ok(Begun::New(arrival)) => arrival,
            Ok(Begun::Known) => panic!("it is known"),
            Err(refusal) => panic!("{refusal}"),
        }
    }

    fn texts(mailbox: &Mailbox) -> Vec<String> {
        let unread = mailbox.unread(&BTreeSet::new()).unwrap();
        unread.into_iter().map(|received| received.message.text).collect()
    }

    fn refusal(begun: Result<Begun, Refusal>) -> String {
        begun.err().expect("it is refused").message
    }

    #[test]
    fn a_message_is_read_once_however_often_it_comes() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (message(1), message(2));
        let open = || Mailbox::open(folder.path()).unwrap();
        let mailbox = open();
        new(&mailbox, &first).store(first.clone(), None).unwrap();
        // Killed before it was acknowledged, and sent again.
        drop(mailbox);
        let mailbox = open();
        assert!(matches!(mailbox.begin(&first), Ok(Begun::Known)));
        new(&mailbox, &second).store(second.clone(), None).unwrap();
        assert_eq!(texts(&mailbox), ["message 1", "message 2"]);
        mailbox.done(&Key::of(&first)).unwrap();
        // Killed after it was read.
        drop(mailbox);
        let mailbox = open();
        assert!(matches!(mailbox.begin(&first), Ok(Begun::Known)));
        assert_eq!(texts(&mailbox), ["message 2"]);
        let unknown = Key { from: 8, ..Key::of(&first) };
        assert!(mailbox.done(&unknown).unwrap_err().to_string().contains("no message 8-0101"));
    }

    #[test]
    fn a_crash_between_the_steps_of_reading_reads_once() {
        let folder = tempfile::tempdir().unwrap();
        let first = message(1);
        let mailbox = Mailbox::open(folder.path()).unwrap();
        new(&mailbox, &first).store(first.clone(), None).unwrap();
        let unread = mailbox.unread_file(&Key::of(&first));
        let stored = fs::read(&unread).unwrap();
        mailbox.done(&Key::of(&first)).unwrap();
        fs::write(&unread, stored).unwrap();
        drop(mailbox);
        let mailbox = Mailbox::open(folder.path()).unwrap();
        assert!(texts(&mailbox).is_empty() && !unread.exists());
    }

    #[test]
    fn a_file_that_is_cut_or_too_long_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mailbox = Mailbox::open(folder.path()).unwrap();
        let head = FileHead { name: "../a.txt".into(), bytes: 3 };
        let with_file = TwinMessage { file: Some(head.clone()), ..message(1) };
        let arrival = new(&mailbox, &with_file);
        let same = refusal(mailbox.begin(&with_file));
        assert!(same.contains("is being received"), "{same}");
        let mut file = arrival.file(&head).unwrap();
        file.add(b"ab").unwrap();
        assert!(file.add(b"cd").unwrap_err().to_string().contains("more bytes"));
        let error = arrival.store(with_file.clone(), Some(file)).unwrap_err().to_string();
        assert!(error.contains("1 bytes of its file are missing"), "{error}");
        drop(arrival);
        assert_eq!(fs::read_dir(folder.path().join("files")).unwrap().count(), 0);

        let arrival = new(&mailbox, &with_file);
        let mut file = arrival.file(&head).unwrap();
        file.add(b"abc").unwrap();
        arrival.store(with_file, Some(file)).unwrap();
        drop(arrival);
        let received = mailbox.unread(&BTreeSet::new()).unwrap().pop().unwrap();
        let place = received.file.unwrap();
        assert!(
            place.starts_with(folder.path().join("files")) && place.to_string_lossy().ends_with("-a.txt")
        );
        assert_eq!(fs::read(place).unwrap(), b"abc");
    }

    #[test]
    fn one_sender_leaves_room_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let mailbox = Mailbox::open(folder.path()).unwrap();
        let arriving: Vec<_> = (0..100).map(|number| new(&mailbox, &message(number))).collect();
        let full = refusal(mailbox.begin(&message(100)));
        assert!(full.contains("too many messages of this sender"), "{full}");
        let other = TwinMessage { from: 8, ..message(100) };
        assert!(matches!(mailbox.begin(&other), Ok(Begun::New(_))));
        drop(arriving);
        assert!(matches!(mailbox.begin(&message(100)), Ok(Begun::New(_))));
        let expires_ms = now_ms() + 60_000;
        let read = (0..MAX_READ_OF_SENDER as u128).map(|number| MessageId(number.to_be_bytes()));
        mailbox.index().read.extend(read.map(|id| (Key { from: 7, id }, expires_ms)));
        let full = refusal(mailbox.begin(&message(100)));
        assert!(full.contains("haven't expired"), "{full}");
        assert!(matches!(mailbox.begin(&other), Ok(Begun::New(_))));
    }

    #[test]
    fn files_of_one_sender_leave_room_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let mailbox = Mailbox::open(folder.path()).unwrap();
        let with_file = |from, number| {
            let file = Some(FileHead { name: "a".into(), bytes: MAX_BYTES_OF_SENDER / 4 });
            TwinMessage { from, file, ..message(number) }
        };
        // One is there, the others are announced.
        let there = folder.path().join(format!("files/{}-a", Key::of(&with_file(7, 0))));
        File::create(there).unwrap().set_len(MAX_BYTES_OF_SENDER / 4).unwrap();
        let mut arriving: Vec<_> = (1..4).map(|number| new(&mailbox, &with_file(7, number))).collect();
        let full = refusal(mailbox.begin(&with_file(7, 4)));
        assert!(full.contains("files of this sender"), "{full}");
        for from in 8..11 {
            arriving.extend((0..4).map(|number| new(&mailbox, &with_file(from, number))));
        }
        let full = refusal(mailbox.begin(&with_file(11, 0)));
        assert!(full.contains("full of files"), "{full}");
        arriving.pop();
        assert!(matches!(mailbox.begin(&with_file(11, 0)), Ok(Begun::New(_))));
    }

    #[test]
    fn a_file_that_came_stays_whatever_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let mailbox = Mailbox::open(folder.path()).unwrap();
        let head = FileHead { name: "song.part".into(), bytes: 3 };
        let with_file = TwinMessage { file: Some(head.clone()), ..message(1) };
        let arrival = new(&mailbox, &with_file);
        let mut file = arrival.file(&head).unwrap();
        file.add(b"abc").unwrap();
        arrival.store(with_file.clone(), Some(file)).unwrap();
        drop(arrival);
        // Killed while another one came.
        let cut = folder.path().join(format!("files/{}{PART}", Key::of(&message(2))));
        fs::write(&cut, "a").unwrap();
        drop(mailbox);
        let mailbox = Mailbox::open(folder.path()).unwrap();
        let received = mailbox.unread(&BTreeSet::new()).unwrap().pop().unwrap();
        assert_eq!(fs::read(received.file.unwrap()).unwrap(), b"abc");
        assert!(!cut.exists());
    }

    #[test]
    fn an_expired_message_is_forgotten_once_it_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let mailbox = Mailbox::open(folder.path()).unwrap();
        let old = TwinMessage { expires_ms: now_ms() + 20, ..message(1) };
        new(&mailbox, &old).store(old.clone(), None).unwrap();
        mailbox.done(&Key::of(&old)).unwrap();
        while now_ms() <= old.expires_ms {
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(new(&mailbox, &message(2)));
        assert!(!mailbox.read_file(&Key::of(&old)).exists());
    }

    #[test]
    fn the_first_answer_stays() {
        let folder = tempfile::tempdir().unwrap();
        let mailbox = Mailbox::open(folder.path()).unwrap();
        let request = TwinMessage { request: true, ..message(1) };
        let key = Key::of(&request);
        new(&mailbox, &request).store(request, None).unwrap();
        assert_eq!(mailbox.answer_of(&key).unwrap(), None);
        for text in ["yes", "no"] {
            mailbox.answer(&key, text.into()).unwrap();
        }
        assert_eq!(mailbox.answer_of(&key).unwrap().as_deref(), Some("yes"));
        assert!(texts(&mailbox).is_empty());
        let long = mailbox.answer(&key, "x".repeat(MAX_TEXT_BYTES + 1));
        assert!(long.unwrap_err().to_string().contains("8192 bytes"));
    }

    #[test]
    fn a_folder_has_one_listener() {
        let folder = tempfile::tempdir().unwrap();
        let _mailbox = Mailbox::open(folder.path()).unwrap();
        let error = Mailbox::open(folder.path()).err().unwrap().to_string();
        assert!(error.contains("another `threebot msg listen`"), "{error}");
    }

    #[test]
    fn a_key_is_written_as_it_is_read() {
        let key = Key { from: 7, id: MessageId([255; 16]) };
        assert_eq!(key.to_string().parse::<Key>().unwrap(), key);
        for wrong in ["", "7", "x-00", "7-../../a", "-7-00"] {
            assert!(wrong.parse::<Key>().is_err(), "{wrong}");
        }
    }
}
