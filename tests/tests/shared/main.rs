// SPDX-License-Identifier: Apache-2.0

//! Scenarios that share a grid. `SCENARIO=TEXT` selects those whose names contain the text.

mod blocks;
mod command_line;
mod deployment;
mod funds;
mod gateway;
mod peer;
mod peer_flood;
mod peer_nat;
mod refusals;
mod sealed;
mod teams;
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
            deployment::a_volume_lies_on_hard_disks,
            command_line::people_deploy_list_and_cancel,
            command_line::a_stored_key_signs_and_its_calls_are_found,
            teams::teams_sign_as_their_page_says,
            command_line::farmers_see_and_set_all_of_their_own,
            command_line::applications_go_on_where_they_stopped,
            sealed::secrets_are_sealed_from_the_file_to_the_machine,
            sealed::output_is_sent_to_an_address_that_is_secret,
            peer::owners_see_enter_and_reach_their_machines,
            peer::the_sdk_example_reaches_a_machine,
            peer::a_relay_carries_what_no_packet_reaches,
            peer::a_stopped_machine_stays_stopped,
            peer::signals_reach_the_program,
            peer::strangers_and_removed_devices_get_nothing,
            peer_flood::floods_take_nothing_from_an_owner,
            peer_nat::owners_behind_routers_reach_their_machines,
            gateway::a_page_is_published_under_a_name,
            refusals::nodes_and_chain_refuse_what_is_wrong,
            funds::a_deposit_that_is_missing_is_made_with_the_call,
            funds::a_deposit_resumes_a_contract_without_funds,
            blocks::every_library_decodes_blocks_with_reports,
            // Last, since it changes the chain.
            upgrade::contracts_and_agent_survive_a_new_runtime,
        ],
    )
}
