// SPDX-License-Identifier: Apache-2.0
//! Questions before something that can't be undone.

use crate::{
    output::{Answer, visible},
    plan::Plan,
    session::Session,
};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use std::io::{self, BufRead, IsTerminal, Write};

#[derive(Args)]
pub struct Consent {
    /// Skip the question (never asked with --json or without a terminal)
    #[arg(short, long)]
    pub yes: bool,
}

impl Consent {
    /// Shows what will be done and asks whether to go ahead.
    ///
    /// # Errors
    /// If the answer is no.
    pub fn ask(&self, session: &Session, what: &str) -> Result<()> {
        self.ask_offline(session.json, what)
    }

    /// The same where no chain is needed; `json` is whether answers are JSON.
    ///
    /// # Errors
    /// If the answer is no.
    pub fn ask_offline(&self, json: bool, what: &str) -> Result<()> {
        show(json, what)?;
        self.confirm(json)
    }

    /// Shows a plan and asks whether to go ahead.
    ///
    /// # Errors
    /// If the chain would refuse, or the answer is no.
    pub fn ask_for(&self, session: &Session, plan: &Plan) -> Result<()> {
        show(session.json, &plan.text())?;
        plan.ensure_affordable()?;
        self.confirm(session.json)
    }

    fn confirm(&self, json: bool) -> Result<()> {
        let mut stderr = io::stderr();
        if json || self.yes || !io::stdin().is_terminal() || !stderr.is_terminal() {
            return Ok(());
        }
        write!(stderr, "Go ahead? [y/N] ").context("can't ask")?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).context("can't read the answer")?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => bail!("nothing was done"),
        }
    }
}

/// A plan that isn't carried out, as the answer.
///
/// # Errors
/// If the chain would refuse; the plan is shown before.
pub fn dry_run(session: &Session, plan: &Plan) -> Result<Answer> {
    if let Err(refused) = plan.ensure_affordable() {
        show(session.json, &plan.text())?;
        return Err(refused);
    }
    let text = format!("{}\nnothing was sent", plan.text());
    Ok(Answer::new(text, json!({ "dry_run": true, "plan": plan.value() })))
}

fn show(json: bool, what: &str) -> Result<()> {
    if json {
        return Ok(());
    }
    writeln!(io::stderr(), "{}", visible(what)).context("can't show what will be done")
}
