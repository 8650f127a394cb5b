// SPDX-License-Identifier: Apache-2.0
//! Getting transactions and reports into blocks.

use crate::{
    Config, Error, GridClient, Keypair, MachineKey,
    api::{self, runtime_types::tfgrid_runtime::configs::oracle::PriceKey},
    client::{ANSWER_WITHIN, in_time},
};
use sp_core::H256;
use std::time::Duration;
use subxt::{
    client::OnlineClientAtBlockImpl,
    config::DefaultExtrinsicParamsBuilder,
    error::{DispatchError, TransactionEventsError},
    extrinsics::ExtrinsicEvents,
    transactions::{Payload, TransactionProgress, TransactionStatus},
    utils::{AccountId32, MultiSignature, Static},
};
use tfgrid_primitives::{
    NodeId, Registration, ReportKind, TftPrice, UsageItem,
    report::{
        DeployedPayload, DetailsPayload, FailedPayload, HeartbeatPayload, PowerPayload, ProgressPayload,
        ReleasedPayload,
    },
};

/// How long a transaction may take to be finalized.
pub const FINALIZED_WITHIN: Duration = Duration::from_secs(120);

/// A transaction in a finalized block, its call done.
pub struct Included {
    /// The block.
    pub block: H256,
    /// What the call let happen.
    pub events: ExtrinsicEvents<Config>,
}

impl GridClient {
    /// Signs `call`, submits it and waits until it is finalized. `what` names it in errors.
    pub async fn submit(&self, what: &str, call: &impl Payload, signer: &Keypair) -> Result<Included, Error> {
        let waiting = async {
            let progress = self.send(what, call, signer).await?;
            finalized(what, progress).await
        };
        let waited = tokio::time::timeout(FINALIZED_WITHIN, waiting).await;
        waited.unwrap_or_else(|_| Err(Error::TimedOut { what: what.into(), within: FINALIZED_WITHIN }))
    }

    async fn send(
        &self,
        what: &str,
        call: &impl Payload,
        signer: &Keypair,
    ) -> Result<TransactionProgress<Config, OnlineClientAtBlockImpl<Config>>, Error> {
        // The node's own count includes what waits in its pool.
        let account: AccountId32 = signer.public_key().to_account_id();
        let nonce = in_time("an account's nonce", self.legacy.system_account_next_index(&account)).await?;
        let at = in_time("the finalized head", self.api.at_current_block()).await?;
        let params = DefaultExtrinsicParamsBuilder::new().nonce(nonce).build();
        let refused = |reason: &dyn std::fmt::Display| Error::not_taken(what, reason.to_string());
        let mut transactions = at.transactions();
        let signed = transactions.create_signed(call, signer, params).await.map_err(|e| refused(&e))?;
        signed.submit_and_watch().await.map_err(|e| refused(&e))
    }

    /// A feeder says what one TFT costs, in 1e-7 USD.
    pub async fn feed_price(&self, price: TftPrice, feeder: &Keypair) -> Result<Included, Error> {
        let values =
            api::runtime_types::bounded_collections::bounded_vec::BoundedVec(vec![(PriceKey::TftUsd, price)]);
        self.submit("the price of TFT", &api::transactions().oracle().feed_values(values), feeder).await
    }

    /// A machine joins the farm of its boot ticket.
    pub async fn register(
        &self,
        registration: &Registration,
        ticket: &MachineKey,
        node: &MachineKey,
    ) -> Result<(), Error> {
        let by = |key: &MachineKey| key.sign_registration(self.genesis(), registration).0;
        let call = api::transactions().nodes().register(Static(*registration), by(ticket), by(node));
        self.send_authorized("the registration", &call).await
    }

    /// A node says that it is alive.
    pub async fn heartbeat(
        &self,
        key: &MachineKey,
        node: NodeId,
        sequence: u64,
        payload: HeartbeatPayload,
    ) -> Result<(), Error> {
        let signature = key.sign_report(self.genesis(), node, ReportKind::Heartbeat, sequence, &payload);
        let call = api::transactions().nodes().heartbeat(node, sequence, Static(payload), signature.0);
        self.send_authorized("the heartbeat", &call).await
    }

    /// A node has deployed a contract.
    pub async fn report_deployed(
        &self,
        key: &MachineKey,
        node: NodeId,
        sequence: u64,
        payload: DeployedPayload,
    ) -> Result<(), Error> {
        let signature = key.sign_report(self.genesis(), node, ReportKind::Deployed, sequence, &payload);
        let call =
            api::transactions().contracts().report_deployed(node, sequence, Static(payload), signature.0);
        self.send_authorized("the report of a deployment", &call).await
    }

    /// A node can't deploy a contract as it is.
    pub async fn report_failed(
        &self,
        key: &MachineKey,
        node: NodeId,
        sequence: u64,
        payload: FailedPayload,
    ) -> Result<(), Error> {
        let signature = key.sign_report(self.genesis(), node, ReportKind::Failed, sequence, &payload);
        let call =
            api::transactions().contracts().report_failed(node, sequence, Static(payload), signature.0);
        self.send_authorized("the report of a failure", &call).await
    }

    /// A node says what its contracts have used: at most 64 items.
    pub async fn report_usage(
        &self,
        key: &MachineKey,
        node: NodeId,
        sequence: u64,
        items: Vec<UsageItem>,
    ) -> Result<(), Error> {
        let signature = key.sign_report(self.genesis(), node, ReportKind::Usage, sequence, &items);
        let items = items.into_iter().map(Static).collect();
        let items = api::runtime_types::bounded_collections::bounded_vec::BoundedVec(items);
        let call = api::transactions().contracts().report_usage(node, sequence, items, signature.0);
        self.send_authorized("the report of usage", &call).await
    }

    /// A node says that a contract's deployment is on its way and takes longer.
    pub async fn report_progress(
        &self,
        key: &MachineKey,
        node: NodeId,
        sequence: u64,
        payload: ProgressPayload,
    ) -> Result<(), Error> {
        let signature = key.sign_report(self.genesis(), node, ReportKind::Progress, sequence, &payload);
        let call =
            api::transactions().contracts().report_progress(node, sequence, Static(payload), signature.0);
        self.send_authorized("the report of progress", &call).await
    }

    /// A node says that nothing of a closed contract is left on it.
    pub async fn report_released(
        &self,
        key: &MachineKey,
        node: NodeId,
        sequence: u64,
        payload: ReleasedPayload,
    ) -> Result<(), Error> {
        let signature = key.sign_report(self.genesis(), node, ReportKind::Released, sequence, &payload);
        let call =
            api::transactions().contracts().report_released(node, sequence, Static(payload), signature.0);
        self.send_authorized("the report of a release", &call).await
    }

    /// A node says what machine it is.
    pub async fn report_details(
        &self,
        key: &MachineKey,
        node: NodeId,
        sequence: u64,
        payload: DetailsPayload,
    ) -> Result<(), Error> {
        let signature = key.sign_report(self.genesis(), node, ReportKind::Details, sequence, &payload);
        let call = api::transactions().nodes().report_details(node, sequence, Static(payload), signature.0);
        self.send_authorized("the report of details", &call).await
    }

    /// A node says that it sleeps or wakes.
    pub async fn report_power(
        &self,
        key: &MachineKey,
        node: NodeId,
        sequence: u64,
        payload: PowerPayload,
    ) -> Result<(), Error> {
        let signature = key.sign_report(self.genesis(), node, ReportKind::Power, sequence, &payload);
        let call = api::transactions().nodes().report_power(node, sequence, Static(payload), signature.0);
        self.send_authorized("the report of power", &call).await
    }

    /// Submits a call that carries its own authorisation, and returns when the pool has taken it.
    async fn send_authorized(&self, what: &str, call: &impl Payload) -> Result<(), Error> {
        let at = in_time("the finalized head", self.api.at_current_block()).await?;
        let params = DefaultExtrinsicParamsBuilder::new().nonce(0).build();
        let refused = |reason: &dyn std::fmt::Display| Error::not_taken(what, reason.to_string());
        let transactions = at.transactions();
        let mut general = transactions.create_v5_signable_offline(call, params).map_err(|e| refused(&e))?;
        // Nobody signs a general transaction here, and the runtime has no extension that would carry
        // a signature, so neither of these two reaches the encoding.
        let (nobody, nothing) = (AccountId32([0; 32]), MultiSignature::Sr25519([0; 64]));
        let encoded = general
            .sign_with_account_and_signature(&nobody, &nothing)
            .map_err(|e| refused(&e))?
            .into_encoded();
        let submitting = self.legacy.author_submit_extrinsic(&encoded);
        match tokio::time::timeout(ANSWER_WITHIN, submitting).await {
            Ok(answer) => answer.map(drop).map_err(|e| Error::not_taken(what, whole_answer(e))),
            Err(_) => Err(Error::TimedOut { what: what.into(), within: ANSWER_WITHIN }),
        }
    }
}

/// What the node said, with the data that the message leaves out: there the reason stands.
fn whole_answer(error: subxt::rpcs::Error) -> String {
    match &error {
        subxt::rpcs::Error::User(user) => match &user.data {
            Some(data) => format!("{}: {}", user.message, data.get()),
            None => user.message.clone(),
        },
        _ => error.to_string(),
    }
}

async fn finalized(
    what: &str,
    mut progress: TransactionProgress<Config, OnlineClientAtBlockImpl<Config>>,
) -> Result<Included, Error> {
    let lost = |reason: String| Error::not_taken(what, reason);
    while let Some(status) = progress.next().await {
        match status.map_err(|e| lost(e.to_string()))? {
            TransactionStatus::InFinalizedBlock(block) => {
                let events = block.wait_for_success().await.map_err(|e| failed(what, e))?;
                return Ok(Included { block: H256(block.block_hash().0), events });
            }
            TransactionStatus::Error { message }
            | TransactionStatus::Invalid { message }
            | TransactionStatus::Dropped { message } => return Err(lost(message)),
            _ => {}
        }
    }
    Err(lost("the connection ended before it was finalized".into()))
}

/// Why a transaction failed.
fn failed(what: &str, error: TransactionEventsError) -> Error {
    match &error {
        TransactionEventsError::ExtrinsicFailed(dispatch) => failure(what, dispatch),
        _ => Error::read(format!("the events of {what}"))(&error),
    }
}

/// The pallet's own words for why a call failed.
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
