// SPDX-License-Identifier: Apache-2.0
//! Says why a node earns nothing or deploys nothing, and what to do. Changes nothing: the agent may run meanwhile.

pub(crate) mod grid;
pub(crate) mod machine;

use crate::{
    chain::{endpoints::dial, stored},
    config::DoctorArgs,
    identity::Identity,
    requirements,
    store::Store,
    ticket,
};
use anyhow::{Error, Result, ensure};
use futures::future::join_all;
use serde::Serialize;
use tfgrid_client::finding::{Finding, State};
use tfgrid_primitives::NodeId;

/// What couldn't be found out.
fn unknown(name: impl Into<String>, why: impl Into<Error>) -> Finding {
    let text = format!("can't be found out: {:#}", why.into());
    Finding { state: State::Wrong, ..Finding::ok(name, text) }
}

/// Everything that was found.
#[derive(Debug, Serialize)]
struct Report {
    /// The node's id, if it is on the chain.
    node: Option<NodeId>,
    findings: Vec<Finding>,
}

/// Prints what it finds.
///
/// # Errors
/// If something is wrong.
pub async fn run(args: DoctorArgs) -> Result<()> {
    let report = examine(&args).await;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.findings.iter().for_each(|finding| println!("{finding}"));
    }
    let wrong = report.findings.iter().filter(|finding| finding.state == State::Wrong).count();
    ensure!(wrong == 0, "{wrong} of {} things are wrong", report.findings.len());
    Ok(())
}

async fn examine(args: &DoctorArgs) -> Report {
    let place = &args.place;
    let mut findings = requirements_of(args).await;
    // What isn't there isn't created.
    let state = place.data.join("state");
    let state = state.is_dir().then(|| Store::open(state)).and_then(Result::ok);
    let identity = match place.data.is_dir().then(|| Identity::load(&place.data)).transpose() {
        Ok(identity) => identity.flatten(),
        Err(error) => {
            findings.push(unknown("identity", error));
            None
        }
    };
    let key = identity.as_ref().map(|identity| identity.node_key().public());
    match (&key, &state) {
        (Some(key), Some(state)) => findings.extend(machine::examine(place, key, state).await),
        _ => findings.push(Finding::wrong(
            "agent",
            format!("it was never started with the data folder {}", place.data.display()),
            "start it, or name its folder with --data",
        )),
    }

    let dialled = join_all(args.grid.chain.iter().map(|url| dial(url.clone()))).await;
    let dialled = args.grid.chain.iter().cloned().zip(dialled).collect();
    let (chain, client) = grid::endpoints(dialled, state.as_ref());
    findings.extend(chain);
    let mut node = None;
    if let (Some(client), Some(key)) = (client, &key) {
        match ticket::find(args.grid.ticket_file.as_deref()) {
            Ok(ticket) => {
                let (id, found) = grid::node(&client, key, ticket.map(|ticket| ticket.public())).await;
                node = id;
                findings.extend(found);
            }
            Err(error) => findings.push(unknown("ticket", error)),
        }
    } else if let (Some(state), Some(identity)) = (&state, &identity)
        && let Ok(Some(snapshot)) = stored::read(state, identity.seal_key())
    {
        let text = format!("{} contracts as of block {}", snapshot.contracts.len(), snapshot.head.number);
        findings.push(Finding::note("stored snapshot", text));
    }
    findings.extend(machine::hardware().await);
    Report { node, findings }
}

async fn requirements_of(args: &DoctorArgs) -> Vec<Finding> {
    let mut requirements = requirements::check_system(&args.place).await;
    requirements.push(requirements::check_place(&args.place));
    let count = requirements.len();
    let missing = requirements.into_iter().filter_map(|requirement| {
        let why = requirement.result.err()?;
        Some(Finding::wrong(requirement.name, "missing", format!("{why:#}")))
    });
    let missing: Vec<Finding> = missing.collect();
    if missing.is_empty() {
        return vec![Finding::ok("requirements", format!("all {count} are met"))];
    }
    missing
}
