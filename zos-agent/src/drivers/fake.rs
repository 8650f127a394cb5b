// SPDX-License-Identifier: Apache-2.0
//! Drivers in memory. Tests make them fail, hang or crash.

#![allow(missing_docs, clippy::new_without_default)]

use super::{
    AddressDriver, AddressSpec, Bind, Condition, Counted, DriverError, FirewallDriver, GatewayDriver,
    GatewayGrants, GatewayHost, GatewaySpec, ImageRules, MachineDriver, MachineSpec, MachineState,
    MachineUsage, NetworkDriver, NetworkId, NetworkSpec, ObservedAddresses, ObservedGateway, ObservedLink,
    ObservedMachine, ObservedMachines, ObservedNetwork, ObservedNetworks, ObservedPort, ObservedVolume,
    ObservedVolumes, Process, TrafficCounter, VolumeDriver, VolumeSpec, WantedImages, WorkloadId,
    pool::PoolFault,
};
use async_trait::async_trait;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};
use tfgrid_client::deployment::DiskKind;
use tfgrid_primitives::{ContractId, FailureCode};
use tokio::sync::{Notify, watch};

/// A host. Clones are the same host, so it outlives the agents that work on it.
#[derive(Clone)]
pub struct FakeHost {
    state: Arc<Mutex<State>>,
    events: Arc<Notify>,
    pub points: Points,
    /// Increases with every change and observation; tests wait on it.
    changes: Arc<watch::Sender<u64>>,
}

/// Points at which an agent may be killed. Clones are the same points.
#[derive(Clone)]
pub struct Points(Arc<watch::Sender<PointsLeft>>);

#[derive(Default)]
pub struct PointsLeft {
    /// Number of points until everything hangs.
    left: Option<u32>,
    /// Where something hangs now.
    hangs_at: Option<&'static str>,
}

impl Points {
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(PointsLeft::default())))
    }

    /// After so many more points, everything hangs; with `None`, nothing does.
    pub fn hang_after(&self, left: Option<u32>) {
        self.0.send_replace(PointsLeft { left, hangs_at: None });
    }

    /// Where something hangs now.
    pub fn hangs_at(&self) -> Option<&'static str> {
        self.0.borrow().hangs_at
    }

    /// Resolves when something begins to hang.
    pub fn changes(&self) -> watch::Receiver<PointsLeft> {
        self.0.subscribe()
    }

    /// Waits until this may go on.
    pub async fn point(&self, name: &'static str) {
        let mut left = self.0.subscribe();
        self.0.send_if_modified(|points| {
            let hangs = points.left == Some(0) && points.hangs_at.is_none();
            if hangs {
                points.hangs_at = Some(name);
            }
            hangs
        });
        // The sender lives as long as this.
        let _ = left.wait_for(|points| points.left != Some(0)).await;
        self.0.send_if_modified(|points| {
            points.left = points.left.map(|left| left.saturating_sub(1));
            false
        });
    }
}

#[derive(Default)]
struct State {
    machines: BTreeMap<WorkloadId, ObservedMachine>,
    networks: BTreeSet<ContractId>,
    private_networks: Vec<ObservedNetwork>,
    ports: Vec<ObservedPort>,
    addresses: BTreeMap<WorkloadId, AddressSpec>,
    links: Vec<ObservedLink>,
    counted: BTreeMap<ContractId, Counted>,
    /// Contracts whose machines are slow.
    slow: BTreeSet<ContractId>,
    grants: GatewayGrants,
    sites: BTreeMap<WorkloadId, GatewaySpec>,
    volumes: BTreeMap<WorkloadId, ObservedVolume>,
    binds: BTreeMap<WorkloadId, Vec<Bind>>,
    /// Behaviour of images when they are pulled.
    images: BTreeMap<String, Image>,
    /// Images on the host.
    pulled: BTreeSet<String>,
    wanted: WantedImages,
    /// Names of machines that exit as soon as they are started, with these codes.
    ending: BTreeMap<String, i64>,
    /// What health checks say, by names of machines.
    conditions: BTreeMap<String, Condition>,
    /// Names of machines that the engine refuses to create.
    uncreatable: BTreeSet<String>,
    /// Names of machines that the engine refuses to start.
    unstartable: BTreeSet<String>,
    /// Names of machines that can't be read.
    unreadable: BTreeSet<String>,
    /// Names of machines that take for ever to stop.
    unstoppable: BTreeSet<String>,
    usage: BTreeMap<WorkloadId, MachineUsage>,
    starts: u64,
    engine_stopped: bool,
    firewall_broken: bool,
    faults: Vec<(DiskKind, PoolFault)>,
    log: Vec<String>,
    observations: u32,
    observations_since_change: u32,
}

/// Behaviour of an image when it is pulled.
#[derive(Clone, Debug)]
pub enum Image {
    /// It can't be had, for this reason.
    Refused(FailureCode),
    /// So many pulls fail before one succeeds.
    Flaky(u32),
    /// So many pulls get something else than its digest says before one succeeds.
    Corrupt(u32),
    /// A pull never ends.
    Stuck,
}

/// Machines with the hashes of their specs, whether they run and what is mounted in them; networks; volumes.
#[derive(Debug, PartialEq, Eq)]
pub struct World {
    machines: Vec<(WorkloadId, String, bool, Vec<Bind>)>,
    networks: BTreeSet<ContractId>,
    volumes: Vec<ObservedVolume>,
}

impl FakeHost {
    pub fn new() -> Self {
        Self {
            state: Default::default(),
            events: Arc::new(Notify::new()),
            points: Points::new(),
            changes: Arc::new(watch::Sender::new(0)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Logs a change that the caller makes.
    fn act(&self, what: String) -> MutexGuard<'_, State> {
        self.changes.send_modify(|changes| *changes += 1);
        let mut state = self.state();
        state.log.push(what);
        state.observations_since_change = 0;
        state
    }

    /// A point of a step. Each has two: before it is done, and before that is known.
    async fn point(&self) {
        self.points.point("step").await;
    }

    /// Does a step.
    async fn done(&self, step: impl FnOnce() -> Result<(), DriverError> + Send) -> Result<(), DriverError> {
        self.point().await;
        let done = step();
        self.point().await;
        done
    }

    /// What is on the host, without what differs from one run to the next.
    pub fn world(&self) -> World {
        let state = self.state();
        let machine = |machine: &ObservedMachine| {
            let binds = state.binds.get(&machine.id).cloned().unwrap_or_default();
            (machine.id.clone(), machine.hash.clone(), machine.is_running(), binds)
        };
        World {
            machines: state.machines.values().map(machine).collect(),
            networks: state.networks.clone(),
            volumes: state.volumes.values().cloned().collect(),
        }
    }

    /// Machines whose images are wanted.
    pub fn wanted_images(&self) -> WantedImages {
        self.state().wanted.clone()
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Sets the behaviour of an image. Other images are pulled at once.
    pub fn image(&self, image: &str, behaviour: Image) {
        self.state().images.insert(image.into(), behaviour);
    }

    /// From now on, machines of this name exit at once, or don't.
    pub fn crash(&self, name: &str, crashes: bool) {
        self.end_with(name, crashes.then_some(1));
    }

    /// From now on, machines of this name exit at once with this code, or don't.
    pub fn end_with(&self, name: &str, code: Option<i64>) {
        let ending = &mut self.state().ending;
        match code {
            Some(code) => drop(ending.insert(name.into(), code)),
            None => drop(ending.remove(name)),
        }
    }

    /// From now on, health checks of machines of this name say this.
    pub fn set_condition(&self, name: &str, now: Condition) {
        let mut state = self.act(format!("{name} is {now:?}"));
        for machine in state.machines.values_mut().filter(|machine| machine.id.name == name) {
            if let MachineState::Running { condition, .. } = &mut machine.state {
                *condition = now.clone();
            }
        }
        state.conditions.insert(name.into(), now);
        drop(state);
        self.events.notify_one();
    }

    /// From now on, the engine refuses to create machines of this name, or doesn't.
    pub fn refuse_create(&self, name: &str, refuses: bool) {
        set(&mut self.state().uncreatable, name, refuses);
    }

    /// From now on, the engine refuses to start machines of this name, or doesn't.
    pub fn refuse_start(&self, name: &str, refuses: bool) {
        set(&mut self.state().unstartable, name, refuses);
    }

    /// From now on, machines of this name can't be read, or can.
    pub fn hide(&self, name: &str, hidden: bool) {
        set(&mut self.act(format!("hidden {name}: {hidden}")).unreadable, name, hidden);
        self.events.notify_one();
    }

    /// From now on, machines of this name take for ever to stop, or don't.
    pub fn never_stop(&self, name: &str, never: bool) {
        set(&mut self.state().unstoppable, name, never);
    }

    /// The container engine stops, or starts again.
    pub fn stop_engine(&self, stopped: bool) {
        self.state().engine_stopped = stopped;
    }

    /// From now on, this is wrong with the storage pools.
    pub fn fault(&self, faults: &[(DiskKind, PoolFault)]) {
        self.state().faults = faults.to_vec();
    }

    /// From now on, the firewall's rules can't be set, or can.
    pub fn break_firewall(&self, broken: bool) {
        self.state().firewall_broken = broken;
    }

    /// Somebody removes all private networks.
    pub fn lose_networks(&self) {
        let mut state = self.act("lost all private networks".into());
        state.private_networks.clear();
        state.ports.clear();
        drop(state);
        self.events.notify_one();
    }

    /// A running machine exits with code 1.
    pub fn exit(&self, contract: ContractId, name: &str) {
        self.exit_with(contract, name, 1);
    }

    /// A running machine exits.
    pub fn exit_with(&self, contract: ContractId, name: &str, code: i64) {
        let id = WorkloadId { contract, name: name.into() };
        let mut state = self.act(format!("exit {id}"));
        state.machines.get_mut(&id).unwrap().state = ended(code);
        drop(state);
        self.events.notify_one();
    }

    /// All machines stop.
    pub fn reboot(&self) {
        let mut state = self.act("reboot".into());
        for machine in state.machines.values_mut() {
            machine.state = ended(137);
        }
        drop(state);
        self.events.notify_one();
    }

    pub fn is_running(&self, contract: ContractId, name: &str) -> bool {
        let id = WorkloadId { contract, name: name.into() };
        self.state().machines.get(&id).is_some_and(ObservedMachine::is_running)
    }

    pub fn instance(&self, contract: ContractId, name: &str) -> Option<String> {
        let id = WorkloadId { contract, name: name.into() };
        self.state().machines.get(&id).map(|machine| machine.instance.clone())
    }

    /// Hash of the machine's spec.
    pub fn hash(&self, contract: ContractId, name: &str) -> Option<String> {
        let id = WorkloadId { contract, name: name.into() };
        self.state().machines.get(&id).map(|machine| machine.hash.clone())
    }

    /// The machine vanishes.
    pub fn lose(&self, contract: ContractId, name: &str) {
        let id = WorkloadId { contract, name: name.into() };
        self.act(format!("lost {id}")).machines.remove(&id);
        self.events.notify_one();
    }

    /// Sets the disk space of the volume's content.
    pub fn write(&self, contract: ContractId, name: &str, used: u64) {
        let id = WorkloadId { contract, name: name.into() };
        self.state().volumes.get_mut(&id).unwrap().used = used;
    }

    pub fn volume(&self, contract: ContractId, name: &str) -> Option<ObservedVolume> {
        self.state().volumes.get(&WorkloadId { contract, name: name.into() }).cloned()
    }

    pub fn is_empty(&self) -> bool {
        let state = self.state();
        state.machines.is_empty()
            && state.networks.is_empty()
            && state.private_networks.is_empty()
            && state.addresses.is_empty()
            && state.sites.is_empty()
            && state.volumes.is_empty()
    }

    pub fn use_up(&self, contract: ContractId, name: &str, usage: MachineUsage) {
        self.state().usage.insert(WorkloadId { contract, name: name.into() }, usage);
    }

    /// The counters of public traffic show this.
    pub fn count(&self, contract: ContractId, counted: Counted) {
        self.act(format!("counted {counted:?} of {contract}")).counted.insert(contract, counted);
    }

    /// Whether machines of a contract are slow.
    pub fn is_slow(&self, contract: ContractId) -> bool {
        self.state().slow.contains(&contract)
    }

    /// Public addresses that the present run of a machine has.
    pub fn public_ips(&self, contract: ContractId, name: &str) -> Vec<IpAddr> {
        let state = self.state();
        let id = WorkloadId { contract, name: name.into() };
        let instance = state.machines.get(&id).map(|machine| &machine.instance);
        let link = state.links.iter().find(|link| link.machine == id && Some(&link.instance) == instance);
        link.map(|link| link.ips.clone()).unwrap_or_default()
    }

    /// Number of observations.
    pub fn observations(&self) -> u32 {
        self.state().observations
    }

    /// Number of observations since the last change.
    pub fn observations_since_change(&self) -> u32 {
        self.state().observations_since_change
    }

    /// Number of observations since `what`, zero if it wasn't the last change.
    pub fn observations_after(&self, what: &str) -> u32 {
        let state = self.state();
        match state.log.last() {
            Some(last) if last == what => state.observations_since_change,
            _ => 0,
        }
    }

    /// All changes, oldest first.
    pub fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }
}

fn ended(code: i64) -> MachineState {
    MachineState::Stopped { how: format!("exit code {code}"), exit: Some(code) }
}

fn set(names: &mut BTreeSet<String>, name: &str, present: bool) {
    if present {
        names.insert(name.into());
    } else {
        names.remove(name);
    }
}

/// Logs on drop that a pull was cancelled.
struct CancelledPull<'a> {
    host: &'a FakeHost,
    image: &'a str,
}

impl Drop for CancelledPull<'_> {
    fn drop(&mut self) {
        drop(self.host.act(format!("cancel {}", self.image)));
    }
}

/// Address of a site, or why it isn't published.
fn published(spec: &GatewaySpec, grants: &GatewayGrants) -> Result<String, String> {
    match (&spec.host, &grants.domain) {
        (GatewayHost::Domain(fqdn), _) => Ok(format!("https://{fqdn}")),
        (GatewayHost::Name(name), Some(domain)) if grants.holders.get(name) == Some(&spec.twin) => {
            Ok(format!("https://{name}.{domain}"))
        }
        (GatewayHost::Name(name), _) => Err(format!("{name} isn't yours")),
    }
}

#[async_trait]
impl GatewayDriver for FakeHost {
    fn grant(&self, grants: &GatewayGrants) {
        self.state().grants = grants.clone();
    }

    async fn observe(&self) -> Result<Vec<ObservedGateway>, DriverError> {
        let state = self.state();
        let observed = state.sites.values().map(|spec| {
            let published = published(spec, &state.grants);
            ObservedGateway { spec: spec.clone(), url: published.clone().ok(), trouble: published.err() }
        });
        Ok(observed.collect())
    }

    async fn ensure(&self, spec: &GatewaySpec) -> Result<(), DriverError> {
        let publish = || {
            let mut state = self.act(format!("publish {}", spec.id));
            published(spec, &state.grants).map_err(|message| DriverError::Invalid {
                code: FailureCode::BodyInvalid,
                field: "/data/name",
                message,
            })?;
            state.sites.insert(spec.id.clone(), spec.clone());
            Ok(())
        };
        self.done(publish).await
    }

    async fn remove(&self, id: &WorkloadId) -> Result<(), DriverError> {
        let end = || {
            self.act(format!("end {id}")).sites.remove(id);
            Ok(())
        };
        self.done(end).await
    }
}

#[async_trait]
impl FirewallDriver for FakeHost {
    async fn ensure(&self) -> Result<(), DriverError> {
        if self.state().firewall_broken {
            return Err(DriverError::transient("the rules can't be set"));
        }
        Ok(())
    }

    async fn let_engine_reach(&self, _: Option<SocketAddr>) -> Result<(), DriverError> {
        Ok(())
    }

    async fn refused(&self) -> Result<u64, DriverError> {
        Ok(0)
    }
}

#[async_trait]
impl MachineDriver for FakeHost {
    async fn observe(&self) -> Result<ObservedMachines, DriverError> {
        self.changes.send_modify(|changes| *changes += 1);
        let mut state = self.state();
        state.observations += 1;
        state.observations_since_change += 1;
        if state.engine_stopped {
            return Err(DriverError::transient("the engine doesn't answer"));
        }
        let (unreadable, machines) = state
            .machines
            .values()
            .cloned()
            .partition::<Vec<_>, _>(|m| state.unreadable.contains(&m.id.name));
        Ok(ObservedMachines {
            machines,
            networks: state.networks.clone(),
            unreadable: unreadable.iter().map(|machine| machine.id.contract).collect(),
        })
    }

    async fn fetch_image(&self, spec: &MachineSpec, rules: ImageRules) -> Result<bool, DriverError> {
        self.point().await;
        if rules.keep && self.state().pulled.contains(&spec.container.image) {
            drop(self.act(format!("keep {}", spec.container.image)));
            return Ok(false);
        }
        let image = {
            let mut state = self.act(format!("pull {}", spec.container.image));
            let image = state.images.get(&spec.container.image).cloned();
            let next = match image {
                Some(Image::Flaky(tries @ 1..)) => Some(Image::Flaky(tries - 1)),
                Some(Image::Corrupt(tries @ 1..)) => Some(Image::Corrupt(tries - 1)),
                _ => None,
            };
            if let Some(next) = next {
                state.images.insert(spec.container.image.clone(), next);
            }
            image
        };
        match image {
            None | Some(Image::Flaky(0) | Image::Corrupt(0)) => {
                self.state().pulled.insert(spec.container.image.clone());
                self.point().await;
                Ok(true)
            }
            Some(Image::Flaky(_)) => Err(DriverError::transient("connection refused")),
            Some(Image::Corrupt(_)) => Err(DriverError::Refused {
                code: FailureCode::ImageNotFound,
                field: "/data/image",
                message: "isn't what its digest says".into(),
            }),
            Some(Image::Refused(code)) => {
                Err(DriverError::Invalid { code, field: "/data/image", message: "says the registry".into() })
            }
            Some(Image::Stuck) => {
                let _cancelled = CancelledPull { host: self, image: &spec.container.image };
                std::future::pending().await
            }
        }
    }

    fn want_images(&self, wanted: WantedImages) {
        self.state().wanted = wanted;
    }

    async fn create(&self, spec: &MachineSpec, binds: &[Bind]) -> Result<(), DriverError> {
        self.done(|| {
            if self.hash(spec.id.contract, &spec.id.name).as_ref() == Some(&spec.hash) {
                return Ok(());
            }
            let mut state = self.act(format!("create {}", spec.id));
            state.networks.insert(spec.id.contract);
            if state.uncreatable.contains(&spec.id.name) {
                return Err(DriverError::refused(format!("can't create {}", spec.id)));
            }
            let machine = ObservedMachine {
                id: spec.id.clone(),
                hash: spec.hash.clone(),
                instance: state.starts.to_string(),
                state: MachineState::Stopped { how: "never started".into(), exit: None },
            };
            state.binds.insert(spec.id.clone(), binds.to_vec());
            state.machines.insert(spec.id.clone(), machine);
            Ok(())
        })
        .await
    }

    async fn start(&self, id: &WorkloadId) -> Result<(), DriverError> {
        self.done(|| {
            let mut state = self.act(format!("start {id}"));
            if state.unstartable.contains(&id.name) {
                return Err(DriverError::refused(format!("can't start {id}")));
            }
            state.starts += 1;
            let instance = state.starts.to_string();
            let condition = state.conditions.get(&id.name).cloned().unwrap_or_default();
            let now = match state.ending.get(&id.name) {
                Some(code) => ended(*code),
                None => MachineState::Running {
                    ip: Some(IpAddr::V4(Ipv4Addr::new(172, 30, id.contract as u8, 2))),
                    condition,
                },
            };
            let machine = state.machines.get_mut(id);
            let machine = machine.ok_or_else(|| DriverError::transient(format!("no machine {id}")))?;
            machine.instance = instance;
            machine.state = now;
            Ok(())
        })
        .await
    }

    async fn stop(&self, id: &WorkloadId) -> Result<(), DriverError> {
        self.point().await;
        if self.state().unstoppable.contains(&id.name) {
            drop(self.act(format!("stopping {id}")));
            std::future::pending::<()>().await;
        }
        if let Some(machine) = self.act(format!("stop {id}")).machines.get_mut(id) {
            machine.state = MachineState::Stopped { how: "exit code 143".into(), exit: None };
        }
        self.point().await;
        Ok(())
    }

    async fn remove_machine(&self, id: &WorkloadId) -> Result<(), DriverError> {
        self.done(|| {
            self.act(format!("remove {id}")).machines.remove(id);
            Ok(())
        })
        .await
    }

    async fn remove_network(&self, contract: ContractId) -> Result<(), DriverError> {
        self.done(|| {
            self.act(format!("remove network {contract}")).networks.remove(&contract);
            Ok(())
        })
        .await
    }

    async fn process(&self, id: &WorkloadId) -> Result<Option<Process>, DriverError> {
        let machine = self.state().machines.get(id).filter(|machine| machine.is_running()).cloned();
        Ok(machine.map(|machine| Process { pid: 1, instance: machine.instance }))
    }

    async fn last_words(&self, _: &WorkloadId) -> Result<Option<String>, DriverError> {
        Ok(Some("\x1b[31mno configuration".into()))
    }

    async fn usage(&self, id: &WorkloadId) -> Result<Option<MachineUsage>, DriverError> {
        Ok(self.state().usage.get(id).copied())
    }

    async fn changed(&self) {
        self.events.notified().await;
    }
}

#[async_trait]
impl NetworkDriver for FakeHost {
    async fn observe(&self) -> Result<ObservedNetworks, DriverError> {
        let state = self.state();
        Ok(ObservedNetworks { networks: state.private_networks.clone(), ports: state.ports.clone() })
    }

    async fn ensure(&self, spec: &NetworkSpec) -> Result<(), DriverError> {
        self.done(|| {
            let mut state = self.act(format!("ensure network {} of {}", spec.id.name, spec.contract));
            let others = state.private_networks.iter().filter(|other| other.contract != spec.contract);
            if others.into_iter().any(|other| other.id == spec.id && other.range == Some(spec.range)) {
                return Err(DriverError::Invalid {
                    code: FailureCode::BodyInvalid,
                    field: "/data/range",
                    message: "another contract has it".into(),
                });
            }
            state.private_networks.retain(|there| (there.contract, &there.id) != (spec.contract, &spec.id));
            let range = Some(spec.range);
            state.private_networks.push(ObservedNetwork {
                id: spec.id.clone(),
                contract: spec.contract,
                range,
            });
            Ok(())
        })
        .await
    }

    async fn attach(&self, spec: &MachineSpec, process: &Process) -> Result<(), DriverError> {
        self.done(|| {
            let mut state = self.act(format!("attach {}", spec.id));
            state.ports.retain(|port| port.machine != spec.id);
            state.ports.extend(spec.attachment.interfaces.iter().map(|interface| ObservedPort {
                machine: spec.id.clone(),
                network: interface.network.clone(),
                instance: process.instance.clone(),
            }));
            Ok(())
        })
        .await
    }

    async fn remove(&self, contract: ContractId, id: &NetworkId) -> Result<(), DriverError> {
        self.done(|| {
            let mut state = self.act(format!("remove network {} of {contract}", id.name));
            state.private_networks.retain(|there| (there.contract, &there.id) != (contract, id));
            state.ports.retain(|port| (port.machine.contract, &port.network) != (contract, id));
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl AddressDriver for FakeHost {
    async fn observe(&self) -> Result<ObservedAddresses, DriverError> {
        let state = self.state();
        Ok(ObservedAddresses { machines: state.addresses.clone(), links: state.links.clone() })
    }

    async fn set(
        &self,
        contract: ContractId,
        machines: &BTreeMap<String, AddressSpec>,
    ) -> Result<(), DriverError> {
        self.done(|| {
            let mut state = self.act(format!("set {} addresses of {contract}", machines.len()));
            state.addresses.retain(|id, _| id.contract != contract);
            let id = |name: &String| WorkloadId { contract, name: name.clone() };
            state.addresses.extend(machines.iter().map(|(name, spec)| (id(name), spec.clone())));
            let has = |link: &ObservedLink| {
                machines.get(&link.machine.name).is_some_and(|spec| spec.ips() == link.ips)
            };
            state.links.retain(|link| link.machine.contract != contract || has(link));
            Ok(())
        })
        .await
    }

    async fn attach(&self, id: &WorkloadId, process: &Process) -> Result<(), DriverError> {
        let Some(spec) = self.state().addresses.get(id).cloned() else { return Ok(()) };
        self.done(|| {
            let mut state = self.act(format!("link {id}"));
            state.links.retain(|link| link.machine != *id);
            let link =
                ObservedLink { machine: id.clone(), instance: process.instance.clone(), ips: spec.ips() };
            state.links.push(link);
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl TrafficCounter for FakeHost {
    fn class(&self) -> &'static str {
        "public"
    }

    async fn counted(&self) -> Result<BTreeMap<ContractId, Counted>, DriverError> {
        Ok(self.state().counted.clone())
    }

    async fn slow_down(&self, contracts: &BTreeSet<ContractId>) -> Result<(), DriverError> {
        if self.state().slow != *contracts {
            self.act(format!("slow: {contracts:?}")).slow.clone_from(contracts);
        }
        Ok(())
    }
}

#[async_trait]
impl VolumeDriver for FakeHost {
    async fn faults(&self) -> Vec<(DiskKind, PoolFault)> {
        self.state().faults.clone()
    }

    async fn observe(&self) -> Result<ObservedVolumes, DriverError> {
        let volumes = self.state().volumes.values().cloned().collect();
        Ok(ObservedVolumes { volumes, unreadable: BTreeSet::new() })
    }

    async fn ensure(&self, spec: &VolumeSpec) -> Result<(), DriverError> {
        self.done(|| {
            let mut state = self.act(format!("ensure {}", spec.id));
            let before = state.volumes.get(&spec.id);
            if before.is_some_and(|volume| volume.size > spec.size && !spec.restores) {
                return Err(DriverError::Invalid {
                    code: FailureCode::BodyInvalid,
                    field: "/data/size",
                    message: "a volume can't shrink".into(),
                });
            }
            if before.is_some_and(|volume| volume.disk != spec.disk) {
                return Err(DriverError::Invalid {
                    code: FailureCode::BodyInvalid,
                    field: "/data/disk",
                    message: "a volume can't move to another kind of disk".into(),
                });
            }
            let used = before.map_or(4096, |volume| volume.used);
            let volume = ObservedVolume {
                id: spec.id.clone(),
                size: spec.size,
                used,
                disk: spec.disk,
                restored: false,
            };
            state.volumes.insert(spec.id.clone(), volume);
            Ok(())
        })
        .await
    }

    async fn folder(&self, id: &WorkloadId) -> Result<PathBuf, DriverError> {
        match self.state().volumes.get(id) {
            Some(_) => Ok(PathBuf::from(format!("/mnt/{id}"))),
            None => Err(DriverError::transient(format!("no volume {id}"))),
        }
    }

    async fn delete(&self, id: &WorkloadId) -> Result<(), DriverError> {
        self.done(|| {
            self.act(format!("delete {id}")).volumes.remove(id);
            Ok(())
        })
        .await
    }
}
