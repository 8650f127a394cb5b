// SPDX-License-Identifier: Apache-2.0
//! `threebot exec`

use super::logs::print_raw;
use crate::{
    cli::Global,
    output::Answer,
    peer::{Connected, Target, standard_input},
};
use anyhow::{Context, Result, ensure};
use clap::Args;
use rustix::{
    stdio::stdin,
    termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr},
};
use serde_json::json;
use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};
use tfgrid_client::peer::{
    Input, Output, PeerError,
    frame::Frame,
    protocol::{Ask, Control, Exec as Wanted, Message, TerminalSize},
};
use tokio::signal::unix::{SignalKind, signal};

/// Number of the signal that Ctrl-C sends.
const SIGINT: i32 = 2;

/// Run a program in a machine
#[derive(Args)]
#[command(after_help = "\
The exit code is that of the program; 126 if the machine can't run it. The program ends when this command does.

Examples:
  threebot exec 7 web -- nginx -T              what it prints
  threebot exec -it 7 web -- sh                a shell
  tar c site | threebot exec -i 7 web -- tar x -C /srv")]
pub struct Exec {
    /// Pass the standard input on
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Give the program this terminal
    #[arg(short, long)]
    tty: bool,
    #[command(flatten)]
    target: Target,
    /// The machine
    workload: String,
    /// The program and its arguments, after `--`
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

impl Exec {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        ensure!(
            !self.tty || io::stdin().is_terminal(),
            "the standard input isn't a terminal: leave out -t, which gives the program one"
        );
        ensure!(!(self.tty && global.json), "a terminal has no JSON: leave out -t or --json");
        let connected = self.target.connect(global).await?;
        let terminal = if self.tty { Some(Terminal::raw()?) } else { None };
        let wanted = Wanted {
            workload: self.workload,
            command: self.command,
            terminal: terminal.as_ref().map(|_| size()).transpose()?,
        };
        let run = run(&connected, wanted, self.stdin, global.json).await;
        drop(terminal);
        let Ran { code, out, err } = connected.done(run).await?;
        if global.json {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let value = json!({ "exit": code, "stdout": text(&out), "stderr": text(&err) });
            return Ok(Answer::new("", value));
        }
        Ok(Answer::printed(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)))
    }
}

/// A terminal that passes every key on. Dropping it gives it back as it was.
struct Terminal(Termios);

impl Terminal {
    fn raw() -> Result<Self> {
        let before = tcgetattr(stdin()).context("can't read the terminal's settings")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).context("can't change the terminal's settings")?;
        Ok(Self(before))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Nothing is left to do if the terminal has gone.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}

fn size() -> Result<TerminalSize> {
    let size = tcgetwinsize(stdin()).context("can't read the terminal's size")?;
    Ok(TerminalSize { rows: size.ws_row, columns: size.ws_col })
}

/// A program that has ended. What it wrote is kept for JSON only.
#[derive(Default)]
struct Ran {
    code: i64,
    out: Vec<u8>,
    err: Vec<u8>,
}

async fn run(
    connected: &Connected,
    wanted: Wanted,
    passes_input: bool,
    json: bool,
) -> Result<Ran, PeerError> {
    let has_terminal = wanted.terminal.is_some();
    let mut call = connected.peer.ask(connected.contract, Ask::Exec(wanted)).await?;
    call.ready().await?;
    let (input, output) = call.split();
    tokio::select! {
        ran = show(output, json) => ran,
        sent = send(input, passes_input, has_terminal) => Err(sent.err().unwrap_or(PeerError::Unexpected)),
    }
}

async fn show(mut output: Output, json: bool) -> Result<Ran, PeerError> {
    let mut ran = Ran::default();
    loop {
        let (is_error, bytes) = match output.next().await? {
            Some(Frame::Data(bytes)) => (false, bytes),
            Some(Frame::Errors(bytes)) => (true, bytes),
            Some(Frame::Message(Message::Exit { code })) => return Ok(Ran { code, ..ran }),
            _ => return Err(PeerError::Unexpected),
        };
        if json {
            if is_error { ran.err.extend(bytes) } else { ran.out.extend(bytes) }
        } else if print_raw(is_error, &bytes).is_err() {
            // A reader that has gone, such as `head`, isn't an error.
            return Ok(ran);
        }
    }
}

/// Passes on input, sizes and Ctrl-C. Ends only if the node takes nothing any more.
async fn send(mut input: Input, passes_input: bool, has_terminal: bool) -> Result<(), PeerError> {
    let (mut resized, mut interrupted) =
        match (signal(SignalKind::window_change()), signal(SignalKind::interrupt())) {
            (Ok(resized), Ok(interrupted)) => (resized, interrupted),
            _ => return std::future::pending().await,
        };
    let mut typed = passes_input.then(standard_input);
    if typed.is_none() {
        input.finish();
    }
    loop {
        tokio::select! {
            bytes = next(&mut typed) => match bytes {
                Some(bytes) => input.data(&bytes).await?,
                None => {
                    typed = None;
                    input.finish();
                }
            },
            _ = resized.recv(), if has_terminal && typed.is_some() => {
                if let Ok(size) = size() {
                    input.control(Control::Resize(size)).await?;
                }
            }
            // The node ends the program when the connection does.
            _ = interrupted.recv() => {
                if typed.is_none() {
                    return Err(PeerError::Unexpected);
                }
                input.control(Control::Signal(SIGINT)).await?;
            }
        }
    }
}

/// What was typed, `None` at its end; never if nothing is passed on.
async fn next(typed: &mut Option<tokio::sync::mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match typed {
        Some(typed) => typed.recv().await,
        None => std::future::pending().await,
    }
}
