// SPDX-License-Identifier: Apache-2.0

//! The node put together: database and client, network, RPC, and either Aura with GRANDPA or
//! blocks on demand.

use crate::{
    rpc::{self, RpcDeps},
    sealing::{self, Sealing, SealingParams},
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
use sc_executor::WasmExecutor;
use sc_network::{
    Litep2pNetworkBackend, NetworkBackend, NetworkWorker, NotificationMetrics, NotificationService,
    config::{FullNetworkConfiguration, NetworkBackendType},
    service::traits::NetworkService,
    types::ProtocolName,
};
use sc_network_sync::SyncingService;
use sc_service::{
    BuildNetworkParams, ChainType, Configuration, Error as ServiceError, KeystoreContainer, Role,
    SpawnTasksParams, TFullBackend, TFullClient, TaskManager, WarpSyncConfig,
};
use sc_telemetry::{Telemetry, TelemetryHandle, TelemetryWorker};
use sc_transaction_pool::TransactionPoolHandle;
use sc_transaction_pool_api::OffchainTransactionPoolFactory;
use sp_consensus_aura::{
    SlotDuration, inherents::InherentDataProvider as SlotProvider, sr25519::AuthorityPair,
};
use sp_inherents::CreateInherentDataProviders;
use sp_runtime::traits::{Block as BlockT, NumberFor};
use sp_timestamp::InherentDataProvider as TimestampProvider;
use std::{sync::Arc, time::Duration};
use substrate_prometheus_endpoint::Registry;
use tfgrid_runtime::RuntimeApi;

pub use tfgrid_runtime::opaque::Block;

pub type Hash = <Block as BlockT>::Hash;
pub type FullClient = TFullClient<Block, RuntimeApi, WasmExecutor<sp_io::SubstrateHostFunctions>>;
pub type FullBackend = TFullBackend<Block>;
pub type FullPool = TransactionPoolHandle<Block, FullClient>;
pub type FullSelectChain = LongestChain<FullBackend, Block>;
pub type ProposerFactory = sc_basic_authorship::ProposerFactory<FullPool, FullClient>;
type GrandpaImport = GrandpaBlockImport<FullBackend, Block, FullClient, FullSelectChain>;
type GrandpaLink = LinkHalf<Block, FullClient, FullSelectChain>;

/// How often, in blocks, GRANDPA makes a proof of finality at the latest. These are what light
/// clients and warp sync start from.
const JUSTIFICATION_PERIOD: u32 = 512;

/// How long GRANDPA gives a vote to reach the others; a block is final four times that after it was made.
const GOSSIP_DURATION: Duration = Duration::from_millis(333);
/// The same where all validators are on one machine.
const LOCAL_GOSSIP_DURATION: Duration = Duration::from_millis(100);

/// The part of a slot in which a block is built: the rest is for its way to the others.
const PROPOSAL_PORTION: f32 = 2f32 / 3f32;

/// How many telemetry messages may wait to be sent.
const TELEMETRY_BUFFER: usize = 16;

/// What the node and the subcommands that read the database have in common.
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

/// Opens the database and sets up everything that doesn't talk to others.
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

    let slot_duration = sc_consensus_aura::slot_duration(&*client)?;
    let import_queue = sc_consensus_aura::import_queue::<AuthorityPair, _, _, _, _, _>(ImportQueueParams {
        block_import: grandpa_import.clone(),
        justification_import: Some(Box::new(grandpa_import.clone())),
        client: client.clone(),
        create_inherent_data_providers: wall_clock(slot_duration),
        spawner: &task_manager.spawn_essential_handle(),
        registry: config.prometheus_registry(),
        check_for_equivocation: Default::default(),
        telemetry: telemetry_handle,
        compatibility_mode: Default::default(),
    })?;

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

/// Starts the node. It runs until the returned tasks end.
pub fn start(config: Configuration, sealing: Option<Sealing>) -> Result<TaskManager, ServiceError> {
    match config.network.network_backend {
        NetworkBackendType::Litep2p => start_on::<Litep2pNetworkBackend>(config, sealing),
        NetworkBackendType::Libp2p => start_on::<NetworkWorker<Block, Hash>>(config, sealing),
    }
}

/// What GRANDPA adds to a database, taken back before `blocks` blocks are.
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
    let ballot = (sealing.is_none() && !config.disable_grandpa)
        .then(|| Ballot::open(&config, &client, &mut net_config, &metrics))
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
            warp_sync_config: Some(warp_sync(backend.clone(), &grandpa_link)),
            block_relay: None,
            metrics,
            gap_sync_body_policy: None,
        })?;

    let gossip_duration = match config.chain_spec.chain_type() {
        ChainType::Development | ChainType::Local => LOCAL_GOSSIP_DURATION,
        _ => GOSSIP_DURATION,
    };
    let consensus = Consensus {
        role: config.role,
        gossip_duration,
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

    sc_service::spawn_tasks(SpawnTasksParams {
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

    match sealing {
        Some(mode) => consensus.seal(&task_manager, mode, rpc_commands)?,
        None if consensus.role.is_authority() => consensus.author(&task_manager, grandpa_import)?,
        None => {}
    }
    if let Some(ballot) = ballot {
        consensus.vote(&task_manager, grandpa_link, ballot)?;
    }
    Ok(task_manager)
}

/// GRANDPA's own protocol in the network.
struct Ballot {
    protocol_name: ProtocolName,
    notifications: Box<dyn NotificationService>,
}

impl Ballot {
    fn open<Net: NetworkBackend<Block, Hash>>(
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

/// What the tasks that make and finalize blocks work with.
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

    /// Blocks on demand.
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

    /// Aura: a block in each slot that is ours.
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

    /// GRANDPA: a validator votes, the others follow the votes.
    fn vote(&self, tasks: &TaskManager, link: GrandpaLink, ballot: Ballot) -> Result<(), ServiceError> {
        // The rule that SDK nodes add to this one, staying two blocks behind the best, would cost
        // two slots of waiting and makes nothing safer.
        let voting_rule = VotingRulesBuilder::new().add(ThreeQuartersOfTheUnfinalizedChain).build();
        let voter = sc_consensus_grandpa::run_grandpa_voter(GrandpaParams {
            config: sc_consensus_grandpa::Config {
                gossip_duration: self.gossip_duration,
                justification_generation_period: JUSTIFICATION_PERIOD,
                observer_enabled: false,
                local_role: self.role,
                name: Some(self.name.clone()),
                // Without keys it only listens.
                keystore: self.role.is_authority().then(|| self.keystore.keystore()),
                telemetry: self.telemetry.clone(),
                protocol_name: ballot.protocol_name,
            },
            link,
            network: self.network.clone(),
            sync: self.sync.clone(),
            notification_service: ballot.notifications,
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

/// The current time and the slot it falls into.
fn wall_clock(
    slot_duration: SlotDuration,
) -> impl CreateInherentDataProviders<Block, (), InherentDataProviders = (SlotProvider, TimestampProvider)> {
    move |_, ()| async move {
        let timestamp = TimestampProvider::from_system_time();
        let slot = SlotProvider::from_timestamp_and_slot_duration(*timestamp, slot_duration);
        Ok((slot, timestamp))
    }
}

/// Lets others start from our proofs of finality, and us from theirs.
fn warp_sync(backend: Arc<FullBackend>, link: &GrandpaLink) -> WarpSyncConfig<Block> {
    WarpSyncConfig::WithProvider(Arc::new(warp_proof::NetworkProvider::new(
        backend,
        link.shared_authority_set().clone(),
        Vec::new(),
    )))
}

/// Telemetry goes only where the operator or the chain spec says.
fn telemetry(config: &Configuration) -> Result<Option<(TelemetryWorker, Telemetry)>, ServiceError> {
    let Some(endpoints) = config.telemetry_endpoints.clone().filter(|list| !list.is_empty()) else {
        return Ok(None);
    };
    let worker = TelemetryWorker::new(TELEMETRY_BUFFER)?;
    let telemetry = worker.handle().new_telemetry(endpoints);
    Ok(Some((worker, telemetry)))
}
