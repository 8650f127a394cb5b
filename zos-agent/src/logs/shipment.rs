// SPDX-License-Identifier: Apache-2.0
//! Sends one machine's output to one address.

use super::{Connector, LogTroubles, Sent, sender::Connection};
use crate::{
    backoff::Backoff,
    drivers::{
        LogSpec, ObservedMachine,
        machine::{DockerMachines, console::Line},
    },
    engine::observed::Observed,
};
use anyhow::{Context, Result};
use futures::{Stream, StreamExt};
use std::{pin::pin, sync::Arc, time::Duration};
use tfgrid_client::{deployment::LogOutput, peer::protocol::Logs};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// Lines that are sent together at most.
const BATCH_LINES: usize = 256;
/// A connection without a line for so long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// Delays before an address is tried again.
const TRY_AGAIN: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) };

/// Output of a machine on its way to its owner.
pub struct Shipment {
    pub spec: LogSpec,
    pub machines: Arc<DockerMachines>,
    pub connector: Connector,
    pub observed: watch::Receiver<Arc<Observed>>,
    pub troubles: watch::Sender<LogTroubles>,
    pub(super) sent: Sent,
}

impl Shipment {
    /// Sends what each run of the machine writes.
    pub async fn run(mut self) {
        // The rules of deployments allow no other text.
        let Ok(to) = self.spec.output.parse::<LogOutput>() else { return };
        let mut failures = 0;
        let mut drained = None;
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
            match self.send_run(&to, &mut failures).await {
                Ok(()) => {
                    // Its output has ended; that it has stopped is observed a moment later.
                    sleep(TRY_AGAIN.first).await;
                    drained = Some(machine.instance).filter(|_| !self.is_running());
                }
                Err(error) => {
                    failures += 1;
                    self.note(Some(format!("{error:#}")));
                    sleep(TRY_AGAIN.delay(failures)).await;
                }
            }
        }
    }

    fn machine(&mut self) -> Option<ObservedMachine> {
        let observed = self.observed.borrow_and_update();
        observed.get(&self.spec.machine.contract)?.machines.get(&self.spec.machine.name).cloned()
    }

    fn is_running(&mut self) -> bool {
        self.machine().is_some_and(|machine| machine.is_running())
    }

    /// Sends what the machine has written since the last line that was sent, until it stops.
    async fn send_run(&self, to: &LogOutput, failures: &mut u32) -> Result<()> {
        let sent = self.sent.get(&self.spec.id).unwrap_or_default();
        let wanted = Logs {
            workload: self.spec.machine.name.clone(),
            follow: true,
            tail: None,
            since: Line::seconds(sent.as_bytes()),
            timestamps: true,
        };
        let output = self.machines.output(&self.spec.machine, &wanted).await?;
        let new = output.filter(|line| {
            let is_new = line.as_ref().map_or(true, |line| line.time() > sent.as_bytes());
            std::future::ready(is_new)
        });
        let mut batches = pin!(new.ready_chunks(BATCH_LINES));
        let mut connection = None;
        while let Some(batch) = next(&mut batches, &mut connection).await {
            let lines = batch.into_iter().collect::<Result<Vec<_>, _>>().context("the node can't read it")?;
            self.send(to, &mut connection, &lines).await?;
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
