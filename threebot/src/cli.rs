// SPDX-License-Identifier: Apache-2.0
//! What can be said on the command line.

use clap::{Args, Parser, Subcommand};
use std::{path::PathBuf, time::Duration};
use tfgrid_client::primitives::{Balance, ContractId, FarmId, NodeId, TwinId};

/// The user's and farmer's command line for TF Grid Ledger.
#[derive(Parser)]
#[command(
    version,
    about,
    max_term_width = 100,
    after_help = "\
Examples:
  threebot --key //Bob twin create                     your identity on the grid
  threebot --key //Bob deposit 10                      10 TFT of credit to run things on
  threebot --key //Bob deploy -f site.json --node 1    reserve, deploy, wait until it runs
  threebot --key //Bob ps                              what you run and what it costs
  threebot --key //Bob cancel 1                        stop it; the rest of the credit stays yours

  threebot --key //Alice farm create sunny             become a farmer
  threebot --key //Alice farm ticket --farm 1          what a machine boots with to join your farm

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the chain can't be reached, 4 the chain refused."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command understands.
#[derive(Args)]
pub struct Global {
    /// RPC address of a node of the chain
    #[arg(long, global = true, env = "TFGRID_URL", default_value = "ws://127.0.0.1:9944")]
    pub url: String,
    /// Your secret key: a phrase, a 0x seed, or //Name on a development chain. Others on this machine can
    /// see arguments: prefer TFGRID_KEY or --key-file
    #[arg(long, global = true, env = "TFGRID_KEY", hide_env_values = true, value_name = "SURI")]
    pub key: Option<String>,
    /// File with your secret key
    #[arg(long, global = true, env = "TFGRID_KEY_FILE", value_name = "FILE", conflicts_with = "key")]
    pub key_file: Option<PathBuf>,
    /// Answer in JSON, for machines: one object on stdout, errors as {"error": …} on stderr
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Subcommand)]
pub enum Command {
    #[command(flatten)]
    OnGrid(OnGrid),
    /// What things cost and earn, by the chain's arithmetic; needs neither key nor chain
    #[command(subcommand)]
    Calc(Calc),
}

/// What is done with a key, on a chain.
#[derive(Subcommand)]
pub enum OnGrid {
    /// Your identity on the grid
    #[command(subcommand)]
    Twin(Twin),
    /// Offer capacity
    #[command(subcommand)]
    Farm(Farm),
    /// Pay TFT into a twin's credit: your own, or anybody's
    Deposit {
        /// In TFT, such as 12.5
        #[arg(value_parser = tfgrid_client::units::parse_tft)]
        amount: Balance,
        /// Whose credit; yours when left out
        #[arg(long)]
        twin: Option<TwinId>,
    },
    /// Take credit back to your account
    Withdraw {
        /// In TFT, such as 12.5; all that may go when left out
        #[arg(value_parser = tfgrid_client::units::parse_tft)]
        amount: Option<Balance>,
    },
    /// Reserve capacity on a node and let it run a deployment
    Deploy(Deploy),
    /// List what you run
    Ps,
    /// Show everything about a contract
    Show {
        /// The contract's id
        contract: ContractId,
    },
    /// Close a contract: what it ran and its disks are gone for good
    Cancel {
        /// The contract's id
        contract: ContractId,
    },
}

#[derive(Subcommand)]
pub enum Calc {
    /// What capacity, addresses and traffic cost
    Cost(CalcCost),
    /// What a node earns in a period of 30 days
    Farming(CalcFarming),
    /// What the units are
    Units,
}

/// Sizes are written like 512MiB, 2GiB or 1TiB.
#[derive(Args)]
pub struct CalcCost {
    /// Cores
    #[arg(long, default_value_t = 0)]
    pub cru: u64,
    /// Memory
    #[arg(long, default_value = "0", value_parser = tfgrid_client::units::parse_bytes)]
    pub mru: u64,
    /// SSD
    #[arg(long, default_value = "0", value_parser = tfgrid_client::units::parse_bytes)]
    pub sru: u64,
    /// HDD
    #[arg(long, default_value = "0", value_parser = tfgrid_client::units::parse_bytes)]
    pub hru: u64,
    /// GPUs
    #[arg(long, default_value_t = 0)]
    pub gpu: u64,
    /// Public IPv4 addresses
    #[arg(long, default_value_t = 0)]
    pub ips: u32,
    /// GB of public traffic (10^9 bytes)
    #[arg(long, default_value_t = 0)]
    pub nu_gb: u64,
    /// For how many seconds
    #[arg(long, default_value_t = 3_600)]
    pub seconds: u64,
    /// Price of one TFT in USD, such as 0.05
    #[arg(long, value_parser = tfgrid_client::units::parse_price)]
    pub tft_price: u64,
    /// Prices in 1e-7 USD, a JSON file; the default list when left out
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
    /// The whole node is rented
    #[arg(long)]
    pub rent: bool,
    /// The node is certified
    #[arg(long)]
    pub certified: bool,
    /// Months for which the credit lasts: earns a discount
    #[arg(long, default_value_t = 0.0)]
    pub runway_months: f64,
}

/// Sizes are written like 512MiB, 2GiB or 1TiB.
#[derive(Args)]
pub struct CalcFarming {
    /// Cores
    #[arg(long, default_value_t = 0)]
    pub cru: u64,
    /// Memory
    #[arg(long, default_value = "0", value_parser = tfgrid_client::units::parse_bytes)]
    pub mru: u64,
    /// SSD
    #[arg(long, default_value = "0", value_parser = tfgrid_client::units::parse_bytes)]
    pub sru: u64,
    /// HDD
    #[arg(long, default_value = "0", value_parser = tfgrid_client::units::parse_bytes)]
    pub hru: u64,
    /// GiB of public traffic (2^30 bytes) that contracts paid for
    #[arg(long, default_value_t = 0)]
    pub nu_gib: u64,
    /// Seconds × public IPv4 addresses that contracts paid for
    #[arg(long, default_value_t = 0)]
    pub ip_seconds: u64,
    /// How much of the period the node was up, in thousandths
    #[arg(long, default_value_t = 1_000)]
    pub uptime_permille: u16,
    /// Price of one TFT in USD when the node joined, such as 0.08
    #[arg(long, value_parser = tfgrid_client::units::parse_price)]
    pub tft_price: u64,
    /// The node is certified
    #[arg(long)]
    pub certified: bool,
}

#[derive(Subcommand)]
pub enum Twin {
    /// Create your twin (holds 1 TFT as a deposit)
    Create,
    /// Show your twin, its account and its credit
    Show,
}

#[derive(Subcommand)]
pub enum Farm {
    /// Create a farm (holds 10 TFT as a deposit)
    Create {
        /// 3 to 40 letters, digits, - or _
        name: String,
    },
    /// Open a boot ticket: whoever boots a machine with it joins your farm (holds 10 TFT for each node)
    Ticket {
        /// Your farm's id
        #[arg(long)]
        farm: FarmId,
        /// How many machines may join
        #[arg(long, default_value_t = 1)]
        nodes: u32,
        /// For how long, such as 90s, 30m, 12h or 7d
        #[arg(long, default_value = "24h", value_parser = parse_duration)]
        expires: Duration,
    },
}

#[derive(Args)]
pub struct Deploy {
    /// The deployment, a JSON file (docs/FORMATS.md §4); - reads stdin
    #[arg(short, long)]
    pub file: PathBuf,
    /// The node that is to run it
    #[arg(long)]
    pub node: NodeId,
    /// Cores to reserve; what the deployment needs when left out
    #[arg(long)]
    pub cru: Option<u64>,
    /// Bytes of memory to reserve; what the deployment needs when left out
    #[arg(long)]
    pub mru: Option<u64>,
    /// Bytes of SSD to reserve; what the deployment needs when left out
    #[arg(long)]
    pub sru: Option<u64>,
    /// Don't wait until it runs
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait until it runs, such as 90s or 10m
    #[arg(long, default_value = "10m", value_parser = parse_duration)]
    pub timeout: Duration,
}

/// `90s`, `30m`, `12h`, `7d`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} isn't a time: write it like 90s, 30m, 12h or 7d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_are_read_with_their_unit() {
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(604_800)));
        for text in ["", "5", "h", "1w", "-1s", "99999999999999999d", "1µ"] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }
}
