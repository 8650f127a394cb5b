// SPDX-License-Identifier: Apache-2.0
//! Benchmarks of calls, checks of reports and steps of deadlines, each in its worst case.

use crate::*;
use alloc::vec::Vec;
use codec::Encode;
use frame_benchmarking::v2::*;
use frame_support::{
    BoundedVec,
    traits::{Authorize, EnsureOrigin, Get},
};
use frame_system::RawOrigin;
use sp_runtime::transaction_validity::TransactionSource;
use tfgrid_primitives::{
    Body, ContractId, Deadline, FailureCode, GridMillis, KeySignature, NodeId, ReportKind, Resources, TwinId,
    UsageItem, UsageTotals, UsdRate,
    body::MAX_BODY_BYTES,
    report::{
        DeployedPayload, DeploymentResult, FailedPayload, Failure, FailurePath, FailureText,
        MAX_FAILURE_TEXT_BYTES, MAX_PATH_BYTES, MAX_RESULT_BYTES, MAX_USAGE_ITEMS, ProgressPayload,
        ReleasedPayload, UsagePayload,
    },
    traits::{Clock, Ledger, ServeDeadlines},
    units::{GIB, MINUTE_MS},
};

/// Sets up other pallets for benchmarks.
pub trait BenchmarkHelper<AccountId> {
    /// An account with a twin, money for all deposits and credit for years.
    fn customer() -> (AccountId, TwinId);
    /// A node that is heard from, empty, with ample capacity and public addresses. What contracts pay for these
    /// counts for its farmer.
    fn node() -> NodeId;
    /// Signs a report with the node's key.
    fn sign(node: NodeId, kind: ReportKind, sequence: u64, payload: &impl Encode) -> KeySignature;
    /// Grid time and prices move on, and all nodes are heard from.
    fn pass(ms: GridMillis);
    /// The same, but this node has served nobody meanwhile: it is just back, before anybody stopped a charge.
    fn interrupt(node: NodeId, ms: GridMillis);
    /// The node's drain is over.
    fn drain(node: NodeId);
    /// The twin's credit is used up, and the agenda hasn't served it. Its owner has set a refill and can pay for it.
    fn exhaust(twin: TwinId);
    /// The twin's grace period is over.
    fn evict(twin: TwinId);
    /// The twin is in grace, with enough credit to be resumed by the next change.
    fn wait(twin: TwinId);
    /// Attaches a solution provider to a contract of the account, another one each time.
    fn attach_provider(account: &AccountId, contract: ContractId);
    /// Another price list was announced, and its notice is over.
    fn announce_prices();
}

const ANY_PRICE: UsdRate = UsdRate::MAX;
const PUBLIC_IPS: u8 = 16;
/// Of each of many contracts on one node.
const FEW_IPS: u8 = 4;
/// Of a version that has less of them than another one.
const FEWER_IPS: u8 = 1;
/// Shorter than what is charged at least.
const MOMENT: GridMillis = MINUTE_MS;
const SMALL: Resources = Resources { cru: 1, mru: GIB, sru: GIB, hru: 0, gpu: 0 };
const SMALLER: Resources = Resources { cru: 0, ..SMALL };
const LARGER: Resources = Resources { cru: 2, mru: 2 * GIB, ..SMALL };

fn body(bytes: u32) -> Body<Vec<u8>> {
    Body::Plain((0..bytes.max(1)).map(|_| b' ').collect())
}

/// Those of the contract after the last one, with ranges that no other one has.
fn networks<T: Config>(n: u32) -> Networks {
    let [.., last] = LastContractId::<T>::get().to_be_bytes();
    networks_from(b'a', n, Subnet { address: [10, 1, last, 0], prefix: 24 })
}

/// Those of a version of the last contract that has none of the active one's.
fn other_networks<T: Config>(n: u32) -> Networks {
    let [.., last] = LastContractId::<T>::get().to_be_bytes();
    networks_from(b'm', n, Subnet { address: [10, 1, last, 0], prefix: 24 })
}

fn networks_from(first: u8, n: u32, subnet: Subnet) -> Networks {
    let name = |i: u8| (0..MAX_NETWORK_NAME).map(|_| first.saturating_add(i)).collect();
    let network = |i: u8| Network { name: BoundedVec::truncate_from(name(i)), subnet };
    BoundedVec::truncate_from((0u8..).take(n as usize).map(network).collect())
}

/// A range behind those of the twin's contracts in each of their networks, which is looked at before one is claimed.
fn crowd<T: Config>(twin: TwinId) {
    let subnet = Subnet { address: [10, 2, 0, 0], prefix: 16 };
    for first in [b'a', b'm'] {
        for Network { name, subnet } in networks_from(first, MAX_NETWORKS, subnet) {
            NetworkRanges::<T>::insert((twin, name), network_impls::last_of(&subnet), subnet);
        }
    }
}

fn result() -> DeploymentResult {
    BoundedVec::truncate_from((0..MAX_RESULT_BYTES).map(|_| b' ').collect())
}

/// A customer who is charged for a name, so that there is a payer to be served whatever else ends.
fn customer<T: Config>() -> Result<(T::AccountId, TwinId), BenchmarkError> {
    let (account, twin) = T::BenchmarkHelper::customer();
    let letters = twin.to_be_bytes().into_iter().flat_map(|byte| [b'a' + byte / 16, b'a' + byte % 16]);
    let name = UniqueName::truncate_from(letters.collect());
    Pallet::<T>::create_name_contract(RawOrigin::Signed(account.clone()).into(), name, ANY_PRICE)?;
    Ok((account, twin))
}

/// A customer in grace with enough credit to go on.
fn waiting_customer<T: Config>() -> Result<T::AccountId, BenchmarkError> {
    let (account, twin) = customer::<T>()?;
    T::BenchmarkHelper::wait(twin);
    assert!(T::Ledger::is_exhausted(twin));
    Ok(account)
}

/// A contract with everything that a contract may have, not yet answered.
fn created<T: Config>() -> Result<(T::AccountId, TwinId, NodeId, ContractId), BenchmarkError> {
    created_with::<T>(PUBLIC_IPS)
}

fn created_with<T: Config>(ips: u8) -> Result<(T::AccountId, TwinId, NodeId, ContractId), BenchmarkError> {
    let ((account, twin), node) = (customer::<T>()?, T::BenchmarkHelper::node());
    crowd::<T>(twin);
    let id = created_for::<T>(&account, node, ips, MAX_BODY_BYTES)?;
    Ok((account, twin, node, id))
}

fn created_for<T: Config>(
    account: &T::AccountId,
    node: NodeId,
    ips: u8,
    bytes: u32,
) -> Result<ContractId, BenchmarkError> {
    let origin = RawOrigin::Signed(account.clone()).into();
    let networks = networks::<T>(MAX_NETWORKS);
    Pallet::<T>::create_node_contract(origin, node, SMALL, body(bytes), ips, networks, 1, ANY_PRICE)?;
    Ok(LastContractId::<T>::get())
}

fn deployed_payload(contract: ContractId, deployment: &Deployment) -> DeployedPayload {
    let (version, body_hash) = deployment
        .pending
        .as_ref()
        .map_or((deployment.version, deployment.body_hash), |pending| (pending.version, pending.body_hash));
    DeployedPayload { contract, version, body_hash, result: result() }
}

/// A failure with the longest path and text, whose characters take the longest to check.
fn failed_payload(contract: ContractId) -> FailedPayload {
    let longest = |most: u32| "é".repeat(most as usize / 2).into_bytes();
    let path = FailurePath::truncate_from(longest(MAX_PATH_BYTES));
    let text = FailureText::truncate_from(longest(MAX_FAILURE_TEXT_BYTES));
    let failure = Failure { version: 1, code: FailureCode::BodyInvalid, path, text };
    FailedPayload { contract, failure }
}

fn deployment_of<T: Config>(contract: ContractId) -> Result<Deployment, BenchmarkError> {
    let record = Contracts::<T>::get(contract).ok_or("no contract")?;
    Ok(record.deployment().ok_or("no deployment")?.clone())
}

fn deploy<T: Config>(contract: ContractId) -> Result<(), BenchmarkError> {
    let payload = deployed_payload(contract, &deployment_of::<T>(contract)?);
    Pallet::<T>::do_report_deployed(1, payload);
    Ok(())
}

/// Deploys a contract that is billed, has used some of its traffic and has a solution provider.
fn put_to_use<T: Config>(account: &T::AccountId, node: NodeId, id: ContractId) -> Result<(), BenchmarkError> {
    deploy::<T>(id)?;
    T::BenchmarkHelper::pass(T::UsageIntervalMs::get().max(MOMENT));
    T::BenchmarkHelper::attach_provider(account, id);
    let totals = UsageTotals { received_bytes: 1_000_000, ..UsageTotals::default() };
    let items = [UsageItem { contract: id, totals }];
    Pallet::<T>::do_report_usage(node, 1, UsagePayload::truncate_from(items.to_vec()));
    assert!(Usage::<T>::contains_key(id));
    Ok(())
}

/// As [`created`], and deployed for a while.
fn deployed<T: Config>() -> Result<(T::AccountId, TwinId, NodeId, ContractId), BenchmarkError> {
    deployed_with::<T>(PUBLIC_IPS)
}

fn deployed_with<T: Config>(ips: u8) -> Result<(T::AccountId, TwinId, NodeId, ContractId), BenchmarkError> {
    let (account, twin, node, id) = created_with::<T>(ips)?;
    put_to_use::<T>(&account, node, id)?;
    Ok((account, twin, node, id))
}

/// As [`deployed`], with a version of these resources pending for a while that has `to` public addresses, and the
/// active one `from`.
fn updated<T: Config>(
    resources: Resources,
    from: u8,
    to: u8,
) -> Result<(T::AccountId, TwinId, NodeId, ContractId), BenchmarkError> {
    let all = deployed_with::<T>(from)?;
    update::<T>(&all.0, all.3, resources, to)?;
    T::BenchmarkHelper::pass(MOMENT);
    Ok(all)
}

fn update<T: Config>(
    account: &T::AccountId,
    id: ContractId,
    resources: Resources,
    ips: u8,
) -> Result<(), BenchmarkError> {
    let origin = RawOrigin::Signed(account.clone()).into();
    let (body, networks) = (body(MAX_BODY_BYTES), other_networks::<T>(MAX_NETWORKS));
    Pallet::<T>::update_node_contract(origin, id, resources, body, ips, networks, ANY_PRICE)?;
    Ok(())
}

/// Whatever touches the twin's contract on this node next has to refill the twin's credit and, where it ends it, to
/// give back what was charged through an outage.
fn neglect<T: Config>(twin: TwinId, node: NodeId) {
    T::BenchmarkHelper::interrupt(node, MOMENT);
    T::BenchmarkHelper::exhaust(twin);
    T::BenchmarkHelper::pass(MOMENT);
    assert!(T::Ledger::is_exhausted(twin));
}

fn ensure_taken<T: Config>(call: &Call<T>) -> Result<(), BenchmarkError> {
    let validity =
        call.authorize(TransactionSource::External).ok_or("the call isn't authorised by itself")?;
    validity.map(drop).map_err(|_| BenchmarkError::Stop("the report is refused"))
}

#[benchmarks]
mod benchmarks {
    use super::*;

    /// Worst case: on a rented node, for a payer in grace that may go on. Whoever is to be refilled first has no
    /// credit for more.
    #[benchmark]
    fn create_node_contract(
        b: Linear<1, { MAX_BODY_BYTES }>,
        n: Linear<0, { MAX_NETWORKS }>,
        i: Linear<0, { PUBLIC_IPS as u32 }>,
    ) -> Result<(), BenchmarkError> {
        let ((account, twin), node) = (T::BenchmarkHelper::customer(), T::BenchmarkHelper::node());
        let origin = RawOrigin::Signed(account);
        Pallet::<T>::create_rent_contract(origin.clone().into(), node, ANY_PRICE)?;
        T::BenchmarkHelper::wait(twin);
        crowd::<T>(twin);
        #[extrinsic_call]
        _(origin, node, SMALL, body(b), i as u8, networks::<T>(n), 1, ANY_PRICE);
        assert!(Bodies::<T>::contains_key(LastContractId::<T>::get()));
        assert!(!T::Ledger::is_exhausted(twin));
        Ok(())
    }

    /// Worst case: it becomes dearer by all addresses, for a payer in grace that may go on. The call's weight has
    /// `withdraw_update` beside it, for the version whose place it takes.
    #[benchmark]
    fn update_node_contract(
        b: Linear<1, { MAX_BODY_BYTES }>,
        n: Linear<0, { MAX_NETWORKS }>,
    ) -> Result<(), BenchmarkError> {
        let (account, twin, _, id) = deployed_with::<T>(FEWER_IPS)?;
        T::BenchmarkHelper::wait(twin);
        #[extrinsic_call]
        _(RawOrigin::Signed(account), id, LARGER, body(b), PUBLIC_IPS, other_networks::<T>(n), ANY_PRICE);
        assert!(PendingBodies::<T>::contains_key(id) && !T::Ledger::is_exhausted(twin));
        Ok(())
    }

    /// Worst case: another first version, with fewer addresses, after a paid part of the wait.
    #[benchmark]
    fn replace_first_version(
        b: Linear<1, { MAX_BODY_BYTES }>,
        n: Linear<0, { MAX_NETWORKS }>,
    ) -> Result<(), BenchmarkError> {
        let (account, _, _, id) = created::<T>()?;
        T::BenchmarkHelper::pass(MOMENT);
        let origin = RawOrigin::Signed(account).into();
        let (body, networks) = (body(b), other_networks::<T>(n));
        #[block]
        {
            Pallet::<T>::update_node_contract(origin, id, SMALLER, body, FEWER_IPS, networks, ANY_PRICE)?;
        }
        assert!(!PendingBodies::<T>::contains_key(id));
        Ok(())
    }

    /// Worst case: the version would have had more addresses, for a payer in grace that may go on.
    #[benchmark]
    fn withdraw_update() -> Result<(), BenchmarkError> {
        let (account, twin, _, id) = deployed_with::<T>(FEWER_IPS)?;
        update::<T>(&account, id, LARGER, PUBLIC_IPS)?;
        T::BenchmarkHelper::wait(twin);
        #[extrinsic_call]
        _(RawOrigin::Signed(account), id);
        assert!(!PendingBodies::<T>::contains_key(id));
        Ok(())
    }

    /// Worst case: for a payer in grace that may go on.
    #[benchmark]
    fn create_rent_contract() -> Result<(), BenchmarkError> {
        let (account, node) = (waiting_customer::<T>()?, T::BenchmarkHelper::node());
        #[extrinsic_call]
        _(RawOrigin::Signed(account), node, ANY_PRICE);
        assert!(Rents::<T>::contains_key(node));
        Ok(())
    }

    /// Worst case: for a payer in grace that may go on.
    #[benchmark]
    fn create_name_contract() -> Result<(), BenchmarkError> {
        let account = waiting_customer::<T>()?;
        let name = UniqueName::truncate_from((0..MAX_UNIQUE_NAME).map(|_| b'a').collect());
        #[extrinsic_call]
        _(RawOrigin::Signed(account), name.clone(), ANY_PRICE);
        assert!(Names::<T>::contains_key(name));
        Ok(())
    }

    /// Worst case: deployed for less than what is charged at least, with a dearer version pending, traffic left,
    /// addresses, networks and all who can share in it, after an outage and for a payer that is to be refilled
    /// first. For what wasn't delivered nobody is paid, which is less.
    #[benchmark]
    fn cancel() -> Result<(), BenchmarkError> {
        let (account, twin, node, id) = updated::<T>(LARGER, FEWER_IPS, PUBLIC_IPS)?;
        neglect::<T>(twin, node);
        #[extrinsic_call]
        _(RawOrigin::Signed(account), id, CancelReason::Cancelled);
        assert!(ClosedContracts::<T>::contains_key(id) && !T::Ledger::is_exhausted(twin));
        Ok(())
    }

    /// Worst case: a cheaper version with fewer addresses, for a payer that is to be refilled first. The first version
    /// takes less, also where its node is away.
    #[benchmark]
    fn report_deployed() -> Result<(), BenchmarkError> {
        let (_, twin, node, id) = updated::<T>(SMALLER, PUBLIC_IPS, FEWER_IPS)?;
        neglect::<T>(twin, node);
        let payload = deployed_payload(id, &deployment_of::<T>(id)?);
        #[block]
        {
            Pallet::<T>::do_report_deployed(2, payload);
        }
        assert!(!PendingBodies::<T>::contains_key(id) && !T::Ledger::is_exhausted(twin));
        Ok(())
    }

    /// Worst case: a result is corrected.
    #[benchmark]
    fn authorize_report_deployed() -> Result<(), BenchmarkError> {
        let (_, _, node, id) = deployed::<T>()?;
        T::BenchmarkHelper::pass(T::ResultIntervalMs::get());
        let mut payload = deployed_payload(id, &deployment_of::<T>(id)?);
        payload.result.pop();
        let signature = T::BenchmarkHelper::sign(node, ReportKind::Deployed, 2, &payload);
        let call = Call::<T>::report_deployed { node, sequence: 2, payload, signature };
        #[block]
        {
            ensure_taken(&call)?;
        }
        Ok(())
    }

    /// Worst case: the first version, with all that it may have, of a payer that is to be refilled first.
    #[benchmark]
    fn report_failed() -> Result<(), BenchmarkError> {
        let (_, twin, node, contract) = created::<T>()?;
        neglect::<T>(twin, node);
        let payload = failed_payload(contract);
        #[block]
        {
            Pallet::<T>::do_report_failed(node, 1, payload);
        }
        assert!(ClosedContracts::<T>::contains_key(contract) && !T::Ledger::is_exhausted(twin));
        Ok(())
    }

    /// Worst case: the version would have had more addresses, after an outage of its node and for a payer that is to be
    /// refilled first.
    #[benchmark]
    fn report_failed_update() -> Result<(), BenchmarkError> {
        let (_, twin, node, contract) = updated::<T>(LARGER, FEWER_IPS, PUBLIC_IPS)?;
        neglect::<T>(twin, node);
        let mut payload = failed_payload(contract);
        payload.failure.version = 2;
        #[block]
        {
            Pallet::<T>::do_report_failed(node, 2, payload);
        }
        assert!(!PendingBodies::<T>::contains_key(contract) && !T::Ledger::is_exhausted(twin));
        Ok(())
    }

    #[benchmark]
    fn authorize_report_failed() -> Result<(), BenchmarkError> {
        let (_, _, node, contract) = created::<T>()?;
        let payload = failed_payload(contract);
        let signature = T::BenchmarkHelper::sign(node, ReportKind::Failed, 1, &payload);
        let call = Call::<T>::report_failed { node, sequence: 1, payload, signature };
        #[block]
        {
            ensure_taken(&call)?;
        }
        Ok(())
    }

    /// Worst case: on an update, whose wait is paid for, of a payer that is to be refilled first.
    #[benchmark]
    fn report_progress() -> Result<(), BenchmarkError> {
        let (_, twin, node, contract) = updated::<T>(LARGER, FEWER_IPS, PUBLIC_IPS)?;
        T::BenchmarkHelper::pass(T::AnswerWithinMs::get());
        neglect::<T>(twin, node);
        #[block]
        {
            Pallet::<T>::do_report_progress(2, ProgressPayload { contract, version: 2 });
        }
        assert!(!T::Ledger::is_exhausted(twin));
        Ok(())
    }

    #[benchmark]
    fn authorize_report_progress() -> Result<(), BenchmarkError> {
        let (_, _, node, contract) = created::<T>()?;
        T::BenchmarkHelper::pass(T::AnswerWithinMs::get() / 2);
        let payload = ProgressPayload { contract, version: 1 };
        let signature = T::BenchmarkHelper::sign(node, ReportKind::Progress, 1, &payload);
        let call = Call::<T>::report_progress { node, sequence: 1, payload, signature };
        #[block]
        {
            ensure_taken(&call)?;
        }
        Ok(())
    }

    #[benchmark]
    fn report_released() -> Result<(), BenchmarkError> {
        let (account, _, node, contract) = deployed::<T>()?;
        let origin = RawOrigin::Signed(account).into();
        Pallet::<T>::cancel(origin, contract, CancelReason::Cancelled)?;
        let signature = KeySignature::from([0; 64]);
        #[extrinsic_call]
        _(RawOrigin::None, node, 1, ReleasedPayload { contract }, signature);
        Ok(())
    }

    #[benchmark]
    fn authorize_report_released() -> Result<(), BenchmarkError> {
        let (account, _, node, contract) = deployed::<T>()?;
        let origin = RawOrigin::Signed(account).into();
        Pallet::<T>::cancel(origin, contract, CancelReason::Cancelled)?;
        let payload = ReleasedPayload { contract };
        let signature = T::BenchmarkHelper::sign(node, ReportKind::Released, 1, &payload);
        let call = Call::<T>::report_released { node, sequence: 1, payload, signature };
        #[block]
        {
            ensure_taken(&call)?;
        }
        Ok(())
    }

    /// Worst case: each item is of another contract, which draws on its traffic.
    #[benchmark]
    fn report_usage(i: Linear<1, { MAX_USAGE_ITEMS }>) -> Result<(), BenchmarkError> {
        let ((account, _), node) = (T::BenchmarkHelper::customer(), T::BenchmarkHelper::node());
        let mut items = Vec::new();
        for _ in 0..i {
            let contract = created_for::<T>(&account, node, 0, 1)?;
            deploy::<T>(contract)?;
            let totals = UsageTotals { received_bytes: 1_000_000, ..UsageTotals::default() };
            items.push(UsageItem { contract, totals });
        }
        let payload = UsagePayload::truncate_from(items);
        T::BenchmarkHelper::pass(T::UsageIntervalMs::get());
        #[block]
        {
            Pallet::<T>::do_report_usage(node, 1, payload);
        }
        assert_eq!(Usage::<T>::iter_keys().count(), i as usize);
        Ok(())
    }

    #[benchmark]
    fn authorize_usage(i: Linear<1, { MAX_USAGE_ITEMS }>) -> Result<(), BenchmarkError> {
        let node = T::BenchmarkHelper::node();
        let payload = UsagePayload::truncate_from((0..i).map(|_| UsageItem::default()).collect());
        let signature = T::BenchmarkHelper::sign(node, ReportKind::Usage, 1, &payload);
        let call = Call::<T>::report_usage { node, sequence: 1, payload, signature };
        #[block]
        {
            ensure_taken(&call)?;
        }
        Ok(())
    }

    /// Worst case: as for `cancel`.
    #[benchmark]
    fn force_close() -> Result<(), BenchmarkError> {
        let (_, twin, node, id) = updated::<T>(LARGER, FEWER_IPS, PUBLIC_IPS)?;
        neglect::<T>(twin, node);
        let origin = T::GovernanceOrigin::try_successful_origin().map_err(|_| BenchmarkError::Weightless)?;
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, id);
        assert!(ClosedContracts::<T>::contains_key(id) && !T::Ledger::is_exhausted(twin));
        Ok(())
    }

    /// Worst case: of a payer that is to be refilled first.
    #[benchmark]
    fn reprice() -> Result<(), BenchmarkError> {
        let (account, twin, node, id) = deployed::<T>()?;
        T::BenchmarkHelper::announce_prices();
        neglect::<T>(twin, node);
        let before = T::Ledger::price_of(id);
        #[extrinsic_call]
        _(RawOrigin::Signed(account), id);
        assert!(T::Ledger::price_of(id) != before && !T::Ledger::is_exhausted(twin));
        Ok(())
    }

    /// Worst case: the two versions have no network in common, and all of their ranges but one are free.
    #[benchmark]
    fn claim_ranges() -> Result<(), BenchmarkError> {
        let (account, twin, _, id) = deployed::<T>()?;
        update::<T>(&account, id, LARGER, FEW_IPS)?;
        let _ = NetworkRanges::<T>::clear(u32::MAX, None);
        crowd::<T>(twin);
        let before = NetworkRanges::<T>::iter_keys().count();
        let Network { name, subnet } =
            deployment_of::<T>(id)?.networks.into_iter().next().ok_or("no network")?;
        NetworkRanges::<T>::insert((twin, name), network_impls::last_of(&subnet), subnet);
        #[block]
        {
            migrations::ClaimRanges::<T>::claim_for(id);
        }
        let claimed = NetworkRanges::<T>::iter_keys().count().saturating_sub(before);
        assert_eq!(claimed, 2 * MAX_NETWORKS as usize);
        Ok(())
    }

    /// Worst case: the contracts close, each of another payer that is to be refilled first, with a dearer version
    /// pending and all else that `cancel` finds.
    #[benchmark]
    fn serve_sweep(c: Linear<1, { SWEEP_STEP }>) -> Result<(), BenchmarkError> {
        let node = T::BenchmarkHelper::node();
        let mut twins = Vec::new();
        for _ in 0..c {
            let (account, twin) = customer::<T>()?;
            crowd::<T>(twin);
            let id = created_for::<T>(&account, node, FEWER_IPS, MAX_BODY_BYTES)?;
            put_to_use::<T>(&account, node, id)?;
            update::<T>(&account, id, LARGER, FEW_IPS)?;
            twins.push(twin);
        }
        T::BenchmarkHelper::pass(MOMENT);
        T::BenchmarkHelper::interrupt(node, MOMENT);
        twins.iter().for_each(|twin| T::BenchmarkHelper::exhaust(*twin));
        T::BenchmarkHelper::pass(MOMENT);
        T::BenchmarkHelper::drain(node);
        let now = T::Clock::grid_now();
        #[block]
        {
            let _ = Pallet::<T>::serve(Deadline::Sweep(node), now);
        }
        assert_eq!(NodeContracts::<T>::iter_key_prefix(node).count(), 0);
        assert!(!twins.into_iter().any(T::Ledger::is_exhausted));
        Ok(())
    }

    /// Worst case: the contracts are on a node each, with a dearer version pending and all else that `cancel`
    /// finds. A rent has less.
    #[benchmark]
    fn serve_eviction(c: Linear<1, { SWEEP_STEP }>) -> Result<(), BenchmarkError> {
        let (account, twin) = T::BenchmarkHelper::customer();
        crowd::<T>(twin);
        let mut nodes = Vec::new();
        for _ in 0..c {
            let node = T::BenchmarkHelper::node();
            let id = created_for::<T>(&account, node, FEWER_IPS, MAX_BODY_BYTES)?;
            put_to_use::<T>(&account, node, id)?;
            update::<T>(&account, id, LARGER, FEW_IPS)?;
            nodes.push(node);
        }
        T::BenchmarkHelper::pass(MOMENT);
        nodes.into_iter().for_each(|node| T::BenchmarkHelper::interrupt(node, MOMENT));
        T::BenchmarkHelper::evict(twin);
        let now = T::Clock::grid_now();
        #[block]
        {
            let _ = Pallet::<T>::serve(Deadline::Eviction(twin), now);
        }
        assert_eq!(TwinContractCount::<T>::get(twin), 0);
        Ok(())
    }

    #[benchmark]
    fn serve_cool_down() -> Result<(), BenchmarkError> {
        let (account, _, _, id) = deployed::<T>()?;
        Pallet::<T>::cancel(RawOrigin::Signed(account).into(), id, CancelReason::Cancelled)?;
        #[block]
        {
            let _ = Pallet::<T>::serve(Deadline::CoolDown(id), GridMillis::MAX);
        }
        Ok(())
    }

    /// Worst case: of the first version, of a payer that is to be refilled first.
    #[benchmark]
    fn serve_answer() -> Result<(), BenchmarkError> {
        let (_, twin, node, id) = created::<T>()?;
        neglect::<T>(twin, node);
        #[block]
        {
            let _ = Pallet::<T>::serve(Deadline::Answer(id), 0);
        }
        assert!(ClosedContracts::<T>::contains_key(id) && !T::Ledger::is_exhausted(twin));
        Ok(())
    }

    #[benchmark]
    fn serve_tombstone() -> Result<(), BenchmarkError> {
        let (account, _, _, id) = deployed::<T>()?;
        Pallet::<T>::cancel(RawOrigin::Signed(account).into(), id, CancelReason::Cancelled)?;
        #[block]
        {
            let _ = Pallet::<T>::serve(Deadline::Tombstone(id), 0);
        }
        assert!(!ClosedContracts::<T>::contains_key(id));
        Ok(())
    }
}
