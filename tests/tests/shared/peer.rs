// SPDX-License-Identifier: Apache-2.0

//! Owners at the peer endpoint of their node.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};
use tfgrid_client::{
    GridClient,
    peer::{
        Device, NodeAddress, NodePeer, PeerError,
        protocol::{Ask, FailedCode, Logs},
    },
};
use tfgrid_tests::{GREETING, Grid, Person, Site, get, text, wait_for};

const LIMIT: Duration = Duration::from_secs(30);
/// A node forgets a key that is removed within this time.
const FORGOTTEN_WITHIN: Duration = Duration::from_secs(60);

/// Deploys a site, and calls `test` with it.
fn with_site(grid: &mut Grid, test: impl FnOnce(&mut Grid, &Site) -> Result<()>) -> Result<()> {
    let site = grid.user.deploys_a_site(grid.node, &grid.image)?;
    let tested = test(grid, &site);
    grid.user.threebot(&["cancel", &site.contract, "--yes"])?;
    tested
}

pub fn owners_see_enter_and_reach_their_machines(grid: &mut Grid) -> Result<()> {
    with_site(grid, |grid, site| {
        let (user, contract) = (&grid.user, &site.contract[..]);
        let status = user.threebot(&["status", contract])?;
        ensure!(status["ready"] == true && status["machines"]["web"]["state"] == "running", "{status}");
        let logs = shown(user, &["logs", contract])?;
        ensure!(logs == format!("serving {GREETING}\n"), "{logs:?}");
        programs_run(user, contract)?;
        files_are_copied(user, contract, grid.run().folder())?;
        let page = site.page()?;
        ensure!(Forwarded::open(user, contract)?.page()? == page, "another page is forwarded");
        let top = user.threebot(&["top", contract])?;
        ensure!(top["web"]["memory_bytes"].as_u64() > Some(0), "{top}");
        let events = shown(user, &["events", contract])?;
        ensure!(events.contains("started") && events.contains("version 1 runs"), "{events}");
        Ok(())
    })
}

fn programs_run(user: &Person, contract: &str) -> Result<()> {
    let ran = run(user, &["exec", contract, "web", "--", "sh", "-c", "echo out; echo err >&2; exit 7"], "")?;
    ensure!(ran.status.code() == Some(7), "{}", ran.status);
    ensure!(ran.stdout == b"out\n" && ran.stderr == b"err\n", "{ran:?}");
    let echoed = run(user, &["exec", "-i", contract, "web", "--", "cat"], "typed")?;
    ensure!(echoed.status.success() && echoed.stdout == b"typed", "{echoed:?}");
    let missing = run(user, &["exec", contract, "web", "--", "nothing"], "")?;
    ensure!(missing.status.code() == Some(126), "{missing:?}");
    let nowhere = run(user, &["exec", contract, "db", "--", "sh"], "")?;
    let error = String::from_utf8_lossy(&nowhere.stderr);
    ensure!(error.contains("has no machine db; it has: web"), "{error}");
    Ok(())
}

fn files_are_copied(user: &Person, contract: &str, folder: &Path) -> Result<()> {
    let (sent, received) = (folder.join("sent"), folder.join("received"));
    fs::write(&sent, "content")?;
    let path = |path: &Path| path.display().to_string();
    user.threebot(&["cp", contract, &path(&sent), "web:/data/copied"])?;
    user.threebot(&["cp", contract, "web:/data/copied", &path(&received)])?;
    ensure!(fs::read_to_string(&received)? == "content", "the copy differs");
    let missing = user.threebot(&["cp", contract, "web:/nothing", &path(&received)]);
    let error = format!("{:#}", missing.err().context("a missing file was copied")?);
    ensure!(error.contains("nothing: No such file"), "{error}");
    Ok(())
}

pub fn a_stopped_machine_stays_stopped(grid: &mut Grid) -> Result<()> {
    with_site(grid, |grid, site| {
        let contract = &site.contract[..];
        grid.user.threebot(&["stop", contract])?;
        until_state(&grid.user, contract, "stopped by its owner")?;
        grid.agent.kill()?;
        grid.resume_agent()?;
        until_state(&grid.user, contract, "stopped by its owner")?;
        grid.user.threebot(&["start", contract])?;
        until_state(&grid.user, contract, "running")?;
        let before = shown(&grid.user, &["events", contract])?.lines().count();
        grid.user.threebot(&["restart", contract])?;
        wait_for("the machine to be started again", LIMIT, || {
            let events = shown(&grid.user, &["events", contract])?;
            Ok(events.lines().skip(before).any(|line| line.contains("started")).then_some(()))
        })?;
        site.page().map(drop)
    })
}

pub fn strangers_and_removed_devices_get_nothing(grid: &mut Grid) -> Result<()> {
    with_site(grid, |grid, site| {
        let contract: u64 = site.contract.parse()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let node = runtime.block_on(address(grid))?;
        runtime.block_on(async {
            let stranger = NodePeer::connect(&Device::generate(), &node).await?;
            for id in [contract, contract + 1] {
                let answer = stranger.status(id).await;
                ensure!(matches!(answer, Err(PeerError::Unknown)), "a stranger gets {answer:?}");
            }
            let own = NodePeer::connect(&device(&grid.user)?, &node).await?;
            let status = own.status(contract).await?;
            ensure!(status.ready, "{status:?}");
            let other = own.status(contract + 1).await;
            let is_not_found =
                matches!(&other, Err(PeerError::Failed(failed)) if failed.code == FailedCode::NotFound);
            ensure!(is_not_found, "another contract gives {other:?}");

            let logs =
                Logs { workload: "web".into(), follow: true, tail: None, since: None, timestamps: false };
            let mut following = own.ask(contract, Ask::Logs(logs)).await?;
            ensure!(following.next().await?.is_some(), "there is no output");
            grid.user.threebot(&["device", "remove"])?;
            let ended = tokio::time::timeout(FORGOTTEN_WITHIN, following.next()).await;
            let ended = ended.context("a removed device still follows")?;
            ensure!(
                matches!(&ended, Err(PeerError::Unknown | PeerError::Failed(_))),
                "a removed device gets {ended:?}"
            );
            Ok(())
        })?;
        let refused = grid.user.threebot(&["status", &site.contract]);
        let error = format!("{:#}", refused.err().context("a removed device is served")?);
        ensure!(error.contains("threebot device add"), "{error}");
        grid.user.threebot(&["device", "add"])?;
        grid.user.threebot(&["status", &site.contract]).map(drop)
    })
}

/// As from behind a router that lets no packet in.
pub fn a_relay_carries_what_no_packet_reaches(grid: &mut Grid) -> Result<()> {
    with_site(grid, |grid, site| {
        let contract: u64 = site.contract.parse()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut node = address(grid).await?;
            ensure!(node.addresses.relays.len() == 1, "the node's addresses are {}", node.addresses);
            node.addresses.direct.clear();
            let peer = NodePeer::connect(&device(&grid.user)?, &node).await?;
            let stats = peer.stats(contract).await?;
            ensure!(stats.contains_key("web"), "{stats:?}");
            peer.close().await;
            Ok(())
        })
    })
}

async fn address(grid: &Grid) -> Result<NodeAddress> {
    let at = GridClient::connect(&grid.chain.url()).await?.finalized().await?;
    let node = u32::try_from(grid.node)?;
    at.peer(node).await?.context("the chain has no node")
}

fn device(user: &Person) -> Result<Device> {
    let seed = hex::decode(fs::read_to_string(user.device())?.trim())?;
    Ok(Device::from_seed(&seed.try_into().ok().context("a seed has 32 bytes")?))
}

fn until_state(user: &Person, contract: &str, state: &str) -> Result<()> {
    wait_for(&format!("the machine to be {state}"), LIMIT, || {
        let status: Value = user.threebot(&["status", contract])?;
        Ok((status["machines"]["web"]["state"] == state).then_some(()))
    })
}

/// What a command prints for people.
fn shown(user: &Person, args: &[&str]) -> Result<String> {
    let output = run(user, args, "")?;
    ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn run(user: &Person, args: &[&str], input: &str) -> Result<Output> {
    let mut command: Command = user.command()?;
    let streams = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = streams.spawn().context("can't run threebot")?;
    // Dropped at once: it reads to the end.
    child.stdin.take().context("threebot has no stdin")?.write_all(input.as_bytes())?;
    Ok(child.wait_with_output()?)
}

/// A forwarded port, until it is dropped.
struct Forwarded {
    process: Child,
    local: SocketAddr,
}

impl Forwarded {
    fn open(user: &Person, contract: &str) -> Result<Self> {
        let mut command = user.command()?;
        let mut process =
            command.args(["--json", "forward", contract, "0:web:80"]).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let output = process.stdout.take().context("threebot has no stdout")?;
        BufReader::new(output).read_line(&mut line)?;
        let Ok(told) = serde_json::from_str::<Value>(&line) else {
            process.kill()?;
            bail!("forward printed {line:?}");
        };
        let local = text(&told["local"])?.parse()?;
        Ok(Self { process, local })
    }

    fn page(&self) -> Result<String> {
        get(self.local, "/")
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
