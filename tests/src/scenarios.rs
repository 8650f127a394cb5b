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

    run_all(&chosen, |attempt, waiting| {
        // Each grid keeps its logs.
        let grid = format!("{name}-{attempt}");
        on_a_grid(&grid, Options::default(), &Steps::silent(), |grid| run_until_failure(grid, waiting))
    })
}

/// Has `on_new_grid` run scenarios for as long as some wait; it takes them from those that it is given and
/// fails with the first that does.
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

    /// Runs three scenarios; one on each grid fails until `good` are left.
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
        let told = outcome.unwrap_err().to_string();
        assert_eq!((grids, told.as_str()), (3, "2 of 3 scenarios failed:\nscenario a\nscenario b"));
        let (grids, outcome) = failing_until(3);
        assert!(grids == 1 && outcome.is_ok());
    }

    #[test]
    fn without_a_grid_nothing_is_tried_again() {
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
    fn an_error_stays_what_it_is() {
        assert_eq!(unpanicked(|| bail!("as said")).unwrap_err().to_string(), "as said");
        assert!(unpanicked(|| Ok(())).is_ok());
    }
}
