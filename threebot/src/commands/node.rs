// SPDX-License-Identifier: Apache-2.0
//! `threebot node`

use super::event;
use crate::{
    cli::Global,
    consent::Consent,
    foreseen::Foreseen,
    output::Answer,
    session::Session,
    time::{moment, stretch},
};
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde_json::json;
use std::time::Duration;
use tfgrid_client::{
    GridAt, api,
    primitives::{NodeId, UsdRate, views::NodeOffer},
    units::{format_tft, format_usd, parse_duration, parse_rate},
};

/// Grid time goes on by so much until the call is in a block, in milliseconds.
const SLACK_MS: u64 = 60_000;

#[derive(Subcommand)]
pub enum Node {
    /// Let your node take no new contracts, and close its contracts after a time
    Drain {
        /// The node's id
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
        node: NodeId,
    },
    /// Remove your empty node from the chain; its deposit is returned
    Remove {
        /// The node's id
        node: NodeId,
        #[command(flatten)]
        consent: Consent,
    },
    /// Set the extra fee for renting your node; a higher one counts after the chain's notice
    Fee {
        /// The node's id
        node: NodeId,
        /// In USD per hour, beside the list price; 0 for none
        #[arg(value_name = "USD", value_parser = parse_rate)]
        fee: UsdRate,
    },
}

impl Node {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let session = Session::open(global).await?;
        match self {
            Self::Drain { node, within, reason, consent } => {
                drain(&session, node, within, reason, &consent).await
            }
            Self::CancelDrain { node } => {
                let call = api::transactions().nodes().cancel_drain(node);
                session.submit("node cancel-drain", &call).await?;
                Ok(Answer::new(format!("node {node} takes contracts again"), json!({ "node": node })))
            }
            Self::Remove { node, consent } => remove(&session, node, &consent).await,
            Self::Fee { node, fee } => {
                session.submit("node fee", &api::transactions().nodes().set_extra_fee(node, fee)).await?;
                let text =
                    format!("node {node}: {} USD per hour extra if it is rented", format_usd(fee.into()));
                Ok(Answer::new(text, json!({ "node": node, "extra_fee_usd_1e10": fee.to_string() })))
            }
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
    let contracts = offer(&at, node).await?.contracts;
    let closes_at = (at.timestamp_ms().await? / 1_000).saturating_add(within.as_secs());
    let text = format!(
        "node {node} takes no new contracts, and its {contracts} contracts close at {} (in {})",
        moment(closes_at),
        stretch(within.as_secs())
    );
    consent.ask(session, &text)?;
    let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    let deadline = at.grid_info().await?.grid_now.saturating_add(within_ms).saturating_add(SLACK_MS);
    let reason = api::runtime_types::bounded_collections::bounded_vec::BoundedVec(reason.into_bytes());
    session.submit("node drain", &api::transactions().nodes().drain(node, deadline, reason)).await?;
    Ok(Answer::new(text, json!({ "node": node, "contracts": contracts, "closes_at": closes_at })))
}

async fn remove(session: &Session, node: NodeId, consent: &Consent) -> Result<Answer> {
    ensure_empty(&offer(&session.grid.finalized().await?, node).await?)?;
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

fn ensure_empty(NodeOffer { node, contracts, .. }: &NodeOffer) -> Result<()> {
    if *contracts == 0 {
        return Ok(());
    }
    let text = format!("node {node} still has {contracts} contracts: `threebot node drain {node}` ends them");
    bail!(Foreseen::new("Nodes.NodeInUse", text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::nodes::tests::offer;

    #[test]
    fn a_node_in_use_is_not_removed() {
        let error = ensure_empty(&offer(3)).unwrap_err();
        assert_eq!(error.downcast_ref::<Foreseen>().unwrap().code, "Nodes.NodeInUse");
        assert_eq!(error.to_string(), "node 3 still has 2 contracts: `threebot node drain 3` ends them");
        assert!(ensure_empty(&NodeOffer { contracts: 0, ..offer(3) }).is_ok());
    }
}
