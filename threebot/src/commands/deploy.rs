// SPDX-License-Identifier: Apache-2.0

use super::{contracts, event};
use crate::{cli::Deploy, output::Answer, session::Session};
use anyhow::{bail, Context, Result};
use serde_json::json;
use std::{
    fs,
    io::{self, Read},
    time::Instant,
};
use tfgrid_client::{
    api,
    deployment::Deployment,
    primitives::{views::ContractStatus, ContractId, Resources},
};

/// A deployment, checked, and what is to be reserved for it.
pub struct Plan {
    body: Vec<u8>,
    resources: Resources,
}

impl Plan {
    /// Reads and checks the file; nothing is submitted that a node would reject.
    pub fn read(args: &Deploy) -> Result<Self> {
        let name = args.file.display();
        let text = if args.file.as_os_str() == "-" {
            let mut text = Vec::new();
            io::stdin().read_to_end(&mut text).context("can't read the deployment from stdin")?;
            text
        } else {
            fs::read(&args.file).with_context(|| format!("can't read the deployment {name}"))?
        };
        let deployment = Deployment::parse(&text)
            .with_context(|| format!("{name} isn't a deployment that a node would run"))?;
        let needs = deployment.needs();
        let resources = Resources {
            cru: args.cru.unwrap_or(needs.cru),
            mru: args.mru.unwrap_or(needs.mru),
            sru: args.sru.unwrap_or(needs.sru),
            ..Resources::ZERO
        };
        deployment
            .check_fits(&resources)
            .with_context(|| format!("{name} doesn't fit what would be reserved"))?;
        Ok(Self { body: text, resources })
    }
}

pub async fn run(session: &Session, args: Deploy, plan: Plan) -> Result<Answer> {
    let started = Instant::now();
    let at = session.grid.finalized().await?;
    let Some(rate) = at.quote(args.node, plan.resources, 0).await? else {
        bail!("no node has the id {}", args.node);
    };
    let call = api::transactions().contracts().create_node_contract(
        args.node,
        plan.resources.into(),
        api::runtime_types::tfgrid_primitives::body::Body::Plain(plan.body),
        0,
        api::runtime_types::bounded_collections::bounded_vec::BoundedVec(Vec::new()),
        0,
        // What was quoted is what is paid, or nothing is.
        rate,
    );
    let included = session.grid.submit("deploy", &call, &session.key).await?;
    let created = event::<api::contracts::events::NodeContractCreated>(&included, "deploy")?;
    if args.no_wait {
        let text = format!("contract {} on node {}: reserved", created.contract, args.node);
        return Ok(Answer::new(
            text,
            json!({ "contract": created.contract, "node": args.node, "state": "created" }),
        ));
    }
    let waiting = running(session, created.contract);
    match tokio::time::timeout(args.timeout, waiting).await {
        Ok(done) => done?,
        Err(_) => bail!(
            "contract {} isn't deployed after {} s; it stays open: look at it with `threebot show {0}`",
            created.contract,
            args.timeout.as_secs(),
        ),
    }
    let seconds = started.elapsed().as_secs_f64();
    contracts::show_with(session, created.contract, json!({ "seconds": seconds })).await
}

/// Waits until a contract runs, or says why it never will.
async fn running(session: &Session, contract: ContractId) -> Result<()> {
    let mut heads = session.grid.follow().await?;
    while let Some(at) = heads.next().await {
        match at?.contract_status(contract).await? {
            Some(ContractStatus::Created) | None => {}
            Some(
                ContractStatus::Deployed { .. }
                | ContractStatus::Paused { .. }
                | ContractStatus::NodeOffline { .. },
            ) => return Ok(()),
            Some(ContractStatus::Closed { reason, .. }) => {
                bail!("contract {contract} was closed before it ran: {}", contracts::reason_text(&reason))
            }
        }
    }
    bail!("the connection to the chain ended while waiting for contract {contract}; it stays open")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    const BODY: &str =
        r#"{"version":1,"workloads":[{"name":"data","type":"zmount","data":{"size":16777216}}]}"#;

    /// What planning a file of this content with these arguments says.
    fn plan(content: &str, more: &[&str]) -> Result<Plan> {
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), content)?;
        let path = file.path().display().to_string();
        let words =
            ["threebot", "deploy", "--node", "1", "-f", &path].into_iter().chain(more.iter().copied());
        let crate::cli::Command::OnGrid(crate::cli::OnGrid::Deploy(args)) =
            crate::cli::Cli::try_parse_from(words)?.command
        else {
            bail!("not a deployment")
        };
        Plan::read(&args)
    }

    #[test]
    fn a_plan_reserves_what_the_deployment_needs() {
        let plan = plan(BODY, &["--cru", "2"]).unwrap();
        assert_eq!(plan.resources, Resources { cru: 2, sru: 16_777_216, ..Resources::ZERO });
        assert_eq!(plan.body, BODY.as_bytes());
    }

    #[test]
    fn what_a_node_would_reject_is_not_planned() {
        for (content, more, why) in [
            ("{", &[][..], "isn't JSON"),
            (&" ".repeat(8_193), &[], "8192 bytes"),
            (BODY, &["--sru", "1"], "sru by"),
        ] {
            let error = format!("{:#}", plan(content, more).err().unwrap());
            assert!(error.contains(why), "{error}");
        }
    }
}
