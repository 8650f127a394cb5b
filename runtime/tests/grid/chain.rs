// SPDX-License-Identifier: Apache-2.0
//! A chain in memory, and the people and machines on it.

use crate::history::{self, Step};
use codec::Encode;
use frame_support::{
    assert_ok,
    dispatch::GetDispatchInfo,
    storage::{TransactionOutcome, with_transaction},
    traits::Get,
};
use serde_json::Value;
use sp_consensus_aura::AURA_ENGINE_ID;
use sp_core::{H256, Pair, ed25519};
use sp_keyring::Sr25519Keyring;
use sp_runtime::{
    BuildStorage, DispatchError, DispatchResult,
    generic::{Digest, DigestItem, SignedPayload},
    traits::Header as _,
    transaction_validity::{
        InvalidTransaction, TransactionSource, TransactionValidityError, ValidTransaction,
    },
};
use tfgrid_primitives::{
    Body, Charge, ContractId, Deadline, FailureCode, FarmId, Features, NodeId, Refusal, Registration,
    ReportKind, Resources, TwinId, UnixSeconds, UsdRate,
    clock::HALT_CAP_MS,
    report::{
        DeployedPayload, DetailsPayload, FailedPayload, Failure, HeartbeatPayload, PowerPayload, PowerState,
        ProgressPayload, ReleasedPayload, UsagePayload,
    },
    ticket::{Isolation, opening_bytes},
    traits::{Agenda as _, Clock as _, ContractPrice, Ledger as _, NodeDirectory, Service},
    units::{GIB, TFT},
};
use tfgrid_runtime::*;

pub use Sr25519Keyring::{Alice, Bob, Charlie};

const START_MS: u64 = 1_700_000_001_000 / SLOT_DURATION * SLOT_DURATION;
/// The public traffic that machines can carry: 10 Gbit/s.
pub const BYTES_PER_SECOND: u64 = 1_250_000_000;
pub const GENESIS: H256 = H256([42; 32]);

/// A transaction that the pool refused.
pub type Refused = TransactionValidityError;

/// Runs `test` on a fresh development chain, one block old, and checks every invariant afterwards.
pub fn run(test: impl FnOnce()) {
    history::begin();
    externalities().execute_with(|| {
        block(vec![]);
        test();
        check_invariants();
    });
    history::keep();
}

/// A fresh development chain, without a block.
pub fn externalities() -> sp_io::TestExternalities {
    genesis_of(&genesis::DEVELOPMENT.into()).build_storage().unwrap().into()
}

/// What a chain of this preset starts with: the preset says how it differs from the default.
pub fn genesis_of(preset: &sp_genesis_builder::PresetId) -> RuntimeGenesisConfig {
    let preset = genesis::preset(preset).unwrap();
    let mut config = serde_json::to_value(RuntimeGenesisConfig::default()).unwrap();
    merge(&mut config, serde_json::from_slice(&preset).unwrap());
    serde_json::from_value(config).unwrap()
}

fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch,
    }
}

/// Every invariant of every pallet, and those between them.
pub fn check_invariants() {
    Twins::do_try_state().unwrap();
    Farms::do_try_state().unwrap();
    Nodes::do_try_state().unwrap();
    Contracts::do_try_state().unwrap();
    Clock::do_try_state().unwrap();
    Billing::do_try_state().unwrap();
    Validators::do_try_state().unwrap();
    Farming::do_try_state().unwrap();
    for node in pallet_grid_nodes::Nodes::<Runtime>::iter_keys() {
        let reserved = pallet_grid_nodes::Reserved::<Runtime>::get(node);
        assert_eq!(reserved.resources, Contracts::reserved_on(node), "reserved isn't the contracts' sum");
        let listed = pallet_grid_contracts::NodeContracts::<Runtime>::iter_key_prefix(node).count();
        assert_eq!(reserved.contracts as usize, listed, "the node's count isn't the contracts'");
    }
    for (node, live) in pallet_grid_nodes::LivenessOf::<Runtime>::iter() {
        assert!(Clock::is_armed(live.check_at, Deadline::Silence(node)), "nobody looks at a node");
    }
    let armed = |kind: fn(&Deadline) -> bool| {
        let keys = pallet_grid_clock::Deadlines::<Runtime>::iter_keys();
        keys.map(|key| key.deadline).filter(kind).count()
    };
    let mut drains = 0;
    for (node, record) in pallet_grid_nodes::Nodes::<Runtime>::iter() {
        let Some(drain) = record.settings.drain.filter(|drain| drain.deadline > Clock::grid_now()) else {
            continue;
        };
        assert!(Clock::is_armed(drain.deadline, Deadline::Drain(node)), "a drain would never end");
        drains += 1;
    }
    assert_eq!(armed(|d| matches!(d, Deadline::Drain(_))), drains, "a drain ends twice");
    let nodes = pallet_grid_nodes::Nodes::<Runtime>::iter_keys().count();
    assert_eq!(armed(|d| matches!(d, Deadline::Silence(_))), nodes, "a node is looked at twice");
    let awaited: Vec<_> = pallet_grid_contracts::Contracts::<Runtime>::iter()
        .filter_map(|(id, contract)| contract.awaited().map(|answer| (id, answer.by)))
        .collect();
    let watched = awaited.iter().all(|(id, by)| Clock::is_armed(*by, Deadline::Answer(*id)));
    assert!(watched, "nobody looks at an unanswered contract");
    assert_eq!(armed(|d| matches!(d, Deadline::Answer(_))), awaited.len(), "an answer is awaited twice");
    let dust = Billing::dust().expect("the pot covers everything");
    assert_eq!(dust.whole(), 0, "a unit of the pot is nobody's");
    addresses_have_one_contract();
    nobody_pays_a_silent_node();
    let closed = pallet_grid_contracts::ClosedContracts::<Runtime>::iter_keys().count();
    assert_eq!(armed(|d| matches!(d, Deadline::Tombstone(_))), closed, "a tombstone would stay");
    for (id, closed) in pallet_grid_contracts::ClosedContracts::<Runtime>::iter() {
        let billed = ((billed(id).tft).whole(), billed(id).usd);
        // The oldest month of a long life has been dropped.
        let whole = !Billing::bill(id).is_full();
        assert!(!whole || billed == (closed.tft, closed.usd), "a bill isn't what its contract was charged");
    }
    for (id, contract) in pallet_grid_contracts::Contracts::<Runtime>::iter() {
        let account = pallet_grid_billing::LedgerAccounts::<Runtime>::get(id).expect("an account");
        assert_eq!(account.payer, contract.twin);
        let deployed = contract.state == pallet_grid_contracts::ContractState::Deployed;
        assert_eq!(account.started_at.is_some(), deployed, "started and deployed aren't the same");
        let pending = contract.deployment().is_some_and(|deployment| deployment.pending.is_some());
        assert_eq!(account.proposal.is_some(), pending, "proposed and pending aren't the same");
    }
    let open = pallet_grid_contracts::Contracts::<Runtime>::iter_keys().count();
    assert_eq!(
        pallet_grid_billing::LedgerAccounts::<Runtime>::iter_keys().count(),
        open,
        "an account is left"
    );
}

/// What an open contract costs.
pub fn price_of(contract: ContractId) -> ContractPrice {
    Billing::price_of(contract).unwrap()
}

/// Where a node serves nobody and no sweep is to come, none of its contracts is charged.
fn nobody_pays_a_silent_node() {
    for (id, charged) in
        pallet_grid_billing::LedgerAccounts::<Runtime>::iter().filter(|(_, charged)| charged.is_charged)
    {
        let Some(node) = charged.node else { continue };
        let silent = Nodes::facts(node).is_some_and(|facts| facts.service == Service::Suspended);
        let swept = pallet_grid_clock::Deadlines::<Runtime>::iter_keys()
            .any(|key| key.deadline == Deadline::Sweep(node));
        assert!(!silent || swept, "contract {id} is charged for on a node that serves nobody");
    }
}

/// An address is taken by an open contract that asked for as many, or cools down after one.
fn addresses_have_one_contract() {
    for (id, ips) in pallet_grid_farms::ContractIps::<Runtime>::iter() {
        for due in ips.iter().filter_map(|held| held.cools_until) {
            assert!(Clock::is_armed(due, Deadline::CoolDown(id)), "an address would cool down for ever");
        }
        match pallet_grid_contracts::Contracts::<Runtime>::get(id) {
            Some(contract) => {
                let pending = contract.deployment().and_then(|deployment| deployment.pending.as_ref());
                let needed = price_of(id).public_ips.max(pending.map_or(0, |pending| pending.public_ips));
                let kept = ips.iter().filter(|held| held.cools_until.is_none()).count();
                assert_eq!(kept, usize::from(needed), "a contract has other addresses than it needs");
            }
            None => {
                assert!(ips.iter().all(|held| held.cools_until.is_some()), "an address is lost")
            }
        }
    }
    for id in pallet_grid_contracts::Contracts::<Runtime>::iter_keys() {
        let has_some = pallet_grid_farms::ContractIps::<Runtime>::contains_key(id);
        assert!(has_some || price_of(id).public_ips == 0, "an address is missing");
    }
}

/// One block, a slot after the last, with these transactions, which the pool has checked.
pub fn block(transactions: Vec<UncheckedExtrinsic>) {
    for outcome in block_after(SLOT_DURATION, transactions) {
        outcome.unwrap().unwrap();
    }
}

/// One block, `ms` after the last; says what became of each transaction.
pub fn block_after(ms: u64, transactions: Vec<UncheckedExtrinsic>) -> Vec<Result<DispatchResult, Refused>> {
    let number = System::block_number() + 1;
    let timestamp = (Timestamp::get() + ms).max(START_MS);
    let slot = sp_consensus_aura::Slot::from(timestamp / SLOT_DURATION);
    let digest = Digest { logs: vec![DigestItem::PreRuntime(AURA_ENGINE_ID, slot.encode())] };
    let parent = if number == 1 { GENESIS } else { H256::from_low_u64_be(number.into()) };
    let header = Header::new(number, Default::default(), Default::default(), parent, digest);
    Executive::initialize_block(&header);
    let inherent = RuntimeCall::Timestamp(pallet_timestamp::Call::set { now: timestamp });
    apply(bare(inherent)).unwrap().unwrap();
    Executive::inherents_applied();
    let outcomes = transactions.into_iter().map(apply).collect();
    Executive::finalize_block();
    outcomes
}

/// Transfers that take nearly a quarter of a block by themselves.
pub fn nearly_a_quarter() -> RuntimeCall {
    let dest = Sr25519Keyring::Alice.to_account_id().into();
    let one = RuntimeCall::from(pallet_balances::Call::transfer_keep_alive { dest, value: 1 });
    let quarter = <Runtime as frame_system::Config>::BlockWeights::get().max_block.ref_time() / 4;
    let count = quarter * 8 / 10 / one.get_dispatch_info().call_weight.ref_time();
    pallet_utility::Call::batch_all { calls: vec![one; count as usize] }.into()
}

/// Blocks until `ms` have passed.
pub fn pass(ms: u64) {
    history::record_time(ms);
    let until = Timestamp::get() + ms;
    while Timestamp::get() < until {
        block(vec![]);
    }
}

/// As [`pass`], with as few blocks as the clocks need to see all of it.
pub fn pass_quickly(ms: u64) {
    history::record_time(ms);
    let until = Timestamp::get() + ms;
    while Timestamp::get() < until {
        let left = (until - Timestamp::get()).div_ceil(SLOT_DURATION) * SLOT_DURATION;
        block_after(left.min(HALT_CAP_MS), vec![]);
    }
}

fn apply(transaction: UncheckedExtrinsic) -> Result<DispatchResult, Refused> {
    Executive::apply_extrinsic(transaction)
}

/// Whether the pool takes a transaction.
pub fn validate(transaction: UncheckedExtrinsic) -> Result<(), Refused> {
    validity(transaction).map(drop)
}

/// The pool's answer on a transaction.
pub fn validity(transaction: UncheckedExtrinsic) -> Result<ValidTransaction, Refused> {
    with_transaction(|| {
        let validity =
            Executive::validate_transaction(TransactionSource::External, transaction, System::parent_hash());
        TransactionOutcome::Rollback(Ok::<_, DispatchError>(validity))
    })
    .unwrap()
}

/// A call in a transaction that a person signs and pays for.
pub fn signed(who: Sr25519Keyring, call: impl Into<RuntimeCall>) -> UncheckedExtrinsic {
    let nonce = System::account_nonce(who.to_account_id());
    let payload = SignedPayload::new(call.into(), extensions(nonce)).unwrap();
    let signature = payload.using_encoded(|bytes| who.sign(bytes));
    let (call, extensions, _) = payload.deconstruct();
    UncheckedExtrinsic::new_signed(call, who.to_account_id().into(), signature.into(), extensions)
}

/// A call without a signer: of a machine, it carries its own authorisation.
pub fn bare(call: impl Into<RuntimeCall>) -> UncheckedExtrinsic {
    UncheckedExtrinsic::new_bare(call.into())
}

/// Offers a report to the pool and, if it is taken, makes the block that has it; what falls due in that block
/// comes first and may leave the report without its object.
pub fn report(call: impl Into<RuntimeCall>) -> Result<(), Refused> {
    let call = call.into();
    history::record(|| Step::Report(call.clone()));
    let transaction = bare(call);
    validate(transaction.clone())?;
    for outcome in block_after(SLOT_DURATION, vec![transaction]) {
        outcome?.unwrap();
    }
    Ok(())
}

/// Asserts that the pool refuses a report for this reason, and that nothing changed.
#[track_caller]
pub fn assert_refused(call: impl Into<RuntimeCall>, refusal: Refusal) {
    let expected = InvalidTransaction::Custom(refusal as u8).into();
    assert_eq!(validate(bare(call)), Err(expected), "expected: {}", refusal.text());
}

/// A call of a person.
pub fn call(who: Sr25519Keyring, call: impl Into<RuntimeCall>) -> DispatchResult {
    use sp_runtime::traits::Dispatchable;
    let call = call.into();
    history::record(|| Step::Person(who, call.clone()));
    let origin = RuntimeOrigin::signed(who.to_account_id());
    frame_support::storage::with_storage_layer(|| call.dispatch(origin).map(drop).map_err(|e| e.error))
}

/// Asserts that a person's call fails with `error` and changes nothing.
#[track_caller]
pub fn assert_fails(who: Sr25519Keyring, what: impl Into<RuntimeCall>, error: impl Into<DispatchError>) {
    let before = sp_io::storage::root(sp_core::storage::StateVersion::V1);
    assert_eq!(call(who, what), Err(error.into()));
    assert_eq!(
        before,
        sp_io::storage::root(sp_core::storage::StateVersion::V1),
        "a failed call changed something"
    );
}

/// A machine with its keys.
pub struct Machine {
    pub key: ed25519::Pair,
    pub id: NodeId,
    pub sequence: u64,
}

/// A farmer's ticket.
pub fn ticket() -> ed25519::Pair {
    ed25519::Pair::from_seed(&[1; 32])
}

pub fn capacity() -> Resources {
    Resources { cru: 8, mru: 16 * GIB, sru: 100 * GIB, ..Resources::ZERO }
}

/// A registration of a machine with this key by this ticket, valid now.
pub fn registration(ticket: &ed25519::Pair, key: &ed25519::Pair) -> Registration {
    Registration {
        ticket: ticket.public().0,
        node_key: key.public().0,
        peer_key: [3; 32],
        encryption_key: [4; 32],
        resources: capacity(),
        isolation: Isolation::Container,
        valid_until: Timestamp::get() / 1_000 + 600,
    }
}

/// The call that registers, signed by both keys.
pub fn register(
    registration: Registration,
    ticket: &ed25519::Pair,
    key: &ed25519::Pair,
) -> pallet_grid_nodes::Call<Runtime> {
    let bytes = registration.signing_bytes(GENESIS);
    pallet_grid_nodes::Call::register {
        registration,
        ticket_signature: ticket.sign(&bytes),
        node_signature: key.sign(&bytes),
    }
}

/// Alice's twin and farm, and an open ticket of it.
pub fn farm_with_ticket(nodes: u32) {
    let twin = pallet_grid_twins::Call::create { peer_keys: Default::default(), encryption_key: None };
    assert_ok!(call(Alice, twin));
    assert_ok!(call(Alice, pallet_grid_farms::Call::create { name: b"sunny".to_vec().try_into().unwrap() }));
    let expires = Timestamp::get() / 1_000 + 86_400;
    assert_ok!(call(Alice, open_ticket(1, &ticket(), nodes, expires)));
}

/// Opens a boot ticket for a farm.
pub fn open_ticket(
    farm: FarmId,
    ticket: &ed25519::Pair,
    nodes: u32,
    expires: UnixSeconds,
) -> pallet_grid_farms::Call<Runtime> {
    let proof = ticket.sign(&opening_bytes(System::block_hash(0), farm));
    pallet_grid_farms::Call::open_ticket { farm, ticket: ticket.public().0, nodes, expires, proof }
}

impl Machine {
    /// The key of machine `n`, before it has an id.
    pub fn key(n: u8) -> ed25519::Pair {
        ed25519::Pair::from_seed(&[100 + n; 32])
    }

    /// A machine that has joined Alice's farm.
    pub fn join(n: u8) -> Self {
        let key = Self::key(n);
        report(register(registration(&ticket(), &key), &ticket(), &key)).unwrap();
        let id = pallet_grid_nodes::NodeByKey::<Runtime>::get(key.public().0).unwrap();
        Self { key, id, sequence: 0 }
    }

    /// What the machine signs a report with.
    pub fn sign(&mut self, kind: ReportKind, payload: &impl Encode) -> (u64, ed25519::Signature) {
        self.sequence += 1;
        let bytes = tfgrid_primitives::report::report_bytes(GENESIS, self.id, kind, self.sequence, payload);
        (self.sequence, self.key.sign(&bytes))
    }

    pub fn heartbeat(&mut self) -> pallet_grid_nodes::Call<Runtime> {
        self.heartbeat_of(1)
    }

    /// A heartbeat of the boot with this nonce.
    pub fn heartbeat_of(&mut self, boot_nonce: u64) -> pallet_grid_nodes::Call<Runtime> {
        let payload = HeartbeatPayload { boot_nonce };
        let (sequence, signature) = self.sign(ReportKind::Heartbeat, &payload);
        pallet_grid_nodes::Call::heartbeat { node: self.id, sequence, payload, signature }
    }

    pub fn details(&mut self, resources: Resources) -> pallet_grid_nodes::Call<Runtime> {
        let payload = DetailsPayload { resources, ..details() };
        let (sequence, signature) = self.sign(ReportKind::Details, &payload);
        pallet_grid_nodes::Call::report_details { node: self.id, sequence, payload, signature }
    }

    pub fn power(&mut self, state: PowerState) -> pallet_grid_nodes::Call<Runtime> {
        let payload = PowerPayload { state };
        let (sequence, signature) = self.sign(ReportKind::Power, &payload);
        pallet_grid_nodes::Call::report_power { node: self.id, sequence, payload, signature }
    }

    /// Time passes in which the machine is heard from.
    pub fn serve(&mut self, ms: u64) {
        let until = Timestamp::get() + ms;
        // As rarely as it can without falling silent, but at its interval in the end.
        while Timestamp::get() + 4 * heartbeat_ms() < until {
            pass_quickly(heartbeat_ms());
            // Grid time stands still in a block that turns the session; the next one makes up for it.
            block(vec![]);
            report(self.heartbeat()).unwrap();
        }
        while Timestamp::get() + heartbeat_ms() < until {
            pass(heartbeat_ms() - SLOT_DURATION);
            report(self.heartbeat()).unwrap();
        }
        pass(until.saturating_sub(Timestamp::get()));
    }

    pub fn deployed(&mut self, contract: ContractId, result: &[u8]) -> pallet_grid_contracts::Call<Runtime> {
        let (version, body_hash) = wanted(contract).unwrap_or((1, H256::zero()));
        let result = result.to_vec().try_into().unwrap();
        self.deployed_with(DeployedPayload { contract, version, body_hash, result })
    }

    pub fn deployed_with(&mut self, payload: DeployedPayload) -> pallet_grid_contracts::Call<Runtime> {
        let (sequence, signature) = self.sign(ReportKind::Deployed, &payload);
        pallet_grid_contracts::Call::report_deployed { node: self.id, sequence, payload, signature }
    }

    pub fn failed(
        &mut self,
        contract: ContractId,
        code: FailureCode,
    ) -> pallet_grid_contracts::Call<Runtime> {
        let path = b"/workloads/0".to_vec().try_into().unwrap();
        let text = b"no such manifest".to_vec().try_into().unwrap();
        let version = wanted(contract).map_or(1, |(version, _)| version);
        let payload = FailedPayload { contract, failure: Failure { version, code, path, text } };
        let (sequence, signature) = self.sign(ReportKind::Failed, &payload);
        pallet_grid_contracts::Call::report_failed { node: self.id, sequence, payload, signature }
    }

    pub fn progress(&mut self, contract: ContractId, version: u32) -> pallet_grid_contracts::Call<Runtime> {
        let payload = ProgressPayload { contract, version };
        let (sequence, signature) = self.sign(ReportKind::Progress, &payload);
        pallet_grid_contracts::Call::report_progress { node: self.id, sequence, payload, signature }
    }

    pub fn released(&mut self, contract: ContractId) -> pallet_grid_contracts::Call<Runtime> {
        let payload = ReleasedPayload { contract };
        let (sequence, signature) = self.sign(ReportKind::Released, &payload);
        pallet_grid_contracts::Call::report_released { node: self.id, sequence, payload, signature }
    }

    pub fn usage(&mut self, payload: UsagePayload) -> pallet_grid_contracts::Call<Runtime> {
        let (sequence, signature) = self.sign(ReportKind::Usage, &payload);
        pallet_grid_contracts::Call::report_usage { node: self.id, sequence, payload, signature }
    }
}

/// The version that a node is to deploy, and the hash of its body.
fn wanted(contract: ContractId) -> Option<(u32, H256)> {
    let record = pallet_grid_contracts::Contracts::<Runtime>::get(contract)?;
    let deployment = record.deployment()?;
    let pending = deployment.pending.as_ref().map(|pending| (pending.version, pending.body_hash));
    Some(pending.unwrap_or((deployment.version, deployment.body_hash)))
}

/// A person's free or held money.
pub fn held(who: Sr25519Keyring, reason: impl Into<RuntimeHoldReason>) -> Balance {
    use frame_support::traits::fungible::InspectHold;
    Balances::balance_on_hold(&reason.into(), &who.to_account_id())
}

/// What is left of a twin's credit, in 1e-7 TFT.
pub fn credit(twin: TwinId) -> Balance {
    Billing::settled_payer(twin).credit.whole()
}

/// Counts `amount` towards the standing of an account.
pub fn has_paid(who: Sr25519Keyring, amount: Balance) {
    let standing = pallet_grid_billing::Standing { paid: amount, refunded: 0 };
    pallet_grid_billing::Standings::<Runtime>::insert(who.to_account_id(), standing);
}

/// What a contract's months come to.
pub fn billed(contract: ContractId) -> Charge {
    Billing::bill(contract).iter().fold(Charge::default(), |sum, month| sum.plus(&month.charge))
}

/// A deployed contract for `resources` of node 1; answers with its id.
pub fn deployed(machine: &mut Machine, who: Sr25519Keyring, resources: Resources) -> ContractId {
    assert_ok!(call(who, create(machine.id, resources)));
    let id = pallet_grid_contracts::LastContractId::<Runtime>::get();
    report(machine.deployed(id, b"{}")).unwrap();
    id
}

/// Gives a person a twin with credit.
pub fn customer(who: Sr25519Keyring, credit: Balance) -> TwinId {
    let twin = pallet_grid_twins::Call::create { peer_keys: Default::default(), encryption_key: None };
    assert_ok!(call(who, twin));
    let twin = pallet_grid_twins::TwinByAccount::<Runtime>::get(who.to_account_id()).unwrap();
    assert_ok!(call(who, pallet_grid_billing::Call::deposit { twin, amount: credit }));
    twin
}

/// Two cores, two Gi of memory, fifteen of disk: 0.01 USD and a bit per hour.
pub fn small() -> Resources {
    Resources { cru: 2, mru: 2 * GIB, sru: 15 * GIB, ..Resources::ZERO }
}

/// A call that asks `node` for `resources`.
pub fn create(node: NodeId, resources: Resources) -> pallet_grid_contracts::Call<Runtime> {
    pallet_grid_contracts::Call::create_node_contract {
        node,
        resources,
        body: Body::Plain(b"{}".to_vec()),
        public_ips: 0,
        networks: Default::default(),
        traffic_gb: 0,
        max_usd_rate: u64::MAX,
    }
}

/// The body that [`update`] asks for.
pub const NEW_BODY: &[u8] = b"{ }";

/// A call that asks for other `resources`, without addresses and networks.
pub fn update(contract: ContractId, resources: Resources) -> pallet_grid_contracts::Call<Runtime> {
    pallet_grid_contracts::Call::update_node_contract {
        contract,
        resources,
        body: Body::Plain(NEW_BODY.to_vec()),
        public_ips: 0,
        networks: Default::default(),
        max_usd_rate: u64::MAX,
    }
}

/// The call with which an owner ends a contract.
pub fn cancel(contract: ContractId) -> pallet_grid_contracts::Call<Runtime> {
    pallet_grid_contracts::Call::cancel { contract, reason: pallet_grid_contracts::CancelReason::Cancelled }
}

/// What [`run_with_node`]'s customer pays in: too little for a discount on what these tests rent.
pub const CREDIT: Balance = 200 * TFT;

/// A chain with one node and Bob as a customer with [`CREDIT`]; runs `test` with both.
pub fn run_with_node(test: impl FnOnce(Machine, TwinId)) {
    run_with_credit(CREDIT, test);
}

/// The same with another credit, in 1e-7 TFT.
pub fn run_with_credit(credit: Balance, test: impl FnOnce(Machine, TwinId)) {
    run(|| {
        farm_with_ticket(1);
        let machine = Machine::join(1);
        let details = pallet_grid_nodes::MachineDetails::from(details());
        pallet_grid_nodes::Details::<Runtime>::insert(machine.id, details);
        let bob = customer(Bob, credit);
        test(machine, bob);
    })
}

/// Details of a machine that serves all that contracts can ask for.
fn details() -> DetailsPayload {
    DetailsPayload { bytes_per_second: BYTES_PER_SECOND, features: Features::ALL, ..Default::default() }
}

/// What an hour at this rate (1e-10 USD per hour) costs at [`run_with_node`]'s 20 TFT per USD, in 1e-7 TFT.
pub fn an_hour_of(rate: UsdRate) -> Balance {
    u128::from(rate) * 20 * TFT / 10_000_000_000
}

pub fn heartbeat_ms() -> u64 {
    parameters::HeartbeatInterval::get()
}
