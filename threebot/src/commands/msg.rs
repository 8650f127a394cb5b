// SPDX-License-Identifier: Apache-2.0
//! `threebot msg`

use super::twin::{publish, publishable};
use crate::{
    cli::Global,
    consent::unasked,
    device::{DeviceFile, config_folder},
    msg::{
        Allowed, Book, Contacts, Flusher, Listening, Mailbox, Outbox, Queued, Reader, SendError, Sender,
        Server, Ways, delay, dialling, listening, message, parse_address,
    },
    output::{Answer, Usage, is_unread, note, warn},
    session::Session,
};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use iroh::Endpoint;
use serde_json::json;
use std::{
    collections::BTreeSet,
    io::{self, BufRead},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    thread,
    time::Duration,
};
use tfgrid_client::{
    peer::{
        Device, Opened,
        msg::{MAX_LIFE, MessageId, TwinMessage},
    },
    primitives::TwinId,
    units::{parse_duration, parse_id},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

/// The longest time from one try of a command to its next.
const TRY_EVERY: Duration = Duration::from_secs(5);

#[derive(Subcommand)]
pub enum Msg {
    Send(Send),
    Call(Call),
    Listen(Listen),
    Contact(Contact),
}

/// Who speaks, and how others are found.
#[derive(Args)]
pub struct Speaker {
    /// Your twin, of which this device is one [default: that of your key]
    #[arg(long = "as", value_name = "TWIN", value_parser = parse_id::<TwinId>)]
    twin: Option<TwinId>,
    #[command(flatten)]
    device: DeviceFile,
    #[command(flatten)]
    ways: Ways,
    /// Folder of the mailbox and of messages that wait; messages/TWIN beside the key of this device if it isn't given
    #[arg(long, env = "TFGRID_MSG_FOLDER", value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// What is sent, and to whom.
#[derive(Args)]
pub struct Sent {
    /// The receiver's twin
    #[arg(value_parser = parse_id::<TwinId>)]
    to: TwinId,
    /// What is said, 8192 bytes at most
    #[arg(default_value = "", hide_default_value = true)]
    text: String,
    /// A file that goes with it, 16 MiB at most
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// IP addresses with ports at which the receiver listens; without them and a contact, those that it publishes
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    at: Vec<SocketAddr>,
    /// How long to try, such as 90s or 10m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    within: Duration,
    /// The message's id, 32 hex digits, to send one again that may have come; a new one if it isn't given
    #[arg(long, value_name = "ID")]
    id: Option<MessageId>,
    #[command(flatten)]
    speaker: Speaker,
}

/// Send a message to the bot of another twin
///
/// It is encrypted from end to end, and signed for by a device of your twin. The command ends well once the message is
/// in the receiver's mailbox; sent again with the same id, it is there once.
#[derive(Args)]
#[command(after_help = "\
Examples:
  threebot msg send 9 'node 4 is down' --at 192.0.2.7:9618
  threebot msg send 9 --file offer.json --relay https://relay.example.org
  threebot msg send 9 'when you are back' --queue")]
pub struct Send {
    #[command(flatten)]
    sent: Sent,
    /// Leave it to `threebot msg listen`, which tries for 7 days
    #[arg(long)]
    queue: bool,
}

/// Ask the bot of another twin, and wait for its answer
#[derive(Args)]
#[command(after_help = "\
Example:
  threebot msg call 9 '{\"lease\": {\"cores\": 2, \"hours\": 24}}' --within 5m")]
pub struct Call {
    #[command(flatten)]
    sent: Sent,
}

/// Take messages of other bots, and send those that wait
///
/// Nobody may write who isn't named. A message that was acknowledged outlives a crash of this program, and is shown
/// once. It runs until it is ended.
#[derive(Args)]
#[command(arg = unasked(), after_help = "\
With --json, each line on stdout is an object, and a line on stdin answers:
  {\"message\": {\"id\": \"7-…\", \"from\": 7, \"text\": …, \"request\": true, …}}
  {\"answer\": {\"id\": \"7-…\", \"text\": …}}    {\"done\": \"7-…\"}
  {\"send\": {\"to\": 7, \"text\": …}}

Examples:
  threebot msg listen --allow 7,8 --publish 192.0.2.9:9618
  threebot msg listen --allow 7,8 --relay https://relay.example.org
  threebot msg listen --json --ack --anyone")]
pub struct Listen {
    #[command(flatten)]
    speaker: Speaker,
    #[command(flatten)]
    listening: Listening,
    /// Publish where others reach this program, in place of what the chain says: IP addresses with ports, and URLs of
    /// relays. Your twin's own key signs it
    #[arg(
        long,
        value_name = "ADDRESSES",
        value_delimiter = ',',
        value_parser = parse_address,
        conflicts_with = "twin"
    )]
    publish: Vec<String>,
    /// Twins that may write
    #[arg(long, value_name = "TWINS", value_delimiter = ',', value_parser = parse_id::<TwinId>)]
    allow: Vec<TwinId>,
    /// Every twin may write
    #[arg(long, conflicts_with = "allow")]
    anyone: bool,
    /// Show a message again at the next start until a line on stdin has answered it, or says that it is done. The end
    /// of stdin ends this program
    #[arg(long)]
    ack: bool,
}

/// Remember where the bot of another twin is, or forget it
///
/// It is dialled there, and not where its twin publishes that it is. The chain has the keys of all twins, by which a
/// bot proves whose it is.
#[derive(Args)]
#[command(after_help = "\
Examples:
  threebot msg contact 9 192.0.2.9:9618    then `threebot msg send 9` finds it
  threebot msg contact 9 https://relay.example.org
  threebot msg contact 9                   forget twin 9")]
pub struct Contact {
    /// The twin
    #[arg(value_parser = parse_id::<TwinId>)]
    twin: TwinId,
    /// IP addresses with ports, and URLs of relays
    #[arg(value_name = "ADDRESS", value_parser = parse_address)]
    at: Vec<String>,
    #[command(flatten)]
    contacts: Contacts,
}

impl Contact {
    fn run(self) -> Result<Answer> {
        let Self { twin, at, contacts } = self;
        contacts.keep(twin, &at)?;
        let text = match at.as_slice() {
            [] => format!("twin {twin} is forgotten"),
            at => format!("twin {twin} is dialled at {}", at.join(" ")),
        };
        Ok(Answer::new(text, json!({ "twin": twin, "at": at })))
    }
}

impl Msg {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        match self {
            Self::Send(send) => send.run(global).await,
            Self::Call(call) => call.run(global).await,
            Self::Listen(listen) => listen.run(global).await,
            Self::Contact(contact) => contact.run(),
        }
    }
}

/// A twin's device on the chain.
struct Known {
    twin: TwinId,
    device: Device,
    session: Session,
}

impl Speaker {
    async fn known(&self, global: &Global) -> Result<Known> {
        let device = self.device.read()?;
        let (twin, session) = if let Some(twin) = self.twin {
            (twin, Session::anonymous(global).await?)
        } else {
            let session = Session::open(global).await?;
            let twin = session.twin(&session.grid.finalized().await?).await?;
            (twin, session)
        };
        let record = session.grid.finalized().await?.twin(twin).await?;
        let keys = record.with_context(|| format!("no twin has the id {twin}"))?.peer_keys.0;
        if !keys.contains(&device.public()) {
            bail!(
                "this device isn't one of twin {twin}: add it with `threebot device add` and the owner's key"
            );
        }
        Ok(Known { twin, device, session })
    }

    fn folder(&self, twin: TwinId) -> Result<PathBuf> {
        if let Some(folder) = &self.folder {
            return Ok(folder.clone());
        }
        let config = config_folder("keep messages in: name one with --folder")?;
        Ok(config.join(format!("tfgrid-ledger/messages/{twin}")))
    }
}

impl Send {
    async fn run(self, global: &Global) -> Result<Answer> {
        let known = self.sent.known(global).await?;
        if self.queue {
            let message = self.sent.message(known.twin, MAX_LIFE)?;
            let (id, to) = (message.id, message.to);
            let outbox = Outbox::open(&self.sent.speaker.folder(known.twin)?)?;
            outbox.put(&Queued { message, at: self.sent.at }, self.sent.file.as_deref())?;
            let text = format!("message {id} waits for `threebot msg listen` to send it to twin {to}");
            return Ok(Answer::new(text, json!({ "id": id, "to": to, "delivered": false })));
        }
        let message = self.sent.message(known.twin, self.sent.within)?;
        self.sent.deliver(global, known, &message).await?;
        let TwinMessage { id, to, .. } = message;
        let text = format!("message {id} is in the mailbox of twin {to}");
        Ok(Answer::new(text, json!({ "id": id, "to": to, "delivered": true })))
    }
}

impl Call {
    async fn run(self, global: &Global) -> Result<Answer> {
        let known = self.sent.known(global).await?;
        let message = self.sent.message(known.twin, self.sent.within)?;
        let request = TwinMessage { request: true, ..message };
        let answer = self.sent.deliver(global, known, &request).await?.context("a request has an answer")?;
        let value = json!({ "id": request.id, "to": request.to, "answer": answer });
        Ok(Answer::new(answer, value))
    }
}

impl Sent {
    /// The sender, once it is sure that the receiver is a twin.
    async fn known(&self, global: &Global) -> Result<Known> {
        let known = self.speaker.known(global).await?;
        let receiver = known.session.grid.finalized().await?.twin(self.to).await?;
        receiver.with_context(|| format!("no twin has the id {}", self.to))?;
        Ok(known)
    }

    fn message(&self, from: TwinId, life: Duration) -> Result<TwinMessage> {
        message((from, self.to), self.id, self.text.clone(), self.file.as_deref(), life)
    }

    /// Tries until the message is in its receiver's mailbox; returns the answer to a request.
    async fn deliver(&self, global: &Global, known: Known, message: &TwinMessage) -> Result<Option<String>> {
        let book = Book::new(global.chain.clone(), known.session.grid);
        let at = self.speaker.ways.to(self.to, &self.at, &book).await?;
        if at.is_empty() {
            return Err(SendError::NoAddress(self.to).into());
        }
        let until = Instant::now() + self.within;
        let endpoint = dialling(&known.device, &at).await?;
        let sender = Sender { endpoint: &endpoint, book: &book };
        let mut failures = 0;
        let sent = loop {
            let sent = sender.send(message, self.file.as_deref(), &at, until).await;
            failures += 1;
            let wait = delay(failures, TRY_EVERY);
            let again =
                sent.as_ref().err().filter(|error| !error.is_final() && Instant::now() + wait < until);
            let Some(why) = again.map(ToString::to_string) else { break sent };
            if failures == 1 {
                note(&format!("{why}: trying again"), global.json);
            }
            sleep(wait).await;
        };
        goodbye(endpoint).await;
        Ok(sent?)
    }
}

/// Closes the endpoint, without a long wait for whatever it still has to do.
async fn goodbye(endpoint: Endpoint) {
    const WITHIN: Duration = Duration::from_millis(500);
    drop(tokio::time::timeout(WITHIN, endpoint.close()).await);
}

impl Listen {
    async fn run(self, global: &Global) -> Result<Answer> {
        if self.ack && !global.json {
            bail!(Usage::new("--ack is for scripts: it needs --json"));
        }
        let published = publishable(&self.publish)?;
        let Known { twin, device, session } = self.speaker.known(global).await?;
        let folder = self.speaker.folder(twin)?;
        let allowed = self.allowed(global.json);
        let mut reader = reader(&folder, twin, global.json, self.ack)?;
        let relays = [&self.speaker.ways.relay[..], &published.relays].concat();
        let endpoint = listening(&device, self.listening.bind, &relays).await?;
        if !published.is_empty() {
            publish(&session, &published).await?;
            note(&format!("the chain says that twin {twin} is reached at {published}"), global.json);
        }
        let book = Arc::new(Book::new(global.chain.clone(), session.grid));
        let mut opened = endpoint.changes();
        tell(&opened.borrow_and_update(), twin, global.json);

        let (outcome, mut outcomes) = mpsc::channel(16);
        let flusher = Flusher {
            outbox: reader.outbox.clone(),
            endpoint: endpoint.clone(),
            book: book.clone(),
            ways: Arc::new(self.speaker.ways),
        };
        tokio::spawn(flusher.run(outcome));
        let server = Server::new(twin, allowed, book, reader.mailbox.clone());
        let mut serving = tokio::spawn(server.run(endpoint));
        let mut has_script = global.json;
        let mut lines = if has_script { standard_lines() } else { mpsc::channel(1).1 };
        let mut changes = reader.mailbox.changes();
        loop {
            if let Err(error) = reader.show() {
                return ended(error);
            }
            tokio::select! {
                _ = changes.changed() => {}
                Ok(()) = opened.changed() => tell(&opened.borrow_and_update(), twin, global.json),
                Some(outcome) = outcomes.recv() => {
                    if let Err(error) = reader.tell(&outcome) {
                        return ended(error);
                    }
                }
                line = lines.recv(), if has_script => match line {
                    Some(line) => {
                        if let Err(error) = reader.obey(&line) {
                            warn(&format!("{error:#}"), global.json);
                        }
                    }
                    None if self.ack => return Ok(Answer::printed(ExitCode::SUCCESS)),
                    None => has_script = false,
                },
                _ = &mut serving => bail!("the endpoint has ended: start it again"),
            }
        }
    }

    /// Who may write.
    fn allowed(&self, json: bool) -> Allowed {
        if self.anyone {
            return Allowed::Anyone;
        }
        if self.allow.is_empty() {
            warn("nobody may write: name twins with --allow, or take messages of --anyone", json);
        }
        Allowed::Twins(self.allow.iter().copied().collect())
    }
}

/// Tells where a twin's endpoint listens, or why it doesn't.
fn tell(now: &Result<Opened, String>, twin: TwinId, json: bool) {
    match now.as_ref().map(Opened::sockets) {
        Ok(sockets) => {
            let at = sockets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            note(&format!("twin {twin} listens at {at}"), json);
        }
        Err(why) => warn(&format!("nothing is received, until that is over: {why}"), json),
    }
}

fn reader(folder: &Path, twin: TwinId, json: bool, waits: bool) -> Result<Reader> {
    let mailbox = Mailbox::open(folder)?;
    let outbox = Arc::new(Outbox::open(folder)?);
    Ok(Reader { twin, mailbox, outbox, json, waits, shown: BTreeSet::new() })
}

/// The end of a listener that can't print.
fn ended(error: anyhow::Error) -> Result<Answer> {
    if is_unread(&error) { Ok(Answer::printed(ExitCode::SUCCESS)) } else { Err(error) }
}

/// The lines of the standard input, from a thread of its own: a read of it can't be cancelled.
fn standard_lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(8);
    thread::spawn(move || {
        let lines = io::stdin().lock().lines().map_while(io::Result::ok);
        for line in lines.filter(|line| !line.trim().is_empty()) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
