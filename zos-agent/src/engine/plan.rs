// SPDX-License-Identifier: Apache-2.0
//! From what should be and what is to the steps between them. Pure: no driver, no chain, no clock.

use super::{
    desired::Workloads,
    observed::{Observed, ObservedContract},
};
use crate::drivers::{MachineSpec, VolumeSpec};
use std::collections::{BTreeMap, BTreeSet};
use tfgrid_primitives::ContractId;

/// What should become of a contract's workloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// They run.
    Run(Workloads),
    /// Nothing runs; everything else stays.
    Halt,
    /// Nothing is left. Only for contracts that the chain has closed.
    Destroy,
    /// Nothing is touched.
    Keep,
}

/// One step, idempotent. Names are those of the contract's workloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Fetch what the machine needs.
    Prepare(MachineSpec),
    /// Stop the machine.
    Stop(String),
    /// Stop and remove the machine.
    Remove(String),
    /// Detach the volume; its content stays.
    Detach(String),
    /// Make, grow and attach the volume.
    Attach(VolumeSpec),
    /// Make and start the machine.
    Run(MachineSpec),
    /// Delete the volume with its content.
    Destroy(String),
    /// Remove the network.
    Release,
}

/// The steps of one contract, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whose.
    pub contract: ContractId,
    /// Never empty.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Whether it only gives back what the contract took.
    pub fn releases(&self) -> bool {
        self.steps.iter().all(|step| {
            matches!(
                step,
                Step::Stop(_) | Step::Remove(_) | Step::Detach(_) | Step::Destroy(_) | Step::Release
            )
        })
    }
}

/// The workloads of a version that stands, with volumes as large as they are: an update that failed
/// may have grown them, and content isn't cut off to come back from it.
pub fn as_grown(workloads: &Workloads, observed: &ObservedContract) -> Workloads {
    let mut workloads = workloads.clone();
    for spec in &mut workloads.volumes {
        let grown = observed.volumes.get(&spec.id.name).map_or(0, |volume| volume.size);
        spec.size = spec.size.max(grown);
    }
    workloads
}

/// Plans for all contracts; those that release come first.
pub fn plan(wishes: &BTreeMap<ContractId, Wish>, observed: &Observed) -> Vec<Plan> {
    let nothing = ObservedContract::default();
    let mut plans: Vec<Plan> = wishes
        .iter()
        .map(|(&contract, wish)| Plan {
            contract,
            steps: steps(wish, observed.get(&contract).unwrap_or(&nothing)),
        })
        .filter(|plan| !plan.steps.is_empty())
        .collect();
    plans.sort_by_key(|plan| !plan.releases());
    plans
}

fn steps(wish: &Wish, observed: &ObservedContract) -> Vec<Step> {
    match wish {
        Wish::Run(workloads) => run(workloads, observed),
        Wish::Halt => halt(observed),
        Wish::Destroy => destroy(observed),
        Wish::Keep => Vec::new(),
    }
}

fn halt(observed: &ObservedContract) -> Vec<Step> {
    observed.machines.values().filter(|m| m.is_running()).map(|m| Step::Stop(m.id.name.clone())).collect()
}

fn destroy(observed: &ObservedContract) -> Vec<Step> {
    let machines = observed.machines.keys().cloned().map(Step::Remove);
    let volumes = observed.volumes.keys().cloned().map(Step::Destroy);
    machines.chain(volumes).chain(observed.network.then_some(Step::Release)).collect()
}

/// Everything slow or likely to fail comes before the first thing that stops: a new version that
/// can't run leaves the old one running.
fn run(workloads: &Workloads, observed: &ObservedContract) -> Vec<Step> {
    let volumes = Volumes::of(workloads, observed);
    let mut prepare = Vec::new();
    let mut clear = Vec::new();
    let mut start = Vec::new();

    for name in observed.machines.keys() {
        if !workloads.machines.iter().any(|spec| spec.id.name == *name) {
            clear.push(Step::Remove(name.clone()));
        }
    }
    for spec in &workloads.machines {
        match observed.machines.get(&spec.id.name) {
            Some(machine) if machine.hash == spec.hash => {
                let must_stop = volumes.growing.iter().any(|volume| uses(spec, volume));
                if machine.is_running() && must_stop {
                    clear.push(Step::Stop(spec.id.name.clone()));
                }
                if !machine.is_running() || must_stop {
                    start.push(Step::Run(spec.clone()));
                }
            }
            other => {
                prepare.push(Step::Prepare(spec.clone()));
                if other.is_some() {
                    clear.push(Step::Remove(spec.id.name.clone()));
                }
                start.push(Step::Run(spec.clone()));
            }
        }
    }
    let detach = volumes.unwanted.into_iter().map(Step::Detach);
    volumes
        .shrinking
        .into_iter()
        .chain(prepare)
        .chain(clear)
        .chain(detach)
        .chain(volumes.attach)
        .chain(start)
        .collect()
}

fn uses(spec: &MachineSpec, volume: &str) -> bool {
    spec.container.mounts.iter().any(|(name, _)| name == volume)
}

/// What has to happen to volumes.
#[derive(Default)]
struct Volumes {
    /// The driver refuses these: better before anything else is done.
    shrinking: Vec<Step>,
    /// Attached and too small: whoever uses them stops first.
    growing: BTreeSet<String>,
    attach: Vec<Step>,
    /// Attached and not in the deployment any more. Their content stays until the contract closes.
    unwanted: Vec<String>,
}

impl Volumes {
    fn of(workloads: &Workloads, observed: &ObservedContract) -> Self {
        let mut volumes = Self::default();
        for (name, volume) in &observed.volumes {
            if volume.attached && !workloads.volumes.iter().any(|spec| spec.id.name == *name) {
                volumes.unwanted.push(name.clone());
            }
        }
        for spec in &workloads.volumes {
            let attach = Step::Attach(spec.clone());
            match observed.volumes.get(&spec.id.name) {
                Some(volume) if volume.size > spec.size => volumes.shrinking.push(attach),
                Some(volume) if volume.attached && volume.size == spec.size => {}
                Some(volume) if volume.attached => {
                    volumes.growing.insert(spec.id.name.clone());
                    volumes.attach.push(attach);
                }
                _ => volumes.attach.push(attach),
            }
        }
        volumes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::{ContainerSpec, MachineState, ObservedMachine, ObservedVolume, WorkloadId};
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn id(contract: ContractId, name: &str) -> WorkloadId {
        WorkloadId { contract, name: name.into() }
    }

    fn machine(contract: ContractId, name: &str, hash: &str, mounts: &[&str]) -> MachineSpec {
        MachineSpec {
            id: id(contract, name),
            version: 1,
            pointer: "/workloads/0".into(),
            container: ContainerSpec {
                image: "localhost/web:1".into(),
                cpu: 1,
                memory: 16 * MIB,
                mounts: mounts.iter().map(|name| (name.to_string(), format!("/{name}"))).collect(),
                env: BTreeMap::new(),
                entrypoint: vec![],
                args: vec![],
            },
            hash: hash.into(),
        }
    }

    fn volume(contract: ContractId, name: &str, mib: u64) -> VolumeSpec {
        VolumeSpec { id: id(contract, name), pointer: "/workloads/1".into(), size: mib * MIB }
    }

    fn observed_machine(contract: ContractId, name: &str, hash: &str, running: bool) -> ObservedMachine {
        let state = match running {
            true => MachineState::Running { ip: None },
            false => MachineState::Stopped { how: "exit code 0".into() },
        };
        ObservedMachine { id: id(contract, name), hash: hash.into(), instance: "1".into(), state }
    }

    fn observed_volume(contract: ContractId, name: &str, mib: u64, attached: bool) -> ObservedVolume {
        ObservedVolume { id: id(contract, name), size: mib * MIB, attached, used: 0 }
    }

    /// What the step does to a world in which nothing fails.
    fn apply(step: &Step, contract: ContractId, world: &mut ObservedContract) {
        match step {
            Step::Prepare(_) => {}
            Step::Stop(name) => {
                world.machines.get_mut(name).unwrap().state = MachineState::Stopped { how: String::new() };
            }
            Step::Remove(name) => drop(world.machines.remove(name).unwrap()),
            Step::Detach(name) => world.volumes.get_mut(name).unwrap().attached = false,
            Step::Destroy(name) => drop(world.volumes.remove(name).unwrap()),
            Step::Release => {
                assert!(world.machines.is_empty(), "a network is removed after its machines");
                world.network = false;
            }
            Step::Attach(spec) => {
                let grown = ObservedVolume { id: spec.id.clone(), size: spec.size, attached: true, used: 0 };
                if let Some(before) = world.volumes.insert(spec.id.name.clone(), grown) {
                    if before.attached && before.size != spec.size {
                        assert!(
                            world.machines.values().all(|m| !m.is_running() || !mounts(m, spec)),
                            "a volume grows while nobody uses it"
                        );
                    }
                }
            }
            Step::Run(spec) => {
                for (name, _) in &spec.container.mounts {
                    assert!(world.volumes[name].attached, "a machine starts after its volumes");
                }
                let running = observed_machine(contract, &spec.id.name, &spec.hash, true);
                world.machines.insert(spec.id.name.clone(), running);
                world.network = true;
            }
        }
    }

    /// In these tests the hash tells whether a machine mounts `data`.
    fn mounts(machine: &ObservedMachine, volume: &VolumeSpec) -> bool {
        machine.hash.ends_with("+data") && volume.id.name == "data"
    }

    fn one(wish: Wish, world: ObservedContract) -> Vec<Step> {
        let plans = plan(&BTreeMap::from([(1, wish)]), &BTreeMap::from([(1, world)]));
        plans.into_iter().flat_map(|plan| plan.steps).collect()
    }

    #[test]
    fn a_new_contract_is_prepared_then_attached_then_started() {
        let web = machine(1, "web", "a", &["data"]);
        let data = volume(1, "data", 16);
        let wish = Wish::Run(Workloads { machines: vec![web.clone()], volumes: vec![data.clone()] });
        assert_eq!(
            one(wish, ObservedContract::default()),
            [Step::Prepare(web.clone()), Step::Attach(data), Step::Run(web)]
        );
    }

    #[test]
    fn a_machine_made_from_another_spec_is_replaced_after_the_new_one_is_prepared() {
        let web = machine(1, "web", "new", &[]);
        let world = ObservedContract {
            machines: BTreeMap::from([("web".into(), observed_machine(1, "web", "old", true))]),
            network: true,
            ..Default::default()
        };
        let wish = Wish::Run(Workloads { machines: vec![web.clone()], volumes: vec![] });
        assert_eq!(
            one(wish, world),
            [Step::Prepare(web.clone()), Step::Remove("web".into()), Step::Run(web)]
        );
    }

    #[test]
    fn a_stopped_machine_is_started_again_with_its_volume() {
        let web = machine(1, "web", "a", &["data"]);
        let data = volume(1, "data", 16);
        let world = ObservedContract {
            machines: BTreeMap::from([("web".into(), observed_machine(1, "web", "a", false))]),
            volumes: BTreeMap::from([("data".into(), observed_volume(1, "data", 16, false))]),
            network: true,
        };
        let wish = Wish::Run(Workloads { machines: vec![web.clone()], volumes: vec![data.clone()] });
        assert_eq!(one(wish, world), [Step::Attach(data), Step::Run(web)]);
    }

    #[test]
    fn a_volume_that_grows_stops_its_machine_and_one_that_shrinks_is_refused_before_anything_stops() {
        let web = machine(1, "web", "a", &["data"]);
        let world = ObservedContract {
            machines: BTreeMap::from([("web".into(), observed_machine(1, "web", "a", true))]),
            volumes: BTreeMap::from([("data".into(), observed_volume(1, "data", 32, true))]),
            network: true,
        };
        let wish =
            |mib| Wish::Run(Workloads { machines: vec![web.clone()], volumes: vec![volume(1, "data", mib)] });
        assert_eq!(
            one(wish(64), world.clone()),
            [Step::Stop("web".into()), Step::Attach(volume(1, "data", 64)), Step::Run(web.clone())]
        );
        assert_eq!(one(wish(16), world)[0], Step::Attach(volume(1, "data", 16)));
    }

    /// Which of the contract's things the steps touch.
    fn touched(steps: &[Step]) -> Vec<&str> {
        steps
            .iter()
            .map(|step| match step {
                Step::Stop(name) | Step::Remove(name) | Step::Detach(name) | Step::Destroy(name) => {
                    name.as_str()
                }
                Step::Prepare(spec) | Step::Run(spec) => spec.id.name.as_str(),
                Step::Attach(spec) => spec.id.name.as_str(),
                Step::Release => "network",
            })
            .collect()
    }

    #[test]
    fn what_an_update_leaves_as_it_was_is_not_touched() {
        let world = ObservedContract {
            machines: BTreeMap::from([
                ("db".into(), observed_machine(1, "db", "a+data", true)),
                ("web".into(), observed_machine(1, "web", "old", true)),
            ]),
            volumes: BTreeMap::from([("data".into(), observed_volume(1, "data", 16, true))]),
            network: true,
        };
        let db = machine(1, "db", "a+data", &["data"]);
        let machines = |web: &str| vec![db.clone(), machine(1, "web", web, &[])];
        let wish =
            |web| Wish::Run(Workloads { machines: machines(web), volumes: vec![volume(1, "data", 16)] });
        assert_eq!(touched(&one(wish("new"), world.clone())), ["web", "web", "web"]);
        assert_eq!(one(wish("old"), world), []);
    }

    #[test]
    fn a_volume_that_a_failed_update_has_grown_stays_as_it_is_when_the_old_version_comes_back() {
        let web = machine(1, "web", "a", &["data"]);
        let workloads = Workloads { machines: vec![web], volumes: vec![volume(1, "data", 16)] };
        let world = |attached| ObservedContract {
            machines: BTreeMap::from([("web".into(), observed_machine(1, "web", "a", true))]),
            volumes: BTreeMap::from([("data".into(), observed_volume(1, "data", 64, attached))]),
            network: true,
        };
        assert_eq!(one(Wish::Run(as_grown(&workloads, &world(true))), world(true)), []);
        let steps = one(Wish::Run(as_grown(&workloads, &world(false))), world(false));
        assert_eq!(steps, [Step::Attach(volume(1, "data", 64))]);
        // One that is too small is grown all the same.
        let grown = as_grown(&workloads, &ObservedContract::default());
        assert_eq!(grown, workloads);
    }

    #[test]
    fn releases_of_one_contract_go_before_starts_of_another() {
        let wishes = BTreeMap::from([
            (1, Wish::Run(Workloads { machines: vec![machine(1, "web", "a", &[])], volumes: vec![] })),
            (2, Wish::Destroy),
            (3, Wish::Halt),
        ]);
        let running = |contract| ObservedContract {
            machines: BTreeMap::from([("web".into(), observed_machine(contract, "web", "a", true))]),
            network: true,
            ..Default::default()
        };
        let plans = plan(&wishes, &BTreeMap::from([(2, running(2)), (3, running(3))]));
        let order: Vec<_> = plans.iter().map(|plan| (plan.contract, plan.releases())).collect();
        assert_eq!(order, [(2, true), (3, true), (1, false)]);
    }

    /// Machines `x` (which may mount `data`), `y` and `z`; volumes `data` and `more`.
    fn workloads() -> impl Strategy<Value = Workloads> {
        let hash = || prop_oneof![Just("a"), Just("b")];
        let machines = (
            proptest::option::of((hash(), any::<bool>())),
            proptest::option::of(hash()),
            proptest::option::of(hash()),
        );
        let size = || proptest::option::of(2u64..4);
        (machines, size(), size()).prop_map(|((x, y, z), data, more)| {
            let x = x.map(|(hash, mount)| match mount && data.is_some() {
                true => machine(1, "x", &format!("{hash}+data"), &["data"]),
                false => machine(1, "x", hash, &[]),
            });
            let y = y.map(|hash| machine(1, "y", hash, &[]));
            let z = z.map(|hash| machine(1, "z", hash, &[]));
            Workloads {
                machines: [x, y, z].into_iter().flatten().collect(),
                volumes: [data.map(|m| volume(1, "data", m)), more.map(|m| volume(1, "more", m))]
                    .into_iter()
                    .flatten()
                    .collect(),
            }
        })
    }

    /// Any world, except that volumes are never larger than wanted: the driver refuses to shrink.
    fn world() -> impl Strategy<Value = ObservedContract> {
        let machine = |name: &'static str| {
            let hash = prop_oneof![Just("a"), Just("b"), Just("a+data")];
            proptest::option::of((hash, any::<bool>())).prop_map(move |m| {
                m.map(|(hash, running)| (name.to_string(), observed_machine(1, name, hash, running)))
            })
        };
        let volume = |name: &'static str| {
            proptest::option::of((0u64..3, any::<bool>())).prop_map(move |v| {
                v.map(|(mib, attached)| {
                    (name.to_string(), observed_volume(1, name, mib, attached && mib > 0))
                })
            })
        };
        (machine("x"), machine("y"), machine("other"), volume("data"), volume("old"), any::<bool>()).prop_map(
            |(x, y, other, data, old, network)| ObservedContract {
                machines: [x, y, other].into_iter().flatten().collect(),
                volumes: [data, old].into_iter().flatten().collect(),
                network,
            },
        )
    }

    fn wish() -> impl Strategy<Value = Wish> {
        prop_oneof![
            4 => workloads().prop_map(Wish::Run),
            1 => Just(Wish::Halt),
            1 => Just(Wish::Destroy),
            1 => Just(Wish::Keep),
        ]
    }

    proptest! {
        #[test]
        fn planning_after_applying_yields_nothing(wish in wish(), mut world in world()) {
            for step in one(wish.clone(), world.clone()) {
                apply(&step, 1, &mut world);
            }
            prop_assert_eq!(one(wish, world), []);
        }

        #[test]
        fn planning_after_a_crash_between_steps_still_arrives(
            wish in wish(), mut world in world(), crash in 0usize..6,
        ) {
            for step in one(wish.clone(), world.clone()).iter().take(crash) {
                apply(step, 1, &mut world);
            }
            for step in one(wish.clone(), world.clone()) {
                apply(&step, 1, &mut world);
            }
            prop_assert_eq!(one(wish, world), []);
        }

        #[test]
        fn an_update_that_crashes_and_is_taken_back_loses_no_content(
            old in workloads(), new in workloads(), mut world in world(), crash in 0usize..8,
        ) {
            let goal = Wish::Run(as_grown(&old, &world));
            for step in one(goal, world.clone()) {
                apply(&step, 1, &mut world);
            }
            let before = world.volumes.clone();
            for step in one(Wish::Run(as_grown(&new, &world)), world.clone()).iter().take(crash) {
                apply(step, 1, &mut world);
            }
            for step in one(Wish::Run(as_grown(&old, &world)), world.clone()) {
                apply(&step, 1, &mut world);
            }
            prop_assert_eq!(one(Wish::Run(as_grown(&old, &world)), world.clone()), []);
            for (name, volume) in before {
                prop_assert!(world.volumes[&name].size >= volume.size);
            }
        }

        #[test]
        fn no_content_is_deleted_unless_the_contract_is_closed(wish in wish(), world in world()) {
            let destroys = one(wish.clone(), world)
                .iter()
                .any(|step| matches!(step, Step::Destroy(_) | Step::Release));
            prop_assert!(!destroys || wish == Wish::Destroy);
        }

        #[test]
        fn a_closed_contract_leaves_nothing(mut world in world()) {
            for step in one(Wish::Destroy, world.clone()) {
                apply(&step, 1, &mut world);
            }
            prop_assert_eq!(world, ObservedContract::default());
        }
    }
}
