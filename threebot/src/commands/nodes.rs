// SPDX-License-Identifier: Apache-2.0
//! `threebot node find`

use super::{
    farm::ensure_exists,
    shown_node::{isolation_name, permille},
};
use crate::{
    cli::Global,
    output::{Answer, counted},
    session::Session,
};
use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tfgrid_client::{
    GridAt,
    estimate::{MONTH_HOURS, tft_for},
    primitives::{
        Balance, FarmId, Features, Isolation, NodeId, PriceList, Resources, TftPrice, UsdRate,
        farming::{period_of, period_start},
        pricing::Priced,
        units::{GIB, TFT},
        views::{CountryCode, NodeFilter, NodeOffer},
    },
    units::{
        USD_UNITS, format_price, format_usd, parse_bytes, parse_count, parse_country, parse_id, parse_rate,
    },
};

/// What a terminal has at least.
const MAX_COLUMNS: usize = 80;
/// How many nodes are asked for more at the same time.
const NODES_AT_ONCE: usize = 50;

/// Find nodes to deploy on, and what they cost
///
/// Prices are for what is asked for, else for all that is free on the node; for the whole node with --rentable and
/// where only that is offered. Where nodes are missing, the last lines say which options keep out how many.
#[derive(Args)]
#[command(after_help = "\
Examples:
  threebot node find --cpu 4 --mem 8GiB --ssd 50GiB --country BE
  threebot node find --cpu 2 --mem 2GiB --ips 1 --max-price 0.02
  threebot node find --certified --rentable
  threebot node find --all --after 500 --limit 100 --json")]
pub struct Nodes {
    /// The least free cores
    #[arg(long, default_value = "0", hide_default_value = true, value_parser = parse_count::<u64>)]
    cpu: u64,
    /// The least free memory, such as 2GiB
    #[arg(long, value_name = "SIZE", default_value = "0", hide_default_value = true, value_parser = parse_bytes)]
    mem: u64,
    /// The least free SSD, such as 60GiB
    #[arg(long, value_name = "SIZE", default_value = "0", hide_default_value = true, value_parser = parse_bytes)]
    ssd: u64,
    /// The least free HDD, such as 1TiB
    #[arg(long, value_name = "SIZE", default_value = "0", hide_default_value = true, value_parser = parse_bytes)]
    hdd: u64,
    /// The least free GPUs
    #[arg(long, default_value = "0", hide_default_value = true, value_parser = parse_count::<u64>)]
    gpu: u64,
    /// Public IPv4 addresses that the node's farm must have free
    #[arg(long, default_value = "0", hide_default_value = true, value_parser = parse_count::<u8>)]
    ips: u8,
    /// Only nodes of this farm
    #[arg(long, value_parser = parse_id::<FarmId>)]
    farm: Option<FarmId>,
    /// Only nodes in this country, two letters such as BE
    #[arg(long, value_parser = parse_country)]
    country: Option<CountryCode>,
    /// The most that it may cost, in USD per hour
    #[arg(long, value_name = "USD", value_parser = parse_rate)]
    max_price: Option<UsdRate>,
    /// Only certified nodes
    #[arg(long)]
    certified: bool,
    /// Only nodes that serve names on a gateway, with their domains
    #[arg(long)]
    pub gateway: bool,
    /// Only nodes that keep tenants apart like this: container (one kernel for all) or vm
    #[arg(long, value_parser = parse_isolation)]
    isolation: Option<Isolation>,
    /// Only nodes that can be rented as a whole
    #[arg(long)]
    rentable: bool,
    /// Include offline, sleeping and draining nodes
    #[arg(long)]
    all: bool,
    /// The most nodes to list
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Start after this node id (`next` of the last answer)
    #[arg(long, value_parser = parse_id::<NodeId>)]
    after: Option<NodeId>,
}

fn parse_isolation(text: &str) -> Result<Isolation, String> {
    [Isolation::Container, Isolation::Vm]
        .into_iter()
        .find(|isolation| isolation_name(*isolation) == text)
        .ok_or_else(|| format!("{text:?} isn't an isolation: container or vm"))
}

impl Nodes {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let session = Session::anonymous(global).await?;
        let at = session.grid.finalized().await?;
        if let Some(farm) = self.farm {
            ensure_exists(&at, farm).await?;
        }
        let filter = NodeFilter { farm: self.farm, unavailable: true, ..NodeFilter::default() };
        let offers = all(&at, &filter).await?;
        let market = Market::read(&at, &offers, self.ips > 0, self.gateway).await?;
        let mut found = Found { searched: offers.len(), ..Found::default() };
        let mut fitting = Vec::new();
        for offer in offers {
            let misses = self.misses(&offer, &market);
            for why in misses.iter().copied() {
                *found.excluded.entry(why).or_default() += 1;
            }
            if misses.is_empty() {
                fitting.push(offer);
            }
        }
        let fitting = self.isolated(&at, fitting, &mut found).await?;
        let mut fitting =
            fitting.into_iter().skip_while(|offer| self.after.is_some_and(|after| offer.node <= after));
        let listed: Vec<NodeOffer> = fitting.by_ref().take(self.limit as usize).collect();
        found.next = listed.last().map(|offer| offer.node).filter(|_| fitting.next().is_some());
        found.listed = priced(&at, listed, self.sold(), &market).await?;
        found.domains = market.domains;
        Ok(found.answer(self.sold(), market.tft))
    }

    /// All nodes of these farms, for their farmer.
    pub async fn of_farms(at: &GridAt, farms: &[FarmId]) -> Result<Answer> {
        let mut offers = Vec::new();
        for farm in farms {
            ensure_exists(at, *farm).await?;
            let filter = NodeFilter { farm: Some(*farm), unavailable: true, ..NodeFilter::default() };
            offers.extend(all(at, &filter).await?);
        }
        let market = Market::read(at, &offers, false, false).await?;
        let searched = offers.len();
        let listed = priced(at, offers, Sold::Free, &market).await?;
        Ok(Found { searched, listed, ..Found::default() }.answer(Sold::Free, market.tft))
    }

    fn asked(&self) -> Resources {
        Resources { cru: self.cpu, mru: self.mem, sru: self.ssd, hru: self.hdd, gpu: self.gpu }
    }

    fn sold(&self) -> Sold {
        if self.rentable {
            Sold::Whole
        } else if self.asked() == Resources::ZERO && self.ips == 0 {
            Sold::Free
        } else {
            Sold::Asked(self.asked(), self.ips)
        }
    }

    /// The options that keep a node out; its isolation is asked for later.
    fn misses(&self, offer: &NodeOffer, market: &Market) -> Vec<&'static str> {
        let NodeOffer { free, features, .. } = offer;
        let has_ips = || {
            features.contains(Features::PUBLIC_IPS)
                && market.free_ips.get(&offer.farm).is_some_and(|ips| *ips >= usize::from(self.ips))
        };
        let is_cheap =
            |most: UsdRate| self.sold().rate(offer, &market.prices).is_some_and(|rate| rate <= most);
        let rules = [
            (self.all || offer.online && !offer.draining, "is offline, asleep or draining (--all)"),
            (self.cpu <= free.cru, "--cpu"),
            (self.mem <= free.mru, "--mem"),
            (self.ssd <= free.sru, "--ssd"),
            (self.hdd <= free.hru, "--hdd"),
            (self.gpu <= free.gpu, "--gpu"),
            (self.country.is_none() || self.country == offer.country, "--country"),
            (!self.certified || offer.certified, "--certified"),
            (!self.rentable || offer.contracts == 0 && !offer.draining, "--rentable"),
            (self.ips == 0 || has_ips(), "--ips"),
            (!self.gateway || market.domains.contains_key(&offer.node), "--gateway"),
            (self.max_price.is_none_or(is_cheap), "--max-price"),
        ];
        rules.into_iter().filter(|(fits, _)| !fits).map(|(_, option)| option).collect()
    }

    /// Those with the isolation that is asked for.
    async fn isolated(
        &self,
        at: &GridAt,
        offers: Vec<NodeOffer>,
        found: &mut Found,
    ) -> Result<Vec<NodeOffer>> {
        let Some(wanted) = self.isolation else { return Ok(offers) };
        let mut fitting = Vec::new();
        for offer in offers {
            let has = at.isolation(offer.node).await?;
            if has == Some(wanted) {
                fitting.push(offer);
            } else {
                *found.excluded.entry("--isolation").or_default() += 1;
            }
        }
        Ok(fitting)
    }
}

/// All nodes that match, in the order of their ids.
async fn all(at: &GridAt, filter: &NodeFilter) -> Result<Vec<NodeOffer>> {
    let (mut offers, mut after) = (Vec::new(), None);
    loop {
        let page = at.find_nodes(filter, after, u32::MAX).await?;
        offers.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(offers);
        }
    }
}

/// What prices and searches depend on beside the nodes.
struct Market {
    prices: PriceList,
    tft: TftPrice,
    /// Free public addresses of the farms.
    free_ips: BTreeMap<FarmId, usize>,
    /// Domains under which nodes serve names, where gateways are asked for.
    domains: BTreeMap<NodeId, String>,
}

impl Market {
    async fn read(at: &GridAt, offers: &[NodeOffer], with_ips: bool, with_gateways: bool) -> Result<Self> {
        let farms: BTreeSet<FarmId> = offers.iter().filter(|_| with_ips).map(|offer| offer.farm).collect();
        let mut free_ips = BTreeMap::new();
        for farm in farms {
            free_ips.insert(farm, at.free_ips_of_farm(farm).await?);
        }
        Ok(Self {
            prices: at.prices().await?.context("the chain has no price list")?,
            tft: at.grid_info().await?.tft_price,
            free_ips,
            domains: if with_gateways { at.domains().await? } else { BTreeMap::new() },
        })
    }
}

/// A node, the rate of what is [`Sold`] on it, where that has one, and its uptime.
struct Listed {
    offer: NodeOffer,
    rate: Option<UsdRate>,
    /// Of the present farming period.
    uptime_permille: u64,
}

/// What the prices are for.
#[derive(Clone, Copy)]
enum Sold {
    Asked(Resources, u8),
    Free,
    Whole,
}

impl Sold {
    /// In 1e-10 USD per hour.
    fn rate(self, offer: &NodeOffer, prices: &PriceList) -> Option<UsdRate> {
        let NodeOffer { certified, total, free, .. } = *offer;
        // GPUs may have no price yet.
        let priced = |resources: Resources| Resources { gpu: 0, ..resources };
        if offer.dedicated || matches!(self, Self::Whole) {
            let rent = Priced::Rent { resources: priced(total), certified }.rate(prices)?;
            return rent.checked_add(offer.extra_fee);
        }
        let (resources, public_ips) = match self {
            Self::Asked(resources, ips) => (resources, ips),
            Self::Free | Self::Whole => (priced(free), 0),
        };
        if resources == Resources::ZERO && public_ips == 0 {
            return None;
        }
        Priced::Capacity { resources, public_ips, certified }.rate(prices)
    }

    fn text(self) -> &'static str {
        match self {
            Self::Asked(..) => "for what is asked for",
            Self::Free => "for all that is free",
            Self::Whole => "for renting the whole node",
        }
    }
}

async fn priced(at: &GridAt, offers: Vec<NodeOffer>, sold: Sold, market: &Market) -> Result<Vec<Listed>> {
    let now = at.timestamp_ms().await? / 1_000;
    let period = period_of(now);
    let passed = now.saturating_sub(period_start(period));
    let mut listed = Vec::new();
    let mut offers = offers.into_iter().peekable();
    while offers.peek().is_some() {
        let asking: Vec<_> = offers
            .by_ref()
            .take(NODES_AT_ONCE)
            .map(|offer| {
                let at = at.clone();
                let node = offer.node;
                (offer, tokio::spawn(async move { at.node_uptime_ms(node, period).await }))
            })
            .collect();
        for (offer, answer) in asking {
            let uptime_ms = answer.await.context("the question for an uptime was interrupted")??;
            let rate = sold.rate(&offer, &market.prices);
            listed.push(Listed { offer, rate, uptime_permille: permille(uptime_ms, passed) });
        }
    }
    Ok(listed)
}

/// The outcome of a search.
#[derive(Default)]
struct Found {
    listed: Vec<Listed>,
    next: Option<NodeId>,
    searched: usize,
    /// How many nodes an option keeps out.
    excluded: BTreeMap<&'static str, usize>,
    /// Domains under which nodes serve names, where gateways are asked for.
    domains: BTreeMap<NodeId, String>,
}

impl Found {
    fn answer(&self, sold: Sold, price: TftPrice) -> Answer {
        let value = json!({
            "nodes": self.listed.iter().map(|listed| self.value(listed)).collect::<Vec<_>>(),
            "next": self.next,
            "price_usd_1e7": price.to_string(),
            "searched": self.searched,
            "excluded": self.excluded,
        });
        Answer::new(self.text(sold, price), value)
    }

    fn value(&self, listed: &Listed) -> Value {
        let mut value = value(listed);
        if let Some(domain) = self.domains.get(&listed.offer.node) {
            value["domain"] = domain.as_str().into();
        }
        value
    }

    fn text(&self, sold: Sold, price: TftPrice) -> String {
        let searched = counted(self.searched as u64, "node");
        let mut lines = if self.listed.is_empty() {
            let none =
                if self.searched == 0 { "no nodes".into() } else { format!("none of {searched} matches") };
            vec![none]
        } else {
            table(&self.listed, sold, price)
        };
        lines.extend(self.listed.iter().filter_map(|listed| {
            let node = listed.offer.node;
            let domain = self.domains.get(&node)?;
            Some(format!("node {node}: a site with the name shop is at https://shop.{domain}"))
        }));
        lines.extend(self.next.map(|next| format!("there are more: --after {next}")));
        if !self.excluded.is_empty() {
            lines.push(format!("of {searched}:"));
            lines.extend(self.excluded.iter().map(|(why, count)| format!("{count:>6}  {}", kept_out(why))));
        }
        lines.join("\n")
    }
}

fn kept_out(why: &str) -> String {
    if why.starts_with("--") { format!("kept out by {why}") } else { why.into() }
}

const TITLES: [&str; 14] =
    ["NODE", "FARM", "IN", "CERT", "STATE", "CORES", "MEM", "SSD", "HDD", "GPUS", "RUNS", "UP", "USD", "TFT"];

/// The columns that are empty for all nodes are left out.
fn table(listed: &[Listed], sold: Sold, price: TftPrice) -> Vec<String> {
    let rows: Vec<_> = listed.iter().map(|listed| cells(listed, price)).collect();
    let width = |column: usize| {
        let used = rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
        if used == 0 { 0 } else { used.max(TITLES[column].len()) }
    };
    let widths: Vec<usize> = (0..TITLES.len()).map(width).collect();
    let gaps = widths.iter().filter(|width| **width > 0).count().saturating_sub(1);
    let gap = if widths.iter().sum::<usize>() + 2 * gaps > MAX_COLUMNS { " " } else { "  " };
    let line = |cells: [&str; TITLES.len()]| {
        let shown = cells.iter().zip(&widths).filter(|(_, width)| **width > 0);
        shown.map(|(cell, width)| format!("{cell:>width$}")).collect::<Vec<_>>().join(gap)
    };
    let mut lines = vec![line(TITLES)];
    lines.extend(rows.iter().map(|row| line(row.each_ref().map(String::as_str))));
    lines.push(format!(
        "MEM, SSD and HDD: free GiB. RUNS: contracts. UP: % of this farming period.\nUSD and TFT: per month (720 h, \
         at {} USD per TFT)\n{}",
        format_price(price),
        sold.text()
    ));
    for Listed { offer, .. } in listed {
        let NodeOffer { node, dedicated, extra_fee, not_delivered, .. } = offer;
        if *dedicated && !matches!(sold, Sold::Whole) {
            lines.push(format!("node {node} is only rented as a whole: its price is for that"));
        }
        if *extra_fee > 0 {
            let fee = format_usd((*extra_fee).into());
            lines.push(format!("node {node}: its farmer asks for {fee} USD per hour more if it is rented"));
        }
        if *not_delivered > 0 {
            let returned = amount(*not_delivered, TFT);
            lines.push(format!("node {node}: tenants got {returned} TFT back, as not delivered"));
        }
    }
    lines
}

fn cells(Listed { offer, rate, uptime_permille }: &Listed, price: TftPrice) -> [String; TITLES.len()] {
    let or_empty = |count: u64| if count == 0 { String::new() } else { count.to_string() };
    let disk = |bytes: u64| if bytes == 0 { String::new() } else { gib(bytes) };
    [
        offer.node.to_string(),
        offer.farm.to_string(),
        country(offer.country).unwrap_or_default(),
        if offer.certified { "yes".into() } else { String::new() },
        state(offer).into(),
        offer.free.cru.to_string(),
        gib(offer.free.mru),
        gib(offer.free.sru),
        disk(offer.free.hru),
        or_empty(offer.free.gpu),
        offer.contracts.to_string(),
        (uptime_permille / 10).to_string(),
        rate.map_or_else(String::new, |rate| amount(u128::from(rate) * u128::from(MONTH_HOURS), USD_UNITS)),
        rate.and_then(|rate| tft_for(rate.into(), MONTH_HOURS, price))
            .map_or_else(String::new, |tft: Balance| amount(tft, TFT)),
    ]
}

/// GiB, rounded down; below 100 with one digit behind the point.
fn gib(bytes: u64) -> String {
    let tenths = u128::from(bytes) * 10 / u128::from(GIB);
    if tenths < 1_000 { format!("{}.{}", tenths / 10, tenths % 10) } else { (tenths / 10).to_string() }
}

/// An amount of money in so many units to one, rounded half up; below 1,000 with two digits behind the point.
fn amount(units: u128, one: u128) -> String {
    let cents = units.saturating_add(one / 200) / (one / 100);
    if cents < 100_000 {
        format!("{}.{:02}", cents / 100, cents % 100)
    } else {
        (units.saturating_add(one / 2) / one).to_string()
    }
}

fn state(offer: &NodeOffer) -> &'static str {
    match offer {
        NodeOffer { online: false, .. } => "offline",
        NodeOffer { draining: true, .. } => "draining",
        NodeOffer { dedicated: true, .. } => "dedicated",
        _ => "online",
    }
}

fn country(code: Option<CountryCode>) -> Option<String> {
    code.map(|code| String::from_utf8_lossy(&code).into_owned())
}

fn value(Listed { offer, rate, uptime_permille }: &Listed) -> Value {
    json!({
        "node": offer.node,
        "farm": offer.farm,
        "country": country(offer.country),
        "certified": offer.certified,
        "online": offer.online,
        "draining": offer.draining,
        "dedicated": offer.dedicated,
        "total": offer.total,
        "free": offer.free,
        "rate_usd_1e10": rate.map(|rate| rate.to_string()),
        "extra_fee_usd_1e10": offer.extra_fee.to_string(),
        "contracts": offer.contracts,
        "serves": offer.features.names().collect::<Vec<_>>(),
        "not_delivered_tft_1e7": offer.not_delivered.to_string(),
        "uptime_permille": uptime_permille,
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn offer(node: u32) -> NodeOffer {
        let total = Resources { cru: 8, mru: 16 * GIB, sru: 100 * GIB, ..Resources::ZERO };
        NodeOffer {
            node,
            farm: 3,
            total,
            free: Resources { cru: 6, ..total },
            certified: true,
            online: true,
            draining: false,
            dedicated: false,
            extra_fee: 0,
            country: Some(*b"BE"),
            contracts: 2,
            features: Features::ZMACHINE,
            not_delivered: 0,
        }
    }

    const PRICE: TftPrice = 500_000;

    fn listed(offer: NodeOffer) -> Listed {
        Listed { offer, rate: Some(103_750_000), uptime_permille: 998 }
    }

    fn found(listed: Vec<Listed>) -> Found {
        Found { searched: listed.len(), listed, ..Found::default() }
    }

    #[test]
    fn a_table_has_free_capacity_prices_and_the_next_page() {
        let offline =
            NodeOffer { online: false, extra_fee: 5_000_000_000, not_delivered: 2 * TFT, ..offer(7) };
        let found = Found { next: Some(9), ..found(vec![listed(offer(1)), listed(offline)]) };
        let text = found.text(Sold::Free, PRICE);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let first = ["1", "3", "BE", "yes", "online", "6", "16.0", "100", "2", "99", "7.47", "149.40"];
        assert_eq!(lines[1], first);
        assert_eq!(lines[0][5..], ["CORES", "MEM", "SSD", "RUNS", "UP", "USD", "TFT"]);
        assert_eq!(lines[2][4], "offline");
        assert!(text.contains("0.05 USD per TFT)\nfor all that is free\n"), "{text}");
        assert!(text.contains("node 7: its farmer asks for 0.5 USD per hour more"), "{text}");
        assert!(text.contains("node 7: tenants got 2.00 TFT back"), "{text}");
        assert!(text.ends_with("--after 9") && text.lines().all(|line| line.len() <= MAX_COLUMNS), "{text}");
    }

    #[test]
    fn the_widest_table_fits_a_terminal() {
        let free = Resources { cru: 256, mru: 2_048 * GIB, sru: 30_000 * GIB, hru: 200_000 * GIB, gpu: 16 };
        let wide = NodeOffer { free, farm: 9_999, dedicated: true, contracts: 1_000, ..offer(99_999) };
        let wide = Listed { offer: wide, rate: Some(100_000_000_000), uptime_permille: 1_000 };
        let text = found(vec![wide]).text(Sold::Free, PRICE);
        assert!(text.contains("2048 30000 200000   16 1000 100 7200 144000\n"), "{text}");
        assert!(text.contains("node 99999 is only rented as a whole"), "{text}");
        assert!(text.lines().all(|line| line.len() <= MAX_COLUMNS), "{text}");
    }

    fn parsed(options: &str) -> Nodes {
        use crate::{
            cli::{Cli, Command},
            commands::node::Node,
        };
        use clap::Parser;
        let line = format!("threebot node find {options}");
        match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
            Command::Node(Node::Find(find)) => find,
            _ => panic!("another command"),
        }
    }

    fn domains() -> BTreeMap<NodeId, String> {
        [(1, "gw1.example.org".into())].into()
    }

    fn market() -> Market {
        Market { prices: PriceList::default(), tft: PRICE, free_ips: [(3, 2)].into(), domains: domains() }
    }

    #[test]
    fn each_option_that_keeps_a_node_out_is_told() {
        let able = NodeOffer { features: Features::ZMACHINE.and(Features::PUBLIC_IPS), ..offer(1) };
        let misses = |options: &str, offer: &NodeOffer| parsed(options).misses(offer, &market());
        let fits =
            "--cpu 6 --mem 16GiB --ssd 100GiB --country BE --certified --gateway --ips 2 --max-price 1";
        assert_eq!(misses(fits, &able), [""; 0]);
        for (options, why) in [
            ("--cpu 7", "--cpu"),
            ("--mem 17GiB", "--mem"),
            ("--ssd 1TiB", "--ssd"),
            ("--hdd 1TiB", "--hdd"),
            ("--gpu 1", "--gpu"),
            ("--country NL", "--country"),
            ("--rentable", "--rentable"),
            ("--ips 3", "--ips"),
            ("--cpu 1 --mem 1GiB --max-price 0.0000001", "--max-price"),
        ] {
            assert_eq!(misses(options, &able), [why], "{options}");
        }
        let other = NodeOffer { certified: false, online: false, ..offer(2) };
        let all = ["is offline, asleep or draining (--all)", "--certified", "--ips", "--gateway"];
        assert_eq!(misses("--certified --gateway --ips 1", &other), all);
        assert_eq!(misses("--all", &other), [""; 0]);
    }

    #[test]
    fn a_search_without_matches_says_what_kept_how_many_out() {
        let excluded = [("--cpu", 2), ("is offline, asleep or draining (--all)", 1)].into();
        let none = Found { searched: 3, excluded, ..Found::default() };
        let text = none.text(Sold::Whole, PRICE);
        let expected = "none of 3 nodes matches\nof 3 nodes:\n     2  kept out by --cpu\n     1  is offline, asleep or \
                        draining (--all)";
        assert_eq!(text, expected);
        assert_eq!(none.answer(Sold::Whole, PRICE).value["excluded"]["--cpu"], 2);
    }

    #[test]
    fn a_gateway_is_told_with_its_domain() {
        let found = Found { domains: domains(), ..found(vec![listed(offer(1)), listed(offer(2))]) };
        let text = found.text(Sold::Free, PRICE);
        assert!(
            text.ends_with("node 1: a site with the name shop is at https://shop.gw1.example.org"),
            "{text}"
        );
        let value = found.answer(Sold::Free, PRICE).value;
        assert_eq!(
            (&value["nodes"][0]["domain"], &value["nodes"][1]["domain"]),
            (&json!("gw1.example.org"), &Value::Null)
        );
    }

    #[test]
    fn a_price_is_that_of_what_is_asked_for() {
        let prices = PriceList::default();
        let rate = |sold: Sold, offer: &NodeOffer| sold.rate(offer, &prices);
        let (small, plain) = (Resources { cru: 1, mru: GIB, ..Resources::ZERO }, offer(1));
        let without = rate(Sold::Asked(small, 0), &plain).unwrap();
        assert!(rate(Sold::Asked(small, 1), &plain).unwrap() > without);
        assert!(rate(Sold::Free, &plain).unwrap() > without);
        let dedicated = NodeOffer { dedicated: true, extra_fee: 7, ..offer(1) };
        assert_eq!(rate(Sold::Asked(small, 0), &dedicated), rate(Sold::Whole, &plain).map(|rent| rent + 7));
        let full = NodeOffer { free: Resources::ZERO, ..offer(1) };
        assert_eq!(rate(Sold::Free, &full), None);
    }

    #[test]
    fn amounts_of_thousands_have_no_cents() {
        let amounts = [0, 49_999, 50_000, 9_999_949_999, 9_999_950_000].map(|units| amount(units, TFT));
        assert_eq!(amounts, ["0.00", "0.00", "0.01", "999.99", "1000"]);
    }

    #[test]
    fn a_node_in_json_has_country_and_rate() {
        let value = value(&listed(offer(1)));
        assert_eq!((&value["country"], &value["free"]["cru"]), (&json!("BE"), &json!(6)));
        assert_eq!(value["rate_usd_1e10"], "103750000");
    }
}
