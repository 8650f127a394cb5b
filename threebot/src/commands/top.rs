// SPDX-License-Identifier: Apache-2.0
//! `threebot top`

use crate::{
    cli::Global,
    contract::size_text,
    output::Answer,
    peer::{Connected, Target},
};
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tfgrid_client::peer::{PeerError, protocol::Stats};
use tokio::time::sleep;

/// Time over which the use of processors is measured.
const OVER: Duration = Duration::from_secs(1);

/// Show what a contract's machines use now
#[derive(Args)]
pub struct Top {
    #[command(flatten)]
    target: Target,
}

impl Top {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let connected = self.target.connect(global).await?;
        let measured = measure(&connected).await;
        let used = connected.done(measured).await?;
        Ok(Answer::new(
            text(&used),
            json!(used.iter().map(|(name, used)| (name, used.value())).collect::<BTreeMap<_, _>>()),
        ))
    }
}

/// What a machine uses.
struct Used {
    /// Hundredths of a core; `None` if it was started a moment ago.
    cpu_percent: Option<f64>,
    stats: Stats,
}

async fn measure(connected: &Connected) -> Result<BTreeMap<String, Used>, PeerError> {
    let before = connected.peer.stats(connected.contract).await?;
    let begun = Instant::now();
    sleep(OVER).await;
    let now = connected.peer.stats(connected.contract).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let used = now.into_iter().map(|(name, stats)| {
        let ms = before.get(&name).and_then(|before| stats.cpu_ms.checked_sub(before.cpu_ms));
        let cpu_percent = ms.map(|ms| ms as f64 / 10.0 / seconds);
        (name, Used { cpu_percent, stats })
    });
    Ok(used.collect())
}

impl Used {
    fn value(&self) -> serde_json::Value {
        let Stats { cpu_ms, memory_bytes, received_bytes, sent_bytes } = self.stats;
        json!({
            "cpu_percent": self.cpu_percent,
            "cpu_ms": cpu_ms,
            "memory_bytes": memory_bytes,
            "received_bytes": received_bytes,
            "sent_bytes": sent_bytes,
        })
    }
}

fn text(used: &BTreeMap<String, Used>) -> String {
    if used.is_empty() {
        return "no machine runs".into();
    }
    let mut lines =
        vec![format!("{:<16} {:>6} {:>12} {:>12} {:>12}", "machine", "cpu %", "memory", "received", "sent")];
    lines.extend(used.iter().map(|(name, Used { cpu_percent, stats })| {
        let cpu = cpu_percent.map_or("-".into(), |percent| format!("{percent:.1}"));
        let [memory, received, sent] =
            [stats.memory_bytes, stats.received_bytes, stats.sent_bytes].map(size_text);
        format!("{name:<16} {cpu:>6} {memory:>12} {received:>12} {sent:>12}")
    }));
    lines.join("\n")
}
