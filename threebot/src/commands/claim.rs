// SPDX-License-Identifier: Apache-2.0
//! What contracts have earned becomes payable, and a farm is paid.

use super::event;
use crate::{cli::ClaimArgs, output::Answer, session::Session};
use anyhow::{Result, bail};
use serde_json::{Value, json};
use tfgrid_client::{
    At, Error,
    api::{self, runtime_types::pallet_billing::types::Payee},
    claim::Outcome,
    primitives::{Balance, ContractId, FarmId},
    units::format_tft,
};

/// How many contracts are claimed in one transaction.
const CLAIMS_AT_ONCE: usize = 50;

pub async fn run(session: &Session, args: ClaimArgs) -> Result<Answer> {
    let contracts = match args.farm {
        Some(farm) => earning(&session.grid.finalized().await?, farm).await?,
        None => once_each(args.contracts),
    };
    let mut claims = Vec::new();
    for batch in contracts.chunks(CLAIMS_AT_ONCE) {
        let outcomes = session.grid.claim(batch, session.key()?).await?;
        claims.extend(batch.iter().copied().zip(outcomes));
    }
    let paid = match args.farm {
        Some(farm) => Some((farm, pay_out(session, farm).await?)),
        None => None,
    };
    Claims { claims, paid }.answer()
}

/// The contracts on a farm's nodes that a claim brings something of.
async fn earning(at: &At, farm: FarmId) -> Result<Vec<ContractId>> {
    let mut earning = Vec::new();
    for node in at.nodes_of_farm(farm).await? {
        let deployed = at.contracts_of_node(node).await?.into_iter().filter(|contract| contract.deployed);
        let contracts = at.rent_of_node(node).await?.into_iter().chain(deployed.map(|c| c.contract));
        for contract in contracts {
            if at.earns(contract).await? {
                earning.push(contract);
            }
        }
    }
    Ok(earning)
}

fn once_each(mut contracts: Vec<ContractId>) -> Vec<ContractId> {
    contracts.sort_unstable();
    contracts.dedup();
    contracts
}

/// Pays a farm, unless there is nothing to be paid: so a farm's contracts can be claimed every day.
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

/// What came of it.
struct Claims {
    claims: Vec<(ContractId, Outcome)>,
    /// Which farm was to be paid, and what it was.
    paid: Option<(FarmId, Option<Paid>)>,
}

impl Claims {
    /// It failed where nothing at all was done.
    fn answer(self) -> Result<Answer> {
        let was_paid = matches!(self.paid, Some((_, Some(_))));
        let was_claimed = self.claims.iter().any(|(_, outcome)| outcome.is_ok());
        match was_paid || was_claimed {
            true => Ok(Answer::new(self.text(), self.value())),
            false => bail!("{}", self.text()),
        }
    }

    fn text(&self) -> String {
        let claim = |(contract, outcome): &(ContractId, Outcome)| match outcome {
            Ok(amount) => format!("contract {contract}: {} TFT became payable", format_tft(*amount)),
            Err(error) => format!("contract {contract}: not claimed: {}", reason(error).1),
        };
        let mut lines: Vec<String> = self.claims.iter().map(claim).collect();
        lines.extend(self.paid.as_ref().map(|(farm, paid)| match paid {
            Some(Paid { amount, to }) => format!("farm {farm}: paid {} TFT to {to}", format_tft(*amount)),
            None => format!("farm {farm}: nothing has been earned yet that can be paid"),
        }));
        lines.join("\n")
    }

    fn value(&self) -> Value {
        let (mut claimed, mut not_claimed) = (Vec::new(), Vec::new());
        for (contract, outcome) in &self.claims {
            match outcome {
                Ok(amount) => {
                    claimed.push(json!({ "contract": contract, "amount_units": amount.to_string() }))
                }
                Err(error) => {
                    let (name, why) = reason(error);
                    not_claimed.push(json!({ "contract": contract, "error": name, "why": why }));
                }
            }
        }
        let paid = self.paid.as_ref().and_then(|(_, paid)| paid.as_ref());
        json!({
            "claimed": claimed,
            "not_claimed": not_claimed,
            "farm": self.paid.as_ref().map(|(farm, _)| farm),
            "paid": paid.map(|paid| json!({ "amount_units": paid.amount.to_string(), "to": paid.to })),
        })
    }
}

/// The chain's name for what stands in the way, where it has one, and the words.
fn reason(error: &Error) -> (Option<&str>, String) {
    match error {
        Error::Failed { name, docs, .. } => (Some(name), format!("{docs} ({name})")),
        other => (None, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_aside() -> Error {
        Error::Failed {
            what: "the claim of contract 8".into(),
            pallet: "Billing".into(),
            name: "SetAside".into(),
            docs: "It is set aside.".into(),
        }
    }

    #[test]
    fn what_was_claimed_and_paid_and_what_was_not_is_said_of_each() {
        let paid = Some(Paid { amount: 15_000_000, to: "5Grw".into() });
        let claims =
            Claims { claims: vec![(7, Ok(20_000_000)), (8, Err(set_aside()))], paid: Some((1, paid)) };
        let text = "contract 7: 2 TFT became payable\ncontract 8: not claimed: It is set aside. (SetAside)\n\
                    farm 1: paid 1.5 TFT to 5Grw";
        assert_eq!(claims.text(), text);
        let value = json!({
            "claimed": [{ "contract": 7, "amount_units": "20000000" }],
            "not_claimed": [{ "contract": 8, "error": "SetAside", "why": "It is set aside. (SetAside)" }],
            "farm": 1,
            "paid": { "amount_units": "15000000", "to": "5Grw" },
        });
        assert_eq!(claims.answer().unwrap().value, value);
    }

    #[test]
    fn a_claim_without_a_farm_pays_nobody() {
        let value = Claims { claims: vec![(7, Ok(1))], paid: None }.answer().unwrap().value;
        assert_eq!((&value["farm"], &value["paid"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn where_nothing_is_done_at_all_it_fails_with_the_reasons() {
        let error = |claims| Claims { claims, paid: Some((1, None)) }.answer().err().unwrap().to_string();
        assert_eq!(error(vec![]), "farm 1: nothing has been earned yet that can be paid");
        assert!(error(vec![(8, Err(set_aside()))]).starts_with("contract 8: not claimed: It is set aside."));
    }

    #[test]
    fn a_contract_that_is_named_twice_is_claimed_once() {
        assert_eq!(once_each(vec![9, 7, 9]), [7, 9]);
    }
}
