// SPDX-License-Identifier: Apache-2.0
//! `threebot nodes`

use super::farm::ensure_exists;
use crate::{cli::Global, output::Answer, session::Session};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use tfgrid_client::{
    primitives::{
        FarmId, Features, NodeId, Resources,
        units::GIB,
        views::{CountryCode, NodeFilter, NodeOffer},
    },
    units::{CapacityParts, format_usd, parse_country},
};

/// Find nodes to deploy on
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
    #[arg(long)]
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
    #[arg(long)]
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
        let value = json!({ "nodes": offers.iter().map(value).collect::<Vec<_>>(), "next": next });
        Ok(Answer::new(table(&offers, next), value))
    }
}

/// The columns that are empty for all nodes are left out.
fn table(offers: &[NodeOffer], next: Option<NodeId>) -> String {
    if offers.is_empty() {
        return "no node matches".into();
    }
    let titles = [
        "NODE",
        "FARM",
        "COUNTRY",
        "CERTIFIED",
        "STATE",
        "CORES",
        "MEM GiB",
        "SSD GiB",
        "HDD GiB",
        "GPUS",
        "CONTRACTS",
    ];
    let rows: Vec<_> = offers.iter().map(cells).collect();
    let width = |column: usize| {
        let used = rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
        if used == 0 { 0 } else { used.max(titles[column].len()) }
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let line = |cells: [&str; 11]| {
        let shown = cells.iter().zip(&widths).filter(|(_, width)| **width > 0);
        shown.map(|(cell, width)| format!("{cell:>width$}")).collect::<Vec<_>>().join("  ")
    };
    let mut lines = vec![line(titles)];
    for (offer, row) in offers.iter().zip(&rows) {
        let mut text = line(row.each_ref().map(String::as_str));
        if offer.extra_fee > 0 {
            text.push_str(&format!("  + {} USD/h if rented", format_usd(offer.extra_fee.into())));
        }
        lines.push(text);
    }
    lines.extend(next.map(|next| format!("there may be more: --after {next}")));
    lines.join("\n")
}

fn cells(offer: &NodeOffer) -> [String; 11] {
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
    ]
}

/// GiB with one digit behind the point, rounded down.
fn gib(bytes: u64) -> String {
    let tenths = u128::from(bytes) * 10 / u128::from(GIB);
    format!("{}.{}", tenths / 10, tenths % 10)
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

fn value(offer: &NodeOffer) -> Value {
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
        "extra_fee_usd_1e10": offer.extra_fee.to_string(),
        "contracts": offer.contracts,
        "not_delivered": offer.not_delivered,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(node: u32) -> NodeOffer {
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

    #[test]
    fn a_table_has_free_capacity_and_the_next_page() {
        let text =
            table(&[offer(1), NodeOffer { online: false, extra_fee: 5_000_000_000, ..offer(7) }], Some(9));
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["1", "3", "BE", "yes", "online", "6", "16.0", "100.0", "2"]);
        assert_eq!(lines[0][5..], ["CORES", "MEM", "GiB", "SSD", "GiB", "CONTRACTS"]);
        assert_eq!(lines[2][4], "offline");
        assert!(text.contains("+ 0.5 USD/h if rented") && text.ends_with("--after 9"));
        assert_eq!(table(&[], None), "no node matches");
        assert!(table(&[offer(1)], None).lines().all(|line| line.len() <= 80));
        let with_disk = Resources { hru: GIB, gpu: 1, ..offer(1).free };
        let text = table(&[NodeOffer { free: with_disk, ..offer(1) }], None);
        assert!(text.contains("HDD GiB  GPUS") && text.contains("    1.0     1"), "{text}");
    }

    #[test]
    fn a_country_is_two_letters_in_json_too() {
        let value = value(&offer(1));
        assert_eq!((&value["country"], &value["free"]["cru"]), (&json!("BE"), &json!(6)));
    }
}
