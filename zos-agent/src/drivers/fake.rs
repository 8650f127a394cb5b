// SPDX-License-Identifier: Apache-2.0
//! A machine without an engine and without disks: what drivers would do, in memory, failing where
//! a test says so.

#![allow(missing_docs)]

use super::{
    Bind, DriverError, ImageRules, MachineDriver, MachineSpec, MachineState, MachineUsage, ObservedMachine,
    ObservedMachines, ObservedVolume, VolumeDriver, VolumeSpec, WorkloadId,
};
use async_trait::async_trait;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};
use tfgrid_primitives::{ContractId, FailureCode};
use tokio::sync::{Notify, watch};

/// The machine. Clones are the same machine, so it outlives the engines that work on it.
#[derive(Clone)]
pub struct FakeHost {
    state: Arc<Mutex<State>>,
    events: Arc<Notify>,
    /// How many more things may be done before everything hangs.
    strength: Arc<watch::Sender<Option<u32>>>,
    /// Counts every change; tests wait on it.
    changes: Arc<watch::Sender<u64>>,
}

#[derive(Default)]
struct State {
    machines: BTreeMap<WorkloadId, ObservedMachine>,
    networks: BTreeSet<ContractId>,
    volumes: BTreeMap<WorkloadId, ObservedVolume>,
    binds: BTreeMap<WorkloadId, Vec<Bind>>,
    /// Images and what pulling them does.
    images: BTreeMap<String, Image>,
    /// Images that are here.
    pulled: BTreeSet<String>,
    /// Machines of these names end as soon as they run.
    crashing: BTreeSet<String>,
    usage: BTreeMap<WorkloadId, MachineUsage>,
    starts: u64,
    blind: bool,
    hanging: bool,
    log: Vec<String>,
    looks: u32,
    looks_since_act: u32,
}

/// What pulling an image does.
#[derive(Clone, Debug)]
pub enum Image {
    /// The registry has no such image.
    Missing,
    /// That many tries fail, then it is there.
    Flaky(u32),
    /// It never arrives.
    Stuck,
}

impl FakeHost {
    pub fn new() -> Self {
        Self {
            state: Default::default(),
            events: Arc::new(Notify::new()),
            strength: Arc::new(watch::Sender::new(None)),
            changes: Arc::new(watch::Sender::new(0)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Does something that the log names.
    fn act(&self, what: String) -> MutexGuard<'_, State> {
        self.changes.send_modify(|changes| *changes += 1);
        let mut state = self.state();
        state.log.push(what);
        state.looks_since_act = 0;
        state
    }

    /// After so many more steps, everything hangs; with `None` it goes on.
    pub fn hang_after(&self, steps: Option<u32>) {
        self.state().hanging = false;
        self.strength.send_replace(steps);
    }

    /// Whether a step has come that hangs.
    pub fn hangs(&self) -> bool {
        self.state().hanging
    }

    /// Waits until the next step may be done.
    async fn step(&self) {
        let mut strength = self.strength.subscribe();
        if *strength.borrow_and_update() == Some(0) {
            self.state().hanging = true;
            self.changes.send_modify(|changes| *changes += 1);
        }
        // The sender lives as long as the machine.
        let _ = strength.wait_for(|left| *left != Some(0)).await;
        self.state().hanging = false;
        self.strength.send_modify(|left| *left = left.map(|left| left.saturating_sub(1)));
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Pulling this image does that; images that no test names are there at once.
    pub fn image(&self, image: &str, does: Image) {
        self.state().images.insert(image.into(), does);
    }

    /// Machines of this name end at once from now on, or not.
    pub fn crash(&self, name: &str, crashes: bool) {
        match crashes {
            true => self.state().crashing.insert(name.into()),
            false => self.state().crashing.remove(name),
        };
    }

    /// Nothing can be observed from now on, or it can again.
    pub fn blind(&self, blind: bool) {
        self.state().blind = blind;
    }

    /// Ends a running machine, as its own fault.
    pub fn end(&self, contract: ContractId, name: &str) {
        let id = WorkloadId { contract, name: name.into() };
        let mut state = self.act(format!("ended {id}"));
        state.machines.get_mut(&id).unwrap().state = MachineState::Stopped { how: "exit code 1".into() };
        drop(state);
        self.events.notify_one();
    }

    /// Everything stops and is unmounted, as at a reboot.
    pub fn reboot(&self) {
        let mut state = self.act("reboot".into());
        for machine in state.machines.values_mut() {
            machine.state = MachineState::Stopped { how: "exit code 137".into() };
        }
        for volume in state.volumes.values_mut() {
            volume.attached = false;
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

    /// Of what the machine was made.
    pub fn hash(&self, contract: ContractId, name: &str) -> Option<String> {
        let id = WorkloadId { contract, name: name.into() };
        self.state().machines.get(&id).map(|machine| machine.hash.clone())
    }

    /// The machine is gone, by nobody's doing.
    pub fn forget(&self, contract: ContractId, name: &str) {
        let id = WorkloadId { contract, name: name.into() };
        self.act(format!("lost {id}")).machines.remove(&id);
        self.events.notify_one();
    }

    /// The volume's content takes so much.
    pub fn write(&self, contract: ContractId, name: &str, used: u64) {
        let id = WorkloadId { contract, name: name.into() };
        self.state().volumes.get_mut(&id).unwrap().used = used;
    }

    pub fn volume(&self, contract: ContractId, name: &str) -> Option<ObservedVolume> {
        self.state().volumes.get(&WorkloadId { contract, name: name.into() }).cloned()
    }

    pub fn is_empty(&self) -> bool {
        let state = self.state();
        state.machines.is_empty() && state.networks.is_empty() && state.volumes.is_empty()
    }

    pub fn use_up(&self, contract: ContractId, name: &str, usage: MachineUsage) {
        self.state().usage.insert(WorkloadId { contract, name: name.into() }, usage);
    }

    /// How often the machine was looked at.
    pub fn looks(&self) -> u32 {
        self.state().looks
    }

    /// How often the machine was looked at since this was done, if nothing was done since.
    pub fn looks_after(&self, what: &str) -> u32 {
        let state = self.state();
        match state.log.last() {
            Some(last) if last == what => state.looks_since_act,
            _ => 0,
        }
    }

    /// Everything that was done, in order.
    pub fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }
}

/// Logs that a pull was given up.
struct GivenUp<'a> {
    host: &'a FakeHost,
    image: &'a str,
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        drop(self.host.act(format!("gave up {}", self.image)));
    }
}

#[async_trait]
impl MachineDriver for FakeHost {
    async fn observe(&self) -> Result<ObservedMachines, DriverError> {
        self.changes.send_modify(|changes| *changes += 1);
        let mut state = self.state();
        state.looks += 1;
        state.looks_since_act += 1;
        if state.blind {
            return Err(DriverError::transient("the engine doesn't answer"));
        }
        Ok(ObservedMachines {
            machines: state.machines.values().cloned().collect(),
            networks: state.networks.clone(),
        })
    }

    async fn prepare(&self, spec: &MachineSpec, rules: ImageRules) -> Result<(), DriverError> {
        self.step().await;
        if rules.keep && self.state().pulled.contains(&spec.container.image) {
            drop(self.act(format!("keep {}", spec.container.image)));
            return Ok(());
        }
        let image = {
            let mut state = self.act(format!("pull {}", spec.container.image));
            let image = state.images.get(&spec.container.image).cloned();
            if let Some(Image::Flaky(tries @ 1..)) = image {
                state.images.insert(spec.container.image.clone(), Image::Flaky(tries - 1));
            }
            image
        };
        match image {
            None | Some(Image::Flaky(0)) => {
                self.state().pulled.insert(spec.container.image.clone());
                Ok(())
            }
            Some(Image::Flaky(_)) => Err(DriverError::transient("connection refused")),
            Some(Image::Missing) => Err(DriverError::Invalid {
                code: FailureCode::ImageNotFound,
                field: "/data/image",
                message: "no such image".into(),
            }),
            Some(Image::Stuck) => {
                let _given_up = GivenUp { host: self, image: &spec.container.image };
                std::future::pending().await
            }
        }
    }

    async fn run(&self, spec: &MachineSpec, binds: &[Bind]) -> Result<(), DriverError> {
        self.step().await;
        let mut state = self.act(format!("run {}", spec.id));
        state.starts += 1;
        let machine = match state.crashing.contains(&spec.id.name) {
            true => MachineState::Stopped { how: "exit code 1".into() },
            false => MachineState::Running {
                ip: Some(IpAddr::V4(Ipv4Addr::new(172, 30, spec.id.contract as u8, 2))),
            },
        };
        let machine = ObservedMachine {
            id: spec.id.clone(),
            hash: spec.hash.clone(),
            instance: state.starts.to_string(),
            state: machine,
        };
        state.networks.insert(spec.id.contract);
        state.binds.insert(spec.id.clone(), binds.to_vec());
        state.machines.insert(spec.id.clone(), machine);
        Ok(())
    }

    async fn stop(&self, id: &WorkloadId) -> Result<(), DriverError> {
        self.step().await;
        let mut state = self.act(format!("stop {id}"));
        if let Some(machine) = state.machines.get_mut(id) {
            machine.state = MachineState::Stopped { how: "exit code 143".into() };
        }
        Ok(())
    }

    async fn remove(&self, id: &WorkloadId) -> Result<(), DriverError> {
        self.step().await;
        self.act(format!("remove {id}")).machines.remove(id);
        Ok(())
    }

    async fn release(&self, contract: ContractId) -> Result<(), DriverError> {
        self.step().await;
        self.act(format!("release {contract}")).networks.remove(&contract);
        Ok(())
    }

    async fn usage(&self, id: &WorkloadId) -> Result<Option<MachineUsage>, DriverError> {
        Ok(self.state().usage.get(id).copied())
    }

    async fn changed(&self) {
        self.events.notified().await;
    }
}

#[async_trait]
impl VolumeDriver for FakeHost {
    async fn observe(&self) -> Result<Vec<ObservedVolume>, DriverError> {
        Ok(self.state().volumes.values().cloned().collect())
    }

    async fn attach(&self, spec: &VolumeSpec) -> Result<(), DriverError> {
        self.step().await;
        let mut state = self.act(format!("attach {}", spec.id));
        let before = state.volumes.get(&spec.id);
        if before.is_some_and(|volume| volume.size > spec.size) {
            return Err(DriverError::Invalid {
                code: FailureCode::BodyInvalid,
                field: "/data/size",
                message: "a volume can't shrink".into(),
            });
        }
        let used = before.map_or(4096, |volume| volume.used);
        let volume = ObservedVolume { id: spec.id.clone(), size: spec.size, attached: true, used };
        state.volumes.insert(spec.id.clone(), volume);
        Ok(())
    }

    async fn mount_point(&self, id: &WorkloadId) -> Result<PathBuf, DriverError> {
        match self.state().volumes.get(id) {
            Some(volume) if volume.attached => Ok(PathBuf::from(format!("/mnt/{id}"))),
            _ => Err(DriverError::transient("not attached")),
        }
    }

    async fn detach(&self, id: &WorkloadId) -> Result<(), DriverError> {
        self.step().await;
        if let Some(volume) = self.act(format!("detach {id}")).volumes.get_mut(id) {
            volume.attached = false;
        }
        Ok(())
    }

    async fn destroy(&self, id: &WorkloadId) -> Result<(), DriverError> {
        self.step().await;
        self.act(format!("destroy {id}")).volumes.remove(id);
        Ok(())
    }
}
