// SPDX-License-Identifier: Apache-2.0
//! Health checks over the network. The agent makes them itself, so an image needs no program for them.

use crate::drivers::{Condition, network::connect};
use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tfgrid_client::deployment::{Check, Health};
use tfgrid_primitives::ContractId;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// From one check to the next, once it is known whether a machine works.
pub const CHECK_EVERY: Duration = Duration::from_secs(10);
/// Limit for one check.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
/// Failures in a row that make a machine unhealthy.
pub const FAILURES: u32 = 3;
/// From one check to the next until then.
const CHECK_FIRST_EVERY: Duration = Duration::from_secs(1);
/// Limit of checks of one contract at the same time. Those of other contracts don't wait for them.
const MAX_CHECKS: usize = 4;

/// What is checked of a machine, and from when on failures count. As text it is a label of its container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    port: u16,
    start_seconds: u64,
    /// The path of an HTTP request; empty if a connection is enough.
    path: String,
}

impl Target {
    /// `None` for a check that the engine makes.
    pub fn new(health: &Health) -> Option<Self> {
        let (port, path) = match &health.check {
            Check::Http { port, path } => (*port, path.clone()),
            Check::Tcp { port } => (*port, String::new()),
            Check::Exec(_) => return None,
        };
        Some(Self { port, start_seconds: health.start_seconds, path })
    }

    /// Reads a label.
    pub fn parse(label: &str) -> Option<Self> {
        let mut words = label.splitn(3, ' ');
        let (port, start_seconds) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { port, start_seconds, path: words.next()?.to_owned() })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.port, self.start_seconds, self.path)
    }
}

/// The checks of running machines, by instance.
#[derive(Default)]
pub struct Probes(Mutex<BTreeMap<String, Probe>>);

struct Probe {
    contract: ContractId,
    address: SocketAddr,
    namespace: Option<PathBuf>,
    target: Target,
    since: Instant,
    due: Instant,
    /// Whether a check is being made.
    is_checked: bool,
    failures: u32,
    condition: Condition,
}

/// A check to be made.
pub struct Due {
    instance: String,
    address: SocketAddr,
    namespace: Option<PathBuf>,
    path: String,
}

/// The outcome of a check.
pub struct Checked {
    instance: String,
    result: Result<(), String>,
}

impl Due {
    /// Makes the check.
    pub async fn check(self) -> Checked {
        let result = check(self.address, self.namespace, &self.path).await;
        Checked { result, instance: self.instance }
    }
}

impl Probes {
    fn probes(&self) -> MutexGuard<'_, BTreeMap<String, Probe>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the checks of this run say, which begin with the first call.
    pub fn condition(
        &self,
        contract: ContractId,
        instance: &str,
        ip: Option<IpAddr>,
        namespace: Option<PathBuf>,
        target: Target,
    ) -> Condition {
        // Without an address it is about to get one, or to stop.
        let Some(ip) = ip else { return Condition::Starting };
        let mut probes = self.probes();
        let probe = probes.entry(instance.to_owned()).or_insert_with(|| Probe {
            contract,
            address: SocketAddr::new(ip, target.port),
            namespace,
            target,
            since: Instant::now(),
            due: Instant::now(),
            is_checked: false,
            failures: 0,
            condition: Condition::Starting,
        });
        probe.condition.clone()
    }

    /// Ends the checks of all runs but those for which this holds.
    pub fn keep(&self, keeps: impl Fn(&str) -> bool) {
        self.probes().retain(|instance, _| keeps(instance));
    }

    /// Checks that are to be made now, of each contract those first that are due longest.
    pub fn take_due(&self, now: Instant) -> Vec<Due> {
        let mut probes = self.probes();
        let mut running: BTreeMap<ContractId, usize> = BTreeMap::new();
        for probe in probes.values().filter(|probe| probe.is_checked) {
            *running.entry(probe.contract).or_default() += 1;
        }
        let mut due: Vec<_> =
            probes.iter_mut().filter(|(_, probe)| !probe.is_checked && probe.due <= now).collect();
        due.sort_by_key(|(_, probe)| probe.due);
        let begin = |(instance, probe): (&String, &mut Probe)| {
            let running = running.entry(probe.contract).or_default();
            if *running >= MAX_CHECKS {
                return None;
            }
            *running += 1;
            probe.is_checked = true;
            let path = probe.target.path.clone();
            let namespace = probe.namespace.clone();
            Some(Due { instance: instance.clone(), address: probe.address, namespace, path })
        };
        due.into_iter().filter_map(begin).collect()
    }

    /// Records a check; returns whether the condition of its machine has changed.
    pub fn record(&self, checked: Checked, now: Instant) -> bool {
        let mut probes = self.probes();
        let probe = probes.get_mut(&checked.instance);
        probe.is_some_and(|probe| probe.checked(checked.result, now))
    }
}

impl Probe {
    /// Records the result of a check; returns whether the condition has changed.
    fn checked(&mut self, result: Result<(), String>, now: Instant) -> bool {
        let is_starting = self.condition == Condition::Starting
            && now.duration_since(self.since) < Duration::from_secs(self.target.start_seconds);
        let condition = match result {
            Ok(()) => {
                self.failures = 0;
                Condition::Healthy
            }
            Err(_) if is_starting => Condition::Starting,
            Err(found) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures < FAILURES { self.condition.clone() } else { Condition::Unhealthy(found) }
            }
        };
        let every = if condition == Condition::Starting { CHECK_FIRST_EVERY } else { CHECK_EVERY };
        (self.due, self.is_checked) = (now + every, false);
        let before = std::mem::replace(&mut self.condition, condition);
        std::mem::discriminant(&before) != std::mem::discriminant(&self.condition)
    }
}

async fn check(address: SocketAddr, namespace: Option<PathBuf>, path: &str) -> Result<(), String> {
    let checking = async {
        let mut stream = connect(namespace, address)
            .await
            .map_err(|error| format!("can't connect to port {}: {error}", address.port()))?;
        if path.is_empty() {
            return Ok(());
        }
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        let mut head = [0; "HTTP/1.1 200".len()];
        let exchange = async {
            stream.write_all(request.as_bytes()).await?;
            stream.read_exact(&mut head).await
        };
        exchange.await.map_err(|error| format!("no HTTP answer from port {}: {error}", address.port()))?;
        match status(&head) {
            Some(200..=399) => Ok(()),
            Some(status) => Err(format!("{path} has status {status}")),
            None => Err(format!("port {} doesn't speak HTTP/1", address.port())),
        }
    };
    let checked = timeout(CHECK_TIMEOUT, checking).await;
    checked
        .unwrap_or_else(|_| Err(format!("no answer from port {} within {CHECK_TIMEOUT:?}", address.port())))
}

/// The status in the first bytes of an answer.
fn status(head: &[u8]) -> Option<u16> {
    let text = str::from_utf8(head).ok()?.strip_prefix("HTTP/1.")?;
    text.split_once(' ')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(start_seconds: u64) -> Probe {
        let now = Instant::now();
        Probe {
            contract: 1,
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            namespace: None,
            target: Target { port: 1, start_seconds, path: String::new() },
            since: now,
            due: now,
            is_checked: false,
            failures: 0,
            condition: Condition::Starting,
        }
    }

    #[test]
    fn a_label_holds_all_of_a_target() {
        for check in [Check::Tcp { port: 5432 }, Check::Http { port: 80, path: "/up?x=1".into() }] {
            let target = Target::new(&Health { check, start_seconds: 7 }).unwrap();
            assert_eq!(Target::parse(&target.to_string()), Some(target));
        }
        assert_eq!(Target::new(&Health { check: Check::Exec(vec![]), start_seconds: 7 }), None);
        assert_eq!(Target::parse("80"), None);
    }

    #[test]
    fn failures_count_once_the_start_is_over_and_only_in_a_row() {
        let mut probe = probe(10);
        let fail = || Err("refused".to_string());
        let starting = probe.since + Duration::from_secs(9);
        assert!((0..9).all(|_| !probe.checked(fail(), starting)));
        let started = probe.since + Duration::from_secs(10);
        assert!(!probe.checked(fail(), started) && !probe.checked(fail(), started));
        assert!(probe.checked(fail(), started));
        assert_eq!(probe.condition, Condition::Unhealthy("refused".into()));

        assert!(probe.checked(Ok(()), started));
        assert!(!probe.checked(fail(), started) && !probe.checked(fail(), started));
        assert!(!probe.checked(Ok(()), started) && !probe.checked(fail(), started));
        assert_eq!(probe.condition, Condition::Healthy);
    }

    #[test]
    fn slow_checks_of_a_contract_delay_no_other() {
        let probes = Probes::default();
        let ip = Some(IpAddr::from([127, 0, 0, 1]));
        let target = Target { port: 1, start_seconds: 0, path: String::new() };
        for machine in 0..50 {
            probes.condition(1, &format!("slow {machine}"), ip, None, target.clone());
        }
        let now = Instant::now();
        let mut slow = probes.take_due(now);
        assert_eq!((slow.len(), probes.take_due(now).len()), (MAX_CHECKS, 0));

        probes.condition(2, "other", ip, None, target);
        let now = Instant::now();
        let taken = |due: Vec<Due>| due.into_iter().map(|due| due.instance).collect::<Vec<_>>();
        assert_eq!(taken(probes.take_due(now)), ["other"]);

        let instance = slow.remove(0).instance;
        probes.record(Checked { instance: instance.clone(), result: Err("late".into()) }, now);
        let next = taken(probes.take_due(now));
        assert!(next.len() == 1 && next[0] != instance, "{next:?}");
    }

    #[test]
    fn only_http_has_a_status() {
        assert_eq!(status(b"HTTP/1.0 404"), Some(404));
        for other in ["SSH-2.0-Open", "HTTP/1.1", "HTTP/2.0 200", "HTTP/1.1 xyz"] {
            assert_eq!(status(other.as_bytes()), None, "{other}");
        }
    }
}
