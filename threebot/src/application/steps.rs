// SPDX-License-Identifier: Apache-2.0
//! What leads from the contracts of an application to what its file asks for. Pure.

use super::Running;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tfgrid_client::{
    deployment::{Deployment, Secrets},
    primitives::Resources,
};

/// What a contract runs, or is to run.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub deployment: Deployment,
    pub resources: Resources,
    pub public_ips: u8,
}

/// A field that two states have different values in.
#[derive(Debug, PartialEq)]
pub struct Difference {
    /// Names with slashes between them; a workload by its name.
    pub path: String,
    pub old: Option<Value>,
    pub new: Option<Value>,
}

/// The parts of an application, by what is to be done with them.
#[derive(Debug, Default, PartialEq)]
pub struct Steps<'a> {
    pub create: Vec<&'a str>,
    pub update: Vec<(&'a Running, Vec<Difference>)>,
    pub keep: Vec<&'a Running>,
    /// Contracts of parts that the file lacks, or that another contract runs already.
    pub stray: Vec<&'a Running>,
    /// Parts whose secrets can't be compared, since they are sealed and there is no key.
    pub uncompared: Vec<&'a str>,
}

impl<'a> Steps<'a> {
    /// From the contracts of the application, in the order of their ids, to these parts.
    pub fn new(parts: &'a BTreeMap<String, State>, running: &'a [Running]) -> Self {
        let mut steps = Self::default();
        let mut seen = BTreeSet::new();
        for contract in running {
            let Some(wanted) = parts.get(&contract.part).filter(|_| seen.insert(contract.part.as_str()))
            else {
                steps.stray.push(contract);
                continue;
            };
            if are_secrets_unknown(&contract.state, wanted) {
                steps.uncompared.push(&contract.part);
            }
            match differences(&contract.state, wanted) {
                none if none.is_empty() => steps.keep.push(contract),
                some => steps.update.push((contract, some)),
            }
        }
        steps.create = parts.keys().map(String::as_str).filter(|part| !seen.contains(part)).collect();
        steps
    }
}

impl Difference {
    /// Whether its values are nobody's business.
    fn is_secret(&self) -> bool {
        self.path.starts_with("secrets/")
    }

    pub fn text(&self) -> String {
        let path = &self.path;
        match (&self.old, &self.new) {
            _ if self.is_secret() => format!("{path}: differs"),
            (Some(old), Some(new)) => format!("{path}: {old} -> {new}"),
            (None, Some(new)) => format!("{path}: none -> {new}"),
            (Some(old), None) => format!("{path}: {old} -> none"),
            (None, None) => format!("{path}: none"),
        }
    }

    pub fn value(&self) -> Value {
        let shown = |value: &Option<Value>| value.clone().filter(|_| !self.is_secret());
        json!({ "path": self.path, "old": shown(&self.old), "new": shown(&self.new) })
    }
}

/// The fields in which two states differ, in the order of their paths.
pub fn differences(old: &State, new: &State) -> Vec<Difference> {
    let with_secrets = !are_secrets_unknown(old, new);
    let (mut old, mut new) = (fields(old, with_secrets), fields(new, with_secrets));
    let paths: BTreeSet<String> = old.keys().chain(new.keys()).cloned().collect();
    let pairs = paths.into_iter().map(|path| (old.remove(&path), new.remove(&path), path));
    pairs.filter(|(old, new, _)| old != new).map(|(old, new, path)| Difference { path, old, new }).collect()
}

/// Whether secrets can't be compared, since one of them is sealed.
pub fn are_secrets_unknown(old: &State, new: &State) -> bool {
    let is_sealed = |state: &State| matches!(state.deployment.secrets, Some(Secrets::Sealed(_)));
    is_sealed(old) != is_sealed(new)
}

/// The values of a state by their paths.
fn fields(state: &State, with_secrets: bool) -> BTreeMap<String, Value> {
    let mut document = json!(state.deployment);
    if let Some(fields) = document.as_object_mut() {
        if !with_secrets {
            fields.remove("secrets");
        }
        // A bot has written it, and no file has it.
        fields.remove("replaces");
        if let Some(Value::Array(workloads)) = fields.get_mut("workloads").map(Value::take) {
            fields.insert("workloads".into(), by_name(workloads));
        }
        fields.insert("resources".into(), json!(state.resources));
        fields.insert("public_ips".into(), json!(state.public_ips));
    }
    let mut found = BTreeMap::new();
    collect(document, String::new(), &mut found);
    found
}

fn by_name(workloads: Vec<Value>) -> Value {
    let named = workloads.into_iter().map(|mut workload| {
        let name = workload["name"].take();
        if let Some(fields) = workload.as_object_mut() {
            fields.remove("name");
        }
        (name.as_str().unwrap_or_default().to_owned(), workload)
    });
    Value::Object(named.collect::<Map<_, _>>())
}

fn collect(value: Value, path: String, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name } else { format!("{path}/{name}") };
                collect(value, path, found);
            }
        }
        value => drop(found.insert(path, value)),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A machine with so much memory, and a secret.
    pub fn state(part: &str, memory: u64, secret: Value) -> State {
        let document = json!({
            "version": 1,
            "application": { "name": "shop", "part": part },
            "secrets": secret,
            "workloads": [{ "name": "web", "type": "zmachine", "data": {
                "image": "docker.io/a/b:1", "cpu": 1, "memory": memory } }]
        });
        let deployment: Deployment = serde_json::from_value(document).unwrap();
        let resources = deployment.needs();
        State { deployment, resources, public_ips: 0 }
    }

    pub fn running(contract: u64, part: &str, state: State) -> Running {
        Running {
            contract,
            application: "shop".into(),
            part: part.into(),
            node: 3,
            state,
            is_deployed: true,
            pending: None,
            rates: Default::default(),
        }
    }

    const MEMORY: u64 = 16 << 20;

    fn open() -> Value {
        json!({ "db": "sesame" })
    }

    fn parts<const N: usize>(states: [(&str, State); N]) -> BTreeMap<String, State> {
        states.map(|(name, state)| (name.to_owned(), state)).into()
    }

    #[test]
    fn a_first_run_creates_every_part() {
        let parts = parts([("db", state("db", MEMORY, open())), ("web", state("web", MEMORY, open()))]);
        let steps = Steps::new(&parts, &[]);
        assert_eq!(steps, Steps { create: vec!["db", "web"], ..Default::default() });
    }

    #[test]
    fn an_interrupted_run_is_continued() {
        let parts = parts([
            ("db", state("db", MEMORY, open())),
            ("job", state("job", MEMORY, open())),
            ("web", state("web", 2 * MEMORY, open())),
        ]);
        let there = [
            running(7, "db", state("db", MEMORY, open())),
            running(8, "web", state("web", MEMORY, open())),
            running(9, "old", state("old", MEMORY, open())),
            running(10, "db", state("db", MEMORY, open())),
        ];
        let steps = Steps::new(&parts, &there);
        let ids = |contracts: &[&Running]| contracts.iter().map(|at| at.contract).collect::<Vec<_>>();
        assert_eq!((steps.create, ids(&steps.keep), ids(&steps.stray)), (vec!["job"], vec![7], vec![9, 10]));
        let [(web, differences)] = &steps.update[..] else { panic!("{:?}", steps.update) };
        let paths: Vec<_> = differences.iter().map(|difference| difference.path.as_str()).collect();
        assert_eq!((web.contract, paths), (8, vec!["resources/mru", "workloads/web/data/memory"]));
        assert_eq!(differences[1].text(), "workloads/web/data/memory: 16777216 -> 33554432");
    }

    #[test]
    fn what_is_complete_stays_as_it_is() {
        let parts = parts([("db", state("db", MEMORY, open()))]);
        let there = [running(7, "db", state("db", MEMORY, open()))];
        assert_eq!(Steps::new(&parts, &there), Steps { keep: vec![&there[0]], ..Default::default() });
    }

    #[test]
    fn sealed_secrets_are_told_and_not_compared() {
        let parts = parts([("db", state("db", MEMORY, open()))]);
        let there = [running(7, "db", state("db", MEMORY, json!("c2VhbGVk")))];
        let steps = Steps::new(&parts, &there);
        assert_eq!((steps.keep.len(), steps.uncompared), (1, vec!["db"]));
    }

    #[test]
    fn a_secret_that_differs_is_not_shown() {
        let (old, new) = (state("db", MEMORY, open()), state("db", MEMORY, json!({ "db": "mellon" })));
        let found = differences(&old, &new);
        assert_eq!(found.iter().map(Difference::text).collect::<Vec<_>>(), ["secrets/db: differs"]);
        assert_eq!(found[0].value(), json!({ "path": "secrets/db", "old": null, "new": null }));
    }

    #[test]
    fn a_workload_more_or_less_is_a_difference() {
        let old = state("db", MEMORY, open());
        let mut new = old.clone();
        new.deployment.workloads.clear();
        let texts: Vec<_> = differences(&old, &new).iter().map(Difference::text).collect();
        assert!(texts.contains(&r#"workloads/web/type: "zmachine" -> none"#.into()), "{texts:?}");
        assert!(differences(&new, &old).iter().all(|difference| difference.old.is_none()));
    }
}
