// SPDX-License-Identifier: Apache-2.0

use crate::{text, wait_for, Grid, Site, Steps};
use anyhow::{ensure, Context, Result};
use serde_json::Value;
use std::{fmt, iter::once, time::Duration};

const STOP_LIMIT: Duration = Duration::from_secs(30);
const RESUME_LIMIT: Duration = Duration::from_secs(60);

/// What the development chain starts with, in USD per TFT.
const USUAL_PRICE: &str = "0.05";
/// The least that the chain believes: credit goes fastest.
const LOW_PRICE: &str = "0.001";
/// An hour of credit at this price lasts four seconds at the low one.
const HIGH_PRICE: &str = "1";

/// A contract runs out of funds, is paused by its node, goes on after a deposit and is billed. Seconds of
/// credit can't be had otherwise than by moves of the price: what starts and what stays after a withdrawal is an
/// hour's worth.
pub fn out_of_funds(grid: &Grid, steps: &Steps) -> Result<Bill> {
    let clean = grid.footprint()?;
    let begun = grid.user.script("grid-state.mjs", &["account"])?["block"].to_string();
    // From the start: a grace lasts no longer than what was paid at the price of its beginning.
    steps.take(&format!("TFT falls to {LOW_PRICE} USD"), || set_price(grid, LOW_PRICE))?;
    let site = steps.take("//Bob submits a contract; the node deploys it", || grid.deploys_a_site())?;
    let page = steps.take("fetch the page", || site.page())?;
    page.lines().for_each(|line| steps.note(line));

    steps.take(
        &format!("TFT rises to {HIGH_PRICE} USD; //Bob withdraws all credit but an hour's"),
        || {
            set_price(grid, HIGH_PRICE)?;
            grid.user.script("withdraw.mjs", &[])
        },
    )?;
    let paused = steps.take(&format!("TFT falls to {LOW_PRICE} USD: the credit is used up"), || {
        set_price(grid, LOW_PRICE)?;
        grid.user.script("grid-state.mjs", &["paused", &site.contract])
    })?;
    steps.note(format_args!(
        "contract {} is paused; billed so far: {} TFT",
        site.contract,
        text(&paused["tft"])?
    ));
    steps.take("the node stops the machine and keeps its disk", || ensure_halted(grid, &site))?;

    steps.take("//Bob deposits 10 TFT; the page is back, from the same disk", || {
        grid.user.threebot(&["deposit", "10"])?;
        wait_for("the node to start the machine again", RESUME_LIMIT, || {
            Ok((!machines(grid, &site)?.is_empty()).then_some(()))
        })?;
        ensure!(site.page()? == page, "the page isn't the same as before");
        Ok(())
    })?;
    steps.take(&format!("TFT is back at {USUAL_PRICE} USD"), || set_price(grid, USUAL_PRICE))?;

    steps.take("//Bob cancels; the node removes everything", || grid.cancels(&site.contract, &clean))?;
    let bill = steps.take("//Bob reads the bill", || {
        let bill = Bill::read(&grid.user.script("bill.mjs", &["--since", &begun])?)?;
        bill.ensure_adds_up()?;
        Ok(bill)
    })?;
    bill.to_string().lines().for_each(|line| steps.note(line));
    Ok(bill)
}

fn set_price(grid: &Grid, usd: &str) -> Result<Value> {
    grid.farmer.script("set-price.mjs", &[usd])
}

/// The running machines of a site.
fn machines(grid: &Grid, site: &Site) -> Result<String> {
    let name = format!("name=-{}-", site.contract);
    grid.engine.docker(&["ps", "--quiet", "--filter", &name])
}

fn ensure_halted(grid: &Grid, site: &Site) -> Result<()> {
    wait_for("the node to stop the machine", STOP_LIMIT, || {
        Ok(machines(grid, site)?.is_empty().then_some(()))
    })?;
    let disk = format!("/{}-data", site.contract);
    let kept = grid.footprint()?.beyond(&Default::default());
    ensure!(kept.iter().any(|line| line.starts_with("file ") && line.contains(&disk)), "the disk is gone");
    Ok(())
}

/// What a user's account and credit were, what changed them, and what they are, in units of 1e-7 TFT.
pub struct Bill {
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
            amount.parse().with_context(|| format!("{amount:?} is no amount"))
        };
        Ok(Self { account: units("account_units")?, credit: units("credit_units")? })
    }
}

impl Bill {
    fn read(value: &Value) -> Result<Self> {
        let lines = value["lines"].as_array().context("the bill has no lines")?;
        let line = |line: &Value| Ok((text(&line["what"])?.to_owned(), Amounts::read(line)?));
        Ok(Self {
            before: Amounts::read(&value["before"])?,
            lines: lines.iter().map(line).collect::<Result<_>>()?,
            after: Amounts::read(&value["after"])?,
        })
    }

    /// Fails unless the lines are the change of the balances. Credit and what is charged are kept to
    /// fractions of a unit and told without: each line may hide less than one.
    fn ensure_adds_up(&self) -> Result<()> {
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

/// Units as people write them; nothing where there are none.
struct Tft(i128);

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
