// SPDX-License-Identifier: Apache-2.0
//! A chain in memory, and the people and machines on it.

use codec::Encode;
use frame_support::{
    assert_ok,
    storage::{with_transaction, TransactionOutcome},
    traits::Get,
};
use serde_json::Value;
use sp_consensus_aura::AURA_ENGINE_ID;
use sp_core::{ed25519, Pair, H256};
use sp_keyring::Sr25519Keyring;
use sp_runtime::{
    generic::{Digest, DigestItem, Era},
    traits::Header as _,
    transaction_validity::{InvalidTransaction, TransactionSource, TransactionValidityError},
    BuildStorage, DispatchError, DispatchResult,
};
use tfgrid_primitives::{
    report::{
        DeployedPayload, DetailsPayload, FailedPayload, HeartbeatPayload, PowerPayload, PowerState,
        UsagePayload,
    },
    ticket::Isolation,
    traits::Clock,
    units::{GIB, TFT},
    Body, ContractId, Deadline, FailureCode, NodeId, Refusal, Registration, ReportKind, Resources, TwinId,
};
use tfgrid_runtime::*;

pub use Sr25519Keyring::{Alice, Bob, Charlie};

const START_MS: u64 = 1_700_000_001_000 / SLOT_DURATION * SLOT_DURATION;
pub const GENESIS: H256 = H256([42; 32]);

/// A transaction that the pool refused.
pub type Refused = TransactionValidityError;

/// Runs `test` on a fresh development chain, one block old, and checks every law afterwards.
pub fn run(test: impl FnOnce()) {
    externalities().execute_with(|| {
        block(vec![]);
        test();
        check_laws();
    });
}

fn externalities() -> sp_io::TestExternalities {
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

/// Every law of every pallet, and those between them.
pub fn check_laws() {
    Twins::do_try_state().unwrap();
    Farms::do_try_state().unwrap();
    Nodes::do_try_state().unwrap();
    Contracts::do_try_state().unwrap();
    Billing::do_try_state().unwrap();
    Validators::do_try_state().unwrap();
    for node in pallet_nodes::Nodes::<Runtime>::iter_keys() {
        let reserved = pallet_nodes::Reserved::<Runtime>::get(node);
        assert_eq!(reserved.resources, Contracts::reserved_on(node), "reserved isn't the contracts' sum");
        let listed = pallet_contracts::NodeContracts::<Runtime>::iter_key_prefix(node).count();
        assert_eq!(reserved.contracts as usize, listed, "the node's count isn't the contracts'");
    }
    for (node, live) in pallet_nodes::Liveliness::<Runtime>::iter() {
        assert!(Billing::is_armed(live.check_at, Deadline::Silence(node)), "nobody looks at a node");
    }
    let armed = |kind: fn(&Deadline) -> bool| {
        let keys = pallet_billing::Deadlines::<Runtime>::iter_keys();
        keys.filter_map(|key| key.deadline()).filter(kind).count()
    };
    let mut drains = 0;
    for (node, record) in pallet_nodes::Nodes::<Runtime>::iter() {
        let Some(drain) = record.terms.drain.filter(|drain| drain.deadline > Billing::grid_now()) else {
            continue;
        };
        assert!(Billing::is_armed(drain.deadline, Deadline::Drain(node)), "a drain would never end");
        drains += 1;
    }
    assert_eq!(armed(|d| matches!(d, Deadline::Drain(_))), drains, "a drain ends twice");
    let nodes = pallet_nodes::Nodes::<Runtime>::iter_keys().count();
    assert_eq!(armed(|d| matches!(d, Deadline::Silence(_))), nodes, "a node is looked at twice");
    let created = pallet_contracts::ContractState::Created;
    let unanswered: Vec<_> =
        pallet_contracts::Contracts::<Runtime>::iter().filter(|(_, c)| c.state == created).collect();
    let awaited = unanswered.iter().all(|(id, c)| Billing::is_armed(c.answer_by, Deadline::Answer(*id)));
    assert!(awaited, "nobody looks at an unanswered contract");
    assert_eq!(armed(|d| matches!(d, Deadline::Answer(_))), unanswered.len(), "an answer is awaited twice");
    let closed = pallet_contracts::Closed::<Runtime>::iter_keys().count();
    assert_eq!(armed(|d| matches!(d, Deadline::Tombstone(_))), closed, "a tombstone would stay");
    for (id, contract) in pallet_contracts::Contracts::<Runtime>::iter() {
        let charged = pallet_billing::Accruals::<Runtime>::get(id);
        let deployed = contract.state == pallet_contracts::ContractState::Deployed;
        assert_eq!(charged.is_some(), deployed, "charged and deployed aren't the same");
        if let Some(charged) = charged {
            assert_eq!((charged.payer, charged.accrual.rates), (contract.twin, contract.rates));
        }
    }
}

/// One block, a slot after the last, with these transactions, which the pool has checked.
pub fn block(transactions: Vec<UncheckedExtrinsic>) {
    let number = System::block_number() + 1;
    let timestamp = (Timestamp::get() + SLOT_DURATION).max(START_MS);
    let slot = sp_consensus_aura::Slot::from(timestamp / SLOT_DURATION);
    let digest = Digest { logs: vec![DigestItem::PreRuntime(AURA_ENGINE_ID, slot.encode())] };
    let parent = if number == 1 { GENESIS } else { H256::from_low_u64_be(number.into()) };
    let header = Header::new(number, Default::default(), Default::default(), parent, digest);
    Executive::initialize_block(&header);
    let inherent = RuntimeCall::Timestamp(pallet_timestamp::Call::set { now: timestamp });
    apply(UncheckedExtrinsic::new_bare(inherent)).unwrap().unwrap();
    Executive::inherents_applied();
    for transaction in transactions {
        apply(transaction).unwrap().unwrap();
    }
    Executive::finalize_block();
}

/// Blocks until `ms` have passed.
pub fn pass(ms: u64) {
    let until = Timestamp::get() + ms;
    while Timestamp::get() < until {
        block(vec![]);
    }
}

fn apply(transaction: UncheckedExtrinsic) -> Result<DispatchResult, Refused> {
    Executive::apply_extrinsic(transaction)
}

/// What the pool says of a transaction.
pub fn validate(transaction: UncheckedExtrinsic) -> Result<(), Refused> {
    with_transaction(|| {
        let validity =
            Executive::validate_transaction(TransactionSource::External, transaction, System::parent_hash());
        TransactionOutcome::Rollback(Ok::<_, DispatchError>(validity))
    })
    .unwrap()
    .map(drop)
}

fn extensions(nonce: Nonce) -> TxExtension {
    (
        frame_system::AuthorizeCall::new(),
        frame_system::CheckNonZeroSender::new(),
        frame_system::CheckSpecVersion::new(),
        frame_system::CheckTxVersion::new(),
        frame_system::CheckGenesis::new(),
        frame_system::CheckEra::from(Era::Immortal),
        frame_system::CheckNonce::from(nonce),
        frame_system::CheckWeight::new(),
        pallet_transaction_payment::ChargeTransactionPayment::from(0),
        frame_metadata_hash_extension::CheckMetadataHash::new(false),
        frame_system::WeightReclaim::new(),
    )
}

/// A call that carries its own authorisation.
pub fn general(call: impl Into<RuntimeCall>) -> UncheckedExtrinsic {
    UncheckedExtrinsic::new_transaction(call.into(), extensions(0))
}

/// Offers a report to the pool and, if it is taken, makes the block that has it.
pub fn report(call: impl Into<RuntimeCall>) -> Result<(), Refused> {
    let transaction = general(call);
    validate(transaction.clone())?;
    block(vec![transaction]);
    Ok(())
}

/// Asserts that the pool refuses a report for this reason, and that nothing changed.
#[track_caller]
pub fn assert_refused(call: impl Into<RuntimeCall>, refusal: Refusal) {
    let expected = InvalidTransaction::Custom(refusal as u8).into();
    assert_eq!(validate(general(call)), Err(expected), "expected: {}", refusal.text());
}

/// A call of a person.
pub fn call(who: Sr25519Keyring, call: impl Into<RuntimeCall>) -> DispatchResult {
    use sp_runtime::traits::Dispatchable;
    let origin = RuntimeOrigin::signed(who.to_account_id());
    frame_support::storage::with_storage_layer(|| call.into().dispatch(origin).map(drop).map_err(|e| e.error))
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
) -> pallet_nodes::Call<Runtime> {
    let bytes = registration.signing_bytes(GENESIS);
    pallet_nodes::Call::register {
        registration,
        ticket_signature: ticket.sign(&bytes),
        node_signature: key.sign(&bytes),
    }
}

/// Alice's twin and farm, and an open ticket of it.
pub fn farm_with_ticket(nodes: u32) {
    let twin = pallet_twins::Call::create { peer_keys: Default::default(), encryption_key: None };
    assert_ok!(call(Alice, twin));
    assert_ok!(call(Alice, pallet_farms::Call::create { name: b"sunny".to_vec().try_into().unwrap() }));
    let expires = Timestamp::get() / 1_000 + 86_400;
    let open = pallet_farms::Call::open_ticket { farm: 1, ticket: ticket().public().0, nodes, expires };
    assert_ok!(call(Alice, open));
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
        let id = pallet_nodes::NodeByKey::<Runtime>::get(key.public().0).unwrap();
        Self { key, id, sequence: 0 }
    }

    /// What the machine signs a report with.
    pub fn sign(&mut self, kind: ReportKind, payload: &impl Encode) -> (u64, ed25519::Signature) {
        self.sequence += 1;
        let bytes = tfgrid_primitives::report::report_bytes(GENESIS, self.id, kind, self.sequence, payload);
        (self.sequence, self.key.sign(&bytes))
    }

    pub fn heartbeat(&mut self) -> pallet_nodes::Call<Runtime> {
        self.heartbeat_of(1)
    }

    /// A heartbeat of the boot with this nonce.
    pub fn heartbeat_of(&mut self, boot_nonce: u64) -> pallet_nodes::Call<Runtime> {
        let payload = HeartbeatPayload { boot_nonce };
        let (sequence, signature) = self.sign(ReportKind::Heartbeat, &payload);
        pallet_nodes::Call::heartbeat { node: self.id, sequence, payload, signature }
    }

    pub fn details(&mut self, resources: Resources) -> pallet_nodes::Call<Runtime> {
        let payload = DetailsPayload { resources, ..Default::default() };
        let (sequence, signature) = self.sign(ReportKind::Details, &payload);
        pallet_nodes::Call::report_details { node: self.id, sequence, payload, signature }
    }

    pub fn power(&mut self, state: PowerState) -> pallet_nodes::Call<Runtime> {
        let payload = PowerPayload { state };
        let (sequence, signature) = self.sign(ReportKind::Power, &payload);
        pallet_nodes::Call::report_power { node: self.id, sequence, payload, signature }
    }

    /// Time passes in which the machine is heard from.
    pub fn serve(&mut self, ms: u64) {
        let until = Timestamp::get() + ms;
        while Timestamp::get() + heartbeat_ms() < until {
            pass(heartbeat_ms() - SLOT_DURATION);
            report(self.heartbeat()).unwrap();
        }
        pass(until.saturating_sub(Timestamp::get()));
    }

    pub fn deployed(&mut self, contract: ContractId, result: &[u8]) -> pallet_contracts::Call<Runtime> {
        let record = pallet_contracts::Contracts::<Runtime>::get(contract);
        let payload = DeployedPayload {
            contract,
            version: record.as_ref().map_or(1, |r| r.version),
            body_hash: record.map_or(H256::zero(), |r| r.body_hash),
            result: result.to_vec().try_into().unwrap(),
        };
        self.deployed_with(payload)
    }

    pub fn deployed_with(&mut self, payload: DeployedPayload) -> pallet_contracts::Call<Runtime> {
        let (sequence, signature) = self.sign(ReportKind::Deployed, &payload);
        pallet_contracts::Call::report_deployed { node: self.id, sequence, payload, signature }
    }

    pub fn failed(&mut self, contract: ContractId, code: FailureCode) -> pallet_contracts::Call<Runtime> {
        let path = b"/workloads/0".to_vec().try_into().unwrap();
        let payload = FailedPayload { contract, version: 1, code, path };
        let (sequence, signature) = self.sign(ReportKind::Failed, &payload);
        pallet_contracts::Call::report_failed { node: self.id, sequence, payload, signature }
    }

    pub fn usage(&mut self, payload: UsagePayload) -> pallet_contracts::Call<Runtime> {
        let (sequence, signature) = self.sign(ReportKind::Usage, &payload);
        pallet_contracts::Call::report_usage { node: self.id, sequence, payload, signature }
    }
}

/// Gives a person a twin with credit.
pub fn customer(who: Sr25519Keyring, credit: Balance) -> TwinId {
    let twin = pallet_twins::Call::create { peer_keys: Default::default(), encryption_key: None };
    assert_ok!(call(who, twin));
    let twin = pallet_twins::TwinByAccount::<Runtime>::get(who.to_account_id()).unwrap();
    assert_ok!(call(who, pallet_billing::Call::deposit { twin, amount: credit }));
    twin
}

/// Two cores, two Gi of memory, fifteen of disk: 0.01 USD and a bit per hour.
pub fn small() -> Resources {
    Resources { cru: 2, mru: 2 * GIB, sru: 15 * GIB, ..Resources::ZERO }
}

/// A call that asks `node` for `resources`.
pub fn create(node: NodeId, resources: Resources) -> pallet_contracts::Call<Runtime> {
    pallet_contracts::Call::create_node_contract {
        node,
        resources,
        body: Body::Plain(b"{}".to_vec()),
        public_ips: 0,
        networks: Default::default(),
        traffic_gb: 0,
        max_usd_rate: u64::MAX,
    }
}

/// A chain with one node and Bob as a customer with 1,000 TFT; runs `test` with both.
pub fn run_with_node(test: impl FnOnce(Machine, TwinId)) {
    run(|| {
        farm_with_ticket(1);
        let machine = Machine::join(1);
        let bob = customer(Bob, 1_000 * TFT);
        test(machine, bob);
    })
}

pub fn heartbeat_ms() -> u64 {
    parameters::HeartbeatInterval::get()
}
