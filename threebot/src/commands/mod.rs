// SPDX-License-Identifier: Apache-2.0
//! What the commands do: one file for each thing that they are about.

mod bill;
mod calc;
mod claim;
mod claims;
mod contracts;
mod credit;
mod deploy;
mod farm;
mod funds;
mod nodes;
mod oracle;
mod twin;

use crate::{
    cli::{Cli, Command, Deploy, Global, OnGrid, Update},
    document::Plan,
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
        OnGrid::Deploy(Deploy { document, .. }) | OnGrid::Update(Update { document, .. }) => {
            Some(Plan::read(document)?)
        }
        _ => None,
    };
    let plan = || plan.context("the deployment was read before");
    let session = Session::open(global, command.needs_key()).await?;
    match command {
        OnGrid::Twin(command) => twin::run(&session, command).await,
        OnGrid::Farm(command) => farm::run(&session, command).await,
        OnGrid::Deposit { amount, twin } => credit::deposit(&session, amount, twin).await,
        OnGrid::Withdraw { amount } => credit::withdraw(&session, amount).await,
        OnGrid::Deploy(args) => deploy::run(&session, args, plan()?).await,
        OnGrid::Update(args) => deploy::update(&session, args, plan()?).await,
        OnGrid::Rent { node, consent } => claims::rent(&session, node, &consent).await,
        OnGrid::Traffic { contract, gb, consent } => claims::traffic(&session, contract, gb, &consent).await,
        OnGrid::Name { name, consent } => claims::name(&session, name, &consent).await,
        OnGrid::Nodes(args) => nodes::find(&session, args).await,
        OnGrid::Ps => contracts::list(&session).await,
        OnGrid::Bill { contract } => bill::show(&session, contract).await,
        OnGrid::Funds { twin } => funds::show(&session, twin).await,
        OnGrid::Refill(command) => funds::refill(&session, command).await,
        OnGrid::Limits(args) => funds::limits(&session, args).await,
        OnGrid::Oracle(command) => oracle::run(&session, command).await,
        OnGrid::Claim(args) => claim::run(&session, args).await,
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
