// SPDX-License-Identifier: Apache-2.0
//! Answers to requests.

use super::{
    idle::{Noted, Passed},
    serve::{Reply, Sources, failed},
    snapshots::Snapshots,
};
use crate::{
    chain::desired::Workloads,
    drivers::{
        Condition, DriverError, MachineDriver, MachineSpec, MachineState, ObservedMachine, WorkloadId,
        machine::{
            DockerMachines,
            console::{Line, Program, Streams as ProgramStreams},
        },
        network::{self, bind_udp, connect},
        volume::PoolVolumes,
    },
};
use anyhow::Error;
use futures::{Stream, StreamExt};
use iroh::endpoint::RecvStream;
use rustix::process::Signal;
use std::{
    collections::BTreeMap,
    future::pending,
    io,
    net::SocketAddr,
    path::PathBuf,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering::Relaxed},
    },
    time::Duration,
};
use tfgrid_client::{
    causes::shortened,
    peer::{
        Counts, Rate,
        frame::{Frame, MAX_DATAGRAM_BYTES, MAX_FRAME_BYTES},
        protocol::{
            Control, Exec, Failed, FailedCode, Forward, Joining, Logs, MachineStatus, Message, Protocol,
            Stats, Status,
        },
    },
};
use tfgrid_primitives::ContractId;
use tokio::{
    io::{
        AsyncRead, AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, copy_bidirectional_with_sizes, join,
        split,
    },
    net::{TcpStream, UdpSocket},
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

/// Bytes that are copied at a time in each direction of a forwarded port.
const COPY_BYTES: usize = 64 * 1024;
/// Limit for a port of a machine to take a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A forwarded UDP port without a datagram in either direction for so long ends.
const UDP_IDLE: Duration = Duration::from_secs(60);
/// A forwarded TCP connection, a program or a copy without a byte in either direction for so long ends.
pub(super) const IDLE_AFTER: Duration = Duration::from_secs(3_600);
/// Programs of a contract, copies included, that are started at once, and how soon each of the next ones may follow.
const PROGRAMS_AT_ONCE: u32 = 20;
const PROGRAM_EVERY: Duration = Duration::from_millis(100);
/// Frames of input that wait until a program reads: 2 MiB at most.
const INPUT_FRAMES: usize = 32;
/// How often the exit code of a program is asked for, after its output has ended.
const EXIT_EVERY: Duration = Duration::from_millis(50);
/// Limit for that exit code.
const EXIT_WITHIN: Duration = Duration::from_secs(10);
/// Time that a program has to end after its caller has gone.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// Delay before the output of a machine that can't be read is tried again.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// Bytes before each piece of a program's output without a terminal: its kind, and its length in the last four.
const PIECE_HEADER_BYTES: usize = 8;
/// Limit of what is told of a machine's health check, or of its end.
pub const SHOWN_BYTES: u32 = 200;
/// Kind of a piece that is of the standard error.
const STANDARD_ERROR: u8 = 2;

impl Sources {
    /// How a contract's workloads fare.
    pub fn status(&self, contract: ContractId) -> Result<Status, Failed> {
        let snapshot = self.snapshots.borrow().clone();
        let desired = snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.contracts.get(&contract))
            .ok_or_else(no_contract)?;
        let standing = self.standings.borrow().get(&contract).cloned().unwrap_or_default();
        let observed = self.observed.borrow().clone();
        let workloads = desired.target_of(standing.version).workloads();
        let there = observed.get(&contract).map(|there| &there.machines);
        let machines = workloads.into_iter().flat_map(|workloads| &workloads.machines).map(|spec| {
            let machine = there.and_then(|machines| machines.get(&spec.id.name));
            (spec.id.name.clone(), machine_status(spec, machine, self.holds.contains(&spec.id)))
        });
        Ok(Status {
            version: standing.version,
            ready: standing.is_ready,
            trouble: standing.trouble,
            machines: machines.collect(),
        })
    }

    /// What a peer joins a private network of a contract with.
    pub async fn joining(&self, contract: ContractId, network: &str) -> Result<Joining, Failed> {
        let snapshot = self.snapshots.borrow().clone();
        let desired = snapshot.as_ref().and_then(|snapshot| snapshot.contracts.get(&contract));
        let workloads = desired.ok_or_else(no_contract)?.active.workloads();
        let spec = workloads.and_then(|found| found.networks.iter().find(|spec| spec.id.name == network));
        let spec = spec.ok_or_else(|| {
            failed(FailedCode::NotFound, &format!("contract {contract} has no network {network}"))
        })?;
        let end = self.tunnels.borrow().get(&spec.id).copied();
        let (public_key, port) = end.ok_or_else(|| {
            let message = format!("the network {network} isn't ready for peers, or has none: ask again");
            failed(FailedCode::NotRunning, &message)
        })?;
        let (subnet, name_server) = (spec.subnet, spec.gateway);
        let mtu = network::mtu().await.map_err(|error| broken(error.into()))?;
        Ok(Joining { public_key, port, subnet, name_server, mtu })
    }

    /// The events of a contract.
    pub async fn events(&self, contract: ContractId, follow: bool, reply: &mut Reply) -> Result<(), Failed> {
        let mut log = self.log.clone();
        let mut next = 0;
        loop {
            let (events, after) = log.borrow_and_update().since(contract, next);
            next = after;
            for event in events {
                reply.message(Message::Event(event)).await?;
            }
            if !follow {
                return reply.message(Message::Done {}).await;
            }
            log.changed().await.map_err(|_| failed(FailedCode::Failed, "the agent stops"))?;
        }
    }

    /// Stops a machine until its owner starts it.
    pub async fn stop(&self, contract: ContractId, workload: &str, reply: &mut Reply) -> Result<(), Failed> {
        self.machine(contract, workload)?;
        let id = WorkloadId { contract, name: workload.into() };
        self.holds.set(&id, true).await.map_err(|error| broken(error.into()))?;
        self.tell(id, "its owner stops it");
        reply.message(Message::Done {}).await
    }

    /// Fails where nothing of the contract runs.
    pub(super) fn ensure_paid(&self, contract: ContractId) -> Result<(), Failed> {
        let snapshot = self.snapshots.borrow().clone();
        let desired = snapshot.as_ref().and_then(|snapshot| snapshot.contracts.get(&contract));
        if desired.is_some_and(|desired| desired.contract.paused) {
            let message =
                format!("contract {contract} is paused, its credit is used up: deposit, and it goes on");
            return Err(failed(FailedCode::NotRunning, &message));
        }
        Ok(())
    }

    /// Has an event of what an owner did.
    pub(super) fn tell(&self, id: WorkloadId, what: &str) {
        // The owner has its answer, whether or not it is an event.
        let _ = self.done.try_send((id, what.to_owned()));
    }

    /// The machine with this name, `None` if it isn't there yet.
    fn machine(&self, contract: ContractId, workload: &str) -> Result<Option<ObservedMachine>, Failed> {
        let there = self.observed.borrow().clone();
        let machine = there.get(&contract).and_then(|there| there.machines.get(workload)).cloned();
        if machine.is_none() {
            let snapshot = self.snapshots.borrow().clone();
            let desired = snapshot.as_ref().and_then(|snapshot| snapshot.contracts.get(&contract));
            let targets =
                desired.into_iter().flat_map(|desired| desired.pending.iter().chain([&desired.active]));
            let names: Vec<_> = targets.filter_map(|target| target.workloads()).flat_map(names).collect();
            if !names.contains(&workload) {
                let message =
                    format!("contract {contract} has no machine {workload}; it has: {}", names.join(", "));
                return Err(failed(FailedCode::NotFound, &message));
            }
        }
        Ok(machine)
    }

    /// The machine with this name, which must run.
    pub(super) fn running(&self, contract: ContractId, workload: &str) -> Result<ObservedMachine, Failed> {
        match self.machine(contract, workload)? {
            Some(machine) if machine.is_running() => Ok(machine),
            _ if self.holds.contains(&WorkloadId { contract, name: workload.into() }) => {
                Err(is_held(workload))
            }
            _ => Err(not_running(workload)),
        }
    }
}

fn names(workloads: &Workloads) -> impl Iterator<Item = &str> {
    workloads.machines.iter().map(|spec| spec.id.name.as_str())
}

fn machine_status(spec: &MachineSpec, machine: Option<&ObservedMachine>, is_held: bool) -> MachineStatus {
    let Some(machine) = machine else {
        return MachineStatus { state: "missing".into(), ..Default::default() };
    };
    let run = Some(machine.instance.clone());
    match &machine.state {
        MachineState::Running { ip, condition } => {
            let health = match condition {
                Condition::Unchecked => None,
                Condition::Starting => Some("starting".into()),
                Condition::Healthy => Some("healthy".into()),
                Condition::Unhealthy(found) => Some(format!("unhealthy: {}", shortened(found, SHOWN_BYTES))),
            };
            let state = if is_held { MachineStatus::STOPPING } else { "running" };
            MachineStatus { state: state.into(), ip: *ip, health, run, ..Default::default() }
        }
        MachineState::Stopped { .. } if is_held => {
            MachineStatus { state: MachineStatus::HELD.into(), run, ..Default::default() }
        }
        MachineState::Stopped { how, .. } => MachineStatus {
            state: "stopped".into(),
            ended: Some(shortened(how, SHOWN_BYTES)),
            finished: spec.finished(machine),
            run,
            ..Default::default()
        },
    }
}

/// What streams are made of.
pub struct Streams {
    pub(super) machines: Arc<DockerMachines>,
    pub(super) programs: Rate<ContractId>,
    pub(super) copies: Counts<ContractId>,
    /// The agent's own, which copies files.
    pub(super) program: PathBuf,
    /// Those of volumes.
    pub(super) snapshots: Snapshots,
}

impl Streams {
    /// Streams from and to the machines of this engine and these volumes of theirs, by the agent's `program`.
    pub fn new(machines: Arc<DockerMachines>, volumes: PoolVolumes, program: PathBuf) -> Self {
        let snapshots = Snapshots::new(machines.clone(), volumes);
        let programs = Rate::new(PROGRAMS_AT_ONCE, PROGRAM_EVERY);
        Self { machines, programs, copies: Counts::default(), program, snapshots }
    }

    /// What a contract's machines use.
    pub async fn stats(
        &self,
        sources: &Sources,
        contract: ContractId,
    ) -> Result<BTreeMap<String, Stats>, Failed> {
        let there = sources.observed.borrow().get(&contract).cloned().unwrap_or_default();
        let mut stats = BTreeMap::new();
        for machine in there.machines.values().filter(|machine| machine.is_running()) {
            let Some(usage) = self.machines.usage(&machine.id).await.map_err(broken)? else { continue };
            let of_machine = Stats {
                cpu_ms: usage.cpu_ms,
                memory_bytes: usage.memory_bytes,
                received_bytes: usage.received_bytes,
                sent_bytes: usage.sent_bytes,
            };
            stats.insert(machine.id.name.clone(), of_machine);
        }
        Ok(stats)
    }

    /// Sends a machine's output; if it is followed, also that of its next runs.
    pub async fn logs(
        &self,
        sources: &Sources,
        contract: ContractId,
        mut wanted: Logs,
        reply: &mut Reply,
    ) -> Result<(), Failed> {
        let id = WorkloadId { contract, name: wanted.workload.clone() };
        let mut observed = sources.observed.clone();
        let mut last = Vec::new();
        loop {
            observed.borrow_and_update();
            if sources.machine(contract, &id.name)?.is_some() {
                let output = self.machines.output(&id, &wanted).await.map_err(broken)?;
                let ended = send_output(output, &wanted, &mut last, reply).await?;
                if let (Err(error), false) = (ended, wanted.follow) {
                    return Err(broken(error));
                }
                // What was sent is skipped by its time.
                if !last.is_empty() {
                    wanted.tail = None;
                    wanted.since = Line::seconds(&last).or(wanted.since);
                }
            } else if !wanted.follow {
                return Err(not_running(&id.name));
            }
            if !wanted.follow {
                return reply.message(Message::Done {}).await;
            }
            observed.changed().await.map_err(|_| failed(FailedCode::Failed, "the agent stops"))?;
            sleep(READ_AGAIN).await;
        }
    }

    /// Stops a machine, and the engine starts it again; one that doesn't run is started at once.
    pub async fn restart(
        &self,
        sources: &Sources,
        contract: ContractId,
        workload: String,
        reply: &mut Reply,
    ) -> Result<(), Failed> {
        sources.ensure_paid(contract)?;
        let id = WorkloadId { contract, name: workload };
        match self.present(sources, &id).await? {
            Some(machine) if machine.is_running() => self.machines.stop(&id).await.map_err(broken)?,
            _ if sources.holds.contains(&id) => return Err(is_held(&id.name)),
            machine => self.run_again(sources, &id, machine)?,
        }
        sources.tell(id, "its owner restarts it");
        reply.message(Message::Done {}).await
    }

    /// Lets a machine run that its owner has stopped, that has finished, or whose next try is yet to come.
    pub async fn start(
        &self,
        sources: &Sources,
        contract: ContractId,
        workload: &str,
        reply: &mut Reply,
    ) -> Result<(), Failed> {
        sources.ensure_paid(contract)?;
        let id = WorkloadId { contract, name: workload.into() };
        let machine = self.present(sources, &id).await?;
        self.run_again(sources, &id, machine)?;
        sources.holds.set(&id, false).await.map_err(|error| broken(error.into()))?;
        sources.tell(id, "its owner starts it");
        reply.message(Message::Done {}).await
    }

    /// The contract's machine as it is at this moment: what was observed last may have ended since.
    async fn present(&self, sources: &Sources, id: &WorkloadId) -> Result<Option<ObservedMachine>, Failed> {
        sources.machine(id.contract, &id.name)?;
        self.machines.machine(id).await.map_err(broken)
    }

    /// Has the engine start a machine that doesn't run, whatever its last run has come to.
    fn run_again(
        &self,
        sources: &Sources,
        id: &WorkloadId,
        machine: Option<ObservedMachine>,
    ) -> Result<(), Failed> {
        if machine.is_some_and(|machine| !machine.is_running()) {
            self.machines.forget_end(id).map_err(broken)?;
        }
        sources.holds.hurry(id.contract);
        Ok(())
    }

    /// Runs a program in a machine until it ends or its caller goes.
    pub async fn exec(
        &self,
        sources: &Sources,
        contract: ContractId,
        wanted: Exec,
        reply: &mut Reply,
        receive: RecvStream,
    ) -> Result<(), Failed> {
        if wanted.command.is_empty() {
            return Err(failed(FailedCode::BadRequest, "no program is named"));
        }
        let machine = sources.running(contract, &wanted.workload)?;
        if !self.programs.take(contract, Instant::now()) {
            return Err(too_many_programs(contract));
        }
        let started = self.machines.exec(&machine.id, &wanted).await.map_err(broken)?;
        let Some((program, streams)) = started else { return Err(not_running(&wanted.workload)) };
        let running = Running { program: Some(program), last: AtomicI32::new(Signal::HUP.as_raw()) };
        let Some(program) = &running.program else { return Ok(()) };
        reply.message(Message::Ready {}).await?;
        let (output, input) = split(streams);
        let passed = Passed::new();
        tokio::select! {
            sent = send_program(output, wanted.terminal.is_some(), reply, &passed) => sent?,
            () = take_input(receive, input, program, &running.last, &passed) => {
                return Err(failed(FailedCode::Closed, "the caller has gone"));
            }
            () = passed.nothing_for(IDLE_AFTER) => return Err(nothing_passed()),
        }
        let code = exit_code(program).await?;
        running.ended();
        reply.message(Message::Exit { code }).await
    }

    /// Connects the caller with a port of a machine.
    pub async fn forward(
        &self,
        sources: &Sources,
        contract: ContractId,
        Forward { workload, protocol, port }: Forward,
        reply: &mut Reply,
        receive: RecvStream,
    ) -> Result<(), Failed> {
        let machine = sources.running(contract, &workload)?;
        let MachineState::Running { ip: Some(ip), .. } = machine.state else {
            return Err(not_running(&workload));
        };
        let to = SocketAddr::new(ip, port);
        let refused = |why: io::Error| {
            failed(FailedCode::NotRunning, &format!("port {port} of {workload} takes no connection: {why}"))
        };
        let id = WorkloadId { contract, name: workload.clone() };
        let namespace = self.machines.namespace(&id).await.map_err(broken)?;
        match protocol {
            Protocol::Tcp => {
                let connecting = timeout(CONNECT_WITHIN, connect(namespace, to)).await;
                let stream =
                    connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(refused)?;
                reply.message(Message::Ready {}).await?;
                forward_tcp(stream, reply, receive).await
            }
            Protocol::Udp => {
                let socket = bind_udp(namespace, to).map_err(refused)?;
                reply.message(Message::Ready {}).await?;
                forward_udp(socket, reply, receive).await
            }
        }
    }
}

/// Sends lines until the output ends. Skips those up to the time `last`, and notes there that of the last one.
async fn send_output(
    output: impl Stream<Item = Result<Line, DriverError>>,
    wanted: &Logs,
    last: &mut Vec<u8>,
    reply: &mut Reply,
) -> Result<Result<(), DriverError>, Failed> {
    let mut output = pin!(output);
    let seen = last.clone();
    while let Some(line) = output.next().await {
        let line = match line {
            Ok(line) => line,
            Err(error) => return Ok(Err(error)),
        };
        let time = line.time();
        if time <= &seen[..] {
            continue;
        }
        if time > &last[..] {
            *last = time.to_vec();
        }
        let bytes = if wanted.timestamps { &line.bytes } else { line.text() }.to_vec();
        let frame = if line.is_error { Frame::<Message>::Errors(bytes) } else { Frame::Data(bytes) };
        reply.frame(frame).await?;
    }
    Ok(Ok(()))
}

/// A program that is ended when this is dropped, as by a terminal that is closed.
struct Running {
    program: Option<Program>,
    /// Number of the signal that ends it, 0 once its caller has sent one.
    last: AtomicI32,
}

impl Running {
    /// The program has ended by itself.
    fn ended(mut self) {
        self.program = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(program) = self.program.take() {
            tokio::spawn(end(program, Signal::from_named_raw(*self.last.get_mut())));
        }
    }
}

/// Ends a program by this signal, then by force.
async fn end(program: Program, signal: Option<Signal>) {
    if let Some(signal) = signal {
        program.signal(signal).await;
    }
    let ended = async {
        while !matches!(program.exit_code().await, Ok(Some(_)) | Err(_)) {
            sleep(EXIT_EVERY).await;
        }
    };
    if timeout(ENDS_WITHIN, ended).await.is_err() {
        program.signal(Signal::KILL).await;
    }
}

/// Sends what a program writes until it has ended.
async fn send_program(
    mut output: ReadHalf<ProgramStreams>,
    has_terminal: bool,
    reply: &mut Reply,
    passed: &Passed,
) -> Result<(), Failed> {
    let mut bytes = vec![0; MAX_FRAME_BYTES];
    loop {
        let is_error = if has_terminal { Some((false, usize::MAX)) } else { piece(&mut output).await };
        // The engine's end of the stream is the program's.
        let Some((is_error, mut left)) = is_error else { return Ok(()) };
        while left > 0 {
            let room = bytes.len().min(left);
            let Ok(count @ 1..) = output.read(&mut bytes[..room]).await else { return Ok(()) };
            left -= count;
            passed.note();
            let read = bytes[..count].to_vec();
            reply.frame(if is_error { Frame::<Message>::Errors(read) } else { Frame::Data(read) }).await?;
        }
    }
}

/// Whether the next piece is of the standard error, and its length; `None` at the end.
async fn piece(output: &mut (impl AsyncRead + Unpin)) -> Option<(bool, usize)> {
    let mut header = [0; PIECE_HEADER_BYTES];
    output.read_exact(&mut header).await.ok()?;
    let [kind, _, _, _, length @ ..] = header;
    Some((kind == STANDARD_ERROR, u32::from_be_bytes(length) as usize))
}

/// Passes on what the caller sends, until the caller has gone.
async fn take_input(
    receive: RecvStream,
    input: WriteHalf<ProgramStreams>,
    program: &Program,
    last: &AtomicI32,
    passed: &Passed,
) {
    let (queue, queued) = mpsc::channel(INPUT_FRAMES);
    tokio::select! {
        () = take_frames(receive, queue, program, last, passed) => {}
        () = write_input(queued, input) => {}
    }
}

/// Writes what comes, and ends the input with that; lasts for ever.
async fn write_input(mut queued: mpsc::Receiver<Option<Vec<u8>>>, mut input: WriteHalf<ProgramStreams>) {
    while let Some(Some(bytes)) = queued.recv().await {
        // A program that has closed its input goes on.
        drop(input.write_all(&bytes).await);
    }
    drop(input.shutdown().await);
    // What comes later has no place to go.
    while queued.recv().await.is_some() {}
    pending().await
}

/// Signals pass input that the program hasn't read, as far as the queue has room for it.
async fn take_frames(
    mut receive: RecvStream,
    queue: mpsc::Sender<Option<Vec<u8>>>,
    program: &Program,
    last: &AtomicI32,
    passed: &Passed,
) {
    loop {
        let frame = Frame::<Control>::read(&mut receive).await;
        passed.note();
        match frame {
            // It fails for nobody: the other half lasts as long.
            Ok(Some(Frame::Data(bytes))) => drop(queue.send(Some(bytes)).await),
            Ok(Some(Frame::Message(Control::Resize(size)))) => program.resize(size).await,
            Ok(Some(Frame::Message(Control::Signal(number)))) => {
                if let Some(signal) = Signal::from_named_raw(number) {
                    let ends = [Signal::HUP, Signal::INT, Signal::TERM].contains(&signal);
                    if ends {
                        // The caller may go before it is sent.
                        last.store(number, Relaxed);
                    }
                    program.signal(signal).await;
                    if ends {
                        last.store(0, Relaxed);
                    }
                }
            }
            Ok(Some(Frame::Message(Control::EndInput {}))) => drop(queue.send(None).await),
            Ok(None) => {
                drop(queue);
                return pending().await;
            }
            Ok(Some(Frame::Errors(_))) | Err(_) => return,
        }
    }
}

async fn exit_code(program: &Program) -> Result<i64, Failed> {
    let asked = async {
        loop {
            if let Some(code) = program.exit_code().await.map_err(broken)? {
                return Ok(code);
            }
            sleep(EXIT_EVERY).await;
        }
    };
    let late = |_| Err(failed(FailedCode::Failed, "the engine doesn't know the program's exit code"));
    timeout(EXIT_WITHIN, asked).await.unwrap_or_else(late)
}

/// A connection that is closed as broken unless it has ended: the machine must not take that for the caller's end, also
/// where the caller goes and nobody waits for the answer any more.
struct Forwarded {
    stream: TcpStream,
    has_ended: bool,
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        if !self.has_ended {
            drop(self.stream.set_zero_linger());
        }
    }
}

async fn forward_tcp(stream: TcpStream, reply: &mut Reply, receive: RecvStream) -> Result<(), Failed> {
    let mut forwarded = Forwarded { stream, has_ended: false };
    let passed = Passed::new();
    let mut machine = Noted { stream: &mut forwarded.stream, passed: &passed };
    let mut caller = join(receive, reply.raw());
    let copied = tokio::select! {
        copied = copy_bidirectional_with_sizes(&mut machine, &mut caller, COPY_BYTES, COPY_BYTES) => copied,
        () = passed.nothing_for(IDLE_AFTER) => return Err(nothing_passed()),
    };
    copied.map_err(|error| failed(FailedCode::Closed, &error.to_string()))?;
    forwarded.has_ended = true;
    Ok(())
}

/// Passes datagrams in both directions until the caller ends it, or none comes.
async fn forward_udp(socket: UdpSocket, reply: &mut Reply, mut receive: RecvStream) -> Result<(), Failed> {
    let mut bytes = vec![0; MAX_DATAGRAM_BYTES];
    let passed = Passed::new();
    let incoming = async {
        while let Ok(Some(Frame::Data(datagram))) = Frame::<()>::read(&mut receive).await {
            passed.note();
            // As in any network, it may be lost.
            drop(socket.send(&datagram).await);
        }
    };
    let outgoing = async {
        loop {
            // An unreachable port is an error of one datagram.
            let Ok(count) = socket.recv(&mut bytes).await else { continue };
            passed.note();
            reply.frame(Frame::<Message>::Data(bytes[..count].to_vec())).await?;
        }
    };
    tokio::select! {
        () = incoming => Ok(()),
        () = passed.nothing_for(UDP_IDLE) => Ok(()),
        sent = outgoing => sent,
    }
}

fn no_contract() -> Failed {
    failed(FailedCode::Closed, "the contract has closed")
}

pub(super) fn nothing_passed() -> Failed {
    failed(FailedCode::Idle, "nothing passed in either direction for an hour")
}

pub(super) fn too_many_programs(contract: ContractId) -> Failed {
    let message = format!(
        "the node starts {PROGRAMS_AT_ONCE} programs of contract {contract} at once, then one each {PROGRAM_EVERY:?}: \
         try again in a moment"
    );
    failed(FailedCode::TooMany, &message)
}

pub(super) fn not_running(workload: &str) -> Failed {
    failed(
        FailedCode::NotRunning,
        &format!("the machine {workload} doesn't run: its contract's events say why"),
    )
}

fn is_held(workload: &str) -> Failed {
    let message = format!("the machine {workload} is stopped by its owner: start it first");
    failed(FailedCode::NotRunning, &message)
}

/// The node's own failure.
pub(super) fn broken(error: DriverError) -> Failed {
    failed(FailedCode::Failed, &format!("the node fails: {:#}", Error::from(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::{Attachment, ContainerSpec};
    use tfgrid_client::deployment::Restart;

    fn status(restart: Restart, state: MachineState, is_held: bool) -> MachineStatus {
        let id = WorkloadId { contract: 7, name: "web".into() };
        let machine = ObservedMachine { id: id.clone(), hash: "one".into(), instance: "web@1".into(), state };
        let spec = MachineSpec {
            id,
            version: 1,
            pointer: "/workloads/0".into(),
            restart,
            is_held: false,
            registry: None,
            container: ContainerSpec::default(),
            attachment: Attachment::default(),
            public: None,
            hash: "one".into(),
        };
        machine_status(&spec, Some(&machine), is_held)
    }

    #[test]
    fn a_job_that_is_not_started_again_tells_its_exit_code() {
        let ended = |restart, is_held| {
            status(restart, MachineState::Stopped { how: "exit code 3".into(), exit: Some(3) }, is_held)
        };
        let job = ended(Restart::Never, false);
        assert_eq!((job.finished, job.run.as_deref()), (Some(3), Some("web@1")));
        assert_eq!(
            [ended(Restart::OnFailure, false), ended(Restart::Never, true)].map(|it| it.finished),
            [None; 2]
        );
    }

    #[test]
    fn a_machine_that_its_owner_stops_is_not_said_to_run() {
        let state = |state, is_held| status(Restart::Always, state, is_held).state;
        let running = || MachineState::Running { ip: None, condition: Condition::Unchecked };
        let stopped = || MachineState::Stopped { how: "exit code 0".into(), exit: Some(0) };
        assert_eq!([state(running(), false), state(stopped(), false)], ["running", "stopped"]);
        assert_eq!([state(running(), true), state(stopped(), true)], ["stopping", "stopped by its owner"]);
    }
}
