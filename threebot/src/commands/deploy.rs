// SPDX-License-Identifier: Apache-2.0
//! `threebot deploy`

use super::{event, status};
use crate::{
    application::{Ask, Awaited, Finished, Market, Options, Rollout, ensure_ranges, place},
    cli::Global,
    consent::{Consent, dry_run},
    contract::{self, Pending, merge},
    deployment::{DeploymentFile, Reservation},
    device::DeviceFile,
    foreseen::{self, Purse},
    heard::Heard,
    output::{Answer, Usage, note, row},
    peer, pins,
    plan::Plan,
    sealing::{Identity, Sealing},
    session::Session,
    source::Source,
    time::stretch,
};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use std::{
    collections::BTreeMap,
    future::pending,
    time::{Duration, Instant},
};
use subxt::transactions::Payload;
use tfgrid_client::{
    GridAt, api,
    deployment::{Application, Deployment, Part},
    peer::protocol::Status,
    primitives::{ContractId, FarmId, Features, NodeId, Rates, TwinId, UsdRate, views::ContractStatus},
    units::{parse_country, parse_duration, parse_id, parse_rate},
};

/// Reserve capacity and run a deployment on it, or all parts of an application
///
/// An application is a file with several parts, each of which gets a contract. Run again, also after an interruption,
/// it creates the parts that are missing and updates those that differ.
#[derive(Args)]
#[command(after_help = "\
A deployment with an environment or registry credentials is sealed: only its node, you and your bots can read it. You
can if your twin has an encryption key (`threebot twin seal-key`); else keep the file. Any other deployment, and with
--plain each, is read by anyone on the chain.
The tag of an image is replaced by the digest that its registry tells, so that
the same content runs for as long as the file names this tag.
With `secrets: { db: TEXT }` in the file and `DB_PASSWORD: { secret: db }` in `env`, only the secrets are sealed and the
rest stays readable. `type: zlogs, data: { zmachine: web, output: https://… }` sends the output of a machine to you.
A private image needs `registry: { user: NAME, password: TOKEN }` beside `image`. Use a token that may only read this
image, and revoke it when the contract is closed: the farmer of the node can get at what runs there.
The last line that a failing workload writes becomes public on the chain, unless its body is sealed.
A machine with `public_ip: true, ports: [80/tcp]` has a public IPv4 address of
which this port is open; `ipv6: true` gives it an IPv6 address. What goes over
them and over sites is paid for in advance with --traffic-gb; without that, they
are slow.
A site under a name of a gateway needs the name: `threebot name reserve NAME`.

Example of a deployment:
  version: 1
  workloads:
    - { name: data, type: zmount, data: { size: 67108864 } }
    - name: web
      type: zmachine
      data:
        image: docker.io/library/nginx:1.27
        cpu: 1
        memory: 134217728
        mounts: [ { name: data, path: /data } ]

The parts of an application stay readable, so that they are found again; of them only environment and credentials, or
what is in `secrets`, are sealed.

Example of an application (docs/FORMATS.md §4.6 has all fields):
  version: 1
  name: shop
  spread: node
  parts:
    db: { country: BE, workloads: [ … ] }
    web: { near: [ db ], public_ips: 1, workloads: [ … ] }

Examples:
  threebot deploy -f site.yaml --auto              on the cheapest that fits
  threebot deploy -f shop.yaml                     an application
  threebot deploy -f site.yaml --node 1            see the cost, confirm, wait
  threebot deploy -f site.yaml --node 1 --dry-run  see the cost; send nothing
  threebot deploy -f site.json --node 1 --yes      go ahead without a question
  threebot deploy -f - --node 1 --no-wait --json   for scripts")]
pub struct Deploy {
    #[command(flatten)]
    pub wanted: Wanted,
    #[command(flatten)]
    execution: Execution,
}

/// How a plan is carried out.
#[derive(Args)]
pub struct Execution {
    /// Check everything and show what it would cost, but send nothing
    #[arg(long)]
    dry_run: bool,
    /// Leave the other new parts of an application as they are if one doesn't come to run
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    device: DeviceFile,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    consent: Consent,
}

/// What is to run, and where.
#[derive(Args)]
pub struct Wanted {
    #[command(flatten)]
    pub deployment: DeploymentFile,
    #[command(flatten)]
    place: Place,
    /// Public IPv4 addresses to reserve [default: as many as machines ask for]
    #[arg(long)]
    ips: Option<u8>,
    /// GB of public traffic to buy for the contract (10^9 bytes)
    #[arg(long, default_value_t = 0)]
    traffic_gb: u32,
    /// The most that it may cost, in USD per hour; an application with all its parts
    #[arg(long, value_name = "USD", value_parser = parse_rate)]
    max_price: Option<UsdRate>,
    /// Cancel contracts of the application for which its file has no part
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    pinning: Pinning,
    #[command(flatten)]
    sealing: Sealing,
    #[command(flatten)]
    identity: Identity,
}

/// Whether tags are replaced by digests.
#[derive(Args)]
pub struct Pinning {
    /// Leave images by their tags: the node picks what they stand for when it pulls them
    #[arg(long)]
    pub no_pin: bool,
}

/// Where it is to run; parts of an application that say where have their own place.
#[derive(Args)]
pub struct Place {
    /// The node that is to run it
    #[arg(long, value_parser = parse_id::<NodeId>)]
    node: Option<NodeId>,
    /// Only nodes of this farm
    #[arg(long, value_parser = parse_id::<FarmId>)]
    farm: Option<FarmId>,
    /// Only nodes in this country, two letters such as BE
    #[arg(long, value_parser = country)]
    country: Option<String>,
    /// Only certified nodes
    #[arg(long)]
    certified: bool,
    /// Any node: the cheapest that fits
    #[arg(long, conflicts_with = "node")]
    auto: bool,
}

fn country(text: &str) -> Result<String, String> {
    parse_country(text).map(|_| text.to_ascii_uppercase()).map_err(|error| error.to_string())
}

impl Place {
    /// Fails if nothing is said.
    fn ensure_said(&self) -> Result<()> {
        let Self { node, farm, country, certified, auto } = self;
        if node.is_some() || farm.is_some() || country.is_some() || *certified || *auto {
            return Ok(());
        }
        bail!(Usage::new(
            "say where it is to run: --node, --farm, --country, or --auto for the cheapest node that fits"
        ))
    }

    /// A part with this place, where it names none of its own.
    fn over(&self, part: Part) -> Part {
        if part.node.is_some() || part.farm.is_some() || part.country.is_some() {
            return part;
        }
        Part {
            node: self.node,
            farm: self.farm,
            country: self.country.clone(),
            certified: self.certified || part.certified,
            ..part
        }
    }
}

#[derive(Args)]
pub struct Waiting {
    /// Don't wait until it runs
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait until it runs, such as 90s or 10m
    #[arg(long, default_value = "10m", value_parser = parse_duration)]
    pub timeout: Duration,
}

impl Wanted {
    /// What it would come to, with nothing sent.
    pub async fn dry_run(&self, global: &Global) -> Result<Answer> {
        let source = self.deployment.source()?;
        if source.is_application() {
            let (application, options) = (self.application(&source)?, self.options(&source)?);
            let session = Session::open(global).await?;
            return unsent(&session, &Rollout::prepare(&session, application, &options).await?);
        }
        let reservation = self.deployment.reservation(&source)?;
        self.place.ensure_said()?;
        let session = Session::open(global).await?;
        let Planned { plan, .. } = self.plan(&session, &source, reservation).await?;
        dry_run(&session, &plan)
    }

    /// The application in the file, in the places that the command line names.
    pub fn application(&self, source: &Source) -> Result<Application> {
        if self.deployment.has_sizes() || self.ips.is_some() || self.traffic_gb > 0 {
            bail!(Usage::new(format!(
                "{} is an application: --cru, --mru, --sru, --hru, --ips and --traffic-gb are for a single deployment; \
                 its parts have `public_ips`, and reserve what they need",
                source.name
            )));
        }
        let mut application = source.application()?;
        let parts = application.parts.into_iter().map(|(name, part)| (name, self.place.over(part)));
        application.parts = parts.collect();
        Ok(application)
    }

    pub fn options<'a>(&'a self, source: &'a Source) -> Result<Options<'a>> {
        Ok(Options {
            source,
            sealing: &self.sealing,
            key: self.identity.read()?,
            no_pin: self.pinning.no_pin,
            prune: self.prune,
            max_rate: self.max_price,
        })
    }

    fn public_ips(&self, reservation: &Reservation) -> Result<u8> {
        let asked = reservation.deployment.public_ips();
        // A deployment has at most 32 workloads.
        let ips = self.ips.unwrap_or(asked.try_into().unwrap_or(u8::MAX));
        foreseen::ensure_enough_ips(asked, ips)?;
        Ok(ips)
    }

    /// The node that is named, or else the cheapest that fits.
    async fn node(&self, at: &GridAt, twin: TwinId, reservation: &Reservation, ips: u8) -> Result<NodeId> {
        if let Some(node) = self.place.node {
            return Ok(node);
        }
        let name = "the deployment";
        let part = self.place.over(Part { public_ips: ips, ..Part::default() });
        let own = at.contracts_of_twin(twin).await?;
        let (resources, features) = (reservation.resources, reservation.features);
        let market = Market::read(at, &own, ips > 0, features.contains(Features::GATEWAYS)).await?;
        let has_names = reservation.deployment.site_names().next().is_some();
        let asks = [Ask { name, part: &part, resources, features, has_names }];
        let parts = [(name.to_owned(), part.clone())].into();
        let alone = Application { version: 1, name: name.into(), spread: None, parts };
        let nodes = place(&alone, &asks, &BTreeMap::new(), &market)?;
        nodes.into_values().next().context("no node was found")
    }

    async fn plan(
        &self,
        session: &Session,
        source: &Source,
        reservation: Reservation,
    ) -> Result<Planned<impl Payload>> {
        let at = session.grid.finalized().await?;
        let twin = session.twin(&at).await?;
        let ips = self.public_ips(&reservation)?;
        let node = self.node(&at, twin, &reservation, ips).await?;
        let offer = foreseen::open_node(&at, node).await?;
        foreseen::ensure_tenant(&at, &offer, twin).await?;
        foreseen::ensure_place(&at, twin, Some(&offer)).await?;
        foreseen::ensure_room(node, &reservation.resources, &offer.free)?;
        foreseen::ensure_served(&offer, reservation.features, ips)?;
        foreseen::ensure_ips(&at, &offer, ips.into()).await?;
        ensure_ranges(&at, twin, None, &reservation.networks.0).await?;
        let sites = foreseen::ensure_sites(&at, twin, node, &reservation.deployment, None).await;
        sites.map_err(|error| source.located_error(error))?;
        let rate = at.quote(node, reservation.resources, ips).await?;
        let rate = rate.with_context(|| foreseen::no_price(node))?;
        foreseen::ensure_cheap(&format!("a contract on node {node}"), rate, self.max_price)?;
        let traffic = match self.traffic_gb {
            0 => 0,
            gb => at.traffic_cost(node, gb).await?.context("the chain has no price for traffic")?,
        };
        // Registries are asked last: they may take their time.
        let (reservation, unpinned) = pins::pinned(reservation, None, self.pinning.no_pin).await?;
        let prepared = self.sealing.prepare(&at, node, twin, &reservation).await?;
        let deposit = at.contract_deposit(prepared.body.bytes().len())?;
        let note = prepared.note.clone();
        let call = api::transactions().contracts().create_node_contract(
            node,
            reservation.resources.into(),
            prepared.for_chain(),
            ips,
            reservation.networks,
            self.traffic_gb,
            rate,
        );
        let fee = session.fee("deploy", &call).await?;
        let purse = Purse::read(&at, session.account()?).await?;
        let what = format!("deploy on node {node}");
        let plan = Plan::for_new(&at, twin, what, Rates { usd: rate, extra: 0 })
            .await?
            .with_traffic(self.traffic_gb, traffic)
            .holding(deposit, fee, purse)?;
        let slow = foreseen::slow_note(&reservation.deployment, self.traffic_gb > 0, "--traffic-gb 10");
        let plan = slow.into_iter().chain(unpinned).fold(plan.with_note(note), Plan::with_note);
        let domain = at.public_place(node).await?.domain;
        Ok(Planned { node, domain, plan, call, deployment: reservation.deployment })
    }
}

/// A deployment's node and price, and the call that creates its contract.
struct Planned<Call> {
    node: NodeId,
    /// The node's domain for names.
    domain: Option<String>,
    plan: Plan,
    call: Call,
    deployment: Deployment,
}

impl Deploy {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let Execution { dry_run, waiting, consent, .. } = &self.execution;
        if *dry_run {
            return self.wanted.dry_run(global).await;
        }
        let source = self.wanted.deployment.source()?;
        if source.is_application() {
            let (application, options) = (self.wanted.application(&source)?, self.wanted.options(&source)?);
            let session = Session::open(global).await?;
            return self.execution.roll_out(&session, application, &options).await;
        }
        let reservation = self.wanted.deployment.reservation(&source)?;
        self.wanted.place.ensure_said()?;
        let session = Session::open(global).await?;
        let started = Instant::now();
        let Planned { node, domain, plan, call, deployment } =
            self.wanted.plan(&session, &source, reservation).await?;
        let deposit = consent.ask_for(&session, &plan)?;
        let included = session.submit_after(deposit, "deploy", &call).await?;
        let contract = event::<api::contracts::events::NodeContractCreated>(&included, "deploy")?.contract;
        let late = format!("contract {contract} isn't deployed yet; it stays open");
        // Whoever interrupts the wait has to know what to look at.
        note(&format!("contract {contract} is open: waiting until it runs on node {node}"), global.json);
        let (mut told, heard) = (None, Heard::default());
        let runs = async {
            told = self.until_it_runs(&session, node, contract, &heard).await?;
            Ok(())
        };
        let waited = waiting.wait(&session, contract, &late, runs).await;
        heard.goodbye().await;
        waited.map_err(|error| heard.explain(contract, Some(&deployment), error))?;
        let mut answer = planned(&session, contract, &plan, started).await?;
        if let Some(status) = told {
            merge(&mut answer.value, json!({ "ready": status.ready, "machines": &status.machines }));
            let mut rows = vec![row("contract", &contract.to_string()), row("node", &node.to_string())];
            rows.extend(contract::addresses_row(&answer.value));
            if answer.value["state"] == "created" {
                let until = "`threebot ps` says created until the node's report is there, some blocks later";
                rows.push(row("on chain", until));
            }
            answer.text = format!("{}\n{}", rows.join("\n"), status::text(&status));
        }
        let sites = deployment.site_urls(domain.as_deref());
        for url in sites.values() {
            answer.text.push_str(&format!("\n{}", row("site", url)));
        }
        merge(&mut answer.value, json!({ "sites": sites }));
        Ok(answer)
    }

    /// Waits for whoever tells first that it runs: the node itself, or the chain, some blocks later.
    async fn until_it_runs(
        &self,
        session: &Session,
        node: NodeId,
        contract: ContractId,
        heard: &Heard,
    ) -> Result<Option<Status>> {
        let by_node = async {
            match peer::ready(session, &self.execution.device, node, contract, heard).await {
                Ok(Some(status)) => Some(status),
                Ok(None) => pending().await,
                Err(error) => {
                    note(
                        &format!("waiting for the chain, since the node doesn't say how it fares: {error:#}"),
                        session.json,
                    );
                    pending().await
                }
            }
        };
        tokio::select! {
            by_chain = running(session, contract) => by_chain.map(|()| None),
            status = by_node => Ok(status),
        }
    }
}

impl Execution {
    /// All parts of an application.
    pub async fn roll_out(
        &self,
        session: &Session,
        application: Application,
        options: &Options<'_>,
    ) -> Result<Answer> {
        let started = Instant::now();
        let name = application.name.clone();
        let mut rollout = Rollout::prepare(session, application, options).await?;
        if self.dry_run {
            return unsent(session, &rollout);
        }
        let deposit = if rollout.is_done() { None } else { self.consent.ask_for(session, &rollout.plan)? };
        let mut awaited = rollout.submit(session, deposit).await?;
        if !self.waiting.no_wait {
            match rollout.wait(session, &self.device, &mut awaited, self.waiting.timeout).await? {
                Finished::AllRun => {}
                Finished::Failed(error) => {
                    let undone = if self.keep { Vec::new() } else { rollout.undo(session).await? };
                    return Err(error.context(undone_text(&name, &undone)));
                }
                Finished::Late => bail!("{}", late(&name, &awaited, self.waiting.timeout)),
            }
        }
        let mut answer = rollout.answer(session).await?;
        merge(&mut answer.value, json!({ "seconds": started.elapsed().as_secs_f64() }));
        Ok(answer)
    }
}

/// An application's plan that isn't carried out, as the answer.
fn unsent(session: &Session, rollout: &Rollout) -> Result<Answer> {
    let mut answer = dry_run(session, &rollout.plan)?;
    merge(&mut answer.value, rollout.planned());
    Ok(answer)
}

/// What a failed part leaves of the others.
fn undone_text(application: &str, undone: &[ContractId]) -> String {
    if undone.is_empty() {
        return format!("application {application:?} isn't complete; `threebot ps` shows what stands");
    }
    let ids: Vec<String> = undone.iter().map(ToString::to_string).collect();
    format!(
        "application {application:?} isn't complete, and its new contracts were cancelled: {}",
        ids.join(", ")
    )
}

/// Which parts don't run yet.
pub fn late(name: &str, awaited: &[Awaited], timeout: Duration) -> String {
    let parts: Vec<String> = awaited.iter().map(Awaited::text).collect();
    format!(
        "after {} these don't run yet: {}; they stay open, and `threebot wait {name}` goes on waiting",
        stretch(timeout.as_secs()),
        parts.join(", ")
    )
}

/// All about the contract, and the plan that it came from.
pub async fn planned(
    session: &Session,
    contract: ContractId,
    plan: &Plan,
    started: Instant,
) -> Result<Answer> {
    let mut answer = contract::answer(session, contract, None).await?;
    merge(&mut answer.value, json!({ "seconds": started.elapsed().as_secs_f64(), "plan": plan.value() }));
    Ok(answer)
}

impl Waiting {
    /// Waits for the contract, unless nobody wants to. `late` says how things stand when the time is over.
    pub async fn wait(
        &self,
        session: &Session,
        contract: ContractId,
        late: &str,
        done: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        if self.no_wait {
            return Ok(());
        }
        match tokio::time::timeout(self.timeout, done).await {
            Ok(done) => done,
            Err(_) => {
                let pending = Pending::read(&session.grid.finalized().await?, contract).await?;
                let until = pending.map_or_else(String::new, |pending| format!("; {}", pending.text()));
                bail!(
                    "after {}: {late}{until}; `threebot status {contract}` asks the node why",
                    stretch(self.timeout.as_secs())
                )
            }
        }
    }
}

/// How far a version of a contract is.
pub enum Settled {
    Waits,
    Runs,
    Failed(anyhow::Error),
}

/// How far the first version of a contract is.
pub async fn settled(at: &GridAt, contract: ContractId) -> Result<Settled> {
    Ok(match at.contract_status(contract).await? {
        Some(ContractStatus::Created) | None => Settled::Waits,
        Some(
            ContractStatus::Deployed { .. }
            | ContractStatus::Paused { .. }
            | ContractStatus::NodeOffline { .. },
        ) => Settled::Runs,
        Some(ContractStatus::Closed { reason, .. }) => {
            Settled::Failed(contract::ended(at, contract, &reason).await?)
        }
    })
}

/// Waits until a contract runs. Fails if it is closed instead.
pub async fn running(session: &Session, contract: ContractId) -> Result<()> {
    let mut heads = session.grid.follow().await?;
    while let Some(at) = heads.next().await {
        match settled(&at?, contract).await? {
            Settled::Waits => {}
            Settled::Runs => return Ok(()),
            Settled::Failed(error) => return Err(error),
        }
    }
    bail!("the connection to the chain ended while waiting for contract {contract}; it stays open")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    const SHOP: &str = "\
version: 1
name: shop
parts:
  db: { country: BE, workloads: [{ name: data, type: zmount, data: { size: 16777216 } }] }
  web: { workloads: [{ name: data, type: zmount, data: { size: 16777216 } }] }
";

    fn application(text: &str, more: &[&str]) -> Result<Application> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("shop.yaml");
        std::fs::write(&file, text)?;
        let path = file.display().to_string();
        let words = ["threebot", "deploy", "-f", &path].into_iter().chain(more.iter().copied());
        let Command::Deploy(Deploy { wanted, .. }) = Cli::try_parse_from(words)?.command else {
            bail!("not a deployment")
        };
        wanted.application(&wanted.deployment.source()?)
    }

    #[test]
    fn parts_without_a_place_get_that_of_the_command() {
        let shop = application(SHOP, &["--farm", "3", "--certified"]).unwrap();
        assert_eq!((shop.parts["db"].farm, shop.parts["db"].certified), (None, false));
        assert_eq!((shop.parts["web"].farm, shop.parts["web"].certified), (Some(3), true));
    }

    #[test]
    fn options_of_one_deployment_are_refused_for_an_application() {
        for more in [&["--ips", "1"], &["--cru", "2"], &["--traffic-gb", "1"]] {
            let error = application(SHOP, more).unwrap_err().to_string();
            assert!(error.contains("are for a single deployment"), "{error}");
        }
    }

    #[test]
    fn a_wrong_application_is_told_line_and_column() {
        let error = format!("{:#}", application(&SHOP.replace("size", "sise"), &[]).unwrap_err());
        let text = "line 4, column 70: /parts/db/workloads/0/data/sise: the field \"sise\" is unknown (did you mean \
                    \"size\"?)";
        assert!(error.contains(text), "{error}");
    }

    #[test]
    fn what_failed_says_what_was_undone() {
        assert!(undone_text("shop", &[7, 8]).ends_with("new contracts were cancelled: 7, 8"));
        assert!(undone_text("shop", &[]).ends_with("`threebot ps` shows what stands"));
        let awaited = Awaited { part: "db".into(), contract: 7, version: None, deployment: None };
        let text = "after 10 min these don't run yet: db (contract 7); they stay open, \
                    and `threebot wait shop` goes on waiting";
        assert_eq!(late("shop", &[awaited], Duration::from_secs(600)), text);
    }
}
