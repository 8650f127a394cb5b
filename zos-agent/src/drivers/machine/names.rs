// SPDX-License-Identifier: Apache-2.0
//! Names and labels of containers and networks, derived from node, contract and workload.

use super::probe::Target;
use crate::drivers::{MachineSpec, WorkloadId, firewall::BRIDGE_PREFIX, network};
use sp_core::{Blake2Hasher, Hasher};
use std::{
    collections::HashMap,
    net::IpAddr,
    path::{Path, PathBuf},
};
use tfgrid_primitives::{ContractId, PublicKey};

/// Label of everything of a node: its key in hex.
pub const NODE: &str = "zos.node";
/// Label: the contract's id.
pub const CONTRACT: &str = "zos.contract";
/// Label: the version of the contract that created the machine.
pub const VERSION: &str = "zos.version";
/// Label: the workload's name.
pub const WORKLOAD: &str = "zos.workload";
/// Label: the hash of the machine's spec.
pub const SPEC: &str = "zos.spec";

/// Host in the engine's names of images. No registry has it (RFC 6761 §6.4), so nothing that is fetched takes such a
/// name.
pub const IMAGES: &str = "zos.invalid";

/// Label: the namespace of the machine's first private network, and its address there.
pub const ADDRESS: &str = "zos.address";

/// Label: the health check that the agent makes.
pub const PROBE: &str = "zos.probe";

/// Names objects of one node.
#[derive(Clone, Debug)]
pub struct Names {
    key: PublicKey,
    node: String,
}

impl Names {
    /// Names objects of the node with this key.
    pub fn new(node_key: &PublicKey) -> Self {
        Self { key: *node_key, node: hex::encode(node_key) }
    }

    /// Value of the label [`NODE`].
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The part of its key that is in names.
    fn short(&self) -> &str {
        self.node.get(..8).unwrap_or(&self.node)
    }

    /// Filter that selects everything of this node.
    pub fn filter(&self) -> HashMap<String, Vec<String>> {
        HashMap::from([("label".into(), vec![format!("{NODE}={}", self.node)])])
    }

    /// Name of a machine's container.
    pub fn container(&self, id: &WorkloadId) -> String {
        format!("zos-{}-{id}", self.short())
    }

    /// The engine's name of the image that was fetched for this machine while its spec had this hash: repository and
    /// tag. That a registry has given the image to the machine's owner is what this name stands for.
    pub fn image(&self, id: &WorkloadId, hash: &str) -> String {
        format!("{IMAGES}/{}/{id}:{hash}", self.short())
    }

    /// Pattern of the engine's names of a contract's images.
    pub fn images(&self, contract: ContractId) -> String {
        format!("{IMAGES}/{}/{contract}-*", self.short())
    }

    /// The engine's name of the volume in this folder.
    pub fn volume(&self, folder: &Path) -> String {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        format!("zos-{}-{name}", self.short())
    }

    /// Alias of bridges on the host.
    pub fn alias(&self) -> String {
        format!("zos-{}", self.short())
    }

    /// Name of the mark of a contract's network.
    pub fn mark(&self, contract: ContractId) -> String {
        format!("zos-{}-{contract}", self.short())
    }

    /// The contract whose network has this mark.
    pub fn marked(&self, mark: &Path) -> Option<ContractId> {
        let contract = mark.file_name()?.to_str()?.strip_prefix(&format!("zos-{}-", self.short()))?;
        contract.parse().ok()
    }

    /// Labels of a machine's container.
    pub fn container_labels(&self, spec: &MachineSpec) -> HashMap<String, String> {
        let mut labels = self.contract_labels(spec.id.contract);
        labels.insert(VERSION.into(), spec.version.to_string());
        labels.insert(WORKLOAD.into(), spec.id.name.clone());
        labels.insert(SPEC.into(), spec.hash.clone());
        if let Some(target) = spec.container.health.as_ref().and_then(Target::new) {
            labels.insert(PROBE.into(), target.to_string());
        }
        if let Some(first) = spec.attachment.interfaces.first() {
            let namespace = network::namespace_name(&self.key, &first.network);
            labels.insert(ADDRESS.into(), format!("{namespace} {}", first.ip));
        }
        labels
    }

    /// Labels of everything of a contract.
    pub fn contract_labels(&self, contract: ContractId) -> HashMap<String, String> {
        HashMap::from([(NODE.into(), self.node.clone()), (CONTRACT.into(), contract.to_string())])
    }
}

/// The volume that holds what an image declares as `VOLUME`. No workload has a name with a dot.
pub fn image_volumes(machine: &WorkloadId) -> WorkloadId {
    WorkloadId { contract: machine.contract, name: format!("{}.volumes", machine.name) }
}

/// The machine of which these are an image's volumes, if the name is one of such.
pub fn machine_of_volumes(id: &WorkloadId) -> Option<WorkloadId> {
    let name = id.name.strip_suffix(".volumes")?.to_owned();
    Some(WorkloadId { contract: id.contract, name })
}

/// Name of the folder for a `VOLUME` with this path, unique on the node.
pub fn image_volume(machine: &WorkloadId, path: &str) -> String {
    format!("{machine}.{}", hex::encode(&Blake2Hasher::hash(path.as_bytes())[..8]))
}

/// Name of a contract's network.
pub fn network(contract: ContractId) -> String {
    format!("zos-{contract}")
}

/// Name of the bridge of a contract's network: at most 15 characters, the limit of Linux.
pub fn bridge(contract: ContractId) -> String {
    format!("{BRIDGE_PREFIX}{}", base36(contract))
}

/// The contract whose bridge has this name.
pub fn bridge_contract(name: &str) -> Option<ContractId> {
    let contract = u64::from_str_radix(name.strip_prefix(BRIDGE_PREFIX)?, 36).ok()?;
    (bridge(contract) == name).then_some(contract)
}

/// The number in lower-case letters and digits.
pub fn base36(mut number: u64) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut digits = Vec::new();
    loop {
        digits.push(char::from(DIGITS[(number % 36) as usize]));
        number /= 36;
        if number == 0 {
            return digits.iter().rev().collect();
        }
    }
}

/// Namespace and address that the labels name.
pub fn address(labels: &HashMap<String, String>) -> Option<(PathBuf, IpAddr)> {
    let (namespace, ip) = labels.get(ADDRESS)?.split_once(' ')?;
    Some((network::path(namespace), ip.parse().ok()?))
}

/// The workload that the labels name.
pub fn workload(labels: &HashMap<String, String>) -> Option<WorkloadId> {
    Some(WorkloadId { contract: contract(labels)?, name: labels.get(WORKLOAD)?.clone() })
}

/// The contract that the labels name.
pub fn contract(labels: &HashMap<String, String>) -> Option<ContractId> {
    labels.get(CONTRACT)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bridge_names_fit_the_limit_of_linux_and_differ() {
        assert_eq!(bridge(0), "zb0");
        assert_eq!(bridge(35), "zbz");
        assert_eq!(bridge(36), "zb10");
        assert_eq!(bridge(u64::MAX), "zb3w5e11264sgsf");
        assert_eq!(bridge(u64::MAX).len(), 15);
        assert!([0, 36, u64::MAX].iter().all(|id| bridge_contract(&bridge(*id)) == Some(*id)));
        assert!(["zb-1", "zb01", "zp1", "zb"].iter().all(|name| bridge_contract(name).is_none()));
    }

    #[test]
    fn volumes_of_an_image_name_their_machine() {
        let id = WorkloadId { contract: 7, name: "web".into() };
        assert_eq!(machine_of_volumes(&image_volumes(&id)), Some(id.clone()));
        assert_eq!(machine_of_volumes(&id), None);
    }

    #[test]
    fn a_container_is_named_by_node_contract_and_workload() {
        let names = Names::new(&[0xab; 32]);
        let id = WorkloadId { contract: 7, name: "web".into() };
        assert_eq!(names.container(&id), "zos-abababab-7-web");
        assert_eq!(names.filter()["label"], [format!("zos.node={}", "ab".repeat(32))]);
    }

    #[test]
    fn a_mark_names_the_contract_of_its_node_alone() {
        let [own, other] = [0xab, 0xcd].map(|key| Names::new(&[key; 32]));
        let mark = Path::new("/pool/networks").join(own.mark(7));
        assert_eq!((own.marked(&mark), other.marked(&mark)), (Some(7), None));
        assert_eq!(own.marked(Path::new("/pool/networks/zos-abababab-7-web")), None);
    }
}
