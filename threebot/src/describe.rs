// SPDX-License-Identifier: Apache-2.0
//! Calls in words, from the calls themselves: what each does, with numbers and units, and all calls in it.

use crate::{contract::size_text, output::counted, time::exact_moment};
use serde_json::{Map, Value, json};
use tfgrid_client::{
    Call,
    call::Argument,
    deployment::{Deployment, Secrets},
    units::{format_price, format_tft, format_usd},
};

/// The most levels of calls in calls that are told.
const MAX_DEPTH: usize = 16;
/// The most characters of a text of others, and the most bytes of what is no text.
const MAX_TEXT: usize = 120;
/// The most lines of a call in a list of calls.
const SUMMARY_LINES: usize = 4;
/// A rate without limit.
const NO_LIMIT: u128 = u64::MAX as u128;

/// What calls do: pallet, call, sentence. `{argument}` or `{argument:unit}` stands for what the call has there;
/// arguments that no sentence has are told below it.
const SENTENCES: &[(&str, &str, &str)] = &[
    ("Balances", "transfer_keep_alive", "send {value:tft} to {dest}"),
    ("Balances", "transfer_allow_death", "send {value:tft} to {dest}, though the account may end with it"),
    ("Balances", "transfer_all", "send all TFT to {dest}"),
    ("Balances", "burn", "destroy {value:tft}"),
    ("Billing", "deposit", "pay {amount:tft} into the credit of twin {twin}"),
    ("Billing", "withdraw", "take {amount:tft} of credit back to the account"),
    (
        "Billing",
        "collect",
        "collect what contract {contract} has earned for its farm, the foundation and stakers",
    ),
    ("Billing", "pay_out", "pay what was collected for {payee} out to its account"),
    ("Billing", "set_policy", "set the policy of billing"),
    (
        "Billing",
        "set_limits",
        "set the spending limits: {limits.max_usd_rate:limit} for all contracts, {limits.max_extra_fee:limit} for \
         extra fees, at most {limits.refill_per_30_days:tft} of refills in 30 days",
    ),
    ("Billing", "add_provider", "add the provider {account}, with {permille} thousandths of what it brings"),
    ("Billing", "set_provider_share", "give provider {provider} {permille} thousandths of what it brings"),
    ("Billing", "set_auto_refill", "set automatic refills of credit from the account: {refill}"),
    ("Billing", "buy_traffic", "buy {gb} GB of traffic for contract {contract}, for at most {max_tft:tft}"),
    ("Billing", "attach_provider", "let provider {provider} earn from contract {contract}"),
    ("Billing", "poke", "settle what twin {twin} owes"),
    ("Clock", "set_price", "set the price of one TFT to {price:price}"),
    ("Clock", "set_bounds", "set the bounds of the price of TFT: {bounds}"),
    (
        "Contracts",
        "create_node_contract",
        "reserve {resources:capacity} on node {node} with {public_ips} public IPv4 addresses and {traffic_gb} GB of \
         traffic, for at most {max_usd_rate:rate}, and run {body:body}",
    ),
    (
        "Contracts",
        "update_node_contract",
        "let contract {contract} run another version, with {resources:capacity} and {public_ips} public IPv4 \
         addresses, for at most {max_usd_rate:rate}: {body:body}",
    ),
    ("Contracts", "withdraw_update", "withdraw the version of contract {contract} that awaits its node"),
    ("Contracts", "create_rent_contract", "rent all of node {node} for at most {max_usd_rate:rate}"),
    ("Contracts", "create_name_contract", "reserve the name {name} for at most {max_usd_rate:rate}"),
    ("Contracts", "cancel", "end contract {contract} ({reason}): what its disks hold is lost"),
    ("Contracts", "force_close", "close contract {contract} by governance: what its disks hold is lost"),
    ("Contracts", "reprice", "give contract {contract} the present prices"),
    ("Contracts", "report_deployed", "report as a node that a contract is deployed"),
    ("Contracts", "report_failed", "report as a node that a contract can't be deployed"),
    ("Contracts", "report_progress", "report as a node that a contract is under way"),
    ("Contracts", "report_released", "report as a node that a contract's addresses are free"),
    ("Contracts", "report_usage", "report as a node what contracts have used"),
    ("Farming", "enrol", "enrol node {node} for rewards, with {seen:capacity}"),
    ("Farming", "inspect", "note that node {node} was seen with {seen:capacity}"),
    ("Farming", "leave", "end the enrolment of node {node}"),
    ("Farming", "withdraw", "take back the collateral of node {node}"),
    ("Farming", "claim", "take the reward of node {node} for period {period}"),
    ("Farming", "void", "void the reward of node {node} for period {period}"),
    ("Farming", "forfeit", "take the collateral of node {node} away"),
    ("Farming", "set_policy", "set the policy of farming"),
    ("Farms", "create", "create the farm {name}"),
    ("Farms", "open_ticket", "let {nodes} machines join farm {farm} with a boot ticket until {expires:at}"),
    ("Farms", "close_ticket", "close the boot ticket {ticket}"),
    ("Farms", "update", "rename farm {farm} to {name}"),
    ("Farms", "set_dedicated", "rent nodes of farm {farm} as a whole only: {dedicated}"),
    ("Farms", "remove", "remove farm {farm}"),
    ("Farms", "add_ip", "give farm {farm} a public address"),
    ("Farms", "remove_ip", "take the public address {ip} from its farm"),
    ("Farms", "force_remove_ip", "take the public address {ip} from its farm by governance"),
    ("Farms", "set_certification", "set the certification of farm {farm}: {certification}"),
    (
        "Multisig",
        "as_multi",
        "sign for the account of which {threshold} must sign, this one and {other_signatories}:",
    ),
    ("Multisig", "as_multi_threshold_1", "sign for the account of this one and {other_signatories}:"),
    (
        "Multisig",
        "approve_as_multi",
        "sign the call with the hash {call_hash} for the account of which {threshold} must sign, this one and \
         {other_signatories}",
    ),
    ("Multisig", "cancel_as_multi", "withdraw the proposal of the call with the hash {call_hash}"),
    ("Nodes", "register", "register a machine as a node"),
    ("Nodes", "heartbeat", "report as node {node} that it is alive"),
    ("Nodes", "report_details", "report as node {node} what it has"),
    ("Nodes", "report_power", "report as node {node} that it sleeps or wakes"),
    ("Nodes", "remove", "remove node {node}"),
    ("Nodes", "set_location", "set the location of node {node}"),
    ("Nodes", "set_public_config", "set the public addresses of node {node}: {config}"),
    ("Nodes", "set_dedicated", "rent node {node} as a whole only: {dedicated}"),
    ("Nodes", "set_extra_fee", "ask for an extra fee of {fee:rate} for node {node}"),
    ("Nodes", "drain", "drain node {node}: all its contracts end by {deadline} ms of grid time ({reason})"),
    ("Nodes", "cancel_drain", "drain node {node} no more"),
    ("Nodes", "set_power_target", "turn the power of node {node} to {target}"),
    ("Nodes", "clear_clone", "take node {node} back that ran twice"),
    ("Nodes", "certify", "certify node {node}, seen with {seen}"),
    ("Proxy", "add_proxy", "let {delegate} act for this account: {proxy_type:right}"),
    ("Proxy", "remove_proxy", "let {delegate} act no more for this account: {proxy_type:right}"),
    (
        "Proxy",
        "remove_proxies",
        "let nobody else act for this account: an account that only others act for is lost",
    ),
    ("Proxy", "proxy", "act for the account {real}:"),
    ("Proxy", "proxy_announced", "act for the account {real} as {delegate} has announced:"),
    ("Sudo", "sudo", "do as root:"),
    ("System", "remark", "write a remark: {remark}"),
    ("System", "remark_with_event", "write a remark: {remark}"),
    ("Twins", "create", "create a twin with the devices {peer_keys}; its encryption key: {encryption_key}"),
    ("Twins", "update", "set the twin's devices to {peer_keys}; its encryption key: {encryption_key}"),
    ("Twins", "offer_transfer", "offer the twin, with all that it owns, to {to}"),
    ("Twins", "withdraw_offer", "withdraw the offer of the twin"),
    ("Twins", "accept_transfer", "take over twin {twin}"),
    ("Twins", "remove", "remove the twin"),
    ("Twins", "set_peer_addresses", "publish where bots of the twin are reached: {addresses}"),
    ("Utility", "batch", "make {calls:count}, one after the other until one fails:"),
    ("Utility", "batch_all", "make {calls:count}, all or none:"),
    ("Utility", "force_batch", "make {calls:count}, each whether or not others fail:"),
    ("Utility", "as_derivative", "act for derived account {index}:"),
    ("Validators", "announce", "announce this account as a validator"),
    ("Validators", "retire", "retire this account as a validator"),
    ("Validators", "add_validator", "add the validator {account}"),
    ("Validators", "remove_validator", "remove the validator {account}"),
];

/// A call in words.
#[derive(Debug, Default)]
pub struct Description {
    /// Calls in calls, and arguments that aren't in a sentence, are indented below it.
    pub lines: Vec<String>,
    /// Names of calls without a sentence.
    unknown: Vec<String>,
    /// Whether calls are nested deeper than is told.
    pub is_cut: bool,
    /// Whether it was decoded by metadata that only the endpoint vouches for.
    pub is_by_hearsay: bool,
}

impl Description {
    pub fn of(call: &Call) -> Self {
        let mut description = Self::default();
        description.tell(call, 0);
        description
    }

    /// The lines, and warnings of what they leave open.
    pub fn text(&self) -> String {
        let warnings = self.warnings().into_iter().map(|warning| format!("warning: {warning}"));
        self.lines.iter().cloned().chain(warnings).collect::<Vec<_>>().join("\n")
    }

    /// The first lines.
    pub fn summary(&self) -> String {
        let more = if self.lines.len() > SUMMARY_LINES { "\n…" } else { "" };
        format!("{}{more}", self.lines[..self.lines.len().min(SUMMARY_LINES)].join("\n"))
    }

    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.unknown.is_empty() {
            let names = self.unknown.join(", ");
            warnings
                .push(format!("threebot has no words for {names}: find out what it does before you sign"));
        }
        if self.is_cut {
            warnings.push(format!("calls are nested deeper than {MAX_DEPTH} levels, and those aren't told"));
        }
        if self.is_by_hearsay {
            warnings.push(
                "the chain's runtime isn't the one that this threebot was built for: that this is what the call does, \
                 you have from the endpoint of --chain alone"
                    .into(),
            );
        }
        warnings
    }

    fn tell(&mut self, call: &Call, depth: usize) {
        if depth >= MAX_DEPTH {
            self.is_cut = true;
            return;
        }
        let Call { pallet, name, arguments } = call;
        let known = SENTENCES.iter().find(|(of, call, _)| of == pallet && call == name);
        let (sentence, told) =
            known.and_then(|(_, _, sentence)| filled(sentence, arguments)).unwrap_or_else(|| {
                self.unknown.push(format!("{pallet}.{name}"));
                (format!("{pallet}.{name}, for which threebot has no words:"), Vec::new())
            });
        self.line(depth, &sentence);
        for (path, argument) in untold(arguments, "", &told) {
            self.line(depth + 1, &format!("{path}: {}", shown(argument)));
        }
        let mut calls = Vec::new();
        for (_, argument) in arguments {
            for line in workloads(argument) {
                self.line(depth + 1, &line);
            }
            calls_in(argument, &mut calls);
        }
        for call in calls {
            self.tell(call, depth + 1);
        }
    }

    fn line(&mut self, depth: usize, text: &str) {
        self.lines.push(format!("{:width$}{text}", "", width = 2 * depth));
    }
}

/// A sentence with its arguments, and the paths of these; `None` where the call hasn't such arguments.
fn filled<'a>(sentence: &'a str, arguments: &[(String, Argument)]) -> Option<(String, Vec<&'a str>)> {
    let (mut text, mut told, mut rest) = (String::new(), Vec::new(), sentence);
    while let Some((before, after)) = rest.split_once('{') {
        let (place, after) = after.split_once('}')?;
        let (path, unit) = place.split_once(':').unwrap_or((place, ""));
        text.push_str(before);
        text.push_str(&in_unit(part(arguments, path)?, unit)?);
        told.push(path);
        rest = after;
    }
    text.push_str(rest);
    Some((text, told))
}

/// The part at a path such as `limits.max_usd_rate`.
fn part<'a>(parts: &'a [(String, Argument)], path: &str) -> Option<&'a Argument> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let (_, found) = parts.iter().find(|(own, _)| own == name)?;
    match (rest, found) {
        (None, found) => Some(found),
        (Some(rest), Argument::Record(parts)) => part(parts, rest),
        _ => None,
    }
}

/// The parts that aren't in a sentence with `told`, nor calls that are told by themselves.
fn untold<'a>(parts: &'a [(String, Argument)], within: &str, told: &[&str]) -> Vec<(String, &'a Argument)> {
    let mut found = Vec::new();
    for (name, part) in parts {
        let path = if within.is_empty() { name.clone() } else { format!("{within}.{name}") };
        let below = format!("{path}.");
        match part {
            _ if told.contains(&path.as_str()) => {}
            Argument::Call(_) => {}
            Argument::Record(parts) if told.iter().any(|told| told.starts_with(&below)) => {
                found.extend(untold(parts, &path, told));
            }
            part => found.push((path, part)),
        }
    }
    found
}

/// The calls that an argument has, however deep among its parts.
fn calls_in<'a>(argument: &'a Argument, calls: &mut Vec<&'a Call>) {
    match argument {
        Argument::Call(call) => calls.push(call),
        Argument::List(parts) => parts.iter().for_each(|part| calls_in(part, calls)),
        Argument::Record(parts) | Argument::Variant(_, parts) => {
            parts.iter().for_each(|(_, part)| calls_in(part, calls));
        }
        _ => {}
    }
}

fn number(argument: &Argument) -> Option<u128> {
    match argument {
        Argument::Number(number) => Some(*number),
        _ => None,
    }
}

fn in_unit(argument: &Argument, unit: &str) -> Option<String> {
    Some(match unit {
        "" => shown(argument),
        "tft" => format!("{} TFT", format_tft(number(argument)?)),
        "price" => format!("{} USD", format_price(number(argument)?.try_into().ok()?)),
        "rate" if number(argument)? == NO_LIMIT => "any price".into(),
        "rate" => format!("{} USD per hour", format_usd(number(argument)?)),
        "limit" if number(argument)? == NO_LIMIT => "no limit".into(),
        "limit" => format!("at most {} USD per hour", format_usd(number(argument)?)),
        "at" => exact_moment(number(argument)?.try_into().ok()?),
        "count" => match argument {
            Argument::List(calls) => counted(calls.len() as u64, "call"),
            _ => return None,
        },
        "capacity" => capacity(argument)?,
        "body" => body(argument)?,
        "right" => match argument {
            Argument::Variant(name, _) if name == "Any" => "it may do everything".into(),
            Argument::Variant(name, _) if name == "Deploy" => "it manages contracts".into(),
            other => shown(other),
        },
        _ => return None,
    })
}

fn capacity(argument: &Argument) -> Option<String> {
    let Argument::Record(parts) = argument else { return None };
    let count = |name: &str| -> Option<u64> { number(part(parts, name)?)?.try_into().ok() };
    let (cru, mru, sru, hru, gpu): (u64, u64, u64, u64, u64) =
        (count("cru")?, count("mru")?, count("sru")?, count("hru")?, count("gpu")?);
    let cores = counted(cru, "core");
    let mut text = format!("{cores}, {} of memory, {} of SSD", size_text(mru), size_text(sru));
    if hru > 0 {
        text.push_str(&format!(", {} of HDD", size_text(hru)));
    }
    if gpu > 0 {
        text.push_str(&format!(", {}", counted(gpu, "GPU")));
    }
    Some(text)
}

fn body(argument: &Argument) -> Option<String> {
    match argument {
        Argument::Variant(kind, parts) => match (kind.as_str(), &**parts) {
            ("Plain", [(_, Argument::Bytes(bytes))]) => {
                Some(format!("a deployment of {} bytes", bytes.len()))
            }
            ("Sealed", [(_, Argument::Bytes(bytes))]) => Some(format!(
                "a deployment of {} bytes that is sealed: only its readers know it",
                bytes.len()
            )),
            _ => None,
        },
        _ => None,
    }
}

/// The workloads of a plain deployment, each with all that it says.
fn workloads(argument: &Argument) -> Vec<String> {
    let Argument::Variant(kind, parts) = argument else { return Vec::new() };
    let ("Plain", [(_, Argument::Bytes(bytes))]) = (kind.as_str(), &**parts) else { return Vec::new() };
    let deployment = match Deployment::parse(bytes) {
        Ok(deployment) => deployment,
        Err(rejection) => return vec![format!("no node runs it: {}", quoted(&rejection.to_string()))],
    };
    let line = |workload| {
        let workload = serde_json::to_value(workload).unwrap_or_default();
        let text = |value: &Value| value.as_str().map(quoted).unwrap_or_default();
        let image = &workload["data"]["image"];
        let image = if image.is_null() { String::new() } else { format!(" of the image {}", text(image)) };
        let (kind, name) = (workload["type"].as_str().unwrap_or_default(), text(&workload["name"]));
        format!("{kind} {name}{image}: {}", visible(&workload["data"].to_string()))
    };
    let secrets = deployment.secrets.as_ref().map(|secrets| match secrets {
        Secrets::Sealed(_) => "secrets that are sealed: only their readers know them".to_owned(),
        Secrets::Open(texts) => format!("secrets: {}", visible(&json!(texts).to_string())),
    });
    deployment.workloads.iter().map(line).chain(secrets).collect()
}

/// JSON on one line, without characters that change how others are shown.
fn visible(json: &str) -> String {
    let mut text = String::new();
    for character in json.chars() {
        match character {
            '"' | '\'' | '\\' => text.push(character),
            _ => text.extend(character.escape_debug()),
        }
    }
    text
}

/// An argument without knowledge of its unit.
fn shown(argument: &Argument) -> String {
    match argument {
        Argument::Call(call) => format!("the call {}.{}", call.pallet, call.name),
        Argument::Account(account) => account.to_string(),
        Argument::Number(number) => number.to_string(),
        Argument::Flag(true) => "yes".into(),
        Argument::Flag(false) => "no".into(),
        Argument::Bytes(bytes) => bytes_text(bytes),
        Argument::List(parts) if parts.is_empty() => "none".into(),
        Argument::List(parts) => parts.iter().map(shown).collect::<Vec<_>>().join(", "),
        Argument::Record(parts) => parts_text(parts),
        Argument::Variant(name, parts) => match (name.as_str(), &**parts) {
            ("None", []) => "none".into(),
            ("Some", [(_, part)]) => shown(part),
            (name, []) => name.into(),
            (name, [(_, part)]) => format!("{name} {}", shown(part)),
            (name, parts) => format!("{name} ({})", parts_text(parts)),
        },
        Argument::Other(text) => quoted(text),
    }
}

fn parts_text(parts: &[(String, Argument)]) -> String {
    parts.iter().map(|(name, part)| format!("{name} {}", shown(part))).collect::<Vec<_>>().join(", ")
}

/// Keys and hashes have 32 bytes, and are no texts.
fn bytes_text(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) if bytes.len() != 32 => quoted(text),
        _ if bytes.len() > MAX_TEXT => {
            format!("0x{}… ({} bytes)", hex::encode(&bytes[..MAX_TEXT]), bytes.len())
        }
        _ => format!("0x{}", hex::encode(bytes)),
    }
}

/// A text of others, which can't be taken for one of threebot's: between quotes, on one line, and not too long.
fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(MAX_TEXT).collect();
    let is_whole = shown.len() == text.len();
    let more =
        if is_whole { String::new() } else { format!("… ({} characters in all)", text.chars().count()) };
    format!("{shown:?}{more}")
}

/// A call as scripts get it: whole, numbers as strings, bytes in hex.
pub fn call_value(Call { pallet, name, arguments }: &Call) -> Value {
    json!({ "pallet": pallet, "name": name, "arguments": parts_value(arguments) })
}

fn parts_value(parts: &[(String, Argument)]) -> Value {
    let parts: Map<String, Value> =
        parts.iter().map(|(name, part)| (name.clone(), argument_value(part))).collect();
    parts.into()
}

fn argument_value(argument: &Argument) -> Value {
    match argument {
        Argument::Call(call) => call_value(call),
        Argument::Account(account) => account.to_string().into(),
        Argument::Number(number) => number.to_string().into(),
        Argument::Flag(flag) => (*flag).into(),
        Argument::Bytes(bytes) => format!("0x{}", hex::encode(bytes)).into(),
        Argument::List(parts) => parts.iter().map(argument_value).collect(),
        Argument::Record(parts) => parts_value(parts),
        Argument::Variant(name, parts) if parts.is_empty() => name.as_str().into(),
        Argument::Variant(name, parts) => json!({ (name.as_str()): parts_value(parts) }),
        Argument::Other(text) => text.as_str().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use subxt::Metadata;
    use tfgrid_client::AccountId32;

    /// Pallets of which every call has a sentence.
    const GRID: [&str; 8] =
        ["Billing", "Clock", "Contracts", "Farming", "Farms", "Nodes", "Twins", "Validators"];

    fn call(pallet: &str, name: &str, arguments: &[(&str, Argument)]) -> Call {
        let arguments = arguments.iter().map(|(name, part)| ((*name).into(), part.clone())).collect();
        Call { pallet: pallet.into(), name: name.into(), arguments }
    }

    fn transfer() -> Call {
        let dest = Argument::Account(AccountId32([7; 32]));
        call("Balances", "transfer_keep_alive", &[("dest", dest), ("value", Argument::Number(125_000_000))])
    }

    fn nested(levels: usize) -> Call {
        (0..levels).fold(transfer(), |inner, _| {
            call("Utility", "batch_all", &[("calls", Argument::List(vec![Argument::Call(inner)]))])
        })
    }

    /// The call whose arguments are all zero: as many bytes as it takes.
    fn of_zeros(metadata: &Metadata, pallet: u8, call: u8) -> Option<Call> {
        (0..1_000)
            .find_map(|zeros| Call::decode(&[&[pallet, call][..], &vec![0; zeros]].concat(), metadata).ok())
    }

    #[test]
    fn every_sentence_has_the_arguments_of_its_call() {
        let metadata = Metadata::decode_from(include_bytes!("../../client/metadata.scale")).unwrap();
        for (pallet, name, _) in SENTENCES {
            let of = metadata.pallet_by_name(pallet).unwrap_or_else(|| panic!("no pallet {pallet}"));
            let variant = of.call_variant_by_name(name).unwrap_or_else(|| panic!("no call {pallet}.{name}"));
            let call = of_zeros(&metadata, of.call_index(), variant.index);
            // No code of a failure is zero.
            if (*pallet, *name) == ("Contracts", "report_failed") {
                continue;
            }
            let call = call.unwrap_or_else(|| panic!("{pallet}.{name} isn't decoded"));
            let description = Description::of(&call);
            assert!(description.unknown.is_empty(), "{pallet}.{name}: {:?}", description.lines);
        }
    }

    #[test]
    fn every_call_of_the_grid_has_a_sentence() {
        let metadata = Metadata::decode_from(include_bytes!("../../client/metadata.scale")).unwrap();
        for pallet in GRID {
            for variant in metadata.pallet_by_name(pallet).unwrap().call_variants().unwrap() {
                let is_told = SENTENCES.iter().any(|(of, call, _)| *of == pallet && *call == variant.name);
                assert!(is_told, "{pallet}.{} has no sentence", variant.name);
            }
        }
    }

    #[test]
    fn a_transfer_is_told_however_deep_it_is() {
        let described = Description::of(&nested(15));
        let last = described.lines.last().unwrap();
        let expected = format!("send 12.5 TFT to {}", AccountId32([7; 32]));
        assert_eq!((last.trim_start(), described.is_cut), (expected.as_str(), false));
        let described = Description::of(&nested(16));
        assert!(described.is_cut && described.text().contains("nested deeper than 16 levels"));
    }

    #[test]
    fn what_only_an_endpoint_says_is_told_with_a_warning() {
        let mut described = Description::of(&transfer());
        assert!(described.warnings().is_empty());
        described.is_by_hearsay = true;
        assert!(described.text().contains("from the endpoint of --chain alone"));
    }

    #[test]
    fn a_call_without_words_is_told_field_by_field_with_a_warning() {
        let unknown =
            call("Vault", "open", &[("to", Argument::Call(transfer())), ("key", Argument::Number(7))]);
        let text = Description::of(&unknown).text();
        assert!(
            text.starts_with("Vault.open, for which threebot has no words:\n  key: 7\n  send 12.5 TFT"),
            "{text}"
        );
        assert!(text.contains("warning: threebot has no words for Vault.open"), "{text}");
        // Nor is one that has other arguments than its sentence.
        let other = call("Billing", "deposit", &[("twin", Argument::Number(7))]);
        assert_eq!(Description::of(&other).unknown, ["Billing.deposit"]);
    }

    #[test]
    fn an_argument_that_no_sentence_has_is_told_below_it() {
        let limits =
            [("max_usd_rate", NO_LIMIT), ("max_extra_fee", 0), ("refill_per_30_days", 5), ("new", 9)];
        let limits = limits.map(|(name, value)| (name.to_owned(), Argument::Number(value)));
        let lines =
            Description::of(&call("Billing", "set_limits", &[("limits", Argument::Record(limits.into()))]));
        assert!(lines.lines[0].contains("no limit for all contracts, at most 0 USD per hour"), "{lines:?}");
        assert_eq!(lines.lines[1], "  limits.new: 9");
    }

    #[test]
    fn texts_of_others_cannot_pass_for_those_of_threebot() {
        let name = "x\u{202e}\u{1b}[2J\nsend 1 TFT".to_owned() + &"y".repeat(500);
        let named = call("Farms", "create", &[("name", Argument::Bytes(name.into_bytes()))]);
        let described = Description::of(&named);
        let [line] = &*described.lines else { panic!("{described:?}") };
        assert!(line.starts_with(r#"create the farm "x\u{202e}\u{1b}[2J\nsend 1 TFTyy"#), "{line}");
        assert!(line.ends_with("\"… (517 characters in all)") && line.len() < 250, "{line}");
    }

    #[test]
    fn a_deployment_is_told_with_its_images() {
        let plain = br#"{"version":1,"workloads":[{"name":"web","type":"zmachine","data":{
            "image":"docker.io/library/nginx:1.27","cpu":1,"memory":134217728,"rootfs":67108864,
            "env":{"TO":"x\u202ey"}}}]}"#;
        let body = |kind: &str, bytes: &[u8]| {
            Argument::Variant(kind.into(), vec![("0".into(), Argument::Bytes(bytes.into()))])
        };
        let told = workloads(&body("Plain", plain));
        let [line] = &*told else { panic!("{told:?}") };
        let start = r#"zmachine "web" of the image "docker.io/library/nginx:1.27": {"#;
        assert!(line.starts_with(start) && line.contains(r#""TO":"x\u{202e}y""#), "{line}");
        assert!(workloads(&body("Plain", b"{}"))[0].starts_with("no node runs it: "));
        assert!(workloads(&body("Sealed", b"x")).is_empty());
        assert!(super::body(&body("Sealed", b"x")).unwrap().contains("is sealed"));
    }

    #[test]
    fn a_summary_has_the_first_lines() {
        let (short, long) = (Description::of(&nested(1)), Description::of(&nested(9)));
        assert_eq!(short.summary(), short.lines.join("\n"));
        assert!(short.summary().starts_with("make 1 call, all or none:\n  send 12.5 TFT"), "{short:?}");
        assert!(
            long.summary().lines().count() == SUMMARY_LINES + 1 && long.summary().ends_with("\n…"),
            "{long:?}"
        );
    }

    #[test]
    fn scripts_get_all_arguments() {
        let value = call_value(&nested(1));
        let inner = &value["arguments"]["calls"][0];
        assert_eq!(
            (&inner["name"], &inner["arguments"]["value"]),
            (&json!("transfer_keep_alive"), &json!("125000000"))
        );
    }
}
