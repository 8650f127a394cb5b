// SPDX-License-Identifier: Apache-2.0
//! Messages that `threebot msg listen` is to send.

use super::{Book, SendError, Sender, Ways, delay, now_ms};
use crate::durable;
use anyhow::{Context, Error, Result};
use serde::{Deserialize, Serialize};
use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tfgrid_client::peer::{
    LastingEndpoint,
    msg::{MessageId, TwinMessage},
};
use tokio::{
    sync::mpsc,
    task::{Id, JoinSet, spawn_blocking},
    time::{Instant, sleep, timeout},
};

/// Messages that are sent at the same time.
const AT_ONCE: usize = 8;
/// From one look at what waits to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The longest time from one try of a message to the next.
const TRY_EVERY: Duration = Duration::from_secs(300);
/// The time that a message has to be taken: a receiver that is slow keeps others waiting for so long.
const SEND_WITHIN: Duration = Duration::from_secs(600);
/// A file of no message that nobody has written to for so long is left of a crash.
const LEFT_AFTER: Duration = Duration::from_secs(3_600);

/// A message, and where its receiver may be beside the contacts and relays of whoever sends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    pub message: TwinMessage,
    pub at: Vec<SocketAddr>,
}

/// The messages that wait, in a folder.
pub struct Outbox {
    folder: PathBuf,
}

impl Outbox {
    /// Opens the outbox in a folder, which is made if it isn't there.
    pub fn open(folder: &Path) -> Result<Self> {
        let folder = folder.join("outbox");
        durable::create_folder(&folder)?;
        let outbox = Self { folder };
        // One that is damaged is told here: it would keep all others.
        outbox.list()?;
        outbox.clear()?;
        Ok(outbox)
    }

    /// Removes what crashes have left.
    fn clear(&self) -> Result<()> {
        for end in ["copy", "file", "new"] {
            let names = durable::names(&self.folder, &format!(".{end}"))?;
            for entry in names.iter().filter_map(|name| Some(self.entry(name.parse().ok()?))) {
                let file = entry.with_extension(end);
                if !entry.exists() && is_left(&file) {
                    durable::remove(&file)?;
                }
            }
        }
        Ok(())
    }

    fn entry(&self, id: MessageId) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    /// The copy of a message's file.
    pub fn file(&self, id: MessageId) -> PathBuf {
        self.folder.join(format!("{id}.file"))
    }

    /// Keeps a message until it is removed.
    pub fn put(&self, queued: &Queued, file: Option<&Path>) -> Result<()> {
        let id = queued.message.id;
        if let Some(from) = file {
            let mut original = File::open(from).with_context(|| format!("can't read {}", from.display()))?;
            let new = self.folder.join(format!("{id}.copy"));
            let mut copy = durable::create(&new)?;
            io::copy(&mut original, &mut copy).with_context(|| format!("can't copy {}", from.display()))?;
            durable::publish(&copy, &new, &self.file(id))?;
        }
        durable::write(&self.entry(id), queued)
    }

    /// All that wait, in no particular order.
    pub fn list(&self) -> Result<Vec<Queued>> {
        self.some(usize::MAX, &HashSet::new())
    }

    /// So many of those that wait at most, and none that is skipped.
    fn some(&self, count: usize, skipped: &HashSet<MessageId>) -> Result<Vec<Queued>> {
        let names = durable::names(&self.folder, ".json")?;
        let ids =
            names.iter().filter_map(|name| name.parse::<MessageId>().ok()).filter(|id| !skipped.contains(id));
        ids.filter_map(|id| durable::read(&self.entry(id)).transpose()).take(count).collect()
    }

    /// Forgets a message.
    pub fn remove(&self, id: MessageId) -> Result<()> {
        durable::remove(&self.entry(id))?;
        durable::remove(&self.file(id))
    }
}

fn is_left(file: &Path) -> bool {
    let written = fs::metadata(file).and_then(|found| found.modified());
    written.is_ok_and(|at| at.elapsed().is_ok_and(|passed| passed > LEFT_AFTER))
}

/// What became of a message that waited.
pub struct Outcome {
    pub message: TwinMessage,
    pub sent: Result<()>,
}

/// Messages that are being sent.
#[derive(Default)]
struct Sending {
    tasks: JoinSet<Result<()>>,
    messages: HashMap<Id, TwinMessage>,
}

impl Sending {
    fn start(&mut self, message: TwinMessage, task: impl Future<Output = Result<()>> + Send + 'static) {
        let task = self.tasks.spawn(task).id();
        self.messages.insert(task, message);
    }

    /// The next that is sent, or that fails, by a panic too; `None` if there is none.
    async fn ended(&mut self) -> Option<(TwinMessage, Result<()>)> {
        let (task, sent) = match self.tasks.join_next_with_id().await? {
            Ok(ended) => ended,
            Err(panic) => (panic.id(), Err(panic.into())),
        };
        Some((self.messages.remove(&task)?, sent))
    }
}

/// Sends what waits in an outbox.
#[derive(Clone)]
pub struct Flusher {
    pub outbox: Arc<Outbox>,
    pub endpoint: LastingEndpoint,
    pub book: Arc<Book>,
    pub ways: Arc<Ways>,
}

impl Flusher {
    /// Sends until nobody hears what becomes of the messages.
    pub async fn run(self, outcomes: mpsc::Sender<Outcome>) {
        let mut sending = Sending::default();
        let mut tries: HashMap<MessageId, (u32, Instant)> = HashMap::new();
        loop {
            let busy = sending.messages.values().map(|message| message.id);
            let early = tries.iter().filter(|(_, (_, next))| *next > Instant::now()).map(|(id, _)| *id);
            let skipped: HashSet<MessageId> = busy.chain(early).collect();
            let (outbox, count) = (self.outbox.clone(), AT_ONCE.saturating_sub(sending.messages.len()));
            let due =
                spawn_blocking(move || outbox.some(count, &skipped)).await.map_err(Error::from).flatten();
            // What can't be read now is looked at again.
            for queued in due.unwrap_or_default() {
                let (flusher, message) = (self.clone(), queued.message.clone());
                sending.start(message, async move { flusher.send(&queued).await });
            }
            let (message, sent) = tokio::select! {
                Some(ended) = sending.ended() => ended,
                () = sleep(LOOK_EVERY) => continue,
            };
            let sent = match sent {
                Err(error) if !is_final(&error) && message.expires_ms > now_ms() => {
                    let failures =
                        tries.get(&message.id).map_or(1, |(failures, _)| failures.saturating_add(1));
                    tries.insert(message.id, (failures, Instant::now() + delay(failures, TRY_EVERY)));
                    continue;
                }
                sent => sent,
            };
            tries.remove(&message.id);
            let sent = sent.and(self.outbox.remove(message.id));
            if outcomes.send(Outcome { message, sent }).await.is_err() {
                return;
            }
        }
    }

    async fn send(&self, Queued { message, at }: &Queued) -> Result<()> {
        let endpoint = self.endpoint.current().map_err(Error::msg)?;
        let at = self.ways.to(message.to, at, &self.book).await?;
        let sender = Sender { endpoint: &endpoint, book: &self.book };
        let file = message.file.as_ref().map(|_| self.outbox.file(message.id));
        let sending = sender.send(message, file.as_deref(), &at, Instant::now() + SEND_WITHIN);
        let sent = timeout(SEND_WITHIN, sending).await;
        sent.with_context(|| format!("it isn't taken within {SEND_WITHIN:?}"))??;
        Ok(())
    }
}

fn is_final(error: &anyhow::Error) -> bool {
    error.downcast_ref::<SendError>().is_some_and(SendError::is_final)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msg::mailbox::tests::message;
    use std::{slice, time::SystemTime};

    #[test]
    fn a_message_waits_with_a_copy_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(folder.path()).unwrap();
        let queued = Queued { message: message(1), at: vec!["192.0.2.7:9618".parse().unwrap()] };
        let sent = folder.path().join("sent");
        fs::write(&sent, "offer").unwrap();
        outbox.put(&queued, Some(&sent)).unwrap();
        fs::remove_file(sent).unwrap();
        let outbox = Outbox::open(folder.path()).unwrap();
        assert_eq!(outbox.list().unwrap(), slice::from_ref(&queued));
        assert_eq!(fs::read_to_string(outbox.file(queued.message.id)).unwrap(), "offer");
        outbox.remove(queued.message.id).unwrap();
        assert_eq!(fs::read_dir(folder.path().join("outbox")).unwrap().count(), 0);
        let missing = outbox.put(&queued, Some(&folder.path().join("none"))).unwrap_err().to_string();
        assert!(missing.contains("can't read") && outbox.list().unwrap().is_empty(), "{missing}");
    }

    #[test]
    fn what_a_crash_has_left_of_a_message_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(folder.path()).unwrap();
        let sent = folder.path().join("sent");
        fs::write(&sent, "offer").unwrap();
        let queued = Queued { message: message(1), at: Vec::new() };
        outbox.put(&queued, Some(&sent)).unwrap();
        let left = |id| outbox.file(MessageId([id; 16])).with_extension("copy");
        for file in [outbox.file(MessageId([1; 16])), outbox.file(MessageId([2; 16])), left(3), left(4)] {
            let written = File::options().append(true).create(true).open(&file).unwrap();
            let hours = if file == left(4) { 0 } else { 2 };
            written.set_modified(SystemTime::now() - Duration::from_secs(hours * 3_600)).unwrap();
        }
        let outbox = Outbox::open(folder.path()).unwrap();
        assert!(outbox.file(queued.message.id).exists() && left(4).exists(), "it may be in use");
        assert!(!outbox.file(MessageId([2; 16])).exists() && !left(3).exists());
    }

    #[test]
    fn what_is_being_sent_is_not_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(folder.path()).unwrap();
        for number in 1..=3 {
            outbox.put(&Queued { message: message(number), at: Vec::new() }, None).unwrap();
        }
        let skipped = [MessageId([1; 16]), MessageId([2; 16])].into();
        let left = outbox.some(9, &skipped).unwrap();
        assert_eq!(left.iter().map(|queued| queued.message.id).collect::<Vec<_>>(), [MessageId([3; 16])]);
        assert_eq!(outbox.some(2, &HashSet::new()).unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_message_whose_sending_panics_has_failed() {
        async fn broken() -> Result<()> {
            panic!("a test")
        }
        let mut sending = Sending::default();
        assert!(sending.ended().await.is_none());
        sending.start(message(1), broken());
        let (failed, sent) = sending.ended().await.unwrap();
        assert!(failed.id == MessageId([1; 16]) && sent.is_err() && sending.messages.is_empty());
    }

    #[test]
    fn a_damaged_message_is_told_before_it_keeps_others() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(folder.path()).unwrap();
        outbox.put(&Queued { message: message(1), at: Vec::new() }, None).unwrap();
        fs::write(outbox.entry(MessageId([2; 16])), "{").unwrap();
        let damaged = Outbox::open(folder.path()).err().unwrap().to_string();
        assert!(damaged.contains("is damaged: move it away"), "{damaged}");
    }
}
