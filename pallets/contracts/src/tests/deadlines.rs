// SPDX-License-Identifier: Apache-2.0

use super::*;
use crate::{Sweep, Sweeps, WeightInfo};
use frame_support::weights::Weight;

/// The contracts of a step.
const STEP: usize = 16;

/// So many deployed contracts on [`NODE`], in the order in which sweeps reach them.
fn many_running(count: u32) -> Vec<ContractId> {
    for _ in 0..count {
        running(Create { resources: Resources { cru: 1, ..Resources::ZERO }, ..Create::default() });
    }
    listed(NODE)
}

/// What one step of the sweep over [`NODE`] has the ledger do.
fn sweep_step() -> Vec<Traced> {
    traced();
    assert_eq!(step(), Some(Deadline::Sweep(NODE)));
    traced()
}

fn all(traced: fn(ContractId) -> Traced, contracts: &[ContractId]) -> Vec<Traced> {
    contracts.iter().copied().map(traced).collect()
}

#[test]
fn each_kind_has_its_weight() {
    let steps = [
        (Deadline::Sweep(1), <()>::serve_sweep(16)),
        (Deadline::Eviction(1), <()>::serve_eviction(16)),
        (Deadline::Answer(1), <()>::serve_answer()),
        (Deadline::CoolDown(1), <()>::serve_cool_down()),
        (Deadline::Tombstone(1), <()>::serve_tombstone()),
    ];
    for (deadline, weight) in steps {
        assert_eq!(Contracts::weight_of(&deadline), Some(weight), "{deadline:?}");
    }
    let heaviest = steps.iter().fold(Weight::zero(), |most, (_, weight)| most.max(*weight));
    assert_eq!(Contracts::heaviest_step(), heaviest);
}

#[test]
fn kinds_of_other_pallets_are_not_served() {
    run(|| {
        running(Create::default());
        for deadline in [Deadline::Silence(1), Deadline::Drain(1), Deadline::Grace(1), Deadline::Review(1)] {
            assert_eq!(Contracts::weight_of(&deadline), None);
            assert_eq!(Contracts::serve(deadline, now()), None);
        }
        assert!(traced().is_empty());
    });
}

mod sweep {
    use super::*;

    #[test]
    fn sixteen_are_suspended_per_step() {
        run(|| {
            let contracts = many_running(40);
            set_service(NODE, Service::Suspended);
            let suspended = |range: &[ContractId]| all(Traced::Suspend, range);
            assert_eq!(sweep_step(), suspended(&contracts[..STEP]));
            let got_to = Sweep { service: Service::Suspended, last: contracts[STEP - 1] };
            assert_eq!(Sweeps::<Test>::get(NODE), Some(got_to));
            assert_eq!(sweep_step(), suspended(&contracts[STEP..2 * STEP]));
            assert_eq!(sweep_step(), suspended(&contracts[2 * STEP..]));
            assert_eq!((step(), Sweeps::<Test>::get(NODE)), (None, None));
        });
    }

    #[test]
    fn sixteen_take_one_step() {
        run(|| {
            many_running(16);
            set_service(NODE, Service::Suspended);
            assert_eq!(sweep_step().len(), STEP);
            assert_eq!((step(), Sweeps::<Test>::get(NODE)), (None, None));
        });
    }

    #[test]
    fn contracts_start_again() {
        run(|| {
            let contracts = many_running(3);
            set_service(NODE, Service::Suspended);
            assert_eq!(sweep_step(), all(Traced::Suspend, &contracts));
            set_service(NODE, Service::Running);
            assert_eq!(sweep_step(), all(|id| Traced::Start(id, 0), &contracts));
        });
    }

    #[test]
    fn another_state_starts_over() {
        run(|| {
            let contracts = many_running(20);
            set_service(NODE, Service::Suspended);
            assert_eq!(sweep_step(), all(Traced::Suspend, &contracts[..STEP]));
            set_service(NODE, Service::Running);
            assert_eq!(sweep_step(), all(|id| Traced::Start(id, 0), &contracts[..STEP]));
            set_service(NODE, Service::Ended(ClosingReason::Drained));
            let closed = |contract| Traced::Close(contract, Outcome::Served);
            assert_eq!(sweep_step(), all(closed, &contracts[..STEP]));
            assert_eq!(sweep_step(), all(closed, &contracts[STEP..]));
            assert_eq!(step(), None);
        });
    }

    #[test]
    fn the_latest_reason_counts() {
        run(|| {
            let contracts = many_running(20);
            set_service(NODE, Service::Ended(ClosingReason::NodeSilent));
            sweep_step();
            set_service(NODE, Service::Ended(ClosingReason::Drained));
            sweep_step();
            assert_eq!(reason_of(contracts[0]), ClosingReason::NodeSilent);
            assert_eq!(reason_of(contracts[19]), ClosingReason::Drained);
        });
    }

    #[test]
    fn a_created_contract_is_not_started() {
        run(|| {
            let created = opened(Create::default());
            let deployed = running(Create::default());
            set_service(NODE, Service::Suspended);
            pass(0);
            set_service(NODE, Service::Running);
            assert_eq!(sweep_step(), [Traced::Start(deployed, 0)]);
            assert_eq!(record(created).state, ContractState::Created);
        });
    }

    #[test]
    fn rents_are_swept_and_names_are_not() {
        run(|| {
            let rent = opened(rent(NODE));
            opened(name("shop"));
            set_service(NODE, Service::Suspended);
            assert_eq!(sweep_step(), [Traced::Suspend(rent)]);
        });
    }

    #[test]
    fn other_nodes_are_left_alone() {
        run(|| {
            let theirs = running(Create { node: OTHER_NODE, ..Create::default() });
            set_service(NODE, Service::Ended(ClosingReason::Drained));
            assert!(sweep_step().is_empty());
            assert_eq!(record(theirs).state, ContractState::Deployed);
        });
    }

    #[test]
    fn a_pending_version_goes_first() {
        run(|| {
            let contract = updating(small(), large());
            set_service(NODE, Service::Ended(ClosingReason::Drained));
            let expected = [Traced::Reject(contract, None), Traced::Close(contract, Outcome::Served)];
            assert_eq!(sweep_step(), expected);
        });
    }

    #[test]
    fn a_pending_version_survives_silence() {
        run(|| {
            let contract = updating(small(), large());
            set_service(NODE, Service::Suspended);
            assert_eq!(sweep_step(), [Traced::Suspend(contract)]);
            set_service(NODE, Service::Running);
            assert_eq!(sweep_step(), [Traced::Start(contract, 0)]);
            assert_ok!(report(confirm(contract)));
        });
    }

    #[test]
    fn contracts_close_for_its_reason() {
        for reason in [ClosingReason::Drained, ClosingReason::NodeSilent] {
            run(|| {
                let contracts = [opened(Create::default()), running(Create::default())];
                set_service(NODE, Service::Ended(reason));
                pass(0);
                assert_eq!(contracts.map(reason_of), [reason; 2]);
                assert_eq!(held(BOB), 0);
            });
        }
    }

    #[test]
    fn a_removed_node_closes_all() {
        run(|| {
            let contracts = many_running(20);
            remove_node(NODE);
            assert_eq!(sweep_step().len(), STEP);
            assert_eq!(sweep_step().len(), 4);
            for contract in contracts {
                assert_eq!(reason_of(contract), ClosingReason::NodeRemoved);
            }
        });
    }

    #[test]
    fn a_rent_ends_with_its_contracts() {
        run(|| {
            opened(rent(NODE));
            many_running(20);
            set_service(NODE, Service::Ended(ClosingReason::Drained));
            pass(0);
            assert_eq!((listed(NODE), held(BOB)), (vec![], 0));
            for contract in 1..=21 {
                assert_eq!(reason_of(contract), ClosingReason::Drained);
            }
        });
    }
}

mod eviction {
    use super::*;

    /// Bob's credit is used up and his grace period over, or not yet.
    fn exhaust(grace_ended: bool) {
        Doubles::mutate(|state| state.exhausted.insert(1, grace_ended));
    }

    fn evict() -> bool {
        let again = Contracts::serve(Deadline::Eviction(1), now());
        assert!(again.is_none_or(|again| again == now()));
        again.is_some()
    }

    fn open() -> usize {
        TwinContractCount::<Test>::get(1) as usize
    }

    #[test]
    fn sixteen_close_per_step() {
        run(|| {
            many_running(38);
            opened(name("shop"));
            assert_ok!(call(CHARLIE, Create::default()));
            exhaust(true);
            let left = [(); 3].map(|()| (evict(), open()));
            assert_eq!(left, [(true, 39 - STEP), (true, 39 - 2 * STEP), (false, 0)]);
            for contract in 1..=39 {
                assert_eq!(reason_of(contract), ClosingReason::OutOfFunds);
            }
            assert_eq!((held(BOB), record(40).twin), (0, 2), "Charlie's stays");
        });
    }

    #[test]
    fn a_payment_saves_what_is_left() {
        run(|| {
            many_running(20);
            exhaust(true);
            assert!(evict());
            Doubles::mutate(|state| state.exhausted.clear());
            assert!(!evict());
            assert_eq!(open(), 4);
        });
    }

    #[test]
    fn nothing_closes_within_grace() {
        run(|| {
            running(Create::default());
            exhaust(false);
            assert!(!evict());
            assert_eq!((open(), traced()), (1, vec![]));
        });
    }

    #[test]
    fn a_pending_version_goes_first() {
        run(|| {
            let contract = updating(large(), small());
            exhaust(true);
            assert!(!evict());
            assert_eq!(
                traced(),
                [Traced::Reject(contract, Some(0)), Traced::Close(contract, Outcome::Served)]
            );
        });
    }

    #[test]
    fn a_rent_takes_its_contracts() {
        run(|| {
            opened(rent(NODE));
            many_running(20);
            exhaust(true);
            while evict() {}
            pass(0);
            assert_eq!((listed(NODE), EndedRents::<Test>::get(NODE)), (vec![], None));
        });
    }
}

mod answer {
    use super::*;

    #[test]
    fn an_unanswered_contract_pays_for_what_it_reserved() {
        run(|| {
            let contract = opened(Create::default());
            pass(ANSWER_WITHIN - 1);
            assert_eq!(record(contract).state, ContractState::Created);
            pass(1);
            assert_eq!(reason_of(contract), ClosingReason::NodeSilent);
            let outcome = Outcome::EndedByOwner { reserved_ms: ANSWER_WITHIN };
            assert_eq!(traced(), [Traced::Close(contract, outcome)]);
            assert_eq!((used(NODE), held(BOB)), (Resources::ZERO, 0));
        });
    }

    #[test]
    fn a_contract_on_a_silent_node_owes_nothing() {
        run(|| {
            let contract = opened(Create::default());
            set_service(NODE, Service::Suspended);
            pass(ANSWER_WITHIN);
            assert_eq!(traced(), [Traced::Suspend(contract), Traced::Close(contract, Outcome::Served)]);
        });
    }

    #[test]
    fn an_unanswered_update_expires() {
        run(|| {
            let contract = updating(small(), large());
            pass(ANSWER_WITHIN - 1);
            assert_eq!(used(NODE), large());
            pass(1);
            assert_eq!(traced(), [Traced::Reject(contract, Some(ANSWER_WITHIN))]);
            assert_eq!(events(), [Event::UpdateExpired { contract, version: 2 }]);
            assert_eq!((deployment(contract).version, deployment(contract).pending), (1, None));
            assert_eq!((used(NODE), held(BOB)), (small(), DEPOSIT + 2 * PER_BYTE));
            assert_eq!(PendingBodies::<Test>::get(contract), None);
            assert_eq!(record(contract).state, ContractState::Deployed);
        });
    }

    #[test]
    fn reported_progress_puts_it_off() {
        run(|| {
            let contract = opened(Create::default());
            pass(ANSWER_WITHIN / 2);
            assert_ok!(report(work_on(contract)));
            pass(ANSWER_WITHIN - 1);
            assert_eq!(record(contract).state, ContractState::Created);
            pass(1);
            assert_eq!(reason_of(contract), ClosingReason::NodeSilent);
        });
    }

    #[test]
    fn nothing_awaited_nothing_follows() {
        run(|| {
            let (running, closed) = (running(Create::default()), opened(Create::default()));
            assert_ok!(call(BOB, cancel(closed)));
            let before = record(running);
            begin();
            for contract in [running, closed, 99] {
                assert_eq!(Contracts::serve(Deadline::Answer(contract), now()), None);
            }
            assert_eq!((record(running), traced(), events()), (before, vec![], vec![]));
        });
    }
}

#[test]
fn addresses_that_nobody_released_cool_down() {
    run(|| {
        let contract = running(Create { public_ips: 3, ..Create::default() });
        assert_ok!(call(BOB, cancel(contract)));
        pass(COOL_DOWN - 1);
        assert_eq!(Doubles::get().free_ips, 5);
        pass(1);
        assert_eq!(Doubles::get().free_ips, 8);
    });
}

#[test]
fn a_tombstone_and_its_charges_are_forgotten() {
    run(|| {
        let contract = opened(name("shop"));
        assert_ok!(call(BOB, cancel(contract)));
        traced();
        pass(TOMBSTONE_LIFE - 1);
        assert!(ClosedContracts::<Test>::contains_key(contract) && traced().is_empty());
        pass(1);
        assert_eq!(ClosedContracts::<Test>::get(contract), None);
        assert_eq!(traced(), [Traced::Forget(contract)]);
    });
}
