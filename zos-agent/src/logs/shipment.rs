// SPDX-License-Identifier: Apache-2.0
//! Sends one machine's output to one address.

use super::{Connector, LogTroubles, Sent, sender::Connection};
use crate::{
    backoff::Backoff,
    drivers::{
        DriverError, LogSpec, ObservedMachine, WorkloadId,
        machine::{DockerMachines, console::Line},
    },
    engine::observed::Observed,
};
use anyhow::{Context, Result};
use futures::{Stream, StreamExt};
use std::{pin::pin, sync::Arc, time::Duration};
use tfgrid_client::{deployment::LogOutput, peer::protocol::Logs};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

/// Lines that are sent together at most.
const BATCH_LINES: usize = 256;
/// A connection without a line for so long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// Delays before an address is tried again.
const TRY_AGAIN: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) };

/// What owners are told when output is lost.
const LOST: &str = "lines are lost: the node has dropped the oldest before they could be sent";

/// Output of a machine on its way to its owner.
pub struct Shipment {
    pub machines: Arc<DockerMachines>,
    pub observed: watch::Receiver<Arc<Observed>>,
    pub(super) delivery: Delivery,
}

/// What it needs to be sent.
pub(super) struct Delivery {
    pub spec: LogSpec,
    pub connector: Connector,
    pub troubles: watch::Sender<LogTroubles>,
    pub done: mpsc::Sender<(WorkloadId, String)>,
    pub(super) sent: Sent,
}

impl Shipment {
    /// Sends what each run of the machine writes.
    pub async fn run(mut self) {
        // The rules of deployments allow no other text.
        let Ok(to) = self.delivery.spec.output.parse::<LogOutput>() else { return };
        let mut failures = 0;
        let mut drained = None;
        // Hash of the machine whose output was read last: another one begins with an empty log.
        let mut read = None;
        loop {
            let machine = self.machine();
            let Some(machine) =
                machine.filter(|machine| machine.is_running() || drained != Some(machine.instance.clone()))
            else {
                if self.observed.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let is_same = read.replace(machine.hash.clone()) == Some(machine.hash);
            match self.send_run(&to, is_same, &mut failures).await {
                Ok(()) => {
                    // Its output has ended; that it has stopped is observed a moment later.
                    sleep(TRY_AGAIN.first).await;
                    drained = Some(machine.instance).filter(|_| !self.is_running());
                }
                Err(error) => {
                    failures += 1;
                    self.delivery.note(Some(format!("{error:#}")));
                    sleep(TRY_AGAIN.delay(failures)).await;
                }
            }
        }
    }

    fn machine(&mut self) -> Option<ObservedMachine> {
        let observed = self.observed.borrow_and_update();
        let WorkloadId { contract, name } = &self.delivery.spec.machine;
        observed.get(contract)?.machines.get(name).cloned()
    }

    fn is_running(&mut self) -> bool {
        self.machine().is_some_and(|machine| machine.is_running())
    }

    /// Sends what the machine has written since the last line that was sent, until it stops. `is_same` says whether
    /// that line is of the same machine.
    async fn send_run(&self, to: &LogOutput, is_same: bool, failures: &mut u32) -> Result<()> {
        let Delivery { spec, sent, .. } = &self.delivery;
        let sent = sent.get(&spec.id).unwrap_or_default();
        let wanted = Logs {
            workload: spec.machine.name.clone(),
            follow: true,
            tail: None,
            since: Line::seconds(sent.as_bytes()),
            timestamps: true,
        };
        let output = self.machines.output(&spec.machine, &wanted).await?;
        self.delivery.send_output(to, output, is_same, failures).await
    }
}

impl Delivery {
    /// Sends those lines that weren't sent yet. Where `is_same` and the output doesn't begin with one that was, some
    /// between are lost.
    async fn send_output(
        &self,
        to: &LogOutput,
        output: impl Stream<Item = Result<Line, DriverError>>,
        is_same: bool,
        failures: &mut u32,
    ) -> Result<()> {
        let sent = self.sent.get(&self.spec.id).unwrap_or_default();
        let is_new = |line: &Line| line.time() > sent.as_bytes();
        let mut output = pin!(output.peekable());
        let begins_new = matches!(output.as_mut().peek().await, Some(Ok(line)) if is_new(line));
        let mut is_lost = is_same && begins_new && !sent.is_empty();
        let new = output.filter(|line| std::future::ready(line.as_ref().map_or(true, is_new)));
        let mut batches = pin!(new.ready_chunks(BATCH_LINES));
        let mut connection = None;
        while let Some(batch) = next(&mut batches, &mut connection).await {
            let lines = batch.into_iter().collect::<Result<Vec<_>, _>>().context("the node can't read it")?;
            self.send(to, &mut connection, &lines).await?;
            if std::mem::take(&mut is_lost) {
                // The lines that come are what counts.
                let _ = self.done.try_send((self.spec.id.clone(), LOST.into()));
            }
            *failures = 0;
            self.note(None);
            if let Some(line) = lines.last() {
                self.sent.set(&self.spec.id, String::from_utf8_lossy(line.time()).into_owned());
            }
        }
        Ok(())
    }

    /// Sends lines over the connection; over a new one if the receiver has closed it since.
    async fn send(&self, to: &LogOutput, connection: &mut Option<Connection>, lines: &[Line]) -> Result<()> {
        if let Some(open) = connection {
            if open.send(&self.spec.machine, lines).await.is_ok() {
                return Ok(());
            }
            *connection = None;
        }
        let open = connection.insert(self.connector.connect(to).await?);
        open.send(&self.spec.machine, lines).await
    }

    /// Notes why output isn't sent, or that it is.
    fn note(&self, trouble: Option<String>) {
        self.troubles.send_if_modified(|troubles| {
            let before = troubles.get(&self.spec.id).cloned().flatten();
            let is_news = before != trouble;
            if is_news {
                troubles.insert(self.spec.id.clone(), trouble);
            }
            is_news
        });
    }
}

/// The next lines; the connection is closed while there are none for long.
async fn next<T>(
    lines: &mut (impl Stream<Item = T> + Unpin),
    connection: &mut Option<Connection>,
) -> Option<T> {
    if connection.is_some() {
        if let Ok(next) = timeout(IDLE, lines.next()).await {
            return next;
        }
        *connection = None;
    }
    lines.next().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::sender::tests::{read, receiver};
    use futures::stream;
    use std::collections::VecDeque;
    use tokio::io::AsyncWriteExt;

    /// Lines that are kept, as the engine does.
    const KEPT: usize = 5;

    /// A log that drops the oldest.
    #[derive(Default)]
    struct Log(VecDeque<u32>);

    impl Log {
        fn write(&mut self, numbers: impl Iterator<Item = u32>) {
            self.0.extend(numbers);
            self.0.drain(..self.0.len().saturating_sub(KEPT));
        }

        fn output(&self) -> impl Stream<Item = Result<Line, DriverError>> + use<> {
            let line = |number: &u32| {
                let text = format!("2026-11-27T18:57:{number:02}.000000000Z line {number}\n");
                Ok(Line { is_error: false, bytes: text.into() })
            };
            stream::iter(self.0.iter().map(line).collect::<Vec<Result<_, DriverError>>>())
        }
    }

    /// Sends the log to a receiver that answers with this status; returns the lines that it got.
    async fn send(delivery: &mut Delivery, log: &Log, lines: usize, status: &str) -> (Vec<u32>, Result<()>) {
        let (output, accepted, connector) = receiver("https").await;
        delivery.connector = connector;
        let taking = async {
            let mut stream = accepted.await;
            read(&mut stream, "\r\n\r\n").await;
            let mut got = Vec::new();
            for _ in 0..lines {
                let line: serde_json::Value = serde_json::from_str(&read(&mut stream, "\n").await).unwrap();
                got.push(line["line"].as_str().unwrap().trim_start_matches("line ").parse().unwrap());
            }
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            (stream, got)
        };
        let mut failures = 0;
        let sending = delivery.send_output(&output, log.output(), true, &mut failures);
        let ((_stream, got), sent) = tokio::join!(taking, sending);
        (got, sent)
    }

    #[tokio::test]
    async fn the_newest_lines_arrive_and_lost_ones_are_told() {
        let (_, _, connector) = receiver("https").await;
        let (done, mut told) = mpsc::channel(8);
        let id = |name: &str| WorkloadId { contract: 7, name: name.into() };
        let spec = LogSpec { id: id("out"), machine: id("web"), output: String::new() };
        let (troubles, sent) = (watch::channel(LogTroubles::new()).0, Sent::default());
        let mut delivery = Delivery { spec, connector, troubles, done, sent };
        let mut log = Log::default();

        log.write(0..3);
        let (got, sent) = send(&mut delivery, &log, 3, "204 No Content").await;
        assert_eq!((got, sent.is_ok()), (vec![0, 1, 2], true));
        log.write(3..5);
        let (got, sent) = send(&mut delivery, &log, 2, "503 Service Unavailable").await;
        assert_eq!(
            (got, sent.unwrap_err().to_string()),
            (vec![3, 4], "it answers 503 Service Unavailable".into())
        );
        assert!(told.try_recv().is_err(), "nothing is lost yet");

        log.write(5..20);
        let (got, sent) = send(&mut delivery, &log, KEPT, "204 No Content").await;
        assert_eq!((got, sent.is_ok()), (vec![15, 16, 17, 18, 19], true));
        assert_eq!(told.try_recv().unwrap(), (id("out"), LOST.into()));
        assert!(told.try_recv().is_err(), "it is told once");
    }
}
