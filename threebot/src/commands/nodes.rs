// SPDX-License-Identifier: Apache-2.0
//! Finds nodes.

use crate::{cli::Nodes, output::Answer, session::Session};
use anyhow::Result;
use serde_json::{Value, json};
use tfgrid_client::{
    primitives::{
        units::GIB,
        views::{CountryCode, NodeFilter, NodeOffer},
    },
    units::format_usd,
};

pub async fn find(session: &Session, args: Nodes) -> Result<Answer> {
    let filter = NodeFilter {
        free: args.free,
        farm: args.farm,
        country: args.country,
        certified: args.certified,
        rentable: args.rentable,
        unavailable: args.all,
    };
    let at = session.grid.finalized().await?;
    let wanted = args.limit as usize;
    let (mut offers, mut next) = (Vec::new(), args.after);
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

fn table(offers: &[NodeOffer], next: Option<u32>) -> String {
    if offers.is_empty() {
        return "no node matches".into();
    }
    let mut text = format!(
        "{:>8}  {:>6}  {:<7}  {:<9}  {:<9}  {:>6}  {:>9}  {:>9}  {:>9}  {:>4}  {:>9}",
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
        "CONTRACTS"
    );
    for offer in offers {
        text.push('\n');
        text.push_str(&row(offer));
    }
    if let Some(next) = next {
        text.push_str(&format!("\nthere may be more: --after {next}"));
    }
    text
}

fn row(offer: &NodeOffer) -> String {
    let gib = |bytes: u64| format!("{:.1}", bytes as f64 / GIB as f64);
    let mut row = format!(
        "{:>8}  {:>6}  {:<7}  {:<9}  {:<9}  {:>6}  {:>9}  {:>9}  {:>9}  {:>4}  {:>9}",
        offer.node,
        offer.farm,
        country(offer.country).unwrap_or_default(),
        if offer.certified { "yes" } else { "" },
        state(offer),
        offer.free.cru,
        gib(offer.free.mru),
        gib(offer.free.sru),
        gib(offer.free.hru),
        offer.free.gpu,
        offer.contracts,
    );
    if offer.extra_fee > 0 {
        row.push_str(&format!("  + {} USD/h if rented", format_usd(offer.extra_fee.into())));
    }
    row
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
        "extra_fee": offer.extra_fee,
        "contracts": offer.contracts,
        "not_delivered": offer.not_delivered,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_client::primitives::Resources;

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
            not_delivered: 0,
        }
    }

    #[test]
    fn a_table_shows_what_is_free_and_where_to_go_on() {
        let text =
            table(&[offer(1), NodeOffer { online: false, extra_fee: 5_000_000_000, ..offer(7) }], Some(9));
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["1", "3", "BE", "yes", "online", "6", "16.0", "100.0", "0.0", "0", "2"]);
        assert_eq!(lines[2][4], "offline");
        assert!(text.contains("+ 0.5 USD/h if rented") && text.ends_with("--after 9"));
        assert_eq!(table(&[], None), "no node matches");
    }

    #[test]
    fn a_country_is_two_letters_in_json_too() {
        let value = value(&offer(1));
        assert_eq!((&value["country"], &value["free"]["cru"]), (&json!("BE"), &json!(6)));
    }
}
