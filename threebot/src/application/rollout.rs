// SPDX-License-Identifier: Apache-2.0
//! From an application's file to parts that run: one plan, one batch of calls, one wait.

use super::{
    Ask, Difference, Market, Owned, Running, State, key_text, place, placement::misplaced, steps::Steps,
};
use crate::{
    commands::{
        deploy::{Settled, settled},
        funds::Funding,
        update::settled_update,
    },
    contract::result_text,
    deployment::Reservation,
    device::DeviceFile,
    foreseen::{self, Foreseen, Purse},
    heard::Heard,
    many::answers,
    output::{Answer, counted, note},
    pins,
    plan::Plan,
    sealing::{PreparedBody, Sealing},
    session::Session,
    source::Source,
};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{collections::BTreeMap, iter, mem, time::Duration};
use subxt::transactions::StaticPayload;
use tfgrid_client::{
    GridAt,
    api::{
        self,
        contracts::events::{NodeContractCreated, UpdateRequested},
        runtime_types::{
            bounded_collections::bounded_vec::BoundedVec,
            pallet_grid_contracts::{
                pallet::Call,
                types::{CancelReason, Network},
            },
            tfgrid_runtime::RuntimeCall,
        },
        utility::calls::BatchAll,
    },
    deployment::{Application, Deployment, Part, Rejection},
    primitives::{
        Balance, ContractId, Features, NodeId, Rates, TwinId, UsdRate,
        views::{ContractStatus, NodeOffer, TwinContract},
    },
    sealing::SealKey,
    units::format_usd,
};
use tokio::time::timeout;

/// The most calls in one batch: what a block has room for.
pub const CALLS_AT_ONCE: usize = 100;

/// How an application is rolled out.
pub struct Options<'a> {
    pub source: &'a Source,
    pub sealing: &'a Sealing,
    /// The owner's key, by which sealed secrets are compared.
    pub key: Option<SealKey>,
    /// Whether images are left by their tags.
    pub no_pin: bool,
    /// Whether contracts are cancelled for which the file has no part.
    pub prune: bool,
    /// The most that the application may cost, in 1e-10 USD per hour.
    pub max_rate: Option<UsdRate>,
}

/// Steps to an application that runs, with their price.
pub struct Rollout {
    application: String,
    twin: TwinId,
    pub plan: Plan,
    lines: Vec<Line>,
    batches: Vec<StaticPayload<BatchAll>>,
    /// Contracts for which their nodes haven't answered since an earlier run.
    unsettled: Vec<Awaited>,
    /// What the parts are to run.
    deployments: BTreeMap<String, Deployment>,
}

/// A contract whose node hasn't answered yet.
pub struct Awaited {
    /// The part of an application that it is; empty for another contract.
    pub part: String,
    pub contract: ContractId,
    /// The version of an update; `None` for a first version.
    pub version: Option<u32>,
    /// What it is to run, where that is known.
    pub deployment: Option<Deployment>,
}

/// How a wait ended.
pub enum Finished {
    AllRun,
    /// A part doesn't come to run.
    Failed(anyhow::Error),
    /// The time is over.
    Late,
}

/// What is done for a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Create,
    Update,
    Keep,
    /// The file hasn't got it.
    Stray,
    Cancel,
}

/// A part in a plan.
struct Line {
    part: String,
    fate: Fate,
    contract: Option<ContractId>,
    /// `None` before it is picked.
    node: Option<NodeId>,
    /// `None` before it is asked for, in 1e-10 USD per hour.
    rate: Option<UsdRate>,
    differences: Vec<Difference>,
}

/// A new contract or version, and what it replaces.
struct Work {
    line: Line,
    state: State,
    before: Rates,
    /// The last version that was asked for, which this one replaces; `None` of a new contract.
    active: Option<Deployment>,
}

/// The same with its price and body.
struct Change {
    work: Work,
    body: PreparedBody,
    networks: BoundedVec<Network>,
    /// Whether what looks like a secret isn't sealed.
    is_revealing: bool,
    /// What there is to say about what it has public.
    public: Vec<String>,
}

/// What a plan comes to.
#[derive(Default)]
struct Draft {
    lines: Vec<Line>,
    calls: Vec<RuntimeCall>,
    before: Rates,
    after: Rates,
    new: Rates,
    held: Balance,
    /// Who can read the bodies: of one with sealed secrets, and of each that looks as if it had others.
    readers: Vec<String>,
    /// What there is to say about what parts have public.
    public: Vec<String>,
}

/// An application's file beside what stands on the chain.
struct Standing {
    at: GridAt,
    twin: TwinId,
    contracts: Vec<TwinContract>,
    /// Contracts that are no parts of it.
    owned: Owned,
    running: Vec<Running>,
    /// What each part of the file is to run.
    parts: BTreeMap<String, State>,
}

impl Standing {
    /// Also gives networks their ranges.
    async fn read(session: &Session, application: &mut Application, options: &Options<'_>) -> Result<Self> {
        let at = session.grid.finalized().await?;
        let twin = session.twin(&at).await?;
        let contracts = at.contracts_of_twin(twin).await?;
        let mut owned = Owned::read(&at, &contracts, options.key.as_ref()).await?;
        let running = owned.take(&application.name);
        let ranges = owned.ranges(&running);
        application.assign_ranges(&ranges).map_err(|rejection| options.source.located(rejection))?;
        let mut parts = states(application, options.sealing.is_plain());
        for contract in &running {
            if let Some(part) = parts.get_mut(&contract.part) {
                pins::keep(&mut part.deployment, &contract.state.deployment);
            }
        }
        Ok(Self { at, twin, contracts, owned, running, parts })
    }
}

/// What an application's file would change, field by field.
pub async fn compare(
    session: &Session,
    mut application: Application,
    options: &Options<'_>,
) -> Result<Answer> {
    let standing = Standing::read(session, &mut application, options).await?;
    let steps = Steps::new(&standing.parts, &standing.running);
    let uncompared = steps.uncompared.join(", ");
    let mut lines: Vec<Line> = steps.create.iter().map(|part| Line::new(part, None)).collect();
    lines.extend(
        steps
            .update
            .into_iter()
            .map(|(running, differences)| Line { differences, ..Line::of(running, Fate::Update) }),
    );
    lines.extend(steps.keep.iter().map(|running| Line::of(running, Fate::Keep)));
    lines.extend(steps.stray.iter().map(|running| Line::of(running, Fate::Stray)));
    let mut texts: Vec<String> = lines.iter().map(Line::difference).collect();
    if !uncompared.is_empty() {
        let why = key_text(options.key.is_some());
        texts.push(format!("sealed secrets of {uncompared} aren't compared: {why}"));
    }
    let parts: Vec<Value> = lines.iter().map(Line::value).collect();
    Ok(Answer::new(texts.join("\n"), json!({ "application": application.name, "parts": parts })))
}

impl Rollout {
    /// Compares the file with what stands on the chain, and finds nodes for what is missing.
    ///
    /// # Errors
    /// If no node fits a part, or the chain would refuse.
    pub async fn prepare(
        session: &Session,
        mut application: Application,
        options: &Options<'_>,
    ) -> Result<Self> {
        let Standing { at, twin, contracts, owned, running, mut parts } =
            Standing::read(session, &mut application, options).await?;
        if let Some(paused) = Funding::read(&at, twin).await?.paused() {
            bail!("{paused}; until then no node runs anything new");
        }
        let with_ips = application.parts.values().any(|part| part.public_ips > 0);
        let has_sites = |state: &State| state.deployment.features().contains(Features::GATEWAYS);
        let market = Market::read(&at, &contracts, with_ips, parts.values().any(has_sites)).await?;
        ensure_nodes(&application, &running, &market.offers)?;
        let unpinned = if options.no_pin { Vec::new() } else { pin(&mut parts, &running).await? };
        let steps = Steps::new(&parts, &running);
        foreseen::ensure_places(&at, twin, steps.create.len()).await?;
        let notes = notes(&application, &steps, &owned, &market);
        let unsettled = steps.keep.iter().filter_map(|running| Awaited::of(running)).collect();

        let mut draft = Draft::default();
        for running in &steps.keep {
            draft.keep(running);
        }
        for running in &steps.stray {
            draft.leave_out(running, options.prune);
        }
        let work = work(&application, &parts, steps, &market)?;
        let changes = work.into_iter().map(|work| change(at.clone(), options.sealing.clone(), twin, work));
        let changes = answers(changes).await.map_err(|error| options.source.located_error(error))?;
        for change in changes {
            draft.change(&at, change)?;
        }

        let Draft { lines, calls, before, after, new, held, readers, public } = draft;
        let whole = format!("application {:?}", application.name);
        foreseen::ensure_cheap(&whole, after.usd.saturating_add(after.extra), options.max_rate)?;
        let batches = batched(calls);
        let mut fee: Balance = 0;
        for batch in &batches {
            fee = fee.saturating_add(session.fee("deploy", batch).await?);
        }
        let purse = Purse::read(&at, session.account()?).await?;
        let what = format!("application {}\n{}", application.name, table(&lines));
        let plan = Plan::for_change(&at, twin, what, before, after).await?.starting(new);
        let plan = if batches.is_empty() { plan } else { plan.holding(held, fee, purse)? };
        let plan = notes.into_iter().chain(unpinned).chain(public).chain(readers).fold(plan, Plan::with_note);
        let deployments = parts.into_iter().map(|(part, state)| (part, state.deployment)).collect();
        Ok(Self { application: application.name, twin, plan, lines, batches, unsettled, deployments })
    }

    /// Whether nothing is to be submitted.
    pub fn is_done(&self) -> bool {
        self.batches.is_empty()
    }

    /// Submits all calls, after a deposit if there is one; answers with the parts to wait for.
    pub async fn submit(&mut self, session: &Session, mut deposit: Option<Balance>) -> Result<Vec<Awaited>> {
        let (mut created, mut versions) = (Vec::new(), BTreeMap::new());
        for (index, batch) in self.batches.iter().enumerate() {
            let submitted = session.submit_after(deposit.take(), "deploy", batch).await;
            let included = if index == 0 {
                submitted?
            } else {
                let count = self.batches.len();
                submitted.with_context(|| {
                    format!("{index} of {count} batches were carried out: run it again to go on")
                })?
            };
            for event in included.events.find::<NodeContractCreated>() {
                created.push(event.context("can't read the event of a new contract")?.contract);
            }
            for event in included.events.find::<UpdateRequested>() {
                let event = event.context("can't read the event of an update")?;
                versions.insert(event.contract, event.version);
            }
        }
        let new = self.lines.iter_mut().filter(|line| line.fate == Fate::Create);
        for (line, contract) in new.zip(created) {
            line.contract = Some(contract);
        }
        let mut awaited = mem::take(&mut self.unsettled);
        awaited.extend(self.lines.iter().filter_map(|line| {
            let contract = line.contract?;
            let version = versions.get(&contract).copied();
            let is_asked = line.fate == Fate::Create || version.is_some();
            let deployment = self.deployments.get(&line.part).cloned();
            is_asked.then(|| Awaited { part: line.part.clone(), contract, version, deployment })
        }));
        Ok(awaited)
    }

    /// Waits so long until all of these run, each of which goes as soon as it does.
    pub async fn wait(
        &self,
        session: &Session,
        device: &DeviceFile,
        awaited: &mut Vec<Awaited>,
        limit: Duration,
    ) -> Result<Finished> {
        await_all(session, device, self.twin, awaited, limit).await
    }

    /// Cancels the contracts that this run has created; answers with their ids.
    pub async fn undo(&self, session: &Session) -> Result<Vec<ContractId>> {
        let at = session.grid.finalized().await?;
        let open = at.contracts_of_twin(self.twin).await?;
        let new = self.lines.iter().filter(|line| line.fate == Fate::Create);
        let ids: Vec<ContractId> = new
            .filter_map(|line| line.contract)
            .filter(|contract| open.iter().any(|open| open.contract == *contract))
            .collect();
        for ids in ids.chunks(CALLS_AT_ONCE) {
            // One that closes meanwhile keeps no other from being cancelled.
            let calls = ids.iter().map(|contract| cancelling(*contract)).collect();
            session.submit("undo", &api::transactions().utility().force_batch(calls)).await?;
        }
        Ok(ids)
    }

    /// The parts with their contracts, and what their nodes have written.
    pub async fn answer(&self, session: &Session) -> Result<Answer> {
        let at = session.grid.finalized().await?;
        let result_of = |contract: Option<ContractId>, at: GridAt| async move {
            let Some(contract) = contract else { return anyhow::Ok(None) };
            let text = at.result(contract).await?;
            Ok(text.and_then(|text| serde_json::from_slice::<Value>(&text).ok()))
        };
        let contracts = self.lines.iter().map(|line| line.contract.filter(|_| line.fate != Fate::Cancel));
        let asked: Vec<_> = contracts.map(|contract| result_of(contract, at.clone())).collect();
        let results = answers(asked).await?;
        let mut values = Vec::new();
        let mut texts = Vec::new();
        for (line, result) in self.lines.iter().zip(results) {
            let mut value = line.value();
            value["result"] = result.clone().unwrap_or_default();
            values.push(value);
            let result = result.map(|result| result_text(&result)).filter(|text| !text.is_empty());
            let result =
                result.map_or_else(String::new, |text| format!("\n  {}", text.replace('\n', "\n  ")));
            texts.push(format!("{}: {}{result}", line.part, line.place()));
        }
        let value = json!({ "application": self.application, "parts": values, "plan": self.plan.value() });
        Ok(Answer::new(texts.join("\n"), value))
    }

    /// The plan as an answer.
    pub fn planned(&self) -> Value {
        let parts: Vec<Value> = self.lines.iter().map(Line::value).collect();
        json!({ "application": self.application, "parts": parts, "plan": self.plan.value() })
    }
}

impl Awaited {
    pub fn text(&self) -> String {
        match self.part.as_str() {
            "" => format!("contract {}", self.contract),
            part => format!("{part} (contract {})", self.contract),
        }
    }

    /// What a contract of an earlier run still awaits.
    pub fn of(running: &Running) -> Option<Self> {
        let Running { part, contract, pending, is_deployed, state, .. } = running;
        let awaits = !is_deployed || pending.is_some();
        let version = pending.filter(|_| *is_deployed);
        let deployment = Some(state.deployment.clone());
        awaits.then(|| Self { part: part.clone(), contract: *contract, version, deployment })
    }
}

impl Draft {
    fn keep(&mut self, running: &Running) {
        self.before = sum(self.before, running.rates);
        self.after = sum(self.after, running.rates);
        self.lines.push(Line::of(running, Fate::Keep));
    }

    /// A contract that the file has no part for.
    fn leave_out(&mut self, running: &Running, is_cancelled: bool) {
        self.before = sum(self.before, running.rates);
        if is_cancelled {
            self.calls.push(cancelling(running.contract));
            self.lines.push(Line::of(running, Fate::Cancel));
        } else {
            self.after = sum(self.after, running.rates);
            self.lines.push(Line::of(running, Fate::Stray));
        }
    }

    fn change(&mut self, at: &GridAt, change: Change) -> Result<()> {
        let Change { work: Work { line, state, before, .. }, body, networks, is_revealing, public } = change;
        self.public.extend(public.into_iter().map(|note| format!("{}: {note}", line.part)));
        let is_first = self.readers.is_empty() && state.deployment.secrets.is_some();
        if is_revealing || is_first {
            self.readers.push(format!("{}: {}", line.part, body.note));
        }
        let max_usd_rate = line.rate.context("a change has a price")?;
        let rates = Rates { usd: max_usd_rate, extra: before.extra };
        self.before = sum(self.before, before);
        self.after = sum(self.after, rates);
        let bytes = body.body.bytes().len();
        let (resources, public_ips, body) = (state.resources.into(), state.public_ips, body.for_chain());
        let (deposit, call) = match line.contract {
            Some(contract) => (
                at.body_deposit(bytes)?,
                Call::update_node_contract { contract, resources, body, public_ips, networks, max_usd_rate },
            ),
            None => {
                self.new = sum(self.new, rates);
                let (node, traffic_gb) = (line.node.context("a new part has a node")?, 0);
                let call = Call::create_node_contract {
                    node,
                    resources,
                    body,
                    public_ips,
                    networks,
                    traffic_gb,
                    max_usd_rate,
                };
                (at.contract_deposit(bytes)?, call)
            }
        };
        self.held = self.held.saturating_add(deposit);
        self.calls.push(RuntimeCall::Contracts(call));
        self.lines.push(line);
        Ok(())
    }
}

impl Line {
    fn of(running: &Running, fate: Fate) -> Self {
        Self {
            part: running.part.clone(),
            fate,
            contract: Some(running.contract),
            node: Some(running.node),
            rate: Some(running.rates.usd),
            differences: Vec::new(),
        }
    }

    fn new(part: &str, node: Option<NodeId>) -> Self {
        let (part, fate) = (part.to_owned(), Fate::Create);
        Self { part, fate, contract: None, node, rate: None, differences: Vec::new() }
    }

    /// Its contract and node, where it has them.
    fn place(&self) -> String {
        let contract = self.contract.map(|contract| format!("contract {contract}"));
        let node = self.node.map(|node| format!("on node {node}"));
        contract.into_iter().chain(node).collect::<Vec<_>>().join(" ")
    }

    fn text(&self) -> String {
        let place = self.place();
        let what = match self.fate {
            Fate::Create => format!("new {place}"),
            Fate::Update => format!("another version of {place}"),
            Fate::Keep => format!("{place} stays as it is"),
            Fate::Stray => format!("{place} is no part of the file; --prune cancels it"),
            Fate::Cancel => format!("{place} is cancelled: its disks are gone for good"),
        };
        let rate =
            self.rate.map_or_else(String::new, |rate| format!(", {} USD per hour", format_usd(rate.into())));
        self.with_differences(format!("{what}{rate}"))
    }

    /// What differs from what runs.
    fn difference(&self) -> String {
        let (part, place) = (&self.part, self.place());
        self.with_differences(match self.fate {
            Fate::Create => format!("{part}: new"),
            Fate::Update => format!("{part}: {place}"),
            Fate::Keep => format!("{part}: {place} is as the file says"),
            Fate::Stray | Fate::Cancel => format!("{part}: {place} is no part of the file"),
        })
    }

    fn with_differences(&self, first: String) -> String {
        let more = self.differences.iter().map(|difference| format!("  {}", difference.text()));
        iter::once(first).chain(more).collect::<Vec<_>>().join("\n")
    }

    fn value(&self) -> Value {
        let fate = match self.fate {
            Fate::Create => "create",
            Fate::Update => "update",
            Fate::Keep => "keep",
            Fate::Stray => "stray",
            Fate::Cancel => "cancel",
        };
        json!({
            "part": self.part,
            "change": fate,
            "contract": self.contract,
            "node": self.node,
            "rate_usd_1e10": self.rate.map(|rate| rate.to_string()),
            "differences": self.differences.iter().map(Difference::value).collect::<Vec<_>>(),
        })
    }
}

/// The parts with what is done for each, in two columns.
fn table(lines: &[Line]) -> String {
    let width = lines.iter().map(|line| line.part.len()).max().unwrap_or_default();
    let row = |line: &Line| {
        let text = line.text().replace('\n', &format!("\n  {:width$}  ", ""));
        format!("  {:width$}  {text}", line.part)
    };
    lines.iter().map(row).collect::<Vec<_>>().join("\n")
}

/// What each part is to run. Unless all is to be plain, what looks like a secret becomes one: the rest stays
/// readable, so that the parts are found again.
fn states(application: &Application, is_plain: bool) -> BTreeMap<String, State> {
    let state = |(name, part): (&String, &Part)| {
        let deployment = application.deployment(name, part);
        let deployment = if is_plain { deployment } else { deployment.with_texts_as_secrets() };
        let (resources, public_ips) = (deployment.least_reservation(), part.public_ips);
        (name.clone(), State { deployment, resources, public_ips })
    };
    application.parts.iter().map(state).collect()
}

/// Pins the images of parts; answers with what to say about those that couldn't be pinned.
async fn pin(parts: &mut BTreeMap<String, State>, running: &[Running]) -> Result<Vec<String>> {
    let active = |part: &str| running.iter().find(|contract| contract.part == part);
    let wanted = parts
        .iter_mut()
        .map(|(name, part)| (&mut part.deployment, active(name).map(|contract| &contract.state.deployment)));
    pins::pin(wanted.collect()).await
}

/// New versions and new contracts, the latter on nodes that fit.
fn work(
    application: &Application,
    parts: &BTreeMap<String, State>,
    steps: Steps<'_>,
    market: &Market,
) -> Result<Vec<Work>> {
    let held = steps.keep.iter().copied().chain(steps.update.iter().map(|(running, _)| *running));
    let held = held.map(|running| (running.part.clone(), running.node)).collect();
    let ask = |name: &&str| {
        let (part, state) = (application.parts.get(*name)?, parts.get(*name)?);
        let (name, _) = application.parts.get_key_value(*name)?;
        let has_names = state.deployment.site_names().next().is_some();
        Some(Ask { name, part, resources: state.resources, features: state.deployment.features(), has_names })
    };
    let asks: Vec<Ask> = steps.create.iter().filter_map(ask).collect();
    let nodes = place(application, &asks, &held, market)?;
    let mut work = Vec::new();
    for (running, differences) in steps.update {
        let Some(state) = parts.get(&running.part).cloned() else { continue };
        ensure_updatable(running, &state, market)?;
        let line = Line { differences, ..Line::of(running, Fate::Update) };
        let active = Some(running.state.deployment.clone());
        work.push(Work { line, state, before: running.rates, active });
    }
    for (part, node) in nodes {
        let Some(state) = parts.get(&part).cloned() else { continue };
        let line = Line::new(&part, Some(node));
        work.push(Work { line, state, before: Rates::ZERO, active: None });
    }
    Ok(work)
}

/// Fails if a new part is for a node that isn't there. The others stay on theirs.
fn ensure_nodes(application: &Application, running: &[Running], offers: &[NodeOffer]) -> Result<()> {
    let is_new = |name: &str| running.iter().all(|running| running.part != name);
    for (name, part) in application.parts.iter().filter(|(name, _)| is_new(name)) {
        if let Some(node) = part.node.filter(|node| offers.iter().all(|offer| offer.node != *node)) {
            bail!("part {name:?}: {}", foreseen::unknown_node(node));
        }
    }
    Ok(())
}

fn offer_of(market: &Market, node: NodeId) -> Option<&NodeOffer> {
    market.offers.iter().find(|offer| offer.node == node)
}

/// Fails if the node of a contract can't run its new version.
fn ensure_updatable(running: &Running, state: &State, market: &Market) -> Result<()> {
    let (node, present) = (running.node, &running.state);
    let offer = offer_of(market, node).with_context(|| foreseen::unknown_node(node))?;
    if !offer.online {
        let text = format!("node {node} is offline, and part {:?} is to be updated on it", running.part);
        bail!(Foreseen::new("Contracts.NodeOffline", text));
    }
    let more_ips = state.public_ips.saturating_sub(present.public_ips);
    foreseen::ensure_served(offer, state.deployment.features(), more_ips)?;
    let free = offer.free.checked_add(&present.resources).unwrap_or(offer.total);
    foreseen::ensure_room(node, &state.resources, &free)
}

/// Asks for the price of a change, and makes its body.
async fn change(at: GridAt, sealing: Sealing, twin: TwinId, work: Work) -> Result<Change> {
    let Work { line, state, before, active } = work;
    let node = line.node.context("a change has a node")?;
    let rate = at.quote(node, state.resources, state.public_ips).await?;
    let rate = rate.with_context(|| foreseen::no_price(node))?;
    let in_part = |rejection: Rejection| Rejection {
        path: format!("/parts/{}{}", line.part, rejection.path),
        ..rejection
    };
    let located = |error: anyhow::Error| match error.downcast::<Rejection>() {
        Ok(rejection) => anyhow::Error::new(in_part(rejection)),
        Err(error) => error.context(format!("part {:?}", line.part)),
    };
    let sites = foreseen::ensure_sites(&at, twin, node, &state.deployment, active.as_ref()).await;
    let sites = sites.map_err(located)?;
    let body = state.deployment.to_body().map_err(in_part)?;
    let reservation = Reservation::new(state.deployment.clone(), body, state.resources);
    let sealed = sealing.readable(&at, node, twin, &reservation).await;
    let body = sealed.map_err(located)?;
    let has_traffic = match line.contract {
        Some(contract) => at.traffic_left(contract).await? > 0,
        None => false,
    };
    let contract = line.contract.map_or_else(|| "CONTRACT".into(), |contract| contract.to_string());
    let buy = format!("`threebot traffic {contract} --gb 10`");
    let slow = foreseen::slow_note(&state.deployment, has_traffic, &buy);
    let public = slow.into_iter().chain(sites).collect();
    let line = Line { rate: Some(rate), ..line };
    let (networks, is_revealing) = (reservation.networks, !reservation.secrets.is_empty());
    Ok(Change { work: Work { line, state, before, active }, body, networks, is_revealing, public })
}

/// What people should know beside the prices.
fn notes(application: &Application, steps: &Steps<'_>, owned: &Owned, market: &Market) -> Vec<String> {
    let mut notes = Vec::new();
    for running in steps.keep.iter().copied().chain(steps.update.iter().map(|(running, _)| *running)) {
        let placed = application.parts.get(&running.part).zip(offer_of(market, running.node));
        if let Some(reason) = placed.and_then(|(part, offer)| misplaced(part, offer)) {
            notes.push(format!(
                "{} stays on node {}, which is {reason}: to move it without its disks, `threebot cancel {}` first",
                running.part, running.node, running.contract
            ));
        }
    }
    if !steps.uncompared.is_empty() {
        notes.push(format!(
            "sealed secrets of {} aren't compared, and stay: {}",
            steps.uncompared.join(", "),
            key_text(owned.has_key)
        ));
    }
    if !owned.unreadable.is_empty() {
        notes.push(format!(
            "{} of yours can't be read, and may be parts of this: {}",
            counted(owned.unreadable.len() as u64, "sealed contract"),
            key_text(owned.has_key)
        ));
    }
    notes
}

fn batched(calls: Vec<RuntimeCall>) -> Vec<StaticPayload<BatchAll>> {
    let mut calls = calls.into_iter().peekable();
    let mut batches = Vec::new();
    while calls.peek().is_some() {
        let batch = calls.by_ref().take(CALLS_AT_ONCE).collect();
        batches.push(api::transactions().utility().batch_all(batch));
    }
    batches
}

pub fn cancelling(contract: ContractId) -> RuntimeCall {
    RuntimeCall::Contracts(Call::cancel { contract, reason: CancelReason::Cancelled })
}

fn sum(one: Rates, other: Rates) -> Rates {
    let (usd, extra) = (one.usd.saturating_add(other.usd), one.extra.saturating_add(other.extra));
    Rates { usd, extra }
}

/// Waits so long until all of these run; each goes from the list as soon as it does. What their nodes tell this device
/// meanwhile goes into the error.
pub async fn await_all(
    session: &Session,
    device: &DeviceFile,
    twin: TwinId,
    awaited: &mut Vec<Awaited>,
    limit: Duration,
) -> Result<Finished> {
    note(&format!("waiting for {}", counted(awaited.len() as u64, "contract")), session.json);
    let heard = Heard::default();
    let contracts = awaited.iter().map(|awaited| (awaited.contract, awaited.version)).collect();
    let waits = timeout(limit, all_run(session, twin, awaited, &heard));
    heard.during(session, device, twin, contracts, waits).await.unwrap_or(Ok(Finished::Late))
}

/// One read of all contracts for each block, however many are awaited.
async fn all_run(
    session: &Session,
    twin: TwinId,
    awaited: &mut Vec<Awaited>,
    heard: &Heard,
) -> Result<Finished> {
    let (count, mut done) = (awaited.len(), 0);
    let mut heads = session.grid.follow().await?;
    while !awaited.is_empty() {
        let at = heads.next().await.context("the connection to the chain ended; the parts stay open")??;
        let open = at.contracts_of_twin(twin).await?;
        let status_of = |contract| open.iter().find(|open| open.contract == contract).map(|open| open.status);
        let mut index = 0;
        while let Some(asked) = awaited.get(index) {
            match outcome(&at, asked, status_of(asked.contract)).await? {
                Settled::Waits => index += 1,
                Settled::Runs => {
                    done += 1;
                    note(&format!("{} runs ({done} of {count})", asked.text()), session.json);
                    awaited.remove(index);
                }
                Settled::Failed(error) => {
                    let error = heard.explain(asked.contract, asked.deployment.as_ref(), error);
                    return Ok(Finished::Failed(error.context(format!("{} doesn't run", asked.text()))));
                }
            }
        }
    }
    Ok(Finished::AllRun)
}

async fn outcome(at: &GridAt, asked: &Awaited, status: Option<ContractStatus>) -> Result<Settled> {
    match (status, asked.version) {
        (Some(ContractStatus::Created), _) => Ok(Settled::Waits),
        (_, Some(version)) => settled_update(at, asked.contract, version).await,
        (Some(_), None) => Ok(Settled::Runs),
        (None, None) => settled(at, asked.contract).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        application::steps::tests::{running, state},
        commands::nodes::tests::offer,
    };

    fn line(part: &str, fate: Fate) -> Line {
        let there = running(7, part, state(part, 16 << 20, json!({})));
        Line { rate: Some(103_750_000), ..Line::of(&there, fate) }
    }

    #[test]
    fn a_plan_says_what_is_done_for_each_part() {
        let difference = Difference { path: "public_ips".into(), old: Some(json!(0)), new: Some(json!(1)) };
        let update = Line { differences: vec![difference], ..line("web", Fate::Update) };
        let new = Line { rate: Some(103_750_000), ..Line::new("cache", Some(3)) };
        let lines =
            [new, update, line("db", Fate::Keep), line("old", Fate::Stray), line("older", Fate::Cancel)];
        let expected = "  cache  new on node 3, 0.010375 USD per hour\n  \
             web    another version of contract 7 on node 3, 0.010375 USD per hour\n           \
             public_ips: 0 -> 1\n  \
             db     contract 7 on node 3 stays as it is, 0.010375 USD per hour\n  \
             old    contract 7 on node 3 is no part of the file; --prune cancels it, 0.010375 USD per hour\n  \
             older  contract 7 on node 3 is cancelled: its disks are gone for good, 0.010375 USD per hour";
        assert_eq!(table(&lines), expected);
        let expected = "web: contract 7 on node 3\n  public_ips: 0 -> 1";
        assert_eq!(
            (lines[1].difference().as_str(), Line::new("a", None).difference().as_str()),
            (expected, "a: new")
        );
        let value = lines[1].value();
        assert_eq!((&value["change"], &value["differences"][0]["new"]), (&json!("update"), &json!(1)));
    }

    #[test]
    fn only_a_new_part_needs_the_node_that_is_named() {
        let part = Part { node: Some(9), ..Part::default() };
        let parts = [("db".to_owned(), part)].into();
        let shop = Application { version: 1, name: "shop".into(), spread: None, parts };
        let offers = [offer(3)];
        let error = ensure_nodes(&shop, &[], &offers).unwrap_err().to_string();
        assert!(error.starts_with("part \"db\": no node has the id 9"), "{error}");
        let there = running(7, "db", state("db", 16 << 20, json!({})));
        assert!(ensure_nodes(&shop, &[there], &offers).is_ok());
        assert!(ensure_nodes(&shop, &[], &[offer(9)]).is_ok());
    }

    #[test]
    fn rates_of_parts_that_go_and_stay_are_told_apart() {
        let rates = Rates { usd: 5, extra: 1 };
        let there = || Running { rates, ..running(7, "db", state("db", 16 << 20, json!({}))) };
        let mut draft = Draft::default();
        draft.keep(&there());
        draft.leave_out(&there(), false);
        assert_eq!((draft.before, draft.after, draft.calls.len()), (sum(rates, rates), sum(rates, rates), 0));
        draft.leave_out(&there(), true);
        assert_eq!((draft.after, draft.calls.len()), (sum(rates, rates), 1));
        assert_eq!(draft.before, Rates { usd: 15, extra: 3 });
    }

    #[test]
    fn calls_go_in_batches_that_a_block_holds() {
        let calls = |count: u64| (0..count).map(cancelling).collect::<Vec<_>>();
        assert_eq!([0, 1, 100, 101, 250].map(|count| batched(calls(count)).len()), [0, 1, 1, 2, 3]);
    }

    #[test]
    fn what_an_earlier_run_left_is_awaited() {
        let there = || running(7, "db", state("db", 16 << 20, json!({})));
        let version = |running: Running| Awaited::of(&running).map(|awaited| awaited.version);
        assert_eq!(version(there()), None);
        assert_eq!(version(Running { is_deployed: false, ..there() }), Some(None));
        assert_eq!(version(Running { pending: Some(2), ..there() }), Some(Some(2)));
        assert_eq!(version(Running { is_deployed: false, pending: Some(2), ..there() }), Some(None));
    }

    #[test]
    fn environment_is_a_secret_unless_all_is_plain() {
        let document = json!({ "version": 1, "name": "shop", "parts": { "web": { "workloads": [
            { "name": "web", "type": "zmachine", "data": { "image": "docker.io/a/b:1", "cpu": 1,
              "memory": 16_777_216, "env": { "TOKEN": "sesame" } } }] } } });
        let json: tfgrid_client::deployment::Json = serde_json::from_value(document).unwrap();
        let application = Application::read_loosely(&json, &json).unwrap();
        let secrets = |is_plain| states(&application, is_plain)["web"].deployment.secrets.is_some();
        assert_eq!((secrets(false), secrets(true)), (true, false));
    }
}
