// SPDX-License-Identifier: Apache-2.0
//! A runtime of this pallet that records the sweeps of nodes, and machines that report.

use crate as pallet_grid_nodes;
use frame_support::{
    parameter_types,
    traits::{ConstU32, ConstU64},
};
pub use pallet_grid_mock_kit::{
    AccountId, Armed, DedicatedFarm, FarmingEvent, MockClock, NODE_DEPOSIT, Recorded, Spent, ticket_of,
};
use pallet_grid_mock_kit::{Chain, Directory, MockAgenda, Recorder, mock_runtime, signed};
use sp_core::{H256, Pair, ed25519};
use sp_runtime::{DispatchError, DispatchResult};
use std::collections::BTreeSet;
use tfgrid_primitives::{
    Deadline, FarmId, GridMillis, Isolation, NodeId, Refusal, Registration, ReportKind, Resources,
    report::{DetailsPayload, HeartbeatPayload, PowerPayload, PowerState, report_bytes},
    traits::{Clock, ServeDeadlines},
    units::{DAY_MS, GIB, HOUR_MS, MINUTE_MS, TFT},
};

mock_runtime! {
    #[runtime::pallet_index(2)]
    pub type Nodes = pallet_grid_nodes;
}

pub type Call = pallet_grid_nodes::Call<Test>;

pub const INTERVAL: GridMillis = 10 * MINUTE_MS;
pub const OFFLINE_TIMEOUT: GridMillis = 14 * DAY_MS;
pub const DRAIN_NOTICE: GridMillis = 7 * DAY_MS;
pub const FEE_NOTICE: GridMillis = 24 * HOUR_MS;

parameter_types! {
    pub const MaxResources: Resources =
        Resources { cru: 256, mru: 4_096 * GIB, sru: u64::MAX, hru: u64::MAX, gpu: 16 };
    /// Nodes whose sweep was served.
    pub static Swept: Vec<NodeId> = vec![];
    pub static MaxExtraFee: u64 = 1_000;
}

impl pallet_grid_nodes::Config for Test {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type Farms = Directory;
    type Clock = MockClock;
    type Agenda = MockAgenda;
    type Farming = Recorder<Nodes>;
    type OnRemoved = ();
    type CertifierOrigin = frame_system::EnsureRoot<AccountId>;
    type HeartbeatInterval = ConstU64<INTERVAL>;
    type OfflineTimeout = ConstU64<OFFLINE_TIMEOUT>;
    type DrainNotice = ConstU64<DRAIN_NOTICE>;
    type ExtraFeeNotice = ConstU64<FEE_NOTICE>;
    type MaxExtraFee = MaxExtraFee;
    type MaxResources = MaxResources;
    type MaxContractsPerNode = ConstU32<3>;
    type WeightInfo = ();
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = BenchmarkDoubles;
}

/// What benchmarks need of other pallets.
#[cfg(feature = "runtime-benchmarks")]
pub struct BenchmarkDoubles;

#[cfg(feature = "runtime-benchmarks")]
impl crate::BenchmarkHelper<AccountId> for BenchmarkDoubles {
    fn farm() -> (AccountId, FarmId) {
        let farm = if Spent::get().is_empty() { FARM } else { OTHER_FARM };
        (farm.into(), farm)
    }

    fn open_ticket(farm: FarmId, ticket: tfgrid_primitives::PublicKey) {
        assert_eq!(ticket_of(farm).public().0, ticket);
    }

    fn pass(ms: GridMillis) {
        MockClock::advance(ms);
    }

    fn key(n: u8) -> tfgrid_primitives::PublicKey {
        ticket_of(n.into()).public().0
    }

    fn sign(n: u8, bytes: &[u8]) -> ed25519::Signature {
        ticket_of(n.into()).sign(bytes)
    }
}

pub const FARM: FarmId = 1;
pub const OTHER_FARM: FarmId = 2;
pub const FARMER: AccountId = 1;
pub const OTHER: AccountId = 2;
pub const STRANGER: AccountId = 3;

/// A machine with its key and the state of its reports.
pub struct Machine {
    pub id: NodeId,
    pub key: ed25519::Pair,
    pub sequence: u64,
    pub nonce: u64,
}

pub fn capacity() -> Resources {
    Resources { cru: 100, mru: 100 * GIB, sru: 1_000 * GIB, ..Resources::ZERO }
}

/// The call that registers a key at a farm, signed by both keys.
pub fn register(farm: FarmId, key: &ed25519::Pair, resources: Resources) -> Call {
    let ticket = ticket_of(farm);
    let registration = Registration {
        ticket: ticket.public().0,
        node_key: key.public().0,
        peer_key: [3; 32],
        encryption_key: [4; 32],
        resources,
        isolation: Isolation::Container,
        valid_until: MockClock::unix_now() + 600,
    };
    let bytes = registration.signing_bytes(genesis());
    Call::register { registration, ticket_signature: ticket.sign(&bytes), node_signature: key.sign(&bytes) }
}

fn genesis() -> H256 {
    crate::authorize_impls::genesis::<Test>()
}

impl Machine {
    pub fn key(n: u8) -> ed25519::Pair {
        ed25519::Pair::from_seed(&[100 + n; 32])
    }

    /// A machine that has joined [`FARM`].
    pub fn join(n: u8) -> Self {
        let key = Self::key(n);
        report(register(FARM, &key, capacity())).unwrap();
        let id = crate::NodeByKey::<Test>::get(key.public().0).unwrap();
        Self { id, key, sequence: 0, nonce: n.into() }
    }

    pub fn sign(&mut self, kind: ReportKind, payload: &impl codec::Encode) -> (u64, ed25519::Signature) {
        self.sequence += 1;
        let bytes = report_bytes(genesis(), self.id, kind, self.sequence, payload);
        (self.sequence, self.key.sign(&bytes))
    }

    pub fn heartbeat(&mut self) -> Call {
        let payload = HeartbeatPayload { boot_nonce: self.nonce };
        let (sequence, signature) = self.sign(ReportKind::Heartbeat, &payload);
        Call::heartbeat { node: self.id, sequence, payload, signature }
    }

    /// Sends a heartbeat in a boot with this nonce.
    pub fn beat_as(&mut self, nonce: u64) {
        self.nonce = nonce;
        report(self.heartbeat()).unwrap();
    }

    pub fn details(&mut self, payload: DetailsPayload) -> Call {
        let (sequence, signature) = self.sign(ReportKind::Details, &payload);
        Call::report_details { node: self.id, sequence, payload, signature }
    }

    pub fn power(&mut self, state: PowerState) -> Call {
        let payload = PowerPayload { state };
        let (sequence, signature) = self.sign(ReportKind::Power, &payload);
        Call::report_power { node: self.id, sequence, payload, signature }
    }

    /// Lets so many intervals pass, with a heartbeat at the end of each.
    pub fn beat(&mut self, intervals: u64) {
        for _ in 0..intervals {
            pass(INTERVAL);
            report(self.heartbeat()).unwrap();
        }
    }
}

/// Lets `ms` pass; what comes due in between is served at its time.
pub fn pass(ms: GridMillis) {
    pallet_grid_mock_kit::pass(ms, |deadline, now| {
        if let Deadline::Sweep(node) = deadline {
            Swept::mutate(|swept| swept.push(node));
            return None;
        }
        Nodes::serve(deadline, now)
    });
}

/// Takes the sweeps that were served up to now.
pub fn swept() -> Vec<NodeId> {
    pass(0);
    Swept::take()
}

/// Sends a report through pool and block.
pub fn report(call: Call) -> Result<(), Refusal> {
    pallet_grid_mock_kit::report(RuntimeCall::Nodes(call))
}

/// Asserts that a report is refused for this reason.
#[track_caller]
pub fn assert_refused(call: Call, refusal: Refusal) {
    assert_eq!(report(call), Err(refusal), "expected: {}", refusal.text());
}

/// A call of a person.
pub fn call(who: AccountId, call: Call) -> DispatchResult {
    signed(who, RuntimeCall::Nodes(call))
}

/// Asserts that a person's call fails with `error` and changes nothing.
#[track_caller]
pub fn assert_fails(who: AccountId, what: Call, error: impl Into<DispatchError>) {
    pallet_grid_mock_kit::assert_fails(|| call(who, what), error);
}

/// The last event of this pallet.
pub fn last_event() -> pallet_grid_nodes::Event<Test> {
    let events = System::read_events_for_pallet::<pallet_grid_nodes::Event<Test>>();
    events.into_iter().last().expect("an event")
}

/// Each node has one armed deadline at `check_at`, and each drain ahead one at its deadline.
fn check_deadlines() {
    let armed = Armed::get();
    for (node, live) in crate::LivenessOf::<Test>::iter() {
        assert!(armed.contains(&(live.check_at, Deadline::Silence(node))), "node {node} has no deadline");
    }
    let silences = armed.iter().filter(|(_, deadline)| matches!(deadline, Deadline::Silence(_))).count();
    assert_eq!(silences, crate::LivenessOf::<Test>::iter().count(), "a node has two deadlines");
    let drains = armed.iter().filter(|(_, deadline)| matches!(deadline, Deadline::Drain(_))).copied();
    let ahead = crate::Nodes::<Test>::iter().filter_map(|(node, record)| {
        let drain = record.settings.drain.filter(|drain| drain.deadline > MockClock::grid_now())?;
        Some((drain.deadline, Deadline::Drain(node)))
    });
    let (drains, ahead): (BTreeSet<_>, BTreeSet<_>) = (drains.collect(), ahead.collect());
    assert_eq!(drains, ahead, "the drains ahead aren't those armed");
}

pub fn chain() -> Chain<Test> {
    Swept::take();
    MaxExtraFee::set(1_000);
    let rich = 10_000 * TFT;
    Chain::<Test>::new([(FARMER, rich), (OTHER, rich), (STRANGER, rich)])
}

/// Runs `test` on a chain that is a day old and checks the invariants and the deadlines afterwards.
pub fn run(test: impl FnOnce()) {
    chain().run(&[Nodes::do_try_state], || {
        MockClock::advance(DAY_MS);
        test();
        pass(0);
        check_deadlines();
    });
}
