// SPDX-License-Identifier: Apache-2.0
//! The agent, its parts and its machine.

use super::unknown;
use crate::{
    clock::unix_ms,
    config::Place,
    details::{Hardware, hard_disks, unused_disks},
    drivers::{
        dockerd, firewall,
        machine::{Connection, EngineChoice},
        name_servers,
        pool::{self, MountedPool, PoolFault, PoolPlace},
        uplink,
    },
    peer::EndpointCondition,
    requirements::ENGINE_TIMEOUT,
    self_test,
    store::{DataLock, Store},
};
use anyhow::{Result, anyhow};
use futures::future::join_all;
use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};
use tfgrid_client::{
    deployment::DiskKind,
    finding::{Finding, State},
    peer::hears,
};
use tfgrid_primitives::{PublicKey, report::Gpu, units::GIB};
use tokio::time::timeout;

/// What a started node has on its machine.
pub async fn examine(place: &Place, key: &PublicKey, state: &Store) -> Vec<Finding> {
    let agent = match DataLock::is_taken(&place.data) {
        Ok(true) => Finding::ok("agent", "it runs"),
        Ok(false) => {
            Finding::wrong("agent", "it doesn't run", "start zos-agent, best as a service that is restarted")
        }
        Err(error) => unknown("agent", error),
    };
    let mut findings = vec![agent];
    for disk in [DiskKind::Ssd, DiskKind::Hdd] {
        if disk == DiskKind::Ssd || PoolPlace::is_remembered(&place.data, disk) {
            findings.extend(storage_pool(disk, pool::mounted(key, disk).await));
        }
    }
    let ssd = PoolPlace::remembered(state, DiskKind::Ssd).ok().flatten();
    let hard_disks = ssd.map(|ssd| hard_disks(Path::new("/"), ssd.devices())).unwrap_or_default();
    findings.extend(hard_disks.iter().map(|disk| slow_pool(disk)));
    findings.extend(
        join_all(unused_disks(Path::new("/")).into_iter().map(left_alone)).await.into_iter().flatten(),
    );
    findings.extend([
        engine(place, key).await,
        firewall().await,
        self_test(self_test::Outcome::last(state), unix_ms()),
        peer_endpoint(EndpointCondition::last(state), unix_ms()).await,
    ]);
    findings
}

fn slow_pool(disk: &str) -> Finding {
    let text = format!("{disk} is a hard disk in the pool that counts as SSD");
    Finding::note("storage pool", text)
}

/// A disk that holds something of which the node knows nothing.
async fn left_alone(disk: String) -> Option<Finding> {
    let name = format!("disk {disk}");
    let finding = match pool::signatures(&format!("/dev/{disk}")).await {
        Ok(held) if held.is_empty() => return None,
        Ok(held) => {
            let text = format!(
                "it holds data of others ({held}), and is left alone: the node takes blank disks only"
            );
            Finding::note(name, text)
        }
        Err(error) => Finding::note(name, format!("what it holds can't be read: {error:#}")),
    };
    Some(finding)
}

/// One finding, or one for each fault.
fn storage_pool(disk: DiskKind, mounted: Result<Option<MountedPool>>) -> Vec<Finding> {
    let name = format!("storage pool ({disk})");
    let (faults, space) = match mounted {
        Ok(Some(pool)) => (pool.faults, format!("{} of {} GiB are free", pool.free / GIB, pool.total / GIB)),
        Ok(None) => (vec![PoolFault::Gone], "it isn't mounted".into()),
        Err(error) => return vec![unknown(name, error)],
    };
    if faults.is_empty() {
        return vec![Finding::ok(name, space)];
    }
    let finding = |fault: &PoolFault| {
        let state = if matches!(fault, PoolFault::Degraded(_)) { State::Note } else { State::Wrong };
        Finding { state, ..Finding::wrong(&*name, format!("it {fault}; {space}"), fault.advice()) }
    };
    faults.iter().map(finding).collect()
}

async fn engine(place: &Place, key: &PublicKey) -> Finding {
    const NAME: &str = "container engine";
    let own = EngineChoice { socket: dockerd::socket(key), any: false, private_registries: false };
    let choice = place.engine_choice().unwrap_or(own);
    let opened = timeout(ENGINE_TIMEOUT, Connection::open(&choice)).await;
    match opened.map_err(|_| anyhow!("no answer within {ENGINE_TIMEOUT:?}")).and_then(|opened| Ok(opened?)) {
        Ok(_) => Finding::ok(NAME, format!("it answers at {}", choice.socket)),
        Err(error) => Finding::wrong(
            NAME,
            format!("{error:#}"),
            format!("the agent starts an engine of its own: see {}", place.data.join("engine.log").display()),
        ),
    }
}

async fn firewall() -> Finding {
    if firewall::is_installed().await {
        Finding::ok("firewall", "its rules keep tenants from this host")
    } else {
        Finding::wrong(
            "firewall",
            "its rules aren't set",
            "the agent sets them: read why it can't in its log, and see that nothing else flushes nftables",
        )
    }
}

/// Asks the endpoint itself whether it hears.
async fn peer_endpoint(last: Result<Option<EndpointCondition>>, now_ms: u64) -> Finding {
    const NAME: &str = "peer endpoint";
    let (since_ms, sockets) = match last {
        Ok(Some(EndpointCondition { since_ms, sockets })) => (since_ms, sockets),
        Ok(None) => return Finding::note(NAME, "it wasn't opened yet"),
        Err(error) => return unknown(NAME, error),
    };
    let sockets = match sockets {
        Ok(sockets) => sockets,
        Err(why) => {
            return Finding::wrong(
                NAME,
                format!("it isn't open, as of {}: {why}", ago(since_ms, now_ms)),
                "the agent tries again: see with `ss -ulpn` what has its port, or name another one with --peer",
            );
        }
    };
    let heard = join_all(sockets.iter().copied().map(hears)).await;
    let at = sockets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
    if heard.contains(&true) {
        Finding::ok(NAME, format!("it answers at {at}"))
    } else {
        Finding::wrong(
            NAME,
            format!("it doesn't answer at {at}"),
            "see that the agent runs, and that no rule of yours drops UDP packets of this machine to itself",
        )
    }
}

fn ago(at_ms: u64, now_ms: u64) -> String {
    format!("{} s ago", now_ms.saturating_sub(at_ms) / 1_000)
}

fn self_test(last: Result<Option<self_test::Outcome>>, now_ms: u64) -> Finding {
    const NAME: &str = "self-test";
    match last {
        Ok(Some(self_test::Outcome { at_ms, took_ms, failure: None })) => Finding::ok(
            NAME,
            format!("passed {}, in {:?}", ago(at_ms, now_ms), Duration::from_millis(took_ms)),
        ),
        Ok(Some(self_test::Outcome { at_ms, failure: Some(why), .. })) => Finding::wrong(
            NAME,
            format!("failed {}: {why}", ago(at_ms, now_ms)),
            "mend that: until it passes, the node joins no farm, sends no heartbeat and starts nothing",
        ),
        Ok(None) => {
            Finding::wrong(NAME, "it was never made", "start the agent: it tests the machine at its start")
        }
        Err(error) => unknown(NAME, error),
    }
}

/// What the machine has.
pub async fn hardware() -> Vec<Finding> {
    let Hardware { serial, is_virtualized, is_secure_boot, gpus, disks } = Hardware::of(Path::new("/"));
    let words = |is: bool| if is { "yes" } else { "no" };
    let serial = if serial.is_empty() { "none" } else { &serial };
    let mut findings = vec![Finding::note(
        "machine",
        format!(
            "serial number {serial}; virtual: {}; secure boot: {}",
            words(is_virtualized),
            words(is_secure_boot)
        ),
    )];
    findings.extend(disks.iter().map(|disk| {
        let kind = if disk.is_rotational { "HDD" } else { "SSD" };
        Finding::note(format!("disk {}", disk.name), format!("{kind}, {} GiB", disk.bytes / GIB))
    }));
    findings.extend(gpus.iter().map(|gpu| {
        let Gpu { vendor, device, memory } = gpu.ids;
        let nodes = if gpu.own.is_empty() {
            "no driver that machines can use is loaded".into()
        } else {
            gpu.own.join(" ")
        };
        Finding::note("GPU", format!("{vendor:04x}:{device:04x}, {} GiB, {nodes}", memory / GIB))
    }));
    findings.push(match uplink::mtu().await {
        Ok(mtu) => Finding::note("uplink", format!("packets of at most {mtu} bytes")),
        Err(error) => unknown("uplink", error),
    });
    findings.extend(join_all(name_servers::of_host(Path::new("/")).into_iter().map(name_server)).await);
    findings
}

async fn name_server(server: IpAddr) -> Finding {
    let answer = name_servers::test(SocketAddr::new(server, name_servers::PORT)).await;
    let text =
        answer.map_or_else(|why| format!("machines aren't to ask it: {why:#}"), |()| "it answers".into());
    Finding::note(format!("name server {server}"), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn a_failed_self_test_says_why_and_since_when() {
        let outcome = |failure: Option<&str>| {
            let failure = failure.map(Into::into);
            self_test(Ok(Some(self_test::Outcome { at_ms: 1_000, took_ms: 900, failure })), 61_000)
        };
        let passed = outcome(None);
        assert_eq!((passed.state, passed.text.as_str()), (State::Ok, "passed 60 s ago, in 900ms"));
        let failed = outcome(Some("17 MiB fit in /"));
        assert_eq!((failed.state, failed.text.as_str()), (State::Wrong, "failed 60 s ago: 17 MiB fit in /"));
        assert_eq!(self_test(Ok(None), 0).state, State::Wrong);
    }

    #[tokio::test]
    async fn a_peer_endpoint_that_is_not_open_says_why() {
        let condition = |sockets| Ok(Some(EndpointCondition { since_ms: 1_000, sockets }));
        let closed = peer_endpoint(condition(Err("Address already in use".into())), 61_000).await;
        let expected = "it isn't open, as of 60 s ago: Address already in use";
        assert_eq!((closed.state, closed.text.as_str()), (State::Wrong, expected));
        // Nobody is there.
        let unused = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let deaf = peer_endpoint(condition(Ok(vec![unused])), 61_000).await;
        assert_eq!((deaf.state, deaf.text), (State::Wrong, format!("it doesn't answer at {unused}")));
        assert_eq!(peer_endpoint(Ok(None), 0).await.state, State::Note);
    }

    #[test]
    fn each_fault_of_a_pool_is_told_with_what_to_do() {
        let faults = [PoolFault::ReadOnly, PoolFault::Degraded("disk 2 is missing".into()), PoolFault::Full];
        let pool = MountedPool { total: 100 * GIB, free: 50 * GIB, faults: faults.into() };
        let found = storage_pool(DiskKind::Hdd, Ok(Some(pool.clone())));
        let states: Vec<State> = found.iter().map(|finding| finding.state).collect();
        assert_eq!(states, [State::Wrong, State::Note, State::Wrong]);
        assert_eq!(found[1].text, "it is degraded: disk 2 is missing; 50 of 100 GiB are free");
        assert!(found.iter().all(|finding| finding.advice.is_some() && finding.name.contains("hdd")));

        let found = storage_pool(DiskKind::Ssd, Ok(Some(MountedPool { faults: Vec::new(), ..pool })));
        assert_eq!((found[0].state, found.len()), (State::Ok, 1));
        assert_eq!(storage_pool(DiskKind::Ssd, Ok(None))[0].state, State::Wrong);
    }
}
