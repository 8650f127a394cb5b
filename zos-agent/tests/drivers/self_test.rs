// SPDX-License-Identifier: Apache-2.0
//! The self-test of a node.

use super::*;
use std::net::SocketAddr;
use zos_agent::drivers::pool::run_folder;

fn self_test<'a>(host: &'a Host, firewall: &'a dyn FirewallDriver) -> SelfTest<'a> {
    SelfTest { machines: &host.machines, volumes: &host.volumes, firewall, has_hard_disks: false }
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_self_test_passes_and_leaves_nothing() {
    let host = Host::new().await;
    let _firewall = Firewall::install().await;
    let firewall = AgentFirewall::new(false, any_registry(), Vec::new());
    let test = self_test(&host, &firewall);
    let names = format!("reference=zos.invalid/*/{}-*", ContractId::MAX);
    let images = || host.docker(&["image", "ls", "--quiet", "--filter", &names]);
    test.run().await.unwrap();
    assert_eq!(host.machines.observe().await.unwrap().machines, []);
    assert!(host.machines.observe().await.unwrap().networks.is_empty());
    assert_eq!(host.volumes_of(ContractId::MAX).await, []);
    assert_eq!(images(), "");
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_self_test_removes_what_a_killed_one_has_left() {
    let host = Host::new().await;
    let _firewall = Firewall::install().await;
    let firewall = AgentFirewall::new(false, any_registry(), Vec::new());
    let test = self_test(&host, &firewall);
    let runs = async {
        let begun = Instant::now();
        while !host.machines.observe().await.unwrap().machines.iter().any(|machine| machine.is_running()) {
            assert!(begun.elapsed() < LIMIT, "its machine doesn't run");
        }
    };
    tokio::select! {
        result = test.run() => panic!("it wasn't killed: {result:?}"),
        () = runs => {}
    }
    test.run().await.unwrap();
    assert_eq!(host.machines.observe().await.unwrap().machines, []);
}

/// A firewall that isn't there, and volumes on this kind of disk that are larger than they should be.
struct Loose(PoolVolumes, DiskKind);

#[async_trait::async_trait]
impl FirewallDriver for Loose {
    async fn ensure(&self) -> Result<(), DriverError> {
        Ok(())
    }

    async fn let_engine_reach(&self, _: Option<SocketAddr>) -> Result<(), DriverError> {
        Ok(())
    }

    async fn refused(&self) -> Result<u64, DriverError> {
        Ok(0)
    }
}

#[async_trait::async_trait]
impl VolumeDriver for Loose {
    async fn faults(&self) -> Vec<(DiskKind, PoolFault)> {
        self.0.faults().await
    }

    async fn observe(&self) -> Result<ObservedVolumes, DriverError> {
        self.0.observe().await
    }

    async fn ensure(&self, spec: &VolumeSpec) -> Result<(), DriverError> {
        let size = if spec.disk == self.1 { 4 * spec.size } else { spec.size };
        self.0.ensure(&VolumeSpec { size, ..spec.clone() }).await
    }

    async fn folder(&self, id: &WorkloadId) -> Result<PathBuf, DriverError> {
        self.0.folder(id).await
    }

    async fn delete(&self, id: &WorkloadId) -> Result<(), DriverError> {
        self.0.delete(id).await
    }
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_self_test_finds_a_missing_limit_or_firewall() {
    let host = Host::new().await;
    let loose = Loose(host.volumes.clone(), DiskKind::Ssd);
    let mut test = self_test(&host, &loose);
    let why = test.run().await.unwrap_err().to_string();
    assert!(why.contains("no firewall keeps tenants from it"), "{why}");
    test.volumes = &loose;
    let why = test.run().await.unwrap_err().to_string();
    assert!(why.contains("fit in /data, which is limited to 16 MiB"), "{why}");
    assert_eq!(host.volumes_of(ContractId::MAX).await, []);
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_self_test_tries_hard_disks_too() {
    let host = Host::new().await;
    let _firewall = Firewall::install().await;
    let firewall = AgentFirewall::new(false, any_registry(), Vec::new());
    let (data, disk, node) = (tempfile::tempdir().unwrap(), Disk::new(), rand::random());
    let hdd = open_for(DiskKind::Hdd, &data, &disk.device, node).await.unwrap();
    let volumes = PoolVolumes::new(Pools { ssd: host.pool.clone(), hdd: Some(Ok(hdd.clone())) });
    let loose = Loose(volumes.clone(), DiskKind::Hdd);
    let mut test =
        SelfTest { machines: &host.machines, volumes: &loose, firewall: &firewall, has_hard_disks: true };
    let why = test.run().await.unwrap_err().to_string();
    assert!(why.contains("fit in /hdd, which is limited to 16 MiB"), "{why}");
    test.volumes = &volumes;
    test.run().await.unwrap();
    hdd.remove().await.unwrap();
    fs::remove_dir(run_folder(&node)).unwrap();
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_self_test_finds_a_hole_to_the_farms_network() {
    let host = Host::new().await;
    let _firewall = Firewall::install().await;
    let firewall = Open(AgentFirewall::new(false, any_registry(), Vec::new()));
    let test = self_test(&host, &firewall);
    let why = test.run().await.unwrap_err().to_string();
    assert!(why.contains("no firewall keeps tenants from the farm's network"), "{why}");
}

/// A firewall that lets tenants into the farm's network.
struct Open(AgentFirewall);

#[async_trait::async_trait]
impl FirewallDriver for Open {
    async fn ensure(&self) -> Result<(), DriverError> {
        self.0.ensure().await
    }

    async fn let_engine_reach(&self, registry: Option<SocketAddr>) -> Result<(), DriverError> {
        self.0.let_engine_reach(registry).await?;
        let rule = ["insert", "rule", "inet", "zos", "forward", "iifname", "\"zb*\"", "accept"];
        stdout(Command::new("nft").args(rule));
        Ok(())
    }

    async fn refused(&self) -> Result<u64, DriverError> {
        self.0.refused().await
    }
}
