// SPDX-License-Identifier: Apache-2.0

//! The story of `make funds`.

use anyhow::Result;
use tfgrid_tests::{Grid, Steps, out_of_funds};

pub fn a_deposit_resumes_a_contract_without_funds(grid: &mut Grid) -> Result<()> {
    out_of_funds(grid, &Steps::silent())?;
    grid.user.deposits()
}
