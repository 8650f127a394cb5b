// SPDX-License-Identifier: Apache-2.0

//! What users see of a grid, on one grid: `SCENARIO=TEXT` chooses scenarios by their names.

mod command_line;
mod deployment;
mod funds;
mod refusals;
mod upgrade;
mod views;

use anyhow::Result;
use tfgrid_tests::{on_one_grid, scenarios};

#[test]
fn scenarios_on_one_grid() -> Result<()> {
    on_one_grid(
        "shared",
        &scenarios![
            deployment::a_contract_runs_is_billed_and_leaves_nothing,
            command_line::people_deploy_look_and_cancel_from_the_command_line,
            refusals::nodes_and_chain_refuse_what_is_wrong,
            funds::a_contract_without_funds_is_paused_and_goes_on_after_a_deposit,
            // The last: the chain isn't the same any more.
            upgrade::contracts_and_agent_live_through_a_new_runtime,
        ],
    )
}
