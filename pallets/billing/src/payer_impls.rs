// SPDX-License-Identifier: Apache-2.0
//! Payers: the one place where their records change, and with them their key in the agenda, their grace period
//! and their price factor.

use crate::*;
use frame_support::{
    ensure,
    storage::with_storage_layer,
    traits::{Get, fungible::Mutate, tokens::Preservation},
};
use sp_runtime::DispatchResult;
use tfgrid_primitives::{
    Balance, Deadline, ExactTft, ExhaustionKey, GridMillis, Payer, PriceTime, TwinId,
    clock::{ms_of_stretch, stretch},
    ledger::FULL_PRICE,
    traits::{Agenda, Clock, Ledger, LedgerClock, TwinDirectory},
    units::{HOUR_MS, MONTH_MS},
};

/// On whose behalf a payer's record changes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangedBy {
    /// Its owner: the price factor becomes what its runway earns.
    Owner,
    /// Anybody or anything else: the price factor can only fall.
    Others,
}

impl<T: Config> Pallet<T> {
    /// Settles a payer, changes its record and lets all that depends on it follow.
    ///
    /// A payer whose credit is used up is served first, as the agenda would, so that nothing depends on when
    /// the agenda gets to it. A payer in grace is resumed where the change made its credit suffice.
    pub(crate) fn change_payer<R>(twin: TwinId, by: ChangedBy, change: impl FnOnce(&mut Payer) -> R) -> R {
        Self::change_payer_and_tell(twin, by, change).0
    }

    /// The same; says also whether the payer goes on as before ([`Ledger::open`]).
    pub(crate) fn change_payer_and_tell<R>(
        twin: TwinId,
        by: ChangedBy,
        change: impl FnOnce(&mut Payer) -> R,
    ) -> (R, bool) {
        let now = T::Clock::now();
        let mut payer = Payers::<T>::get(twin);
        let Payer { paused, price_factor: factor, review_at, .. } = payer;
        let end = payer.agenda_end();
        if payer.is_due(now.clock) && !Self::refill(twin, &mut payer) {
            Self::begin_grace(twin, &mut payer);
        }
        let result = payer.change(now, |p| {
            let result = change(p);
            Self::update_factor(p, by);
            result
        });
        Self::end_grace_if_settled(twin, &mut payer);
        if payer.price_factor != factor {
            Self::deposit_event(Event::PriceFactorChanged { twin, permille: payer.price_factor });
        }
        Self::keep_reviewing(twin, &mut payer);
        let new_end = payer.agenda_end();
        Self::move_key(twin, end, new_end);
        Payers::<T>::insert(twin, payer);
        // Where it stays paused, its grace period may have ended all the same.
        let goes_on = !paused && (end, factor, review_at) == (new_end, payer.price_factor, payer.review_at);
        (result, goes_on)
    }

    fn move_key(twin: TwinId, from: Option<PriceTime>, to: Option<PriceTime>) {
        if from == to {
            return;
        }
        if let Some(end) = from {
            PayersByExhaustion::<T>::remove(ExhaustionKey::new(end, twin));
        }
        if let Some(end) = to {
            PayersByExhaustion::<T>::insert(ExhaustionKey::new(end, twin), ());
        }
    }

    /// Serves a key that the price clock has reached.
    pub(crate) fn serve_end(key: ExhaustionKey) {
        let twin = key.twin();
        match Payers::<T>::get(twin).agenda_end() {
            Some(end) if ExhaustionKey::new(end, twin) == key => {
                Self::change_payer(twin, ChangedBy::Others, |_| ());
            }
            // It has moved since the key was read.
            _ => PayersByExhaustion::<T>::remove(key),
        }
    }

    /// Does for one payer what the agenda would do, and looks again at one in grace: its owner's account may
    /// have been filled, or the price may have moved.
    pub(crate) fn do_poke(twin: TwinId) -> DispatchResult {
        let payer = Payers::<T>::get(twin);
        ensure!(payer.paused || payer.is_due(T::Clock::price_now()), Error::<T>::NothingDue);
        with_storage_layer(|| {
            Self::change_payer(twin, ChangedBy::Others, |p| Self::refill_if_paused(twin, p));
            ensure!(!payer.paused || !Payers::<T>::get(twin).paused, Error::<T>::CreditTooLow);
            Ok(())
        })
    }

    /// Refills a payer in grace whose owner has set a refill or filled its account meanwhile.
    pub(crate) fn refill_if_paused(twin: TwinId, payer: &mut Payer) {
        if payer.paused && payer.is_charged() && payer.credit < Self::must_keep(payer) {
            Self::refill(twin, payer);
        }
    }

    /// Takes the automatic refill from the owner's account, and says whether it could: not where none is set,
    /// the owner's limit is reached or the account is empty.
    fn refill(twin: TwinId, payer: &mut Payer) -> bool {
        let Some(AutoRefill { hours }) = AutoRefills::<T>::get(twin) else { return false };
        let now = T::Clock::now();
        // What ran on after the end of its credit is paid, too.
        let late = if payer.paused { PriceTime::ZERO } else { now.clock.saturating_sub(payer.end) };
        let bought = stretch(u64::from(hours).saturating_mul(HOUR_MS), T::Clock::tft_price());
        let cost = payer.cost_of_all(bought).saturating_add(payer.cost_of(late));
        let amount = cost.ceil();
        let paid = Self::pay_refill(twin, amount);
        if paid {
            payer.prolong(now, ExactTft::from_whole(amount));
            payer.paid = payer.paid.saturating_add(amount);
            Self::deposit_event(Event::Refilled { twin, amount });
        } else {
            Self::deposit_event(Event::RefillFailed { twin, amount });
        }
        paid
    }

    /// Whether the owner's limit and account admit it.
    fn pay_refill(twin: TwinId, amount: Balance) -> bool {
        let refills = RefillsPaid::<T>::get(twin).plus(amount, T::Clock::grid_now());
        let Some(account) = T::Twins::account_of(twin) else { return false };
        let admitted = refills.spent <= OwnerLimits::<T>::get(twin).refill_per_30_days
            && Self::leaves_fees(&account, amount)
            && T::Currency::transfer(&account, &Self::pot(), amount, Preservation::Preserve).is_ok();
        if admitted {
            RefillsPaid::<T>::insert(twin, refills);
        }
        admitted
    }

    /// Pauses a payer, at most for as long as what was paid since its last grace period would buy.
    ///
    /// What is paid in meanwhile is credit as always; only the clocks stand. So refunds need no second place to
    /// go to, the pot's invariant needs no further term, and a unit of credit starts nothing for a moment.
    fn begin_grace(twin: TwinId, payer: &mut Payer) {
        payer.pause(T::Clock::now());
        let bought = payer.stretch_of(ExactTft::from_whole(payer.paid));
        let length = ms_of_stretch(bought, T::Clock::tft_price()).min(T::GraceMaxMs::get());
        payer.paid = 0;
        let since = T::Clock::grid_now();
        let until = since.saturating_add(length);
        Graces::<T>::insert(twin, Grace { since, until, over: false });
        T::Agenda::arm(until, Deadline::Grace(twin));
        Self::deposit_event(Event::GraceBegan { twin, until });
    }

    /// Ends a grace period where credit pays for the minimum runway of all rates, and where nothing is left to
    /// wait for.
    ///
    /// Without charged or committed rates it ends at once. Otherwise an empty payer would stay exempt from what
    /// `withdraw` must leave, and could hold other capacity through the rest of its grace period for nothing. A
    /// payer whose only contracts are on a silent node keeps it: it would be charged again without one.
    fn end_grace_if_settled(twin: TwinId, payer: &mut Payer) {
        if !payer.paused {
            return;
        }
        let funded = payer.is_charged() && payer.credit >= Self::must_keep(payer);
        let is_over = || Graces::<T>::get(twin).is_none_or(|grace| grace.over);
        let idle = !payer.is_charged() && (payer.committed.is_zero() || is_over());
        if !funded && !idle {
            return;
        }
        if let Some(grace) = Graces::<T>::take(twin).filter(|grace| !grace.over) {
            T::Agenda::disarm(grace.until, Deadline::Grace(twin));
        }
        payer.resume(T::Clock::now());
        if funded {
            Self::deposit_event(Event::Resumed { twin });
        }
    }

    /// A grace period has ended: paused contracts close.
    pub(crate) fn serve_grace(twin: TwinId, now: GridMillis) {
        let Some(grace) = Graces::<T>::get(twin).filter(|grace| !grace.over) else { return };
        Graces::<T>::insert(twin, Grace { over: true, ..grace });
        Self::change_payer(twin, ChangedBy::Others, |p| Self::refill_if_paused(twin, p));
        if Self::is_exhausted(twin) {
            T::Agenda::arm(now, Deadline::Eviction(twin));
            Self::deposit_event(Event::GraceEnded { twin });
        }
    }

    /// Computes the price factor again, until nothing is charged any more.
    pub(crate) fn serve_review(twin: TwinId, now: GridMillis) -> Option<GridMillis> {
        let next = now.saturating_add(MONTH_MS);
        if !Payers::<T>::get(twin).is_charged() {
            Payers::<T>::mutate(twin, |payer| payer.review_at = 0);
            return None;
        }
        Self::change_payer(twin, ChangedBy::Owner, |p| p.review_at = next);
        Some(next)
    }

    fn keep_reviewing(twin: TwinId, payer: &mut Payer) {
        if payer.is_charged() && payer.review_at == 0 {
            payer.review_at = T::Clock::grid_now().saturating_add(MONTH_MS);
            T::Agenda::arm(payer.review_at, Deadline::Review(twin));
        }
    }

    fn update_factor(payer: &mut Payer, by: ChangedBy) {
        let earned = Self::earned_factor(payer);
        payer.set_price_factor(match by {
            ChangedBy::Owner => earned,
            ChangedBy::Others => payer.price_factor.min(earned),
        });
    }

    /// The price factor that a payer's runway earns, in thousandths.
    pub(crate) fn earned_factor(payer: &Payer) -> u16 {
        let runway = payer.runway().map(|runway| ms_of_stretch(runway, T::Clock::tft_price()) / HOUR_MS);
        let policy = runway.and_then(|hours| Policy::<T>::get().map(|policy| (policy, hours)));
        policy.map_or(FULL_PRICE, |(policy, hours)| policy.factor_for(hours))
    }

    /// What must stay of its credit: the minimum runway of all that is charged or committed.
    pub(crate) fn must_keep(payer: &Payer) -> ExactTft {
        payer.cost_of_all(stretch(T::MinRunwayMs::get(), T::Clock::tft_price()))
    }
}
