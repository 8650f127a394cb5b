// SPDX-License-Identifier: Apache-2.0
//! `threebot node`

use super::{event, farm::ensure_own};
use crate::{
    cli::Global,
    closing::calendar_time,
    consent::Consent,
    contract::size_text,
    foreseen::Foreseen,
    output::{Answer, counted},
    session::Session,
    time::{moment, stretch},
};
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde_json::{Value, json};
use std::time::Duration;
use tfgrid_client::{
    GridAt, api,
    primitives::{
        NodeId, UnixSeconds, UsdRate,
        views::{NodeContract, NodeOffer},
    },
    units::{format_tft, format_usd, parse_duration, parse_id, parse_rate},
};

/// Grid time goes on by so much until the call is in a block, in milliseconds.
const SLACK_MS: u64 = 60_000;

#[derive(Subcommand)]
pub enum Node {
    /// Let your node take no new contracts, and close its contracts after a time
    Drain {
        /// The node's id
        #[arg(value_parser = parse_id::<NodeId>)]
        node: NodeId,
        /// When its contracts close, such as 7d: the chain asks for some notice
        #[arg(long = "in", value_name = "TIME", default_value = "7d", value_parser = parse_duration)]
        within: Duration,
        /// Why, for its tenants
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Let your node take contracts again
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
    Fee {
        /// The node's id
        #[arg(value_parser = parse_id::<NodeId>)]
        node: NodeId,
        /// In USD per hour, beside the list price; 0 for none
        #[arg(value_name = "USD", value_parser = parse_rate)]
        fee: UsdRate,
    },
}

impl Node {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        match self {
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

async fn drain(
    session: &Session,
    node: NodeId,
    within: Duration,
    reason: String,
    consent: &Consent,
) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    let contracts = own_offer(session, &at, node).await?.contracts;
    let closes_at = (at.timestamp_ms().await? / 1_000).saturating_add(within.as_secs());
    let when = format!("at {} (in {})", moment(closes_at), stretch(within.as_secs()));
    let closing = counted(contracts.into(), "contract");
    consent.ask(
        session,
        &format!("node {node} will take no new contracts, and what it has ({closing}) will close {when}"),
    )?;
    let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    let deadline = at.grid_info().await?.grid_now.saturating_add(within_ms).saturating_add(SLACK_MS);
    let reason = api::runtime_types::bounded_collections::bounded_vec::BoundedVec(reason.into_bytes());
    session.submit("node drain", &api::transactions().nodes().drain(node, deadline, reason)).await?;
    let text = format!("node {node} drains; {closing} to close {when}");
    Ok(Answer::new(text, json!({ "node": node, "contracts": contracts, "closes_at": closes_at })))
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
    use crate::commands::nodes::tests::offer;
    use tfgrid_client::primitives::{Resources, units::GIB};

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
