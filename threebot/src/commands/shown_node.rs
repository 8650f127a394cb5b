// SPDX-License-Identifier: Apache-2.0
//! What `threebot node show` shows.

use crate::{
    closing::calendar_time,
    contract::size_text,
    interface::shown,
    output::{Answer, counted, row},
    time::moment,
};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use tfgrid_client::{
    GridAt,
    api::runtime_types::{
        pallet_grid_farming::types::{Enrolment, Phase},
        pallet_grid_nodes::{liveness::LiveState, public_config::PublicConfig, types::Location},
    },
    primitives::{
        Isolation, NodeId, Resources, UnixSeconds,
        farming::{period_of, period_start},
        report::DetailsPayload,
        text::printable,
        views::NodeOffer,
    },
    units::{format_tft, format_usd},
};

/// The most characters of a text that its farmer wrote.
const MAX_TEXT: u32 = 100;

pub async fn answer(at: &GridAt, node: NodeId) -> Result<Answer> {
    let unknown = || format!("no node has the id {node}");
    let offer = at.node_offer(node).await?.with_context(unknown)?;
    let farmed = at.farmed_node(node).await?.with_context(unknown)?;
    let now = at.timestamp_ms().await? / 1_000;
    let period = period_of(now);
    let drain = farmed.record.settings.drain;
    let shown = Shown {
        offer,
        isolation: isolation_name(farmed.record.isolation.0),
        state: state(farmed.liveness.as_ref()),
        location: farmed.location,
        public_config: farmed.public_config,
        enrolment: farmed.enrolment,
        details: at.details(node).await?,
        closes_at: match drain {
            Some(drain) => Some(calendar_time(at, drain.deadline).await?),
            None => None,
        },
        uptime_permille: permille(at.node_uptime_ms(node, period).await?, now - period_start(period)),
    };
    Ok(Answer::new(shown.text(), shown.value()))
}

struct Shown {
    offer: NodeOffer,
    isolation: &'static str,
    state: &'static str,
    location: Option<Location>,
    public_config: Option<PublicConfig>,
    enrolment: Option<Enrolment>,
    details: Option<DetailsPayload>,
    /// When a drain closes the contracts.
    closes_at: Option<UnixSeconds>,
    /// Of the present farming period.
    uptime_permille: u64,
}

/// Whether a node is there, in a word.
pub fn state(live: Option<&LiveState>) -> &'static str {
    match live {
        Some(LiveState::Online { .. }) => "online",
        Some(LiveState::Standby { .. }) => "asleep",
        Some(LiveState::Offline(outage)) if outage.cloned => "cloned",
        Some(LiveState::Offline(_)) | None => "offline",
    }
}

/// How a node keeps its tenants apart.
pub fn isolation_name(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::Container => "container",
        Isolation::Vm => "vm",
    }
}

/// What of `seconds` were `uptime_ms`.
pub fn permille(uptime_ms: u64, seconds: u64) -> u64 {
    uptime_ms.checked_div(seconds).unwrap_or(0).min(1_000)
}

fn capacity(resources: &Resources) -> String {
    let Resources { cru, mru, sru, hru, gpu } = *resources;
    format!(
        "{}, {} memory, {} SSD, {} HDD, {}",
        counted(cru, "core"),
        size_text(mru),
        size_text(sru),
        size_text(hru),
        counted(gpu, "GPU")
    )
}

impl Shown {
    fn text(&self) -> String {
        let NodeOffer { node, farm, contracts, certified, dedicated, extra_fee, not_delivered, .. } =
            self.offer;
        let certified = if certified { ", certified" } else { "" };
        let mut rows = vec![
            row("node", &format!("{node} of farm {farm}{certified}")),
            row("state", self.state),
            row("capacity", &capacity(&self.offer.total)),
            row(
                "free",
                &format!("{}; {}", capacity(&self.offer.free), counted(contracts.into(), "contract")),
            ),
            row("isolation", self.isolation),
            row("serves", &self.offer.features.names().collect::<Vec<_>>().join(" ")),
            row(
                "uptime",
                &format!(
                    "{}.{} % of this farming period",
                    self.uptime_permille / 10,
                    self.uptime_permille % 10
                ),
            ),
            row("returned", &format!("{} TFT to tenants, as not delivered", format_tft(not_delivered))),
        ];
        rows.extend(dedicated.then(|| row("rent", "only as a whole")));
        rows.extend(
            (extra_fee > 0).then(|| {
                row("fee", &format!("{} USD per hour if it is rented", format_usd(extra_fee.into())))
            }),
        );
        rows.extend(self.closes_at.map(|at| row("drains", &format!("its contracts close {}", moment(at)))));
        rows.extend(self.location.as_ref().map(|location| row("location", &location_text(location))));
        if let Some(config) = &self.public_config {
            rows.extend(config.ipv4.as_ref().map(|ipv4| row("ipv4", &shown(ipv4).0)));
            rows.extend(config.ipv6.as_ref().map(|ipv6| row("ipv6", &shown(ipv6).0)));
            rows.extend(
                config.domain.as_ref().map(|domain| row("domain", &String::from_utf8_lossy(&domain.0))),
            );
            rows.extend(
                config
                    .wireguard_ports
                    .as_ref()
                    .map(|ports| row("wireguard", &format!("ports {}-{}", ports.first, ports.last))),
            );
        }
        rows.push(row("farming", &self.farming_text()));
        rows.extend(self.details.as_ref().map(|details| row("hardware", &hardware_text(details))));
        rows.extend(self.details.as_ref().map(|details| row("version", &version(details))));
        rows.join("\n")
    }

    fn farming_text(&self) -> String {
        match &self.enrolment {
            None => "not enrolled".into(),
            Some(Enrolment { bond, phase: Phase::Farming(_), .. }) => {
                format!("enrolled, with a bond of {} TFT", format_tft(*bond))
            }
            Some(Enrolment { bond, phase: Phase::Leaving { until }, .. }) => {
                format!(
                    "left; its bond of {} TFT is free from {}",
                    format_tft(*bond),
                    moment(period_start(*until))
                )
            }
        }
    }

    fn value(&self) -> Value {
        let offer = &self.offer;
        let config = self.public_config.as_ref();
        json!({
            "node": offer.node,
            "farm": offer.farm,
            "state": self.state,
            "certified": offer.certified,
            "dedicated": offer.dedicated,
            "total": offer.total,
            "free": offer.free,
            "contracts": offer.contracts,
            "isolation": self.isolation,
            "serves": offer.features.names().collect::<Vec<_>>(),
            "uptime_permille": self.uptime_permille,
            "not_delivered_tft_1e7": offer.not_delivered.to_string(),
            "extra_fee_usd_1e10": offer.extra_fee.to_string(),
            "closes_at": self.closes_at,
            "location": self.location.as_ref().map(|location| json!({
                "country": String::from_utf8_lossy(&location.country),
                "city": String::from_utf8_lossy(&location.city.0),
                "latitude_1e6": location.latitude,
                "longitude_1e6": location.longitude,
            })),
            "ipv4": config.and_then(|config| config.ipv4.as_ref()).map(|ipv4| shown(ipv4).1),
            "ipv6": config.and_then(|config| config.ipv6.as_ref()).map(|ipv6| shown(ipv6).1),
            "domain": config
                .and_then(|config| config.domain.as_ref())
                .map(|domain| String::from_utf8_lossy(&domain.0)),
            "wireguard_ports": config
                .and_then(|config| config.wireguard_ports.as_ref())
                .map(|ports| [ports.first, ports.last]),
            "bond_tft_1e7": self.enrolment.as_ref().map(|enrolment| enrolment.bond.to_string()),
            "version": self.details.as_ref().map(version),
            "farming": matches!(&self.enrolment, Some(Enrolment { phase: Phase::Farming(_), .. })),
        })
    }
}

fn location_text(location: &Location) -> String {
    let country = String::from_utf8_lossy(&location.country);
    let city = printable(&String::from_utf8_lossy(&location.city.0), MAX_TEXT);
    let degrees = |micro: i32| f64::from(micro) / 1e6;
    format!("{city}, {country} ({}, {})", degrees(location.latitude), degrees(location.longitude))
}

fn hardware_text(details: &DetailsPayload) -> String {
    let serial = printable(&String::from_utf8_lossy(&details.serial), MAX_TEXT);
    let kind = if details.virtualized { "virtual" } else { "physical" };
    let boot = if details.secure_boot { "secure boot" } else { "no secure boot" };
    let serial =
        if serial.is_empty() { "no serial number".into() } else { format!("serial number {serial}") };
    format!("{kind}, {boot}, {serial}, {}", counted(details.gpus.len() as u64, "GPU"))
}

fn version(details: &DetailsPayload) -> String {
    printable(&String::from_utf8_lossy(&details.version), MAX_TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::nodes::tests::offer;
    use tfgrid_client::api::runtime_types::{
        bounded_collections::bounded_vec::BoundedVec, tfgrid_primitives::net::Interface,
    };

    #[test]
    fn a_node_is_shown_with_what_its_farmer_set() {
        let shown = Shown {
            offer: offer(7),
            isolation: "vm",
            state: "online",
            location: Some(Location {
                latitude: 51_050_000,
                longitude: -3_720_000,
                country: *b"BE",
                city: BoundedVec(b"Gent\x1b".to_vec()),
            }),
            public_config: Some(PublicConfig {
                ipv4: Some(Interface { address: [185, 69, 166, 10], prefix: 24, gateway: [185, 69, 166, 1] }),
                ipv6: None,
                domain: Some(BoundedVec(b"gent1.example.org".to_vec())),
                wireguard_ports: None,
            }),
            enrolment: None,
            details: Some(DetailsPayload {
                version: b"0.1.0 (1a2b3c4)".to_vec().try_into().unwrap(),
                ..Default::default()
            }),
            closes_at: Some(1_700_000_000),
            uptime_permille: 995,
        };
        let text = shown.text();
        for part in [
            "node      7 of farm 3, certified",
            "ipv4      185.69.166.10/24 via 185.69.166.1",
            "domain    gent1.example.org",
            "location  Gent, BE (51.05, -3.72)",
            "drains    its contracts close 2023-11-14 22:13 UTC",
            "uptime    99.5 % of this farming period",
            "farming   not enrolled",
            "version   0.1.0 (1a2b3c4)",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(shown.value()["version"], "0.1.0 (1a2b3c4)");
        assert_eq!(shown.value()["ipv4"]["gateway"], "185.69.166.1");
        assert_eq!((&shown.value()["ipv6"], &shown.value()["bond_tft_1e7"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn an_uptime_is_a_part_of_the_period_so_far() {
        assert_eq!((permille(999_000, 1_000), permille(5, 0), permille(u64::MAX, 1)), (999, 0, 1_000));
    }
}
