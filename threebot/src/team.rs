// SPDX-License-Identifier: Apache-2.0
//! Signs calls for the account of a team: the first signatory proposes one, the last makes it.

use crate::{
    foreseen::{Foreseen, Purse},
    output::{Answer, counted, note},
    session::Session,
};
use anyhow::{Result, bail};
use serde_json::json;
use subxt::transactions::Payload;
use tfgrid_client::{
    AccountId32, H256, Included, Proposal, Team, call::call_hash, primitives::Balance, units::format_tft,
};

/// What became of a signature.
pub enum Signed {
    /// It was the last one, and the call is made.
    Made(Included),
    /// Others must sign.
    Awaits(Proposed),
}

/// A call that is signed, and isn't made before others have signed it.
#[derive(Debug, thiserror::Error)]
#[error("{what} awaits the signatures of others: its call has the hash {hash:?}")]
pub struct Proposed {
    what: String,
    hash: H256,
    account: AccountId32,
    signed: usize,
    threshold: u16,
    /// What is on hold on the proposer's account, in 1e-7 TFT.
    deposit: Balance,
}

impl Proposed {
    pub fn answer(&self) -> Answer {
        let Self { what, hash, account, signed, threshold, deposit } = self;
        let missing = usize::from(*threshold).saturating_sub(*signed);
        let text = format!(
            "{what} isn't done yet: it awaits {} more for {account}\n\
             the others tell what they sign, and sign it, with\n  threebot approve sign {hash:?}\n\
             {} TFT of the proposer's account are on hold until then, or until `threebot approve reject`",
            counted(missing as u64, "signature"),
            format_tft(*deposit)
        );
        let value = json!({
            "proposed": true,
            "call_hash": format!("{hash:?}"),
            "account": account.to_string(),
            "signed": signed,
            "threshold": threshold,
            "held_tft_1e7": deposit.to_string(),
        });
        Answer::awaiting(text, value)
    }
}

/// The answer of a command whose call awaits signatures; other errors stay.
pub fn proposed(error: anyhow::Error) -> Result<Answer> {
    error.downcast::<Proposed>().map(|proposed| proposed.answer())
}

/// Signs a call for a team: proposes it, unless it is proposed already.
pub async fn propose(session: &Session, what: &str, team: &Team, call: &impl Payload) -> Result<Signed> {
    let at = session.grid.finalized().await?;
    let call = at.encoded(what, call)?;
    let open = at.proposals(team.account()).await?;
    let open = open.into_iter().find(|proposal| proposal.is_of(&call));
    sign(session, what, team, call, open.as_ref()).await
}

/// Signs a call for a team, of which `open` is the proposal, if there is one.
///
/// # Errors
/// If the caller has signed it already, or can't hold the deposit of a new proposal.
pub async fn sign(
    session: &Session,
    what: &str,
    team: &Team,
    call: Vec<u8>,
    open: Option<&Proposal>,
) -> Result<Signed> {
    let key = session.key()?;
    let (own, hash) = (key.account(), call_hash(&call));
    let at = session.grid.finalized().await?;
    let signed = open.map_or(0, |proposal| proposal.signed.len());
    let deposit = match open {
        Some(proposal) => {
            ensure_may_sign(team, proposal, &own)?;
            proposal.deposit
        }
        None => {
            let deposit = at.proposal_deposit(team)?;
            let held = format!("a proposal holds {} TFT of your own account", format_tft(deposit));
            Purse::read(&at, own).await?.ensure_has(deposit, &format!("{held}, and has a fee"))?;
            note(&format!("{held} until it is made or rejected"), session.json);
            deposit
        }
    };
    let signature = at.signature(team, own, call, open).await?;
    let included = session.grid.submit(what, &signature, key).await?;
    if at.made(what, team, hash, &included)? {
        return Ok(Signed::Made(included));
    }
    let (account, threshold) = (team.account(), team.threshold());
    Ok(Signed::Awaits(Proposed { what: what.into(), hash, account, signed: signed + 1, threshold, deposit }))
}

/// Fails if the account has signed already, and the call awaits others. Whoever has signed may still make a call that
/// enough have signed by its hash.
pub fn ensure_may_sign(team: &Team, proposal: &Proposal, account: &AccountId32) -> Result<()> {
    let missing = usize::from(team.threshold()).saturating_sub(proposal.signed.len());
    if missing == 0 || !proposal.signed.contains(account) {
        return Ok(());
    }
    let text = format!(
        "you have signed the call {:?} already: it awaits {} of others",
        proposal.hash,
        counted(missing as u64, "signature")
    );
    bail!(Foreseen::new("Multisig.AlreadyApproved", text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;
    use tfgrid_client::team::Timepoint;

    fn waiting() -> Proposed {
        let (hash, account) = (H256([0xab; 32]), AccountId32([7; 32]));
        Proposed { what: "deposit".into(), hash, account, signed: 1, threshold: 3, deposit: 2_500_000 }
    }

    #[test]
    fn a_proposal_says_what_it_awaits_and_what_is_on_hold() {
        let answer = waiting().answer();
        assert!(answer.text.contains("it awaits 2 signatures more for 5"), "{}", answer.text);
        let command = format!("\n  threebot approve sign 0x{}\n", "ab".repeat(32));
        assert!(answer.text.contains(&command), "{}", answer.text);
        assert!(answer.text.contains("0.25 TFT of the proposer's account are on hold"), "{}", answer.text);
        assert_eq!((&answer.value["signed"], &answer.value["threshold"]), (&json!(1), &json!(3)));
    }

    #[test]
    fn a_second_signature_of_one_account_is_refused() {
        let [first, second, third] = [1, 2, 3].map(|n| AccountId32([n; 32]));
        let team = Team::new(vec![first, second, third], 2).unwrap();
        let signed_by = |signed| Proposal {
            hash: H256([0xab; 32]),
            when: Timepoint { height: 7, index: 1 },
            proposer: first,
            deposit: 0,
            signed,
        };
        assert!(ensure_may_sign(&team, &signed_by(vec![first]), &second).is_ok());
        assert!(ensure_may_sign(&team, &signed_by(vec![first, second]), &first).is_ok());
        let error = ensure_may_sign(&team, &signed_by(vec![first]), &first).unwrap_err();
        assert_eq!(error.downcast_ref::<Foreseen>().unwrap().code, "Multisig.AlreadyApproved");
        assert!(error.to_string().ends_with("awaits 1 signature of others"), "{error}");
    }

    #[test]
    fn a_proposal_is_an_answer_and_other_errors_stay() {
        let error = Err::<(), _>(waiting()).context("batch 2 of 3").unwrap_err();
        assert_eq!(proposed(error).ok().unwrap().value["proposed"], true);
        assert_eq!(proposed(anyhow::anyhow!("no chain")).err().unwrap().to_string(), "no chain");
    }
}
