// SPDX-License-Identifier: Apache-2.0
//! The ledger as the contracts pallet uses it.

use crate::{payer_impls::ChangedBy, *};
use frame_support::{defensive, ensure, traits::Get};
use sp_runtime::{DispatchError, DispatchResult};
use tfgrid_primitives::{
    Balance, Charge, ClockSpan, ContractId, ExactTft, GridMillis, Payer, PriceTime, Rates, TwinId, UsdAmount,
    UsdRate,
    clock::{stretch, tft_of, usd_of},
    fixed::mul_div,
    ledger::{Earned, FULL_PRICE},
    pricing::Priced,
    traits::{Clock, ContractPrice, Ledger, LedgerClock, NodeLiveness, Outcome, Parties, TwinDirectory},
    units::{HOUR_MS, MONTH_MS},
};

impl<T: Config> Ledger for Pallet<T> {
    fn quote(what: &Priced) -> Option<UsdRate> {
        what.rate(&Policy::<T>::get()?.prices)
    }

    fn open(contract: ContractId, parties: Parties, price: ContractPrice) -> Result<bool, DispatchError> {
        Self::ensure_affordable(parties.payer, price.rates)?;
        Ok(Self::open_account(contract, parties, price))
    }

    fn start(contract: ContractId, waited_ms: GridMillis) {
        let now = T::Clock::grid_now();
        if waited_ms > 0 {
            Self::pay_wait(contract, waited_ms);
        }
        Self::change_account(contract, Self::take_unserved, |payer, account| {
            account.wait_usd = 0;
            if !account.is_charged {
                payer.committed.remove(account.price.rates);
                payer.charged.add(account.price.rates);
            }
            account.start(payer, now);
        });
    }

    fn pay_wait(contract: ContractId, reserved_ms: GridMillis) {
        let mut paid = Earned::default();
        Self::change_account(contract, nothing_back, |payer, account| {
            let rates = account.proposal.as_ref().map_or(account.price.rates, |proposal| proposal.more);
            paid = Self::take_reserved(payer, rates, reserved_ms, Earned::default(), account.wait_usd);
            let usd = Self::book_apart(account, &paid);
            account.wait_usd = account.wait_usd.saturating_add(usd);
        });
        Self::credit_payees(None, None, paid);
    }

    fn suspend(contract: ContractId) {
        if !LedgerAccounts::<T>::get(contract).is_some_and(|account| account.is_charged) {
            return;
        }
        Self::change_account(contract, Self::take_unserved, |payer, account| {
            payer.charged.remove(account.price.rates);
            payer.committed.add(account.price.rates);
            account.is_charged = false;
        });
    }

    fn propose(contract: ContractId, price: ContractPrice, reserved: Rates) -> DispatchResult {
        Self::reject(contract, None);
        let mut account = LedgerAccounts::<T>::get(contract).ok_or(Error::<T>::UnknownContract)?;
        let more = reserved.at_least(&price.rates).beyond(&account.price.rates);
        // Who can't afford any more may still ask for less.
        if more != Rates::ZERO {
            Self::ensure_affordable(account.payer, more)?;
            Self::change_payer(account.payer, ChangedBy::Owner, |p| p.committed.add(more));
        }
        account.proposal = Some(Proposal { price, more });
        LedgerAccounts::<T>::insert(contract, account);
        Ok(())
    }

    fn accept(contract: ContractId, reserved_ms: GridMillis) {
        Self::end_proposal(contract, |payer, account, Proposal { price, more }| {
            let paid = Self::take_reserved(payer, more, reserved_ms, Earned::default(), account.wait_usd);
            replace_price(payer, account, price);
            paid
        });
    }

    fn reject(contract: ContractId, reserved_ms: Option<GridMillis>) {
        let paid = Self::end_proposal(contract, |payer, account, Proposal { more, .. }| {
            Self::take_unconfirmed(payer, account, more, reserved_ms)
        });
        Self::count_early_end(paid);
    }

    fn replace(
        contract: ContractId,
        price: ContractPrice,
        reserved_ms: Option<GridMillis>,
    ) -> DispatchResult {
        let present = Self::price_of(contract).ok_or(Error::<T>::UnknownContract)?.rates;
        Self::propose(contract, price, present.at_least(&price.rates))?;
        let paid = Self::end_proposal(contract, |payer, account, Proposal { price, .. }| {
            let paid = Self::take_unconfirmed(payer, account, present, reserved_ms);
            replace_price(payer, account, price);
            paid
        });
        Self::count_early_end(paid);
        // What is left must do for the next wait: otherwise whoever has nothing left would replace for nothing.
        paid.map_or(Ok(()), |(payer, _)| Self::ensure_affordable(payer, Rates::ZERO))
    }

    fn reprice(contract: ContractId, price: ContractPrice) -> DispatchResult {
        let account = LedgerAccounts::<T>::get(contract).ok_or(Error::<T>::UnknownContract)?;
        let from = PricesAnnouncedAt::<T>::get().saturating_add(MONTH_MS);
        ensure!(T::Clock::grid_now() >= from, Error::<T>::NoticeRuns);
        ensure!(account.price.rates != price.rates, Error::<T>::PricedAlready);
        Self::change_account(contract, nothing_back, |payer, account| replace_price(payer, account, price));
        Ok(())
    }

    fn close(contract: ContractId, outcome: Outcome) -> Charge {
        let open = LedgerAccounts::<T>::get(contract);
        let rates = open.as_ref().map_or(Rates::ZERO, |account| account.price.rates);
        // Without its rates, what is left of the payer's runway would earn another discount.
        let factor = open.map_or(FULL_PRICE, |account| Payers::<T>::get(account.payer).price_factor);
        match (Self::end_charge(contract, outcome), outcome) {
            (Some(account), Outcome::EndedByOwner { reserved_ms }) => {
                Self::charge_minimum(contract, &account, rates, factor, reserved_ms)
            }
            (account, _) => account.map(|account| account.accrual.charged).unwrap_or_default(),
        }
    }

    fn forget(contract: ContractId) {
        Bills::<T>::remove(contract);
    }

    fn price_of(contract: ContractId) -> Option<ContractPrice> {
        LedgerAccounts::<T>::get(contract).map(|account| account.price)
    }

    fn charge_of(contract: ContractId) -> Charge {
        let charge = |account: LedgerAccount| account.charge(&Self::settled_payer(account.payer).funded);
        LedgerAccounts::<T>::get(contract).map(charge).unwrap_or_default()
    }

    fn lasts_ms(twin: TwinId) -> GridMillis {
        let payer = Self::settled_payer(twin);
        let hour = payer.cost_of_all(stretch(HOUR_MS, T::Clock::tft_price()));
        if hour == ExactTft::ZERO {
            return GridMillis::MAX;
        }
        u64::try_from(mul_div(payer.credit.raw(), HOUR_MS.into(), hour.raw())).unwrap_or(GridMillis::MAX)
    }

    fn is_exhausted(twin: TwinId) -> bool {
        Payers::<T>::get(twin).is_exhausted(T::Clock::price_now())
    }

    fn closes_at(twin: TwinId) -> Option<GridMillis> {
        Graces::<T>::get(twin).filter(|_| Self::is_exhausted(twin)).map(|grace| grace.until)
    }

    fn must_close(twin: TwinId) -> bool {
        Self::is_exhausted(twin) && Graces::<T>::get(twin).is_some_and(|grace| grace.over)
    }

    fn refund_of_complaint(contract: ContractId) -> Balance {
        let Some(mut account) = LedgerAccounts::<T>::get(contract) else { return 0 };
        let payer = Self::settled_payer(account.payer);
        account.settle(&payer.funded);
        Self::refundable(&account, &payer).0.total().whole()
    }

    fn buy_traffic(contract: ContractId, gb: u32) -> DispatchResult {
        let account = LedgerAccounts::<T>::get(contract).ok_or(Error::<T>::UnknownContract)?;
        Self::fill_allowance(contract, &account, gb, u128::MAX)
    }

    fn use_traffic(contract: ContractId, bytes: u64) -> u64 {
        Self::draw_traffic(contract, bytes)
    }
}

impl<T: Config> Pallet<T> {
    /// Says whether its payer goes on as before.
    pub(crate) fn open_account(contract: ContractId, parties: Parties, price: ContractPrice) -> bool {
        let commit = |payer: &mut Payer| payer.committed.add(price.rates);
        let ((), goes_on) = Self::change_payer_and_tell(parties.payer, ChangedBy::Owner, commit);
        LedgerAccounts::<T>::insert(contract, LedgerAccount::open(parties, price));
        goes_on
    }

    /// Refuses unless `twin`'s credit pays for all its rates and `more` for the minimum runway, and its owner's
    /// limits admit them.
    pub(crate) fn ensure_affordable(twin: TwinId, more: Rates) -> DispatchResult {
        let mut payer = Self::settled_payer(twin);
        let limits = OwnerLimits::<T>::get(twin);
        payer.charged.add(more);
        let all = payer.all_rates();
        ensure!(all.usd <= limits.max_usd_rate.into(), Error::<T>::RateAboveLimit);
        ensure!(all.extra <= limits.max_extra_fee.into(), Error::<T>::ExtraFeeAboveLimit);
        let early = EarlyEnds::<T>::get(twin).usd_at(T::Clock::grid_now());
        ensure!(early < limits.max_usd_rate.into(), Error::<T>::EndedTooOften);
        payer.price_factor = Self::earned_factor(&payer);
        ensure!(payer.credit >= Self::must_keep(&payer), Error::<T>::CreditTooLow);
        Ok(())
    }

    /// Books what a contract earned up to now. Its payer needs no write: settling it changes nothing but when
    /// it was settled.
    pub(crate) fn settle(contract: ContractId, account: &mut LedgerAccount) {
        let before = account.accrual.charged;
        account.settle(&Self::settled_payer(account.payer).funded);
        Self::record_charge(contract, before, account.accrual.charged);
    }

    /// The one place where an account's rates change: settles it, gives back to the payer what `refund` says,
    /// and lets `change` move the rates between the payer's sums.
    fn change_account(
        contract: ContractId,
        refund: impl FnOnce(&mut LedgerAccount, &Payer) -> Earned,
        change: impl FnOnce(&mut Payer, &mut LedgerAccount),
    ) {
        let Some(mut account) = LedgerAccounts::<T>::get(contract) else {
            defensive!("a contract has no account", contract);
            return;
        };
        let before = account.accrual.charged;
        let back = Self::change_payer(account.payer, ChangedBy::Others, |p| {
            account.settle(&p.funded);
            let back = refund(&mut account, p);
            account.give_back(&back);
            p.credit = p.credit.saturating_add(back.total());
            change(p, &mut account);
            back
        });
        Self::record_charge(contract, before, account.accrual.charged);
        let amount = back.total().whole();
        if amount > 0 {
            Self::deposit_event(Event::Refunded { contract, twin: account.payer, amount });
        }
        LedgerAccounts::<T>::insert(contract, account);
    }

    /// Closes an account: the payer's sums lose its rates, its unused traffic is credit again and its earnings
    /// are payable.
    pub(crate) fn end_charge(contract: ContractId, outcome: Outcome) -> Option<LedgerAccount> {
        let mut backed = false;
        let refund = |account: &mut LedgerAccount, payer: &Payer| match outcome {
            Outcome::NotDelivered => {
                let (back, all) = Self::refundable(account, payer);
                backed = back == all;
                let amount = back.total().ceil();
                Self::change_standing(account.payer, |s| s.refunded = s.refunded.saturating_add(amount));
                back
            }
            Outcome::Served | Outcome::EndedByOwner { .. } => Self::take_unserved(account, payer),
        };
        Self::change_account(contract, refund, |payer, account| {
            payer.committed.remove(account.proposed_more());
            account.proposal = None;
            replace_price(payer, account, ContractPrice::default());
        });
        Self::return_allowance(contract);
        let mut account = LedgerAccounts::<T>::take(contract)?;
        if backed {
            // Neither side of the dispute gains by what stays. A complaint that is backed in part costs the farm
            // that part only.
            (account.farm, account.node) = (None, None);
        }
        Self::share(&mut account);
        Some(account)
    }

    /// What a complaint about a settled account gives back to its settled payer, and what it would give back to a
    /// payer of any standing: neither the minimum charge nor used traffic.
    fn refundable(account: &LedgerAccount, payer: &Payer) -> (Earned, Earned) {
        // Test networks have a shorter window than the minimum charge's time.
        let minimum_ms = T::MinChargeMs::get().min(T::SetAsideMs::get() / 6);
        let time = stretch(minimum_ms, T::Clock::tft_price());
        let minimum = account.price.rates.cost_of(time, payer.price_factor);
        let standing = T::Twins::account_of(account.payer).map(Standings::<T>::get).unwrap_or_default();
        let all = account.refundable(minimum.total());
        (all.within(ExactTft::from_whole(standing.refundable())), all)
    }

    /// What was charged for a contract while its node was offline, or had been and came back before anybody had
    /// suspended the contract.
    fn take_unserved(account: &mut LedgerAccount, payer: &Payer) -> Earned {
        let Some(node) = account.node else { return Earned::default() };
        let silence = match T::Nodes::offline_since(node) {
            Some(from) => ClockSpan { from, to: PriceTime::MAX },
            None => T::Nodes::last_outage(node),
        };
        account.unserved(silence, payer)
    }

    /// Takes a proposal off its contract, and what it committed off its payer; `end` says what the payer pays for it.
    /// Returns the payer and what it paid, in 1e-10 USD.
    fn end_proposal(
        contract: ContractId,
        end: impl FnOnce(&mut Payer, &mut LedgerAccount, Proposal) -> Earned,
    ) -> Option<(TwinId, UsdAmount)> {
        let payer = LedgerAccounts::<T>::get(contract).filter(|account| account.proposal.is_some())?.payer;
        let (mut paid, mut usd) = (Earned::default(), 0);
        Self::change_account(contract, nothing_back, |payer, account| {
            let Some(proposal) = account.proposal.take() else { return };
            payer.committed.remove(proposal.more);
            paid = end(payer, account, proposal);
            usd = Self::book_apart(account, &paid);
            account.wait_usd = 0;
        });
        Self::credit_payees(None, None, paid);
        Some((payer, usd))
    }

    /// Books what was paid for what was reserved but didn't run. Returns it in 1e-10 USD.
    fn book_apart(account: &mut LedgerAccount, paid: &Earned) -> UsdAmount {
        let usd = usd_of(paid.total(), T::Clock::tft_price());
        account.accrual.charged = account.accrual.charged.plus(&Charge { tft: paid.total(), usd });
        account.apart_usd = account.apart_usd.saturating_add(usd);
        usd
    }

    /// Charges what a closed contract misses to the minimum charge at `rates`, or to the price of the time in which
    /// it was reserved. Returns what it was charged in all.
    pub(crate) fn charge_minimum(
        contract: ContractId,
        account: &LedgerAccount,
        rates: Rates,
        price_factor: u16,
        reserved_ms: GridMillis,
    ) -> Charge {
        let before = account.accrual.charged;
        let paid_usd = before.usd.saturating_sub(account.apart_usd).saturating_add(account.wait_usd);
        let minimum = Self::minimum_charge(rates, price_factor);
        let paid = Self::change_payer(account.payer, ChangedBy::Others, |p| {
            Self::take_reserved(p, rates, reserved_ms, minimum, paid_usd)
        });
        Self::credit_payees(None, None, paid);
        let usd = usd_of(paid.total(), T::Clock::tft_price());
        Self::count_early_end(Some((account.payer, usd)));
        let all = before.plus(&Charge { tft: paid.total(), usd });
        Self::record_charge(contract, before, all);
        all
    }

    /// What `rates` cost for the minimum charge's time, at the present price.
    fn minimum_charge(rates: Rates, price_factor: u16) -> Earned {
        rates.cost_of(stretch(T::MinChargeMs::get(), T::Clock::tft_price()), price_factor)
    }

    /// Takes of a payer's credit what capacity of `rates` costs that was reserved for `reserved_ms`, or `minimum` if
    /// that is more, at the present price and as far as the credit goes. `paid_usd` (1e-10 USD) is paid already: in
    /// USD, so that what the price of TFT does meanwhile makes nobody pay twice. No farmer shares in what wasn't
    /// served, and no discount counts for it: the runway of a small contract would earn it for a large reservation.
    fn take_reserved(
        payer: &mut Payer,
        rates: Rates,
        reserved_ms: GridMillis,
        minimum: Earned,
        paid_usd: UsdAmount,
    ) -> Earned {
        let price = T::Clock::tft_price();
        let reserved = rates.cost_of(stretch(reserved_ms, price), FULL_PRICE);
        let due = if reserved.total() > minimum.total() { reserved } else { minimum };
        let missing = due.total().saturating_sub(tft_of(paid_usd, price)).min(payer.credit);
        payer.credit = payer.credit.saturating_sub(missing);
        due.within(missing)
    }

    /// The same for what nobody confirmed: the minimum charge at least, and nothing without `reserved_ms`.
    fn take_unconfirmed(
        payer: &mut Payer,
        account: &LedgerAccount,
        rates: Rates,
        reserved_ms: Option<GridMillis>,
    ) -> Earned {
        let minimum = Self::minimum_charge(rates, payer.price_factor);
        let paid = |ms| Self::take_reserved(payer, rates, ms, minimum, account.wait_usd);
        reserved_ms.map(paid).unwrap_or_default()
    }

    /// Counts what a payer paid for what ended early, in 1e-10 USD, against the limit of its owner.
    fn count_early_end(paid: Option<(TwinId, UsdAmount)>) {
        if let Some((payer, usd)) = paid.filter(|(_, usd)| *usd > 0) {
            EarlyEnds::<T>::mutate(payer, |ends| *ends = ends.plus(usd, T::Clock::grid_now()));
        }
    }
}

fn nothing_back(_: &mut LedgerAccount, _: &Payer) -> Earned {
    Earned::default()
}

/// An account costs another price, and the sum of its payer that has its rates follows.
fn replace_price(payer: &mut Payer, account: &mut LedgerAccount, price: ContractPrice) {
    let old = account.change_price(price, payer.settled_at.clock);
    let sums = if account.is_charged { &mut payer.charged } else { &mut payer.committed };
    sums.remove(old);
    sums.add(price.rates);
}
