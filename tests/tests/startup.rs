// SPDX-License-Identifier: Apache-2.0

//! Parts of a grid that start before those that they need.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{net::Ipv4Addr, path::Path, process::Command, time::Duration};
use tfgrid_tests::{Agent, Chain, Engine, Person, Registry, binary, free_port, on_a_run, text, wait_for};

const NOTICE: Duration = Duration::from_secs(30);
/// The agent gives a refusal half a minute to pass.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(90);
/// Blocks of the chain, and keys in them, are read first; a self-test is tried again after up to half a minute.
const ANSWERS_WITHIN: Duration = Duration::from_secs(90);
const UNKNOWN_TICKET: &str =
    "tfgrid-ticket-1:0707070707070707070707070707070707070707070707070707070707070707";

#[test]
fn an_agent_waits_for_its_chain_and_its_engine() -> Result<()> {
    on_a_run("startup", |run| {
        let mut engine = Engine::private(&run)?;
        let registry = Registry::start(&run)?;
        let image = registry.push_page_image(&run, &engine)?;
        let mut chain = Chain::start(&run, free_port()?, None)?;
        let (farmer, user) =
            ["//Alice", "//Bob"].map(|key| Person::new(key, &chain.url(), run.folder())).into();
        let ticket = farmer.opens_a_farm(1)?;
        user.joins_with_credit()?;
        chain.stop()?;
        engine.stop()?;

        // Nobody listens at the first of its endpoints.
        let endpoints = format!("ws://127.0.0.1:{},{}", free_port()?, chain.url());
        let mut agent = Agent::start_on(&run, &endpoints, engine.host(), &ticket)?;
        wait_for("the agent to miss its engine", NOTICE, || {
            Ok(agent.log().contains(engine.host()).then_some(()))
        })?;
        let tells = "no heartbeats, nothing is started: the self-test has failed";
        wait_for("the self-test to fail", NOTICE, || Ok(agent.log().contains(tells).then_some(())))?;
        engine.start(&run)?;
        wait_for("the agent to miss its chain", NOTICE, || {
            Ok(agent.log().contains(&chain.url()).then_some(()))
        })?;
        chain.resume(&run)?;

        let node = farmer.waits_for_node()?;
        let site = user.deploys_a_site(node, &image)?;
        site.page()?;
        ensure!(agent.is_running());
        let examined = doctor(&endpoints, &engine, agent.data())?;
        ensure!(examined["node"] == node, "{examined}");
        for name in ["agent", "container engine", "self-test", "peer endpoint"] {
            ensure!(state_of(&examined, name)? == "ok", "{name}: {examined}");
        }
        // Where it can be dialled is on the chain by then.
        let status = || farmer.threebot(&["node", "status", &node.to_string()]);
        wait_for("the farmer to be answered", ANSWERS_WITHIN, || Ok(status().ok()))?;
        let told = agent.log().matches(tells).count();
        agent.kill()?;
        let examined = doctor(&endpoints, &engine, agent.data())?;
        ensure!(state_of(&examined, "agent")? == "wrong", "{examined}");

        engine.stop()?;
        agent.resume(&run)?;
        wait_for("the self-test to fail again", NOTICE, || {
            Ok((agent.log().matches(tells).count() > told).then_some(()))
        })?;
        let found = wait_for("the farmer to be answered untested", ANSWERS_WITHIN, || Ok(status().ok()))?;
        ensure!(state_of(&found, "self-test")? == "wrong", "{found}");
        let of_site = || user.threebot(&["status", &site.contract]);
        let refused = of_site().err().context("a node answers a tenant before its self-test")?;
        ensure!(format!("{refused:#}").contains("hasn't passed its self-test"), "{refused:#}");
        engine.start(&run)?;
        wait_for("the tenant to be answered", ANSWERS_WITHIN, || Ok(of_site().ok())).map(drop)
    })
}

/// What `zos-agent doctor` finds about a node.
fn doctor(endpoints: &str, engine: &Engine, data: &Path) -> Result<Value> {
    let mut command = Command::new(binary("zos-agent")?);
    command.args(["doctor", "--json", "--chain", endpoints, "--engine", engine.host(), "--unsafe-engine"]);
    // It fails if something is wrong.
    let output = command.arg("--data").arg(data).output().context("can't run `zos-agent doctor`")?;
    let report = String::from_utf8(output.stdout)?;
    serde_json::from_str(&report).with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

fn state_of(examined: &Value, name: &str) -> Result<String> {
    let findings = examined["findings"].as_array().context("no findings")?;
    let found = findings.iter().find(|finding| finding["name"] == name);
    Ok(text(&found.with_context(|| format!("nothing about {name}: {examined}"))?["state"])?.into())
}

#[test]
fn an_agent_whose_ticket_admits_nobody_ends_with_the_reason() -> Result<()> {
    on_a_run("tickets", |run| {
        let engine = Engine::private(&run)?;
        let chain = Chain::start(&run, free_port()?, None)?;
        let farmer = Person::new("//Alice", &chain.url(), run.folder());
        let spent = farmer.opens_a_farm(1)?;
        let opened = farmer.threebot(&["farm", "ticket", "--farm", "1", "--expires", "15s"])?;
        let expired = text(&opened["ticket"])?.to_owned();
        let first = Agent::start_on(&run, &chain.url(), engine.host(), &spent)?;
        first.joins()?;

        let start = |name, ticket: &str| -> Result<Agent> {
            let address = (Ipv4Addr::LOCALHOST, free_port()?).into();
            let more = ["--engine", engine.host(), "--unsafe-engine"];
            Agent::start_other(&run, name, &chain.url(), ticket, address, &more)
        };
        ensure_ends(start("agent-2", &spent)?, "as many nodes as it was opened for", "Ask the farmer")?;
        ensure_ends(start("agent-3", &expired)?, "has expired", "Ask the farmer")?;
        ensure_ends(start("agent-2", UNKNOWN_TICKET)?, "no farmer has opened", "Check that the ticket")?;
        wait_for("the farmer to see both tickets as they are", GIVES_UP_WITHIN, || {
            let shown = farmer.threebot(&["farm", "show", "1"])?;
            let tickets = shown["tickets"].as_array().context("a farm has tickets")?;
            let is = |state: &str, joined: u64| {
                tickets.iter().any(|ticket| ticket["state"] == state && ticket["joined"] == joined)
            };
            Ok((is("used up", 1) && is("expired", 0)).then_some(()))
        })
    })
}

fn ensure_ends(mut agent: Agent, reason: &str, advice: &str) -> Result<()> {
    wait_for("the agent to give up", GIVES_UP_WITHIN, || Ok((!agent.is_running()).then_some(())))?;
    let log = agent.log();
    let end = log.rsplit("this node can't join: ").next().unwrap_or_default();
    ensure!(end.len() < log.len() && end.contains(reason) && end.contains(advice), "{log}");
    Ok(())
}
