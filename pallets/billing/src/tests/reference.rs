// SPDX-License-Identifier: Apache-2.0
//! A biller that anybody can follow: it ticks once a second, charges each contract for that second and rounds
//! nothing. Beside it runs the ledger, through the same random history; both must agree.
//!
//! All prices of these histories divide [`PRICES_MULTIPLE`], so every amount is a whole number of
//! 1 / [`PARTS`] of a unit (1e-7 TFT). Where credit ends within a second, that second's charges are scaled
//! down, which loses less than one such part each.
//!
//! The biller is told what only time decides: whether a payer was refilled or began to wait when the agenda
//! got to it, and by how much. What that costs whom is its own reckoning.

// A ledger's call that returns nothing has succeeded.
#![allow(clippy::unit_arg)]

use super::*;
use crate::payer_impls::ChangedBy;
use frame_support::weights::Weight;
use std::collections::BTreeMap;
use tfgrid_primitives::{
    clock::stretch,
    fixed::{ONE, mul_div},
};

/// What one TFT may cost in a history, in 1e-7 USD.
const PRICES: [u64; 5] = [10_000, 500_000, 700_000, 1_100_000, 1_300_000];
/// A multiple of each of them.
const PRICES_MULTIPLE: u128 = 500_500_000;
/// Parts of a unit: see `clock::stretch`, and thousandths for the discount.
const PARTS: u128 = 360 * 1_000 * PRICES_MULTIPLE;
/// Parts of a millisecond × price on the biller's clock, so that the place where credit ends is fine enough.
const FINE: u128 = 1 << 20;
/// Of 1e-10 USD, what a rate per hour comes to in a millisecond, in thousandths.
const USD_IN_MS: u128 = 3_600_000 * 1_000;
/// Full price, in thousandths.
const FULL: u128 = 1_000;
/// The time of the minimum charge, in milliseconds.
const MIN_CHARGE_MS: u128 = 600_000;
const PAYERS: [TwinId; 2] = [1, 2];

#[derive(Clone, Debug)]
struct RefContract {
    payer: TwinId,
    rates: Rates,
    node: u32,
    running: bool,
    running_since: u128,
    /// Shared and extra, earned and not collected.
    uncollected: [u128; 2],
    charged: u128,
    /// The rates that are proposed, and what both versions reserve beyond the present ones.
    proposal: Option<(Rates, Rates)>,
    /// The lowest rates that it had before they changed last, and where that was on the clock.
    earlier: (Rates, u128),
    traffic: u64,
    traffic_paid: u128,
    /// What of the uncollected is for used traffic, which no refund gives back.
    traffic_uncollected: u128,
}

impl RefContract {
    /// The uncollected without used traffic.
    fn capacity(&self) -> [u128; 2] {
        [self.uncollected[0] - self.traffic_uncollected, self.uncollected[1]]
    }

    /// What it costs over a stretch of the reference's clock.
    fn cost(&self, stretch: u128, factor: u128) -> [u128; 2] {
        cost(self.rates, stretch, factor)
    }

    /// What is reserved beyond them.
    fn more(&self) -> Rates {
        self.proposal.map_or(Rates::ZERO, |(_, more)| more)
    }

    fn earn(&mut self, earned: [u128; 2]) {
        self.uncollected[0] += earned[0];
        self.uncollected[1] += earned[1];
        self.charged += earned[0] + earned[1];
    }
}

#[derive(Clone, Debug)]
struct RefPayer {
    credit: u128,
    factor: u128,
    paused: bool,
    /// The second up to which it is charged.
    second: usize,
    /// The rest of the second in which its credit ended, by contract, until it is known what follows.
    stuck: Option<Vec<(u64, [u128; 2])>>,
    /// Where on the clock its credit ended.
    end: u128,
    waits: [(u128, u128); 2],
    /// The lowest factor that it had before it changed last, and where that was.
    lowest: (u128, u128),
}

/// What rates cost over a stretch of the reference's clock.
fn cost(rates: Rates, stretch: u128, factor: u128) -> [u128; 2] {
    let cost = |rate: u64, factor: u128| u128::from(rate) * stretch * factor / FINE;
    [cost(rates.usd, factor), cost(rates.extra, FULL)]
}

/// How far the biller's clock moves.
fn stretch_of(ms: u128, price: u64) -> u128 {
    ms * PRICES_MULTIPLE / u128::from(price) * FINE
}

struct Reference {
    payers: BTreeMap<TwinId, RefPayer>,
    contracts: BTreeMap<u64, RefContract>,
    /// Where its clock stands at each second: 1 / (360 × [`PRICES_MULTIPLE`] × [`FINE`]) of the ledger's unit.
    clock: Vec<u128>,
    price: u64,
    /// What payees were credited, shared and extra.
    collected: [u128; 2],
    /// What was charged for no service: no farmer shares in it.
    unfarmed: u128,
    /// How often a silence was paid back.
    refunds: u32,
}

impl Reference {
    fn new() -> Self {
        let payer = RefPayer {
            credit: 0,
            factor: FULL,
            paused: false,
            second: 0,
            stuck: None,
            end: u128::MAX,
            waits: [(0, 0); 2],
            lowest: (FULL, 0),
        };
        Self {
            payers: PAYERS.map(|twin| (twin, payer.clone())).into(),
            contracts: BTreeMap::new(),
            clock: vec![0],
            price: 0,
            collected: [0; 2],
            unfarmed: 0,
            refunds: 0,
        }
    }

    fn now(&self) -> u128 {
        *self.clock.last().unwrap()
    }

    fn payer(&mut self, twin: TwinId) -> &mut RefPayer {
        self.payers.get_mut(&twin).unwrap()
    }

    fn contract(&mut self, id: u64) -> &mut RefContract {
        self.contracts.get_mut(&id).unwrap()
    }

    fn running(&self, twin: TwinId) -> Vec<u64> {
        let mine = self.contracts.iter().filter(|(_, c)| c.payer == twin && c.running);
        mine.map(|(id, _)| *id).collect()
    }

    /// Whether nothing is charged.
    fn is_idle(&self, twin: TwinId) -> bool {
        self.running(twin).into_iter().all(|id| self.contracts[&id].rates == Rates::default())
    }

    /// The rates of all that a payer has, whether charged or committed.
    fn all_rates(&self, twin: TwinId) -> impl Iterator<Item = Rates> + '_ {
        let mine = self.contracts.values().filter(move |contract| contract.payer == twin);
        mine.flat_map(|contract| [contract.rates, contract.more()])
    }

    /// Their sum at the full price.
    fn rate(&self, twin: TwinId) -> u128 {
        self.all_rates(twin).map(|rates| u128::from(rates.usd) + u128::from(rates.extra)).sum()
    }

    /// What they cost over a stretch.
    fn cost_of(&self, twin: TwinId, stretch: u128) -> u128 {
        let factor = self.payers[&twin].factor;
        self.all_rates(twin).flat_map(|rates| cost(rates, stretch, factor)).sum()
    }

    fn seconds_pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.clock.push(self.now() + stretch_of(1_000, self.price));
        }
        PAYERS.into_iter().for_each(|twin| self.catch_up(twin));
    }

    /// Charges a payer second by second up to now, or to where its credit ends.
    fn catch_up(&mut self, twin: TwinId) {
        while self.payers[&twin].stuck.is_none() && self.payers[&twin].second + 1 < self.clock.len() {
            let payer = self.payers[&twin].clone();
            let running = if payer.paused { vec![] } else { self.running(twin) };
            let step = self.clock[payer.second + 1] - self.clock[payer.second];
            let costs = running.iter().map(|id| (*id, self.contracts[id].cost(step, payer.factor))).collect();
            self.pay(twin, costs);
        }
    }

    /// Pays one second, or as much of it as the credit lasts.
    fn pay(&mut self, twin: TwinId, costs: Vec<(u64, [u128; 2])>) {
        let total: u128 = costs.iter().flat_map(|(_, cost)| cost).sum();
        let payer = self.payers[&twin].clone();
        if payer.credit >= total {
            for (id, cost) in costs {
                self.contract(id).earn(cost);
            }
            let payer = self.payer(twin);
            payer.credit -= total;
            payer.second += 1;
            return;
        }
        let scaled = |amount: u128| mul_div(amount, payer.credit, total);
        let mut rest = vec![];
        for (id, cost) in costs {
            let paid = cost.map(scaled);
            self.contract(id).earn(paid);
            self.payer(twin).credit -= paid[0] + paid[1];
            rest.push((id, [cost[0] - paid[0], cost[1] - paid[1]]));
        }
        let step = self.clock[payer.second + 1] - self.clock[payer.second];
        let end = self.clock[payer.second] + scaled(step);
        let payer = self.payer(twin);
        (payer.stuck, payer.end) = (Some(rest), end);
    }

    /// The owner's account paid, in time or late: it counts from where the credit ended.
    fn refilled(&mut self, twin: TwinId, amount: u128) {
        self.payer(twin).credit += amount * PARTS;
        self.go_on(twin);
    }

    /// Pays the rest of the second in which it was stuck, and all since.
    fn go_on(&mut self, twin: TwinId) {
        if let Some(rest) = self.payer(twin).stuck.take() {
            self.payer(twin).end = u128::MAX;
            self.pay(twin, rest);
        }
        self.catch_up(twin);
    }

    /// The ledger doesn't find that its credit has ended in this second: it ends at the very end of it.
    fn pass_the_edge(&mut self, twin: TwinId) {
        if let Some(rest) = self.payer(twin).stuck.take() {
            let missing: u128 = rest.iter().flat_map(|(_, cost)| cost).sum();
            assert!(missing <= PARTS, "{twin} runs without credit: {}", missing / PARTS);
            let payer = self.payer(twin);
            (payer.end, payer.second) = (u128::MAX, payer.second + 1);
        }
        self.catch_up(twin);
    }

    fn began_to_wait(&mut self, twin: TwinId) {
        let (now, second) = (self.now(), self.clock.len() - 1);
        let payer = self.payer(twin);
        assert!(payer.credit <= PARTS, "{twin} waits with credit: {}", payer.credit / PARTS);
        payer.stuck = None;
        (payer.paused, payer.second, payer.end) = (true, second, payer.end.min(now));
    }

    /// Something has changed: the discount follows, and so does the place at which a waiting payer stands.
    fn changed(&mut self, twin: TwinId, by: ChangedBy) {
        let (credit, rate, now, price) = (self.payers[&twin].credit, self.rate(twin), self.now(), self.price);
        let idle = self.is_idle(twin);
        let hours = (credit * 360 * u128::from(price)).checked_div(PARTS * rate).map(|ms| ms / 3_600_000);
        let hours = hours.filter(|_| !idle);
        let earned = match hours {
            None | Some(0..1_080) => FULL,
            Some(1_080..2_160) => 800,
            Some(2_160..4_320) => 700,
            Some(4_320..12_960) => 600,
            Some(_) => 400,
        };
        let payer = self.payer(twin);
        let factor = if by == ChangedBy::Owner { earned } else { payer.factor.min(earned) };
        if factor != payer.factor {
            payer.lowest = (payer.lowest.0.min(payer.factor), now);
            payer.factor = factor;
        }
        if payer.paused {
            payer.end = if idle { u128::MAX } else { payer.end.min(now) };
        }
    }

    fn resumed(&mut self, twin: TwinId) {
        let now = self.now();
        let payer = self.payer(twin);
        if payer.end < now {
            payer.waits = [payer.waits[1], (payer.end, now)];
        }
        (payer.paused, payer.end) = (false, u128::MAX);
    }

    /// What a silence of its node gives back.
    fn unserved(&self, contract: &RefContract, silence: Silence) -> [u128; 2] {
        if !contract.running || contract.node != 1 {
            return [0; 2];
        }
        let payer = &self.payers[&contract.payer];
        let from = silence.0.max(contract.running_since);
        let until = silence.1.min(self.now()).min(payer.end);
        let waited = payer.waits.map(|wait| wait.1.min(until).saturating_sub(wait.0.max(from)));
        let stretch = until.saturating_sub(from).saturating_sub(waited.iter().sum());
        let factor = if from < payer.lowest.1 { payer.lowest.0 } else { FULL };
        let (now, (earlier, changed)) = (contract.rates, contract.earlier);
        let lowest = Rates { usd: now.usd.min(earlier.usd), extra: now.extra.min(earlier.extra) };
        let rates = if from < changed { lowest } else { now };
        let [shared, extra] =
            RefContract { rates, ..contract.clone() }.cost(stretch, payer.factor.min(factor));
        [shared.min(contract.capacity()[0]), extra.min(contract.capacity()[1])]
    }

    fn collected(&mut self, earned: [u128; 2]) {
        self.collected[0] += earned[0];
        self.collected[1] += earned[1];
    }

    fn give_back_silence(&mut self, id: u64, silence: Silence) {
        let contract = self.contracts[&id].clone();
        let back = self.unserved(&contract, silence);
        self.refunds += u32::from(back != [0; 2]);
        self.give_back(id, back);
    }

    fn give_back(&mut self, id: u64, back: [u128; 2]) {
        let contract = self.contract(id);
        contract.uncollected = [contract.uncollected[0] - back[0], contract.uncollected[1] - back[1]];
        contract.charged -= back[0] + back[1];
        let twin = contract.payer;
        self.payer(twin).credit += back[0] + back[1];
    }

    /// What was reserved beyond a contract's rates is paid for, `minimum_ms` of it at the payer's factor at least.
    fn pay_reserved(&mut self, id: u64, reserved_ms: u128, minimum_ms: u128) {
        let (twin, more) = (self.contracts[&id].payer, self.contracts[&id].more());
        let price_of = |ms: u128, factor| cost(more, stretch_of(ms, self.price), factor).iter().sum();
        let reserved: u128 = price_of(reserved_ms, FULL);
        let due = reserved.max(price_of(minimum_ms, self.payers[&twin].factor));
        let paid = due.min(self.payers[&twin].credit);
        self.payer(twin).credit -= paid;
        self.contract(id).charged += paid;
        self.unfarmed += paid;
    }

    /// The proposed rates count.
    fn accept(&mut self, id: u64, reserved_ms: u64) {
        self.pay_reserved(id, reserved_ms.into(), 0);
        let now = self.now();
        let contract = self.contract(id);
        let Some((rates, _)) = contract.proposal.take() else { return };
        let (old, (earlier, _)) = (contract.rates, contract.earlier);
        let lowest = Rates { usd: old.usd.min(earlier.usd), extra: old.extra.min(earlier.extra) };
        (contract.rates, contract.earlier) = (rates, (lowest, now));
    }

    /// The present rates stand.
    fn reject(&mut self, id: u64, reserved_ms: Option<u64>) {
        if let Some(reserved_ms) = reserved_ms {
            self.pay_reserved(id, reserved_ms.into(), MIN_CHARGE_MS);
        }
        self.contract(id).proposal = None;
    }
}

/// Numbers that are random enough and the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    /// Of any size up to `2^bits`, small ones as likely as large ones.
    fn of_any_size(&mut self, bits: u64) -> u64 {
        let bits = self.below(bits) + 1;
        self.roll() >> (64 - bits)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.below(from.len() as u64) as usize])
    }
}

/// Where on the biller's clock a node fell silent and came back.
type Silence = (u128, u128);

/// A history: the ledger and the biller, side by side.
struct History {
    dice: Dice,
    reference: Reference,
    last_contract: u64,
    /// Since when node 1 is silent, on the biller's clock.
    silent: Option<u128>,
    /// When it was silent last.
    outage: Silence,
    /// What happened, and how often.
    seen: Seen,
}

/// How often what happened, by name.
type Seen = BTreeMap<&'static str, u32>;

/// What histories must have seen before they say anything.
const HARDSHIPS: [&str; 12] = [
    "collections",
    "discounts",
    "ends of grace",
    "reservations paid",
    "failed refills",
    "graces",
    "late refills",
    "minimum charges",
    "refills",
    "refunds in silence",
    "resumptions",
    "traffic",
];

impl History {
    fn new(seed: u64) -> Self {
        let mut reference = Reference::new();
        reference.price = PRICE;
        for account in PAYERS {
            Balances::mint_into(&account.into(), 1 << 50).unwrap();
            let limits = Limits { max_extra_fee: u64::MAX, refill_per_30_days: 1 << 45, ..NO_LIMITS };
            assert_ok!(Billing::set_limits(RuntimeOrigin::signed(account.into()), limits));
            // Complaints have no bound here, nor a minimum: their own tests have.
            let standing = Standing { paid: u128::MAX / 2, refunded: 0 };
            Standings::<Test>::insert(AccountId::from(account), standing);
        }
        SetAside::set(0);
        System::reset_events();
        Self {
            dice: Dice(seed),
            reference,
            last_contract: 0,
            silent: None,
            outage: (0, 0),
            seen: Seen::new(),
        }
    }

    /// The present silence of node 1, or its last.
    fn silence(&self) -> Silence {
        self.silent.map_or(self.outage, |since| (since, u128::MAX))
    }

    fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// A first contract, and credit that doesn't last long.
    fn begin(&mut self, twin: TwinId) {
        let (rates, minutes) = (self.rates(), 61 + self.dice.below(120));
        let hourly = price_clock().cost_of(rates.usd.saturating_add(rates.extra), 3_600_000);
        let amount = hourly.ceil() * u128::from(minutes) / 60 + ED;
        self.deposit(twin, ChangedBy::Owner, amount);
        self.start_at(twin, rates);
    }

    /// Makes the same change in the ledger and in the biller. What the ledger did first about ended credit,
    /// the biller hears first.
    fn change<R>(
        &mut self,
        twin: TwinId,
        by: ChangedBy,
        ledger: impl FnOnce() -> Option<R>,
        change: impl FnOnce(&mut Reference, R),
    ) {
        let Some(result) = ledger() else { return System::reset_events() };
        self.hear();
        self.reference.pass_the_edge(twin);
        change(&mut self.reference, result);
        self.reference.changed(twin, by);
        self.resume_with_the_ledger(twin);
    }

    fn hear(&mut self) {
        for record in System::events() {
            let RuntimeEvent::Billing(event) = record.event else { continue };
            match event {
                Event::Refilled { twin, amount } => {
                    let payer = &self.reference.payers[&twin];
                    let late = payer.stuck.is_some() && payer.second + 61 < self.reference.clock.len();
                    self.saw(if late { "late refills" } else { "refills" });
                    self.reference.refilled(twin, amount);
                }
                Event::GraceBegan { twin, .. } => {
                    self.saw("graces");
                    self.reference.began_to_wait(twin);
                }
                Event::RefillFailed { .. } => self.saw("failed refills"),
                Event::GraceEnded { .. } => self.saw("ends of grace"),
                Event::PriceFactorChanged { .. } => self.saw("discounts"),
                _ => {}
            }
        }
        System::reset_events();
    }

    /// Who waits goes on where the ledger says so, and must wait for want of credit where it doesn't.
    fn resume_with_the_ledger(&mut self, twin: TwinId) {
        let waits = Payers::<Test>::get(twin).paused;
        let credit = self.reference.payers[&twin].credit;
        let hour = stretch_of(3_600_000, self.reference.price);
        let needed = if self.reference.is_idle(twin) { 0 } else { self.reference.cost_of(twin, hour) };
        assert!(!waits || needed == 0 || credit < needed + PARTS, "{twin} waits with credit");
        if self.reference.payers[&twin].paused && !waits {
            assert!(credit + PARTS >= needed, "{twin} goes on without credit");
            self.saw("resumptions");
            self.reference.resumed(twin);
        }
        assert_eq!(self.reference.payers[&twin].paused, waits, "{twin} waits");
    }

    /// A block; in busy times the agendas get nothing, and in some others little.
    fn block(&mut self, busy: bool) {
        let seconds = self.dice.below(59) + 1;
        let time = match self.dice.below(4) {
            _ if busy => 0,
            0 => 2_000_000_000,
            _ => u64::MAX,
        };
        self.reference.seconds_pass(seconds);
        let timestamp_ms = price_clock().stepped_at_ms + seconds * 1_000;
        block_with(timestamp_ms, Weight::from_parts(time, u64::MAX));
        self.served();
        let served = Served::take();
        for (_, deadline) in served {
            if let Deadline::Eviction(twin) = deadline {
                self.evict(twin);
            }
        }
    }

    /// What the agenda has done to payers is a change by others.
    fn served(&mut self) {
        // Who is in grace may go on, because the price has moved, or end it because nothing runs.
        let resumed = PAYERS.into_iter().filter(|twin| !Payers::<Test>::get(twin).paused);
        let resumed = resumed.filter(|twin| self.reference.payers[twin].paused).collect::<Vec<_>>();
        let touched: Vec<TwinId> = System::events()
            .iter()
            .filter_map(|record| match record.event {
                RuntimeEvent::Billing(
                    Event::Refilled { twin, .. }
                    | Event::GraceBegan { twin, .. }
                    | Event::GraceEnded { twin },
                ) => Some(twin),
                _ => None,
            })
            .collect();
        self.hear();
        for twin in touched.into_iter().chain(resumed) {
            self.reference.changed(twin, ChangedBy::Others);
            self.resume_with_the_ledger(twin);
        }
    }

    fn evict(&mut self, twin: TwinId) {
        for id in self.reference.running(twin) {
            if Billing::is_exhausted(twin) {
                self.stop(id, Outcome::Served);
            }
        }
    }

    fn stop(&mut self, id: u64, outcome: Outcome) {
        let RefContract { payer: twin, rates, .. } = self.reference.contracts[&id].clone();
        let factor = self.reference.payers[&twin].factor;
        let silence = self.silence();
        let ledger = || Billing::end_charge(id, outcome);
        let mut closed = None;
        self.change(twin, ChangedBy::Others, ledger, |reference, account| {
            closed = Some(account);
            match outcome {
                Outcome::NotDelivered => {
                    reference.give_back(id, reference.contracts[&id].capacity());
                    // Used traffic stays paid, and earns no farmer.
                    reference.unfarmed += reference.contracts[&id].traffic_uncollected;
                    reference.contract(id).uncollected = [0; 2];
                }
                _ => reference.give_back_silence(id, silence),
            }
            let contract = reference.contract(id);
            (contract.running, contract.rates, contract.proposal) = (false, Rates::ZERO, None);
            // What is left of its traffic comes back.
            reference.payer(twin).credit += reference.contracts[&id].traffic_paid;
        });
        let account = closed.unwrap();
        let mut charge = account.accrual.charged;
        let contract = RefContract { rates, ..self.reference.contracts.remove(&id).unwrap() };
        assert_near(charge.tft, contract.charged, "a closed contract was charged");
        self.reference.collected(contract.uncollected);
        if matches!(outcome, Outcome::EndedByOwner { .. }) {
            self.saw("minimum charges");
            // What the ledger says in USD is an estimate where credit ended.
            let paid_usd = charge.usd.saturating_sub(account.apart_usd);
            self.change(
                twin,
                ChangedBy::Others,
                || Some(Billing::charge_minimum(id, &account, rates, factor as u16, 0)),
                |reference, all| {
                    let stretch = stretch_of(MIN_CHARGE_MS, reference.price);
                    let [shared, extra] = contract.cost(stretch, factor);
                    let price = reference.price;
                    let payer = reference.payer(twin);
                    let paid = paid_usd * USD_IN_MS * PRICES_MULTIPLE / u128::from(price);
                    let missing = (shared + extra).saturating_sub(paid).min(payer.credit);
                    payer.credit -= missing;
                    reference.unfarmed += missing;
                    assert_near(all.tft, contract.charged + missing, "the minimum charge");
                    charge = all;
                },
            );
        }
        let months = Billing::bill(id);
        let billed = months.iter().fold(Charge::default(), |sum, month| sum.plus(&month.charge));
        assert_eq!(billed, charge, "a bill isn't what a closed contract was charged");
    }

    fn step(&mut self) {
        let twin = PAYERS[self.dice.below(2) as usize];
        let open: Vec<u64> = self.reference.contracts.keys().copied().collect();
        let chosen = self.dice.pick(&open);
        match (self.dice.below(24), chosen) {
            (0..=1, _) => {
                let amount = self.amount_to_deposit(twin);
                let by = if self.dice.below(2) == 0 { ChangedBy::Owner } else { ChangedBy::Others };
                self.deposit(twin, by, amount);
            }
            (2 | 19, _) => self.withdraw(twin),
            (3..=5, _) if open.len() < 5 => self.start(twin),
            (6, Some(id)) => {
                let outcomes = [
                    Outcome::NotDelivered,
                    Outcome::Served,
                    Outcome::EndedByOwner { reserved_ms: 0 },
                    Outcome::Served,
                ];
                let outcome = outcomes[self.dice.below(4) as usize];
                self.stop(id, outcome);
            }
            (7..=8, Some(id)) => {
                let rates = self.rates();
                self.propose(id, rates, rates);
                self.accept(id, 0);
            }
            (9, _) => {
                let price = PRICES[self.dice.below(PRICES.len() as u64) as usize];
                set_price(price);
                self.reference.price = price;
                System::reset_events();
            }
            (10, _) => self.fall_silent_or_return(),
            (11, Some(id)) => self.suspend_or_resume(id),
            (12..=13, Some(id)) => self.collect(id),
            (14, _) => {
                for payee in [Payee::Farm(FARM), Payee::Foundation, Payee::Staking] {
                    let _ = Billing::pay_out(RuntimeOrigin::signed(BOB), payee);
                }
            }
            (15, _) => {
                let often = self.dice.below(4);
                for _ in 0..often {
                    let settle = || Some(Billing::change_payer(twin, ChangedBy::Others, |_| ()));
                    self.change(twin, ChangedBy::Others, settle, |_, ()| ());
                }
            }
            (20..=22, Some(id)) => self.propose_or_answer(id),
            (16, Some(id)) => self.buy_traffic(id),
            (17, Some(id)) => self.use_traffic(id),
            (18, _) => self.limit_and_refill(twin),
            _ => {
                let poke = || Billing::poke(RuntimeOrigin::signed(twin.into()), twin).ok();
                self.change(twin, ChangedBy::Others, poke, |_, ()| ());
            }
        }
    }

    fn withdraw(&mut self, twin: TwinId) {
        let amount = self.amount_to_withdraw(twin);
        self.change(
            twin,
            ChangedBy::Owner,
            || Billing::withdraw(RuntimeOrigin::signed(twin.into()), amount).ok(),
            |reference, ()| {
                let payer = reference.payer(twin);
                payer.credit = payer.credit.saturating_sub(amount * PARTS);
            },
        );
    }

    /// The node, which is silent from now on or until now.
    fn fall_silent_or_return(&mut self) {
        match self.silent.take() {
            None => {
                SilentSince::set(Some(Clock::now().clock));
                self.silent = Some(self.reference.now());
            }
            Some(since) => {
                let from = SilentSince::take().unwrap_or_default();
                LastOutage::set(ClockSpan { from, to: Clock::now().clock });
                self.outage = (since, self.reference.now());
            }
        }
    }

    fn collect(&mut self, id: u64) {
        if Billing::collect(RuntimeOrigin::signed(BOB), id).is_ok() {
            self.saw("collections");
            let contract = self.reference.contract(id);
            contract.traffic_uncollected = 0;
            let collected = core::mem::take(&mut contract.uncollected);
            self.reference.collected(collected);
        }
        System::reset_events();
    }

    fn limit_and_refill(&mut self, twin: TwinId) {
        let owner = RuntimeOrigin::signed(twin.into());
        let refill_per_30_days = self.dice.of_any_size(46).into();
        let limits = Limits { max_extra_fee: u64::MAX, refill_per_30_days, ..NO_LIMITS };
        let set = || Billing::set_limits(owner.clone(), limits).ok();
        self.change(twin, ChangedBy::Owner, set, |_, ()| ());
        let refill = (self.dice.below(4) > 0).then_some(AutoRefill { hours: 24 });
        let set = || Billing::set_auto_refill(owner, refill).ok();
        self.change(twin, ChangedBy::Owner, set, |_, ()| ());
    }

    /// What `minutes` of all that runs cost, in units.
    fn minutes(&self, twin: TwinId, minutes: u64) -> u128 {
        let stretch = stretch_of(u128::from(minutes) * 60_000, self.reference.price);
        self.reference.cost_of(twin, stretch) / PARTS
    }

    /// Any amount, or one that doesn't last long.
    fn amount_to_deposit(&mut self, twin: TwinId) -> u128 {
        let minutes = self.dice.below(120);
        match self.dice.below(6) {
            0 => u128::from(self.dice.of_any_size(44)) + ED,
            _ => self.minutes(twin, minutes) + ED,
        }
    }

    /// Any amount, or all but little more than must stay.
    fn amount_to_withdraw(&mut self, twin: TwinId) -> u128 {
        let minutes = 60 + self.dice.below(15);
        match self.dice.below(3) {
            0 => u128::from(self.dice.of_any_size(44)),
            _ => {
                let payer = &self.reference.payers[&twin];
                let must_stay = self.minutes(twin, minutes) * FULL / payer.factor;
                (payer.credit / PARTS).saturating_sub(must_stay)
            }
        }
    }

    fn rates(&mut self) -> Rates {
        let extra = if self.dice.below(3) == 0 { self.dice.of_any_size(34) } else { 0 };
        Rates { usd: self.dice.of_any_size(36), extra }
    }

    fn deposit(&mut self, twin: TwinId, by: ChangedBy, amount: u128) {
        let other = PAYERS[(twin % 2) as usize];
        let from = if by == ChangedBy::Owner { twin } else { other };
        let deposit = || Billing::deposit(RuntimeOrigin::signed(from.into()), twin, amount).ok();
        self.change(twin, by, deposit, |reference, ()| {
            reference.payer(twin).credit += amount * PARTS;
        });
    }

    fn start(&mut self, twin: TwinId) {
        let rates = self.rates();
        if Billing::ensure_affordable(twin, rates).is_ok() {
            self.start_at(twin, rates);
        }
    }

    fn start_at(&mut self, twin: TwinId, rates: Rates) {
        let node = self.dice.below(2) as u32 + 1;
        self.last_contract += 1;
        let id = self.last_contract;
        let parties = Parties { node: Some(node), ..parties(twin, FARM) };
        let ledger = || Some(begin(id, parties, rates));
        // Its owner opens it, and committed rates count as if they were charged already.
        self.change(twin, ChangedBy::Owner, ledger, |reference, ()| {
            let contract = RefContract {
                payer: twin,
                rates,
                node,
                running: true,
                running_since: reference.now(),
                uncollected: [0; 2],
                charged: 0,
                proposal: None,
                earlier: (rates, reference.now()),
                traffic: 0,
                traffic_paid: 0,
                traffic_uncollected: 0,
            };
            reference.contracts.insert(id, contract);
        });
    }

    /// Proposes other rates, in the place of an earlier proposal.
    fn propose(&mut self, id: u64, rates: Rates, reserved: Rates) {
        self.reject(id, None);
        let RefContract { payer: twin, rates: old, .. } = self.reference.contracts[&id];
        let more = reserved.at_least(&rates).beyond(&old);
        let ledger = || Billing::propose(id, ContractPrice::plain(rates), reserved).ok();
        let propose = |reference: &mut Reference, ()| reference.contract(id).proposal = Some((rates, more));
        if more != Rates::ZERO {
            self.change(twin, ChangedBy::Owner, ledger, propose);
        } else {
            // The payer's record doesn't change.
            assert!(ledger().is_some(), "less is always affordable");
            System::reset_events();
            propose(&mut self.reference, ());
        }
    }

    fn accept(&mut self, id: u64, reserved_ms: u64) {
        let RefContract { payer: twin, proposal, .. } = self.reference.contracts[&id];
        if proposal.is_none() {
            return;
        }
        let unfarmed = self.reference.unfarmed;
        let ledger = || Some(Billing::accept(id, reserved_ms));
        self.change(twin, ChangedBy::Others, ledger, |reference, ()| reference.accept(id, reserved_ms));
        if self.reference.unfarmed > unfarmed {
            self.saw("reservations paid");
        }
    }

    fn reject(&mut self, id: u64, reserved_ms: Option<u64>) {
        let RefContract { payer: twin, proposal, .. } = self.reference.contracts[&id];
        if proposal.is_some() {
            let ledger = || Some(Billing::reject(id, reserved_ms));
            self.change(twin, ChangedBy::Others, ledger, |reference, ()| reference.reject(id, reserved_ms));
        }
    }

    /// Proposes lower rates that reserve more for a while, or the node answers on those that are proposed.
    fn propose_or_answer(&mut self, id: u64) {
        let RefContract { rates, proposal, .. } = self.reference.contracts[&id];
        let reserved_ms = self.dice.below(HOUR_MS);
        match (proposal, self.dice.below(3)) {
            (None, reserved) => {
                let usd = self.dice.below(rates.usd.saturating_add(1));
                let both = Rates { usd: rates.usd.saturating_add(reserved * usd), ..rates };
                self.propose(id, Rates { usd, ..rates }, both);
            }
            (Some(_), 0) => self.accept(id, reserved_ms),
            (Some(_), 1) => self.reject(id, Some(reserved_ms)),
            (Some(_), _) => self.reject(id, None),
        }
    }

    /// Its node falls silent or is back, as the sweep sees it; also where it came back before the sweep.
    fn suspend_or_resume(&mut self, id: u64) {
        let RefContract { payer: twin, running, running_since, .. } = self.reference.contracts[&id];
        let silence = self.silence();
        let suspends = running && (self.silent.is_some() || running_since >= silence.1);
        let ledger = || Some(if suspends { Billing::suspend(id) } else { Billing::start(id, 0) });
        self.change(twin, ChangedBy::Others, ledger, |reference, ()| {
            reference.give_back_silence(id, silence);
            let now = reference.now();
            let contract = reference.contract(id);
            contract.running = !suspends;
            if !suspends {
                (contract.running_since, contract.earlier) = (now, (contract.rates, now));
            }
        });
    }

    fn buy_traffic(&mut self, id: u64) {
        let (twin, gb) = (self.reference.contracts[&id].payer, self.dice.of_any_size(10) as u32 + 1);
        let ledger = || <Billing as Ledger>::buy_traffic(id, gb).ok();
        let before = Allowances::<Test>::get(id).unwrap_or_default();
        self.change(twin, ChangedBy::Owner, ledger, |reference, ()| {
            let after = Allowances::<Test>::get(id).unwrap_or_default();
            let usd = u128::from(gb) * 15_000 * FULL;
            assert_eq!(after.usd - before.usd, usd);
            let tft = usd * 10_000 * (PARTS / u128::from(reference.price));
            let payer = reference.payer(twin);
            payer.credit = payer.credit.saturating_sub(tft);
            let contract = reference.contract(id);
            contract.traffic += u64::from(gb) * 1_000_000_000;
            contract.traffic_paid += tft;
        });
    }

    fn use_traffic(&mut self, id: u64) {
        let bytes = self.dice.of_any_size(40);
        let contract = self.reference.contracts.get_mut(&id).unwrap();
        let taken = bytes.min(contract.traffic);
        let paid = mul_div(contract.traffic_paid, taken.into(), u128::from(contract.traffic).max(1));
        contract.traffic -= taken;
        contract.traffic_paid -= paid;
        contract.traffic_uncollected += paid;
        contract.earn([paid, 0]);
        assert_eq!(Billing::use_traffic(id, bytes), taken);
        if taken > 0 {
            self.saw("traffic");
        }
        System::reset_events();
    }

    /// Both agree on every payer, every contract and on all together, to one unit.
    fn compare(&self) {
        for twin in PAYERS {
            let credit = Billing::settled_payer(twin).credit;
            assert_near(credit, self.reference.payers[&twin].credit, "credit");
        }
        for (id, contract) in &self.reference.contracts {
            assert_near(charged(*id), contract.charged, "charged");
        }
        let credit: ExactTft = PAYERS.into_iter().map(|twin| Billing::settled_payer(twin).credit).sum();
        let reference: u128 = PAYERS.into_iter().map(|twin| self.reference.payers[&twin].credit).sum();
        assert_near(credit, reference, "all credit");
        let paid =
            |payee, account| Payable::<Test>::get(payee) + ExactTft::from_whole(Balances::balance(&account));
        let farmer = paid(Payee::Farm(FARM), AccountId::from(100 + FARM));
        let others = paid(Payee::Foundation, FOUNDATION) + paid(Payee::Staking, STAKING);
        let [shared, extra] = self.reference.collected;
        assert_near(farmer, shared / 2 + extra, "the farmer's part");
        assert_near(farmer + others, shared + extra + self.reference.unfarmed, "all that was earned");
        // Whatever was paid in is somebody's: what rounding loses in a whole history is no unit.
        let dust = Billing::dust().expect("the pot covers everything");
        assert!(dust.whole() == 0, "a unit is lost: {dust:?}");
    }
}

/// The ledger's amount is the biller's, to one unit.
fn assert_near(ledger: ExactTft, parts: u128, what: &str) {
    // In 2⁻²⁰ of a unit, so that neither overflows.
    let (ledger, reference) = (ledger.raw() >> 44, mul_div(parts, 1 << 20, PARTS));
    assert!(ledger.abs_diff(reference) <= 1 << 20, "{what}: {ledger} isn't {reference}, in 2^-20 of a unit");
}

fn live_through(seed: u64) -> Seen {
    let mut seen = Seen::new();
    run(|| {
        let mut history = History::new(seed);
        PAYERS.into_iter().for_each(|twin| history.begin(twin));
        let steps = history.dice.below(80) + 20;
        for _ in 0..steps {
            history.step();
            let blocks = history.dice.below(12);
            let busy = history.dice.below(4) == 0;
            (0..blocks).for_each(|_| history.block(busy));
            history.compare();
        }
        seen = history.seen;
        if history.reference.refunds > 0 {
            seen.insert("refunds in silence", history.reference.refunds);
        }
    });
    seen
}

fn number_from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Lives through one history after the other. Whoever sees one fail learns which.
fn live_through_all(seeds: impl Iterator<Item = u64>) -> Seen {
    let mut all = Seen::new();
    for seed in seeds {
        match std::panic::catch_unwind(|| live_through(seed)) {
            Ok(seen) => seen.into_iter().for_each(|(what, times)| *all.entry(what).or_default() += times),
            Err(panic) => {
                eprintln!("history {seed}: run it alone with TFGRID_FIRST_HISTORY={seed} TFGRID_HISTORIES=1");
                std::panic::resume_unwind(panic);
            }
        }
    }
    all
}

/// As many as `TFGRID_HISTORIES` says, on all processors; whoever changes the ledger runs more of them.
#[test]
fn the_ledger_agrees_with_a_biller_that_ticks_every_second() {
    let first = number_from_environment("TFGRID_FIRST_HISTORY").unwrap_or(0);
    let histories = number_from_environment("TFGRID_HISTORIES").unwrap_or(400);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let all = std::thread::scope(|scope| {
        let start = |nth| {
            let seeds = (first..first + histories).skip(nth).step_by(threads);
            scope.spawn(move || live_through_all(seeds))
        };
        let running: Vec<_> = (0..threads).map(start).collect();
        let mut all = Seen::new();
        for thread in running {
            let seen = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            seen.into_iter().for_each(|(what, times)| *all.entry(what).or_default() += times);
        }
        all
    });
    println!("{histories} histories saw {all:?}");
    assert!(
        histories < 100 || HARDSHIPS.iter().all(|what| all.contains_key(what)),
        "too easy a life: {all:?}"
    );
}

#[test]
fn the_billers_clock_is_the_ledgers() {
    for price in PRICES {
        assert_eq!(PRICES_MULTIPLE % u128::from(price), 0);
        let biller = stretch_of(3_600_000, price);
        let exact = mul_div(biller, ONE, 360 * PRICES_MULTIPLE * FINE);
        assert_eq!(stretch(3_600_000, price).raw(), exact);
    }
}
