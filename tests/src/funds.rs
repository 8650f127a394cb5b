// SPDX-License-Identifier: Apache-2.0

use crate::{
    Footprint, Grid, Site, Steps,
    bill::{Bill, Tft},
    units, wait_for,
};
use anyhow::{Result, ensure};
use serde_json::Value;
use std::time::Duration;

const PAUSE_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const RESUME_LIMIT: Duration = Duration::from_secs(60);

/// Initial price on the development chain, in USD per TFT.
const USUAL_PRICE: &str = "0.05";
/// The lowest price that the chain accepts. Credit is used up fastest at it.
pub const LOW_PRICE: &str = "0.001";
/// Credit for an hour at this price lasts four seconds at the low one.
pub const HIGH_PRICE: &str = "1";

/// A contract runs out of funds, is paused by its node, resumes after a deposit and is billed. The price is
/// moved because that is the only way to credit that lasts for seconds: both a start and a withdrawal require
/// an hour's worth.
pub fn out_of_funds(grid: &Grid, steps: &Steps) -> Result<()> {
    let clean = grid.footprint()?;
    let begun = grid.chain.finalized()?.to_string();
    earn_grace_period(grid, steps, &clean)?;
    let site = steps.take("//Bob submits another; the node deploys it", || grid.deploys_a_site())?;
    let page = steps.take("fetch the page", || site.page())?;
    page.lines().for_each(|line| steps.note(line));

    run_out(grid, steps, &site)?;
    go_on(grid, steps, &site, &page)?;
    steps.take("//Bob cancels; the node removes everything", || grid.cancels(&site.contract, &clean))?;
    let bill = steps.take("//Bob reads the bill", || {
        let bill = Bill::read(&grid.user.script("bill.mjs", &["--since", &begun])?)?;
        bill.ensure_adds_up().map(|()| bill)
    })?;
    bill.to_string().lines().for_each(|line| steps.note(line));
    Ok(())
}

/// A grace period lasts as long as what was paid before would buy. The minimum charge of this contract buys
/// ten minutes at the low price, which is more than the story takes.
fn earn_grace_period(grid: &Grid, steps: &Steps, clean: &Footprint) -> Result<()> {
    steps.take(&format!("TFT falls to {LOW_PRICE} USD"), || set_price(grid, LOW_PRICE))?;
    steps.take("//Bob has a contract deployed and cancels it: ten minutes are paid", || {
        let site = grid.deploys_a_site()?;
        grid.cancels(&site.contract, clean)
    })
}

fn run_out(grid: &Grid, steps: &Steps, site: &Site) -> Result<()> {
    steps.take(&format!("TFT rises to {HIGH_PRICE} USD"), || set_price(grid, HIGH_PRICE))?;
    steps.take("//Bob withdraws all credit but an hour's", || grid.user.threebot(&["withdraw"]))?;
    let cost = steps.take(&format!("TFT falls to {LOW_PRICE} USD: the credit is used up"), || {
        set_price(grid, LOW_PRICE)?;
        wait_for("the credit to be used up", PAUSE_LIMIT, || {
            let shown = grid.user.threebot(&["show", &site.contract])?;
            (shown["state"] == "paused").then(|| units(&shown["charged_tft_1e7"])).transpose()
        })
    })?;
    let cost = Tft(i128::try_from(cost)?);
    steps.note(format_args!("contract {} is paused; it cost {cost} TFT", site.contract));
    steps.take("the node stops the machine and keeps its disk", || ensure_halted(grid, site))
}

fn go_on(grid: &Grid, steps: &Steps, site: &Site, page: &str) -> Result<()> {
    steps.take("//Bob deposits 10 TFT; the page is back, from the same disk", || {
        grid.user.threebot(&["deposit", "10"])?;
        wait_for("the node to start the machine again", RESUME_LIMIT, || {
            Ok((!machines(grid, site)?.is_empty()).then_some(()))
        })?;
        ensure!(site.page()? == page, "the page isn't the same as before");
        Ok(())
    })?;
    steps.take(&format!("TFT is back at {USUAL_PRICE} USD"), || set_price(grid, USUAL_PRICE))?;
    Ok(())
}

/// Lets the chain have another price of TFT.
pub fn set_price(grid: &Grid, usd: &str) -> Result<Value> {
    grid.farmer.script("set-price.mjs", &[usd])
}

/// Ids of the running machines of a site, one per line.
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
    ensure!(kept.iter().any(|line| line.starts_with("volume ") && line.ends_with(&disk)), "the disk is gone");
    Ok(())
}
