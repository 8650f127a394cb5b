// SPDX-License-Identifier: Apache-2.0
//! Metrics of a bot, and the page on which Prometheus reads them.

use super::{Memory, Seen};
use anyhow::{Context, Result};
use prometheus::{IntCounterVec, IntGauge, Opts, Registry, TextEncoder};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

const PATH: &str = "/metrics";
/// Limit for a request to come and to be answered.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// Delay after a connection that couldn't be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// The longest request that is read.
const MAX_REQUEST: usize = 8 << 10;

/// All metrics. Clones share their values.
#[derive(Clone)]
pub struct Metrics {
    /// 1 while finalized blocks arrive.
    pub chain_up: IntGauge,
    head: IntGauge,
    contracts: IntGauge,
    held: IntGauge,
    moving: IntGauge,
    lasts: IntGauge,
    moves: IntCounterVec,
}

impl Metrics {
    /// Registers all metrics.
    ///
    /// # Errors
    /// If the registry has one of the names already.
    pub fn new(registry: &Registry) -> Result<Self> {
        let gauge = |name, help| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            anyhow::Ok(gauge)
        };
        let moves = IntCounterVec::new(Opts::new("heal_moves_total", "Moves by their end"), &["end"])?;
        registry.register(Box::new(moves.clone()))?;
        Ok(Self {
            chain_up: gauge("heal_chain_up", "1 while finalized blocks arrive")?,
            head: gauge("heal_finalized_head", "Number of the last finalized block that was read")?,
            contracts: gauge("heal_contracts", "Open node contracts of the owner")?,
            held: gauge("heal_contracts_held", "Contracts that are to be moved, and aren't yet")?,
            moving: gauge("heal_contracts_moving", "Contracts whose move has begun")?,
            lasts: gauge("heal_credit_seconds", "Time for which the owner's credit lasts; -1 for ever")?,
            moves,
        })
    }

    pub fn seen(&self, seen: &Seen, memory: &Memory, held: usize) {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.chain_up.set(1);
        self.head.set(i64::try_from(seen.block).unwrap_or(i64::MAX));
        self.contracts.set(count(seen.open.len()));
        self.held.set(count(held));
        self.moving.set(count(memory.moves.values().filter(|it| !it.is_over()).count()));
        self.lasts.set(seen.lasts.map_or(-1, |lasts| i64::try_from(lasts).unwrap_or(i64::MAX)));
    }

    /// Counts a move under its end.
    pub fn ended(&self, end: &str) {
        self.moves.with_label_values(&[end]).inc();
    }
}

/// Serves the metrics under `/metrics` for ever.
///
/// # Errors
/// If the address can't be used.
pub async fn serve(address: SocketAddr, registry: Registry) -> Result<()> {
    let listener = TcpListener::bind(address).await;
    let listener = listener
        .with_context(|| format!("can't serve metrics at {address}: choose another with --metrics"))?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Whoever asks too slowly, or goes, gets nothing.
                tokio::spawn(timeout(ANSWERED_WITHIN, answer(stream, registry.clone())));
            }
            Err(_) => sleep(ACCEPT_AGAIN).await,
        }
    }
}

async fn answer(mut stream: TcpStream, registry: Registry) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < MAX_REQUEST {
        if stream.read_buf(&mut request).await? == 0 {
            break;
        }
    }
    let is_asked = request.starts_with(format!("GET {PATH} ").as_bytes());
    let (status, page) = match TextEncoder::new().encode_to_string(&registry.gather()) {
        _ if !is_asked => ("404 Not Found", format!("metrics are under {PATH}\n")),
        Ok(page) => ("200 OK", page),
        Err(error) => ("500 Internal Server Error", format!("{error}\n")),
    };
    let length = page.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {length}\r\nconnection: \
         close\r\n\r\n"
    );
    stream.write_all(format!("{head}{page}").as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener as StdListener};

    /// Status and body of a page.
    async fn get(url: String) -> (u16, String) {
        let request = move || {
            let config = ureq::Agent::config_builder().http_status_as_error(false).build();
            let mut response = ureq::Agent::new_with_config(config).get(&url).call()?;
            Ok::<_, ureq::Error>((response.status().as_u16(), response.body_mut().read_to_string()?))
        };
        tokio::task::spawn_blocking(request).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn the_page_has_the_metrics_and_nothing_else_is_served() {
        let address = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        metrics.ended("done");
        metrics.seen(&Seen { block: 7, ..Seen::default() }, &Memory::default(), 2);
        let server = tokio::spawn(serve(address, registry));
        while TcpStream::connect(address).await.is_err() {
            assert!(!server.is_finished());
        }
        let (status, page) = get(format!("http://{address}/metrics")).await;
        assert_eq!(status, 200);
        for line in ["heal_finalized_head 7", "heal_contracts_held 2", "heal_credit_seconds -1"] {
            assert!(page.lines().any(|found| found == line), "{line}: {page}");
        }
        assert!(page.contains("heal_moves_total{end=\"done\"} 1"), "{page}");
        assert_eq!(get(format!("http://{address}/")).await, (404, "metrics are under /metrics\n".into()));
    }

    #[tokio::test]
    async fn a_taken_address_is_named_in_the_error() {
        let taken = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let error = serve(address, Registry::new()).await.unwrap_err().to_string();
        assert_eq!(error, format!("can't serve metrics at {address}: choose another with --metrics"));
    }
}
