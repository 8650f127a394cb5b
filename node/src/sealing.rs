// SPDX-License-Identifier: Apache-2.0

//! Blocks on demand, for development chains and tests.
//!
//! The blocks are those of Aura without the author's signature: the slot is in the digest, and the timestamp
//! is the start of that slot, as the runtime requires. Each block takes the slot after its parent's, so any
//! number of blocks can be made in one second.

use crate::types::{Block, FullClient, FullPool, FullSelectChain, Hash, ProposerFactory};
use futures::{
    channel::mpsc,
    stream::{self, BoxStream, Stream, StreamExt},
};
use sc_consensus_aura::{find_pre_digest, slot_duration};
use sc_consensus_manual_seal::{
    EngineCommand, ManualSealParams, consensus::aura::AuraConsensusDataProvider, run_manual_seal,
};
use sc_service::{Error as ServiceError, SpawnEssentialTaskHandle};
use sc_transaction_pool_api::TransactionPool;
use sp_blockchain::HeaderBackend;
use sp_consensus_aura::{Slot, SlotDuration, sr25519::AuthoritySignature};
use sp_inherents::CreateInherentDataProviders;
use sp_timestamp::Timestamp;
use std::{error::Error, fmt, str::FromStr, sync::Arc, time::Duration};
use tokio::time::{MissedTickBehavior, interval};

/// Sends orders for blocks to the sealing task.
pub type SealingCommands = mpsc::Sender<EngineCommand<Hash>>;

/// Limit of RPC orders that wait for their block.
const WAITING_COMMANDS: usize = 64;

/// Limit of transactions that arrive during one block and cause only one more block.
const TRANSACTIONS_PER_WAKE_UP: usize = 8192;

/// What causes a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealing {
    /// A transaction in the pool.
    Instant,
    /// A timer.
    Interval(Duration),
    /// An RPC order, which the other modes accept too.
    Manual,
}

/// A text names no mode.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is none of `instant`, `interval=<MS>` (at least 1) and `manual`")]
pub struct UnknownMode(String);

impl FromStr for Sealing {
    type Err = UnknownMode;

    fn from_str(mode: &str) -> Result<Self, Self::Err> {
        match mode {
            "instant" => Ok(Self::Instant),
            "manual" => Ok(Self::Manual),
            _ => match mode.strip_prefix("interval=").map(u64::from_str) {
                Some(Ok(millis @ 1..)) => Ok(Self::Interval(Duration::from_millis(millis))),
                _ => Err(UnknownMode(mode.into())),
            },
        }
    }
}

impl fmt::Display for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instant => f.write_str("instant"),
            Self::Interval(period) => write!(f, "interval={}", period.as_millis()),
            Self::Manual => f.write_str("manual"),
        }
    }
}

/// Channel from RPC to the sealing task.
pub fn channel() -> (SealingCommands, mpsc::Receiver<EngineCommand<Hash>>) {
    mpsc::channel(WAITING_COMMANDS)
}

/// Components of the sealing task.
pub struct SealingParams {
    pub mode: Sealing,
    pub rpc_commands: mpsc::Receiver<EngineCommand<Hash>>,
    pub client: Arc<FullClient>,
    pub pool: Arc<FullPool>,
    pub select_chain: FullSelectChain,
    pub proposer: ProposerFactory,
}

/// Starts the task that makes blocks. If it ends, the node stops.
pub fn spawn(tasks: &SpawnEssentialTaskHandle, params: SealingParams) -> Result<(), ServiceError> {
    let SealingParams { mode, rpc_commands, client, pool, select_chain, proposer } = params;
    let slot_duration = slot_duration(&*client)?;

    tasks.spawn_blocking("sealing", Some("block-authoring"), async move {
        run_manual_seal(ManualSealParams {
            commands_stream: stream::select(rpc_commands, commands(mode, &pool)),
            consensus_data_provider: Some(Box::new(AuraConsensusDataProvider::new_with_slot_duration(
                slot_duration,
            ))),
            create_inherent_data_providers: slot_clock(client.clone(), slot_duration),
            // Not GRANDPA's import: there are no votes.
            block_import: client.clone(),
            env: proposer,
            client,
            pool,
            select_chain,
        })
        .await
    });
    Ok(())
}

/// Orders that the mode gives by itself.
fn commands(mode: Sealing, pool: &FullPool) -> BoxStream<'static, EngineCommand<Hash>> {
    match mode {
        // Transactions that arrive together cause one block.
        Sealing::Instant => {
            pool.import_notification_stream().ready_chunks(TRANSACTIONS_PER_WAKE_UP).map(|_| seal()).boxed()
        }
        Sealing::Interval(period) => ticks(period).map(|()| seal()).boxed(),
        Sealing::Manual => stream::pending().boxed(),
    }
}

fn seal() -> EngineCommand<Hash> {
    EngineCommand::SealNewBlock { create_empty: true, finalize: true, parent_hash: None, sender: None }
}

fn ticks(period: Duration) -> impl Stream<Item = ()> {
    let mut interval = interval(period);
    // A slow block is not followed by a burst of quick ones.
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    stream::unfold(interval, |mut interval| async {
        interval.tick().await;
        Some(((), interval))
    })
}

/// Provides each block with the start of its slot as its timestamp.
fn slot_clock(
    client: Arc<FullClient>,
    slot_duration: SlotDuration,
) -> impl CreateInherentDataProviders<Block, (), InherentDataProviders = sp_timestamp::InherentDataProvider> {
    move |parent, ()| {
        let timestamp = next_timestamp(&client, parent, slot_duration);
        async { Ok(sp_timestamp::InherentDataProvider::new(timestamp?)) }
    }
}

fn next_timestamp(
    client: &FullClient,
    parent: Hash,
    slot_duration: SlotDuration,
) -> Result<Timestamp, Box<dyn Error + Send + Sync>> {
    let header = client.expect_header(parent)?;
    let parent_slot = find_pre_digest::<Block, AuthoritySignature>(&header)?;
    let now = Slot::from_timestamp(Timestamp::current(), slot_duration);
    next_slot(parent_slot, now)
        .timestamp(slot_duration)
        .ok_or_else(|| format!("slot {parent_slot} is the last one that has a time").into())
}

/// The slot after the parent's, or the present one if that is later.
fn next_slot(parent: Slot, now: Slot) -> Slot {
    parent.saturating_add(1u64).max(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_written_as_they_are_read() {
        for mode in ["instant", "interval=250", "manual"] {
            assert_eq!(mode.parse::<Sealing>().unwrap().to_string(), mode);
        }
    }

    #[test]
    fn every_block_has_a_slot_of_its_own() {
        let now = Slot::from(1_000);
        let mut slot = Slot::from(0);
        for expected in 1_000..1_010 {
            slot = next_slot(slot, now);
            assert_eq!(slot, Slot::from(expected));
        }
    }

    #[test]
    fn the_chain_catches_up_with_the_clock() {
        assert_eq!(next_slot(Slot::from(5), Slot::from(900)), Slot::from(900));
    }
}
