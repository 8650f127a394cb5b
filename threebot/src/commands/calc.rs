// SPDX-License-Identifier: Apache-2.0
//! `threebot calc`

use crate::output::Answer;
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tfgrid_client::{
    estimate::MONTH_HOURS,
    primitives::{
        Discount, PriceList, PricedNode, Resources, TftPrice,
        farming::{Farmed, FarmingRates, Payment, farming_units_millionths, reward_musd, reward_tft},
        pricing::{Usage, cloud_units_millionths, cost},
        units::{GIB, TFT, USD},
    },
    units::{format_tft, parse_bytes, parse_count, parse_months, parse_permille, parse_price},
};

/// Millionths of a USD in an mUSD, the unit of farming rates.
const MUSD: u64 = 1_000;

const CALCULATORS: &str = "Options, answer, rounding and examples: docs/CALCULATORS.md";

#[derive(Subcommand)]
pub enum Calc {
    Cost(Cost),
    Farming(Farming),
    /// Show the units, the price list and the farming rates
    Units,
}

// Values may begin with a hyphen here: the error then says that they are below zero.

#[derive(Args)]
pub struct Capacity {
    /// Cores
    #[arg(long, default_value = "0", value_parser = parse_count::<u64>, allow_hyphen_values = true)]
    cru: u64,
    /// Memory, such as 2GiB
    #[arg(long, default_value = "0", value_parser = parse_bytes, allow_hyphen_values = true)]
    mru: u64,
    /// SSD, such as 60GiB
    #[arg(long, default_value = "0", value_parser = parse_bytes, allow_hyphen_values = true)]
    sru: u64,
    /// HDD, such as 1TiB
    #[arg(long, default_value = "0", value_parser = parse_bytes, allow_hyphen_values = true)]
    hru: u64,
}

impl Capacity {
    fn with_gpus(&self, gpu: u64) -> Resources {
        Resources { cru: self.cru, mru: self.mru, sru: self.sru, hru: self.hru, gpu }
    }
}

/// What capacity, addresses and traffic cost
#[derive(Args)]
#[command(after_help = CALCULATORS)]
pub struct Cost {
    #[command(flatten)]
    capacity: Capacity,
    /// GPUs
    #[arg(long, default_value = "0", value_parser = parse_count::<u64>, allow_hyphen_values = true)]
    gpu: u64,
    /// Public IPv4 addresses
    #[arg(long, default_value = "0", value_parser = parse_count::<u32>, allow_hyphen_values = true)]
    ips: u32,
    /// GB of public traffic (10^9 bytes)
    #[arg(long, default_value = "0", value_parser = parse_count::<u64>, allow_hyphen_values = true)]
    nu_gb: u64,
    /// The time, in seconds
    #[arg(long, default_value = "3600", value_parser = parse_count::<u64>, allow_hyphen_values = true)]
    seconds: u64,
    /// Price of one TFT in USD, such as 0.05
    #[arg(long, value_name = "USD", value_parser = parse_price, allow_hyphen_values = true)]
    tft_price: TftPrice,
    /// Price list in 1e-7 USD, a JSON file [default: the chain's first list]
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// The whole node is rented
    #[arg(long)]
    rent: bool,
    /// The node is certified
    #[arg(long)]
    certified: bool,
    /// How many 720-hour months the credit lasts; 1.5 and more earn a discount
    #[arg(
        long = "runway-months",
        value_name = "MONTHS",
        default_value = "0",
        value_parser = parse_months,
        allow_hyphen_values = true
    )]
    runway_hours: u64,
}

/// What a node earns in a period of 30 days
#[derive(Args)]
#[command(after_help = CALCULATORS)]
pub struct Farming {
    #[command(flatten)]
    capacity: Capacity,
    /// GiB of public traffic (2^30 bytes) that contracts paid for
    #[arg(long, default_value = "0", value_parser = parse_count::<u64>, allow_hyphen_values = true)]
    nu_gib: u64,
    /// Seconds × public IPv4 addresses that contracts paid for
    #[arg(long, default_value = "0", value_parser = parse_count::<u64>, allow_hyphen_values = true)]
    ip_seconds: u64,
    /// The share of the period in which the node was up, in thousandths
    #[arg(long, default_value = "1000", value_parser = parse_permille, allow_hyphen_values = true)]
    uptime_permille: u16,
    /// Price of one TFT in USD when the node joined, such as 0.08
    #[arg(long, value_name = "USD", value_parser = parse_price, allow_hyphen_values = true)]
    tft_price: TftPrice,
    /// The node is certified
    #[arg(long)]
    certified: bool,
}

impl Calc {
    pub fn run(self) -> Result<Answer> {
        match self {
            Self::Cost(args) => price(args),
            Self::Farming(args) => reward(args),
            Self::Units => Ok(units()),
        }
    }
}

fn price(args: Cost) -> Result<Answer> {
    let list = args.prices.as_deref().map_or_else(|| Ok(PriceList::default()), read_prices)?;
    let resources = args.capacity.with_gpus(args.gpu);
    let discount = Discount::for_runway_hours(args.runway_hours);
    let usage = Usage {
        resources,
        public_ips: args.ips,
        traffic_gb: args.nu_gb,
        seconds: args.seconds,
        node: PricedNode { certified: args.certified, rent: args.rent },
        discount,
    };
    let (usd_units, tft_units) =
        cost(&list, &usage, args.tft_price).context("this costs more than the chain can count")?;
    let (cu, su) = cloud_units_millionths(&resources);
    let text = format!(
        "{} CU, {} SU for {} s: {} USD, {} TFT (discount: {})",
        decimal(cu),
        decimal(su),
        args.seconds,
        usd(usd_units),
        format_tft(tft_units.into()),
        json!(discount).as_str().unwrap_or("none"),
    );
    let value = json!({
        "cu": decimal(cu), "su": decimal(su), "usd_units": usd_units, "tft_units": tft_units,
        "discount": discount,
    });
    Ok(Answer::new(text, value))
}

fn reward(args: Farming) -> Result<Answer> {
    let resources = args.capacity.with_gpus(0);
    let traffic_bytes = args.nu_gib.checked_mul(GIB).context("that many GiB of traffic can't be counted")?;
    let farmed = Farmed { resources, traffic_bytes, ip_seconds: args.ip_seconds };
    let payment =
        Payment { uptime_permille: args.uptime_permille, certified: args.certified, price: args.tft_price };
    const TOO_MUCH: &str = "this earns more than the chain can count";
    let musd = reward_musd(&FarmingRates::default(), &farmed).context(TOO_MUCH)?;
    let tft_units = reward_tft(musd, &payment).and_then(|tft| u64::try_from(tft).ok()).context(TOO_MUCH)?;
    let (cu, su) = farming_units_millionths(&resources);
    let text = format!(
        "{} CU, {} SU: {musd} mUSD, {} TFT a period",
        decimal(cu),
        decimal(su),
        format_tft(tft_units.into()),
    );
    let value = json!({ "cu": decimal(cu), "su": decimal(su), "musd": musd, "tft_units": tft_units });
    Ok(Answer::new(text, value))
}

fn units() -> Answer {
    let (prices, farming) = (PriceList::default(), FarmingRates::default());
    let text = format!(
        "\
CU (compute)  min(max(mru/4, cru/2), max(mru/8, cru), max(mru/2, cru/4)),
              memory in GiB
SU (storage)  hru/1200 + sru/200, disks in GiB
NU (network)  GB of public traffic (10^9 bytes)
farmed CU     min(2 cru, (mru - 1)/4, sru/50)
farmed SU     hru/1200 + sru/250
farmed NU     GiB of public traffic (2^30 bytes)
usd_units     1e-7 USD
tft_units     1e-7 TFT
month         720 hours

Prices in USD (the chain's first list; `calc cost --prices` takes another)
  {cu} per CU and hour, {su} per SU and hour, {nu} per GB of public traffic
  {ipv4} per public IPv4 address and hour, {name} per name and hour
  {gpu} per GPU and hour
  {minimum} per hour at least for a node contract, unless it is on a rented node
  a rented node costs {rent} % of its list price, a certified node {certified} %

Farming rates in USD per period of 30 days
  {farmed_cu} per farmed CU, {farmed_su} per farmed SU, {farmed_nu} per farmed NU
  {farmed_ipv4} per hour of a public IPv4 address",
        cu = usd(prices.cu),
        su = usd(prices.su),
        nu = usd(prices.nu),
        ipv4 = usd(prices.ipv4),
        name = usd(prices.unique_name),
        gpu = usd(prices.gpu),
        minimum = usd(prices.minimum),
        rent = prices.rent_percent,
        certified = prices.certified_percent,
        farmed_cu = decimal(farming.cu.saturating_mul(MUSD)),
        farmed_su = decimal(farming.su.saturating_mul(MUSD)),
        farmed_nu = decimal(farming.nu.saturating_mul(MUSD)),
        farmed_ipv4 = decimal(farming.ipv4.saturating_mul(MUSD)),
    );
    let value = json!({
        "usd_units_per_usd": USD, "tft_units_per_tft": TFT as u64, "month_hours": MONTH_HOURS,
        "prices": prices, "farming": farming,
    });
    Answer::new(text, value)
}

/// Prices from a file: the `policy` object of `docs/vectors/cost.json`.
fn read_prices(file: &Path) -> Result<PriceList> {
    let name = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("can't read the prices {name}"))?;
    let prices: Value =
        serde_json::from_str(&text).with_context(|| format!("the prices {name} aren't JSON"))?;
    if prices.get("policy").is_some() {
        bail!("the prices {name} are a whole file of vectors: use its `policy` object");
    }
    serde_json::from_value(prices).with_context(|| format!("the prices {name} aren't a list of prices"))
}

/// Millionths as a number with a point.
fn decimal(millionths: u64) -> f64 {
    millionths as f64 / 1e6
}

/// 1e-7 USD as people write it.
fn usd(units: u64) -> String {
    format_tft(units.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::{Cli, Command},
        output::error_value,
    };
    use clap::Parser;

    fn answer(line: &str) -> Result<Value> {
        let Command::Calc(command) = Cli::try_parse_from(line.split(' '))?.command else {
            unreachable!("the line is a calculation")
        };
        Ok(command.run()?.value)
    }

    fn error(line: &str) -> String {
        let error = error_value(&answer(&format!("threebot calc {line}")).unwrap_err());
        error["error"].as_str().unwrap().to_owned()
    }

    #[test]
    fn the_cost_of_an_hour_is_that_of_the_vectors() {
        let line = "threebot calc cost --cru 2 --mru 2GiB --sru 15GiB --hru 0GiB --gpu 0 --ips 0 --nu-gb 0 \
                    --seconds 3600 --tft-price 0.011 --json";
        let expected = json!({
            "cu": 1.0, "su": 0.075, "usd_units": 103_750, "tft_units": 9_431_818, "discount": "none",
        });
        assert_eq!(answer(line).unwrap(), expected);
    }

    #[test]
    fn units_have_prices_and_farming_rates() {
        let text = units().text;
        for part in
            ["0.01 per CU and hour", "0.0015 per GB", "2.4 per farmed CU", "costs 50 % of its list price"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }

    #[test]
    fn a_reward_is_that_of_the_vectors() {
        let line = "threebot calc farming --cru 8 --mru 16GiB --sru 512GiB --hru 1024GiB --nu-gib 60 \
                    --ip-seconds 60 --uptime-permille 1000 --tft-price 0.08 --json";
        let reward = answer(line).unwrap();
        assert_eq!((&reward["musd"], &reward["tft_units"]), (&json!(13_701), &json!(1_712_625_000)));
    }

    #[test]
    fn prices_come_from_a_file_and_a_bad_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prices.json");
        let vectors = include_str!("../../../docs/vectors/cost.json");
        let vectors: Value = serde_json::from_str(vectors).unwrap();
        fs::write(&file, vectors["policy"].to_string()).unwrap();
        let line = format!("threebot calc cost --cru 2 --mru 2GiB --tft-price 1 --prices {}", file.display());
        assert_eq!(answer(&line).unwrap()["usd_units"], json!(100_000));
        fs::write(&file, vectors.to_string()).unwrap();
        let error = format!("{:#}", answer(&line).unwrap_err());
        assert!(error.contains("whole file of vectors: use its `policy` object"), "{error}");
        fs::write(&file, "{").unwrap();
        let error = format!("{:#}", answer(&line).unwrap_err());
        assert!(error.contains("aren't JSON") && error.contains("prices.json"), "{error}");
        fs::write(&file, "{\"cu\": 1}").unwrap();
        assert!(format!("{:#}", answer(&line).unwrap_err()).contains("aren't a list of prices"));
    }

    #[test]
    fn amounts_beyond_the_chains_numbers_are_refused() {
        for line in [
            "cost --cru 18446744073709551615 --seconds 18446744073709551615 --tft-price 1",
            "farming --cru 18446744073709551615 --mru 16777215TiB --sru 16777215TiB --tft-price 0.0000001",
        ] {
            let error = error(line);
            assert!(error.contains("more than the chain can count"), "{line}: {error}");
        }
        assert!(error("farming --nu-gib 18446744073709551615 --tft-price 1").contains("can't be counted"));
    }

    #[test]
    fn odd_options_are_refused_with_the_reason() {
        for (line, why) in [
            ("cost --cru 1 --tft-price 0", "'--tft-price <USD>': the price of TFT must be above zero"),
            ("farming --cru 8 --tft-price 0.0", "the price of TFT must be above zero"),
            ("cost --tft-price -1", "\"-1\" is below zero"),
            ("cost --tft-price cheap", "isn't an amount of USD"),
            ("cost --cru -1 --tft-price 1", "'--cru <CRU>': \"-1\" is below zero"),
            ("cost --cru 1.5 --tft-price 1", "isn't a whole number"),
            ("cost --mru -1GiB --tft-price 1", "is below zero"),
            ("cost --mru 2 --tft-price 1", "\"2\" has no unit: write it like 512MiB"),
            ("cost --mru 2GB --tft-price 1", "isn't a size"),
            ("cost --sru 99999999999GiB --tft-price 1", "is too large"),
            ("cost --ips 4294967296 --tft-price 1", "is too large"),
            ("cost --runway-months nan --tft-price 1", "isn't an amount of months"),
            ("cost --runway-months inf --tft-price 1", "isn't an amount of months"),
            ("cost --runway-months -1 --tft-price 1", "is below zero"),
            ("farming --uptime-permille 1001 --tft-price 1", "1001 thousandths are more than all"),
            ("farming --uptime-permille -1 --tft-price 1", "is below zero"),
            ("farming --ip-seconds -1 --tft-price 1", "is below zero"),
        ] {
            let error = error(line);
            assert!(error.contains(why), "{line}: {error}");
        }
    }

    #[test]
    fn a_runway_earns_its_discount_to_the_hour() {
        let discount = |months: &str| {
            let line = format!("threebot calc cost --cru 1 --tft-price 1 --runway-months {months}");
            answer(&line).unwrap()["discount"].clone()
        };
        assert_eq!((discount("1.499999999"), discount("1.5")), (json!("none"), json!("default")));
        assert_eq!((discount("17.99"), discount("18")), (json!("silver"), json!("gold")));
    }

    /// The blocks of a page that are fenced and of this language.
    fn blocks(page: &str) -> Vec<(&str, String)> {
        let mut lines = page.lines();
        let mut blocks = Vec::new();
        while let Some(line) = lines.next() {
            if let Some(language) = line.strip_prefix("```") {
                let code = lines.by_ref().take_while(|line| *line != "```").collect::<Vec<_>>().join("\n");
                blocks.push((language, code));
            }
        }
        blocks
    }

    #[test]
    fn the_examples_of_the_page_answer_as_the_page_says() {
        let page = blocks(include_str!("../../../docs/CALCULATORS.md"));
        let mut checked = Vec::new();
        for pair in page.windows(2) {
            let [("sh", command), ("json", said)] = pair else { continue };
            let line = command.replace("\\\n", " ").split_whitespace().collect::<Vec<_>>().join(" ");
            let answered = answer(&line).unwrap_or_else(|error| error_value(&error));
            assert_eq!(answered, serde_json::from_str::<Value>(said).unwrap(), "{line}");
            checked.push(answered);
        }
        assert_eq!(checked.len(), page.iter().filter(|(language, _)| *language == "sh").count());
        for field in ["discount", "musd", "month_hours", "error"] {
            assert!(checked.iter().any(|answered| !answered[field].is_null()), "no example has {field}");
        }
    }

    #[test]
    fn the_page_names_every_option() {
        use clap::CommandFactory;
        let page = include_str!("../../../docs/CALCULATORS.md");
        let threebot = Cli::command();
        let calc = threebot.find_subcommand("calc").unwrap();
        let options = calc.get_subcommands().flat_map(|command| command.get_arguments());
        for option in options.filter_map(|option| option.get_long()) {
            assert!(page.contains(&format!("| `--{option}")), "--{option}");
        }
    }
}
