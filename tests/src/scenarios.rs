// SPDX-License-Identifier: Apache-2.0

use crate::{Footprint, Grid, Options, Steps, on_a_grid};
use anyhow::{Result, anyhow, bail, ensure};
use std::{
    any::Any,
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    slice::Iter,
    time::Instant,
};

/// Variable that selects the scenarios whose names contain its text.
const CHOICE: &str = "SCENARIO";

/// A test that shares its grid with others. It must end the contracts that it creates.
pub struct Scenario {
    pub name: &'static str,
    pub run: fn(&mut Grid) -> Result<()>,
}

/// Makes [`Scenario`]s of functions.
#[macro_export]
macro_rules! scenarios {
    ($($run:path),+ $(,)?) => {
        [$($crate::Scenario { name: stringify!($run), run: $run }),+]
    };
}

/// Runs scenarios one after another on one grid, since starting a grid takes longer than most scenarios, and
/// prints the outcome of each. Each starts on a clean node; after a failure, the next gets another grid.
/// `SCENARIO=TEXT` selects the scenarios of `all` grids: there may be none on this one.
pub fn on_one_grid(name: &str, scenarios: &[Scenario], all: &[&[Scenario]]) -> Result<()> {
    let choice = env::var(CHOICE).unwrap_or_default();
    let is_chosen = |scenario: &&Scenario| scenario.name.contains(&choice);
    ensure!(
        all.iter().copied().flatten().any(|scenario| is_chosen(&scenario)),
        "no scenario's name contains {choice:?}"
    );
    let chosen: Vec<_> = scenarios.iter().filter(is_chosen).collect();

    run_all(&chosen, |attempt, waiting| {
        // Each grid keeps its logs.
        let grid = format!("{name}-{attempt}");
        on_a_grid(&grid, Options::default(), &Steps::silent(), |grid| run_until_failure(grid, waiting))
    })
}

/// Calls `on_new_grid` while scenarios are left. It takes scenarios from the iterator and fails with the
/// first that fails.
fn run_all(
    chosen: &[&Scenario],
    mut on_new_grid: impl FnMut(usize, &mut Iter<'_, &Scenario>) -> Result<()>,
) -> Result<()> {
    let mut waiting = chosen.iter();
    let mut failures = Vec::new();
    while waiting.len() > 0 {
        let before = waiting.len();
        if let Err(error) = on_new_grid(failures.len() + 1, &mut waiting) {
            println!("{error:#}");
            ensure!(waiting.len() < before, "no grid to run scenarios on: {error:#}");
            failures.push(format!("{error:#}"));
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

/// Turns a panic into an error: it ends its scenario, not the ones after it.
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

    /// Runs three scenarios, of which one fails on each grid until `good` are left.
    fn failing_until(good: usize) -> (usize, Result<()>) {
        let three = ["a", "b", "c"].map(|name| Scenario { name, run: |_| Ok(()) });
        let mut grids = 0;
        let outcome = run_all(&three.each_ref(), |attempt, waiting| {
            grids = attempt;
            while let Some(scenario) = waiting.next() {
                ensure!(waiting.len() < good, "scenario {}", scenario.name);
            }
            Ok(())
        });
        (grids, outcome)
    }

    #[test]
    fn after_a_failure_the_others_run_on_another_grid() {
        let (grids, outcome) = failing_until(1);
        let error = outcome.unwrap_err().to_string();
        assert_eq!((grids, error.as_str()), (3, "2 of 3 scenarios failed:\nscenario a\nscenario b"));
        let (grids, outcome) = failing_until(3);
        assert!(grids == 1 && outcome.is_ok());
    }

    #[test]
    fn without_a_grid_nothing_is_retried() {
        let one = Scenario { name: "a", run: |_| Ok(()) };
        let outcome = run_all(&[&one], |_, _| bail!("no engine"));
        assert_eq!(outcome.unwrap_err().to_string(), "no grid to run scenarios on: no engine");
    }

    #[test]
    fn a_panic_is_a_failure_with_its_message() {
        let error = unpanicked(|| panic!("on {}", "purpose")).unwrap_err();
        assert_eq!(error.to_string(), "panicked: on purpose");
        let error = unpanicked(|| panic!("plainly")).unwrap_err();
        assert_eq!(error.to_string(), "panicked: plainly");
    }

    #[test]
    fn an_error_is_passed_on() {
        assert_eq!(unpanicked(|| bail!("as said")).unwrap_err().to_string(), "as said");
        assert!(unpanicked(|| Ok(())).is_ok());
    }
}
