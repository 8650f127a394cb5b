// SPDX-License-Identifier: Apache-2.0
//! The ledger as other pallets use it: who is charged, and who shares in what was earned.

use crate::{payer_impls::By, *};
use frame_support::{ensure, traits::Get};
use sp_runtime::DispatchResult;
use tfgrid_primitives::{
    Accrual, Balance, Charge, ContractId, FarmId, Payer, ProviderId, Q64, Rates, TwinId, UsdRate,
    clock::{stretch, tft_of, usd_of},
    fixed,
    ledger::{Earned, Gap},
    pricing::Priced,
    traits::{Clock, Ledger, NodeLiveness, PaidUse, PaidUses, Parties, Refund, Stopped},
};

impl<T: Config> Pallet<T> {
    /// Brings a contract up to now. Its payer needs no write for that: settling it changes nothing but when
    /// it was settled.
    pub(crate) fn settle(contract: ContractId, account: &mut ContractAccount) {
        let before = account.accrual.charged;
        account.settle(&Self::settled_payer(account.payer).funded);
        Self::record_charge(contract, before, account.accrual.charged);
    }

    /// Makes payable what a settled contract has earned, and counts what it used. Says how much, fraction
    /// left out.
    pub(crate) fn share(account: &mut ContractAccount) -> Balance {
        let earned = core::mem::take(&mut account.unclaimed);
        Self::credit_payees(account.farm, account.provider, earned);
        let uses = core::mem::take(&mut account.uses);
        if let Some(node) = account.node.filter(|_| uses != PaidUse::default()) {
            let Parts { foundation, staking, .. } = Self::parts_of(uses.tft, account.provider);
            T::PaidUses::count(node, PaidUse { tft: foundation.saturating_add(staking), ..uses });
        }
        fixed::whole(earned.total())
    }

    /// How earnings for capacity are shared. The farm gets what the others' shares leave over, so no fraction
    /// is lost.
    fn parts_of(shared: Q64, provider: Option<ProviderId>) -> Parts {
        let shares = CurrentPolicy::<T>::get().map_or((0, 0), |p| (p.shares.foundation, p.shares.staking));
        let (foundation, staking) = (permille_of(shared, shares.0), permille_of(shared, shares.1));
        let provider = provider
            .and_then(Providers::<T>::get)
            .map_or(0, |provider| permille_of(foundation, provider.permille));
        Parts {
            farm: shared.saturating_sub(foundation).saturating_sub(staking),
            foundation: foundation.saturating_sub(provider),
            staking,
            provider,
        }
    }

    /// Credits earnings to those who share them; where no farm earns, the foundation has its part.
    fn credit_payees(farm: Option<FarmId>, provider: Option<ProviderId>, earned: Earned) {
        let parts = Self::parts_of(earned.shared, provider);
        let farmers = parts.farm.saturating_add(earned.extra);
        credit::<T>(farm.map_or(Payee::Foundation, Payee::Farm), farmers);
        credit::<T>(Payee::Foundation, parts.foundation);
        credit::<T>(Payee::Staking, parts.staking);
        if let Some(provider) = provider {
            credit::<T>(Payee::Provider(provider), parts.provider);
        }
    }

    /// Charges other rates from now on; what a trial has set aside goes back.
    pub(crate) fn resize_by(contract: ContractId, rates: Rates, by: By) {
        let Some(mut account) = Accruals::<T>::get(contract) else { return };
        let set_aside = |account: &mut ContractAccount, _: &Payer| account.end_trial();
        Self::settle_and(contract, &mut account, by, set_aside, |payer, account| {
            exchange(payer, account, rates);
        });
        Accruals::<T>::insert(contract, account);
    }

    /// Settles a contract, gives back to the payer what `refund` says, and lets `change` its rates or the
    /// payer's sums.
    fn settle_and(
        contract: ContractId,
        account: &mut ContractAccount,
        by: By,
        refund: impl FnOnce(&mut ContractAccount, &Payer) -> Earned,
        change: impl FnOnce(&mut Payer, &mut ContractAccount),
    ) {
        let before = account.accrual.charged;
        let back = Self::change_payer(account.payer, by, |p| {
            account.settle(&p.funded);
            let back = refund(account, p);
            account.give_back(&back);
            p.credit = p.credit.saturating_add(back.total());
            change(p, account);
            back
        });
        Self::record_charge(contract, before, account.accrual.charged);
        let amount = fixed::whole(back.total());
        if amount > 0 {
            Self::deposit_event(Event::Refunded { contract, twin: account.payer, amount });
        }
    }

    /// What was charged for a contract while its node was offline, or had been and came back before anybody had
    /// stopped the charge.
    fn unserved(account: &mut ContractAccount, payer: &Payer) -> Earned {
        let Some(node) = account.node else { return Earned::default() };
        let silence = match T::Nodes::offline_since(node) {
            Some(from) => Gap { from, to: Q64::MAX },
            None => T::Nodes::last_outage(node),
        };
        account.unserved(silence, payer)
    }
}

/// What of an amount is whose, in Q64.64 of 1e-7 TFT.
struct Parts {
    farm: Q64,
    foundation: Q64,
    staking: Q64,
    provider: Q64,
}

/// A contract's rates change, and with them the sums of its payer: of what is charged while it runs, else of what
/// is promised.
fn exchange(payer: &mut Payer, account: &mut ContractAccount, rates: Rates) {
    let old = account.change_rates(rates, payer.settled_at);
    if account.running {
        payer.remove(old);
        payer.add(rates);
    } else {
        payer.take_back(old);
        payer.promise(rates);
    }
}

fn permille_of(amount: Q64, permille: u16) -> Q64 {
    fixed::mul_div(amount, permille.into(), 1_000)
}

fn credit<T: Config>(payee: Payee, amount: Q64) {
    if amount > 0 {
        Payable::<T>::mutate(payee, |payable| *payable = payable.saturating_add(amount));
    }
}

impl<T: Config> Ledger for Pallet<T> {
    fn quote(what: &Priced) -> Option<UsdRate> {
        what.rate(&CurrentPolicy::<T>::get()?.prices)
    }

    fn ensure_affordable(twin: TwinId, more: Rates) -> DispatchResult {
        let mut payer = Self::settled_payer(twin);
        let limits = OwnerLimits::<T>::get(twin);
        payer.add(more);
        ensure!(payer.whole_rate() <= limits.max_usd_rate.into(), Error::<T>::RateAboveLimit);
        ensure!(payer.whole_extra() <= limits.max_extra_fee.into(), Error::<T>::ExtraFeeAboveLimit);
        payer.speed = Self::discount_of(&payer);
        ensure!(payer.credit >= Self::must_keep(&payer), Error::<T>::CreditTooLow);
        Ok(())
    }

    fn promise(twin: TwinId, rates: Rates) {
        Self::change_payer(twin, By::Owner, |p| p.promise(rates));
    }

    fn take_back(twin: TwinId, rates: Rates) {
        Self::change_payer(twin, By::Others, |p| p.take_back(rates));
    }

    fn start(contract: ContractId, parties: Parties, rates: Rates) {
        let (clocks, clock) = Self::change_payer(parties.payer, By::Others, |p| {
            p.take_back(rates);
            p.add(rates);
            (p.funded, p.settled_at)
        });
        let account = ContractAccount::start(parties, rates, clocks, clock, Self::grid_now());
        Accruals::<T>::insert(contract, account);
    }

    fn resize(contract: ContractId, rates: Rates) {
        Self::resize_by(contract, rates, By::Others);
    }

    fn begin_trial(contract: ContractId, usd: UsdRate) {
        let Some(mut account) = Accruals::<T>::get(contract) else { return };
        Self::settle(contract, &mut account);
        let beyond = Rates { usd: account.accrual.rates.usd.saturating_sub(usd), extra: 0 };
        account.trial = Some(Accrual::start(beyond, account.accrual.claimed_at));
        Accruals::<T>::insert(contract, account);
    }

    fn end_trial(contract: ContractId) {
        Accruals::<T>::mutate_extant(contract, |account| account.trial = None);
    }

    fn describe(contract: ContractId, priced: Priced) {
        Accruals::<T>::mutate_extant(contract, |account| {
            account.ip_rate = priced.addresses().and_then(|ips| Self::quote(&ips)).unwrap_or(0);
            account.priced = Some(priced);
        });
    }

    fn suspend(contract: ContractId) {
        let Some(mut account) = Accruals::<T>::get(contract).filter(|account| account.running) else {
            return;
        };
        Self::settle_and(contract, &mut account, By::Others, Self::unserved, |payer, account| {
            payer.remove(account.accrual.rates);
            payer.promise(account.accrual.rates);
            account.running = false;
        });
        Accruals::<T>::insert(contract, account);
    }

    fn resume(contract: ContractId) {
        let Some(mut account) = Accruals::<T>::get(contract) else { return };
        Self::settle_and(contract, &mut account, By::Others, Self::unserved, |payer, account| {
            if !account.running {
                payer.take_back(account.accrual.rates);
                payer.add(account.accrual.rates);
            }
            account.run_from(payer);
        });
        Accruals::<T>::insert(contract, account);
    }

    fn stop(contract: ContractId, refund: Refund) -> Stopped {
        let Some(mut account) = Accruals::<T>::take(contract) else {
            Self::return_allowance(contract);
            return Stopped::default();
        };
        let back = |account: &mut ContractAccount, payer: &Payer| match refund {
            Refund::All => account.unclaimed,
            Refund::Served => Self::unserved(account, payer),
        };
        Self::settle_and(contract, &mut account, By::Others, back, |payer, account| {
            exchange(payer, account, Rates::default());
        });
        Self::return_allowance(contract);
        Self::share(&mut account);
        Stopped { charge: account.accrual.charged, traffic_usd: account.traffic_usd }
    }

    fn charge_minimum(contract: ContractId, payer: TwinId, rates: Rates, stopped: Stopped) -> Charge {
        let Stopped { charge: before, traffic_usd } = stopped;
        let price = Self::price();
        let clock = stretch(T::MinChargeMs::get(), price);
        let taken = Self::change_payer(payer, By::Others, |p| {
            let minimum = rates.cost_of(clock, p.speed);
            // In USD: what the price of TFT does meanwhile makes nobody pay twice.
            let paid = tft_of(before.usd.saturating_sub(traffic_usd), price);
            let missing = minimum.total().saturating_sub(paid).min(p.credit);
            p.credit = p.credit.saturating_sub(missing);
            let extra = fixed::mul_div(missing, minimum.extra, minimum.total());
            Earned { shared: missing.saturating_sub(extra), extra }
        });
        Self::credit_payees(None, None, taken);
        let more = Charge { tft: taken.total(), usd: usd_of(taken.total(), price) };
        let all = before.plus(&more);
        Self::record_charge(contract, before, all);
        all
    }

    fn charge_of(contract: ContractId) -> Charge {
        Self::charge_of(contract).unwrap_or_default()
    }

    fn is_exhausted(twin: TwinId) -> bool {
        Payers::<T>::get(twin).is_exhausted(Self::now().clock)
    }

    fn must_close(twin: TwinId) -> bool {
        Self::is_exhausted(twin) && Graces::<T>::get(twin).is_some_and(|grace| grace.over)
    }

    fn buy_traffic(contract: ContractId, payer: TwinId, gb: u32, certified: bool) -> DispatchResult {
        Self::fill_allowance(contract, payer, gb, certified, Balance::MAX)
    }

    fn use_traffic(contract: ContractId, bytes: u64) -> u64 {
        Self::draw_traffic(contract, bytes)
    }

    fn attach_provider(contract: ContractId, provider: ProviderId) -> DispatchResult {
        ensure!(Providers::<T>::contains_key(provider), Error::<T>::UnknownProvider);
        let mut account = Accruals::<T>::get(contract).ok_or(Error::<T>::UnknownContract)?;
        ensure!(account.provider.is_none(), Error::<T>::ProviderAttached);
        Self::settle(contract, &mut account);
        account.provider = Some(provider);
        Accruals::<T>::insert(contract, account);
        Ok(())
    }

    fn forget(contract: ContractId) {
        Bills::<T>::remove(contract);
    }
}
