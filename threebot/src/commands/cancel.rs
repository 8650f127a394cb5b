// SPDX-License-Identifier: Apache-2.0
//! `threebot cancel`

use crate::{
    application::{CALLS_AT_ONCE, Owned, cancelling, contracts_named},
    cli::Global,
    consent::Consent,
    contract::{self, own_record, size_text},
    foreseen::Foreseen,
    output::Answer,
    sealing::Identity,
    session::Session,
    time::stretch,
};
use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use std::collections::BTreeSet;
use tfgrid_client::{
    GridAt,
    api::{
        self,
        runtime_types::pallet_grid_contracts::types::{
            CancelReason, Contract, ContractKind, ContractState, Deployment,
        },
    },
    primitives::{
        ContractId, NodeId,
        views::{Target, TwinContract},
    },
    units::format_tft,
};

/// Close contracts: what they ran and their disks are gone for good
#[derive(Args)]
#[command(after_help = "\
Examples:
  threebot cancel 7 8                 two contracts
  threebot cancel shop                all contracts of an application
  threebot cancel --all               all that you have")]
pub struct Cancel {
    /// Ids of contracts, or names of applications
    #[arg(required_unless_present = "all", value_name = "CONTRACT|APPLICATION")]
    contracts: Vec<String>,
    /// All of your contracts
    #[arg(long, conflicts_with_all = ["contracts", "update", "not_delivered"])]
    all: bool,
    /// Withdraw only the version that its node hasn't answered yet; the active one goes on
    ///
    /// What the pending version reserved beside the active one is paid for: ten minutes of it at least.
    #[arg(long, conflicts_with = "not_delivered")]
    update: bool,
    /// Say that the node didn't deliver, within an hour of deployment
    ///
    /// What was charged comes back, without the minimum charge and used traffic, up to a tenth of what the
    /// foundation and stakers have ever got of your account's payments for capacity.
    #[arg(long)]
    not_delivered: bool,
    #[command(flatten)]
    identity: Identity,
    #[command(flatten)]
    consent: Consent,
}

impl Cancel {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let key = self.identity.read()?;
        let session = Session::open(global).await?;
        let at = session.grid.finalized().await?;
        let twin = session.twin(&at).await?;
        let own = at.contracts_of_twin(twin).await?;
        let contracts = if self.all {
            own.iter().map(|own| own.contract).collect()
        } else {
            let owned = Owned::for_words(&at, twin, &self.contracts, key.as_ref()).await?;
            contracts_named(&self.contracts, &owned)?
        };
        let contracts = rents_last(contracts, &own);
        let freed = going(&contracts, &own);
        let mut losses = Vec::new();
        for contract in &contracts {
            let record = own_record(&at, twin, *contract).await?;
            losses.push(if self.update {
                dropped(*contract, &record.kind)?
            } else {
                if self.not_delivered {
                    ensure_complaint(&at, *contract, &record).await?;
                }
                if !self.all {
                    ensure_unused(&at, *contract, &record.kind, &freed).await?;
                }
                loss(*contract, record.kind)
            });
        }
        if losses.is_empty() {
            return Ok(Answer::new("you have no contract", json!({ "contracts": [] })));
        }
        self.consent.ask(&session, &losses.join("\n"))?;
        self.submit(&session, &contracts).await?;
        let (mut texts, mut values) = (Vec::new(), Vec::new());
        for contract in contracts {
            let Answer { text, value, .. } = contract::answer(&session, contract, None).await?;
            texts.push(text);
            values.push(value);
        }
        let credit = session.grid.finalized().await?.payer(twin).await?.credit;
        texts.push(format!("your credit is {} TFT", format_tft(credit)));
        let value = json!({ "contracts": values, "credit_tft_1e7": credit.to_string() });
        Ok(Answer::new(texts.join("\n\n"), value))
    }

    async fn submit(&self, session: &Session, contracts: &[ContractId]) -> Result<()> {
        let calls = api::transactions().contracts();
        if !self.update && !self.not_delivered {
            for ids in contracts.chunks(CALLS_AT_ONCE) {
                let batch = ids.iter().map(|contract| cancelling(*contract)).collect();
                session.submit("cancel", &api::transactions().utility().batch_all(batch)).await?;
            }
            return Ok(());
        }
        for contract in contracts {
            let what = format!("the cancelling of contract {contract}");
            if self.update {
                session.submit(&what, &calls.withdraw_update(*contract)).await?;
            } else {
                session.submit(&what, &calls.cancel(*contract, CancelReason::NotDelivered)).await?;
            }
        }
        Ok(())
    }
}

/// In this order, but that a rent goes after what is on its node.
fn rents_last(mut contracts: Vec<ContractId>, own: &[TwinContract]) -> Vec<ContractId> {
    let rents = own.iter().filter(|own| matches!(own.target, Target::Rent { .. }));
    let rents: BTreeSet<ContractId> = rents.map(|own| own.contract).collect();
    contracts.sort_by_key(|contract| rents.contains(contract));
    contracts
}

/// The nodes of those of these contracts that run something.
fn going(contracts: &[ContractId], own: &[TwinContract]) -> Vec<NodeId> {
    let going = own.iter().filter(|own| contracts.contains(&own.contract));
    let node = |own: &TwinContract| match own.target {
        Target::Node { node, .. } => Some(node),
        _ => None,
    };
    going.filter_map(node).collect()
}

/// Fails if no version is pending.
fn dropped(contract: ContractId, kind: &ContractKind) -> Result<String> {
    match kind {
        ContractKind::Node(Deployment { pending: Some(pending), .. }) => Ok(format!(
            "contract {contract}: the pending version {} is dropped, and paid for as far as it was reserved",
            pending.version
        )),
        _ => {
            let text = format!("contract {contract} has no pending version");
            bail!(Foreseen::new("Contracts.NoUpdatePending", text))
        }
    }
}

/// Fails if nothing was to be delivered yet, or ever, or it is too late to complain.
async fn ensure_complaint(at: &GridAt, contract: ContractId, record: &Contract) -> Result<()> {
    if matches!(record.state, ContractState::Created) {
        let text = format!("contract {contract} isn't deployed yet: cancel it without --not-delivered");
        bail!(Foreseen::new("Contracts.NotDeployed", text));
    }
    if matches!(record.kind, ContractKind::Name { .. }) {
        let text = format!("contract {contract} is a name on no node: nothing is delivered");
        bail!(Foreseen::new("Contracts.NotOnANode", text));
    }
    let deployed_for_ms = at.grid_info().await?.grid_now.saturating_sub(record.deployed_at);
    ensure_in_time(contract, deployed_for_ms, at.not_delivered_window_ms().await?)
}

fn ensure_in_time(contract: ContractId, deployed_for_ms: u64, window_ms: u64) -> Result<()> {
    if deployed_for_ms < window_ms {
        return Ok(());
    }
    let text = format!(
        "contract {contract} was deployed {} ago, and can be cancelled as not delivered for {} only: cancel it \
         without --not-delivered",
        stretch(deployed_for_ms / 1_000),
        stretch(window_ms / 1_000)
    );
    bail!(Foreseen::new("Contracts.NotDeliveredWindowOver", text))
}

/// Fails for a rent that is in use by more than what goes on these nodes before it.
async fn ensure_unused(
    at: &GridAt,
    contract: ContractId,
    kind: &ContractKind,
    going: &[NodeId],
) -> Result<()> {
    let ContractKind::Rent { node } = kind else { return Ok(()) };
    let there = at.node_offer(*node).await?.map_or(0, |offer| offer.contracts) as usize;
    // The rent itself is one of them.
    let others = there.saturating_sub(1 + going.iter().filter(|going| *going == node).count());
    if others == 0 {
        return Ok(());
    }
    let text = format!(
        "contract {contract} rents node {node}, which still has {others} contracts: cancel those first"
    );
    bail!(Foreseen::new("Contracts.RentInUse", text))
}

/// What will be gone.
fn loss(contract: ContractId, kind: ContractKind) -> String {
    match kind {
        ContractKind::Node(deployment) => format!(
            "contract {contract} on node {} goes for good, with its disks ({})",
            deployment.node,
            size_text(deployment.resources.sru)
        ),
        ContractKind::Rent { node } => format!("contract {contract}: node {node} isn't yours alone any more"),
        ContractKind::Name { name } => {
            format!("contract {contract}: others can take the name {:?}", String::from_utf8_lossy(&name.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_client::primitives::{Resources, units::HOUR_MS, views::ContractStatus};

    #[test]
    fn a_rent_goes_after_what_is_on_its_node() {
        let own = |contract, target| TwinContract {
            contract,
            target,
            status: ContractStatus::Created,
            rate: 1,
            extra: 0,
        };
        let (rent, name) = (Target::Rent { node: 3 }, Target::Name { name: b"shop".to_vec() });
        let on_node = Target::Node { node: 3, resources: Resources::ZERO, public_ips: 0 };
        let own = [own(1, rent), own(2, name), own(3, on_node)];
        assert_eq!(rents_last(vec![1, 2, 3], &own), [2, 3, 1]);
        assert_eq!(rents_last(vec![1, 9, 3], &own), [9, 3, 1]);
        assert_eq!((going(&[1, 3], &own), going(&[1, 2], &own)), (vec![3], vec![]));
    }

    #[test]
    fn a_complaint_after_its_time_is_refused() {
        assert!(ensure_in_time(7, HOUR_MS - 1, HOUR_MS).is_ok());
        let error = ensure_in_time(7, HOUR_MS, HOUR_MS).unwrap_err();
        assert_eq!(error.downcast_ref::<Foreseen>().unwrap().code, "Contracts.NotDeliveredWindowOver");
        let text = "contract 7 was deployed 1 h 0 min ago, and can be cancelled as not delivered for 1 h 0 min only: \
                    cancel it without --not-delivered";
        assert_eq!(error.to_string(), text);
    }
}
