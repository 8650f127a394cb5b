// SPDX-License-Identifier: Apache-2.0
//! What a contract was charged, as a bill. The chain keeps the last 13 months of each contract, what it
//! has charged since it last wrote them down, and the sum of everything; a bill puts the three together
//! so that its lines sum up to the total to the unit. While no month has been dropped, the months are all
//! that was written.

use tfgrid_primitives::{
    Balance, Charge, ContractId, UnixSeconds, UsdAmount, fixed::whole, units::HOUR_MS, views::MONTHS_KEPT,
};

/// A billing month: 720 hours, counted since 1970.
const MONTH_SECONDS: u64 = 720 * HOUR_MS / 1_000;

/// What the chain has written down for a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booked {
    /// Months of 720 hours since 1970.
    pub month: u32,
    /// What was charged in it.
    pub charge: Charge,
}

/// What a contract was charged in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// In 1e-10 USD.
    pub usd: UsdAmount,
    /// In 1e-7 TFT, fraction left out.
    pub tft: Balance,
}

/// What the chain knows of a contract's charges, all at the same block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charges {
    /// By month, in order.
    pub months: Vec<Booked>,
    /// Up to when the months are written: for an open contract, what it was charged by then.
    pub settled: Option<Charge>,
    /// Up to now.
    pub total: Total,
    /// The block's time, in seconds since 1970.
    pub now: UnixSeconds,
}

/// When a line of a bill was charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before the months that the chain keeps, where it keeps as many as it can.
    Earlier,
    /// In the month of 720 hours that begins then, in seconds since 1970.
    MonthOf(UnixSeconds),
}

/// A line of a bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub when: When,
    /// How much.
    pub amount: Total,
}

/// A contract's bill. Its lines sum up to the total.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill {
    /// Whose.
    pub contract: ContractId,
    /// In order.
    pub lines: Vec<Line>,
    /// Of all lines.
    pub total: Total,
}

/// Why the chain's figures make no bill.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BillError {
    /// The months come to more than the contract was charged, or to less although none was dropped.
    #[error(
        "contract {contract}: its months come to {months:?}, and it was charged {total:?}; were they \
         read at different blocks?"
    )]
    MonthsDiffer {
        /// Which contract.
        contract: ContractId,
        /// What the months come to.
        months: Total,
        /// What it was charged when the last of them was written, or in all.
        total: Total,
    },
    /// The months aren't in order.
    #[error("contract {contract}: month {month} comes after a later one")]
    Unordered {
        /// Which contract.
        contract: ContractId,
        /// The month that is out of order.
        month: u32,
    },
}

impl Bill {
    /// The bill of these charges.
    ///
    /// # Errors
    /// Where they contradict each other.
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

/// Fractions of a unit go to the line in which their sum becomes whole: each line ends where the sum of
/// all up to it does.
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
            tft: earlier.tft.saturating_add(whole(booked.tft)),
            usd: earlier.usd.saturating_add(booked.usd),
        };
        if let Some((month, amount)) = last.replace((*month, less(until, billed))) {
            push(when(month), amount);
        }
        billed = until;
    }
    // What isn't written down yet will be written into the present month.
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
    Total { tft: whole(charge.tft), usd: charge.usd }
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
        Accrual, Payer, Rates,
        clock::stretch,
        fixed::{ONE, Q64, from_whole},
        ledger::Moment,
    };

    const HALF: Q64 = ONE / 2;

    fn booked(month: u32, tft: Q64, usd: UsdAmount) -> Booked {
        Booked { month, charge: Charge { tft, usd } }
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
    fn what_runs_since_the_last_month_was_written_is_the_present_months() {
        let settled = Charge { tft: 30 * ONE, usd: 300 };
        let months = vec![booked(698, 10 * ONE, 100), booked(699, 20 * ONE, 200)];
        let open = charges(months.clone(), Some(settled), total(37, 370));
        assert_eq!(lines_of(&open), [(Some(698), 10, 100), (Some(699), 20, 200), (Some(700), 7, 70)]);
        let quiet = charges(months, Some(settled), total(30, 300));
        assert_eq!(lines_of(&quiet), [(Some(698), 10, 100), (Some(699), 20, 200)]);

        let written = vec![booked(700, 30 * ONE, 300)];
        assert_eq!(lines_of(&charges(written, Some(settled), total(31, 310))), [(Some(700), 31, 310)]);
        let new = charges(vec![], Some(Charge::default()), total(1, 10));
        assert_eq!(lines_of(&new), [(Some(700), 1, 10)]);
    }

    #[test]
    fn fractions_are_billed_once_they_make_a_unit() {
        let settled = Charge { tft: 3 * HALF, usd: 3 };
        let months = vec![booked(698, HALF, 1), booked(699, HALF, 1), booked(700, HALF, 1)];
        let open = charges(months, Some(settled), total(1, 3));
        assert_eq!(lines_of(&open), [(Some(698), 0, 1), (Some(699), 1, 1), (Some(700), 0, 1)]);
    }

    #[test]
    fn what_is_older_than_the_months_that_are_kept_has_a_line_of_its_own() {
        let months: Vec<Booked> = (688..=700).map(|month| booked(month, ONE, 10)).collect();
        let settled = Charge { tft: 20 * ONE, usd: 200 };
        let open = lines_of(&charges(months.clone(), Some(settled), total(21, 210)));
        assert_eq!((open[0], open[13]), ((None, 7, 70), (Some(700), 2, 20)));
        let closed = lines_of(&charges(months, None, total(20, 200)));
        assert_eq!((closed[0], closed[13], closed.len()), ((None, 7, 70), (Some(700), 1, 10), 14));
    }

    /// What the chain writes down of sixteen months, settled at odd times while the price moves.
    fn sixteen_months() -> Charges {
        let rates = Rates { usd: 103_750_001, extra: 7_919 };
        let mut payer = Payer { speed: 700, ..Payer::default() };
        let mut now = Moment { clock: 0, ms: 0 };
        payer.change(now, |p| {
            p.credit = from_whole(1 << 60);
            p.add(rates);
        });
        let mut accrual = Accrual::start(rates, payer.funded);
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
            accrual.claim(&payer.funded);
            let month = (seconds / MONTH_SECONDS) as u32;
            if months.last().is_none_or(|last| last.month < month) {
                months.push(booked(month, 0, 0));
            }
            let charge = &mut months.last_mut().unwrap().charge;
            charge.tft += accrual.charged.tft - before.tft;
            charge.usd += accrual.charged.usd - before.usd;
        }
        let now = run(&mut payer, 5 * HOUR_MS, 512_345);
        let charge = accrual.charge(&payer.funded);
        let months = months.split_off(months.len() - 13);
        Charges { months, settled: Some(accrual.charged), total: rounded(charge), now }
    }

    #[test]
    fn a_bill_of_what_the_chains_ledger_records_is_exact() {
        let charges = sixteen_months();
        let lines = lines_of(&charges);
        assert_eq!((lines.len(), lines[0].0), (14, None));
        let last = charges.months.len() - 1;
        for (Booked { month, charge }, line) in charges.months[..last].iter().zip(&lines[1..]) {
            assert_eq!((line.0, line.2), (Some(u64::from(*month)), charge.usd));
            assert!(line.1.abs_diff(whole(charge.tft)) <= 1);
        }
        // The last five hours are in the last line.
        let present = charges.months[last].charge;
        assert!(lines[13].1 > whole(present.tft) && lines[13].2 > present.usd);
    }

    #[test]
    fn a_contract_that_was_never_charged_has_an_empty_bill() {
        let bill = Bill::new(7, &charges(vec![], None, Total::default())).unwrap();
        assert_eq!(bill, Bill { contract: 7, lines: vec![], total: Total::default() });
    }

    #[test]
    fn figures_that_contradict_each_other_are_no_bill() {
        let excess = charges(vec![booked(700, 2 * ONE, 20)], None, total(1, 20));
        let differ = |months, total| Err(BillError::MonthsDiffer { contract: 1, months, total });
        assert_eq!(Bill::new(1, &excess), differ(total(2, 20), total(1, 20)));
        let settled = Charge { tft: 2 * ONE, usd: 19 };
        let excess = charges(vec![booked(700, 2 * ONE, 20)], Some(settled), total(3, 30));
        assert_eq!(Bill::new(1, &excess), differ(total(2, 20), total(2, 19)));
        let later = Some(Charge { tft: 2 * ONE, usd: 20 });
        let excess = charges(vec![booked(700, 2 * ONE, 20)], later, total(1, 20));
        assert_eq!(Bill::new(1, &excess), differ(total(2, 20), total(1, 20)));
        // None of twelve months was dropped.
        let months: Vec<Booked> = (689..=700).map(|month| booked(month, ONE, 10)).collect();
        let lacking = charges(months, None, total(13, 130));
        assert_eq!(Bill::new(1, &lacking), differ(total(12, 120), total(13, 130)));
        let unordered = charges(vec![booked(700, ONE, 1), booked(699, ONE, 1)], None, total(2, 2));
        assert_eq!(Bill::new(1, &unordered), Err(BillError::Unordered { contract: 1, month: 699 }));
    }
}
