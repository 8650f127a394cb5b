// SPDX-License-Identifier: Apache-2.0
//! Refusals by the chain that are known before anything is sent.

use crate::{contract::size_text, output::Usage};
use anyhow::{Context, Result, bail};
use tfgrid_client::{
    AccountId32, GridAt,
    deployment::{Deployment, Rejection, Workload, WorkloadData},
    primitives::{Balance, FailureCode, Features, NodeId, Resources, TwinId, UsdRate, views::NodeOffer},
    units::{format_tft, format_usd},
};

/// What the chain would refuse with the error `code`.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Foreseen {
    pub code: &'static str,
    text: String,
}

impl Foreseen {
    pub fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

/// An account's free balance, in 1e-7 TFT.
pub struct Purse {
    account: AccountId32,
    free: Balance,
    /// The part of it that can't be spent.
    must_stay: Balance,
}

impl Purse {
    pub async fn read(at: &GridAt, account: AccountId32) -> Result<Self> {
        let free = at.free_balance(&account).await?;
        Ok(Self { account, free, must_stay: at.existential_deposit()? })
    }

    /// The same where `reserve` must stay for fees, too.
    pub fn keeping(self, reserve: Balance) -> Self {
        Self { must_stay: self.must_stay.saturating_add(reserve), ..self }
    }

    /// The same after `released`, which was held of it.
    pub fn with(self, released: Balance) -> Self {
        Self { free: self.free.saturating_add(released), ..self }
    }

    /// What the account can spend.
    pub fn spendable(&self) -> Balance {
        self.free.saturating_sub(self.must_stay)
    }

    /// Whether the account can spend this.
    pub fn has(&self, amount: Balance) -> bool {
        amount.saturating_add(self.must_stay) <= self.free
    }

    /// What is told of a deposit that the account can make. `what` needs it, as in `a twin`; it holds it `until`.
    pub fn deposit_text(&self, what: &str, amount: Balance, until: &str) -> Result<String> {
        let tft = format_tft(amount);
        self.ensure_has(amount, &format!("{what} needs a deposit of {tft} TFT, and TFT for the fee"))?;
        Ok(format!("{tft} TFT of {} are held as a deposit until {until}", self.account))
    }

    /// Fails if the account can't spend `amount`; `what` needs it, as in `a twin needs a deposit of 1 TFT`.
    pub fn ensure_has(&self, amount: Balance, what: &str) -> Result<()> {
        let Self { account, free, must_stay } = self;
        if self.has(amount) {
            return Ok(());
        }
        let has = match free {
            0 => "no TFT".into(),
            _ => format!("{} TFT free, of which {} TFT must stay", format_tft(*free), format_tft(*must_stay)),
        };
        let text = format!("{what}, and the account {account} has {has}");
        bail!(Foreseen::new("Token.FundsUnavailable", text))
    }
}

/// The error for an id that no node has.
pub fn unknown_node(node: NodeId) -> String {
    format!("no node has the id {node}: `threebot node find` lists those there are")
}

/// The offer of a node that is there and online.
pub async fn online_node(at: &GridAt, node: NodeId) -> Result<NodeOffer> {
    let offer = at.node_offer(node).await?.with_context(|| unknown_node(node))?;
    if !offer.online {
        let text = format!("node {node} is offline; `threebot node find` lists nodes that are online");
        bail!(Foreseen::new("Contracts.NodeOffline", text));
    }
    Ok(offer)
}

/// The offer of a node that takes new contracts.
pub async fn open_node(at: &GridAt, node: NodeId) -> Result<NodeOffer> {
    let offer = online_node(at, node).await?;
    if offer.draining {
        let text = format!("node {node} is draining: it takes no new contracts");
        bail!(Foreseen::new("Nodes.NodeDraining", text));
    }
    Ok(offer)
}

/// Fails if the node is another tenant's.
pub async fn ensure_tenant(at: &GridAt, offer: &NodeOffer, twin: TwinId) -> Result<()> {
    let node = offer.node;
    let rent = match at.rent_of_node(node).await? {
        Some(rent) => at.contract(rent).await?,
        None => None,
    };
    match rent {
        Some(rent) if rent.twin != twin => {
            let text = format!("node {node} is rented by twin {}, who alone can deploy on it", rent.twin);
            bail!(Foreseen::new("Contracts.NodeRented", text))
        }
        None if offer.dedicated => {
            let text = format!("node {node} is only rented as a whole: `threebot rent --node {node}` first");
            bail!(Foreseen::new("Contracts.NodeDedicated", text))
        }
        _ => Ok(()),
    }
}

/// Fails if the node has less than `asked` free.
pub fn ensure_room(node: NodeId, asked: &Resources, free: &Resources) -> Result<()> {
    match shortfall(asked, free) {
        None => Ok(()),
        Some(lacking) => bail!(Foreseen::new(
            "Nodes.NotEnoughCapacity",
            format!("node {node} has too little free: {lacking}; `threebot node find` finds another")
        )),
    }
}

/// Fails if the node's agent has no code for what is asked of it.
pub fn ensure_served(offer: &NodeOffer, workloads: Features, public_ips: u8) -> Result<()> {
    let NodeOffer { node, features, .. } = *offer;
    if (public_ips > 0 || workloads.contains(Features::PUBLIC_IPS))
        && !features.contains(Features::PUBLIC_IPS)
    {
        let text =
            format!("node {node} serves no public addresses; `threebot node find --json` says which do");
        bail!(Foreseen::new("Contracts.PublicIpsNotServed", text));
    }
    if let Some(kind) = Features(workloads.0 & !features.0).names().next() {
        bail!("node {node} runs no workloads of type {kind}; `threebot node find --json` says which do");
    }
    Ok(())
}

/// Where a site is published.
#[derive(Clone, Copy, Debug, PartialEq)]
enum SiteHost<'a> {
    /// Below a gateway's domain.
    Name(&'a str),
    Domain(&'a str),
}

impl<'a> SiteHost<'a> {
    /// `None` of what is no site.
    fn of(workload: &'a Workload) -> Option<Self> {
        match &workload.data {
            WorkloadData::GatewayNameProxy(site) => Some(Self::Name(&site.name)),
            WorkloadData::GatewayFqdnProxy(site) => Some(Self::Domain(&site.fqdn)),
            _ => None,
        }
    }

    fn is_in(self, deployment: &Deployment) -> bool {
        deployment.workloads.iter().any(|workload| SiteHost::of(workload) == Some(self))
    }
}

/// Fails if the node can't publish a site of the deployment, or its name isn't its owner's. Of one that is in the
/// `active` version, too, this is what the answer says: the node runs a version without it.
pub async fn ensure_sites(
    at: &GridAt,
    twin: TwinId,
    node: NodeId,
    deployment: &Deployment,
    active: Option<&Deployment>,
) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    if !deployment.features().contains(Features::GATEWAYS) {
        return Ok(notes);
    }
    let place = at.public_place(node).await?;
    for (index, workload) in deployment.workloads.iter().enumerate() {
        let Some(host) = SiteHost::of(workload) else { continue };
        let has_domain = place.domain.is_some() || matches!(host, SiteHost::Domain(_));
        let checked = match (not_published(!place.addresses.is_empty(), has_domain), host) {
            (Some(lacks), _) => Err(anyhow::anyhow!(
                "node {node} publishes no such site: it has {lacks}; `threebot gateway list` lists nodes that do"
            )),
            (None, SiteHost::Name(name)) => {
                let holder = match at.contract_of_name(name).await? {
                    Some(contract) => at.contract(contract).await?.map(|record| record.twin),
                    None => None,
                };
                let path = format!("/workloads/{index}/data/name");
                ensure_name(path, name, holder, twin).map_err(anyhow::Error::new)
            }
            (None, SiteHost::Domain(_)) => Ok(()),
        };
        notes.extend(unpublished(&workload.name, host, active, checked)?);
    }
    Ok(notes)
}

/// What to say of a site that the node can't publish and that the active version has, too. Fails if it is new.
fn unpublished(
    site: &str,
    host: SiteHost<'_>,
    active: Option<&Deployment>,
    checked: Result<()>,
) -> Result<Option<String>> {
    match checked {
        Err(error) if active.is_some_and(|active| host.is_in(active)) => {
            Ok(Some(format!("the site {site:?} stays, and isn't published: {error}")))
        }
        checked => checked.map(|()| None),
    }
}

/// What keeps a node from publishing a site.
fn not_published(has_address: bool, has_domain: bool) -> Option<&'static str> {
    match (has_address, has_domain) {
        (false, _) => Some("no public address"),
        (true, false) => Some("no domain for names"),
        (true, true) => None,
    }
}

/// Fails if the twin doesn't hold this name on the gateways.
fn ensure_name(path: String, name: &str, holder: Option<TwinId>, twin: TwinId) -> Result<(), Rejection> {
    let text = match holder {
        Some(holder) if holder == twin => return Ok(()),
        Some(holder) => format!(
            "the name {name:?} belongs to twin {holder}: choose another one, and take it with `threebot name reserve \
             NAME`"
        ),
        None => {
            format!("the name {name:?} is free, and not yours yet: `threebot name reserve {name}` takes it")
        }
    };
    Err(Rejection::new(FailureCode::BodyInvalid, path, text))
}

/// A warning where what the deployment has public is slow from the start, since no traffic is bought for it; `buy` is
/// how that is done.
pub fn slow_note(deployment: &Deployment, has_traffic: bool, buy: &str) -> Option<String> {
    let features = deployment.features();
    let what = match (features.contains(Features::GATEWAYS), features.contains(Features::PUBLIC_IPS)) {
        (true, true) => "sites and public addresses",
        (true, false) => "sites",
        (false, true) => "public addresses",
        (false, false) => return None,
    };
    let note = format!(
        "WARNING: no traffic is bought for its {what}: they have 1 Mbit/s from the start; {buy} buys 10 GB"
    );
    (!has_traffic).then_some(note)
}

/// Fails if machines ask for more public IPv4 addresses than are reserved.
pub fn ensure_enough_ips(asked: usize, reserved: u8) -> Result<()> {
    if asked > usize::from(reserved) {
        let text = format!(
            "machines ask for {asked} public IPv4 addresses: reserve as many with --ips, not {reserved}"
        );
        bail!(Usage::new(text));
    }
    Ok(())
}

/// Fails if the node's farm has fewer free public addresses than are asked for.
pub async fn ensure_ips(at: &GridAt, offer: &NodeOffer, asked: usize) -> Result<()> {
    let free = if asked > 0 { at.free_ips_of_farm(offer.farm).await? } else { 0 };
    if free < asked {
        let farm = offer.farm;
        let text = format!("public addresses asked for: {asked}; free in farm {farm}: {free}");
        bail!(Foreseen::new("Farms.NotEnoughIps", text));
    }
    Ok(())
}

/// Fails if the twin can't have another contract, or the node of `offer` can't.
pub async fn ensure_place(at: &GridAt, twin: TwinId, offer: Option<&NodeOffer>) -> Result<()> {
    let (count, most) = (at.contract_count(twin).await?, at.max_contracts_of_twin()?);
    let advice = "`threebot cancel` one first";
    ensure_fewer(count, most, "Contracts.TooManyContracts", &format!("twin {twin}"), advice)?;
    if let Some(NodeOffer { node, contracts, .. }) = offer {
        let (most, advice) = (at.max_contracts_of_node()?, "`threebot node find` lists others");
        ensure_fewer(*contracts, most, "Nodes.TooManyContracts", &format!("node {node}"), advice)?;
    }
    Ok(())
}

/// Fails if the twin can't have so many more contracts.
pub async fn ensure_places(at: &GridAt, twin: TwinId, more: usize) -> Result<()> {
    let (count, most) = (at.contract_count(twin).await?, at.max_contracts_of_twin()?);
    if count as usize + more <= most as usize {
        return Ok(());
    }
    let text = format!("twin {twin} has {count} contracts, this needs {more} more, and {most} is the most");
    bail!(Foreseen::new("Contracts.TooManyContracts", text))
}

fn ensure_fewer(count: u32, most: u32, code: &'static str, whose: &str, advice: &str) -> Result<()> {
    if count < most {
        return Ok(());
    }
    bail!(Foreseen::new(code, format!("{whose} has {count} contracts, and {most} is the most: {advice}")))
}

/// Fails if this costs more than its owner allows, both in 1e-10 USD per hour.
pub fn ensure_cheap(what: &str, rate: UsdRate, most: Option<UsdRate>) -> Result<()> {
    let Some(most) = most.filter(|most| rate > *most) else { return Ok(()) };
    let (rate, most) = (format_usd(rate.into()), format_usd(most.into()));
    let text = format!("{what} costs {rate} USD per hour, and --max-price is {most}");
    bail!(Foreseen::new("Contracts.RateAboveMaximum", text))
}

/// Why a node of this id has no quote.
pub fn no_price(node: NodeId) -> String {
    format!("node {node} has no price now: the contracts of its last rent are still closing")
}

/// The parts of `asked` that exceed `free`, with both figures.
fn shortfall(asked: &Resources, free: &Resources) -> Option<String> {
    let count = |count: u64| count.to_string();
    let part = |asked, free, name, text: fn(u64) -> String| {
        (asked > free).then(|| format!("{name}: {} asked for, {} free", text(asked), text(free)))
    };
    let parts = [
        part(asked.cru, free.cru, "cores", count),
        part(asked.mru, free.mru, "memory", size_text),
        part(asked.sru, free.sru, "SSD", size_text),
        part(asked.hru, free.hru, "HDD", size_text),
        part(asked.gpu, free.gpu, "GPUs", count),
    ];
    let lacking: Vec<String> = parts.into_iter().flatten().collect();
    (!lacking.is_empty()).then(|| lacking.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::nodes::tests::offer;
    use tfgrid_client::primitives::units::{GIB, MIB, TFT};

    #[test]
    fn a_shortfall_has_both_figures_of_each_part() {
        let asked = Resources { cru: 9, mru: GIB, sru: 64 * MIB, ..Resources::ZERO };
        let free = Resources { cru: 2, mru: 512 * MIB, sru: GIB, ..Resources::ZERO };
        let text = "cores: 9 asked for, 2 free; memory: 1.00 GiB asked for, 512.00 MiB free";
        assert_eq!(shortfall(&asked, &free).as_deref(), Some(text));
        assert_eq!(shortfall(&asked, &asked), None);
    }

    #[test]
    fn a_price_above_the_owners_maximum_is_refused() {
        assert!(ensure_cheap("it", 5, Some(5)).is_ok() && ensure_cheap("it", 5, None).is_ok());
        let error = ensure_cheap("a contract on node 3", 5_000_000_000, Some(4_000_000_000)).unwrap_err();
        assert_eq!(error.to_string(), "a contract on node 3 costs 0.5 USD per hour, and --max-price is 0.4");
        assert_eq!(error.downcast_ref::<Foreseen>().unwrap().code, "Contracts.RateAboveMaximum");
    }

    #[test]
    fn a_twin_or_node_with_the_most_contracts_is_refused() {
        let refused = |count| ensure_fewer(count, 1_000, "Nodes.TooManyContracts", "node 3", "take another");
        assert!(refused(999).is_ok());
        let error = refused(1_000).unwrap_err();
        assert_eq!(error.downcast_ref::<Foreseen>().unwrap().code, "Nodes.TooManyContracts");
        assert_eq!(error.to_string(), "node 3 has 1000 contracts, and 1000 is the most: take another");
    }

    #[test]
    fn what_a_nodes_agent_has_no_code_for_is_refused() {
        let served = Features::ZMACHINE.and(Features::ZMOUNT);
        let refused = |asked, public_ips| {
            let offer = NodeOffer { features: served, ..offer(3) };
            ensure_served(&offer, asked, public_ips).map_err(|error| error.to_string())
        };
        assert_eq!(refused(served, 0), Ok(()));
        let volume = refused(served.and(Features::VOLUME), 0).unwrap_err();
        assert!(volume.starts_with("node 3 runs no workloads of type volume"), "{volume}");
        let addresses = refused(served, 1).unwrap_err();
        assert!(addresses.starts_with("node 3 serves no public addresses"), "{addresses}");
        assert_eq!(refused(served.and(Features::PUBLIC_IPS), 0).unwrap_err(), addresses);
    }

    #[test]
    fn a_name_that_is_not_its_owners_is_refused() {
        let refused = |holder| {
            let path = "/workloads/3/data/name".to_owned();
            ensure_name(path, "shop", holder, 7).map_err(|rejection| rejection.to_string())
        };
        assert_eq!(refused(Some(7)), Ok(()));
        let free = "/workloads/3/data/name: the name \"shop\" is free, and not yours yet: `threebot name reserve \
                    shop` takes it";
        assert_eq!(refused(None), Err(free.into()));
        let taken = refused(Some(8)).unwrap_err();
        assert!(taken.contains("\"shop\" belongs to twin 8: choose another one"), "{taken}");
    }

    #[test]
    fn a_node_without_address_or_domain_publishes_no_site() {
        assert_eq!(not_published(false, true), Some("no public address"));
        assert_eq!(not_published(true, false), Some("no domain for names"));
        assert_eq!(not_published(true, true), None);
    }

    #[test]
    fn a_site_that_stands_is_no_reason_to_refuse() {
        let site = |kind: &str, host: &str| {
            let body = format!(
                r#"{{"version":1,"workloads":[{{"name":"www","type":"{kind}","data":{{
                     {host},"backends":["http://185.69.166.20:80"]}}}}]}}"#
            );
            Deployment::parse(body.as_bytes()).unwrap()
        };
        let name = site("gateway-name-proxy", r#""name":"shop""#);
        let domain = site("gateway-fqdn-proxy", r#""fqdn":"shop.example.org""#);
        let checked = |next: &Deployment, active: Option<&Deployment>, is_fine| {
            let host = SiteHost::of(&next.workloads[0]).unwrap();
            let checked = if is_fine { Ok(()) } else { Err(anyhow::anyhow!("it is no gateway")) };
            unpublished("www", host, active, checked).map_err(|error| error.to_string())
        };
        let note = "the site \"www\" stays, and isn't published: it is no gateway";
        for (next, other) in [(&name, &domain), (&domain, &name)] {
            assert_eq!(checked(next, Some(next), false), Ok(Some(note.into())));
            assert_eq!(checked(next, Some(next), true), Ok(None));
            for active in [None, Some(other)] {
                assert_eq!(checked(next, active, false), Err("it is no gateway".into()));
            }
        }
    }

    #[test]
    fn a_site_without_traffic_is_warned_of() {
        let machine = r#"{"name":"web","type":"zmachine","data":{"image":"docker.io/web:1","cpu":1,
                          "memory":16777216}}"#;
        let public = machine.replace(r#""cpu""#, r#""public_ip":true,"cpu""#);
        let site = r#"{"name":"www","type":"gateway-fqdn-proxy","data":{"fqdn":"www.example.org",
                       "backends":["http://185.69.166.20:80"]}}"#;
        let note = |workload: &str, has_traffic| {
            let body = format!(r#"{{"version":1,"workloads":[{workload}]}}"#);
            slow_note(&Deployment::parse(body.as_bytes()).unwrap(), has_traffic, "--traffic-gb 10")
        };
        assert!(note(machine, false).is_none() && note(site, true).is_none());
        let text = "WARNING: no traffic is bought for its sites: they have 1 Mbit/s from the start; --traffic-gb 10 \
                    buys 10 GB";
        assert_eq!(note(site, false).as_deref(), Some(text));
        assert!(note(&public, false).unwrap().contains("for its public addresses"));
    }

    #[test]
    fn machines_that_ask_for_unreserved_addresses_are_refused() {
        assert!(ensure_enough_ips(2, 2).is_ok() && ensure_enough_ips(0, 1).is_ok());
        let error = ensure_enough_ips(2, 1).unwrap_err().to_string();
        assert!(error.contains("ask for 2 public IPv4 addresses") && error.contains("--ips"), "{error}");
    }

    #[test]
    fn a_deposit_is_told_before_it_is_held() {
        let purse = |free| Purse { account: AccountId32([7; 32]), free, must_stay: TFT / 100 };
        let held = purse(11 * TFT).deposit_text("a farm", 10 * TFT, "it is removed").unwrap();
        assert!(
            held.starts_with("10 TFT of 5") && held.ends_with("as a deposit until it is removed"),
            "{held}"
        );
        let error =
            purse(10 * TFT).deposit_text("a farm", 10 * TFT, "it is removed").unwrap_err().to_string();
        assert!(error.starts_with("a farm needs a deposit of 10 TFT, and TFT for the fee, and"), "{error}");
    }

    #[test]
    fn an_account_keeps_the_existential_deposit() {
        let error = |free, amount| {
            let purse = Purse { account: AccountId32([7; 32]), free, must_stay: TFT / 100 };
            purse.ensure_has(amount, "a twin needs a deposit of 1 TFT").map_err(|error| {
                assert_eq!(error.downcast_ref::<Foreseen>().unwrap().code, "Token.FundsUnavailable");
                error.to_string()
            })
        };
        assert_eq!(error(TFT + TFT / 100, TFT), Ok(()));
        let text = error(TFT, TFT).unwrap_err();
        assert!(text.contains("deposit of 1 TFT") && text.contains("1 TFT free, of which 0.01"), "{text}");
        assert!(error(0, TFT).unwrap_err().ends_with("has no TFT"));
    }
}
