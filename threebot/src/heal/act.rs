// SPDX-License-Identifier: Apache-2.0
//! Carries out what was decided, and writes down each step before it.

use super::{
    Decision, Hold, Job, Jobs, Journal, Mandate, Message, Metrics, Move, Order, Release, Seen, Snapshots,
    Step, Teller, Times, Wanted,
    decide::{Next, awaiting, decide, next, outcome},
};
use crate::{output::message, snapshot::Around, time::stretch};
use anyhow::{Result, anyhow};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tfgrid_client::primitives::{ContractId, UnixSeconds};
use tokio::time::timeout;

/// The most moves in one transaction: what a block has room for.
const MOVES_AT_ONCE: usize = 40;
/// Seconds before what failed is tried again; each failure in a row doubles them.
const AGAIN_AFTER: u64 = 300;
/// The most of them.
const AGAIN_AFTER_AT_MOST: u64 = 3_600;
/// Seconds from one look at the place of snapshots to the next: others write there, too.
const SNAPSHOTS_EVERY: u64 = 3_600;
/// Limit for that place to answer.
const PLACE_WITHIN: Duration = Duration::from_secs(120);
/// Seconds for which a move that is over is remembered.
const REMEMBERED: u64 = 30 * DAY;
const DAY: u64 = 24 * 3_600;

/// The chain, as a bot uses it.
pub trait World {
    /// Reads the owner's contracts at a finalized head, and keeps a copy of each body that is new.
    async fn look(&mut self, journal: &mut Journal) -> Result<Seen>;

    /// Finds nodes within the mandate, and makes the bodies for them; says what there is no node for.
    async fn prepare(
        &mut self,
        wanted: Vec<Wanted>,
        seen: &Seen,
        journal: &Journal,
        mandate: &Mandate,
    ) -> Result<(Vec<Order>, Vec<Hold>)>;

    /// Submits these moves, each of which is carried out wholly or not at all, and waits until they are final.
    ///
    /// # Errors
    /// If it isn't known what became of them.
    async fn submit(&mut self, orders: &[Order]) -> Result<Submitted>;

    /// Cancels a name contract.
    async fn give_up_name(&mut self, contract: ContractId) -> Result<()>;
}

/// What became of a transaction.
#[derive(Debug)]
pub enum Submitted {
    /// It is final; each of its moves is carried out or not.
    Included,
    /// None of it will be carried out.
    Refused(anyhow::Error),
}

/// A bot at work.
pub struct Healer<S> {
    pub mandate: Mandate,
    pub journal: Journal,
    teller: Teller,
    metrics: Metrics,
    /// Snapshots, where the mandate has them.
    jobs: Option<Jobs<S>>,
    snapshots_read: Option<UnixSeconds>,
    /// Of moves that failed: a node that dies while a snapshot is taken delays no move.
    moves: Pauses,
    /// Of snapshots and restores that failed.
    data: Pauses,
}

/// When what failed for a contract is tried again.
#[derive(Default)]
struct Pauses {
    not_before: BTreeMap<ContractId, UnixSeconds>,
    /// The last pauses, in seconds.
    last: BTreeMap<ContractId, u64>,
}

impl Pauses {
    fn is_due(&self, contract: ContractId, now: UnixSeconds) -> bool {
        self.not_before.get(&contract).is_none_or(|then| now >= *then)
    }

    fn put_off(&mut self, contract: ContractId, now: UnixSeconds) {
        let pause = pause_after(self.last.get(&contract).copied());
        self.last.insert(contract, pause);
        self.not_before.insert(contract, now.saturating_add(pause));
    }

    /// Forgets those that are over, and how long they were once a contract needs no try any more.
    fn retain(&mut self, now: UnixSeconds, needs: impl Fn(&ContractId) -> bool) {
        self.not_before.retain(|_, then| *then > now);
        self.last.retain(|contract, _| needs(contract));
    }
}

impl<S: Snapshots> Healer<S> {
    pub fn new(
        mandate: Mandate,
        mut journal: Journal,
        teller: Teller,
        metrics: Metrics,
        snapshots: Option<S>,
    ) -> Self {
        let jobs = snapshots.map(Jobs::new);
        let (moves, data) = (Pauses::default(), Pauses::default());
        journal.memory.with_roots = mandate.snapshots.as_ref().is_some_and(|schedule| schedule.roots);
        Self { mandate, journal, teller, metrics, jobs, snapshots_read: None, moves, data }
    }

    /// What a round would move now, and what it wouldn't.
    pub async fn plan(&mut self, world: &mut impl World) -> Result<(Vec<Order>, Vec<Hold>)> {
        let seen = world.look(&mut self.journal).await?;
        self.read_snapshots(seen.now).await?;
        let (mut wanted, mut holds) = (Vec::new(), Vec::new());
        for decision in decide(&seen, &self.mandate, &self.journal.memory) {
            match decision {
                Decision::Move(it) => wanted.push(it),
                Decision::Hold(hold) => holds.push(hold),
                Decision::GiveUpName(_) | Decision::Forget(_) | Decision::Snapshot(_) => {}
            }
        }
        if wanted.is_empty() {
            return Ok((Vec::new(), holds));
        }
        let (orders, more) = world.prepare(wanted, &seen, &self.journal, &self.mandate).await?;
        holds.extend(more);
        Ok((orders, holds))
    }

    /// Looks once, and does what is to be done.
    pub async fn round(&mut self, world: &mut impl World) -> Result<()> {
        let seen = world.look(&mut self.journal).await?;
        self.journal.ensure_newer(seen.block)?;
        self.read_snapshots(seen.now).await?;
        self.end_jobs(seen.now)?;
        self.follow(&seen)?;
        let (mut wanted, mut held, mut names) = (Vec::new(), BTreeSet::new(), Vec::new());
        let mut due = BTreeSet::new();
        for decision in decide(&seen, &self.mandate, &self.journal.memory) {
            match decision {
                Decision::Move(it) => {
                    held.insert(it.contract);
                    wanted.extend(self.moves.is_due(it.contract, seen.now).then_some(it));
                }
                Decision::Hold(hold) => {
                    held.insert(hold.contract);
                    self.hold(hold, &seen)?;
                }
                Decision::GiveUpName(contract) => names.push(contract),
                Decision::Forget(contract) => self.journal.forget(contract)?,
                Decision::Snapshot(contract) => {
                    due.insert(contract);
                    self.start(Job::Take(contract), seen.now);
                }
            }
        }
        // What isn't held any more is told anew the next time.
        let is_held =
            |matter: &str| matter.parse::<ContractId>().is_ok_and(|contract| held.contains(&contract));
        self.journal.retain_said(|matter| matter == "funds" || is_held(matter))?;
        let memory = &self.journal.memory;
        self.moves.retain(seen.now, |contract| held.contains(contract));
        self.data.retain(seen.now, |contract| due.contains(contract) || memory.is_incomplete(*contract));
        self.metrics.seen(&seen, &self.journal.memory, held.len());
        self.warn(&seen)?;
        self.move_all(world, wanted, &seen).await?;
        for name in names {
            world.give_up_name(name).await?;
        }
        Ok(())
    }

    /// Tells that something outside of contracts is wrong.
    pub fn trouble(&self, at: UnixSeconds, error: &anyhow::Error) -> Result<()> {
        self.tell(at, "trouble", None, message(error))
    }

    /// Brings moves that have begun as far as the chain is.
    fn follow(&mut self, seen: &Seen) -> Result<()> {
        for it in self.journal.memory.moves.values().cloned().collect::<Vec<_>>() {
            let old = it.old;
            match next(&it, seen, &self.journal.memory) {
                Next::Wait if it.is_over() && seen.now.saturating_sub(it.at) > REMEMBERED => {
                    self.journal.strike(old)?;
                }
                Next::Wait => {}
                Next::Reached(step) => self.reach(it, step, seen.now)?,
                Next::Restore(job) => self.start(job, seen.now),
                // What has begun before its owner updated it goes on.
                Next::Updated { new } if self.jobs.as_ref().is_some_and(|jobs| jobs.is_busy(new)) => {}
                Next::Updated { new } => {
                    self.reach(it, Step::Done { new }, seen.now)?;
                    let text = format!(
                        "contract {new} was updated before it had the last snapshot of contract {old}, and keeps what \
                         it has: `threebot restore` puts the snapshot in its place"
                    );
                    self.tell(seen.now, "empty", Some(new), text)?;
                }
                Next::Lost => {
                    self.journal.strike(old)?;
                    self.tell(
                        seen.now,
                        "lost",
                        Some(old),
                        format!("the move of contract {old} never came about"),
                    )?;
                }
            }
        }
        for job in awaiting(seen, &self.mandate, &self.journal.memory) {
            self.start(job, seen.now);
        }
        Ok(())
    }

    fn start(&mut self, job: Job, now: UnixSeconds) {
        let around = self.around(job);
        if self.data.is_due(job.contract(), now)
            && let Some(jobs) = &mut self.jobs
        {
            jobs.start(job, around);
        }
    }

    /// The mandate's commands for a snapshot that is taken.
    fn around(&self, job: Job) -> Option<Around> {
        let (Job::Take(contract), Some(schedule)) = (job, &self.mandate.snapshots) else { return None };
        let memory = &self.journal.memory;
        let part = memory.copies.get(&contract)?.part.as_ref();
        schedule.around(part, &memory.line_of(contract))
    }

    /// Reads now and then which snapshots there are.
    async fn read_snapshots(&mut self, now: UnixSeconds) -> Result<()> {
        let pause = if self.journal.memory.is_blind { AGAIN_AFTER } else { SNAPSHOTS_EVERY };
        let is_due = self.snapshots_read.is_none_or(|read| now.saturating_sub(read) >= pause);
        let Some(jobs) = self.jobs.as_ref().filter(|_| is_due) else { return Ok(()) };
        let all = timeout(PLACE_WITHIN, jobs.snapshots.all()).await;
        let all = all.unwrap_or_else(|_| Err(anyhow!("the place of snapshots doesn't answer")));
        let is_first = self.snapshots_read.replace(now).is_none();
        match all {
            Ok(all) => {
                self.journal.memory.snapshots = all;
                self.journal.memory.is_blind = false;
            }
            // What was read before still counts.
            Err(error) => {
                self.journal.memory.is_blind |= is_first;
                self.trouble(now, &error)?;
            }
        }
        Ok(())
    }

    /// Writes down what came of jobs.
    fn end_jobs(&mut self, now: UnixSeconds) -> Result<()> {
        let ended = self.jobs.as_mut().map(Jobs::ended).unwrap_or_default();
        for (job, done) in ended {
            let contract = job.contract();
            match (job, done) {
                (Job::Take(_), Ok(taken)) => self.note_taken(contract, taken, now)?,
                (Job::Restore { from, .. }, Ok(has)) => {
                    self.journal.note_restored(contract)?;
                    let its = |it: &&Move| it.step == Step::Created { new: contract };
                    if let Some(it) = self.journal.memory.moves.values().find(its).cloned() {
                        self.reach(it, Step::Done { new: contract }, now)?;
                    }
                    let from = from.contract;
                    let lacks = self.lacks(contract, &has);
                    let but = if lacks.is_empty() {
                        String::new()
                    } else {
                        format!(
                            ", but not {}: there is no snapshot, or one of another image",
                            lacks.join(", ")
                        )
                    };
                    let text =
                        format!("contract {contract} has what the last snapshot of contract {from} had{but}");
                    self.tell(now, "restored", Some(contract), text)?;
                }
                (_, Err(error)) => self.fail(job, &error, now)?,
            }
        }
        Ok(())
    }

    /// Keeps when snapshots were taken. A node that leaves a volume out isn't asked again at once, and what there is of
    /// that volume stays.
    pub(super) fn note_taken(&mut self, contract: ContractId, taken: Times, now: UnixSeconds) -> Result<()> {
        let missing = self.lacks(contract, &taken);
        self.journal.memory.snapshots.entry(contract).or_default().extend(taken);
        if missing.is_empty() {
            return Ok(());
        }
        let error = anyhow!("its node leaves out {}", missing.join(", "));
        self.fail(Job::Take(contract), &error, now)
    }

    /// What these snapshots don't have of a contract.
    fn lacks(&self, contract: ContractId, of: &Times) -> Vec<String> {
        let memory = &self.journal.memory;
        let data = memory.copies.get(&contract).into_iter().flat_map(|kept| memory.data(kept));
        data.filter(|name| !of.contains_key(*name)).cloned().collect()
    }

    fn fail(&mut self, job: Job, error: &anyhow::Error, now: UnixSeconds) -> Result<()> {
        let contract = job.contract();
        self.data.put_off(contract, now);
        let what = match job {
            Job::Take(_) => "a snapshot failed of",
            Job::Restore { .. } => "nothing was restored into",
        };
        let text = format!("{what} contract {contract}: {}", message(error));
        self.tell(now, "failed", Some(contract), text)
    }

    fn reach(&mut self, it: Move, step: Step, now: UnixSeconds) -> Result<()> {
        let (old, to) = (it.old, it.to);
        self.journal.note(Move { step, ..it })?;
        match step {
            Step::Intended | Step::Created { .. } => Ok(()),
            Step::Done { new } => {
                self.metrics.ended("done");
                self.tell(
                    now,
                    "moved",
                    Some(old),
                    format!("contract {old} runs on node {to} as contract {new}"),
                )
            }
            Step::Failed { new } => {
                self.metrics.ended("failed");
                let text = format!(
                    "contract {new}, which took the place of {old}, closed before it ran on node {to}"
                );
                self.tell(now, "failed", Some(old), text)
            }
        }
    }

    async fn move_all(&mut self, world: &mut impl World, wanted: Vec<Wanted>, seen: &Seen) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let (orders, holds) = world.prepare(wanted, seen, &self.journal, &self.mandate).await?;
        for hold in holds {
            self.moves.put_off(hold.contract, seen.now);
            self.hold(hold, seen)?;
        }
        for orders in orders.chunks(MOVES_AT_ONCE) {
            for order in orders {
                self.begin(order, seen)?;
            }
            match world.submit(orders).await? {
                Submitted::Included => {
                    let now = world.look(&mut self.journal).await?;
                    self.settle(orders, &now)?;
                }
                Submitted::Refused(error) => {
                    for order in orders {
                        self.refuse(order, seen, &message(&error))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes a move down before its transaction can be anywhere.
    fn begin(&mut self, order: &Order, seen: &Seen) -> Result<()> {
        let Order { wanted, from, to, body, rate, .. } = order;
        let old = wanted.contract;
        let memory = &self.journal.memory;
        let newest = memory.copies.keys().next_back().copied().unwrap_or(0);
        let empty = memory.copies.get(&old).map(|kept| memory.unsaved(kept).join(", ")).unwrap_or_default();
        let it = Move {
            old,
            from: *from,
            to: *to,
            why: wanted.why.clone(),
            rate: *rate,
            body_hash: hex::encode(body.hash().0),
            is_alone: wanted.release == Release::Alone,
            newest,
            block: seen.block,
            at: seen.now,
            step: Step::Intended,
        };
        self.journal.note(it)?;
        let text = format!("{}: contract {old} is moved to node {to}", wanted.why);
        self.tell(seen.now, "moving", Some(old), text)?;
        if empty.is_empty() {
            return Ok(());
        }
        let text = format!("contract {old} is moved without {empty}, of which there is no snapshot");
        self.tell(seen.now, "empty", Some(old), text)
    }

    /// Writes down which moves of a final transaction were carried out.
    fn settle(&mut self, orders: &[Order], seen: &Seen) -> Result<()> {
        for order in orders {
            let old = order.wanted.contract;
            let Some(it) = self.journal.memory.moves.get(&old).cloned() else { continue };
            match outcome(&it, seen, &self.journal.memory) {
                Some(new) => self.reach(it, Step::Created { new }, seen.now)?,
                None => self.refuse(order, seen, "the chain refused it, or another bot was faster")?,
            }
        }
        Ok(())
    }

    /// Strikes out a move that won't come about.
    fn refuse(&mut self, order: &Order, seen: &Seen, why: &str) -> Result<()> {
        let old = order.wanted.contract;
        self.journal.strike(old)?;
        self.moves.put_off(old, seen.now);
        self.metrics.ended("refused");
        self.tell(
            seen.now,
            "lost",
            Some(old),
            format!("contract {old} wasn't moved to node {}: {why}", order.to),
        )
    }

    /// Tells once why a contract isn't moved.
    fn hold(&mut self, hold: Hold, seen: &Seen) -> Result<()> {
        let Hold { contract, key, text } = hold;
        if self.journal.is_news(contract.to_string(), key)? {
            self.tell(seen.now, "held", Some(contract), format!("contract {contract}: {text}"))?;
        }
        Ok(())
    }

    /// Warns once a day while the credit lasts shorter than the mandate wants.
    fn warn(&mut self, seen: &Seen) -> Result<()> {
        let least = u64::from(self.mandate.warn_days).saturating_mul(DAY);
        let Some(lasts) = seen.lasts.filter(|lasts| *lasts < least) else { return Ok(()) };
        if self.journal.is_news("funds".into(), &(seen.now / DAY).to_string())? {
            let text = format!("the credit of twin {} lasts {} only", self.mandate.twin, stretch(lasts));
            self.tell(seen.now, "funds", None, text)?;
        }
        Ok(())
    }

    fn tell(&self, at: UnixSeconds, kind: &str, contract: Option<ContractId>, text: String) -> Result<()> {
        self.teller.tell(&self.journal, Message { at, kind: kind.into(), contract, text })
    }
}

/// The pause after a failure that came after another pause, in seconds.
fn pause_after(last: Option<u64>) -> u64 {
    last.map_or(AGAIN_AFTER, |last| last.saturating_mul(2).min(AGAIN_AFTER_AT_MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_and_again_is_tried_once_an_hour() {
        let pauses = std::iter::successors(Some(pause_after(None)), |last| Some(pause_after(Some(*last))));
        assert_eq!(pauses.take(6).collect::<Vec<_>>(), [300, 600, 1_200, 2_400, 3_600, 3_600]);
    }
}
