// SPDX-License-Identifier: Apache-2.0

use crate::{on_a_grid, Footprint, Grid, Options, Steps};
use anyhow::{anyhow, bail, ensure, Result};
use std::{
    any::Any,
    env,
    panic::{catch_unwind, AssertUnwindSafe},
    slice::Iter,
    time::Instant,
};

/// Chooses the scenarios whose name holds this text.
const CHOICE: &str = "SCENARIO";

/// A test on a grid that it shares with others. Contracts that it makes, it ends.
pub struct Scenario {
    pub name: &'static str,
    pub run: fn(&mut Grid) -> Result<()>,
}

/// Functions as [`Scenario`]s of the same name.
#[macro_export]
macro_rules! scenarios {
    ($($run:path),+ $(,)?) => {
        [$($crate::Scenario { name: stringify!($run), run: $run }),+]
    };
}

/// Runs scenarios one after another on one grid, each from a clean node, and says how each ended: starting a
/// grid takes longer than most of them. What a failed one leaves behind isn't known, so the next starts on
/// another grid. `SCENARIO=TEXT` chooses among them.
pub fn on_one_grid(name: &str, scenarios: &[Scenario]) -> Result<()> {
    let choice = env::var(CHOICE).unwrap_or_default();
    let chosen: Vec<_> = scenarios.iter().filter(|scenario| scenario.name.contains(&choice)).collect();
    ensure!(!chosen.is_empty(), "no scenario's name holds {choice:?}");

    let mut waiting = chosen.iter();
    let mut failures = Vec::new();
    while waiting.len() > 0 {
        let before = waiting.len();
        // Each grid keeps its logs.
        let grid_name = format!("{name}-{}", failures.len() + 1);
        let steps = Steps::silent();
        let outcome =
            on_a_grid(&grid_name, Options::default(), &steps, |grid| run_until_failure(grid, &mut waiting));
        if let Err(error) = outcome {
            println!("{error:#}");
            failures.push(format!("{error:#}"));
            ensure!(waiting.len() < before, "no grid to run scenarios on: {error:#}");
        }
    }
    if !failures.is_empty() {
        bail!("{} of {} scenarios failed:\n{}", failures.len(), chosen.len(), failures.join("\n"));
    }
    Ok(())
}

fn run_until_failure(grid: &mut Grid, waiting: &mut Iter<'_, &Scenario>) -> Result<()> {
    let clean = grid.footprint()?;
    for scenario in waiting {
        run_one(grid, &clean, scenario)?;
    }
    Ok(())
}

fn run_one(grid: &mut Grid, clean: &Footprint, scenario: &Scenario) -> Result<()> {
    let begun = Instant::now();
    let outcome = unpanicked(|| (scenario.run)(grid)).and_then(|()| grid.until_clean(clean));
    let mark = if outcome.is_ok() { '✓' } else { '✗' };
    println!("{mark} {:>5.1} s  {}", begun.elapsed().as_secs_f64(), scenario.name);
    outcome.map_err(|error| error.context(format!("scenario {}", scenario.name)))
}

/// A panic is a failure like others: it ends its scenario, not those after it.
fn unpanicked(act: impl FnOnce() -> Result<()>) -> Result<()> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| Err(anyhow!("panicked: {}", message(&*panic))))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure_with_its_message() {
        let error = unpanicked(|| panic!("on {}", "purpose")).unwrap_err();
        assert_eq!(error.to_string(), "panicked: on purpose");
        let error = unpanicked(|| panic!("plainly")).unwrap_err();
        assert_eq!(error.to_string(), "panicked: plainly");
    }

    #[test]
    fn an_error_stays_what_it_is() {
        assert_eq!(unpanicked(|| bail!("as said")).unwrap_err().to_string(), "as said");
        assert!(unpanicked(|| Ok(())).is_ok());
    }
}
