// SPDX-License-Identifier: Apache-2.0
//! Histories of a chain as bytes: what tests did, written down by [`record`], and whatever else the bytes
//! say, carried out by [`play`] with the invariants checked after each step.
//!
//! A history is a byte that says what the chain starts with, then steps. A step is a byte, see [`Step`], and a
//! SCALE-encoded call, or a number of blocks. It ends where the bytes make no sense.

use crate::chain::*;
use codec::{Decode, DecodeLimit, Encode, Output};
use sp_core::{crypto::Pair, ed25519, storage::StateVersion};
use sp_io::hashing::blake2_128;
use sp_keyring::Sr25519Keyring;
use sp_runtime::traits::Dispatchable;
use std::{cell::RefCell, env, fs, path::PathBuf};
use tfgrid_primitives::{NodeId, ReportKind, report::report_bytes, units::TFT};
use tfgrid_runtime::*;

/// The folder that histories are recorded to.
pub const FOLDER_VARIABLE: &str = "RECORD_HISTORIES";

/// The most bytes of a history that is kept.
const MAX_SEED: usize = 4_096;
/// Steps that are taken of a history.
const MAX_STEPS: usize = 64;
/// Blocks that pass in it.
const MAX_BLOCKS: u32 = 400;
/// How deep calls nest: far less than in a transaction, for more of it says nothing new.
const MAX_DEPTH: u32 = 16;

const PEOPLE: [Sr25519Keyring; 6] = {
    use Sr25519Keyring::*;
    [Alice, Bob, Charlie, Dave, Eve, Ferdie]
};
/// Bytes of a signature.
const SIGNATURE: usize = 64;
/// Machines whose keys are known.
const MACHINES: u8 = 8;

/// The first byte of a chain that starts with nothing but its genesis; others have a farm with a machine, too,
/// and two customers.
const BARE: u8 = 0;

/// First bytes of steps; lower ones are people.
const GOVERNANCE: u8 = 6;
const MACHINE: u8 = 7;
const TIME: u8 = 8;
/// How many there are; any byte is one of them.
const KINDS: u8 = 9;

/// What happens next.
#[derive(Clone, Debug)]
pub enum Step {
    /// A person makes a call.
    Person(Sr25519Keyring, RuntimeCall),
    /// Root makes a call.
    Governance(RuntimeCall),
    /// A machine signs a report and sends it.
    Report(RuntimeCall),
    /// Blocks pass.
    Time(u8),
}

impl Step {
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let call = |bytes: &mut &[u8]| RuntimeCall::decode_with_depth_limit(MAX_DEPTH, bytes).ok();
        match u8::decode(bytes).ok()? % KINDS {
            GOVERNANCE => call(bytes).map(Self::Governance),
            MACHINE => call(bytes).map(Self::Report),
            person if person < GOVERNANCE => Some(Self::Person(PEOPLE[usize::from(person)], call(bytes)?)),
            _ => u8::decode(bytes).ok().map(Self::Time),
        }
    }

    fn write(&self, history: &mut Vec<u8>) {
        let number = |who| PEOPLE.iter().position(|person| *person == who);
        match self {
            Self::Person(who, call) => {
                let Some(who) = number(*who) else { return };
                (who as u8, call).encode_to(history);
            }
            Self::Governance(call) => (GOVERNANCE, call).encode_to(history),
            Self::Report(call) => (MACHINE, call).encode_to(history),
            Self::Time(blocks) => (TIME, blocks).encode_to(history),
        }
    }

    /// Carries the step out. What comes of it is for the invariants to judge.
    fn take(self, blocks_left: &mut u32) {
        match self {
            Self::Person(Alice, RuntimeCall::Sudo(pallet_sudo::Call::sudo { call })) => govern(*call),
            Self::Person(who, call) => dispatch(call, RuntimeOrigin::signed(who.to_account_id())),
            Self::Governance(call) => govern(call),
            Self::Report(call) => {
                let _ = signed(call).map(report);
            }
            Self::Time(blocks) => {
                let blocks = u32::from(blocks).min(*blocks_left);
                *blocks_left -= blocks;
                (0..blocks).for_each(|_| block(vec![]));
            }
        }
    }
}

/// The steps of a history, as far as its bytes make sense, and how many bytes those are.
pub fn read(history: &[u8]) -> (Vec<Step>, usize) {
    let mut rest = history.get(1..).unwrap_or_default();
    let mut steps = vec![];
    let mut understood = history.len() - rest.len();
    while let Some(step) = Step::read(&mut rest) {
        steps.push(step);
        understood = history.len() - rest.len();
    }
    (steps, understood)
}

/// Carries a history out on a fresh chain.
///
/// # Panics
///
/// When an invariant is broken, a failed call has changed something, TFT was made, or a call panics.
pub fn play(history: &[u8]) {
    let world = history.first().copied().unwrap_or(BARE);
    externalities().execute_with(|| {
        block(vec![]);
        if world != BARE {
            people();
        }
        // Root itself could break any invariant; what it may do here is what governance does.
        pallet_sudo::Key::<Runtime>::kill();
        let mut blocks_left = MAX_BLOCKS;
        for step in read(history).0.into_iter().take(MAX_STEPS) {
            step.take(&mut blocks_left);
            check_invariants();
        }
    });
}

fn people() {
    farm_with_ticket(2);
    Machine::join(1);
    customer(Bob, 100 * TFT);
    customer(Charlie, 2 * TFT);
}

/// Makes a call of root's that is about the grid.
fn govern(call: RuntimeCall) {
    let is_grid = matches!(
        call,
        RuntimeCall::Billing(_)
            | RuntimeCall::Farms(_)
            | RuntimeCall::Nodes(_)
            | RuntimeCall::Contracts(_)
            | RuntimeCall::Farming(_)
            | RuntimeCall::Validators(_)
            | RuntimeCall::Parameters(_)
    );
    if is_grid {
        dispatch(call, RuntimeOrigin::root());
    }
}

fn dispatch(call: RuntimeCall, origin: RuntimeOrigin) {
    let (before, issuance, events) = (root(), Balances::total_issuance(), System::event_count());
    if call.dispatch(origin).is_err() {
        assert_eq!(root(), before, "a failed call changed something");
    }
    let rewards: Balance = System::events().iter().skip(events as usize).map(reward).sum();
    assert!(Balances::total_issuance() <= issuance + rewards, "TFT was made");
}

/// What farming minted by an event.
fn reward(event: &frame_system::EventRecord<RuntimeEvent, Hash>) -> Balance {
    match event.event {
        RuntimeEvent::Farming(pallet_grid_farming::Event::RewardClaimed { tft, .. }) => tft,
        _ => 0,
    }
}

fn root() -> Vec<u8> {
    sp_io::storage::root(StateVersion::V1)
}

/// A report with the signature of its machine, where that is one whose key is known.
fn signed(call: RuntimeCall) -> Option<RuntimeCall> {
    if let RuntimeCall::Nodes(pallet_grid_nodes::Call::register { registration, .. }) = call {
        let key = machine_key(|key| key.public().0 == registration.node_key)?;
        return Some(register(registration, &ticket(), &key).into());
    }
    let kind = kind_of(&call)?;
    let mut bytes = call.encode();
    let (node, sequence, payload) = parts(&bytes)?;
    let key = machine_key(|key| pallet_grid_nodes::NodeByKey::<Runtime>::get(key.public().0) == Some(node))?;
    let signature = key.sign(&report_bytes(GENESIS, node, kind, sequence, &Bytes(payload)));
    let end = bytes.len() - SIGNATURE;
    bytes[end..].copy_from_slice(signature.as_ref());
    RuntimeCall::decode(&mut &bytes[..]).ok()
}

fn machine_key(is_it: impl Fn(&ed25519::Pair) -> bool) -> Option<ed25519::Pair> {
    (0..MACHINES).map(Machine::key).find(is_it)
}

fn kind_of(call: &RuntimeCall) -> Option<ReportKind> {
    use pallet_grid_contracts::Call as Contract;
    use pallet_grid_nodes::Call as Node;
    Some(match call {
        RuntimeCall::Nodes(Node::heartbeat { .. }) => ReportKind::Heartbeat,
        RuntimeCall::Nodes(Node::report_details { .. }) => ReportKind::Details,
        RuntimeCall::Nodes(Node::report_power { .. }) => ReportKind::Power,
        RuntimeCall::Contracts(Contract::report_deployed { .. }) => ReportKind::Deployed,
        RuntimeCall::Contracts(Contract::report_failed { .. }) => ReportKind::Failed,
        RuntimeCall::Contracts(Contract::report_usage { .. }) => ReportKind::Usage,
        RuntimeCall::Contracts(Contract::report_progress { .. }) => ReportKind::Progress,
        RuntimeCall::Contracts(Contract::report_released { .. }) => ReportKind::Released,
        _ => return None,
    })
}

/// Node, sequence and payload of an encoded report: every report has them in this order, after the two
/// bytes that name the call and before the signature.
fn parts(report: &[u8]) -> Option<(NodeId, u64, &[u8])> {
    let (mut head, payload) = (report.get(2..14)?, report.get(14..report.len().checked_sub(SIGNATURE)?)?);
    let node = NodeId::decode(&mut head).ok()?;
    let sequence = u64::decode(&mut head).ok()?;
    Some((node, sequence, payload))
}

/// Bytes that are encoded already.
struct Bytes<'a>(&'a [u8]);

impl Encode for Bytes<'_> {
    fn encode_to<T: Output + ?Sized>(&self, dest: &mut T) {
        dest.write(self.0);
    }
}

thread_local! {
    static HISTORY: RefCell<Vec<u8>> = const { RefCell::new(vec![]) };
}

fn folder() -> Option<PathBuf> {
    env::var_os(FOLDER_VARIABLE).map(PathBuf::from)
}

/// A test starts on a fresh chain.
pub fn begin() {
    HISTORY.with_borrow_mut(|history| *history = vec![BARE]);
}

/// Writes down a step that a test takes.
pub fn record(step: impl FnOnce() -> Step) {
    if folder().is_some() {
        HISTORY.with_borrow_mut(|history| step().write(history));
    }
}

/// Writes down blocks that pass in a test.
pub fn record_time(ms: u64) {
    let mut blocks = ms.div_ceil(SLOT_DURATION);
    while blocks > 0 {
        let now = blocks.min(u8::MAX.into()) as u8;
        record(|| Step::Time(now));
        blocks -= u64::from(now);
    }
}

/// Keeps the history of a test, if it isn't a long one, named by its content, so that none is kept twice.
pub fn keep() {
    let Some(folder) = folder() else { return };
    HISTORY.with_borrow(|history| {
        if history.len() <= MAX_SEED && (1..=MAX_STEPS).contains(&read(history).0.len()) {
            let name = hex(&blake2_128(history));
            fs::write(folder.join(name), history).expect("the folder can be written to");
        }
    });
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
