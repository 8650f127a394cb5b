// SPDX-License-Identifier: Apache-2.0
//! The command line. The arguments of each command are beside it, in `commands/`.

use crate::commands::{
    approve::Approve, balance::Balance, bill::Bill, bot::Bot, calc::Calc, cancel::Cancel, collect::Collect,
    completions::Completions, cp::Cp, deploy::Deploy, deposit::Deposit, device::Device, diff::Diff,
    events::Events, exec::Exec, farm::Farm, forward::Forward, funds::Funds, gateway::Gateway, heal::Heal,
    history::History, key::Key, limits::Limits, logs::Logs, man::Man, msg::Msg, name::Name, net::Net,
    node::Node, nodes::Nodes, oracle::Oracle, plan::Plan, ps::Ps, reference::Reference, refill::Refill,
    rent::Rent, restart::Restart, restore::Restore, send::SendTft, show::Show, snapshot::Snapshot,
    start::Start, status::Status, stop::Stop, team::Team, top::Top, traffic::Traffic, twin::Twin, tx::Tx,
    update::Update, wait::Wait, withdraw::Withdraw,
};
use crate::keyring::parse_key_name;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// The user's and farmer's command line for TF Grid Ledger.
#[derive(Parser)]
#[command(
    version,
    about,
    max_term_width = 80,
    after_help = "\
Examples, with TFGRID_KEY=//Bob in the environment:
  threebot key new main                    or a key of your own, encrypted
  threebot twin create                     your identity on the grid
  threebot deposit 10                      10 TFT of credit to run things on
  threebot node find --cpu 2 --mem 2GiB    where there is room, and its price
  threebot deploy -f site.json --node 1    see the cost, reserve, deploy
  threebot deploy -f shop.yaml             an application of several parts
  threebot update 1 -f site.json           run another version
  threebot ps                              what you run and what it costs
  threebot forward 1 8080:web:80           open http://127.0.0.1:8080
  threebot logs 1 -f                       what it writes
  threebot exec -it 1 web -- sh            a shell in it
  threebot funds                           how long your credit lasts
  threebot bill 1                          what a contract was charged, by month
  threebot cancel 1                        stop it; unused credit stays yours

  threebot farm create sunny               become a farmer
  threebot farm ticket --farm 1            what a machine joins your farm with
  threebot collect --farm 1                be paid what your nodes have earned

  threebot --team shop send 5FHneW… 100    propose what others must sign, too
  threebot approve list                    what awaits your signature, in words

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the chain can't be reached, 4 the
chain refused, 5 proposed: others must sign before it is done, 6 `farm watch`
found something wrong."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// RPC address of a node of the chain
    #[arg(
        long,
        global = true,
        env = "TFGRID_CHAIN",
        value_name = "URL",
        default_value = "ws://127.0.0.1:9944"
    )]
    pub chain: String,
    /// Your key: the name of one of `threebot key`, or a secret URI: a phrase, a 0x seed, or //Name on a development
    /// chain. Others on this machine can see arguments: prefer a name, TFGRID_KEY or --key-file
    #[arg(long, visible_alias = "suri", global = true, value_name = "NAME|URI")]
    pub key: Option<String>,
    /// File with your secret key, readable by you alone, or TFGRID_KEY_FILE
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "key")]
    pub key_file: Option<PathBuf>,
    /// Act for the account of a team of `threebot team`: your key proposes, others sign with `threebot approve`
    #[arg(long, global = true, env = "TFGRID_TEAM", value_name = "NAME", value_parser = parse_key_name)]
    pub team: Option<String>,
    /// Open file descriptor whose first line is the passphrase of the key; without it, the terminal is asked
    #[arg(long, global = true, value_name = "N")]
    pub passphrase_fd: Option<u32>,
    /// Use a development key, which everybody knows, on a chain where TFT have a value
    #[arg(long, global = true)]
    pub allow_development_key: bool,
    /// Answer in JSON: one object on stdout, errors as {"error": …, "code": …} on stderr
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Subcommand)]
pub enum Command {
    /// The keys that you have on this computer
    #[command(subcommand)]
    Key(Key),
    /// The teams with which you sign
    #[command(subcommand)]
    Team(Team),
    /// Calls of your teams that await signatures
    #[command(subcommand)]
    Approve(Approve),
    /// Your identity on the grid
    #[command(subcommand)]
    Twin(Twin),
    /// Offer capacity
    #[command(subcommand)]
    Farm(Farm),
    Balance(Balance),
    Send(SendTft),
    Deposit(Deposit),
    Withdraw(Withdraw),
    Deploy(Deploy),
    Update(Update),
    Rent(Rent),
    /// Unique names on the gateways, for sites
    #[command(subcommand)]
    Name(Name),
    /// Nodes that publish sites under names
    #[command(subcommand)]
    Gateway(Gateway),
    Traffic(Traffic),
    /// Find nodes; look after those of your farm
    #[command(subcommand)]
    Node(Node),
    /// The same as `node find`
    #[command(hide = true)]
    Nodes(Nodes),
    Ps(Ps),
    Status(Status),
    Logs(Logs),
    Exec(Exec),
    Forward(Forward),
    Cp(Cp),
    Events(Events),
    Top(Top),
    Restart(Restart),
    Stop(Stop),
    Start(Start),
    /// Keep what is in volumes and machines in a place of your own
    #[command(subcommand)]
    Snapshot(Snapshot),
    Restore(Restore),
    /// The devices that see and enter your workloads
    #[command(subcommand)]
    Device(Device),
    /// Messages between your bot and those of other twins
    #[command(subcommand)]
    Msg(Msg),
    Bill(Bill),
    Funds(Funds),
    Refill(Refill),
    Limits(Limits),
    /// Let bots manage your contracts
    #[command(subcommand)]
    Bot(Bot),
    Heal(Heal),
    /// The price of TFT
    #[command(subcommand)]
    Oracle(Oracle),
    Collect(Collect),
    History(History),
    Tx(Tx),
    Show(Show),
    Cancel(Cancel),
    /// Compute costs and rewards with the chain's arithmetic; needs neither key nor chain
    #[command(subcommand)]
    Calc(Calc),
    Completions(Completions),
    Man(Man),
    #[command(hide = true)]
    Reference(Reference),
    Plan(Plan),
    Diff(Diff),
    Wait(Wait),
    /// Your private networks
    #[command(subcommand)]
    Net(Net),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::iter;

    /// Commands that neither sign a call nor ask.
    const WITHOUT_YES: &str = "\
key new, key import, key show, key list, key use, team new, team list, team remove, approve list, approve show, \
twin show, twin find, farm list, farm show, farm rewards, farm earnings, farm watch, balance, name list, gateway list, \
node find, node list, node show, node status, node logs, node contracts, nodes, ps, status, logs, exec, forward, cp, \
events, top, restart, stop, start, snapshot take, snapshot list, snapshot verify, device list, msg send, msg call, \
msg contact, bill, funds, refill, bot list, heal status, heal schema, oracle show, history, tx, show, \
calc cost, calc farming, calc units, completions, man, reference, plan, diff, wait, net join, net show";

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_help() {
        let mut open = vec![Cli::command()];
        while let Some(command) = open.pop() {
            assert!(command.get_about().is_some(), "{} has none", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {argument} has none", command.get_name());
            }
            open.extend(command.get_subcommands().cloned());
        }
    }

    #[test]
    fn examples_in_the_help_fit_a_terminal() {
        let mut open = vec![Cli::command()];
        while let Some(command) = open.pop() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in help.lines().filter(|line| line.starts_with("  ")) {
                assert!(line.len() <= 80, "{}: {line}", command.get_name());
            }
            open.extend(command.get_subcommands().cloned());
        }
    }

    #[test]
    fn examples_in_the_help_are_command_lines() {
        let (mut open, mut wrong) = (vec![Cli::command()], Vec::new());
        while let Some(command) = open.pop() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in help.lines().filter_map(|line| line.strip_prefix("  threebot ")) {
                // What is quoted, goes on, or stands for something else.
                if ["'", "\\", "…", "<", "&", "KEY", "s3."].iter().any(|part| line.contains(part)) {
                    continue;
                }
                let end = ["  ", " |", " >", ";"].into_iter().filter_map(|end| line.find(end)).min();
                let words = iter::once("threebot").chain(line[..end.unwrap_or(line.len())].split(' '));
                wrong.extend(Cli::try_parse_from(words).err().map(|error| format!("{line}: {error}")));
            }
            open.extend(command.get_subcommands().cloned());
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn each_command_that_signs_or_asks_takes_yes() {
        let mut root = Cli::command().disable_help_subcommand(true);
        root.build();
        let (mut open, mut without) = (vec![&root], Vec::new());
        while let Some(command) = open.pop() {
            open.extend(command.get_subcommands());
            let takes_yes = command.get_arguments().any(|arg| arg.get_long() == Some("yes"));
            if !takes_yes && !command.is_subcommand_required_set() {
                without.extend(command.get_bin_name().and_then(|name| name.strip_prefix("threebot ")));
            }
        }
        let mut expected: Vec<&str> = WITHOUT_YES.split(", ").collect();
        expected.sort_unstable();
        without.sort_unstable();
        assert_eq!(without, expected);
    }

    #[test]
    fn the_readme_names_every_command() {
        let page = include_str!("../README.md");
        for command in Cli::command().get_subcommands() {
            let row = format!("(src/commands/{}.rs)", command.get_name());
            assert!(page.contains(&row), "{row} is missing");
        }
    }
}
