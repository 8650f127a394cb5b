// SPDX-License-Identifier: Apache-2.0
//! Sends reports until the chain knows what they say. One report a slot waits: a newer one replaces
//! it.

use super::{Chain, ChainLimits, Report, Snapshot, Submitted, Topic};
use crate::{backoff::Backoff, clock::unix_ms, engine::Reports, metrics::Metrics, store::Store};
use anyhow::Result;
use rand::Rng;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tfgrid_primitives::{NodeId, UsageItem, report::DetailsPayload};
use tokio::{
    sync::watch,
    time::{sleep_until, timeout},
};
use tracing::{debug, info};

const SEQUENCE_FILE: &str = "sequence.json";
/// The longest that handing over one report may take.
const SUBMITTING: Duration = Duration::from_secs(30);
/// How long a report may take from the pool to a finalized block before it is sent again.
const EFFECT: Duration = Duration::from_secs(15);
/// How long an answer may take before the chain is told that it is on its way.
const FIRST_PROGRESS: Duration = Duration::from_secs(15);
/// Between two reports of progress: the chain takes one a minute, and its blocks come unevenly.
const PROGRESS: Duration = Duration::from_secs(65);
/// The longest wait while nothing is due.
const IDLE: Duration = Duration::from_secs(3600);
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(2), most: Duration::from_secs(60) };

/// What the outbox listens to.
pub struct OutboxInputs {
    /// What the engine wants reported.
    pub reports: watch::Receiver<Reports>,
    /// What the machine is, where the chain doesn't know it yet.
    pub details: watch::Receiver<Option<DetailsPayload>>,
    /// The latest usage report, empty where there is none.
    pub usage: watch::Receiver<Vec<UsageItem>>,
    /// For the chain's intervals.
    pub snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
}

/// What a report is about. The order is the order of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Heartbeat,
    Engine(Topic),
    Details,
    Usage,
}

impl Slot {
    /// How long after it was wanted a report is first sent.
    fn patience(self) -> Duration {
        match self {
            Self::Engine(Topic::Progress(_)) => FIRST_PROGRESS,
            _ => Duration::ZERO,
        }
    }

    /// What follows on a report that the chain didn't refuse.
    fn after(self, submitted: Submitted) -> After {
        match (self, submitted) {
            // The next one is soon to come anyway.
            (Self::Heartbeat | Self::Usage, _) => After::Nothing,
            (Self::Engine(Topic::Progress(_)), _) => After::Again(PROGRESS),
            // In the pool it may still get lost.
            (_, Submitted::Taken) => After::Again(EFFECT),
            (_, Submitted::Known) => After::Kept,
        }
    }
}

/// What follows on a report that was sent.
enum After {
    /// It is done with.
    Nothing,
    /// It is sent again, unless it isn't wanted any more by then.
    Again(Duration),
    /// It isn't sent again for as long as it says the same.
    Kept,
}

/// The reports that wait.
#[derive(Debug, Default)]
struct Queue {
    slots: BTreeMap<Slot, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    report: Report,
    failures: u32,
    /// `None` once the chain knows what the report says.
    due: Option<Instant>,
}

impl Queue {
    /// Replaces what waits in the slot, unless it is the same.
    fn put(&mut self, slot: Slot, report: Report, now: Instant) {
        match self.slots.get(&slot) {
            Some(waiting) if waiting.report == report => {}
            _ => {
                let due = Some(now + slot.patience());
                self.slots.insert(slot, Waiting { report, failures: 0, due });
            }
        }
    }

    /// Makes what the engine reports exactly this.
    fn want(&mut self, reports: &Reports, now: Instant) {
        self.slots.retain(|slot, _| match slot {
            Slot::Engine(topic) => reports.contains_key(topic),
            _ => true,
        });
        for (topic, report) in reports {
            self.put(Slot::Engine(*topic), report.clone(), now);
        }
    }

    /// Makes the report of the machine's details this one, or none.
    fn want_details(&mut self, details: Option<DetailsPayload>, now: Instant) {
        match details {
            Some(details) => self.put(Slot::Details, Report::Details(details), now),
            None => drop(self.slots.remove(&Slot::Details)),
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.slots.values().filter_map(|waiting| waiting.due).min()
    }

    fn due(&self, now: Instant) -> Option<(Slot, Report)> {
        let (slot, waiting) =
            self.slots.iter().find(|(_, waiting)| waiting.due.is_some_and(|due| due <= now))?;
        Some((*slot, waiting.report.clone()))
    }

    fn submitted(&mut self, slot: Slot, submitted: Submitted, now: Instant) {
        let due = match slot.after(submitted) {
            After::Nothing => return drop(self.slots.remove(&slot)),
            After::Again(wait) => Some(now + wait),
            After::Kept => None,
        };
        if let Some(waiting) = self.slots.get_mut(&slot) {
            waiting.failures = 0;
            waiting.due = due;
        }
    }

    /// How many reports wait.
    fn len(&self) -> usize {
        self.slots.values().filter(|waiting| waiting.due.is_some()).count()
    }

    /// Returns the wait before the next try.
    fn failed(&mut self, slot: Slot, now: Instant) -> Duration {
        let Some(waiting) = self.slots.get_mut(&slot) else { return Duration::ZERO };
        waiting.failures = waiting.failures.saturating_add(1);
        let delay = BACKOFF.delay(waiting.failures);
        waiting.due = Some(now + delay);
        delay
    }
}

/// Numbers that only rise, whatever the machine's clock does.
#[derive(Debug)]
struct Sequence {
    store: Store,
    last: u64,
}

impl Sequence {
    fn load(store: Store) -> Result<Self> {
        let last = store.read_or_default(SEQUENCE_FILE)?;
        Ok(Self { store, last })
    }

    fn next(&mut self, now_ms: u64) -> Result<u64> {
        let next = now_ms.max(self.last.saturating_add(1));
        self.store.write(SEQUENCE_FILE, &next)?;
        self.last = next;
        Ok(next)
    }
}

/// Sends one node's reports.
pub struct Outbox {
    chain: Arc<dyn Chain>,
    node: NodeId,
    boot_nonce: u64,
    sequence: Sequence,
    queue: Queue,
    inputs: OutboxInputs,
    metrics: Metrics,
    next_heartbeat: Instant,
}

impl Outbox {
    /// Ready to run, with a new boot nonce.
    ///
    /// # Errors
    /// Where the note of the last sequence number is damaged or can't be written.
    pub fn new(
        chain: Arc<dyn Chain>,
        node: NodeId,
        store: Store,
        inputs: OutboxInputs,
        metrics: Metrics,
    ) -> Result<Self> {
        Ok(Self {
            chain,
            node,
            boot_nonce: rand::rng().random(),
            sequence: Sequence::load(store)?,
            queue: Queue::default(),
            inputs,
            metrics,
            next_heartbeat: Instant::now(),
        })
    }

    /// Sends until the engine is gone.
    pub async fn run(mut self) {
        loop {
            self.fill();
            self.send_due().await;
            self.metrics.outbox.set(self.queue.len() as u64);
            let wake = self.wake_at();
            let OutboxInputs { reports, details, usage, snapshots } = &mut self.inputs;
            let (alive, used) = tokio::select! {
                changed = reports.changed() => (changed.is_ok(), false),
                changed = details.changed() => (changed.is_ok(), false),
                changed = usage.changed() => (changed.is_ok(), true),
                changed = snapshots.changed(), if wake.is_none() => (changed.is_ok(), false),
                () = sleep_until(wake.unwrap_or_else(|| Instant::now() + IDLE).into()) => (true, false),
            };
            if !alive {
                return;
            }
            if used {
                self.take_usage();
            }
        }
    }

    /// When there is something to do again; `None` while the chain's intervals aren't known.
    fn wake_at(&self) -> Option<Instant> {
        self.limits()?;
        let due = self.queue.next_due();
        Some(due.map_or(self.next_heartbeat, |due| due.min(self.next_heartbeat)))
    }

    fn limits(&self) -> Option<ChainLimits> {
        self.inputs.snapshots.borrow().as_ref().map(|snapshot| snapshot.limits)
    }

    /// Puts everything that is wanted now into the queue.
    fn fill(&mut self) {
        let now = Instant::now();
        let reports = self.inputs.reports.borrow_and_update().clone();
        self.queue.want(&reports, now);
        let details = self.inputs.details.borrow_and_update().clone();
        self.queue.want_details(details, now);
        if let (Some(limits), true) = (self.limits(), self.next_heartbeat <= now) {
            let heartbeat = Report::Heartbeat { boot_nonce: self.boot_nonce };
            self.queue.put(Slot::Heartbeat, heartbeat, now);
            self.next_heartbeat =
                now + Duration::from_millis(until_heartbeat(self.node, limits.heartbeat_ms, unix_ms()));
        }
    }

    fn take_usage(&mut self) {
        let items = self.inputs.usage.borrow().clone();
        if !items.is_empty() {
            self.queue.put(Slot::Usage, Report::Usage(items), Instant::now());
        }
    }

    async fn send_due(&mut self) {
        // Without a snapshot there is no chain to send to.
        if self.limits().is_none() {
            return;
        }
        while let Some((slot, report)) = self.queue.due(Instant::now()) {
            let kind = report.kind();
            match self.send(&report).await {
                Ok(submitted) => {
                    debug!(kind, ?slot, ?submitted, "report sent");
                    self.metrics.report_sent(kind);
                    self.queue.submitted(slot, submitted, Instant::now());
                }
                Err(why) => {
                    let retry_in = self.queue.failed(slot, Instant::now());
                    info!(kind, ?slot, ?retry_in, "report not taken: {why}");
                }
            }
        }
    }

    async fn send(&mut self, report: &Report) -> Result<Submitted, String> {
        let sequence = self.sequence.next(unix_ms()).map_err(|error| format!("{error:#}"))?;
        match timeout(SUBMITTING, self.chain.submit(sequence, report)).await {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer in {} s", SUBMITTING.as_secs())),
        }
    }
}

/// Milliseconds to this node's next place in the interval: nodes spread over it evenly.
fn until_heartbeat(node: NodeId, interval_ms: u64, now_ms: u64) -> u64 {
    let interval = interval_ms.max(1);
    // Multiplying by an odd number close to 2³²/φ scatters consecutive ids.
    let place = (u64::from(node.wrapping_mul(2_654_435_769)) * interval) >> 32;
    interval - (now_ms + interval - place) % interval
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_primitives::{ContractId, FailureCode};

    fn answer(contract: ContractId) -> Topic {
        Topic::Answer(contract)
    }

    fn answer_slot(contract: ContractId) -> Slot {
        Slot::Engine(answer(contract))
    }

    fn deployed(contract: ContractId, version: u32) -> Report {
        Report::Deployed { contract, version, body_hash: [0; 32], result: vec![] }
    }

    fn failed(contract: ContractId) -> Report {
        Report::Failed {
            contract,
            version: 1,
            code: FailureCode::ImageNotFound,
            path: "/workloads/0/data/image".into(),
        }
    }

    #[test]
    fn a_newer_report_on_a_contract_replaces_the_older_and_is_due_at_once() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.want(&Reports::from([(answer(1), deployed(1, 1))]), now);
        queue.failed(answer_slot(1), now);
        assert_eq!(queue.due(now), None);
        queue.want(&Reports::from([(answer(1), deployed(1, 2))]), now);
        assert_eq!(queue.due(now), Some((answer_slot(1), deployed(1, 2))));
        queue.want(&Reports::from([(answer(1), failed(1))]), now);
        assert_eq!(queue.due(now), Some((answer_slot(1), failed(1))));
        assert_eq!(queue.slots.len(), 1);
    }

    #[test]
    fn a_report_that_was_taken_is_sent_again_until_the_chain_knows_it() {
        let now = Instant::now();
        let mut queue = Queue::default();
        let wanted = Reports::from([(answer(1), deployed(1, 1))]);
        queue.want(&wanted, now);
        queue.submitted(answer_slot(1), Submitted::Taken, now);
        queue.want(&wanted, now);
        assert_eq!(queue.due(now), None);
        assert_eq!(queue.next_due(), Some(now + EFFECT));
        assert!(queue.due(now + EFFECT).is_some());

        queue.submitted(answer_slot(1), Submitted::Known, now);
        queue.want(&wanted, now);
        assert_eq!((queue.next_due(), queue.len()), (None, 0));
        queue.want(&Reports::from([(answer(1), deployed(1, 2))]), now);
        assert!(queue.due(now).is_some());
    }

    #[test]
    fn a_report_that_nobody_wants_any_more_is_not_sent() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.want(&Reports::from([(answer(1), deployed(1, 1)), (answer(2), failed(2))]), now);
        queue.want(&Reports::from([(answer(2), failed(2))]), now);
        assert_eq!(queue.due(now), Some((answer_slot(2), failed(2))));
        assert_eq!(queue.slots.len(), 1);
    }

    #[test]
    fn a_heartbeat_that_was_taken_is_done_with_and_one_that_failed_waits_longer_each_time() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.put(Slot::Heartbeat, Report::Heartbeat { boot_nonce: 1 }, now);
        let first = queue.failed(Slot::Heartbeat, now);
        let third = (0..2).map(|_| queue.failed(Slot::Heartbeat, now)).last().unwrap();
        assert!(first < third, "{first:?} {third:?}");
        queue.submitted(Slot::Heartbeat, Submitted::Taken, now);
        assert_eq!(queue.next_due(), None);
    }

    #[test]
    fn progress_is_told_once_a_minute_while_an_answer_is_on_its_way() {
        let now = Instant::now();
        let slot = Slot::Engine(Topic::Progress(1));
        let report = Report::Progress { contract: 1, version: 2 };
        let wanted = Reports::from([(Topic::Progress(1), report.clone())]);
        let mut queue = Queue::default();
        queue.want(&wanted, now);
        assert_eq!(queue.due(now), None);
        assert_eq!(queue.due(now + FIRST_PROGRESS), Some((slot, report)));

        for submitted in [Submitted::Taken, Submitted::Known] {
            queue.submitted(slot, submitted, now);
            queue.want(&wanted, now);
            assert_eq!(queue.next_due(), Some(now + PROGRESS));
        }
        queue.want(&Reports::new(), now);
        assert_eq!(queue.next_due(), None);
    }

    #[test]
    fn the_machines_details_are_sent_until_the_chain_knows_them() {
        let now = Instant::now();
        let details = DetailsPayload { virtualized: true, ..DetailsPayload::default() };
        let mut queue = Queue::default();
        queue.want_details(Some(details.clone()), now);
        assert_eq!(queue.due(now), Some((Slot::Details, Report::Details(details.clone()))));
        queue.submitted(Slot::Details, Submitted::Taken, now);
        queue.want_details(Some(details.clone()), now);
        assert_eq!(queue.next_due(), Some(now + EFFECT));
        queue.submitted(Slot::Details, Submitted::Known, now);
        assert_eq!(queue.next_due(), None);

        queue.want_details(Some(DetailsPayload::default()), now);
        assert_eq!(queue.next_due(), Some(now));
        queue.want_details(None, now);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn the_heartbeat_is_sent_before_everything_else() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.put(Slot::Usage, Report::Usage(vec![]), now);
        queue.want(&Reports::from([(answer(1), deployed(1, 1))]), now);
        queue.put(Slot::Heartbeat, Report::Heartbeat { boot_nonce: 1 }, now);
        assert_eq!(queue.due(now).map(|(slot, _)| slot), Some(Slot::Heartbeat));
    }

    #[test]
    fn sequence_numbers_rise_when_the_clock_falls_and_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut sequence = Sequence::load(store.clone()).unwrap();
        assert_eq!(sequence.next(1_000).unwrap(), 1_000);
        assert_eq!(sequence.next(1_000).unwrap(), 1_001);
        assert_eq!(sequence.next(10).unwrap(), 1_002);
        let mut sequence = Sequence::load(store).unwrap();
        assert_eq!(sequence.next(10).unwrap(), 1_003);
        assert_eq!(sequence.next(5_000).unwrap(), 5_000);
    }

    #[test]
    fn nodes_spread_over_the_heartbeat_interval() {
        let interval = 600_000;
        let mut places: Vec<u64> = (1..=100).map(|node| until_heartbeat(node, interval, 0)).collect();
        places.sort_unstable();
        assert!(places.iter().all(|place| (1..=interval).contains(place)));
        let widest = places.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(widest < interval / 20, "a gap of {widest} ms");
    }

    #[test]
    fn heartbeats_are_one_interval_apart() {
        for node in [1, 7, 4_000_000_000] {
            let now = 1_700_000_000_123;
            let first = now + until_heartbeat(node, 600_000, now);
            assert_eq!(until_heartbeat(node, 600_000, first), 600_000);
        }
    }
}
