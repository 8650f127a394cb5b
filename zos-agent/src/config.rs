// SPDX-License-Identifier: Apache-2.0
//! The command line of `zos-agent`.

use crate::host::CapacityOverride;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

/// The node agent: runs on a 3Node the workloads that the chain assigns to it.
///
/// On its first start it creates keys for this node and joins the farm of the boot ticket. After that it
/// needs no commands: it reads this node's contracts from the chain, runs their workloads in containers, and
/// reports what runs and what was used. It can be stopped, killed or upgraded at any time; workloads keep
/// running.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "\
Examples:
  # Does this machine have all that the agent needs?
  zos-agent check

  # First start, with the farmer's ticket. Other users of the machine can read
  # the arguments of a program, but not its environment
  ZOS_TICKET=tfgrid-ticket-1:… zos-agent --chain wss://rpc.example.org

  # On a laptop, beside a development chain
  zos-agent --chain ws://127.0.0.1:9944 --data ./node --capacity cru=2,mru=2GiB,sru=10GiB

  # Remove everything from a machine that leaves the grid
  zos-agent purge --yes")]
pub struct Cli {
    /// Command to execute instead of running the node.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options for running the node.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Commands beside running the node.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check that this machine can run workloads, and say what to do if it can't
    Check(Place),
    /// Remove all containers, networks and volumes of this node, with their content
    ///
    /// For a machine that leaves the grid. The agent must not be running. The node's keys stay in the data
    /// folder.
    Purge(PurgeArgs),
}

/// Options for running the node.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// RPC endpoint of a node of the chain
    #[arg(long, env = "ZOS_CHAIN", value_name = "URL", default_value = "ws://127.0.0.1:9944")]
    pub chain: String,
    /// Folder and engine of this node.
    #[command(flatten)]
    pub place: Place,
    /// Boot ticket of the farm to join; needed on the first start only. Prefer ZOS_TICKET: others can read
    /// arguments
    #[arg(long, env = "ZOS_TICKET", value_name = "TICKET", hide_env_values = true)]
    pub ticket: Option<String>,
    /// Offer this capacity instead of what was found, such as cru=2,mru=2GiB,sru=10GiB
    ///
    /// Parts that aren't named are as found: all cores, and memory and disk of the data folder less what the
    /// system needs itself. cru and gpu are counts; mru (memory), sru (SSD) and hru (HDD) are sizes.
    /// Remembered for later starts without this option.
    #[arg(long, env = "ZOS_CAPACITY", value_name = "PARTS")]
    pub capacity: Option<CapacityOverride>,
    /// Name servers for workloads. They must be public: workloads can't reach the farm's own network
    #[arg(long, value_name = "IP", value_delimiter = ',', default_value = "1.1.1.1,9.9.9.9")]
    pub dns: Vec<IpAddr>,
    /// Serve Prometheus metrics at this address, under /metrics
    #[arg(long, env = "ZOS_METRICS", value_name = "ADDRESS", default_value = "127.0.0.1:9616")]
    pub metrics: SocketAddr,
    /// Format of the log on standard error. RUST_LOG selects its content, such as zos_agent=debug
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// Options for removing a node.
#[derive(Debug, Args)]
pub struct PurgeArgs {
    /// Folder and engine of the node.
    #[command(flatten)]
    pub place: Place,
    /// Confirm that everything is deleted for good
    #[arg(long)]
    pub yes: bool,
}

/// Data folder and container engine of a node.
#[derive(Debug, Args)]
pub struct Place {
    /// Data folder of the node: keys, state and volumes
    #[arg(long, env = "ZOS_DATA", value_name = "DIR", default_value = "/var/lib/zos")]
    pub data: PathBuf,
    /// Socket of the Docker engine that runs the workloads
    #[arg(
        long,
        env = "ZOS_DOCKER",
        value_name = "URL",
        default_value = "unix:///var/run/docker.sock",
        value_parser = socket
    )]
    pub docker: String,
}

/// Format of the log.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// Plain text, coloured on a terminal unless NO_COLOR is set
    Text,
    /// One JSON object per line
    Json,
}

/// Accepts local sockets only: another machine's engine can't mount this machine's volumes.
fn socket(text: &str) -> Result<String, String> {
    match text.strip_prefix("unix://") {
        Some(path) if path.starts_with('/') => Ok(text.to_owned()),
        _ => Err("write it as unix:///path/to/docker.sock; the engine must run on this machine".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["zos-agent"], args].concat())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn everything_has_a_default() {
        let cli = parse(&[]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.run.place.docker, "unix:///var/run/docker.sock");
        assert_eq!(cli.run.dns.len(), 2);
    }

    #[test]
    fn a_check_takes_folder_and_engine() {
        match parse(&["check", "--docker", "unix:///d.sock"]).unwrap().command {
            Some(Command::Check(place)) => assert_eq!(place.docker, "unix:///d.sock"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_help_names_the_variable_for_the_ticket() {
        let help = Cli::command().render_help().to_string();
        assert!(help.contains("[env: ZOS_TICKET]") && help.contains("ZOS_TICKET=tfgrid-ticket-1:"), "{help}");
    }

    #[test]
    fn a_purge_takes_its_own_arguments() {
        let cli = parse(&["purge", "--data", "/tmp/node", "--docker", "unix:///d.sock", "--yes"]).unwrap();
        match cli.command {
            Some(Command::Purge(purge)) => {
                assert!(purge.yes);
                assert_eq!(purge.place.data, PathBuf::from("/tmp/node"));
                assert_eq!(purge.place.docker, "unix:///d.sock");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn mistakes_are_explained() {
        for (args, hint) in [
            (["--docker", "tcp://1.2.3.4:2375"], "must run on this machine"),
            (["--docker", "unix://docker.sock"], "unix:///path/to/docker.sock"),
            (["--capacity", "cpu=2"], "known are cru, mru, sru, hru and gpu"),
        ] {
            let error = parse(&args).unwrap_err().to_string();
            assert!(error.contains(hint), "{args:?}: {error}");
        }
    }
}
