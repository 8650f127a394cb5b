// SPDX-License-Identifier: Apache-2.0

//! The story of `make funds`, and the deposit that a plan lacks.

use anyhow::{Result, ensure};
use std::process::Command;
use tfgrid_client::parse_suri;
use tfgrid_tests::{Grid, Person, Steps, binary, out_of_funds, units, with_a_yes};

pub fn a_deposit_resumes_a_contract_without_funds(grid: &mut Grid) -> Result<()> {
    out_of_funds(grid, &Steps::silent())?;
    grid.user.deposits()
}

/// The owner's own credit needs none.
pub fn a_deposit_for_somebody_else_needs_a_yes(grid: &mut Grid) -> Result<()> {
    let twin_of = |person: &Person| anyhow::Ok(person.threebot(&["balance"])?["twin"].to_string());
    let credit = || units(&grid.farmer.threebot(&["balance"])?["credit_tft_1e7"]);
    // Nobody can be asked here.
    let deposit = |twin: &str, yes: &[&str]| {
        anyhow::Ok(grid.user.command()?.args(["deposit", "1", "--twin", twin]).args(yes).output()?)
    };
    let (others, before) = (twin_of(&grid.farmer)?, credit()?);
    let refused = deposit(&others, &[])?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(2) && said.contains("you can't take it back"), "{said}");
    ensure!(credit()? == before, "something was deposited");
    ensure!(deposit(&others, &["--yes"])?.status.success() && credit()? > before, "nothing was deposited");
    ensure!(deposit(&twin_of(&grid.user)?, &[])?.status.success(), "the own twin needs a yes");
    Ok(())
}

/// On a terminal threebot asks; the answer is typed.
pub fn a_deposit_that_is_missing_is_made_with_the_call(grid: &mut Grid) -> Result<()> {
    const KEY: &str = "//poor";
    let poor = Person::new(KEY, &grid.chain.url(), grid.run().folder());
    grid.user.threebot(&["send", &parse_suri(KEY)?.account().to_string(), "30"])?;
    poor.threebot(&["twin", "create"])?;
    let threebot = binary("threebot")?;
    let line =
        format!("{} --chain {} --key {KEY} name reserve walk-in", threebot.display(), grid.chain.url());
    let output = with_a_yes(&mut Command::new("script"), &line)?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && said.contains("would be deposited with it"), "{said}");
    let listed = poor.threebot(&["ps"])?;
    ensure!(listed["contracts"].as_array().is_some_and(|contracts| contracts.len() == 1), "{listed}");
    ensure!(units(&poor.threebot(&["balance"])?["credit_tft_1e7"])? > 0, "nothing was deposited");
    poor.threebot(&["cancel", "--all"])?;
    Ok(())
}
