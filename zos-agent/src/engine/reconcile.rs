// SPDX-License-Identifier: Apache-2.0
//! Carries plans out: concurrent across contracts, serial within one.

use super::plan::{Plan, Step};
use crate::{
    chain::Version,
    drivers::{Bind, DriverError, ImageRules, MachineDriver, MachineSpec, VolumeDriver, WorkloadId},
};
use std::{collections::HashMap, future::pending, sync::Arc};
use tfgrid_client::deployment::Rejection;
use tfgrid_primitives::ContractId;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::{self, AbortHandle, JoinError, JoinSet},
};
use tracing::info;

/// Steps other than fetching that run at the same time.
const STEPS_AT_ONCE: usize = 8;
/// Images that are fetched at the same time. Apart from the steps, so that slow registries delay
/// nobody who has what he needs.
const FETCHES_AT_ONCE: usize = 16;

/// Why a plan is carried out. One whose reason is gone is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The contract's workloads shall run, in this version.
    Run(Version),
    /// They shall stop.
    Halt,
    /// They shall go.
    Destroy,
}

/// How a plan ended.
#[derive(Debug)]
pub struct Outcome {
    /// Whose.
    pub contract: ContractId,
    /// Why it was carried out.
    pub purpose: Purpose,
    /// The first step that failed ended it.
    pub result: Result<(), Failure>,
}

/// Why a plan ended early.
#[derive(Debug)]
pub enum Failure {
    /// The contract's owner must change something.
    Invalid(Rejection),
    /// A machine ended instead of starting. What is observed next tells the rest.
    Exited(String),
    /// Another try may succeed.
    Transient(String),
    /// Its reason was gone.
    GivenUp,
}

/// The drivers, as steps need them.
#[derive(Clone)]
pub struct Drivers {
    /// Runs machines.
    pub machines: Arc<dyn MachineDriver>,
    /// Keeps volumes.
    pub volumes: Arc<dyn VolumeDriver>,
}

/// Plans that are being carried out.
pub struct Reconciler {
    drivers: Drivers,
    steps: Arc<Semaphore>,
    fetches: Arc<Semaphore>,
    tasks: JoinSet<Result<(), Failure>>,
    running: HashMap<task::Id, Running>,
}

struct Running {
    contract: ContractId,
    purpose: Purpose,
    abort: AbortHandle,
}

impl Reconciler {
    /// With nothing to do.
    pub fn new(drivers: Drivers) -> Self {
        Self {
            drivers,
            steps: Arc::new(Semaphore::new(STEPS_AT_ONCE)),
            fetches: Arc::new(Semaphore::new(FETCHES_AT_ONCE)),
            tasks: JoinSet::new(),
            running: HashMap::new(),
        }
    }

    /// Why a plan of this contract is being carried out, `None` where none is.
    pub fn purpose(&self, contract: ContractId) -> Option<Purpose> {
        self.running.values().find(|running| running.contract == contract).map(|running| running.purpose)
    }

    /// The contracts whose plans are being carried out.
    pub fn busy(&self) -> Vec<(ContractId, Purpose)> {
        self.running.values().map(|running| (running.contract, running.purpose)).collect()
    }

    /// Whether capacity is being given back.
    pub fn is_releasing(&self) -> bool {
        self.running.values().any(|running| !matches!(running.purpose, Purpose::Run(_)))
    }

    /// Starts to carry out a plan, of a contract that isn't busy.
    pub fn start(&mut self, plan: Plan, purpose: Purpose, image: ImageRules) {
        info!(contract = plan.contract, ?purpose, steps = plan.steps.len(), "carrying out a plan");
        let contract = plan.contract;
        let work = Work {
            drivers: self.drivers.clone(),
            steps: self.steps.clone(),
            fetches: self.fetches.clone(),
            contract,
            image,
        };
        let abort = self.tasks.spawn(async move { work.all(plan.steps).await });
        self.running.insert(abort.id(), Running { contract, purpose, abort });
    }

    /// Gives up what is being done for this contract. Its end is reported as any other.
    pub fn give_up(&self, contract: ContractId) {
        for running in self.running.values().filter(|running| running.contract == contract) {
            running.abort.abort();
        }
    }

    /// The next plan that ends; waits for ever where there is none.
    pub async fn next(&mut self) -> Outcome {
        loop {
            let Some(joined) = self.tasks.join_next_with_id().await else {
                pending::<()>().await;
                continue;
            };
            let (id, result) = match joined {
                Ok((id, result)) => (id, result),
                Err(error) => (error.id(), Err(broken(&error))),
            };
            if let Some(running) = self.running.remove(&id) {
                return Outcome { contract: running.contract, purpose: running.purpose, result };
            }
        }
    }
}

fn broken(error: &JoinError) -> Failure {
    match error.is_cancelled() {
        true => Failure::GivenUp,
        false => Failure::Transient(format!("a step broke off: {error}")),
    }
}

/// The steps of one contract.
struct Work {
    drivers: Drivers,
    steps: Arc<Semaphore>,
    fetches: Arc<Semaphore>,
    contract: ContractId,
    image: ImageRules,
}

impl Work {
    async fn all(&self, steps: Vec<Step>) -> Result<(), Failure> {
        for step in steps {
            let _permit = self.permit(&step).await?;
            self.one(&step).await.map_err(|error| failure(&step, error))?;
        }
        Ok(())
    }

    async fn permit(&self, step: &Step) -> Result<SemaphorePermit<'_>, Failure> {
        let semaphore = match step {
            Step::Prepare(_) => &self.fetches,
            _ => &self.steps,
        };
        semaphore.acquire().await.map_err(|_| Failure::GivenUp)
    }

    async fn one(&self, step: &Step) -> Result<(), DriverError> {
        let Drivers { machines, volumes } = &self.drivers;
        match step {
            Step::Prepare(spec) => machines.prepare(spec, self.image).await,
            Step::Stop(name) => machines.stop(&self.id(name)).await,
            Step::Remove(name) => machines.remove(&self.id(name)).await,
            Step::Detach(name) => volumes.detach(&self.id(name)).await,
            Step::Attach(spec) => volumes.attach(spec).await,
            Step::Run(spec) => machines.run(spec, &self.binds(spec).await?).await,
            Step::Destroy(name) => volumes.destroy(&self.id(name)).await,
            Step::Release => machines.release(self.contract).await,
        }
    }

    /// Where the machine's volumes are, each checked to be there.
    async fn binds(&self, spec: &MachineSpec) -> Result<Vec<Bind>, DriverError> {
        let mut binds = Vec::new();
        for (name, target) in &spec.container.mounts {
            let source = self.drivers.volumes.mount_point(&self.id(name)).await?;
            binds.push(Bind { source, target: target.clone() });
        }
        Ok(binds)
    }

    fn id(&self, name: &str) -> WorkloadId {
        WorkloadId { contract: self.contract, name: name.into() }
    }
}

fn failure(step: &Step, error: DriverError) -> Failure {
    let pointer = match step {
        Step::Prepare(spec) | Step::Run(spec) => &spec.pointer,
        Step::Attach(spec) => &spec.pointer,
        _ => return Failure::Transient(error.to_string()),
    };
    match error {
        DriverError::Invalid { code, field, message } => {
            Failure::Invalid(Rejection::new(code, format!("{pointer}{field}"), message))
        }
        DriverError::Exited(message) => Failure::Exited(message),
        DriverError::Transient(message) => Failure::Transient(message),
    }
}
