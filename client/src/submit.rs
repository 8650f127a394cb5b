// SPDX-License-Identifier: Apache-2.0
//! Submits signed transactions.

use crate::{
    Config, Error, GridAt, GridClient, Keypair,
    api::{self, runtime_types::tfgrid_runtime::configs::oracle::PriceKey},
    client::in_time,
    error::SubmitError,
    report::whole_answer,
};
use sp_core::H256;
use std::time::Duration;
use subxt::{
    client::OnlineClientAtBlockImpl,
    config::DefaultExtrinsicParamsBuilder,
    error::{BackendError, DispatchError, ExtrinsicError, RpcError, TransactionEventsError},
    extrinsics::ExtrinsicEvents,
    rpcs,
    transactions::{Payload, SubmittableTransaction, TransactionProgress, TransactionStatus},
};
use tfgrid_primitives::{Balance, TftPrice, units::TFT};

/// The time that a transaction has to be finalized.
pub const FINALIZED_WITHIN: Duration = Duration::from_secs(120);
/// The pause after a nonce turned out to be taken.
const NONCE_PAUSE: Duration = Duration::from_millis(200);

/// A transaction whose call succeeded in a finalized block.
pub struct Included {
    /// The block's hash.
    pub block: H256,
    /// The events of the call.
    pub events: ExtrinsicEvents<Config>,
}

/// The tip of a call in a crowded chain before the fees' multiplier, in 1e-7 TFT. The pool and the makers of blocks
/// order people's transactions by tip for each part of a block, so a flood whose large calls carry a tip of almost
/// nothing passes before every call without one.
const TIP_WHEN_CROWDED: Balance = TFT / 100;

/// A multiplier of one, as the chain stores it.
const ONE: u128 = 1_000_000_000_000_000_000;

type Progress = TransactionProgress<Config, OnlineClientAtBlockImpl<Config>>;
type Signed = SubmittableTransaction<Config, OnlineClientAtBlockImpl<Config>>;

impl GridClient {
    /// Signs `call`, submits it and waits until it is finalized. `what` names it in errors. Several
    /// processes may use one key: a call whose nonce another one took first is sent again with the next.
    ///
    /// # Errors
    /// [`Error::Unknown`] if the transaction was sent, and the chain's answer didn't come.
    pub async fn submit(&self, what: &str, call: &impl Payload, signer: &Keypair) -> Result<Included, Error> {
        let mut sent = None;
        let trying = async {
            loop {
                match self.submit_once(what, call, signer, &mut sent).await {
                    Err(error) if error.nonce_was_taken() => tokio::time::sleep(NONCE_PAUSE).await,
                    outcome => return outcome,
                }
            }
        };
        let waited = tokio::time::timeout(FINALIZED_WITHIN, trying).await;
        let outcome =
            waited.unwrap_or_else(|_| Err(Error::TimedOut { what: what.into(), within: FINALIZED_WITHIN }));
        match (outcome, sent) {
            (Err(error), Some(hash)) if error.leaves_fate_open() => {
                Err(Error::Unknown { what: what.into(), hash, source: Box::new(error) })
            }
            (outcome, _) => outcome,
        }
    }

    /// `sent` becomes the hash of the transaction before the node has it.
    async fn submit_once(
        &self,
        what: &str,
        call: &impl Payload,
        signer: &Keypair,
        sent: &mut Option<H256>,
    ) -> Result<Included, Error> {
        *sent = None;
        let (signed, _) = self.sign(what, call, signer).await?;
        *sent = Some(H256(signed.hash().0));
        let progress = signed.submit_and_watch().await.map_err(|e| match e {
            ExtrinsicError::ErrorSubmittingTransaction(BackendError::Rpc(RpcError::ClientError(
                error @ rpcs::Error::User(_),
            ))) => Error::not_taken(what, whole_answer(error)),
            error => Error::unsent(what)(error),
        })?;
        finalized(what, progress).await
    }

    /// What `call` costs its signer at most, in 1e-7 TFT: the fee with the tip. Nothing is submitted.
    pub async fn fee(&self, what: &str, call: &impl Payload, signer: &Keypair) -> Result<Balance, Error> {
        let (signed, tip) = self.sign(what, call, signer).await?;
        let fee = in_time(&format!("the fee of {what}"), signed.partial_fee_estimate()).await?;
        Ok(fee.saturating_add(tip))
    }

    /// The signed transaction and its tip.
    async fn sign(
        &self,
        what: &str,
        call: &impl Payload,
        signer: &Keypair,
    ) -> Result<(Signed, Balance), Error> {
        // The node's own count includes the transactions in its pool.
        let account = signer.account();
        let nonce = in_time("an account's nonce", self.legacy.system_account_next_index(&account)).await?;
        let at = in_time("the finalized head", self.api.at_current_block()).await?;
        let at = GridAt(at);
        let tip = tip(at.fee_multiplier().await?);
        let params = DefaultExtrinsicParamsBuilder::new().nonce(nonce).tip(tip).build();
        let mut transactions = at.0.transactions();
        let signed = transactions.create_signed(call, signer, params).await.map_err(Error::unsent(what))?;
        Ok((signed, tip))
    }

    /// Submits a feeder's price of one TFT, in 1e-7 USD.
    pub async fn feed_price(&self, price: TftPrice, feeder: &Keypair) -> Result<Included, Error> {
        let values =
            api::runtime_types::bounded_collections::bounded_vec::BoundedVec(vec![(PriceKey::TftUsd, price)]);
        self.submit("the price of TFT", &api::transactions().oracle().feed_values(values), feeder).await
    }
}

/// The tip at a multiplier of fees in units of 1e-18: nothing while it is one, as it is unless blocks were crowded.
fn tip(multiplier: u128) -> Balance {
    if multiplier <= ONE { 0 } else { TIP_WHEN_CROWDED.saturating_mul(multiplier / ONE) }
}

async fn finalized(what: &str, mut progress: Progress) -> Result<Included, Error> {
    while let Some(status) = progress.next().await {
        match status.map_err(Error::unsent(what))? {
            TransactionStatus::InFinalizedBlock(block) => {
                let events = block.wait_for_success().await.map_err(|e| failed(what, e))?;
                return Ok(Included { block: H256(block.block_hash().0), events });
            }
            TransactionStatus::Error { message }
            | TransactionStatus::Invalid { message }
            | TransactionStatus::Dropped { message } => return Err(Error::not_taken(what, message)),
            _ => {}
        }
    }
    Err(Error::NotTaken { what: what.into(), source: SubmitError::ConnectionEnded })
}

fn failed(what: &str, error: TransactionEventsError) -> Error {
    match error {
        TransactionEventsError::ExtrinsicFailed(dispatch) => failure(what, &dispatch),
        error => Error::read(&format!("the events of {what}"))(error),
    }
}

/// The error of a failed call, in the pallet's own words.
pub(crate) fn failure(what: &str, dispatch: &DispatchError) -> Error {
    let (pallet, name, docs) = match dispatch {
        DispatchError::Module(module) => match module.details() {
            Ok(details) => (
                details.pallet.name().to_string(),
                details.variant.name.clone(),
                details.variant.docs.join(" ").trim().to_string(),
            ),
            Err(e) => ("runtime".into(), "Module".into(), e.to_string()),
        },
        other => ("runtime".into(), format!("{other:?}"), other.to_string()),
    };
    Error::Failed { what: what.into(), pallet, name, docs }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_carries_a_tip_in_a_crowd_only() {
        assert_eq!([0, ONE].map(tip), [0, 0]);
        assert_eq!(tip(ONE + 1), TIP_WHEN_CROWDED);
        assert_eq!(tip(3 * ONE), 3 * TIP_WHEN_CROWDED);
    }
}
