// SPDX-License-Identifier: Apache-2.0

//! Parts of a grid that start before those that they need.

use anyhow::{Result, ensure};
use std::time::Duration;
use tfgrid_tests::{Agent, Chain, Engine, Person, Registry, free_port, on_a_run, wait_for};

const NOTICE: Duration = Duration::from_secs(30);

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
        engine.start(&run)?;
        wait_for("the agent to miss its chain", NOTICE, || {
            Ok(agent.log().contains(&chain.url()).then_some(()))
        })?;
        chain.resume(&run)?;

        let node = farmer.waits_for_node()?;
        user.deploys_a_site(node, &image)?.page()?;
        ensure!(agent.is_running());
        Ok(())
    })
}
