// SPDX-License-Identifier: Apache-2.0
//! Deployments from files: JSON, or YAML of the same shape.

use crate::{output::Usage, source::Source};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::{collections::BTreeSet, path::PathBuf};
use tfgrid_client::{
    api::runtime_types::{
        bounded_collections::bounded_vec::BoundedVec, pallet_grid_contracts::types::Network,
        tfgrid_primitives::net::Subnet,
    },
    deployment::{Deployment, Registry, Text, WorkloadData, Zlogs, Zmachine},
    primitives::{Features, Resources},
    units::parse_bytes,
};

#[derive(Args)]
pub struct DeploymentFile {
    /// The deployment (docs/FORMATS.md §4): JSON, or YAML of the same shape; - reads stdin
    #[arg(short, long)]
    file: PathBuf,
    /// Cores to reserve [default: what the deployment needs]
    #[arg(long)]
    cru: Option<u64>,
    /// Memory to reserve, such as 2GiB [default: what the deployment needs]
    #[arg(long, value_parser = parse_bytes)]
    mru: Option<u64>,
    /// SSD to reserve, such as 10GiB [default: what the deployment needs]
    #[arg(long, value_parser = parse_bytes)]
    sru: Option<u64>,
    /// Hard disks to reserve, such as 10GiB [default: what the deployment needs]
    #[arg(long, value_parser = parse_bytes)]
    hru: Option<u64>,
}

/// A checked deployment.
pub struct Reservation {
    pub deployment: Deployment,
    /// The contract's body before anything is sealed: always JSON.
    pub body: Vec<u8>,
    /// The capacity to reserve.
    pub resources: Resources,
    /// What a node must serve to run it.
    pub features: Features,
    /// The private networks that the contract lists.
    pub networks: BoundedVec<Network>,
    /// Whether all of it is sealed unless its owner says otherwise: it has an environment, credentials of a registry
    /// or an address for output with a token, and doesn't say what of these is secret.
    pub is_confidential: bool,
    /// What looks like a secret: environment variables by name, passwords of registries, and addresses with tokens.
    pub secrets: Vec<String>,
}

impl DeploymentFile {
    pub fn source(&self) -> Result<Source> {
        Source::read(&self.file)
    }

    /// Applies all rules that a node applies to what was read.
    pub fn reservation(&self, source: &Source) -> Result<Reservation> {
        let name = &source.name;
        if source.is_application() {
            bail!(Usage::new(format!(
                "{name} is an application, not a deployment: `threebot deploy -f {name}` runs it and updates it"
            )));
        }
        let (deployment, body) =
            deployment(source).with_context(|| format!("{name} isn't a deployment that a node would run"))?;
        let least = deployment.least_reservation();
        let resources = Resources {
            cru: self.cru.unwrap_or(least.cru),
            mru: self.mru.unwrap_or(least.mru),
            sru: self.sru.unwrap_or(least.sru),
            hru: self.hru.unwrap_or(least.hru),
            gpu: least.gpu,
        };
        deployment
            .check_fits(&resources)
            .with_context(|| format!("{name} doesn't fit the capacity to reserve"))?;
        Ok(Reservation::new(deployment, body, resources))
    }

    /// Whether the capacity to reserve is given.
    pub fn has_sizes(&self) -> bool {
        [self.cru, self.mru, self.sru, self.hru].iter().any(Option::is_some)
    }
}

impl Reservation {
    pub fn new(deployment: Deployment, body: Vec<u8>, resources: Resources) -> Self {
        Self {
            body,
            resources,
            features: deployment.features(),
            networks: networks(&deployment),
            is_confidential: deployment.secrets.is_none()
                && (machines(&deployment)
                    .any(|machine| !machine.env.is_empty() || machine.registry.is_some())
                    || outputs(&deployment).any(|(_, logs)| logs.has_token())),
            secrets: secrets(&deployment),
            deployment,
        }
    }

    /// Which variables, credentials and addresses for output are secrets of the deployment, and which variables and
    /// credentials aren't, by name.
    pub fn sealed_and_open(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut sealed, mut open) = (BTreeSet::new(), BTreeSet::new());
        let is_secret = |text: &Text| matches!(text, Text::Secret { .. });
        for machine in machines(&self.deployment) {
            let variables = machine.env.iter().map(|(name, text)| (name.clone(), text));
            let credentials = machine.registry.iter().flat_map(|Registry { user, password }| {
                [(format!("the registry user for {}", machine.image), user), (password_of(machine), password)]
            });
            for (name, text) in variables.chain(credentials) {
                let names = if is_secret(text) { &mut sealed } else { &mut open };
                names.insert(name);
            }
        }
        let outputs = outputs(&self.deployment).filter(|(_, logs)| is_secret(&logs.output));
        sealed.extend(outputs.map(|(name, _)| format!("the address of {name}")));
        (sealed, open)
    }
}

/// The deployment and its body: the text of the file, if that is one.
fn deployment(source: &Source) -> Result<(Deployment, Vec<u8>)> {
    if !source.is_yaml
        && let Ok(deployment) = Deployment::parse(&source.text)
        && deployment.replaces.is_none()
    {
        return Ok((deployment, source.text.clone()));
    }
    let deployment = Deployment::read_loosely(&source.json, &source.texts());
    let deployment = deployment.map_err(|rejection| source.located(rejection))?;
    // It belongs to the contract that the file was copied from: a bot would restore that snapshot in the new contract.
    let deployment = Deployment { replaces: None, ..deployment };
    let body = deployment.to_body()?;
    Ok((deployment, body))
}

fn networks(deployment: &Deployment) -> BoundedVec<Network> {
    let network = |(name, subnet): (String, tfgrid_client::primitives::net::Subnet)| Network {
        name: BoundedVec(name.into_bytes()),
        subnet: Subnet { address: subnet.address, prefix: subnet.prefix },
    };
    BoundedVec(deployment.listed_networks().into_iter().map(network).collect())
}

/// Names of variables that look like secrets, passwords of registries, and addresses with tokens: plain bodies are
/// public.
fn secrets(deployment: &Deployment) -> Vec<String> {
    const SIGNS: [&str; 4] = ["PASSWORD", "SECRET", "TOKEN", "KEY"];
    let looks_secret = |name: &&String| SIGNS.iter().any(|sign| name.to_ascii_uppercase().contains(sign));
    let of_machine = |machine: &Zmachine| {
        let is_plain = |text: &Text| matches!(text, Text::Plain(_));
        let registry = machine.registry.as_ref().filter(|Registry { password, .. }| is_plain(password));
        let password = registry.map(|_| password_of(machine));
        let variables = machine.env.iter().filter(|(_, text)| is_plain(text)).map(|(name, _)| name);
        variables.filter(looks_secret).cloned().chain(password).collect::<Vec<_>>()
    };
    let addresses = outputs(deployment).filter(|(_, logs)| logs.has_token());
    let addresses = addresses.map(|(name, _)| format!("the address of {name}"));
    machines(deployment).flat_map(of_machine).chain(addresses).collect()
}

fn password_of(machine: &Zmachine) -> String {
    format!("the registry password for {}", machine.image)
}

/// Where output goes, by the names of workloads.
fn outputs(deployment: &Deployment) -> impl Iterator<Item = (&str, &Zlogs)> {
    deployment.workloads.iter().filter_map(|workload| {
        let WorkloadData::Zlogs(logs) = &workload.data else { return None };
        Some((&*workload.name, logs))
    })
}

fn machines(deployment: &Deployment) -> impl Iterator<Item = &Zmachine> {
    deployment.workloads.iter().filter_map(|workload| match &workload.data {
        WorkloadData::Zmachine(machine) => Some(machine),
        WorkloadData::Zmount(_)
        | WorkloadData::Volume(_)
        | WorkloadData::Zlogs(_)
        | WorkloadData::Network(_)
        | WorkloadData::GatewayNameProxy(_)
        | WorkloadData::GatewayFqdnProxy(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use anyhow::bail;
    use clap::{CommandFactory, Parser};
    use std::fs;

    const JSON: &str =
        r#"{"version":1,"workloads":[{"name":"data","type":"zmount","data":{"size":16777216}}]}"#;
    const YAML: &str = "\
# A volume.
version: 1
workloads:
  - { name: data, type: zmount, data: { size: 16777216 } }
";

    /// The reservation for a file of this name and content, with these arguments.
    fn reservation(name: &str, content: &str, more: &[&str]) -> Result<Reservation> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join(name);
        fs::write(&file, content)?;
        let path = file.display().to_string();
        let words = ["threebot", "deploy", "--node", "1", "-f", &path];
        let words = words.into_iter().chain(more.iter().copied());
        let Command::Deploy(args) = Cli::try_parse_from(words)?.command else { bail!("not a deployment") };
        let file = args.wanted.deployment;
        file.reservation(&file.source()?)
    }

    #[test]
    fn the_needs_of_a_deployment_are_reserved() {
        let reservation = reservation("a.json", JSON, &["--cru", "2", "--sru", "1GiB"]).unwrap();
        assert_eq!(reservation.resources, Resources { cru: 2, sru: 1 << 30, ..Resources::ZERO });
        assert_eq!(reservation.body, JSON.as_bytes());
    }

    #[test]
    fn the_example_of_the_help_is_a_deployment() {
        let cli = Cli::command();
        let help = cli.find_subcommand("deploy").unwrap().get_after_help().unwrap().to_string();
        let (_, example) = help.split_once("Example of a deployment:\n").unwrap();
        let (example, _) = example.split_once("\n\n").unwrap();
        let found = reservation("a.yaml", example, &[]).unwrap();
        assert_eq!((found.deployment.workloads.len(), found.resources.cru), (2, 1));
    }

    #[test]
    fn a_volume_on_hard_disks_is_reserved_there() {
        let body = JSON.replace(r#""size":"#, r#""disk":"hdd","size":"#);
        let reservation = reservation("a.json", &body, &[]).unwrap();
        assert_eq!(reservation.resources, Resources { hru: 16 << 20, ..Resources::ZERO });
    }

    #[test]
    fn yaml_of_the_same_shape_becomes_the_same_deployment() {
        for name in ["a.yaml", "a.yml", "a"] {
            let plan = reservation(name, YAML, &[]).unwrap();
            assert_eq!(String::from_utf8(plan.body).unwrap(), JSON);
        }
        assert_eq!(reservation("a", JSON, &[]).unwrap().body, JSON.as_bytes());
    }

    #[test]
    fn a_copy_of_what_a_bot_has_moved_replaces_nothing() {
        let moved = JSON.replacen('{', r#"{"replaces":{"contract":7},"#, 1);
        assert!(Deployment::parse(moved.as_bytes()).unwrap().replaces.is_some());
        assert_eq!(String::from_utf8(reservation("a.json", &moved, &[]).unwrap().body).unwrap(), JSON);
    }

    #[test]
    fn a_file_that_a_node_would_reject_is_refused() {
        let typo = YAML.replace("workloads", "workload");
        let unknown = YAML.replace("size", "sise");
        let twice = YAML.replace("version: 1\n", "version: 1\nversion: 1\n");
        let size = |size: &str| YAML.replace("16777216", size);
        let variables =
            (0..300).map(|n| format!(r#""V{n}":"{}""#, "x".repeat(20))).collect::<Vec<_>>().join(",");
        let long = JSON.replace(
            r#""type":"zmount","data":{"size":16777216}"#,
            &format!(
                r#""type":"zmachine","data":{{"image":"docker.io/a/b:1","cpu":1,"memory":16777216,"env":{{{variables}}}}}"#
            ),
        );
        let (half, huge, text) = (size("0.5"), size("1180591620717411303424"), size("64MiB"));
        for (name, content, more, why) in [
            ("a.json", "{", &[][..], "isn't JSON"),
            ("a.json", &long, &[], "8192 bytes"),
            ("a.json", JSON, &["--sru", "1B"], "sru by"),
            ("a.json", YAML, &[], "isn't JSON"),
            ("a.yaml", "a: [", &[], "isn't YAML"),
            ("a.yaml", "- just\n- a list", &[], "must be an object, is an array"),
            (
                "a.yaml",
                &half,
                &[],
                "/workloads/0/data/size: must be a whole number from 0 to 2^64-1; this is 0.5",
            ),
            ("a.yaml", &huge, &[], "this is 1180591620717411303424"),
            (
                "a.yaml",
                &text,
                &[],
                "/workloads/0/data/size: must be a whole number, is a string: write 67108864",
            ),
            ("a.json", &JSON.replace("16777216", "0.5"), &[], "this is 0.5"),
            (
                "a.yaml",
                &unknown,
                &[],
                "line 4, column 41: /workloads/0/data/sise: the field \"sise\" is unknown (did you mean \"size\"?)",
            ),
            ("a.yaml", "parts: {}", &[], "is an application, not a deployment"),
            ("a.yaml", &typo, &[], "the field \"workloads\" is missing; there are: version, workload"),
            ("a.json", "{}", &[], "the field \"version\" is missing; there are: none"),
            ("a.yaml", &twice, &[], "/version: the key \"version\" stands here twice"),
        ] {
            let error = format!("{:#}", reservation(name, content, more).err().unwrap());
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn numbers_and_booleans_are_texts_where_texts_are_meant() {
        let yaml = "version: 1\nworkloads:\n- name: 7\n  type: zmachine\n  data:\n    { image: docker.io/a/b:1, \
                    cpu: 1, memory: 16777216, env: { PORT: 5432, ON: true, V: 1.10 }, args: [-p, 80] }\n";
        let found = reservation("a.yaml", yaml, &[]).unwrap();
        let WorkloadData::Zmachine(machine) = &found.deployment.workloads[0].data else {
            panic!("no machine")
        };
        let text = |text: &str| Text::Plain(text.into());
        let env = [("ON", text("true")), ("PORT", text("5432")), ("V", text("1.10"))];
        assert_eq!(machine.env, env.map(|(name, text)| (name.to_owned(), text)).into());
        assert_eq!(
            (found.deployment.workloads[0].name.as_str(), &machine.args[..]),
            ("7", &["-p".to_owned(), "80".into()][..])
        );
        let json = r#"{"version":1,"workloads":[{"name":"a","type":"zmachine","data":{"image":"docker.io/a/b:1",
                       "cpu":1,"memory":16777216,"env":{"PORT":5432}}}]}"#;
        let body = String::from_utf8(reservation("a.json", json, &[]).unwrap().body).unwrap();
        assert!(body.contains(r#""PORT":"5432""#), "{body}");
        let null = yaml.replace("5432", "null");
        let error = format!("{:#}", reservation("a.yaml", &null, &[]).err().unwrap());
        assert!(error.ends_with("/workloads/0/data/env/PORT: must be a string, is null"), "{error}");
    }

    #[test]
    fn every_example_is_what_a_node_would_run() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples");
        let mut applications = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let source = Source::read(&path).unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !source.is_application() {
                let (deployment, body) = deployment(&source).unwrap();
                assert_eq!(Deployment::parse(&body).unwrap(), deployment, "{name}");
                continue;
            }
            let mut application = source.application().unwrap();
            application.assign_ranges(&[]).unwrap();
            for (part, content) in &application.parts {
                application.deployment(part, content).to_body().unwrap();
            }
            applications.push(name);
        }
        applications.sort();
        assert_eq!(applications, ["private-network.yaml", "wordpress.yaml"]);
    }

    #[test]
    fn what_of_an_example_is_sealed_and_what_is_open() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples");
        let text = fs::read_to_string(format!("{folder}/postgresql.yaml")).unwrap();
        let found = reservation("a.yaml", &text, &[]).unwrap();
        let names = |name: &str| BTreeSet::from([name.to_owned()]);
        assert_eq!(found.sealed_and_open(), (names("POSTGRES_PASSWORD"), names("PGDATA")));
        assert!(found.secrets.is_empty() && !found.is_confidential);
        let machine = r#"{"image":"docker.io/web:1","cpu":1,"memory":16777216,
                          "registry":{"user":"u","password":{"secret":"a"}}}"#;
        let output = r#"{"zmachine":"a","output":{"secret":"b"}}"#;
        let body = format!(
            r#"{{"version":1,"secrets":{{"a":"x","b":"https://logs.example.org/in"}},"workloads":[
                {{"name":"a","type":"zmachine","data":{machine}}},
                {{"name":"out","type":"zlogs","data":{output}}}]}}"#
        );
        let (sealed, open) = reservation("a.json", &body, &[]).unwrap().sealed_and_open();
        let secret = ["the address of out", "the registry password for docker.io/web:1"];
        assert_eq!(
            (sealed, open),
            (secret.map(Into::into).into(), names("the registry user for docker.io/web:1"))
        );
    }

    #[test]
    fn variables_and_passwords_that_are_secret_are_named() {
        let machine = r#"{"image":"docker.io/web:1","cpu":1,"memory":16777216,
                          "registry":{"user":"u","password":"open sesame"},
                          "env":{"DB_PASSWORD":"x","api_token":"x","GREETING":"x"}}"#;
        let body =
            format!(r#"{{"version":1,"workloads":[{{"name":"a","type":"zmachine","data":{machine}}}]}}"#);
        let password = "the registry password for docker.io/web:1";
        let found = reservation("a.json", &body, &[]).unwrap();
        assert_eq!(found.secrets, ["DB_PASSWORD", "api_token", password]);
        assert!(found.is_confidential && !reservation("a.json", JSON, &[]).unwrap().is_confidential);
        let machine = r#"{"image":"docker.io/web:1","cpu":1,"memory":16777216}"#;
        let logs = r#"{"zmachine":"a","output":"https://logs.example.org/in/5e5a3e"}"#;
        let body = format!(
            r#"{{"version":1,"workloads":[{{"name":"a","type":"zmachine","data":{machine}}},
                {{"name":"out","type":"zlogs","data":{logs}}}]}}"#
        );
        let found = reservation("a.json", &body, &[]).unwrap();
        assert_eq!(found.secrets, ["the address of out"]);
        assert!(found.is_confidential);
    }
}
