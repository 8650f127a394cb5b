// SPDX-License-Identifier: Apache-2.0
//! What can be said on the command line.

use clap::{Args, Parser, Subcommand};
use std::{path::PathBuf, time::Duration};
use tfgrid_client::{
    primitives::{Balance, ContractId, FarmId, NodeId, Resources, TftPrice, TwinId, UsdRate},
    units::{parse_bytes, parse_count, parse_months, parse_price, parse_rate, parse_resources, parse_tft},
};

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
  threebot --key //Bob nodes --free cru=2,mru=2GiB     where there is room
  threebot --key //Bob deploy -f site.json --node 1    see what it costs, reserve, deploy
  threebot --key //Bob update 1 -f site.json           run another version
  threebot --key //Bob ps                              what you run and what it costs
  threebot --key //Bob funds                           how long your credit lasts
  threebot --key //Bob bill 1                          what a contract was charged, by month
  threebot --key //Bob cancel 1                        stop it; the rest of the credit stays yours

  threebot --key //Alice farm create sunny             become a farmer
  threebot --key //Alice farm ticket --farm 1          what a machine boots with to join your farm
  threebot --key //Alice claim --farm 1                be paid what your nodes have earned

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

/// What is done on a chain.
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
        #[arg(value_parser = parse_tft)]
        amount: Balance,
        /// Whose credit; yours when left out
        #[arg(long)]
        twin: Option<TwinId>,
    },
    /// Take credit back to your account
    Withdraw {
        /// In TFT, such as 12.5; all that may go when left out
        #[arg(value_parser = parse_tft)]
        amount: Option<Balance>,
    },
    /// Reserve capacity on a node and let it run a deployment
    Deploy(Deploy),
    /// Let a contract's node run another version of its deployment; the old one runs until it does
    ///
    /// A machine or volume that is the same in both versions stays as it is; a volume's content always
    /// does. Where the new version can't run, the old one comes back.
    Update(Update),
    /// Rent a whole node, empty as it is: only you deploy on it then, and for its addresses alone
    Rent {
        /// The node
        #[arg(long)]
        node: NodeId,
        #[command(flatten)]
        consent: Consent,
    },
    /// Take a unique name on the gateways (holds 1 TFT as a deposit, 10 TFT up to four letters)
    Name {
        /// 1 to 63 of a-z, 0-9 and hyphens, none at either end
        name: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Buy public traffic for a contract: paid at once, what isn't used comes back at the end
    Traffic {
        /// The contract's id
        contract: ContractId,
        /// How many GB (10^9 bytes)
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        gb: u32,
        #[command(flatten)]
        consent: Consent,
    },
    /// Find nodes to deploy on
    Nodes(Nodes),
    /// List what you run
    Ps,
    /// Show what a contract was charged, by month
    Bill {
        /// The contract's id, open or closed lately
        contract: ContractId,
    },
    /// Show a twin's credit: how much, what runs on it, how long it lasts
    Funds {
        /// Whose credit; yours when left out
        #[arg(long)]
        twin: Option<TwinId>,
    },
    /// What happens when your credit ends
    #[command(subcommand)]
    Refill(Refill),
    /// Show or set what those who act for you may spend
    Limits(Limits),
    /// The price of TFT
    #[command(subcommand)]
    Oracle(Oracle),
    /// Make payable what contracts have earned, and have the farm paid; by anyone
    Claim(ClaimArgs),
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

impl OnGrid {
    /// Whether it is done with a key; the rest is there for everybody to see.
    pub fn needs_key(&self) -> bool {
        !matches!(
            self,
            Self::Nodes(_)
                | Self::Bill { .. }
                | Self::Show { .. }
                | Self::Funds { twin: Some(_) }
                | Self::Oracle(Oracle::Show)
                | Self::Farm(Farm::Earnings { .. })
        )
    }
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

/// Where more is said.
const CALCULATORS: &str = "Options, answer, rounding and examples: docs/CALCULATORS.md";

// Values may begin with a hyphen here: so it is said that they are below zero, not that there is no such option.

/// How much of everything.
#[derive(Args)]
pub struct Capacity {
    /// Cores
    #[arg(long, default_value = "0", value_parser = parse_count::<u64>, allow_hyphen_values = true)]
    pub cru: u64,
    /// Memory, such as 2GiB
    #[arg(long, default_value = "0", value_parser = parse_bytes, allow_hyphen_values = true)]
    pub mru: u64,
    /// SSD, such as 60GiB
    #[arg(long, default_value = "0", value_parser = parse_bytes, allow_hyphen_values = true)]
    pub sru: u64,
    /// HDD, such as 1TiB
    #[arg(long, default_value = "0", value_parser = parse_bytes, allow_hyphen_values = true)]
    pub hru: u64,
}

impl Capacity {
    /// With as many GPUs.
    pub fn with_gpus(&self, gpu: u64) -> Resources {
        Resources { cru: self.cru, mru: self.mru, sru: self.sru, hru: self.hru, gpu }
    }
}

#[derive(Args)]
#[command(after_help = CALCULATORS)]
pub struct CalcCost {
    #[command(flatten)]
    pub capacity: Capacity,
    /// GPUs
    #[arg(long, default_value = "0", value_parser = parse_count::<u64>, allow_hyphen_values = true)]
    pub gpu: u64,
    /// Public IPv4 addresses
    #[arg(long, default_value = "0", value_parser = parse_count::<u32>, allow_hyphen_values = true)]
    pub ips: u32,
    /// GB of public traffic (10^9 bytes)
    #[arg(long, default_value = "0", value_parser = parse_count::<u64>, allow_hyphen_values = true)]
    pub nu_gb: u64,
    /// For how many seconds
    #[arg(long, default_value = "3600", value_parser = parse_count::<u64>, allow_hyphen_values = true)]
    pub seconds: u64,
    /// Price of one TFT in USD, such as 0.05
    #[arg(long, value_name = "USD", value_parser = price_above_zero, allow_hyphen_values = true)]
    pub tft_price: TftPrice,
    /// Prices in 1e-7 USD, a JSON file; the default list when left out
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
    /// The whole node is rented
    #[arg(long)]
    pub rent: bool,
    /// The node is certified
    #[arg(long)]
    pub certified: bool,
    /// Months of 720 hours for which the credit lasts, such as 1.5: earn a discount
    #[arg(
        long = "runway-months",
        value_name = "MONTHS",
        default_value = "0",
        value_parser = parse_months,
        allow_hyphen_values = true
    )]
    pub runway_hours: u64,
}

#[derive(Args)]
#[command(after_help = CALCULATORS)]
pub struct CalcFarming {
    #[command(flatten)]
    pub capacity: Capacity,
    /// GiB of public traffic (2^30 bytes) that contracts paid for
    #[arg(long, default_value = "0", value_parser = parse_count::<u64>, allow_hyphen_values = true)]
    pub nu_gib: u64,
    /// Seconds × public IPv4 addresses that contracts paid for
    #[arg(long, default_value = "0", value_parser = parse_count::<u64>, allow_hyphen_values = true)]
    pub ip_seconds: u64,
    /// How much of the period the node was up, in thousandths
    #[arg(long, default_value = "1000", value_parser = parse_permille, allow_hyphen_values = true)]
    pub uptime_permille: u16,
    /// Price of one TFT in USD when the node joined, such as 0.08
    #[arg(long, value_name = "USD", value_parser = price_above_zero, allow_hyphen_values = true)]
    pub tft_price: TftPrice,
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
    /// Show what a farm has earned and not been paid
    Earnings {
        /// The farm's id
        farm: FarmId,
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

/// What costs is shown first. At a terminal you are asked.
#[derive(Args)]
pub struct Consent {
    /// Don't ask; without a terminal and with --json nobody is asked
    #[arg(short, long)]
    pub yes: bool,
}

/// A deployment in a file, and what to reserve for it.
#[derive(Args)]
pub struct Document {
    /// The deployment (docs/FORMATS.md §4): JSON, or YAML of the same shape; - reads stdin
    #[arg(short, long)]
    pub file: PathBuf,
    /// Cores to reserve; what the deployment needs when left out
    #[arg(long)]
    pub cru: Option<u64>,
    /// Memory to reserve, such as 2GiB; what the deployment needs when left out
    #[arg(long, value_parser = parse_bytes)]
    pub mru: Option<u64>,
    /// SSD to reserve, such as 10GiB; what the deployment needs when left out
    #[arg(long, value_parser = parse_bytes)]
    pub sru: Option<u64>,
}

/// How long to wait for a node.
#[derive(Args)]
pub struct Patience {
    /// Don't wait until it runs
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait until it runs, such as 90s or 10m
    #[arg(long, default_value = "10m", value_parser = parse_duration)]
    pub timeout: Duration,
}

#[derive(Args)]
#[command(after_help = "\
Example of a deployment:
  version: 1
  workloads:
    - { name: data, type: zmount, data: { size: 67108864 } }
    - name: web
      type: zmachine
      data:
        image: docker.io/library/nginx:1.27
        cpu: 1
        memory: 134217728
        mounts: [ { name: data, path: /data } ]

Examples:
  threebot deploy -f site.yaml --node 1              see what it costs, confirm, wait until it runs
  threebot deploy -f site.json --node 1 --yes        the same, without a question
  threebot deploy -f - --node 1 --no-wait --json     for scripts")]
pub struct Deploy {
    #[command(flatten)]
    pub document: Document,
    /// The node that is to run it
    #[arg(long)]
    pub node: NodeId,
    /// Public IPv4 addresses to reserve
    #[arg(long, default_value_t = 0)]
    pub ips: u8,
    /// GB of public traffic to buy with it (10^9 bytes)
    #[arg(long, default_value_t = 0)]
    pub traffic_gb: u32,
    #[command(flatten)]
    pub patience: Patience,
    #[command(flatten)]
    pub consent: Consent,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  threebot update 7 -f site.yaml           another version of contract 7
  threebot update 7 -f site.yaml --sru 20GiB --yes")]
pub struct Update {
    /// The contract's id
    pub contract: ContractId,
    #[command(flatten)]
    pub document: Document,
    #[command(flatten)]
    pub patience: Patience,
    #[command(flatten)]
    pub consent: Consent,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  threebot nodes --free cru=4,mru=8GiB,sru=50GiB --country BE
  threebot nodes --certified --rentable
  threebot nodes --all --after 500 --limit 100 --json")]
pub struct Nodes {
    /// At least this is free, such as cru=2,mru=2GiB,sru=10GiB
    #[arg(long, value_parser = parse_resources, default_value = "cru=0", hide_default_value = true)]
    pub free: Resources,
    /// Of this farm
    #[arg(long)]
    pub farm: Option<FarmId>,
    /// In this country, two letters such as BE
    #[arg(long, value_parser = parse_country)]
    pub country: Option<[u8; 2]>,
    /// Certified ones only
    #[arg(long)]
    pub certified: bool,
    /// Only those that can be rented as a whole
    #[arg(long)]
    pub rentable: bool,
    /// Also those that are offline, asleep or draining
    #[arg(long)]
    pub all: bool,
    /// How many at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Go on after this node
    #[arg(long)]
    pub after: Option<NodeId>,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  threebot claim --farm 1      all contracts on the farm's nodes; then the farmer's account is paid
  threebot claim 7 8           only these, of whatever farm; nobody is paid yet")]
pub struct ClaimArgs {
    /// The contracts' ids
    #[arg(required_unless_present = "farm")]
    pub contracts: Vec<ContractId>,
    /// All contracts on the nodes of this farm that have earned something
    #[arg(long, conflicts_with = "contracts")]
    pub farm: Option<FarmId>,
}

#[derive(Subcommand)]
pub enum Refill {
    /// Let your account buy more credit when it ends
    ///
    /// How much it may take in 30 days is a limit that only you can set: `threebot limits --refill TFT`.
    #[command(after_help = "\
Example:
  threebot limits --refill 100      at most 100 TFT in 30 days
  threebot refill on --hours 72     three days at a time")]
    On {
        /// For how many hours of what runs then, 24 or more
        #[arg(long, default_value_t = 72, value_parser = clap::value_parser!(u32).range(24..))]
        hours: u32,
    },
    /// Let what runs pause when the credit ends
    Off,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  threebot limits                              show them
  threebot limits --rate 0.05 --refill 100     0.05 USD per hour, 100 TFT in 30 days")]
pub struct Limits {
    /// The most that all your contracts may cost together, in USD per hour at list price
    #[arg(long, value_name = "USD", value_parser = parse_rate)]
    pub rate: Option<UsdRate>,
    /// The most that farmers' extra fees may be together, in USD per hour
    #[arg(long, value_name = "USD", value_parser = parse_rate)]
    pub extra_fee: Option<UsdRate>,
    /// The most that refills may take from your account in 30 days, in TFT
    #[arg(long, value_name = "TFT", value_parser = parse_tft)]
    pub refill: Option<Balance>,
}

#[derive(Subcommand)]
pub enum Oracle {
    /// Tell the chain the price of TFT, for ever
    Feed(Feed),
    /// Show the price in force and what was fed
    Show,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  threebot oracle feed --file /run/tft-price
  threebot oracle feed --url https://prices.example.org/tft --pointer /data/usd --every 5m
  threebot oracle feed --file price.json --once")]
pub struct Feed {
    /// A file with the price of one TFT in USD: a number, or JSON (see --pointer)
    #[arg(long, required_unless_present = "url")]
    pub file: Option<PathBuf>,
    /// A page with it; fetched with curl
    #[arg(long, value_name = "URL", conflicts_with = "file")]
    pub url: Option<String>,
    /// Where in the JSON the price stands (RFC 6901), such as /data/usd
    #[arg(long, default_value = "", hide_default_value = true)]
    pub pointer: String,
    /// How often, such as 5m
    #[arg(long, default_value = "10m", value_parser = parse_duration)]
    pub every: Duration,
    /// How old a price may be before it is no longer told
    #[arg(long, default_value = "30m", value_parser = parse_duration)]
    pub stale_after: Duration,
    /// Tell it once and end
    #[arg(long)]
    pub once: bool,
}

/// A price that something can be counted in.
fn price_above_zero(text: &str) -> Result<TftPrice, String> {
    match parse_price(text)? {
        0 => Err("the price of TFT must be above zero".into()),
        price => Ok(price),
    }
}

/// Thousandths, all of them at most.
fn parse_permille(text: &str) -> Result<u16, String> {
    match parse_count(text)? {
        permille @ 0..=1_000 => Ok(permille),
        _ => Err(format!("{text} thousandths are more than all: 1000 at most")),
    }
}

/// Two letters, as the chain has them.
fn parse_country(text: &str) -> Result<[u8; 2], String> {
    let code: [u8; 2] = text
        .to_ascii_uppercase()
        .into_bytes()
        .try_into()
        .map_err(|_| format!("{text:?} isn't a country: use two letters, such as BE"))?;
    match code.iter().all(u8::is_ascii_uppercase) {
        true => Ok(code),
        false => Err(format!("{text:?} isn't a country: use two letters, such as BE")),
    }
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
    fn who_only_looks_needs_no_key() {
        let needs_key = |words: &str| match Cli::try_parse_from(words.split(' ')).unwrap().command {
            Command::OnGrid(command) => command.needs_key(),
            Command::Calc(_) => false,
        };
        for line in ["nodes --all", "bill 1", "show 1", "funds --twin 1", "oracle show", "farm earnings 1"] {
            assert!(!needs_key(&format!("threebot {line}")), "{line}");
        }
        for line in ["funds", "ps", "cancel 1", "limits", "oracle feed --file a", "claim --farm 1"] {
            assert!(needs_key(&format!("threebot {line}")), "{line}");
        }
    }

    #[test]
    fn countries_have_two_letters() {
        assert_eq!(parse_country("be"), Ok(*b"BE"));
        for text in ["", "B", "BEL", "B1", "ß"] {
            assert!(parse_country(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_feed_has_one_source() {
        let parse = |words: &str| Cli::try_parse_from(words.split(' ')).map(drop);
        assert!(parse("threebot oracle feed --file a").is_ok());
        assert!(parse("threebot oracle feed").is_err());
        assert!(parse("threebot oracle feed --file a --from b").is_err());
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
