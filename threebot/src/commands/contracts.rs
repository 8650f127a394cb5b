// SPDX-License-Identifier: Apache-2.0

use crate::{output::Answer, session::Session};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tfgrid_client::{
    At,
    api::{
        self,
        runtime_types::{pallet_contracts::types::ContractKind, tfgrid_primitives::ledger::Rates},
    },
    primitives::{
        Balance, Body, ContractId, FailureCode, UsdAmount,
        units::GIB,
        views::{Claim, ClosingReason, ContractStatus, TwinContract},
    },
    units::{format_tft, format_usd},
};

/// Units of a rate or an amount in one USD.
const USD_UNITS: f64 = 1e10;

pub async fn list(session: &Session) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    let twin = session.twin(&at).await?;
    let contracts = at.contracts_of_twin(twin).await?;
    let values: Vec<Value> = contracts.iter().map(listed_value).collect();
    if contracts.is_empty() {
        return Ok(Answer::new("nothing runs", json!({ "contracts": values })));
    }
    let mut text =
        format!("{:>8}  {:<20}  {:<12}  {:>12}  {:>14}", "CONTRACT", "ON", "STATE", "USD/HOUR", "TFT SO FAR");
    for contract in &contracts {
        text.push('\n');
        text.push_str(&listed_row(contract));
    }
    Ok(Answer::new(text, json!({ "contracts": values })))
}

fn listed_row(contract: &TwinContract) -> String {
    let on = match &contract.claim {
        Claim::Node { node, .. } => format!("node {node}"),
        Claim::Rent { node } => format!("the whole node {node}"),
        Claim::Name { name } => format!("name {}", String::from_utf8_lossy(name)),
    };
    let (state, tft, _) = standing(&contract.status);
    format!(
        "{:>8}  {on:<20}  {state:<12}  {:>12.6}  {:>14}",
        contract.contract,
        contract.rate.saturating_add(contract.extra) as f64 / USD_UNITS,
        format_tft(tft),
    )
}

fn listed_value(contract: &TwinContract) -> Value {
    let (state, tft, usd) = standing(&contract.status);
    let mut value = json!({
        "contract": contract.contract,
        "state": state,
        "rate": contract.rate,
        "extra_fee": contract.extra,
        "charged_tft_units": tft.to_string(),
        "charged_usd_units": usd.to_string(),
    });
    let claim = match &contract.claim {
        Claim::Node { node, resources, public_ips } => {
            json!({ "kind": "node", "node": node, "resources": resources, "public_ips": public_ips })
        }
        Claim::Rent { node } => json!({ "kind": "rent", "node": node }),
        Claim::Name { name } => json!({ "kind": "name", "name": String::from_utf8_lossy(name) }),
    };
    merge(&mut value, claim);
    value
}

/// A status as a word, with what was charged so far: 1e-7 TFT and 1e-10 USD.
fn standing(status: &ContractStatus) -> (&'static str, Balance, UsdAmount) {
    match *status {
        ContractStatus::Created => ("created", 0, 0),
        ContractStatus::Deployed { tft, usd } => ("deployed", tft, usd),
        ContractStatus::Paused { tft, usd } => ("paused", tft, usd),
        ContractStatus::NodeOffline { tft, usd } => ("node offline", tft, usd),
        ContractStatus::Closed { tft, usd, .. } => ("closed", tft, usd),
    }
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
        closed.node.map_or("none".into(), |node| node.to_string()),
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
    session.submit("cancel", &call).await?;
    show(session, contract).await
}

/// What people want to know of an open contract.
struct Facts {
    contract: ContractId,
    claim: ContractKind,
    state: &'static str,
    rate: u64,
    extra: u64,
    tft: Balance,
    usd: UsdAmount,
    result: Option<Value>,
    usage: Option<Value>,
    body: Option<String>,
}

async fn facts(at: &At, contract: ContractId) -> Result<Option<Facts>> {
    let (Some(record), Some(status)) = (at.contract(contract).await?, at.contract_status(contract).await?)
    else {
        return Ok(None);
    };
    let (state, tft, usd) = standing(&status);
    let result = at
        .result(contract)
        .await?
        .map(|bytes| serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(hex::encode(&bytes))));
    let usage = at.usage(contract).await?.and_then(|usage| serde_json::to_value(usage).ok());
    let body = at.body(contract).await?.map(|body| match body {
        Body::Plain(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Body::Sealed(bytes) => format!("sealed, {} bytes", bytes.len()),
    });
    let Rates { usd: rate, extra } = record.rates;
    Ok(Some(Facts { contract, claim: record.kind, state, rate, extra, tft, usd, result, usage, body }))
}

impl Facts {
    fn text(&self) -> String {
        let mut lines = vec![
            format!("contract  {}", self.contract),
            format!("state     {}", self.state),
            self.claim_text(),
        ];
        lines.push(format!("rate      {} USD per hour", format_usd(self.rate.into())));
        if self.extra > 0 {
            lines.push(format!("extra     {} USD per hour, the farmer's fee", format_usd(self.extra.into())));
        }
        lines.push(format!("charged   {} TFT, {:.6} USD", format_tft(self.tft), self.usd as f64 / USD_UNITS));
        if matches!(self.claim, ContractKind::Node(_)) {
            let or_none = |value: &Option<Value>| value.as_ref().map_or("none yet".into(), Value::to_string);
            lines.push(format!("result    {}", or_none(&self.result)));
            lines.push(format!("usage     {}", or_none(&self.usage)));
            lines.push(format!("body      {}", self.body.as_deref().unwrap_or("none")));
        }
        lines.join("\n")
    }

    fn claim_text(&self) -> String {
        let gib = |bytes: u64| bytes as f64 / GIB as f64;
        match &self.claim {
            ContractKind::Node(deployment) => {
                let resources = *deployment.resources;
                let pending = match &deployment.pending {
                    Some(pending) => format!(", version {} is on its way", pending.version),
                    None => String::new(),
                };
                format!(
                    "node      {}\nversion   {}{pending}\nreserved  {} cores, {:.2} GiB memory, {:.2} GiB SSD, {} \
                     public IPs",
                    deployment.node,
                    deployment.version,
                    resources.cru,
                    gib(resources.mru),
                    gib(resources.sru),
                    deployment.public_ips,
                )
            }
            ContractKind::Rent { node } => format!("node      {node}, the whole of it"),
            ContractKind::Name { name } => format!("name      {}", String::from_utf8_lossy(&name.0)),
        }
    }

    fn value(&self) -> Value {
        let mut value = json!({
            "contract": self.contract,
            "state": self.state,
            "rate": self.rate,
            "extra_fee": self.extra,
            "charged_tft_units": self.tft.to_string(),
            "charged_usd_units": self.usd.to_string(),
            "result": self.result,
            "usage": self.usage,
            "body": self.body,
        });
        let claim = match &self.claim {
            ContractKind::Node(deployment) => json!({
                "kind": "node",
                "node": deployment.node,
                "resources": *deployment.resources,
                "public_ips": deployment.public_ips,
                "version": deployment.version,
                "pending_version": deployment.pending.as_ref().map(|pending| pending.version),
            }),
            ContractKind::Rent { node } => json!({ "kind": "rent", "node": node }),
            ContractKind::Name { name } => {
                json!({ "kind": "name", "name": String::from_utf8_lossy(&name.0) })
            }
        };
        merge(&mut value, claim);
        value
    }
}

/// Why the node refused a version of a contract, where it did so in this block.
pub async fn rejection(at: &At, contract: ContractId, version: u32) -> Result<Option<String>> {
    let events = at.raw().events().fetch().await.context("can't read a block's events")?;
    for event in events.find::<api::contracts::events::DeploymentRejected>() {
        let event = event.context("can't read the event of a rejection")?;
        if event.contract == contract && event.version == version {
            let path = String::from_utf8_lossy(&event.path.0).into_owned();
            let place = if path.is_empty() { String::new() } else { format!(", at {path}") };
            return Ok(Some(format!("{} ({:?}){place}", failure_text(*event.code), *event.code)));
        }
    }
    Ok(None)
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
