// SPDX-License-Identifier: Apache-2.0

use anyhow::{Context, Result, bail};
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

const BETWEEN_PROBES: Duration = Duration::from_millis(100);

/// Probes until there is an answer, for at most `limit`. An error of the probe means that there will be none,
/// and ends the wait at once.
pub fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = probe().with_context(|| format!("while waiting for {what}"))? {
            return Ok(found);
        }
        if begun.elapsed() > limit {
            bail!("timed out after {} s waiting for {what}", limit.as_secs());
        }
        sleep(BETWEEN_PROBES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_the_wait() {
        let mut probes = 0;
        let found = wait_for("three", Duration::from_secs(5), || {
            probes += 1;
            Ok((probes == 3).then_some(probes))
        });
        assert_eq!(found.unwrap(), 3);
    }

    #[test]
    fn the_limit_ends_the_wait() {
        let none = wait_for::<()>("nothing", Duration::ZERO, || Ok(None));
        assert_eq!(none.unwrap_err().to_string(), "timed out after 0 s waiting for nothing");
    }

    #[test]
    fn a_failing_probe_ends_the_wait() {
        let failed = wait_for::<()>("luck", Duration::MAX, || bail!("none left"));
        assert_eq!(format!("{:#}", failed.unwrap_err()), "while waiting for luck: none left");
    }
}
