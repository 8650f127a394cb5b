// SPDX-License-Identifier: Apache-2.0
//! Submits transactions and reports.

use crate::{
    Config, Error, GridClient, Keypair, MachineKey,
    api::{self, runtime_types::tfgrid_runtime::configs::oracle::PriceKey},
    client::{ANSWER_WITHIN, in_time},
    error::SubmitError,
};
use sp_core::H256;
use std::time::Duration;
use subxt::{
    client::OnlineClientAtBlockImpl,
    config::DefaultExtrinsicParamsBuilder,
    error::{BackendError, DispatchError, ExtrinsicError, RpcError, TransactionEventsError},
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

type Progress = TransactionProgress<Config, OnlineClientAtBlockImpl<Config>>;

impl GridClient {
    /// Signs `call`, submits it and waits until it is finalized. `what` names it in errors. Several
    /// processes may use one key: a call whose nonce another one took first is sent again with the next.
    pub async fn submit(&self, what: &str, call: &impl Payload, signer: &Keypair) -> Result<Included, Error> {
        let trying = async {
            loop {
                match self.submit_once(what, call, signer).await {
                    Err(error) if error.nonce_was_taken() => tokio::time::sleep(NONCE_PAUSE).await,
                    outcome => return outcome,
                }
            }
        };
        let waited = tokio::time::timeout(FINALIZED_WITHIN, trying).await;
        waited.unwrap_or_else(|_| Err(Error::TimedOut { what: what.into(), within: FINALIZED_WITHIN }))
    }

    async fn submit_once(
        &self,
        what: &str,
        call: &impl Payload,
        signer: &Keypair,
    ) -> Result<Included, Error> {
        let progress = self.send(what, call, signer).await?;
        finalized(what, progress).await
    }

    async fn send(&self, what: &str, call: &impl Payload, signer: &Keypair) -> Result<Progress, Error> {
        // The node's own count includes the transactions in its pool.
        let account: AccountId32 = signer.public_key().to_account_id();
        let nonce = in_time("an account's nonce", self.legacy.system_account_next_index(&account)).await?;
        let at = in_time("the finalized head", self.api.at_current_block()).await?;
        let params = DefaultExtrinsicParamsBuilder::new().nonce(nonce).build();
        let mut transactions = at.transactions();
        let signed = transactions.create_signed(call, signer, params).await.map_err(Error::unsent(what))?;
        signed.submit_and_watch().await.map_err(|e| match e {
            ExtrinsicError::ErrorSubmittingTransaction(BackendError::Rpc(RpcError::ClientError(error))) => {
                Error::not_taken(what, whole_answer(error))
            }
            error => Error::unsent(what)(error),
        })
    }

    /// Submits a feeder's price of one TFT, in 1e-7 USD.
    pub async fn feed_price(&self, price: TftPrice, feeder: &Keypair) -> Result<Included, Error> {
        let values =
            api::runtime_types::bounded_collections::bounded_vec::BoundedVec(vec![(PriceKey::TftUsd, price)]);
        self.submit("the price of TFT", &api::transactions().oracle().feed_values(values), feeder).await
    }

    /// Registers a machine with the farm of its boot ticket.
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

    /// Reports that a node is alive.
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

    /// Reports that a contract is deployed.
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

    /// Reports that a contract can't be deployed.
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

    /// Reports the usage of contracts: at most 64 items.
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

    /// Reports that a deployment is under way and needs more time.
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

    /// Reports that a node has removed all of a closed contract.
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

    /// Reports a node's hardware.
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

    /// Reports that a node sleeps or wakes.
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

    /// Submits a call that carries its own signature, and returns when the pool has accepted it.
    async fn send_authorized(&self, what: &str, call: &impl Payload) -> Result<(), Error> {
        let at = in_time("the finalized head", self.api.at_current_block()).await?;
        let params = DefaultExtrinsicParamsBuilder::new().nonce(0).build();
        let transactions = at.transactions();
        let mut general =
            transactions.create_v5_signable_offline(call, params).map_err(Error::unsent(what))?;
        // The runtime has no extension that carries a signature: neither of these two is encoded.
        let (nobody, nothing) = (AccountId32([0; 32]), MultiSignature::Sr25519([0; 64]));
        let encoded = general
            .sign_with_account_and_signature(&nobody, &nothing)
            .map_err(Error::unsent(what))?
            .into_encoded();
        let submitting = self.legacy.author_submit_extrinsic(&encoded);
        match tokio::time::timeout(ANSWER_WITHIN, submitting).await {
            Ok(answer) => answer.map(drop).map_err(|e| Error::not_taken(what, whole_answer(e))),
            Err(_) => Err(Error::TimedOut { what: what.into(), within: ANSWER_WITHIN }),
        }
    }
}

/// The node's answer with its data, which subxt's message leaves out and which has the reason.
fn whole_answer(error: subxt::rpcs::Error) -> String {
    match &error {
        subxt::rpcs::Error::User(user) => match &user.data {
            Some(data) => format!("{}: {}", user.message, data.get()),
            None => user.message.clone(),
        },
        _ => error.to_string(),
    }
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
