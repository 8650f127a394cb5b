// SPDX-License-Identifier: Apache-2.0
//! Errors between a client and the chain.
//!
//! Each message includes its cause, as subxt's do: one line is enough for a log.

use crate::bill::BillError;
use sp_core::{H256, crypto::SecretStringError};
use std::time::Duration;
use subxt_signer::{SecretUriError, sr25519};
use tfgrid_primitives::{Refusal, ticket::TICKET_PREFIX};

/// An error of this crate: what was tried, on what, and why it failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no connection to the chain.
    #[error("can't connect to the chain at {url}: {source}")]
    Connect {
        /// RPC address of the node.
        url: String,
        /// Whether the address, the time or the connection was at fault.
        source: ConnectError,
    },
    /// The pool refused a registration or a report.
    #[error("the chain refused {what}: {}", .refusal.text())]
    Refused {
        /// The call, as in the message: `a heartbeat`.
        what: String,
        /// The rule that it breaks.
        refusal: Refusal,
    },
    /// A transaction is in a block, but its call failed and changed nothing.
    #[error("{what} failed: {pallet}.{name}: {docs}")]
    Failed {
        /// The call, as in the message: `the price of TFT`.
        what: String,
        /// The pallet of the error.
        pallet: String,
        /// The error's name.
        name: String,
        /// The error's description in the metadata.
        docs: String,
    },
    /// A transaction didn't get into a block.
    #[error("the chain didn't take {what}: {source}")]
    NotTaken {
        /// The call, as in the message: `the price of TFT`.
        what: String,
        /// Where on the way it failed.
        source: SubmitError,
    },
    /// A transaction was sent, and then the connection or the time ended.
    #[error("what became of {what} isn't known: {source}; `threebot tx {hash:?}` finds out")]
    Unknown {
        /// The call, as in the message: `the price of TFT`.
        what: String,
        /// The transaction's hash.
        hash: H256,
        /// Why nothing more is known.
        source: Box<Error>,
    },
    /// An answer didn't come in time.
    #[error("no answer to {what} within {}", humantime::format_duration(*.within))]
    TimedOut {
        /// What was asked for, as in the message: `a finalized head`.
        what: String,
        /// The time that it had.
        within: Duration,
    },
    /// A read failed.
    #[error("can't read {what} from the chain: {source}")]
    Read {
        /// The item that was read.
        what: String,
        /// subxt's error, of the connection or of decoding.
        source: Box<subxt::Error>,
    },
    /// The chain's runtime isn't the one of [`crate::api`].
    #[error(
        "the chain's runtime has another form of {what} than this program knows: install its newest release"
    )]
    Outdated {
        /// The call or the item that was read.
        what: String,
    },
    /// The answer to a read contradicts the chain's own rules.
    #[error("can't make sense of {what} from the chain: {why}")]
    Inconsistent {
        /// The item that was read.
        what: String,
        /// What is wrong with it, as in the message: `it is longer than the chain allows`.
        why: &'static str,
    },
    /// A contract's charges contradict each other.
    #[error(transparent)]
    Bill(#[from] BillError),
    /// A text isn't a key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address has another scheme.
    #[error("an RPC address begins with ws:// or wss://")]
    Scheme,
    /// Nobody answers.
    #[error("no answer within {}; is the node running, and is this its RPC address?", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// The connection or the first requests failed.
    #[error("{0}; is the node running, and is this its RPC address?")]
    Rpc(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a transaction didn't get into a block.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// It can't be encoded, or the connection failed.
    #[error(transparent)]
    Client(#[from] Box<subxt::Error>),
    /// The node refused it.
    #[error("{0}")]
    Node(String),
    /// The connection ended before the transaction was finalized; it may still come into a block.
    #[error("the connection ended before it was finalized")]
    ConnectionEnded,
}

/// Why a text isn't a key. None of the messages repeats the text.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum KeyError {
    #[error("the key is empty: a secret URI is a phrase, a 0x seed or a derivation such as //Alice")]
    Empty,
    #[error(
        "the key isn't a secret URI: {0}; a secret URI is a phrase, a 0x seed or a derivation such as //Alice"
    )]
    Uri(#[from] SecretUriError),
    #[error(
        "this secret URI gives no key: {0}; a secret URI is a phrase, a 0x seed or a derivation such as //Alice"
    )]
    Secret(#[from] sr25519::Error),
    #[error("this secret URI gives no ed25519 key: {0}; its derivations are hard ones such as //Alice")]
    Ed25519(#[from] SecretStringError),
    #[error("{0:?} isn't a signature scheme: use sr25519 or ed25519")]
    Scheme(String),
    #[error(
        "a boot ticket is {TICKET_PREFIX:?} followed by 64 hex digits, as `threebot farm ticket` prints it"
    )]
    Ticket,
}

impl Error {
    /// A failed read of `what`.
    pub(crate) fn read<E: Into<subxt::Error>>(what: &str) -> impl FnOnce(E) -> Self {
        move |source| {
            let (what, source): (String, subxt::Error) = (what.into(), source.into());
            if is_outdated(&source) {
                Self::Outdated { what }
            } else {
                Self::Read { what, source: Box::new(source) }
            }
        }
    }

    /// A submission that failed before the node had it.
    pub(crate) fn unsent<E: Into<subxt::Error>>(what: &str) -> impl FnOnce(E) -> Self {
        move |source| {
            let (what, source): (String, subxt::Error) = (what.into(), source.into());
            if is_outdated(&source) {
                Self::Outdated { what }
            } else {
                Self::NotTaken { what, source: Box::new(source).into() }
            }
        }
    }

    /// A submission that the node refused: the reason is looked for in its answer.
    pub(crate) fn not_taken(what: &str, answer: String) -> Self {
        match refusal_in(&answer) {
            Some(refusal) => Self::Refused { what: what.into(), refusal },
            None => Self::NotTaken { what: what.into(), source: SubmitError::Node(with_cause(answer)) },
        }
    }

    /// The pool's reason, where it was one of the grid's.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(*refusal),
            _ => None,
        }
    }

    /// Whether a transaction that was sent may still come into a block, or be in one.
    pub(crate) fn leaves_fate_open(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::Read { .. } | Self::Outdated { .. } => true,
            Self::NotTaken { source, .. } => !matches!(source, SubmitError::Node(_)),
            _ => false,
        }
    }

    /// Whether another transaction of the same account had the nonce: this one will never be in a block.
    pub(crate) fn nonce_was_taken(&self) -> bool {
        /// The node's words over its two RPC interfaces, old and new.
        const ANSWERS: [&str; 7] = [
            "priority of the transaction is too low",
            "Priority is too low",
            "already imported",
            "Already Imported",
            "is outdated",
            "rendered invalid by another extrinsic",
            "usurped",
        ];
        match self {
            Self::NotTaken { source: SubmitError::ConnectionEnded, .. } => false,
            Self::NotTaken { source, .. } => {
                let answer = source.to_string();
                ANSWERS.iter().any(|words| answer.contains(words))
            }
            _ => false,
        }
    }
}

/// Whether the runtime's metadata have another form of a call or an item.
fn is_outdated(error: &subxt::Error) -> bool {
    use subxt::error::{ConstantError, ExtrinsicError, RuntimeApiError, StorageError};
    matches!(
        error,
        subxt::Error::ExtrinsicError(ExtrinsicError::IncompatibleCodegen)
            | subxt::Error::StorageError(StorageError::IncompatibleCodegen)
            | subxt::Error::RuntimeApiError(RuntimeApiError::IncompatibleCodegen)
            | subxt::Error::ConstantError(ConstantError::IncompatibleCodegen)
    )
}

/// The refusal that a node's answer names as `Custom error: N`.
fn refusal_in(answer: &str) -> Option<Refusal> {
    let (_, after) = answer.split_once("Custom error: ")?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().and_then(Refusal::from_code)
}

/// A node's answer with what it doesn't say: a transaction names a finalized block of the last ones, and where finality
/// stands still, no such block is left.
fn with_cause(answer: String) -> String {
    if answer.contains("bad signature") {
        return format!(
            "{answer} (also where the chain hasn't finalized a block for minutes: try again later)"
        );
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_read_from_the_nodes_answer() {
        let answer =
            r#"User error: code: 1010, message: Invalid Transaction, data: Some("Custom error: 11")"#;
        assert_eq!(Error::not_taken("a heartbeat", answer.into()).refusal(), Some(Refusal::TooSoon));
        assert_eq!(Error::not_taken("x", "Custom error: 200".into()).refusal(), None);
        assert_eq!(Error::not_taken("x", "pool is full".into()).refusal(), None);
    }

    #[test]
    fn a_program_for_another_runtime_is_told_what_to_do() {
        let sent = Error::unsent("deposit")(subxt::error::ExtrinsicError::IncompatibleCodegen);
        let read = Error::read("a twin")(subxt::error::StorageError::IncompatibleCodegen);
        for (error, what) in [(sent, "deposit"), (read, "a twin")] {
            let text = error.to_string();
            assert!(text.contains(what) && text.ends_with("install its newest release"), "{text}");
        }
    }

    #[test]
    fn a_fate_is_known_once_the_chain_has_answered() {
        let ended = || Error::NotTaken { what: "x".into(), source: SubmitError::ConnectionEnded };
        assert!(ended().leaves_fate_open());
        assert!(Error::TimedOut { what: "x".into(), within: Duration::ZERO }.leaves_fate_open());
        assert!(!Error::not_taken("x", "pool is full".into()).leaves_fate_open());
        assert!(!Error::not_taken("x", "Custom error: 11".into()).leaves_fate_open());
        let hash = H256([0xab; 32]);
        let unknown = Error::Unknown { what: "deposit".into(), hash, source: Box::new(ended()) }.to_string();
        let command = format!("`threebot tx 0x{}` finds out", "ab".repeat(32));
        assert!(
            unknown.contains("what became of deposit isn't known") && unknown.ends_with(&command),
            "{unknown}"
        );
    }

    #[test]
    fn a_bad_signature_may_be_a_chain_without_finality() {
        let text = |answer: &str| Error::not_taken("x", answer.into()).to_string();
        assert!(text("Transaction has a bad signature").ends_with("try again later)"));
        assert_eq!(text("pool is full"), "the chain didn't take x: pool is full");
    }

    #[test]
    fn only_a_taken_nonce_lets_a_call_be_sent_again() {
        let taken = |answer: &str| Error::not_taken("x", answer.into()).nonce_was_taken();
        for answer in [
            "The priority of the transaction is too low (pool 932 > current 932)",
            "Priority is too low: (932 vs 932)",
            "Transaction is already imported",
            "Invalid transaction: Transaction is outdated",
            "Extrinsic was rendered invalid by another extrinsic",
        ] {
            assert!(taken(answer), "{answer}");
        }
        for answer in
            ["Inability to pay some fees", "Transaction has a bad signature", "Extrinsic marked as invalid"]
        {
            assert!(!taken(answer), "{answer}");
        }
        let ended = Error::NotTaken { what: "x".into(), source: SubmitError::ConnectionEnded };
        assert!(!ended.nonce_was_taken());
    }
}
