// SPDX-License-Identifier: Apache-2.0
//! What can go wrong between a client and the chain.

use crate::bill::BillError;
use std::time::Duration;
use tfgrid_primitives::Refusal;

/// An error of this crate: what was tried, on what, and what came of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The chain can't be reached.
    #[error(
        "can't connect to the chain at {url}: {reason}; is the node running, and is this its RPC address?"
    )]
    Connect {
        /// Where it was looked for.
        url: String,
        /// What the connection said.
        reason: String,
    },
    /// The pool refused a registration or a report.
    #[error("the chain refused {what}: {}", .refusal.text())]
    Refused {
        /// What was submitted.
        what: String,
        /// Why it was refused.
        refusal: Refusal,
    },
    /// A transaction is in a block, but its call failed and changed nothing.
    #[error("{what} failed: {pallet}.{name}: {docs}")]
    Failed {
        /// What was submitted.
        what: String,
        /// The pallet that failed it.
        pallet: String,
        /// The error's name.
        name: String,
        /// The error as a fact.
        docs: String,
    },
    /// The pool refused a transaction.
    #[error("the chain didn't take {what}: {reason}")]
    NotTaken {
        /// What was submitted.
        what: String,
        /// What the node said.
        reason: String,
    },
    /// Something wasn't answered in time.
    #[error("no answer to {what} within {}", humantime(.within))]
    TimedOut {
        /// What was waited for.
        what: String,
        /// For how long.
        within: Duration,
    },
    /// A read failed.
    #[error("can't read {what} from the chain: {reason}")]
    Read {
        /// What was read.
        what: String,
        /// What the node or the decoder said.
        reason: String,
    },
    /// What was read contradicts itself.
    #[error(transparent)]
    Bill(#[from] BillError),
    /// A key can't be made of a text.
    #[error("{0}")]
    Key(String),
}

fn humantime(duration: &Duration) -> String {
    format!("{} s", duration.as_secs())
}

impl Error {
    /// A failed read, with subxt's reason.
    pub(crate) fn read(what: impl Into<String>) -> impl FnOnce(&dyn std::fmt::Display) -> Self {
        let what = what.into();
        move |reason| Self::Read { what, reason: reason.to_string() }
    }

    /// A refused submission: the reason is looked for in what the node said.
    pub(crate) fn not_taken(what: &str, reason: String) -> Self {
        match refusal_in(&reason) {
            Some(refusal) => Self::Refused { what: what.into(), refusal },
            None => Self::NotTaken { what: what.into(), reason },
        }
    }

    /// The pool's reason, where it was one of the grid's.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(*refusal),
            _ => None,
        }
    }
}

/// The refusal that a node's answer names as `Custom error: N`.
fn refusal_in(answer: &str) -> Option<Refusal> {
    let (_, after) = answer.split_once("Custom error: ")?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().and_then(Refusal::from_code)
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
}
