// SPDX-License-Identifier: Apache-2.0
//! Who shares in what contracts earn.

use crate::*;
use tfgrid_primitives::{
    Balance, ExactTft, FarmId, ProviderId, TwinId,
    ledger::Earned,
    traits::{OnPaidUse, PaidUse, TwinDirectory},
};

impl<T: Config> Pallet<T> {
    /// Makes payable what a settled contract has earned, counts it for its payer's standing and reports what it
    /// used. Returns the amount without its fraction.
    pub(crate) fn share(account: &mut LedgerAccount) -> Balance {
        // What a farmer, provider or extra fee gets may come back to the payer, so it earns no standing.
        let Parts { foundation, staking, .. } =
            Self::parts_of(account.uncollected_capacity().shared, account.provider);
        let lost = foundation.saturating_add(staking).whole();
        Self::change_standing(account.payer, |standing| standing.paid = standing.paid.saturating_add(lost));
        let earned = core::mem::take(&mut account.uncollected);
        Self::credit_payees(account.farm, account.provider, earned);
        let uses = core::mem::take(&mut account.uses);
        if let Some(node) = account.node.filter(|_| uses != PaidUse::default()) {
            let not_the_farms = |amount| {
                let Parts { foundation, staking, .. } = Self::parts_of(amount, account.provider);
                foundation.saturating_add(staking)
            };
            let traffic_tft = not_the_farms(uses.traffic_tft);
            T::PaidUses::on_paid_use(
                node,
                PaidUse { traffic_tft, ip_tft: not_the_farms(uses.ip_tft), ..uses },
            );
        }
        earned.total().whole()
    }

    /// Changes what is known of the account behind `payer`; nothing is kept of one that has paid nothing.
    pub(crate) fn change_standing(payer: TwinId, change: impl FnOnce(&mut Standing)) {
        let Some(account) = T::Twins::account_of(payer) else { return };
        Standings::<T>::mutate_exists(account, |kept| {
            let mut standing = kept.take().unwrap_or_default();
            change(&mut standing);
            *kept = (standing != Standing::default()).then_some(standing);
        });
    }

    /// How earnings for capacity are shared. The farm gets what the others' shares leave, so that no fraction is
    /// lost.
    fn parts_of(shared: ExactTft, provider: Option<ProviderId>) -> Parts {
        let shares = Policy::<T>::get().map_or((0, 0), |p| (p.shares.foundation, p.shares.staking));
        let (foundation, staking) = (shared.permille(shares.0), shared.permille(shares.1));
        let provider = provider
            .and_then(Providers::<T>::get)
            .map_or(ExactTft::ZERO, |provider| foundation.permille(provider.permille));
        Parts {
            farm: shared.saturating_sub(foundation).saturating_sub(staking),
            foundation: foundation.saturating_sub(provider),
            staking,
            provider,
        }
    }

    /// Credits earnings to those who share them; without a farm, the foundation has its part.
    pub(crate) fn credit_payees(farm: Option<FarmId>, provider: Option<ProviderId>, earned: Earned) {
        let parts = Self::parts_of(earned.shared, provider);
        let farmers = parts.farm.saturating_add(earned.extra);
        credit::<T>(farm.map_or(Payee::Foundation, Payee::Farm), farmers);
        credit::<T>(Payee::Foundation, parts.foundation);
        credit::<T>(Payee::Staking, parts.staking);
        if let Some(provider) = provider {
            credit::<T>(Payee::Provider(provider), parts.provider);
        }
    }
}

/// The parts of an amount that was earned.
struct Parts {
    farm: ExactTft,
    foundation: ExactTft,
    staking: ExactTft,
    provider: ExactTft,
}

fn credit<T: Config>(payee: Payee, amount: ExactTft) {
    if amount > ExactTft::ZERO {
        Payable::<T>::mutate(payee, |payable| *payable = payable.saturating_add(amount));
    }
}
