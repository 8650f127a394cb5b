// SPDX-License-Identifier: Apache-2.0
//! What is to be done, from finalized state, mandate and journal. Pure.
//!
//! Nothing is done twice: a contract that is open is cancelled in the same batch that creates the new one, so the
//! batch of a second bot fails. Where the chain has closed it already, the batch takes the name `heal-ID` on the
//! gateways, which only one batch gets, and which stays until nobody acts on this closing any more.

use super::{Job, Kept, Mandate, Memory, Move, Step};
use crate::time::stretch;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use tfgrid_client::{
    deployment::Application,
    primitives::{
        Body, ContractId, FailureCode, GridMillis, NodeId, Resources, UnixSeconds, UsdRate,
        net::Subnet,
        views::{ClosedContract, ClosingReason},
    },
    units::format_usd,
};

/// How long after a contract was closed it is moved, in seconds.
pub const MOVED_WITHIN: u64 = 24 * 3_600;
/// How long after that its name is kept: longer than any transaction can still be taken.
const NAME_LEEWAY: u64 = 3_600;
/// Blocks after which a transaction that isn't in one never will be: the client's are sent within two minutes, and
/// live for 32 blocks.
const TRANSACTION_BLOCKS: u64 = 256;
/// How old a snapshot is at most with which a contract leaves a node that drains, in seconds.
const BEFORE_LEAVING: u64 = 3_600;
/// How long a contract is left to the bot that has moved it, in seconds: two bots would stop and start its machines in
/// turn.
const LEFT_TO_ITS_BOT: u64 = 900;
const DAY: u64 = 24 * 3_600;

/// What begins the names that keep a closed contract from being moved twice.
const NAME_PREFIX: &str = "heal-";

/// The name that only one batch gets for a closed contract.
pub fn name_for(contract: ContractId) -> String {
    format!("{NAME_PREFIX}{contract}")
}

/// The contract that a name of the owner's is for.
pub fn contract_of_name(name: &[u8]) -> Option<ContractId> {
    let contract = std::str::from_utf8(name).ok()?.strip_prefix(NAME_PREFIX)?.parse().ok()?;
    (name_for(contract).as_bytes() == name).then_some(contract)
}

/// How an open contract stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its node hasn't answered.
    Created,
    /// It runs.
    Running,
    /// Its owner's credit is used up.
    Paused,
    /// Its node is offline.
    NodeOffline,
}

/// An open node contract of the owner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    pub node: NodeId,
    pub phase: Phase,
    /// In 1e-10 USD per hour.
    pub rate: UsdRate,
}

/// The owner's contracts at one finalized block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    pub block: u64,
    pub now: UnixSeconds,
    pub grid_now: GridMillis,
    pub open: BTreeMap<ContractId, Open>,
    /// Contracts of which there is a copy or a name, and that have closed.
    pub closed: BTreeMap<ContractId, ClosedContract>,
    /// Grid time since which nodes are offline.
    pub offline_since: BTreeMap<NodeId, GridMillis>,
    pub draining: BTreeSet<NodeId>,
    /// From closed contracts to the name contracts that are for them.
    pub names: BTreeMap<ContractId, ContractId>,
    /// Sum of all rates of the owner, in 1e-10 USD per hour.
    pub rate: u128,
    pub is_exhausted: bool,
    /// Seconds for which the credit lasts; `None` while nothing is charged.
    pub lasts: Option<u64>,
}

/// How a contract is given up for the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// It is open: it is cancelled.
    Cancel,
    /// The chain has closed it: the name for it is taken.
    Name,
    /// The chain has closed it and somebody else has the name, but the owner has no other bot.
    Alone,
}

/// A contract that is to be moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub contract: ContractId,
    pub release: Release,
    pub why: String,
}

/// A contract that isn't moved, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hold {
    pub contract: ContractId,
    /// What holds it, so that it is told once.
    #[serde(skip)]
    pub key: &'static str,
    pub text: String,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Move(Wanted),
    Hold(Hold),
    /// The name contract isn't needed any more.
    GiveUpName(ContractId),
    /// The copy isn't needed any more.
    Forget(ContractId),
    /// A snapshot of its volumes is due.
    Snapshot(ContractId),
}

/// A move with all that its call needs.
#[derive(Clone, Debug)]
pub struct Order {
    pub wanted: Wanted,
    pub from: NodeId,
    pub to: NodeId,
    pub body: Body<Vec<u8>>,
    pub networks: Vec<(String, Subnet)>,
    pub resources: Resources,
    pub public_ips: u8,
    /// In 1e-10 USD per hour.
    pub rate: UsdRate,
    /// The same of the name that is taken, if one is.
    pub name_rate: UsdRate,
}

/// What is to be done now.
pub fn decide(seen: &Seen, mandate: &Mandate, memory: &Memory) -> Vec<Decision> {
    let mut decisions = Vec::new();
    for kept in memory.copies.values() {
        let moved = memory.moves.get(&kept.contract);
        decisions.extend(match (seen.open.get(&kept.contract), seen.closed.get(&kept.contract)) {
            _ if moved.is_some_and(|it| !it.is_over()) => None,
            (Some(open), _) => of_open(seen, mandate, memory, kept, open),
            (None, Some(closed)) => of_closed(seen, mandate, memory, kept, closed),
            // The chain has forgotten it.
            (None, None) => Some(Decision::Forget(kept.contract)),
        });
    }
    let is_needless = |(contract, _): &(&ContractId, &ContractId)| match seen.closed.get(*contract) {
        Some(closed) => seen.now.saturating_sub(closed.closed_at_unix) > MOVED_WITHIN + NAME_LEEWAY,
        // An open contract needs none, and one that is forgotten isn't moved.
        None => true,
    };
    let needless = seen.names.iter().filter(is_needless);
    decisions.extend(needless.map(|(_, name)| Decision::GiveUpName(*name)));
    decisions
}

/// What is to be done with an open contract; nothing while all is well.
fn of_open(seen: &Seen, mandate: &Mandate, memory: &Memory, kept: &Kept, open: &Open) -> Option<Decision> {
    let node = open.node;
    let why = match seen.offline_since.get(&node) {
        Some(since) if open.phase == Phase::NodeOffline => {
            let (silent, wait) = (seen.grid_now.saturating_sub(*since), mandate.offline.as_millis());
            if u128::from(silent) < wait {
                let left = u64::try_from(wait).unwrap_or(u64::MAX).saturating_sub(silent) / 1_000;
                let text = format!("node {node} is offline; it has {} more to come back", stretch(left));
                return Some(Decision::Hold(Hold { contract: kept.contract, key: "waits", text }));
            }
            format!("node {node} has been offline for {}", stretch(silent / 1_000))
        }
        _ if mandate.leave_draining && seen.draining.contains(&node) => {
            if is_snapshot_due(seen, mandate, memory, kept, open, BEFORE_LEAVING) {
                return Some(Decision::Snapshot(kept.contract));
            }
            format!("node {node} drains")
        }
        _ => {
            let every = mandate.snapshots.as_ref()?.every.as_secs();
            let is_due = is_snapshot_due(seen, mandate, memory, kept, open, every);
            return is_due.then_some(Decision::Snapshot(kept.contract));
        }
    };
    let wanted = Wanted { contract: kept.contract, release: Release::Cancel, why };
    Some(unless_held(seen, mandate, memory, kept, wanted))
}

/// Whether the last snapshot of a contract is older than this, in seconds.
fn is_snapshot_due(
    seen: &Seen,
    mandate: &Mandate,
    memory: &Memory,
    kept: &Kept,
    open: &Open,
    age: u64,
) -> bool {
    let is_taken = mandate.snapshots.is_some() && kept.has_data() && open.phase == Phase::Running;
    let last = memory.saved_at(kept).unwrap_or(kept.since);
    // What hasn't got its content yet has nothing to keep.
    is_taken
        && !is_excluded(mandate, kept)
        && !memory.is_incomplete(kept.contract)
        && seen.now.saturating_sub(last) >= age
}

/// What is to be done after the chain has closed a contract.
fn of_closed(
    seen: &Seen,
    mandate: &Mandate,
    memory: &Memory,
    kept: &Kept,
    closed: &ClosedContract,
) -> Option<Decision> {
    let contract = kept.contract;
    let is_late = seen.now.saturating_sub(closed.closed_at_unix) > MOVED_WITHIN;
    let Some(fault) = fault_of_node(closed, contract, memory).filter(|_| !is_late) else {
        return Some(Decision::Forget(contract));
    };
    let replaces = |other: &Kept| other.replaces.is_some_and(|it| it.contract == contract);
    let is_replaced = || memory.copies.values().any(replaces);
    if memory.moves.contains_key(&contract) || seen.names.contains_key(&contract) || is_replaced() {
        return None;
    }
    let twin_of = |other: &&Kept| {
        other.part.is_some() && other.part == kept.part && seen.open.contains_key(&other.contract)
    };
    if let Some(other) = memory.copies.values().find(twin_of) {
        let text = format!("contract {} runs this part already", other.contract);
        return Some(Decision::Hold(Hold { contract, key: "runs", text }));
    }
    let wanted = Wanted { contract, release: Release::Name, why: format!("node {} {fault}", kept.node) };
    Some(unless_held(seen, mandate, memory, kept, wanted))
}

/// What the node did, where a contract ended for no fault of its owner.
fn fault_of_node(closed: &ClosedContract, contract: ContractId, memory: &Memory) -> Option<&'static str> {
    match closed.reason {
        ClosingReason::NodeSilent => Some("was silent until the chain closed the contract"),
        ClosingReason::NodeRemoved => Some("was removed"),
        ClosingReason::Drained => Some("was drained"),
        ClosingReason::NodeRejected { code: FailureCode::NodeFull } => Some("was full"),
        // The bot has put it there, and nothing but the node is new.
        ClosingReason::NodeRejected { .. } if memory.line_of(contract).len() > 1 => {
            Some("rejected what ran on another one")
        }
        ClosingReason::Cancelled
        | ClosingReason::NotDelivered
        | ClosingReason::OutOfFunds
        | ClosingReason::NodeRejected { .. }
        | ClosingReason::ByGovernance => None,
    }
}

fn unless_held(seen: &Seen, mandate: &Mandate, memory: &Memory, kept: &Kept, wanted: Wanted) -> Decision {
    match hold(seen, mandate, memory, kept) {
        Some((key, text)) => {
            let text = format!("{}, and it isn't moved: {text}", wanted.why);
            Decision::Hold(Hold { contract: kept.contract, key, text })
        }
        None => Decision::Move(wanted),
    }
}

fn is_excluded(mandate: &Mandate, kept: &Kept) -> bool {
    let application = kept.part.as_ref().map(|part| &part.application);
    mandate.exclude.contracts.contains(&kept.contract)
        || application.is_some_and(|name| mandate.exclude.applications.contains(name))
}

/// Why a contract isn't moved, if anything keeps it.
fn hold(seen: &Seen, mandate: &Mandate, memory: &Memory, kept: &Kept) -> Option<(&'static str, String)> {
    let contract = kept.contract;
    let line = memory.line_of(contract);
    let is_recent = |it: &&Move| line.contains(&it.old) && seen.now.saturating_sub(it.at) < DAY;
    let moves = memory.moves.values().filter(is_recent).count();
    let unsaved = memory.unsaved(kept);
    let no_snapshot = format!(
        "there is no snapshot of its volumes {}; `without_data` in the mandate moves it with empty ones",
        unsaved.join(", ")
    );
    let rules = [
        (is_excluded(mandate, kept), "excluded", "the mandate excludes it"),
        (
            !kept.is_readable,
            "unreadable",
            "the bot's key doesn't open it; update it, so that it is sealed to the bot",
        ),
        (
            kept.has_data() && memory.is_blind,
            "place",
            "it has volumes, and the place of their snapshots doesn't answer",
        ),
        (!mandate.without_data && !unsaved.is_empty(), "data", no_snapshot.as_str()),
        (
            moves >= mandate.moves_per_day as usize,
            "often",
            "it was moved as often as the mandate allows in a day",
        ),
        (seen.is_exhausted, "credit", "the owner's credit is used up"),
    ];
    let found = rules.into_iter().find(|(holds, ..)| *holds)?;
    Some((found.1, found.2.into()))
}

/// Why a price is too high for the mandate, if it is: that of a contract which had `before`, where all cost `all`
/// together; in 1e-10 USD per hour.
pub fn too_dear(mandate: &Mandate, rate: UsdRate, before: UsdRate, all: u128) -> Option<String> {
    let after = all.saturating_sub(before.into()).saturating_add(rate.into());
    let refusal = |what: &str, rate, most: UsdRate| {
        format!(
            "{what} would cost {} USD per hour, and the mandate and the owner's limits allow {}",
            format_usd(rate),
            format_usd(most.into())
        )
    };
    if let Some(most) = mandate.max_rate_each.filter(|most| rate > *most) {
        return Some(refusal("it", rate.into(), most));
    }
    (after > mandate.max_rate.into()).then(|| refusal("all contracts", after, mandate.max_rate))
}

/// The nodes on which a contract isn't put: its own, and those that closed it, or what it stands for, before it ran.
pub fn shunned(kept: &Kept, memory: &Memory) -> BTreeSet<NodeId> {
    let line = memory.line_of(kept.contract);
    let failed = |it: &&Move| matches!(it.step, Step::Failed { .. }) && line.contains(&it.old);
    memory.moves.values().filter(failed).map(|it| it.to).chain([kept.node]).collect()
}

/// What becomes of a move that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Wait,
    Reached(Step),
    /// The new contract runs, and is to get the last snapshot of another one.
    Restore(Job),
    /// Its owner has updated the new contract before it had that: what it has stays.
    Updated {
        new: ContractId,
    },
    /// Its transaction isn't on the chain and never will be.
    Lost,
}

/// The new contract of a move that has begun, if the chain has it. A batch that failed has left the old contract as
/// it was: a new one with the same body is another move's then.
pub fn outcome(it: &Move, seen: &Seen, memory: &Memory) -> Option<ContractId> {
    if it.is_alone {
        return memory.outcome_of(it);
    }
    let is_left = match seen.closed.get(&it.old) {
        Some(closed) => {
            let is_late = seen.now.saturating_sub(closed.closed_at_unix) > MOVED_WITHIN;
            let is_faultless = fault_of_node(closed, it.old, memory).is_some();
            is_faultless && !is_late && !seen.names.contains_key(&it.old)
        }
        None => seen.open.contains_key(&it.old),
    };
    memory.outcome_of(it).filter(|_| !is_left)
}

/// How far a move is by now.
pub fn next(it: &Move, seen: &Seen, memory: &Memory) -> Next {
    let has_data = |contract| memory.copies.get(&contract).is_some_and(Kept::has_data);
    let is_as_made =
        |contract| memory.copies.get(&contract).is_some_and(|kept| kept.body_hash == it.body_hash);
    match it.step {
        Step::Intended => match outcome(it, seen, memory) {
            Some(new) => Next::Reached(Step::Created { new }),
            None if seen.block > it.block.saturating_add(TRANSACTION_BLOCKS) => Next::Lost,
            None => Next::Wait,
        },
        Step::Created { new } => match seen.open.get(&new).map(|open| open.phase) {
            Some(Phase::Created) => Next::Wait,
            Some(Phase::Running) if has_data(new) && memory.is_blind => Next::Wait,
            Some(Phase::Running) => match memory.last_snapshot(it.old) {
                Some(_) if has_data(new) && !is_as_made(new) => Next::Updated { new },
                Some(from) if has_data(new) => Next::Restore(Job::Restore { from, to: new }),
                _ => Next::Reached(Step::Done { new }),
            },
            // It waits for credit, or for its node.
            Some(Phase::Paused | Phase::NodeOffline) => Next::Wait,
            None => Next::Reached(Step::Failed { new }),
        },
        Step::Done { .. } | Step::Failed { .. } => Next::Wait,
    }
}

/// Restores for other bots, which may not come back: into contracts that they have moved and whose bodies name a
/// snapshot.
pub fn awaiting(seen: &Seen, mandate: &Mandate, memory: &Memory) -> Vec<Job> {
    let job = |kept: &Kept| {
        let from = memory.awaited(kept).filter(|_| !memory.is_blind && !is_excluded(mandate, kept))?;
        let runs = seen.open.get(&kept.contract).is_some_and(|open| open.phase == Phase::Running);
        let is_left = seen.now.saturating_sub(kept.since) >= LEFT_TO_ITS_BOT;
        (runs && is_left).then_some(Job::Restore { from, to: kept.contract })
    };
    memory.copies.values().filter_map(job).collect()
}

/// The rules for where a contract runs, the name of its part in them, and the nodes of other parts.
pub fn rules_for(
    kept: &Kept,
    mandate: &Mandate,
    files: &[Application],
    seen: &Seen,
    memory: &Memory,
) -> (Application, String, BTreeMap<String, NodeId>) {
    let part = mandate.part(kept.public_ips);
    let Some(name) = &kept.part else {
        let (mut alone, name) = (mandate.application("contract"), "contract".to_owned());
        alone.parts.insert(name.clone(), part);
        return (alone, name, BTreeMap::new());
    };
    let file = files.iter().find(|file| file.name == name.application && file.parts.contains_key(&name.part));
    let mut application = file.cloned().unwrap_or_else(|| mandate.application(&name.application));
    let of_file = application.parts.entry(name.part.clone()).or_insert(part);
    of_file.public_ips = kept.public_ips;
    let others = memory.copies.values().filter(|other| other.contract != kept.contract);
    let runs = |other: &Kept| Some(seen.open.get(&other.contract)?.node);
    let held = others.filter_map(|other| {
        let its = other.part.as_ref().filter(|its| its.application == name.application)?;
        Some((its.part.clone(), runs(other)?))
    });
    let held = held.filter(|(part, _)| *part != name.part).collect();
    (application, name.part.clone(), held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heal::{
        PartName,
        journal::tests::{begun, kept, kept_with_data, saved},
        mandate::{Exclude, Schedule, tests::mandate},
    };
    use std::time::Duration;
    use tfgrid_client::deployment::{LastSnapshot, Replaces};

    const NOW: u64 = 1_700_000_000;
    const MINUTE_MS: u64 = 60_000;

    /// Contract 7 on node 3, which has been offline for so many minutes.
    fn offline(minutes: u64) -> (Seen, Memory) {
        let seen = Seen {
            block: 1_000,
            now: NOW,
            grid_now: 1_000 * MINUTE_MS,
            open: [(7, Open { node: 3, phase: Phase::NodeOffline, rate: 100 })].into(),
            offline_since: [(3, (1_000 - minutes) * MINUTE_MS)].into(),
            ..Seen::default()
        };
        let memory = Memory { copies: [(7, kept(7, 3))].into(), ..Memory::default() };
        (seen, memory)
    }

    /// The same after the chain has closed it for this reason, so many seconds ago.
    fn closed(reason: ClosingReason, ago: u64) -> (Seen, Memory) {
        let (mut seen, memory) = offline(60);
        seen.open.clear();
        let (closed_at_unix, node) = (NOW - ago, Some(3));
        let closed = ClosedContract { twin: 7, node, reason, closed_at: 0, closed_at_unix, usd: 0, tft: 0 };
        seen.closed.insert(7, closed);
        (seen, memory)
    }

    fn is_moved(seen: &Seen, mandate: &Mandate, memory: &Memory) -> Option<Release> {
        decide(seen, mandate, memory).into_iter().find_map(|decision| match decision {
            Decision::Move(wanted) => Some(wanted.release),
            _ => None,
        })
    }

    fn held_by(seen: &Seen, mandate: &Mandate, memory: &Memory) -> Option<&'static str> {
        decide(seen, mandate, memory).into_iter().find_map(|decision| match decision {
            Decision::Hold(hold) => Some(hold.key),
            _ => None,
        })
    }

    #[test]
    fn a_contract_is_moved_after_the_mandates_wait() {
        let at = |minutes| {
            let (seen, memory) = offline(minutes);
            (is_moved(&seen, &mandate(), &memory), held_by(&seen, &mandate(), &memory))
        };
        assert_eq!(at(29), (None, Some("waits")));
        assert_eq!(at(30), (Some(Release::Cancel), None));
        let (mut seen, memory) = offline(30);
        seen.offline_since.clear();
        assert!(decide(&seen, &mandate(), &memory).is_empty(), "its node is back");
    }

    #[test]
    fn a_draining_node_is_left_unless_the_mandate_stays() {
        let (mut seen, memory) = offline(0);
        seen.offline_since.clear();
        seen.open.insert(7, Open { node: 3, phase: Phase::Running, rate: 100 });
        assert!(decide(&seen, &mandate(), &memory).is_empty());
        seen.draining.insert(3);
        assert_eq!(is_moved(&seen, &mandate(), &memory), Some(Release::Cancel));
        assert_eq!(is_moved(&seen, &Mandate { leave_draining: false, ..mandate() }, &memory), None);
    }

    #[test]
    fn what_its_owner_ended_is_not_moved() {
        use ClosingReason::{
            ByGovernance, Cancelled, Drained, NodeRejected, NodeRemoved, NodeSilent, OutOfFunds,
        };
        for reason in [NodeSilent, NodeRemoved, Drained, NodeRejected { code: FailureCode::NodeFull }] {
            let (seen, memory) = closed(reason, 60);
            assert_eq!(is_moved(&seen, &mandate(), &memory), Some(Release::Name), "{reason:?}");
        }
        for reason in [Cancelled, OutOfFunds, ByGovernance, NodeRejected { code: FailureCode::ImageNotFound }]
        {
            let (seen, memory) = closed(reason, 60);
            assert_eq!(decide(&seen, &mandate(), &memory), [Decision::Forget(7)], "{reason:?}");
        }
    }

    #[test]
    fn a_node_that_rejects_what_ran_elsewhere_is_left() {
        let (seen, mut memory) = closed(ClosingReason::NodeRejected { code: FailureCode::ImageNotFound }, 60);
        memory.moves.insert(2, Move { at: NOW - 100, step: Step::Failed { new: 7 }, ..begun(2) });
        assert_eq!(is_moved(&seen, &mandate(), &memory), Some(Release::Name));
        let once = Mandate { moves_per_day: 1, ..mandate() };
        assert_eq!(held_by(&seen, &once, &memory), Some("often"));
        memory.moves.insert(1, Move { to: 5, step: Step::Failed { new: 2 }, ..begun(1) });
        memory.moves.insert(30, Move { to: 6, step: Step::Failed { new: 31 }, ..begun(30) });
        assert_eq!(shunned(&kept(7, 3), &memory), [2, 3, 5].into());
    }

    #[test]
    fn a_batch_that_failed_has_no_outcome() {
        let new = (12, Kept { body_hash: "hash".into(), ..kept(12, 2) });
        let (seen, mut memory) = offline(60);
        memory.copies.insert(new.0, new.1.clone());
        assert_eq!(outcome(&begun(7), &seen, &memory), None, "it is open");
        for (reason, expected) in [(ClosingReason::Cancelled, Some(12)), (ClosingReason::NodeSilent, None)] {
            let (mut seen, mut memory) = closed(reason, 60);
            memory.copies.insert(new.0, new.1.clone());
            assert_eq!(outcome(&begun(7), &seen, &memory), expected, "{reason:?}");
            let alone = Move { is_alone: true, ..begun(7) };
            assert_eq!(outcome(&alone, &seen, &memory), Some(12), "it needs no name");
            seen.names.insert(7, 20);
            assert_eq!(outcome(&begun(7), &seen, &memory), Some(12), "{reason:?}");
        }
    }

    #[test]
    fn what_another_bot_has_moved_is_restored_once_it_runs() {
        let (mut seen, mut memory) = closed(ClosingReason::NodeSilent, 60);
        let from = LastSnapshot { contract: 7, taken_at: NOW - 600 };
        let replaces = Some(Replaces { contract: 7, snapshot: Some(from) });
        memory.copies.insert(12, Kept { replaces, since: NOW - LEFT_TO_ITS_BOT, ..kept_with_data(12, 2) });
        assert!(
            decide(&seen, &mandate(), &memory).iter().all(|it| *it == Decision::Forget(12)),
            "it is moved"
        );
        assert!(awaiting(&seen, &mandate(), &memory).is_empty(), "it has closed");
        seen.open.insert(12, Open { node: 2, phase: Phase::Created, rate: 1 });
        assert!(awaiting(&seen, &mandate(), &memory).is_empty(), "it doesn't run");
        seen.open.insert(12, Open { node: 2, phase: Phase::Running, rate: 1 });
        assert_eq!(awaiting(&seen, &mandate(), &memory), [Job::Restore { from, to: 12 }]);
        let excluded =
            Mandate { exclude: Exclude { contracts: [12].into(), ..Exclude::default() }, ..mandate() };
        assert!(awaiting(&seen, &excluded, &memory).is_empty());
        let blind = Memory { is_blind: true, ..memory.clone() };
        assert!(awaiting(&seen, &mandate(), &blind).is_empty(), "there may be snapshots of its own");
        memory.copies.get_mut(&12).unwrap().since += 1;
        assert!(awaiting(&seen, &mandate(), &memory).is_empty(), "its bot may be about to do it");
    }

    #[test]
    fn a_closed_contract_is_moved_once_and_within_a_day() {
        let (mut seen, memory) = closed(ClosingReason::NodeSilent, 60);
        seen.names.insert(7, 20);
        assert!(decide(&seen, &mandate(), &memory).is_empty(), "another bot has moved it");
        let (mut seen, memory) = closed(ClosingReason::NodeSilent, MOVED_WITHIN + 1);
        assert_eq!(decide(&seen, &mandate(), &memory), [Decision::Forget(7)]);
        seen.names.insert(7, 20);
        assert_eq!(decide(&seen, &mandate(), &memory), [Decision::Forget(7)], "its name is still needed");
        let (mut seen, memory) = closed(ClosingReason::NodeSilent, MOVED_WITHIN + NAME_LEEWAY + 1);
        seen.names.insert(7, 20);
        assert_eq!(decide(&seen, &mandate(), &memory), [Decision::Forget(7), Decision::GiveUpName(20)]);
    }

    #[test]
    fn a_part_that_runs_is_not_started_again() {
        let (mut seen, mut memory) = closed(ClosingReason::NodeSilent, 60);
        let part = |contract, node| {
            let part = Some(PartName { application: "shop".into(), part: "db".into() });
            (contract, Kept { part, ..kept(contract, node) })
        };
        memory.copies = [part(7, 3), part(9, 4)].into();
        assert_eq!(is_moved(&seen, &mandate(), &memory), Some(Release::Name));
        seen.open.insert(9, Open { node: 4, phase: Phase::Running, rate: 1 });
        assert_eq!(held_by(&seen, &mandate(), &memory), Some("runs"));
    }

    #[test]
    fn what_the_mandate_excludes_stays() {
        let (seen, mut memory) = offline(60);
        let with = |change: fn(&mut Mandate)| {
            let mut mandate = mandate();
            change(&mut mandate);
            mandate
        };
        let excluded = with(|mandate| mandate.exclude.contracts = [7].into());
        assert_eq!(held_by(&seen, &excluded, &memory), Some("excluded"));
        memory.copies.insert(7, kept_with_data(7, 3));
        assert_eq!(held_by(&seen, &mandate(), &memory), Some("data"));
        let without = with(|mandate| mandate.without_data = true);
        assert_eq!(is_moved(&seen, &without, &memory), Some(Release::Cancel));
        memory.copies.insert(7, Kept { is_readable: false, ..kept(7, 3) });
        assert_eq!(held_by(&seen, &mandate(), &memory), Some("unreadable"));
        let part = Some(PartName { application: "shop".into(), part: "db".into() });
        memory.copies.insert(7, Kept { part, ..kept(7, 3) });
        let excluded = with(|mandate| mandate.exclude.applications = ["shop".into()].into());
        assert_eq!(held_by(&seen, &excluded, &memory), Some("excluded"));
        let exhausted = Seen { is_exhausted: true, ..seen };
        assert_eq!(held_by(&exhausted, &mandate(), &memory), Some("credit"));
    }

    /// A mandate with a snapshot every six hours.
    fn with_snapshots() -> Mandate {
        let (place, every) = ("/backups".into(), Duration::from_secs(6 * 3_600));
        let snapshots = Schedule { place, every, keep: None, commands: Vec::new() };
        Mandate { snapshots: Some(snapshots), ..mandate() }
    }

    #[test]
    fn snapshots_are_taken_as_the_mandate_says() {
        let (mut seen, mut memory) = offline(0);
        seen.offline_since.clear();
        seen.open.insert(7, Open { node: 3, phase: Phase::Running, rate: 100 });
        memory.copies.insert(7, Kept { since: NOW - 7 * 3_600, ..kept_with_data(7, 3) });
        let due =
            |memory: &Memory, mandate: &Mandate| decide(&seen, mandate, memory) == [Decision::Snapshot(7)];
        assert!(due(&memory, &with_snapshots()) && !due(&memory, &mandate()));
        let mut excluded = with_snapshots();
        excluded.exclude.contracts = [7].into();
        assert!(!due(&memory, &excluded));
        let mut incomplete = memory.clone();
        incomplete.moves.insert(2, Move { step: Step::Created { new: 7 }, ..begun(2) });
        assert!(!due(&incomplete, &with_snapshots()));
        memory.snapshots.insert(7, saved(NOW - 6 * 3_600 + 1));
        assert!(!due(&memory, &with_snapshots()));
        let mut two = memory.clone();
        two.copies.get_mut(&7).unwrap().volumes.insert("cache".into());
        assert!(due(&two, &with_snapshots()), "the other volume was never saved");
        memory.snapshots.insert(7, saved(NOW - 6 * 3_600));
        assert!(due(&memory, &with_snapshots()));
    }

    #[test]
    fn a_draining_node_is_left_with_a_fresh_snapshot() {
        let (mut seen, mut memory) = offline(0);
        seen.offline_since.clear();
        seen.draining.insert(3);
        seen.open.insert(7, Open { node: 3, phase: Phase::Running, rate: 100 });
        memory.copies.insert(7, kept_with_data(7, 3));
        memory.snapshots.insert(7, saved(NOW - BEFORE_LEAVING));
        assert_eq!(decide(&seen, &with_snapshots(), &memory), [Decision::Snapshot(7)]);
        memory.snapshots.insert(7, saved(NOW - BEFORE_LEAVING + 1));
        assert_eq!(is_moved(&seen, &with_snapshots(), &memory), Some(Release::Cancel));
    }

    #[test]
    fn volumes_wait_for_the_place_of_their_snapshots() {
        let (mut seen, mut memory) = offline(60);
        memory.copies.insert(7, kept_with_data(7, 3));
        memory.is_blind = true;
        let without = Mandate { without_data: true, ..with_snapshots() };
        assert_eq!(held_by(&seen, &without, &memory), Some("place"));
        seen.open.insert(7, Open { node: 3, phase: Phase::Running, rate: 100 });
        let it = Move { step: Step::Created { new: 7 }, ..begun(2) };
        assert_eq!(next(&it, &seen, &memory), Next::Wait);
        memory.is_blind = false;
        assert_eq!(next(&it, &seen, &memory), Next::Reached(Step::Done { new: 7 }));
    }

    #[test]
    fn volumes_are_left_behind_where_there_is_a_snapshot() {
        let (seen, mut memory) = offline(60);
        memory.copies.insert(7, kept_with_data(7, 3));
        memory.moves.insert(2, Move { step: Step::Done { new: 7 }, ..begun(2) });
        assert_eq!(held_by(&seen, &with_snapshots(), &memory), Some("data"));
        memory.snapshots.insert(2, saved(1));
        assert_eq!(
            is_moved(&seen, &with_snapshots(), &memory),
            Some(Release::Cancel),
            "what it was restored from"
        );
        memory.copies.get_mut(&7).unwrap().volumes.insert("cache".into());
        assert_eq!(held_by(&seen, &with_snapshots(), &memory), Some("data"), "one volume would be empty");
        let without = Mandate { without_data: true, ..with_snapshots() };
        assert_eq!(is_moved(&seen, &without, &memory), Some(Release::Cancel));
    }

    #[test]
    fn a_line_of_contracts_is_moved_so_often_a_day() {
        let (seen, mut memory) = offline(60);
        let moved = |old, new, ago| Move { at: NOW - ago, step: Step::Done { new }, ..begun(old) };
        memory.moves = [(1, moved(1, 2, 3)), (2, moved(2, 4, 2)), (4, moved(4, 7, 1))].into();
        assert_eq!(held_by(&seen, &mandate(), &memory), Some("often"));
        memory.moves.insert(1, moved(1, 2, DAY));
        assert_eq!(is_moved(&seen, &mandate(), &memory), Some(Release::Cancel));
    }

    #[test]
    fn a_move_that_has_begun_is_not_decided_again() {
        let (seen, mut memory) = offline(60);
        for step in [Step::Intended, Step::Created { new: 12 }] {
            memory.moves.insert(7, Move { step, ..begun(7) });
            assert!(decide(&seen, &mandate(), &memory).is_empty(), "{step:?}");
        }
    }

    #[test]
    fn no_price_is_above_the_mandate() {
        let mandate = Mandate { max_rate: 1_000, max_rate_each: Some(300), ..mandate() };
        let dear = |rate, before, all| too_dear(&mandate, rate, before, all).is_some();
        assert!(!dear(300, 0, 700) && dear(301, 0, 0) && dear(300, 0, 701));
        assert!(!dear(300, 300, 1_000), "what it had doesn't count twice");
        assert!(too_dear(&mandate, u64::MAX, 0, u128::MAX).is_some());
    }

    #[test]
    fn a_move_ends_as_the_chain_says() {
        let (mut seen, mut memory) = offline(60);
        let mut it = Move { block: 1_000, ..begun(7) };
        assert_eq!(next(&it, &seen, &memory), Next::Wait);
        seen.block = 1_000 + TRANSACTION_BLOCKS + 1;
        assert_eq!(next(&it, &seen, &memory), Next::Lost);
        memory.copies.insert(12, Kept { body_hash: "hash".into(), ..kept(12, 2) });
        seen.open.clear();
        assert_eq!(next(&it, &seen, &memory), Next::Reached(Step::Created { new: 12 }));
        it.step = Step::Created { new: 12 };
        assert_eq!(next(&it, &seen, &memory), Next::Reached(Step::Failed { new: 12 }));
        let at = |phase| Open { node: 2, phase, rate: 1 };
        seen.open.insert(12, at(Phase::Created));
        assert_eq!(next(&it, &seen, &memory), Next::Wait);
        seen.open.insert(12, at(Phase::Running));
        assert_eq!(next(&it, &seen, &memory), Next::Reached(Step::Done { new: 12 }));
        memory.snapshots.insert(7, saved(NOW));
        assert_eq!(next(&it, &seen, &memory), Next::Reached(Step::Done { new: 12 }), "it has no volumes");
        memory.copies.insert(12, Kept { body_hash: "hash".into(), ..kept_with_data(12, 2) });
        let from = LastSnapshot { contract: 7, taken_at: NOW };
        assert_eq!(next(&it, &seen, &memory), Next::Restore(Job::Restore { from, to: 12 }));
        memory.copies.insert(12, kept_with_data(12, 2));
        assert_eq!(next(&it, &seen, &memory), Next::Updated { new: 12 }, "its owner has updated it");
    }

    #[test]
    fn a_name_says_which_contract_it_is_for() {
        assert_eq!(contract_of_name(name_for(42).as_bytes()), Some(42));
        for other in [&b"heal-"[..], b"heal-042", b"heal-x", b"shop", b"heal-+4"] {
            assert_eq!(contract_of_name(other), None);
        }
    }

    #[test]
    fn rules_are_those_of_the_file_or_else_the_mandates() {
        let (mut seen, mut memory) = offline(60);
        let part = |contract: u64, name: &str| {
            let part = Some(PartName { application: "shop".into(), part: name.into() });
            (contract, Kept { part, public_ips: 1, ..kept(contract, 3) })
        };
        memory.copies = [part(7, "db"), part(9, "web")].into();
        seen.open.insert(9, Open { node: 4, phase: Phase::Running, rate: 1 });
        let mut mandate = mandate();
        mandate.placement.country = Some("BE".into());
        let (application, name, held) = rules_for(&memory.copies[&7], &mandate, &[], &seen, &memory);
        assert_eq!((name.as_str(), held), ("db", [("web".to_owned(), 4)].into()));
        assert_eq!(application.parts["db"].country.as_deref(), Some("BE"));
        let mut file = mandate.application("shop");
        file.parts
            .insert("db".into(), tfgrid_client::deployment::Part { farm: Some(5), ..Default::default() });
        let (application, ..) = rules_for(&memory.copies[&7], &mandate, &[file], &seen, &memory);
        let db = &application.parts["db"];
        assert_eq!((db.farm, db.country.as_ref(), db.public_ips), (Some(5), None, 1));
    }
}
