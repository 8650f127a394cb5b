// SPDX-License-Identifier: Apache-2.0
//! Public IPs and traffic of contracts.

use crate::{chain::*, governance::by_root};
use frame_support::{
    assert_ok,
    storage::{TransactionOutcome, with_transaction},
    traits::Get,
};
use pallet_grid_farms::{Interface, IpState, PublicIp};
use tfgrid_primitives::{
    Refusal, UsageItem, UsageTotals,
    traits::Clock as _,
    units::{HOUR_MS, TFT},
};
use tfgrid_runtime::{
    parameters::{AnswerTime, CoolDownTime, UsageInterval},
    *,
};

type Call = pallet_grid_contracts::Call<Runtime>;
type FarmsError = pallet_grid_farms::Error<Runtime>;

/// One GB.
const GB: u64 = 1_000_000_000;

fn add_ip(n: u8) {
    let v4 = Interface { address: [185, 69, 166, n], prefix: 24, gateway: [185, 69, 166, 1] };
    let address = PublicIp { v4, v6: None };
    assert_ok!(call(Alice, pallet_grid_farms::Call::add_ip { farm: 1, address }));
}

fn create_with(public_ips: u8, traffic_gb: u32) -> Call {
    let mut call = create(1, small());
    if let Call::create_node_contract { public_ips: ips, traffic_gb: gb, .. } = &mut call {
        (*ips, *gb) = (public_ips, traffic_gb);
    }
    call
}

fn states() -> Vec<IpState> {
    Farms::ips_of_farm(1, None, 10).items.into_iter().map(|ip| ip.state).collect()
}

fn used(received_bytes: u64) -> UsageItem {
    UsageItem { contract: 1, totals: UsageTotals { received_bytes, ..Default::default() } }
}

#[test]
fn addresses_are_reserved_with_the_contract_and_paid_for() {
    run_with_node(|mut machine, _| {
        add_ip(10);
        assert_fails(Bob, create_with(2, 0), FarmsError::NotEnoughIps);
        assert_fails(Bob, create_with(17, 0), FarmsError::IpCountOutOfRange);
        assert_ok!(call(Bob, create_with(1, 0)));
        assert_eq!(states(), [IpState::Taken(1)]);
        assert_fails(Bob, create_with(1, 0), FarmsError::NotEnoughIps);
        assert_fails(Alice, pallet_grid_farms::Call::remove_ip { ip: 1 }, FarmsError::IpInUse);
        report(machine.deployed(1, b"{}")).unwrap();
        let with = price_of(1).rates.usd;
        assert_eq!(with - Contracts::quote(1, small(), 0).unwrap(), 40_000_000);
    });
}

fn update_with(public_ips: u8) -> Call {
    let mut call = update(1, small());
    if let Call::update_node_contract { public_ips: ips, .. } = &mut call {
        *ips = public_ips;
    }
    call
}

fn count(state: IpState) -> usize {
    states().into_iter().filter(|found| *found == state).count()
}

#[test]
fn an_update_changes_the_addresses_of_a_contract() {
    run_with_node(|mut machine, _| {
        (10..13).for_each(add_ip);
        assert_ok!(call(Bob, create_with(1, 0)));
        report(machine.deployed(1, b"{}")).unwrap();
        let alone = price_of(1).rates.usd;
        assert_fails(Bob, update_with(4), FarmsError::NotEnoughIps);
        assert_ok!(call(Bob, update_with(3)));
        assert_eq!((count(IpState::Taken(1)), price_of(1).rates.usd), (3, alone));
        report(machine.deployed(1, b"{}")).unwrap();
        assert_eq!(price_of(1).rates.usd - alone, 2 * 40_000_000);

        assert_ok!(call(Bob, update_with(1)));
        assert_eq!(count(IpState::Taken(1)), 3);
        report(machine.deployed(1, b"{}")).unwrap();
        assert_eq!((count(IpState::Taken(1)), count(IpState::Free)), (1, 2));
        assert_eq!(price_of(1).rates.usd, alone);
    });
}

#[test]
fn addresses_of_an_unanswered_update_are_paid_for() {
    run_with_node(|mut machine, bob| {
        (10..13).for_each(add_ip);
        assert_ok!(call(Bob, create_with(1, 0)));
        report(machine.deployed(1, b"{}")).unwrap();
        for _ in 0..2 {
            let before = credit(bob);
            assert_ok!(call(Bob, update_with(3)));
            assert_ok!(call(Bob, Call::withdraw_update { contract: 1 }));
            // Ten minutes of two addresses at 0.05 USD per TFT, beside the blocks in which the contract ran.
            let two = 80_000_000 * TFT / 10_000_000_000 * 20 / 6;
            assert!(before - credit(bob) >= two, "{} for addresses", before - credit(bob));
            assert_eq!((count(IpState::Taken(1)), count(IpState::CoolingDown(1))), (1, 2));
            assert_fails(Bob, create_with(1, 0), FarmsError::NotEnoughIps);
        }
        machine.serve(AnswerTime::get() + SLOT_DURATION);
        assert_eq!((count(IpState::Taken(1)), count(IpState::Free)), (1, 2));
        assert_ok!(call(Bob, cancel(1)));
        assert_eq!((count(IpState::CoolingDown(1)), count(IpState::Free)), (1, 2));
    });
}

#[test]
fn updates_prolong_no_others_cool_down() {
    run_with_node(|mut machine, _| {
        (10..13).for_each(add_ip);
        assert_ok!(call(Bob, create_with(1, 0)));
        report(machine.deployed(1, b"{}")).unwrap();
        assert_ok!(call(Bob, update_with(3)));
        assert_ok!(call(Bob, Call::withdraw_update { contract: 1 }));
        let cool_down = AnswerTime::get().min(CoolDownTime::get());
        machine.serve(cool_down / 2);
        for ips in [1, 2] {
            assert_ok!(call(Bob, update_with(ips)));
            assert_ok!(call(Bob, Call::withdraw_update { contract: 1 }));
            assert_eq!(count(IpState::CoolingDown(1)), 2);
        }
        machine.serve(cool_down / 2 + SLOT_DURATION);
        assert_eq!((count(IpState::CoolingDown(1)), count(IpState::Free)), (1, 1), "the one that came back");
    });
}

#[test]
fn a_removed_address_is_not_taken_back() {
    run_with_node(|mut machine, _| {
        (10..12).for_each(add_ip);
        assert_ok!(call(Bob, create_with(1, 0)));
        report(machine.deployed(1, b"{}")).unwrap();
        assert_ok!(call(Bob, update_with(2)));
        assert_ok!(call(Bob, Call::withdraw_update { contract: 1 }));
        let infos = Farms::ips_of_farm(1, None, 10).items;
        let cooling = infos.iter().find(|info| info.state == IpState::CoolingDown(1)).unwrap().ip;
        assert_ok!(by_root(pallet_grid_farms::Call::force_remove_ip { ip: cooling }.into()));
        assert_fails(Bob, update_with(2), FarmsError::NotEnoughIps);
    });
}

#[test]
fn addresses_cool_down_until_released_or_until_time_is_up() {
    run_with_node(|mut machine, _| {
        add_ip(10);
        for id in [1, 2] {
            assert_ok!(call(Bob, create_with(1, 0)));
            report(machine.deployed(id, b"{}")).unwrap();
            assert_refused(machine.released(id), Refusal::ContractUnknown);
            assert_ok!(call(Bob, cancel(id)));
            assert_eq!(states(), [IpState::CoolingDown(id)]);
            assert_fails(Bob, create_with(1, 0), FarmsError::NotEnoughIps);
            if id == 1 {
                let mut forged = Machine { key: Machine::key(9), id: 1, sequence: 100 };
                assert_refused(forged.released(id), Refusal::NodeSignatureWrong);
                let mut other = Machine { key: Machine::key(9), id: 2, sequence: 100 };
                assert_refused(other.released(id), Refusal::ContractOfOtherNode);
                let released = machine.released(id);
                report(released.clone()).unwrap();
                assert_refused(released, Refusal::NothingToRelease);
            } else {
                machine.serve(CoolDownTime::get() + SLOT_DURATION);
            }
            assert_eq!(states(), [IpState::Free]);
        }
    });
}

#[test]
fn force_removed_address_goes_when_its_contract_closes() {
    run_with_node(|mut machine, _| {
        add_ip(10);
        assert_ok!(call(Bob, create_with(1, 0)));
        assert_ok!(by_root(pallet_grid_farms::Call::force_remove_ip { ip: 1 }.into()));
        assert_eq!(held(Alice, pallet_grid_farms::HoldReason::PublicIp), 0);
        assert_ok!(call(Bob, cancel(1)));
        report(machine.released(1)).unwrap();
        assert_eq!(states(), []);
    });
}

#[test]
fn traffic_is_paid_in_advance_and_what_is_not_used_comes_back() {
    run_with_node(|mut machine, bob| {
        assert_ok!(call(Bob, create_with(0, 10)));
        // 10 GB at 0.0015 USD and 0.05 USD per TFT.
        let ten = 10 * 15_000 * TFT / 500_000;
        assert_eq!(credit(bob), CREDIT - ten);
        report(machine.deployed(1, b"{}")).unwrap();
        let before = credit(bob);
        report(machine.usage(vec![used(4 * GB)].try_into().unwrap())).unwrap();
        machine.serve(UsageInterval::get());
        // What the node says beyond the allowance costs nothing: it shapes.
        report(machine.usage(vec![used(30 * GB)].try_into().unwrap())).unwrap();
        assert!(before - credit(bob) < TFT / 100, "only time was paid");
        assert_ok!(call(Bob, cancel(1)));
        assert!(credit(bob) < CREDIT - ten);

        assert_ok!(call(Bob, create_with(0, 10)));
        let before = credit(bob);
        assert_ok!(call(Bob, cancel(2)));
        let ten_minutes = 103_750_000 * TFT / 10_000_000_000 * 20 / 6;
        assert!((credit(bob) + ten_minutes - before).abs_diff(ten) <= 1, "all traffic comes back");
    });
}

#[test]
fn a_node_cannot_report_more_than_a_machine_can_do() {
    run_with_node(|mut machine, _| {
        deployed(&mut machine, Bob, small());
        report(machine.usage(vec![used(BYTES_PER_SECOND * 3_600)].try_into().unwrap())).unwrap();
        assert_eq!(pallet_grid_contracts::Usage::<Runtime>::get(1), None);
        machine.serve(UsageInterval::get());
        let totals = UsageTotals { cpu_ms: 100 * HOUR_MS, ..Default::default() };
        report(machine.usage(vec![UsageItem { contract: 1, totals }].try_into().unwrap())).unwrap();
        assert_eq!(pallet_grid_contracts::Usage::<Runtime>::get(1), None);
        machine.serve(UsageInterval::get());
        let extreme = UsageTotals {
            cpu_ms: u64::MAX,
            memory_bytes: u64::MAX,
            disk_bytes: u64::MAX,
            received_bytes: u64::MAX,
            sent_bytes: u64::MAX,
        };
        report(machine.usage(vec![UsageItem { contract: 1, totals: extreme }].try_into().unwrap())).unwrap();
        assert_eq!(pallet_grid_contracts::Usage::<Runtime>::get(1), None);
        machine.serve(UsageInterval::get());
        report(machine.usage(vec![used(GB)].try_into().unwrap())).unwrap();
        assert_eq!(pallet_grid_contracts::Usage::<Runtime>::get(1).unwrap().received_bytes, GB);
    });
}

#[test]
fn usage_named_repeatedly_in_a_report_counts_once_per_window() {
    run_with_node(|mut machine, _| {
        deployed(&mut machine, Bob, small());
        machine.serve(UsageInterval::get());
        let often: Vec<_> = (1..=8).map(|gb| used(gb * GB)).collect();
        report(machine.usage(often.try_into().unwrap())).unwrap();
        assert_eq!(pallet_grid_contracts::Usage::<Runtime>::get(1).unwrap().received_bytes, GB);
    });
}

#[test]
fn usage_at_the_windows_limit_counts_and_a_byte_more_does_not() {
    run_with_node(|mut machine, _| {
        deployed(&mut machine, Bob, small());
        machine.serve(2 * UsageInterval::get());
        report(machine.usage(vec![used(GB)].try_into().unwrap())).unwrap();
        let last = pallet_grid_contracts::LastUsageReport::<Runtime>::get(1).mark.at;
        machine.serve(UsageInterval::get());
        // The block that has the report comes a slot later.
        let window = Clock::grid_now() + SLOT_DURATION - last + pallet_grid_contracts::USAGE_LEEWAY_MS;
        let most = GB + BYTES_PER_SECOND * (window / 1_000);
        let mut taken = |bytes| {
            let usage = machine.usage(vec![used(bytes)].try_into().unwrap());
            with_transaction(|| {
                report(usage).unwrap();
                let taken = pallet_grid_contracts::Usage::<Runtime>::get(1).unwrap().received_bytes == bytes;
                TransactionOutcome::Rollback(Ok::<_, sp_runtime::DispatchError>(taken))
            })
            .unwrap()
        };
        assert_eq!([most, most + 1].map(&mut taken), [true, false]);
    });
}
