// SPDX-License-Identifier: Apache-2.0
//! `threebot exec`

use super::logs::print_raw;
use crate::{
    cli::Global,
    output::{Answer, Usage, json_line},
    peer::{Connected, Target, standard_input},
};
use anyhow::{Context, Result, ensure};
use clap::Args;
use rustix::{
    process::Signal,
    stdio::stdin,
    termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr},
};
use serde_json::json;
use std::{
    future::pending,
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};
use tfgrid_client::peer::{
    Input, Output, PeerError,
    frame::Frame,
    protocol::{Ask, Control, Exec as Wanted, Message, TerminalSize},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Mutex,
    time::timeout,
};

/// What is added to a signal's number for the exit code of what it ended, as shells do.
const SIGNALLED: i64 = 128;
/// Time for a node to take the signal that ends this command.
const PASSED_WITHIN: Duration = Duration::from_millis(200);

/// Run a program in a machine
#[derive(Args)]
#[command(after_help = "\
The exit code is that of the program; 126 if the machine can't run it.

Ctrl-C is for the program; without -t, a second one ends this command. The
program ends when this command does, and after an hour without input or output.

Examples:
  threebot exec 7 web -- nginx -T              what it prints
  threebot exec -it 7 web -- sh                a shell
  threebot exec -i 7 db -- psql < dump.sql     what it reads from a file")]
pub struct Exec {
    /// Pass the standard input on
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Give the program this terminal; needs -i
    #[arg(short, long, requires = "stdin")]
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
            Usage::new("the standard input isn't a terminal: leave out -t, which gives the program one")
        );
        ensure!(!(self.tty && global.json), Usage::new("a terminal has no JSON: leave out -t or --json"));
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
            writeln!(io::stdout(), "{}", json_line(&value)).context("can't print the answer")?;
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
    let input = Mutex::new(input);
    let sending = async {
        // A program that has ended takes no more.
        let _ = send(&input, passes_input, has_terminal).await;
        pending::<()>().await;
    };
    tokio::select! {
        ran = show(output, json) => ran,
        () = sending => Ok(Ran::default()),
        // The node ends the program when the call breaks off.
        signal = told_to_end(&input, has_terminal) => {
            Ok(Ran { code: SIGNALLED + i64::from(signal.as_raw()), ..Default::default() })
        }
    }
}

/// Waits for a signal that ends this command, such as when its window closes, and passes it on.
async fn told_to_end(input: &Mutex<Input>, has_terminal: bool) -> Signal {
    let signal = tokio::select! {
        () = received(SignalKind::hangup()) => Signal::HUP,
        () = received(SignalKind::terminate()) => Signal::TERM,
        // On a terminal, Ctrl-C is a key for the program.
        () = interrupted_twice(input), if !has_terminal => Signal::INT,
    };
    let passing = async {
        pass(input, signal).await;
        input.lock().await.delivered().await;
    };
    // A node that takes nothing hears it by the end of the call.
    drop(timeout(PASSED_WITHIN, passing).await);
    signal
}

/// The first interrupt is for the program alone.
async fn interrupted_twice(input: &Mutex<Input>) {
    let Ok(mut interrupts) = signal(SignalKind::interrupt()) else { return pending().await };
    interrupts.recv().await;
    let passing = async {
        pass(input, Signal::INT).await;
        pending::<()>().await
    };
    tokio::select! {
        _ = interrupts.recv() => {}
        () = passing => {}
    }
}

async fn pass(input: &Mutex<Input>, signal: Signal) {
    // A program that has ended takes no more.
    let _ = input.lock().await.control(Control::Signal(signal.as_raw())).await;
}

async fn received(kind: SignalKind) {
    match signal(kind) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => pending().await,
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

/// Passes on what is typed, and the sizes of the terminal.
async fn send(input: &Mutex<Input>, passes_input: bool, has_terminal: bool) -> Result<(), PeerError> {
    let Ok(mut resized) = signal(SignalKind::window_change()) else { return Ok(()) };
    if !passes_input {
        return input.lock().await.control(Control::EndInput {}).await;
    }
    let mut typed = standard_input();
    loop {
        tokio::select! {
            bytes = typed.recv() => match bytes {
                Some(bytes) => input.lock().await.data(&bytes).await?,
                None => return input.lock().await.control(Control::EndInput {}).await,
            },
            _ = resized.recv(), if has_terminal => {
                if let Ok(size) = size() {
                    input.lock().await.control(Control::Resize(size)).await?;
                }
            }
        }
    }
}
