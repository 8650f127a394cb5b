// SPDX-License-Identifier: Apache-2.0
//! Payers: the one place where their records change, and with them their key in the agenda, their grace and
//! their discount.

use crate::*;
use frame_support::{
    ensure,
    storage::with_storage_layer,
    traits::{Get, fungible::Mutate, tokens::Preservation},
};
use sp_runtime::DispatchResult;
use tfgrid_primitives::{
    Balance, Deadline, EndKey, GridMillis, Payer, Q64, TftPrice, TwinId,
    clock::{ms_of_stretch, stretch},
    fixed,
    ledger::FULL_SPEED,
    traits::{Agenda, Clock, Ledger, TwinDirectory},
    units::HOUR_MS,
};

/// On whose behalf a payer's record changes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// Its owner: the discount becomes what its runway earns.
    Owner,
    /// Somebody or something else: the discount can only grow.
    Others,
}

impl<T: Config> Pallet<T> {
    /// Settles a payer, changes its record and lets all that hangs on it follow.
    ///
    /// Whoever is found to have run out is served first, so that nothing depends on when the agenda gets to
    /// it. Then a record changes; who waits in grace goes on if that made its credit suffice.
    pub(crate) fn change_payer<R>(twin: TwinId, by: By, change: impl FnOnce(&mut Payer) -> R) -> R {
        let now = Self::now();
        let mut payer = Payers::<T>::get(twin);
        let (end, speed) = (payer.agenda_end(), payer.speed);
        if payer.is_due(now.clock) && !Self::refill(twin, &mut payer) {
            Self::begin_grace(twin, &mut payer);
        }
        let result = payer.change(now, |p| {
            let result = change(p);
            Self::find_discount(p, by);
            result
        });
        Self::end_grace_if_funded(twin, &mut payer);
        if payer.speed != speed {
            Self::deposit_event(Event::DiscountChanged { twin, permille: payer.speed });
        }
        Self::keep_reviewing(twin, &mut payer);
        Self::move_key(twin, end, payer.agenda_end());
        Payers::<T>::insert(twin, payer);
        result
    }

    fn move_key(twin: TwinId, from: Option<Q64>, to: Option<Q64>) {
        if from != to {
            from.into_iter().for_each(|end| Ends::<T>::remove(EndKey::new(end, twin)));
            to.into_iter().for_each(|end| Ends::<T>::insert(EndKey::new(end, twin), ()));
        }
    }

    /// What the agenda does with a key that the clock has reached.
    pub(crate) fn serve_end(key: EndKey) {
        let twin = key.twin();
        match Payers::<T>::get(twin).agenda_end() {
            Some(end) if EndKey::new(end, twin) == key => Self::change_payer(twin, By::Others, |_| ()),
            // It has moved since the key was read.
            _ => Ends::<T>::remove(key),
        }
    }

    /// Does for one payer what the agenda would do, and looks again at one that waits in grace: its owner's
    /// account may have been filled, or the price may have moved.
    pub(crate) fn do_poke(twin: TwinId) -> DispatchResult {
        let payer = Payers::<T>::get(twin);
        ensure!(payer.paused || payer.is_due(Self::now().clock), Error::<T>::NothingDue);
        with_storage_layer(|| {
            Self::change_payer(twin, By::Others, |p| Self::refill_if_paused(twin, p));
            ensure!(!payer.paused || !Payers::<T>::get(twin).paused, Error::<T>::CreditTooLow);
            Ok(())
        })
    }

    /// Who waits may go on where its owner wishes refills and has filled its account meanwhile.
    pub(crate) fn refill_if_paused(twin: TwinId, payer: &mut Payer) {
        if payer.paused && payer.is_charged() && payer.credit < Self::must_keep(payer) {
            Self::refill(twin, payer);
        }
    }

    /// Takes from the owner's account what its wish for refills says. Whether it did: not where there is no
    /// such wish, the owner's limit is reached or the account is empty.
    fn refill(twin: TwinId, payer: &mut Payer) -> bool {
        let Some(wish) = AutoRefills::<T>::get(twin) else { return false };
        let now = Self::now();
        // Who runs went on without credit since its end, and pays for that, too.
        let late = if payer.paused { 0 } else { now.clock.saturating_sub(payer.end) };
        let bought = stretch(u64::from(wish.hours).saturating_mul(HOUR_MS), Self::price());
        let cost = payer.whole_cost_of(bought).saturating_add(payer.cost_of(late));
        let amount = fixed::ceil(cost);
        let paid = Self::pay_refill(twin, amount).is_ok();
        if paid {
            payer.prolong(now, fixed::from_whole(amount));
            payer.paid = payer.paid.saturating_add(amount);
            Self::deposit_event(Event::Refilled { twin, amount });
        } else {
            Self::deposit_event(Event::RefillFailed { twin, amount });
        }
        paid
    }

    fn pay_refill(twin: TwinId, amount: Balance) -> DispatchResult {
        let refills = RefillsPaid::<T>::get(twin).plus(amount, Self::grid_now());
        let limit = OwnerLimits::<T>::get(twin).refill_per_30_days;
        ensure!(refills.spent <= limit, Error::<T>::RefillAboveLimit);
        let account = T::Twins::account_of(twin).ok_or(Error::<T>::UnknownTwin)?;
        T::Currency::transfer(&account, &Self::pot(), amount, Preservation::Preserve)?;
        RefillsPaid::<T>::insert(twin, refills);
        Ok(())
    }

    /// From now on the payer waits, at most as long as what it paid since the last time would buy.
    ///
    /// What is paid in meanwhile stays in its credit, as it always is: only the clocks stand. So refunds need
    /// no second place to go to, the pot's law no further term, and a unit starts nothing for a moment.
    fn begin_grace(twin: TwinId, payer: &mut Payer) {
        payer.pause(Self::now());
        let bought = payer.stretch_of(fixed::from_whole(payer.paid));
        let patience = ms_of_stretch(bought, Self::price()).min(T::GraceMaxMs::get());
        payer.paid = 0;
        let since = Self::grid_now();
        let until = since.saturating_add(patience);
        Graces::<T>::insert(twin, Grace { since, until, over: false });
        Self::arm(until, Deadline::Grace(twin));
        Self::deposit_event(Event::GraceBegan { twin, until });
    }

    /// A grace ends well when credit pays for the minimum runway of what would run, and quietly when its time
    /// is over and nothing is left that would.
    fn end_grace_if_funded(twin: TwinId, payer: &mut Payer) {
        if !payer.paused {
            return;
        }
        let funded = payer.is_charged() && payer.credit >= Self::must_keep(payer);
        let idle = || !payer.is_charged() && Graces::<T>::get(twin).is_none_or(|grace| grace.over);
        if !funded && !idle() {
            return;
        }
        if let Some(grace) = Graces::<T>::take(twin).filter(|grace| !grace.over) {
            Self::disarm(grace.until, Deadline::Grace(twin));
        }
        payer.resume(Self::now());
        if funded {
            Self::deposit_event(Event::Resumed { twin });
        }
    }

    /// A grace's time is over: what still waits closes.
    pub(crate) fn serve_grace(twin: TwinId, now: GridMillis) {
        let Some(grace) = Graces::<T>::get(twin).filter(|grace| !grace.over) else { return };
        Graces::<T>::insert(twin, Grace { over: true, ..grace });
        Self::change_payer(twin, By::Others, |p| Self::refill_if_paused(twin, p));
        if Self::is_exhausted(twin) {
            Self::arm(now, Deadline::Eviction(twin));
            Self::deposit_event(Event::GraceEnded { twin });
        }
    }

    /// The discount is found anew, until nothing is charged any more.
    pub(crate) fn serve_review(twin: TwinId, now: GridMillis) -> Option<GridMillis> {
        let next = now.saturating_add(MONTH_MS);
        if !Payers::<T>::get(twin).is_charged() {
            Payers::<T>::mutate(twin, |payer| payer.review_at = 0);
            return None;
        }
        Self::change_payer(twin, By::Owner, |p| p.review_at = next);
        Some(next)
    }

    fn keep_reviewing(twin: TwinId, payer: &mut Payer) {
        if payer.is_charged() && payer.review_at == 0 {
            payer.review_at = Self::grid_now().saturating_add(MONTH_MS);
            Self::arm(payer.review_at, Deadline::Review(twin));
        }
    }

    fn find_discount(payer: &mut Payer, by: By) {
        let earned = Self::discount_of(payer);
        payer.set_speed(match by {
            By::Owner => earned,
            By::Others => payer.speed.min(earned),
        });
    }

    /// What is left of the list price for a payer with this credit and these rates, in thousandths.
    pub(crate) fn discount_of(payer: &Payer) -> u16 {
        let runway = payer.runway().map(|runway| ms_of_stretch(runway, Self::price()) / HOUR_MS);
        let policy = runway.and_then(|hours| CurrentPolicy::<T>::get().map(|policy| (policy, hours)));
        policy.map_or(FULL_SPEED, |(policy, hours)| policy.permille_for(hours))
    }

    /// What must stay of its credit: the minimum runway of all that runs or will without its owner's word.
    pub(crate) fn must_keep(payer: &Payer) -> Q64 {
        payer.whole_cost_of(Self::min_runway())
    }

    pub(crate) fn price() -> TftPrice {
        PriceClockState::<T>::get().price
    }
}
