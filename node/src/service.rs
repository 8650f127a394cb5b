// SPDX-License-Identifier: Apache-2.0

//! Assembles the node: database and client, network, RPC, and either Aura with GRANDPA or blocks on demand.

use crate::{
    checkpoint::{Checkpoint, FromCheckpoint, HistoryImport},
    nodelay,
    rpc::{self, RpcDeps},
    sealing::{self, Sealing, SealingParams},
    types::{Block, FullBackend, FullClient, FullPool, FullSelectChain, Hash, ProposerFactory},
};
use futures::channel::mpsc;
use sc_client_api::BlockBackend;
use sc_consensus::{DefaultImportQueue, LongestChain};
use sc_consensus_aura::{ImportQueueParams, SlotProportion, StartAuraParams};
use sc_consensus_grandpa::{
    GrandpaBlockImport, GrandpaParams, LinkHalf, SharedVoterState, ThreeQuartersOfTheUnfinalizedChain,
    VotingRulesBuilder, warp_proof,
};
use sc_consensus_manual_seal::EngineCommand;
use sc_network::{
    Litep2pNetworkBackend, Multiaddr, NetworkBackend, NetworkWorker, NotificationMetrics,
    NotificationService,
    config::{FullNetworkConfiguration, NetworkBackendType},
    service::traits::NetworkService,
    types::ProtocolName,
};
use sc_network_sync::SyncingService;
use sc_service::{
    BuildNetworkParams, ChainType, Configuration, Error as ServiceError, KeystoreContainer, Role,
    SpawnTasksParams, TaskManager, WarpSyncConfig,
};
use sc_telemetry::{Telemetry, TelemetryHandle, TelemetryWorker};
use sc_transaction_pool_api::OffchainTransactionPoolFactory;
use sp_consensus_aura::{
    SlotDuration, inherents::InherentDataProvider as SlotProvider, sr25519::AuthorityPair,
};
use sp_inherents::CreateInherentDataProviders;
use sp_runtime::traits::NumberFor;
use sp_timestamp::InherentDataProvider as TimestampProvider;
use std::{sync::Arc, time::Duration};
use substrate_prometheus_endpoint::Registry;
use tracing::warn;

type GrandpaImport = GrandpaBlockImport<FullBackend, Block, FullClient, FullSelectChain>;
type GrandpaLink = LinkHalf<Block, FullClient, FullSelectChain>;

/// Longest distance, in blocks, between two finality proofs of GRANDPA. Light clients and warp sync start
/// from these.
const JUSTIFICATION_PERIOD: u32 = 512;

/// Time that GRANDPA allows for a vote to reach the other validators. A block becomes final about four times
/// this after it was made.
const GOSSIP_DURATION: Duration = Duration::from_millis(333);
/// [`GOSSIP_DURATION`] if all validators are on one machine.
const LOCAL_GOSSIP_DURATION: Duration = Duration::from_millis(100);

/// Part of a slot in which a block is built. The rest is left for its propagation.
const PROPOSAL_PORTION: f32 = 2f32 / 3f32;

/// Limit of telemetry messages that wait to be sent.
const TELEMETRY_BUFFER: usize = 16;

/// Components that both the node and the subcommands need.
pub struct Partial {
    pub client: Arc<FullClient>,
    pub backend: Arc<FullBackend>,
    pub task_manager: TaskManager,
    pub import_queue: DefaultImportQueue<Block>,
    keystore: KeystoreContainer,
    select_chain: FullSelectChain,
    pool: Arc<FullPool>,
    grandpa_import: GrandpaImport,
    grandpa_link: GrandpaLink,
    telemetry: Option<Telemetry>,
}

/// Opens the database and builds all components that need no network.
pub fn partial(config: &Configuration) -> Result<Partial, ServiceError> {
    let telemetry = telemetry(config)?;
    let telemetry_handle = telemetry.as_ref().map(|(_, telemetry)| telemetry.handle());

    let (client, backend, keystore, task_manager) = sc_service::new_full_parts(
        config,
        telemetry_handle.clone(),
        sc_service::new_wasm_executor(&config.executor),
        Vec::new(),
    )?;
    let client = Arc::new(client);

    let telemetry = telemetry.map(|(worker, telemetry)| {
        task_manager.spawn_handle().spawn("telemetry", None, worker.run());
        telemetry
    });

    let pool = sc_transaction_pool::Builder::new(
        task_manager.spawn_essential_handle(),
        client.clone(),
        config.role.is_authority().into(),
    )
    .with_options(config.transaction_pool.clone())
    .with_prometheus(config.prometheus_registry())
    .build();

    let select_chain = LongestChain::new(backend.clone());
    let (grandpa_import, grandpa_link) = sc_consensus_grandpa::block_import(
        client.clone(),
        JUSTIFICATION_PERIOD,
        &client,
        select_chain.clone(),
        telemetry_handle.clone(),
    )?;

    let import_queue = import_queue(config, &client, &grandpa_import, &task_manager, telemetry_handle)?;

    Ok(Partial {
        client,
        backend,
        task_manager,
        import_queue,
        keystore,
        select_chain,
        pool: Arc::new(pool),
        grandpa_import,
        grandpa_link,
        telemetry,
    })
}

/// Blocks of others, which Aura checks before GRANDPA's import takes them.
fn import_queue(
    config: &Configuration,
    client: &Arc<FullClient>,
    grandpa_import: &GrandpaImport,
    tasks: &TaskManager,
    telemetry: Option<TelemetryHandle>,
) -> Result<DefaultImportQueue<Block>, ServiceError> {
    let slot_duration = sc_consensus_aura::slot_duration(&**client)?;
    Ok(sc_consensus_aura::import_queue::<AuthorityPair, _, _, _, _, _>(ImportQueueParams {
        block_import: HistoryImport { finality: grandpa_import.clone(), client: client.clone() },
        justification_import: Some(Box::new(grandpa_import.clone())),
        client: client.clone(),
        create_inherent_data_providers: wall_clock(slot_duration),
        spawner: &tasks.spawn_essential_handle(),
        registry: config.prometheus_registry(),
        check_for_equivocation: Default::default(),
        telemetry,
        compatibility_mode: Default::default(),
    })?)
}

/// Starts the node, which runs until the returned tasks end. A warp sync begins at the checkpoint, or else at genesis.
pub fn start(
    config: Configuration,
    sealing: Option<Sealing>,
    checkpoint: Option<Checkpoint>,
) -> Result<TaskManager, ServiceError> {
    match config.network.network_backend {
        NetworkBackendType::Litep2p => start_on::<Litep2pNetworkBackend>(config, sealing, checkpoint),
        NetworkBackendType::Libp2p => start_on::<NetworkWorker<Block, Hash>>(config, sealing, checkpoint),
    }
}

/// Reverts GRANDPA's data in the database, before `blocks` blocks are reverted.
pub fn revert_consensus(
    client: Arc<FullClient>,
    _: Arc<FullBackend>,
    blocks: NumberFor<Block>,
) -> sc_cli::Result<()> {
    Ok(sc_consensus_grandpa::revert(client, blocks)?)
}

fn start_on<Net: NetworkBackend<Block, Hash>>(
    config: Configuration,
    sealing: Option<Sealing>,
    checkpoint: Option<Checkpoint>,
) -> Result<TaskManager, ServiceError> {
    let Partial {
        client,
        backend,
        mut task_manager,
        import_queue,
        keystore,
        select_chain,
        pool,
        grandpa_import,
        grandpa_link,
        mut telemetry,
    } = partial(&config)?;

    let metrics = Net::register_notification_metrics(config.prometheus_registry());
    let mut net_config =
        FullNetworkConfiguration::<_, _, Net>::new(&config.network, config.prometheus_registry().cloned());
    let grandpa_protocol = (sealing.is_none() && !config.disable_grandpa)
        .then(|| GrandpaProtocol::register(&config, &client, &mut net_config, &metrics))
        .transpose()?;

    let (network, system_rpc_tx, tx_handler_controller, sync, _) =
        sc_service::build_network(BuildNetworkParams {
            config: &config,
            net_config,
            client: client.clone(),
            transaction_pool: pool.clone(),
            spawn_handle: task_manager.spawn_handle(),
            spawn_essential_handle: task_manager.spawn_essential_handle(),
            import_queue,
            block_announce_validator_builder: None,
            warp_sync_config: Some(warp_sync(backend.clone(), &grandpa_link, checkpoint)),
            block_relay: None,
            metrics,
            gap_sync_body_policy: None,
        })?;

    let consensus = Consensus {
        role: config.role,
        gossip_duration: gossip_duration(&config),
        force_authoring: config.force_authoring,
        name: config.network.node_name.clone(),
        registry: config.prometheus_registry().cloned(),
        telemetry: telemetry.as_ref().map(Telemetry::handle),
        client: client.clone(),
        pool: pool.clone(),
        select_chain,
        keystore,
        network: network.clone(),
        sync: sync.clone(),
    };
    let (sealing_commands, rpc_commands) = sealing::channel();
    let rpc_deps =
        RpcDeps { client: client.clone(), pool: pool.clone(), sealing: sealing.map(|_| sealing_commands) };

    let rpc = sc_service::spawn_tasks(SpawnTasksParams {
        config,
        client,
        backend,
        task_manager: &mut task_manager,
        keystore: consensus.keystore.keystore(),
        transaction_pool: pool,
        rpc_builder: Box::new(move |_| rpc::create(rpc_deps.clone())),
        network,
        system_rpc_tx,
        tx_handler_controller,
        sync_service: sync,
        telemetry: telemetry.as_mut(),
        tracing_execute_block: None,
    })?;
    answer_at_once(rpc.listen_addresses());

    match sealing {
        Some(mode) => consensus.seal(&task_manager, mode, rpc_commands)?,
        None if consensus.role.is_authority() => consensus.author(&task_manager, grandpa_import)?,
        None => {}
    }
    if let Some(protocol) = grandpa_protocol {
        consensus.vote(&task_manager, grandpa_link, protocol)?;
    }
    Ok(task_manager)
}

fn gossip_duration(config: &Configuration) -> Duration {
    match config.chain_spec.chain_type() {
        ChainType::Development | ChainType::Local => LOCAL_GOSSIP_DURATION,
        _ => GOSSIP_DURATION,
    }
}

/// Has the RPC server at these addresses send its answers at once, or warns.
fn answer_at_once(addresses: &[Multiaddr]) {
    let answers = match nodelay::answer_at_once(addresses) {
        Ok(0) => Err("no socket of the RPC server is found".into()),
        answers => answers.map_err(|error| error.to_string()),
    };
    if let Err(error) = answers {
        warn!("answers of several messages take 40 ms longer than they could: {error}");
    }
}

/// GRANDPA's network protocol.
struct GrandpaProtocol {
    protocol_name: ProtocolName,
    notifications: Box<dyn NotificationService>,
}

impl GrandpaProtocol {
    fn register<Net: NetworkBackend<Block, Hash>>(
        config: &Configuration,
        client: &FullClient,
        net_config: &mut FullNetworkConfiguration<Block, Hash, Net>,
        metrics: &NotificationMetrics,
    ) -> Result<Self, ServiceError> {
        let genesis =
            client.block_hash(0)?.ok_or("the database has no genesis block: remove it with `purge-chain`")?;
        let protocol_name = sc_consensus_grandpa::protocol_standard_name(&genesis, &config.chain_spec);
        let (protocol, notifications) = sc_consensus_grandpa::grandpa_peers_set_config::<_, Net>(
            protocol_name.clone(),
            metrics.clone(),
            net_config.peer_store_handle(),
        );
        net_config.add_notification_protocol(protocol);
        Ok(Self { protocol_name, notifications })
    }
}

/// Starts the tasks that make and finalize blocks.
struct Consensus {
    role: Role,
    gossip_duration: Duration,
    force_authoring: bool,
    name: String,
    registry: Option<Registry>,
    telemetry: Option<TelemetryHandle>,
    client: Arc<FullClient>,
    pool: Arc<FullPool>,
    select_chain: FullSelectChain,
    keystore: KeystoreContainer,
    network: Arc<dyn NetworkService>,
    sync: Arc<SyncingService<Block>>,
}

impl Consensus {
    fn proposer(&self, tasks: &TaskManager) -> ProposerFactory {
        ProposerFactory::new(
            tasks.spawn_handle(),
            self.client.clone(),
            self.pool.clone(),
            self.registry.as_ref(),
            self.telemetry.clone(),
        )
    }

    /// Starts making blocks on demand.
    fn seal(
        &self,
        tasks: &TaskManager,
        mode: Sealing,
        rpc_commands: mpsc::Receiver<EngineCommand<Hash>>,
    ) -> Result<(), ServiceError> {
        sealing::spawn(
            &tasks.spawn_essential_handle(),
            SealingParams {
                mode,
                rpc_commands,
                client: self.client.clone(),
                pool: self.pool.clone(),
                select_chain: self.select_chain.clone(),
                proposer: self.proposer(tasks),
            },
        )
    }

    /// Starts Aura, which makes a block in each slot of this validator.
    fn author(&self, tasks: &TaskManager, block_import: GrandpaImport) -> Result<(), ServiceError> {
        let slot_duration = sc_consensus_aura::slot_duration(&*self.client)?;
        let aura =
            sc_consensus_aura::start_aura::<AuthorityPair, _, _, _, _, _, _, _, _, _, _>(StartAuraParams {
                slot_duration,
                client: self.client.clone(),
                select_chain: self.select_chain.clone(),
                block_import,
                proposer_factory: self.proposer(tasks),
                sync_oracle: self.sync.clone(),
                justification_sync_link: self.sync.clone(),
                create_inherent_data_providers: wall_clock(slot_duration),
                force_authoring: self.force_authoring,
                backoff_authoring_blocks: None::<()>,
                keystore: self.keystore.keystore(),
                block_proposal_slot_portion: SlotProportion::new(PROPOSAL_PORTION),
                max_block_proposal_slot_portion: None,
                telemetry: self.telemetry.clone(),
                compatibility_mode: Default::default(),
            })?;
        tasks.spawn_essential_handle().spawn_blocking("aura", Some("block-authoring"), aura);
        Ok(())
    }

    /// Starts GRANDPA: a validator votes, other nodes follow the votes.
    fn vote(
        &self,
        tasks: &TaskManager,
        link: GrandpaLink,
        protocol: GrandpaProtocol,
    ) -> Result<(), ServiceError> {
        // SDK nodes also stay two blocks behind the best one. That would delay finality by two slots and add
        // no safety.
        let voting_rule = VotingRulesBuilder::new().add(ThreeQuartersOfTheUnfinalizedChain).build();
        let voter = sc_consensus_grandpa::run_grandpa_voter(GrandpaParams {
            config: sc_consensus_grandpa::Config {
                gossip_duration: self.gossip_duration,
                justification_generation_period: JUSTIFICATION_PERIOD,
                observer_enabled: false,
                local_role: self.role,
                name: Some(self.name.clone()),
                // Without a keystore it only follows.
                keystore: self.role.is_authority().then(|| self.keystore.keystore()),
                telemetry: self.telemetry.clone(),
                protocol_name: protocol.protocol_name,
            },
            link,
            network: self.network.clone(),
            sync: self.sync.clone(),
            notification_service: protocol.notifications,
            voting_rule,
            prometheus_registry: self.registry.clone(),
            shared_voter_state: SharedVoterState::empty(),
            telemetry: self.telemetry.clone(),
            offchain_tx_pool_factory: OffchainTransactionPoolFactory::new(self.pool.clone()),
        })?;
        tasks.spawn_essential_handle().spawn_blocking("grandpa-voter", None, voter);
        Ok(())
    }
}

/// The current time and its slot.
fn wall_clock(
    slot_duration: SlotDuration,
) -> impl CreateInherentDataProviders<Block, (), InherentDataProviders = (SlotProvider, TimestampProvider)> {
    move |_, ()| async move {
        let timestamp = TimestampProvider::from_system_time();
        let slot = SlotProvider::from_timestamp_and_slot_duration(*timestamp, slot_duration);
        Ok((slot, timestamp))
    }
}

/// Serves finality proofs for warp sync, and uses those of other nodes.
fn warp_sync(
    backend: Arc<FullBackend>,
    link: &GrandpaLink,
    checkpoint: Option<Checkpoint>,
) -> WarpSyncConfig<Block> {
    let proofs = warp_proof::NetworkProvider::new(backend, link.shared_authority_set().clone(), Vec::new());
    WarpSyncConfig::WithProvider(match checkpoint {
        Some(checkpoint) => Arc::new(FromCheckpoint { proofs, checkpoint }),
        None => Arc::new(proofs),
    })
}

/// Telemetry to the endpoints of the operator or the chain spec; `None` if there are none.
fn telemetry(config: &Configuration) -> Result<Option<(TelemetryWorker, Telemetry)>, ServiceError> {
    let Some(endpoints) = config.telemetry_endpoints.clone().filter(|list| !list.is_empty()) else {
        return Ok(None);
    };
    let worker = TelemetryWorker::new(TELEMETRY_BUFFER)?;
    let telemetry = worker.handle().new_telemetry(endpoints);
    Ok(Some((worker, telemetry)))
}
