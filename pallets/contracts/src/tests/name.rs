// SPDX-License-Identifier: Apache-2.0

use super::*;

const NAME_RATE: UsdRate = 2_500_000;

#[test]
fn a_name_is_taken_and_charged_at_once() {
    run(|| {
        assert_ok!(call(BOB, name("shop-2")));
        let unique: crate::UniqueName = b"shop-2".to_vec().try_into().unwrap();
        let expected = Contract {
            twin: 1,
            kind: ContractKind::Name { name: unique.clone() },
            state: ContractState::Deployed,
            deposit: NAME_DEPOSIT,
            created_at: now(),
            deployed_at: now(),
        };
        assert_eq!((record(1), Names::<Test>::get(&unique)), (expected, Some(1)));
        assert_eq!(traced(), [Traced::Open(1, NAME_RATE), Traced::Start(1, 0)]);
        let Account { parties, price, .. } = account(1);
        assert_eq!(parties, Parties { payer: 1, farm: None, node: None });
        assert_eq!(price, ContractPrice::plain(Rates { usd: NAME_RATE, extra: 0 }));
        assert_eq!(held(BOB), NAME_DEPOSIT);
        let (name, rate, deposit) = (unique, NAME_RATE, NAME_DEPOSIT);
        assert_eq!(events(), [Event::NameContractCreated { contract: 1, twin: 1, name, rate, deposit }]);
    });
}

#[test]
fn at_most_four_letters_hold_more() {
    run(|| {
        opened(name("shop"));
        assert_eq!(held(BOB), SHORT_NAME_DEPOSIT);
        opened(name("shops"));
        assert_eq!(held(BOB), SHORT_NAME_DEPOSIT + NAME_DEPOSIT);
    });
}

#[test]
fn is_a_label_that_looks_like_no_other() {
    run(|| {
        for bad in ["", "-a", "a-", "Shop", "sh.op", "sh_op", "sh op", "xn--shp-hoa", "xn--", "ѕhop"] {
            assert_fails(BOB, name(bad), Failure::NameInvalid);
        }
        for good in ["a", "7", "xn-a", "a--b", &"a".repeat(63)] {
            assert_ok!(call(BOB, name(good)));
        }
    });
}

#[test]
fn belongs_to_one_until_it_is_given_up() {
    run(|| {
        let contract = opened(name("shop"));
        assert_fails(BOB, name("shop"), Failure::NameTaken);
        assert_fails(CHARLIE, name("shop"), Failure::NameTaken);
        assert_ok!(call(BOB, cancel(contract)));
        assert_ok!(call(CHARLIE, name("shop")));
    });
}

#[test]
fn needs_a_twin() {
    run(|| assert_fails(STRANGER, name("shop"), Failure::NoTwin));
}

#[test]
fn costs_at_most_what_its_owner_accepts() {
    run(|| {
        let name: crate::UniqueName = b"shop".to_vec().try_into().unwrap();
        let accept = |max_usd_rate| Call::create_name_contract { name: name.clone(), max_usd_rate };
        assert_fails(BOB, accept(NAME_RATE - 1), Failure::RateAboveMaximum);
        assert_ok!(call(BOB, accept(NAME_RATE)));
    });
}

#[test]
fn needs_a_price_within_bounds_and_a_list() {
    run(|| {
        for prices in [None, Some(PriceList { unique_name: u64::MAX, ..PriceList::default() })] {
            set_prices(prices);
            assert_fails(BOB, name("shop"), Failure::RateOutOfRange);
        }
    });
}

#[test]
fn needs_credit_and_the_deposit() {
    run(|| {
        assert_fails(MODEST, name("shop"), TokenError::FundsUnavailable);
        credit_too_low();
        assert_fails(BOB, name("shop"), CREDIT_TOO_LOW);
    });
}
