// SPDX-License-Identifier: Apache-2.0
//! `threebot collect`

use super::{event, farm::ensure_exists};
use crate::{cli::Global, consent::unasked, many::answers, output::Answer, session::Session};
use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};
use tfgrid_client::{
    Error, GridAt,
    api::{
        self,
        runtime_types::pallet_grid_billing::types::{Payee, Shares},
    },
    collect::Outcome,
    primitives::{Balance, ContractId, FarmId},
    units::{format_tft, parse_id},
};

/// How many contracts are collected in one transaction.
const CONTRACTS_AT_ONCE: usize = 50;

/// Collect what contracts have earned and pay the farmer; anyone may call it
#[derive(Args)]
#[command(arg = unasked(), after_help = "\
Examples:
  threebot collect --farm 1    all contracts on its nodes, then pay the farmer
  threebot collect 7 8         only these, of whatever farm; nobody is paid yet

Earnings of a contract's first hour (a minute on development chains) are paid after it, when its owner can no
longer complain. Until then the contract isn't collected; that isn't a failure.

What contracts have earned is shared: 50 % for the farm, 40 % for the foundation and 10 % for the staking pool, unless
governance has set other shares. Extra fees are the farm's alone.")]
pub struct Collect {
    /// The contracts' ids
    #[arg(required_unless_present = "farm", value_parser = parse_id::<ContractId>)]
    contracts: Vec<ContractId>,
    /// All contracts on the nodes of this farm that have earned something
    #[arg(long, conflicts_with = "contracts", value_parser = parse_id::<FarmId>)]
    farm: Option<FarmId>,
}

impl Collect {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let session = Session::open(global).await?;
        let contracts = match self.farm {
            Some(farm) => earning(&session.grid.finalized().await?, farm).await?,
            None => once_each(self.contracts),
        };
        let mut outcomes = Vec::new();
        for batch in contracts.chunks(CONTRACTS_AT_ONCE) {
            let collected = session.grid.collect(batch, session.key()?).await?;
            outcomes.extend(batch.iter().copied().zip(collected));
        }
        let paid = match self.farm {
            Some(farm) => Some((farm, pay_out(&session, farm).await?)),
            None => None,
        };
        let shares = session.grid.finalized().await?.shares().await?;
        Collected { outcomes, paid, shares }.answer()
    }
}

/// The contracts on a farm's nodes that have something to collect.
async fn earning(at: &GridAt, farm: FarmId) -> Result<Vec<ContractId>> {
    ensure_exists(at, farm).await?;
    let mut contracts = Vec::new();
    for node in at.nodes_of_farm(farm).await? {
        contracts.extend(at.rent_of_node(node).await?);
        let deployed = at.contracts_of_node(node).await?.into_iter().filter(|contract| contract.deployed);
        contracts.extend(deployed.map(|contract| contract.contract));
    }
    let asked = contracts.into_iter().map(|contract| {
        let at = at.clone();
        async move { anyhow::Ok(at.earns(contract).await?.then_some(contract)) }
    });
    Ok(answers(asked).await?.into_iter().flatten().collect())
}

fn once_each(mut contracts: Vec<ContractId>) -> Vec<ContractId> {
    contracts.sort_unstable();
    contracts.dedup();
    contracts
}

/// Pays a farm. Nothing to pay isn't an error: a farm can be paid every day.
async fn pay_out(session: &Session, farm: FarmId) -> Result<Option<Paid>> {
    const WHAT: &str = "the payout";
    if session.grid.finalized().await?.farm_earnings(farm).await? == 0 {
        return Ok(None);
    }
    let included = session.submit(WHAT, &api::transactions().billing().pay_out(Payee::Farm(farm))).await?;
    let paid = event::<api::billing::events::PaidOut>(&included, WHAT)?;
    Ok(Some(Paid { amount: paid.amount, to: paid.to.to_string() }))
}

struct Paid {
    amount: Balance,
    to: String,
}

struct Collected {
    outcomes: Vec<(ContractId, Outcome)>,
    /// The farm that was to be paid, and its payment.
    paid: Option<(FarmId, Option<Paid>)>,
    shares: Option<Shares>,
}

impl Collected {
    /// Fails if nothing was done and waiting doesn't help.
    fn answer(self) -> Result<Answer> {
        let was_paid = matches!(self.paid, Some((_, Some(_))));
        let all_wait = self.outcomes.iter().all(|(_, outcome)| outcome.as_ref().is_err_and(can_wait));
        if was_paid || all_wait || self.outcomes.iter().any(|(_, outcome)| outcome.is_ok()) {
            Ok(Answer::new(self.text(), self.value()))
        } else {
            bail!("{}", self.text())
        }
    }

    fn text(&self) -> String {
        let line = |(contract, outcome): &(ContractId, Outcome)| match outcome {
            Ok(amount) => format!("contract {contract}: {} TFT became payable", format_tft(*amount)),
            Err(error) => format!("contract {contract}: not collected: {}", reason(error).1),
        };
        let mut lines: Vec<String> = self.outcomes.iter().map(line).collect();
        let is_shared = self.outcomes.iter().any(|(_, outcome)| outcome.is_ok());
        lines.extend(self.shares.as_ref().filter(|_| is_shared).map(|shares| {
            format!(
                "of these {} % are the farm's, {} % the foundation's (or its solution provider's) and {} % the \
                 staking pool's; extra fees are the farm's alone",
                percent(shares.farm),
                percent(shares.foundation),
                percent(shares.staking)
            )
        }));
        lines.extend(self.paid.as_ref().map(|(farm, paid)| match paid {
            Some(Paid { amount, to }) => format!("farm {farm}: paid {} TFT to {to}", format_tft(*amount)),
            None => format!("farm {farm}: nothing is payable yet"),
        }));
        lines.join("\n")
    }

    fn value(&self) -> Value {
        let (mut collected, mut not_collected) = (Vec::new(), Vec::new());
        for (contract, outcome) in &self.outcomes {
            match outcome {
                Ok(amount) => {
                    collected.push(json!({ "contract": contract, "amount_tft_1e7": amount.to_string() }));
                }
                Err(error) => {
                    let (code, why) = reason(error);
                    not_collected.push(json!({ "contract": contract, "error": why, "code": code }));
                }
            }
        }
        let paid = self.paid.as_ref().and_then(|(_, paid)| paid.as_ref());
        json!({
            "collected": collected,
            "not_collected": not_collected,
            "shares_permille": self.shares.as_ref().map(|shares| {
                json!({ "farm": shares.farm, "foundation": shares.foundation, "staking": shares.staking })
            }),
            "farm": self.paid.as_ref().map(|(farm, _)| farm),
            "paid": paid.map(|paid| json!({ "amount_tft_1e7": paid.amount.to_string(), "to": paid.to })),
        })
    }
}

/// `12.5` for 125 thousandths.
fn percent(permille: u16) -> f32 {
    f32::from(permille) / 10.0
}

/// The chain's name for an error, if it has one, and its description.
fn reason(error: &Error) -> (Option<String>, String) {
    match error {
        Error::Failed { pallet, name, docs, .. } => {
            (Some(format!("{pallet}.{name}")), format!("{docs} ({name})"))
        }
        other => (None, other.to_string()),
    }
}

/// Whether the same contract can be collected later.
fn can_wait(error: &Error) -> bool {
    matches!(error, Error::Failed { name, .. } if name == "SetAside" || name == "NodeSilent")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(name: &str, docs: &str) -> Outcome {
        Err(Error::Failed {
            what: "the collection of contract 8".into(),
            pallet: "Billing".into(),
            name: name.into(),
            docs: docs.into(),
        })
    }

    fn set_aside() -> Outcome {
        failed("SetAside", "It is set aside.")
    }

    #[test]
    fn each_contract_and_the_payment_are_told() {
        let paid = Some(Paid { amount: 15_000_000, to: "5Grw".into() });
        let shares = Some(Shares { farm: 500, foundation: 375, staking: 125 });
        let outcomes = vec![(7, Ok(20_000_000)), (8, set_aside())];
        let collected = Collected { outcomes, paid: Some((1, paid)), shares };
        let text = "contract 7: 2 TFT became payable\ncontract 8: not collected: It is set aside. (SetAside)\n\
                    of these 50 % are the farm's, 37.5 % the foundation's (or its solution provider's) and 12.5 % \
                    the staking pool's; extra fees are the farm's alone\n\
                    farm 1: paid 1.5 TFT to 5Grw";
        assert_eq!(collected.text(), text);
        let value = json!({
            "collected": [{ "contract": 7, "amount_tft_1e7": "20000000" }],
            "not_collected": [
                { "contract": 8, "error": "It is set aside. (SetAside)", "code": "Billing.SetAside" }
            ],
            "shares_permille": { "farm": 500, "foundation": 375, "staking": 125 },
            "farm": 1,
            "paid": { "amount_tft_1e7": "15000000", "to": "5Grw" },
        });
        assert_eq!(collected.answer().unwrap().value, value);
    }

    #[test]
    fn without_a_farm_nobody_is_paid() {
        let value =
            Collected { outcomes: vec![(7, Ok(1))], paid: None, shares: None }.answer().unwrap().value;
        assert_eq!((&value["farm"], &value["paid"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn nothing_to_collect_yet_is_no_failure() {
        let answer = |outcomes| Collected { outcomes, paid: Some((1, None)), shares: None }.answer().unwrap();
        assert_eq!(answer(vec![]).text, "farm 1: nothing is payable yet");
        let value = answer(vec![(8, set_aside())]).value;
        assert_eq!((&value["collected"], &value["paid"]), (&json!([]), &Value::Null));
        assert_eq!(value["not_collected"][0]["code"], "Billing.SetAside");
    }

    #[test]
    fn it_fails_if_nothing_was_done_and_waiting_does_not_help() {
        let outcomes = vec![(8, set_aside()), (99, failed("UnknownContract", "The contract isn't running."))];
        let error = Collected { outcomes, paid: None, shares: None }.answer().err().unwrap().to_string();
        assert!(error.contains("contract 99: not collected: The contract isn't running."), "{error}");
    }

    #[test]
    fn a_contract_that_is_named_twice_is_collected_once() {
        assert_eq!(once_each(vec![9, 7, 9]), [7, 9]);
    }
}
