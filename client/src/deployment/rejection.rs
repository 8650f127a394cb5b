// SPDX-License-Identifier: Apache-2.0
//! Rejections of deployments.

use crate::causes::shortened;
use std::fmt;
use tfgrid_primitives::{
    FailureCode,
    report::{Failure, FailurePath, FailureText, MAX_FAILURE_TEXT_BYTES, MAX_PATH_BYTES},
    text::printable,
};

/// Segments of a pointer to a workload's field, the empty first one included. What follows may be a key of the owner's.
const FIELD_SEGMENTS: usize = 5;

/// Stands in reports, which are public, for words of a machine that are its owner's alone: events have them.
pub const WITHHELD: &str = "told to its owner alone";

/// How the message of a rejection of a sealed body begins.
pub const UNTOLD: &str = "the body or a part of it is sealed, its content isn't told";

/// A rule that a deployment breaks, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Rejection {
    /// The code of a failure report.
    pub code: FailureCode,
    /// JSON pointer (RFC 6901) into the body; empty for the whole of it.
    pub path: String,
    /// For people: the rule, and the value that breaks it.
    pub message: String,
}

impl Rejection {
    /// A rejection of the value at `path`.
    pub fn new(code: FailureCode, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, path: path.into(), message: message.into() }
    }

    /// What may be told of a rejection of a sealed body: no value from it. Failure reports are public.
    #[must_use]
    pub fn withheld(self) -> Self {
        let path: Vec<&str> = self.path.split('/').take(FIELD_SEGMENTS).collect();
        let path = path.join("/");
        let message = match self.code {
            FailureCode::WorkloadExited => self.message,
            FailureCode::BodyNotJson
            | FailureCode::BodyUnsupported
            | FailureCode::BodyInvalid
            | FailureCode::OverReserved => {
                format!("{UNTOLD}: `threebot deploy --dry-run` checks the file")
            }
            _ => UNTOLD.into(),
        };
        Self { path, message, ..self }
    }

    /// What a failure report of `version` says: printable, the path cut at a segment, and the text without causes that
    /// don't fit.
    pub fn failure(&self, version: u32) -> Failure {
        let mut path = self.path.as_str();
        while path.len() > MAX_PATH_BYTES as usize {
            path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
        let text = shortened(&self.message, MAX_FAILURE_TEXT_BYTES);
        Failure {
            version,
            code: self.code,
            path: FailurePath::truncate_from(printable(path, MAX_PATH_BYTES).into_bytes()),
            text: FailureText::truncate_from(text.into_bytes()),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}
