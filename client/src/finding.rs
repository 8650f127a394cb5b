// SPDX-License-Identifier: Apache-2.0
//! Findings of `zos-agent doctor`, which a farmer also asks its node for.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// The node works; its farmer may want to know.
    Note,
    /// The node earns nothing or deploys nothing because of it.
    Wrong,
}

/// A thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at.
    pub name: String,
    /// Whether it is as it should be.
    pub state: State,
    /// How it is, in words.
    pub text: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    /// It is as it should be.
    pub fn ok(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), state: State::Ok, text: text.into(), advice: None }
    }

    /// Its farmer may want to know.
    pub fn note(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { state: State::Note, ..Self::ok(name, text) }
    }

    /// It keeps the node from its work.
    pub fn wrong(name: impl Into<String>, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { state: State::Wrong, advice: Some(advice.into()), ..Self::ok(name, text) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Ok => "ok",
            State::Note => "note",
            State::Wrong => "wrong",
        };
        write!(f, "{state:<6} {}: {}", self.name, self.text)?;
        match &self.advice {
            Some(advice) => write!(f, "\n       -> {advice}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_printed_with_what_to_do() {
        let finding = Finding::wrong("agent", "it doesn't run", "start it");
        assert_eq!(finding.to_string(), "wrong  agent: it doesn't run\n       -> start it");
        assert_eq!(Finding::ok("agent", "it runs").to_string(), "ok     agent: it runs");
        let json = serde_json::to_value(Finding::note("agent", "it runs")).unwrap();
        assert_eq!(json, serde_json::json!({ "name": "agent", "state": "note", "text": "it runs" }));
    }
}
