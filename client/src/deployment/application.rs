// SPDX-License-Identifier: Apache-2.0
//! Applications: deployments on several nodes, in one document of their owner (`docs/FORMATS.md` §4.6).

use super::{
    ApplicationPart, Deployment, Json, Network, Rejection, Secrets, VERSION, Workload, WorkloadData,
    json::{Cursor, child},
    rules::{self, invalid_at},
};
use crate::units::{is_label, parse_country};
use ipnet::Ipv4Net;
use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use tfgrid_primitives::{FarmId, NodeId};

/// The longest prefix that a private network's range may have.
const MAX_PREFIX: u8 = 30;
/// The prefix of the ranges that parts get, where the subnet has room for as many.
const RANGE_PREFIX: u8 = 24;
/// The fields of a part that are those of a deployment.
const OF_DEPLOYMENT: [&str; 3] = ["description", "secrets", "workloads"];

/// Deployments on several nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Application {
    /// Always 1.
    #[schemars(extend("const" = VERSION))]
    pub version: u64,
    /// Unique among the owner's applications.
    #[schemars(regex(pattern = "^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"))]
    pub name: String,
    /// What no two parts share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
    /// A contract each, by name.
    #[schemars(extend("minProperties" = 1))]
    pub parts: BTreeMap<String, Part>,
}

/// What no two parts of an application share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Spread {
    /// A node.
    Node,
    /// A farm.
    Farm,
}

/// A part of an application: the deployment of one contract, and where it may run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Part {
    /// The node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// The node's farm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub farm: Option<FarmId>,
    /// The node's country, two letters such as `BE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[A-Za-z]{2}$"))]
    pub country: Option<String>,
    /// Whether the node must be certified.
    #[serde(skip_serializing_if = "is_false")]
    #[schemars(default)]
    pub certified: bool,
    /// Parts on other nodes than this one.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(default)]
    pub apart: BTreeSet<String>,
    /// Parts in the same farm.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(default)]
    pub near: BTreeSet<String>,
    /// Public IPv4 addresses.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(default)]
    pub public_ips: u8,
    /// As in a deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,
    /// As in a deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Secrets>,
    /// As in a deployment; a `network` without `range` gets one that no other part has.
    #[schemars(length(min = 1, max = 32))]
    pub workloads: Vec<Workload>,
}

/// A range of a private network that an open contract of the owner has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentRange {
    /// Name of the network.
    pub network: String,
    /// The part of this application that has it; `None` for another contract.
    pub part: Option<String>,
    /// The range.
    pub range: Ipv4Net,
}

/// The JSON Schema of applications. What it lacks is what that of deployments lacks.
pub fn application_schema() -> Schema {
    schema_for!(Application)
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn is_zero(number: &u8) -> bool {
    *number == 0
}

impl Application {
    /// Checks a document. Its numbers and booleans may be meant as strings: those that `texts` has in their places.
    ///
    /// # Errors
    /// The first rule of `docs/FORMATS.md` §4.6 that it breaks, and where.
    pub fn read_loosely(json: &Json, texts: &Json) -> Result<Self, Rejection> {
        let fields = Cursor::loose(json, texts).fields()?;
        let version = fields.required("version")?;
        if version.whole()? != VERSION {
            return Err(version.unsupported(format!("this program knows version {VERSION} only")));
        }
        fields.only(&["version", "name", "spread", "parts"])?;
        let name = name(&fields.required("name")?)?;
        let spread = fields.optional("spread").map(|at| spread(&at)).transpose()?;
        let parts_at = fields.required("parts")?;
        let parts: BTreeMap<String, Part> = parts_at
            .fields()?
            .iter()
            .map(|(key, at)| Ok((key.to_owned(), part(&name, key, &at)?)))
            .collect::<Result<_, Rejection>>()?;
        if parts.is_empty() {
            return Err(parts_at.invalid("needs one part or more"));
        }
        let application = Self { version: VERSION, name, spread, parts };
        application.check_neighbours()?;
        application.check_networks()?;
        Ok(application)
    }

    /// The deployment of a part.
    pub fn deployment(&self, name: &str, part: &Part) -> Deployment {
        Deployment {
            version: VERSION,
            description: part.description.clone(),
            application: Some(ApplicationPart { name: self.name.clone(), part: name.into() }),
            replaces: None,
            secrets: part.secrets.clone(),
            workloads: part.workloads.clone(),
        }
    }

    /// Parts that others name exist, and are others.
    fn check_neighbours(&self) -> Result<(), Rejection> {
        for (name, part) in &self.parts {
            for (field, others) in [("apart", &part.apart), ("near", &part.near)] {
                if let Some(wrong) =
                    others.iter().find(|other| *other == name || !self.parts.contains_key(*other))
                {
                    let message = format!("{wrong:?} isn't another part of this application");
                    return Err(invalid_at(format!("{}/{field}", path_of(name)), message));
                }
            }
        }
        Ok(())
    }

    /// Parts of one network agree on its subnet, and no two have the same addresses.
    fn check_networks(&self) -> Result<(), Rejection> {
        let mut seen: Vec<Member> = Vec::new();
        for member in self.members() {
            let Member { part, index, name, network } = member;
            for other in seen.iter().filter(|other| other.name == name) {
                let at = |field| format!("{}/workloads/{index}/data/{field}", path_of(part));
                if other.network.subnet != network.subnet {
                    let message = format!("part {:?} has {} as its subnet", other.part, other.network.subnet);
                    return Err(invalid_at(at("subnet"), message));
                }
                let (Some(range), Some(others)) = (network.range, other.network.range) else { continue };
                if overlap(range, others) {
                    let message = format!("part {:?} has addresses of {range} already", other.part);
                    return Err(invalid_at(at("range"), message));
                }
            }
            seen.push(member);
        }
        Ok(())
    }

    fn members(&self) -> impl Iterator<Item = Member<'_>> {
        self.parts.iter().flat_map(|(part, content)| {
            content.workloads.iter().enumerate().filter_map(move |(index, workload)| match &workload.data {
                WorkloadData::Network(network) => Some(Member { part, index, name: &workload.name, network }),
                _ => None,
            })
        })
    }

    /// Gives each network without a range one of its subnet: the one that the part has already, else the first that
    /// has the addresses of its machines and none of another contract.
    ///
    /// # Errors
    /// If the subnet has no such range left.
    pub fn assign_ranges(&mut self, present: &[PresentRange]) -> Result<(), Rejection> {
        let without = |part: &str, name: &str| {
            self.members().any(|m| m.part == part && m.name == name && m.network.range.is_none())
        };
        let others =
            present.iter().filter(|at| at.part.as_ref().is_none_or(|part| !without(part, &at.network)));
        let mut taken: Vec<(String, Ipv4Net)> = others.map(|at| (at.network.clone(), at.range)).collect();
        taken.extend(self.members().filter_map(|m| Some((m.name.to_owned(), m.network.range?))));
        let mut assigned: Vec<(String, usize, Ipv4Net)> = Vec::new();
        let mut left = Vec::new();
        for member in self.members().filter(|member| member.network.range.is_none()) {
            let own = present
                .iter()
                .find(|at| at.part.as_deref() == Some(member.part) && at.network == member.name);
            match own.map(|own| own.range).filter(|range| self.is_free(&member, *range, &taken)) {
                Some(range) => {
                    taken.push((member.name.to_owned(), range));
                    assigned.push((member.part.to_owned(), member.index, range));
                }
                None => left.push(member),
            }
        }
        for member in left {
            let range = self.first_free(&member, &taken)?;
            taken.push((member.name.to_owned(), range));
            assigned.push((member.part.to_owned(), member.index, range));
        }
        for (part, index, range) in assigned {
            let workload = self.parts.get_mut(&part).and_then(|part| part.workloads.get_mut(index));
            if let Some(Workload { data: WorkloadData::Network(network), .. }) = workload {
                network.range = Some(range);
            }
        }
        Ok(())
    }

    /// Whether a range is of the network's subnet, has all addresses that the part's machines and peers name, and is
    /// nobody's.
    fn is_free(&self, member: &Member, range: Ipv4Net, taken: &[(String, Ipv4Net)]) -> bool {
        let workloads =
            self.parts.get(member.part).map_or(&[] as &[Workload], |part| part.workloads.as_slice());
        let interfaces = workloads.iter().flat_map(|workload| match &workload.data {
            WorkloadData::Zmachine(machine) => machine.interfaces.as_slice(),
            _ => &[],
        });
        let of_machines = interfaces.filter(|at| at.network == member.name).filter_map(|at| at.ip);
        let mut addresses = of_machines.chain(member.network.peers.iter().filter_map(|peer| peer.ip));
        member.network.subnet.contains(&range)
            && addresses.all(|ip| range.contains(&ip))
            && !taken.iter().any(|(name, other)| name == member.name && overlap(range, *other))
    }

    fn first_free(&self, member: &Member, taken: &[(String, Ipv4Net)]) -> Result<Ipv4Net, Rejection> {
        let subnet = member.network.subnet;
        let count = self.members().filter(|other| other.name == member.name).count();
        let bits = u8::try_from(count.next_power_of_two().trailing_zeros()).unwrap_or(u8::MAX);
        let prefix = subnet.prefix_len().saturating_add(bits).clamp(RANGE_PREFIX, MAX_PREFIX);
        let mut ranges = subnet.subnets(prefix).into_iter().flatten();
        ranges.find(|range| self.is_free(member, *range, taken)).ok_or_else(|| {
            let path = format!("{}/workloads/{}/data/subnet", path_of(member.part), member.index);
            let message = format!(
                "has no range with prefix {prefix} left for this part: take a larger subnet, or give each part its \
                 `range`"
            );
            invalid_at(path, message)
        })
    }
}

/// A part's network.
#[derive(Clone, Copy)]
struct Member<'a> {
    part: &'a str,
    /// Position among the workloads.
    index: usize,
    name: &'a str,
    network: &'a Network,
}

fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other) || other.contains(&one)
}

fn path_of(part: &str) -> String {
    child("/parts", part)
}

fn part(application: &str, name: &str, at: &Cursor) -> Result<Part, Rejection> {
    if !is_label(name, 32) {
        return Err(at.invalid(format!(
            "a part's name has 1 to 32 of a-z, 0-9 and hyphens, none at either end; this is {name:?}"
        )));
    }
    let fields = at.fields()?;
    fields.only(&[
        "node",
        "farm",
        "country",
        "certified",
        "apart",
        "near",
        "public_ips",
        "description",
        "secrets",
        "workloads",
    ])?;
    fields.required("workloads")?;
    let number = |field| fields.optional(field).map(|at| id(&at)).transpose();
    let deployment = deployment(application, name, at)?;
    let asked = deployment.public_ips();
    let public_ips = match fields.optional("public_ips") {
        Some(at) => public_ips(&at, asked)?,
        // A deployment has at most 32 workloads.
        None => asked.try_into().unwrap_or(u8::MAX),
    };
    let Deployment { description, secrets, workloads, .. } = deployment;
    Ok(Part {
        node: number("node")?,
        farm: number("farm")?,
        country: fields.optional("country").map(|at| country(&at)).transpose()?,
        certified: fields.optional("certified").map(|at| at.bool()).transpose()?.unwrap_or_default(),
        apart: fields.optional("apart").map(|at| names(&at)).transpose()?.unwrap_or_default(),
        near: fields.optional("near").map(|at| names(&at)).transpose()?.unwrap_or_default(),
        public_ips,
        description,
        secrets,
        workloads,
    })
}

/// The deployment of a part, with the rules of every deployment.
fn deployment(application: &str, part: &str, at: &Cursor) -> Result<Deployment, Rejection> {
    let text = |text: &str| Json::String(text.into());
    let membership = Json::Object(vec![("name".into(), text(application)), ("part".into(), text(part))]);
    let head = [("version".to_owned(), Json::Whole(VERSION)), ("application".to_owned(), membership)];
    let whole = |entries: Vec<_>| Json::Object(head.iter().cloned().chain(entries).collect());
    let (written, texts) = at.parts(&OF_DEPLOYMENT);
    Deployment::read_loosely(&whole(written), &whole(texts))
        .map_err(|rejection| Rejection { path: format!("{}{}", path_of(part), rejection.path), ..rejection })
}

/// Where applications are named, contracts are named by their ids.
fn name(at: &Cursor) -> Result<String, Rejection> {
    let name = rules::name(at)?;
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(at.invalid(format!("has something else than digits; this is {name:?}")));
    }
    Ok(name)
}

fn spread(at: &Cursor) -> Result<Spread, Rejection> {
    match at.string()? {
        "node" => Ok(Spread::Node),
        "farm" => Ok(Spread::Farm),
        other => Err(at.invalid(format!("is node or farm; this is {other:?}"))),
    }
}

fn id(at: &Cursor) -> Result<u32, Rejection> {
    let number = at.whole()?;
    u32::try_from(number)
        .map_err(|_| at.invalid(format!("is an id of at most {}, this is {number}", u32::MAX)))
}

fn country(at: &Cursor) -> Result<String, Rejection> {
    let text = at.string()?;
    match parse_country(text) {
        Ok(_) => Ok(text.to_ascii_uppercase()),
        Err(error) => Err(at.invalid(error.to_string())),
    }
}

fn names(at: &Cursor) -> Result<BTreeSet<String>, Rejection> {
    at.items(0..=usize::MAX)?.iter().map(rules::name).collect()
}

/// At least as many as machines ask for.
fn public_ips(at: &Cursor, asked: usize) -> Result<u8, Rejection> {
    let number = at.whole()?;
    let ips = u8::try_from(number).ok().filter(|ips| usize::from(*ips) >= asked);
    ips.ok_or_else(|| at.invalid(format!("is {asked} to {}, this is {number}", u8::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(document: &Value) -> Result<Application, Rejection> {
        let json: Json = serde_json::from_value(document.clone()).unwrap();
        Application::read_loosely(&json, &json)
    }

    fn network(range: Value) -> Value {
        json!({ "name": "backend", "type": "network", "data": { "subnet": "10.20.0.0/16", "range": range } })
    }

    /// A machine in the network, at an address or anywhere.
    fn machine(ip: Option<&str>) -> Value {
        let mut interface = json!({ "network": "backend" });
        if let Some(ip) = ip {
            interface["ip"] = json!(ip);
        }
        json!({ "name": "web", "type": "zmachine", "data": {
            "image": "docker.io/library/web:1", "cpu": 1, "memory": 16_777_216, "interfaces": [interface] } })
    }

    fn part(network: Value) -> Value {
        let mut network = network;
        if network["data"]["range"].is_null() {
            network["data"].as_object_mut().unwrap().remove("range");
        }
        json!({ "workloads": [network] })
    }

    fn shop() -> Value {
        json!({ "version": 1, "name": "shop", "spread": "node", "parts": {
            "web": part(network(Value::Null)),
            "db": { "country": "be", "near": ["web"], "workloads": part(network(Value::Null))["workloads"] } } })
    }

    fn ranges(application: &Application) -> Vec<String> {
        application.members().map(|m| m.network.range().to_string()).collect()
    }

    fn assigned(document: &Value, present: &[PresentRange]) -> Result<Vec<String>, Rejection> {
        let mut application = read(document)?;
        application.assign_ranges(present)?;
        for (name, part) in &application.parts {
            application.deployment(name, part).to_body()?;
        }
        Ok(ranges(&application))
    }

    fn present(part: Option<&str>, range: &str) -> PresentRange {
        let part = part.map(Into::into);
        PresentRange { network: "backend".into(), part, range: range.parse().unwrap() }
    }

    #[test]
    fn a_part_is_a_deployment_with_a_place() {
        let application = read(&shop()).unwrap();
        assert_eq!(application.spread, Some(Spread::Node));
        let db = &application.parts["db"];
        assert_eq!((db.country.as_deref(), db.near.contains("web")), (Some("BE"), true));
        let deployment = application.deployment("db", db);
        let part = ApplicationPart { name: "shop".into(), part: "db".into() };
        assert_eq!(deployment.application, Some(part));
        assert_eq!(Deployment::parse(&deployment.to_body().unwrap()).unwrap(), deployment);
    }

    #[test]
    fn a_broken_rule_is_refused_with_its_path() {
        for (pointer, value, path) in [
            ("/version", json!(2), "/version"),
            ("/name", json!("My Shop"), "/name"),
            ("/name", json!("12"), "/name"),
            ("/spread", json!("rack"), "/spread"),
            ("/part", json!({}), "/part"),
            ("/parts", json!({}), "/parts"),
            ("/parts/a b", json!({}), "/parts/a b"),
            ("/parts/web/nodes", json!(1), "/parts/web/nodes"),
            ("/parts/web/node", json!(1_u64 << 32), "/parts/web/node"),
            ("/parts/web/country", json!("Belgium"), "/parts/web/country"),
            ("/parts/web/certified", json!(1), "/parts/web/certified"),
            ("/parts/web/public_ips", json!(256), "/parts/web/public_ips"),
            ("/parts/web/apart", json!(["web"]), "/parts/web/apart"),
            ("/parts/web/near", json!(["cache"]), "/parts/web/near"),
            ("/parts/web/workloads", json!([]), "/parts/web/workloads"),
            ("/parts/web/workloads/0/data/mtu", json!(1), "/parts/web/workloads/0/data/mtu"),
            (
                "/parts/web/workloads/0/data/subnet",
                json!("10.21.0.0/16"),
                "/parts/web/workloads/0/data/subnet",
            ),
        ] {
            let mut document = shop();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            document.pointer_mut(parent).unwrap()[key] = value;
            assert_eq!(read(&document).unwrap_err().path, path);
        }
        for field in ["version", "name", "parts"] {
            let mut document = shop();
            document.as_object_mut().unwrap().remove(field).unwrap();
            assert!(read(&document).unwrap_err().message.contains("is missing"), "{field}");
        }
    }

    #[test]
    fn ranges_of_one_network_do_not_overlap() {
        assert_eq!(assigned(&shop(), &[]).unwrap(), ["10.20.0.0/24", "10.20.1.0/24"]);
        let mut document = shop();
        document["parts"]["web"] = part(network(json!("10.20.0.0/24")));
        assert_eq!(assigned(&document, &[]).unwrap(), ["10.20.1.0/24", "10.20.0.0/24"]);
        document["parts"]["db"] = part(network(json!("10.20.0.0/23")));
        let rejection = read(&document).unwrap_err();
        assert_eq!(rejection.path, "/parts/web/workloads/0/data/range");
    }

    #[test]
    fn a_part_keeps_its_range_when_others_come() {
        let present = [present(Some("web"), "10.20.0.0/24"), present(None, "10.20.1.0/24")];
        assert_eq!(assigned(&shop(), &present).unwrap(), ["10.20.2.0/24", "10.20.0.0/24"]);
    }

    #[test]
    fn a_range_has_the_addresses_of_the_parts_machines() {
        let mut document = shop();
        document["parts"]["db"]["workloads"].as_array_mut().unwrap().push(machine(Some("10.20.9.5")));
        document["parts"]["web"]["workloads"].as_array_mut().unwrap().push(machine(None));
        assert_eq!(assigned(&document, &[]).unwrap(), ["10.20.9.0/24", "10.20.0.0/24"]);
        let error = assigned(&document, &[present(None, "10.20.8.0/22")]).unwrap_err();
        assert_eq!(error.path, "/parts/db/workloads/0/data/subnet");
    }

    #[test]
    fn a_small_subnet_is_shared_by_all_parts() {
        let mut document = shop();
        for part in ["web", "db"] {
            document["parts"][part]["workloads"][0]["data"]["subnet"] = json!("10.20.0.0/28");
        }
        assert_eq!(assigned(&document, &[]).unwrap(), ["10.20.0.0/29", "10.20.0.8/29"]);
        for part in ["web", "db"] {
            document["parts"][part]["workloads"][0]["data"]["subnet"] = json!("10.20.0.0/30");
        }
        let rejection = assigned(&document, &[]).unwrap_err();
        assert_eq!(rejection.path, "/parts/web/workloads/0/data/subnet");
    }
}
