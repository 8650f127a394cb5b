// SPDX-License-Identifier: Apache-2.0
//! The commands, one a file: arguments, what is done, answer.

pub mod approve;
pub mod asked_node;
pub mod balance;
pub mod bill;
pub mod bot;
pub mod calc;
pub mod cancel;
pub mod collect;
pub mod completions;
pub mod cp;
pub mod deploy;
pub mod deposit;
pub mod device;
pub mod diff;
pub mod events;
pub mod exec;
pub mod farm;
pub mod forward;
pub mod funds;
pub mod gateway;
pub mod heal;
pub mod history;
pub mod image;
pub mod key;
pub mod limits;
pub mod logs;
pub mod man;
pub mod msg;
pub mod name;
pub mod net;
pub mod net_create;
pub mod node;
pub mod nodes;
pub mod oracle;
pub mod plan;
pub mod ps;
pub mod reference;
pub mod refill;
pub mod rent;
pub mod restart;
pub mod restore;
pub mod rewards;
pub mod send;
pub mod show;
pub mod shown_node;
pub mod snapshot;
pub mod start;
pub mod status;
pub mod stop;
pub mod team;
pub mod top;
pub mod traffic;
pub mod twin;
pub mod tx;
pub mod update;
pub mod wait;
pub mod watch;
pub mod withdraw;

use crate::{
    cli::{Cli, Command},
    output::Answer,
};
use anyhow::{Context, Result};
use tfgrid_client::Included;

pub async fn run(Cli { global, command }: Cli) -> Result<Answer> {
    let global = &global;
    match command {
        Command::Key(command) => command.run(global),
        Command::Team(command) => command.run(),
        Command::Approve(command) => command.run(global).await,
        Command::Twin(command) => command.run(global).await,
        Command::Farm(command) => command.run(global).await,
        Command::Deposit(command) => command.run(global).await,
        Command::Withdraw(command) => command.run(global).await,
        Command::Deploy(command) => command.run(global).await,
        Command::Update(command) => command.run(global).await,
        Command::Rent(command) => command.run(global).await,
        Command::Name(command) => command.run(global).await,
        Command::Gateway(command) => command.run(global).await,
        Command::Traffic(command) => command.run(global).await,
        Command::Node(command) => command.run(global).await,
        Command::Nodes(command) => command.run(global).await,
        Command::Ps(command) => command.run(global).await,
        Command::Bill(command) => command.run(global).await,
        Command::Funds(command) => command.run(global).await,
        Command::Refill(command) => command.run(global).await,
        Command::Limits(command) => command.run(global).await,
        Command::Bot(command) => command.run(global).await,
        Command::Heal(command) => command.run(global).await,
        Command::Oracle(command) => command.run(global).await,
        Command::Collect(command) => command.run(global).await,
        Command::Balance(command) => command.run(global).await,
        Command::Send(command) => command.run(global).await,
        Command::History(command) => command.run(global).await,
        Command::Tx(command) => command.run(global).await,
        Command::Show(command) => command.run(global).await,
        Command::Cancel(command) => command.run(global).await,
        Command::Cp(command) => command.run(global).await,
        Command::Device(command) => command.run(global).await,
        Command::Events(command) => command.run(global).await,
        Command::Exec(command) => command.run(global).await,
        Command::Forward(command) => command.run(global).await,
        Command::Logs(command) => command.run(global).await,
        Command::Msg(command) => command.run(global).await,
        Command::Restart(command) => command.run(global).await,
        Command::Snapshot(command) => command.run(global).await,
        Command::Restore(command) => command.run(global).await,
        Command::Start(command) => command.run(global).await,
        Command::Stop(command) => command.run(global).await,
        Command::Status(command) => command.run(global).await,
        Command::Top(command) => command.run(global).await,
        Command::Calc(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
        Command::Reference(command) => Ok(command.run()),
        Command::Plan(command) => command.run(global).await,
        Command::Diff(command) => command.run(global).await,
        Command::Wait(command) => command.run(global).await,
        Command::Net(command) => command.run(global).await,
    }
}

/// The event that a successful call always has.
fn event<E: subxt::events::DecodeAsEvent>(included: &Included, what: &str) -> Result<E> {
    included
        .events
        .find_first::<E>()
        .with_context(|| format!("{what} is in block {:?}, but has no event", included.block))?
        .with_context(|| format!("can't read the event of {what} in block {:?}", included.block))
}
