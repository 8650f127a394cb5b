// SPDX-License-Identifier: Apache-2.0
//! What the agent says of itself to Prometheus.

use crate::engine::{Counts, reconcile::Failure};
use anyhow::{Context, Result};
use std::net::SocketAddr;
use substrate_prometheus_endpoint::{
    CounterVec, Gauge, GaugeVec, Opts, PrometheusError, Registry, U64, init_prometheus, register,
};
use tracing::error;

/// All that is counted. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Number of the last finalized head.
    pub head: Gauge<U64>,
    /// 1 while finalized heads arrive.
    pub chain_up: Gauge<U64>,
    /// 1 while the container engine and the volumes can be seen.
    pub engine_up: Gauge<U64>,
    /// Contracts that the chain doesn't name.
    pub quarantined: Gauge<U64>,
    /// Reports that wait to be taken or to show their effect.
    pub outbox: Gauge<U64>,
    contracts: GaugeVec<U64>,
    plans: CounterVec<U64>,
    reports: CounterVec<U64>,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// Where the registry has one of the names already.
    pub fn new(registry: &Registry) -> Result<Self, PrometheusError> {
        let gauge = |name, help| register(Gauge::<U64>::new(name, help)?, registry);
        let vector = |name, help, label| CounterVec::<U64>::new(Opts::new(name, help), &[label]);
        Ok(Self {
            head: gauge("zos_finalized_head", "Number of the last finalized block that was read")?,
            chain_up: gauge("zos_chain_up", "1 while finalized blocks arrive")?,
            engine_up: gauge("zos_engine_up", "1 while containers and volumes can be seen")?,
            quarantined: gauge("zos_contracts_quarantined", "Contracts here that the chain doesn't name")?,
            outbox: gauge("zos_outbox_reports", "Reports that wait for the chain")?,
            contracts: register(
                GaugeVec::new(Opts::new("zos_contracts", "Contracts of this node by state"), &["state"])?,
                registry,
            )?,
            plans: register(
                vector("zos_plans_total", "Plans that were carried out, by how they ended", "end")?,
                registry,
            )?,
            reports: register(
                vector("zos_reports_total", "Reports that were sent, by kind", "kind")?,
                registry,
            )?,
        })
    }

    /// A plan has ended.
    pub fn plan_ended(&self, result: &Result<(), Failure>) {
        let end = match result {
            Ok(()) => "done",
            Err(Failure::Invalid(_)) => "invalid",
            Err(Failure::Exited(_)) => "exited",
            Err(Failure::Transient(_)) => "transient",
            Err(Failure::GivenUp) => "given_up",
        };
        self.plans.with_label_values(&[end]).inc();
    }

    /// How many contracts are in which state.
    pub fn contracts(&self, counts: &Counts) {
        for (state, count) in [
            ("running", counts.running),
            ("starting", counts.starting),
            ("failing", counts.failing),
            ("refused", counts.refused),
            ("paused", counts.paused),
        ] {
            self.contracts.with_label_values(&[state]).set(count);
        }
    }

    /// A report of this kind was sent.
    pub fn report_sent(&self, kind: &str) {
        self.reports.with_label_values(&[kind]).inc();
    }
}

/// Serves `/metrics`, for as long as the agent runs.
///
/// # Errors
/// Where the address is taken.
pub async fn serve(address: SocketAddr, registry: Registry) -> Result<()> {
    init_prometheus(address, registry)
        .await
        .with_context(|| format!("can't serve metrics at {address}: choose another with --metrics"))
        .inspect_err(|error| error!("{error:#}"))
}
