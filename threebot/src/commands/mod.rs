// SPDX-License-Identifier: Apache-2.0
//! What the commands do: one file for each thing that they are about.

mod calc;
mod contracts;
mod credit;
mod deploy;
mod farm;
mod twin;

use crate::{
    cli::{Cli, Command, Global, OnGrid},
    output::Answer,
    session::Session,
};
use anyhow::{Context, Result};
use tfgrid_client::Included;

pub async fn run(cli: Cli) -> Result<Answer> {
    match cli.command {
        Command::Calc(command) => calc::run(command),
        Command::OnGrid(command) => run_on_grid(&cli.global, command).await,
    }
}

async fn run_on_grid(global: &Global, command: OnGrid) -> Result<Answer> {
    // What is wrong with a file is said before anything is connected to.
    let plan = match &command {
        OnGrid::Deploy(args) => Some(deploy::Plan::read(args)?),
        _ => None,
    };
    let session = Session::open(global).await?;
    match command {
        OnGrid::Twin(command) => twin::run(&session, command).await,
        OnGrid::Farm(command) => farm::run(&session, command).await,
        OnGrid::Deposit { amount, twin } => credit::deposit(&session, amount, twin).await,
        OnGrid::Withdraw { amount } => credit::withdraw(&session, amount).await,
        OnGrid::Deploy(args) => {
            let plan = plan.context("the deployment was read before")?;
            deploy::run(&session, args, plan).await
        }
        OnGrid::Ps => contracts::list(&session).await,
        OnGrid::Show { contract } => contracts::show(&session, contract).await,
        OnGrid::Cancel { contract } => contracts::cancel(&session, contract).await,
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
