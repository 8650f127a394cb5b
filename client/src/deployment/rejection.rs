// SPDX-License-Identifier: Apache-2.0
//! Rejections of deployments.

use std::fmt;
use tfgrid_primitives::{FailureCode, report::MAX_PATH_BYTES};

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

    /// The path, cut at a segment to the length that a failure report allows.
    pub fn report_path(&self) -> &str {
        let mut path = self.path.as_str();
        while path.len() > MAX_PATH_BYTES as usize {
            path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
        path
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
