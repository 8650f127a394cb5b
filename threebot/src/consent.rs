// SPDX-License-Identifier: Apache-2.0
//! Questions before something that can't be undone.

use crate::{
    output::{Answer, visible},
    plan::Plan,
    session::Session,
};
use anyhow::{Context, Result, bail};
use clap::{Arg, ArgAction, Args};
use serde_json::json;
use std::io::{self, BufRead, IsTerminal, Write};
use tfgrid_client::{primitives::Balance, units::format_tft};

/// A question without a terminal to ask on.
#[derive(Debug, thiserror::Error)]
#[error("nothing was done: there is no terminal to ask on, and --yes goes ahead without a question")]
pub struct NobodyToAsk;

#[derive(Args)]
pub struct Consent {
    /// Go ahead without a question, as --json does; needed where there is no terminal
    #[arg(short, long)]
    pub yes: bool,
}

/// `--yes` of a command that signs and asks nothing.
pub fn unasked() -> Arg {
    let help = "Changes nothing: this command asks no question; scripts may give it to every command that signs a call";
    Arg::new("yes").short('y').long("yes").action(ArgAction::SetTrue).help(help)
}

impl Consent {
    /// Shows what will be done and asks whether to go ahead.
    ///
    /// # Errors
    /// If the answer is no, or [`NobodyToAsk`].
    pub fn ask(&self, session: &Session, what: &str) -> Result<()> {
        self.ask_offline(session.json, what)
    }

    /// The same where no chain is needed; `json` is whether answers are JSON.
    ///
    /// # Errors
    /// If the answer is no, or [`NobodyToAsk`].
    pub fn ask_offline(&self, json: bool, what: &str) -> Result<()> {
        show(json, what)?;
        self.confirm(json)
    }

    /// Shows a plan and asks whether to go ahead; answers with the deposit to make with it, where the credit is too low
    /// and its owner pays the rest.
    ///
    /// # Errors
    /// If the chain would refuse, the answer is no, or [`NobodyToAsk`].
    pub fn ask_for(&self, session: &Session, plan: &Plan) -> Result<Option<Balance>> {
        show(session.json, &plan.text())?;
        match plan.lacking_deposit().filter(|_| self.needs_answer(session.json) && is_somebody_there()) {
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

    fn needs_answer(&self, json: bool) -> bool {
        !json && !self.yes
    }

    fn confirm(&self, json: bool) -> Result<()> {
        if !self.needs_answer(json) {
            return Ok(());
        }
        if !is_somebody_there() {
            bail!(NobodyToAsk);
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

fn is_somebody_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
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
