// SPDX-License-Identifier: Apache-2.0

use super::*;
use crate::LastUsageReport;

mod deployed {
    use super::*;

    #[test]
    fn a_deployed_contract_is_charged() {
        run(|| {
            let contract = opened(Create::default());
            pass(MINUTE_MS);
            assert_ok!(report(confirm(contract)));
            let record = record(contract);
            assert_eq!((record.state, record.deployed_at), (ContractState::Deployed, now()));
            let mark = ReportMark { sequence: 1, at: now() };
            assert_eq!(deployment(contract).last_report, mark);
            assert_eq!(Results::<Test>::get(contract).unwrap()[..], RESULT[..]);
            assert_eq!(armed(Deadline::Answer(contract)), None);
            assert_eq!(traced(), [Traced::Start(contract, 0)]);
            assert_eq!(events(), [Event::Deployed { contract, node: NODE, version: 1 }]);
        });
    }

    #[test]
    fn a_silent_node_is_paid_nothing() {
        run(|| {
            let contract = opened(Create::default());
            set_service(NODE, Service::Suspended);
            pass(0);
            begin();
            assert_ok!(report(confirm(contract)));
            assert_eq!(traced(), [Traced::Start(contract, 0), Traced::Suspend(contract)]);
            set_service(NODE, Service::Running);
            pass(0);
            assert_eq!(traced(), [Traced::Start(contract, 0)]);
        });
    }

    #[test]
    fn a_silent_node_confirms_an_update() {
        run(|| {
            let contract = updating(small(), large());
            set_service(NODE, Service::Suspended);
            pass(0);
            begin();
            assert_ok!(report(confirm(contract)));
            assert_eq!(traced(), [Traced::Accept(contract)]);
        });
    }

    #[test]
    fn a_correction_changes_the_result() {
        run(|| {
            let contract = running(Create::default());
            pass(RESULT_INTERVAL);
            let result = b"{}".to_vec().try_into().unwrap();
            let payload = DeployedPayload { result, ..deployed_payload(contract) };
            assert_ok!(report(deployed(NODE, next(), payload)));
            assert_eq!(Results::<Test>::get(contract).unwrap()[..], b"{}"[..]);
            assert_eq!(deployment(contract).last_report, ReportMark { sequence: 2, at: now() });
            assert_eq!((traced(), events()), (vec![], vec![Event::ResultUpdated { contract }]));
        });
    }

    #[test]
    fn a_correction_confirms_no_update() {
        run(|| {
            let contract = running(Create::default());
            let active = deployed_payload(contract);
            pass(RESULT_INTERVAL);
            assert_ok!(call(BOB, Update::default()));
            begin();
            let result = b"{}".to_vec().try_into().unwrap();
            assert_ok!(report(deployed(NODE, next(), DeployedPayload { result, ..active })));
            assert_eq!((traced(), events()), (vec![], vec![Event::ResultUpdated { contract }]));
            assert_eq!(asked(contract).0, 2);
            assert_eq!(used(NODE), large());
            assert!(armed(Deadline::Answer(contract)).is_some());
        });
    }
}

mod failed {
    use super::*;

    #[test]
    fn a_rejected_contract_closes() {
        run(|| {
            let contract = opened(Create::default());
            let failure = failed_payload(contract).failure;
            let released = held(BOB);
            assert_ok!(report(reject(contract)));
            assert_eq!(traced(), [Traced::Close(contract, Outcome::EndedByOwner { reserved_ms: 0 })]);
            let reason = ClosingReason::NodeRejected { code: failure.code };
            assert_eq!(Failures::<Test>::get(contract), Some(failure.clone()));
            let rejected = Event::DeploymentRejected { contract, node: NODE, failure };
            let closed = Event::ContractClosed { contract, reason, tft: 0, usd: 0, released };
            assert_eq!(events(), [rejected, closed]);
            assert_eq!((used(NODE), held(BOB)), (Resources::ZERO, 0));
            assert_eq!(armed(Deadline::Answer(contract)), None);
        });
    }

    #[test]
    fn a_silent_node_rejects_for_nothing() {
        run(|| {
            let contract = opened(Create::default());
            set_service(NODE, Service::Suspended);
            pass(0);
            begin();
            assert_ok!(report(reject(contract)));
            assert_eq!(traced(), [Traced::Close(contract, Outcome::Served)]);
        });
    }

    #[test]
    fn a_full_node_is_paid_nothing() {
        run(|| {
            let full = |contract, version| {
                pass(MINUTE_MS);
                let failure = failure(version, FailureCode::NodeFull);
                assert_ok!(report(failed(NODE, next(), FailedPayload { contract, failure })));
            };
            let contract = opened(Create::default());
            full(contract, 1);
            assert_eq!(traced(), [Traced::Close(contract, Outcome::Served)]);
            let contract = updating(small(), large());
            full(contract, 2);
            assert_eq!(traced(), [Traced::Reject(contract, None)]);
        });
    }

    #[test]
    fn a_node_that_is_full_late_is_paid_for() {
        run(|| {
            let contract = opened(Create::default());
            pass(ANSWER_WITHIN - MINUTE_MS);
            assert_ok!(report(work_on(contract)));
            pass(2 * MINUTE_MS);
            let failure = failure(1, FailureCode::NodeFull);
            begin();
            assert_ok!(report(failed(NODE, next(), FailedPayload { contract, failure })));
            let reserved_ms = ANSWER_WITHIN + MINUTE_MS;
            assert_eq!(traced(), [Traced::Close(contract, Outcome::EndedByOwner { reserved_ms })]);
        });
    }

    #[test]
    fn a_failure_is_forgotten_with_its_contract() {
        run(|| {
            let contract = updating(small(), large());
            assert_ok!(report(reject(contract)));
            assert_ok!(call(BOB, cancel(contract)));
            pass(TOMBSTONE_LIFE - 1);
            assert_eq!(Failures::<Test>::get(contract), Some(failure(2, FailureCode::BodyInvalid)));
            pass(1);
            assert_eq!(Failures::<Test>::get(contract), None);
        });
    }

    #[test]
    fn a_rejected_update_leaves_its_mark() {
        run(|| {
            let contract = updating(small(), large());
            let report_of = reject(contract);
            assert_ok!(report(report_of.clone()));
            assert_eq!(deployment(contract).last_report, ReportMark { sequence: 2, at: now() });
            assert_ok!(call(BOB, Update::default()));
            assert_refused(report_of, Refusal::VersionMismatch);
        });
    }
}

mod progress {
    use super::*;

    #[test]
    fn no_wait_is_longer_than_the_credit_lasts() {
        run(|| {
            let lasts = |ms| Doubles::mutate(|state| state.lasts_ms = ms);
            let contract = opened(Create::default());
            // Half of the time to answer isn't paid for yet.
            lasts(ANSWER_WITHIN + MINUTE_MS);
            pass(ANSWER_WITHIN / 2);
            assert_ok!(report(work_on(contract)));
            let by = now() + ANSWER_WITHIN / 2 + MINUTE_MS;
            assert_eq!(deployment(contract).answer.by, by);
            // Whatever comes in meanwhile earns no report before its time.
            lasts(DAY_MS);
            pass(ANSWER_WITHIN / 2 - 1);
            assert_refused(work_on(contract), Refusal::TooSoon);
            pass(1);
            lasts(ANSWER_WITHIN + MINUTE_MS);
            assert_refused(work_on(contract), Refusal::AnswerExpired);
            lasts(DAY_MS);
            assert_ok!(report(work_on(contract)));
            assert_eq!(deployment(contract).answer.by, now() + ANSWER_WITHIN);
        });
    }

    #[test]
    fn the_answer_moves() {
        run(|| {
            let contract = opened(Create::default());
            pass(ANSWER_WITHIN / 2);
            assert_ok!(report(work_on(contract)));
            let by = now() + ANSWER_WITHIN;
            let answer = deployment(contract).answer;
            assert_eq!(answer, Answer { asked_at: now() - ANSWER_WITHIN / 2, by });
            assert_eq!(armed(Deadline::Answer(contract)), Some(by));
            assert_eq!(events(), [Event::DeploymentProgressed { contract, version: 1, by }]);
            assert_eq!(deployment(contract).last_report, ReportMark { sequence: 1, at: now() });
            assert_eq!(traced(), [Traced::PayWait(contract, 0)]);
        });
    }

    #[test]
    fn what_is_reserved_beyond_the_time_to_answer_is_paid_for() {
        run(|| {
            let contract = opened(Create::default());
            for _ in 0..3 {
                pass(ANSWER_WITHIN - MINUTE_MS);
                assert_ok!(report(work_on(contract)));
            }
            let paid = |minutes| Traced::PayWait(contract, minutes * MINUTE_MS);
            assert_eq!(traced(), [paid(0), paid(3), paid(7)]);
            pass(MINUTE_MS);
            assert_ok!(report(confirm(contract)));
            assert_eq!(traced(), [Traced::Start(contract, 8 * MINUTE_MS)]);
        });
    }

    #[test]
    fn the_answer_on_an_update_moves() {
        run(|| {
            let contract = updating(small(), large());
            let first = deployment(contract).answer;
            pass(ANSWER_WITHIN / 2);
            assert_ok!(report(work_on(contract)));
            let Deployment { answer, pending, .. } = deployment(contract);
            let by = now() + ANSWER_WITHIN;
            assert_eq!((answer, pending.unwrap().answer.by), (first, by));
            assert_eq!(armed(Deadline::Answer(contract)), Some(by));
            assert_eq!(events(), [Event::DeploymentProgressed { contract, version: 2, by }]);
        });
    }

    #[test]
    fn the_limit_follows_the_disk_of_the_version() {
        run(|| {
            let disk = |sru| Resources { sru, ..small() };
            let limit = |contract| {
                let deployment = deployment(contract);
                let answer = record(contract).awaited().unwrap();
                Contracts::answer_limit(1, &answer, &deployment) - answer.asked_at
            };
            assert_eq!(limit(opened(Create { resources: disk(0), ..Create::default() })), ANSWER_LIMIT);
            assert_eq!(limit(updating(disk(GIB), disk(60_000_000))), ANSWER_LIMIT + MINUTE_MS);
            assert_eq!(limit(updating(disk(0), disk(100 * GIB))), ANSWER_LIMIT + 6 * 60 * MINUTE_MS);
        });
    }

    #[test]
    fn the_answer_moves_up_to_its_limit() {
        // Images that take 4 minutes at 1 MB/s.
        let resources = Resources { sru: 240_000_000, ..small() };
        run(|| {
            let contract = opened(Create { resources, ..Create::default() });
            let limit = now() + ANSWER_LIMIT + 4 * MINUTE_MS;
            while deployment(contract).answer.by < limit {
                pass(4 * MINUTE_MS);
                assert_ok!(report(work_on(contract)));
                assert!(deployment(contract).answer.by <= limit);
            }
            assert_eq!(now(), limit - 2 * MINUTE_MS);
            pass(MINUTE_MS);
            assert_refused(work_on(contract), Refusal::AnswerExpired);
            assert_ok!(report(confirm(contract)));
        });
    }
}

#[test]
fn released_addresses_are_free() {
    run(|| {
        let contract = running(Create { public_ips: 3, ..Create::default() });
        assert_ok!(call(BOB, cancel(contract)));
        assert_eq!(Doubles::get().free_ips, 5);
        assert_ok!(report(released(NODE, 0, ReleasedPayload { contract })));
        assert_eq!(Doubles::get().free_ips, 8);
        pass(COOL_DOWN);
        assert_eq!(Doubles::get().free_ips, 8, "they are freed once");
    });
}

mod usage {
    use super::*;
    use crate::USAGE_LEEWAY_MS;

    fn received(contract: ContractId, received_bytes: u64) -> UsageItem {
        UsageItem { contract, totals: UsageTotals { received_bytes, ..Default::default() } }
    }

    fn computed(contract: ContractId, cpu_ms: u64) -> UsageItem {
        UsageItem { contract, totals: UsageTotals { cpu_ms, ..Default::default() } }
    }

    /// Two contracts that node 1 runs since now.
    fn two_running() -> [ContractId; 2] {
        [(); 2].map(|()| running(Create::default()))
    }

    /// Node 1 reports `items`, of which the chain refuses those of `refused`.
    #[track_caller]
    fn assert_reported(items: &[UsageItem], refused: &[ContractId]) {
        begin();
        assert_ok!(report(usage(NODE, next(), items.to_vec().try_into().unwrap())));
        let accepted = (items.len() - refused.len()) as u32;
        let refused = refused.to_vec().try_into().unwrap();
        assert_eq!(events(), [Event::UsageReported { node: NODE, accepted, refused }]);
    }

    #[test]
    fn usage_is_kept_and_traffic_drawn() {
        run(|| {
            let [first, second] = two_running();
            let totals =
                UsageTotals { cpu_ms: 10, memory_bytes: 9, disk_bytes: 8, received_bytes: 7, sent_bytes: 6 };
            assert_reported(&[UsageItem { contract: first, totals }, received(second, 0)], &[]);
            assert_eq!(Usage::<Test>::get(first), Some(totals));
            assert_eq!(traced(), [Traced::UseTraffic(first, 13), Traced::UseTraffic(second, 0)]);
            assert_eq!(
                LastUsageReport::<Test>::get(NODE).mark,
                ReportMark { sequence: next() - 1, at: now() }
            );

            pass(USAGE_INTERVAL);
            let totals = UsageTotals { memory_bytes: 0, received_bytes: 9, sent_bytes: 9, ..totals };
            assert_reported(&[UsageItem { contract: first, totals }], &[]);
            assert_eq!(traced(), [Traced::UseTraffic(first, 5)], "what came since is drawn");
        });
    }

    #[test]
    fn usage_of_contracts_that_do_not_run_here_is_refused() {
        run(|| {
            let here = running(Create::default());
            let created = opened(Create::default());
            let elsewhere = running(Create { node: OTHER_NODE, ..Create::default() });
            let (name, closed) = (opened(name("shop")), running(Create::default()));
            assert_ok!(call(BOB, cancel(closed)));
            let items = [created, here, elsewhere, name, closed, 99].map(|contract| received(contract, 1));
            assert_reported(&items, &[created, elsewhere, name, closed, 99]);
            assert_eq!(traced(), [Traced::UseTraffic(here, 1)]);
            assert_eq!(Usage::<Test>::iter_keys().collect::<Vec<_>>(), [here]);
        });
    }

    #[test]
    fn a_contract_counts_once_in_a_report() {
        run(|| {
            let [first, second] = two_running();
            let items = [received(first, 1), received(second, 2), received(first, 3), received(second, 4)];
            assert_reported(&items, &[first, second]);
            assert_eq!(traced(), [Traced::UseTraffic(first, 1), Traced::UseTraffic(second, 2)]);
        });
    }

    #[test]
    fn totals_never_go_down() {
        run(|| {
            let contract = running(Create::default());
            assert_reported(&[received(contract, 7)], &[]);
            pass(USAGE_INTERVAL);
            assert_reported(&[received(contract, 6)], &[contract]);
            assert_eq!(Usage::<Test>::get(contract).unwrap().received_bytes, 7);
        });
    }

    #[test]
    fn time_counts_since_the_deployment() {
        run(|| {
            pass(DAY_MS);
            let [first, second] = two_running();
            pass(MINUTE_MS);
            let most = BYTES_PER_SECOND * (MINUTE_MS + USAGE_LEEWAY_MS) / SECOND_MS;
            assert_reported(&[received(first, most), received(second, most + 1)], &[second]);
        });
    }

    #[test]
    fn time_counts_since_the_last_report() {
        run(|| {
            let [first, second] = two_running();
            pass(DAY_MS);
            assert_reported(&[received(first, 5), received(second, 5)], &[]);
            pass(2 * USAGE_INTERVAL);
            let most = 5 + BYTES_PER_SECOND * (2 * USAGE_INTERVAL + USAGE_LEEWAY_MS) / SECOND_MS;
            assert_reported(&[received(first, most), received(second, most + 1)], &[second]);
        });
    }

    #[test]
    fn all_contracts_share_the_bandwidth_of_their_node() {
        run(|| {
            let [first, second] = two_running();
            let report = |first_bytes, second_bytes, refused: &[ContractId]| {
                pass(USAGE_INTERVAL);
                assert_reported(&[received(first, first_bytes), received(second, second_bytes)], refused);
            };
            report(0, 0, &[]);
            let most = BYTES_PER_SECOND * (USAGE_INTERVAL + USAGE_LEEWAY_MS) / SECOND_MS;
            report(most, 1, &[second]);
            report(2 * most - 1, 1, &[]);
            on_node(NODE, |node| node.facts.bytes_per_second = 0);
            report(2 * most - 1, 2, &[second]);
            // What a node declares counts from its next report on.
            on_node(NODE, |node| node.facts.bytes_per_second = BYTES_PER_SECOND);
            report(2 * most - 1, 2, &[second]);
            report(2 * most - 1, 2, &[]);
        });
    }

    #[test]
    fn no_report_reaches_back_more_than_a_day() {
        run(|| {
            let [first, second] = two_running();
            let most = BYTES_PER_SECOND * (DAY_MS + USAGE_LEEWAY_MS) / SECOND_MS;
            for days in 1..=2 {
                pass(5 * DAY_MS);
                let items = [received(first, days * most), received(second, days)];
                assert_reported(&items, &[second]);
            }
        });
    }

    #[test]
    fn both_directions_are_bounded_together() {
        run(|| {
            let [first, second] = two_running();
            let half = BYTES_PER_SECOND * USAGE_LEEWAY_MS / SECOND_MS / 2;
            let item = |contract, sent_bytes| {
                let received_bytes = half;
                UsageItem {
                    contract,
                    totals: UsageTotals { received_bytes, sent_bytes, ..Default::default() },
                }
            };
            assert_reported(&[item(first, half), item(second, half + 1)], &[second]);
        });
    }

    #[test]
    fn cpu_time_is_bounded_by_cores() {
        run(|| {
            let [first, second] = two_running();
            pass(MINUTE_MS);
            let most = capacity().cru * (MINUTE_MS + USAGE_LEEWAY_MS);
            assert_reported(&[computed(first, most), computed(second, most + 1)], &[second]);
        });
    }

    #[test]
    fn the_largest_numbers_are_refused() {
        run(|| {
            let contract = running(Create::default());
            let all = u64::MAX;
            let totals = UsageTotals {
                cpu_ms: all,
                memory_bytes: all,
                disk_bytes: all,
                received_bytes: all,
                sent_bytes: all,
            };
            assert_reported(&[UsageItem { contract, totals }], &[contract]);
        });
    }
}
