// SPDX-License-Identifier: Apache-2.0

//! The grid from other languages than Rust.

use anyhow::{Context, Result, ensure};
use std::path::Path;
use tfgrid_tests::{Grid, repository, units};

pub fn python_and_javascript_do_the_whole_round(grid: &mut Grid) -> Result<()> {
    let python = repository().join("tests/python/venv/async-substrate-interface/bin/python");
    for (program, script) in [(python.as_path(), "python/deploy.py"), (Path::new("node"), "js/deploy.mjs")] {
        let done = grid.user.example(program, script, &grid.image);
        let done = done.context("`make setup` installs the examples' libraries")?;
        ensure!(done["node"] == grid.node && done["result"]["web"]["ip"].is_string(), "{script}: {done}");
        ensure!(units(&done["total_tft_1e7"])? >= units(&done["billed_tft_1e7"])?, "{script}: {done}");
        let shown = grid.user.threebot(&["show", &done["contract"].to_string()])?;
        ensure!(shown["state"] == "closed" && shown["reason"] == "Cancelled", "{script}: {shown}");
    }
    Ok(())
}
