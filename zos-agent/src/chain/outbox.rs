// SPDX-License-Identifier: Apache-2.0
//! Sends reports until the chain has their information. Each slot holds one report; a newer one replaces it.

use super::{Chain, ChainError, ChainLimits, Head, Report, Reports, Snapshot, Submitted, Topic};
use crate::{backoff::Backoff, clock::unix_ms, metrics::Metrics, store::Store};
use anyhow::{Context, Result};
use rand::Rng;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tfgrid_primitives::{
    NodeId, Refusal, UsageItem,
    report::{DetailsPayload, REPORT_LONGEVITY},
};
use tokio::{
    sync::watch,
    time::{sleep_until, timeout},
};
use tracing::{debug, error, info, warn};

const SEQUENCE_FILE: &str = "sequence.json";
/// Limit for submitting one report.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(30);
/// Time from the pool to a finalized block after which a report is sent again.
const RESEND_AFTER: Duration = Duration::from_secs(15);
/// Age of a deployment at which its progress is first reported.
const FIRST_PROGRESS: Duration = Duration::from_secs(15);
/// Progress is reported after one part in so many of the time to answer. The chain takes it once half of that has
/// passed: before the time is over, a report has two tries at least.
const PROGRESS_PARTS: u64 = 6;
/// Finalized blocks after which a report that is in none of them was lost: it may wait for [`REPORT_LONGEVITY`], from
/// the best block on, which is some ahead.
const LOST_AFTER: u32 = REPORT_LONGEVITY as u32 + 8;
/// Longest sleep while nothing is due.
const IDLE: Duration = Duration::from_secs(3600);
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(2), most: Duration::from_secs(60) };

/// Sources of reports.
pub struct OutboxInputs {
    /// Reports of the engine.
    pub reports: watch::Receiver<Reports>,
    /// Whether workloads can be run. Heartbeats are sent only then.
    pub engine_up: watch::Receiver<bool>,
    /// Whether the node is to sleep. No heartbeats are sent then: they would wake it.
    pub falls_asleep: watch::Receiver<bool>,
    /// Hardware details that the chain doesn't have yet.
    pub details: watch::Receiver<Option<DetailsPayload>>,
    /// The latest usage report, empty if there is none.
    pub usage: watch::Receiver<Vec<UsageItem>>,
    /// The chain's reporting intervals.
    pub snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
}

/// Subject of a report. Due reports are sent in the order of the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Heartbeat,
    Engine(Topic),
    Power,
    Details,
    Usage,
}

impl Slot {
    /// Delay before a report is first sent.
    fn first_delay(self) -> Duration {
        match self {
            Self::Engine(Topic::Progress(_)) => FIRST_PROGRESS,
            _ => Duration::ZERO,
        }
    }

    /// What to do with a report that the chain didn't refuse.
    fn next(self, submitted: Submitted, limits: ChainLimits) -> Next {
        match (self, submitted) {
            // If it gets lost, the next one follows soon.
            (Self::Heartbeat | Self::Usage, _) => Next::Drop,
            (Self::Engine(Topic::Progress(_)), _) => {
                Next::SendAfter(Duration::from_millis(limits.answer_ms / PROGRESS_PARTS))
            }
            // The pool may still drop it.
            (_, Submitted::InPool) => Next::Confirm,
            (_, Submitted::AlreadyKnown) => Next::Keep,
        }
    }
}

/// What to do with a report that was sent.
enum Next {
    /// Remove it from its slot.
    Drop,
    /// Send it again, unless it was replaced or withdrawn by then.
    SendAfter(Duration),
    /// Send it again until the chain knows it.
    Confirm,
    /// Keep it in its slot, so that the same report isn't sent again.
    Keep,
}

/// Reports that wait to be sent or to take effect.
#[derive(Debug, Default)]
struct Queue {
    slots: BTreeMap<Slot, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    report: Report,
    failures: u32,
    /// `None` once the chain has the information.
    due: Option<Instant>,
    /// Finalized block since which it awaits its confirmation.
    since: Option<u32>,
}

impl Queue {
    /// Replaces the report in the slot, unless it is the same.
    fn put(&mut self, slot: Slot, report: Report, now: Instant) {
        match self.slots.get(&slot) {
            Some(waiting) if waiting.report == report => {}
            _ => {
                let due = Some(now + slot.first_delay());
                self.slots.insert(slot, Waiting { report, failures: 0, due, since: None });
            }
        }
    }

    /// Replaces all reports of the engine.
    fn set_engine_reports(&mut self, reports: &Reports, now: Instant) {
        self.slots.retain(|slot, _| match slot {
            Slot::Engine(topic) => reports.contains_key(topic),
            _ => true,
        });
        for (topic, report) in reports {
            self.put(Slot::Engine(*topic), report.clone(), now);
        }
    }

    /// Replaces the report of the machine's details.
    fn set_details(&mut self, details: Option<DetailsPayload>, now: Instant) {
        match details {
            Some(details) => self.put(Slot::Details, Report::Details(details), now),
            None => self.remove(Slot::Details),
        }
    }

    fn remove(&mut self, slot: Slot) {
        self.slots.remove(&slot);
    }

    fn next_due(&self) -> Option<Instant> {
        self.slots.values().filter_map(|waiting| waiting.due).min()
    }

    fn due(&self, now: Instant) -> Option<(Slot, Report)> {
        let (slot, waiting) =
            self.slots.iter().find(|(_, waiting)| waiting.due.is_some_and(|due| due <= now))?;
        Some((*slot, waiting.report.clone()))
    }

    /// Records that the report was sent at this finalized block; returns whether the chain should have it by now.
    fn submitted(
        &mut self,
        slot: Slot,
        submitted: Submitted,
        limits: ChainLimits,
        now: Instant,
        block: u32,
    ) -> bool {
        let Some(waiting) = self.slots.get_mut(&slot) else { return false };
        let (due, since) = match slot.next(submitted, limits) {
            Next::Drop => {
                self.remove(slot);
                return false;
            }
            Next::SendAfter(delay) => (Some(now + delay), None),
            Next::Confirm => (Some(now + RESEND_AFTER), waiting.since.or(Some(block))),
            Next::Keep => (None, None),
        };
        (waiting.failures, waiting.due, waiting.since) = (0, due, since);
        since.is_some_and(|since| is_lost(since, block))
    }

    /// What is sent from now on goes another way.
    fn count_anew(&mut self) {
        self.slots.values_mut().for_each(|waiting| waiting.since = None);
    }

    /// Number of reports that are yet to be sent or to take effect.
    fn len(&self) -> usize {
        self.slots.values().filter(|waiting| waiting.due.is_some()).count()
    }

    /// Returns the delay before the next try.
    fn failed(&mut self, slot: Slot, now: Instant) -> Duration {
        let Some(waiting) = self.slots.get_mut(&slot) else { return Duration::ZERO };
        waiting.failures = waiting.failures.saturating_add(1);
        let delay = BACKOFF.delay(waiting.failures);
        waiting.due = Some(now + delay);
        delay
    }
}

/// Sequence numbers: the machine's clock in milliseconds, but always higher than the last.
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
    /// Sequence number of a heartbeat that the chain has yet to show, and the finalized block at which it was sent.
    awaited_heartbeat: Option<(u64, u32)>,
    /// The node was removed from the chain: nothing is sent any more.
    is_removed: bool,
}

impl Outbox {
    /// Draws a new boot nonce.
    ///
    /// # Errors
    /// If the file with the last sequence number is damaged or can't be written.
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
            awaited_heartbeat: None,
            is_removed: false,
        })
    }

    /// Sends reports until their sources end.
    pub async fn run(mut self) {
        loop {
            self.check_heartbeat().await;
            self.fill();
            self.send_due().await;
            self.metrics.outbox.set(self.queue.len() as i64);
            let wake = self.wake_at();
            let OutboxInputs { reports, engine_up, falls_asleep, details, usage, snapshots } =
                &mut self.inputs;
            let (is_open, has_usage) = tokio::select! {
                changed = reports.changed() => (changed.is_ok(), false),
                changed = engine_up.changed() => (changed.is_ok(), false),
                changed = falls_asleep.changed() => (changed.is_ok(), false),
                changed = details.changed() => (changed.is_ok(), false),
                changed = usage.changed() => (changed.is_ok(), true),
                changed = snapshots.changed(), if wake.is_none() => (changed.is_ok(), false),
                () = sleep_until(wake.unwrap_or_else(|| Instant::now() + IDLE).into()) => (true, false),
            };
            if !is_open {
                return;
            }
            if has_usage {
                self.take_usage();
            }
        }
    }

    /// When there is something to send next; `None` while the chain's intervals aren't known.
    fn wake_at(&self) -> Option<Instant> {
        self.limits()?;
        let idle = Instant::now() + IDLE;
        if self.is_removed {
            return Some(idle);
        }
        let heartbeat = if self.is_alive() { self.next_heartbeat } else { idle };
        Some(self.queue.next_due().map_or(heartbeat, |due| due.min(heartbeat)))
    }

    fn is_alive(&self) -> bool {
        *self.inputs.engine_up.borrow() && !*self.inputs.falls_asleep.borrow()
    }

    fn limits(&self) -> Option<ChainLimits> {
        self.inputs.snapshots.borrow().as_ref().map(|snapshot| snapshot.limits)
    }

    fn head(&self) -> Option<Head> {
        self.inputs.snapshots.borrow().as_ref().map(|snapshot| snapshot.head)
    }

    /// Leaves an endpoint through which a heartbeat didn't reach the chain. The next one is sent at once.
    async fn check_heartbeat(&mut self) {
        let (Some((sequence, since)), Some(head)) = (self.awaited_heartbeat, self.head()) else { return };
        if !is_lost(since, head.number) {
            return;
        }
        self.awaited_heartbeat = None;
        let last = timeout(SUBMIT_TIMEOUT, self.chain.last_heartbeat(&head)).await;
        if matches!(last, Ok(Ok(Some(last))) if last < sequence) {
            self.leave_endpoint("heartbeat").await;
            self.next_heartbeat = Instant::now();
        }
    }

    async fn leave_endpoint(&mut self, kind: &str) {
        warn!(kind, "a report reached no block in {LOST_AFTER} blocks: leaving the chain's endpoint");
        self.awaited_heartbeat = None;
        self.queue.count_anew();
        self.chain.leave_endpoint().await;
    }

    /// Puts the present reports into the queue. A node that can't run workloads sends no heartbeat, so that
    /// the chain counts it as offline and its contracts cost nothing.
    fn fill(&mut self) {
        let now = Instant::now();
        let reports = self.inputs.reports.borrow_and_update().clone();
        self.queue.set_engine_reports(&reports, now);
        let details = self.inputs.details.borrow_and_update().clone();
        self.queue.set_details(details, now);
        if *self.inputs.falls_asleep.borrow_and_update() {
            self.queue.put(Slot::Power, Report::Sleep, now);
        } else {
            self.queue.remove(Slot::Power);
        }
        self.inputs.engine_up.mark_unchanged();
        if !self.is_alive() {
            self.queue.remove(Slot::Heartbeat);
        } else if let Some(limits) = self.limits().filter(|_| self.next_heartbeat <= now) {
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
        // Without a snapshot the chain was never reached.
        let (Some(limits), Some(head)) = (self.limits(), self.head()) else { return };
        while let Some((slot, report)) = self.queue.due(Instant::now()).filter(|_| !self.is_removed) {
            let kind = report.kind();
            match self.send(&report).await {
                Ok(submitted) => {
                    debug!(kind, ?slot, ?submitted, "report sent");
                    self.metrics.report_sent(kind);
                    if (slot, submitted) == (Slot::Heartbeat, Submitted::InPool) {
                        self.awaited_heartbeat.get_or_insert((self.sequence.last, head.number));
                    }
                    if self.queue.submitted(slot, submitted, limits, Instant::now(), head.number) {
                        self.leave_endpoint(kind).await;
                    }
                }
                Err(why) if is_unknown_node(&why) && self.has_been_removed().await => {
                    error!(
                        node = self.node,
                        "this node was removed from its farm: no more reports are sent. To join a farm again, \
                         start zos-agent with a new ticket; to clear this machine, stop it and run \
                         `zos-agent purge --yes`"
                    );
                    self.is_removed = true;
                }
                Err(why) => {
                    let retry_in = self.queue.failed(slot, Instant::now());
                    info!(kind, ?slot, ?retry_in, "report not accepted: {why:#}");
                }
            }
        }
    }

    async fn send(&mut self, report: &Report) -> Result<Submitted> {
        let sequence = self.sequence.next(unix_ms())?;
        let submitted = timeout(SUBMIT_TIMEOUT, self.chain.submit(sequence, report)).await;
        Ok(submitted.with_context(|| format!("no answer within {SUBMIT_TIMEOUT:?}"))??)
    }

    /// Whether a finalized head shows that the node was removed. An endpoint that is behind proves nothing.
    async fn has_been_removed(&self) -> bool {
        let Some(snapshot) = self.inputs.snapshots.borrow().clone() else { return false };
        if snapshot.may_destroy(unix_ms()).is_err() {
            return false;
        }
        let registered = timeout(SUBMIT_TIMEOUT, self.chain.is_registered(&snapshot.head)).await;
        matches!(registered, Ok(Ok(false)))
    }
}

fn is_unknown_node(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(ChainError::Refused(Refusal::NodeUnknown)))
}

/// Whether a report that was sent at the one finalized block should be in one by the other.
fn is_lost(sent: u32, now: u32) -> bool {
    now.saturating_sub(sent) >= LOST_AFTER
}

/// Milliseconds to this node's next place in the interval. Places are spread evenly by node id.
fn until_heartbeat(node: NodeId, interval_ms: u64, now_ms: u64) -> u64 {
    let interval = interval_ms.max(1);
    // Multiplying by an odd number close to 2³²/φ scatters consecutive ids.
    let place = (u64::from(node.wrapping_mul(2_654_435_769)) * interval) >> 32;
    interval - (now_ms + interval - place) % interval
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{HeadAge, fake::FakeChain};
    use prometheus::Registry;
    use tempfile::TempDir;
    use tfgrid_client::deployment::Rejection;
    use tfgrid_primitives::{ContractId, FailureCode};

    const LIMITS: ChainLimits = ChainLimits { heartbeat_ms: 60_000, usage_ms: 60_000, answer_ms: 300_000 };

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
        let rejection =
            Rejection::new(FailureCode::ImageNotFound, "/workloads/0/data/image", "no such image");
        Report::Failed { contract, failure: rejection.failure(1) }
    }

    /// An outbox of a node on this chain, after a snapshot at a fresh head. The folder and channels must
    /// outlive it.
    fn outbox(chain: &FakeChain, age: HeadAge) -> (Outbox, TempDir, watch::Sender<bool>) {
        let folder = tempfile::tempdir().unwrap();
        let head = Head { number: 1, hash: [1; 32], timestamp_ms: unix_ms() };
        let snapshot = Snapshot {
            head,
            age,
            contracts: BTreeMap::new(),
            limits: chain.limits,
            grants: Default::default(),
        };
        let (engine_up, engine_up_rx) = watch::channel(true);
        let inputs = OutboxInputs {
            reports: watch::channel(Reports::new()).1,
            engine_up: engine_up_rx,
            falls_asleep: watch::channel(false).1,
            details: watch::channel(None).1,
            usage: watch::channel(Vec::new()).1,
            snapshots: watch::channel(Some(Arc::new(snapshot))).1,
        };
        let store = Store::open(folder.path()).unwrap();
        let metrics = Metrics::new(&Registry::new()).unwrap();
        let outbox = Outbox::new(Arc::new(chain.clone()), 1, store, inputs, metrics).unwrap();
        (outbox, folder, engine_up)
    }

    async fn send(outbox: &mut Outbox) {
        outbox.fill();
        outbox.send_due().await;
    }

    #[tokio::test]
    async fn a_node_that_falls_asleep_says_so_and_nothing_wakes_it() {
        let chain = FakeChain::new();
        let (mut outbox, _folder, _engine_up) = outbox(&chain, HeadAge::New);
        let (falls_asleep, told) = watch::channel(true);
        outbox.inputs.falls_asleep = told;
        send(&mut outbox).await;
        assert_eq!((chain.reports("heartbeat").len(), chain.reports("power").len()), (0, 1));
        falls_asleep.send_replace(false);
        send(&mut outbox).await;
        assert_eq!((chain.reports("heartbeat").len(), chain.reports("power").len()), (1, 1));
        assert!(!outbox.queue.slots.contains_key(&Slot::Power));
    }

    #[tokio::test]
    async fn a_removed_node_sends_nothing_more() {
        let chain = FakeChain::new();
        let (mut outbox, _folder, _engine_up) = outbox(&chain, HeadAge::New);
        chain.remove_node();
        send(&mut outbox).await;
        assert!(outbox.is_removed);
        assert!(outbox.wake_at().unwrap() > Instant::now() + IDLE / 2);
    }

    #[tokio::test]
    async fn an_endpoint_that_is_behind_proves_no_removal() {
        let chain = FakeChain::new();
        let (mut new_head, _folder, _engine_up) = outbox(&chain, HeadAge::New);
        chain.forget_node(true);
        send(&mut new_head).await;
        assert!(!new_head.is_removed);

        let (mut old_head, _folder, _engine_up) = outbox(&chain, HeadAge::Same);
        chain.remove_node();
        send(&mut old_head).await;
        assert!(!old_head.is_removed);
    }

    #[tokio::test]
    async fn heartbeats_are_sent_only_while_the_engine_is_up() {
        let chain = FakeChain::new();
        let (mut outbox, _folder, engine_up) = outbox(&chain, HeadAge::New);
        engine_up.send_replace(false);
        send(&mut outbox).await;
        assert_eq!(chain.reports("heartbeat"), []);
        engine_up.send_replace(true);
        send(&mut outbox).await;
        assert_eq!(chain.reports("heartbeat").len(), 1);
    }

    #[test]
    fn a_newer_report_replaces_the_older_and_is_due_at_once() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.set_engine_reports(&Reports::from([(answer(1), deployed(1, 1))]), now);
        queue.failed(answer_slot(1), now);
        assert_eq!(queue.due(now), None);
        queue.set_engine_reports(&Reports::from([(answer(1), deployed(1, 2))]), now);
        assert_eq!(queue.due(now), Some((answer_slot(1), deployed(1, 2))));
        queue.set_engine_reports(&Reports::from([(answer(1), failed(1))]), now);
        assert_eq!(queue.due(now), Some((answer_slot(1), failed(1))));
        assert_eq!(queue.slots.len(), 1);
    }

    #[test]
    fn an_accepted_report_is_sent_again_until_it_takes_effect() {
        let now = Instant::now();
        let mut queue = Queue::default();
        let wanted = Reports::from([(answer(1), deployed(1, 1))]);
        queue.set_engine_reports(&wanted, now);
        queue.submitted(answer_slot(1), Submitted::InPool, LIMITS, now, 1);
        queue.set_engine_reports(&wanted, now);
        assert_eq!(queue.due(now), None);
        assert_eq!(queue.next_due(), Some(now + RESEND_AFTER));
        assert!(queue.due(now + RESEND_AFTER).is_some());

        queue.submitted(answer_slot(1), Submitted::AlreadyKnown, LIMITS, now, 1);
        queue.set_engine_reports(&wanted, now);
        assert_eq!((queue.next_due(), queue.len()), (None, 0));
        queue.set_engine_reports(&Reports::from([(answer(1), deployed(1, 2))]), now);
        assert!(queue.due(now).is_some());
    }

    #[test]
    fn a_report_that_reaches_no_block_is_lost() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.set_engine_reports(&Reports::from([(answer(1), deployed(1, 1))]), now);
        let mut is_lost = |submitted, block| queue.submitted(answer_slot(1), submitted, LIMITS, now, block);
        assert!(!is_lost(Submitted::InPool, 1) && !is_lost(Submitted::InPool, LOST_AFTER));
        assert!(!is_lost(Submitted::AlreadyKnown, LOST_AFTER + 1));
        assert!(
            !is_lost(Submitted::InPool, LOST_AFTER + 1) && is_lost(Submitted::InPool, 2 * LOST_AFTER + 1)
        );
        queue.count_anew();
        assert!(!queue.submitted(answer_slot(1), Submitted::InPool, LIMITS, now, 2 * LOST_AFTER + 2));
    }

    #[tokio::test]
    async fn an_endpoint_that_loses_reports_is_left() {
        let chain = FakeChain::new();
        let (mut outbox, _folder, _engine_up) = outbox(&chain, HeadAge::New);
        let snapshot = outbox.inputs.snapshots.borrow().clone().unwrap();
        let reach = async |outbox: &mut Outbox, number| {
            let head = Head { number, ..snapshot.head };
            outbox.inputs.snapshots =
                watch::channel(Some(Arc::new(Snapshot { head, ..(*snapshot).clone() }))).1;
            outbox.check_heartbeat().await;
            send(outbox).await;
        };
        chain.lose_reports(true);
        reach(&mut outbox, 1).await;
        reach(&mut outbox, LOST_AFTER).await;
        assert_eq!(chain.left(), 0);
        chain.lose_reports(false);
        reach(&mut outbox, LOST_AFTER + 1).await;
        assert_eq!((chain.left(), chain.reports("heartbeat").len()), (1, 1));
        reach(&mut outbox, 2 * LOST_AFTER + 1).await;
        assert_eq!(chain.left(), 1);
    }

    #[test]
    fn a_withdrawn_report_is_not_sent() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.set_engine_reports(&Reports::from([(answer(1), deployed(1, 1)), (answer(2), failed(2))]), now);
        queue.set_engine_reports(&Reports::from([(answer(2), failed(2))]), now);
        assert_eq!(queue.due(now), Some((answer_slot(2), failed(2))));
        assert_eq!(queue.slots.len(), 1);
    }

    #[test]
    fn an_accepted_heartbeat_is_dropped_a_failed_one_backs_off() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.put(Slot::Heartbeat, Report::Heartbeat { boot_nonce: 1 }, now);
        let first = queue.failed(Slot::Heartbeat, now);
        let third = (0..2).map(|_| queue.failed(Slot::Heartbeat, now)).last().unwrap();
        assert!(first < third, "{first:?} {third:?}");
        queue.submitted(Slot::Heartbeat, Submitted::InPool, LIMITS, now, 1);
        assert_eq!(queue.next_due(), None);
    }

    #[test]
    fn progress_is_sent_in_time_until_the_answer() {
        let now = Instant::now();
        let slot = Slot::Engine(Topic::Progress(1));
        let report = Report::Progress { contract: 1, version: 2 };
        let wanted = Reports::from([(Topic::Progress(1), report.clone())]);
        let mut queue = Queue::default();
        queue.set_engine_reports(&wanted, now);
        assert_eq!(queue.due(now), None);
        assert_eq!(queue.due(now + FIRST_PROGRESS), Some((slot, report)));

        for submitted in [Submitted::InPool, Submitted::AlreadyKnown] {
            queue.submitted(slot, submitted, LIMITS, now, 1);
            queue.set_engine_reports(&wanted, now);
            assert_eq!(queue.next_due(), Some(now + Duration::from_secs(50)));
        }
        queue.set_engine_reports(&Reports::new(), now);
        assert_eq!(queue.next_due(), None);
    }

    #[test]
    fn details_are_sent_until_the_chain_has_them() {
        let now = Instant::now();
        let details = DetailsPayload { virtualized: true, ..DetailsPayload::default() };
        let mut queue = Queue::default();
        queue.set_details(Some(details.clone()), now);
        assert_eq!(queue.due(now), Some((Slot::Details, Report::Details(details.clone()))));
        queue.submitted(Slot::Details, Submitted::InPool, LIMITS, now, 1);
        queue.set_details(Some(details.clone()), now);
        assert_eq!(queue.next_due(), Some(now + RESEND_AFTER));
        queue.submitted(Slot::Details, Submitted::AlreadyKnown, LIMITS, now, 1);
        assert_eq!(queue.next_due(), None);

        queue.set_details(Some(DetailsPayload::default()), now);
        assert_eq!(queue.next_due(), Some(now));
        queue.set_details(None, now);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn heartbeats_go_before_all_other_reports() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.put(Slot::Usage, Report::Usage(vec![]), now);
        queue.set_engine_reports(&Reports::from([(answer(1), deployed(1, 1))]), now);
        queue.put(Slot::Heartbeat, Report::Heartbeat { boot_nonce: 1 }, now);
        assert_eq!(queue.due(now).map(|(slot, _)| slot), Some(Slot::Heartbeat));
    }

    #[test]
    fn sequence_numbers_rise_over_clock_changes_and_restarts() {
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
