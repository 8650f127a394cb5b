// SPDX-License-Identifier: Apache-2.0
//! Files of machines, to their owner and back. A program in the machine copies, which ends with the stream.

use super::{
    idle::Passed,
    serve::{Reply, Sources, failed},
    streams::{IDLE_AFTER, Streams, broken, not_running, nothing_passed, too_many_programs},
};
use crate::drivers::{MachineDriver, Process, machine::Direction};
use anyhow::{Context, Error};
use iroh::endpoint::RecvStream;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::{future::pending, os::fd::OwnedFd, process::Stdio};
use tfgrid_client::{
    causes::shortened,
    peer::{
        Place,
        frame::{Frame, MAX_FRAME_BYTES},
        protocol::{Failed, FailedCode, Message},
    },
};
use tfgrid_primitives::ContractId;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe::Receiver,
    process::{Child, ChildStdin, Command},
    time::Instant,
};

/// Copies of a contract at the same time: each takes memory of the node before it is in the machine, and keeps it.
const MAX_COPIES_OF_CONTRACT: usize = 8;
/// Bytes of a path at most, as for the kernel.
const MAX_PATH_BYTES: usize = 4_095;
/// Limit of what is told of a failure.
const SHOWN_BYTES: u32 = 500;
/// Limit of what is read of it.
const ERROR_BYTES: u64 = 16 * 1024;

impl Streams {
    /// Sends an archive of what is at a path in a machine.
    pub async fn copy_out(
        &self,
        sources: &Sources,
        contract: ContractId,
        workload: &str,
        path: &str,
        reply: &mut Reply,
    ) -> Result<(), Failed> {
        let (mut copier, machine, _place) =
            self.copier(sources, contract, workload, path, Direction::Out).await?;
        reply.message(Message::Ready {}).await?;
        let passed = Passed::new();
        passes(send_archive(&mut copier, reply, &passed), &passed, &machine, workload).await?;
        reply.message(Message::Done {}).await
    }

    /// Unpacks the caller's archive in a folder of a machine.
    pub async fn copy_in(
        &self,
        sources: &Sources,
        contract: ContractId,
        workload: &str,
        path: &str,
        reply: &mut Reply,
        receive: RecvStream,
    ) -> Result<(), Failed> {
        let (mut copier, machine, _place) =
            self.copier(sources, contract, workload, path, Direction::In).await?;
        reply.message(Message::Ready {}).await?;
        let passed = Passed::new();
        passes(take_archive(&mut copier, receive, &passed), &passed, &machine, workload).await?;
        reply.message(Message::Done {}).await
    }

    /// Starts the program that copies, and returns it with what becomes readable once the machine has ended, and its
    /// place. It ends on drop, also so that nothing is left in the machine's control groups, which are removed with it.
    async fn copier(
        &self,
        sources: &Sources,
        contract: ContractId,
        workload: &str,
        path: &str,
        direction: Direction,
    ) -> Result<(Child, Receiver, Place<ContractId>), Failed> {
        if !path.starts_with('/') || path.len() > MAX_PATH_BYTES || path.contains('\0') {
            let message =
                format!("a path in a machine begins with /, and has {MAX_PATH_BYTES} bytes at most");
            return Err(failed(FailedCode::BadRequest, &message));
        }
        sources.ensure_paid(contract)?;
        let machine = sources.running(contract, workload)?;
        let place = Place::take(&self.copies, contract, MAX_COPIES_OF_CONTRACT).ok_or_else(|| {
            let message = format!(
                "the node makes {MAX_COPIES_OF_CONTRACT} copies of contract {contract} at the same time: wait for one \
                 to end"
            );
            failed(FailedCode::TooMany, &message)
        })?;
        if !self.programs.take(contract, Instant::now()) {
            return Err(too_many_programs(contract));
        }
        let first = self.machines.process(&machine.id).await.map_err(broken)?;
        let first = first.ok_or_else(|| not_running(workload))?;
        let ends = ends(&first).ok_or_else(|| not_running(workload))?;
        // Nothing is read of it. No other safe function of tokio waits for any descriptor.
        let ends =
            Receiver::from_owned_fd_unchecked(ends).map_err(|error| broken(Error::from(error).into()))?;
        let first_user = self.machines.first_user().await.map_err(broken)?;
        let copier = self
            .start_copier(&first, first_user, direction, path)
            .context("can't start the program that copies");
        Ok((copier.map_err(|error| broken(error.into()))?, ends, place))
    }

    fn start_copier(
        &self,
        first: &Process,
        first_user: u32,
        direction: Direction,
        path: &str,
    ) -> std::io::Result<Child> {
        let container = first.instance.split('@').next().unwrap_or_default();
        let direction = match direction {
            Direction::Out => "out",
            Direction::In => "in",
        };
        Command::new(&self.program)
            .args(["copy", "--process", &first.pid.to_string(), "--container", container])
            .args(["--first-user", &first_user.to_string(), direction, "--", path])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }
}

/// Awaits the archive's end, as long as its machine runs and something passes.
async fn passes(
    archive: impl Future<Output = Result<(), Failed>>,
    passed: &Passed,
    machine: &Receiver,
    workload: &str,
) -> Result<(), Failed> {
    tokio::select! {
        ended = archive => ended,
        _ = machine.readable() => Err(not_running(workload)),
        () = passed.nothing_for(IDLE_AFTER) => Err(nothing_passed()),
    }
}

/// A descriptor that becomes readable once this process has ended; `None` if it has.
fn ends(process: &Process) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(process.pid.try_into().ok()?)?, PidfdFlags::empty()).ok()
}

async fn send_archive(copier: &mut Child, reply: &mut Reply, passed: &Passed) -> Result<(), Failed> {
    if let Some(mut archive) = copier.stdout.take() {
        let mut bytes = vec![0; MAX_FRAME_BYTES];
        while let Ok(count @ 1..) = archive.read(&mut bytes).await {
            passed.note();
            reply.frame(Frame::<Message>::Data(bytes[..count].to_vec())).await?;
        }
    }
    ended(copier).await
}

async fn take_archive(copier: &mut Child, receive: RecvStream, passed: &Passed) -> Result<(), Failed> {
    let input = copier.stdin.take();
    let feeding = async {
        feed(receive, input, passed).await?;
        pending::<Result<(), Failed>>().await
    };
    tokio::select! {
        fed = feeding => fed,
        ended = ended(copier) => ended,
    }
}

/// Passes on the caller's archive up to its end, or until nobody takes it.
async fn feed(mut receive: RecvStream, input: Option<ChildStdin>, passed: &Passed) -> Result<(), Failed> {
    let Some(mut input) = input else { return Ok(()) };
    loop {
        let frame = Frame::<()>::read(&mut receive).await;
        passed.note();
        match frame {
            Ok(Some(Frame::Data(bytes))) => {
                // The program says why it takes no more.
                if input.write_all(&bytes).await.is_err() {
                    return Ok(());
                }
            }
            Ok(None) => return Ok(()),
            Ok(Some(_)) => return Err(failed(FailedCode::BadRequest, "an archive is in data frames")),
            Err(_) => return Err(failed(FailedCode::Closed, "the caller has gone")),
        }
    }
}

/// How the program ends.
async fn ended(copier: &mut Child) -> Result<(), Failed> {
    let mut why = Vec::new();
    if let Some(errors) = copier.stderr.take() {
        // A message that can't be read is cut off.
        drop(errors.take(ERROR_BYTES).read_to_end(&mut why).await);
    }
    let status = copier.wait().await.map_err(|error| broken(Error::from(error).into()))?;
    if status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&why);
    let message = if why.is_empty() {
        format!("the program that copies was ended ({status}): the machine may have no memory left for it")
    } else {
        shortened(why.trim_end(), SHOWN_BYTES)
    };
    Err(failed(FailedCode::BadRequest, &message))
}
