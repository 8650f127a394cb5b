// SPDX-License-Identifier: Apache-2.0

//! A workload from its JSON to its bill, on a grid that is gone afterwards.

use anyhow::{ensure, Context, Result};
use serde_json::Value;
use std::{
    process::ExitCode,
    time::{Duration, SystemTime},
};
use tfgrid_tests::{on_a_grid, page_of, text, tft_units, wait_for, Grid, Options, Steps, DEPOSIT, GREETING};

const GONE_LIMIT: Duration = Duration::from_secs(60);

struct Outcome {
    until_running: Duration,
    billed: String,
}

fn main() -> ExitCode {
    let steps = Steps::aloud();
    match on_a_grid("demo", Options::default(), &steps, |grid| story(grid, &steps)) {
        Ok(Outcome { until_running, billed }) => {
            let seconds = until_running.as_secs_f64();
            println!("demo: ok  submit→running {seconds:.1} s  billed {billed} TFT");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("demo: failed  {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn story(grid: &mut Grid, steps: &Steps) -> Result<Outcome> {
    let Grid { user, node, image, .. } = &*grid;
    let before = grid.footprint()?;
    let node = node.to_string();

    let submitted = steps.take("//Bob submits a contract with polkadot-js; the node deploys it", || {
        user.script("submit-contract.mjs", &["--node", &node, "--image", image, "--greeting", GREETING])
    })?;
    let contract = submitted["contract"].to_string();
    steps.note(format_args!("contract {contract}: {}", submitted["result"]));

    let page = steps.take("fetch the page", || page_of(&submitted["result"]["web"]))?;
    let until_running = since(&submitted["submitted_at"])?;
    page.lines().for_each(|line| steps.note(line));
    ensure!(page.starts_with(GREETING), "the page isn't the one of contract {contract}");

    let used = steps.take("the node reports what the contract uses", || {
        user.script("grid-state.mjs", &["usage", &contract])
    })?;
    steps.note(format_args!("{}; billed so far: {} TFT", used["usage"], text(&used["tft"])?));

    let cancelled = steps.take("//Bob cancels", || user.script("cancel-contract.mjs", &[&contract]))?;
    let billed = text(&cancelled["tft"])?.to_owned();
    steps.note(format_args!("billed in all: {billed} TFT"));

    let there = grid.footprint()?.beyond(&before);
    steps.take("container, volume, mount and network go", || {
        wait_for("the node to remove the workload", GONE_LIMIT, || {
            Ok(grid.footprint()?.beyond(&before).is_empty().then_some(()))
        })
    })?;
    there.iter().for_each(|line| steps.note(line));

    let back = steps.take("//Bob withdraws the rest of the credit", || user.script("withdraw.mjs", &[]))?;
    steps.note(format_args!("{} TFT", text(&back["tft"])?));
    let (billed_units, returned) = (tft_units(&cancelled["tft"])?, tft_units(&back["tft"])?);
    // Both leave out their fraction of the last place.
    ensure!(
        DEPOSIT.abs_diff(billed_units + returned) <= 1,
        "of {DEPOSIT} units of credit {billed_units} were billed and {returned} returned"
    );
    Ok(Outcome { until_running, billed })
}

fn since(unix_ms: &Value) -> Result<Duration> {
    let then = Duration::from_millis(unix_ms.as_u64().context("the script gave no time")?);
    Ok(SystemTime::UNIX_EPOCH.elapsed()?.saturating_sub(then))
}
