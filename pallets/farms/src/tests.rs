// SPDX-License-Identifier: Apache-2.0

use crate::{
    mock::{Farms, *},
    *,
};
use frame_support::{assert_noop, assert_ok, traits::fungible::InspectHold};
use sp_core::{H256, Pair};
use sp_runtime::{DispatchError, DispatchResult, TokenError};
use tfgrid_primitives::{
    FarmId, KeySignature, Refusal,
    ticket::{MAX_REGISTRATION_SECONDS, opening_bytes},
    traits::{BootTickets, Clock, FarmDirectory, FarmFacts, PublicIps, TwinInUse},
    units::{SECOND_MS, TFT},
};

/// The public half of [`ticket_key`].
const TICKET: [u8; 32] = [
    0xea, 0x4a, 0x6c, 0x63, 0xe2, 0x9c, 0x52, 0x0a, 0xbe, 0xf5, 0x50, 0x7b, 0x13, 0x2e, 0xc5, 0xf9, 0x95,
    0x47, 0x76, 0xae, 0xbe, 0xbe, 0x7b, 0x92, 0x42, 0x1e, 0xea, 0x69, 0x14, 0x46, 0xd2, 0x2c,
];
const NODE: [u8; 32] = [8; 32];

fn create(account: AccountId, name: &[u8]) -> DispatchResult {
    Farms::create(RuntimeOrigin::signed(account), name.to_vec().try_into().unwrap())
}

fn open(nodes: u32, seconds: u64) -> DispatchResult {
    open_with(FARMER, 1, nodes, seconds, proof_for(1))
}

/// The ticket's signature for a farm.
fn proof_for(farm: FarmId) -> KeySignature {
    ticket_key().sign(&opening_bytes(Farms::genesis(), farm))
}

fn open_with(
    account: AccountId,
    farm: FarmId,
    nodes: u32,
    seconds: u64,
    proof: KeySignature,
) -> DispatchResult {
    let expires = MockClock::unix_now() + seconds;
    Farms::open_ticket(RuntimeOrigin::signed(account), farm, TICKET, nodes, expires, proof)
}

fn close() -> DispatchResult {
    Farms::close_ticket(RuntimeOrigin::signed(FARMER), TICKET)
}

fn update(account: AccountId, farm: FarmId, name: &[u8]) -> DispatchResult {
    Farms::update(RuntimeOrigin::signed(account), farm, name.to_vec().try_into().unwrap())
}

fn remove(account: AccountId, farm: FarmId) -> DispatchResult {
    Farms::remove(RuntimeOrigin::signed(account), farm)
}

/// The `n`th address of a network.
fn address(n: u8) -> PublicIp {
    PublicIp {
        v4: Interface { address: [185, 69, 166, n], prefix: 24, gateway: [185, 69, 166, 1] },
        v6: None,
    }
}

/// The same, with an IPv6 address.
fn pair(n: u8) -> PublicIp {
    let v6 = |last| [0x2a, 0x10, 0xb6, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    PublicIp { v6: Some(Interface { address: v6(n), prefix: 64, gateway: v6(1) }), ..address(n) }
}

fn add_ip(account: AccountId, farm: FarmId, address: PublicIp) -> DispatchResult {
    Farms::add_ip(RuntimeOrigin::signed(account), farm, address)
}

/// A farm with the public IPs 1 to `count`, the first of which has IPv6 too.
fn farm_with_ips(count: u8) {
    assert_ok!(create(FARMER, b"sunny"));
    for n in 0..count {
        assert_ok!(add_ip(FARMER, 1, if n == 0 { pair(10) } else { address(10 + n) }));
    }
}

fn remove_ip(account: AccountId, ip: IpId) -> DispatchResult {
    Farms::remove_ip(RuntimeOrigin::signed(account), ip)
}

fn force_remove_ip(ip: IpId) -> DispatchResult {
    Farms::force_remove_ip(RuntimeOrigin::root(), ip)
}

fn free_ips() -> usize {
    FreeIps::<Test>::iter_key_prefix(1).count()
}

fn pass_seconds(seconds: u64) {
    MockClock::advance(seconds * SECOND_MS);
}

fn held(reason: HoldReason) -> u128 {
    Balances::balance_on_hold(&reason.into(), &FARMER)
}

fn check() -> Result<u32, Refusal> {
    Farms::check(&TICKET, &NODE, MockClock::unix_now())
}

mod farm {
    use super::*;

    #[test]
    fn belongs_to_its_farmer_and_holds_a_deposit() {
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
    fn names_are_unique_among_look_alikes() {
        run(|| {
            for name in [&b"ab"[..], &[b'a'; 41], b"with space", b"d\xc3\xbcne", b"dot.ted"] {
                assert_noop!(create(FARMER, name), Error::<Test>::NameInvalid);
            }
            assert_ok!(create(FARMER, b"Sunny-Farm_10"));
            for name in [&b"sUNNY-fARM_10"[..], b"sunnyfarm10", b"Sunny_Farrn-lO", b"5unny--farm-I0"] {
                assert_noop!(create(OTHER, name), Error::<Test>::NameTaken);
                assert_eq!(Farms::farm_by_name(name.to_vec()), Some(1));
            }
            assert_ok!(create(OTHER, b"Sunny-Farm_11"));
            assert_eq!(Farms::farm_by_name(b"sunny-farm_11".to_vec()), Some(2));
            assert_eq!(Farms::farm_by_name(b"sunny-farm_12".to_vec()), None);
            assert_eq!(Farms::farm_by_name(b"?".to_vec()), None);
        });
    }

    #[test]
    fn needs_a_twin_and_funds() {
        run(|| {
            assert_noop!(create(STRANGER, b"third"), Error::<Test>::NoTwin);
            assert_noop!(create(POOR, b"third"), TokenError::FundsUnavailable);
            LastFarmId::<Test>::put(u32::MAX);
            assert_noop!(create(OTHER, b"third"), Error::<Test>::IdsExhausted);
        });
    }

    #[test]
    fn renaming_frees_the_old_name() {
        run(|| {
            assert_ok!(create(FARMER, b"sunny"));
            assert_ok!(create(OTHER, b"windy"));
            assert_noop!(update(STRANGER, 1, b"rainy"), Error::<Test>::NoTwin);
            assert_noop!(update(OTHER, 1, b"rainy"), Error::<Test>::NotFarmer);
            assert_noop!(update(FARMER, 9, b"rainy"), Error::<Test>::UnknownFarm);
            assert_noop!(update(FARMER, 1, b"ab"), Error::<Test>::NameInvalid);
            assert_noop!(update(FARMER, 1, b"W1NDY"), Error::<Test>::NameTaken);
            assert_ok!(update(FARMER, 1, b"Sunny"));
            assert_eq!(&crate::Farms::<Test>::get(1).unwrap().name[..], b"Sunny");
            assert_ok!(update(FARMER, 1, b"rainy"));
            System::assert_has_event(Event::FarmRenamed { farm: 1 }.into());
            assert_eq!(Farms::farm_by_name(b"sunny".to_vec()), None);
            assert_ok!(update(OTHER, 2, b"sunny"));
        });
    }

    #[test]
    fn its_farmer_sets_whether_it_is_dedicated() {
        run(|| {
            let set = |account, farm, dedicated| {
                Farms::set_dedicated(RuntimeOrigin::signed(account), farm, dedicated)
            };
            assert_ok!(create(FARMER, b"sunny"));
            assert_noop!(set(STRANGER, 1, true), Error::<Test>::NoTwin);
            assert_noop!(set(OTHER, 1, true), Error::<Test>::NotFarmer);
            assert_noop!(set(FARMER, 2, true), Error::<Test>::UnknownFarm);
            assert_eq!(Farms::facts(1), Some(FarmFacts { farmer: 1, dedicated: false }));
            assert_ok!(set(FARMER, 1, true));
            assert_eq!(Farms::facts(1), Some(FarmFacts { farmer: 1, dedicated: true }));
            System::assert_has_event(Event::FarmDedicated { farm: 1, dedicated: true }.into());
            assert_ok!(set(FARMER, 1, false));
            assert_eq!(Farms::facts(1), Some(FarmFacts { farmer: 1, dedicated: false }));
            assert_eq!(Farms::facts(2), None);
        });
    }

    #[test]
    fn governance_certifies_it() {
        run(|| {
            let certify = |origin, farm| Farms::set_certification(origin, farm, Certification::Gold);
            assert_ok!(create(FARMER, b"sunny"));
            assert_noop!(certify(RuntimeOrigin::signed(FARMER), 1), DispatchError::BadOrigin);
            assert_noop!(certify(RuntimeOrigin::root(), 2), Error::<Test>::UnknownFarm);
            assert_ok!(certify(RuntimeOrigin::root(), 1));
            assert_eq!(crate::Farms::<Test>::get(1).unwrap().certification, Certification::Gold);
            let certification = Certification::Gold;
            System::assert_has_event(Event::FarmCertified { farm: 1, certification }.into());
        });
    }

    #[test]
    fn an_empty_farm_can_be_removed() {
        run(|| {
            assert!(!Farms::is_in_use(1));
            assert_ok!(create(FARMER, b"sunny"));
            assert_ok!(create(FARMER, b"windy"));
            assert!(Farms::is_in_use(1));
            assert_noop!(remove(STRANGER, 1), Error::<Test>::NoTwin);
            assert_noop!(remove(OTHER, 1), Error::<Test>::NotFarmer);
            assert_noop!(remove(FARMER, 9), Error::<Test>::UnknownFarm);
            WithNodes::set(Some(1));
            assert_noop!(remove(FARMER, 1), Error::<Test>::FarmHasNodes);
            WithNodes::set(None);
            WithEarnings::set(Some(1));
            assert_noop!(remove(FARMER, 1), Error::<Test>::FarmHasEarnings);
            WithEarnings::set(None);
            assert_ok!(add_ip(FARMER, 1, pair(10)));
            assert_noop!(remove(FARMER, 1), Error::<Test>::FarmHasIps);
            assert_ok!(remove_ip(FARMER, 1));
            assert_ok!(open(3, 60));
            assert_noop!(remove(FARMER, 1), Error::<Test>::FarmHasOpenTickets);
            assert_ok!(close());
            assert_ok!(remove(FARMER, 1));
            System::assert_has_event(Event::FarmRemoved { farm: 1, released: 10 * TFT }.into());
            assert_eq!((Farms::facts(1), Farms::farm_by_name(b"sunny".to_vec())), (None, None));
            assert!(Farms::is_in_use(1), "of its two farms the twin has one left");
            assert_ok!(remove(FARMER, 2));
            assert!(!Farms::is_in_use(1));
            assert_eq!(held(HoldReason::Farm), 0);
            assert_ok!(create(OTHER, b"sunny"));
            assert_eq!(Farms::farmer_of(3), Some(2), "an id is never given twice");
        });
    }
}

mod ticket {
    use super::*;

    #[test]
    fn only_its_key_opens_it_for_one_farm_and_chain() {
        run(|| {
            assert_ok!(create(FARMER, b"sunny"));
            assert_ok!(create(OTHER, b"windy"));
            let other_chain = ticket_key().sign(&opening_bytes(H256::repeat_byte(1), 1));
            for wrong in [proof_for(2), other_chain, KeySignature::default()] {
                assert_noop!(open_with(FARMER, 1, 1, 60, wrong), Error::<Test>::TicketProofWrong);
            }
            // Who saw the farmer open it can't open it for a farm of its own.
            assert_noop!(open_with(OTHER, 2, 1, 60, proof_for(1)), Error::<Test>::TicketProofWrong);
            assert_ok!(open_with(FARMER, 1, 1, 60, proof_for(1)));
        });
    }

    #[test]
    fn the_farmer_opens_it_with_a_deposit_per_node() {
        run(|| {
            assert_ok!(create(FARMER, b"sunny"));
            assert_noop!(open(0, 60), Error::<Test>::NodeCountOutOfRange);
            assert_noop!(open(101, 60), Error::<Test>::NodeCountOutOfRange);
            assert_noop!(open(1, 0), Error::<Test>::ExpiryOutOfRange);
            assert_noop!(open(1, MAX_TICKET_SECONDS + 1), Error::<Test>::ExpiryOutOfRange);
            let by = |account, farm| open_with(account, farm, 1, 60, proof_for(farm));
            assert_noop!(by(OTHER, 1), Error::<Test>::NotFarmer);
            assert_noop!(by(STRANGER, 1), Error::<Test>::NoTwin);
            assert_noop!(by(FARMER, 9), Error::<Test>::UnknownFarm);
            assert_ok!(open(3, 60));
            assert_eq!(held(HoldReason::BootTicket), 30 * TFT);
            assert_noop!(open(3, 60), Error::<Test>::TicketExists);
        });
    }

    #[test]
    fn admits_as_many_nodes_as_it_was_opened_for() {
        run(|| {
            assert_eq!(check(), Err(Refusal::TicketUnknown));
            assert_ok!(create(FARMER, b"sunny"));
            assert_ok!(open(2, 60));
            assert_eq!(check(), Ok(1));
            assert_eq!(Farms::spend(&TICKET, &NODE), 10 * TFT);
            assert_eq!(check(), Err(Refusal::TicketUsed));
            assert_eq!(held(HoldReason::BootTicket), 10 * TFT);
            assert_eq!(Farms::spend(&TICKET, &[9; 32]), 10 * TFT);
            assert_eq!(
                Farms::check(&TICKET, &[10; 32], MockClock::unix_now()),
                Err(Refusal::TicketExhausted)
            );
            assert_eq!(held(HoldReason::BootTicket), 0);
            assert_eq!(Farms::spend(&[0; 32], &NODE), 0, "a ticket that was never opened frees nothing");
        });
    }

    #[test]
    fn admits_nobody_after_its_expiry() {
        run(|| {
            assert_ok!(create(FARMER, b"sunny"));
            assert_ok!(open(1, 60));
            pass_seconds(60);
            assert_eq!(check(), Ok(1));
            pass_seconds(1);
            assert_eq!(check(), Err(Refusal::TicketExpired));
        });
    }

    #[test]
    fn admits_nobody_once_closed_and_frees_its_deposit() {
        run(|| {
            assert_noop!(close(), Error::<Test>::UnknownTicket);
            assert_ok!(create(FARMER, b"sunny"));
            assert_ok!(open(3, 60));
            Farms::spend(&TICKET, &NODE);
            assert_noop!(Farms::close_ticket(RuntimeOrigin::signed(OTHER), TICKET), Error::<Test>::NotFarmer);
            assert_ok!(close());
            assert_eq!(held(HoldReason::BootTicket), 0);
            System::assert_has_event(
                Event::TicketClosed { farm: 1, ticket: TICKET, released: 20 * TFT }.into(),
            );
            assert_eq!(Farms::check(&TICKET, &[9; 32], MockClock::unix_now()), Err(Refusal::TicketRevoked));
            assert_noop!(close(), Error::<Test>::TicketAlreadyClosed);
        });
    }

    #[test]
    fn is_kept_while_a_registration_could_be_replayed() {
        run(|| {
            assert_ok!(create(FARMER, b"sunny"));
            assert_ok!(open(2, 60));
            Farms::spend(&TICKET, &NODE);
            assert_ok!(close());
            assert_noop!(open(2, 60), Error::<Test>::TicketExists);
            pass_seconds(60 + MAX_REGISTRATION_SECONDS);
            assert_noop!(close(), Error::<Test>::TicketAlreadyClosed);
            pass_seconds(1);
            assert_ok!(close());
            assert!(Tickets::<Test>::get(TICKET).is_none());
            assert_eq!(Admitted::<Test>::iter_keys().count(), 0);
            assert_ok!(open(2, 60));
        });
    }

    #[test]
    fn is_deleted_at_once_when_closed_late() {
        run(|| {
            assert_ok!(create(FARMER, b"sunny"));
            assert_ok!(open(2, 60));
            pass_seconds(61 + MAX_REGISTRATION_SECONDS);
            assert_noop!(Farms::close_ticket(RuntimeOrigin::signed(OTHER), TICKET), Error::<Test>::NotFarmer);
            assert_ok!(close());
            System::assert_has_event(
                Event::TicketClosed { farm: 1, ticket: TICKET, released: 20 * TFT }.into(),
            );
            assert_eq!((held(HoldReason::BootTicket), Tickets::<Test>::iter_keys().count()), (0, 0));
            assert_noop!(close(), Error::<Test>::UnknownTicket);
        });
    }

    #[test]
    fn can_be_deleted_after_its_farm_was_removed() {
        run(|| {
            assert_ok!(create(FARMER, b"sunny"));
            assert_ok!(open(2, 60));
            Farms::spend(&TICKET, &NODE);
            assert_ok!(close());
            assert_ok!(remove(FARMER, 1));
            assert_eq!(Farms::check(&TICKET, &[9; 32], MockClock::unix_now()), Err(Refusal::TicketRevoked));
            pass_seconds(61 + MAX_REGISTRATION_SECONDS);
            assert_ok!(Farms::close_ticket(RuntimeOrigin::signed(STRANGER), TICKET));
            System::assert_has_event(Event::TicketForgotten { farm: 1, ticket: TICKET }.into());
            assert_eq!(Admitted::<Test>::iter_keys().count(), 0);
        });
    }
}

mod public_ip {
    use super::*;

    #[test]
    fn the_farmer_adds_it_with_a_deposit() {
        run(|| {
            assert_ok!(create(FARMER, b"sunny"));
            assert_noop!(add_ip(STRANGER, 1, pair(10)), Error::<Test>::NoTwin);
            assert_noop!(add_ip(OTHER, 1, pair(10)), Error::<Test>::NotFarmer);
            assert_noop!(add_ip(FARMER, 2, pair(10)), Error::<Test>::UnknownFarm);
            assert_ok!(add_ip(FARMER, 1, pair(10)));
            System::assert_has_event(Event::IpAdded { farm: 1, ip: 1, deposit: 5 * TFT }.into());
            assert_eq!(held(HoldReason::PublicIp), 5 * TFT);
            let info = IpInfo { ip: 1, address: pair(10), state: IpState::Free, removed: false };
            assert_eq!(Farms::ips_of_farm(1, None, 10).items, [info]);
        });
    }

    #[test]
    fn needs_funds_and_an_id() {
        run(|| {
            assert_ok!(create(FARMER, b"sunny"));
            crate::Farms::<Test>::mutate(1, |farm| farm.as_mut().unwrap().twin = 3);
            assert_noop!(add_ip(POOR, 1, pair(10)), TokenError::FundsUnavailable);
            crate::Farms::<Test>::mutate(1, |farm| farm.as_mut().unwrap().twin = 1);
            LastIpId::<Test>::put(u32::MAX);
            assert_noop!(add_ip(FARMER, 1, pair(10)), Error::<Test>::IdsExhausted);
        });
    }

    #[test]
    fn an_invalid_interface_is_refused() {
        run(|| {
            assert_ok!(create(FARMER, b"sunny"));
            let with =
                |address, prefix, gateway| PublicIp { v4: Interface { address, prefix, gateway }, v6: None };
            let cases = [
                (with([10, 0, 0, 5], 24, [10, 0, 0, 1]), Error::<Test>::IpNotPublic),
                (with([8, 8, 8, 5], 7, [8, 8, 8, 1]), Error::<Test>::PrefixOutOfRange),
                (with([8, 8, 8, 255], 24, [8, 8, 8, 1]), Error::<Test>::AddressNotUsable),
                (with([8, 8, 8, 5], 24, [8, 8, 9, 1]), Error::<Test>::GatewayInvalid),
            ];
            for (address, error) in cases {
                assert_noop!(add_ip(FARMER, 1, address), error);
            }
            let mut v6 = pair(10);
            v6.v6.as_mut().unwrap().prefix = u8::MAX;
            assert_noop!(add_ip(FARMER, 1, v6), Error::<Test>::PrefixOutOfRange);
        });
    }

    #[test]
    fn each_ipv4_and_ipv6_address_is_offered_once() {
        run(|| {
            assert_ok!(create(FARMER, b"sunny"));
            assert_ok!(create(OTHER, b"windy"));
            assert_ok!(add_ip(FARMER, 1, pair(10)));
            assert_noop!(add_ip(OTHER, 2, address(10)), Error::<Test>::AddressTaken);
            let other_network = Interface { prefix: 16, gateway: [185, 69, 1, 1], ..address(10).v4 };
            assert_noop!(
                add_ip(FARMER, 1, PublicIp { v4: other_network, v6: None }),
                Error::<Test>::AddressTaken
            );
            let same_v6 = PublicIp { v6: pair(10).v6, ..address(11) };
            assert_noop!(add_ip(OTHER, 2, same_v6), Error::<Test>::AddressTaken);
            assert_ok!(add_ip(OTHER, 2, pair(11)));
        });
    }

    #[test]
    fn a_farm_has_at_most_256() {
        run(|| {
            assert_ok!(create(FARMER, b"sunny"));
            let nth = |n: u32| {
                let [.., high, low] = n.to_be_bytes();
                let v4 =
                    Interface { address: [185, 69, high + 1, low], prefix: 16, gateway: [185, 69, 0, 1] };
                PublicIp { v4, v6: None }
            };
            for n in 0..MAX_FARM_IPS {
                assert_ok!(add_ip(FARMER, 1, nth(n)));
            }
            assert_noop!(add_ip(FARMER, 1, nth(MAX_FARM_IPS)), Error::<Test>::TooManyIps);
            assert_ok!(remove_ip(FARMER, 7));
            assert_ok!(add_ip(FARMER, 1, nth(MAX_FARM_IPS)));
        });
    }

    #[test]
    fn the_farmer_removes_a_free_one() {
        run(|| {
            farm_with_ips(2);
            assert_noop!(remove_ip(FARMER, 9), Error::<Test>::UnknownIp);
            assert_noop!(remove_ip(OTHER, 1), Error::<Test>::NotFarmer);
            assert_noop!(remove_ip(STRANGER, 1), Error::<Test>::NoTwin);
            assert_ok!(remove_ip(FARMER, 1));
            System::assert_has_event(Event::IpRemoved { farm: 1, ip: 1, released: 5 * TFT }.into());
            assert_eq!((held(HoldReason::PublicIp), free_ips()), (5 * TFT, 1));
            assert_ok!(add_ip(FARMER, 1, pair(10)));
        });
    }

    #[test]
    fn a_contract_gets_all_that_it_requests_or_none() {
        run(|| {
            farm_with_ips(3);
            assert_noop!(Farms::reserve(1, 7, 4), Error::<Test>::NotEnoughIps);
            assert_noop!(Farms::reserve(2, 7, 1), Error::<Test>::NotEnoughIps);
            assert_noop!(Farms::reserve(1, 7, 17), Error::<Test>::IpCountOutOfRange);
            assert_noop!(Farms::reserve(1, 7, u8::MAX), Error::<Test>::IpCountOutOfRange);
            assert_ok!(Farms::reserve(1, 6, 0));
            assert_eq!(ContractIps::<Test>::get(6), None);
            assert_ok!(Farms::reserve(1, 7, 2));
            let ids = |contract| {
                ContractIps::<Test>::get(contract).unwrap().iter().map(|held| held.ip).collect::<Vec<_>>()
            };
            let ips = ids(7);
            System::assert_has_event(
                Event::IpsReserved { contract: 7, ips: ips.clone().try_into().unwrap() }.into(),
            );
            assert_eq!((ips.len(), free_ips()), (2, 1));
            assert_ok!(Farms::reserve(1, 7, 1));
            assert_eq!(ids(7), ips, "it has as many");
            assert_noop!(Farms::reserve(1, 8, 2), Error::<Test>::NotEnoughIps);
            assert_ok!(Farms::reserve(1, 8, 1));
            assert_noop!(Farms::reserve(1, 9, 1), Error::<Test>::NotEnoughIps);
        });
    }

    #[test]
    fn cools_down_before_the_next_contract_gets_it() {
        run(|| {
            farm_with_ips(1);
            assert!(!Farms::retire(7, 0, 5), "it has none");
            Farms::free(7, 5);
            assert_ok!(Farms::reserve(1, 7, 1));
            let state = || Farms::ips_of_farm(1, None, 1).items[0].state;
            assert_eq!(state(), IpState::Taken(7));
            assert_noop!(remove_ip(FARMER, 1), Error::<Test>::IpInUse);
            assert!(!Farms::is_cooling(7) && Farms::retire(7, 0, 5) && Farms::is_cooling(7));
            assert!(!Farms::retire(7, 0, 9), "it has no more");
            assert_eq!(state(), IpState::CoolingDown(7));
            Farms::free(7, 4);
            assert_eq!(state(), IpState::CoolingDown(7));
            assert_noop!(remove_ip(FARMER, 1), Error::<Test>::IpInUse);
            assert_noop!(Farms::reserve(1, 8, 1), Error::<Test>::NotEnoughIps);
            Farms::free(7, 5);
            System::assert_has_event(
                Event::IpsFreed { contract: 7, ips: vec![1].try_into().unwrap() }.into(),
            );
            assert_eq!((state(), Farms::is_cooling(7)), (IpState::Free, false));
            assert_ok!(Farms::reserve(1, 8, 1));
            Farms::free(8, u64::MAX);
            assert_eq!(state(), IpState::Taken(8), "only what cools down is freed");
            assert!(Farms::retire(8, 0, 5));
            Farms::free(8, u64::MAX);
            assert_ok!(remove_ip(FARMER, 1));
        });
    }

    #[test]
    fn a_contract_gets_back_its_own_that_cool_down() {
        run(|| {
            farm_with_ips(4);
            assert_ok!(Farms::reserve(1, 7, 3));
            assert!(!Farms::retire(7, 3, 5), "it keeps all");
            assert!(Farms::retire(7, 2, 5) && Farms::retire(7, 1, 9));
            let states = || Farms::ips_of_farm(1, None, 9).items.into_iter().map(|ip| ip.state);
            let count = |state| states().filter(|found| *found == state).count();
            assert_eq!((count(IpState::Taken(7)), count(IpState::CoolingDown(7))), (1, 2));
            assert_noop!(Farms::reserve(1, 8, 2), Error::<Test>::NotEnoughIps);
            assert_ok!(Farms::reserve(1, 7, 2));
            assert_eq!((count(IpState::Taken(7)), count(IpState::CoolingDown(7))), (2, 1));
            assert_noop!(Farms::reserve(1, 7, 5), Error::<Test>::NotEnoughIps);
            assert_ok!(Farms::reserve(1, 7, 4));
            assert_eq!((count(IpState::Taken(7)), Farms::is_cooling(7)), (4, false));
            Farms::free(7, u64::MAX);
            assert_eq!(count(IpState::Taken(7)), 4);
        });
    }

    #[test]
    fn governance_removes_an_address_from_a_squatter() {
        run(|| {
            farm_with_ips(1);
            let by_farmer = Farms::force_remove_ip(RuntimeOrigin::signed(FARMER), 1);
            assert_eq!(by_farmer, Err(DispatchError::BadOrigin));
            assert_noop!(force_remove_ip(2), Error::<Test>::UnknownIp);
            assert_ok!(force_remove_ip(1));
            System::assert_has_event(Event::IpRemoved { farm: 1, ip: 1, released: 5 * TFT }.into());
            assert_eq!((held(HoldReason::PublicIp), free_ips(), Ips::<Test>::iter_keys().count()), (0, 0, 0));
            assert_noop!(force_remove_ip(1), Error::<Test>::UnknownIp);
        });
    }

    #[test]
    fn a_contract_of_the_squatters_shields_no_address() {
        run(|| {
            farm_with_ips(2);
            assert_ok!(create(OTHER, b"windy"));
            assert_ok!(Farms::reserve(1, 7, 2));
            assert_noop!(add_ip(OTHER, 2, pair(10)), Error::<Test>::AddressTaken);
            assert_ok!(force_remove_ip(1));
            assert_eq!(held(HoldReason::PublicIp), 5 * TFT);
            assert_ok!(add_ip(OTHER, 2, pair(10)));
            assert_noop!(force_remove_ip(1), Error::<Test>::UnknownIp);
            assert_noop!(remove_ip(FARMER, 1), Error::<Test>::UnknownIp);
            let removed = Farms::ips_of_farm(1, None, 9).items.into_iter().find(|info| info.removed).unwrap();
            assert_eq!((removed.ip, removed.state), (1, IpState::Taken(7)));
            Farms::do_try_state().unwrap();

            assert!(Farms::retire(7, 0, 5));
            Farms::free(7, 5);
            assert_eq!(Ips::<Test>::get(1), None, "it went with its contract");
            assert_eq!((free_ips(), FarmIpCount::<Test>::get(1)), (1, 1));
            assert_ok!(remove_ip(FARMER, 2));
            assert_ok!(remove(FARMER, 1));
        });
    }

    #[test]
    fn are_read_page_by_page() {
        run(|| {
            farm_with_ips(5);
            let ids = |page: &[IpInfo]| page.iter().map(|info| info.ip).collect::<Vec<_>>();
            let first = Farms::ips_of_farm(1, None, 2);
            let second = Farms::ips_of_farm(1, first.next, 2);
            let third = Farms::ips_of_farm(1, second.next, u32::MAX);
            assert_eq!((first.items.len(), second.items.len(), third.next), (2, 2, None));
            let mut all = [ids(&first.items), ids(&second.items), ids(&third.items)].concat();
            all.sort();
            assert_eq!(all, [1, 2, 3, 4, 5]);
            assert_eq!(Farms::ips_of_farm(1, None, 5).next, None);
            assert_eq!(Farms::ips_of_farm(1, None, 0).items.len(), 1, "a page has one at least");
            assert_eq!(Farms::ips_of_farm(2, None, 9).items, []);
        });
    }
}
