// SPDX-License-Identifier: Apache-2.0
//! Which nodes the parts of an application run on.

use crate::{contract::size_text, foreseen::Foreseen, many::answers, output::counted};
use anyhow::{Context, Result, bail};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    mem,
};
use tfgrid_client::{
    GridAt,
    deployment::{Application, Part, Spread},
    primitives::{
        FarmId, Features, NodeId, PriceList, Resources, UsdRate,
        pricing::Priced,
        views::{NodeFilter, NodeOffer, Target, TwinContract},
    },
};

/// The most farms of which another one is tried for parts that are near each other.
const MAX_SHUNNED: usize = 20;

/// A part that needs a node.
pub struct Ask<'a> {
    pub name: &'a str,
    pub part: &'a Part,
    pub resources: Resources,
    pub features: Features,
    /// Whether it has sites with names below a gateway's domain.
    pub has_names: bool,
}

/// What the nodes offer.
pub struct Market {
    pub offers: Vec<NodeOffer>,
    /// The rented nodes, and whether by the caller.
    rented: BTreeMap<NodeId, bool>,
    /// Free public addresses of farms, where somebody asks for any.
    free_ips: BTreeMap<FarmId, usize>,
    /// The gateways, and whether each has a domain for names, where somebody asks for any.
    gateways: BTreeMap<NodeId, bool>,
    prices: PriceList,
    /// The most contracts of a node.
    places: u32,
}

impl Market {
    /// Each kind of record is read once, however many parts there are.
    pub async fn read(
        at: &GridAt,
        own: &[TwinContract],
        with_ips: bool,
        with_gateways: bool,
    ) -> Result<Self> {
        let offers = at.all_nodes(&NodeFilter { unavailable: true, ..NodeFilter::default() }).await?;
        let is_mine =
            |node| own.iter().any(|own| matches!(own.target, Target::Rent { node: mine } if mine == node));
        let rents = at.rents().await?.into_keys().map(|node| (node, is_mine(node)));
        let farms: BTreeSet<FarmId> = offers.iter().filter(|_| with_ips).map(|offer| offer.farm).collect();
        let free_of = |farm, at: GridAt| async move { anyhow::Ok((farm, at.free_ips_of_farm(farm).await?)) };
        Ok(Self {
            rented: rents.collect(),
            free_ips: answers(farms.into_iter().map(|farm| free_of(farm, at.clone())))
                .await?
                .into_iter()
                .collect(),
            gateways: if with_gateways {
                at.gateways().await?.into_iter().map(|(node, domain)| (node, domain.is_some())).collect()
            } else {
                BTreeMap::new()
            },
            prices: at.prices().await?.context("the chain has no price list yet")?,
            places: at.max_contracts_of_node()?,
            offers,
        })
    }

    /// Calls `act` as if these nodes weren't there.
    pub fn without<T>(&mut self, nodes: &BTreeSet<NodeId>, act: impl FnOnce(&Self) -> T) -> T {
        let is_left_out = |offer: &NodeOffer| nodes.contains(&offer.node);
        let (left_out, offers) = mem::take(&mut self.offers).into_iter().partition(is_left_out);
        self.offers = offers;
        let answer = act(self);
        self.offers.extend(left_out);
        self.offers.sort_unstable_by_key(|offer| offer.node);
        answer
    }

    /// Takes what a contract reserves.
    pub fn take(&mut self, node: NodeId, resources: &Resources, public_ips: u8) {
        let Some(offer) = self.offers.iter_mut().find(|offer| offer.node == node) else { return };
        offer.free = offer.free.saturating_sub(resources);
        offer.contracts = offer.contracts.saturating_add(1);
        if let Some(ips) = self.free_ips.get_mut(&offer.farm) {
            *ips = ips.saturating_sub(public_ips.into());
        }
    }
}

/// Nodes for these parts of an application: each the cheapest that fits, of these the one that failed its tenants
/// least, and has the fewest of these parts. `held` are the nodes of parts that run.
///
/// # Errors
/// If no node fits a part, with what excludes how many.
pub fn place(
    application: &Application,
    asks: &[Ask],
    held: &BTreeMap<String, NodeId>,
    market: &Market,
) -> Result<BTreeMap<String, NodeId>> {
    let (mut shunned, mut first) = (BTreeSet::new(), None);
    loop {
        let NoNode { error, near } = match attempt(application, asks, held, market, &shunned) {
            Ok(nodes) => return Ok(nodes),
            Err(failed) => failed,
        };
        let error = first.take().unwrap_or(error);
        // The farm has no room for all parts that are near each other: they start in another one.
        let goes_on = near.is_some_and(|farm| shunned.len() < MAX_SHUNNED && shunned.insert(farm));
        if !goes_on {
            bail!(error);
        }
        first = Some(error);
    }
}

/// The same, with parts that are near others in none of the farms to shun.
fn attempt(
    application: &Application,
    asks: &[Ask],
    held: &BTreeMap<String, NodeId>,
    market: &Market,
    shunned: &BTreeSet<FarmId>,
) -> Result<BTreeMap<String, NodeId>, NoNode> {
    let mut placing = Placing::new(application, held, market, shunned);
    let mut order: Vec<&Ask> = asks.iter().collect();
    order.sort_by_key(|ask| {
        let rate = placing.rates(ask)[0];
        (ask.part.node.is_none(), Reverse(rate), ask.name)
    });
    let mut nodes = BTreeMap::new();
    for ask in order {
        let index = placing.node_for(ask)?;
        placing.take(ask, index);
        nodes.insert(ask.name.to_owned(), market.offers[index].node);
    }
    Ok(nodes)
}

/// Why a part that runs would not be put on its node now, if its file has another place for it.
pub fn misplaced(part: &Part, offer: &NodeOffer) -> Option<&'static str> {
    elsewhere(part, offer).map(Reason::text)
}

/// What excludes a node, in the order in which it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    Node,
    Farm,
    Country,
    Certificate,
    Offline,
    Draining,
    Dedicated,
    Rented,
    Features,
    Addresses,
    Gateway,
    Domain,
    Apart,
    Far,
    Places,
    Cores,
    Memory,
    Ssd,
    Hdd,
    Gpus,
    Price,
}

impl Reason {
    fn text(self) -> &'static str {
        match self {
            Self::Node => "of another id",
            Self::Farm => "in another farm",
            Self::Country => "in another country",
            Self::Certificate => "not certified",
            Self::Offline => "offline",
            Self::Draining => "draining",
            Self::Dedicated => "only rented as a whole",
            Self::Rented => "rented by others",
            Self::Features => "without code for its workloads or addresses",
            Self::Addresses => "in a farm with too few free public addresses",
            Self::Gateway => "without a public address for its sites",
            Self::Domain => "without a domain for the names of its sites",
            Self::Apart => "with parts that it must be apart from",
            Self::Far => "not in the farm of the parts that it is near",
            Self::Places => "full of contracts",
            Self::Cores => "with too few free cores",
            Self::Memory => "with too little free memory",
            Self::Ssd => "with too little free SSD",
            Self::Hdd => "with too little free HDD",
            Self::Gpus => "with too few free GPUs",
            Self::Price => "without a price for this",
        }
    }
}

/// The first thing that the part asks of its place and that the node isn't.
fn elsewhere(part: &Part, offer: &NodeOffer) -> Option<Reason> {
    let country = offer.country.as_ref().map(|code| code.as_slice());
    let asked = [
        (part.node.is_some_and(|node| node != offer.node), Reason::Node),
        (part.farm.is_some_and(|farm| farm != offer.farm), Reason::Farm),
        (part.country.as_ref().is_some_and(|wanted| Some(wanted.as_bytes()) != country), Reason::Country),
        (part.certified && !offer.certified, Reason::Certificate),
    ];
    asked.into_iter().find(|(is_broken, _)| *is_broken).map(|(_, reason)| reason)
}

/// No node fits a part.
struct NoNode {
    error: Foreseen,
    /// The farm in which it must be, since other parts are there.
    near: Option<FarmId>,
}

/// The parts that have a node, and what they leave of it.
struct Placing<'a> {
    application: &'a Application,
    market: &'a Market,
    shunned: &'a BTreeSet<FarmId>,
    /// What is free of each offer, and how many contracts it has.
    free: Vec<(Resources, u32)>,
    /// The least rate of a contract on each.
    least: Vec<UsdRate>,
    free_ips: BTreeMap<FarmId, usize>,
    /// Positions of the offers that parts have.
    placed: BTreeMap<String, usize>,
    /// How many parts each has.
    count: Vec<usize>,
}

/// What parts that have a node rule out for another one.
#[derive(Default)]
struct Neighbours {
    apart_nodes: BTreeSet<usize>,
    apart_farms: BTreeSet<FarmId>,
    near: Option<FarmId>,
}

impl<'a> Placing<'a> {
    fn new(
        application: &'a Application,
        held: &BTreeMap<String, NodeId>,
        market: &'a Market,
        shunned: &'a BTreeSet<FarmId>,
    ) -> Self {
        let offers = &market.offers;
        let position = |node| offers.binary_search_by_key(&node, |offer| offer.node).ok();
        let placed: BTreeMap<String, usize> =
            held.iter().filter_map(|(name, node)| Some((name.clone(), position(*node)?))).collect();
        let mut count = vec![0; offers.len()];
        for index in placed.values() {
            count[*index] += 1;
        }
        let least = |offer: &NodeOffer| {
            let resources = Resources { gpu: 0, ..offer.total };
            let whole = Priced::Capacity { resources, public_ips: 0, certified: offer.certified };
            whole.rate(&market.prices).unwrap_or(0).div_ceil(u64::from(market.places.max(1)))
        };
        Self {
            application,
            market,
            shunned,
            free: offers.iter().map(|offer| (offer.free, offer.contracts)).collect(),
            least: offers.iter().map(least).collect(),
            free_ips: market.free_ips.clone(),
            placed,
            count,
        }
    }

    /// The rates of a part on a node: plain, certified, and the same where the caller rents it.
    fn rates(&self, ask: &Ask) -> [Option<UsdRate>; 4] {
        let (resources, public_ips) = (ask.resources, ask.part.public_ips);
        [
            Priced::Capacity { resources, public_ips, certified: false },
            Priced::Capacity { resources, public_ips, certified: true },
            Priced::OnRented { public_ips, certified: false },
            Priced::OnRented { public_ips, certified: true },
        ]
        .map(|priced| priced.rate(&self.market.prices))
    }

    fn node_for(&self, ask: &Ask) -> Result<usize, NoNode> {
        let (neighbours, rates) = (self.neighbours(ask), self.rates(ask));
        let mut excluded: BTreeMap<Reason, usize> = BTreeMap::new();
        let mut best = None;
        for (index, offer) in self.market.offers.iter().enumerate() {
            match self.rate_on(ask, index, &neighbours, &rates) {
                Ok(rate) => {
                    let key = (rate, offer.not_delivered, self.count[index], index);
                    best = best.min(Some(key)).or(Some(key));
                }
                Err(reason) => *excluded.entry(reason).or_default() += 1,
            }
        }
        match best {
            Some((.., index)) => Ok(index),
            None => {
                let error = no_node(ask, self.market.offers.len(), &excluded);
                Err(NoNode { error, near: neighbours.near })
            }
        }
    }

    /// What a part costs on a node, or why it can't be there.
    fn rate_on(
        &self,
        ask: &Ask,
        index: usize,
        neighbours: &Neighbours,
        rates: &[Option<UsdRate>; 4],
    ) -> Result<UsdRate, Reason> {
        let offer = &self.market.offers[index];
        if let Some(reason) = elsewhere(ask.part, offer) {
            return Err(reason);
        }
        let rent = self.market.rented.get(&offer.node).copied();
        let (free, contracts) = &self.free[index];
        let served =
            if ask.part.public_ips > 0 { ask.features.and(Features::PUBLIC_IPS) } else { ask.features };
        let ips = self.free_ips.get(&offer.farm).copied().unwrap_or(0);
        let asked = &ask.resources;
        let has_domain = self.market.gateways.get(&offer.node).copied();
        let is_apart =
            neighbours.apart_nodes.contains(&index) || neighbours.apart_farms.contains(&offer.farm);
        let rules = [
            (!offer.online, Reason::Offline),
            (offer.draining, Reason::Draining),
            (offer.dedicated && rent.is_none(), Reason::Dedicated),
            (rent == Some(false), Reason::Rented),
            (!offer.features.contains(served), Reason::Features),
            (usize::from(ask.part.public_ips) > ips, Reason::Addresses),
            (ask.features.contains(Features::GATEWAYS) && has_domain.is_none(), Reason::Gateway),
            (ask.has_names && has_domain != Some(true), Reason::Domain),
            (is_apart, Reason::Apart),
            (neighbours.near.is_some_and(|farm| farm != offer.farm), Reason::Far),
            (*contracts >= self.market.places, Reason::Places),
            (asked.cru > free.cru, Reason::Cores),
            (asked.mru > free.mru, Reason::Memory),
            (asked.sru > free.sru, Reason::Ssd),
            (asked.hru > free.hru, Reason::Hdd),
            (asked.gpu > free.gpu, Reason::Gpus),
        ];
        if let Some((_, reason)) = rules.into_iter().find(|(is_broken, _)| *is_broken) {
            return Err(reason);
        }
        let is_mine = rent.is_some();
        let rate = rates[2 * usize::from(is_mine) + usize::from(offer.certified)].ok_or(Reason::Price)?;
        Ok(if is_mine { rate } else { rate.max(self.least[index]) })
    }

    fn neighbours(&self, ask: &Ask) -> Neighbours {
        let mut found = Neighbours::default();
        let names = |part: &Part, name: &str| (part.apart.contains(name), part.near.contains(name));
        for (other, index) in &self.placed {
            let theirs = self.application.parts.get(other).map(|part| names(part, ask.name));
            let (apart, near) = names(ask.part, other);
            let (their_apart, their_near) = theirs.unwrap_or_default();
            let farm = self.market.offers[*index].farm;
            if apart || their_apart || self.application.spread == Some(Spread::Node) {
                found.apart_nodes.insert(*index);
            }
            if self.application.spread == Some(Spread::Farm) {
                found.apart_farms.insert(farm);
            }
            if near || their_near {
                found.near = Some(farm);
            }
        }
        let is_named = || self.application.parts.values().any(|part| part.near.contains(ask.name));
        if found.near.is_none() && (!ask.part.near.is_empty() || is_named()) {
            found.apart_farms.extend(self.shunned);
        }
        found
    }

    fn take(&mut self, ask: &Ask, index: usize) {
        let (free, contracts) = &mut self.free[index];
        *free = free.saturating_sub(&ask.resources);
        *contracts = contracts.saturating_add(1);
        if let Some(ips) = self.free_ips.get_mut(&self.market.offers[index].farm) {
            *ips = ips.saturating_sub(ask.part.public_ips.into());
        }
        self.count[index] += 1;
        self.placed.insert(ask.name.to_owned(), index);
    }
}

fn no_node(ask: &Ask, count: usize, excluded: &BTreeMap<Reason, usize>) -> Foreseen {
    let Resources { cru, mru, sru, hru, gpu } = ask.resources;
    let needs = [
        (cru > 0).then(|| counted(cru, "core")),
        (mru > 0).then(|| format!("{} memory", size_text(mru))),
        (sru > 0).then(|| format!("{} SSD", size_text(sru))),
        (hru > 0).then(|| format!("{} HDD", size_text(hru))),
        (gpu > 0).then(|| counted(gpu, "GPU")),
        (ask.part.public_ips > 0).then(|| counted(ask.part.public_ips.into(), "public IP")),
    ];
    let needs: Vec<String> = needs.into_iter().flatten().collect();
    let reasons: Vec<String> =
        excluded.iter().map(|(reason, count)| format!("{count} {}", reason.text())).collect();
    let text = format!(
        "no node fits {:?}, which needs {}; of {}: {}",
        ask.name,
        if needs.is_empty() { "nothing".into() } else { needs.join(", ") },
        counted(count as u64, "node"),
        if reasons.is_empty() { "none is there".into() } else { reasons.join(", ") },
    );
    Foreseen::new("Nodes.NotEnoughCapacity", text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::nodes::tests::offer;
    use std::time::{Duration, Instant};
    use tfgrid_client::primitives::units::GIB;

    /// Uncertified nodes 1 to `count` in farms of ten.
    fn market(count: u32) -> Market {
        let offers =
            (1..=count).map(|node| NodeOffer { farm: (node - 1) / 10 + 1, certified: false, ..offer(node) });
        Market {
            offers: offers.collect(),
            rented: BTreeMap::new(),
            free_ips: BTreeMap::new(),
            gateways: BTreeMap::new(),
            prices: PriceList::default(),
            places: 1_000,
        }
    }

    fn application(parts: &[(&str, Part)], spread: Option<Spread>) -> Application {
        let parts = parts.iter().map(|(name, part)| ((*name).to_owned(), part.clone())).collect();
        Application { version: 1, name: "shop".into(), spread, parts }
    }

    /// The nodes of parts that need two cores and a GiB of memory each.
    fn placed(
        application: &Application,
        held: &[(&str, NodeId)],
        market: &Market,
    ) -> Result<Vec<(String, NodeId)>> {
        let held: BTreeMap<_, _> = held.iter().map(|(name, node)| ((*name).to_owned(), *node)).collect();
        let asks: Vec<Ask> = application
            .parts
            .iter()
            .filter(|(name, _)| !held.contains_key(*name))
            .map(|(name, part)| Ask {
                name,
                part,
                resources: Resources { cru: 2, mru: GIB, ..Resources::ZERO },
                features: Features::ZMACHINE,
                has_names: false,
            })
            .collect();
        Ok(place(application, &asks, &held, market)?.into_iter().collect())
    }

    fn nodes(application: &Application, market: &Market) -> Vec<NodeId> {
        placed(application, &[], market).unwrap().into_iter().map(|(_, node)| node).collect()
    }

    fn any() -> Part {
        Part::default()
    }

    #[test]
    fn the_cheapest_node_that_fits_is_taken() {
        let mut market = market(3);
        market.offers[0].certified = true;
        market.offers[1].not_delivered = 1;
        assert_eq!(nodes(&application(&[("a", any())], None), &market), [3]);
        let certified = Part { certified: true, ..any() };
        assert_eq!(nodes(&application(&[("a", certified)], None), &market), [1]);
    }

    #[test]
    fn a_site_is_put_on_a_gateway() {
        let mut market = market(3);
        for offer in &mut market.offers {
            offer.features = Features::ZMACHINE.and(Features::GATEWAYS);
        }
        let (site, part) = (application(&[("site", any())], None), any());
        let on = |market: &Market, has_names| {
            let resources = Resources { cru: 1, ..Resources::ZERO };
            let ask = Ask { name: "site", part: &part, resources, features: Features::GATEWAYS, has_names };
            place(&site, &[ask], &BTreeMap::new(), market).map(|nodes| nodes["site"])
        };
        let none = on(&market, false).unwrap_err().to_string();
        assert!(none.contains("3 without a public address for its sites"), "{none}");
        market.gateways = [(2, false), (3, true)].into();
        assert_eq!((on(&market, false).unwrap(), on(&market, true).unwrap()), (2, 3));
        market.gateways.remove(&3);
        let none = on(&market, true).unwrap_err().to_string();
        assert!(none.contains("1 without a domain for the names of its sites"), "{none}");
    }

    #[test]
    fn a_node_that_is_left_out_comes_back() {
        let (mut market, one) = (market(3), application(&[("a", any())], None));
        assert_eq!(market.without(&[1].into(), |market| nodes(&one, market)), [2]);
        assert_eq!(market.without(&[9].into(), |market| nodes(&one, market)), [1]);
        let all = market.offers[0].free;
        market.take(1, &all, 0);
        assert_eq!(nodes(&one, &market), [2]);
    }

    #[test]
    fn capacity_counts_across_parts() {
        let parts = ["a", "b", "c", "d"].map(|name| (name, any()));
        assert_eq!(nodes(&application(&parts[..3], None), &market(1)), [1, 1, 1]);
        let error = placed(&application(&parts, None), &[], &market(1)).unwrap_err().to_string();
        assert!(error.ends_with("of 1 node: 1 with too few free cores"), "{error}");
        assert_eq!(nodes(&application(&parts, None), &market(2)), [1, 2, 1, 2]);
    }

    #[test]
    fn parts_are_apart_near_and_where_they_are_wanted() {
        let market = market(30);
        let on_seven = || Part { node: Some(7), ..any() };
        assert_eq!(nodes(&application(&[("a", any()), ("b", on_seven())], None), &market), [1, 7]);
        let apart = Part { apart: ["a".to_owned()].into(), ..on_seven() };
        let error = placed(&application(&[("a", on_seven()), ("b", apart)], None), &[], &market).unwrap_err();
        let text = error.to_string();
        assert!(text.ends_with("29 of another id, 1 with parts that it must be apart from"), "{text}");
        let in_two = Part { farm: Some(2), ..any() };
        let near = Part { near: ["a".to_owned()].into(), ..any() };
        let both = application(&[("a", in_two), ("b", near)], Some(Spread::Node));
        assert_eq!(nodes(&both, &market), [11, 12]);
        let farms = application(&[("a", any()), ("b", any())], Some(Spread::Farm));
        assert_eq!(nodes(&farms, &market), [1, 11]);
    }

    #[test]
    fn parts_that_are_near_find_a_farm_for_all() {
        let mut market = market(30);
        for offer in &mut market.offers[1..10] {
            offer.free = Resources::ZERO;
        }
        let near = Part { near: ["a".to_owned()].into(), ..any() };
        let both = application(&[("a", any()), ("b", near)], Some(Spread::Node));
        assert_eq!(nodes(&both, &market), [11, 12]);
        for offer in &mut market.offers[11..] {
            offer.free = Resources::ZERO;
        }
        let error = placed(&both, &[], &market).unwrap_err().to_string();
        assert!(error.contains("no node fits \"b\"") && error.contains("20 not in the farm"), "{error}");
    }

    #[test]
    fn parts_that_run_are_neighbours_too() {
        let apart = Part { apart: ["a".to_owned()].into(), ..any() };
        let both = application(&[("a", any()), ("b", apart)], None);
        let error = placed(&both, &[("b", 1)], &market(1)).unwrap_err().to_string();
        assert!(error.ends_with("1 with parts that it must be apart from"), "{error}");
        assert_eq!(placed(&both, &[("b", 1)], &market(2)).unwrap(), [("a".to_owned(), 2)]);
    }

    #[test]
    fn what_excludes_how_many_nodes_is_told() {
        let mut market = market(6);
        market.offers[0].online = false;
        market.offers[1].draining = true;
        market.offers[2].free = Resources::ZERO;
        market.offers[3].features = Features::default();
        market.offers[4].dedicated = true;
        market.rented = [(6, false)].into();
        let error = placed(&application(&[("a", any())], None), &[], &market).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no node fits \"a\", which needs 2 cores, 1.00 GiB memory; of 6 nodes: 1 offline, 1 draining, 1 only \
             rented as a whole, 1 rented by others, 1 without code for its workloads or addresses, 1 with too few free \
             cores"
        );
        assert_eq!(error.downcast_ref::<Foreseen>().unwrap().code, "Nodes.NotEnoughCapacity");
        market.rented = [(6, true)].into();
        assert_eq!(nodes(&application(&[("a", any())], None), &market), [6]);
    }

    #[test]
    fn addresses_of_a_farm_count_across_parts() {
        let mut market = market(20);
        market
            .offers
            .iter_mut()
            .for_each(|offer| offer.features = Features::ZMACHINE.and(Features::PUBLIC_IPS));
        market.free_ips = [(1, 1), (2, 1)].into();
        let public = Part { public_ips: 1, ..any() };
        let two = [("a", public.clone()), ("b", public.clone())];
        assert_eq!(nodes(&application(&two, None), &market), [1, 11]);
        let three = [("a", public.clone()), ("b", public.clone()), ("c", public)];
        let error = placed(&application(&three, None), &[], &market).unwrap_err().to_string();
        assert!(error.ends_with("of 20 nodes: 20 in a farm with too few free public addresses"), "{error}");
    }

    #[test]
    fn a_hundred_parts_find_their_nodes_in_time() {
        let parts: Vec<_> = (0..100).map(|number| format!("part-{number}")).collect();
        let parts: Vec<_> = parts.iter().map(|name| (name.as_str(), any())).collect();
        let (application, market) = (application(&parts, Some(Spread::Node)), market(10_000));
        let begun = Instant::now();
        let nodes: BTreeSet<_> = nodes(&application, &market).into_iter().collect();
        assert_eq!(nodes.len(), 100);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}
