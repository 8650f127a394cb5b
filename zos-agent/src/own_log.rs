// SPDX-License-Identifier: Apache-2.0
//! The agent's own log, whose last lines its farmer reads at the peer endpoint.
//!
//! It has nothing of tenants: of an event it keeps the message and the fields of `SHOWN`. Values that a tenant has
//! written or may have caused belong in another field, never in a message: names, addresses, words of registries and of
//! the engine about a machine.

use crate::clock::unix_ms;
use std::{
    collections::VecDeque,
    fmt::{self, Write},
};
use tfgrid_client::{
    causes::shortened,
    peer::protocol::{Level, LogLine},
};
use tokio::sync::watch;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, filter::Targets, layer::Context, registry::LookupSpan};

/// Lines that are kept, and bytes of one.
const KEPT: usize = 2_000;
const LINE_BYTES: u32 = 1_000;
/// Begins the targets of the agent's own events. Those of libraries aren't kept: they tell what tenants do.
const TARGET: &str = env!("CARGO_CRATE_NAME");
const MESSAGE: &str = "message";
/// Fields that say no more about a tenant than the chain does.
const SHOWN: &[&str] = &[
    "before",
    "capacity",
    "class",
    "code",
    "contract",
    "contracts",
    "data",
    "devices",
    "directly",
    "failures",
    "file",
    "former",
    "in_kernel",
    "interface",
    "key",
    "kind",
    "log",
    "machines",
    "name",
    "node",
    "now",
    "number",
    "pid",
    "purpose",
    "reason",
    "retry_in",
    "server",
    "slot",
    "socket",
    "steps",
    "took",
    "twin",
    "version",
    "virtualized",
];

/// The last lines, with the number of those before.
#[derive(Clone, Debug, Default)]
pub struct OwnLog {
    dropped: usize,
    kept: VecDeque<LogLine>,
}

impl OwnLog {
    /// The lines from number `from` on, and the number of the next one.
    pub fn since(&self, from: usize) -> (Vec<LogLine>, usize) {
        let new = self.kept.iter().skip(from.saturating_sub(self.dropped)).cloned().collect();
        (new, self.dropped.saturating_add(self.kept.len()))
    }

    /// The last warnings and errors, at most so many.
    pub fn warnings(&self, most: usize) -> Vec<LogLine> {
        let grave = self.kept.iter().rev().filter(|line| line.level != Level::Info).take(most);
        let mut warnings: Vec<_> = grave.cloned().collect();
        warnings.reverse();
        warnings
    }

    fn add(&mut self, line: LogLine) {
        self.kept.push_back(line);
        if self.kept.len() > KEPT {
            self.kept.pop_front();
            self.dropped = self.dropped.saturating_add(1);
        }
    }
}

/// Keeps the agent's events as lines, from now on.
pub fn keep<S>() -> (impl Layer<S> + Send + Sync, watch::Receiver<OwnLog>)
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let (log, lines) = watch::channel(OwnLog::default());
    let filter = Targets::new().with_target(TARGET, tracing::Level::INFO);
    (Layer::<S>::with_filter(Writer(log), filter), lines)
}

struct Writer(watch::Sender<OwnLog>);

impl<S: Subscriber> Layer<S> for Writer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut words = Words::default();
        event.record(&mut words);
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            _ => Level::Info,
        };
        let text = shortened(&format!("{}{}", words.message, words.fields), LINE_BYTES);
        let line = LogLine { at_ms: unix_ms(), level, text };
        self.0.send_modify(|log| log.add(line));
    }
}

/// The part of an event that is kept.
#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // A string takes all that is written.
        let _ = match field.name() {
            MESSAGE => write!(self.message, "{value:?}"),
            name if SHOWN.contains(&name) => write!(self.fields, " {name}={value:?}"),
            _ => Ok(()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::{debug, error, info, subscriber::with_default, warn};
    use tracing_subscriber::{Registry, prelude::*};

    /// The lines of what `tells` tells.
    fn lines(tells: impl FnOnce()) -> OwnLog {
        let (own, lines) = keep::<Registry>();
        with_default(Registry::default().with(own), tells);
        lines.borrow().clone()
    }

    #[test]
    fn a_line_has_a_message_and_no_field_of_a_tenant() {
        let log = lines(|| {
            info!(contract = 7, host = "secret.example.org", machine = %"7/secret", "it runs");
            warn!(failures = 2, why = "no image secret", image = ?Some("secret"), "a try has failed");
        });
        let texts: Vec<_> = log.kept.iter().map(|line| (line.level, line.text.as_str())).collect();
        assert_eq!(
            texts,
            [(Level::Info, "it runs contract=7"), (Level::Warn, "a try has failed failures=2")]
        );
    }

    #[test]
    fn libraries_and_details_are_not_kept() {
        let log = lines(|| {
            error!(target: "hickory_server", "secret.example.org isn't found");
            debug!("a detail");
            info!("kept");
        });
        assert_eq!(log.kept.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["kept"]);
    }

    #[test]
    fn the_last_lines_are_kept_and_counted() {
        let log = lines(|| {
            warn!("first");
            (0..KEPT).for_each(|number| info!(number, "line"));
            error!("{}", "x".repeat(2 * LINE_BYTES as usize));
        });
        assert_eq!((log.kept.len(), log.dropped), (KEPT, 2));
        assert!(log.kept.iter().all(|line| line.text.len() <= LINE_BYTES as usize));
        let (all, next) = log.since(0);
        assert_eq!((all.len(), next), (KEPT, KEPT + 2));
        assert_eq!((log.since(next - 1).0.len(), log.since(next).0.len()), (1, 0));
        let warnings = log.warnings(9);
        assert!(warnings.len() == 1 && warnings[0].level == Level::Error, "{warnings:?}");
    }
}
