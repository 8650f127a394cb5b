// SPDX-License-Identifier: Apache-2.0
//! `threebot nodes`

use super::farm::ensure_exists;
use crate::{cli::Global, output::Answer, session::Session};
use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};
use tfgrid_client::{
    GridAt,
    estimate::{MONTH_HOURS, tft_for},
    primitives::{
        Balance, FarmId, NodeId, Resources, TftPrice, UsdRate,
        units::{GIB, TFT},
        views::{CountryCode, NodeFilter, NodeOffer},
    },
    units::{CapacityParts, USD_UNITS, format_price, format_usd, parse_country, parse_id},
};

/// How many prices are asked for at the same time.
const PRICES_AT_ONCE: usize = 50;
/// What a terminal has at least.
const MAX_COLUMNS: usize = 80;

/// Find nodes to deploy on, and what they cost
///
/// Prices are for what --free asks for, else for all that is free on the node; for the whole node with --rentable and
/// where only that is offered.
#[derive(Args)]
#[command(after_help = "\
Examples:
  threebot nodes --free cru=4,mru=8GiB,sru=50GiB --country BE
  threebot nodes --certified --rentable
  threebot nodes --all --after 500 --limit 100 --json")]
pub struct Nodes {
    /// The least free capacity, such as cru=2,mru=2GiB,sru=10GiB
    #[arg(long, value_name = "PARTS")]
    free: Option<CapacityParts>,
    /// Only nodes of this farm
    #[arg(long, value_parser = parse_id::<FarmId>)]
    farm: Option<FarmId>,
    /// Only nodes in this country, two letters such as BE
    #[arg(long, value_parser = parse_country)]
    country: Option<CountryCode>,
    /// Only certified nodes
    #[arg(long)]
    certified: bool,
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

impl Nodes {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let session = Session::anonymous(global).await?;
        let filter = NodeFilter {
            free: self.free.unwrap_or_default().or(Resources::ZERO),
            farm: self.farm,
            country: self.country,
            certified: self.certified,
            rentable: self.rentable,
            unavailable: self.all,
        };
        let at = session.grid.finalized().await?;
        if let Some(farm) = self.farm {
            ensure_exists(&at, farm).await?;
        }
        let wanted = self.limit as usize;
        let (mut offers, mut next) = (Vec::new(), self.after);
        loop {
            let missing = wanted.saturating_sub(offers.len());
            let page = at.find_nodes(&filter, next, u32::try_from(missing).unwrap_or(u32::MAX)).await?;
            offers.extend(page.items);
            next = page.next;
            if next.is_none() || offers.len() >= wanted {
                break;
            }
        }
        let sold = if self.rentable {
            Sold::Whole
        } else {
            self.free.map_or(Sold::Free, |parts| Sold::Asked(parts.or(Resources::ZERO)))
        };
        let listed = sold.priced(&at, offers).await?;
        let price = at.grid_info().await?.tft_price;
        let values: Vec<Value> = listed.iter().map(value).collect();
        let value = json!({ "nodes": values, "next": next, "price_usd_1e7": price.to_string() });
        Ok(Answer::new(table(&listed, sold, price, next), value))
    }
}

/// A node, and the rate of what is [`Sold`] on it, where that has one.
struct Listed {
    offer: NodeOffer,
    rate: Option<UsdRate>,
}

/// What the prices are for.
#[derive(Clone, Copy)]
enum Sold {
    Asked(Resources),
    Free,
    Whole,
}

impl Sold {
    async fn priced(self, at: &GridAt, offers: Vec<NodeOffer>) -> Result<Vec<Listed>> {
        let mut listed = Vec::new();
        let mut offers = offers.into_iter().peekable();
        while offers.peek().is_some() {
            let asking: Vec<_> = offers
                .by_ref()
                .take(PRICES_AT_ONCE)
                .map(|offer| tokio::spawn(self.price(at.clone(), offer)))
                .collect();
            for answer in asking {
                listed.push(answer.await.context("the question for a price was interrupted")??);
            }
        }
        Ok(listed)
    }

    async fn price(self, at: GridAt, offer: NodeOffer) -> Result<Listed> {
        let resources = match self {
            Self::Asked(resources) => resources,
            // GPUs may have no price yet.
            Self::Free | Self::Whole => Resources { gpu: 0, ..offer.free },
        };
        let rate = if offer.dedicated || matches!(self, Self::Whole) {
            at.quote_rent(offer.node).await?
        } else if resources == Resources::ZERO {
            None
        } else {
            at.quote(offer.node, resources, 0).await?
        };
        Ok(Listed { offer, rate })
    }

    fn text(self) -> &'static str {
        match self {
            Self::Asked(_) => "for what --free asks for",
            Self::Free => "for all that is free",
            Self::Whole => "for renting the whole node",
        }
    }
}

/// The columns that are empty for all nodes are left out.
fn table(listed: &[Listed], sold: Sold, price: TftPrice, next: Option<NodeId>) -> String {
    if listed.is_empty() {
        return "no node matches; --all includes those that are offline, asleep or draining".into();
    }
    let titles =
        ["NODE", "FARM", "IN", "CERT", "STATE", "CORES", "MEM", "SSD", "HDD", "GPUS", "RUNS", "USD", "TFT"];
    let rows: Vec<_> = listed.iter().map(|listed| cells(listed, price)).collect();
    let width = |column: usize| {
        let used = rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
        if used == 0 { 0 } else { used.max(titles[column].len()) }
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let gaps = widths.iter().filter(|width| **width > 0).count().saturating_sub(1);
    let gap = if widths.iter().sum::<usize>() + 2 * gaps > MAX_COLUMNS { " " } else { "  " };
    let line = |cells: [&str; 13]| {
        let shown = cells.iter().zip(&widths).filter(|(_, width)| **width > 0);
        shown.map(|(cell, width)| format!("{cell:>width$}")).collect::<Vec<_>>().join(gap)
    };
    let mut lines = vec![line(titles)];
    lines.extend(rows.iter().map(|row| line(row.each_ref().map(String::as_str))));
    lines.push(format!(
        "MEM, SSD and HDD: free GiB. RUNS: contracts. USD and TFT: per month (720 h, at\n{} USD per TFT) {}",
        format_price(price),
        sold.text()
    ));
    for Listed { offer: NodeOffer { node, dedicated, extra_fee, .. }, .. } in listed {
        if *dedicated && !matches!(sold, Sold::Whole) {
            lines.push(format!("node {node} is only rented as a whole: its price is for that"));
        }
        if *extra_fee > 0 {
            let fee = format_usd((*extra_fee).into());
            lines.push(format!("node {node}: its farmer asks for {fee} USD per hour more if it is rented"));
        }
    }
    lines.extend(next.map(|next| format!("there may be more: --after {next}")));
    lines.join("\n")
}

fn cells(Listed { offer, rate }: &Listed, price: TftPrice) -> [String; 13] {
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

fn value(Listed { offer, rate }: &Listed) -> Value {
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
        "not_delivered": offer.not_delivered,
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use tfgrid_client::primitives::Features;

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
        Listed { offer, rate: Some(103_750_000) }
    }

    #[test]
    fn a_table_has_free_capacity_prices_and_the_next_page() {
        let offline = NodeOffer { online: false, extra_fee: 5_000_000_000, ..offer(7) };
        let text = table(&[listed(offer(1)), listed(offline)], Sold::Free, PRICE, Some(9));
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["1", "3", "BE", "yes", "online", "6", "16.0", "100", "2", "7.47", "149.40"]);
        assert_eq!(lines[0][5..], ["CORES", "MEM", "SSD", "RUNS", "USD", "TFT"]);
        assert_eq!(lines[2][4], "offline");
        assert!(text.contains("0.05 USD per TFT) for all that is free\n"), "{text}");
        assert!(text.contains("node 7: its farmer asks for 0.5 USD per hour more"), "{text}");
        assert!(text.ends_with("--after 9") && text.lines().all(|line| line.len() <= MAX_COLUMNS), "{text}");
        assert!(table(&[], Sold::Free, PRICE, None).starts_with("no node matches; --all"));
    }

    #[test]
    fn the_widest_table_fits_a_terminal() {
        let free = Resources { cru: 256, mru: 2_048 * GIB, sru: 30_000 * GIB, hru: 200_000 * GIB, gpu: 16 };
        let wide = NodeOffer { free, farm: 9_999, dedicated: true, contracts: 1_000, ..offer(99_999) };
        let text = table(&[Listed { offer: wide, rate: Some(100_000_000_000) }], Sold::Free, PRICE, None);
        assert!(text.contains("2048 30000 200000   16 1000 7200 144000\n"), "{text}");
        assert!(text.contains("node 99999 is only rented as a whole"), "{text}");
        assert!(text.lines().all(|line| line.len() <= MAX_COLUMNS), "{text}");
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
