// SPDX-License-Identifier: Apache-2.0
//! Lets nodes run deployments, and new versions of them.

use super::{contracts, event};
use crate::{
    cli::{Deploy, Patience, Update},
    document::Plan,
    output::Answer,
    session::Session,
    spend::Spend,
};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::time::Instant;
use tfgrid_client::{
    At, api,
    primitives::{
        ContractId, TwinId,
        views::{Claim, ContractStatus, TwinContract},
    },
};

pub async fn run(session: &Session, args: Deploy, plan: Plan) -> Result<Answer> {
    let started = Instant::now();
    let at = session.grid.finalized().await?;
    let twin = session.twin(&at).await?;
    let Some(rate) = at.quote(args.node, plan.resources, args.ips).await? else {
        bail!("no node has the id {}", args.node);
    };
    let traffic = match args.traffic_gb {
        0 => 0,
        gb => at.traffic_cost(twin, args.node, gb).await?.context("the chain has no price for traffic")?,
    };
    let spend = Spend::look(&at, twin, format!("deploy on node {}", args.node), rate, 0)
        .await?
        .with_traffic(args.traffic_gb, traffic);
    spend.agree(session, &args.consent)?;
    let call = api::transactions().contracts().create_node_contract(
        args.node,
        plan.resources.into(),
        api::runtime_types::tfgrid_primitives::body::Body::Plain(plan.body),
        args.ips,
        api::runtime_types::bounded_collections::bounded_vec::BoundedVec(Vec::new()),
        args.traffic_gb,
        // What was quoted is what is paid, or nothing is.
        rate,
    );
    let included = session.submit("deploy", &call).await?;
    let created = event::<api::contracts::events::NodeContractCreated>(&included, "deploy")?;
    if args.patience.no_wait {
        let text = format!("contract {} on node {}: reserved", created.contract, args.node);
        let value = json!({
            "contract": created.contract, "node": args.node, "state": "created", "plan": spend.value(),
        });
        return Ok(Answer::new(text, value));
    }
    in_time(created.contract, &args.patience, running(session, created.contract)).await?;
    shown(session, created.contract, started, &spend).await
}

pub async fn update(session: &Session, args: Update, plan: Plan) -> Result<Answer> {
    let started = Instant::now();
    let contract = args.contract;
    let at = session.grid.finalized().await?;
    let twin = session.twin(&at).await?;
    let TwinContract { claim, rate: before, .. } = own_contract(&at, twin, contract).await?;
    let Claim::Node { node, public_ips, .. } = claim else {
        bail!("contract {contract} runs nothing that could have another version");
    };
    let rate = at.quote(node, plan.resources, public_ips).await?;
    let rate = rate.with_context(|| format!("node {node} is gone"))?;
    let what = format!("update contract {contract} on node {node}");
    let spend = Spend::look(&at, twin, what, rate, before).await?;
    spend.agree(session, &args.consent)?;
    let body = api::runtime_types::tfgrid_primitives::body::Body::Plain(plan.body);
    let call =
        api::transactions().contracts().update_node_contract(contract, plan.resources.into(), body, rate);
    let included = session.submit("update", &call).await?;
    let asked = event::<api::contracts::events::UpdateRequested>(&included, "update")?;
    if args.patience.no_wait {
        let text = format!("contract {contract}: node {node} was asked for version {}", asked.version);
        let value = json!({
            "contract": contract, "node": node, "version": asked.version, "state": "pending",
            "plan": spend.value(),
        });
        return Ok(Answer::new(text, value));
    }
    in_time(contract, &args.patience, updated(session, contract, asked.version)).await?;
    shown(session, contract, started, &spend).await
}

pub async fn own_contract(at: &At, twin: TwinId, contract: ContractId) -> Result<TwinContract> {
    let contracts = at.contracts_of_twin(twin).await?;
    let found = contracts.into_iter().find(|own| own.contract == contract);
    found.with_context(|| format!("twin {twin} has no open contract with the id {contract}"))
}

async fn shown(session: &Session, contract: ContractId, started: Instant, spend: &Spend) -> Result<Answer> {
    let more: Value = json!({ "seconds": started.elapsed().as_secs_f64(), "plan": spend.value() });
    contracts::show_with(session, contract, more).await
}

async fn in_time(
    contract: ContractId,
    patience: &Patience,
    waiting: impl std::future::Future<Output = Result<()>>,
) -> Result<()> {
    match tokio::time::timeout(patience.timeout, waiting).await {
        Ok(done) => done,
        Err(_) => bail!(
            "contract {contract} isn't deployed after {} s; it stays open: look at it with `threebot show \
             {contract}`",
            patience.timeout.as_secs(),
        ),
    }
}

/// Waits until a contract runs, or says why it never will.
async fn running(session: &Session, contract: ContractId) -> Result<()> {
    let mut heads = session.grid.follow().await?;
    while let Some(at) = heads.next().await {
        match at?.contract_status(contract).await? {
            Some(ContractStatus::Created) | None => {}
            Some(
                ContractStatus::Deployed { .. }
                | ContractStatus::Paused { .. }
                | ContractStatus::NodeOffline { .. },
            ) => return Ok(()),
            Some(ContractStatus::Closed { reason, .. }) => {
                bail!("contract {contract} was closed before it ran: {}", contracts::reason_text(&reason))
            }
        }
    }
    bail!("the connection to the chain ended while waiting for contract {contract}; it stays open")
}

/// Waits until a version of a contract runs, or says why it never will. The events tell why; where a
/// block was missed, the contract still tells whether.
async fn updated(session: &Session, contract: ContractId, version: u32) -> Result<()> {
    let mut heads = session.grid.follow().await?;
    while let Some(at) = heads.next().await {
        let at = at?;
        let Some(record) = at.contract(contract).await? else {
            let reason = at.closed(contract).await?.map(|closed| contracts::reason_text(&closed.reason));
            bail!(
                "contract {contract} was closed before version {version} ran: {}",
                reason.unwrap_or_default()
            );
        };
        let api::runtime_types::pallet_contracts::types::ContractKind::Node(deployment) = record.kind else {
            bail!("contract {contract} runs no deployment");
        };
        if deployment.version == version {
            return Ok(());
        }
        if let Some(why) = contracts::rejection(&at, contract, version).await? {
            bail!("version {version} can't run: {why}; version {} still does", deployment.version);
        }
        if deployment.pending.is_none() && deployment.last_version >= version {
            bail!(
                "the node didn't answer for version {version} in time; version {} still runs",
                deployment.version
            );
        }
    }
    bail!("the connection to the chain ended while waiting for version {version} of contract {contract}")
}
