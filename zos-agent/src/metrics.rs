// SPDX-License-Identifier: Apache-2.0
//! Metrics of the agent, and the HTTP page on which Prometheus reads them.

use crate::{
    drivers::{Counted, pool::PoolFault},
    http,
};
use anyhow::{Context, Result};
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
};
use prometheus::{
    Encoder, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};
use std::{net::SocketAddr, time::Duration};
use tfgrid_client::deployment::DiskKind;
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tracing::{debug, info};

const PATH: &str = "/metrics";
/// Delay after a connection that couldn't be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// All metrics. Clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Number of the last finalized head.
    pub head: IntGauge,
    /// 1 while finalized heads arrive.
    pub chain_up: IntGauge,
    /// 1 while the container engine answers.
    pub engine_up: IntGauge,
    /// 1 while the storage pools are there and can be written.
    pub pool_up: IntGauge,
    /// 1 while the firewall rules are in place.
    pub firewall_up: IntGauge,
    /// 1 once the self-test has passed.
    pub self_test_passed: IntGauge,
    /// Contracts in quarantine.
    pub quarantined: IntGauge,
    /// Reports that are yet to be sent or to take effect.
    pub outbox: IntGauge,
    contracts: IntGaugeVec,
    pool_faults: IntGaugeVec,
    traffic: IntGaugeVec,
    plans: IntCounterVec,
    reports: IntCounterVec,
}

impl Metrics {
    /// Registers all metrics.
    ///
    /// # Errors
    /// If the registry has one of the names already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name, help| register(registry, IntGauge::new(name, help)?);
        let gauges = |name, help, labels: &[&str]| {
            register(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
        };
        let counters =
            |name, help, label| register(registry, IntCounterVec::new(Opts::new(name, help), &[label])?);
        Ok(Self {
            head: gauge("zos_finalized_head", "Number of the last finalized block that was read")?,
            chain_up: gauge("zos_chain_up", "1 while finalized blocks arrive")?,
            engine_up: gauge("zos_engine_up", "1 while the container engine answers")?,
            pool_up: gauge("zos_pool_up", "1 while the storage pools are there and can be written")?,
            firewall_up: gauge("zos_firewall_up", "1 while the firewall rules are in place")?,
            self_test_passed: gauge("zos_self_test_passed", "1 once the self-test has passed")?,
            quarantined: gauge("zos_contracts_quarantined", "Contracts here that the chain doesn't know")?,
            outbox: gauge("zos_outbox_reports", "Reports that wait for the chain")?,
            pool_faults: gauges("zos_pool_fault", "1 while a storage pool is so", &["disk", "fault"])?,
            traffic: gauges(
                "zos_traffic_bytes",
                "Traffic of the contracts here since their start",
                &["class", "direction"],
            )?,
            contracts: gauges("zos_contracts", "Contracts of this node by state", &["state"])?,
            plans: counters("zos_plans_total", "Executed plans by outcome", "end")?,
            reports: counters("zos_reports_total", "Submitted reports by kind", "kind")?,
        })
    }

    /// Counts an executed plan under its outcome.
    pub fn plan_ended(&self, outcome: &str) {
        self.plans.with_label_values(&[outcome]).inc();
    }

    /// Sets the number of contracts in a state.
    pub fn contracts(&self, state: &str, count: u32) {
        self.contracts.with_label_values(&[state]).set(count.into());
    }

    /// Sets the traffic of a class.
    pub fn traffic(&self, class: &str, Counted { received_bytes, sent_bytes }: Counted) {
        for (direction, bytes) in [("received", received_bytes), ("sent", sent_bytes)] {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            self.traffic.with_label_values(&[class, direction]).set(bytes);
        }
    }

    /// Sets what is wrong with the storage pools, and that nothing else is.
    pub fn pool_faults(&self, faults: &[(DiskKind, PoolFault)]) {
        self.pool_faults.reset();
        for (disk, fault) in faults {
            self.pool_faults.with_label_values(&[&*disk.to_string(), fault.name()]).set(1);
        }
    }

    /// Counts a submitted report under its kind.
    pub fn report_sent(&self, kind: &str) {
        self.reports.with_label_values(&[kind]).inc();
    }
}

fn register<M: Collector + Clone + 'static>(registry: &Registry, metric: M) -> prometheus::Result<M> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// Serves the metrics under `/metrics` for ever.
///
/// # Errors
/// If the address can't be used.
pub async fn serve(address: SocketAddr, registry: Registry) -> Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("can't serve metrics at {address}: choose another with --metrics"))?;
    info!("metrics are at http://{address}{PATH}");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(answer(stream, registry.clone()));
            }
            Err(error) => {
                debug!("can't accept a connection for metrics: {error}");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, registry: Registry) {
    if let Err(error) = http::serve(stream, |request| page(request, &registry)).await {
        debug!("a connection for metrics broke: {error}");
    }
}

fn page(request: &Request<Incoming>, registry: &Registry) -> Response<Full<Bytes>> {
    if request.uri().path() != PATH {
        return plain(StatusCode::NOT_FOUND, format!("metrics are under {PATH}\n"));
    }
    let encoder = TextEncoder::new();
    match encoder.encode_to_string(&registry.gather()) {
        Ok(text) => {
            let mut response = plain(StatusCode::OK, text);
            if let Ok(format) = encoder.format_type().parse() {
                response.headers_mut().insert(CONTENT_TYPE, format);
            }
            response
        }
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener as StdListener};

    fn free_address() -> SocketAddr {
        StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
    }

    /// Status and body of a page.
    async fn get(url: String) -> (u16, String) {
        let request = move || {
            let mut response = ureq::get(url).config().http_status_as_error(false).build().call()?;
            Ok::<_, ureq::Error>((response.status().as_u16(), response.body_mut().read_to_string()?))
        };
        tokio::task::spawn_blocking(request).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn the_page_has_the_metrics_and_nothing_else_is_served() {
        let (address, registry) = (free_address(), Registry::new());
        let metrics = Metrics::new(&registry).unwrap();
        metrics.contracts("running", 3);
        metrics.plan_ended("done");
        metrics.chain_up.set(1);
        metrics.pool_faults(&[(DiskKind::Ssd, PoolFault::Full)]);
        metrics.pool_faults(&[(DiskKind::Hdd, PoolFault::Gone)]);
        let server = tokio::spawn(serve(address, registry));
        while TcpStream::connect(address).await.is_err() {
            assert!(!server.is_finished());
        }

        let (status, text) = get(format!("http://{address}/metrics")).await;
        assert_eq!(status, 200);
        for line in [
            "zos_chain_up 1",
            "zos_contracts{state=\"running\"} 3",
            "zos_plans_total{end=\"done\"} 1",
            "zos_pool_fault{disk=\"hdd\",fault=\"gone\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert!(!text.contains("full"), "{text}");
        assert_eq!(get(format!("http://{address}/")).await, (404, "metrics are under /metrics\n".into()));
    }

    #[test]
    fn dashboard_and_rules_read_metrics_that_exist() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        metrics.contracts("running", 1);
        metrics.plan_ended("done");
        metrics.report_sent("heartbeat");
        metrics.pool_faults(&[(DiskKind::Ssd, PoolFault::Full)]);
        let served = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let read = [
            include_str!("../../packaging/grafana/tfgrid.json"),
            include_str!("../../packaging/prometheus/alerts.yml"),
        ];
        let words = read.iter().flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
        let names: Vec<_> = words.filter(|word| word.starts_with("zos_")).collect();
        assert!(names.len() > 10);
        for name in names {
            assert!(served.contains(&format!("# TYPE {name} ")), "{name}");
        }
    }

    #[tokio::test]
    async fn a_taken_address_is_named_in_the_error() {
        let taken = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let error = serve(address, Registry::new()).await.unwrap_err().to_string();
        let expected = format!("can't serve metrics at {address}: choose another with --metrics");
        assert_eq!(error, expected);
    }
}
