// SPDX-License-Identifier: Apache-2.0
//! Contracts as text and as JSON.

use crate::{
    closing::Closing,
    foreseen::Foreseen,
    output::{Answer, WIDTH, counted, message, row},
    session::Session,
    time::{exact_moment, stretch},
};
use anyhow::Result;
use serde_json::{Map, Value, json};
use std::{error::Error, fmt, net::IpAddr};
use tfgrid_client::{
    GridAt,
    api::runtime_types::pallet_grid_contracts::types::{Contract, ContractKind, ContractState, Deployment},
    deployment::{Deployment as Workloads, UNTOLD, WITHHELD, WorkloadData},
    primitives::{
        Balance, Body, ContractId, FailureCode, Rates, Resources, TwinId, UnixSeconds, UsageTotals,
        UsdAmount,
        report::Failure,
        traits::ContractPrice,
        units::{GIB, MIB},
        views::{ClosedContract, ClosingReason, ContractStatus, TwinContract},
    },
    public_ip::PublicIp,
    sealing::SealKey,
    units::{format_tft, format_usd},
};

/// A status as a word, with the charge so far: 1e-7 TFT and 1e-10 USD.
pub fn status_columns(status: &ContractStatus) -> (&'static str, Balance, UsdAmount) {
    match *status {
        ContractStatus::Created => ("created", 0, 0),
        ContractStatus::Deployed { tft, usd } => ("deployed", tft, usd),
        ContractStatus::Paused { tft, usd } => ("paused", tft, usd),
        ContractStatus::NodeOffline { tft, usd } => ("node offline", tft, usd),
        ContractStatus::Closed { tft, usd, .. } => ("closed", tft, usd),
    }
}

/// An open contract of this twin.
pub async fn own_contract(at: &GridAt, twin: TwinId, contract: ContractId) -> Result<TwinContract> {
    let contracts = at.contracts_of_twin(twin).await?;
    match contracts.into_iter().find(|own| own.contract == contract) {
        Some(found) => Ok(found),
        None => Err(not_own(at, twin, contract).await?),
    }
}

/// The record of an open contract of this twin.
pub async fn own_record(at: &GridAt, twin: TwinId, contract: ContractId) -> Result<Contract> {
    match at.contract(contract).await? {
        Some(record) if record.twin == twin => Ok(record),
        _ => Err(not_own(at, twin, contract).await?),
    }
}

/// The error for a contract that isn't an open one of this twin.
async fn not_own(at: &GridAt, twin: TwinId, contract: ContractId) -> Result<anyhow::Error> {
    if let Some(record) = at.contract(contract).await? {
        let text = format!("contract {contract} belongs to twin {}, and you are twin {twin}", record.twin);
        return Ok(Foreseen::new("Contracts.NotOwner", text).into());
    }
    not_open(at, contract).await
}

/// The error for a contract that isn't open.
pub async fn not_open(at: &GridAt, contract: ContractId) -> Result<anyhow::Error> {
    Ok(match at.closed(contract).await? {
        Some(closed) => anyhow::anyhow!("contract {contract} is {}", closing_text(&closed)),
        None => unknown(contract),
    })
}

fn closing_text(closed: &ClosedContract) -> String {
    format!("closed since {}: {}", exact_moment(closed.closed_at_unix), reason_text(&closed.reason))
}

/// A version that awaits its node's answer.
pub struct Pending {
    pub version: u32,
    pub resources: Resources,
    /// The deposit of an update; `None` for a first version, whose deposit is the contract's.
    pub deposit: Option<Balance>,
    asked_at: UnixSeconds,
    answer_by: UnixSeconds,
    /// When the node reported on the contract last, if it did since it was asked.
    reported_at: Option<UnixSeconds>,
    now: UnixSeconds,
}

impl Pending {
    /// That of an open contract, if there is one: the first version, or an update.
    pub async fn read(at: &GridAt, contract: ContractId) -> Result<Option<Self>> {
        match at.contract(contract).await? {
            Some(record) => Self::of(at, &record).await,
            None => Ok(None),
        }
    }

    async fn of(at: &GridAt, record: &Contract) -> Result<Option<Self>> {
        let ContractKind::Node(deployment) = &record.kind else { return Ok(None) };
        let (version, resources, deposit, answer) = match &deployment.pending {
            Some(pending) => (pending.version, *pending.resources, Some(pending.deposit), &pending.answer),
            None if matches!(record.state, ContractState::Created) => {
                (deployment.version, *deployment.resources, None, &deployment.answer)
            }
            None => return Ok(None),
        };
        let (grid_now, now) = (at.grid_info().await?.grid_now, at.timestamp_ms().await? / 1_000);
        let past = |then| now.saturating_sub(grid_now.saturating_sub(then) / 1_000);
        let reported = deployment.last_report.at;
        Ok(Some(Self {
            version,
            resources,
            deposit,
            asked_at: past(answer.asked_at),
            answer_by: now.saturating_add(answer.by.saturating_sub(grid_now) / 1_000),
            reported_at: (reported > answer.asked_at).then(|| past(reported)),
            now,
        }))
    }

    /// How long it has been reserved, in milliseconds.
    pub fn reserved_ms(&self) -> u64 {
        self.now.min(self.answer_by).saturating_sub(self.asked_at).saturating_mul(1_000)
    }

    pub fn text(&self) -> String {
        let ago = |then| stretch(self.now.saturating_sub(then));
        let reported = match self.reported_at {
            Some(at) => format!("the node's last report on it came {} ago", ago(at)),
            None => "no report of the node's on it is on the chain yet".into(),
        };
        format!(
            "version {} was asked for {} ago; {reported}; that it runs must be reported by {} (in {})",
            self.version,
            ago(self.asked_at),
            exact_moment(self.answer_by),
            stretch(self.answer_by.saturating_sub(self.now)),
        )
    }

    /// What a contract shows of it in JSON.
    pub fn value(&self) -> Value {
        json!({
            "version": self.version,
            "asked_at": self.asked_at,
            "reported_at": self.reported_at,
            "answer_by": self.answer_by,
        })
    }
}

/// The error for an id of which the chain knows nothing.
pub fn unknown(contract: ContractId) -> anyhow::Error {
    anyhow::anyhow!(
        "no contract has the id {contract}, or it was closed so long ago that the chain has forgotten it"
    )
}

/// All about a contract, open or closed lately.
pub async fn answer(session: &Session, contract: ContractId, key: Option<&SealKey>) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    if let Some(open) = OpenContract::read(&at, contract, key).await? {
        return Ok(Answer::new(open.text(), open.value()));
    }
    let closed = at.closed(contract).await?.ok_or_else(|| unknown(contract))?;
    let rejected = matches!(closed.reason, ClosingReason::NodeRejected { .. });
    let failure = at.failure(contract).await?.filter(|_| rejected);
    let failure = failure.as_ref();
    Ok(Answer::new(closed_text(contract, &closed, failure), closed_value(contract, &closed, failure)))
}

fn closed_text(contract: ContractId, closed: &ClosedContract, failure: Option<&Failure>) -> String {
    let mut lines = vec![row("contract", &contract.to_string()), row("state", &closing_text(closed))];
    lines.extend(failure.map(failure_row));
    lines.extend(closed.node.map(|node| row("node", &node.to_string())));
    lines.push(row("charged", &charged_text(closed.tft, closed.usd)));
    lines.join("\n")
}

fn charged_text(tft: Balance, usd: UsdAmount) -> String {
    format!("{} TFT, {} USD", format_tft(tft), format_usd(usd))
}

/// A body, as far as it can be read, and why it can't be opened where there is a key.
fn body_text(body: &Body<Vec<u8>>, key: Option<&SealKey>) -> (String, Option<String>) {
    let opened = key.map(|key| match body {
        Body::Plain(bytes) => with_open_secrets(bytes, key),
        Body::Sealed(bytes) => Ok(key.open(bytes)?),
    });
    let as_it_is = || match body {
        Body::Plain(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Body::Sealed(bytes) => format!("sealed, {} bytes", bytes.len()),
    };
    match opened {
        Some(Ok(clear)) => (String::from_utf8_lossy(&clear).into_owned(), None),
        Some(Err(why)) => (as_it_is(), Some(message(&why))),
        None => (as_it_is(), None),
    }
}

fn with_open_secrets(plain: &[u8], key: &SealKey) -> Result<Vec<u8>> {
    match Workloads::parse(plain) {
        Ok(deployment) if deployment.secrets.is_some() => {
            Ok(serde_json::to_vec(&deployment.with_open_secrets(key)?)?)
        }
        _ => Ok(plain.to_vec()),
    }
}

/// A failure in what `show` says.
fn failure_row(failure: &Failure) -> String {
    row("failed", &format!("version {}: {}", failure.version, failure_text(failure, None)))
}

fn closed_value(contract: ContractId, closed: &ClosedContract, failure: Option<&Failure>) -> Value {
    json!({
        "contract": contract,
        "state": "closed",
        "reason": reason_name(&closed.reason),
        "failure": failure.map(failure_value),
        "node": closed.node,
        "closed_at": closed.closed_at_unix,
        "charged_tft_1e7": closed.tft.to_string(),
        "charged_usd_1e10": closed.usd.to_string(),
    })
}

struct OpenContract {
    contract: ContractId,
    kind: ContractKind,
    state: &'static str,
    pending: Option<Pending>,
    closes: Vec<Closing>,
    price: ContractPrice,
    tft: Balance,
    usd: UsdAmount,
    /// What the node wrote; `None` before the contract is deployed.
    result: Option<Value>,
    usage: Option<UsageTotals>,
    /// Why the node rejected the last version, if it did.
    failure: Option<Failure>,
    /// Public traffic that was bought and isn't used, in bytes.
    traffic_left: u64,
    /// Public addresses of the farm's that it has.
    addresses: Vec<IpAddr>,
    body: Option<String>,
    /// Why the key doesn't open the body.
    not_opened: Option<String>,
}

impl OpenContract {
    async fn read(at: &GridAt, contract: ContractId, key: Option<&SealKey>) -> Result<Option<Self>> {
        let (Some(record), Some(status), Some(price)) =
            (at.contract(contract).await?, at.contract_status(contract).await?, at.price_of(contract).await?)
        else {
            return Ok(None);
        };
        let (state, tft, usd) = status_columns(&status);
        let result = at.result(contract).await?;
        let last_version = match &record.kind {
            ContractKind::Node(deployment) => deployment.last_version,
            _ => 0,
        };
        let failure = at.failure(contract).await?.filter(|failure| failure.version == last_version);
        let (body, not_opened) = at.body(contract).await?.map(|body| body_text(&body, key)).unzip();
        let drain = match &record.kind {
            ContractKind::Node(Deployment { node, .. }) | ContractKind::Rent { node } => {
                Closing::of_drain(at, *node).await?
            }
            ContractKind::Name { .. } => None,
        };
        let grace = Closing::of_grace(at, record.twin).await?;
        Ok(Some(Self {
            contract,
            pending: Pending::of(at, &record).await?,
            closes: drain.into_iter().chain(grace).collect(),
            kind: record.kind,
            state,
            price,
            tft,
            usd,
            result: result.map(|bytes| {
                serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(hex::encode(&bytes)))
            }),
            usage: at.usage(contract).await?,
            failure,
            traffic_left: at.traffic_left(contract).await?,
            addresses: at.public_ips(contract).await?.iter().flat_map(PublicIp::ips).collect(),
            body,
            not_opened: not_opened.flatten(),
        }))
    }

    fn text(&self) -> String {
        let Rates { usd, extra } = self.price.rates;
        let mut lines =
            vec![row("contract", &self.contract.to_string()), row("state", self.state), self.kind_text()];
        lines.extend(self.closes.iter().map(|closing| row("closes", &closing.text())));
        lines.extend(self.pending.as_ref().map(|pending| row("pending", &pending.text())));
        lines.extend(self.failure.as_ref().map(failure_row));
        lines.push(row("rate", &format!("{} USD per hour", format_usd(usd.into()))));
        if extra > 0 {
            lines.push(row("extra", &format!("{} USD per hour, the farmer's fee", format_usd(extra.into()))));
        }
        lines.push(row("charged", &charged_text(self.tft, self.usd)));
        if matches!(self.kind, ContractKind::Node(_)) {
            lines.extend(addresses_row(&json!({ "addresses": self.addresses })));
            lines.push(row("result", &self.result.as_ref().map_or("none yet".into(), result_text)));
            lines.push(row("usage", &self.usage.as_ref().map_or("none yet".into(), usage_text)));
            if self.traffic_left > 0 {
                lines.push(row("traffic", &format!("{} left", size_text(self.traffic_left))));
            }
            if self.is_withheld() {
                let events =
                    format!("`threebot events {}` has what is told to its owner alone", self.contract);
                lines.push(row("events", &events));
            }
            let body = readable(self.body.as_deref().unwrap_or("none"));
            lines.push(format!("body      {}", body.replace('\n', "\n          ")));
            lines.extend(self.not_opened.as_ref().map(|why| row("not open", why)));
        }
        lines.join("\n")
    }

    /// Whether the node has left out what its owner alone is told.
    fn is_withheld(&self) -> bool {
        let failure =
            self.failure.as_ref().map(|failure| String::from_utf8_lossy(&failure.text).into_owned());
        let result = self.result.as_ref().map(Value::to_string);
        [failure, result].into_iter().flatten().any(|text| text.contains(WITHHELD))
    }

    fn kind_text(&self) -> String {
        match &self.kind {
            ContractKind::Node(deployment) => deployment_text(deployment, self.price.public_ips),
            ContractKind::Rent { node } => format!("node      {node}, the whole of it"),
            ContractKind::Name { name } => format!("name      {}", String::from_utf8_lossy(&name.0)),
        }
    }

    fn value(&self) -> Value {
        let mut value = json!({
            "contract": self.contract,
            "state": self.state,
            "rate_usd_1e10": self.price.rates.usd.to_string(),
            "extra_fee_usd_1e10": self.price.rates.extra.to_string(),
            "charged_tft_1e7": self.tft.to_string(),
            "charged_usd_1e10": self.usd.to_string(),
            "result": self.result,
            "usage": self.usage,
            "failure": self.failure.as_ref().map(failure_value),
            "traffic_left": self.traffic_left,
            "addresses": self.addresses,
            "pending": self.pending.as_ref().map(Pending::value),
            "closes": self.closes.iter().map(Closing::value).collect::<Vec<_>>(),
            "body": self.body,
            "body_not_opened": self.not_opened,
        });
        let kind = match &self.kind {
            ContractKind::Node(deployment) => json!({
                "kind": "node",
                "node": deployment.node,
                "resources": *deployment.resources,
                "public_ips": self.price.public_ips,
                "version": deployment.version,
                "pending_version": deployment.pending.as_ref().map(|pending| pending.version),
            }),
            ContractKind::Rent { node } => json!({ "kind": "rent", "node": node }),
            ContractKind::Name { name } => {
                json!({ "kind": "name", "name": String::from_utf8_lossy(&name.0) })
            }
        };
        merge(&mut value, kind);
        value
    }
}

/// The public addresses of a contract, which its value names.
pub fn addresses_row(value: &Value) -> Option<String> {
    let addresses: Vec<&str> = value["addresses"].as_array()?.iter().filter_map(Value::as_str).collect();
    (!addresses.is_empty()).then(|| row("addresses", &addresses.join(", ")))
}

fn deployment_text(deployment: &Deployment, public_ips: u8) -> String {
    let resources = *deployment.resources;
    format!(
        "node      {}\nversion   {}\nreserved  {}, {} memory, {} SSD, {}",
        deployment.node,
        deployment.version,
        counted(resources.cru, "core"),
        size_text(resources.mru),
        size_text(resources.sru),
        counted(public_ips.into(), "public IP"),
    )
}

/// What a node wrote, a line for each site and machine.
pub fn result_text(result: &Value) -> String {
    let Value::Object(entries) = result else { return result.to_string() };
    let entry = |(name, told): (&String, &Value)| match told {
        Value::Object(fields) => format!("{name}: {}", told_text(fields)),
        count if name == "+" => format!("{count} more"),
        other => format!("{name}: {other}"),
    };
    entries.iter().map(entry).collect::<Vec<_>>().join("\n")
}

/// What a node wrote of a site or a machine, in words. What isn't known stays as it is.
fn told_text(fields: &Map<String, Value>) -> String {
    const ORDER: [&str; 8] = ["url", "ip", "public_ip", "ipv6", "health", "restarts", "exit", "line"];
    let known = ORDER.iter().filter_map(|name| fields.get_key_value(*name));
    let others = fields.iter().filter(|(name, _)| !ORDER.contains(&name.as_str()));
    let has_ended = fields.contains_key("exit");
    let texts = known.chain(others).map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match name.as_str() {
            "url" | "health" => text,
            "ip" => format!("address {text}"),
            "public_ip" | "ipv6" => format!("public address {text}"),
            "restarts" => format!("restarts: {text}"),
            "exit" => format!("exit code {text}"),
            "line" if has_ended => format!("last line: {text}"),
            // Why a site isn't published.
            "line" => text,
            other => format!("{other} {text}"),
        }
    });
    texts.collect::<Vec<_>>().join(", ")
}

/// JSON that has lines too long to read, in shorter ones.
fn readable(body: &str) -> String {
    let is_long = body.lines().any(|line| line.len() > WIDTH);
    let pretty =
        || serde_json::from_str(body).and_then(|json: Value| serde_json::to_string_pretty(&json)).ok();
    is_long.then(pretty).flatten().unwrap_or_else(|| body.into())
}

fn usage_text(usage: &UsageTotals) -> String {
    format!(
        "{} s CPU, {} memory, {} disk, {} received, {} sent",
        usage.cpu_ms / 1_000,
        size_text(usage.memory_bytes),
        size_text(usage.disk_bytes),
        size_text(usage.received_bytes),
        size_text(usage.sent_bytes),
    )
}

/// Bytes with two digits behind the point, in GiB or MiB.
pub fn size_text(bytes: u64) -> String {
    let (unit, name) = if bytes >= GIB { (GIB, "GiB") } else { (MIB, "MiB") };
    let hundredths = u128::from(bytes) * 100 / u128::from(unit);
    format!("{}.{:02} {name}", hundredths / 100, hundredths % 100)
}

/// A version of a contract that its node can't run.
#[derive(Debug)]
pub struct Rejected {
    /// What happened to the version.
    what: String,
    /// What the node said.
    pub failure: Failure,
    /// The image that couldn't be fetched, where it is known here.
    pub image: Option<String>,
    /// What the node has told its owner alone; `None` where this device doesn't ask it.
    pub said: Option<Vec<String>>,
}

impl Rejected {
    pub fn new(what: impl Into<String>, failure: Failure) -> Self {
        Self { what: what.into(), failure, image: None, said: None }
    }

    /// The same with what its owner knows: the deployment, and what the node has `said`.
    pub fn explained(self, deployment: Option<&Workloads>, said: Option<Vec<String>>) -> Self {
        let path = String::from_utf8_lossy(&self.failure.path).into_owned();
        let image = deployment.and_then(|deployment| image_at(deployment, &path));
        let said = said.filter(|_| self.is_withheld());
        Self { image, said, ..self }
    }

    /// Whether what the node said leaves out what its owner alone is told.
    fn is_withheld(&self) -> bool {
        String::from_utf8_lossy(&self.failure.text).contains(WITHHELD)
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, failure_text(&self.failure, self.image.as_deref()))?;
        match &self.said {
            Some(said) if !said.is_empty() => {
                write!(f, "\nits node has told you alone:\n  {}", said.join("\n  "))
            }
            Some(_) if self.is_withheld() => f.write_str(
                ". Its last words weren't heard, as where the node isn't reached in time, or too many contracts are \
                 waited for: `threebot events` tells them while the contract is open",
            ),
            None if self.is_withheld() => f.write_str(
                ". Its last words are told while the contract is open: by `threebot events`, and here where this \
                 device is one of your twin's (`threebot device add`)",
            ),
            Some(_) | None => Ok(()),
        }
    }
}

impl Error for Rejected {}

/// The image of the machine to whose field a JSON pointer leads.
fn image_at(deployment: &Workloads, path: &str) -> Option<String> {
    let index: usize = path.strip_prefix("/workloads/")?.strip_suffix("/data/image")?.parse().ok()?;
    match &deployment.workloads.get(index)?.data {
        WorkloadData::Zmachine(machine) => Some(machine.image.clone()),
        _ => None,
    }
}

/// The error of a command that waited for a contract which closed instead.
pub async fn ended(at: &GridAt, contract: ContractId, reason: &ClosingReason) -> Result<anyhow::Error> {
    let what = match at.closed(contract).await? {
        Some(closed) => {
            let (tft, usd) = (format_tft(closed.tft), format_usd(closed.usd));
            format!("contract {contract} was closed before it ran, and cost {tft} TFT ({usd} USD)")
        }
        None => format!("contract {contract} was closed before it ran"),
    };
    Ok(match at.failure(contract).await? {
        Some(failure) if matches!(reason, ClosingReason::NodeRejected { .. }) => {
            Rejected::new(what, failure).into()
        }
        _ => anyhow::anyhow!("{what}: {}", reason_text(reason)),
    })
}

/// What a node said about a version that it can't run; with the image that this is about, where it is known.
fn failure_text(failure: &Failure, image: Option<&str>) -> String {
    let Failure { code, path, text, .. } = failure;
    let place =
        if path.is_empty() { String::new() } else { format!(", at {}", String::from_utf8_lossy(path)) };
    let words = String::from_utf8_lossy(text);
    let is_news = !words.is_empty() && (image.is_none() || !words.starts_with(UNTOLD));
    let words = image.into_iter().chain(is_news.then_some(&*words)).map(|words| format!(": {words}"));
    let advice = volume_advice(failure).unwrap_or_default();
    format!("{} ({code:?}){place}{}{advice}", code_text(*code), words.collect::<String>())
}

/// How an owner learns what keeps a volume from becoming what a sealed update says: its node doesn't tell.
fn volume_advice(failure: &Failure) -> Option<&'static str> {
    let [path, text] = [&failure.path[..], &failure.text[..]].map(String::from_utf8_lossy);
    let is_volume = path.ends_with("/data/size") || path.ends_with("/data/disk");
    let is_untold = failure.code == FailureCode::BodyInvalid && text.starts_with(UNTOLD);
    (is_volume && is_untold && failure.version > 1).then_some(
        ". A volume can't shrink, nor move to another kind of disk: `threebot update --dry-run` tells what it is now, \
         with the file of your key in --identity",
    )
}

/// The same for scripts.
pub fn failure_value(failure: &Failure) -> Value {
    let Failure { version, code, path, text } = failure;
    json!({
        "version": version,
        "code": format!("{code:?}"),
        "path": String::from_utf8_lossy(path),
        "text": String::from_utf8_lossy(text),
    })
}

/// A reason for closing as a sentence.
fn reason_text(reason: &ClosingReason) -> String {
    match reason {
        ClosingReason::Cancelled => "its owner cancelled it".into(),
        ClosingReason::NotDelivered => "its owner says that the node didn't deliver".into(),
        ClosingReason::OutOfFunds => "its owner's credit was used up".into(),
        ClosingReason::NodeRejected { code } => {
            format!("the node can't deploy it: {} ({code:?})", code_text(*code))
        }
        ClosingReason::NodeSilent => "the node didn't answer in time".into(),
        ClosingReason::NodeRemoved => "the node is gone".into(),
        ClosingReason::Drained => "the farmer drained the node".into(),
        ClosingReason::ByGovernance => "governance closed it".into(),
    }
}

fn reason_name(reason: &ClosingReason) -> &'static str {
    match reason {
        ClosingReason::Cancelled => "Cancelled",
        ClosingReason::NotDelivered => "NotDelivered",
        ClosingReason::OutOfFunds => "OutOfFunds",
        ClosingReason::NodeRejected { .. } => "NodeRejected",
        ClosingReason::NodeSilent => "NodeSilent",
        ClosingReason::NodeRemoved => "NodeRemoved",
        ClosingReason::Drained => "Drained",
        ClosingReason::ByGovernance => "ByGovernance",
    }
}

fn code_text(code: FailureCode) -> &'static str {
    match code {
        FailureCode::BodyNotJson => "the body isn't JSON or not a deployment",
        FailureCode::BodyUnsupported => "the body asks for something that this node doesn't know",
        FailureCode::BodyInvalid => "the body breaks a rule",
        FailureCode::OverReserved => "the workloads need more than is reserved",
        FailureCode::ImageNotFound => "the registry doesn't have the image",
        FailureCode::ImageTooLarge => "the image is larger than the contract's disk",
        FailureCode::WorkloadExited => "the workload ended by itself again and again",
        FailureCode::ImageDenied => "the registry doesn't give the image without credentials",
        FailureCode::NodeFull => "the node's own disk is full: take another node",
        FailureCode::WorkloadRefused => "the node's engine can't create or start the workload",
    }
}

/// Adds the fields of one JSON object to another.
pub fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use tfgrid_client::{deployment::Rejection, sealing::seal};

    const NOW: UnixSeconds = 1_700_000_000;

    /// Version 2, asked for 20 seconds ago.
    pub fn pending(deposit: Option<Balance>) -> Pending {
        let resources = Resources::ZERO;
        let (asked_at, answer_by) = (NOW - 20, NOW + 600);
        Pending { version: 2, resources, deposit, asked_at, answer_by, reported_at: None, now: NOW }
    }

    fn closed(reason: ClosingReason) -> ClosedContract {
        ClosedContract {
            twin: 2,
            node: Some(3),
            reason,
            closed_at: 5,
            closed_at_unix: 1_700_000_000,
            usd: 41_500,
            tft: 83,
        }
    }

    #[test]
    fn a_closed_contract_has_its_reason_and_failure() {
        let cancelled = closed_value(7, &closed(ClosingReason::Cancelled), None);
        assert_eq!((&cancelled["reason"], &cancelled["failure"]), (&json!("Cancelled"), &Value::Null));
        assert_eq!(cancelled["charged_usd_1e10"], "41500");
        let failure = Rejection::new(FailureCode::ImageNotFound, "/workloads/0", "no such tag").failure(1);
        let rejected = closed(ClosingReason::NodeRejected { code: failure.code });
        let value = closed_value(7, &rejected, Some(&failure));
        let expected =
            json!({ "version": 1, "code": "ImageNotFound", "path": "/workloads/0", "text": "no such tag" });
        assert_eq!((&value["reason"], &value["failure"]), (&json!("NodeRejected"), &expected));
        let text = closed_text(7, &rejected, Some(&failure));
        assert!(text.contains("state     closed since 2023-11-14 22:13:20 UTC: the node can't"), "{text}");
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("the image (ImageNotFound), at /workloads/0: no such tag node"), "{text}");
        assert!(text.contains("charged   0.0000083 TFT, 0.00000415 USD"), "{text}");
    }

    #[test]
    fn a_sealed_volume_that_is_refused_is_told_with_what_to_pass() {
        let rejection = |field: &str| {
            let path = format!("/workloads/0/data/{field}");
            Rejection::new(FailureCode::BodyInvalid, path, "a volume can't shrink: this one has 5 bytes")
        };
        let told = |rejection: Rejection, version| failure_text(&rejection.failure(version), None);
        for field in ["size", "disk"] {
            let text = told(rejection(field).withheld(), 2);
            assert!(text.ends_with("with the file of your key in --identity"), "{text}");
        }
        let first = told(rejection("size").withheld(), 1);
        let other = told(rejection("image").withheld(), 2);
        let public = told(rejection("size"), 2);
        for text in [first, other, public] {
            assert!(!text.contains("--identity"), "{text}");
        }
    }

    #[test]
    fn a_pending_version_has_its_start_and_deadline() {
        let pending = pending(None);
        let text = "version 2 was asked for 20 s ago; no report of the node's on it is on the chain yet; that it runs \
                    must be reported by 2023-11-14 22:23:20 UTC (in 10 min)";
        assert_eq!((pending.text(), pending.reserved_ms()), (text.into(), 20_000));
        let reported = Pending { reported_at: Some(NOW - 5), ..pending };
        let text = reported.text();
        assert!(text.contains("; the node's last report on it came 5 s ago; "), "{text}");
        assert_eq!(reported.value()["reported_at"], NOW - 5);
    }

    #[test]
    fn a_body_that_a_key_does_not_open_is_shown_with_the_reason() {
        let [own, older] = [[7; 32], [8; 32]].map(|secret| SealKey::new(&secret).unwrap());
        let sealed = Body::Sealed(seal(b"{}", &[own.recipient()]).unwrap());
        assert_eq!(body_text(&sealed, Some(&own)), ("{}".into(), None));
        let (text, why) = body_text(&sealed, Some(&older));
        assert!(text.starts_with("sealed, ") && why.unwrap().contains("isn't sealed to this key"), "{text}");
        assert_eq!(body_text(&sealed, None), (text, None));
        assert_eq!(body_text(&Body::Plain(b"{}".to_vec()), Some(&older)), ("{}".into(), None));

        let machine = r#"{"image":"docker.io/web:1","cpu":1,"memory":16777216,"env":{"A":{"secret":"a"}}}"#;
        let plain = format!(
            r#"{{"version":1,"secrets":{{"a":"b"}},"workloads":[{{"name":"a","type":"zmachine","data":{machine}}}]}}"#
        );
        let deployment = Workloads::parse(plain.as_bytes()).unwrap();
        let with_secrets = deployment.with_sealed_secrets(&[own.recipient()]).unwrap().to_body().unwrap();
        let body = Body::Plain(with_secrets.clone());
        assert!(body_text(&body, Some(&own)).0.contains(r#""a":"b""#));
        let (text, why) = body_text(&body, Some(&older));
        assert_eq!(text.as_bytes(), with_secrets);
        assert!(why.unwrap().contains("isn't sealed to this key"), "{text}");
    }

    #[test]
    fn what_a_contract_shows_fits_a_terminal() {
        let text = ["long words of a node "; 6].concat();
        let path = format!("/workloads/{}", "9".repeat(50));
        let failure = Rejection::new(FailureCode::WorkloadRefused, &path, &text).failure(3);
        let body = json!({ "workloads": vec![json!({ "name": "web", "type": "zmachine" }); 20] }).to_string();
        let open = OpenContract {
            contract: 7,
            kind: ContractKind::Rent { node: 3 },
            state: "created",
            pending: Some(pending(None)),
            closes: vec![Closing::sample(&text)],
            price: ContractPrice::default(),
            tft: Balance::MAX,
            usd: UsdAmount::MAX,
            result: None,
            usage: None,
            failure: Some(failure.clone()),
            traffic_left: 0,
            addresses: Vec::new(),
            body: None,
            not_opened: None,
        };
        let result = json!({ "web": { "ip": "172.30.0.2", "exit": 1, "line": text }, "job": { "exit": 0 } });
        let told = "job: exit code 0\nweb: address 172.30.0.2, exit code 1, last line: long words";
        assert!(result_text(&result).starts_with(told));
        let rejected = closed(ClosingReason::NodeRejected { code: failure.code });
        let shown = [
            open.text(),
            closed_text(7, &rejected, Some(&failure)),
            row("result", &result_text(&result)),
            readable(&body),
        ];
        for line in shown.iter().flat_map(|text| text.lines()) {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        assert_eq!(readable("{ }"), "{ }");
    }

    #[test]
    fn a_result_is_told_in_words() {
        let url = "https://shop.gw1.example.org";
        let result = json!({
            "+": 2,
            "db": { "ip": "172.30.0.2", "restarts": 3, "exit": 1, "line": "no space", "swap": 1 },
            "shop": { "url": url },
            "web": { "public_ip": "185.69.166.20", "ipv6": "2a10::9", "health": "unhealthy" },
            "www": { "line": "it doesn't lead here" },
        });
        let expected = "2 more\n\
                        db: address 172.30.0.2, restarts: 3, exit code 1, last line: no space, swap 1\n\
                        shop: https://shop.gw1.example.org\n\
                        web: public address 185.69.166.20, public address 2a10::9, unhealthy\n\
                        www: it doesn't lead here";
        assert_eq!(result_text(&result), expected);
    }

    #[test]
    fn public_addresses_are_a_row_where_there_are_some() {
        let line = addresses_row(&json!({ "addresses": ["11.1.1.9", "2a10::9"] })).unwrap();
        assert!(line.starts_with("addresses ") && line.ends_with(" 11.1.1.9, 2a10::9"), "{line}");
        assert!(addresses_row(&json!({ "addresses": [] })).is_none() && addresses_row(&json!({})).is_none());
    }

    #[test]
    fn sizes_have_two_digits_behind_the_point() {
        assert_eq!(size_text(0), "0.00 MiB");
        assert_eq!(size_text(64 * MIB + MIB / 2), "64.50 MiB");
        assert_eq!(size_text(2 * GIB), "2.00 GiB");
        assert_eq!(size_text(u64::MAX), "17179869183.99 GiB");
    }
}
