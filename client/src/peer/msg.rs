// SPDX-License-Identifier: Apache-2.0
//! What bots say to each other (`docs/FORMATS.md` §10). Every message has a stream of its own, with the frames of the
//! peer protocol: the sender writes a [`TwinMessage`], the receiver checks it with [`TwinMessage::check`] and answers
//! with [`Reply`]s.

use super::frame::MAX_FRAME_BYTES;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};
use tfgrid_primitives::TwinId;

/// Name of the protocol with its version, as the two ends agree on it (ALPN).
pub const MSG_ALPN: &[u8] = b"tfgrid/msg/1";
/// Upper limit of [`TwinMessage::text`]. In JSON, it and the rest of a message fit into a frame, whatever it has.
pub const MAX_TEXT_BYTES: usize = 8_192;
/// Upper limit of [`FileHead::bytes`].
pub const MAX_FILE_BYTES: u64 = 16 << 20;
/// Upper limit of [`FileHead::name`].
pub const MAX_NAME_BYTES: usize = 100;
/// The longest time for which a message waits for its receiver: [`TwinMessage::expires_ms`] is no later.
pub const MAX_LIFE: Duration = Duration::from_secs(7 * 86_400);
/// How far a sender's clock may be ahead of its receiver's.
const CLOCKS_DIFFER: Duration = Duration::from_secs(3_600);

/// A byte of a text is six in JSON at most, such as `\u0001`.
const _: () = assert!(6 * (MAX_TEXT_BYTES + MAX_NAME_BYTES) + 1_024 < MAX_FRAME_BYTES);

/// Tells the messages of a sender apart; as text 32 hex digits. The same id is the same message, which a receiver has
/// once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MessageId(pub [u8; 16]);

/// A text that isn't the id of a message.
#[derive(Debug, thiserror::Error)]
#[error("the id of a message has 32 hex digits")]
pub struct NoMessageId;

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MessageId {
    type Err = NoMessageId;

    fn from_str(text: &str) -> Result<Self, NoMessageId> {
        // One text for one id: it names files.
        let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        let bytes = hex::decode(text).ok().filter(|_| is_lower).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(NoMessageId)
    }
}

impl TryFrom<String> for MessageId {
    type Error = NoMessageId;

    fn try_from(text: String) -> Result<Self, NoMessageId> {
        text.parse()
    }
}

impl From<MessageId> for String {
    fn from(id: MessageId) -> Self {
        id.to_string()
    }
}

/// The first frame on a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwinMessage {
    /// Made at random once, and the same each time that the message is sent.
    pub id: MessageId,
    /// The sender, of whose peer keys the caller's is one.
    pub from: TwinId,
    /// The receiver.
    pub to: TwinId,
    /// Milliseconds since 1970 from which it is neither sent nor received.
    pub expires_ms: u64,
    /// What is said.
    pub text: String,
    /// A file that goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileHead>,
    /// Whether the sender waits for an answer.
    #[serde(default)]
    pub request: bool,
}

/// A file whose bytes follow once the receiver wants them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileHead {
    /// Its name at the sender, a name of a file without folders. A receiver needn't keep it.
    pub name: String,
    /// How many bytes follow.
    pub bytes: u64,
}

impl TwinMessage {
    /// Checks what a receiver checks: that it is for this twin, hasn't expired, and keeps the limits. A sender calls it
    /// with the receiver's twin before it connects.
    ///
    /// # Errors
    /// The refusal that the receiver would answer with.
    pub fn check(&self, receiver: TwinId, now_ms: u64) -> Result<(), Refusal> {
        let refused = |code, message: String| Err(Refusal { code, message });
        let bad = |message| refused(RefusalCode::BadRequest, message);
        let longest = u64::try_from((MAX_LIFE + CLOCKS_DIFFER).as_millis()).unwrap_or(u64::MAX);
        match &self.file {
            _ if self.to != receiver => bad(format!("it is for twin {}, and here is {receiver}", self.to)),
            _ if self.text.len() > MAX_TEXT_BYTES => {
                bad(format!("a text has {MAX_TEXT_BYTES} bytes at most; send a file instead"))
            }
            Some(file) if file.bytes > MAX_FILE_BYTES => {
                bad(format!("a file has {MAX_FILE_BYTES} bytes at most, and this one {}", file.bytes))
            }
            Some(file) if file.name.len() > MAX_NAME_BYTES => {
                bad(format!("the name of a file has {MAX_NAME_BYTES} bytes at most"))
            }
            _ if self.expires_ms <= now_ms => {
                refused(RefusalCode::Expired, "it has expired: is the sender's clock right?".into())
            }
            _ if self.expires_ms - now_ms > longest => bad(format!(
                "it expires in more than {} days: is the sender's clock right?",
                MAX_LIFE.as_secs() / 86_400
            )),
            _ => Ok(()),
        }
    }
}

/// What a receiver says about a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// The bytes of the file may follow, in data frames up to the end of the stream.
    SendFile {},
    /// It is in the mailbox, and outlives a crash.
    Accepted {},
    /// The answer to a request.
    Answer {
        /// What is answered.
        text: String,
    },
    /// It isn't in the mailbox. Nothing follows.
    Refused(Refusal),
}

/// Why a receiver doesn't take a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Class of the reason.
    pub code: RefusalCode,
    /// The reason in words.
    pub message: String,
}

/// Class of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalCode {
    /// The message isn't one of this protocol, or is for somebody else.
    BadRequest,
    /// Its time is over.
    Expired,
    /// The sender has sent too much, or the mailbox is full: it may be tried later.
    TooMany,
    /// The receiver can't do its part now: it may be tried later.
    Unavailable,
    /// A code of a later version.
    #[serde(other)]
    Other,
}

impl RefusalCode {
    /// Whether the same message is never taken.
    pub fn is_final(self) -> bool {
        matches!(self, Self::BadRequest | Self::Expired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"id":"000102030405060708090a0b0c0d0e0f","from":7,"to":9,"expires_ms":2000,"text":"lease?","file":{"name":"a.json","bytes":2},"request":true}"#;

    #[test]
    fn a_message_has_the_form_of_the_formats_page() {
        let message: TwinMessage = serde_json::from_str(TEXT).unwrap();
        assert_eq!(serde_json::to_string(&message).unwrap(), TEXT);
        assert_eq!((message.from, message.to, message.request), (7, 9, true));
        let accepted = serde_json::to_string(&Reply::Accepted {}).unwrap();
        assert_eq!(accepted, r#"{"accepted":{}}"#);
        let later = r#"{"refused":{"code":"too-tired","message":"x"}}"#;
        let Reply::Refused(refusal) = serde_json::from_str(later).unwrap() else { panic!("another reply") };
        assert!(refusal.code == RefusalCode::Other && !refusal.code.is_final());
    }

    #[test]
    fn what_isnt_a_message_is_refused() {
        for (good, bad) in [
            ("000102030405060708090a0b0c0d0e0f", "00"),
            ("000102030405060708090a0b0c0d0e0f", "000102030405060708090A0B0C0D0E0F"),
            ("000102030405060708090a0b0c0d0e0f", "../../../../../../../etc/passwd0"),
            ("\"request\"", "\"reply\""),
            ("\"from\":7", "\"from\":-7"),
        ] {
            assert!(serde_json::from_str::<TwinMessage>(&TEXT.replace(good, bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_limit_of_a_message_is_told() {
        let life_ms = MAX_LIFE.as_millis() as u64;
        let message: TwinMessage = serde_json::from_str(TEXT).unwrap();
        assert_eq!(message.check(9, 1_999), Ok(()));
        let of_a_fast_clock = TwinMessage { expires_ms: u64::MAX, ..message.clone() };
        assert_eq!(of_a_fast_clock.check(9, u64::MAX - life_ms - 3_600_000), Ok(()));
        let file = |name: &str, bytes| Some(FileHead { name: name.into(), bytes });
        for (changed, code, why) in [
            (TwinMessage { to: 8, ..message.clone() }, RefusalCode::BadRequest, "for twin 8"),
            (TwinMessage { text: "x".repeat(8_193), ..message.clone() }, RefusalCode::BadRequest, "8192"),
            (
                TwinMessage { file: file("a", 16_777_217), ..message.clone() },
                RefusalCode::BadRequest,
                "16777216",
            ),
            (
                TwinMessage { file: file(&"a".repeat(101), 1), ..message.clone() },
                RefusalCode::BadRequest,
                "name",
            ),
            (TwinMessage { expires_ms: 1_000, ..message.clone() }, RefusalCode::Expired, "clock"),
            (
                TwinMessage { expires_ms: 3_601_001 + life_ms, ..message.clone() },
                RefusalCode::BadRequest,
                "7 days",
            ),
        ] {
            let refusal = changed.check(9, 1_000).unwrap_err();
            assert!(refusal.code == code && refusal.message.contains(why), "{refusal:?}");
        }
    }
}
