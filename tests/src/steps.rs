// SPDX-License-Identifier: Apache-2.0

use anyhow::{Context, Result};
use std::time::Instant;

/// A story in steps: which is under way, how long each took and what came of it.
pub struct Steps {
    aloud: bool,
}

impl Steps {
    /// Prints each step: for people who watch.
    pub fn aloud() -> Self {
        Self { aloud: true }
    }

    /// Prints nothing; only a failure tells its step.
    pub fn silent() -> Self {
        Self { aloud: false }
    }

    /// Takes a step. If it fails, the error begins with its name.
    pub fn take<T>(&self, name: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let begun = Instant::now();
        let outcome = act();
        if self.aloud {
            let mark = if outcome.is_ok() { '✓' } else { '✗' };
            println!("{mark} {:>5.1} s  {name}", begun.elapsed().as_secs_f64());
        }
        outcome.with_context(|| format!("step \"{name}\" failed"))
    }

    /// What came of the last step.
    pub fn note(&self, text: impl std::fmt::Display) {
        if self.aloud {
            println!("           {text}");
        }
    }
}
