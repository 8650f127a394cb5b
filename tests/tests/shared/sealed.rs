// SPDX-License-Identifier: Apache-2.0

//! A deployment with secrets, from its file to its machine.

use crate::command_line::ensure_served;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{fs, path::Path, time::Duration};
use tfgrid_tests::{Grid, LogReceiver, MIB, page_deployment, wait_for};

const SECRET: &str = "correct-horse-battery-staple";
const EVENT_LIMIT: Duration = Duration::from_secs(60);
/// Those of the vectors: secret and public half.
const IDENTITY: &str = "AGE-SECRET-KEY-1YQSJYGEYY5NZW2PF9G4JCTFW9UCRZV3NXS6NVDEC8YARK0PA8CLSWXGG7Q";
const RECIPIENT: &str = "age1xkq8943ktzqdrth2x2ddlyfp8qu9rmfp528rka0fvhgd9ngkvf2qu2snyf";

/// Fails if the secret is in the file or, in a folder, in one of its files.
fn ensure_clean(path: &Path) -> Result<()> {
    if path.is_dir() {
        let mut entries = fs::read_dir(path).with_context(|| format!("can't list {}", path.display()))?;
        return entries.try_for_each(|entry| ensure_clean(&entry?.path()));
    }
    let text = fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    let is_in = |needle: &[u8]| text.windows(needle.len()).any(|window| window == needle);
    ensure!(!is_in(SECRET.as_bytes()), "{} has the secret", path.display());
    ensure!(!is_in(hex::encode(SECRET).as_bytes()), "{} has the secret in hex", path.display());
    Ok(())
}

fn ensure_the_agent_keeps_it(grid: &Grid) -> Result<()> {
    ensure_clean(&grid.agent.data().join("state"))?;
    ensure!(!grid.agent.log().contains(SECRET), "the agent's log has the secret");
    let process = Path::new("/proc").join(grid.agent.pid().context("the agent doesn't run")?.to_string());
    for file in ["cmdline", "environ"] {
        ensure_clean(&process.join(file))?;
    }
    let limits = fs::read_to_string(process.join("limits"))?;
    let core = limits.lines().find(|line| line.starts_with("Max core file size"));
    ensure!(core.is_some_and(|line| line.split_whitespace().nth(4) == Some("0")), "{limits}");
    Ok(())
}

pub fn secrets_are_sealed_from_the_file_to_the_machine(grid: &mut Grid) -> Result<()> {
    let (user, node) = (&grid.user, grid.node.to_string());
    let folder = grid.run().folder();
    let identity = folder.join("identity");
    fs::write(&identity, IDENTITY)?;
    let mut deployment = page_deployment(&grid.image, 1);
    deployment["workloads"][1]["data"]["env"]["DB_PASSWORD"] = SECRET.into();
    let file = folder.join("secret.json");
    let text = deployment.to_string();
    fs::write(&file, &text)?;
    let (file, identity) = (file.display().to_string(), identity.display().to_string());

    user.threebot(&["twin", "seal-key", RECIPIENT])?;
    let deployed = user.threebot(&["deploy", "-f", &file, "--node", &node])?;
    ensure_served(&deployed["machines"])?;
    let body = deployed["body"].as_str().context("no body")?;
    ensure!(body.starts_with("sealed, "), "{body}");
    let contract = deployed["contract"].to_string();
    let shown = user.threebot(&["show", &contract, "--identity", &identity])?;
    ensure!(shown["body"] == text, "{shown}");
    let environment = grid.engine.docker(&["ps", "--quiet", "--filter", "label=zos.workload=web"])?;
    let inspected = grid.engine.docker(&["inspect", environment.trim()])?;
    ensure!(inspected.matches(SECRET).count() == 1, "the secret isn't in the environment alone: {inspected}");
    ensure_the_agent_keeps_it(grid)?;

    let updated = user.threebot(&["update", &contract, "-f", &file, "--plain"])?;
    ensure!(updated["body"] == text, "{updated}");
    user.threebot(&["cancel", &contract])?;
    Ok(())
}

/// A machine that says its secret, then each text that comes into its file, and sends its output to a receiver.
fn talker(image: &str, port: u16) -> Value {
    let says = "echo says $DB_PASSWORD; touch /said; exec tail -f /said";
    json!({
        "version": 1,
        "secrets": { "db": SECRET, "logs": format!("syslog+tls://localhost:{port}") },
        "workloads": [
            { "name": "talker", "type": "zmachine", "data": {
                "image": image, "cpu": 0.1, "memory": 32 * MIB, "rootfs": 64 * MIB,
                "env": { "PATH": "/bin", "DB_PASSWORD": { "secret": "db" } },
                "entrypoint": ["/bin/busybox", "sh", "-c", says] } },
            { "name": "out", "type": "zlogs", "data": { "zmachine": "talker", "output": { "secret": "logs" } } },
        ],
    })
}

pub fn output_is_sent_to_an_address_that_is_secret(grid: &mut Grid) -> Result<()> {
    let (user, node, folder) = (&grid.user, grid.node.to_string(), grid.run().folder());
    let receiver = LogReceiver::start(grid.run(), 0)?;
    let port = receiver.port();
    let file = folder.join("talker.json");
    fs::write(&file, talker(&grid.image, port).to_string())?;
    let (file, identity) = (file.display().to_string(), folder.join("identity"));
    fs::write(&identity, IDENTITY)?;

    let deployed = user.threebot(&["deploy", "-f", &file, "--node", &node])?;
    let body = deployed["body"].as_str().context("no body")?;
    ensure!(body.contains("DB_PASSWORD") && !body.contains(SECRET) && !body.contains("syslog"), "{body}");
    receiver.gets(&format!("talker - - - says {SECRET}"))?;
    let contract = deployed["contract"].to_string();
    let shown = user.threebot(&["show", &contract, "--identity", &identity.display().to_string()])?;
    ensure!(shown["body"].as_str().is_some_and(|body| body.contains(SECRET)), "{shown}");

    // What is said while nobody listens comes later.
    drop(receiver);
    let say = |text: &str| {
        let command = format!("echo {text} >> /said");
        user.threebot(&["exec", &contract, "talker", "--", "/bin/busybox", "sh", "-c", &command])
    };
    let knows = |event: &str| {
        wait_for(&format!("the event {event}"), EVENT_LIMIT, || {
            let events = user.command()?.args(["events", &contract]).output()?;
            Ok(String::from_utf8_lossy(&events.stdout).contains(event).then_some(()))
        })
    };
    say("first")?;
    knows("output isn't sent")?;
    say("second")?;
    let receiver = LogReceiver::start(grid.run(), port)?;
    receiver.gets("talker - - - second")?;
    knows("output is sent again")?;
    knows("pulled ")?;
    user.threebot(&["cancel", &contract])?;
    Ok(())
}
