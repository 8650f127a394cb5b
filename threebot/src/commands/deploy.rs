// SPDX-License-Identifier: Apache-2.0
//! `threebot deploy`

use super::{event, status};
use crate::{
    cli::Global,
    consent::{Consent, dry_run},
    contract::{self, Pending, merge},
    deployment::{DeploymentFile, Reservation},
    device::DeviceFile,
    foreseen::{self, Purse},
    output::{Answer, note, row},
    peer,
    plan::Plan,
    sealing::Sealing,
    session::Session,
    time::stretch,
};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use std::{
    future::pending,
    time::{Duration, Instant},
};
use subxt::transactions::Payload;
use tfgrid_client::{
    api,
    peer::protocol::Status,
    primitives::{ContractId, NodeId, Rates, views::ContractStatus},
    units::{parse_duration, parse_id},
};

/// Reserve capacity on a node and let it run a deployment
#[derive(Args)]
#[command(after_help = "\
A deployment with an environment or registry credentials is sealed: only its node, you and your bots can read it. You
can if your twin has an encryption key (`threebot twin seal-key`); else keep the file. Any other deployment, and with
--plain each, is read by anyone on the chain.
With `secrets: { db: TEXT }` in the file and `DB_PASSWORD: { secret: db }` in `env`, only the secrets are sealed and the
rest stays readable. `type: zlogs, data: { zmachine: web, output: https://… }` sends the output of a machine to you.
A private image needs `registry: { user: NAME, password: TOKEN }` beside `image`. Use a token that may only read this
image, and revoke it when the contract is closed: the farmer of the node can get at what runs there.
The last line that a failing workload writes becomes public on the chain, too: let it log no secrets.
A machine with `public_ip: true, ports: [80/tcp]` has a public IPv4 address of
which this port is open; `ipv6: true` gives it an IPv6 address. What goes over
them is paid for in advance with --traffic-gb; without that, they are slow.

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

Examples:
  threebot deploy -f site.yaml --node 1            see the cost, confirm, wait
  threebot deploy -f site.yaml --node 1 --dry-run  see the cost; send nothing
  threebot deploy -f site.json --node 1 --yes      go ahead without a question
  threebot deploy -f - --node 1 --no-wait --json   for scripts")]
pub struct Deploy {
    #[command(flatten)]
    pub deployment: DeploymentFile,
    /// The node that is to run it
    #[arg(long, value_parser = parse_id::<NodeId>)]
    node: NodeId,
    /// Public IPv4 addresses to reserve [default: as many as machines ask for]
    #[arg(long)]
    ips: Option<u8>,
    /// GB of public traffic to buy for the contract (10^9 bytes)
    #[arg(long, default_value_t = 0)]
    traffic_gb: u32,
    /// Check everything and show what it would cost, but send nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    sealing: Sealing,
    #[command(flatten)]
    device: DeviceFile,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Args)]
pub struct Waiting {
    /// Don't wait until it runs
    #[arg(long)]
    no_wait: bool,
    /// How long to wait until it runs, such as 90s or 10m
    #[arg(long, default_value = "10m", value_parser = parse_duration)]
    timeout: Duration,
}

impl Deploy {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let reservation = self.deployment.read()?;
        let session = Session::open(global).await?;
        let started = Instant::now();
        let (plan, call) = self.plan(&session, reservation).await?;
        if self.dry_run {
            return dry_run(&session, &plan);
        }
        self.consent.ask_for(&session, &plan)?;
        let included = session.submit("deploy", &call).await?;
        let contract = event::<api::contracts::events::NodeContractCreated>(&included, "deploy")?.contract;
        let late = format!("contract {contract} isn't deployed yet; it stays open");
        let mut told = None;
        let runs = async {
            told = self.until_it_runs(&session, contract, global.json).await?;
            Ok(())
        };
        self.waiting.wait(&session, contract, &late, runs).await?;
        let mut answer = planned(&session, contract, &plan, started).await?;
        if let Some(status) = told {
            merge(&mut answer.value, json!({ "ready": status.ready, "machines": &status.machines }));
            // The chain doesn't know yet how it fares.
            let mut rows = vec![row("contract", &contract.to_string()), row("node", &self.node.to_string())];
            rows.extend(contract::addresses_row(&answer.value));
            answer.text = format!("{}\n{}", rows.join("\n"), status::text(&status));
        }
        Ok(answer)
    }

    /// Waits for whoever tells first that it runs: the node itself, or the chain, some blocks later.
    async fn until_it_runs(
        &self,
        session: &Session,
        contract: ContractId,
        json: bool,
    ) -> Result<Option<Status>> {
        let by_node = async {
            match peer::ready(session, &self.device, self.node, contract, json).await {
                Ok(Some(status)) => Some(status),
                Ok(None) => pending().await,
                Err(error) => {
                    note(
                        &format!("waiting for the chain, since the node doesn't say how it fares: {error:#}"),
                        json,
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

    fn public_ips(&self, reservation: &Reservation) -> Result<u8> {
        let asked = reservation.deployment.public_ips();
        // A deployment has at most 32 workloads.
        let ips = self.ips.unwrap_or(asked.try_into().unwrap_or(u8::MAX));
        foreseen::ensure_enough_ips(asked, ips)?;
        Ok(ips)
    }

    async fn plan(&self, session: &Session, reservation: Reservation) -> Result<(Plan, impl Payload)> {
        let at = session.grid.finalized().await?;
        let twin = session.twin(&at).await?;
        let offer = foreseen::open_node(&at, self.node).await?;
        foreseen::ensure_tenant(&at, &offer, twin).await?;
        foreseen::ensure_place(&at, twin, Some(&offer)).await?;
        foreseen::ensure_room(self.node, &reservation.resources, &offer.free)?;
        let ips = self.public_ips(&reservation)?;
        foreseen::ensure_served(&offer, reservation.features, ips)?;
        foreseen::ensure_ips(&at, &offer, ips.into()).await?;
        let rate = at.quote(self.node, reservation.resources, ips).await?;
        let rate = rate.with_context(|| foreseen::no_price(self.node))?;
        let traffic = match self.traffic_gb {
            0 => 0,
            gb => at.traffic_cost(self.node, gb).await?.context("the chain has no price for traffic")?,
        };
        let prepared = self.sealing.prepare(&at, self.node, twin, &reservation).await?;
        let deposit = at.contract_deposit(prepared.body.bytes().len())?;
        let note = prepared.note.clone();
        let call = api::transactions().contracts().create_node_contract(
            self.node,
            reservation.resources.into(),
            prepared.for_chain(),
            ips,
            reservation.networks,
            self.traffic_gb,
            rate,
        );
        let fee = session.fee("deploy", &call).await?;
        let purse = Purse::read(&at, session.account()?).await?;
        let what = format!("deploy on node {}", self.node);
        let plan = Plan::for_new(&at, twin, what, Rates { usd: rate, extra: 0 })
            .await?
            .with_traffic(self.traffic_gb, traffic)
            .holding(deposit, fee, purse)?;
        Ok((plan.with_note(note), call))
    }
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
                    "after {}: {late}{until}; see `threebot show {contract}`",
                    stretch(self.timeout.as_secs())
                )
            }
        }
    }
}

/// Waits until a contract runs. Fails if it is closed instead.
pub async fn running(session: &Session, contract: ContractId) -> Result<()> {
    let mut heads = session.grid.follow().await?;
    while let Some(at) = heads.next().await {
        let at = at?;
        match at.contract_status(contract).await? {
            Some(ContractStatus::Created) | None => {}
            Some(
                ContractStatus::Deployed { .. }
                | ContractStatus::Paused { .. }
                | ContractStatus::NodeOffline { .. },
            ) => return Ok(()),
            Some(ContractStatus::Closed { reason, .. }) => {
                return Err(contract::ended(&at, contract, &reason).await?);
            }
        }
    }
    bail!("the connection to the chain ended while waiting for contract {contract}; it stays open")
}
