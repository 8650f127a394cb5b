// SPDX-License-Identifier: Apache-2.0
//! Deployments from files: JSON, or YAML of the same shape.

use anyhow::{Context, Result};
use clap::Args;
use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};
use tfgrid_client::{
    api::runtime_types::{
        bounded_collections::bounded_vec::BoundedVec, pallet_grid_contracts::types::Network,
        tfgrid_primitives::net::Subnet,
    },
    deployment::{Deployment, Json, Registry, Text, WorkloadData, Zmachine},
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
    /// Whether all of it is sealed unless its owner says otherwise: it has an environment or credentials of a registry,
    /// and doesn't say what of these is secret.
    pub is_confidential: bool,
    /// What looks like a secret: environment variables by name, and passwords of registries.
    pub secrets: Vec<String>,
}

impl DeploymentFile {
    /// Reads the file and applies all rules that a node applies.
    pub fn read(&self) -> Result<Reservation> {
        let name = self.file.display();
        let text = read(&self.file)?;
        let parse = if is_yaml(&self.file, &text) { from_yaml } else { from_json };
        let (deployment, body) =
            parse(text).with_context(|| format!("{name} isn't a deployment that a node would run"))?;
        let needs = deployment.needs();
        let resources = Resources {
            cru: self.cru.unwrap_or(needs.cru),
            mru: self.mru.unwrap_or(needs.mru),
            sru: self.sru.unwrap_or(needs.sru),
            hru: self.hru.unwrap_or(needs.hru),
            ..Resources::ZERO
        };
        deployment
            .check_fits(&resources)
            .with_context(|| format!("{name} doesn't fit the capacity to reserve"))?;
        Ok(Reservation {
            body,
            resources,
            features: deployment.features(),
            networks: networks(&deployment),
            is_confidential: deployment.secrets.is_none()
                && machines(&deployment).any(|machine| !machine.env.is_empty() || machine.registry.is_some()),
            secrets: secrets(&deployment),
            deployment,
        })
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    if file.as_os_str() != "-" {
        return fs::read(file).with_context(|| format!("can't read the deployment {}", file.display()));
    }
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text).context("can't read the deployment from stdin")?;
    Ok(text)
}

/// The ending of the file's name decides; without one, the first character does.
fn is_yaml(file: &Path, text: &[u8]) -> bool {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "yml") => true,
        Some(_) => false,
        None => text.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| *byte != b'{'),
    }
}

fn from_json(text: Vec<u8>) -> Result<(Deployment, Vec<u8>)> {
    Ok((Deployment::parse(&text)?, text))
}

fn from_yaml(text: Vec<u8>) -> Result<(Deployment, Vec<u8>)> {
    let json: Json = yaml_serde::from_slice(&text).context("it isn't YAML")?;
    let deployment = Deployment::read(&json)?;
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

/// Names of variables that look like secrets, and passwords of registries: plain bodies are public.
fn secrets(deployment: &Deployment) -> Vec<String> {
    const SIGNS: [&str; 4] = ["PASSWORD", "SECRET", "TOKEN", "KEY"];
    let looks_secret = |name: &&String| SIGNS.iter().any(|sign| name.to_ascii_uppercase().contains(sign));
    let of_machine = |machine: &Zmachine| {
        let is_plain = |text: &Text| matches!(text, Text::Plain(_));
        let registry = machine.registry.as_ref().filter(|Registry { password, .. }| is_plain(password));
        let password = registry.map(|_| format!("the registry password for {}", machine.image));
        let variables = machine.env.iter().filter(|(_, text)| is_plain(text)).map(|(name, _)| name);
        variables.filter(looks_secret).cloned().chain(password).collect::<Vec<_>>()
    };
    machines(deployment).flat_map(of_machine).collect()
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
    use clap::Parser;

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
        args.deployment.read()
    }

    #[test]
    fn the_needs_of_a_deployment_are_reserved() {
        let reservation = reservation("a.json", JSON, &["--cru", "2", "--sru", "1GiB"]).unwrap();
        assert_eq!(reservation.resources, Resources { cru: 2, sru: 1 << 30, ..Resources::ZERO });
        assert_eq!(reservation.body, JSON.as_bytes());
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
    fn a_file_that_a_node_would_reject_is_refused() {
        let typo = YAML.replace("workloads", "workload");
        let unknown = YAML.replace("size", "sise");
        let twice = YAML.replace("version: 1\n", "version: 1\nversion: 1\n");
        let size = |size: &str| YAML.replace("16777216", size);
        let (half, huge, text) = (size("0.5"), size("1180591620717411303424"), size("64MiB"));
        for (name, content, more, why) in [
            ("a.json", "{", &[][..], "isn't JSON"),
            ("a.json", &" ".repeat(8_193), &[], "8192 bytes"),
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
            ("a.yaml", &unknown, &[], "sise"),
            ("a.yaml", &typo, &[], "the field \"workloads\" is missing; there are: version, workload"),
            ("a.json", "{}", &[], "the field \"version\" is missing; there are: none"),
            ("a.yaml", &twice, &[], "/version: the key \"version\" stands here twice"),
        ] {
            let error = format!("{:#}", reservation(name, content, more).err().unwrap());
            assert!(error.contains(why), "{error}");
        }
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
    }
}
