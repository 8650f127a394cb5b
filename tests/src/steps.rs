// SPDX-License-Identifier: Apache-2.0

use anyhow::{Context, Result};
use std::time::Instant;

/// Runs a story step by step, and prints the outcome and duration of each.
pub struct Steps {
    aloud: bool,
}

impl Steps {
    /// Prints each step.
    pub fn aloud() -> Self {
        Self { aloud: true }
    }

    /// Prints nothing. Errors name their step even so.
    pub fn silent() -> Self {
        Self { aloud: false }
    }

    /// Runs a step. If it fails, the error starts with its name.
    pub fn take<T>(&self, name: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let begun = Instant::now();
        let outcome = act();
        if self.aloud {
            let mark = if outcome.is_ok() { '✓' } else { '✗' };
            println!("{mark} {:>5.1} s  {name}", begun.elapsed().as_secs_f64());
        }
        outcome.with_context(|| format!("step \"{name}\" failed"))
    }

    /// Prints a detail of the last step.
    pub fn note(&self, text: impl std::fmt::Display) {
        if self.aloud {
            println!("           {text}");
        }
    }
}
