// SPDX-License-Identifier: Apache-2.0
//! The self-test, at each start of the agent: a machine of the agent's own tries what tenants rely on. Before it has
//! passed, no ticket is spent, no heartbeat is sent and no tenant's workload is started.

mod registry;

use crate::{
    backoff::Backoff,
    clock::unix_ms,
    drivers::{
        Bind, ContainerSpec, DriverError, FirewallDriver, MachineDriver, MachineSpec, MachineState,
        VolumeDriver, VolumeSpec, WorkloadId, machine::DockerMachines, tools::run, uplink::IP,
    },
    metrics::Metrics,
    store::Store,
};
use anyhow::{Error, Result};
use registry::Registry;
use serde::{Deserialize, Serialize};
use std::{
    io,
    net::IpAddr,
    time::{Duration, Instant},
};
use tfgrid_client::deployment::DiskKind;
use tfgrid_primitives::{ContractId, units::MIB};
use tokio::{
    net::TcpStream,
    sync::Notify,
    time::{sleep, timeout},
};
use tracing::{error, info, warn};

const FILE: &str = "self-test.json";
/// The chain counts its contracts up from 1.
const CONTRACT: ContractId = ContractId::MAX;
const PORT: u16 = 80;
/// An address that isn't public, which its machine tries to reach.
const NOT_PUBLIC: &str = "203.0.113.254";
/// Volumes, with where they are mounted and their disks.
const VOLUMES: [(&str, &str, DiskKind); 2] =
    [("data", "/data", DiskKind::Ssd), ("hdd", "/hdd", DiskKind::Hdd)];
/// Bytes of its root, and of each volume.
const DISK: u64 = 16 * MIB;
/// Limit for the whole test.
const LIMIT: Duration = Duration::from_secs(60);
/// Limit for the engine to answer.
const ENGINE_STARTS_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Limit for the machine to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const AGAIN: Backoff = Backoff { first: Duration::from_secs(2), most: Duration::from_secs(60) };

/// Outcome of the last self-test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// When it ended, in milliseconds since 1970.
    pub at_ms: u64,
    /// How long it took.
    pub took_ms: u64,
    /// Why it failed.
    pub failure: Option<String>,
}

impl Outcome {
    /// That of the last test on this node, `None` before the first.
    ///
    /// # Errors
    /// If its file is damaged.
    pub fn last(store: &Store) -> Result<Option<Self>> {
        store.read(FILE)
    }
}

/// What the self-test tests.
pub struct SelfTest<'a> {
    /// Machines and networks.
    pub machines: &'a DockerMachines,
    /// Volumes.
    pub volumes: &'a dyn VolumeDriver,
    /// The firewall.
    pub firewall: &'a dyn FirewallDriver,
    /// Whether there are volumes on hard disks.
    pub has_hard_disks: bool,
}

impl SelfTest<'_> {
    /// Tests until a test has passed; tells of each that `failed`.
    pub async fn until_passed(&self, store: &Store, metrics: &Metrics, failed: &Notify) {
        let mut failures = 0u32;
        loop {
            let begun = Instant::now();
            let result = self.run().await;
            let took = begun.elapsed();
            metrics.self_test_passed.set(result.is_ok().into());
            let outcome = Outcome {
                at_ms: unix_ms(),
                took_ms: took.as_millis().try_into().unwrap_or(u64::MAX),
                failure: result.err().map(|why| format!("{:#}", Error::from(why))),
            };
            if let Err(error) = store.write(FILE, &outcome) {
                error!("{error:#}");
            }
            let Some(why) = outcome.failure else {
                info!(?took, "the self-test has passed");
                return;
            };
            failures = failures.saturating_add(1);
            let delay = AGAIN.delay(failures);
            warn!(retry_in = ?delay, "no heartbeats, nothing is started: the self-test has failed: {why}");
            failed.notify_one();
            sleep(delay).await;
        }
    }

    /// One test. Removes everything of it, and what the crash of an earlier one has left.
    ///
    /// # Errors
    /// If anything fails on which tenants rely.
    pub async fn run(&self) -> Result<(), DriverError> {
        let all = async {
            self.firewall.ensure().await?;
            self.await_engine().await?;
            self.clean().await?;
            self.try_machine().await
        };
        let too_long = |_| Err(DriverError::transient(format!("it took more than {LIMIT:?}")));
        let tried = timeout(LIMIT, all).await.unwrap_or_else(too_long);
        tried.and(timeout(LIMIT, self.clean()).await.unwrap_or_else(too_long))
    }

    /// The agent has just started the engine.
    async fn await_engine(&self) -> Result<(), DriverError> {
        let begun = Instant::now();
        loop {
            match self.machines.ready().await {
                Err(_) if begun.elapsed() < ENGINE_STARTS_WITHIN => sleep(LOOK_EVERY).await,
                ready => return ready,
            }
        }
    }

    async fn try_machine(&self) -> Result<(), DriverError> {
        let machines = self.machines;
        let mut spec = spec(machines.limits_roots().await?);
        let mut binds = Vec::new();
        for (name, target, disk) in self.volumes_to_try() {
            let (id, pointer) = (id(name), String::new());
            let volume = VolumeSpec { id: id.clone(), pointer, size: DISK, disk, restores: false };
            self.volumes.ensure(&volume).await?;
            binds.push(Bind { source: self.volumes.folder(&id).await?, target: target.into() });
            spec.container.mounts.push((name.into(), target.into()));
            spec.container.args.extend([target.to_owned(), DISK.to_string()]);
        }
        self.pull(&mut spec).await?;
        let refused_before = self.firewall.refused().await?;
        machines.create(&spec, &binds).await?;
        machines.start(&spec.id).await?;
        while !self.answers(&spec.id).await? {
            sleep(LOOK_EVERY).await;
        }
        // A host without a way there forwards nothing.
        let has_route = run(&IP, &["route", "get", NOT_PUBLIC]).await.is_ok();
        if has_route && self.firewall.refused().await? == refused_before {
            let why =
                format!("packets to {NOT_PUBLIC} pass: no firewall keeps tenants from the farm's network");
            return Err(DriverError::transient(why));
        }
        Ok(())
    }

    fn volumes_to_try(&self) -> impl Iterator<Item = (&'static str, &'static str, DiskKind)> {
        let has_hard_disks = self.has_hard_disks;
        VOLUMES.into_iter().filter(move |(_, _, disk)| has_hard_disks || *disk == DiskKind::Ssd)
    }

    /// Has the engine fetch the machine's image from a registry of this agent.
    async fn pull(&self, spec: &mut MachineSpec) -> Result<(), DriverError> {
        let failed = |error: io::Error| DriverError::transient(format!("its registry can't serve: {error}"));
        let registry = Registry::bind().await.map_err(failed)?;
        spec.container.image = registry.image();
        self.firewall.let_engine_reach(Some(registry.address())).await?;
        tokio::select! {
            fetched = self.machines.fetch_own_image(spec, DISK) => fetched?,
            error = registry.serve() => return Err(failed(error)),
        }
        self.firewall.let_engine_reach(None).await
    }

    /// Whether the machine has found everything as it should be, and is reached by its network.
    async fn answers(&self, id: &WorkloadId) -> Result<bool, DriverError> {
        match self.machines.machine(id).await?.map(|machine| machine.state) {
            Some(MachineState::Running { ip: Some(ip), .. }) => Ok(connects(ip).await),
            Some(MachineState::Running { ip: None, .. }) => Ok(false),
            Some(MachineState::Stopped { how, .. }) => {
                let said = self.machines.last_words(id).await?.unwrap_or_default();
                Err(DriverError::transient(format!("its machine has ended with {how}: {said}")))
            }
            None => Err(DriverError::transient("its machine has vanished")),
        }
    }

    async fn clean(&self) -> Result<(), DriverError> {
        self.firewall.let_engine_reach(None).await?;
        self.machines.remove_machine(&id("machine")).await?;
        for (name, ..) in self.volumes_to_try() {
            self.volumes.delete(&id(name)).await?;
        }
        self.machines.remove_network(CONTRACT).await?;
        self.machines.remove_images(CONTRACT).await
    }
}

async fn connects(ip: IpAddr) -> bool {
    matches!(timeout(CONNECT_TIMEOUT, TcpStream::connect((ip, PORT))).await, Ok(Ok(_)))
}

fn id(name: &str) -> WorkloadId {
    WorkloadId { contract: CONTRACT, name: name.into() }
}

fn spec(limits_root: bool) -> MachineSpec {
    let limits = limits_root.then(|| ["/".to_owned(), DISK.to_string()]).into_iter().flatten();
    MachineSpec {
        id: id("machine"),
        version: 1,
        pointer: String::new(),
        restart: Default::default(),
        is_held: false,
        container: ContainerSpec {
            cpu: 100,
            memory: 64 * MIB,
            rootfs: DISK,
            entrypoint: vec!["/machine".into()],
            args: [PORT.to_string()].into_iter().chain(limits).collect(),
            ..Default::default()
        },
        registry: None,
        attachment: Default::default(),
        public: None,
        hash: "self-test".into(),
    }
}
