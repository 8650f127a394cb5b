// SPDX-License-Identifier: Apache-2.0
//! Brings the machine up, one step after another, and keeps its programs running. An error here starts it anew.

use crate::{
    console::{self, Shared},
    disk, lease, power,
    settings::{self, Settings},
    system::{self, tool},
};
use anyhow::{Context, Result};
use rustix::system::RebootCommand;
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Command, Stdio},
    thread::{sleep, spawn},
    time::{Duration, Instant},
};

/// Delays before a program that has ended is started again.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const MOST_DELAY: Duration = Duration::from_secs(60);
/// A program that ran so long gets the first delay again.
const RUNS_WELL: Duration = Duration::from_secs(120);
/// A disk may be connected while the machine runs.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Without a name server, the agent takes public ones.
const NETWORK_WITHIN: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(200);
/// Longest line of a program that is kept.
const LINE_BYTES: u64 = 4096;
/// Servers of the clock, unless the farmer names others.
const CLOCKS: [&str; 2] = ["0.debian.pool.ntp.org", "1.debian.pool.ntp.org"];
const CLOCK_FILE: &str = "/run/chrony.conf";
/// Exit code of the agent that wants the machine to start anew, with a new image.
const START_ANEW: i32 = 97;

/// Runs for ever.
pub fn run() -> Result<()> {
    system::join_group()?;
    let screen = Shared::default();
    screen.draw();
    let brought_up = bring_up(&screen);
    if let Err(why) = &brought_up {
        console::write(&format!("\r\nZero-OS can't start: {why:#}\r\n"));
    }
    brought_up
}

fn bring_up(screen: &Shared) -> Result<()> {
    power::watch_trial();
    screen.change().agent = "waits for drivers".into();
    system::load_drivers()?;
    power::watch_button();
    power::pet_watchdog();
    system::close()?;
    let settings = settings::load()?;
    keep_network();
    keep_clock(&settings, screen)?;
    open_disk(screen);
    screen.change().agent = "waits for an address".into();
    let begun = Instant::now();
    while lease::addresses(Path::new(lease::FOLDER)).is_empty() && begun.elapsed() < NETWORK_WITHIN {
        if !console::has_interface() {
            screen.change().agent = "no network interface is known: a card may need firmware".into();
        }
        sleep(STEP);
    }
    keep_agent(&settings, screen);
    Ok(())
}

fn keep_network() {
    spawn(|| keep(&|| with_path("dhcpcd", &["--nobackground", "--quiet"]), &|_| {}, &|_| {}));
}

fn keep_clock(settings: &Settings, screen: &Shared) -> Result<()> {
    let named = settings.clock.iter().map(String::as_str);
    let servers: Vec<&str> = if settings.clock.is_empty() { CLOCKS.to_vec() } else { named.collect() };
    let lines: String = servers.iter().map(|server| format!("pool {server} iburst\n")).collect();
    let rest = "makestep 1 3\nrtcsync\nport 0\ncmdport 0\npidfile /run/chronyd.pid\n";
    fs::write(CLOCK_FILE, lines + rest).with_context(|| format!("can't write {CLOCK_FILE}"))?;
    let shared = screen.clone();
    screen.change().clock = format!("asks {}", servers.join(" "));
    spawn(move || {
        let line = |line: &str| shared.change().clock = line.into();
        keep(&|| with_path("chronyd", &["-d", "-F", "1", "-f", CLOCK_FILE]), &line, &|_| {});
    });
    Ok(())
}

/// Waits for a disk that the node may use.
fn open_disk(screen: &Shared) {
    screen.change().agent = "waits for a disk".into();
    loop {
        match disk::open() {
            Ok(name) => {
                screen.change().disk = name;
                return;
            }
            Err(why) => screen.change().disk = format!("{why:#}"),
        }
        sleep(LOOK_AGAIN);
    }
}

fn keep_agent(settings: &Settings, screen: &Shared) {
    let command = || {
        let mut agent = with_path("zos-agent", &[]);
        agent.env("ZOS_DATA", disk::FOLDER).env("ZOS_TICKET_FILE", settings::TICKET);
        agent.envs(settings.agent.iter().map(|(name, value)| (name, value)));
        agent
    };
    let state = |state: &str| screen.change().agent = state.into();
    keep(&command, &|line| screen.change().log(line), &state);
}

fn with_path(program: &str, args: &[&str]) -> Command {
    let mut command = tool(program);
    command.args(args);
    command
}

/// Keeps a program running, for ever. `line` gets what it says, `state` how it is.
fn keep(command: &dyn Fn() -> Command, line: &dyn Fn(&str), state: &dyn Fn(&str)) {
    let mut delay = FIRST_DELAY;
    loop {
        let begun = Instant::now();
        let ended = once(&mut command(), line, state);
        if begun.elapsed() > RUNS_WELL {
            delay = FIRST_DELAY;
        }
        let why = ended.unwrap_or_else(|why| format!("{why:#}"));
        state(&format!("{why}; starts again in {} s", delay.as_secs()));
        sleep(delay);
        while power::ends() {
            sleep(STEP);
        }
        delay = (delay * 2).min(MOST_DELAY);
    }
}

fn once(command: &mut Command, line: &dyn Fn(&str), state: &dyn Fn(&str)) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command.stderr(Stdio::piped()).spawn().with_context(|| format!("can't run {name}"))?;
    state("runs");
    if let Some(output) = child.stderr.take() {
        each_line(output, line);
    }
    let status = child.wait()?;
    if status.code() == Some(START_ANEW) {
        power::stop(RebootCommand::Restart);
    }
    Ok(format!("ended: {status}"))
}

/// A program that writes no line end doesn't fill the memory.
fn each_line(output: impl Read, line: &dyn Fn(&str)) {
    let mut output = BufReader::new(output);
    let mut bytes = Vec::new();
    while matches!(output.by_ref().take(LINE_BYTES).read_until(b'\n', &mut bytes), Ok(1..)) {
        line(String::from_utf8_lossy(&bytes).trim_end());
        bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn what_a_program_says_and_how_it_ends_is_told() {
        let (lines, states) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo one >&2; echo two >&2; exit 3"]);
        let line = |line: &str| lines.borrow_mut().push(line.to_owned());
        let state = |state: &str| states.borrow_mut().push(state.to_owned());
        assert_eq!(once(&mut shell, &line, &state).unwrap(), "ended: exit status: 3");
        assert_eq!(
            (lines.into_inner(), states.into_inner()),
            (vec!["one".into(), "two".into()], vec!["runs".into()])
        );
        let error = once(&mut Command::new("/no/such"), &|_| {}, &|_| {}).unwrap_err();
        assert_eq!(error.to_string(), "can't run /no/such");
    }

    #[test]
    fn the_agent_has_the_same_words_for_a_trial() {
        let agent = include_str!("../../zos-agent/src/update/mod.rs");
        for word in [format!("EXIT_CODE: i32 = {START_ANEW};"), format!("{:?}", settings::TRIAL)] {
            assert!(agent.contains(&word), "{word}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_cut() {
        let lines = RefCell::new(Vec::new());
        each_line(&vec![b'x'; 10_000][..], &|line| lines.borrow_mut().push(line.len()));
        assert_eq!(lines.into_inner(), [4096, 4096, 1808]);
    }
}
