// SPDX-License-Identifier: Apache-2.0

//! Executes the command line.

use crate::{
    chain_spec,
    cli::{Cli, Subcommand},
    disk, endpoints,
    sealing::Sealing,
    service::{self, Partial},
    types::Block,
};
use sc_cli::{RunCmd, SubstrateCli, TransactionPoolType};
use sc_service::{ChainSpec, ChainType, Configuration, PruningMode};

/// One log line per block is enough when there are many blocks per second.
const SEALING_LOG: &str = "basic-authorship=warn,sc_basic_authorship=warn,sc_consensus_manual_seal=warn";

impl SubstrateCli for Cli {
    fn impl_name() -> String {
        "TF Grid Node".into()
    }

    fn impl_version() -> String {
        env!("SUBSTRATE_CLI_IMPL_VERSION").into()
    }

    fn description() -> String {
        "A node of the ThreeFold Grid's ledger: the chain on which twins, farms, nodes, capacity \
         contracts and their billing in TFT live. Blocks come every 3 seconds (Aura) and are final \
         moments later (GRANDPA). Without a subcommand it runs a node; wallets, agents and \
         explorers reach it by JSON-RPC on port 9944."
            .into()
    }

    fn author() -> String {
        env!("CARGO_PKG_AUTHORS").into()
    }

    fn support_url() -> String {
        "the README of the TF Grid Ledger source tree".into()
    }

    fn copyright_start_year() -> i32 {
        2026
    }

    fn load_spec(&self, id: &str) -> Result<Box<dyn ChainSpec>, String> {
        chain_spec::load(id).map(|spec| Box::new(spec) as _)
    }
}

/// Parses the command line and executes it.
pub fn run() -> sc_cli::Result<()> {
    let mut cli = Cli::from_args();
    if cli.sealing.is_some() {
        adapt_to_sealing(&mut cli.run);
    }
    match &cli.subcommand {
        None => run_node(&cli),
        Some(subcommand) => run_subcommand(&cli, subcommand),
    }
}

fn run_node(cli: &Cli) -> sc_cli::Result<()> {
    let runner = cli.create_runner(&cli.run)?;
    if let Some(mode) = cli.sealing {
        allow_sealing(mode, &*runner.config().chain_spec)?;
    }
    let (sealing, checkpoint, least_free) = (cli.sealing, cli.checkpoint.clone(), cli.least_free_disk);
    let own_endpoints = !cli.run.rpc_params.experimental_rpc_endpoint.is_empty();
    runner.run_node_until_exit(|mut config| async move {
        keep_states_in_development(&mut config);
        if let Some(rpc) = &mut config.rpc.addr {
            if !own_endpoints {
                endpoints::settle(rpc, endpoints::ipv6_takes_ipv4());
            }
            endpoints::ensure_free(rpc)?;
        }
        let database = config.database.path().unwrap_or(&config.data_path).to_owned();
        disk::ensure_room(&database, least_free)?;
        let tasks = service::start(config, sealing, checkpoint).map_err(sc_cli::Error::Service)?;
        let room = disk::watch(database, least_free);
        tasks.spawn_essential_handle().spawn("disk", None, room);
        tasks.spawn_handle().spawn_blocking("memory", None, tfgrid_memory::give_back());
        Ok(tasks)
    })
}

fn adapt_to_sealing(run: &mut RunCmd) {
    // Inserted first, so that filters of --log override it.
    run.shared_params.log.insert(0, SEALING_LOG.into());
    // The fork-aware pool drops transactions when blocks come faster than it can follow, and there are no
    // forks.
    run.pool_config.pool_type = TransactionPoolType::SingleState;
}

fn allow_sealing(mode: Sealing, spec: &dyn ChainSpec) -> sc_cli::Result<()> {
    if spec.chain_type() == ChainType::Development {
        return Ok(());
    }
    Err(sc_cli::Error::Input(format!(
        "--sealing {mode} makes blocks that no validator has signed, so it is for development \
         chains only, and `{}` is of type {:?}: start the node with --dev, or without --sealing",
        spec.id(),
        spec.chain_type(),
    )))
}

/// By default, 256 states are kept. Sealing can make as many blocks in seconds, and tests and explorers would
/// then ask for states that are gone.
fn keep_states_in_development(config: &mut Configuration) {
    if config.chain_spec.chain_type() == ChainType::Development {
        config.state_pruning.get_or_insert(PruningMode::ArchiveCanonical);
    }
}

fn run_subcommand(cli: &Cli, subcommand: &Subcommand) -> sc_cli::Result<()> {
    match subcommand {
        Subcommand::Key(cmd) => cmd.run(cli),
        Subcommand::ExportChainSpec(cmd) => cmd.run(cli.load_spec(&cmd.chain)?),
        Subcommand::BuildSpec(cmd) => cli.create_runner(cmd)?.sync_run(|config| {
            let Configuration { chain_spec, network, .. } = config;
            cmd.run(chain_spec, network)
        }),
        Subcommand::CheckBlock(cmd) => cli.create_runner(cmd)?.async_run(|config| {
            let Partial { client, import_queue, task_manager, .. } = service::partial(&config)?;
            Ok((cmd.run(client, import_queue), task_manager))
        }),
        Subcommand::ExportBlocks(cmd) => cli.create_runner(cmd)?.async_run(|config| {
            let Partial { client, task_manager, .. } = service::partial(&config)?;
            Ok((cmd.run(client, config.database), task_manager))
        }),
        Subcommand::ExportState(cmd) => cli.create_runner(cmd)?.async_run(|config| {
            let Partial { client, task_manager, .. } = service::partial(&config)?;
            Ok((cmd.run(client, config.chain_spec), task_manager))
        }),
        Subcommand::ImportBlocks(cmd) => cli.create_runner(cmd)?.async_run(|mut config| {
            keep_states_in_development(&mut config);
            let Partial { client, import_queue, task_manager, .. } = service::partial(&config)?;
            Ok((cmd.run(client, import_queue), task_manager))
        }),
        Subcommand::PurgeChain(cmd) => cli.create_runner(cmd)?.sync_run(|config| cmd.run(config.database)),
        Subcommand::Revert(cmd) => cli.create_runner(cmd)?.async_run(|config| {
            let Partial { client, backend, task_manager, .. } = service::partial(&config)?;
            Ok((cmd.run(client, backend, Some(Box::new(service::revert_consensus))), task_manager))
        }),
        Subcommand::ChainInfo(cmd) => cli.create_runner(cmd)?.sync_run(|config| cmd.run::<Block>(&config)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealing_is_for_development_chains_only() {
        let dev = chain_spec::load("dev").unwrap();
        assert!(allow_sealing(Sealing::Instant, &dev).is_ok());

        let local = chain_spec::load("local").unwrap();
        let refusal = allow_sealing(Sealing::Instant, &local).unwrap_err().to_string();
        assert!(refusal.contains("--dev"), "{refusal}");
        assert!(refusal.contains("tfgrid_local"), "{refusal}");
    }
}
