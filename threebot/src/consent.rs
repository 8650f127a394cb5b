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
use tfgrid_client::{primitives::Balance, units::format_tft};

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

    /// Shows a plan and asks whether to go ahead; answers with the deposit to make with it, where the credit is too low
    /// and its owner pays the rest.
    ///
    /// # Errors
    /// If the chain would refuse, or the answer is no.
    pub fn ask_for(&self, session: &Session, plan: &Plan) -> Result<Option<Balance>> {
        show(session.json, &plan.text())?;
        match plan.lacking_deposit().filter(|_| self.is_asked(session.json)) {
            Some(deposit) => {
                plan.ensure_within_limits()?;
                let amount = format_tft(deposit);
                show(
                    session.json,
                    &format!(
                        "your credit is too low: {amount} TFT of your account would be deposited with it"
                    ),
                )?;
                self.confirm(session.json)?;
                Ok(Some(deposit))
            }
            None => {
                plan.ensure_affordable()?;
                self.confirm(session.json)?;
                Ok(None)
            }
        }
    }

    /// Whether there is somebody to ask.
    fn is_asked(&self, json: bool) -> bool {
        !json && !self.yes && io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    fn confirm(&self, json: bool) -> Result<()> {
        if !self.is_asked(json) {
            return Ok(());
        }
        write!(io::stderr(), "Go ahead? [y/N] ").context("can't ask")?;
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
