// SPDX-License-Identifier: Apache-2.0
//! Each refusal of each report, in the order in which they are checked: a report begins with all that can be wrong
//! with it, and one thing after the other is put right.

use super::*;
use frame_support::{
    BoundedVec,
    traits::{Authorize, ConstU32},
    weights::Weight,
};
use sp_runtime::transaction_validity::{TransactionSource, ValidTransaction};
use tfgrid_primitives::report::{REPORT_PRIORITY, UsagePayload, valid_report};

/// A text that would move the cursor of whoever reads it.
fn control_character<const N: u32>() -> BoundedVec<u8, ConstU32<N>> {
    b"\x1b[2A".to_vec().try_into().unwrap()
}

#[test]
fn deployed_is_refused_in_this_order() {
    run(|| {
        let contract = opened(Create::default());
        let good = deployed_payload(contract);
        let (mut node, mut sequence) = (OTHER_NODE, 0);
        let result = control_character();
        let mut payload = DeployedPayload { contract: 9, version: 2, body_hash: H256::zero(), result };
        let bad =
            |node, sequence, payload: &DeployedPayload| forged(deployed(node, sequence, payload.clone()));
        assert_refused(bad(node, sequence, &payload), Refusal::NotPrintable);
        payload.result = good.result;
        assert_refused(bad(node, sequence, &payload), Refusal::ContractUnknown);
        payload.contract = contract;
        assert_refused(bad(node, sequence, &payload), Refusal::ContractOfOtherNode);
        node = NODE;
        assert_refused(bad(node, sequence, &payload), Refusal::VersionMismatch);
        payload.version = 1;
        assert_refused(bad(node, sequence, &payload), Refusal::SequenceOld);
        sequence = 1;
        assert_refused(bad(node, sequence, &payload), Refusal::BodyMismatch);
        payload.body_hash = good.body_hash;
        assert_refused(bad(node, sequence, &payload), Refusal::NodeSignatureWrong);
        assert_ok!(report(deployed(node, sequence, payload)));
    });
}

#[test]
fn a_correction_is_refused_in_this_order() {
    run(|| {
        let (other, contract) = (running(Create::default()), running(Create::default()));
        let corrected = |contract| {
            let result = b"{}".to_vec().try_into().unwrap();
            DeployedPayload { result, ..deployed_payload(contract) }
        };
        assert_ok!(report(deployed(NODE, next(), corrected(other))));
        let sequence = next();
        let mut payload = deployed_payload(contract);
        let bad = |sequence, payload: &DeployedPayload| forged(deployed(NODE, sequence, payload.clone()));
        assert_refused(bad(1, &payload), Refusal::SequenceOld);
        payload.body_hash = H256::zero();
        assert_refused(bad(sequence, &payload), Refusal::BodyMismatch);
        payload.body_hash = asked(contract).1;
        pass(RESULT_INTERVAL - 1);
        assert_refused(bad(sequence, &payload), Refusal::Unchanged);
        let payload = corrected(contract);
        // The interval is one for all contracts of the node.
        assert_refused(bad(sequence, &payload), Refusal::TooSoon);
        pass(1);
        assert_refused(bad(sequence, &payload), Refusal::NodeSignatureWrong);
        assert_ok!(report(deployed(NODE, sequence, payload)));
    });
}

#[test]
fn an_update_may_keep_the_result() {
    run(|| {
        let contract = updating(small(), large());
        assert_ok!(report(confirm(contract)));
    });
}

#[test]
fn an_update_is_confirmed_with_its_own_body() {
    run(|| {
        let contract = running(Create::default());
        let active = deployed_payload(contract);
        assert_ok!(call(BOB, Update::default()));
        let pending = deployed_payload(contract);
        let swapped = DeployedPayload { body_hash: active.body_hash, ..pending.clone() };
        assert_refused(deployed(NODE, next(), swapped), Refusal::BodyMismatch);
        let swapped = DeployedPayload { body_hash: pending.body_hash, ..active };
        assert_refused(deployed(NODE, next(), swapped), Refusal::BodyMismatch);
        let never_given = DeployedPayload { version: 3, ..pending };
        assert_refused(deployed(NODE, next(), never_given), Refusal::VersionMismatch);
    });
}

#[test]
fn failed_is_refused_in_this_order() {
    run(|| {
        let contract = running(Create::default());
        let (mut node, mut sequence) = (OTHER_NODE, 1);
        let good = failed_payload(contract).failure;
        let failure =
            Rejection { version: 2, path: control_character(), text: control_character(), ..good.clone() };
        let mut payload = FailedPayload { contract: 9, failure };
        let bad = |node, sequence, payload: &FailedPayload| forged(failed(node, sequence, payload.clone()));
        assert_refused(bad(node, sequence, &payload), Refusal::NotPrintable);
        payload.failure.path = good.path;
        assert_refused(bad(node, sequence, &payload), Refusal::NotPrintable);
        payload.failure.text = good.text;
        assert_refused(bad(node, sequence, &payload), Refusal::ContractUnknown);
        payload.contract = contract;
        assert_refused(bad(node, sequence, &payload), Refusal::ContractOfOtherNode);
        node = NODE;
        assert_refused(bad(node, sequence, &payload), Refusal::VersionMismatch);
        payload.failure.version = 1;
        assert_refused(bad(node, sequence, &payload), Refusal::SequenceOld);
        sequence = 2;
        assert_refused(bad(node, sequence, &payload), Refusal::AlreadyDeployed);
        assert_ok!(call(BOB, Update::default()));
        assert_refused(bad(node, sequence, &payload), Refusal::AlreadyDeployed);
        payload.failure.version = 2;
        assert_refused(bad(node, sequence, &payload), Refusal::NodeSignatureWrong);
        assert_ok!(report(failed(node, sequence, payload)));
    });
}

#[test]
fn progress_is_refused_in_this_order() {
    run(|| {
        let contract = running(Create::default());
        let (mut node, mut sequence) = (OTHER_NODE, 1);
        let mut payload = ProgressPayload { contract: 9, version: 2 };
        let bad = |node, sequence, payload: &ProgressPayload| forged(progress(node, sequence, *payload));
        assert_refused(bad(node, sequence, &payload), Refusal::ContractUnknown);
        payload.contract = contract;
        assert_refused(bad(node, sequence, &payload), Refusal::ContractOfOtherNode);
        node = NODE;
        assert_refused(bad(node, sequence, &payload), Refusal::VersionMismatch);
        payload.version = 1;
        assert_refused(bad(node, sequence, &payload), Refusal::SequenceOld);
        sequence = 2;
        assert_refused(bad(node, sequence, &payload), Refusal::NothingPending);
        assert_ok!(call(BOB, Update::default()));
        assert_refused(bad(node, sequence, &payload), Refusal::NothingPending);
        payload.version = 2;
        pass(ANSWER_WITHIN / 2 - 1);
        assert_refused(bad(node, sequence, &payload), Refusal::TooSoon);
        pass(1);
        assert_refused(bad(node, sequence, &payload), Refusal::NodeSignatureWrong);
        assert_ok!(report(progress(node, sequence, payload)));
        sequence = 3;
        assert_refused(bad(node, sequence, &payload), Refusal::TooSoon);
    });
}

#[test]
fn progress_ends_at_the_limit_first() {
    run(|| {
        let resources = Resources { sru: 0, ..small() };
        let contract = opened(Create { resources, ..Create::default() });
        while deployment(contract).answer.by < deployment(contract).answer.asked_at + ANSWER_LIMIT {
            pass(ANSWER_WITHIN / 2);
            assert_ok!(report(work_on(contract)));
        }
        assert_refused(forged(work_on(contract)), Refusal::AnswerExpired);
    });
}

#[test]
fn released_is_refused_in_this_order() {
    run(|| {
        let contract = running(Create { public_ips: 1, ..Create::default() });
        let without = running(Create::default());
        let payload = ReleasedPayload { contract };
        assert_refused(forged(released(OTHER_NODE, 0, payload)), Refusal::ContractUnknown);
        for contract in [contract, without] {
            assert_ok!(call(BOB, cancel(contract)));
        }
        assert_refused(forged(released(OTHER_NODE, 0, payload)), Refusal::ContractOfOtherNode);
        let nothing = ReleasedPayload { contract: without };
        assert_refused(forged(released(NODE, 0, nothing)), Refusal::NothingToRelease);
        assert_refused(forged(released(NODE, 0, payload)), Refusal::NodeSignatureWrong);
        assert_ok!(report(released(NODE, 0, payload)));
        assert_refused(released(NODE, 0, payload), Refusal::NothingToRelease);
    });
}

#[test]
fn a_name_is_released_by_no_node() {
    run(|| {
        let contract = opened(name("shop"));
        assert_ok!(call(BOB, cancel(contract)));
        assert_refused(released(NODE, 0, ReleasedPayload { contract }), Refusal::ContractOfOtherNode);
    });
}

#[test]
fn usage_is_refused_in_this_order() {
    run(|| {
        let items: UsagePayload = vec![UsageItem::default()].try_into().unwrap();
        assert_refused(forged(usage(NODE, 0, UsagePayload::default())), Refusal::NoItems);
        assert_refused(forged(usage(NODE, 0, items.clone())), Refusal::SequenceOld);
        assert_refused(forged(usage(NODE, 1, items.clone())), Refusal::NodeSignatureWrong);
        assert_refused(usage(9, 1, items.clone()), Refusal::NodeUnknown);
        assert_ok!(report(usage(NODE, 1, items.clone())));
        pass(USAGE_INTERVAL / 2 - 1);
        assert_refused(forged(usage(NODE, 1, items.clone())), Refusal::SequenceOld);
        assert_refused(forged(usage(NODE, 2, items.clone())), Refusal::TooSoon);
        assert_ok!(report(usage(OTHER_NODE, 1, items.clone())));
        pass(1);
        assert_ok!(report(usage(NODE, 2, items)));
    });
}

#[test]
fn the_first_usage_comes_at_any_time() {
    run_at(0, || {
        let items: UsagePayload = vec![UsageItem::default()].try_into().unwrap();
        assert_ok!(report(usage(NODE, 1, items.clone())));
        assert_refused(usage(NODE, 2, items), Refusal::TooSoon);
    });
}

#[test]
fn rents_and_names_are_reported_by_no_node() {
    run(|| {
        for contract in [opened(rent(NODE)), opened(name("shop"))] {
            let payload = ProgressPayload { contract, version: 1 };
            assert_refused(progress(NODE, next(), payload), Refusal::ContractOfOtherNode);
        }
    });
}

#[test]
fn a_sequence_is_per_contract_for_all_kinds() {
    run(|| {
        let (first, second) = (opened(Create::default()), opened(Create::default()));
        pass(ANSWER_WITHIN / 2);
        assert_ok!(report(progress(NODE, 5, progress_payload(first))));
        assert_refused(deployed(NODE, 5, deployed_payload(first)), Refusal::SequenceOld);
        assert_refused(failed(NODE, 5, failed_payload(first)), Refusal::SequenceOld);
        assert_ok!(report(deployed(NODE, 6, deployed_payload(first))));
        assert_ok!(report(deployed(NODE, 1, deployed_payload(second))));
    });
}

#[test]
fn nothing_follows_the_last_sequence() {
    run(|| {
        let contract = opened(Create::default());
        assert_ok!(report(deployed(NODE, u64::MAX, deployed_payload(contract))));
        assert_refused(deployed(NODE, u64::MAX, deployed_payload(contract)), Refusal::SequenceOld);
    });
}

#[test]
fn the_pool_has_one_report_of_a_kind() {
    let assert_valid = |report, expected: ValidTransaction| {
        assert_eq!(expected.priority, REPORT_PRIORITY);
        let valid = RuntimeCall::Contracts(report).authorize(TransactionSource::External);
        assert_eq!(valid, Some(Ok((expected, Weight::zero()))));
    };
    run(|| {
        let contract = opened(Create::default());
        pass(ANSWER_WITHIN / 2);
        assert_valid(confirm(contract), valid_report("Contracts.deployed", contract));
        assert_valid(reject(contract), valid_report("Contracts.failed", contract));
        assert_valid(work_on(contract), valid_report("Contracts.progress", contract));
        let items = vec![UsageItem::default()].try_into().unwrap();
        assert_valid(usage(NODE, next(), items), valid_report("Contracts.usage", NODE));
        let contract = running(Create { public_ips: 1, ..Create::default() });
        assert_ok!(call(BOB, cancel(contract)));
        let report = released(NODE, 0, ReleasedPayload { contract });
        assert_valid(report, valid_report("Contracts.released", contract));
    });
}

#[test]
fn people_send_no_reports_nodes_no_calls() {
    run(|| {
        let contract = opened(Create::default());
        let reports = [
            confirm(contract),
            reject(contract),
            work_on(contract),
            released(NODE, next(), ReleasedPayload { contract }),
            usage(NODE, next(), vec![UsageItem::default()].try_into().unwrap()),
        ];
        for report in reports {
            assert_fails(BOB, report.clone(), BadOrigin);
            assert_eq!(dispatch(RawOrigin::Root, report), Err(BadOrigin));
        }
        let calls = [
            Create::default().into(),
            cancel(contract),
            Call::force_close { contract },
            Call::reprice { contract },
            Update::default().into(),
            rent(NODE),
            name("shop"),
        ];
        for call in calls {
            assert!(RuntimeCall::Contracts(call.clone()).authorize(TransactionSource::External).is_none());
            assert_eq!(dispatch(RawOrigin::None, call), Err(BadOrigin));
        }
    });
}
