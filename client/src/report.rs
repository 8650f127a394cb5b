// SPDX-License-Identifier: Apache-2.0
//! Submits registrations and reports of machines: calls that carry their own signatures and cost nothing.

use crate::{
    Error, GridClient, MachineKey,
    api::{self, runtime_types::bounded_collections::bounded_vec::BoundedVec},
    client::{ANSWER_WITHIN, in_time},
};
use subxt::{rpcs, transactions::Payload, utils::Static};
use tfgrid_primitives::{
    NodeId, Registration, ReportKind, UsageItem,
    report::{
        DeployedPayload, DetailsPayload, FailedPayload, HeartbeatPayload, PowerPayload, ProgressPayload,
        ReleasedPayload,
    },
};

/// A function for each kind of report, which signs it with the node's key and submits it.
macro_rules! reports {
    ($($(#[$doc:meta])* $name:ident($payload:ty) of $pallet:ident, $kind:ident, $what:literal;)*) => {
        impl GridClient {$(
            $(#[$doc])*
            pub async fn $name(
                &self,
                key: &MachineKey,
                node: NodeId,
                sequence: u64,
                payload: $payload,
            ) -> Result<(), Error> {
                let signature = key.sign_report(self.genesis(), node, ReportKind::$kind, sequence, &payload);
                let call = api::transactions().$pallet().$name(node, sequence, Static(payload), signature.0);
                self.send_bare($what, &call).await
            }
        )*}
    };
}

reports! {
    /// Reports that a node is alive.
    heartbeat(HeartbeatPayload) of nodes, Heartbeat, "the heartbeat";
    /// Reports that a contract is deployed.
    report_deployed(DeployedPayload) of contracts, Deployed, "the report of a deployment";
    /// Reports that a contract can't be deployed.
    report_failed(FailedPayload) of contracts, Failed, "the report of a failure";
    /// Reports that a deployment is under way and needs more time.
    report_progress(ProgressPayload) of contracts, Progress, "the report of progress";
    /// Reports that a node has removed all of a closed contract.
    report_released(ReleasedPayload) of contracts, Released, "the report of a release";
    /// Reports a node's hardware.
    report_details(DetailsPayload) of nodes, Details, "the report of details";
    /// Reports that a node sleeps or wakes.
    report_power(PowerPayload) of nodes, Power, "the report of power";
}

impl GridClient {
    /// Registers a machine with the farm of its boot ticket.
    pub async fn register(
        &self,
        registration: &Registration,
        ticket: &MachineKey,
        node: &MachineKey,
    ) -> Result<(), Error> {
        let by = |key: &MachineKey| key.sign_registration(self.genesis(), registration).0;
        let call = api::transactions().nodes().register(Static(*registration), by(ticket), by(node));
        self.send_bare("the registration", &call).await
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
        let items = BoundedVec(items);
        let call = api::transactions().contracts().report_usage(node, sequence, items, signature.0);
        self.send_bare("the report of usage", &call).await
    }

    /// Submits a call that carries its own signature, and returns when the pool has accepted it.
    async fn send_bare(&self, what: &str, call: &impl Payload) -> Result<(), Error> {
        let at = in_time("the finalized head", self.api.at_current_block()).await?;
        let bare = at.transactions().create_v5_unsigned(call).map_err(Error::unsent(what))?;
        let submitting = self.legacy.author_submit_extrinsic(bare.encoded());
        match tokio::time::timeout(ANSWER_WITHIN, submitting).await {
            Ok(answer) => answer.map(drop).map_err(|e| Error::not_taken(what, whole_answer(e))),
            Err(_) => Err(Error::TimedOut { what: what.into(), within: ANSWER_WITHIN }),
        }
    }
}

/// The node's answer with its data, which subxt's message leaves out and which has the reason.
pub(crate) fn whole_answer(error: rpcs::Error) -> String {
    match &error {
        rpcs::Error::User(user) => match &user.data {
            Some(data) => format!("{}: {}", user.message, data.get()),
            None => user.message.clone(),
        },
        _ => error.to_string(),
    }
}
