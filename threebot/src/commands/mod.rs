// SPDX-License-Identifier: Apache-2.0
//! What the commands do: one file for each thing that they are about.

mod contracts;
mod credit;
mod deploy;
mod farm;
mod twin;

use crate::{
    cli::{Cli, Command},
    output::Answer,
    session::Session,
};
use anyhow::{Context, Result};
use tfgrid_client::Included;

pub async fn run(cli: Cli) -> Result<Answer> {
    // What is wrong with a file is said before anything is connected to.
    let plan = match &cli.command {
        Command::Deploy(args) => Some(deploy::Plan::read(args)?),
        _ => None,
    };
    let session = Session::open(&cli.global).await?;
    match cli.command {
        Command::Twin(command) => twin::run(&session, command).await,
        Command::Farm(command) => farm::run(&session, command).await,
        Command::Deposit { amount, twin } => credit::deposit(&session, amount, twin).await,
        Command::Withdraw { amount } => credit::withdraw(&session, amount).await,
        Command::Deploy(args) => {
            let plan = plan.context("the deployment was read before")?;
            deploy::run(&session, args, plan).await
        }
        Command::Ps => contracts::list(&session).await,
        Command::Show { contract } => contracts::show(&session, contract).await,
        Command::Cancel { contract } => contracts::cancel(&session, contract).await,
    }
}

/// The event that a call always leaves.
fn event<E: subxt::events::DecodeAsEvent>(included: &Included, what: &str) -> Result<E> {
    included
        .events
        .find_first::<E>()
        .with_context(|| format!("{what} is in block {:?}, but left no event", included.block))?
        .with_context(|| format!("can't read the event that {what} left in block {:?}", included.block))
}
