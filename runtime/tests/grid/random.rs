// SPDX-License-Identifier: Apache-2.0
//! Random sequences of calls and reports: whatever happens, the laws hold and no TFT is made or lost.

use crate::chain::*;
use pallet_contracts::CancelReason;
use proptest::prelude::*;
use tfgrid_primitives::{units::TFT, FailureCode, Resources, UsageItem, UsageTotals};
use tfgrid_runtime::*;

#[derive(Clone, Debug)]
enum Step {
    Deposit { bob: bool, amount: u128 },
    Withdraw { bob: bool, amount: u128 },
    Create { bob: bool, cru: u64, body: usize },
    Cancel { bob: bool, contract: u64 },
    Deployed { contract: u64 },
    Failed { contract: u64 },
    Usage { contract: u64, cpu_ms: u64 },
    Heartbeat,
    Claim { contract: u64 },
    PayOut { payee: u8 },
    Price { price: u64 },
    Pass { ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let amount = prop_oneof![0..3 * TFT, Just(u128::MAX)];
    let contract = 1u64..12;
    prop_oneof![
        1 => (any::<bool>(), amount.clone()).prop_map(|(bob, amount)| Step::Deposit { bob, amount }),
        1 => (any::<bool>(), amount).prop_map(|(bob, amount)| Step::Withdraw { bob, amount }),
        4 => (any::<bool>(), 0u64..5, 0usize..100).prop_map(|(bob, cru, body)| Step::Create { bob, cru, body }),
        1 => (any::<bool>(), contract.clone()).prop_map(|(bob, contract)| Step::Cancel { bob, contract }),
        4 => contract.clone().prop_map(|contract| Step::Deployed { contract }),
        1 => contract.clone().prop_map(|contract| Step::Failed { contract }),
        1 => (contract.clone(), 0u64..1_000).prop_map(|(contract, cpu_ms)| Step::Usage { contract, cpu_ms }),
        1 => Just(Step::Heartbeat),
        1 => contract.prop_map(|contract| Step::Claim { contract }),
        1 => (0u8..4).prop_map(|payee| Step::PayOut { payee }),
        1 => prop_oneof![Just(0), 10_000u64..1_000_000_000].prop_map(|price| Step::Price { price }),
        3 => (0u64..600_000).prop_map(|ms| Step::Pass { ms }),
    ]
}

fn take(machine: &mut Machine, step: Step) {
    let who = |bob| if bob { Bob } else { Charlie };
    let twin = |bob| if bob { 2 } else { 3 };
    // Whether a step succeeds isn't asked here: what it leaves behind is.
    match step {
        Step::Deposit { bob, amount } => {
            let _ = call(who(bob), pallet_billing::Call::deposit { twin: twin(bob), amount });
        }
        Step::Withdraw { bob, amount } => {
            let _ = call(who(bob), pallet_billing::Call::withdraw { amount });
        }
        Step::Create { bob, cru, body } => {
            let mut create = create(1, Resources { cru, ..small() });
            if let pallet_contracts::Call::create_node_contract { body: b, .. } = &mut create {
                *b = tfgrid_primitives::Body::Plain(vec![b' '; body]);
            }
            let _ = call(who(bob), create);
        }
        Step::Cancel { bob, contract } => {
            let reason = CancelReason::Cancelled;
            let _ = call(who(bob), pallet_contracts::Call::cancel { contract, reason });
        }
        Step::Deployed { contract } => {
            let _ = report(machine.deployed(contract, b"{}"));
        }
        Step::Failed { contract } => {
            let _ = report(machine.failed(contract, FailureCode::BodyInvalid));
        }
        Step::Usage { contract, cpu_ms } => {
            let totals = UsageTotals { cpu_ms, ..Default::default() };
            let items = vec![UsageItem { contract, totals }].try_into().unwrap();
            let _ = report(machine.usage(items));
        }
        Step::Heartbeat => {
            let _ = report(machine.heartbeat());
        }
        Step::Claim { contract } => {
            let _ = call(Alice, pallet_billing::Call::claim { contract });
        }
        Step::PayOut { payee } => {
            use pallet_billing::Payee::*;
            let payee = [Farm(1), Farm(9), Foundation, Staking][usize::from(payee)];
            let _ = call(Alice, pallet_billing::Call::pay_out { payee });
        }
        Step::Price { price } => {
            let inner = Box::new(pallet_billing::Call::set_price { price }.into());
            let _ = call(Alice, pallet_sudo::Call::sudo { call: inner });
        }
        Step::Pass { ms } => pass(ms),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_sequence_of_calls_and_reports_keeps_the_laws(steps in prop::collection::vec(step(), 1..60)) {
        run(|| {
            farm_with_ticket(1);
            let mut machine = Machine::join(1);
            customer(Bob, 10 * TFT);
            customer(Charlie, 2 * TFT);
            let issuance = Balances::total_issuance();
            for step in steps {
                take(&mut machine, step);
                check_laws();
            }
            assert_eq!(Balances::total_issuance(), issuance, "TFT was made or lost");
        });
    }
}
