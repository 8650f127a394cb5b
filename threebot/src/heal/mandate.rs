// SPDX-License-Identifier: Apache-2.0
//! What a bot does by itself, and what it doesn't: a file of its owner.

use super::{PartName, Retention};
use crate::snapshot::Around;
use anyhow::{Context, Result, ensure};
use schemars::{JsonSchema, Schema, schema_for};
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tfgrid_client::{
    deployment::{Application, Part, Spread, VERSION},
    primitives::{ContractId, FarmId, TwinId, UsdRate},
    units::{ParseError, parse_country, parse_duration, parse_rate},
};

/// The mandate of `threebot heal`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mandate {
    /// The owner's twin.
    pub twin: TwinId,
    /// How long the chain has known a node as offline before its contracts are moved, such as `30m`.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "String")]
    pub offline: Duration,
    /// The most that all contracts of the owner may cost after a move, in USD per hour at list price.
    #[serde(rename = "max_usd_per_hour", deserialize_with = "rate")]
    #[schemars(with = "f64", range(min = 0))]
    pub max_rate: UsdRate,
    /// The most that one contract may cost after it was moved, in USD per hour at list price.
    #[serde(default, rename = "max_usd_per_hour_each", deserialize_with = "some_rate")]
    #[schemars(with = "Option<f64>", range(min = 0))]
    pub max_rate_each: Option<UsdRate>,
    /// How often a contract, and what took its place, is moved within 24 hours.
    #[serde(default = "moves_per_day")]
    pub moves_per_day: u32,
    /// Days of credit below which the owner is warned.
    #[serde(default = "warn_days")]
    pub warn_days: u32,
    /// Whether contracts leave a node that drains before it closes them.
    #[serde(default = "yes")]
    pub leave_draining: bool,
    /// Whether a contract is moved of which a volume, or with `roots` a machine, has no snapshot.
    #[serde(default)]
    pub without_data: bool,
    /// Snapshots of volumes and machines; without them, none are taken and none restored.
    #[serde(default)]
    pub snapshots: Option<Schedule>,
    /// Where contracts may run whose application has no file here.
    #[serde(default)]
    pub placement: Placement,
    /// Files of applications, whose rules say where their parts may run; relative to this file.
    #[serde(default)]
    pub applications: Vec<PathBuf>,
    /// What isn't moved.
    #[serde(default)]
    pub exclude: Exclude,
    /// Address to which each message is sent as JSON.
    #[serde(default)]
    pub webhook: Option<String>,
}

/// Where snapshots are, and how often they are taken.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// A folder, or a bucket as `https://HOST/BUCKET`.
    pub place: String,
    /// Time from one snapshot of a contract to the next, such as `6h`.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "String")]
    pub every: Duration,
    /// Whether snapshots have the roots of machines, too.
    #[serde(default)]
    pub roots: bool,
    /// How many of each volume and machine are kept; without it, all.
    #[serde(default)]
    pub keep: Option<Retention>,
    /// What runs in machines around the instant of a snapshot.
    #[serde(default)]
    pub commands: Vec<Commands>,
}

/// Commands for a shell in a machine, by which what it writes is whole at the instant of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Commands {
    /// The contract, also after it was moved.
    #[serde(default)]
    pub contract: Option<ContractId>,
    /// Or the part of an application, as `APPLICATION/PART`.
    #[serde(default)]
    pub part: Option<String>,
    /// Name of the machine.
    pub machine: String,
    /// Runs before the instant; without its success nothing is taken.
    #[serde(default)]
    pub before: Option<String>,
    /// Runs right after it, whatever happens.
    #[serde(default)]
    pub after: Option<String>,
}

impl Schedule {
    /// The commands for a part, or for one of the contracts that were moved one after the other.
    pub fn around(&self, part: Option<&PartName>, line: &[ContractId]) -> Option<Around> {
        let part = part.map(|part| format!("{}/{}", part.application, part.part));
        let is_for = |commands: &&Commands| match commands.contract {
            Some(contract) => line.contains(&contract),
            None => commands.part == part,
        };
        let Commands { machine, before, after, .. } = self.commands.iter().find(is_for)?.clone();
        Some(Around { machine, before, after })
    }
}

/// Where contracts may run.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// Only nodes of this farm.
    #[serde(default)]
    pub farm: Option<FarmId>,
    /// Only nodes in this country, two letters such as `BE`.
    #[serde(default)]
    #[schemars(regex(pattern = "^[A-Za-z]{2}$"))]
    pub country: Option<String>,
    /// Only certified nodes.
    #[serde(default)]
    pub certified: bool,
    /// Whether parts of one application share no node.
    #[serde(default)]
    pub spread: bool,
}

/// What isn't moved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exclude {
    /// Contracts by their ids.
    #[serde(default)]
    pub contracts: BTreeSet<ContractId>,
    /// Applications by their names.
    #[serde(default)]
    pub applications: BTreeSet<String>,
}

/// The JSON Schema of mandates.
pub fn mandate_schema() -> Schema {
    schema_for!(Mandate)
}

impl Mandate {
    pub fn read(file: &Path) -> Result<Self> {
        let name = file.display();
        let text = fs::read(file).with_context(|| format!("can't read {name}"))?;
        let mandate = Self::parse(&text).with_context(|| format!("{name} isn't a mandate (docs/BOT.md)"))?;
        let folder = file.parent().unwrap_or(Path::new("."));
        let applications = mandate.applications.iter().map(|file| folder.join(file)).collect();
        Ok(Self { applications, ..mandate })
    }

    fn parse(text: &[u8]) -> Result<Self> {
        let mut mandate: Self = yaml_serde::from_slice(text)?;
        if let Some(country) = &mut mandate.placement.country {
            let code = parse_country(country).context("placement.country")?;
            *country = String::from_utf8_lossy(&code).into_owned();
        }
        for commands in mandate.snapshots.iter().flat_map(|schedule| &schedule.commands) {
            let is_for_one = commands.contract.is_some() != commands.part.is_some();
            ensure!(is_for_one, "snapshots.commands: each is for a `contract` or a `part`");
            let has_command = commands.before.is_some() || commands.after.is_some();
            ensure!(has_command, "snapshots.commands: each has `before`, `after` or both");
        }
        if let Some(webhook) = &mandate.webhook {
            let is_address = crate::webhook::parse_webhook(webhook).is_ok();
            ensure!(is_address, "webhook: an address begins with https:// or http://");
        }
        Ok(mandate)
    }

    /// Rules for a part that no file has.
    pub fn part(&self, public_ips: u8) -> Part {
        let Placement { farm, country, certified, .. } = self.placement.clone();
        Part { farm, country, certified, public_ips, ..Part::default() }
    }

    /// An application without parts, for contracts of one that no file has.
    pub fn application(&self, name: &str) -> Application {
        let spread = self.placement.spread.then_some(Spread::Node);
        Application { version: VERSION, name: name.into(), spread, parts: Default::default() }
    }
}

fn moves_per_day() -> u32 {
    3
}

fn warn_days() -> u32 {
    7
}

fn yes() -> bool {
    true
}

/// Reads what people write, numbers with or without quotes. An error in it has its field and line.
struct Written<T>(fn(&str) -> Result<T, ParseError>);

impl<T> Visitor<'_> for Written<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

fn duration<'de, D: Deserializer<'de>>(at: D) -> Result<Duration, D::Error> {
    at.deserialize_any(Written(parse_duration))
}

fn rate<'de, D: Deserializer<'de>>(at: D) -> Result<UsdRate, D::Error> {
    at.deserialize_any(Written(parse_rate))
}

fn some_rate<'de, D: Deserializer<'de>>(at: D) -> Result<Option<UsdRate>, D::Error> {
    rate(at).map(Some)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    const LEAST: &str = "{ twin: 7, offline: 30m, max_usd_per_hour: 0.5 }";

    /// The mandate with the least fields: 30 minutes, 0.5 USD per hour.
    pub fn mandate() -> Mandate {
        Mandate::parse(LEAST.as_bytes()).unwrap()
    }

    #[test]
    fn a_mandate_has_careful_defaults() {
        let mandate = mandate();
        assert_eq!((mandate.twin, mandate.offline.as_secs(), mandate.max_rate), (7, 1_800, 5_000_000_000));
        let plain = LEAST.replace(" }", ", snapshots: { place: /b, every: 6h } }");
        assert!(!Mandate::parse(plain.as_bytes()).unwrap().snapshots.unwrap().roots);
        assert_eq!((mandate.moves_per_day, mandate.warn_days, mandate.max_rate_each), (3, 7, None));
        assert!(mandate.leave_draining && !mandate.without_data);
    }

    #[test]
    fn the_mandate_of_the_page_is_one() {
        let page = include_str!("../../../docs/BOT.md");
        let (_, yaml) = page.split_once("```yaml\n").unwrap();
        let mandate = Mandate::parse(yaml.split_once("```").unwrap().0.as_bytes()).unwrap();
        let snapshots = mandate.snapshots.unwrap();
        assert!(mandate.webhook.is_some() && snapshots.every.as_secs() == 6 * 3_600);
        assert!(snapshots.keep.is_some() && snapshots.commands.len() == 1 && snapshots.roots);
    }

    #[test]
    fn commands_are_those_of_the_contract_or_the_part() {
        let text = LEAST.replace(
            " }",
            ", snapshots: { place: /b, every: 6h, commands: [{ part: shop/db, machine: db, before: sync }, \
             { contract: 7, machine: web, after: sync }] } }",
        );
        let schedule = Mandate::parse(text.as_bytes()).unwrap().snapshots.unwrap();
        let db = PartName { application: "shop".into(), part: "db".into() };
        let machine = |part: Option<&PartName>, line: &[ContractId]| {
            schedule.around(part, line).map(|around| around.machine)
        };
        assert_eq!(machine(Some(&db), &[9]).as_deref(), Some("db"));
        assert_eq!(machine(None, &[9, 7]).as_deref(), Some("web"), "it was moved");
        let web = PartName { part: "web".into(), ..db };
        assert_eq!((machine(Some(&web), &[9]), machine(None, &[9])), (None, None));
    }

    #[test]
    fn amounts_are_exact() {
        let with = |amount: &str| {
            let text = LEAST.replace("0.5", amount);
            Mandate::parse(text.as_bytes()).map(|mandate| mandate.max_rate).ok()
        };
        let cases = ["1", "0.1", "'0.0125'", "0.0125 USD", "-1", "much"];
        let rates =
            [Some(10_000_000_000), Some(1_000_000_000), Some(125_000_000), Some(125_000_000), None, None];
        assert_eq!(cases.map(with), rates);
    }

    #[test]
    fn a_wrong_mandate_is_refused_with_the_reason() {
        for (more, words) in [
            ("surprise: 1", "surprise"),
            ("max_usd_per_hour_each: much", "max_usd_per_hour_each: \"much\" isn't an amount of USD"),
            ("placement: { country: Belgium }", "placement.country"),
            ("webhook: ftp://host", "begins with https://"),
            ("exclude: { part: [db] }", "part"),
            ("snapshots: { place: b, every: 6h, keep: { yearly: 1 } }", "yearly"),
            (
                "snapshots: { place: b, every: 6h, commands: [{ machine: db, before: x }] }",
                "for a `contract`",
            ),
            ("snapshots: { place: b, every: 6h, commands: [{ part: a/b, machine: db }] }", "has `before`"),
        ] {
            let text = LEAST.replace(" }", &format!(", {more} }}"));
            let error = format!("{:#}", Mandate::parse(text.as_bytes()).unwrap_err());
            assert!(error.contains(words), "{more}: {error}");
        }
        let error = Mandate::parse(LEAST.replace("30m", "soon").as_bytes()).unwrap_err().to_string();
        assert!(
            error.starts_with("offline: \"soon\" isn't a time") && error.contains("at line 1"),
            "{error}"
        );
        assert!(Mandate::read(Path::new("/nowhere")).is_err());
    }

    #[test]
    fn the_published_schema_is_that_of_the_type() {
        let published: serde_json::Value =
            serde_json::from_str(include_str!("../../../docs/heal.schema.json")).unwrap();
        let advice = "run `threebot heal schema > docs/heal.schema.json`";
        assert_eq!(mandate_schema().as_value(), &published, "{advice}");
    }
}
