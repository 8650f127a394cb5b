// SPDX-License-Identifier: Apache-2.0

//! The command line of `tfgrid-node`.

use crate::{checkpoint::Checkpoint, sealing::Sealing};
use sc_cli::RunCmd;

const EXAMPLES: &str = "\
Examples:
  A chain of your own in a temporary folder; RPC on ws://127.0.0.1:9944:
      tfgrid-node --dev

  The same, with a block for every transaction, or five blocks a second:
      tfgrid-node --dev --sealing instant
      tfgrid-node --dev --sealing interval=200

  The same in a folder that stays:
      tfgrid-node --dev --base-path ./my-chain

  One of the four validators of a network on this machine (the others are --bob, --charlie and
  --dave, each with ports of its own; three are enough for blocks to become final):
      tfgrid-node --chain local --alice --base-path ./alice --unsafe-force-node-key-generation \\
          --port 30334 --rpc-port 9945 --prometheus-port 9616

  A node that keeps all states, so that it also serves archive_v1:
      tfgrid-node --chain spec.json --state-pruning archive

  A chain spec to edit, and the raw one made of it:
      tfgrid-node export-chain-spec --chain local --output plain.json
      tfgrid-node export-chain-spec --chain plain.json --raw --output spec.json";

/// The program's arguments.
#[derive(Debug, clap::Parser)]
#[command(after_long_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub subcommand: Option<Subcommand>,

    #[command(flatten)]
    pub run: RunCmd,

    /// Make blocks on demand instead of every 3 seconds. For development chains only.
    ///
    /// Each block takes the next slot and is final at once. The chain's clock is never behind
    /// the real one; it runs ahead if blocks come faster than one in 3 seconds, so that days
    /// pass in minutes. Other nodes can't follow such a chain.
    ///
    /// - instant: a block as soon as there is a transaction.
    ///
    /// - interval=<MS>: a block every so many milliseconds.
    ///
    /// - manual: a block for each call of the RPC method `engine_createBlock`, which the other
    ///   modes serve too.
    #[arg(long, value_name = "MODE", verbatim_doc_comment)]
    pub sealing: Option<Sealing>,

    /// Begin `--sync warp` at this finalized block, which you trust, instead of at genesis.
    ///
    /// For a chain whose GRANDPA was restarted (`noteStalled`): no proof of finality from genesis passes that. The
    /// script `checkpoint` of the package asks a node for one.
    #[arg(long, value_name = "HEX")]
    pub checkpoint: Option<Checkpoint>,

    /// Stop, or don't start, when the database's disk has less than this free. 0 never stops.
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub least_free_disk: u64,
}

/// Commands beside running a node.
#[derive(Debug, clap::Subcommand)]
pub enum Subcommand {
    /// Make, inspect and insert keys.
    #[command(subcommand)]
    Key(sc_cli::KeySubcommand),

    /// Write a chain spec, plain or raw.
    ExportChainSpec(sc_cli::ExportChainSpecCmd),

    /// Write a chain spec (deprecated: use export-chain-spec).
    BuildSpec(sc_cli::BuildSpecCmd),

    /// Verify a block of the database again.
    CheckBlock(sc_cli::CheckBlockCmd),

    /// Write blocks of the database to a file.
    ExportBlocks(sc_cli::ExportBlocksCmd),

    /// Write the state at a block as a chain spec.
    ExportState(sc_cli::ExportStateCmd),

    /// Import blocks that export-blocks wrote.
    ImportBlocks(sc_cli::ImportBlocksCmd),

    /// Remove the whole chain from the database.
    PurgeChain(sc_cli::PurgeChainCmd),

    /// Remove the newest blocks that aren't final.
    Revert(sc_cli::RevertCmd),

    /// Print the best, finalized and genesis block of the database.
    ChainInfo(sc_cli::ChainInfoCmd),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};
    use std::time::Duration;

    fn sealing(value: &str) -> Result<Option<Sealing>, clap::Error> {
        Cli::try_parse_from(["tfgrid-node", "--dev", "--sealing", value]).map(|cli| cli.sealing)
    }

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_the_option_aura_makes_the_blocks() {
        let cli = Cli::try_parse_from(["tfgrid-node", "--dev"]).unwrap();
        assert_eq!(cli.sealing, None);
    }

    #[test]
    fn sealing_modes_are_understood() {
        let second = Duration::from_secs(1);
        assert_eq!(sealing("instant").unwrap(), Some(Sealing::Instant));
        assert_eq!(sealing("manual").unwrap(), Some(Sealing::Manual));
        assert_eq!(sealing("interval=1000").unwrap(), Some(Sealing::Interval(second)));
    }

    #[test]
    fn other_sealing_modes_are_refused_with_the_good_ones() {
        for bad in ["", "Instant", "interval", "interval=", "interval=0", "interval=1s", "interval=-1"] {
            let error = sealing(bad).expect_err(bad).to_string();
            assert!(error.contains("interval=<MS>"), "{bad}: {error}");
        }
    }

    #[test]
    fn the_database_and_network_defaults_are_ours() {
        let run = Cli::try_parse_from(["tfgrid-node"]).unwrap().run;
        assert_eq!(run.network_params.network_backend, sc_cli::NetworkBackendType::Litep2p);
        assert_eq!(run.import_params.database_params.database, None);
        assert!(!sc_cli::Database::variants().contains(&"rocksdb"));
    }
}
