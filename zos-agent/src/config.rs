// SPDX-License-Identifier: Apache-2.0
//! The command line of `zos-agent`.

use crate::{
    drivers::{
        address::PublicInterface,
        gateway::GatewayArgs,
        machine::{CopyArgs, EngineChoice},
        network::ResolveArgs,
        pool::PoolPlace,
        registries::Registries,
        runtime::RuntimeArgs,
    },
    host::CapacityOverride,
    logs::LogReach,
    peer::PeerArgs,
    power::PowerArgs,
    update::UpdateArgs,
};
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
#[command(
    version,
    max_term_width = 80,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
#[command(after_help = "\
Examples:
  # What does this machine lack, and why does its node earn nothing?
  zos-agent doctor --chain wss://rpc.example.org

  # First start, with the farmer's ticket
  export ZOS_TICKET=tfgrid-ticket-1:…
  zos-agent --chain wss://rpc.example.org --pool /dev/sdb

  # On a laptop, beside a development chain
  zos-agent --chain ws://127.0.0.1:9944 --data ./node --pool 20GiB

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
    /// Say why this node earns nothing or deploys nothing, and what to do
    ///
    /// It looks at the machine, the agent's parts and what the chain says of the node, and changes nothing. Give it the
    /// options of the agent, which may run meanwhile. The exit code is 1 if something is wrong.
    Doctor(DoctorArgs),
    /// Remove all workloads of this node with their content, its storage pool and its engine
    ///
    /// For a machine that leaves the grid. The agent must not be running. The node's keys stay in the data
    /// folder; disks of the pool are empty afterwards.
    Purge(PurgeArgs),
    /// Copy files from or to a machine for its owner; the agent starts it
    #[command(hide = true)]
    Copy(CopyArgs),
    /// Answer machines' questions for names in private networks; the agent starts it
    #[command(hide = true)]
    Resolve(ResolveArgs),
    /// Run machines for the engine, which starts it
    #[command(hide = true)]
    Runtime(RuntimeArgs),
}

/// Options for running the node.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Chain and ticket of this node.
    #[command(flatten)]
    pub grid: GridArgs,
    /// Folder, pool and engine of this node.
    #[command(flatten)]
    pub place: Place,
    /// Offer only a part of this machine, such as cru=2,mru=2GiB,sru=10GiB
    ///
    /// cru is the number of cores, mru memory, sru the storage pool (SSD), hru that on hard disks (HDD), gpu the number
    /// of GPUs. What isn't named is offered as it was found: all cores, and memory and storage pools less what the
    /// system needs itself; GPUs only if named. Nobody can rent what isn't offered, and more than this machine has is
    /// refused. Remembered for later starts without this option.
    #[arg(long, env = "ZOS_CAPACITY", value_name = "PARTS")]
    pub capacity: Option<CapacityOverride>,
    /// Accept more cores, memory and GPUs in --capacity than this machine has. For development only: tenants share what
    /// is there, and a machine gets no GPU that isn't
    #[arg(long)]
    pub unsafe_capacity: bool,
    /// Name servers for workloads, instead of this host's own
    ///
    /// Workloads reach them at port 53 even in the farm's own network. One that doesn't answer when the agent starts
    /// isn't used.
    #[arg(long, env = "ZOS_DNS", value_name = "IPS", value_delimiter = ',')]
    pub dns: Vec<IpAddr>,
    /// Let workloads reach mail servers (TCP port 25). Spam of one tenant brings this farm's addresses on block lists
    #[arg(long, env = "ZOS_ALLOW_SMTP")]
    pub allow_smtp: bool,
    /// Give workloads public addresses, by this network interface; `default` is that of the default route
    ///
    /// They are those that the farm has on the chain, and those of the node's public IPv6 network. This host routes
    /// them to their workloads and answers for them on the interface: it may be in their network, or have them routed
    /// to it.
    #[arg(long, env = "ZOS_PUBLIC_INTERFACE", value_name = "NAME")]
    pub public_interface: Option<PublicInterface>,
    /// Where images come from.
    #[command(flatten)]
    pub registries: Registries,
    /// Where output of machines may go.
    #[command(flatten)]
    pub logs: LogReach,
    /// Web gateway of the node.
    #[command(flatten)]
    pub gateway: GatewayArgs,
    /// Commands for the farmer's power target.
    #[command(flatten)]
    pub power: PowerArgs,
    /// Updates of the boot image.
    #[command(flatten)]
    pub update: UpdateArgs,
    /// Endpoint for owners of contracts.
    #[command(flatten)]
    pub peer: PeerArgs,
    /// Serve Prometheus metrics at this address, under /metrics
    #[arg(long, env = "ZOS_METRICS", value_name = "ADDRESS", default_value = "127.0.0.1:9616")]
    pub metrics: SocketAddr,
    /// Format of the log on standard error. RUST_LOG selects its content, such as zos_agent=debug
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// The chain that a node is on, and how it joins.
#[derive(Debug, Args)]
pub struct GridArgs {
    /// RPC endpoints of nodes of the chain. The next one is tried where one fails, is behind or serves another chain
    #[arg(
        long,
        env = "ZOS_CHAIN",
        value_name = "URLS",
        value_delimiter = ',',
        default_value = "ws://127.0.0.1:9944"
    )]
    pub chain: Vec<String>,
    /// File with the boot ticket of the farm to join; needed on the first start only
    ///
    /// The variable ZOS_TICKET and `zos.ticket=…` on the kernel's command line do as well. No option takes the ticket
    /// itself: others can read the arguments of a program.
    #[arg(long, env = "ZOS_TICKET_FILE", value_name = "FILE")]
    pub ticket_file: Option<PathBuf>,
}

/// Options for examining a node.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Folder, pool and engine of the node.
    #[command(flatten)]
    pub place: Place,
    /// Chain and ticket of the node.
    #[command(flatten)]
    pub grid: GridArgs,
    /// Print JSON: the node's id, and findings with name, state (ok, note or wrong), text and advice
    #[arg(long)]
    pub json: bool,
}

/// Options for removing a node.
#[derive(Debug, Args)]
pub struct PurgeArgs {
    /// Folder, pool and engine of the node.
    #[command(flatten)]
    pub place: Place,
    /// Confirm that everything is deleted for good
    #[arg(long)]
    pub yes: bool,
}

/// What a node has on its machine: folder, storage pool and container engine.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// Data folder of the node: keys and state
    #[arg(long, env = "ZOS_DATA", value_name = "DIR", default_value = "/var/lib/zos")]
    pub data: PathBuf,
    /// Storage pool for workloads: whole disks (/dev/sdb,/dev/sdc), a folder on btrfs, or for development the size
    /// of a file in the data folder (20GiB)
    ///
    /// Disks must hold nothing: they get a btrfs file system. Remembered for later starts without this option.
    /// Without it, a data folder on btrfs holds the pool. Naming another blank disk, or a larger size, enlarges the
    /// pool; no disk can leave it. Names such as /dev/disk/by-id/… stay when disks are connected differently.
    #[arg(long, env = "ZOS_POOL", value_name = "PLACE")]
    pub pool: Option<PoolPlace>,
    /// Second storage pool, for volumes that ask for hard disks, named as --pool; without it, none are offered
    #[arg(long, env = "ZOS_HDD_POOL", value_name = "PLACE")]
    pub hdd_pool: Option<PoolPlace>,
    /// Use the Docker engine at this socket instead of one of the node's own
    ///
    /// It must keep machines in the storage pool (with its btrfs driver), have user namespaces and live restore. See
    /// --allow-private-registries for what it must refuse itself.
    #[arg(long, env = "ZOS_ENGINE", value_name = "URL", value_parser = socket)]
    pub engine: Option<String>,
    /// Accept any engine: no limits for machines' disks, their root may be this machine's. For development only
    #[arg(long, requires = "engine")]
    pub unsafe_engine: bool,
}

impl Place {
    /// The engine that the farmer has named.
    pub fn engine_choice(&self) -> Option<EngineChoice> {
        let (any, private_registries) = (self.unsafe_engine, self.unsafe_engine);
        self.engine.clone().map(|socket| EngineChoice { socket, any, private_registries })
    }
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
        assert!(
            cli.run.place.engine.is_none()
                && cli.run.place.pool.is_none()
                && cli.run.place.hdd_pool.is_none()
        );
        assert!(cli.run.dns.is_empty() && cli.run.public_interface.is_none());
    }

    #[test]
    fn a_doctor_takes_the_options_of_the_agent() {
        let words = ["doctor", "--engine", "unix:///d.sock", "--chain", "ws://a,ws://b", "--json"];
        match parse(&words).unwrap().command {
            Some(Command::Doctor(doctor)) => {
                assert_eq!(doctor.place.engine.as_deref(), Some("unix:///d.sock"));
                assert_eq!(doctor.grid.chain, ["ws://a", "ws://b"]);
                assert!(doctor.json);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_help_names_the_variable_for_the_ticket() {
        let help = Cli::command().render_long_help().to_string();
        assert!(
            help.contains("The variable ZOS_TICKET") && help.contains("ZOS_TICKET=tfgrid-ticket-1:"),
            "{help}"
        );
    }

    #[test]
    fn a_purge_takes_its_own_arguments() {
        let cli = parse(&["purge", "--data", "/tmp/node", "--engine", "unix:///d.sock", "--yes"]).unwrap();
        match cli.command {
            Some(Command::Purge(purge)) => {
                assert!(purge.yes);
                assert_eq!(purge.place.data, PathBuf::from("/tmp/node"));
                assert_eq!(purge.place.engine.as_deref(), Some("unix:///d.sock"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn mistakes_are_explained() {
        for (args, hint) in [
            (["--engine", "tcp://1.2.3.4:2375"], "must run on this machine"),
            (["--engine", "unix://docker.sock"], "unix:///path/to/docker.sock"),
            (["--pool", "disk"], "/dev/sdb,/dev/sdc"),
            (["--hdd-pool", "disk"], "/dev/sdb,/dev/sdc"),
            (["--unsafe-engine", "--data=/tmp"], "--engine <URL>"),
            (["--public-interface", "a b"], "such as eth0, or default"),
            (["--capacity", "cpu=2"], "known are cru, mru, sru, hru and gpu"),
            (["--channel", "ftp://a"], "write it as https://"),
        ] {
            let error = parse(&args).unwrap_err().to_string();
            assert!(error.contains(hint), "{args:?}: {error}");
        }
    }
}
