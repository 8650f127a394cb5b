// SPDX-License-Identifier: Apache-2.0
//! Executes plans: concurrently for different contracts, step by step for each.

use super::plan::{Approved, Plan, Step};
use crate::{
    chain::Version,
    drivers::{
        AddressDriver, Bind, DriverError, FirewallDriver, GatewayDriver, ImageRules, MachineDriver,
        MachineSpec, NetworkDriver, VolumeDriver, WorkloadId,
    },
};
use anyhow::Error;
use futures::FutureExt;
use std::{
    collections::HashMap,
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};
use tfgrid_client::deployment::Rejection;
use tfgrid_primitives::{ContractId, units::GIB};
use tokio::{
    sync::{Semaphore, SemaphorePermit, mpsc},
    task::{self, AbortHandle, JoinError, JoinSet},
    time::timeout,
};
use tracing::info;

/// Limit of steps that run at the same time, except fetches.
const MAX_STEPS: usize = 8;
/// How long a stop counts as one of them. A machine may take minutes to end, and waiting for it costs nothing.
const STOP_COUNTS: Duration = Duration::from_secs(1);
/// Limit of images that are fetched at the same time. It is separate so that slow registries don't delay
/// contracts that need no fetch.
const MAX_FETCHES: usize = 16;

/// Disk that an image may use even if its contract reserves less.
const FREE_IMAGE_BYTES: u64 = GIB;

/// Purpose of a plan. A plan is cancelled when its contract gets another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Run the workloads of this version.
    Run(Version),
    /// Stop what isn't confirmed, until the next try or for good.
    Suspend,
    /// Stop the workloads.
    Halt,
    /// Remove the workloads and their data.
    Destroy,
}

/// Outcome of a plan.
#[derive(Debug)]
pub struct Outcome {
    /// The plan's contract.
    pub contract: ContractId,
    /// The plan's purpose.
    pub purpose: Purpose,
    /// The failure of the first step that failed.
    pub result: Result<(), Failure>,
}

impl Outcome {
    /// Name in metrics.
    pub fn label(&self) -> &'static str {
        match self.result {
            Ok(()) => "done",
            Err(Failure::Invalid(_)) => "invalid",
            Err(Failure::Refused(_)) => "refused",
            Err(Failure::Transient(_)) => "transient",
            Err(Failure::Cancelled) => "given_up",
        }
    }
}

/// Why a plan ended early.
#[derive(Debug)]
pub enum Failure {
    /// The contract's owner must change something.
    Invalid(Rejection),
    /// An image is damaged, or a machine can't be created or started. The rejection is for a node that gives up.
    Refused(Rejection),
    /// A later try may succeed.
    Transient(Error),
    /// The plan was cancelled.
    Cancelled,
}

/// The drivers that steps call.
#[derive(Clone)]
pub struct Drivers {
    /// Driver of machines and their networks on the engine.
    pub machines: Arc<dyn MachineDriver>,
    /// Driver of volumes.
    pub volumes: Arc<dyn VolumeDriver>,
    /// Driver of private networks.
    pub networks: Arc<dyn NetworkDriver>,
    /// Driver of public addresses.
    pub addresses: Arc<dyn AddressDriver>,
    /// Driver of web gateways.
    pub gateways: Arc<dyn GatewayDriver>,
    /// Driver of what keeps tenants from the host. No workload starts without it.
    pub firewall: Arc<dyn FirewallDriver>,
}

/// Plans in execution.
pub struct Reconciler {
    drivers: Drivers,
    done: mpsc::Sender<(WorkloadId, String)>,
    steps: Arc<Semaphore>,
    fetches: Arc<Semaphore>,
    tasks: JoinSet<Result<(), Failure>>,
    running: HashMap<task::Id, Running>,
}

struct Running {
    contract: ContractId,
    purpose: Purpose,
    since: Instant,
    abort: AbortHandle,
}

impl Reconciler {
    /// Has no plans at first. Tells `done` what was done to machines.
    pub fn new(drivers: Drivers, done: mpsc::Sender<(WorkloadId, String)>) -> Self {
        Self {
            drivers,
            done,
            steps: Arc::new(Semaphore::new(MAX_STEPS)),
            fetches: Arc::new(Semaphore::new(MAX_FETCHES)),
            tasks: JoinSet::new(),
            running: HashMap::new(),
        }
    }

    /// Purpose of the contract's plan in execution, `None` if there is none.
    pub fn purpose(&self, contract: ContractId) -> Option<Purpose> {
        self.running.values().find(|running| running.contract == contract).map(|running| running.purpose)
    }

    /// Contracts with a plan in execution, and its purpose.
    pub fn busy(&self) -> Vec<(ContractId, Purpose)> {
        self.running.values().map(|running| (running.contract, running.purpose)).collect()
    }

    /// Whether a plan that has begun within this time frees capacity that other contracts may get.
    pub fn is_freeing(&self, within: Duration) -> bool {
        self.running.values().any(|running| {
            matches!(running.purpose, Purpose::Halt | Purpose::Destroy) && running.since.elapsed() < within
        })
    }

    /// Starts a plan. The contract must not be busy. `approved` machines keep their images: a restart, or the return
    /// from a failed update, needs no registry, and finds no other image behind the same tag.
    pub fn start(&mut self, plan: Plan, purpose: Purpose, approved: Approved) {
        info!(contract = plan.contract, ?purpose, steps = plan.steps.len(), "executing a plan");
        let contract = plan.contract;
        let work = Work {
            drivers: self.drivers.clone(),
            done: self.done.clone(),
            steps: self.steps.clone(),
            fetches: self.fetches.clone(),
            contract,
            image_limit: match purpose {
                Purpose::Run(version) => version.reserved.sru.max(FREE_IMAGE_BYTES),
                Purpose::Suspend | Purpose::Halt | Purpose::Destroy => 0,
            },
            approved,
        };
        let abort = self.tasks.spawn(async move { work.all(plan.steps).await });
        self.running.insert(abort.id(), Running { contract, purpose, since: Instant::now(), abort });
    }

    /// Cancels the contract's plan. [`Self::next`] returns its outcome as any other.
    pub fn cancel(&self, contract: ContractId) {
        for running in self.running.values().filter(|running| running.contract == contract) {
            running.abort.abort();
        }
    }

    /// Resolves with the outcome of the next plan that ends; never while there is none.
    pub async fn next(&mut self) -> Outcome {
        loop {
            let Some(joined) = self.tasks.join_next_with_id().await else {
                pending::<()>().await;
                continue;
            };
            let (id, result) = match joined {
                Ok((id, result)) => (id, result),
                Err(error) => (error.id(), Err(broken(error))),
            };
            if let Some(running) = self.running.remove(&id) {
                return Outcome { contract: running.contract, purpose: running.purpose, result };
            }
        }
    }
}

fn broken(error: JoinError) -> Failure {
    if error.is_cancelled() {
        Failure::Cancelled
    } else {
        Failure::Transient(Error::from(error).context("a step panicked"))
    }
}

/// Execution of one contract's plan.
struct Work {
    drivers: Drivers,
    done: mpsc::Sender<(WorkloadId, String)>,
    steps: Arc<Semaphore>,
    fetches: Arc<Semaphore>,
    contract: ContractId,
    image_limit: u64,
    approved: Approved,
}

impl Work {
    async fn all(&self, steps: Vec<Step>) -> Result<(), Failure> {
        for step in steps {
            let permit = self.permit(&step).await?;
            let mut doing = self.one(&step).boxed();
            let done = match &step {
                Step::StopMachine(_) | Step::RemoveMachine(_) => match timeout(STOP_COUNTS, &mut doing).await
                {
                    Ok(done) => done,
                    Err(_) => {
                        drop(permit);
                        doing.await
                    }
                },
                _ => doing.await,
            };
            done.map_err(|error| failure(&step, error))?;
        }
        Ok(())
    }

    async fn permit(&self, step: &Step) -> Result<SemaphorePermit<'_>, Failure> {
        let semaphore = match step {
            Step::FetchImage(_) => &self.fetches,
            _ => &self.steps,
        };
        semaphore.acquire().await.map_err(|_| Failure::Cancelled)
    }

    async fn one(&self, step: &Step) -> Result<(), DriverError> {
        let Drivers { machines, volumes, networks, addresses, gateways, firewall } = &self.drivers;
        match step {
            Step::FetchImage(spec) => {
                let keep = self.approved.get(&spec.id.name) == Some(&spec.hash);
                let begun = Instant::now();
                if machines.fetch_image(spec, ImageRules { limit: self.image_limit, keep }).await? {
                    let what =
                        format!("pulled {} in {:.1} s", spec.container.image, begun.elapsed().as_secs_f64());
                    drop(self.done.try_send((spec.id.clone(), what)));
                }
                Ok(())
            }
            Step::StopMachine(name) => machines.stop(&self.id(name)).await,
            Step::RemoveMachine(name) => machines.remove_machine(&self.id(name)).await,
            Step::EnsureVolume(spec) => volumes.ensure(spec).await,
            Step::EnsurePrivateNetwork(spec) => networks.ensure(spec).await,
            Step::SetAddresses(machines) => addresses.set(self.contract, machines).await,
            Step::CreateMachine(spec) => machines.create(spec, &self.binds(spec).await?).await,
            Step::StartMachine(spec) => {
                // Again: without its volumes, it would write to the host's disk.
                self.binds(spec).await?;
                firewall.ensure().await?;
                machines.start(&spec.id).await?;
                self.attach(spec).await
            }
            Step::AttachMachine(spec) => self.attach(spec).await,
            Step::EnsureGateway(spec) => gateways.ensure(spec).await,
            Step::RemoveGateway(name) => gateways.remove(&self.id(name)).await,
            Step::DeleteVolume(name) => volumes.delete(&self.id(name)).await,
            Step::RemovePrivateNetwork(id) => networks.remove(self.contract, id).await,
            Step::RemoveNetwork => machines.remove_network(self.contract).await,
        }
    }

    /// Connects the machine with its private networks and public addresses. One that has ended meanwhile has none.
    async fn attach(&self, spec: &MachineSpec) -> Result<(), DriverError> {
        let Drivers { machines, networks, addresses, .. } = &self.drivers;
        let is_in_networks = !spec.attachment.interfaces.is_empty();
        if !is_in_networks && spec.public.is_none() {
            return Ok(());
        }
        let Some(process) = machines.process(&spec.id).await? else { return Ok(()) };
        if is_in_networks {
            networks.attach(spec, &process).await?;
        }
        addresses.attach(&spec.id, &process).await
    }

    /// The machine's volumes, each checked to be there.
    async fn binds(&self, spec: &MachineSpec) -> Result<Vec<Bind>, DriverError> {
        let mut binds = Vec::new();
        for (name, target) in &spec.container.mounts {
            let source = self.drivers.volumes.folder(&self.id(name)).await?;
            binds.push(Bind { source, target: target.clone() });
        }
        Ok(binds)
    }

    fn id(&self, name: &str) -> WorkloadId {
        WorkloadId { contract: self.contract, name: name.into() }
    }
}

fn failure(step: &Step, error: DriverError) -> Failure {
    let pointer: &str = match step {
        Step::FetchImage(spec)
        | Step::CreateMachine(spec)
        | Step::AttachMachine(spec)
        | Step::StartMachine(spec) => &spec.pointer,
        Step::EnsureVolume(spec) => &spec.pointer,
        Step::EnsurePrivateNetwork(spec) => &spec.pointer,
        Step::SetAddresses(_) => "/workloads",
        Step::EnsureGateway(spec) => &spec.pointer,
        _ => return Failure::Transient(error.into()),
    };
    match error {
        DriverError::Invalid { code, field, message } => {
            Failure::Invalid(Rejection::new(code, format!("{pointer}{field}"), message))
        }
        DriverError::Refused { code, field, message } => {
            Failure::Refused(Rejection::new(code, format!("{pointer}{field}"), message))
        }
        DriverError::Transient(why) => Failure::Transient(why),
    }
}
