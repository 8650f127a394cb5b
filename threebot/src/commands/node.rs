// SPDX-License-Identifier: Apache-2.0
//! `threebot node`

use super::{
    asked_node::{Logs, Status},
    event,
    farm::ensure_own,
    nodes::Nodes,
    shown_node,
};
use crate::{
    cli::Global,
    closing::calendar_time,
    consent::{Consent, unasked},
    contract::size_text,
    foreseen::Foreseen,
    interface::Interfaces,
    output::{Answer, Usage, counted},
    session::Session,
    time::{moment, stretch},
};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::time::Duration;
use subxt::transactions::Payload;
use tfgrid_client::{
    GridAt,
    api::{
        self,
        runtime_types::{
            bounded_collections::bounded_vec::BoundedVec,
            pallet_grid_nodes::{
                public_config::{Ports, PublicConfig as ChainConfig},
                types::Location as ChainLocation,
            },
            tfgrid_primitives::report::PowerState,
        },
    },
    primitives::{
        FarmId, Features, NodeId, UnixSeconds, UsdRate,
        views::{CountryCode, NodeContract, NodeOffer},
    },
    units::{format_tft, format_usd, parse_country, parse_duration, parse_id, parse_rate},
};

/// Grid time goes on by so much until the call is in a block, in milliseconds.
const SLACK_MS: u64 = 60_000;

#[derive(Subcommand)]
pub enum Node {
    Find(Nodes),
    /// List the nodes of your farms, or of one farm, those that are offline, asleep or draining included
    List {
        /// Only this farm, also another farmer's
        #[arg(long, value_parser = parse_id::<FarmId>)]
        farm: Option<FarmId>,
    },
    /// Show all about a node: capacity, hardware, state, addresses, settings, farming
    Show {
        /// The node's id
        #[arg(value_parser = parse_id::<NodeId>)]
        node: NodeId,
    },
    Status(Status),
    Logs(Logs),
    PublicConfig(PublicConfig),
    Location(Location),
    /// Let your node be rented as a whole only, or in parts again; contracts that are there stay
    #[command(arg = unasked())]
    Dedicated {
        /// The node's id
        #[arg(value_parser = parse_id::<NodeId>)]
        node: NodeId,
        /// Whether it is
        #[arg(value_enum)]
        dedicated: Switch,
    },
    /// Send your empty node to sleep, or wake it
    #[command(arg = unasked())]
    Power {
        /// The node's id
        #[arg(value_parser = parse_id::<NodeId>)]
        node: NodeId,
        /// Whether it is up or asleep
        #[arg(value_enum)]
        target: Power,
    },
    /// Let a node count as online again whose key two machines have used; stop one of them before
    #[command(arg = unasked())]
    ClearClone {
        /// The node's id
        #[arg(value_parser = parse_id::<NodeId>)]
        node: NodeId,
    },
    /// End farming with your node; its bond is held until its last reward has matured
    LeaveFarming {
        /// The node's id
        #[arg(value_parser = parse_id::<NodeId>)]
        node: NodeId,
        #[command(flatten)]
        consent: Consent,
    },
    /// Get the bond back of a node that has left farming
    #[command(arg = unasked())]
    WithdrawBond {
        /// The node's id
        #[arg(value_parser = parse_id::<NodeId>)]
        node: NodeId,
    },
    /// Let your node take no new contracts, and close its contracts after a time
    Drain {
        /// The node's id
        #[arg(value_parser = parse_id::<NodeId>)]
        node: NodeId,
        /// When its contracts close, such as 7d: the chain asks for 7 days of notice, a development chain for a minute
        #[arg(long = "in", value_name = "TIME", default_value = "7d", value_parser = parse_duration)]
        within: Duration,
        /// Why, for its tenants
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Let your node take contracts again
    #[command(arg = unasked())]
    CancelDrain {
        /// The node's id
        #[arg(value_parser = parse_id::<NodeId>)]
        node: NodeId,
    },
    /// Remove your empty node from the chain; its deposit is returned
    Remove {
        /// The node's id
        #[arg(value_parser = parse_id::<NodeId>)]
        node: NodeId,
        #[command(flatten)]
        consent: Consent,
    },
    /// List the contracts on a node, and until when paused ones may hold its capacity
    Contracts {
        /// The node's id
        #[arg(value_parser = parse_id::<NodeId>)]
        node: NodeId,
    },
    /// Set the extra fee for renting your node; a higher one counts after the chain's notice
    #[command(arg = unasked())]
    Fee {
        /// The node's id
        #[arg(value_parser = parse_id::<NodeId>)]
        node: NodeId,
        /// In USD per hour, beside the list price; 0 for none
        #[arg(value_name = "USD", value_parser = parse_rate)]
        fee: UsdRate,
    },
}

/// Set how the internet reaches your node: addresses, and the domain under which it serves names
///
/// What isn't given is removed.
#[derive(Args)]
#[command(arg = unasked(), after_help = "\
Examples:
  threebot node public-config 1 --ipv4 185.69.166.10/24 --gateway 185.69.166.1
  threebot node public-config 1 --ipv4 185.69.166.10/24 --gateway 185.69.166.1 \\
      --domain gent1.example.org
  threebot node public-config 1 --remove")]
pub struct PublicConfig {
    /// The node's id
    #[arg(value_parser = parse_id::<NodeId>)]
    node: NodeId,
    #[command(flatten)]
    interfaces: Interfaces,
    /// Domain under which the node serves gateway names: point *.DOMAIN to its address
    #[arg(long, value_parser = parse_domain)]
    domain: Option<String>,
    /// UDP ports that lead to the node, for WireGuard, such as 51820-51899
    #[arg(long, value_name = "FIRST-LAST", value_parser = parse_ports)]
    wireguard_ports: Option<(u16, u16)>,
    /// Remove all of it
    #[arg(long, conflicts_with_all = ["ipv4", "ipv6", "domain", "wireguard_ports"])]
    remove: bool,
}

/// Say where your node stands
#[derive(Args)]
#[command(arg = unasked())]
pub struct Location {
    /// The node's id
    #[arg(value_parser = parse_id::<NodeId>)]
    node: NodeId,
    /// Country, two letters such as BE
    #[arg(long, value_parser = parse_country)]
    country: CountryCode,
    /// City
    #[arg(long)]
    city: String,
    /// Degrees north of the equator, such as 51.05 or -33.9
    #[arg(long, value_name = "DEGREES", value_parser = parse_degrees, allow_hyphen_values = true)]
    latitude: i32,
    /// Degrees east of Greenwich, such as 3.72 or -70.6
    #[arg(long, value_name = "DEGREES", value_parser = parse_degrees, allow_hyphen_values = true)]
    longitude: i32,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

impl Switch {
    pub fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Power {
    Up,
    Standby,
}

/// A domain name, whose rules the chain knows.
fn parse_domain(text: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let labels: Vec<&str> = text.split('.').collect();
    let is_label = |label: &&str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_named = labels.last().is_some_and(|top| !top.bytes().all(|b| b.is_ascii_digit()));
    if labels.len() > 1 && text.len() <= 253 && labels.iter().all(is_label) && is_named {
        return Ok(text.into());
    }
    Err(format!(
        "{text:?} isn't a domain: write it in small letters and without a dot at its end, as gent1.example.org"
    ))
}

/// A range of ports.
fn parse_ports(text: &str) -> Result<(u16, u16), String> {
    let ports =
        text.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    let ports = ports.filter(|(first, last): &(u16, u16)| *first > 0 && first <= last);
    ports.ok_or_else(|| format!("{text:?} isn't a range of ports such as 51820-51899"))
}

/// Millionths of a degree.
fn parse_degrees(text: &str) -> Result<i32, String> {
    const DECIMALS: usize = 6;
    let (sign, number) = text.strip_prefix('-').map_or((1, text), |number| (-1, number));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number =
        !whole.is_empty() && [whole, fraction].iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()));
    let digits = format!("{whole}{fraction:0<DECIMALS$}");
    let parsed = digits.parse::<i32>().ok().filter(|_| is_number && fraction.len() <= DECIMALS);
    let degrees =
        parsed.map(|degrees| sign * degrees).filter(|degrees| degrees.unsigned_abs() <= 180_000_000);
    degrees.ok_or_else(|| {
        format!("{text:?} isn't a number of degrees such as 51.05, with at most {DECIMALS} decimals")
    })
}

impl Node {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        match self {
            Self::Find(find) => find.run(global).await,
            Self::List { farm: Some(farm) } => {
                Nodes::of_farms(&Session::anonymous(global).await?.grid.finalized().await?, &[farm]).await
            }
            Self::List { farm: None } => {
                let session = Session::open(global).await?;
                let at = session.grid.finalized().await?;
                let twin = session.twin(&at).await?;
                let farms = at.farms().await?.into_iter().filter(|farm| farm.twin == twin);
                Nodes::of_farms(&at, &farms.map(|farm| farm.id).collect::<Vec<_>>()).await
            }
            Self::Show { node } => {
                shown_node::answer(&Session::anonymous(global).await?.grid.finalized().await?, node).await
            }
            Self::Status(status) => status.run(global).await,
            Self::Logs(logs) => logs.run(global).await,
            Self::PublicConfig(config) => config.run(global).await,
            Self::Location(location) => location.run(&Session::open(global).await?).await,
            Self::Dedicated { node, dedicated } => {
                let call = api::transactions().nodes().set_dedicated(node, dedicated.is_on());
                let done =
                    if dedicated.is_on() { "is only rented as a whole" } else { "is rented in parts, too" };
                set(&Session::open(global).await?, node, "node dedicated", &call, done).await
            }
            Self::Power { node, target } => power(&Session::open(global).await?, node, target).await,
            Self::ClearClone { node } => {
                let call = api::transactions().nodes().clear_clone(node);
                let done = "counts as online again after some heartbeats";
                set(&Session::open(global).await?, node, "node clear-clone", &call, done).await
            }
            Self::LeaveFarming { node, consent } => {
                let session = Session::open(global).await?;
                own_offer(&session, &session.grid.finalized().await?, node).await?;
                consent.ask(
                    &session,
                    &format!("node {node} will earn no more rewards until it is enrolled again"),
                )?;
                let call = api::transactions().farming().leave(node);
                let done = "farms no more; `threebot node withdraw-bond` returns the bond once it is free";
                set(&session, node, "node leave-farming", &call, done).await
            }
            Self::WithdrawBond { node } => withdraw_bond(&Session::open(global).await?, node).await,
            Self::Drain { node, within, reason, consent } => {
                drain(&Session::open(global).await?, node, within, reason, &consent).await
            }
            Self::CancelDrain { node } => cancel_drain(&Session::open(global).await?, node).await,
            Self::Remove { node, consent } => remove(&Session::open(global).await?, node, &consent).await,
            Self::Contracts { node } => contracts(&Session::anonymous(global).await?, node).await,
            Self::Fee { node, fee } => set_fee(&Session::open(global).await?, node, fee).await,
        }
    }
}

/// Submits a farmer's call about its node; `done` says what is so afterwards.
async fn set(session: &Session, node: NodeId, what: &str, call: &impl Payload, done: &str) -> Result<Answer> {
    own_offer(session, &session.grid.finalized().await?, node).await?;
    session.submit(what, call).await?;
    Ok(Answer::new(format!("node {node} {done}"), json!({ "node": node })))
}

impl PublicConfig {
    async fn run(self, global: &Global) -> Result<Answer> {
        let config = self.config()?;
        let session = Session::open(global).await?;
        let done = if self.remove { "has no public addresses any more" } else { "has its public addresses" };
        let call = api::transactions().nodes().set_public_config(self.node, config);
        set(&session, self.node, "node public-config", &call, done).await
    }

    /// Fails if nothing is given, or the chain would refuse it.
    fn config(&self) -> Result<Option<ChainConfig>> {
        if self.remove {
            return Ok(None);
        }
        let config = ChainConfig {
            ipv4: self.interfaces.v4()?,
            ipv6: self.interfaces.v6()?,
            domain: self.domain.clone().map(|domain| BoundedVec(domain.into_bytes())),
            wireguard_ports: self.wireguard_ports.map(|(first, last)| Ports { first, last }),
        };
        if config.ipv4.is_none() && config.ipv6.is_none() && config.domain.is_none() {
            bail!(Usage::new("nothing is given: name an address or a domain, or --remove"));
        }
        Ok(Some(config))
    }
}

impl Location {
    async fn run(self, session: &Session) -> Result<Answer> {
        let Self { node, country, city, latitude, longitude } = self;
        let location = ChainLocation { latitude, longitude, country, city: BoundedVec(city.into_bytes()) };
        let call = api::transactions().nodes().set_location(node, location);
        set(session, node, "node location", &call, "has its location").await
    }
}

async fn power(session: &Session, node: NodeId, target: Power) -> Result<Answer> {
    let offer = own_offer(session, &session.grid.finalized().await?, node).await?;
    let (state, done) = match target {
        Power::Up => (PowerState::Up, "is to be up: it wakes within some minutes"),
        Power::Standby => {
            ensure_can_sleep(&offer)?;
            (PowerState::Standby, "is to sleep")
        }
    };
    let call = api::transactions().nodes().set_power_target(node, state);
    set(session, node, "node power", &call, done).await
}

/// Fails if the node's agent can't wake it, or contracts are on it.
fn ensure_can_sleep(offer: &NodeOffer) -> Result<()> {
    if !offer.features.contains(Features::POWER) {
        let text = format!("the agent of node {} can't send it to sleep and have it woken", offer.node);
        bail!(Foreseen::new("Nodes.PowerNotServed", text));
    }
    ensure_empty(offer)
}

async fn withdraw_bond(session: &Session, node: NodeId) -> Result<Answer> {
    const WHAT: &str = "node withdraw-bond";
    let included = session.submit(WHAT, &api::transactions().farming().withdraw(node)).await?;
    let released = event::<api::farming::events::BondReleased>(&included, WHAT)?.bond;
    let text = format!("the bond of node {node} is free: {} TFT", format_tft(released));
    Ok(Answer::new(text, json!({ "node": node, "returned_tft_1e7": released.to_string() })))
}

async fn drain(
    session: &Session,
    node: NodeId,
    within: Duration,
    reason: String,
    consent: &Consent,
) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    let contracts = own_offer(session, &at, node).await?.contracts;
    let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    ensure_notice(within_ms, at.drain_notice_ms().await?)?;
    let from_now_ms = within_ms.saturating_add(SLACK_MS);
    let closes_at = at.timestamp_ms().await?.saturating_add(from_now_ms) / 1_000;
    let when = format!("at {} (in {})", moment(closes_at), stretch(within.as_secs()));
    let closing = counted(contracts.into(), "contract");
    consent.ask(
        session,
        &format!("node {node} will take no new contracts, and what it has ({closing}) will close {when}"),
    )?;
    let deadline = at.grid_info().await?.grid_now.saturating_add(from_now_ms);
    let reason = BoundedVec(reason.into_bytes());
    session.submit("node drain", &api::transactions().nodes().drain(node, deadline, reason)).await?;
    let text = format!("node {node} drains; {closing} to close {when}");
    Ok(Answer::new(text, json!({ "node": node, "contracts": contracts, "closes_at": closes_at })))
}

/// Fails where tenants would have less notice than the chain asks for.
fn ensure_notice(within_ms: u64, notice_ms: u64) -> Result<()> {
    if within_ms >= notice_ms {
        return Ok(());
    }
    let [within, notice] = [within_ms, notice_ms].map(|ms| stretch(ms / 1_000));
    let text = format!("tenants have {notice} of notice at least on this chain, and --in says {within}");
    bail!(Foreseen::new("Nodes.DrainTooSoon", text))
}

async fn cancel_drain(session: &Session, node: NodeId) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    if !own_offer(session, &at, node).await?.draining {
        bail!(Foreseen::new("Nodes.NotDraining", format!("node {node} doesn't drain: it takes contracts")));
    }
    session.submit("node cancel-drain", &api::transactions().nodes().cancel_drain(node)).await?;
    Ok(Answer::new(format!("node {node} takes contracts again"), json!({ "node": node })))
}

async fn set_fee(session: &Session, node: NodeId, fee: UsdRate) -> Result<Answer> {
    own_offer(session, &session.grid.finalized().await?, node).await?;
    let included = session.submit("node fee", &api::transactions().nodes().set_extra_fee(node, fee)).await?;
    let set = event::<api::nodes::events::ExtraFeeSet>(&included, "node fee")?;
    let from = calendar_time(&session.grid.finalized().await?, set.from).await?;
    let text = format!(
        "node {node}: {} USD per hour extra if it is rented, from {}",
        format_usd(fee.into()),
        moment(from)
    );
    Ok(Answer::new(text, json!({ "node": node, "extra_fee_usd_1e10": fee.to_string(), "from": from })))
}

async fn remove(session: &Session, node: NodeId, consent: &Consent) -> Result<Answer> {
    ensure_empty(&own_offer(session, &session.grid.finalized().await?, node).await?)?;
    consent
        .ask(session, &format!("node {node} goes for good: its machine needs another ticket to come back"))?;
    let included = session.submit("node remove", &api::transactions().nodes().remove(node)).await?;
    let released = event::<api::nodes::events::NodeRemoved>(&included, "node remove")?.released;
    let text = format!("node {node} is removed; {} TFT are returned", format_tft(released));
    Ok(Answer::new(text, json!({ "node": node, "returned_tft_1e7": released.to_string() })))
}

async fn offer(at: &GridAt, node: NodeId) -> Result<NodeOffer> {
    at.node_offer(node).await?.with_context(|| format!("no node has the id {node}"))
}

/// Fails if the node is another farmer's.
async fn own_offer(session: &Session, at: &GridAt, node: NodeId) -> Result<NodeOffer> {
    let offer = offer(at, node).await?;
    ensure_own(session, at, offer.farm, "Nodes.NotFarmer")
        .await
        .with_context(|| format!("node {node} isn't yours"))?;
    Ok(offer)
}

/// The node contracts on a node, for its farmer.
async fn contracts(session: &Session, node: NodeId) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    offer(&at, node).await?;
    let mut rows = Vec::new();
    for contract in at.contracts_of_node(node).await? {
        let held_until = match contract.closes_at {
            Some(deadline) => Some(calendar_time(&at, deadline).await?),
            None => None,
        };
        rows.push((contract, held_until));
    }
    let values: Vec<Value> = rows.iter().map(|(contract, until)| contract_value(contract, *until)).collect();
    Ok(Answer::new(contracts_table(&rows), json!({ "node": node, "contracts": values })))
}

/// A contract of a node, and until when it may hold the capacity if it is paused.
type Held = (NodeContract, Option<UnixSeconds>);

fn contracts_table(contracts: &[Held]) -> String {
    if contracts.is_empty() {
        return "no contracts".into();
    }
    let row = |contract: &str, twin: &str, state: &str, cores: &str, memory: &str, ssd: &str, until: &str| {
        format!("{contract:>8}  {twin:>6}  {state:<8}  {cores:>5}  {memory:>10}  {ssd:>10}  {until}")
    };
    let mut rows = vec![row("CONTRACT", "TWIN", "STATE", "CORES", "MEMORY", "SSD", "CLOSES UNLESS PAID")];
    rows.extend(contracts.iter().map(|(contract, until)| {
        row(
            &contract.contract.to_string(),
            &contract.twin.to_string(),
            state(contract),
            &contract.resources.cru.to_string(),
            &size_text(contract.resources.mru),
            &size_text(contract.resources.sru),
            &until.map_or_else(String::new, moment),
        )
    }));
    rows.iter().map(|row| row.trim_end()).collect::<Vec<_>>().join("\n")
}

fn contract_value(contract: &NodeContract, held_until: Option<UnixSeconds>) -> Value {
    json!({
        "contract": contract.contract,
        "twin": contract.twin,
        "state": state(contract),
        "resources": contract.resources,
        "held_until": held_until,
    })
}

fn state(contract: &NodeContract) -> &'static str {
    match contract {
        NodeContract { paused: true, .. } => "paused",
        NodeContract { deployed: true, .. } => "deployed",
        _ => "created",
    }
}

fn ensure_empty(NodeOffer { node, contracts, .. }: &NodeOffer) -> Result<()> {
    if *contracts == 0 {
        return Ok(());
    }
    let contracts = counted((*contracts).into(), "contract");
    let text = format!("node {node} still has {contracts}: `threebot node drain {node}` ends them");
    bail!(Foreseen::new("Nodes.NodeInUse", text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::{Cli, Command},
        commands::nodes::tests::offer,
    };
    use clap::Parser;
    use tfgrid_client::primitives::{Resources, units::GIB};

    fn public_config(line: &str) -> Result<PublicConfig, clap::Error> {
        let line = format!("threebot node public-config 1 {line}");
        let cli = Cli::try_parse_from(line.split_whitespace())?;
        let Command::Node(Node::PublicConfig(config)) = cli.command else { panic!("another command") };
        Ok(config)
    }

    #[test]
    fn a_drain_with_less_notice_than_the_chain_asks_for_is_refused() {
        assert!(ensure_notice(60_000, 60_000).is_ok());
        let error = ensure_notice(3_600_000, 7 * 86_400_000).unwrap_err();
        assert_eq!(error.downcast_ref::<Foreseen>().unwrap().code, "Nodes.DrainTooSoon");
        assert!(error.to_string().starts_with("tenants have 7 d 0 h of notice"), "{error}");
    }

    #[test]
    fn a_public_config_has_addresses_domain_and_ports() {
        let line = "--ipv4 185.69.166.10/24 --gateway 185.69.166.1 --domain gent1.example.org \
                    --wireguard-ports 51820-51899";
        let config = public_config(line).unwrap().config().unwrap().unwrap();
        let ipv4 = config.ipv4.unwrap();
        assert_eq!((ipv4.address, ipv4.prefix, ipv4.gateway), ([185, 69, 166, 10], 24, [185, 69, 166, 1]));
        assert_eq!(config.domain.unwrap().0, b"gent1.example.org");
        let ports = config.wireguard_ports.unwrap();
        assert_eq!((ports.first, ports.last, config.ipv6.is_none()), (51_820, 51_899, true));
        assert!(public_config("--remove").unwrap().config().unwrap().is_none());
    }

    #[test]
    fn a_public_config_that_cannot_work_is_refused() {
        for line in [
            "--ipv4 185.69.166.10/24",
            "--gateway 185.69.166.1",
            "--domain Gent.example.org",
            "--domain localhost",
            "--domain a.1",
            "--domain -a.org",
            "--domain a..org",
            "--wireguard-ports 0-1",
            "--wireguard-ports 9-8",
            "--wireguard-ports 9",
            "--remove --domain a.org",
        ] {
            assert!(public_config(line).is_err(), "{line}");
        }
        for (line, why) in
            [("", "nothing is given"), ("--ipv4 10.0.0.2/24 --gateway 10.0.0.1", "can't be used")]
        {
            let error = public_config(line).unwrap().config().map(drop).unwrap_err().to_string();
            assert!(error.contains(why), "{line}: {error}");
        }
    }

    #[test]
    fn degrees_have_a_sign_and_six_decimals() {
        let read = ["51.05", "-33.9", "0", "180", "0.000001"].map(|text| parse_degrees(text).unwrap());
        assert_eq!(read, [51_050_000, -33_900_000, 0, 180_000_000, 1]);
        for wrong in ["", "x", "--1", "1.2.3", "180.1", "1.1234567", "99999999999"] {
            assert!(parse_degrees(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_node_that_cannot_be_woken_is_not_sent_to_sleep() {
        let error = ensure_can_sleep(&offer(3)).unwrap_err();
        assert_eq!(error.downcast_ref::<Foreseen>().unwrap().code, "Nodes.PowerNotServed");
        let able = NodeOffer { features: Features::POWER, ..offer(3) };
        let error = ensure_can_sleep(&able).unwrap_err();
        assert_eq!(error.downcast_ref::<Foreseen>().unwrap().code, "Nodes.NodeInUse");
        assert!(ensure_can_sleep(&NodeOffer { contracts: 0, ..able }).is_ok());
    }

    #[test]
    fn a_node_in_use_is_not_removed() {
        let error = ensure_empty(&offer(3)).unwrap_err();
        assert_eq!(error.downcast_ref::<Foreseen>().unwrap().code, "Nodes.NodeInUse");
        assert_eq!(error.to_string(), "node 3 still has 2 contracts: `threebot node drain 3` ends them");
        assert!(ensure_empty(&NodeOffer { contracts: 0, ..offer(3) }).is_ok());
    }

    #[test]
    fn a_farmer_sees_until_when_capacity_is_held() {
        let resources = Resources { cru: 2, mru: GIB, sru: 50 * GIB, ..Resources::ZERO };
        let deployed = NodeContract {
            contract: 7,
            twin: 4,
            version: 1,
            body_hash: Default::default(),
            deployed: true,
            paused: false,
            closes_at: None,
            resources,
            pending: None,
        };
        let paused = NodeContract { contract: 8, paused: true, closes_at: Some(9), ..deployed };
        let text = contracts_table(&[(deployed, None), (paused, Some(1_700_000_000))]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].ends_with("deployed      2    1.00 GiB   50.00 GiB"), "{text}");
        assert!(lines[2].contains("paused") && lines[2].ends_with("2023-11-14 22:13 UTC"), "{text}");
        assert!(lines.iter().all(|line| line.len() <= 80), "{text}");
        let value = contract_value(&paused, Some(1_700_000_000));
        assert_eq!((&value["state"], &value["held_until"]), (&json!("paused"), &json!(1_700_000_000)));
        assert_eq!(contracts_table(&[]), "no contracts");
    }
}
