// SPDX-License-Identifier: Apache-2.0

//! Scenarios on three shared grids. Each grid is a test; the three run at the same time and take about as long.
//! `SCENARIO=TEXT` selects scenarios whose names contain the text.

mod blocks;
mod command_line;
mod deployment;
mod farm_watch;
mod funds;
mod gateway;
mod languages;
mod messages;
mod own_node;
mod peer;
mod peer_flood;
mod peer_nat;
mod refusals;
mod sealed;
mod snapshots;
mod teams;
mod upgrade;
mod views;

use anyhow::Result;
use tfgrid_tests::{Scenario, on_one_grid, scenarios};

const CONTRACTS: &[Scenario] = &scenarios![
    deployment::a_contract_runs_is_billed_and_leaves_nothing,
    deployment::a_volume_lies_on_hard_disks,
    deployment::an_update_waits_for_the_report_of_what_runs,
    command_line::people_deploy_list_and_cancel,
    command_line::calls_at_once_with_one_key_all_succeed,
    command_line::a_stored_key_signs_and_its_calls_are_found,
    teams::teams_sign_as_their_page_says,
    command_line::farmers_see_and_set_all_of_their_own,
    command_line::applications_go_on_where_they_stopped,
    command_line::a_network_is_made_and_grows,
    refusals::nodes_and_chain_refuse_what_is_wrong,
    funds::a_deposit_for_somebody_else_needs_a_yes,
    funds::a_deposit_that_is_missing_is_made_with_the_call,
    funds::a_deposit_resumes_a_contract_without_funds,
];
const MACHINES: &[Scenario] = &scenarios![
    sealed::secrets_are_sealed_from_the_file_to_the_machine,
    sealed::output_is_sent_to_an_address_that_is_secret,
    sealed::last_words_of_what_fails_reach_its_owner,
    peer::owners_see_enter_and_reach_their_machines,
    peer::the_sdk_example_reaches_a_machine,
    peer::calls_one_after_another_are_answered,
    peer::a_relay_carries_what_no_packet_reaches,
    peer::a_stopped_machine_stays_stopped,
    peer::a_finished_job_runs_again_for_its_owner,
    peer::deaths_and_failing_checks_are_told_as_events,
    peer::a_terminal_has_its_size_and_its_keys,
    peer::an_editor_works_in_a_terminal,
    peer::output_is_shown_by_its_times_and_over_restarts,
    peer::nothing_else_listens_for_management,
    peer::signals_reach_the_program,
    peer::strangers_and_removed_devices_get_nothing,
    peer_flood::floods_take_nothing_from_an_owner,
    peer_nat::owners_behind_routers_reach_their_machines,
];
const BOTS: &[Scenario] = &scenarios![
    snapshots::a_snapshot_is_restored_in_a_new_contract,
    messages::messages_pass_where_nobody_can_read_them,
    messages::messages_of_strangers_are_refused,
    messages::messages_wait_for_whoever_is_away,
    messages::messages_find_a_twin_in_the_phone_book_alone,
    messages::messages_are_answered_by_the_script_of_the_guide,
    farm_watch::a_farmer_is_told_of_a_silent_node_and_of_its_return,
    own_node::a_farmer_sees_its_node_and_nothing_of_tenants,
    gateway::a_page_is_published_under_a_name,
    blocks::every_library_decodes_blocks_with_reports,
    languages::python_and_javascript_do_the_whole_round,
    // Last, since it changes the chain.
    upgrade::contracts_and_agent_survive_a_new_runtime,
];
const ALL: [&[Scenario]; 3] = [CONTRACTS, MACHINES, BOTS];

#[test]
fn contracts_from_their_plan_to_their_bill() -> Result<()> {
    on_one_grid("contracts", CONTRACTS, &ALL)
}

#[test]
fn machines_and_those_who_reach_them() -> Result<()> {
    on_one_grid("machines", MACHINES, &ALL)
}

#[test]
fn bots_sites_and_libraries() -> Result<()> {
    on_one_grid("bots", BOTS, &ALL)
}
