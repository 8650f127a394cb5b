// SPDX-License-Identifier: Apache-2.0

//! Takes a workload from its JSON to its bill, on a grid that is removed afterwards. With `--funds`, its
//! owner runs out of funds on the way.

use anyhow::{Result, bail, ensure};
use serde_json::Value;
use std::{env, process::ExitCode, time::Duration};
use tfgrid_tests::{
    DEPOSIT, Grid, Options, Steps, Tft, asks_for_help, on_a_grid, out_of_funds, units, wait_for,
};

const USED_WITHIN: Duration = Duration::from_secs(120);

const HELP: &str = "\
Takes a workload from its JSON to its bill, on a grid that is removed afterwards.

Usage: demo [--funds]

  --funds  the owner runs out of funds on the way, and goes on after a deposit";

fn main() -> ExitCode {
    if asks_for_help(HELP) {
        return ExitCode::SUCCESS;
    }
    match tell(&Steps::aloud()) {
        Ok(end) => {
            println!("demo: ok  {end}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("demo: failed  {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the story that the arguments choose; returns its summary.
fn tell(steps: &Steps) -> Result<String> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let story: fn(&Grid, &Steps) -> Result<String> = match arguments.as_slice() {
        [] => from_json_to_bill,
        [option] if option == "--funds" => from_no_funds_to_bill,
        _ => bail!("demo takes --funds at most: see demo --help"),
    };
    let options = Options { ignores_others: true, ..Options::default() };
    on_a_grid("demo", options, steps, |grid| story(grid, steps))
}

fn from_no_funds_to_bill(grid: &Grid, steps: &Steps) -> Result<String> {
    out_of_funds(grid, steps)?;
    Ok("paused without funds, resumed by a deposit, billed".into())
}

fn from_json_to_bill(grid: &Grid, steps: &Steps) -> Result<String> {
    let user = &grid.user;
    let before = grid.footprint()?;

    let site = steps
        .take("//Bob submits a contract with polkadot-js; the node deploys it", || grid.deploys_a_site())?;
    let contract = &site.contract;
    steps.note(format_args!("contract {contract}: {}", site.result));

    let page = steps.take("fetch the page", || site.page())?;
    let until_running = site.submitted_at.elapsed().unwrap_or(Duration::ZERO).as_secs_f64();
    page.lines().for_each(|line| steps.note(line));

    let used = steps.take("the node reports what the contract uses: `threebot show`", || {
        wait_for("the first report of use", USED_WITHIN, || {
            let shown = user.threebot(&["show", contract])?;
            Ok((!shown["usage"].is_null() && units(&shown["charged_tft_1e7"])? > 0).then_some(shown))
        })
    })?;
    steps.note(format_args!("{}; billed so far: {} TFT", used["usage"], tft(&used["charged_tft_1e7"])?));

    let there = grid.footprint()?.beyond(&before);
    let cancelled =
        steps.take("//Bob cancels: `threebot cancel`", || user.threebot(&["cancel", contract]))?;
    let billed = tft(&cancelled["contracts"][0]["charged_tft_1e7"])?;
    steps.note(format_args!("billed in all: {billed} TFT"));

    steps.take("the node removes container, volume, mount and network", || grid.until_clean(&before))?;
    there.iter().for_each(|line| steps.note(line));

    let back = steps.take("//Bob withdraws the rest of the credit: `threebot withdraw`", || {
        user.threebot(&["withdraw"])
    })?;
    let returned = tft(&back["amount_tft_1e7"])?;
    steps.note(format_args!("{returned} TFT"));
    // Both are rounded down to the last decimal.
    ensure!(
        (i128::try_from(DEPOSIT)? - billed.0 - returned.0).abs() <= 1,
        "of {DEPOSIT} units of credit {billed} TFT were billed and {returned} TFT returned"
    );
    Ok(format!("submit→running {until_running:.1} s  billed {billed} TFT"))
}

fn tft(amount: &Value) -> Result<Tft> {
    Ok(Tft(i128::try_from(units(amount)?)?))
}
