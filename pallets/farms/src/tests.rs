// SPDX-License-Identifier: Apache-2.0

use crate::{
    mock::{Farms, *},
    *,
};
use frame_support::{assert_noop, assert_ok, traits::fungible::InspectHold};
use sp_runtime::{DispatchResult, TokenError};
use tfgrid_primitives::{
    ticket::MAX_REGISTRATION_SECONDS,
    traits::{BootTickets, FarmDirectory},
    units::TFT,
    Refusal,
};

const TICKET: [u8; 32] = [7; 32];
const NODE: [u8; 32] = [8; 32];

fn create(account: AccountId, name: &[u8]) -> DispatchResult {
    Farms::create(RuntimeOrigin::signed(account), name.to_vec().try_into().unwrap())
}

fn open(nodes: u32, seconds: u64) -> DispatchResult {
    Farms::open_ticket(RuntimeOrigin::signed(FARMER), 1, TICKET, nodes, Now::get() + seconds)
}

fn close() -> DispatchResult {
    Farms::close_ticket(RuntimeOrigin::signed(FARMER), TICKET)
}

fn held(reason: HoldReason) -> u128 {
    Balances::balance_on_hold(&reason.into(), &FARMER)
}

fn check() -> Result<u32, Refusal> {
    Farms::check(&TICKET, &NODE, Now::get())
}

#[test]
fn a_farm_belongs_to_its_farmer_and_holds_its_deposit() {
    run(|| {
        assert_ok!(create(FARMER, b"Sunny-Farm_1"));
        assert_eq!(Farms::farmer_of(1), Some(1));
        assert_eq!(Farms::farmer_account(1), Some(FARMER));
        assert_eq!(Farms::farmer_of(2), None);
        assert_eq!(held(HoldReason::Farm), 10 * TFT);
        System::assert_has_event(Event::FarmCreated { farm: 1, twin: 1, deposit: 10 * TFT }.into());
    });
}

#[test]
fn names_are_checked_and_unique_whatever_their_case() {
    run(|| {
        for name in [&b"ab"[..], &[b'a'; 41], b"with space", b"d\xc3\xbcne", b"dot.ted"] {
            assert_noop!(create(FARMER, name), Error::<Test>::NameInvalid);
        }
        assert_ok!(create(FARMER, b"Sunny"));
        assert_noop!(create(OTHER, b"sUNNY"), Error::<Test>::NameTaken);
        assert_ok!(create(OTHER, &[b'a'; 40]));
        assert_noop!(create(STRANGER, b"third"), Error::<Test>::NoTwin);
        assert_noop!(create(POOR, b"third"), TokenError::FundsUnavailable);
        LastFarmId::<Test>::put(u32::MAX);
        assert_noop!(create(OTHER, b"third"), Error::<Test>::IdsExhausted);
    });
}

#[test]
fn a_ticket_is_opened_by_the_farmer_with_a_deposit_for_each_node() {
    run(|| {
        assert_ok!(create(FARMER, b"sunny"));
        assert_noop!(open(0, 60), Error::<Test>::NodeCountOutOfRange);
        assert_noop!(open(101, 60), Error::<Test>::NodeCountOutOfRange);
        assert_noop!(open(1, 0), Error::<Test>::ExpiryOutOfRange);
        assert_noop!(open(1, MAX_TICKET_SECONDS + 1), Error::<Test>::ExpiryOutOfRange);
        let by = |account, farm| {
            Farms::open_ticket(RuntimeOrigin::signed(account), farm, TICKET, 1, Now::get() + 60)
        };
        assert_noop!(by(OTHER, 1), Error::<Test>::NotFarmer);
        assert_noop!(by(STRANGER, 1), Error::<Test>::NoTwin);
        assert_noop!(by(FARMER, 9), Error::<Test>::UnknownFarm);
        assert_ok!(open(3, 60));
        assert_eq!(held(HoldReason::BootTicket), 30 * TFT);
        assert_noop!(open(3, 60), Error::<Test>::TicketExists);
    });
}

#[test]
fn a_ticket_is_spent_exactly() {
    run(|| {
        assert_eq!(check(), Err(Refusal::TicketUnknown));
        assert_ok!(create(FARMER, b"sunny"));
        assert_ok!(open(2, 60));
        assert_eq!(check(), Ok(1));
        assert_eq!(Farms::spend(&TICKET, &NODE), 10 * TFT);
        assert_eq!(check(), Err(Refusal::TicketUsed));
        assert_eq!(held(HoldReason::BootTicket), 10 * TFT);
        assert_eq!(Farms::spend(&TICKET, &[9; 32]), 10 * TFT);
        assert_eq!(Farms::check(&TICKET, &[10; 32], Now::get()), Err(Refusal::TicketExhausted));
        assert_eq!(held(HoldReason::BootTicket), 0);
        assert_eq!(Farms::spend(&[0; 32], &NODE), 0, "a ticket that was never opened frees nothing");
    });
}

#[test]
fn an_expired_ticket_admits_nobody() {
    run(|| {
        assert_ok!(create(FARMER, b"sunny"));
        assert_ok!(open(1, 60));
        Now::mutate(|now| *now += 60);
        assert_eq!(check(), Ok(1));
        Now::mutate(|now| *now += 1);
        assert_eq!(check(), Err(Refusal::TicketExpired));
    });
}

#[test]
fn a_closed_ticket_admits_nobody_and_frees_its_deposit() {
    run(|| {
        assert_noop!(close(), Error::<Test>::UnknownTicket);
        assert_ok!(create(FARMER, b"sunny"));
        assert_ok!(open(3, 60));
        Farms::spend(&TICKET, &NODE);
        assert_noop!(Farms::close_ticket(RuntimeOrigin::signed(OTHER), TICKET), Error::<Test>::NotFarmer);
        assert_ok!(close());
        assert_eq!(held(HoldReason::BootTicket), 0);
        System::assert_has_event(Event::TicketClosed { farm: 1, ticket: TICKET, released: 20 * TFT }.into());
        assert_eq!(Farms::check(&TICKET, &[9; 32], Now::get()), Err(Refusal::TicketRevoked));
        assert_noop!(close(), Error::<Test>::TicketAlreadyClosed);
    });
}

#[test]
fn whom_a_ticket_admitted_is_remembered_while_a_registration_could_be_replayed() {
    run(|| {
        assert_ok!(create(FARMER, b"sunny"));
        assert_ok!(open(2, 60));
        Farms::spend(&TICKET, &NODE);
        assert_ok!(close());
        assert_noop!(open(2, 60), Error::<Test>::TicketExists);
        Now::mutate(|now| *now += 60 + MAX_REGISTRATION_SECONDS);
        assert_noop!(close(), Error::<Test>::TicketAlreadyClosed);
        Now::mutate(|now| *now += 1);
        assert_ok!(close());
        assert!(Tickets::<Test>::get(TICKET).is_none());
        assert_eq!(Admitted::<Test>::iter_keys().count(), 0);
        assert_ok!(open(2, 60));
    });
}
