// SPDX-License-Identifier: Apache-2.0

use crate::{output::Answer, session::Session};
use anyhow::{bail, Result};
use serde_json::{json, Value};
use tfgrid_client::{
    api,
    primitives::{
        units::GIB,
        views::{ClosingReason, ContractStatus},
        Balance, Body, ContractId, FailureCode, Resources, UsdAmount,
    },
    units::format_tft,
    At,
};

/// Units of a rate or an amount in one USD.
const USD_UNITS: f64 = 1e10;

pub async fn list(session: &Session) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    let twin = session.twin(&at).await?;
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for contract in at.contracts_of_twin(twin).await? {
        let Some(facts) = facts(&at, contract).await? else { continue };
        rows.push(facts.row());
        values.push(facts.value());
    }
    let mut text =
        format!("{:>8}  {:>6}  {:<9}  {:>12}  {:>14}", "CONTRACT", "NODE", "STATE", "USD/HOUR", "TFT SO FAR");
    if rows.is_empty() {
        text = "nothing runs".into();
    }
    for row in rows {
        text.push('\n');
        text.push_str(&row);
    }
    Ok(Answer::new(text, json!({ "contracts": values })))
}

pub async fn show(session: &Session, contract: ContractId) -> Result<Answer> {
    show_with(session, contract, json!({})).await
}

/// [`show`], with more fields in the JSON.
pub async fn show_with(session: &Session, contract: ContractId, more: Value) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    if let Some(facts) = facts(&at, contract).await? {
        let mut value = facts.value();
        merge(&mut value, more);
        return Ok(Answer::new(facts.text(), value));
    }
    let Some(closed) = at.closed(contract).await? else {
        bail!(
            "no contract has the id {contract}, or it was closed so long ago that the chain has forgotten it"
        );
    };
    let text = format!(
        "contract  {contract}\nstate     closed: {}\nnode      {}\ncharged   {} TFT, {:.6} USD",
        reason_text(&closed.reason),
        closed.node,
        format_tft(closed.tft),
        closed.usd as f64 / USD_UNITS,
    );
    let value = json!({
        "contract": contract,
        "state": "closed",
        "reason": reason_value(&closed.reason),
        "node": closed.node,
        "closed_at": closed.closed_at_unix,
        "charged_tft_units": closed.tft.to_string(),
        "charged_usd_units": closed.usd.to_string(),
    });
    Ok(Answer::new(text, value))
}

pub async fn cancel(session: &Session, contract: ContractId) -> Result<Answer> {
    let reason = api::runtime_types::pallet_contracts::types::CancelReason::Cancelled;
    let call = api::transactions().contracts().cancel(contract, reason);
    session.grid.submit("cancel", &call, &session.key).await?;
    show(session, contract).await
}

/// What people want to know of an open contract.
struct Facts {
    contract: ContractId,
    node: u32,
    state: &'static str,
    rate: u64,
    tft: Balance,
    usd: UsdAmount,
    resources: Resources,
    result: Option<Value>,
    usage: Option<Value>,
    body: Option<String>,
}

async fn facts(at: &At, contract: ContractId) -> Result<Option<Facts>> {
    let (Some(record), Some(status)) = (at.contract(contract).await?, at.contract_status(contract).await?)
    else {
        return Ok(None);
    };
    let (state, tft, usd) = match status {
        ContractStatus::Created => ("created", 0, 0),
        ContractStatus::Deployed { tft, usd } => ("deployed", tft, usd),
        ContractStatus::Paused { tft, usd } => ("paused", tft, usd),
        ContractStatus::NodeOffline { tft, usd } => ("node offline", tft, usd),
        ContractStatus::Closed { .. } => return Ok(None),
    };
    let api::runtime_types::pallet_contracts::types::ContractKind::Node { node, resources, .. } = record.kind;
    let result = at
        .result(contract)
        .await?
        .map(|bytes| serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(hex::encode(&bytes))));
    let usage = at.usage(contract).await?.and_then(|usage| serde_json::to_value(usage).ok());
    let body = at.body(contract).await?.map(|body| match body {
        Body::Plain(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Body::Sealed(bytes) => format!("sealed, {} bytes", bytes.len()),
    });
    let resources = *resources;
    let rate = record.rates.usd;
    Ok(Some(Facts { contract, node, state, rate, tft, usd, resources, result, usage, body }))
}

impl Facts {
    fn row(&self) -> String {
        format!(
            "{:>8}  {:>6}  {:<9}  {:>12.6}  {:>14}",
            self.contract,
            self.node,
            self.state,
            self.rate as f64 / USD_UNITS,
            format_tft(self.tft),
        )
    }

    fn text(&self) -> String {
        let or_none = |value: &Option<Value>| value.as_ref().map_or("none yet".into(), Value::to_string);
        let gib = |bytes: u64| bytes as f64 / GIB as f64;
        format!(
            "contract  {}\nstate     {}\nnode      {}\nreserved  {} cores, {:.2} GiB memory, {:.2} GiB SSD\n\
             rate      {:.6} USD per hour\ncharged   {} TFT, {:.6} USD\nresult    {}\nusage     {}\nbody      {}",
            self.contract,
            self.state,
            self.node,
            self.resources.cru,
            gib(self.resources.mru),
            gib(self.resources.sru),
            self.rate as f64 / USD_UNITS,
            format_tft(self.tft),
            self.usd as f64 / USD_UNITS,
            or_none(&self.result),
            or_none(&self.usage),
            self.body.as_deref().unwrap_or("none"),
        )
    }

    fn value(&self) -> Value {
        json!({
            "contract": self.contract,
            "state": self.state,
            "node": self.node,
            "resources": self.resources,
            "rate": self.rate,
            "charged_tft_units": self.tft.to_string(),
            "charged_usd_units": self.usd.to_string(),
            "result": self.result,
            "usage": self.usage,
            "body": self.body,
        })
    }
}

/// Why a contract closed, as a sentence.
pub fn reason_text(reason: &ClosingReason) -> String {
    match reason {
        ClosingReason::Cancelled => "its owner cancelled it".into(),
        ClosingReason::NotDelivered => "its owner says that the node didn't deliver".into(),
        ClosingReason::OutOfFunds => "its owner's credit was used up".into(),
        ClosingReason::NodeRejected { code } => {
            format!("the node can't deploy it: {} ({code:?})", failure_text(*code))
        }
        ClosingReason::NodeSilent => "the node didn't answer in time".into(),
        ClosingReason::NodeRemoved => "the node is gone".into(),
        ClosingReason::Drained => "the farmer drained the node".into(),
        ClosingReason::ByGovernance => "governance closed it".into(),
    }
}

fn failure_text(code: FailureCode) -> &'static str {
    match code {
        FailureCode::BodyNotJson => "the body isn't JSON or not a deployment",
        FailureCode::BodyUnsupported => "the body asks for something that this node doesn't know",
        FailureCode::BodyInvalid => "the body breaks a rule",
        FailureCode::OverReserved => "the workloads need more than is reserved",
        FailureCode::ImageNotFound => "the registry says that the image doesn't exist",
        FailureCode::ImageTooLarge => "the image is larger than the contract's disk",
        FailureCode::WorkloadExited => "the workload ended by itself again and again",
    }
}

fn reason_value(reason: &ClosingReason) -> Value {
    serde_json::to_value(reason).unwrap_or_else(|_| Value::String(format!("{reason:?}")))
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}
