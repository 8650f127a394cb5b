// SPDX-License-Identifier: Apache-2.0

//! Owners at the peer endpoint of their node.

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread::spawn,
    time::Duration,
};
use tfgrid_client::peer::{
    Device, NodePeer, PeerError,
    protocol::{Ask, FailedCode, Logs},
};
use tfgrid_tests::{Forwarded, GREETING, Grid, MIB, Person, Site, binary, repository, wait_for};

pub const LIMIT: Duration = Duration::from_secs(30);
/// What goes through programs and files.
pub const TYPED: &str = "typed-6b1f0a93";
pub const COPIED: &str = "copied-52c8e7d4";
/// More than the handshakes that one caller may have at the same time.
const CALLS: u32 = 40;
/// A node forgets a key that is removed within this time.
const FORGOTTEN_WITHIN: Duration = Duration::from_secs(60);

/// Deploys a site, and calls `test` with it.
pub fn with_site(grid: &mut Grid, test: impl FnOnce(&mut Grid, &Site) -> Result<()>) -> Result<()> {
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
        ensure!(Forwarded::open(user, contract, "0:web:80")?.page()? == page, "another page is forwarded");
        ensure_watched(user, contract)
    })
}

pub fn the_sdk_example_reaches_a_machine(grid: &mut Grid) -> Result<()> {
    with_site(grid, |grid, site| {
        let mut example = Command::new(binary("examples/reach_machine")?);
        example.arg(grid.chain.url()).arg(grid.user.device()).args([&site.contract, "web"]);
        let output = example.output().context("can't run the example")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let page = site.page()?;
        let mark = page.lines().last().unwrap_or_default();
        let expected =
            format!("state: running\noutput: serving {GREETING}\npage: {mark}\nprogram: typed, 3\n");
        let printed = String::from_utf8(output.stdout)?;
        ensure!(printed == expected, "the example printed {printed:?}");
        Ok(())
    })
}

/// Use and events can be seen.
pub fn ensure_watched(user: &Person, contract: &str) -> Result<()> {
    let top = user.threebot(&["top", contract])?;
    ensure!(top["web"]["memory_bytes"].as_u64() > Some(0), "{top}");
    let events = shown(user, &["events", contract])?;
    ensure!(events.contains("started") && events.contains("version 1 runs"), "{events}");
    Ok(())
}

pub fn programs_run(user: &Person, contract: &str) -> Result<()> {
    let ran = run(user, &["exec", contract, "web", "--", "sh", "-c", "echo out; echo err >&2; exit 7"], "")?;
    ensure!(ran.status.code() == Some(7), "{}", ran.status);
    ensure!(ran.stdout == b"out\n" && ran.stderr == b"err\n", "{ran:?}");
    let echoed = run(user, &["exec", "-i", contract, "web", "--", "cat"], TYPED)?;
    ensure!(echoed.status.success() && echoed.stdout == TYPED.as_bytes(), "{echoed:?}");
    let missing = run(user, &["exec", contract, "web", "--", "nothing"], "")?;
    ensure!(missing.status.code() == Some(126), "{missing:?}");
    let nowhere = run(user, &["exec", contract, "db", "--", "sh"], "")?;
    let error = String::from_utf8_lossy(&nowhere.stderr);
    ensure!(error.contains("has no machine db; it has: web"), "{error}");
    Ok(())
}

/// A `threebot` that runs until it is told something, and what it prints.
struct Told {
    threebot: Child,
    lines: Receiver<String>,
}

impl Told {
    /// A program of the machine. `traps` are those of its shell.
    fn start(user: &Person, contract: &str, traps: &str) -> Result<Self> {
        let script = format!("{traps}; echo up; while true; do /bin/busybox sleep 0.1; done");
        let told = Self::of(user, &["exec", contract, "web", "--", "sh", "-c", &script])?;
        told.says("up")?;
        Ok(told)
    }

    fn of(user: &Person, args: &[&str]) -> Result<Self> {
        let mut command: Command = user.command()?;
        let command = command.args(args).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut threebot = command.spawn().context("can't run threebot")?;
        let stdout = threebot.stdout.take();
        let (sender, lines) = channel();
        let told = Self { threebot, lines };
        let stdout = stdout.context("threebot has no stdout")?;
        // It ends with threebot.
        spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Ok(told)
    }

    fn says(&self, line: &str) -> Result<()> {
        let said = self.lines.recv_timeout(LIMIT).context("the program says nothing")?;
        ensure!(said == line, "the program says {said:?}, not {line:?}");
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.threebot), signal)?)
    }

    fn ends_with(&mut self, code: i32) -> Result<()> {
        let ended = wait_for("threebot to end", LIMIT, || Ok(self.threebot.try_wait()?))?;
        ensure!(ended.code() == Some(code), "threebot ended: {ended}");
        Ok(())
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        // It has ended if the test went well.
        let _ = self.threebot.kill();
        let _ = self.threebot.wait();
    }
}

pub fn signals_reach_the_program(grid: &mut Grid) -> Result<()> {
    with_site(grid, |grid, site| {
        let (user, contract) = (&grid.user, &site.contract[..]);
        let mut program = Told::start(user, contract, "trap 'echo told; exit 5' INT")?;
        program.signal(Signal::INT)?;
        program.says("told")?;
        program.ends_with(5)?;

        let mut program = Told::start(user, contract, "trap 'echo told' INT")?;
        program.signal(Signal::INT)?;
        program.says("told")?;
        program.signal(Signal::INT)?;
        program.ends_with(130)?;

        for (signal, name, code) in [(Signal::TERM, "TERM", 143), (Signal::HUP, "HUP", 129)] {
            let traps = format!("trap 'echo > /data/{name}; exit' {name}");
            let mut program = Told::start(user, contract, &traps)?;
            program.signal(signal)?;
            program.ends_with(code)?;
            let there = format!("test -e /data/{name}");
            wait_for(&format!("the program to get {name}"), LIMIT, || {
                let there = run(user, &["exec", contract, "web", "--", "sh", "-c", &there], "")?;
                Ok(there.status.success().then_some(()))
            })?;
        }
        Ok(())
    })
}

pub fn files_are_copied(user: &Person, contract: &str, folder: &Path) -> Result<()> {
    let (sent, received) = (folder.join("sent"), folder.join("received"));
    fs::write(&sent, COPIED)?;
    let path = |path: &Path| path.display().to_string();
    user.threebot(&["cp", contract, &path(&sent), "web:/data/copied"])?;
    user.threebot(&["cp", contract, "web:/data/copied", &path(&received)])?;
    ensure!(fs::read_to_string(&received)? == COPIED, "the copy differs");
    let missing = user.threebot(&["cp", contract, "web:/nothing", &path(&received)]);
    let error = format!("{:#}", missing.err().context("a missing file was copied")?);
    ensure!(error.contains("nothing: No such file"), "{error}");
    Ok(())
}

pub fn a_stopped_machine_stays_stopped(grid: &mut Grid) -> Result<()> {
    with_site(grid, |grid, site| {
        let contract = &site.contract[..];
        grid.user.threebot(&["stop", contract])?;
        let at_once = grid.user.threebot(&["status", contract])?;
        ensure!(at_once["machines"]["web"]["state"] != "running", "{at_once}");
        until_state(&grid.user, contract, "stopped by its owner")?;
        grid.agent.kill()?;
        grid.resume_agent()?;
        until_state(&grid.user, contract, "stopped by its owner")?;
        let refused = run(&grid.user, &["exec", contract, "web", "--", "true"], "")?;
        ensure!(String::from_utf8_lossy(&refused.stderr).contains("start it first"), "{refused:?}");
        let started = grid.user.threebot(&["start", contract])?;
        ensure!(started["state"] == "running", "{started}");
        let events = shown(&grid.user, &["events", contract])?;
        ensure!(events.contains("its owner starts it"), "{events}");
        until_state(&grid.user, contract, "running")?;
        restart(&grid.user, contract)?;
        site.page().map(drop)
    })
}

/// In a terminal of its own, whose window grows.
pub fn a_terminal_has_its_size_and_its_keys(grid: &mut Grid) -> Result<()> {
    with_site(grid, |grid, site| {
        let script = "trap '/bin/busybox stty size' WINCH; /bin/busybox stty size; \
                      while true; do /bin/busybox sleep 0.1; done";
        let exec = ["exec", "-it", &site.contract, "web", "--", "sh", "-c", script];
        let output = in_a_terminal(&grid.user, &["terminal.py"], &exec)?;
        // Ctrl-C.
        ensure!(output.status.code() == Some(130), "{output:?}");
        Ok(())
    })
}

pub fn an_editor_works_in_a_terminal(grid: &mut Grid) -> Result<()> {
    with_site(grid, |grid, site| {
        let (user, contract) = (&grid.user, &site.contract[..]);
        let edits = ["exec", "-it", contract, "web", "--", "/bin/busybox", "vi", "/data/edited"];
        let output = in_a_terminal(user, &["editor.py", TYPED], &edits)?;
        ensure!(output.status.success(), "{output:?}");
        let edited = shown(user, &["exec", contract, "web", "--", "cat", "/data/edited"])?;
        ensure!(edited == format!("{TYPED}\n"), "{edited:?}");
        Ok(())
    })
}

/// Runs `threebot` in a terminal of its own, as this script of ours with its options does.
fn in_a_terminal(user: &Person, script: &[&str], words: &[&str]) -> Result<Output> {
    let (threebot, mut person) = (user.command()?, Command::new("python3"));
    person.current_dir(repository().join("tests/python")).arg("-B").args(script);
    person.arg(threebot.get_program()).args(threebot.get_args()).args(words);
    person.env("TFGRID_DEVICE", user.device()).output().context("can't run python3")
}

pub fn output_is_shown_by_its_times_and_over_restarts(grid: &mut Grid) -> Result<()> {
    with_site(grid, |grid, site| {
        let (user, contract) = (&grid.user, &site.contract[..]);
        let line = format!("serving {GREETING}");
        let shown_line = shown(user, &["logs", contract, "--timestamps"])?;
        let (time, text) = shown_line.trim_end().split_once(' ').context("a line without a time")?;
        ensure!(text == line, "{shown_line}");
        let begun: Timestamp = time.parse()?;
        let age = || Timestamp::now().as_second() - begun.as_second();
        wait_for("the line to be some seconds old", LIMIT, || Ok((age() >= 5).then_some(())))?;
        ensure!(shown(user, &["logs", contract, "--since", "10m"])? == format!("{line}\n"));
        ensure!(shown(user, &["logs", contract, "--since", &format!("{}s", age() - 2)])?.is_empty());

        let followed = Told::of(user, &["logs", contract, "-f"])?;
        followed.says(&line)?;
        restart(user, contract)?;
        followed.says(&line)
    })
}

/// Owners enter by the peer endpoint alone: of the agent's other ports only that of metrics takes connections, on this
/// machine.
pub fn nothing_else_listens_for_management(grid: &mut Grid) -> Result<()> {
    let peer = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let peer = peer.block_on(grid.peer_address())?.addresses.direct;
    let pid = grid.agent.pid().context("the agent doesn't run")?;
    let sockets = |words: &[&str]| -> Result<Vec<SocketAddr>> {
        let output = Command::new("ss").args(words).output().context("can't run ss")?;
        let text = String::from_utf8(output.stdout)?;
        let own = text.lines().filter(|line| line.contains(&format!("pid={pid},")));
        let local = own.filter_map(|line| line.split_whitespace().nth(3));
        local.map(|local| local.parse::<SocketAddr>().map_err(anyhow::Error::from)).collect()
    };
    ensure!(sockets(&["-Hltnp"])? == [grid.agent.metrics()]);
    // It asks name servers and relays now and then.
    wait_for("the agent's only datagrams to be those of the peer endpoint", LIMIT, || {
        Ok((sockets(&["-Hlunp"])? == peer).then_some(()))
    })?;
    ensure!(sockets(&["-Hlxp"])?.is_empty());
    Ok(())
}

pub fn a_finished_job_runs_again_for_its_owner(grid: &mut Grid) -> Result<()> {
    let file = grid.run().folder().join("job.json");
    let fails_in_run_4 = "echo ran; echo >> /runs; /bin/busybox test $(/bin/busybox wc -l < /runs) -lt 4";
    let job = json!({
        "image": grid.image, "cpu": 0.1, "memory": 32 * MIB, "rootfs": 64 * MIB, "restart": "never",
        "entrypoint": ["/bin/busybox", "sh", "-c", fails_in_run_4],
    });
    let workloads = json!([{ "name": "web", "type": "zmachine", "data": job }]);
    fs::write(&file, json!({ "version": 1, "workloads": workloads }).to_string())?;
    let (user, node, file) = (&grid.user, grid.node.to_string(), file.display().to_string());
    let deployed = user.threebot(&["deploy", "-f", &file, "--node", &node])?;
    let contract = deployed["contract"].to_string();
    until_state(user, &contract, "stopped")?;
    for (command, runs) in [("start", 2), ("restart", 3)] {
        user.threebot(&[command, &contract])?;
        wait_for(&format!("run {runs}"), LIMIT, || {
            Ok((shown(user, &["logs", &contract])?.matches("ran").count() == runs).then_some(()))
        })?;
        until_state(user, &contract, "stopped")?;
    }
    // It may be seen while it runs.
    wait_for("a run that fails", LIMIT, || {
        let why = user.threebot(&["start", &contract]).err().map(|error| format!("{error:#}"));
        Ok(why
            .filter(|why| why.contains("web of contract") && why.contains("has run and failed: exit code 1")))
    })?;
    user.threebot(&["cancel", &contract]).map(drop)
}

/// A machine that ends for lack of memory, and one whose check fails, each once its owner says so.
pub fn deaths_and_failing_checks_are_told_as_events(grid: &mut Grid) -> Result<()> {
    let machine = |name: &str, script: &str, health: Value| {
        let data = json!({
            "image": grid.image, "cpu": 0.1, "memory": 32 * MIB, "rootfs": 64 * MIB, "health": health,
            "entrypoint": ["/bin/busybox", "sh", "-c", script],
        });
        json!({ "name": name, "type": "zmachine", "data": data })
    };
    let waits = "while ! /bin/busybox test -e /told; do /bin/busybox sleep 0.1; done";
    let dies = format!("{waits}; exec /bin/busybox dd if=/dev/zero of=/dev/null bs=100M");
    let check = |test: &[&str]| {
        let words = [&["/bin/busybox", "test"][..], test].concat();
        json!({ "exec": words, "start_seconds": 0 })
    };
    let workloads = [
        machine("dies", &dies, check(&["-d", "/"])),
        machine("sick", "exec /bin/busybox sleep 1000", check(&["!", "-e", "/told"])),
    ];
    let file = grid.run().folder().join("dies.json");
    fs::write(&file, json!({ "version": 1, "workloads": workloads }).to_string())?;
    let (user, node, file) = (&grid.user, grid.node.to_string(), file.display().to_string());
    let contract = user.threebot(&["deploy", "-f", &file, "--node", &node])?["contract"].to_string();
    for (name, told) in [("dies", "ended: out of memory, exit code 137"), ("sick", "unhealthy")] {
        wait_for(&format!("{name} to be told"), LIMIT, || {
            Ok(shown(user, &["exec", &contract, name, "--", "/bin/busybox", "touch", "/told"]).ok())
        })?;
        wait_for(&format!("the event that {name} {told}"), 2 * LIMIT, || {
            let events = shown(user, &["events", &contract])?;
            let is_told = |line: &str| line.contains(name) && line.contains(told);
            Ok(events.lines().any(is_told).then_some(()))
        })?;
    }
    user.threebot(&["cancel", &contract]).map(drop)
}

/// Restarts the machine, and waits until it runs again.
pub fn restart(user: &Person, contract: &str) -> Result<()> {
    let before = shown(user, &["events", contract])?.lines().count();
    user.threebot(&["restart", contract])?;
    wait_for("the machine to be started again", LIMIT, || {
        let events = shown(user, &["events", contract])?;
        Ok(events.lines().skip(before).any(|line| line.contains("started")).then_some(()))
    })
}

pub fn strangers_and_removed_devices_get_nothing(grid: &mut Grid) -> Result<()> {
    with_site(grid, |grid, site| {
        let contract: u64 = site.contract.parse()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let node = runtime.block_on(grid.peer_address())?;
        runtime.block_on(async {
            let stranger = NodePeer::connect(&Device::generate(), &node).await?;
            for id in [contract, contract + 1] {
                let answer = stranger.status(id).await;
                ensure!(matches!(answer, Err(PeerError::Unknown)), "a stranger gets {answer:?}");
            }
            let own = NodePeer::connect(&grid.user.device_key()?, &node).await?;
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
/// A dial goes by the relay, too, and what it began there is left once the direct way is taken.
pub fn calls_one_after_another_are_answered(grid: &mut Grid) -> Result<()> {
    with_site(grid, |grid, site| {
        let contract: u64 = site.contract.parse()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (node, device) = (grid.peer_address().await?, grid.user.device_key()?);
            for call in 1..=CALLS {
                let peer = NodePeer::connect(&device, &node).await.with_context(|| format!("call {call}"))?;
                ensure!(peer.status(contract).await?.ready, "the site isn't ready");
                peer.close().await;
            }
            Ok(())
        })
    })
}

pub fn a_relay_carries_what_no_packet_reaches(grid: &mut Grid) -> Result<()> {
    with_site(grid, |grid, site| {
        let contract: u64 = site.contract.parse()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut node = grid.peer_address().await?;
            ensure!(node.addresses.relays.len() == 1, "the node's addresses are {}", node.addresses);
            node.addresses.direct.clear();
            let peer = NodePeer::connect(&grid.user.device_key()?, &node).await?;
            let stats = peer.stats(contract).await?;
            ensure!(stats.contains_key("web"), "{stats:?}");
            peer.close().await;
            Ok(())
        })
    })
}

pub fn until_state(user: &Person, contract: &str, state: &str) -> Result<()> {
    wait_for(&format!("the machine to be {state}"), LIMIT, || {
        let status: Value = user.threebot(&["status", contract])?;
        Ok((status["machines"]["web"]["state"] == state).then_some(()))
    })
}

/// What a command prints for people.
pub fn shown(user: &Person, args: &[&str]) -> Result<String> {
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
