// SPDX-License-Identifier: Apache-2.0
//! Plans the steps from what is observed to the goal of each contract. Pure: no drivers, no chain, no clock.

use super::observed::{Observed, ObservedContract};
use crate::{
    chain::desired::Workloads,
    drivers::{
        AddressSpec, GatewaySpec, MachineSpec, MachineState, NetworkId, NetworkSpec, ObservedVolume,
        VolumeSpec,
    },
};
use std::collections::BTreeMap;
use tfgrid_client::deployment::{DiskKind, Rejection};
use tfgrid_primitives::{ContractId, FailureCode, Resources, units::MIB};

/// Bytes up to which a volume counts as empty.
const EMPTY_VOLUME: u64 = MIB;

/// The state that a contract's workloads are to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// These workloads run.
    Run {
        /// What runs.
        workloads: Workloads,
        /// Machines that may run while images are fetched, which takes as long as a registry likes.
        approved: Approved,
    },
    /// Those machines of these workloads start that were created already; everything else stays.
    Resume(Workloads),
    /// No other machines run than these; everything else stays.
    Suspend(Approved),
    /// No machine runs; everything else stays.
    Halt,
    /// Everything is removed. For contracts only that the chain has closed.
    Destroy,
    /// Nothing is changed.
    Keep,
}

/// Machines of the version that the chain has confirmed, and is paid for: from their names to the hashes of
/// their specs.
pub type Approved = BTreeMap<String, String>;

/// An idempotent step. The names are those of the contract's workloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Fetch the machine's image.
    FetchImage(MachineSpec),
    /// Stop the machine.
    StopMachine(String),
    /// Stop and remove the machine.
    RemoveMachine(String),
    /// Create or grow the volume.
    EnsureVolume(VolumeSpec),
    /// Make what is missing of the contract's part of a private network.
    EnsurePrivateNetwork(NetworkSpec),
    /// Give the contract's machines these public addresses, by their names, and no others.
    SetAddresses(BTreeMap<String, AddressSpec>),
    /// Create the machine.
    CreateMachine(MachineSpec),
    /// Connect the running machine with its private networks and public addresses.
    AttachMachine(MachineSpec),
    /// Start the machine and connect it with its private networks and public addresses.
    StartMachine(MachineSpec),
    /// Publish the site.
    EnsureGateway(GatewaySpec),
    /// End the site.
    RemoveGateway(String),
    /// Delete the volume with its content.
    DeleteVolume(String),
    /// Remove the contract's part of a private network.
    RemovePrivateNetwork(NetworkId),
    /// Remove the contract's network on the engine.
    RemoveNetwork,
}

/// The steps of one contract, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Contract id.
    pub contract: ContractId,
    /// At least one step.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Whether all steps free capacity.
    pub fn only_frees(&self) -> bool {
        self.steps.iter().all(|step| match step {
            Step::StopMachine(_)
            | Step::RemoveMachine(_)
            | Step::RemoveGateway(_)
            | Step::DeleteVolume(_)
            | Step::RemovePrivateNetwork(_)
            | Step::RemoveNetwork => true,
            Step::SetAddresses(machines) => machines.is_empty(),
            Step::FetchImage(_)
            | Step::EnsureVolume(_)
            | Step::EnsurePrivateNetwork(_)
            | Step::CreateMachine(_)
            | Step::AttachMachine(_)
            | Step::StartMachine(_)
            | Step::EnsureGateway(_) => false,
        })
    }
}

/// The workloads of the active version. Volumes that a failed update has grown go back to their size: nobody pays for
/// more.
pub fn restored(workloads: &Workloads, observed: &ObservedContract) -> Workloads {
    let mut workloads = workloads.clone();
    for spec in &mut workloads.volumes {
        spec.restores = observed.volumes.get(&spec.id.name).is_some_and(|volume| volume.size > spec.size);
    }
    workloads
}

/// Why a version can't have what it reserves: volumes that it leaves out keep their content, which counts, too.
pub fn keeps_too_much(
    workloads: &Workloads,
    reserved: &Resources,
    observed: &ObservedContract,
) -> Option<Rejection> {
    let is_left_out = |name: &str| match name.split_once('.') {
        Some((machine, _)) => workloads.machines.iter().all(|spec| spec.id.name != machine),
        None => workloads.volumes.iter().all(|spec| spec.id.name != name),
    };
    let roots = workloads.machines.iter().map(|spec| (DiskKind::Ssd, spec.container.rootfs));
    let wanted: Vec<_> = roots.chain(workloads.volumes.iter().map(|spec| (spec.disk, spec.size))).collect();
    [(DiskKind::Ssd, reserved.sru), (DiskKind::Hdd, reserved.hru)].into_iter().find_map(|(disk, reserved)| {
        let left_out: Vec<&ObservedVolume> = observed
            .volumes
            .iter()
            .filter(|(name, volume)| volume.disk == disk && is_left_out(name) && volume.used > EMPTY_VOLUME)
            .map(|(_, volume)| volume)
            .collect();
        let kept = left_out.iter().fold(0, |sum: u64, volume| sum.saturating_add(volume.used));
        let sizes = wanted.iter().filter(|(kind, _)| *kind == disk).map(|(_, size)| *size);
        if left_out.is_empty() || sizes.fold(kept, u64::saturating_add) <= reserved {
            return None;
        }
        let names = left_out.iter().map(|volume| volume.id.name.as_str()).collect::<Vec<_>>().join(", ");
        let text = format!(
            "left out, but not empty: {names} ({kept} bytes). Reserve that much more, or empty them first"
        );
        Some(Rejection::new(FailureCode::OverReserved, "/workloads", text))
    })
}

/// Plans for all contracts that aren't at their goal. Plans that only free capacity come first.
pub fn plan(goals: &BTreeMap<ContractId, Goal>, observed: &Observed) -> Vec<Plan> {
    let nothing = ObservedContract::default();
    let mut plans: Vec<Plan> = goals
        .iter()
        .map(|(&contract, goal)| Plan {
            contract,
            steps: steps(goal, observed.get(&contract).unwrap_or(&nothing)),
        })
        .filter(|plan| !plan.steps.is_empty())
        .collect();
    plans.sort_by_key(|plan| !plan.only_frees());
    plans
}

fn steps(goal: &Goal, observed: &ObservedContract) -> Vec<Step> {
    match goal {
        Goal::Run { workloads, approved } => run(workloads, approved, observed),
        Goal::Resume(workloads) => resume(workloads, observed),
        Goal::Suspend(approved) => suspend(approved, observed),
        Goal::Halt => [remove_gateways(observed), suspend(&Approved::new(), observed)].concat(),
        Goal::Destroy => destroy(observed),
        Goal::Keep => Vec::new(),
    }
}

fn resume(workloads: &Workloads, observed: &ObservedContract) -> Vec<Step> {
    let has_volume = |name: &String| observed.volumes.get(name).is_some_and(|volume| volume.size > 0);
    let is_to_start = |spec: &&MachineSpec| {
        observed.machines.get(&spec.id.name).is_some_and(|machine| {
            machine.hash == spec.hash && !machine.is_running() && spec.finished(machine).is_none()
        }) && spec.container.mounts.iter().all(|(name, _)| has_volume(name))
    };
    let starts = workloads.machines.iter().filter(is_to_start).cloned().map(Step::StartMachine);
    // Without machines that are there, the contract isn't deployed yet.
    let networks =
        if observed.machines.is_empty() { Vec::new() } else { missing_networks(workloads, observed) };
    let addresses = if observed.machines.is_empty() { None } else { addresses(workloads, observed) };
    let gateways =
        if observed.gateways.is_empty() { Vec::new() } else { missing_gateways(workloads, observed) };
    let before = networks.into_iter().chain(addresses).chain(attach(workloads, observed));
    before.chain(starts).chain(gateways).collect()
}

/// All of the contract's public addresses at once: one of a machine that goes may be another's next.
fn addresses(workloads: &Workloads, observed: &ObservedContract) -> Option<Step> {
    let public = |spec: &MachineSpec| Some((spec.id.name.clone(), spec.public.clone()?));
    let wanted: BTreeMap<_, _> = workloads.machines.iter().filter_map(public).collect();
    (wanted != observed.addresses).then_some(Step::SetAddresses(wanted))
}

fn missing_gateways(workloads: &Workloads, observed: &ObservedContract) -> Vec<Step> {
    let is_missing = |spec: &&GatewaySpec| {
        let there = observed.gateways.get(&spec.id.name);
        there.is_none_or(|there| there.spec != **spec)
    };
    workloads.gateways.iter().filter(is_missing).cloned().map(Step::EnsureGateway).collect()
}

fn remove_gateways(observed: &ObservedContract) -> Vec<Step> {
    observed.gateways.keys().cloned().map(Step::RemoveGateway).collect()
}

fn missing_networks(workloads: &Workloads, observed: &ObservedContract) -> Vec<Step> {
    let is_missing = |spec: &&NetworkSpec| {
        let there = observed.private_networks.get(&spec.id.name);
        there.is_none_or(|there| there.range != Some(spec.range))
    };
    workloads.networks.iter().filter(is_missing).cloned().map(Step::EnsurePrivateNetwork).collect()
}

/// Machines that run and aren't connected: the agent was killed meanwhile, somebody has removed a network, or a public
/// address is another one.
fn attach(workloads: &Workloads, observed: &ObservedContract) -> Vec<Step> {
    let is_connected = |spec: &MachineSpec| {
        let pair = |name: &String| (spec.id.name.clone(), name.clone());
        let mut interfaces = spec.attachment.interfaces.iter();
        let has_ips =
            observed.links.get(&spec.id.name) == spec.public.as_ref().map(AddressSpec::ips).as_ref();
        has_ips && interfaces.all(|interface| observed.ports.contains(&pair(&interface.network.name)))
    };
    let is_to_connect = |spec: &&MachineSpec| {
        let machine = observed.machines.get(&spec.id.name);
        machine.is_some_and(|machine| machine.is_running() && machine.hash == spec.hash)
            && !is_connected(spec)
    };
    workloads.machines.iter().filter(is_to_connect).cloned().map(Step::AttachMachine).collect()
}

/// Stops what isn't approved.
pub fn suspend(approved: &Approved, observed: &ObservedContract) -> Vec<Step> {
    observed
        .machines
        .values()
        .filter(|m| m.is_running() && approved.get(&m.id.name) != Some(&m.hash))
        .map(|m| Step::StopMachine(m.id.name.clone()))
        .collect()
}

fn destroy(observed: &ObservedContract) -> Vec<Step> {
    let machines = observed.machines.keys().cloned().map(Step::RemoveMachine);
    let volumes = observed.volumes.keys().cloned().map(Step::DeleteVolume);
    let networks = observed.private_networks.values();
    let networks = networks.map(|network| Step::RemovePrivateNetwork(network.id.clone()));
    let addresses = (!observed.addresses.is_empty()).then(|| Step::SetAddresses(BTreeMap::new()));
    let network = observed.network.then_some(Step::RemoveNetwork);
    let rest = machines.chain(volumes).chain(networks).chain(addresses).chain(network);
    remove_gateways(observed).into_iter().chain(rest).collect()
}

/// Before a fetch, what isn't approved is stopped: it doesn't run on while a registry takes its time.
fn run(workloads: &Workloads, approved: &Approved, observed: &ObservedContract) -> Vec<Step> {
    let steps = deploy(workloads, observed);
    let stops = suspend(approved, observed);
    if stops.is_empty() || !steps.iter().any(|step| matches!(step, Step::FetchImage(_))) {
        return steps;
    }
    let mut stopped = observed.clone();
    for machine in stopped.machines.values_mut() {
        if approved.get(&machine.id.name) != Some(&machine.hash) {
            machine.state = MachineState::Stopped { how: "by the agent".into(), exit: None };
        }
    }
    stops.into_iter().chain(deploy(workloads, &stopped)).collect()
}

/// Volumes that the driver will refuse, which go first, before anything is changed; and those to create or to grow.
fn volumes(workloads: &Workloads, observed: &ObservedContract) -> (Vec<Step>, Vec<Step>) {
    let (mut refuse, mut ensure) = (Vec::new(), Vec::new());
    for spec in &workloads.volumes {
        match observed.volumes.get(&spec.id.name) {
            Some(volume) if volume.size == spec.size && volume.disk == spec.disk => {}
            Some(volume) if volume.disk != spec.disk || volume.size > spec.size && !spec.restores => {
                refuse.push(Step::EnsureVolume(spec.clone()));
            }
            _ => ensure.push(Step::EnsureVolume(spec.clone())),
        }
    }
    (refuse, ensure)
}

/// What goes because the workloads don't have it: gateways, machines and parts of networks.
fn surplus(workloads: &Workloads, observed: &ObservedContract) -> (Vec<Step>, Vec<Step>, Vec<Step>) {
    let has_gateway = |name: &String| workloads.gateways.iter().any(|spec| spec.id.name == *name);
    let has_machine = |name: &String| workloads.machines.iter().any(|spec| spec.id.name == *name);
    let has_network = |name: &String| workloads.networks.iter().any(|spec| spec.id.name == *name);
    let gateways = observed.gateways.keys().filter(|name| !has_gateway(name)).cloned();
    let machines = observed.machines.keys().filter(|name| !has_machine(name)).cloned();
    let networks = observed.private_networks.iter().filter(|(name, _)| !has_network(name));
    (
        gateways.map(Step::RemoveGateway).collect(),
        machines.map(Step::RemoveMachine).collect(),
        networks.map(|(_, network)| Step::RemovePrivateNetwork(network.id.clone())).collect(),
    )
}

/// Whatever is slow or likely to fail comes before the first stop, so that a new version that can't run
/// leaves the old one running. No machine starts before all are created, so that none runs while another
/// can't.
fn deploy(workloads: &Workloads, observed: &ObservedContract) -> Vec<Step> {
    let (refuse, mut ensure) = volumes(workloads, observed);
    let mut fetch = Vec::new();
    let mut create_early = Vec::new();
    let (clear_gateways, mut clear, clear_networks) = surplus(workloads, observed);
    let mut create = Vec::new();
    let mut start = Vec::new();

    ensure.extend(missing_networks(workloads, observed));
    for spec in &workloads.machines {
        match observed.machines.get(&spec.id.name) {
            Some(machine) if spec.is_held && machine.is_running() && machine.hash == spec.hash => {
                clear.push(Step::StopMachine(spec.id.name.clone()));
                continue;
            }
            Some(machine)
                if machine.hash == spec.hash
                    && (machine.is_running() || spec.finished(machine).is_some()) =>
            {
                continue;
            }
            Some(machine) if machine.hash == spec.hash => create.push(Step::CreateMachine(spec.clone())),
            Some(_) => {
                fetch.push(Step::FetchImage(spec.clone()));
                clear.push(Step::RemoveMachine(spec.id.name.clone()));
                create.push(Step::CreateMachine(spec.clone()));
            }
            // It may need GPUs that others of its contract have.
            None if spec.container.gpus > 0 => {
                fetch.push(Step::FetchImage(spec.clone()));
                create.push(Step::CreateMachine(spec.clone()));
            }
            None => {
                fetch.push(Step::FetchImage(spec.clone()));
                create_early.push(Step::CreateMachine(spec.clone()));
            }
        }
        if !spec.is_held {
            start.push(Step::StartMachine(spec.clone()));
        }
    }
    let (attach, publish) = (attach(workloads, observed), missing_gateways(workloads, observed));
    let addresses = addresses(workloads, observed).into_iter().collect();
    let clear = [clear_gateways, clear, clear_networks].concat();
    [refuse, fetch, ensure, create_early, clear, addresses, create, attach, start, publish].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::{
        AddressSpec, Condition, ContainerSpec, InterfaceSpec, MachineState, ObservedGateway, ObservedMachine,
        ObservedNetwork, ObservedVolume, WorkloadId, gateway::tests::site,
    };
    use ipnet::Ipv4Net;
    use proptest::prelude::*;
    use tfgrid_client::{
        deployment::{DiskKind, Restart},
        public_ip::PublicAddress,
    };

    const MIB: u64 = 1 << 20;

    fn id(contract: ContractId, name: &str) -> WorkloadId {
        WorkloadId { contract, name: name.into() }
    }

    fn machine(contract: ContractId, name: &str, hash: &str, mounts: &[&str]) -> MachineSpec {
        MachineSpec {
            id: id(contract, name),
            version: 1,
            pointer: "/workloads/0".into(),
            restart: Restart::Always,
            is_held: false,
            registry: None,
            container: ContainerSpec {
                image: "localhost/web:1".into(),
                cpu: 100,
                memory: 16 * MIB,
                rootfs: 16 * MIB,
                mounts: mounts.iter().map(|name| (name.to_string(), format!("/{name}"))).collect(),
                ..Default::default()
            },
            attachment: Default::default(),
            public: None,
            hash: hash.into(),
        }
    }

    fn network_id(name: &str) -> NetworkId {
        NetworkId { twin: 5, name: name.into() }
    }

    fn network(contract: ContractId, name: &str) -> NetworkSpec {
        let range: Ipv4Net = "10.20.1.0/24".parse().unwrap();
        let pointer = "/workloads/2".into();
        NetworkSpec {
            id: network_id(name),
            contract,
            pointer,
            range,
            gateway: [10, 20, 1, 1].into(),
            subnet: range,
            peers: BTreeMap::new(),
        }
    }

    fn observed_network(contract: ContractId, name: &str, is_whole: bool) -> ObservedNetwork {
        let range = is_whole.then(|| network(contract, name).range);
        ObservedNetwork { id: network_id(name), contract, range }
    }

    /// The machine in this network.
    fn within(network: &NetworkSpec, mut machine: MachineSpec) -> MachineSpec {
        machine.attachment.interfaces.push(InterfaceSpec {
            network: network.id.clone(),
            subnet: network.range,
            range: network.range,
            gateway: network.gateway,
            ip: [10, 20, 1, 9].into(),
        });
        machine
    }

    fn volume(contract: ContractId, name: &str, mib: u64) -> VolumeSpec {
        VolumeSpec {
            id: id(contract, name),
            pointer: "/workloads/1".into(),
            size: mib * MIB,
            disk: DiskKind::Ssd,
            restores: false,
        }
    }

    fn observed_machine(contract: ContractId, name: &str, hash: &str, running: bool) -> ObservedMachine {
        let state = if running {
            MachineState::Running { ip: None, condition: Condition::Unchecked }
        } else {
            MachineState::Stopped { how: "exit code 0".into(), exit: Some(0) }
        };
        ObservedMachine { id: id(contract, name), hash: hash.into(), instance: "1".into(), state }
    }

    fn observed_volume(contract: ContractId, name: &str, mib: u64) -> ObservedVolume {
        ObservedVolume {
            id: id(contract, name),
            size: mib * MIB,
            used: 0,
            disk: DiskKind::Ssd,
            restored: false,
        }
    }

    /// Applies the step to a machine on which nothing fails.
    fn apply(step: &Step, contract: ContractId, world: &mut ObservedContract) {
        match step {
            Step::FetchImage(_) => {}
            Step::StopMachine(name) => {
                world.machines.get_mut(name).unwrap().state =
                    MachineState::Stopped { how: String::new(), exit: None };
                world.ports.retain(|(machine, _)| machine != name);
                world.links.remove(name);
            }
            Step::RemoveMachine(name) => {
                world.machines.remove(name).unwrap();
                world.ports.retain(|(machine, _)| machine != name);
                world.links.remove(name);
            }
            Step::DeleteVolume(name) => {
                world.volumes.remove(name).unwrap();
            }
            Step::RemovePrivateNetwork(id) => {
                assert!(world.ports.iter().all(|(_, network)| *network != id.name), "it has machines");
                world.private_networks.remove(&id.name).unwrap();
            }
            Step::EnsurePrivateNetwork(spec) => {
                let there = observed_network(contract, &spec.id.name, true);
                world.private_networks.insert(spec.id.name.clone(), there);
            }
            Step::SetAddresses(machines) => {
                world.addresses.clone_from(machines);
                world.links.retain(|name, ips| machines.get(name).is_some_and(|spec| spec.ips() == *ips));
            }
            Step::AttachMachine(spec) => connect(spec, world),
            Step::EnsureGateway(spec) => {
                world.gateways.insert(spec.id.name.clone(), observed_site(spec.clone()));
            }
            Step::RemoveGateway(name) => {
                world.gateways.remove(name).unwrap();
            }
            Step::RemoveNetwork => {
                assert!(world.machines.is_empty(), "a network is removed after its machines");
                world.network = false;
            }
            Step::EnsureVolume(spec) => {
                let volume = ObservedVolume {
                    id: spec.id.clone(),
                    size: spec.size,
                    used: 0,
                    disk: spec.disk,
                    restored: false,
                };
                world.volumes.insert(spec.id.name.clone(), volume);
            }
            Step::CreateMachine(spec) => {
                for (name, _) in &spec.container.mounts {
                    assert!(world.volumes[name].size > 0, "a machine is created after its volumes");
                }
                let created = observed_machine(contract, &spec.id.name, &spec.hash, false);
                world.machines.entry(spec.id.name.clone()).or_insert(created);
                world.network = true;
            }
            Step::StartMachine(spec) => {
                for (name, _) in &spec.container.mounts {
                    assert!(world.volumes[name].size > 0, "a machine starts after its volumes");
                }
                let machine = world.machines.get_mut(&spec.id.name).expect("a machine starts once created");
                machine.state = MachineState::Running { ip: None, condition: Condition::Unchecked };
                connect(spec, world);
            }
        }
    }

    fn observed_site(spec: GatewaySpec) -> ObservedGateway {
        ObservedGateway { spec, url: None, trouble: None }
    }

    fn connect(spec: &MachineSpec, world: &mut ObservedContract) {
        for InterfaceSpec { network, .. } in &spec.attachment.interfaces {
            let there =
                world.private_networks.get(&network.name).expect("a machine starts after its networks");
            assert!(there.range.is_some() && world.machines[&spec.id.name].is_running());
            world.ports.insert((spec.id.name.clone(), network.name.clone()));
        }
        if let Some(public) = &spec.public {
            assert_eq!(
                world.addresses.get(&spec.id.name),
                Some(public),
                "a machine starts after its addresses"
            );
            world.links.insert(spec.id.name.clone(), public.ips());
        }
    }

    /// The goal that these workloads run, none of which are approved yet.
    fn run_goal(workloads: Workloads) -> Goal {
        Goal::Run { workloads, approved: Approved::new() }
    }

    /// The goal of an update to these workloads, in a world whose machines are all approved.
    fn update(machines: Vec<MachineSpec>, volumes: Vec<VolumeSpec>, world: &ObservedContract) -> Goal {
        let approved = world.machines.iter().map(|(name, machine)| (name.clone(), machine.hash.clone()));
        Goal::Run {
            workloads: Workloads { machines, volumes, ..Default::default() },
            approved: approved.collect(),
        }
    }

    fn one(goal: Goal, world: ObservedContract) -> Vec<Step> {
        let plans = plan(&BTreeMap::from([(1, goal)]), &BTreeMap::from([(1, world)]));
        plans.into_iter().flat_map(|plan| plan.steps).collect()
    }

    #[test]
    fn a_new_contract_gets_its_image_then_its_volume_then_starts() {
        let web = machine(1, "web", "a", &["data"]);
        let data = volume(1, "data", 16);
        let world = ObservedContract::default();
        let goal = update(vec![web.clone()], vec![data.clone()], &world);
        assert_eq!(
            one(goal, world),
            [
                Step::FetchImage(web.clone()),
                Step::EnsureVolume(data),
                Step::CreateMachine(web.clone()),
                Step::StartMachine(web)
            ]
        );
    }

    #[test]
    fn a_job_that_has_ended_is_not_started_again() {
        let world = ObservedContract {
            machines: BTreeMap::from([("job".into(), observed_machine(1, "job", "a", false))]),
            network: true,
            ..Default::default()
        };
        let mut job = machine(1, "job", "a", &[]);
        for (restart, starts) in
            [(Restart::Always, true), (Restart::OnFailure, false), (Restart::Never, false)]
        {
            job.restart = restart;
            let steps = one(update(vec![job.clone()], vec![], &world), world.clone());
            assert_eq!(steps.contains(&Step::StartMachine(job.clone())), starts, "{restart:?}");
        }
        let mut failed = world.clone();
        failed.machines.get_mut("job").unwrap().state =
            MachineState::Stopped { how: "exit code 1".into(), exit: Some(1) };
        job.restart = Restart::OnFailure;
        assert!(!one(update(vec![job.clone()], vec![], &failed), failed).is_empty());
        let mut stopped = world;
        stopped.machines.get_mut("job").unwrap().state =
            MachineState::Stopped { how: "exit code 0".into(), exit: None };
        job.restart = Restart::Never;
        assert!(!one(update(vec![job], vec![], &stopped), stopped).is_empty());
    }

    #[test]
    fn machines_new_in_an_update_are_created_before_any_stops() {
        let world = ObservedContract {
            machines: BTreeMap::from([("web".into(), observed_machine(1, "web", "old", true))]),
            network: true,
            ..Default::default()
        };
        let (db, web) = (machine(1, "db", "a", &[]), machine(1, "web", "new", &[]));
        let steps = one(update(vec![db.clone(), web.clone()], vec![], &world), world);
        let place = |step: Step| steps.iter().position(|other| *other == step);
        assert!(place(Step::CreateMachine(db)) < place(Step::RemoveMachine("web".into())), "{steps:?}");
    }

    #[test]
    fn a_suspended_contract_runs_only_what_is_approved() {
        let world = ObservedContract {
            machines: BTreeMap::from(["db", "web", "new"].map(|name| {
                let hash = if name == "web" { "new" } else { "a" };
                (name.to_string(), observed_machine(1, name, hash, true))
            })),
            network: true,
            ..Default::default()
        };
        let approved = Approved::from(["db", "web"].map(|name| (name.to_string(), "a".to_string())));
        assert_eq!(
            one(Goal::Suspend(approved.clone()), world.clone()),
            [Step::StopMachine("new".into()), Step::StopMachine("web".into())]
        );

        // The same before a fetch, of which nobody knows how long it takes.
        let machines = ["db", "new", "late"].map(|name| machine(1, name, "a", &[]));
        let workloads = Workloads { machines: machines.to_vec(), ..Default::default() };
        let steps = one(Goal::Run { workloads, approved }, world);
        assert_eq!(steps[..2], [Step::StopMachine("new".into()), Step::StopMachine("web".into())]);
        assert!(steps.contains(&Step::StartMachine(machine(1, "new", "a", &[]))), "{steps:?}");
        assert!(!touched(&steps).contains(&"db"), "{steps:?}");
    }

    #[test]
    fn another_spec_replaces_the_machine_after_its_fetch() {
        let web = machine(1, "web", "new", &[]);
        let world = ObservedContract {
            machines: BTreeMap::from([("web".into(), observed_machine(1, "web", "old", true))]),
            network: true,
            ..Default::default()
        };
        assert_eq!(
            one(update(vec![web.clone()], vec![], &world), world),
            [
                Step::FetchImage(web.clone()),
                Step::RemoveMachine("web".into()),
                Step::CreateMachine(web.clone()),
                Step::StartMachine(web)
            ]
        );
    }

    #[test]
    fn a_stopped_machine_is_started_again_with_its_volume() {
        let web = machine(1, "web", "a", &["data"]);
        let world = ObservedContract {
            machines: BTreeMap::from([("web".into(), observed_machine(1, "web", "a", false))]),
            volumes: BTreeMap::from([("data".into(), observed_volume(1, "data", 16))]),
            network: true,
            ..Default::default()
        };
        let goal = update(vec![web.clone()], vec![volume(1, "data", 16)], &world);
        assert_eq!(one(goal, world), [Step::CreateMachine(web.clone()), Step::StartMachine(web)]);
    }

    #[test]
    fn a_volume_grows_while_its_machine_runs() {
        let web = machine(1, "web", "a", &["data"]);
        let world = ObservedContract {
            machines: BTreeMap::from([("web".into(), observed_machine(1, "web", "a", true))]),
            volumes: BTreeMap::from([("data".into(), observed_volume(1, "data", 32))]),
            network: true,
            ..Default::default()
        };
        for mib in [64, 16] {
            let goal = update(vec![web.clone()], vec![volume(1, "data", mib)], &world);
            assert_eq!(one(goal, world.clone()), [Step::EnsureVolume(volume(1, "data", mib))]);
        }
    }

    /// Names of the workloads that the steps change.
    fn touched(steps: &[Step]) -> Vec<&str> {
        steps
            .iter()
            .map(|step| match step {
                Step::StopMachine(name) | Step::RemoveMachine(name) | Step::DeleteVolume(name) => {
                    name.as_str()
                }
                Step::FetchImage(spec) | Step::CreateMachine(spec) | Step::StartMachine(spec) => {
                    spec.id.name.as_str()
                }
                Step::EnsureVolume(spec) => spec.id.name.as_str(),
                Step::EnsureGateway(spec) => spec.id.name.as_str(),
                Step::RemoveGateway(name) => name.as_str(),
                Step::EnsurePrivateNetwork(_) => "ensure network",
                Step::SetAddresses(_) => "addresses",
                Step::AttachMachine(_) => "attach",
                Step::RemovePrivateNetwork(_) => "remove network",
                Step::RemoveNetwork => "network",
            })
            .collect()
    }

    #[test]
    fn an_update_touches_only_what_it_changes() {
        let world = ObservedContract {
            machines: BTreeMap::from([
                ("db".into(), observed_machine(1, "db", "a+data", true)),
                ("web".into(), observed_machine(1, "web", "old", true)),
            ]),
            volumes: BTreeMap::from([("data".into(), observed_volume(1, "data", 16))]),
            network: true,
            ..Default::default()
        };
        let db = machine(1, "db", "a+data", &["data"]);
        let machines = |web: &str| vec![db.clone(), machine(1, "web", web, &[])];
        let goal = |web| update(machines(web), vec![volume(1, "data", 16)], &world);
        assert_eq!(touched(&one(goal("new"), world.clone())), ["web"; 4]);
        assert_eq!(one(goal("old"), world.clone()), []);
    }

    #[test]
    fn a_volume_grown_by_a_failed_update_goes_back_to_its_size() {
        let web = machine(1, "web", "a", &["data"]);
        let workloads =
            Workloads { machines: vec![web], volumes: vec![volume(1, "data", 16)], ..Default::default() };
        let world = ObservedContract {
            machines: BTreeMap::from([("web".into(), observed_machine(1, "web", "a", true))]),
            volumes: BTreeMap::from([("data".into(), observed_volume(1, "data", 64))]),
            network: true,
            ..Default::default()
        };
        let back = VolumeSpec { restores: true, ..volume(1, "data", 16) };
        assert_eq!(one(run_goal(restored(&workloads, &world)), world), [Step::EnsureVolume(back)]);
        // One that is too small is grown all the same.
        let grown = restored(&workloads, &ObservedContract::default());
        assert_eq!(grown, workloads);
    }

    #[test]
    fn what_a_version_leaves_out_counts() {
        let web = machine(1, "web", "a", &["new"]);
        let root = web.container.rootfs;
        let workloads =
            Workloads { machines: vec![web], volumes: vec![volume(1, "new", 16)], ..Default::default() };
        let held = |name: &str, used| ObservedVolume { used, ..observed_volume(1, name, 64) };
        let world = |volumes: &[(&str, u64)]| ObservedContract {
            volumes: volumes.iter().map(|(name, used)| ((*name).to_string(), held(name, *used))).collect(),
            ..Default::default()
        };
        let reserved = Resources { sru: root + 16 * MIB, ..Resources::ZERO };
        let refusal = |volumes: &[(&str, u64)]| keeps_too_much(&workloads, &reserved, &world(volumes));
        assert_eq!(refusal(&[("new", 16 * MIB), ("web.volumes", root), ("old", EMPTY_VOLUME)]), None);
        let refused = refusal(&[("old", 2 * MIB), ("gone.volumes", 3 * MIB)]).unwrap();
        assert_eq!((refused.code, refused.path.as_str()), (FailureCode::OverReserved, "/workloads"));
        assert!(refused.message.contains("gone.volumes, old (5242880 bytes)"), "{refused}");
        let more = Resources { sru: reserved.sru + 5 * MIB, ..reserved };
        assert_eq!(keeps_too_much(&workloads, &more, &world(&[("old", 5 * MIB)])), None);
    }

    #[test]
    fn plans_that_free_capacity_go_before_starts() {
        let goals = BTreeMap::from([
            (1, update(vec![machine(1, "web", "a", &[])], vec![], &ObservedContract::default())),
            (2, Goal::Destroy),
            (3, Goal::Halt),
        ]);
        let running = |contract| ObservedContract {
            machines: BTreeMap::from([("web".into(), observed_machine(contract, "web", "a", true))]),
            network: true,
            ..Default::default()
        };
        let plans = plan(&goals, &BTreeMap::from([(2, running(2)), (3, running(3))]));
        let order: Vec<_> = plans.iter().map(|plan| (plan.contract, plan.only_frees())).collect();
        assert_eq!(order, [(2, true), (3, true), (1, false)]);
    }

    #[test]
    fn of_1000_contracts_only_the_one_that_changes_has_steps() {
        let goal = |contract, hash: &str, world: &ObservedContract| {
            update(vec![machine(contract, "web", hash, &[])], vec![volume(contract, "data", 16)], world)
        };
        let nothing = ObservedContract::default();
        let mut goals: BTreeMap<ContractId, Goal> =
            (1..=1_000).map(|id| (id, goal(id, "a", &nothing))).collect();
        let mut observed = Observed::new();
        let plans = plan(&goals, &observed);
        assert_eq!(plans.len(), 1_000);
        for Plan { contract, steps } in plans {
            let world = observed.entry(contract).or_default();
            steps.iter().for_each(|step| apply(step, contract, world));
        }
        assert!(plan(&goals, &observed).is_empty());

        goals.insert(500, goal(500, "b", &observed[&500]));
        let plans = plan(&goals, &observed);
        let touched: Vec<_> = plans.iter().map(|plan| (plan.contract, touched(&plan.steps))).collect();
        assert_eq!(touched, [(500, vec!["web"; 4])]);
    }

    /// A public address of a machine.
    fn address(last: u8) -> AddressSpec {
        let address = PublicAddress { ip: [11, 1, 1, last].into(), gateway: [11, 1, 1, 254].into() };
        AddressSpec { addresses: vec![address], ports: Vec::new() }
    }

    /// Machines `x` (which may mount `data`), `y` and `z` (which may have a public address); volumes `data` and `more`.
    fn workloads() -> impl Strategy<Value = Workloads> {
        let hash = || prop_oneof![Just("a"), Just("b")];
        let machines = (
            proptest::option::of((hash(), any::<bool>())),
            proptest::option::of((hash(), any::<bool>())),
            proptest::option::of((hash(), proptest::option::of(1u8..3))),
        );
        let size = || proptest::option::of(2u64..4);
        let site = proptest::option::of(prop_oneof![Just("a"), Just("b")]);
        (machines, size(), size(), any::<bool>(), site).prop_map(|((x, y, z), data, more, net, host)| {
            let x = x.map(|(hash, mount)| {
                if mount && data.is_some() {
                    machine(1, "x", &format!("{hash}+data"), &["data"])
                } else {
                    machine(1, "x", hash, &[])
                }
            });
            let net = net.then(|| network(1, "net"));
            let y = y.map(|(hash, is_in)| match &net {
                Some(net) if is_in => within(net, machine(1, "y", &format!("{hash}+net"), &[])),
                _ => machine(1, "y", hash, &[]),
            });
            let z =
                z.map(|(hash, last)| MachineSpec { public: last.map(address), ..machine(1, "z", hash, &[]) });
            Workloads {
                machines: [x, y, z].into_iter().flatten().collect(),
                volumes: [data.map(|m| volume(1, "data", m)), more.map(|m| volume(1, "more", m))]
                    .into_iter()
                    .flatten()
                    .collect(),
                networks: net.into_iter().collect(),
                gateways: host.map(published).into_iter().collect(),
                ..Default::default()
            }
        })
    }

    /// A site of this name.
    fn published(host: &str) -> GatewaySpec {
        GatewaySpec { id: id(1, "site"), ..site(1, host) }
    }

    /// Any state of a machine, but no volume larger than wanted: the driver refuses to shrink.
    fn world() -> impl Strategy<Value = ObservedContract> {
        let machine = |name: &'static str| {
            let hash = prop_oneof![Just("a"), Just("b"), Just("a+data"), Just("a+net")];
            proptest::option::of((hash, any::<bool>())).prop_map(move |m| {
                m.map(|(hash, running)| (name.to_string(), observed_machine(1, name, hash, running)))
            })
        };
        let volume = |name: &'static str| {
            proptest::option::of(0u64..3)
                .prop_map(move |mib| mib.map(|mib| (name.to_string(), observed_volume(1, name, mib))))
        };
        let network = |name: &'static str| {
            proptest::option::of(any::<bool>())
                .prop_map(move |net| net.map(|whole| (name.to_string(), observed_network(1, name, whole))))
        };
        let machines = (machine("x"), machine("y"), machine("z"), machine("other"));
        let addresses = (proptest::option::of(1u8..3), proptest::option::of(1u8..3), any::<bool>());
        let networks = (network("net"), network("old-net"), any::<bool>());
        let host = proptest::option::of(prop_oneof![Just("a"), Just("b")]);
        let all = (machines, volume("data"), volume("old"), networks, addresses, any::<bool>(), host);
        all.prop_map(
            |((x, y, z, other), data, old, (net, old_net, port), (own, others, link), network, host)| {
                let is_in = |(_, y): &(String, ObservedMachine)| y.is_running() && y.hash.ends_with("+net");
                let port = port && net.is_some() && y.as_ref().is_some_and(is_in);
                let has_link = link && z.as_ref().is_some_and(|(_, z)| z.is_running());
                let links = own.filter(|_| has_link).map(|last| ("z".to_owned(), address(last).ips()));
                let addresses = [("z", own), ("other", others)].into_iter();
                let addresses = addresses.filter_map(|(name, last)| Some((name.to_owned(), address(last?))));
                ObservedContract {
                    machines: [x, y, z, other].into_iter().flatten().collect(),
                    volumes: [data, old].into_iter().flatten().collect(),
                    network,
                    private_networks: [net, old_net].into_iter().flatten().collect(),
                    ports: port.then(|| ("y".into(), "net".into())).into_iter().collect(),
                    addresses: addresses.collect(),
                    links: links.into_iter().collect(),
                    gateways: host
                        .map(|host| ("site".into(), observed_site(published(host))))
                        .into_iter()
                        .collect(),
                    is_unreadable: false,
                }
            },
        )
    }

    fn approved() -> impl Strategy<Value = Approved> {
        let names = prop_oneof![Just("x"), Just("y"), Just("z"), Just("other")];
        let hashes = prop_oneof![Just("a"), Just("b"), Just("a+data")];
        proptest::collection::btree_map(names.prop_map(String::from), hashes.prop_map(String::from), 0..3)
    }

    fn goal() -> impl Strategy<Value = Goal> {
        prop_oneof![
            4 => (workloads(), approved()).prop_map(|(workloads, approved)| Goal::Run { workloads, approved }),
            1 => workloads().prop_map(Goal::Resume),
            1 => approved().prop_map(Goal::Suspend),
            1 => Just(Goal::Halt),
            1 => Just(Goal::Destroy),
            1 => Just(Goal::Keep),
        ]
    }

    #[test]
    fn a_machine_starts_after_its_network_is_made() {
        let net = network(1, "net");
        let web = within(&net, machine(1, "web", "a", &[]));
        let workloads =
            Workloads { machines: vec![web.clone()], networks: vec![net.clone()], ..Default::default() };
        let steps = one(run_goal(workloads), ObservedContract::default());
        let expected = [
            Step::FetchImage(web.clone()),
            Step::EnsurePrivateNetwork(net),
            Step::CreateMachine(web.clone()),
            Step::StartMachine(web),
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn a_network_needs_no_machine() {
        let net = network(1, "net");
        let workloads = Workloads { networks: vec![net.clone()], ..Default::default() };
        let steps = one(run_goal(workloads.clone()), ObservedContract::default());
        assert_eq!(steps, [Step::EnsurePrivateNetwork(net)]);
        let world = ObservedContract {
            private_networks: [("net".into(), observed_network(1, "net", true))].into(),
            ..Default::default()
        };
        assert!(one(run_goal(workloads), world).is_empty());
    }

    #[test]
    fn a_running_machine_is_connected_again_without_a_restart() {
        let net = network(1, "net");
        let web = within(&net, machine(1, "web", "a", &[]));
        let workloads =
            Workloads { machines: vec![web.clone()], networks: vec![net.clone()], ..Default::default() };
        let world = ObservedContract {
            machines: [("web".into(), observed_machine(1, "web", "a", true))].into(),
            network: true,
            ..Default::default()
        };
        let expected = [Step::EnsurePrivateNetwork(net), Step::AttachMachine(web)];
        assert_eq!(one(run_goal(workloads.clone()), world.clone()), expected);
        assert_eq!(one(Goal::Resume(workloads), world), expected);
    }

    /// A running machine with its public address.
    fn world_with_address(last: u8) -> ObservedContract {
        ObservedContract {
            machines: [("web".into(), observed_machine(1, "web", "a", true))].into(),
            network: true,
            addresses: [("web".into(), address(last))].into(),
            links: [("web".into(), address(last).ips())].into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_machine_starts_after_its_public_address_is_set() {
        let web = MachineSpec { public: Some(address(1)), ..machine(1, "web", "a", &[]) };
        let goal = run_goal(Workloads { machines: vec![web.clone()], ..Default::default() });
        let expected = [
            Step::FetchImage(web.clone()),
            Step::CreateMachine(web.clone()),
            Step::SetAddresses([("web".into(), address(1))].into()),
            Step::StartMachine(web),
        ];
        assert_eq!(one(goal, ObservedContract::default()), expected);
    }

    #[test]
    fn a_running_machine_gets_another_address_without_a_restart() {
        let web = MachineSpec { public: Some(address(2)), ..machine(1, "web", "a", &[]) };
        let workloads = Workloads { machines: vec![web.clone()], ..Default::default() };
        let expected = [Step::SetAddresses([("web".into(), address(2))].into()), Step::AttachMachine(web)];
        assert_eq!(one(run_goal(workloads.clone()), world_with_address(1)), expected);
        assert_eq!(one(Goal::Resume(workloads.clone()), world_with_address(1)), expected);
        assert_eq!(one(run_goal(workloads), world_with_address(2)), []);
    }

    #[test]
    fn an_address_goes_with_its_machine_and_with_its_contract() {
        let none = Step::SetAddresses(BTreeMap::new());
        let web = machine(1, "web", "a", &[]);
        let kept = Workloads { machines: vec![web], ..Default::default() };
        assert_eq!(one(run_goal(kept), world_with_address(1))[0], none);
        let expected = [Step::RemoveMachine("web".into()), none];
        assert_eq!(one(run_goal(Workloads::default()), world_with_address(1)), expected);
        let removed = one(Goal::Destroy, world_with_address(1));
        assert_eq!(removed[..2], expected);
    }

    #[test]
    fn an_address_changes_hands_once_its_machine_is_gone() {
        // The first machine of the contract has gone, so the second gets its address.
        let db = MachineSpec { public: Some(address(1)), ..machine(1, "db", "b", &[]) };
        let mut world = world_with_address(1);
        world.machines.insert("db".into(), observed_machine(1, "db", "b", true));
        world.addresses.insert("db".into(), address(2));
        world.links.insert("db".into(), address(2).ips());
        let expected = [
            Step::RemoveMachine("web".into()),
            Step::SetAddresses([("db".into(), address(1))].into()),
            Step::AttachMachine(db.clone()),
        ];
        let workloads = Workloads { machines: vec![db], ..Default::default() };
        assert_eq!(one(run_goal(workloads), world), expected);
    }

    #[test]
    fn a_network_that_is_left_out_goes_after_its_machines() {
        let world = ObservedContract {
            machines: [("web".into(), observed_machine(1, "web", "a", true))].into(),
            private_networks: [("net".into(), observed_network(1, "net", true))].into(),
            ports: [("web".into(), "net".into())].into(),
            ..Default::default()
        };
        let expected = [Step::RemoveMachine("web".into()), Step::RemovePrivateNetwork(network_id("net"))];
        assert_eq!(one(run_goal(Workloads::default()), world), expected);
    }

    #[test]
    fn a_site_is_published_last_and_ends_first() {
        let (web, shop) = (machine(1, "web", "a", &[]), site(1, "shop"));
        let workloads =
            Workloads { machines: vec![web.clone()], gateways: vec![shop.clone()], ..Default::default() };
        let steps = one(run_goal(workloads), ObservedContract::default());
        assert_eq!(steps[2..], [Step::StartMachine(web), Step::EnsureGateway(shop.clone())]);
        let world = ObservedContract {
            machines: [("web".into(), observed_machine(1, "web", "a", true))].into(),
            gateways: [("shop".into(), observed_site(shop))].into(),
            ..Default::default()
        };
        for goal in [Goal::Halt, Goal::Destroy, run_goal(Workloads::default())] {
            assert_eq!(one(goal, world.clone())[0], Step::RemoveGateway("shop".into()));
        }
    }

    proptest! {
        #[test]
        fn a_carried_out_plan_leaves_nothing_to_plan(goal in goal(), mut world in world()) {
            for step in one(goal.clone(), world.clone()) {
                apply(&step, 1, &mut world);
            }
            prop_assert_eq!(one(goal, world), []);
        }

        #[test]
        fn no_machine_starts_before_all_are_created(goal in goal(), world in world()) {
            let steps = one(goal, world);
            let started = steps.iter().skip_while(|step| !matches!(step, Step::StartMachine(_)));
            let is_last = |step: &Step| matches!(step, Step::StartMachine(_) | Step::EnsureGateway(_));
            prop_assert!(started.clone().all(is_last));
        }

        #[test]
        fn a_plan_after_a_crash_reaches_the_goal(
            goal in goal(), mut world in world(), crash in 0usize..6,
        ) {
            for step in one(goal.clone(), world.clone()).iter().take(crash) {
                apply(step, 1, &mut world);
            }
            for step in one(goal.clone(), world.clone()) {
                apply(&step, 1, &mut world);
            }
            prop_assert_eq!(one(goal, world), []);
        }

        #[test]
        fn a_crashed_and_reverted_update_loses_no_content(
            old in workloads(), new in workloads(), mut world in world(), crash in 0usize..8,
        ) {
            let goal = run_goal(restored(&old, &world));
            for step in one(goal, world.clone()) {
                apply(&step, 1, &mut world);
            }
            let before = world.volumes.clone();
            for step in one(run_goal(restored(&new, &world)), world.clone()).iter().take(crash) {
                apply(step, 1, &mut world);
            }
            for step in one(run_goal(restored(&old, &world)), world.clone()) {
                apply(&step, 1, &mut world);
            }
            prop_assert_eq!(one(run_goal(restored(&old, &world)), world.clone()), []);
            for (name, volume) in before {
                prop_assert!(world.volumes[&name].size >= volume.size);
            }
        }

        #[test]
        fn no_content_is_deleted_unless_the_contract_is_closed(goal in goal(), world in world()) {
            let destroys = one(goal.clone(), world)
                .iter()
                .any(|step| matches!(step, Step::DeleteVolume(_) | Step::RemoveNetwork));
            prop_assert!(!destroys || goal == Goal::Destroy);
        }

        #[test]
        fn a_closed_contract_leaves_nothing(mut world in world()) {
            for step in one(Goal::Destroy, world.clone()) {
                apply(&step, 1, &mut world);
            }
            prop_assert_eq!(world, ObservedContract::default());
        }
    }
}
