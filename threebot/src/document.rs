// SPDX-License-Identifier: Apache-2.0
//! Deployments as people write them: JSON, or YAML of the same shape.

use crate::cli::Document;
use anyhow::{Context, Result, bail};
use std::{
    fs,
    io::{self, Read},
    path::Path,
};
use tfgrid_client::{
    deployment::{Deployment, Json},
    primitives::Resources,
};

/// A deployment, checked, and what is to be reserved for it.
pub struct Plan {
    /// What goes into the contract.
    pub body: Vec<u8>,
    /// What is reserved.
    pub resources: Resources,
}

impl Plan {
    /// Reads and checks the file; nothing is submitted that a node would reject.
    pub fn read(document: &Document) -> Result<Self> {
        let name = document.file.display();
        let text = read(&document.file)?;
        let (deployment, body) = match is_yaml(&document.file, &text) {
            true => from_yaml(&text),
            false => from_json(text),
        }
        .with_context(|| format!("{name} isn't a deployment that a node would run"))?;
        let needs = deployment.needs();
        let resources = Resources {
            cru: document.cru.unwrap_or(needs.cru),
            mru: document.mru.unwrap_or(needs.mru),
            sru: document.sru.unwrap_or(needs.sru),
            ..Resources::ZERO
        };
        deployment
            .check_fits(&resources)
            .with_context(|| format!("{name} doesn't fit what would be reserved"))?;
        Ok(Self { body, resources })
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

/// A file says by its name what it is, and what comes from elsewhere by its beginning.
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

/// What goes into the contract is always JSON.
fn from_yaml(text: &[u8]) -> Result<(Deployment, Vec<u8>)> {
    let json: Json = match serde_yaml::from_slice(text) {
        Ok(json) => json,
        Err(error) => bail!("it isn't YAML: {error}"),
    };
    let deployment = Deployment::read(&json)?;
    let body = deployment.to_body()?;
    Ok((deployment, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command, OnGrid};
    use clap::Parser;

    const JSON: &str =
        r#"{"version":1,"workloads":[{"name":"data","type":"zmount","data":{"size":16777216}}]}"#;
    const YAML: &str = "\
# A volume.
version: 1
workloads:
  - { name: data, type: zmount, data: { size: 16777216 } }
";

    /// What planning a file of this name and content with these arguments says.
    fn plan(name: &str, content: &str, more: &[&str]) -> Result<Plan> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join(name);
        fs::write(&file, content)?;
        let path = file.display().to_string();
        let words = ["threebot", "deploy", "--node", "1", "-f", &path];
        let words = words.into_iter().chain(more.iter().copied());
        let Command::OnGrid(OnGrid::Deploy(args)) = Cli::try_parse_from(words)?.command else {
            bail!("not a deployment")
        };
        Plan::read(&args.document)
    }

    #[test]
    fn a_plan_reserves_what_the_deployment_needs() {
        let plan = plan("a.json", JSON, &["--cru", "2", "--sru", "1GiB"]).unwrap();
        assert_eq!(plan.resources, Resources { cru: 2, sru: 1 << 30, ..Resources::ZERO });
        assert_eq!(plan.body, JSON.as_bytes());
    }

    #[test]
    fn yaml_of_the_same_shape_becomes_the_same_deployment() {
        for name in ["a.yaml", "a.yml", "a"] {
            let plan = plan(name, YAML, &[]).unwrap();
            assert_eq!(String::from_utf8(plan.body).unwrap(), JSON);
        }
        assert_eq!(plan("a", JSON, &[]).unwrap().body, JSON.as_bytes());
    }

    #[test]
    fn what_a_node_would_reject_is_not_planned() {
        let unknown = YAML.replace("size", "sise");
        let twice = YAML.replace("version: 1\n", "version: 1\nversion: 1\n");
        for (name, content, more, why) in [
            ("a.json", "{", &[][..], "isn't JSON"),
            ("a.json", &" ".repeat(8_193), &[], "8192 bytes"),
            ("a.json", JSON, &["--sru", "1B"], "sru by"),
            ("a.json", YAML, &[], "isn't JSON"),
            ("a.yaml", "a: [", &[], "isn't YAML"),
            ("a.yaml", &unknown, &[], "sise"),
            ("a.yaml", &twice, &[], "twice"),
        ] {
            let error = format!("{:#}", plan(name, content, more).err().unwrap());
            assert!(error.contains(why), "{error}");
        }
    }
}
