// SPDX-License-Identifier: Apache-2.0
//! Messages that `threebot msg listen` is to send.

use super::{Book, SendError, Sender, Ways, delay, now_ms};
use crate::durable;
use anyhow::{Context, Error, Result};
use serde::{Deserialize, Serialize};
use std::{
    collections::{HashMap, HashSet},
    fs::File,
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
    task::JoinSet,
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
        Ok(outbox)
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
        let names = durable::names(&self.folder, ".json")?;
        let ids = names.iter().filter_map(|name| name.parse().ok());
        ids.filter_map(|id| durable::read(&self.entry(id)).transpose()).collect()
    }

    /// Forgets a message.
    pub fn remove(&self, id: MessageId) -> Result<()> {
        durable::remove(&self.entry(id))?;
        durable::remove(&self.file(id))
    }
}

/// What became of a message that waited.
pub struct Outcome {
    pub message: TwinMessage,
    pub sent: Result<()>,
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
        let (mut sending, mut busy) = (JoinSet::new(), HashSet::new());
        let mut tries: HashMap<MessageId, (u32, Instant)> = HashMap::new();
        loop {
            // What can't be read now is looked at again.
            for queued in self.outbox.list().unwrap_or_default() {
                let id = queued.message.id;
                let is_due = tries.get(&id).is_none_or(|(_, next)| *next <= Instant::now());
                if is_due && sending.len() < AT_ONCE && busy.insert(id) {
                    let flusher = self.clone();
                    sending.spawn(async move { (flusher.send(&queued).await, queued.message) });
                }
            }
            let (sent, message) = tokio::select! {
                Some(Ok(done)) = sending.join_next() => done,
                () = sleep(LOOK_EVERY) => continue,
            };
            busy.remove(&message.id);
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
    use std::{fs, slice};

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
    fn a_damaged_message_is_told_before_it_keeps_others() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(folder.path()).unwrap();
        outbox.put(&Queued { message: message(1), at: Vec::new() }, None).unwrap();
        fs::write(outbox.entry(MessageId([2; 16])), "{").unwrap();
        let damaged = Outbox::open(folder.path()).err().unwrap().to_string();
        assert!(damaged.contains("is damaged: move it away"), "{damaged}");
    }
}
