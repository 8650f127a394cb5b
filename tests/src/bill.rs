// SPDX-License-Identifier: Apache-2.0

use crate::text;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{fmt, iter::once};

/// A user's account and credit before and after, and the changes between, in units of 1e-7 TFT.
pub(crate) struct Bill {
    before: Amounts,
    lines: Vec<(String, Amounts)>,
    after: Amounts,
}

#[derive(Clone, Copy, Default)]
struct Amounts {
    account: i128,
    credit: i128,
}

impl Amounts {
    fn read(value: &Value) -> Result<Self> {
        let units = |name: &str| -> Result<i128> {
            let amount = text(&value[name]).with_context(|| format!("{name} of {value}"))?;
            amount.parse().with_context(|| format!("{amount:?} isn't an amount"))
        };
        Ok(Self { account: units("account_units")?, credit: units("credit_units")? })
    }
}

impl Bill {
    /// Parses the output of `bill.mjs`.
    pub(crate) fn read(value: &Value) -> Result<Self> {
        let lines = value["lines"].as_array().context("the bill has no lines")?;
        let line = |line: &Value| Ok((text(&line["what"])?.to_owned(), Amounts::read(line)?));
        Ok(Self {
            before: Amounts::read(&value["before"])?,
            lines: lines.iter().map(line).collect::<Result<_>>()?,
            after: Amounts::read(&value["after"])?,
        })
    }

    /// Fails unless the lines sum up to the change of the balances. Credit and charges have fractions of a
    /// unit that aren't printed, so each line may be off by less than one unit.
    pub(crate) fn ensure_adds_up(&self) -> Result<()> {
        let account: i128 = self.lines.iter().map(|(_, amounts)| amounts.account).sum();
        let credit: i128 = self.lines.iter().map(|(_, amounts)| amounts.credit).sum();
        let hidden = (self.after.credit - self.before.credit).abs_diff(credit);
        ensure!(
            self.after.account - self.before.account == account && hidden <= self.lines.len() as u128,
            "the bill doesn't add up:\n{self}"
        );
        Ok(())
    }
}

impl fmt::Display for Bill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:24} {:>20} {:>20}", "in TFT", "account", "credit")?;
        let lines = self.lines.iter().map(|(what, amounts)| (what.as_str(), amounts));
        let lines = once(("before", &self.before)).chain(lines).chain(once(("after", &self.after)));
        for (what, Amounts { account, credit }) in lines {
            writeln!(f, "{what:24} {:>20} {:>20}", Tft(*account), Tft(*credit))?;
        }
        Ok(())
    }
}

/// Formats units of 1e-7 TFT; zero is left blank.
pub struct Tft(pub i128);

impl fmt::Display for Tft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0.unsigned_abs() / 10_000_000, self.0.unsigned_abs() % 10_000_000);
        let sign = if self.0 < 0 { "-" } else { "" };
        f.pad(&if self.0 == 0 { String::new() } else { format!("{sign}{whole}.{rest:07}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bill(charged: &str) -> Bill {
        let amounts =
            |account: &str, credit: &str| json!({ "account_units": account, "credit_units": credit });
        let line = |what: &str, account: &str, credit: &str| {
            let mut line = amounts(account, credit);
            line["what"] = what.into();
            line
        };
        let bill = json!({
            "before": amounts("50", "0"),
            "lines": [line("deposit", "-20", "20"), line("contract 1", "0", charged)],
            "after": amounts("30", "7"),
        });
        Bill::read(&bill).unwrap()
    }

    #[test]
    fn a_bill_adds_up_but_for_the_fractions() {
        assert!(bill("-13").ensure_adds_up().is_ok());
        assert!(bill("-12").ensure_adds_up().is_ok());
        assert!(bill("-10").ensure_adds_up().is_err());
    }

    #[test]
    fn a_bill_is_a_table() {
        let shown = bill("-13").to_string();
        let lines: Vec<_> =
            shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[1], "before 0.0000050");
        assert_eq!(lines[2], "deposit -0.0000020 0.0000020");
        assert_eq!(lines[4], "after 0.0000030 0.0000007");
    }
}
