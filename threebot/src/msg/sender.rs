// SPDX-License-Identifier: Apache-2.0
//! Takes messages to the bots of other twins.

use super::Book;
use iroh::{
    Endpoint,
    endpoint::{Connection, ConnectionError, RecvStream, SendStream, VarInt},
};
use std::{io, path::Path, time::Duration};
use tfgrid_client::{
    peer::{
        NodeAddress, PeerAddresses, UNKNOWN_CALLER,
        frame::{Frame, FrameError, MAX_FRAME_BYTES},
        msg::{MSG_ALPN, Refusal, Reply, TwinMessage},
    },
    primitives::{PublicKey, TwinId},
};
use tokio::{
    fs::File,
    io::AsyncReadExt,
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

/// The time that a bot has to be reached.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);
/// The time that it has for its part of a message.
const STEP_WITHIN: Duration = Duration::from_secs(30);

/// A message that isn't known to be in its receiver's mailbox.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Nobody has said where the twin is.
    #[error(
        "nothing says where a bot of twin {0} is: it publishes no address on the chain (`threebot twin publish`). \
         Remember its addresses or relays with `threebot msg contact {0} ADDRESS`, or name a relay at which both are \
         with --relay"
    )]
    NoAddress(TwinId),
    /// The phone book can't be read, or has no key.
    #[error("can't find twin {twin} in the phone book: {why}")]
    NotFound { twin: TwinId, why: String },
    /// It can't be reached.
    #[error("no bot of twin {twin} is reached at {at}: {why}")]
    NotReached { twin: TwinId, at: String, why: String },
    /// It doesn't know this device, or hears nobody else than others.
    #[error(
        "twin {0} takes no messages from here: it must allow your twin (`threebot msg listen --allow`), and this \
         device must be one of your twin's (`threebot device list`)"
    )]
    Stranger(TwinId),
    /// It doesn't take the message.
    #[error("twin {twin} doesn't take the message: {refusal}")]
    Refused { twin: TwinId, refusal: Refusal },
    /// The connection broke, or another protocol is spoken.
    #[error("the connection to the bot of twin {twin} broke: {why}")]
    Broken { twin: TwinId, why: String },
    /// There was no answer.
    #[error("twin {0} has the message, and gave no answer in time")]
    NoAnswer(TwinId),
    /// The file can't be read.
    #[error("can't read the file to be sent: {0}")]
    File(#[from] io::Error),
}

impl SendError {
    /// Whether another try has the same outcome.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Refused { refusal, .. } => refusal.code.is_final(),
            Self::NoAnswer(_) | Self::File(_) => true,
            Self::NoAddress(_)
            | Self::NotFound { .. }
            | Self::NotReached { .. }
            | Self::Stranger(_)
            | Self::Broken { .. } => false,
        }
    }
}

/// Sends messages from an endpoint.
pub struct Sender<'a> {
    pub endpoint: &'a Endpoint,
    pub book: &'a Book,
}

impl Sender<'_> {
    /// Sends a message; returns once it is in its receiver's mailbox, and for a request with its answer.
    ///
    /// # Errors
    /// If that isn't known.
    pub async fn send(
        &self,
        message: &TwinMessage,
        file: Option<&Path>,
        at: &PeerAddresses,
        until: Instant,
    ) -> Result<Option<String>, SendError> {
        let twin = message.to;
        if at.is_empty() {
            return Err(SendError::NoAddress(twin));
        }
        let not_found = |why: String| SendError::NotFound { twin, why };
        let mut keys = self.book.keys(twin).await.map_err(|error| not_found(format!("{error:#}")))?;
        let own = self.endpoint.id();
        keys.retain(|key| key != own.as_bytes());
        if keys.is_empty() {
            return Err(not_found("it has no device, or no such twin exists".into()));
        }
        let connection = self.connect(twin, keys, at).await?;
        let sent = Stream { twin, connection: &connection }.send(message, file, until).await;
        connection.close(0u32.into(), b"");
        sent
    }

    /// A connection to the first of the twin's devices that is there.
    async fn connect(
        &self,
        twin: TwinId,
        keys: Vec<PublicKey>,
        at: &PeerAddresses,
    ) -> Result<Connection, SendError> {
        let not_reached = |why: String| SendError::NotReached { twin, at: at.to_string(), why };
        let mut dialling = JoinSet::new();
        for key in keys {
            let (endpoint, address) = (self.endpoint.clone(), NodeAddress { key, addresses: at.clone() });
            dialling.spawn(async move {
                let to = address.endpoint().map_err(|error| error.to_string())?;
                endpoint.connect(to, MSG_ALPN).await.map_err(|error| error.to_string())
            });
        }
        let mut why = String::from("none of its devices is there");
        let reached = async {
            while let Some(dialled) = dialling.join_next().await {
                match dialled {
                    Ok(Ok(connection)) => return Some(connection),
                    Ok(Err(error)) => why = error,
                    Err(_) => {}
                }
            }
            None
        };
        let outcome = timeout(CONNECT_WITHIN, reached).await;
        match outcome {
            Ok(Some(connection)) => Ok(connection),
            Ok(None) => Err(not_reached(why)),
            Err(_) => Err(not_reached(format!("no answer within {CONNECT_WITHIN:?}"))),
        }
    }
}

/// A stream that is opened for a message.
struct Stream<'a> {
    twin: TwinId,
    connection: &'a Connection,
}

impl Stream<'_> {
    async fn send(
        &self,
        message: &TwinMessage,
        file: Option<&Path>,
        until: Instant,
    ) -> Result<Option<String>, SendError> {
        let late = |_| self.broken(&format!("no stream within {STEP_WITHIN:?}"));
        let opened = timeout(STEP_WITHIN, self.connection.open_bi()).await.map_err(late)?;
        let (mut send, mut receive) = opened.map_err(|error| self.broken(&error.to_string()))?;
        let begun = timeout(STEP_WITHIN, Frame::Message(message.clone()).write(&mut send)).await;
        begun.map_err(late)?.map_err(|error| self.broken(&error.to_string()))?;
        let mut reply = self.reply(&mut receive).await?;
        let is_wanted = matches!(reply, Reply::SendFile {});
        if let Some(file) = file.filter(|_| is_wanted) {
            self.send_file(&mut send, file).await?;
            reply = self.reply(&mut receive).await?;
        }
        match reply {
            Reply::Accepted {} if !message.request => Ok(None),
            Reply::Accepted {} => self.answer(&mut receive, until).await.map(Some),
            Reply::Refused(refusal) => Err(SendError::Refused { twin: self.twin, refusal }),
            Reply::SendFile {} | Reply::Answer { .. } => Err(self.broken("another reply was expected")),
        }
    }

    async fn send_file(&self, send: &mut SendStream, file: &Path) -> Result<(), SendError> {
        let mut file = File::open(file).await?;
        let mut bytes = vec![0; MAX_FRAME_BYTES];
        loop {
            let count = file.read(&mut bytes).await?;
            if count == 0 {
                break;
            }
            let frame = Frame::<TwinMessage>::Data(bytes[..count].to_vec());
            match timeout(STEP_WITHIN, frame.write(send)).await {
                Ok(Ok(())) => {}
                // The reason is the next reply.
                Ok(Err(_)) => return Ok(()),
                Err(_) => return Err(self.broken("nothing is read at the other end")),
            }
        }
        // An error says that it has ended already.
        let _ = send.finish();
        Ok(())
    }

    async fn reply(&self, receive: &mut RecvStream) -> Result<Reply, SendError> {
        let late = |_| self.broken(&format!("no reply within {STEP_WITHIN:?}"));
        self.read(timeout(STEP_WITHIN, Frame::read(receive)).await.map_err(late)?)
    }

    async fn answer(&self, receive: &mut RecvStream, until: Instant) -> Result<String, SendError> {
        let late = |_| SendError::NoAnswer(self.twin);
        match self.read(timeout_at(until, Frame::read(receive)).await.map_err(late)?)? {
            Reply::Answer { text } => Ok(text),
            Reply::Refused(refusal) => Err(SendError::Refused { twin: self.twin, refusal }),
            Reply::SendFile {} | Reply::Accepted {} => Err(self.broken("another reply was expected")),
        }
    }

    fn read(&self, frame: Result<Option<Frame<Reply>>, FrameError>) -> Result<Reply, SendError> {
        match frame {
            Ok(Some(Frame::Message(reply))) => Ok(reply),
            Ok(_) => Err(self.broken("its reply is missing")),
            Err(error) => Err(self.broken(&error.to_string())),
        }
    }

    /// Why the stream broke: for the reason of its connection, if this has ended.
    fn broken(&self, why: &str) -> SendError {
        let twin = self.twin;
        match self.connection.close_reason() {
            Some(ConnectionError::ApplicationClosed(close))
                if close.error_code == VarInt::from_u32(UNKNOWN_CALLER) =>
            {
                SendError::Stranger(twin)
            }
            Some(reason) => SendError::Broken { twin, why: reason.to_string() },
            None => SendError::Broken { twin, why: why.into() },
        }
    }
}
