// SPDX-License-Identifier: Apache-2.0
//! List prices that change under contracts.

use super::*;

fn dearer() -> BillingPolicy<AccountId> {
    let mut policy = BillingPolicy::standard(FOUNDATION, STAKING);
    policy.prices.cu *= 2;
    policy.prices.ipv4 *= 3;
    policy
}

#[test]
fn a_price_is_kept_until_thirty_days_after_a_new_list() {
    run(|| {
        let resources = Resources { cru: 2, mru: 2 * GIB, ..Resources::ZERO };
        let priced = Priced::Capacity { resources, public_ips: 1, certified: false };
        let addresses = Priced::Addresses { public_ips: 1, certified: false };
        let listed = || ContractPrice {
            rates: Rates { usd: Billing::quote(&priced).unwrap(), extra: 9 },
            public_ips: 1,
            ip_usd: Billing::quote(&addresses).unwrap(),
            certified: false,
        };
        let old = listed();
        deposit(ALICE, 1_000 * TFT - TFT);
        begin_at(1, parties(1, FARM), old);
        assert_ok!(Billing::set_policy(RuntimeOrigin::root(), dearer()));
        let new = listed();
        let reprice = |contract| Billing::reprice(contract, new);
        assert_noop!(reprice(1), Error::<Test>::NoticeRuns);
        pass_fast(30 * DAY_MS - MINUTE_MS);
        // Other changes of the policy are no new notice.
        let other = BillingPolicy { shares: Shares { farm: 600, foundation: 300, staking: 100 }, ..dearer() };
        assert_ok!(Billing::set_policy(RuntimeOrigin::root(), other));
        assert_noop!(reprice(1), Error::<Test>::NoticeRuns);
        assert_eq!(Payers::<Test>::get(1).charged.usd, old.rates.usd.into());
        pass_fast(2 * MINUTE_MS);
        assert_ok!(reprice(1));
        assert_eq!(Payers::<Test>::get(1).charged.usd, new.rates.usd.into());
        assert_eq!(Billing::price_of(1), Some(new));
        assert_eq!(new.ip_usd, 120_000_000);
        assert_noop!(reprice(1), Error::<Test>::PricedAlready);
        assert_noop!(reprice(2), Error::<Test>::UnknownContract);
    });
}
