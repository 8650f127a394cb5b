// SPDX-License-Identifier: Apache-2.0
//! GPUs of machines. A label of the container tells which it has, so they are free once it is removed.

use super::{DockerMachines, failure};
use crate::{
    drivers::{DriverError, MachineSpec},
    gpus::{Gpus, HostGpu},
};
use bollard::{
    Docker,
    models::{ContainerCreateBody, DeviceMapping},
    query_parameters::ListContainersOptionsBuilder,
};
use std::collections::{BTreeSet, HashMap};
use tfgrid_primitives::FailureCode;
use tokio::sync::MutexGuard;

/// Label: device nodes that no other machine has, with commas between them.
const GPUS: &str = "zos.gpus";

impl DockerMachines {
    /// Lets machines use these GPUs.
    #[must_use]
    pub fn with_gpus(self, gpus: Gpus) -> Self {
        Self { gpus, ..self }
    }

    /// Gives the machine its GPUs. Until the guard is dropped, no other gets any: by then its container must be there.
    pub(super) async fn give_gpus(
        &self,
        docker: &Docker,
        spec: &MachineSpec,
        body: &mut ContainerCreateBody,
    ) -> Result<Option<MutexGuard<'_, ()>>, DriverError> {
        if spec.container.gpus == 0 {
            return Ok(None);
        }
        let giving = self.giving_gpus.lock().await;
        let filters = self.common.names.filter();
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let containers = docker.list_containers(Some(options)).await;
        let containers =
            containers.map_err(|error| failure("list the containers of", &self.choice.socket, error))?;
        let labels = containers.iter().filter_map(|container| container.labels.as_ref()?.get(GPUS));
        let taken = labels.flat_map(|nodes| nodes.split(',')).collect();
        give(body, &self.gpus, &choose(&self.gpus, spec.container.gpus, &taken)?);
        Ok(Some(giving))
    }
}

fn choose<'a>(gpus: &'a Gpus, count: u64, taken: &BTreeSet<&str>) -> Result<Vec<&'a HostGpu>, DriverError> {
    let has = gpus.count();
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > has {
        return Err(DriverError::Invalid {
            code: FailureCode::BodyUnsupported,
            field: "/data/gpus",
            message: format!(
                "this node has {has} GPUs for machines: choose another node, or fewer than {count}"
            ),
        });
    }
    gpus.choose(count, taken).ok_or_else(|| {
        DriverError::transient(format!(
            "of {has} GPUs fewer than {count} are free until other machines are gone"
        ))
    })
}

fn give(body: &mut ContainerCreateBody, gpus: &Gpus, given: &[&HostGpu]) {
    let own: Vec<&str> = given.iter().flat_map(|gpu| &gpu.own).map(String::as_str).collect();
    let nodes: BTreeSet<&String> = given.iter().flat_map(|gpu| gpu.nodes()).collect();
    let device = |node: &String| DeviceMapping {
        path_on_host: Some(gpus.path(node).to_string_lossy().into_owned()),
        path_in_container: Some(format!("/{node}")),
        cgroup_permissions: Some("rw".into()),
    };
    body.labels.get_or_insert_with(HashMap::new).insert(GPUS.into(), own.join(","));
    body.host_config.get_or_insert_default().devices = Some(nodes.into_iter().map(device).collect());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn cards(count: u32) -> Gpus {
        let root = tempfile::tempdir().unwrap();
        for number in 0..count {
            let device = root.path().join(format!("sys/bus/pci/devices/0000:0{number}:00.0"));
            let name = format!("renderD{}", 128 + number);
            fs::create_dir_all(device.join("drm").join(&name)).unwrap();
            for (file, text) in [("class", "0x030000"), ("vendor", "0x1002"), ("device", "0x73bf")] {
                fs::write(device.join(file), text).unwrap();
            }
            fs::create_dir_all(root.path().join("dev/dri")).unwrap();
            fs::write(root.path().join("dev/dri").join(name), "").unwrap();
            fs::write(root.path().join("dev/kfd"), "").unwrap();
        }
        Gpus::open(root.path(), count.into()).unwrap()
    }

    #[test]
    fn a_machine_gets_the_nodes_of_its_gpus_and_no_others() {
        let gpus = cards(3);
        let given = choose(&gpus, 2, &BTreeSet::from(["dev/dri/renderD128"])).unwrap();
        let mut body = ContainerCreateBody::default();
        give(&mut body, &gpus, &given);
        assert_eq!(body.labels.unwrap()["zos.gpus"], "dev/dri/renderD129,dev/dri/renderD130");
        let devices = body.host_config.unwrap().devices.unwrap();
        let inside: Vec<_> =
            devices.iter().filter_map(|device| device.path_in_container.as_deref()).collect();
        assert_eq!(inside, ["/dev/dri/renderD129", "/dev/dri/renderD130", "/dev/kfd"]);
        assert_eq!(devices[0].path_on_host, Some(gpus.path("dev/dri/renderD129").display().to_string()));
        assert!(devices.iter().all(|device| device.cgroup_permissions.as_deref() == Some("rw")));
    }

    #[test]
    fn more_gpus_than_the_node_has_are_refused() {
        let refusal = |gpus: &Gpus, count| match choose(gpus, count, &BTreeSet::new()) {
            Err(DriverError::Invalid { code: FailureCode::BodyUnsupported, field, message }) => {
                assert_eq!(field, "/data/gpus");
                message
            }
            other => panic!("{other:?}"),
        };
        assert!(refusal(&Gpus::default(), 1).starts_with("this node has 0 GPUs"));
        assert!(refusal(&cards(1), 2).ends_with("or fewer than 2"));
        // Those of a machine that is being removed come back.
        let taken = BTreeSet::from(["dev/dri/renderD128"]);
        assert!(matches!(choose(&cards(1), 1, &taken), Err(DriverError::Transient(_))));
    }
}
