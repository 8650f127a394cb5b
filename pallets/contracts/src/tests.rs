// SPDX-License-Identifier: Apache-2.0

use crate::{
    Answer, Bodies, CancelReason, ClosedContracts, Contract, ContractKind, ContractState, Deployment,
    EndedRents, Error, Failures, LastContractId, Names, Network, NetworkMembers, NetworkName, Networks,
    NodeContracts, Pending, PendingBodies, Rents, Results, Subnet, TwinContractCount, TwinContracts, Usage,
    mock::*,
};
use frame_support::assert_ok;
use frame_system::RawOrigin;
use sp_core::H256;
use sp_runtime::{DispatchError::BadOrigin, TokenError};
use tfgrid_primitives::{
    Body, ContractId, Deadline, FailureCode, Features, NodeId, PriceList, Rates, Refusal, ReportMark,
    Resources, UsageItem, UsageTotals, UsdRate,
    pricing::Priced,
    report::{DeployedPayload, FailedPayload, Failure as Rejection, ProgressPayload, ReleasedPayload},
    traits::{Clock, ContractPrice, Outcome, Parties, ServeDeadlines, Service, TwinInUse},
    units::{DAY_MS, GIB, MINUTE_MS, SECOND_MS, TFT},
    views::{
        ClosedContract, ClosingReason, ContractStatus, NodeContract, PendingVersion, Target, TwinContract,
    },
};

mod authorize;
mod cancel;
mod create;
mod deadlines;
mod migration;
mod name;
mod rent;
mod reports;
mod reprice;
mod update;
mod views;

type Failure = Error<Test>;

const BODY: &[u8] = b"{}";
const NEW_BODY: &[u8] = b"{ }";
const RESULT: &[u8] = br#"{"web":"10.0.0.2"}"#;
/// What [`small`] costs, in 1e-10 USD per hour.
const SMALL_RATE: UsdRate = 103_750_000;
/// What a public address costs, in 1e-10 USD per hour.
const IP_RATE: UsdRate = 40_000_000;
/// What the smallest contract costs.
const LEAST_RATE: UsdRate = 1_000_000;

fn small() -> Resources {
    Resources { cru: 2, mru: 2 * GIB, sru: 15 * GIB, ..Resources::ZERO }
}

/// More of everything than [`small`].
fn large() -> Resources {
    Resources { cru: 4, mru: 8 * GIB, sru: 50 * GIB, ..Resources::ZERO }
}

/// Resources beyond all prices.
fn absurd() -> Resources {
    let all = u64::MAX;
    Resources { cru: all, mru: all, sru: all, hru: all, gpu: all }
}

/// The list price of capacity without addresses, in 1e-10 USD per hour.
fn list_price(resources: Resources) -> UsdRate {
    let capacity = Priced::Capacity { resources, public_ips: 0, certified: false };
    capacity.rate(&PriceList::default()).unwrap()
}

fn now() -> u64 {
    MockClock::grid_now()
}

fn set_prices(prices: Option<PriceList>) {
    Doubles::mutate(|state| state.prices = prices);
}

/// A price list that asks twice as much for everything.
fn double_prices() {
    let PriceList { cu, su, ipv4, unique_name, minimum, .. } = PriceList::default();
    set_prices(Some(PriceList {
        cu: 2 * cu,
        su: 2 * su,
        ipv4: 2 * ipv4,
        unique_name: 2 * unique_name,
        minimum: 2 * minimum,
        ..PriceList::default()
    }));
}

/// Credit covers no higher rate than there is.
fn credit_too_low() {
    Doubles::mutate(|state| state.credit_too_low = true);
}

/// The arguments of `create_node_contract`.
struct Create {
    node: NodeId,
    resources: Resources,
    body: Body<Vec<u8>>,
    public_ips: u8,
    networks: Networks,
    traffic_gb: u32,
    max_usd_rate: UsdRate,
}

impl Default for Create {
    fn default() -> Self {
        Self {
            node: NODE,
            resources: small(),
            body: Body::Plain(BODY.to_vec()),
            public_ips: 0,
            networks: Networks::default(),
            traffic_gb: 0,
            max_usd_rate: UsdRate::MAX,
        }
    }
}

impl From<Create> for Call {
    fn from(create: Create) -> Self {
        let Create { node, resources, body, public_ips, networks, traffic_gb, max_usd_rate } = create;
        Self::create_node_contract { node, resources, body, public_ips, networks, traffic_gb, max_usd_rate }
    }
}

/// The arguments of `update_node_contract`.
struct Update {
    contract: ContractId,
    resources: Resources,
    body: Body<Vec<u8>>,
    public_ips: u8,
    networks: Networks,
    max_usd_rate: UsdRate,
}

impl Default for Update {
    fn default() -> Self {
        let body = Body::Plain(NEW_BODY.to_vec());
        let networks = Networks::default();
        Self { contract: 1, resources: large(), body, public_ips: 0, networks, max_usd_rate: UsdRate::MAX }
    }
}

impl From<Update> for Call {
    fn from(update: Update) -> Self {
        let Update { contract, resources, body, public_ips, networks, max_usd_rate } = update;
        Self::update_node_contract { contract, resources, body, public_ips, networks, max_usd_rate }
    }
}

fn rent(node: NodeId) -> Call {
    Call::create_rent_contract { node, max_usd_rate: UsdRate::MAX }
}

fn network(name: &str, address: [u8; 4], prefix: u8) -> Network {
    Network { name: name.as_bytes().to_vec().try_into().unwrap(), subnet: Subnet { address, prefix } }
}

fn name(name: &str) -> Call {
    let name = name.as_bytes().to_vec().try_into().unwrap();
    Call::create_name_contract { name, max_usd_rate: UsdRate::MAX }
}

fn cancel(contract: ContractId) -> Call {
    Call::cancel { contract, reason: CancelReason::Cancelled }
}

fn complain(contract: ContractId) -> Call {
    Call::cancel { contract, reason: CancelReason::NotDelivered }
}

fn force_close(contract: ContractId) {
    assert_ok!(dispatch(RawOrigin::Root, Call::force_close { contract }));
}

/// Makes a contract of Bob's; events and the ledger's trace begin behind it.
fn opened(call_of_bob: impl Into<Call>) -> ContractId {
    assert_ok!(call(BOB, call_of_bob));
    begin();
    LastContractId::<Test>::get()
}

/// Forgets events and the ledger's trace.
fn begin() {
    events();
    traced();
}

/// A contract that its node has deployed.
fn running(create: Create) -> ContractId {
    let contract = opened(create);
    assert_ok!(report(confirm(contract)));
    begin();
    contract
}

/// A deployed contract of these resources with a pending version of those.
fn updating(resources: Resources, pending: Resources) -> ContractId {
    let contract = running(Create { resources, ..Create::default() });
    assert_ok!(call(BOB, Update { contract, resources: pending, ..Update::default() }));
    begin();
    contract
}

fn record(contract: ContractId) -> Contract {
    crate::Contracts::<Test>::get(contract).unwrap()
}

fn deployment(contract: ContractId) -> Deployment {
    record(contract).deployment().unwrap().clone()
}

/// The version that the node is asked for last, and the hash of its body.
fn asked(contract: ContractId) -> (u32, H256) {
    let Deployment { version, body_hash, pending, .. } = deployment(contract);
    pending.map_or((version, body_hash), |pending| (pending.version, pending.body_hash))
}

/// What a node reports that has deployed what it was asked for last.
fn deployed_payload(contract: ContractId) -> DeployedPayload {
    let (version, body_hash) = asked(contract);
    DeployedPayload { contract, version, body_hash, result: RESULT.to_vec().try_into().unwrap() }
}

fn failed_payload(contract: ContractId) -> FailedPayload {
    FailedPayload { contract, failure: failure(asked(contract).0, FailureCode::BodyInvalid) }
}

fn failure(version: u32, code: FailureCode) -> Rejection {
    let path = b"/workloads/0".to_vec().try_into().unwrap();
    let text = "größer als 16 MiB".as_bytes().to_vec().try_into().unwrap();
    Rejection { version, code, path, text }
}

fn progress_payload(contract: ContractId) -> ProgressPayload {
    ProgressPayload { contract, version: asked(contract).0 }
}

/// The node of a contract has deployed what it was asked for last.
fn confirm(contract: ContractId) -> Call {
    deployed(deployment(contract).node, next(), deployed_payload(contract))
}

/// The node of a contract can't deploy what it was asked for last.
fn reject(contract: ContractId) -> Call {
    failed(deployment(contract).node, next(), failed_payload(contract))
}

/// The node of a contract is still at what it was asked for last.
fn work_on(contract: ContractId) -> Call {
    progress(deployment(contract).node, next(), progress_payload(contract))
}

fn tombstone(contract: ContractId) -> ClosedContract {
    ClosedContracts::<Test>::get(contract).unwrap()
}

fn reason_of(contract: ContractId) -> ClosingReason {
    tombstone(contract).reason
}

fn used(node: NodeId) -> Resources {
    on_node(node, |node| node.used)
}

/// The contracts of a node, in the order in which sweeps reach them.
fn listed(node: NodeId) -> Vec<ContractId> {
    NodeContracts::<Test>::iter_key_prefix(node).collect()
}
