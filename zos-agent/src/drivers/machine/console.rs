// SPDX-License-Identifier: Apache-2.0
//! What the owner of a contract does with its machines from elsewhere: output and programs.
//!
//! Files are copied by a program that enters the machine (`inside`): the engine's own copies mount and unpack on paths
//! that the machine can change meanwhile, and nothing else can be done with the machine while they last.

use super::{Connection, DockerMachines, DriverError, WorkloadId, failure};
use anyhow::{Context, Error, ensure};
use bollard::{
    container::LogOutput,
    errors::Error as EngineError,
    exec::{CreateExecOptions, ResizeExecOptions},
    query_parameters::LogsOptionsBuilder,
};
use futures::{Stream, StreamExt};
use http_body_util::Full;
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1,
    header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE},
    upgrade::{self, Upgraded},
};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use std::time::{Duration, UNIX_EPOCH};
use tfgrid_client::peer::protocol::{Exec, Logs, TerminalSize};
use tokio::{
    net::UnixStream,
    time::{sleep, timeout},
};
use tracing::debug;

/// Limit for the begin of an answer that lasts as long as the owner likes.
const TRANSFER: Duration = Duration::from_secs(3_600);
/// Limit for the engine to connect a program's standard streams.
const ATTACH_WITHIN: Duration = Duration::from_secs(30);
/// How long and how often the engine is asked for the process of a program that has begun.
const PID_WITHIN: Duration = Duration::from_secs(5);
const PID_EVERY: Duration = Duration::from_millis(50);

/// Standard streams of a program. With a terminal, its bytes; without one, its output comes in frames of the engine.
pub type Streams = TokioIo<Upgraded>;

/// A program that runs in a machine.
pub struct Program {
    /// The engine's name of it.
    id: String,
    connection: Connection,
}

/// Bytes of the time before each line of output.
const TIME_BYTES: usize = 30;

/// A line of a machine's output.
pub struct Line {
    /// Whether it was written to the standard error.
    pub is_error: bool,
    /// Its time, a space, and its text.
    pub bytes: Bytes,
}

impl Line {
    /// When it was written, as text of RFC 3339 with nanoseconds. Later times are greater.
    pub fn time(&self) -> &[u8] {
        self.bytes.get(..TIME_BYTES).unwrap_or_default()
    }

    /// What was written, with the end of the line.
    pub fn text(&self) -> &[u8] {
        self.bytes.get(TIME_BYTES + 1..).unwrap_or_default()
    }

    /// Seconds since 1970 of such a time.
    pub fn seconds(time: &[u8]) -> Option<u32> {
        let time = humantime::parse_rfc3339(std::str::from_utf8(time).ok()?).ok()?;
        time.duration_since(UNIX_EPOCH).ok()?.as_secs().try_into().ok()
    }
}

impl From<LogOutput> for Line {
    fn from(output: LogOutput) -> Self {
        match output {
            LogOutput::StdErr { message } => Self { is_error: true, bytes: message },
            LogOutput::StdOut { message } | LogOutput::StdIn { message } | LogOutput::Console { message } => {
                Self { is_error: false, bytes: message }
            }
        }
    }
}

impl DockerMachines {
    /// A machine's output. With `follow`, it ends when the machine stops.
    ///
    /// # Errors
    /// If the engine doesn't answer.
    pub async fn output(
        &self,
        id: &WorkloadId,
        wanted: &Logs,
    ) -> Result<impl Stream<Item = Result<Line, DriverError>> + Send + use<>, DriverError> {
        let name = self.common.names.container(id);
        let tail = wanted.tail.map_or_else(|| "all".into(), |lines| lines.to_string());
        let since = wanted.since.and_then(|since| i32::try_from(since).ok()).unwrap_or(0);
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).timestamps(true);
        let options = options.follow(wanted.follow).tail(&tail).since(since).build();
        let docker = self.docker().await?.with_timeout(TRANSFER);
        let lines = docker.logs(&name, Some(options));
        Ok(lines.map(move |line| match line {
            Ok(line) => Ok(line.into()),
            Err(error) => Err(failure("read the output of", &name, error)),
        }))
    }

    /// Starts a program in a machine; `None` if the machine doesn't run.
    ///
    /// # Errors
    /// If the engine fails.
    pub async fn exec(
        &self,
        machine: &WorkloadId,
        wanted: &Exec,
    ) -> Result<Option<(Program, Streams)>, DriverError> {
        let connection = self.connection().await?;
        let name = self.common.names.container(machine);
        let options = CreateExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(wanted.terminal.is_some()),
            cmd: Some(wanted.command.clone()),
            ..Default::default()
        };
        let id = match connection.docker.create_exec(&name, options).await {
            Ok(created) => created.id,
            Err(EngineError::DockerResponseServerError { status_code: 404 | 409, .. }) => return Ok(None),
            Err(error) => return Err(failure("run a program in", &name, error)),
        };
        let socket = self.choice.socket.trim_start_matches("unix://");
        let attaching = timeout(ATTACH_WITHIN, attach(socket, &id, wanted.terminal.is_some()));
        let streams =
            attaching.await.context("the engine doesn't answer in time").and_then(|streams| streams);
        let streams = streams.with_context(|| format!("can't run a program in {name}"))?;
        let program = Program { id, connection };
        if let Some(size) = wanted.terminal {
            program.resize(size).await;
        }
        Ok(Some((program, streams)))
    }
}

impl Program {
    /// Tells its terminal another size. A program that has ended has none.
    pub async fn resize(&self, size: TerminalSize) {
        let size = ResizeExecOptions { height: size.rows, width: size.columns };
        if let Err(error) = self.connection.docker.resize_exec(&self.id, size).await {
            debug!("can't resize a terminal: {error}");
        }
    }

    /// Its exit code, `None` while it runs.
    ///
    /// # Errors
    /// If the engine doesn't answer.
    pub async fn exit_code(&self) -> Result<Option<i64>, DriverError> {
        let inspected = self.connection.docker.inspect_exec(&self.id).await;
        let inspected = inspected.map_err(|error| failure("inspect the program", &self.id, error))?;
        Ok(inspected.exit_code.filter(|_| inspected.running != Some(true)))
    }

    /// Sends it a signal, if it runs.
    pub async fn signal(&self, signal: Signal) {
        let Ok(Some(pid)) = timeout(PID_WITHIN, self.pid()).await else { return };
        if let Err(error) = kill_process(pid, signal) {
            debug!("can't send a signal to a program: {error}");
        }
    }

    /// Its process, until it has ended. A busy engine knows of it only after its first output.
    async fn pid(&self) -> Option<Pid> {
        loop {
            let inspected = self.connection.docker.inspect_exec(&self.id).await.ok()?;
            if inspected.exit_code.is_some() {
                return None;
            }
            let pid = inspected.pid.filter(|_| inspected.running == Some(true));
            if let Some(pid) = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
                return Some(pid);
            }
            sleep(PID_EVERY).await;
        }
    }
}

/// Starts a program that was created, and takes over the connection. bollard takes what a terminal shows for frames
/// where it looks like one, and waits for gigabytes.
async fn attach(socket: &str, id: &str, has_terminal: bool) -> Result<Streams, Error> {
    let stream = UnixStream::connect(socket).await.with_context(|| format!("can't reach {socket}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    let request = Request::post(format!("/exec/{id}/start"))
        .header(HOST, "engine")
        .header(CONTENT_TYPE, "application/json")
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "tcp")
        .body(Full::<Bytes>::from(format!(r#"{{"Detach":false,"Tty":{has_terminal}}}"#)))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    ensure!(status == StatusCode::SWITCHING_PROTOCOLS, "the engine answers {status}");
    Ok(TokioIo::new(upgrade::on(response).await?))
}
