// SPDX-License-Identifier: Apache-2.0

//! The demo's story, told to nobody.

use anyhow::Result;
use tfgrid_tests::{Grid, Steps, out_of_funds};

pub fn a_contract_without_funds_is_paused_and_goes_on_after_a_deposit(grid: &mut Grid) -> Result<()> {
    out_of_funds(grid, &Steps::silent())?;
    grid.user.deposits()
}
