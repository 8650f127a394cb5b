// SPDX-License-Identifier: Apache-2.0
//! Takes messages of other bots.

use super::{
    Allowed, Book, Mailbox,
    mailbox::{Arrival, ArrivingFile, Begun, Key},
    now_ms,
};
use anyhow::anyhow;
use iroh::endpoint::{Connection, Incoming, IncomingAddr, RecvStream, SendStream};
use std::{sync::Arc, time::Duration};
use tfgrid_client::{
    peer::{
        Counts, LastingEndpoint, Place, Rate, TOO_MANY, UNKNOWN_CALLER,
        frame::Frame,
        msg::{Refusal, RefusalCode, Reply, TwinMessage},
    },
    primitives::{PublicKey, TwinId},
};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

/// Connections at the same time, and of one device.
const MAX_CONNECTIONS: usize = 256;
const MAX_CONNECTIONS_OF_DEVICE: usize = 8;
/// Connections of a device: so many at once, then one in each interval.
const CONNECTIONS_AT_ONCE: u32 = 10;
const CONNECTION_EVERY: Duration = Duration::from_secs(1);
/// Messages of a twin, in the same way.
const MESSAGES_AT_ONCE: u32 = 30;
const MESSAGE_EVERY: Duration = Duration::from_secs(1);
/// Limit for a handshake, and for a first message after it.
const BEGIN_WITHIN: Duration = Duration::from_secs(10);
/// Limit for each part of a file, and for a reply to be taken.
const STEP_WITHIN: Duration = Duration::from_secs(30);

/// Takes messages for a twin.
pub struct Server {
    twin: TwinId,
    allowed: Allowed,
    book: Arc<Book>,
    mailbox: Arc<Mailbox>,
    open: Counts<PublicKey>,
    connections: Rate<PublicKey>,
    messages: Rate<TwinId>,
}

/// Why a stream ends.
enum Ended {
    /// The caller isn't who may write: it gets no word.
    Stranger,
    Refused(Refusal),
    /// The caller has gone.
    Gone,
}

impl From<Refusal> for Ended {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Server {
    /// Takes messages into a mailbox once it runs.
    pub fn new(twin: TwinId, allowed: Allowed, book: Arc<Book>, mailbox: Arc<Mailbox>) -> Arc<Self> {
        let connections = Rate::new(CONNECTIONS_AT_ONCE, CONNECTION_EVERY);
        let messages = Rate::new(MESSAGES_AT_ONCE, MESSAGE_EVERY);
        Arc::new(Self { twin, allowed, book, mailbox, open: Counts::default(), connections, messages })
    }

    /// Takes messages until it is dropped, which ends all connections; for one caller at a time.
    pub async fn run(self: Arc<Self>, endpoint: LastingEndpoint) {
        let mut connections = JoinSet::new();
        loop {
            let incoming = endpoint.accept().await;
            while connections.try_join_next().is_some() {}
            // Nobody makes this bot work with a forged address.
            if matches!(incoming.remote_addr(), IncomingAddr::Ip(_)) && !incoming.remote_addr_validated() {
                if let Err(error) = incoming.retry() {
                    error.into_incoming().ignore();
                }
            } else if connections.len() >= MAX_CONNECTIONS {
                incoming.refuse();
            } else {
                connections.spawn(self.clone().accept(incoming));
            }
        }
    }

    async fn accept(self: Arc<Self>, incoming: Incoming) {
        let Ok(accepting) = incoming.accept() else { return };
        let Ok(Ok(connection)) = timeout(BEGIN_WITHIN, accepting).await else { return };
        let key = *connection.remote_id().as_bytes();
        let place = Place::take(&self.open, key, MAX_CONNECTIONS_OF_DEVICE);
        let Some(_place) = place.filter(|_| self.connections.take(key, Instant::now())) else {
            return connection.close(TOO_MANY.into(), b"");
        };
        let mut streams = JoinSet::new();
        let mut first = timeout(BEGIN_WITHIN, connection.accept_bi()).await.ok();
        while let Some(Ok((send, receive))) = first.take() {
            while streams.try_join_next().is_some() {}
            streams.spawn(self.clone().answer(connection.clone(), key, send, receive));
            first = Some(connection.accept_bi().await);
        }
        connection.close(0u32.into(), b"");
    }

    /// Takes the message on a stream.
    async fn answer(
        self: Arc<Self>,
        connection: Connection,
        key: PublicKey,
        mut send: SendStream,
        mut receive: RecvStream,
    ) {
        let refusal = match self.take(&key, &mut send, &mut receive).await {
            Ok(()) => None,
            Err(Ended::Refused(refusal)) => Some(refusal),
            Err(Ended::Stranger) => return connection.close(UNKNOWN_CALLER.into(), b""),
            Err(Ended::Gone) => return,
        };
        if let Some(refusal) = refusal
            && reply(&mut send, Reply::Refused(refusal)).await.is_err()
        {
            return;
        }
        // An error says that the caller has gone.
        let _ = send.finish();
        let _ = timeout(STEP_WITHIN, send.stopped()).await;
    }

    async fn take(
        &self,
        key: &PublicKey,
        send: &mut SendStream,
        receive: &mut RecvStream,
    ) -> Result<(), Ended> {
        let begun = timeout(BEGIN_WITHIN, Frame::<TwinMessage>::read(receive)).await;
        // Who says nothing keeps no connection either.
        let Ok(Ok(Some(Frame::Message(message)))) = begun else { return Err(Ended::Stranger) };
        self.ensure_from(message.from, key).await?;
        message.check(self.twin, now_ms())?;
        if !self.messages.take(message.from, Instant::now()) {
            return Err(Ended::Refused(Refusal {
                code: RefusalCode::TooMany,
                message: format!(
                    "{MESSAGES_AT_ONCE} messages at once, then one in {MESSAGE_EVERY:?}, are taken"
                ),
            }));
        }
        if let Begun::New(arrival) = self.mailbox.begin(&message)? {
            let file = self.file(&message, &arrival, send, receive).await?;
            // Its key may have been removed meanwhile.
            self.ensure_from(message.from, key).await?;
            arrival.store(message.clone(), file).map_err(unavailable)?;
        }
        reply(send, Reply::Accepted {}).await?;
        if message.request { self.reply_with_answer(&message, key, send).await } else { Ok(()) }
    }

    /// Fails unless the key is one of a twin that may write.
    async fn ensure_from(&self, from: TwinId, key: &PublicKey) -> Result<(), Ended> {
        // The chain isn't asked about others.
        if !self.allowed.has(from) {
            return Err(Ended::Stranger);
        }
        match self.book.has(from, key).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Ended::Stranger),
            // Why is no stranger's business.
            Err(_) => Err(unavailable(anyhow!("the phone book can't be read")).into()),
        }
    }

    /// The file of a message, if it has one.
    async fn file(
        &self,
        message: &TwinMessage,
        arrival: &Arrival,
        send: &mut SendStream,
        receive: &mut RecvStream,
    ) -> Result<Option<ArrivingFile>, Ended> {
        let Some(head) = &message.file else { return Ok(None) };
        let mut file = arrival.file(head).map_err(unavailable)?;
        reply(send, Reply::SendFile {}).await?;
        loop {
            let bytes = match timeout(STEP_WITHIN, Frame::<TwinMessage>::read(receive)).await {
                Ok(Ok(Some(Frame::Data(bytes)))) if bytes.len() as u64 > file.left() => {
                    return Err(bad("there are more bytes of the file than was said").into());
                }
                Ok(Ok(Some(Frame::Data(bytes)))) => bytes,
                Ok(Ok(None)) if file.left() > 0 => {
                    return Err(bad(&format!("{} bytes of its file are missing", file.left())).into());
                }
                Ok(Ok(None)) => return Ok(Some(file)),
                Ok(Ok(Some(_))) => return Err(bad("a file is sent in data frames").into()),
                Ok(Err(_)) | Err(_) => return Err(Ended::Gone),
            };
            file.add(&bytes).map_err(unavailable)?;
        }
    }

    /// Waits for the answer to a request as long as the request is good, and the caller there.
    async fn reply_with_answer(
        &self,
        request: &TwinMessage,
        caller: &PublicKey,
        send: &mut SendStream,
    ) -> Result<(), Ended> {
        let key = Key::of(request);
        let mut changes = self.mailbox.changes();
        let answered = async {
            loop {
                changes.borrow_and_update();
                if let Some(text) = self.mailbox.answer_of(&key).map_err(unavailable)? {
                    return Ok(text);
                }
                if changes.changed().await.is_err() {
                    return Err(Ended::Gone);
                }
            }
        };
        let left = Duration::from_millis(request.expires_ms.saturating_sub(now_ms()));
        let gone = send.stopped();
        let text = tokio::select! {
            answered = timeout(left, answered) => match answered {
                Ok(answered) => answered?,
                Err(_) => {
                    let message = "nobody has answered in time".into();
                    return Err(Ended::Refused(Refusal { code: RefusalCode::Expired, message }));
                }
            },
            _ = gone => return Err(Ended::Gone),
        };
        // Its key may have been removed meanwhile.
        self.ensure_from(request.from, caller).await?;
        reply(send, Reply::Answer { text }).await
    }
}

async fn reply(send: &mut SendStream, reply: Reply) -> Result<(), Ended> {
    let sent = timeout(STEP_WITHIN, Frame::Message(reply).write(send)).await;
    sent.map_err(|_| Ended::Gone)?.map_err(|_| Ended::Gone)
}

fn bad(why: &str) -> Refusal {
    Refusal { code: RefusalCode::BadRequest, message: why.into() }
}

/// Without the names of files here.
fn unavailable(error: anyhow::Error) -> Refusal {
    Refusal { code: RefusalCode::Unavailable, message: error.root_cause().to_string() }
}
