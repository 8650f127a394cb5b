// SPDX-License-Identifier: Apache-2.0
//! What has happened to contracts, for their owners: the differences between two passes of the engine.

use super::streams::SHOWN_BYTES;
use crate::{
    clock::unix_ms,
    drivers::{Condition, MachineState, ObservedMachine, WorkloadId},
    engine::{
        Standing, Standings,
        observed::{Observed, ObservedContract},
    },
    logs::LogTroubles,
    store::Store,
};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    mem::{self, discriminant},
    sync::Arc,
    time::Duration,
};
use tfgrid_client::{causes::shortened, peer::protocol::Event};
use tfgrid_primitives::ContractId;
use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
    time::{Instant, sleep_until},
};
use tracing::error;

/// Events that are kept of a contract.
const KEPT: usize = 100;
/// Those of them that are kept over restarts of the agent.
const STORED: usize = 20;
const FILE: &str = "events.json";
/// How soon they are stored.
const STORE_AFTER: Duration = Duration::from_secs(5);

/// The last events of each contract, with the number of those before.
#[derive(Clone, Debug, Default)]
pub struct EventLog(BTreeMap<ContractId, Events>);

#[derive(Clone, Debug, Default)]
struct Events {
    dropped: usize,
    kept: VecDeque<Kept>,
}

#[derive(Clone, Debug)]
struct Kept {
    event: Event,
    /// Whether it may have words of a machine that are its owner's alone: it isn't stored.
    is_private: bool,
}

/// What is kept of a contract over restarts of the agent.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Stored {
    events: Vec<Event>,
    /// Last version that was told to run.
    ready: Option<u32>,
}

impl EventLog {
    /// The events of a contract from number `from` on, and the number of the next one.
    pub fn since(&self, contract: ContractId, from: usize) -> (Vec<Event>, usize) {
        let Some(events) = self.0.get(&contract) else { return (Vec::new(), from) };
        let new = events.kept.iter().skip(from.saturating_sub(events.dropped));
        let new = new.map(|kept| kept.event.clone()).collect();
        (new, events.dropped.saturating_add(events.kept.len()))
    }

    fn add(&mut self, contract: ContractId, event: Event, is_private: bool) {
        let events = self.0.entry(contract).or_default();
        events.kept.push_back(Kept { event, is_private });
        if events.kept.len() > KEPT {
            events.kept.pop_front();
            events.dropped = events.dropped.saturating_add(1);
        }
    }

    /// Takes up news, and forgets contracts that are gone. Says whether anything has changed.
    fn take(
        &mut self,
        news: Vec<News>,
        standings: &Standings,
        is_gone: impl Fn(&ContractId) -> bool,
    ) -> bool {
        let before = self.0.len();
        self.0.retain(|contract, _| !is_gone(contract));
        let is_changed = !news.is_empty() || self.0.len() != before;
        for (contract, workload, what) in news {
            if !is_gone(&contract) {
                let is_private = standings.get(&contract).is_none_or(|standing| standing.is_private);
                self.add(contract, Event { at_ms: unix_ms(), workload, what }, is_private);
            }
        }
        is_changed
    }

    /// What is to be stored, without contracts of which nothing is.
    fn to_store(&self, ready: &BTreeMap<ContractId, u32>) -> BTreeMap<ContractId, Stored> {
        let stored = |(contract, events): (&ContractId, &Events)| {
            let public = events.kept.iter().filter(|kept| !kept.is_private).rev().take(STORED);
            let mut events: Vec<_> = public.map(|kept| kept.event.clone()).collect();
            events.reverse();
            let ready = ready.get(contract).copied();
            (!events.is_empty()).then_some((*contract, Stored { events, ready }))
        };
        self.0.iter().filter_map(stored).collect()
    }
}

/// Records events.
pub struct Recorder {
    observed: watch::Receiver<Arc<Observed>>,
    standings: watch::Receiver<Arc<Standings>>,
    troubles: watch::Receiver<LogTroubles>,
    done: mpsc::Receiver<(WorkloadId, String)>,
    log: watch::Sender<EventLog>,
    store: Store,
    /// The last version of each contract that was told to run.
    ready: BTreeMap<ContractId, u32>,
}

impl Recorder {
    /// Takes up what was stored, and records to `log` once it runs.
    ///
    /// # Errors
    /// If the file is damaged or can't be written.
    pub fn load(
        observed: watch::Receiver<Arc<Observed>>,
        standings: watch::Receiver<Arc<Standings>>,
        troubles: watch::Receiver<LogTroubles>,
        done: mpsc::Receiver<(WorkloadId, String)>,
        log: watch::Sender<EventLog>,
        store: Store,
    ) -> Result<Self> {
        let stored: BTreeMap<ContractId, Stored> = store.read_or_default(FILE)?;
        let mut ready = BTreeMap::new();
        log.send_modify(|log| {
            for (contract, Stored { events, ready: of_contract }) in stored {
                ready.extend(of_contract.map(|version| (contract, version)));
                events.into_iter().for_each(|event| log.add(contract, event, false));
            }
        });
        Ok(Self { observed, standings, troubles, done, log, store, ready })
    }

    /// Records, for ever.
    pub async fn run(mut self) {
        let (mut observed, mut standings) = (Arc::<Observed>::default(), Arc::<Standings>::default());
        let mut troubles = LogTroubles::new();
        let mut has_observed = false;
        let mut store_at = None;
        loop {
            let (mut done, mut is_first) = (None, false);
            let is_over = tokio::select! {
                changed = self.observed.changed() => {
                    is_first = !mem::replace(&mut has_observed, true);
                    changed.is_err()
                }
                changed = self.standings.changed() => changed.is_err(),
                changed = self.troubles.changed() => changed.is_err(),
                told = self.done.recv() => { done = told; done.is_none() }
                () = sleep_until(store_at.unwrap_or_else(Instant::now)), if store_at.is_some() => {
                    store_at = None;
                    self.save().await;
                    continue;
                }
            };
            if is_over {
                return;
            }
            let done = done.map(|(WorkloadId { contract, name }, what)| (contract, Some(name), what));
            let mut news: Vec<News> = done.into_iter().collect();
            let now = if has_observed { self.observed.borrow_and_update().clone() } else { observed.clone() };
            let standings_now = self.standings.borrow_and_update().clone();
            if has_observed {
                let log = self.log.borrow();
                let troubles_now = self.troubles.borrow_and_update().clone();
                self.ready.retain(|contract, _| standings_now.contains_key(contract));
                let begun = changes(&observed, &now).into_iter();
                let begun = begun.chain(news_of(&standings, &standings_now, &mut self.ready));
                // What there is at the start has begun before, and is told already.
                news.extend(begun.filter(|(contract, ..)| !is_first || !log.0.contains_key(contract)));
                news.extend(news_of_logs(&troubles, &troubles_now));
                troubles = troubles_now;
            }
            let is_gone = |contract: &ContractId| {
                has_observed && !now.contains_key(contract) && !standings_now.contains_key(contract)
            };
            if self.log.send_if_modified(|log| log.take(news, &standings_now, is_gone)) {
                store_at = store_at.or_else(|| Some(Instant::now() + STORE_AFTER));
            }
            if has_observed {
                (observed, standings) = (now, standings_now);
            }
        }
    }

    /// Stores the last events. A lost write loses no more than them.
    async fn save(&self) {
        let (store, stored) = (self.store.clone(), self.log.borrow().to_store(&self.ready));
        let written = spawn_blocking(move || store.write(FILE, &stored)).await;
        if let Ok(Err(error)) = written {
            error!("{error:#}");
        }
    }
}

/// Contract, workload if it is about one, and what has happened.
type News = (ContractId, Option<String>, String);

/// What has happened to machines.
fn changes(before: &Observed, now: &Observed) -> Vec<News> {
    let nothing = ObservedContract::default();
    let mut news = Vec::new();
    for (contract, there) in now {
        let then = &before.get(contract).unwrap_or(&nothing).machines;
        for (name, machine) in &there.machines {
            let what = change(then.get(name), machine);
            news.extend(what.into_iter().map(|what| (*contract, Some(name.clone()), what)));
        }
        let gone = then.keys().filter(|name| !there.machines.contains_key(*name));
        news.extend(gone.map(|name| (*contract, Some(name.clone()), "removed".into())));
    }
    news
}

fn change(before: Option<&ObservedMachine>, now: &ObservedMachine) -> Vec<String> {
    let Some(before) = before else {
        return match now.how_it_stopped() {
            None => vec!["created".into(), "started".into()],
            Some(_) => vec!["created".into()],
        };
    };
    match (&before.state, &now.state) {
        (MachineState::Running { .. }, MachineState::Stopped { how, .. }) => {
            vec![format!("ended: {}", shortened(how, SHOWN_BYTES))]
        }
        (MachineState::Stopped { .. }, MachineState::Running { .. }) => vec!["started".into()],
        (MachineState::Running { .. }, MachineState::Running { .. }) if before.instance != now.instance => {
            vec!["started again".into()]
        }
        (MachineState::Running { condition: then, .. }, MachineState::Running { condition, .. })
            if discriminant(then) != discriminant(condition) =>
        {
            condition_change(condition)
        }
        _ => Vec::new(),
    }
}

fn condition_change(condition: &Condition) -> Vec<String> {
    match condition {
        Condition::Healthy => vec!["healthy".into()],
        Condition::Unhealthy(found) => vec![format!("unhealthy: {}", shortened(found, SHOWN_BYTES))],
        Condition::Unchecked | Condition::Starting => Vec::new(),
    }
}

/// Which outputs aren't sent any more, or for another reason, or are sent again.
fn news_of_logs(before: &LogTroubles, now: &LogTroubles) -> Vec<News> {
    let news = now.iter().filter_map(|(id, trouble)| {
        let before = before.get(id).and_then(Option::as_ref);
        let what = match trouble {
            Some(why) if before != Some(why) => format!("output isn't sent: {why}"),
            None if before.is_some() => "output is sent again".into(),
            _ => return None,
        };
        Some((id.contract, Some(id.name.clone()), what))
    });
    news.collect()
}

/// What has happened to versions. `ready` has the last version of each contract that was told to run.
fn news_of(before: &Standings, now: &Standings, ready: &mut BTreeMap<ContractId, u32>) -> Vec<News> {
    let news = now.iter().flat_map(|(contract, standing)| {
        let then = before.get(contract);
        let is_new = then.is_none_or(|then| then.version != standing.version);
        let old_trouble = then.and_then(|then| then.trouble.as_ref()).filter(|_| !is_new);
        let Standing { version, is_ready, trouble, .. } = standing;
        let begun = is_new.then(|| Event::taking_up(*version));
        let is_news = *is_ready && ready.insert(*contract, *version) != Some(*version);
        let ready = is_news.then(|| format!("version {version} runs"));
        let failed = trouble.clone().filter(|trouble| Some(trouble) != old_trouble);
        [begun, failed, ready].into_iter().flatten().map(|what| (*contract, None, what))
    });
    news.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(instance: &str, state: MachineState) -> ObservedMachine {
        let id = WorkloadId { contract: 7, name: "web".into() };
        ObservedMachine { id, hash: String::new(), instance: instance.into(), state }
    }

    fn running(condition: Condition) -> MachineState {
        MachineState::Running { ip: None, condition }
    }

    fn whats(before: Option<ObservedMachine>, now: Option<ObservedMachine>) -> Vec<String> {
        let observed = |machine: Option<ObservedMachine>| {
            let machines = machine.into_iter().map(|machine| ("web".into(), machine)).collect();
            Observed::from([(7, ObservedContract { machines, ..Default::default() })])
        };
        changes(&observed(before), &observed(now)).into_iter().map(|(_, _, what)| what).collect()
    }

    #[test]
    fn starts_ends_and_health_of_a_machine_are_events() {
        let stopped = |how: &str| MachineState::Stopped { how: how.into(), exit: Some(137) };
        let up = || Some(machine("1", running(Condition::Unchecked)));
        let dead = || Some(machine("1", stopped("out of memory, exit code 137")));
        assert_eq!(whats(None, up()), ["created", "started"]);
        assert_eq!(whats(up(), dead()), ["ended: out of memory, exit code 137"]);
        assert_eq!(whats(dead(), up()), ["started"]);
        assert_eq!(whats(up(), Some(machine("2", running(Condition::Unchecked)))), ["started again"]);
        let sick = Some(machine("1", running(Condition::Unhealthy("no answer".into()))));
        assert_eq!(whats(up(), sick), ["unhealthy: no answer"]);
        assert_eq!(whats(up(), None), ["removed"]);
        assert!(whats(up(), up()).is_empty());
    }

    #[test]
    fn output_that_is_not_sent_is_an_event_for_each_reason() {
        let troubles = |why: Option<&str>| {
            let id = WorkloadId { contract: 7, name: "out".into() };
            LogTroubles::from([(id, why.map(Into::into))])
        };
        let whats = |before: Option<&str>, now: Option<&str>| {
            let news = news_of_logs(&troubles(before), &troubles(now)).into_iter();
            news.map(|(_, _, what)| what).collect::<Vec<_>>()
        };
        assert_eq!(whats(None, Some("refused")), ["output isn't sent: refused"]);
        assert!(whats(Some("refused"), Some("refused")).is_empty());
        assert_eq!(whats(Some("refused"), Some("no such host")), ["output isn't sent: no such host"]);
        assert_eq!(whats(Some("refused"), None), ["output is sent again"]);
    }

    #[test]
    fn versions_and_their_troubles_are_events() {
        let standing = |version, is_ready, trouble: Option<&str>| {
            let trouble = trouble.map(Into::into);
            Standings::from([(7, Standing { version, is_ready, trouble, is_private: false })])
        };
        let mut ready = BTreeMap::new();
        let mut whats = |before: &Standings, now: &Standings| -> Vec<String> {
            news_of(before, now, &mut ready).into_iter().map(|(_, _, what)| what).collect()
        };
        let begun = standing(1, false, None);
        assert_eq!(whats(&Standings::new(), &begun), ["version 1 is to run"]);
        let failed = standing(1, false, Some("no such image"));
        assert_eq!(whats(&begun, &failed), ["no such image"]);
        assert!(whats(&failed, &failed).is_empty());
        let ready = standing(1, true, None);
        assert_eq!(whats(&failed, &ready), ["version 1 runs"]);
        assert!(whats(&begun, &ready).is_empty(), "it is told once");
        assert_eq!(whats(&ready, &standing(2, true, None)), ["version 2 is to run", "version 2 runs"]);
    }

    #[tokio::test]
    async fn events_outlive_the_agent_and_private_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let event = |what: &str| Event { at_ms: 1, workload: Some("web".into()), what: what.into() };
        let mut before = EventLog::default();
        before.add(7, event("started"), false);
        before.add(7, event("last line of output: sesame"), true);
        store.write(FILE, &before.to_store(&BTreeMap::from([(7, 1)]))).unwrap();

        let (observed, observed_rx) = watch::channel(Arc::<Observed>::default());
        let (standings, standings_rx) = watch::channel(Arc::<Standings>::default());
        let (_troubles, troubles) = watch::channel(LogTroubles::new());
        let (done, done_rx) = mpsc::channel(1);
        let (log, mut recorded) = watch::channel(EventLog::default());
        let recorder = Recorder::load(observed_rx, standings_rx, troubles, done_rx, log, store).unwrap();
        let recording = tokio::spawn(recorder.run());
        let there = |contracts: &[ContractId]| -> Arc<Observed> {
            let machines = [("web".to_owned(), machine("1", running(Condition::Unchecked)))];
            let there = ObservedContract { machines: machines.into(), ..Default::default() };
            Arc::new(contracts.iter().map(|contract| (*contract, there.clone())).collect())
        };
        let is_ready = Standing { version: 1, is_ready: true, trouble: None, is_private: false };
        standings.send_replace(Arc::new([(7, is_ready)].into()));
        observed.send_replace(there(&[7]));
        done.send((WorkloadId { contract: 7, name: "web".into() }, "its owner stops it".into()))
            .await
            .unwrap();
        let mut until = async |contract, count| {
            let has = |log: &EventLog| log.since(contract, 0).1 >= count;
            recorded.wait_for(has).await.unwrap().since(contract, 0).0
        };
        until(7, 2).await;
        observed.send_replace(there(&[7, 8]));
        until(8, 2).await;
        let whats: Vec<_> = until(7, 2).await.into_iter().map(|event| event.what).collect();
        assert_eq!(whats, ["started", "its owner stops it"]);
        recording.abort();
    }

    #[test]
    fn old_events_make_room() {
        let mut log = EventLog::default();
        for number in 0..KEPT + 5 {
            log.add(7, Event { at_ms: number as u64, workload: None, what: String::new() }, false);
        }
        let (events, next) = log.since(7, 0);
        assert_eq!((events.len(), events[0].at_ms, next), (KEPT, 5, KEPT + 5));
        assert_eq!(log.since(7, KEPT + 3).0.len(), 2);
        assert_eq!(log.since(8, 0), (Vec::new(), 0));
    }
}
