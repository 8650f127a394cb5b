// SPDX-License-Identifier: Apache-2.0

//! A deployment with secrets, from its file to its machine.

use crate::{command_line::ensure_runs, peer::until_state};
use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tfgrid_tests::{Grid, LogReceiver, MIB, Person, page_deployment, wait_for};

const SECRET: &str = "correct-horse-battery-staple";
const LATER_SECRET: &str = "incorrect-donkey-charger-nail";
/// Of a registry that asks for none, and gets it.
const REGISTRY_PASSWORD: &str = "slow-turtle-lamp-orchard";
const EVENT_LIMIT: Duration = Duration::from_secs(60);
/// Those of the vectors: secret and public half.
const IDENTITY: &str = "AGE-SECRET-KEY-1YQSJYGEYY5NZW2PF9G4JCTFW9UCRZV3NXS6NVDEC8YARK0PA8CLSWXGG7Q";
const RECIPIENT: &str = "age1xkq8943ktzqdrth2x2ddlyfp8qu9rmfp528rka0fvhgd9ngkvf2qu2snyf";
/// The database of an engine's containerd, which is in memory.
const IN_MEMORY: &str = "containerd-root";

/// Regular files of the folder that hold the secret in some form. Images of pools are left out: their content is
/// mounted, and what is removed there isn't overwritten.
fn holders(folder: &Path, secret: &str, found: &mut Vec<PathBuf>) {
    // The engine's folders and files come and go.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        if kind.is_dir() && entry.file_name() != IN_MEMORY {
            holders(&path, secret, found);
        } else if kind.is_file() && path.extension().is_none_or(|extension| extension != "img") {
            let holds = fs::read(&path).is_ok_and(|bytes| has(&bytes, secret));
            found.extend(holds.then_some(path));
        }
    }
}

fn has(bytes: &[u8], secret: &str) -> bool {
    let is_in = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    is_in(secret.as_bytes())
        || is_in(hex::encode(secret).as_bytes())
        || in_base64(secret).iter().any(|needle| is_in(needle.as_bytes()))
}

/// What base64 makes of the secret, wherever in a longer text it begins: without what depends on its neighbours.
fn in_base64(secret: &str) -> [String; 3] {
    [0, 1, 2].map(|before| {
        let text = [&vec![0; before][..], secret.as_bytes()].concat();
        let whole = text.len() / 3 * 3;
        BASE64_STANDARD.encode(&text[..whole])[4 * usize::from(before > 0)..].to_owned()
    })
}

/// What a process was started with, of all processes outside of machines, that holds the secret.
fn holding_processes(grid: &Grid, secret: &str) -> Result<Vec<PathBuf>> {
    let machines = grid.engine.docker(&["ps", "--quiet", "--no-trunc"])?;
    let mut inside = Vec::new();
    for machine in machines.lines() {
        let pid = grid.engine.docker(&["inspect", "--format", "{{.State.Pid}}", machine])?;
        // One that has ended by now has no process.
        inside.extend(fs::read_link(Path::new("/proc").join(pid).join("ns/pid")));
    }
    let mut found = Vec::new();
    for process in fs::read_dir("/proc")? {
        let process = process?.path();
        // Others than processes have no namespace, and some processes have ended by now.
        let Ok(namespace) = fs::read_link(process.join("ns/pid")) else { continue };
        if !inside.contains(&namespace) {
            let texts = ["cmdline", "environ"].map(|file| process.join(file)).into_iter();
            found.extend(texts.filter(|text| fs::read(text).is_ok_and(|bytes| has(&bytes, secret))));
        }
    }
    Ok(found)
}

/// Fails if the secret is on the node's disk, in a log, or in a process's start, beyond the engine's folders of
/// `machine` itself; and if it isn't there.
fn ensure_only_in(grid: &Grid, secret: &str, machine: Option<&str>) -> Result<()> {
    let run = grid.run();
    let mut found = holding_processes(grid, secret)?;
    for folder in [grid.agent.data(), &run.folder().join("chain"), run.logs(), &grid.agent.run_folder()?] {
        holders(folder, secret, &mut found);
    }
    let is_its = |path: &&PathBuf| path.iter().any(|part| machine.is_some_and(|id| part == id));
    let (its, others): (Vec<_>, Vec<_>) = found.iter().partition(is_its);
    ensure!(others.is_empty(), "the secret is in {others:?}");
    ensure!(machine.is_none() || !its.is_empty(), "the engine doesn't keep the machine's secret");
    Ok(())
}

/// Fails if a process that knows secrets may leave a core dump: the agent, its engine, and what that starts for
/// machines.
fn ensure_no_core_dumps(grid: &Grid) -> Result<()> {
    let agent = grid.agent.pid().context("the agent doesn't run")?;
    let folder = grid.agent.run_folder()?.display().to_string();
    let mut programs = Vec::new();
    for process in fs::read_dir("/proc")? {
        let process = process?.path();
        let line = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
        let is_engines = line.contains(&folder) && !line.starts_with("docker\0");
        if !is_engines && !process.ends_with(agent.to_string()) {
            continue;
        }
        // Some processes of the engine end soon.
        let Ok(limits) = fs::read_to_string(process.join("limits")) else { continue };
        let core = limits.lines().find(|line| line.starts_with("Max core file size"));
        let soft = core.and_then(|line| line.split_whitespace().nth(4));
        ensure!(soft == Some("0"), "{line:?} may leave a core dump: {core:?}");
        let program = line.split('\0').next().and_then(|path| path.rsplit('/').next());
        programs.extend(program.map(ToOwned::to_owned));
    }
    for program in ["zos-agent", "dockerd", "containerd", "containerd-shim-runc-v2"] {
        ensure!(programs.iter().any(|found| found == program), "{program} isn't among {programs:?}");
    }
    Ok(())
}

/// The only machine's container.
fn machine(grid: &Grid) -> Result<String> {
    grid.engine.docker(&["ps", "--quiet", "--no-trunc", "--filter", "label=zos.workload=web"])
}

/// Calls `test` while a program runs in the machine, which must see the secret.
fn while_a_program_runs(user: &Person, contract: &str, test: impl FnOnce() -> Result<()>) -> Result<()> {
    let mut command = user.command()?;
    command.args(["exec", "-i", contract, "web", "--", "sh", "-c", "echo $DB_PASSWORD; cat"]);
    let mut program = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (input, output) = (program.stdin.take(), program.stdout.take());
    let (mut input, mut output) = (input.context("no stdin")?, output.context("no stdout")?);
    let mut seen = vec![0; SECRET.len() + 1];
    let tested = output.read_exact(&mut seen).context("the program writes nothing").and_then(|()| test());
    input.write_all(b"\n")?;
    drop(input);
    program.wait()?;
    tested?;
    ensure!(seen == format!("{SECRET}\n").as_bytes(), "the program sees {seen:?}");
    Ok(())
}

/// Writes the owner's secret key into a file that nobody else can read.
pub fn write_identity(file: &Path) -> Result<()> {
    let mut created =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    Ok(created.write_all(IDENTITY.as_bytes())?)
}

/// Writes the page's deployment with this secret; returns the file and its text.
fn deployment(grid: &Grid, secret: &str) -> Result<(String, Value)> {
    let mut deployment = page_deployment(&grid.image, 1);
    let machine = &mut deployment["workloads"][1]["data"];
    machine["env"]["DB_PASSWORD"] = secret.into();
    machine["registry"] = json!({ "user": "reader", "password": REGISTRY_PASSWORD });
    let file = grid.run().folder().join("secret.json");
    let text = deployment.to_string();
    fs::write(&file, &text)?;
    Ok((file.display().to_string(), text.into()))
}

pub fn secrets_are_sealed_from_the_file_to_the_machine(grid: &mut Grid) -> Result<()> {
    let (user, node) = (&grid.user, grid.node.to_string());
    let identity = grid.run().folder().join("identity");
    write_identity(&identity)?;
    let identity = identity.display().to_string();
    let (file, text) = deployment(grid, SECRET)?;

    user.threebot(&["twin", "seal-key", RECIPIENT])?;
    let deployed = user.threebot(&["deploy", "-f", &file, "--node", &node])?;
    ensure_runs(&deployed)?;
    let body = deployed["body"].as_str().context("no body")?;
    ensure!(body.starts_with("sealed, "), "{body}");
    let contract = deployed["contract"].to_string();
    let shown = user.threebot(&["show", &contract, "--identity", &identity])?;
    ensure!(shown["body"] == text, "{shown}");
    let first = machine(grid)?;
    let inspected = grid.engine.docker(&["inspect", &first])?;
    ensure!(inspected.matches(SECRET).count() == 1, "the secret isn't in the environment alone: {inspected}");
    ensure_no_core_dumps(grid)?;
    ensure_only_in(grid, SECRET, Some(&first))?;
    while_a_program_runs(user, &contract, || ensure_only_in(grid, SECRET, Some(&first)))?;
    ensure_only_in(grid, SECRET, Some(&first)).context("after a program")?;
    ensure_only_in(grid, REGISTRY_PASSWORD, None).context("the registry's password")?;

    let (file, _) = deployment(grid, LATER_SECRET)?;
    user.threebot(&["update", &contract, "-f", &file])?;
    until_state(user, &contract, "running")?;
    ensure_only_in(grid, SECRET, None).context("after an update")?;
    ensure_only_in(grid, LATER_SECRET, Some(&machine(grid)?)).context("after an update")?;

    let (file, text) = deployment(grid, "public")?;
    let updated = user.threebot(&["update", &contract, "-f", &file, "--plain"])?;
    ensure!(updated["body"] == text, "{updated}");
    user.threebot(&["cancel", &contract])?;
    for secret in [SECRET, LATER_SECRET] {
        ensure_only_in(grid, secret, None).context("after the end")?;
    }
    Ok(())
}

pub fn last_words_of_what_fails_reach_its_owner(grid: &mut Grid) -> Result<()> {
    let (user, node) = (&grid.user, grid.node.to_string());
    let machine = json!({
        "image": grid.image, "cpu": 0.1, "memory": 32 * MIB, "rootfs": 64 * MIB,
        "env": { "PATH": "/bin", "DB_PASSWORD": SECRET },
        "entrypoint": ["/bin/busybox", "sh", "-c", "echo no database with $DB_PASSWORD; exit 3"],
    });
    let workloads = json!([{ "name": "web", "type": "zmachine", "data": machine }]);
    let file = grid.run().folder().join("failing.json");
    fs::write(&file, json!({ "version": 1, "workloads": workloads }).to_string())?;
    let refused = user.threebot(&["deploy", "-f", &file.display().to_string(), "--node", &node]).err();
    let refused = format!("{:#}", refused.context("what exits again and again runs")?);
    let said = format!("web: last line of output: no database with {SECRET}");
    for part in ["WorkloadExited", "its node has told you alone", &said] {
        ensure!(refused.contains(part), "{part:?} isn't in {refused}");
    }
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
    write_identity(&identity)?;

    user.threebot(&["twin", "seal-key", RECIPIENT])?;
    let deployed = user.threebot(&["deploy", "-f", &file, "--node", &node])?;
    let body = deployed["body"].as_str().context("no body")?;
    ensure!(body.contains("DB_PASSWORD") && !body.contains(SECRET) && !body.contains("syslog"), "{body}");
    receiver.gets(&format!("talker - - - says {SECRET}"))?;
    let filter = ["ps", "--quiet", "--no-trunc", "--filter", "label=zos.workload=talker"];
    ensure_only_in(grid, SECRET, Some(&grid.engine.docker(&filter)?)).context("a secret of a plain body")?;
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
