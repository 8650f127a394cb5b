// SPDX-License-Identifier: Apache-2.0
//! The chain itself, followed at one of several endpoints, and acted on by the bot's key for its owner.

use super::{
    Hold, Journal, Kept, Mandate, Open, Order, PartName, Phase, Release, Seen, Wanted,
    act::{Submitted, World},
    decide::{contract_of_name, name_for, rules_for, shunned, too_dear},
    journal::ensure_chain,
};
use crate::{
    application::{Ask, Market, cancelling, place},
    foreseen::no_price,
    many::answers,
    output::message,
    session::DevelopmentKey,
    source::Source,
    time::now,
};
use anyhow::{Context, Result, bail, ensure};
use std::{
    collections::{BTreeMap, BTreeSet},
    iter::repeat_n,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use subxt::{transactions::StaticPayload, utils::MultiAddress};
use tfgrid_client::{
    AccountId32, Error, GridAt, GridClient, Heads, Keypair,
    api::{
        self,
        proxy::calls::Proxy,
        runtime_types::{
            bounded_collections::bounded_vec::BoundedVec,
            pallet_grid_contracts::{
                pallet::Call,
                types::{ContractKind, Network},
            },
            pallet_utility::pallet::Call as Utility,
            tfgrid_primitives::{body::Body as ForChain, net::Subnet},
            tfgrid_runtime::{RuntimeCall, configs::proxies::ProxyType},
        },
    },
    deployment::{Application, Deployment, MAX_BODY_BYTES, Replaces, Secrets},
    error::SubmitError,
    grid_at::SealKeys,
    primitives::{
        Body, ContractId, NodeId, TwinId, UnixSeconds,
        net::Subnet as Range,
        views::{ClosedContract, ContractStatus, NodeFilter, Target, TwinContract},
    },
    sealing::{Recipient, SealKey, seal},
};
use tokio::time::timeout;

/// How often all contracts are looked at.
const ROUND_EVERY: Duration = Duration::from_secs(15);
/// How often it is read which nodes drain: their farmers say so days before.
const DRAINS_EVERY: Duration = Duration::from_secs(300);
/// Limit for the next finalized head to come.
const HEAD_WITHIN: Duration = Duration::from_secs(120);
/// What is wrong where a body is sealed and there is no key.
const NO_KEY: &str = "it is sealed, and there is no key: give the bot's with --identity";
/// Seconds by which a finalized head may be behind this computer's clock.
const MAX_BEHIND: u64 = 300;

/// The chain, as the owner's bot knows it.
pub struct Chain {
    /// RPC addresses, tried in turn.
    urls: Vec<String>,
    turn: usize,
    key: Keypair,
    /// Whether everybody knows the key.
    is_public_key: bool,
    /// What opens bodies that are sealed to the bot.
    seal_key: Option<SealKey>,
    twin: TwinId,
    /// Files of applications.
    files: Vec<Application>,
    link: Option<Link>,
}

/// A connection to an endpoint.
struct Link {
    grid: GridClient,
    heads: Heads,
    owner: AccountId32,
    /// The bot's place among the owner's, from 1.
    number: usize,
    /// Contracts of which another version may run.
    changed: BTreeSet<ContractId>,
    /// Whether the records of all contracts were read.
    is_known: bool,
    draining: BTreeSet<NodeId>,
    drains_read: Option<Instant>,
}

impl Chain {
    /// Reads the files that the mandate names.
    pub fn new(
        urls: Vec<String>,
        (key, is_public_key): (Keypair, bool),
        seal_key: Option<SealKey>,
        mandate: &Mandate,
    ) -> Result<Self> {
        let read = |file: &PathBuf| Source::read(file)?.application();
        let files = mandate.applications.iter().map(read).collect::<Result<_>>()?;
        Ok(Self { urls, turn: 0, key, is_public_key, seal_key, twin: mandate.twin, files, link: None })
    }

    /// Waits until it is time to look, or something of the owner's has changed.
    ///
    /// # Errors
    /// If no endpoint answers; the next call tries another one.
    pub async fn wake(&mut self, journal: &Journal) -> Result<()> {
        let awake = self.wait(journal).await;
        if awake.is_err() {
            self.disconnect();
        }
        awake
    }

    /// Goes to the next endpoint at the next call.
    pub fn disconnect(&mut self) {
        self.link = None;
    }

    async fn wait(&mut self, journal: &Journal) -> Result<()> {
        let Some(link) = &mut self.link else { return self.connect(journal).await };
        let until = Instant::now() + ROUND_EVERY;
        loop {
            let head = timeout(HEAD_WITHIN, link.heads.next()).await;
            let head = head.context("no finalized block came")?.context("the connection ended")??;
            let is_own = |contract: &ContractId| journal.memory.copies.contains_key(contract);
            let before = link.changed.len();
            link.changed.extend(head.changed_contracts().await?.into_iter().filter(is_own));
            if link.changed.len() > before || Instant::now() >= until {
                return Ok(());
            }
        }
    }

    /// Connects to the next endpoint that is on the journal's chain and up to date.
    pub async fn connect(&mut self, journal: &Journal) -> Result<()> {
        let url = self.urls.get(self.turn % self.urls.len().max(1)).context("there is no endpoint")?;
        self.turn = self.turn.wrapping_add(1);
        let (grid, at) = up_to_date(url, journal.folder()).await?;
        if self.is_public_key && grid.is_live().await? {
            bail!(DevelopmentKey);
        }
        let heads = grid.follow().await?;
        let twin = self.twin;
        let owner = at.twin_account(twin).await?.with_context(|| format!("no twin has the id {twin}"))?;
        let own = self.key.account();
        let Some(place) = at.bots_of(owner).await?.iter().position(|bot| *bot == own) else {
            bail!("{own} is no bot of twin {twin}: its owner lets it in with `threebot bot add {own}`");
        };
        self.link = Some(Link {
            grid,
            heads,
            owner,
            number: place + 1,
            changed: BTreeSet::new(),
            is_known: false,
            draining: BTreeSet::new(),
            drains_read: None,
        });
        Ok(())
    }

    fn link(&self) -> Result<&Link> {
        self.link.as_ref().context("there is no connection to the chain")
    }

    fn link_mut(&mut self) -> Result<&mut Link> {
        self.link.as_mut().context("there is no connection to the chain")
    }

    /// Keeps copies of what is new among these contracts.
    async fn keep_new(&mut self, at: &GridAt, own: &[TwinContract], journal: &mut Journal) -> Result<()> {
        let link = self.link()?;
        let copies = &journal.memory.copies;
        let is_new = |own: &&TwinContract| {
            let contract = own.contract;
            !link.is_known || link.changed.contains(&contract) || !copies.contains_key(&contract)
        };
        let on_nodes = own.iter().filter(|own| matches!(own.target, Target::Node { .. }));
        let asked = on_nodes.filter(is_new).map(|own| {
            let known = copies.get(&own.contract).filter(|kept| is_whole(kept, &own.target));
            read(at.clone(), own.clone(), known.map(|kept| kept.body_hash.clone()))
        });
        let found = answers(asked.collect::<Vec<_>>()).await?;
        let now = at.timestamp_ms().await? / 1_000;
        for (own, hash, body) in found.into_iter().flatten() {
            let since = journal.memory.copies.get(&own.contract).map_or(now, |kept| kept.since);
            if let Some(kept) = kept(&own, hash, &body, self.seal_key.as_ref()) {
                journal.keep(Kept { since, ..kept }, &body)?;
            }
        }
        let link = self.link_mut()?;
        link.is_known = true;
        link.changed.clear();
        Ok(())
    }

    /// The nodes that drain.
    async fn draining(&mut self, at: &GridAt) -> Result<BTreeSet<NodeId>> {
        let link = self.link_mut()?;
        if link.drains_read.is_none_or(|read| read.elapsed() >= DRAINS_EVERY) {
            let offers = at.all_nodes(&NodeFilter { unavailable: true, ..NodeFilter::default() }).await?;
            link.draining = offers.iter().filter(|offer| offer.draining).map(|offer| offer.node).collect();
            link.drains_read = Some(Instant::now());
        }
        Ok(link.draining.clone())
    }

    /// The move of a contract to the node that fits best; `seen` and `market` are then as after it.
    async fn order(
        &self,
        at: &GridAt,
        mut wanted: Wanted,
        seen: &mut Seen,
        market: &mut Market,
        journal: &Journal,
        mandate: &Mandate,
    ) -> Result<Order> {
        let contract = wanted.contract;
        let kept = journal.memory.copies.get(&contract).context("there is no copy of it")?;
        let (body, key) = (journal.body(contract)?, self.seal_key.as_ref());
        let deployment = Deployment::parse(&clear(&body, key)?)?;
        let (application, name, held) = rules_for(kept, mandate, &self.files, seen, &journal.memory);
        let part = application.parts.get(&name).context("its application has no such part")?;
        let (features, has_names) = (deployment.features(), deployment.site_names().next().is_some());
        let best = |market: &Market| -> Result<NodeId> {
            let ask = Ask { name: &name, part, resources: kept.resources, features, has_names };
            let nodes = place(&application, &[ask], &held, market)?;
            nodes.get(&name).copied().context("no node was found")
        };
        let (to, keys) = self.sealable(at, market, shunned(kept, &journal.memory), best).await?;
        let rate = at.quote(to, kept.resources, kept.public_ips).await?.with_context(|| no_price(to))?;
        let open = seen.open.get(&contract).filter(|_| wanted.release == Release::Cancel);
        let before = open.map_or(0, |open| open.rate);
        if wanted.release == Release::Name && self.is_alone(at, contract).await? {
            wanted.release = Release::Alone;
        }
        let name_rate = match wanted.release {
            Release::Cancel | Release::Alone => 0,
            Release::Name => at.quote_name().await?.context("names have no price")?,
        };
        let all = seen.rate.saturating_add(name_rate.into());
        if let Some(refusal) = too_dear(mandate, rate, before, all) {
            bail!(refusal);
        }
        let recipients = keys.recipients().context("can't seal the body")?;
        let snapshot = journal.memory.last_snapshot(contract).filter(|_| journal.memory.has_data(kept));
        let replaces = Replaces { contract, snapshot };
        let body = resealed(&body, key, &recipients, self.link()?.number, replaces)?;
        seen.rate = all.saturating_sub(before.into()).saturating_add(rate.into());
        seen.open.insert(contract, Open { node: to, phase: Phase::Created, rate });
        market.take(to, &kept.resources, kept.public_ips);
        Ok(Order {
            wanted,
            from: kept.node,
            to,
            body,
            networks: deployment.listed_networks(),
            resources: kept.resources,
            public_ips: kept.public_ips,
            rate,
            name_rate,
        })
    }

    /// The best node to which a body can be sealed, with the keys that are to open it there.
    async fn sealable(
        &self,
        at: &GridAt,
        market: &mut Market,
        mut shunned: BTreeSet<NodeId>,
        best: impl Fn(&Market) -> Result<NodeId>,
    ) -> Result<(NodeId, SealKeys)> {
        loop {
            let to = market.without(&shunned, &best)?;
            let keys = at.seal_keys(to, self.twin).await?;
            let keys = keys.with_context(|| format!("no node has the id {to}"))?;
            if Recipient::new(&keys.node).is_ok() {
                return Ok((to, keys));
            }
            // Nothing can be sealed to it, however cheap it is.
            shunned.insert(to);
        }
    }

    /// Whether somebody else has the name for a closed contract, and no other bot of the owner's acts on it.
    ///
    /// # Errors
    /// If one may, or has.
    async fn is_alone(&self, at: &GridAt, contract: ContractId) -> Result<bool> {
        let name = name_for(contract);
        let Some(other) = at.contract_of_name(&name).await? else { return Ok(false) };
        let is_own = at.contract(other).await?.is_some_and(|record| record.twin == self.twin);
        ensure!(!is_own, "another bot has moved it");
        let bots = at.bots_of(self.link()?.owner).await?;
        ensure!(
            bots.len() == 1,
            "contract {other} of somebody else has the name {name}, without which {} bots can't agree who moves it: \
             deploy it anew, or let one bot alone move it",
            bots.len()
        );
        Ok(true)
    }
}

impl World for Chain {
    async fn look(&mut self, journal: &mut Journal) -> Result<Seen> {
        let at = self.link()?.grid.finalized().await?;
        let own = at.contracts_of_twin(self.twin).await?;
        self.keep_new(&at, &own, journal).await?;
        let draining = self.draining(&at).await?;
        let (open, names) = sorted(&own);
        let known = journal.memory.copies.keys().chain(names.keys());
        let gone: BTreeSet<ContractId> =
            known.filter(|contract| !open.contains_key(*contract)).copied().collect();
        let closed = answers(gone.into_iter().map(|contract| closed(at.clone(), contract))).await?;
        let silent = open.values().filter(|open| open.phase == Phase::NodeOffline).map(|open| open.node);
        let silent: BTreeSet<NodeId> = silent.collect();
        let since = answers(silent.into_iter().map(|node| offline(at.clone(), node))).await?;
        let (info, payer) = (at.grid_info().await?, at.payer(self.twin).await?);
        Ok(Seen {
            block: at.number(),
            now: at.timestamp_ms().await? / 1_000,
            grid_now: info.grid_now,
            open,
            closed: closed.into_iter().flatten().collect(),
            offline_since: since.into_iter().flatten().collect(),
            draining,
            names,
            rate: at.payer_rates(self.twin).await?.total(),
            is_exhausted: payer.exhausted,
            lasts: payer.funded_ms.map(|ms| ms / 1_000),
        })
    }

    async fn prepare(
        &mut self,
        wanted: Vec<Wanted>,
        seen: &Seen,
        journal: &Journal,
        mandate: &Mandate,
    ) -> Result<(Vec<Order>, Vec<Hold>)> {
        let at = self.link()?.grid.finalized().await?;
        let own = at.contracts_of_twin(self.twin).await?;
        let has_ips =
            |it: &Wanted| journal.memory.copies.get(&it.contract).is_some_and(|kept| kept.public_ips > 0);
        let mut market = Market::read(&at, &own, wanted.iter().any(has_ips), true).await?;
        // Beyond it, each try would cost the bot a fee.
        let limit = at.owner_limits(self.twin).await?.max_usd_rate;
        let mandate = &Mandate { max_rate: mandate.max_rate.min(limit), ..mandate.clone() };
        let (mut orders, mut holds, mut seen) = (Vec::new(), Vec::new(), seen.clone());
        for it in wanted {
            let (contract, why) = (it.contract, it.why.clone());
            match self.order(&at, it, &mut seen, &mut market, journal, mandate).await {
                Ok(order) => orders.push(order),
                Err(error) if error.is::<Error>() => return Err(error),
                Err(error) => {
                    let text = format!("{why}, and it isn't moved: {}", message(&error));
                    holds.push(Hold { contract, key: "no-node", text });
                }
            }
        }
        Ok((orders, holds))
    }

    async fn submit(&mut self, orders: &[Order]) -> Result<Submitted> {
        let pairs =
            orders.iter().map(|order| RuntimeCall::Utility(Utility::batch_all { calls: calls(order) }));
        let all = RuntimeCall::Utility(Utility::force_batch { calls: pairs.collect() });
        let link = self.link()?;
        match link.grid.submit("the move", &for_owner(link.owner, all), &self.key).await {
            Ok(_) => Ok(Submitted::Included),
            Err(
                error @ (Error::Failed { .. }
                | Error::Refused { .. }
                | Error::NotTaken { source: SubmitError::Node(_), .. }),
            ) => Ok(Submitted::Refused(error.into())),
            Err(error) => Err(error.into()),
        }
    }

    async fn give_up_name(&mut self, contract: ContractId) -> Result<()> {
        let link = self.link()?;
        let call = for_owner(link.owner, cancelling(contract));
        link.grid.submit("giving up a name", &call, &self.key).await?;
        Ok(())
    }
}

/// Connects to an endpoint that is on the chain of a bot's folder and up to date.
pub async fn up_to_date(url: &str, folder: &Path) -> Result<(GridClient, GridAt)> {
    let grid = GridClient::connect(url).await?;
    ensure_chain(folder, &format!("{:?}", grid.genesis()))?;
    let at = grid.finalized().await?;
    ensure_recent(url, at.timestamp_ms().await? / 1_000, now())?;
    Ok((grid, at))
}

fn ensure_recent(url: &str, head: UnixSeconds, now: UnixSeconds) -> Result<()> {
    ensure!(now.saturating_sub(head) <= MAX_BEHIND, "the chain at {url} is more than {MAX_BEHIND} s behind");
    Ok(())
}

/// A call of the owner's, made by its bot.
fn for_owner(owner: AccountId32, call: RuntimeCall) -> StaticPayload<Proxy> {
    api::transactions().proxy().proxy(MultiAddress::Id(owner), Some(ProxyType::Deploy), call)
}

/// What gives up the old contract and creates the new one. Of several batches for one old contract, the chain carries
/// out one: the others' first call fails.
fn calls(order: &Order) -> Vec<RuntimeCall> {
    let Order { wanted, to, body, networks, resources, public_ips, rate, name_rate, .. } = order;
    let first = match wanted.release {
        Release::Cancel => Some(cancelling(wanted.contract)),
        Release::Name => Some(RuntimeCall::Contracts(Call::create_name_contract {
            name: BoundedVec(name_for(wanted.contract).into_bytes()),
            max_usd_rate: *name_rate,
        })),
        Release::Alone => None,
    };
    let network = |(name, subnet): &(String, Range)| Network {
        name: BoundedVec(name.clone().into_bytes()),
        subnet: Subnet { address: subnet.address, prefix: subnet.prefix },
    };
    let body = match body.clone() {
        Body::Plain(bytes) => ForChain::Plain(bytes),
        Body::Sealed(bytes) => ForChain::Sealed(bytes),
    };
    let create = Call::create_node_contract {
        node: *to,
        resources: (*resources).into(),
        body,
        public_ips: *public_ips,
        networks: BoundedVec(networks.iter().map(network).collect()),
        traffic_gb: 0,
        max_usd_rate: *rate,
    };
    first.into_iter().chain([RuntimeCall::Contracts(create)]).collect()
}

/// The open node contracts, and the names by the closed contracts that they are for.
fn sorted(own: &[TwinContract]) -> (BTreeMap<ContractId, Open>, BTreeMap<ContractId, ContractId>) {
    let (mut open, mut names) = (BTreeMap::new(), BTreeMap::new());
    for TwinContract { contract, target, status, rate, .. } in own {
        let phase = match status {
            ContractStatus::Created => Phase::Created,
            ContractStatus::Deployed { .. } => Phase::Running,
            ContractStatus::Paused { .. } => Phase::Paused,
            ContractStatus::NodeOffline { .. } => Phase::NodeOffline,
            ContractStatus::Closed { .. } => continue,
        };
        match target {
            Target::Node { node, .. } => {
                open.insert(*contract, Open { node: *node, phase, rate: *rate });
            }
            Target::Name { name } => names.extend(contract_of_name(name).map(|old| (old, *contract))),
            Target::Rent { .. } => {}
        }
    }
    (open, names)
}

/// Whether a copy is of what the contract reserves now, and was opened: the bot may have another key by now.
fn is_whole(kept: &Kept, target: &Target) -> bool {
    let Kept { node, resources, public_ips, is_readable, machines, .. } = kept;
    *is_readable
        && machines.is_some()
        && *target == Target::Node { node: *node, resources: *resources, public_ips: *public_ips }
}

/// An open contract with its active body and the hash of it, unless it has this hash.
async fn read(
    at: GridAt,
    own: TwinContract,
    known: Option<String>,
) -> Result<Option<(TwinContract, String, Body<Vec<u8>>)>> {
    let Some(record) = at.contract(own.contract).await? else { return Ok(None) };
    let ContractKind::Node(deployment) = &record.kind else { return Ok(None) };
    let hash = hex::encode(deployment.body_hash.0);
    if known.is_some_and(|known| known == hash) {
        return Ok(None);
    }
    Ok(at.body(own.contract).await?.map(|body| (own, hash, body)))
}

async fn closed(at: GridAt, contract: ContractId) -> Result<Option<(ContractId, ClosedContract)>> {
    Ok(at.closed(contract).await?.map(|closed| (contract, closed)))
}

async fn offline(at: GridAt, node: NodeId) -> Result<Option<(NodeId, u64)>> {
    Ok(at.offline_since(node).await?.map(|since| (node, since)))
}

/// What is remembered of a contract.
fn kept(own: &TwinContract, hash: String, body: &Body<Vec<u8>>, key: Option<&SealKey>) -> Option<Kept> {
    let Target::Node { node, resources, public_ips } = &own.target else { return None };
    let deployment = clear(body, key).ok().and_then(|text| Deployment::parse(&text).ok());
    let has_open_secrets = |deployment: &Deployment| match &deployment.secrets {
        Some(Secrets::Sealed(_)) => key.is_some_and(|key| deployment.with_open_secrets(key).is_ok()),
        _ => true,
    };
    let part = deployment.as_ref().and_then(|deployment| deployment.application.clone());
    Some(Kept {
        contract: own.contract,
        node: *node,
        resources: *resources,
        public_ips: *public_ips,
        body_hash: hash,
        part: part.map(|part| PartName { application: part.name, part: part.part }),
        volumes: deployment
            .iter()
            .flat_map(Deployment::volumes)
            .map(|(_, name, _)| name.to_owned())
            .collect(),
        machines: deployment.as_ref().map(|deployment| deployment.machines().map(str::to_owned).collect()),
        replaces: deployment.as_ref().and_then(|deployment| deployment.replaces),
        is_readable: deployment.as_ref().is_some_and(has_open_secrets),
        since: 0,
    })
}

/// The text of a body; its secrets stay sealed.
fn clear(body: &Body<Vec<u8>>, key: Option<&SealKey>) -> Result<Vec<u8>> {
    match body {
        Body::Plain(text) => Ok(text.clone()),
        Body::Sealed(sealed) => Ok(key.context(NO_KEY)?.open(sealed)?),
    }
}

/// A body that says what it replaces, with all that is sealed of it sealed to these keys. A plain one ends with so many
/// spaces: so bodies of two bots differ, and each knows the contracts that it has made.
fn resealed(
    body: &Body<Vec<u8>>,
    key: Option<&SealKey>,
    recipients: &[Recipient],
    number: usize,
    replaces: Replaces,
) -> Result<Body<Vec<u8>>> {
    let deployment = Deployment::parse(&clear(body, key)?)?;
    let with = |replaces| -> Result<Body<Vec<u8>>> {
        let deployment = Deployment { replaces, ..deployment.clone() };
        if matches!(body, Body::Sealed(_)) {
            return Ok(Body::Sealed(seal(&deployment.to_body()?, recipients)?));
        }
        let mut text = match &deployment.secrets {
            Some(Secrets::Sealed(_)) => {
                let open = deployment.with_open_secrets(key.context(NO_KEY)?)?;
                open.with_sealed_secrets(recipients)?.to_body()?
            }
            _ => deployment.to_body()?,
        };
        text.extend(repeat_n(b' ', number.min(MAX_BODY_BYTES.saturating_sub(text.len()))));
        Ok(Body::Plain(text))
    };
    // A body that would be too long is moved without `replaces`.
    with(Some(replaces)).or_else(|_| with(None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tfgrid_client::primitives::Resources;

    const PLAIN: &[u8] = br#"{"version":1,"application":{"name":"shop","part":"db"},"workloads":[
        {"name":"data","type":"zmount","data":{"size":16777216}}]}"#;

    const REPLACES: Replaces = Replaces { contract: 7, snapshot: None };

    /// What is moved, as [`REPLACES`] says.
    fn moved(text: &[u8]) -> Deployment {
        Deployment { replaces: Some(REPLACES), ..Deployment::parse(text).unwrap() }
    }

    fn key(byte: u8) -> SealKey {
        SealKey::new(&[byte; 32]).unwrap()
    }

    fn contract(contract: ContractId, target: Target, status: ContractStatus) -> TwinContract {
        TwinContract { contract, target, status, rate: 5, extra: 0 }
    }

    fn on_node() -> Target {
        Target::Node { node: 3, resources: Resources::ZERO, public_ips: 1 }
    }

    #[test]
    fn an_endpoint_that_lags_is_refused() {
        let ensure_recent = |head| ensure_recent("ws://a", head, 1_000);
        assert!(ensure_recent(1_000 - MAX_BEHIND).is_ok() && ensure_recent(1_001).is_ok());
        let error = ensure_recent(999 - MAX_BEHIND).unwrap_err().to_string();
        assert_eq!(error, "the chain at ws://a is more than 300 s behind");
    }

    #[test]
    fn a_body_is_sealed_to_the_new_nodes_keys() {
        let (bot, node) = (key(1), key(2));
        let sealed = Body::Sealed(seal(PLAIN, &[bot.recipient()]).unwrap());
        let keys = [node.recipient(), bot.recipient()];
        let anew = resealed(&sealed, Some(&bot), &keys, 1, REPLACES).unwrap();
        assert_eq!(Deployment::parse(&clear(&anew, Some(&node)).unwrap()).unwrap(), moved(PLAIN));
        assert!(resealed(&sealed, None, &[node.recipient()], 1, REPLACES).is_err());
        assert!(resealed(&sealed, Some(&node), &[node.recipient()], 1, REPLACES).is_err());
    }

    #[test]
    fn secrets_of_a_plain_body_are_sealed_anew() {
        let (bot, node) = (key(1), key(2));
        let text = String::from_utf8(PLAIN.to_vec()).unwrap();
        let text = text.replace("\"workloads\"", "\"secrets\":{\"db\":\"sesame\"},\"workloads\"");
        let open = Deployment::parse(text.as_bytes()).unwrap();
        let body = Body::Plain(open.with_sealed_secrets(&[bot.recipient()]).unwrap().to_body().unwrap());
        let anew = resealed(&body, Some(&bot), &[node.recipient()], 1, REPLACES).unwrap();
        let Body::Plain(anew) = anew else { panic!("it is sealed") };
        let anew = Deployment::parse(&anew).unwrap().with_open_secrets(&node).unwrap();
        assert_eq!(anew, moved(text.as_bytes()));
        assert!(resealed(&body, None, &[node.recipient()], 1, REPLACES).is_err());
    }

    #[test]
    fn plain_bodies_of_two_bots_differ_in_nothing_that_counts() {
        let again = |text: Vec<u8>, number| match resealed(&Body::Plain(text), None, &[], number, REPLACES) {
            Ok(Body::Plain(text)) => text,
            other => panic!("{other:?}"),
        };
        let of = |number| again(PLAIN.to_vec(), number);
        assert_ne!(of(1), of(2));
        assert_eq!(again(of(2), 1), of(1));
        assert_eq!(Deployment::parse(&of(1)).unwrap(), moved(PLAIN));
    }

    #[test]
    fn a_body_without_room_for_what_it_replaces_is_moved() {
        let with_env = |last: usize| {
            let texts = ('A'..='H')
                .map(|name| (name.to_string(), "x".repeat(if name == 'H' { last } else { 1_010 })));
            let data = json!({
                "image": "docker.io/library/busybox:1.36", "cpu": 1, "memory": 134_217_728,
                "env": texts.collect::<BTreeMap<_, _>>(),
            });
            let machine = json!({ "name": "m", "type": "zmachine", "data": data });
            let text = json!({ "version": 1, "workloads": [machine] }).to_string();
            Deployment::parse(text.as_bytes()).unwrap()
        };
        let full = with_env(1 + MAX_BODY_BYTES - with_env(1).to_body().unwrap().len());
        let body = Body::Plain(full.to_body().unwrap());
        assert_eq!(resealed(&body, None, &[], 1, REPLACES).unwrap(), body);
    }

    #[test]
    fn what_is_remembered_follows_from_the_body() {
        let own = contract(7, on_node(), ContractStatus::Created);
        let found = kept(&own, "00".into(), &Body::Plain(PLAIN.to_vec()), None).unwrap();
        assert!(found.is_readable && is_whole(&found, &own.target));
        assert!(found.volumes == ["data".to_owned()].into() && found.replaces.is_none());
        let moved = Body::Plain(moved(PLAIN).to_body().unwrap());
        assert_eq!(kept(&own, "00".into(), &moved, None).unwrap().replaces, Some(REPLACES));
        let unread = Kept { is_readable: false, ..found.clone() };
        assert!(!is_whole(&unread, &own.target), "it is read again, by the key that there is now");
        let old = Kept { machines: None, ..found.clone() };
        assert!(!is_whole(&old, &own.target), "its machines aren't known");
        let web = br#"{"version":1,"workloads":[
            {"name":"web","type":"zmachine","data":{
                "image":"docker.io/library/busybox:1.36","cpu":1,"memory":134217728}}]}"#;
        let of_web = kept(&own, "00".into(), &Body::Plain(web.to_vec()), None).unwrap();
        assert_eq!((of_web.machines, of_web.volumes.len()), (Some(["web".to_owned()].into()), 0));
        assert_eq!(found.part.unwrap().part, "db");
        let sealed = Body::Sealed(seal(PLAIN, &[key(1).recipient()]).unwrap());
        let with = |key: Option<&SealKey>| kept(&own, "00".into(), &sealed, key).unwrap();
        assert!(
            with(Some(&key(1))).is_readable && !with(Some(&key(2))).is_readable && !with(None).is_readable
        );
    }

    #[test]
    fn contracts_are_sorted_by_what_they_are() {
        let name = |name: &str| Target::Name { name: name.as_bytes().to_vec() };
        let runs = ContractStatus::Deployed { tft: 0, usd: 0 };
        let own = [
            contract(7, on_node(), ContractStatus::NodeOffline { tft: 0, usd: 0 }),
            contract(8, Target::Rent { node: 3 }, runs),
            contract(9, name("heal-4"), runs),
            contract(10, name("shop"), runs),
        ];
        let (open, names) = sorted(&own);
        assert_eq!(open, [(7, Open { node: 3, phase: Phase::NodeOffline, rate: 5 })].into());
        assert_eq!(names, [(4, 9)].into());
    }

    #[test]
    fn a_batch_gives_up_the_old_contract_first() {
        let order = |release| Order {
            wanted: Wanted { contract: 7, release, why: String::new() },
            from: 1,
            to: 2,
            body: Body::Plain(PLAIN.to_vec()),
            networks: Vec::new(),
            resources: Resources::ZERO,
            public_ips: 0,
            rate: 5,
            name_rate: 6,
        };
        assert_eq!(calls(&order(Release::Alone)).len(), 1);
        let first = |release| calls(&order(release)).into_iter().next().unwrap();
        assert!(matches!(first(Release::Cancel), RuntimeCall::Contracts(Call::cancel { contract: 7, .. })));
        let RuntimeCall::Contracts(Call::create_name_contract { name, max_usd_rate }) = first(Release::Name)
        else {
            panic!("another call")
        };
        assert_eq!((&name.0[..], max_usd_rate), (&b"heal-7"[..], 6));
    }
}
