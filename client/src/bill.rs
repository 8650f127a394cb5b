// SPDX-License-Identifier: Apache-2.0
//! Bills: a contract's charges by month.
//!
//! The chain keeps the last 13 months of each contract, the charge since it last wrote them down, and the
//! sum of everything. A bill joins the three so that its lines sum up to the total exactly. While no month
//! has been dropped, the months are all that was written.

use tfgrid_primitives::{
    Balance, Charge, ContractId, UnixSeconds, UsdAmount, units::MONTH_MS, views::MONTHS_KEPT,
};

/// A billing month in seconds; months are counted since 1970.
const MONTH_SECONDS: u64 = MONTH_MS / 1_000;

/// A month's charge, as the chain keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booked {
    /// Months of 720 hours since 1970.
    pub month: u32,
    /// Exact, with fractions of a unit of TFT.
    pub charge: Charge,
}

/// A charge in whole units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// In 1e-10 USD.
    pub usd: UsdAmount,
    /// In 1e-7 TFT, rounded down.
    pub tft: Balance,
}

/// A contract's charges at one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charges {
    /// The kept months, in order.
    pub months: Vec<Booked>,
    /// The charge by the time the last month was written; `None` for a closed contract, whose months are
    /// complete.
    pub settled: Option<Charge>,
    /// The charge by now.
    pub total: Total,
    /// The block's time, in seconds since 1970.
    pub now: UnixSeconds,
}

/// The time that a line of a bill is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// All months before those that the chain keeps.
    Earlier,
    /// The month of 720 hours that begins at this second since 1970.
    MonthOf(UnixSeconds),
}

/// A line of a bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The time that was charged for.
    pub when: When,
    /// What was charged in that time, cut so that all lines sum up to the total.
    pub amount: Total,
}

/// A contract's bill. Its lines sum up to the total.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill {
    /// The contract's id.
    pub contract: ContractId,
    /// One for each time with a charge, the oldest first.
    pub lines: Vec<Line>,
    /// The sum of the lines.
    pub total: Total,
}

/// Why the chain's figures make no bill.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BillError {
    /// The months sum up to more than the charge, or to less although none was dropped.
    #[error(
        "contract {contract}: its months sum up to {months:?}, but it was charged {total:?}; were they \
         read at different blocks?"
    )]
    MonthsDiffer {
        /// The contract's id.
        contract: ContractId,
        /// The sum of the months.
        months: Total,
        /// The charge when the last of them was written, or by now.
        total: Total,
    },
    /// The months aren't in order.
    #[error("contract {contract}: month {month} comes after a later one")]
    Unordered {
        /// The contract's id.
        contract: ContractId,
        /// The month that is out of order.
        month: u32,
    },
}

impl Bill {
    /// The bill of these charges.
    ///
    /// # Errors
    /// If they contradict each other.
    pub fn new(contract: ContractId, charges: &Charges) -> Result<Self, BillError> {
        if let Some(pair) = charges.months.windows(2).find(|pair| pair[0].month >= pair[1].month) {
            return Err(BillError::Unordered { contract, month: pair[1].month });
        }
        let months = rounded(sum(charges.months.iter().map(|booked| booked.charge)));
        let written = charges.settled.map_or(charges.total, rounded);
        let dropped = charges.months.len() >= MONTHS_KEPT as usize;
        let fits = |months: Balance, total: Balance| months == total || dropped && months < total;
        let differ = |total| Err(BillError::MonthsDiffer { contract, months, total });
        if !fits(months.tft, written.tft) || !fits(months.usd, written.usd) {
            return differ(written);
        }
        if written.tft > charges.total.tft || written.usd > charges.total.usd {
            return differ(charges.total);
        }
        let earlier = less(written, months);
        let present = u32::try_from(charges.now / MONTH_SECONDS).unwrap_or(u32::MAX);
        Ok(Self { contract, lines: lines(charges, earlier, present), total: charges.total })
    }
}

/// The lines, cut from the rounded sums of the months so that fractions of a unit aren't lost: a fraction is
/// charged in the line in which the sum reaches a whole unit.
fn lines(charges: &Charges, earlier: Total, present: u32) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut push = |when, amount: Total| {
        if amount != Total::default() {
            lines.push(Line { when, amount });
        }
    };
    push(When::Earlier, earlier);
    let mut booked = Charge::default();
    let mut billed = earlier;
    let mut last = None;
    for Booked { month, charge } in &charges.months {
        booked = sum([booked, *charge]);
        let until = Total {
            tft: earlier.tft.saturating_add(booked.tft.whole()),
            usd: earlier.usd.saturating_add(booked.usd),
        };
        if let Some((month, amount)) = last.replace((*month, less(until, billed))) {
            push(when(month), amount);
        }
        billed = until;
    }
    // The chain will write the rest into the present month.
    let rest = less(charges.total, billed);
    match last {
        Some((month, amount)) if month >= present || rest == Total::default() => {
            push(when(month), more(amount, rest));
        }
        Some((month, amount)) => {
            push(when(month), amount);
            push(when(present), rest);
        }
        None => push(when(present), rest),
    }
    lines
}

fn when(month: u32) -> When {
    When::MonthOf(u64::from(month).saturating_mul(MONTH_SECONDS))
}

fn sum(charges: impl IntoIterator<Item = Charge>) -> Charge {
    charges.into_iter().fold(Charge::default(), |sum, charge| Charge {
        tft: sum.tft.saturating_add(charge.tft),
        usd: sum.usd.saturating_add(charge.usd),
    })
}

fn rounded(charge: Charge) -> Total {
    Total { tft: charge.tft.whole(), usd: charge.usd }
}

fn less(a: Total, b: Total) -> Total {
    Total { tft: a.tft.saturating_sub(b.tft), usd: a.usd.saturating_sub(b.usd) }
}

fn more(a: Total, b: Total) -> Total {
    Total { tft: a.tft.saturating_add(b.tft), usd: a.usd.saturating_add(b.usd) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_primitives::{
        Accrual, ExactTft, Payer, Rates, clock::stretch, ledger::Moment, units::HOUR_MS,
    };

    /// A charge of so many half units of TFT.
    fn halves(halves: u128, usd: UsdAmount) -> Charge {
        Charge { tft: ExactTft::from_whole(halves).scaled(1, 2), usd }
    }

    fn booked(month: u32, tft: Balance, usd: UsdAmount) -> Booked {
        Booked { month, charge: halves(2 * tft, usd) }
    }

    fn booked_half(month: u32) -> Booked {
        Booked { month, charge: halves(1, 1) }
    }

    fn total(tft: Balance, usd: UsdAmount) -> Total {
        Total { tft, usd }
    }

    fn charges(months: Vec<Booked>, settled: Option<Charge>, total: Total) -> Charges {
        Charges { months, settled, total, now: 700 * MONTH_SECONDS + 5 }
    }

    /// The bill's lines as (month, TFT, USD), and that they sum up.
    fn lines_of(charges: &Charges) -> Vec<(Option<u64>, Balance, UsdAmount)> {
        let bill = Bill::new(1, charges).unwrap();
        let sum = bill.lines.iter().fold(Total::default(), |sum, line| more(sum, line.amount));
        assert_eq!(sum, bill.total);
        let month = |when| match when {
            When::Earlier => None,
            When::MonthOf(start) => Some(start / MONTH_SECONDS),
        };
        bill.lines.iter().map(|line| (month(line.when), line.amount.tft, line.amount.usd)).collect()
    }

    #[test]
    fn unwritten_charges_belong_to_the_present_month() {
        let settled = halves(60, 300);
        let months = vec![booked(698, 10, 100), booked(699, 20, 200)];
        let open = charges(months.clone(), Some(settled), total(37, 370));
        assert_eq!(lines_of(&open), [(Some(698), 10, 100), (Some(699), 20, 200), (Some(700), 7, 70)]);
        let quiet = charges(months, Some(settled), total(30, 300));
        assert_eq!(lines_of(&quiet), [(Some(698), 10, 100), (Some(699), 20, 200)]);

        let written = vec![booked(700, 30, 300)];
        assert_eq!(lines_of(&charges(written, Some(settled), total(31, 310))), [(Some(700), 31, 310)]);
        let new = charges(vec![], Some(Charge::default()), total(1, 10));
        assert_eq!(lines_of(&new), [(Some(700), 1, 10)]);
    }

    #[test]
    fn fractions_are_billed_once_they_make_a_unit() {
        let settled = halves(3, 3);
        let months = [698, 699, 700].map(booked_half).to_vec();
        let open = charges(months, Some(settled), total(1, 3));
        assert_eq!(lines_of(&open), [(Some(698), 0, 1), (Some(699), 1, 1), (Some(700), 0, 1)]);
    }

    #[test]
    fn dropped_months_share_one_line() {
        let months: Vec<Booked> = (688..=700).map(|month| booked(month, 1, 10)).collect();
        let settled = halves(40, 200);
        let open = lines_of(&charges(months.clone(), Some(settled), total(21, 210)));
        assert_eq!((open[0], open[13]), ((None, 7, 70), (Some(700), 2, 20)));
        let closed = lines_of(&charges(months, None, total(20, 200)));
        assert_eq!((closed[0], closed[13], closed.len()), ((None, 7, 70), (Some(700), 1, 10), 14));
    }

    /// Sixteen months of charges, settled at odd times while the price moves.
    fn sixteen_months() -> Charges {
        let rates = Rates { usd: 103_750_001, extra: 7_919 };
        let mut payer = Payer { price_factor: 700, ..Payer::default() };
        let mut now = Moment::default();
        payer.change(now, |p| {
            p.credit = ExactTft::from_whole(1 << 60);
            p.charged.add(rates);
        });
        let mut accrual = Accrual::starting(payer.funded);
        let mut months: Vec<Booked> = Vec::new();
        let mut run = |payer: &mut Payer, ms: u64, price: u64| {
            now = Moment { clock: now.clock + stretch(ms, price), ms: now.ms + ms };
            payer.settle(now);
            now.ms / 1_000
        };
        for step in 0..100 {
            let seconds =
                run(&mut payer, HOUR_MS * (97 + step % 31) + 13 * step, 400_000 + step * 7_777 % 300_000);
            let before = accrual.charged;
            accrual.settle(rates, &payer.funded);
            let month = (seconds / MONTH_SECONDS) as u32;
            if months.last().is_none_or(|last| last.month < month) {
                months.push(booked(month, 0, 0));
            }
            let charge = &mut months.last_mut().unwrap().charge;
            *charge = charge.plus(&accrual.charged.minus(&before));
        }
        let now = run(&mut payer, 5 * HOUR_MS, 512_345);
        let charge = accrual.charge(rates, &payer.funded);
        let months = months.split_off(months.len() - 13);
        Charges { months, settled: Some(accrual.charged), total: rounded(charge), now }
    }

    #[test]
    fn a_bill_of_the_chains_own_ledger_is_exact() {
        let charges = sixteen_months();
        let lines = lines_of(&charges);
        assert_eq!((lines.len(), lines[0].0), (14, None));
        let last = charges.months.len() - 1;
        for (Booked { month, charge }, line) in charges.months[..last].iter().zip(&lines[1..]) {
            assert_eq!((line.0, line.2), (Some(u64::from(*month)), charge.usd));
            assert!(line.1.abs_diff(charge.tft.whole()) <= 1);
        }
        // The last five hours are in the last line.
        let present = charges.months[last].charge;
        assert!(lines[13].1 > present.tft.whole() && lines[13].2 > present.usd);
    }

    #[test]
    fn a_contract_that_was_never_charged_has_an_empty_bill() {
        let bill = Bill::new(7, &charges(vec![], None, Total::default())).unwrap();
        assert_eq!(bill, Bill { contract: 7, lines: vec![], total: Total::default() });
    }

    #[test]
    fn contradicting_figures_are_no_bill() {
        let excess = charges(vec![booked(700, 2, 20)], None, total(1, 20));
        let differ = |months, total| Err(BillError::MonthsDiffer { contract: 1, months, total });
        assert_eq!(Bill::new(1, &excess), differ(total(2, 20), total(1, 20)));
        let settled = halves(4, 19);
        let excess = charges(vec![booked(700, 2, 20)], Some(settled), total(3, 30));
        assert_eq!(Bill::new(1, &excess), differ(total(2, 20), total(2, 19)));
        let later = Some(halves(4, 20));
        let excess = charges(vec![booked(700, 2, 20)], later, total(1, 20));
        assert_eq!(Bill::new(1, &excess), differ(total(2, 20), total(1, 20)));
        // None of twelve months was dropped.
        let months: Vec<Booked> = (689..=700).map(|month| booked(month, 1, 10)).collect();
        let lacking = charges(months, None, total(13, 130));
        assert_eq!(Bill::new(1, &lacking), differ(total(12, 120), total(13, 130)));
        let unordered = charges(vec![booked(700, 1, 1), booked(699, 1, 1)], None, total(2, 2));
        assert_eq!(Bill::new(1, &unordered), Err(BillError::Unordered { contract: 1, month: 699 }));
    }
}
