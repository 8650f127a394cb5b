// SPDX-License-Identifier: Apache-2.0
//! Translates a machine's spec to the engine's API. Pure.

use super::{
    disk::files_bytes,
    names::{Names, network},
    probe::{CHECK_EVERY, CHECK_TIMEOUT, FAILURES},
};
use crate::drivers::{Attachment, Bind, ContainerSpec, DEFAULT_STOP_SECONDS, InterfaceSpec, MachineSpec};
use bollard::models::{
    ContainerCreateBody, EndpointSettings, HealthConfig, HostConfig, HostConfigLogConfig, ImageConfig, Mount,
    MountType, MountVolumeOptions, MountVolumeOptionsDriverConfig, NetworkCreateRequest, NetworkingConfig,
    ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    time::Duration,
};
use tfgrid_client::deployment::{Check, Health, MAX_START_SECONDS};
use tfgrid_primitives::ContractId;

/// Longest time that a check of the image's own may take.
const MOST_CHECK_TIMEOUT: Duration = Duration::from_secs(30);
const PIDS: i64 = 512;
/// Files that a process may open. Some programs take time for each that they might.
const OPEN_FILES: u64 = 65_536;
/// Of a hundredth of a core.
const NANOS: u64 = 10_000_000;
/// Programs that run as process 1.
const INITS: [&str; 8] =
    ["catatonit", "dumb-init", "init", "my_init", "runit-init", "s6-svscan", "systemd", "tini"];
/// Weights of the engine for input and output.
const MIN_IO_WEIGHT: u64 = 10;
const MAX_IO_WEIGHT: u64 = 1000;

/// Settings that all machines of a node share.
#[derive(Clone, Debug)]
pub struct Common {
    /// Names and labels of the node's objects.
    pub names: Names,
    /// Addresses of name servers.
    pub dns: Vec<String>,
    /// Number of cores of this host. The engine refuses more.
    pub cores: u64,
    /// Files that a process of this host may open at most. The engine can't allow more where it lacks that right
    /// itself.
    pub open_files: u64,
    /// Bytes that a process of this host may lock in memory.
    pub locked_bytes: u64,
    /// Files of the kernel that machines don't see.
    pub masked_paths: Vec<String>,
}

/// The container of a machine from this image, which has this configuration. Only the agent restarts it.
pub fn container(
    common: &Common,
    spec: &MachineSpec,
    image: String,
    config: &ImageConfig,
    binds: &[Bind],
) -> ContainerCreateBody {
    let endpoint = EndpointSettings { aliases: Some(vec![spec.id.name.clone()]), ..Default::default() };
    ContainerCreateBody {
        hostname: Some(spec.container.hostname.clone().unwrap_or_else(|| spec.id.name.clone())),
        user: spec.container.user.clone(),
        working_dir: spec.container.workdir.clone(),
        stop_signal: spec.container.stop_signal.clone(),
        stop_timeout: Some(signed(spec.container.stop_seconds.unwrap_or(DEFAULT_STOP_SECONDS))),
        image: Some(image),
        env: Some(spec.container.env.iter().map(|(key, value)| format!("{key}={value}")).collect()),
        entrypoint: unless_empty(&spec.container.entrypoint),
        cmd: unless_empty(&spec.container.args),
        labels: Some(common.names.container_labels(spec)),
        healthcheck: match &spec.container.health {
            Some(health) => Some(healthcheck(health)),
            None => config.healthcheck.clone().map(bounded),
        },
        host_config: Some(HostConfig {
            // An init forwards signals and reaps orphans.
            init: Some(!has_init(&spec.container, config)),
            ..host_config(common, spec, binds)
        }),
        networking_config: is_on_engines_network(spec).then(|| NetworkingConfig {
            endpoints_config: Some(HashMap::from([(network(spec.id.contract), endpoint)])),
        }),
        ..Default::default()
    }
}

/// Whether it is on the network that its contract has on the engine: else the agent connects it, or nothing does.
fn is_on_engines_network(spec: &MachineSpec) -> bool {
    spec.attachment == Attachment::default()
}

fn host_config(common: &Common, spec: &MachineSpec, binds: &[Bind]) -> HostConfig {
    let memory = signed(spec.container.memory);
    let cpu = spec.container.cpu.min(common.cores.saturating_mul(100));
    HostConfig {
        memory: Some(memory),
        // Equal to `memory`: no swap.
        memory_swap: Some(memory),
        nano_cpus: Some(signed(cpu.saturating_mul(NANOS))),
        blkio_weight: Some(io_weight(cpu, common.cores)),
        pids_limit: Some(PIDS),
        shm_size: Some(spec.container.shm.map_or(memory / 2, signed)),
        mounts: Some(binds.iter().map(|bind| mount(common, spec, bind)).collect()),
        // Docker's defaults without the one that forges addresses.
        cap_drop: Some(vec!["NET_RAW".into()]),
        cap_add: unless_empty(&spec.container.capabilities),
        ulimits: Some(ulimits(common, spec)),
        security_opt: Some(vec!["no-new-privileges".into()]),
        masked_paths: Some(common.masked_paths.clone()),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        log_config: Some(log_config(spec.container.rootfs)),
        ..networking(common, spec)
    }
}

/// Two files, which together leave a third of their part of the disk to the engine's own.
fn log_config(rootfs: u64) -> HostConfigLogConfig {
    let of_file = files_bytes(rootfs) / 16 * 5;
    HostConfigLogConfig {
        typ: Some("json-file".into()),
        config: Some(HashMap::from([
            ("max-size".into(), of_file.to_string()),
            ("max-file".into(), "2".into()),
        ])),
    }
}

/// Network and name servers. Those of private networks know each other's names.
fn networking(common: &Common, spec: &MachineSpec) -> HostConfig {
    if is_on_engines_network(spec) {
        let network_mode = Some(network(spec.id.contract));
        return HostConfig { network_mode, dns: Some(common.dns.clone()), ..Default::default() };
    }
    let interfaces = &spec.attachment.interfaces;
    let domain = |interface: &InterfaceSpec| format!("{}.internal", interface.network.name);
    HostConfig {
        network_mode: Some("none".into()),
        dns: Some(interfaces.first().map(|first| first.gateway.to_string()).into_iter().collect()),
        dns_search: Some(interfaces.iter().map(domain).collect()),
        ..Default::default()
    }
}

/// Whether the first program is an init, which mostly runs as process 1 alone.
fn has_init(spec: &ContainerSpec, image: &ImageConfig) -> bool {
    let of_image = image.entrypoint.iter().flatten().filter(|_| spec.entrypoint.is_empty());
    let arguments = spec.args.iter().chain(image.cmd.iter().flatten());
    let program = spec.entrypoint.iter().chain(of_image).chain(arguments).next();
    let name = program.and_then(|program| Path::new(program).file_name()?.to_str());
    name.is_some_and(|name| INITS.contains(&name))
}

/// A machine's part of the disks' time, in proportion to its part of the cores. The engine drops it where the kernel
/// has no weights.
fn io_weight(cpu: u64, cores: u64) -> u16 {
    let weight = cpu.saturating_mul(MAX_IO_WEIGHT) / cores.saturating_mul(100).max(1);
    u16::try_from(weight.clamp(MIN_IO_WEIGHT, MAX_IO_WEIGHT)).unwrap_or(u16::MAX)
}

/// The engine runs a program; everything else is checked by the agent, and not by what the image declares.
fn healthcheck(health: &Health) -> HealthConfig {
    let nanos = |time: Duration| i64::try_from(time.as_nanos()).ok();
    let test = match &health.check {
        Check::Exec(words) => ["CMD".to_owned()].into_iter().chain(words.iter().cloned()).collect(),
        Check::Http { .. } | Check::Tcp { .. } => vec!["NONE".into()],
    };
    HealthConfig {
        test: Some(test),
        interval: nanos(CHECK_EVERY),
        timeout: nanos(CHECK_TIMEOUT),
        retries: Some(FAILURES.into()),
        start_period: nanos(Duration::from_secs(health.start_seconds)),
        ..Default::default()
    }
}

/// The image's own check, which runs outside of the machine's share of the processor: no more often than the node's.
fn bounded(check: HealthConfig) -> HealthConfig {
    let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    // Zero is Docker's default, half a minute.
    let at_least =
        |given: Option<i64>, least| given.map(|time| if time == 0 { 0 } else { time.max(nanos(least)) });
    let at_most = |given: Option<i64>, most| given.map(|time| time.min(nanos(most)));
    HealthConfig {
        interval: at_least(check.interval, CHECK_EVERY),
        timeout: at_most(check.timeout, MOST_CHECK_TIMEOUT),
        start_interval: at_least(check.start_interval, CHECK_EVERY),
        start_period: at_most(check.start_period, Duration::from_secs(MAX_START_SECONDS)),
        ..check
    }
}

/// Default limits with those of the owner, none of them above the host's, which it refuses. No file of a crash goes
/// where the host wants its own.
fn ulimits(common: &Common, spec: &MachineSpec) -> Vec<ResourcesUlimits> {
    let mut limits = BTreeMap::from([("core", 0), ("nofile", OPEN_FILES)]);
    limits.extend(spec.container.ulimits.iter().map(|(name, limit)| (name.as_str(), *limit)));
    let limit = |(name, limit): (&str, u64)| {
        let limit = match name {
            "nofile" => limit.min(common.open_files),
            "memlock" => limit.min(common.locked_bytes),
            _ => limit,
        };
        ResourcesUlimits { name: Some(name.to_owned()), soft: Some(signed(limit)), hard: Some(signed(limit)) }
    };
    limits.into_iter().map(limit).collect()
}

/// A named volume of the engine rather than a bind: it begins with the image's files. It fails if its source is
/// missing.
fn mount(common: &Common, spec: &MachineSpec, bind: &Bind) -> Mount {
    let source = bind.source.to_string_lossy().into_owned();
    let options = [("type", "none".into()), ("o", "bind".into()), ("device", source)];
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(common.names.volume(&bind.source)),
        target: Some(bind.target.clone()),
        volume_options: Some(MountVolumeOptions {
            labels: Some(common.names.contract_labels(spec.id.contract)),
            driver_config: Some(MountVolumeOptionsDriverConfig {
                name: Some("local".into()),
                options: Some(options.map(|(key, value)| (key.to_owned(), value)).into()),
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The network of a contract, for packets of at most `mtu` bytes.
pub fn contract_network(common: &Common, contract: ContractId, mtu: u32) -> NetworkCreateRequest {
    let options = [
        ("com.docker.network.bridge.name", super::names::bridge(contract)),
        ("com.docker.network.bridge.enable_ip_masquerade", "true".into()),
        ("com.docker.network.driver.mtu", mtu.to_string()),
    ];
    NetworkCreateRequest {
        name: network(contract),
        driver: Some("bridge".into()),
        options: Some(options.map(|(key, value)| (key.to_owned(), value)).into()),
        labels: Some(common.names.contract_labels(contract)),
        ..Default::default()
    }
}

fn unless_empty<'a>(words: impl IntoIterator<Item = &'a String>) -> Option<Vec<String>> {
    let words: Vec<String> = words.into_iter().cloned().collect();
    (!words.is_empty()).then_some(words)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::{NetworkId, WorkloadId};
    use std::collections::BTreeSet;
    use tfgrid_primitives::units::MIB;

    fn common() -> Common {
        Common {
            names: Names::new(&[0xab; 32]),
            dns: vec!["1.1.1.1".into()],
            cores: 2,
            open_files: 1 << 20,
            locked_bytes: 1 << 20,
            masked_paths: vec!["/proc/cmdline".into()],
        }
    }

    fn spec() -> MachineSpec {
        MachineSpec {
            id: WorkloadId { contract: 7, name: "web".into() },
            version: 3,
            pointer: "/workloads/0".into(),
            restart: Default::default(),
            is_held: false,
            registry: None,
            container: ContainerSpec {
                image: "localhost/web:1".into(),
                cpu: 25,
                memory: 128 * MIB,
                rootfs: 16 * MIB,
                env: BTreeMap::from([("A".into(), "b=c".into())]),
                args: vec!["-f".into()],
                ..Default::default()
            },
            attachment: Default::default(),
            public: None,
            hash: "abc".into(),
        }
    }

    #[test]
    fn a_machine_has_few_rights() {
        let host = container(&common(), &spec(), "x".into(), &Default::default(), &[]).host_config.unwrap();
        assert_eq!(host.memory, Some(128 << 20));
        assert_eq!(host.memory_swap, host.memory);
        assert_eq!(host.nano_cpus, Some(250_000_000));
        assert_eq!(host.blkio_weight, Some(125));
        assert_eq!(host.masked_paths, Some(vec!["/proc/cmdline".to_string()]));
        assert_eq!(host.shm_size, Some(64 << 20));
        let limits: Vec<_> = host.ulimits.into_iter().flatten().map(|l| (l.name, l.soft, l.hard)).collect();
        let limit = |name: &str, most| (Some(name.to_owned()), Some(most), Some(most));
        assert_eq!(limits, [limit("core", 0), limit("nofile", 65_536)]);
        assert_eq!(host.cap_drop, Some(vec!["NET_RAW".to_string()]));
        assert_eq!(host.cap_add, None);
        assert_eq!(host.security_opt, Some(vec!["no-new-privileges".to_string()]));
        assert!(host.pids_limit.is_some_and(|pids| pids > 0));
        assert_eq!(host.port_bindings, None);
        assert_eq!(host.privileged, None);
    }

    #[test]
    fn labels_and_alias_name_the_machine_on_its_own_network() {
        let body = container(&common(), &spec(), "x".into(), &Default::default(), &[]);
        let labels = body.labels.unwrap();
        assert_eq!(labels["zos.contract"], "7");
        assert_eq!(labels["zos.workload"], "web");
        assert_eq!(labels["zos.version"], "3");
        assert_eq!(labels["zos.spec"], "abc");
        assert_eq!(labels["zos.node"], "ab".repeat(32));
        let endpoints = body.networking_config.unwrap().endpoints_config.unwrap();
        assert_eq!(endpoints.keys().collect::<Vec<_>>(), ["zos-7"]);
        assert_eq!(endpoints["zos-7"].aliases, Some(vec!["web".to_string()]));
    }

    #[test]
    fn a_machine_of_private_networks_is_on_none_of_the_engine() {
        let interface = |name: &str, gateway: [u8; 4]| InterfaceSpec {
            network: NetworkId { twin: 5, name: name.into() },
            subnet: "10.20.0.0/16".parse().unwrap(),
            range: "10.20.1.0/24".parse().unwrap(),
            gateway: gateway.into(),
            ip: [10, 20, 1, 9].into(),
        };
        let interfaces = vec![interface("front", [10, 20, 1, 1]), interface("back", [10, 30, 1, 1])];
        let attachment = Attachment { interfaces, internet: true };
        let body =
            container(&common(), &MachineSpec { attachment, ..spec() }, "x".into(), &Default::default(), &[]);
        assert_eq!(body.labels.unwrap()["zos.address"], "zos-abababab-5-front 10.20.1.9");
        assert_eq!(body.networking_config, None);
        let host = body.host_config.unwrap();
        assert_eq!(host.network_mode.as_deref(), Some("none"));
        assert_eq!(host.dns, Some(vec!["10.20.1.1".to_string()]));
        assert_eq!(host.dns_search, Some(vec!["front.internal".to_string(), "back.internal".to_string()]));
    }

    #[test]
    fn a_machine_without_internet_and_networks_has_no_network() {
        let attachment = Attachment { interfaces: Vec::new(), internet: false };
        let body =
            container(&common(), &MachineSpec { attachment, ..spec() }, "x".into(), &Default::default(), &[]);
        assert_eq!(body.networking_config, None);
        assert_eq!(body.host_config.unwrap().network_mode.as_deref(), Some("none"));
    }

    #[test]
    fn unset_fields_keep_the_settings_of_the_image() {
        let body = container(&common(), &spec(), "x".into(), &Default::default(), &[]);
        assert_eq!(body.entrypoint, None);
        assert_eq!(body.cmd, Some(vec!["-f".to_string()]));
        assert_eq!(body.env, Some(vec!["A=b=c".to_string()]));
        assert_eq!((body.user, body.working_dir, body.stop_signal), (None, None, None));
        assert_eq!(body.stop_timeout, Some(10));
        assert_eq!(body.hostname.as_deref(), Some("web"));
    }

    #[test]
    fn fields_that_are_set_replace_the_settings_of_the_image() {
        let mut spec = spec();
        spec.container.user = Some("app".into());
        spec.container.workdir = Some("/srv".into());
        spec.container.hostname = Some("db.example".into());
        spec.container.shm = Some(MIB);
        spec.container.stop_signal = Some("SIGINT".into());
        spec.container.stop_seconds = Some(300);
        spec.container.ulimits =
            BTreeMap::from([("core".into(), 7), ("memlock".into(), 1 << 21), ("stack".into(), 8)]);
        spec.container.capabilities = BTreeSet::from(["IPC_LOCK".into()]);
        let body = container(&common(), &spec, "x".into(), &Default::default(), &[]);
        assert_eq!(body.stop_timeout, Some(300));
        assert_eq!((body.user.as_deref(), body.working_dir.as_deref()), (Some("app"), Some("/srv")));
        assert_eq!(
            (body.hostname.as_deref(), body.stop_signal.as_deref()),
            (Some("db.example"), Some("SIGINT"))
        );
        let host = body.host_config.unwrap();
        assert_eq!((host.shm_size, host.cap_add), (Some(1 << 20), Some(vec!["IPC_LOCK".to_string()])));
        let limits: Vec<_> = host.ulimits.into_iter().flatten().map(|l| (l.name.unwrap(), l.hard)).collect();
        let limit = |name: &str, most| (name.to_owned(), Some(most));
        assert_eq!(
            limits,
            [limit("core", 7), limit("memlock", 1 << 20), limit("nofile", 65_536), limit("stack", 8)]
        );
    }

    #[test]
    fn a_health_check_replaces_that_of_the_image() {
        let mut spec = spec();
        let mut made = |check| {
            spec.container.health = Some(Health { check, start_seconds: 30 });
            let body = container(&common(), &spec, "x".into(), &Default::default(), &[]);
            (body.healthcheck.unwrap().test.unwrap(), body.labels.unwrap().remove("zos.probe"))
        };
        assert_eq!(made(Check::Exec(vec!["/up".into()])), (vec!["CMD".into(), "/up".into()], None));
        assert_eq!(made(Check::Tcp { port: 80 }), (vec!["NONE".into()], Some("80 30 ".into())));
    }

    #[test]
    fn an_image_with_an_init_of_its_own_gets_no_other() {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let gets_init = |entrypoint: &str, args: &str, image_entrypoint: &str, cmd: &str| {
            let mut spec = spec();
            (spec.container.entrypoint, spec.container.args) = (words(entrypoint), words(args));
            let config = ImageConfig {
                entrypoint: Some(words(image_entrypoint)),
                cmd: Some(words(cmd)),
                ..Default::default()
            };
            container(&common(), &spec, "x".into(), &config, &[]).host_config.unwrap().init.unwrap()
        };
        assert!(gets_init("", "", "", "/bin/sh -c init"));
        assert!(gets_init("/bin/sh", "", "/sbin/init", "/sbin/init"));
        assert!(gets_init("", "/bin/sh", "", "/sbin/init"));
        assert!(!gets_init("", "", "", "/sbin/init"));
        assert!(!gets_init("", "", "/init", "/bin/sh"));
        assert!(!gets_init("", "", "/usr/bin/tini -- /app", ""));
        assert!(!gets_init("/lib/systemd/systemd", "", "/app", ""));
    }

    #[test]
    fn a_mount_is_a_named_volume_on_the_folder() {
        let bind = Bind { source: "/pool/volumes/7-data".into(), target: "/data".into() };
        let host =
            container(&common(), &spec(), "x".into(), &Default::default(), &[bind]).host_config.unwrap();
        let mount = host.mounts.unwrap().remove(0);
        assert_eq!(mount.source.as_deref(), Some("zos-abababab-7-data"));
        let options = mount.volume_options.unwrap().driver_config.unwrap().options.unwrap();
        assert_eq!((options["o"].as_str(), options["device"].as_str()), ("bind", "/pool/volumes/7-data"));
    }

    #[test]
    fn a_log_is_part_of_the_disk() {
        let sizes = |rootfs| {
            let config = log_config(rootfs).config.unwrap();
            let size: u64 = config["max-size"].parse().unwrap();
            assert!(2 * size < files_bytes(rootfs));
            (files_bytes(rootfs), size)
        };
        assert_eq!(sizes(16 * MIB), (4 * MIB, 5 * MIB / 4));
        assert_eq!(sizes(64 * MIB), (8 * MIB, 5 * MIB / 2));
        assert_eq!(sizes(1 << 40), (32 * MIB, 10 * MIB));
    }

    #[test]
    fn cores_are_limited_to_those_of_the_host() {
        let mut spec = spec();
        spec.container.cpu = u64::MAX;
        spec.container.memory = u64::MAX;
        let host = container(&common(), &spec, "x".into(), &Default::default(), &[]).host_config.unwrap();
        assert_eq!(host.nano_cpus, Some(2_000_000_000));
        assert_eq!(host.memory, Some(i64::MAX));
        assert_eq!(host.blkio_weight, Some(1000));
        assert_eq!(io_weight(1, 64), 10);
    }
}
