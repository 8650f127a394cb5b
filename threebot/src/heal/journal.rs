// SPDX-License-Identifier: Apache-2.0
//! What a bot remembers, in a folder of its own: copies of bodies, and each move before it is made.
//!
//! Each record is a file that is replaced at once, so a crash at any instant leaves the old or the new one.

use super::{Message, Times};
use crate::durable::{self, read, remove};
use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use tfgrid_client::{
    deployment::{LastSnapshot, Replaces},
    primitives::{Body, ContractId, NodeId, Resources, UnixSeconds, UsdRate},
};

const COPIES: &str = "copies";
const MOVES: &str = "moves";
const SAID: &str = "said.json";
const CHAIN: &str = "chain.json";
const RESTORED: &str = "restored.json";
/// Keeps other bots from the folder; it stays there.
const LOCK: &str = "lock";
const MESSAGES: &str = "messages.jsonl";
/// Beyond this a new file is begun; the one before it is kept, too.
const MAX_LOG_BYTES: u64 = 4 << 20;

/// A part of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartName {
    pub application: String,
    pub part: String,
}

/// What is known of a contract beside its body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    pub contract: ContractId,
    pub node: NodeId,
    pub resources: Resources,
    pub public_ips: u8,
    /// In hex.
    pub body_hash: String,
    pub part: Option<PartName>,
    /// Names of its volumes.
    pub volumes: BTreeSet<String>,
    /// Names of its machines; `None` in a copy from before they were kept.
    pub machines: Option<BTreeSet<String>>,
    /// What it has taken the place of.
    pub replaces: Option<Replaces>,
    /// Whether the bot's key opens what is sealed of it.
    pub is_readable: bool,
    /// When it was seen first.
    pub since: UnixSeconds,
}

/// The file of a copy. What is sealed on the chain is sealed here.
#[derive(Serialize, Deserialize)]
struct CopyFile {
    kept: Kept,
    is_sealed: bool,
    /// In hex.
    body: String,
}

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Its transaction may have been sent.
    Intended,
    /// The chain has the new contract. It has yet to run, and to get the last snapshot if there is one.
    Created { new: ContractId },
    /// The new contract runs, with what was restored.
    Done { new: ContractId },
    /// The new contract has closed before it ran.
    Failed { new: ContractId },
}

/// A contract that is moved to another node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Move {
    pub old: ContractId,
    pub from: NodeId,
    pub to: NodeId,
    pub why: String,
    /// In 1e-10 USD per hour.
    pub rate: UsdRate,
    /// Hash of the new contract's body, in hex.
    pub body_hash: String,
    /// Whether the journal alone prevents a second move of the same contract.
    pub is_alone: bool,
    /// The newest contract of which there was a copy before it.
    pub newest: ContractId,
    /// Number and time of the block that it was decided at.
    pub block: u64,
    pub at: UnixSeconds,
    pub step: Step,
}

impl Move {
    pub fn new_contract(&self) -> Option<ContractId> {
        match self.step {
            Step::Intended => None,
            Step::Created { new } | Step::Done { new } | Step::Failed { new } => Some(new),
        }
    }

    /// Whether nothing is left to do.
    pub fn is_over(&self) -> bool {
        matches!(self.step, Step::Done { .. } | Step::Failed { .. })
    }
}

/// When the last snapshot of each volume and machine of a contract was taken.
pub type Saved = BTreeMap<ContractId, Times>;

/// All records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    pub copies: BTreeMap<ContractId, Kept>,
    /// By the old contract.
    pub moves: BTreeMap<ContractId, Move>,
    /// Not kept in a file: the place of snapshots has them.
    pub snapshots: Saved,
    /// Whether the place of snapshots hasn't answered yet, so that they aren't known.
    pub is_blind: bool,
    /// Whether snapshots have the roots of machines, too. Not kept in a file: the mandate says it.
    pub with_roots: bool,
    /// Contracts whose volumes have their snapshots.
    pub restored: BTreeSet<ContractId>,
    /// What was said last about each matter, so that it is said once.
    pub said: BTreeMap<String, String>,
}

impl Memory {
    /// Names of what snapshots of a contract are to have: its volumes, and its machines where roots are saved.
    pub fn data<'a>(&self, kept: &'a Kept) -> impl Iterator<Item = &'a String> {
        let machines = kept.machines.as_ref().filter(|_| self.with_roots);
        kept.volumes.iter().chain(machines.into_iter().flatten())
    }

    pub fn has_data(&self, kept: &Kept) -> bool {
        self.data(kept).next().is_some()
    }

    /// The contracts that were moved one after the other until there was this one, newest first, itself included.
    pub fn line_of(&self, contract: ContractId) -> Vec<ContractId> {
        let before = |contract| {
            let its_move = self.moves.values().find(|it| it.new_contract() == Some(contract));
            let replaces = || self.copies.get(&contract)?.replaces.map(|replaces| replaces.contract);
            its_move.map(|it| it.old).or_else(replaces)
        };
        let mut line = vec![contract];
        while let Some(older) = line.last().and_then(|newest| before(*newest)) {
            if line.contains(&older) {
                break;
            }
            line.push(older);
        }
        line
    }

    /// The contract whose last snapshot has what this one had: itself, or one before it.
    pub fn source_of(&self, contract: ContractId) -> Option<ContractId> {
        let awaited = || self.copies.get(&contract)?.replaces?.snapshot.map(|snapshot| snapshot.contract);
        let mut line = self.line_of(contract).into_iter().chain(awaited());
        line.find(|older| self.snapshots.contains_key(older))
    }

    /// That snapshot.
    pub fn last_snapshot(&self, contract: ContractId) -> Option<LastSnapshot> {
        let source = self.source_of(contract)?;
        let taken_at = self.snapshots.get(&source)?.values().max().copied()?;
        Some(LastSnapshot { contract: source, taken_at })
    }

    /// The volumes of a contract, and what else is to be saved of it, that no snapshot has.
    pub fn unsaved<'a>(&self, kept: &'a Kept) -> Vec<&'a str> {
        let saved = self.source_of(kept.contract).and_then(|source| self.snapshots.get(&source));
        let is_saved = |name: &&String| saved.is_some_and(|saved| saved.contains_key(*name));
        self.data(kept).filter(|name| !is_saved(name)).map(String::as_str).collect()
    }

    /// The oldest of the times at which the last snapshots of a contract's data were taken; `None` if there is none of
    /// a part of it.
    pub fn saved_at(&self, kept: &Kept) -> Option<UnixSeconds> {
        let saved = self.snapshots.get(&kept.contract)?;
        self.data(kept).map(|name| saved.get(name).copied()).min().flatten()
    }

    /// The snapshot that a contract of another bot may still lack: its body names it, and no record has it restored.
    pub fn awaited(&self, kept: &Kept) -> Option<LastSnapshot> {
        let contract = kept.contract;
        let is_own = || self.moves.values().any(|it| it.new_contract() == Some(contract));
        let is_there = self.restored.contains(&contract) || self.snapshots.contains_key(&contract);
        kept.replaces?.snapshot.filter(|_| self.has_data(kept) && !is_there && !is_own())
    }

    /// Whether a contract is a new one that has yet to get what it is to have.
    pub fn is_incomplete(&self, contract: ContractId) -> bool {
        self.moves.values().any(|it| it.step == Step::Created { new: contract })
            || self.copies.get(&contract).is_some_and(|kept| self.awaited(kept).is_some())
    }

    /// The new contract of a move that has begun, if the chain has it: it has the body, is younger, and of no other
    /// move.
    pub fn outcome_of(&self, begun: &Move) -> Option<ContractId> {
        let is_taken = |contract| self.moves.values().any(|other| other.new_contract() == Some(contract));
        let mut younger = self.copies.range(begun.newest.saturating_add(1)..).map(|(_, kept)| kept);
        let is_it = |kept: &&Kept| {
            kept.node == begun.to && kept.body_hash == begun.body_hash && !is_taken(kept.contract)
        };
        younger.find(is_it).map(|kept| kept.contract)
    }
}

/// The records and their folder.
pub struct Journal {
    folder: PathBuf,
    pub memory: Memory,
    /// Held while a bot uses the folder.
    _lock: Option<File>,
}

impl Journal {
    /// Opens the folder for the bot itself; creates it if it is missing.
    ///
    /// # Errors
    /// If another bot uses it, or a record is damaged.
    pub fn open(folder: &Path) -> Result<Self> {
        let lock = lock(folder)?;
        Ok(Self { _lock: Some(lock), ..Self::look(folder)? })
    }

    /// Reads the records while a bot may use them.
    ///
    /// # Errors
    /// If no bot has ever used the folder, or a record is damaged.
    pub fn look(folder: &Path) -> Result<Self> {
        if !folder.join(LOCK).exists() {
            bail!("{} isn't the folder of a bot: name the --state of its `threebot heal`", folder.display());
        }
        let by_contract = |copy: CopyFile| (copy.kept.contract, copy.kept);
        let copies = read_all(&folder.join(COPIES))?.into_iter().map(by_contract).collect();
        let moves = read_all(&folder.join(MOVES))?.into_iter().map(|it: Move| (it.old, it)).collect();
        let said = read(&folder.join(SAID))?.unwrap_or_default();
        let restored = read(&folder.join(RESTORED))?.unwrap_or_default();
        Ok(Self {
            folder: folder.into(),
            memory: Memory { copies, moves, said, restored, ..Memory::default() },
            _lock: None,
        })
    }

    /// Opens a copy of the records in another folder, for who must change nothing in this one.
    pub fn copied(folder: &Path, to: &Path) -> Result<Self> {
        for kind in [COPIES, MOVES] {
            for file in files(&folder.join(kind))? {
                copy(&file, &to.join(kind))?;
            }
        }
        for file in [SAID, CHAIN, RESTORED] {
            copy(&folder.join(file), to)?;
        }
        Self::open(to)
    }

    /// Fails if the folder is that of another chain; its first chain is its own.
    pub fn ensure_chain(&self, genesis: &str) -> Result<()> {
        let file = self.folder.join(CHAIN);
        match read::<String>(&file)? {
            Some(own) if own != genesis => {
                bail!("{} belongs to the chain {own}, and this is {genesis}", self.folder.display())
            }
            Some(_) => Ok(()),
            None => write(&file, &genesis),
        }
    }

    /// Fails at a finalized head that is older than one that was seen before.
    pub fn ensure_newer(&self, block: u64) -> Result<()> {
        let file = self.folder.join("head.json");
        let last = read::<u64>(&file)?.unwrap_or(0);
        if block < last {
            bail!(
                "the endpoint is behind block {last} that was seen before; if that one isn't of the chain, remove {}",
                file.display()
            );
        }
        write(&file, &block)
    }

    /// Keeps a copy of a contract's body.
    pub fn keep(&mut self, kept: Kept, body: &Body<Vec<u8>>) -> Result<()> {
        let is_sealed = matches!(body, Body::Sealed(_));
        let copy = CopyFile { kept: kept.clone(), is_sealed, body: hex::encode(body.bytes()) };
        write(&self.record(COPIES, kept.contract), &copy)?;
        self.memory.copies.insert(kept.contract, kept);
        Ok(())
    }

    /// The body of a copy.
    pub fn body(&self, contract: ContractId) -> Result<Body<Vec<u8>>> {
        let file = self.record(COPIES, contract);
        let copy: CopyFile =
            read(&file)?.with_context(|| format!("there is no copy of contract {contract}"))?;
        let bytes = hex::decode(&copy.body).with_context(|| format!("{} is damaged", file.display()))?;
        Ok(if copy.is_sealed { Body::Sealed(bytes) } else { Body::Plain(bytes) })
    }

    /// Removes a copy for good.
    pub fn forget(&mut self, contract: ContractId) -> Result<()> {
        remove(&self.record(COPIES, contract))?;
        self.memory.copies.remove(&contract);
        Ok(())
    }

    /// Writes down how far a move is.
    pub fn note(&mut self, it: Move) -> Result<()> {
        write(&self.record(MOVES, it.old), &it)?;
        self.memory.moves.insert(it.old, it);
        Ok(())
    }

    /// Strikes out a move that didn't come about.
    pub fn strike(&mut self, old: ContractId) -> Result<()> {
        remove(&self.record(MOVES, old))?;
        self.memory.moves.remove(&old);
        Ok(())
    }

    /// Writes down that a contract's volumes have their snapshots.
    pub fn note_restored(&mut self, contract: ContractId) -> Result<()> {
        let Memory { copies, restored, .. } = &mut self.memory;
        restored.retain(|contract| copies.contains_key(contract));
        restored.insert(contract);
        write(&self.folder.join(RESTORED), &self.memory.restored)
    }

    /// Whether this hasn't been said of a matter yet; then it counts as said.
    pub fn is_news(&mut self, matter: String, what: &str) -> Result<bool> {
        if self.memory.said.get(&matter).is_some_and(|said| said == what) {
            return Ok(false);
        }
        self.memory.said.insert(matter, what.into());
        self.write_said()?;
        Ok(true)
    }

    /// Forgets what was said of matters that aren't any more.
    pub fn retain_said(&mut self, is_one: impl Fn(&str) -> bool) -> Result<()> {
        let count = self.memory.said.len();
        self.memory.said.retain(|matter, _| is_one(matter));
        if self.memory.said.len() == count { Ok(()) } else { self.write_said() }
    }

    fn write_said(&self) -> Result<()> {
        write(&self.folder.join(SAID), &self.memory.said)
    }

    /// Adds a message to what was said.
    pub fn log(&self, message: &Message) -> Result<()> {
        let file = self.folder.join(MESSAGES);
        let append = || {
            if fs::metadata(&file).is_ok_and(|found| found.len() > MAX_LOG_BYTES) {
                fs::rename(&file, file.with_extension("old"))?;
            }
            let mut log = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&file)?;
            // A crash may have cut the last line, which would take this one with it.
            let mut last = *b"\n";
            if let Some(end) = log.metadata()?.len().checked_sub(1) {
                log.read_exact_at(&mut last, end)?;
            }
            let begin = if last == *b"\n" { "" } else { "\n" };
            writeln!(log, "{begin}{}", serde_json::to_string(message)?)?;
            log.sync_all()
        };
        append().with_context(|| format!("can't write {}", file.display()))
    }

    /// The last messages, oldest first.
    pub fn messages(&self, count: usize) -> Result<Vec<Message>> {
        let file = self.folder.join(MESSAGES);
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("can't read {}", file.display())),
        };
        // A crash may have cut the last line, also within a character.
        let lines = text.split(|byte| *byte == b'\n');
        let messages: Vec<Message> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
        Ok(messages[messages.len().saturating_sub(count)..].to_vec())
    }

    fn record(&self, kind: &str, contract: ContractId) -> PathBuf {
        self.folder.join(kind).join(format!("{contract}.json"))
    }
}

fn lock(folder: &Path) -> Result<File> {
    durable::create_folder(folder)?;
    let file = folder.join(LOCK);
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&file);
    let lock = lock.with_context(|| format!("can't open {}", file.display()))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            bail!("another `threebot heal` uses {}: choose another folder with --state", folder.display())
        }
        Err(error) => Err(error).with_context(|| format!("can't lock {}", file.display())),
    }
}

/// Replaces a record, in a folder that may not exist yet.
fn write<T: Serialize>(file: &Path, value: &T) -> Result<()> {
    durable::create_folder(file.parent().unwrap_or(Path::new(".")))?;
    durable::write(file, value)
}

fn read_all<T: DeserializeOwned>(folder: &Path) -> Result<Vec<T>> {
    let mut records = Vec::new();
    for file in files(folder)? {
        records.extend(read(&file)?);
    }
    Ok(records)
}

/// The files of the records in a folder, if there is one.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("can't read {}", folder.display())),
    };
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.with_context(|| format!("can't read {}", folder.display()))?.path();
        // Others are left of a crash.
        if file.extension().is_some_and(|extension| extension == "json") {
            files.push(file);
        }
    }
    Ok(files)
}

/// Copies a file into a folder, if it is there still.
fn copy(file: &Path, folder: &Path) -> Result<()> {
    durable::create_folder(folder)?;
    let name = file.file_name().unwrap_or_default();
    match fs::copy(file, folder.join(name)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("can't copy {}", file.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    pub fn kept(contract: ContractId, node: NodeId) -> Kept {
        Kept {
            contract,
            node,
            resources: Resources::ZERO,
            public_ips: 0,
            body_hash: format!("hash of {contract}"),
            part: None,
            volumes: BTreeSet::new(),
            machines: Some(["web".to_owned()].into()),
            replaces: None,
            is_readable: true,
            since: 0,
        }
    }

    /// The same with a volume `data`.
    pub fn kept_with_data(contract: ContractId, node: NodeId) -> Kept {
        Kept { volumes: ["data".to_owned()].into(), ..kept(contract, node) }
    }

    /// A snapshot of that.
    pub fn saved(at: UnixSeconds) -> Times {
        [("data".to_owned(), at)].into()
    }

    pub fn begun(old: ContractId) -> Move {
        Move {
            old,
            from: 1,
            to: 2,
            why: "node 1 is offline".into(),
            rate: 1,
            body_hash: "hash".into(),
            is_alone: false,
            newest: 9,
            block: 100,
            at: 1_000_000,
            step: Step::Intended,
        }
    }

    #[test]
    fn all_records_are_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let mut journal = Journal::open(&state).unwrap();
        let body = Body::Sealed(vec![1, 2, 3]);
        journal.keep(kept(7, 1), &body).unwrap();
        journal.keep(kept(8, 1), &Body::Plain(b"{}".to_vec())).unwrap();
        journal.note(begun(7)).unwrap();
        journal.note(begun(8)).unwrap();
        journal.note_restored(8).unwrap();
        journal.forget(8).unwrap();
        journal.strike(8).unwrap();
        journal.note_restored(7).unwrap();
        assert_eq!(journal.memory.restored, [7].into(), "the other one is forgotten");
        assert!(
            journal.is_news("funds".into(), "low").unwrap()
                && !journal.is_news("funds".into(), "low").unwrap()
        );
        let memory = journal.memory.clone();
        drop(journal);
        let journal = Journal::open(&state).unwrap();
        assert_eq!(journal.memory, memory);
        assert_eq!(journal.body(7).unwrap(), body);
        assert!(journal.body(8).is_err());
        let mode = fs::metadata(state.join("copies/7.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_copy_of_a_folder_changes_nothing_in_it() {
        let [folder, scratch] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let mut journal = Journal::open(folder.path()).unwrap();
        journal.keep(kept(7, 1), &Body::Plain(b"{}".to_vec())).unwrap();
        journal.note(begun(7)).unwrap();
        journal.ensure_chain("0x01").unwrap();
        let mut copied = Journal::copied(folder.path(), scratch.path()).unwrap();
        assert_eq!(copied.memory, journal.memory);
        assert!(copied.ensure_chain("0x02").is_err());
        copied.forget(7).unwrap();
        copied.strike(7).unwrap();
        assert_eq!(Journal::look(folder.path()).unwrap().memory, journal.memory);
        assert_eq!(journal.body(7).unwrap(), Body::Plain(b"{}".to_vec()));
        let none = folder.path().join("none");
        assert_eq!(Journal::copied(&none, &scratch.path().join("new")).unwrap().memory, Memory::default());
        assert!(!none.exists());
    }

    #[test]
    fn a_folder_of_no_bot_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = Journal::look(folder.path()).err().unwrap().to_string();
        assert!(error.contains("isn't the folder of a bot"), "{error}");
    }

    #[test]
    fn a_folder_has_one_bot_and_one_chain() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        let error = Journal::open(folder.path()).err().unwrap().to_string();
        assert!(error.contains("another `threebot heal`"), "{error}");
        assert!(Journal::look(folder.path()).is_ok());
        journal.ensure_chain("0x01").unwrap();
        assert!(journal.ensure_chain("0x01").is_ok() && journal.ensure_chain("0x02").is_err());
    }

    #[test]
    fn an_endpoint_that_is_behind_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        journal.ensure_newer(7).unwrap();
        assert!(journal.ensure_newer(7).is_ok() && journal.ensure_newer(6).is_err());
    }

    #[test]
    fn a_message_that_a_crash_has_cut_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        let message = Message { at: 1, kind: "held".into(), contract: None, text: "é".into() };
        journal.log(&message).unwrap();
        let line = serde_json::to_vec(&message).unwrap();
        let within = line.iter().position(|byte| !byte.is_ascii()).unwrap();
        let mut log = OpenOptions::new().append(true).open(folder.path().join(MESSAGES)).unwrap();
        log.write_all(&line[..=within]).unwrap();
        assert_eq!(journal.messages(9).unwrap(), [message.clone()]);
        let next = Message { at: 2, ..message.clone() };
        journal.log(&next).unwrap();
        assert_eq!(journal.messages(9).unwrap(), [message, next]);
    }

    #[test]
    fn a_damaged_record_is_named() {
        let folder = tempfile::tempdir().unwrap();
        drop(Journal::open(folder.path()).unwrap());
        fs::create_dir(folder.path().join("moves")).unwrap();
        fs::write(folder.path().join("moves/7.json"), "{").unwrap();
        let error = format!("{:#}", Journal::open(folder.path()).err().unwrap());
        assert!(error.contains("7.json is damaged"), "{error}");
    }

    #[test]
    fn the_outcome_of_a_move_is_of_no_other() {
        let mut memory = Memory::default();
        let like = |contract, hash: &str| Kept { body_hash: hash.into(), ..kept(contract, 2) };
        memory.copies = [like(5, "hash"), like(11, "other"), like(12, "hash"), like(13, "hash")]
            .map(|kept| (kept.contract, kept))
            .into();
        assert_eq!(memory.outcome_of(&begun(1)), Some(12));
        memory.moves.insert(3, Move { step: Step::Created { new: 12 }, ..begun(3) });
        assert_eq!(memory.outcome_of(&begun(1)), Some(13));
        assert_eq!(memory.outcome_of(&Move { to: 7, ..begun(1) }), None);
    }

    #[test]
    fn a_line_goes_back_over_all_moves() {
        let mut memory = Memory::default();
        memory.moves.insert(1, Move { step: Step::Done { new: 4 }, ..begun(1) });
        memory.moves.insert(4, Move { step: Step::Created { new: 9 }, ..begun(4) });
        assert_eq!(memory.line_of(9), [9, 4, 1]);
        memory.snapshots = [(1, saved(100)), (4, saved(200))].into();
        assert_eq!((memory.source_of(9), memory.source_of(1), memory.source_of(7)), (Some(4), Some(1), None));
        assert!(memory.is_incomplete(9) && !memory.is_incomplete(4));
        assert_eq!(memory.line_of(7), [7]);
    }

    #[test]
    fn what_another_bot_has_moved_awaits_its_snapshot() {
        let snapshot = Some(LastSnapshot { contract: 1, taken_at: 100 });
        let replaces = Some(Replaces { contract: 4, snapshot });
        let mut memory = Memory::default();
        memory.copies.insert(9, Kept { replaces, ..kept_with_data(9, 2) });
        let awaited = |memory: &Memory| memory.awaited(&memory.copies[&9]);
        assert!(awaited(&memory) == snapshot && memory.is_incomplete(9));
        assert_eq!(memory.line_of(9), [9, 4]);
        memory.snapshots.insert(1, saved(100));
        assert_eq!(memory.last_snapshot(9), snapshot, "what it awaits is all that there is");
        for has_it in [
            Memory { restored: [9].into(), ..memory.clone() },
            Memory { snapshots: [(9, saved(200))].into(), ..memory.clone() },
            Memory {
                moves: [(4, Move { step: Step::Done { new: 9 }, ..begun(4) })].into(),
                ..memory.clone()
            },
        ] {
            assert!(awaited(&has_it).is_none() && !has_it.is_incomplete(9));
        }
        let without = Some(Replaces { contract: 4, snapshot: None });
        memory.copies.insert(9, Kept { replaces: without, ..kept_with_data(9, 2) });
        assert_eq!(awaited(&memory), None);
    }

    #[test]
    fn a_volume_without_a_snapshot_is_named() {
        let mut memory = Memory::default();
        let two = Kept { volumes: ["cache", "data"].map(str::to_owned).into(), ..kept(7, 1) };
        assert_eq!(memory.unsaved(&two), ["cache", "data"]);
        memory.snapshots.insert(7, saved(100));
        assert_eq!((memory.unsaved(&two), memory.saved_at(&two)), (vec!["cache"], None));
        memory.snapshots.insert(7, [("cache".to_owned(), 50), ("data".to_owned(), 100)].into());
        assert_eq!((memory.unsaved(&two).len(), memory.saved_at(&two)), (0, Some(50)));
    }

    #[test]
    fn roots_are_data_where_the_mandate_saves_them() {
        let mut memory = Memory::default();
        let alone = kept(7, 1);
        assert!(!memory.has_data(&alone) && memory.unsaved(&alone).is_empty());
        memory.with_roots = true;
        assert!(memory.has_data(&alone));
        assert_eq!(memory.unsaved(&kept_with_data(7, 1)), ["data", "web"]);
        memory.snapshots.insert(7, [("data".to_owned(), 50), ("web".to_owned(), 100)].into());
        assert_eq!((memory.unsaved(&alone).len(), memory.saved_at(&alone)), (0, Some(100)));
        assert_eq!(memory.saved_at(&kept_with_data(7, 1)), Some(50));
        assert!(!memory.has_data(&Kept { machines: None, ..alone }));
    }
}
