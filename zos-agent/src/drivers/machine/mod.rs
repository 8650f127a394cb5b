// SPDX-License-Identifier: Apache-2.0
//! Machines as containers of a Docker engine, identified by their labels.

mod bridge;
mod connection;
pub(crate) mod console;
mod container;
mod disk;
mod gpus;
mod inside;
mod masks;
pub(super) mod names;
mod probe;
mod pull;
mod seen;

pub(crate) use connection::Connection;
pub use connection::EngineChoice;
pub use disk::Root;
pub use inside::{CopyArgs, Direction, run as copy};
pub use names::{image_volumes, machine_of_volumes};

use super::{
    Bind, Condition, DriverError, ImageRules, MachineDriver, MachineSpec, MachineState, MachineUsage,
    ObservedMachine, ObservedMachines, Process, WantedImages, WorkloadId,
    dockerd::end_shim,
    io_error, limits,
    pool::{Pool, entries},
    tools::{Tool, run},
    uplink,
};
use crate::gpus::Gpus;
use async_trait::async_trait;
use bollard::{
    Docker,
    errors::Error,
    models::{
        ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, ContainerStatsResponse,
        ContainerSummary, HealthStatusEnum, HealthcheckResult,
    },
    query_parameters::{
        CreateContainerOptionsBuilder, EventsOptionsBuilder, InspectContainerOptions, InspectNetworkOptions,
        ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
        LogsOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptions, StartContainerOptions,
        StatsOptionsBuilder, StopContainerOptions,
    },
};
use container::{Common, contract_network};
use futures::{FutureExt, StreamExt, TryStreamExt, stream, stream::FuturesUnordered};
use names::Names;
use probe::{Due, Probes, Target};
use pull::Images;
use rustix::process::{Resource, getrlimit};
use seen::Seen;
use std::{
    collections::{BTreeSet, HashMap},
    fs,
    io::ErrorKind,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Mutex as SyncMutex, PoisonError},
    thread,
    time::{Duration, Instant},
};
use tfgrid_client::deployment::MAX_STOP_SECONDS;
use tfgrid_primitives::{ContractId, PublicKey};
use tokio::{
    sync::{Mutex, Notify},
    time::{sleep, timeout},
};
use tracing::{debug, info, warn};

/// Limit for an answer of the engine.
const ANSWER_SECONDS: u64 = 60;
/// Limit for a stop: the engine answers once the machine has stopped, in its own time.
const STOP_TIMEOUT: Duration = Duration::from_secs(MAX_STOP_SECONDS + ANSWER_SECONDS);
/// Delay before the agent listens to the engine again after it went away.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);
/// How often the agent looks for health checks that are due.
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// Limit for the answer about one container.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Limit of containers that are inspected at the same time.
const MAX_INSPECTS: usize = 8;
/// Lines of a machine's output of which the last that isn't empty counts.
const LAST_LINES: &str = "10";
const NANOS_PER_MS: u64 = 1_000_000;
/// Statuses of the engine that pass: something vanished, a name is still in use, it is starting or stopping.
const PASSING: [u16; 3] = [404, 409, 503];
/// Ends of messages about the engine and its host rather than about a machine: what they quote comes before the cause.
const ENGINE_TROUBLE: [&str; 8] = [
    ": too many open files",
    ": cannot allocate memory",
    ": resource temporarily unavailable",
    ": connection refused",
    "context canceled",
    "context deadline exceeded",
    // Containerd has ended, or not yet removed what an earlier start has left.
    ": unavailable",
    ": container with given id already exists",
];
/// Part of a message of a program of the engine's that can't start a thread.
const NO_THREADS: &str = "\nsigabrt: abort\npc=";
/// Beginning of a message about what an earlier start has left.
const LEFT_TASK: &str = "failed to start shim: mkdir ";
/// What newer engines write before it.
const NEWER: &str = "failed to create task for container: ";
/// What containerd adds to a cause that it doesn't know.
const NO_CLASS: &str = ": unknown";

/// The engine's exit code of a check that didn't end in time.
const TOOK_TOO_LONG: i64 = -1;
/// Stands for what a check has found where the engine doesn't say it.
const NOT_KNOWN: &str = "the engine doesn't say why";

/// Speaks to the containerd of a node's own engine.
pub(crate) const CTR: Tool = Tool { program: "ctr", package: "containerd" };

/// Runs machines on a Docker engine.
pub struct DockerMachines {
    choice: EngineChoice,
    common: Common,
    pool: Pool,
    connection: Mutex<Option<Connection>>,
    changed: Notify,
    probes: Probes,
    seen: Seen,
    gpus: Gpus,
    giving_gpus: Mutex<()>,
    /// Names of images to be kept when room is short.
    wanted: SyncMutex<BTreeSet<String>>,
}

impl DockerMachines {
    /// Uses this engine, which need not run yet, and this pool.
    pub fn new(choice: EngineChoice, pool: Pool, node_key: &PublicKey, dns: &[IpAddr]) -> Self {
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        let most = |resource| getrlimit(resource).maximum.unwrap_or(u64::MAX);
        Self {
            choice,
            common: Common {
                names: Names::new(node_key),
                dns: dns.iter().map(ToString::to_string).collect(),
                cores,
                open_files: most(Resource::Nofile),
                locked_bytes: most(Resource::Memlock),
                masked_paths: masks::masked_paths(),
            },
            pool,
            connection: Mutex::new(None),
            changed: Notify::new(),
            probes: Probes::default(),
            seen: Seen::default(),
            gpus: Gpus::default(),
            giving_gpus: Mutex::default(),
            wanted: SyncMutex::default(),
        }
    }

    /// Listens to the engine's events and checks the health of machines, for ever. [`MachineDriver::changed`]
    /// resolves only while this runs.
    pub async fn listen(&self) {
        tokio::join!(self.listen_to_engine(), self.check_health());
    }

    async fn check_health(&self) {
        let mut checks = FuturesUnordered::new();
        loop {
            checks.extend(self.probes.take_due(Instant::now()).into_iter().map(Due::check));
            tokio::select! {
                Some(checked) = checks.next() => {
                    if self.probes.record(checked, Instant::now()) {
                        self.changed.notify_one();
                    }
                }
                () = sleep(PROBE_EVERY) => {}
            }
        }
    }

    async fn listen_to_engine(&self) {
        loop {
            if let Err(error) = self.listen_once().await {
                debug!("not listening to the engine: {error:#}");
            }
            // Events may have been missed.
            self.seen.forget(|_| true);
            self.changed.notify_one();
            sleep(LISTEN_AGAIN).await;
        }
    }

    async fn listen_once(&self) -> Result<(), DriverError> {
        let mut filters = self.common.names.filter();
        filters.insert("type".into(), vec!["container".into()]);
        filters.insert("event".into(), ["start", "die", "destroy", "health_status"].map(Into::into).to_vec());
        let options = EventsOptionsBuilder::default().filters(&filters).build();
        let docker = self.docker().await?;
        let mut unused = self.common.names.filter();
        unused.insert("dangling".into(), vec!["true".into()]);
        if let Err(error) = self.remove_volume_names(&docker, &unused).await {
            debug!("names of volumes that no machine has stay: {error:#}");
        }
        let mut events = Box::pin(docker.events(Some(options)));
        while let Some(event) = events.next().await {
            let event = event.map_err(|error| failure("listen to", &self.choice.socket, error))?;
            let container = event.actor.and_then(|actor| actor.id).unwrap_or_default();
            self.seen.forget(|id| id == container);
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Fails unless the engine answers and is fit for tenants.
    ///
    /// # Errors
    /// With what to do.
    pub async fn ready(&self) -> Result<(), DriverError> {
        self.pool.check().await?;
        self.connection().await.map(drop)
    }

    /// Whether this engine limits the roots of machines.
    ///
    /// # Errors
    /// If the engine doesn't answer.
    pub async fn limits_roots(&self) -> Result<bool, DriverError> {
        Ok(self.connection().await?.in_pool)
    }

    /// Fetches the machine's image, of at most `limit` bytes, from a registry of the agent's own, whose address needn't
    /// be public.
    ///
    /// # Errors
    /// As [`MachineDriver::fetch_image`].
    pub async fn fetch_own_image(&self, spec: &MachineSpec, limit: u64) -> Result<(), DriverError> {
        self.fetch(spec, ImageRules { limit, keep: false }, true).await.map(drop)
    }

    async fn fetch(
        &self,
        spec: &MachineSpec,
        rules: ImageRules,
        private_registries: bool,
    ) -> Result<bool, DriverError> {
        let connection = self.connection().await?;
        // What an engine elsewhere keeps isn't in the pool.
        let pool = connection.in_pool.then_some(&self.pool);
        let images = Images { docker: &connection.docker, pool, private_registries };
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        images.pull(spec, &self.common.names.image(&spec.id, &spec.hash), rules, &wanted).await
    }

    /// Removes the images of a contract that no other has.
    ///
    /// # Errors
    /// If the engine fails.
    pub async fn remove_images(&self, contract: ContractId) -> Result<(), DriverError> {
        let docker = self.docker().await?;
        for image in pull::named(&docker, &self.common.names.images(contract)).await? {
            pull::remove_image(&docker, &image).await;
        }
        Ok(())
    }

    /// From now on, the last run of a machine that has ended counts as stopped by the agent: it is to be started again.
    ///
    /// # Errors
    /// If that can't be noted.
    pub fn forget_end(&self, id: &WorkloadId) -> Result<(), DriverError> {
        let mark = self.mark(id);
        fs::write(&mark, "").map_err(|error| io_error("write", &mark, error))
    }

    /// A machine of this node, `None` if there is none with this name.
    ///
    /// # Errors
    /// If the engine fails.
    pub async fn machine(&self, id: &WorkloadId) -> Result<Option<ObservedMachine>, DriverError> {
        self.observe_machine(&self.docker().await?, &self.common.names.container(id)).await
    }

    /// User and group of the host that are root in machines.
    ///
    /// # Errors
    /// If the engine doesn't answer.
    pub async fn first_user(&self) -> Result<u32, DriverError> {
        Ok(self.connection().await?.first_user)
    }

    /// File of the network namespace from which this host reaches a machine, `None` for the host's own.
    ///
    /// # Errors
    /// If the engine fails.
    pub async fn namespace(&self, id: &WorkloadId) -> Result<Option<PathBuf>, DriverError> {
        let name = self.common.names.container(id);
        let inspected = self.inspect(&self.docker().await?, &name).await?;
        let labels = inspected.and_then(|inspected| inspected.config?.labels);
        Ok(labels.as_ref().and_then(names::address).map(|(namespace, _)| namespace))
    }

    /// Removes everything of this node; returns the numbers of containers and networks.
    ///
    /// # Errors
    /// If the engine fails.
    pub async fn purge(&self) -> Result<(usize, usize), DriverError> {
        let observed = self.observe().await?;
        for machine in &observed.machines {
            self.remove_machine(&machine.id).await?;
        }
        for contract in &observed.networks {
            self.remove_network(*contract).await?;
        }
        Ok((observed.machines.len(), observed.networks.len()))
    }

    fn make_failure(&self, action: &str, id: &WorkloadId, error: Error, theirs: &str) -> DriverError {
        make_failure(action, id, error, theirs, self.pool.is_full())
    }

    /// Ends a machine of which the engine doesn't know that it runs, so that it can be started; returns what to tell.
    async fn end_task(&self, id: &WorkloadId, task: &str) -> DriverError {
        let engine = Path::new(self.choice.socket.trim_start_matches("unix://"));
        let containerd = engine.with_file_name("containerd.sock");
        let address = containerd.to_string_lossy();
        let words = ["--address", &*address, "--namespace", "moby", "tasks", "delete", "--force", task];
        let ended = match run(&CTR, &words).await {
            // Containerd was killed before it made the task.
            Err(error) if error.to_string().contains("not found") => end_shim(&containerd, task).await,
            ended => ended.map(drop),
        };
        match ended {
            Ok(()) => DriverError::transient(format!("an interrupted start of {id} was undone")),
            Err(error) => DriverError::Transient(error),
        }
    }

    async fn docker(&self) -> Result<Docker, DriverError> {
        Ok(self.connection().await?.docker)
    }

    async fn connection(&self) -> Result<Connection, DriverError> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = &*kept {
            return Ok(connection.clone());
        }
        let connection = Connection::open(&self.choice).await?;
        info!(socket = self.choice.socket, "the Docker engine answers");
        limits::raise();
        *kept = Some(connection.clone());
        Ok(connection)
    }

    /// `None` if there is no such container.
    async fn inspect(
        &self,
        docker: &Docker,
        name: &str,
    ) -> Result<Option<ContainerInspectResponse>, DriverError> {
        existing(docker.inspect_container(name, None::<InspectContainerOptions>).await)
            .map_err(|error| failure("inspect", name, error))
    }

    async fn observe_machine(
        &self,
        docker: &Docker,
        id: &str,
    ) -> Result<Option<ObservedMachine>, DriverError> {
        let Some(inspected) = self.inspect(docker, id).await? else { return Ok(None) };
        let Some(machine) = observed_machine(id, &inspected) else { return Ok(None) };
        let labels = inspected.config.and_then(|config| config.labels).unwrap_or_default();
        Ok(Some(self.checked(machine, &labels)))
    }

    async fn observe_listed(
        &self,
        docker: &Docker,
        listed: &ContainerSummary,
    ) -> Result<Option<ObservedMachine>, DriverError> {
        let (Some(id), Some(labels)) = (&listed.id, &listed.labels) else { return Ok(None) };
        if let Some(machine) = self.seen.unchanged(listed) {
            return Ok(Some(self.checked(machine, labels)));
        }
        let changes = self.seen.changes();
        let Some(inspected) = self.inspect(docker, id).await? else { return Ok(None) };
        let Some(machine) = observed_machine(id, &inspected) else { return Ok(None) };
        // The engine tells the address of a machine that has just started a moment later.
        if matches!(machine.state, MachineState::Running { ip: Some(_), .. }) {
            self.seen.note(id, &machine, changes);
        }
        Ok(Some(self.checked(machine, labels)))
    }

    /// Adds what the engine doesn't tell of a machine: what the agent's own check says, and whether the agent stopped
    /// it.
    fn checked(&self, mut machine: ObservedMachine, labels: &HashMap<String, String>) -> ObservedMachine {
        match &mut machine.state {
            MachineState::Running { ip, condition } => {
                let place = names::address(labels);
                *ip = ip.or(place.as_ref().map(|(_, ip)| *ip));
                let target = labels.get(names::PROBE).and_then(|label| Target::parse(label));
                if let Some(target) = target {
                    let namespace = place.map(|(namespace, _)| namespace);
                    let (contract, instance) = (machine.id.contract, &machine.instance);
                    *condition = self.probes.condition(contract, instance, *ip, namespace, target);
                }
            }
            MachineState::Stopped { exit, .. } => *exit = exit.filter(|_| !self.mark(&machine.id).exists()),
        }
        machine
    }

    /// A file that is there while a machine is stopped by the agent, which its exit code doesn't tell.
    fn mark(&self, id: &WorkloadId) -> PathBuf {
        self.pool.stopped().join(self.common.names.container(id))
    }

    /// A file that is there as long as anything of a contract's network may be. An engine that is killed while it
    /// removes the network forgets it, and leaves its bridge.
    fn network_mark(&self, contract: ContractId) -> PathBuf {
        self.pool.networks().join(self.common.names.mark(contract))
    }

    async fn ensure_network(&self, docker: &Docker, contract: ContractId) -> Result<(), DriverError> {
        let is_there = self.has_network(docker, contract).await?;
        let alias = bridge::alias(contract).await?;
        if alias.as_ref().is_some_and(|alias| !self.owns_bridge(contract, alias, is_there)) {
            return Err(bridge::taken(contract));
        }
        if let Err(why) = self.pool.mark_network(&self.common.names.mark(contract)) {
            warn!(contract, "its bridge stays if the engine forgets it: {why:#}");
        }
        if !is_there {
            let network = contract_network(&self.common, contract, uplink::mtu().await?);
            let created = docker.create_network(network).await;
            created.map_err(|error| failure("create the network", &names::network(contract), error))?;
        }
        if alias.is_none_or(|alias| alias.is_empty()) {
            bridge::claim(contract, &self.common.names.alias()).await?;
        }
        Ok(())
    }

    /// Whether the contract's bridge, which has this alias, is this node's. The engine makes it without one.
    fn owns_bridge(&self, contract: ContractId, alias: &str, has_network: bool) -> bool {
        let is_engines = || has_network || self.network_mark(contract).exists();
        alias == self.common.names.alias() || (alias.is_empty() && is_engines())
    }

    /// Whether the engine has the contract's network. One of another node's is an error.
    async fn has_network(&self, docker: &Docker, contract: ContractId) -> Result<bool, DriverError> {
        let name = names::network(contract);
        let found = existing(docker.inspect_network(&name, None::<InspectNetworkOptions>).await)
            .map_err(|error| failure("inspect the network", &name, error))?;
        let Some(network) = found else { return Ok(false) };
        let labels = network.labels.unwrap_or_default();
        if labels.get(names::NODE).map(String::as_str) == Some(self.common.names.node()) {
            return Ok(true);
        }
        Err(DriverError::transient(format!(
            "the network {name} on this engine isn't this node's: remove it, or give this node an engine of its own by \
             leaving --engine out"
        )))
    }

    /// Whether the container exists, has this spec, and can be started. A different container is removed.
    async fn is_created(&self, docker: &Docker, name: &str, spec: &MachineSpec) -> Result<bool, DriverError> {
        let Some(found) = self.inspect(docker, name).await? else { return Ok(false) };
        let is_dead = found.state.and_then(|state| state.dead).unwrap_or(false);
        let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
        if !is_dead && labels.get(names::SPEC) == Some(&spec.hash) {
            return Ok(true);
        }
        self.remove_machine(&spec.id).await?;
        Ok(false)
    }

    async fn create_container(
        &self,
        connection: &Connection,
        name: &str,
        spec: &MachineSpec,
        binds: &[Bind],
    ) -> Result<(), DriverError> {
        let docker = &connection.docker;
        let reference = self.common.names.image(&spec.id, &spec.hash);
        let image = docker.inspect_image(&reference).await;
        let image = image.map_err(|error| self.make_failure("create", &spec.id, error, ""))?;
        let mut config = image.config.unwrap_or_default();
        let theirs = format!("{:?} {config:?}", spec.container);
        let paths = config.volumes.take().unwrap_or_default();
        let mut mounts = self.image_volumes(connection, spec, paths, binds).await?;
        mounts.extend_from_slice(binds);
        self.prepare(connection, binds)?;
        let mut body = container::container(&self.common, spec, reference, &config, &mounts);
        let _giving = self.give_gpus(docker, spec, &mut body).await?;
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let created = docker.create_container(Some(options), body).await;
        created.map(drop).map_err(|error| self.make_failure("create", &spec.id, error, &theirs))
    }

    /// Removes the engine's names of these volumes, and returns those that it keeps. Their content stays in the pool.
    async fn remove_volume_names(
        &self,
        docker: &Docker,
        filters: &HashMap<String, Vec<String>>,
    ) -> Result<Vec<String>, DriverError> {
        let options = ListVolumesOptionsBuilder::default().filters(filters).build();
        let listed = docker.list_volumes(Some(options)).await;
        let listed = listed.map_err(|error| failure("list the volumes of", &self.choice.socket, error))?;
        let mut kept = Vec::new();
        for volume in listed.volumes.unwrap_or_default() {
            match existing(docker.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await) {
                Err(error) if is_miscounted(&error) => {
                    info!(volume.name, "the engine keeps this name until it starts again");
                    kept.push(volume.name);
                }
                removed => {
                    removed.map_err(|error| failure("remove the volume", &volume.name, error))?;
                }
            }
        }
        Ok(kept)
    }
}

#[async_trait]
impl MachineDriver for DockerMachines {
    async fn observe(&self) -> Result<ObservedMachines, DriverError> {
        let docker = self.docker().await?;
        let filters = self.common.names.filter();
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let containers = docker
            .list_containers(Some(options))
            .await
            .map_err(|error| failure("list the containers of", &self.choice.socket, error))?;
        let inspects: Vec<_> = containers
            .iter()
            .filter_map(|found| Some((found, names::contract(found.labels.as_ref()?)?)))
            .map(|(found, contract)| {
                let inspect = timeout(INSPECT_TIMEOUT, self.observe_listed(&docker, found));
                inspect.map(move |inspected| (contract, inspected)).boxed()
            })
            .collect();
        let inspected: Vec<_> = stream::iter(inspects).buffer_unordered(MAX_INSPECTS).collect().await;
        let (mut machines, mut unreadable) = (Vec::new(), BTreeSet::new());
        for (contract, inspected) in inspected {
            let why = match inspected {
                Ok(Ok(machine)) => {
                    machines.extend(machine);
                    continue;
                }
                Ok(Err(error)) => format!("{:#}", anyhow::Error::from(error)),
                Err(_) => format!("a container can't be read within {INSPECT_TIMEOUT:?}"),
            };
            warn!(contract, why, "nothing of it is changed");
            unreadable.insert(contract);
        }
        if !unreadable.is_empty() {
            // Is it the engine that fails rather than a container?
            docker.ping().await.map_err(|error| failure("reach", &self.choice.socket, error))?;
        }

        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let networks = docker
            .list_networks(Some(options))
            .await
            .map_err(|error| failure("list the networks of", &self.choice.socket, error))?;
        let networks = networks.iter().filter_map(|network| names::contract(network.labels.as_ref()?));
        let marks = entries(&self.pool.networks())?;
        let networks = networks.chain(marks.iter().filter_map(|mark| self.common.names.marked(mark)));
        let observed = ObservedMachines { machines, networks: networks.collect(), unreadable };
        self.seen.forget(|id| !containers.iter().any(|found| found.id.as_deref() == Some(id)));
        self.probes.keep(|instance| observed.machines.iter().any(|machine| machine.instance == instance));
        Ok(observed)
    }

    async fn fetch_image(&self, spec: &MachineSpec, rules: ImageRules) -> Result<bool, DriverError> {
        self.fetch(spec, rules, self.choice.private_registries).await
    }

    fn want_images(&self, wanted: WantedImages) {
        let names = wanted.iter().map(|(id, hash)| self.common.names.image(id, hash)).collect();
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }

    async fn create(&self, spec: &MachineSpec, binds: &[Bind]) -> Result<(), DriverError> {
        let connection = self.connection().await?;
        let docker = &connection.docker;
        let name = self.common.names.container(&spec.id);
        self.renew_mounts(&spec.id).await?;
        let is_created = self.is_created(docker, &name, spec).await?;
        let files =
            async { if is_created { Ok(()) } else { self.prepare_files(&connection, &name, spec).await } };
        futures::try_join!(self.ensure_network(docker, spec.id.contract), files)?;
        if !is_created && let Err(error) = self.create_container(&connection, &name, spec, binds).await {
            self.drop_files(&connection, &name).await?;
            return Err(error);
        }
        let Some(container) = self.inspect(docker, &name).await? else {
            return Err(DriverError::transient(format!("the machine {} has vanished", spec.id)));
        };
        let root = self.limit_root(&connection, spec, &container);
        futures::try_join!(root, self.limit_files(&connection, &name, spec, &container))?;
        self.hand_over(&connection, &container, binds).await
    }

    async fn start(&self, id: &WorkloadId) -> Result<(), DriverError> {
        let name = self.common.names.container(id);
        let docker = self.docker().await?;
        self.renew_mounts(id).await?;
        let started = docker.start_container(&name, None::<StartContainerOptions>).await;
        let Err(error) = started else { return remove_mark(&self.mark(id)) };
        let container = self.inspect(&docker, &name).await?.unwrap_or_default();
        let theirs = format!("{:?} {:?}", container.config, container.mounts);
        match container.id {
            Some(task) if has_forgotten_task(&error) => Err(self.end_task(id, &task).await),
            _ => Err(self.make_failure("start", id, error, &theirs)),
        }
    }

    async fn stop(&self, id: &WorkloadId) -> Result<(), DriverError> {
        let name = self.common.names.container(id);
        let docker = self.docker().await?.with_timeout(STOP_TIMEOUT);
        let state = self.inspect(&docker, &name).await?.and_then(|container| container.state);
        if state.and_then(|state| state.running) != Some(true) {
            return Ok(());
        }
        self.forget_end(id)?;
        let stopped = docker.stop_container(&name, None::<StopContainerOptions>).await;
        existing(stopped).map(drop).map_err(|error| failure("stop the container", &name, error))
    }

    async fn remove_machine(&self, id: &WorkloadId) -> Result<(), DriverError> {
        self.stop(id).await?;
        let name = self.common.names.container(id);
        let docker = self.docker().await?;
        let container = self.inspect(&docker, &name).await?;
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let removed = docker.remove_container(&name, Some(options)).await;
        existing(removed).map_err(|error| failure("remove the container", &name, error))?;
        if let Some(image) = container.and_then(|container| container.config?.image)
            && let Err(error) = pull::tag(&docker, &image, &image).await
        {
            debug!(image, "can't note that it was used until now: {error}");
        }
        remove_mark(&self.mark(id))
    }

    async fn remove_network(&self, contract: ContractId) -> Result<(), DriverError> {
        let connection = self.connection().await?;
        let docker = &connection.docker;
        let name = names::network(contract);
        let labels = self.common.names.contract_labels(contract);
        let labels = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let labels = HashMap::from([("label".into(), labels)]);
        for kept in self.remove_volume_names(docker, &labels).await? {
            // Else a volume that is deleted keeps its room.
            disk::unmount(&connection, &kept).await?;
        }
        let is_there = self.has_network(docker, contract).await?;
        let alias = bridge::alias(contract).await?;
        let owns_bridge = alias.map(|alias| self.owns_bridge(contract, &alias, is_there));
        if is_there {
            // The engine removes the bridge with it.
            if owns_bridge == Some(false) {
                return Err(bridge::taken(contract));
            }
            existing(docker.remove_network(&name).await)
                .map_err(|error| failure("remove the network", &name, error))?;
        }
        if owns_bridge == Some(true) {
            bridge::remove(contract).await?;
        }
        remove_mark(&self.network_mark(contract))?;
        // In the pool its images may be of use to others, as long as there is room.
        if connection.in_pool { Ok(()) } else { self.remove_images(contract).await }
    }

    async fn process(&self, id: &WorkloadId) -> Result<Option<Process>, DriverError> {
        let name = self.common.names.container(id);
        let Some(inspected) = self.inspect(&self.docker().await?, &name).await? else { return Ok(None) };
        let container = inspected.id.as_deref().unwrap_or_default();
        let machine = observed_machine(container, &inspected).filter(ObservedMachine::is_running);
        let pid = inspected.state.and_then(|state| state.pid).filter(|pid| *pid > 0);
        Ok(machine.zip(pid).map(|(machine, pid)| Process { pid, instance: machine.instance }))
    }

    async fn last_words(&self, id: &WorkloadId) -> Result<Option<String>, DriverError> {
        let name = self.common.names.container(id);
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(LAST_LINES).build();
        let docker = self.docker().await?;
        let lines: Vec<_> = docker
            .logs(&name, Some(options))
            .try_collect()
            .await
            .map_err(|error| failure("read the output of", &name, error))?;
        let lines = lines.iter().rev().map(|line| line.to_string().trim().to_owned());
        Ok(lines.into_iter().find(|line| !line.is_empty()))
    }

    async fn usage(&self, id: &WorkloadId) -> Result<Option<MachineUsage>, DriverError> {
        let name = self.common.names.container(id);
        let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let docker = self.docker().await?;
        let mut stats = Box::pin(docker.stats(&name, Some(options)));
        let answer = timeout(Duration::from_secs(ANSWER_SECONDS), stats.next()).await;
        let Ok(Some(answer)) = answer else {
            return Err(DriverError::transient(format!(
                "the engine sent no usage of {name} within {ANSWER_SECONDS} s"
            )));
        };
        let stats = existing(answer).map_err(|error| failure("measure", &name, error))?;
        Ok(stats.and_then(machine_usage))
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }
}

fn remove_mark(mark: &Path) -> Result<(), DriverError> {
    match fs::remove_file(mark) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error("delete", mark, error)),
        _ => Ok(()),
    }
}

/// `None` instead of an error if the object doesn't exist or is in the wanted state.
fn existing<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Error::DockerResponseServerError { status_code: 304 | 404, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn failure(action: &str, object: &str, error: Error) -> DriverError {
    let hint = match error {
        Error::DockerResponseServerError { .. } | Error::DockerStreamError { .. } => "",
        _ => " (is the Docker engine running?)",
    };
    DriverError::Transient(anyhow::Error::from(error).context(format!("can't {action} {object}{hint}")))
}

/// A failed creation or start of a machine. The engine answers 400 or 500 to images and deployments that it
/// can't run, and tells them from troubles of its own in the text alone. `theirs` is what it may quote of a deployment
/// and its image.
fn make_failure(action: &str, id: &WorkloadId, error: Error, theirs: &str, is_full: bool) -> DriverError {
    let Error::DockerResponseServerError { status_code, message } = &error else {
        return failure(&format!("{action} the machine"), &id.to_string(), error);
    };
    // The message repeats words of the tenant's.
    if let Some(full) = pull::no_room(message, None).filter(|_| is_full && *status_code != 400) {
        return full;
    }
    let is_trouble = *status_code != 400 && is_engine_trouble(message, theirs);
    if is_trouble || PASSING.contains(status_code) {
        return failure(&format!("{action} the machine"), &id.to_string(), error);
    }
    DriverError::refused(format!("can't {action}: {message}"))
}

/// Whether the engine counts mounts of a volume that no machine has. Where it was started while a machine ran, it has
/// counted none of the machine's, and one less once that stops is more than all. Its next start begins at none again.
fn is_miscounted(error: &Error) -> bool {
    let Error::DockerResponseServerError { message, .. } = error else { return false };
    message.ends_with(": volume has active mounts")
}

/// Whether containerd has a task of the machine, or takes something for one, though the engine doesn't know it: one of
/// them was killed while it started the machine.
fn has_forgotten_task(error: &Error) -> bool {
    let Error::DockerResponseServerError { message, .. } = error else { return false };
    let task = message.strip_prefix("task ").and_then(|rest| rest.strip_suffix(": already exists"));
    message == "id already in use"
        || task.is_some_and(|task| !task.is_empty() && task.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether the message is about the engine or its host. Where `theirs` has the words by which that is known, so that the
/// message may be quoting them, they don't count: some messages end with what they quote.
fn is_engine_trouble(message: &str, theirs: &str) -> bool {
    let (message, theirs) = (message.to_ascii_lowercase(), theirs.to_ascii_lowercase());
    let cause = message.strip_suffix(NO_CLASS).unwrap_or(&message);
    // After what it says itself, a message quotes a value from its beginning.
    let is_quoted = |sign: &str| {
        theirs.contains(sign) || theirs.contains(&format!("\"{}", sign.trim_start_matches(": ")))
    };
    message.strip_prefix(NEWER).unwrap_or(&message).starts_with(LEFT_TASK)
        || (message.contains(NO_THREADS) && !theirs.contains("sigabrt"))
        || ENGINE_TROUBLE.iter().any(|sign| cause.ends_with(*sign) && !is_quoted(sign))
}

/// Whether the text contains one of these, in lower case.
fn contains_any(text: &str, signs: &[&str]) -> bool {
    let text = text.to_lowercase();
    signs.iter().any(|sign| text.contains(sign))
}

/// `None` if the labels aren't those of a machine.
fn observed_machine(id: &str, inspected: &ContainerInspectResponse) -> Option<ObservedMachine> {
    let labels = inspected.config.as_ref()?.labels.as_ref()?;
    let state = inspected.state.as_ref()?;
    let started = state.started_at.as_deref().unwrap_or_default();
    Some(ObservedMachine {
        id: names::workload(labels)?,
        hash: labels.get(names::SPEC).cloned().unwrap_or_default(),
        instance: format!("{id}@{started}"),
        state: machine_state(state, address(inspected)),
    })
}

fn machine_state(state: &ContainerState, ip: Option<IpAddr>) -> MachineState {
    match state.status {
        // A container that somebody has paused by hand is left alone.
        Some(ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::PAUSED) => {
            MachineState::Running { ip, condition: condition(state) }
        }
        Some(ContainerStateStatusEnum::CREATED) => {
            let why = state.error.as_deref().filter(|error| !error.is_empty());
            MachineState::Stopped { how: why.unwrap_or("never started").to_owned(), exit: None }
        }
        _ => {
            let code = state.exit_code.unwrap_or(-1);
            let is_out_of_memory = state.oom_killed == Some(true);
            let cause = if is_out_of_memory { "out of memory, " } else { "" };
            MachineState::Stopped { how: format!("{cause}exit code {code}"), exit: Some(code) }
        }
    }
}

/// What the check says that the engine makes.
fn condition(state: &ContainerState) -> Condition {
    let health = state.health.as_ref();
    match health.and_then(|health| health.status) {
        Some(HealthStatusEnum::STARTING) => Condition::Starting,
        Some(HealthStatusEnum::HEALTHY) => Condition::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => {
            let last = health.and_then(|health| health.log.as_ref()?.last());
            Condition::Unhealthy(last.map_or_else(|| NOT_KNOWN.into(), found))
        }
        Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) | None => Condition::Unchecked,
    }
}

/// What a check has found: its output; where there is none, how it ended.
fn found(check: &HealthcheckResult) -> String {
    match (check.output.as_deref().map(str::trim), check.exit_code) {
        (Some(output), _) if !output.is_empty() => output.to_owned(),
        (_, Some(TOOK_TOO_LONG)) => "the check takes too long".into(),
        (_, Some(code)) => format!("the check has exit code {code} and no output"),
        (_, None) => NOT_KNOWN.into(),
    }
}

fn address(inspected: &ContainerInspectResponse) -> Option<IpAddr> {
    let networks = inspected.network_settings.as_ref()?.networks.as_ref()?;
    networks.values().find_map(|endpoint| endpoint.ip_address.as_ref()?.parse().ok())
}

/// `None` if the container doesn't run: the engine has no figures then.
fn machine_usage(stats: ContainerStatsResponse) -> Option<MachineUsage> {
    let cpu_ns = stats.cpu_stats?.cpu_usage?.total_usage?;
    let memory = stats.memory_stats?;
    let in_use = memory.usage?;
    let traffic = stats.networks.unwrap_or_default();
    let sum = |bytes: fn(&bollard::models::ContainerNetworkStats) -> Option<u64>| {
        traffic.values().filter_map(bytes).fold(0u64, u64::saturating_add)
    };
    Some(MachineUsage {
        cpu_ms: cpu_ns / NANOS_PER_MS,
        memory_bytes: in_use.saturating_sub(reclaimable(memory.stats.as_ref())),
        received_bytes: sum(|network| network.rx_bytes),
        sent_bytes: sum(|network| network.tx_bytes),
    })
}

/// File cache that the kernel can reclaim. Cgroups v1 and v2 name it differently.
fn reclaimable(stats: Option<&HashMap<String, u64>>) -> u64 {
    let value = |name: &str| stats.and_then(|stats| stats.get(name)).copied();
    value("total_inactive_file").or_else(|| value("inactive_file")).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::Health;
    use tfgrid_primitives::FailureCode;

    #[test]
    fn a_task_that_the_engine_has_forgotten_is_noticed() {
        let is_noticed = |message: &str| {
            let message = message.into();
            has_forgotten_task(&Error::DockerResponseServerError { status_code: 500, message })
        };
        assert!(is_noticed("task 81f028a3: already exists") && is_noticed("id already in use"));
        for other in ["task --x: already exists", "task : already exists", "exec: \"id already in use\""] {
            assert!(!is_noticed(other), "{other}");
        }
    }

    #[test]
    fn an_unhealthy_machine_always_has_a_reason() {
        let reason = |exit_code: Option<i64>, output: &str| {
            let check = HealthcheckResult { exit_code, output: Some(output.into()), ..Default::default() };
            let health = Health {
                status: Some(HealthStatusEnum::UNHEALTHY),
                log: Some(vec![check]),
                ..Default::default()
            };
            match condition(&ContainerState { health: Some(health), ..Default::default() }) {
                Condition::Unhealthy(found) => found,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(reason(Some(1), "no answer\n"), "no answer");
        assert_eq!(reason(Some(3), "\n"), "the check has exit code 3 and no output");
        assert_eq!(reason(Some(-1), ""), "the check takes too long");
        assert_eq!(reason(None, ""), NOT_KNOWN);
    }

    #[test]
    fn a_machine_out_of_memory_has_its_exit_code_too() {
        let state = |oom_killed| ContainerState {
            status: Some(ContainerStateStatusEnum::EXITED),
            exit_code: Some(137),
            oom_killed: Some(oom_killed),
            ..Default::default()
        };
        let ended = |how: &str| MachineState::Stopped { how: how.into(), exit: Some(137) };
        assert_eq!(machine_state(&state(true), None), ended("out of memory, exit code 137"));
        assert_eq!(machine_state(&state(false), None), ended("exit code 137"));
    }

    #[test]
    fn a_refused_machine_differs_from_a_troubled_engine() {
        let id = WorkloadId { contract: 7, name: "web".into() };
        let answer = |status_code, message: &str| {
            let message = message.into();
            make_failure("create", &id, Error::DockerResponseServerError { status_code, message }, "", true)
        };
        let refused = |error| matches!(error, DriverError::Refused { .. });
        assert!(refused(answer(500, "cannot mount volume over existing file, file exists /etc/passwd")));
        assert!(refused(answer(400, "OCI runtime create failed: exec: \"/nothing\": no such file")));
        assert!(refused(answer(400, "exec: \"context canceled\": executable file not found in $PATH")));

        let passes = |error| matches!(error, DriverError::Transient(_));
        assert!(passes(answer(404, "No such image: localhost/web:1")));
        assert!(passes(answer(409, "Conflict. The container name \"/zos-7\" is already in use")));
        assert!(passes(answer(500, "containerd.sock: connect: connection refused")));
        assert!(passes(answer(500, "transport is closing: unavailable")));
        assert!(passes(answer(500, "failed to start shim: mkdir /run/zos/ab/moby/81: file exists: unknown")));
        assert!(passes(answer(500, "runc create failed: container with given ID already exists: unknown")));
        assert!(passes(answer(
            500,
            "failed to create task for container: failed to start shim: mkdir /x: file exists"
        )));
        assert!(passes(make_failure("create", &id, Error::RequestTimeoutError, "", true)));

        let full = answer(500, "mkdir /var/lib/docker/overlay2/x: no space left on device");
        assert!(matches!(full, DriverError::Invalid { code: FailureCode::NodeFull, .. }));
        // The name of a program of the tenant's doesn't fill the node.
        let named = "exec: \"no space left on device\": executable file not found in $PATH";
        assert!(refused(answer(400, named)));
        let message = named.into();
        let error = Error::DockerResponseServerError { status_code: 500, message };
        assert!(refused(make_failure("create", &id, error, "", false)));
    }

    #[test]
    fn no_words_of_a_tenants_are_a_trouble_of_the_engine() {
        let signs = ENGINE_TROUBLE.into_iter().chain([LEFT_TASK]);
        for sign in signs.map(|sign| sign.trim_start_matches(": ")) {
            for message in [
                format!("runc create failed: exec: \"/x: {sign}\": not found: unknown"),
                format!("unable to find user {sign}: no matching entries in passwd file"),
                format!("mkdir /root/a: {sign}/b: not a directory"),
            ] {
                assert!(!is_engine_trouble(&message, ""), "{message}");
            }
            let (path, message) = (format!("/a: {sign}"), format!("file exists /root/a: {sign}"));
            assert!(!is_engine_trouble(&message, &format!("{:?}", ["/data", path.as_str()])), "{message}");
            assert!(!is_engine_trouble(&message.to_uppercase(), &path.to_uppercase()), "{message}");
            assert!(!is_engine_trouble(&format!("bad user: {sign}"), &format!("{sign:?}")), "{sign}");
        }
        assert!(is_engine_trouble("open /run/x: Too many open files: unknown", "/data too many"));
        let check = r#"["CMD-SHELL", "curl x || echo unavailable"]"#;
        assert!(is_engine_trouble("transport is closing: unavailable", check));
        let no_threads = "runc did not terminate successfully: exit status 2: runtime/cgo: pthread_create failed: \
                          Resource temporarily unavailable\nSIGABRT: abort\nPC=0x7f m=0 sigcode=18446744073709551610";
        assert!(is_engine_trouble(no_threads, check));
        assert!(!is_engine_trouble(no_threads, r"x\nSIGABRT: abort\nPC="));
    }
}
