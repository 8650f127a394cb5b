// SPDX-License-Identifier: Apache-2.0
//! `threebot update`

use super::{
    deploy::{Pinning, Settled, Waiting, planned, running},
    event,
    funds::Funding,
};
use crate::{
    application::ensure_ranges,
    cli::Global,
    consent::{Consent, dry_run},
    contract::{self, Pending, Rejected, own_contract},
    deployment::{DeploymentFile, Reservation},
    device::DeviceFile,
    foreseen::{self, Purse},
    heard::Heard,
    output::{Answer, note},
    peer, pins,
    plan::{Plan, Replaced},
    sealing::{Identity, Sealing, unopened},
    session::Session,
    source::Source,
};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::time::{Duration, Instant};
use subxt::transactions::Payload;
use tfgrid_client::{
    GridAt,
    api::{self, runtime_types::pallet_grid_contracts::types::ContractKind},
    deployment::{Deployment, Rejection},
    primitives::{
        Body, ContractId, FailureCode, NodeId, Rates, Resources, TwinId, UsdRate,
        views::{ContractStatus, NodeOffer, Target, TwinContract},
    },
    sealing::SealKey,
    units::parse_id,
};
use tokio::time::timeout;

/// Limit for a node to say whether the first version runs.
const SAID_WITHIN: Duration = Duration::from_secs(10);
/// Limit for its report of that to be on the chain.
const REPORTED_WITHIN: Duration = Duration::from_secs(60);

/// Let a contract's node run another version of its deployment
///
/// Machines that differ are stopped for it and start anew, with their volumes; the others go on. If the new version
/// doesn't come to run, the node goes back to the old one.
///
/// A version that the node hasn't deployed yet is replaced. What it reserved beside the active one is paid for: ten
/// minutes of it at least. If it is the first one, there is none to go back to: a new one that can't run closes the
/// contract. So if the first one runs and isn't reported yet, its report is awaited for up to a minute, also with
/// --no-wait.
/// A machine or volume that is the same in both versions stays as it is; volumes always keep their content.
#[derive(Args)]
#[command(after_help = "\
Examples:
  threebot update 7 -f site.yaml              another version of contract 7
  threebot update 7 -f site.yaml --dry-run    see the cost; send nothing
  threebot update 7 -f site.yaml --sru 20GiB --yes")]
pub struct Update {
    /// The contract's id
    #[arg(value_parser = parse_id::<ContractId>)]
    contract: ContractId,
    #[command(flatten)]
    next: NextVersion,
    #[command(flatten)]
    pinning: Pinning,
    #[command(flatten)]
    waiting: Waiting,
    /// Check everything and show what it would cost, but send nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    device: DeviceFile,
    #[command(flatten)]
    consent: Consent,
}

/// The version that a contract is to have.
#[derive(Args)]
pub struct NextVersion {
    #[command(flatten)]
    pub deployment: DeploymentFile,
    /// Public IPv4 addresses in all [default: as many as it has, or as machines ask for]
    #[arg(long)]
    ips: Option<u8>,
    #[command(flatten)]
    pub sealing: Sealing,
    #[command(flatten)]
    pub identity: Identity,
}

impl NextVersion {
    /// How many public addresses it has, if the contract has so many at present.
    pub fn public_ips(&self, present: u8, deployment: &Deployment) -> u8 {
        let asked = deployment.public_ips().try_into().unwrap_or(u8::MAX);
        self.ips.unwrap_or_else(|| present.max(asked))
    }
}

impl Update {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let source = self.next.deployment.source()?;
        let reservation = self.next.deployment.reservation(&source)?;
        let key = self.next.identity.read()?;
        let session = Session::open(global).await?;
        let started = Instant::now();
        let contract = self.contract;
        if !self.dry_run {
            until_reported(&session, &self.device, contract).await?;
        }
        let Change { plan, call, twin, is_first, deployment } =
            self.plan(&session, &source, reservation, key.as_ref()).await?;
        if self.dry_run {
            return dry_run(&session, &plan);
        }
        let Some(call) = call else { return planned(&session, contract, &plan, started).await };
        let deposit = self.consent.ask_for(&session, &plan)?;
        let included = session.submit_after(deposit, "update", &call).await?;
        let version = event::<api::contracts::events::UpdateRequested>(&included, "update")?.version;
        if !self.waiting.no_wait {
            note(&format!("waiting until version {version} of contract {contract} runs"), session.json);
        }
        let heard = Heard::default();
        let stands = if is_first { "the contract stays open" } else { "the old version still runs" };
        let late = format!("version {version} of contract {contract} isn't deployed yet; {stands}");
        let done = async {
            if is_first {
                // Maybe the version before this one.
                running(&session, contract).await?;
            }
            updated(&session, contract, version).await
        };
        let wait = self.waiting.wait(&session, contract, &late, done);
        let waited = if self.waiting.no_wait {
            wait.await
        } else {
            heard.during(&session, &self.device, twin, vec![(contract, Some(version))], wait).await
        };
        waited.map_err(|error| heard.explain(contract, Some(&deployment), error))?;
        planned(&session, contract, &plan, started).await
    }

    async fn plan(
        &self,
        session: &Session,
        source: &Source,
        reservation: Reservation,
        key: Option<&SealKey>,
    ) -> Result<Change<impl Payload>> {
        let contract = self.contract;
        let at = session.grid.finalized().await?;
        let twin = session.twin(&at).await?;
        let present = Present::read(&at, twin, contract).await?;
        let (node, is_first) = (present.node, present.is_first);
        let offer = foreseen::online_node(&at, node).await?;
        let public_ips = self.next.public_ips(present.public_ips, &reservation.deployment);
        present.ensure_served(&at, twin, &offer, &reservation, public_ips).await?;
        let rate = at.quote(node, reservation.resources, public_ips).await?;
        let rate = rate.with_context(|| foreseen::no_price(node))?;
        let plan = present.plan(&at, twin, rate).await?;
        let active = present.active(&at, twin, key).await?;
        let (reservation, unpinned) = pins::pinned(reservation, active.as_ref(), self.pinning.no_pin).await?;
        let prepared = self.next.sealing.prepare(&at, node, twin, &reservation).await?;
        if present.is(&prepared.body, &reservation, public_ips) {
            // Another version of the same would cost a fee.
            let plan = plan.with_note("it runs this version already: nothing changes");
            return Ok(Change { plan, call: None, twin, is_first, deployment: reservation.deployment });
        }
        let is_readable = key.is_some() || !matches!(present.body, Some(Body::Sealed(_)));
        // Of what can't be read, no site is known to be new.
        let active_sites = if is_readable { active.as_ref() } else { Some(&reservation.deployment) };
        let sites = foreseen::ensure_sites(&at, twin, node, &reservation.deployment, active_sites).await;
        let sites = sites.map_err(|error| source.located_error(error))?;
        let has_traffic = at.traffic_left(contract).await? > 0;
        let buy = format!("`threebot traffic {contract} --gb 10`");
        let slow = foreseen::slow_note(&reservation.deployment, has_traffic, &buy);
        let mut plan = slow.into_iter().chain(sites).chain(unpinned).fold(plan, Plan::with_note);
        if is_first {
            plan = plan
                .with_note("if it can't run, the contract closes: no version is known to run to go back to");
        } else {
            let unchecked = check_volumes(active.as_ref(), is_readable, &reservation.deployment)?;
            plan = unchecked.into_iter().fold(plan, Plan::with_note);
        }
        present.ensure_room(&at, &offer, &reservation, public_ips).await?;
        let deposit = at.body_deposit(prepared.body.bytes().len())?;
        let plan = plan.with_note(prepared.note.clone());
        let call = api::transactions().contracts().update_node_contract(
            contract,
            reservation.resources.into(),
            prepared.for_chain(),
            public_ips,
            reservation.networks,
            rate,
        );
        let fee = session.fee("update", &call).await?;
        let pending = present.pending.as_ref();
        let returned = pending.and_then(|pending| pending.deposit).unwrap_or(0);
        let purse = Purse::read(&at, session.account()?).await?.with(returned);
        let plan = plan.holding(deposit, fee, purse)?.with_note(deposit_note(pending));
        Ok(Change { plan, call: Some(call), twin, is_first, deployment: reservation.deployment })
    }
}

/// Waits until it is on the chain that a first version runs, where its node says that it does. Else the version would be
/// paid for as one that never ran, and the next one had none to go back to. A node that doesn't answer delays nothing
/// further.
async fn until_reported(session: &Session, device: &DeviceFile, contract: ContractId) -> Result<()> {
    let at = session.grid.finalized().await?;
    let first = Pending::read(&at, contract).await?;
    let (Some(Pending { version, deposit: None, .. }), Ok(device)) = (first, device.read()) else {
        return Ok(());
    };
    let asked = timeout(SAID_WITHIN, peer::connected(&at, contract, &device, session.json)).await;
    let Ok(Ok(connected)) = asked else { return Ok(()) };
    let runs = connected.status.ready && connected.status.version == version;
    connected.done(Ok(())).await?;
    if !runs {
        return Ok(());
    }
    let text = format!("version {version} of contract {contract} runs: waiting for the report of it");
    note(&text, session.json);
    timeout(REPORTED_WITHIN, running(session, contract)).await.unwrap_or(Ok(()))
}

/// A contract before its update.
struct Present {
    contract: ContractId,
    node: NodeId,
    resources: Resources,
    public_ips: u8,
    rates: Rates,
    /// Whether no version runs yet.
    is_first: bool,
    pending: Option<Pending>,
    /// Of the active version.
    body: Option<Body<Vec<u8>>>,
}

impl Present {
    /// Fails if it can't have another version.
    async fn read(at: &GridAt, twin: TwinId, contract: ContractId) -> Result<Self> {
        let TwinContract { target, status, rate, extra, .. } = own_contract(at, twin, contract).await?;
        let Target::Node { node, public_ips, resources } = target else {
            bail!("contract {contract} runs nothing that could have another version");
        };
        if let Some(paused) = Funding::read(at, twin).await?.paused() {
            bail!("{paused}; until then no node runs another version");
        }
        Ok(Self {
            contract,
            node,
            resources,
            public_ips,
            rates: Rates { usd: rate, extra },
            is_first: status == ContractStatus::Created,
            pending: Pending::read(at, contract).await?,
            body: at.body(contract).await?,
        })
    }

    /// Fails if the node doesn't serve what the next version needs, or its networks overlap others.
    async fn ensure_served(
        &self,
        at: &GridAt,
        twin: TwinId,
        offer: &NodeOffer,
        next: &Reservation,
        public_ips: u8,
    ) -> Result<()> {
        foreseen::ensure_enough_ips(next.deployment.public_ips(), public_ips)?;
        foreseen::ensure_served(offer, next.features, public_ips.saturating_sub(self.public_ips))?;
        ensure_ranges(at, twin, Some(self.contract), &next.networks.0).await
    }

    /// The plan of an update to a version with this rate.
    async fn plan(&self, at: &GridAt, twin: TwinId, rate: UsdRate) -> Result<Plan> {
        let Self { contract, node, rates, .. } = self;
        let what = format!("update contract {contract} on node {node}");
        let plan = Plan::for_change(at, twin, what, *rates, Rates { usd: rate, ..*rates }).await?;
        Ok(match &self.pending {
            Some(pending) => plan.replacing(&replaced(at, *contract, *rates, pending).await?),
            None => plan,
        })
    }

    /// What its active version runs, as far as it can be read here.
    async fn active(&self, at: &GridAt, twin: TwinId, key: Option<&SealKey>) -> Result<Option<Deployment>> {
        let contract = self.contract;
        match self.body.as_ref().map(|body| opened(body, key)).transpose() {
            Err(refused) if refused.code == FailureCode::BodyUnsupported => {
                Err(unopened(at, twin, contract, key).await?)
            }
            read => Ok(read.with_context(|| format!("the body of contract {contract}"))?.flatten()),
        }
    }

    /// Whether it runs this version already. Never, if it is sealed: no body is sealed to the same bytes twice.
    fn is(&self, body: &Body<Vec<u8>>, next: &Reservation, public_ips: u8) -> bool {
        let reserves_the_same = (self.resources, self.public_ips) == (next.resources, public_ips);
        self.body.as_ref() == Some(body) && self.pending.is_none() && reserves_the_same
    }

    /// Fails if the node has too little left beside what it has reserved for the contract.
    async fn ensure_room(
        &self,
        at: &GridAt,
        offer: &NodeOffer,
        next: &Reservation,
        public_ips: u8,
    ) -> Result<()> {
        let pending = self.pending.as_ref();
        let reserved = pending.map_or(self.resources, |pending| self.resources.max(&pending.resources));
        let free = offer.free.checked_add(&reserved).unwrap_or(offer.total);
        foreseen::ensure_room(self.node, &next.resources, &free)?;
        let held_ips = at.ips_of_contract(self.contract).await?;
        foreseen::ensure_ips(at, offer, usize::from(public_ips).saturating_sub(held_ips)).await
    }
}

/// What an update would do.
struct Change<Call> {
    plan: Plan,
    /// `None` where it would change nothing.
    call: Option<Call>,
    /// The contract's owner.
    twin: TwinId,
    /// Whether no version runs yet.
    is_first: bool,
    deployment: Deployment,
}

/// The version of a contract that another one replaces. `present` are the contract's rates.
async fn replaced(at: &GridAt, contract: ContractId, present: Rates, pending: &Pending) -> Result<Replaced> {
    let is_first = pending.deposit.is_none();
    let rates = if is_first { present } else { at.pending_rates(contract).await? };
    Ok(Replaced { version: pending.version, rates, reserved_ms: pending.reserved_ms(), is_first })
}

/// What a body runs, as far as it can be read here and is a deployment.
fn opened(body: &Body<Vec<u8>>, key: Option<&SealKey>) -> Result<Option<Deployment>, Rejection> {
    let deployment = match (body, key) {
        (Body::Plain(plain), _) => Deployment::parse(plain),
        (Body::Sealed(sealed), Some(key)) => Deployment::parse(&key.open(sealed)?),
        (Body::Sealed(_), None) => return Ok(None),
    };
    Ok(deployment.ok())
}

/// Fails if a volume of the version that runs can't become what it is in the next one. Says so where that isn't known:
/// what can be read and isn't a deployment has no volumes.
fn check_volumes(
    active: Option<&Deployment>,
    is_readable: bool,
    next: &Deployment,
) -> Result<Option<&'static str>> {
    match active {
        Some(active) => next.check_follows(active).context("the node would refuse this version")?,
        None if !is_readable && next.volumes().next().is_some() => {
            return Ok(Some(
                "the version that runs is sealed, and replaced unread: with --identity it is checked that no volume \
                 shrinks or moves",
            ));
        }
        None => {}
    }
    Ok(None)
}

/// When the deposits of earlier versions are returned.
fn deposit_note(pending: Option<&Pending>) -> String {
    match pending {
        None => "the deposit of the old version is returned when the new one runs".into(),
        Some(Pending { version, deposit: None, .. }) => {
            format!("the deposit of version {version} is returned when the new version replaces it")
        }
        Some(Pending { version, .. }) => format!(
            "the deposit of version {version} is returned at once, and that of the one that runs when the new one does"
        ),
    }
}

/// Waits until another version of a deployed contract runs. Fails if the node rejects it or doesn't answer for it.
async fn updated(session: &Session, contract: ContractId, version: u32) -> Result<()> {
    let mut heads = session.grid.follow().await?;
    while let Some(at) = heads.next().await {
        match settled_update(&at?, contract, version).await? {
            Settled::Waits => {}
            Settled::Runs => return Ok(()),
            Settled::Failed(error) => return Err(error),
        }
    }
    bail!("the connection to the chain ended while waiting for version {version} of contract {contract}")
}

/// How far another version of a deployed contract is.
pub async fn settled_update(at: &GridAt, contract: ContractId, version: u32) -> Result<Settled> {
    let Some(record) = at.contract(contract).await? else {
        let closed = at.closed(contract).await?.ok_or_else(|| contract::unknown(contract))?;
        return Ok(Settled::Failed(contract::ended(at, contract, &closed.reason).await?));
    };
    let ContractKind::Node(deployment) = record.kind else {
        bail!("contract {contract} runs no deployment");
    };
    if deployment.version == version {
        return Ok(Settled::Runs);
    }
    if let Some(failure) = at.failure(contract).await?.filter(|failure| failure.version == version) {
        let what = format!("version {version} can't run; the old version {} still runs", deployment.version);
        return Ok(Settled::Failed(Rejected::new(what, failure).into()));
    }
    if deployment.pending.is_none() && deployment.last_version >= version {
        return Ok(Settled::Failed(anyhow::anyhow!(
            "the node didn't answer for version {version} in time; the old version {} still runs",
            deployment.version
        )));
    }
    Ok(Settled::Waits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::tests::pending;
    use tfgrid_client::sealing::seal;

    fn data(mib: u64) -> Vec<u8> {
        format!(
            r#"{{"version":1,"workloads":[{{"name":"data","type":"zmount","data":{{"size":{}}}}}]}}"#,
            mib << 20
        )
        .into_bytes()
    }

    #[test]
    fn a_volume_is_checked_against_the_version_that_runs() {
        let key = SealKey::new(&[7; 32]).unwrap();
        let sealed = Body::Sealed(seal(&data(32), &[key.recipient()]).unwrap());
        let check = |body: &Body<Vec<u8>>, mib, key: Option<&SealKey>| {
            let is_readable = key.is_some() || matches!(body, Body::Plain(_));
            let next = Deployment::parse(&data(mib)).unwrap();
            opened(body, key)
                .map_err(anyhow::Error::new)
                .and_then(|active| check_volumes(active.as_ref(), is_readable, &next))
                .map_err(|error| format!("{error:#}"))
        };
        for (active, key) in [(&Body::Plain(data(32)), None), (&sealed, Some(&key))] {
            assert_eq!(check(active, 32, key), Ok(None));
            let refused = check(active, 16, key).unwrap_err();
            assert!(refused.contains("/workloads/0/data/size: a volume can't shrink"), "{refused}");
        }
        assert!(check(&sealed, 16, None).unwrap().unwrap().contains("--identity"));
        let other = SealKey::new(&[8; 32]).unwrap();
        let refused = check(&sealed, 16, Some(&other)).unwrap_err();
        assert!(refused.contains("isn't sealed to this key"), "{refused}");
        assert_eq!(check(&Body::Plain(b"{".to_vec()), 16, None), Ok(None));
    }

    #[test]
    fn deposits_return_at_once_where_a_version_is_replaced() {
        assert!(deposit_note(None).ends_with("when the new one runs"));
        let first = "the deposit of version 2 is returned when the new version replaces it";
        assert_eq!(deposit_note(Some(&pending(None))), first);
        let update = deposit_note(Some(&pending(Some(5))));
        assert!(update.contains("version 2 is returned at once, and that of the one that runs"), "{update}");
    }
}
