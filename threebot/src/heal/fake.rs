// SPDX-License-Identifier: Apache-2.0
//! A chain in memory, which several bots act on, and what holds whatever they do.

use super::{
    Healer, Hold, Journal, Kept, Mandate, Metrics, Open, Order, Phase, Release, Saved, Schedule, Seen,
    Snapshots, Step, Teller, Times, Wanted,
    act::{Submitted, World},
    decide::too_dear,
    journal::tests::{kept, kept_with_data, saved},
    mandate::tests::mandate,
};
use crate::snapshot::Around;
use anyhow::{Result, bail};
use prometheus::Registry;
use proptest::prelude::*;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;
use tfgrid_client::{
    deployment::{LastSnapshot, Replaces},
    primitives::{
        Body, ContractId, NodeId, Resources, UsdRate,
        views::{ClosedContract, ClosingReason},
    },
};

const MINUTE_MS: u64 = 60_000;
const BLOCKS_PER_MINUTE: u64 = 20;
/// No transaction is taken that was decided longer ago.
const MAX_LAG: u64 = 200;
const NODES: [NodeId; 4] = [1, 2, 3, 4];
const RATE: UsdRate = 100;
/// Room for three contracts and a half.
const MAX_RATE: UsdRate = 350;

/// An open contract.
#[derive(Clone)]
struct Contract {
    node: NodeId,
    created: u64,
    body: Body<Vec<u8>>,
    /// The contract of its owner's that it stands for.
    root: ContractId,
    replaces: Option<Replaces>,
}

#[derive(Clone, Default)]
struct State {
    minutes: u64,
    blocks: u64,
    last: ContractId,
    open: BTreeMap<ContractId, Contract>,
    closed: BTreeMap<ContractId, ClosedContract>,
    names: BTreeMap<ContractId, ContractId>,
    /// Since which minute nodes are offline.
    offline: BTreeMap<NodeId, u64>,
    /// Roots that their owner has ended.
    ended: BTreeSet<ContractId>,
    /// Whether somebody else has all names.
    has_squatter: bool,
}

impl State {
    fn block(&self) -> u64 {
        self.minutes * BLOCKS_PER_MINUTE + self.blocks
    }

    fn now(&self) -> u64 {
        1_700_000_000 + self.minutes * 60
    }

    fn id(&mut self) -> ContractId {
        self.last += 1;
        self.last
    }

    fn create(
        &mut self,
        node: NodeId,
        body: Body<Vec<u8>>,
        root: Option<ContractId>,
        replaces: Option<Replaces>,
    ) {
        let (id, created) = (self.id(), self.block());
        self.open.insert(id, Contract { node, created, body, root: root.unwrap_or(id), replaces });
    }

    fn close(&mut self, contract: ContractId, reason: ClosingReason) -> Option<Contract> {
        let closed = self.open.remove(&contract)?;
        let (node, closed_at_unix) = (Some(closed.node), self.now());
        let record = ClosedContract { twin: 7, node, reason, closed_at: 0, closed_at_unix, usd: 0, tft: 0 };
        self.closed.insert(contract, record);
        Some(closed)
    }

    fn seen(&self, journal: &Journal) -> Seen {
        let phase = |contract: &Contract| {
            if contract.created >= self.block() {
                Phase::Created
            } else if self.offline.contains_key(&contract.node) {
                Phase::NodeOffline
            } else {
                Phase::Running
            }
        };
        let open =
            self.open.iter().map(|(id, it)| (*id, Open { node: it.node, phase: phase(it), rate: RATE }));
        let known = journal.memory.copies.keys().chain(self.names.keys());
        let closed = known.filter_map(|id| Some((*id, *self.closed.get(id)?)));
        Seen {
            block: self.block(),
            now: self.now(),
            grid_now: self.minutes * MINUTE_MS,
            open: open.collect(),
            closed: closed.collect(),
            offline_since: self.offline.iter().map(|(node, since)| (*node, since * MINUTE_MS)).collect(),
            names: self.names.clone(),
            rate: self.rate(),
            ..Seen::default()
        }
    }

    fn rate(&self) -> u128 {
        self.open.len() as u128 * u128::from(RATE)
    }

    /// Fails if something runs twice, costs too much, or was ended by its owner.
    fn check(&self) {
        let roots: Vec<ContractId> = self.open.values().map(|it| it.root).collect();
        let distinct: BTreeSet<ContractId> = roots.iter().copied().collect();
        assert_eq!(roots.len(), distinct.len(), "{roots:?}: one runs twice");
        assert!(self.rate() <= MAX_RATE.into(), "{} is too dear", self.rate());
        assert!(distinct.is_disjoint(&self.ended), "{distinct:?}: its owner ended one of {:?}", self.ended);
    }
}

/// A place with a snapshot of contract 1, and what was restored from where into what.
#[derive(Clone, Default)]
struct Backups(Arc<Mutex<Vec<(ContractId, ContractId)>>>);

impl Snapshots for Backups {
    async fn all(&self) -> Result<Saved> {
        Ok([(1, saved(1_700_000_000))].into())
    }

    async fn take(&self, _: ContractId, _: Option<Around>) -> Result<Times> {
        bail!("none is due")
    }

    async fn restore(&self, from: LastSnapshot, to: ContractId) -> Result<Times> {
        self.0.lock().unwrap().push((from.contract, to));
        Ok(saved(from.taken_at))
    }
}

/// The contract that a body says it stands for.
fn root_of(body: &Body<Vec<u8>>) -> Result<ContractId> {
    Ok(String::from_utf8_lossy(body.bytes()).trim_end().parse()?)
}

/// What one bot sees of the chain.
struct Fake {
    state: Rc<RefCell<State>>,
    /// What it saw last.
    view: State,
    /// Whether it sees that again.
    lags: bool,
    number: usize,
    /// Whether contracts have volumes.
    has_data: bool,
    /// How many more points it passes before it is killed.
    points: Option<u32>,
}

impl Fake {
    fn pass(&mut self) -> Result<()> {
        match &mut self.points {
            Some(0) => bail!("killed"),
            Some(points) => *points -= 1,
            None => {}
        }
        Ok(())
    }
}

impl World for Fake {
    async fn look(&mut self, journal: &mut Journal) -> Result<Seen> {
        self.pass()?;
        if !self.lags {
            self.view = self.state.borrow().clone();
        }
        for (id, it) in &self.view.open {
            let body_hash = hex::encode(it.body.hash().0);
            if journal.memory.copies.get(id).is_none_or(|kept| kept.body_hash != body_hash) {
                let like = if self.has_data { kept_with_data(*id, it.node) } else { kept(*id, it.node) };
                journal.keep(Kept { body_hash, replaces: it.replaces, ..like }, &it.body)?;
            }
        }
        Ok(self.view.seen(journal))
    }

    async fn prepare(
        &mut self,
        wanted: Vec<Wanted>,
        seen: &Seen,
        journal: &Journal,
        mandate: &Mandate,
    ) -> Result<(Vec<Order>, Vec<Hold>)> {
        self.pass()?;
        let (mut orders, mut holds, mut all) = (Vec::new(), Vec::new(), seen.rate);
        for mut wanted in wanted {
            if wanted.release == Release::Name && self.view.has_squatter {
                wanted.release = Release::Alone;
            }
            let contract = wanted.contract;
            let from = journal.memory.copies[&contract].node;
            let before = if wanted.release == Release::Cancel { RATE } else { 0 };
            let to = NODES.into_iter().find(|node| *node != from && !self.view.offline.contains_key(node));
            let (Some(to), None) = (to, too_dear(mandate, RATE, before, all)) else {
                holds.push(Hold { contract, key: "no-node", text: String::new() });
                continue;
            };
            all = all - u128::from(before) + u128::from(RATE);
            let Body::Plain(text) = journal.body(contract)? else { bail!("it is sealed") };
            let text = format!("{}{:2$}", String::from_utf8(text)?.trim_end(), "", self.number);
            orders.push(Order {
                wanted,
                from,
                to,
                body: Body::Plain(text.into_bytes()),
                networks: Vec::new(),
                resources: Resources::ZERO,
                public_ips: 0,
                rate: RATE,
                name_rate: 0,
            });
        }
        Ok((orders, holds))
    }

    async fn submit(&mut self, orders: &[Order]) -> Result<Submitted> {
        self.pass()?;
        self.lags = false;
        let mut state = self.state.borrow_mut();
        for order in orders {
            let old = order.wanted.contract;
            let root = match order.wanted.release {
                Release::Cancel => match state.close(old, ClosingReason::Cancelled) {
                    Some(closed) => closed.root,
                    None => continue,
                },
                // The owner's limit holds for all bots.
                Release::Name
                    if state.names.contains_key(&old)
                        || state.rate() + u128::from(RATE) > MAX_RATE.into() =>
                {
                    continue;
                }
                Release::Name => {
                    let id = state.id();
                    state.names.insert(old, id);
                    root_of(&order.body)?
                }
                Release::Alone => root_of(&order.body)?,
            };
            let snapshot = self.has_data.then_some(LastSnapshot { contract: 1, taken_at: 1_700_000_000 });
            let replaces = Some(Replaces { contract: old, snapshot });
            state.create(order.to, order.body.clone(), Some(root), replaces);
        }
        state.blocks += 1;
        drop(state);
        self.pass()?;
        Ok(Submitted::Included)
    }

    async fn give_up_name(&mut self, contract: ContractId) -> Result<()> {
        self.pass()?;
        self.state.borrow_mut().names.retain(|_, name| *name != contract);
        self.pass()
    }
}

/// A bot with its folder.
struct Bot {
    world: Fake,
    folder: TempDir,
    backups: Backups,
    healer: Option<Healer<Backups>>,
}

impl Bot {
    fn new(state: &Rc<RefCell<State>>, number: usize) -> Self {
        let (state, view) = (state.clone(), State::default());
        let world = Fake { state, view, lags: false, number, has_data: false, points: None };
        let (folder, backups) = (tempfile::tempdir().unwrap(), Backups::default());
        Self { world, folder, backups, healer: None }
    }

    /// Looks once, with what it saw last if that isn't too old, and is killed after so many points; returns whether it
    /// was.
    async fn acts(&mut self, lags: bool, points: Option<u32>) -> bool {
        let is_fresh = self.world.state.borrow().block() - self.world.view.block() <= MAX_LAG;
        (self.world.lags, self.world.points) = (lags && is_fresh, points);
        let (folder, backups) = (self.folder.path(), self.backups.clone());
        let mut healer = self.healer.take().unwrap_or_else(|| {
            let metrics = Metrics::new(&Registry::new()).unwrap();
            let every = Duration::from_secs(365 * 24 * 3_600);
            let place = "/backups".into();
            let snapshots = Some(Schedule { place, every, roots: false, keep: None, commands: Vec::new() });
            let mandate = Mandate { max_rate: MAX_RATE, moves_per_day: 100, snapshots, ..mandate() };
            Healer::new(mandate, Journal::open(folder).unwrap(), Teller::silent(), metrics, Some(backups))
        });
        match healer.round(&mut self.world).await {
            Ok(()) => self.healer = Some(healer),
            Err(error) => assert_eq!(error.to_string(), "killed"),
        }
        // Lets what it has started end.
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        self.healer.is_none()
    }

    /// Lets it look until nothing changes any more.
    async fn settles(&mut self) {
        for _ in 0..8 {
            self.acts(false, None).await;
            // A transaction of which nothing is known is given up after 256 blocks, and what failed is tried again.
            self.world.state.borrow_mut().minutes += 15;
        }
    }
}

/// Contracts 1 to `count`, each on the node of its number.
fn world(count: u32) -> Rc<RefCell<State>> {
    let mut state = State::default();
    for node in 1..=count {
        state.create(node, Body::Plain(node.to_string().into_bytes()), None, None);
    }
    state.minutes = 1;
    Rc::new(RefCell::new(state))
}

/// How a contract is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    Offline,
    /// The same with volumes.
    OfflineWithData,
    Closed,
    /// The same while somebody else has the name for it.
    ClosedWithoutName,
}

/// Contract 1 is lost, and a bot is killed after so many points; returns whether it was, and where the contract ends.
async fn ends(loss: Loss, kill_after: Option<u32>) -> (bool, Vec<(NodeId, ContractId)>) {
    let state = world(1);
    let mut bot = Bot::new(&state, 1);
    bot.world.has_data = loss == Loss::OfflineWithData;
    bot.acts(false, None).await;
    match loss {
        Loss::Offline | Loss::OfflineWithData => {
            state.borrow_mut().offline.insert(1, 1);
            state.borrow_mut().minutes += 31;
        }
        Loss::Closed | Loss::ClosedWithoutName => {
            state.borrow_mut().has_squatter = loss == Loss::ClosedWithoutName;
            state.borrow_mut().close(1, ClosingReason::NodeSilent);
        }
    }
    let mut left = kill_after;
    let mut was_killed = false;
    for _ in 0..4 {
        let before = left;
        if bot.acts(false, before).await {
            was_killed = true;
            break;
        }
        left = bot.world.points;
        state.borrow_mut().minutes += 1;
    }
    bot.settles().await;
    state.borrow().check();
    let moves = bot.healer.as_ref().unwrap().journal.memory.moves.values();
    assert!(moves.clone().count() == 1 && moves.clone().all(|it| matches!(it.step, Step::Done { .. })));
    let restored = bot.backups.0.lock().unwrap().clone();
    assert_eq!(restored.contains(&(1, 2)), bot.world.has_data, "{restored:?}");
    // Its node comes back, and finds a closed contract.
    state.borrow_mut().offline.clear();
    bot.settles().await;
    let state = state.borrow();
    (was_killed, state.open.values().map(|it| (it.node, it.root)).collect())
}

#[tokio::test]
async fn a_kill_at_any_step_changes_no_end() {
    for loss in [Loss::Offline, Loss::OfflineWithData, Loss::Closed, Loss::ClosedWithoutName] {
        let (_, expected) = ends(loss, None).await;
        assert_eq!(expected, [(2, 1)], "{loss:?}");
        let mut kills = 0;
        for points in 0.. {
            let (was_killed, end) = ends(loss, Some(points)).await;
            assert_eq!(end, expected, "{loss:?}, killed after {points} points");
            if !was_killed {
                break;
            }
            kills += 1;
        }
        // Two looks, the choice of a node, and before and after the transaction.
        assert!(kills >= 5, "{loss:?}: {kills}");
    }
}

#[tokio::test]
async fn a_name_is_given_up_when_nobody_needs_it() {
    let state = world(1);
    let mut bot = Bot::new(&state, 1);
    bot.acts(false, None).await;
    state.borrow_mut().close(1, ClosingReason::NodeSilent);
    bot.acts(false, None).await;
    assert_eq!(state.borrow().names.keys().copied().collect::<Vec<_>>(), [1]);
    state.borrow_mut().minutes += 24 * 60;
    bot.acts(false, None).await;
    assert_eq!(state.borrow().names.len(), 1);
    state.borrow_mut().minutes += 62;
    bot.acts(false, None).await;
    assert!(state.borrow().names.is_empty() && state.borrow().open.len() == 1);
}

#[tokio::test]
async fn of_two_bots_one_moves_a_contract() {
    for loss in [Loss::Offline, Loss::Closed] {
        let state = world(1);
        let mut bots = [Bot::new(&state, 1), Bot::new(&state, 2)];
        for bot in &mut bots {
            bot.acts(false, None).await;
        }
        state.borrow_mut().minutes += 5;
        match loss {
            Loss::Offline | Loss::OfflineWithData => {
                state.borrow_mut().offline.insert(1, 0);
            }
            Loss::Closed | Loss::ClosedWithoutName => {
                state.borrow_mut().close(1, ClosingReason::NodeSilent);
            }
        }
        state.borrow_mut().minutes += 30;
        // Both see that it is lost; the second acts on what it saw before the first one did.
        let [first, second] = &mut bots;
        second.world.view = state.borrow().clone();
        assert!(!first.acts(false, None).await && !second.acts(true, None).await);
        state.borrow().check();
        assert_eq!(state.borrow().open.len(), 1, "{loss:?}");
        let moves = |bot: &Bot| bot.healer.as_ref().unwrap().journal.memory.moves.len();
        assert_eq!((moves(first), moves(second)), (1, 0), "{loss:?}");
    }
}

#[tokio::test]
async fn another_bot_restores_what_a_dead_one_has_moved() {
    let state = world(1);
    let [mut dies, mut other] = [Bot::new(&state, 1), Bot::new(&state, 2)];
    for bot in [&mut dies, &mut other] {
        bot.world.has_data = true;
        bot.acts(false, None).await;
    }
    state.borrow_mut().offline.insert(1, 1);
    state.borrow_mut().minutes += 31;
    // A look, the choice of a node, and before the transaction: it is killed after that.
    assert!(dies.acts(false, Some(3)).await && state.borrow().open.contains_key(&2));
    state.borrow_mut().minutes += 1;
    other.settles().await;
    assert_eq!(*other.backups.0.lock().unwrap(), [(1, 2)]);
    // What it knows is in its folder: a machine that its owner has stopped isn't started again.
    other.healer = None;
    other.settles().await;
    assert_eq!(*other.backups.0.lock().unwrap(), [(1, 2)]);
    assert!(dies.backups.0.lock().unwrap().is_empty() && state.borrow().open.len() == 1);
}

#[tokio::test]
async fn what_its_owner_has_updated_since_is_not_replaced() {
    let state = world(1);
    let mut bot = Bot::new(&state, 1);
    bot.world.has_data = true;
    bot.acts(false, None).await;
    state.borrow_mut().offline.insert(1, 1);
    state.borrow_mut().minutes += 31;
    bot.acts(false, None).await;
    let updated = Body::Plain(b"1    ".to_vec());
    state.borrow_mut().open.get_mut(&2).unwrap().body = updated;
    bot.settles().await;
    assert!(bot.backups.0.lock().unwrap().is_empty());
    let journal = &bot.healer.as_ref().unwrap().journal;
    assert_eq!(journal.memory.moves[&1].step, Step::Done { new: 2 });
    let messages = journal.messages(100).unwrap();
    assert!(messages.iter().any(|it| it.kind == "empty" && it.text.starts_with("contract 2 was updated")));
}

#[tokio::test]
async fn a_snapshot_that_fails_is_tried_less_and_less_often() {
    let state = world(2);
    let mut bot = Bot::new(&state, 1);
    bot.world.has_data = true;
    // Contract 2 has no snapshot, and none can be taken.
    for _ in 0..60 {
        bot.acts(false, None).await;
        state.borrow_mut().minutes += 5;
    }
    let messages = bot.healer.as_ref().unwrap().journal.messages(100).unwrap();
    let failed = messages.iter().filter(|it| it.kind == "failed" && it.contract == Some(2)).count();
    assert!((4..12).contains(&failed), "{failed} times in five hours");
}

#[tokio::test]
async fn a_snapshot_that_failed_delays_no_move() {
    let state = world(1);
    let mut bot = Bot::new(&state, 1);
    bot.world.has_data = true;
    bot.acts(false, None).await;
    let now = {
        let mut state = state.borrow_mut();
        state.offline.insert(1, 1);
        state.minutes += 31;
        1_700_000_000 + state.minutes * 60
    };
    // The node died while its volume was read.
    let other = [("other".to_owned(), now)].into();
    bot.healer.as_mut().unwrap().note_taken(1, other, now).unwrap();
    bot.acts(false, None).await;
    assert!(state.borrow().open.contains_key(&2));
}

#[tokio::test]
async fn a_volume_that_a_node_leaves_out_keeps_its_snapshot() {
    let state = world(1);
    let mut bot = Bot::new(&state, 1);
    bot.world.has_data = true;
    bot.acts(false, None).await;
    let healer = bot.healer.as_mut().unwrap();
    let other = [("other".to_owned(), 1_700_000_060)].into();
    healer.note_taken(1, other, 1_700_000_060).unwrap();
    let saved = &healer.journal.memory.snapshots[&1];
    assert_eq!((saved.get("data"), saved.len()), (Some(&1_700_000_000), 2));
    let messages = healer.journal.messages(100).unwrap();
    let last = messages.last().unwrap();
    assert_eq!(last.kind, "failed");
    assert!(last.text.ends_with("its node leaves out data"), "{}", last.text);
}

/// What happens.
#[derive(Clone, Debug)]
enum Event {
    Wait(u64),
    NodeFails(NodeId),
    NodeReturns(NodeId),
    ChainCloses(usize),
    OwnerCancels(usize),
    Bot { which: usize, lags: bool, points: Option<u32> },
}

fn event() -> impl Strategy<Value = Event> {
    let node = || prop::sample::select(NODES.to_vec());
    prop_oneof![
        2 => prop_oneof![1u64..40, Just(25 * 60 + 1)].prop_map(Event::Wait),
        2 => node().prop_map(Event::NodeFails),
        1 => node().prop_map(Event::NodeReturns),
        2 => (0usize..4).prop_map(Event::ChainCloses),
        1 => (0usize..4).prop_map(Event::OwnerCancels),
        8 => (0usize..2, any::<bool>(), prop::option::of(0u32..8))
            .prop_map(|(which, lags, points)| Event::Bot { which, lags, points }),
    ]
}

async fn happens(events: Vec<Event>) {
    let state = world(3);
    let mut bots = [Bot::new(&state, 1), Bot::new(&state, 2)];
    for event in events {
        let nth = |index: usize| state.borrow().open.keys().nth(index).copied();
        match event {
            Event::Wait(minutes) => state.borrow_mut().minutes += minutes,
            Event::NodeFails(node) => {
                let minutes = state.borrow().minutes;
                state.borrow_mut().offline.entry(node).or_insert(minutes);
            }
            Event::NodeReturns(node) => {
                state.borrow_mut().offline.remove(&node);
            }
            Event::ChainCloses(index) => {
                if let Some(contract) = nth(index) {
                    state.borrow_mut().close(contract, ClosingReason::NodeSilent);
                }
            }
            Event::OwnerCancels(index) => {
                if let Some(contract) = nth(index) {
                    let closed = state.borrow_mut().close(contract, ClosingReason::Cancelled);
                    state.borrow_mut().ended.extend(closed.map(|it| it.root));
                }
            }
            Event::Bot { which, lags, points } => {
                bots[which].acts(lags, points).await;
            }
        }
        state.borrow().check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_runs_twice_whatever_happens(events in prop::collection::vec(event(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(happens(events));
    }
}
