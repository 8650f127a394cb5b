// SPDX-License-Identifier: Apache-2.0
//! The files of a pallet: its benchmarks, which say what the worst cases are, and its weights, which are written.

use crate::{Measured, Options, Outcome, text};
use frame_benchmarking::{Analysis, BenchmarkMetadata};
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

pub struct Source {
    weights: PathBuf,
    /// `weights.rs` as it is.
    old: String,
    /// `benchmarking.rs`.
    benchmarks: String,
}

impl Source {
    pub fn open(workspace: &Path, pallet: &str) -> Outcome<Self> {
        let folder = workspace.join("pallets").join(pallet).join("src");
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        Ok(Self {
            old: read("weights.rs")?,
            benchmarks: read("benchmarking.rs")?,
            weights: folder.join("weights.rs"),
        })
    }

    /// Refuses to write where the pallet asks for a weight that nothing measures.
    pub fn ensure_complete(&self, benchmarks: &[BenchmarkMetadata]) -> Outcome<()> {
        let names: Vec<_> = benchmarks.iter().map(|benchmark| text(&benchmark.name)).collect();
        let missing: Vec<_> = functions(&self.old).filter(|name| !names.iter().any(|n| n == name)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(format!("{}: no benchmark is named {}", self.weights.display(), missing.join(", ")).into())
    }

    pub fn write(&self, measured: &[Measured], options: &Options) -> Outcome<()> {
        fs::write(&self.weights, self.weights(measured, options)?)?;
        eprintln!("wrote {}", self.weights.display());
        Ok(())
    }

    fn weights(&self, measured: &[Measured], options: &Options) -> Outcome<String> {
        let mut code = header(options);
        code += "/// Weights of the calls, and of what else takes time.\npub trait WeightInfo {\n";
        for call in measured {
            let (name, arguments) = (&call.name, arguments(&call.parameters));
            let what = documentation(&self.benchmarks, name);
            writeln!(code, "    /// Of `{name}`.{what}\n    fn {name}({arguments}) -> Weight;")?;
        }
        code += "}\n\nimpl WeightInfo for () {\n";
        for (i, call) in measured.iter().enumerate() {
            let gap = if i == 0 { "" } else { "\n" };
            let (name, arguments) = (&call.name, arguments(&used_names(call)));
            writeln!(code, "{gap}    fn {name}({arguments}) -> Weight {{\n{}    }}", sum(call)?)?;
        }
        code += "}\n";
        Ok(code)
    }
}

fn header(options: &Options) -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    format!(
        "// SPDX-License-Identifier: Apache-2.0\n\
         //! Weights of the calls, as `make weights` measured them: change `benchmarking.rs`, not this file.\n\
         //!\n\
         //! The runtime ran as wasm, in {} steps, {} times each, on {}.\n\
         //! Reads and writes are counted there and weighed with the SDK's figures for ParityDb.\n\n\
         use frame_support::weights::{{constants::ParityDbWeight, Weight}};\n\n",
        options.steps,
        options.repeat,
        model.trim_start_matches([':', ' ', '\t']),
    )
}

/// The functions that the trait of a `weights.rs` declares.
fn functions(code: &str) -> impl Iterator<Item = &str> {
    let lines = code.lines().skip_while(|line| !line.contains("trait WeightInfo"));
    let lines = lines.take_while(|line| !line.starts_with('}'));
    lines.filter_map(|line| line.trim().strip_prefix("fn ")?.split('(').next())
}

/// What the benchmark of this name says of its worst case, with a space before it.
fn documentation(code: &str, name: &str) -> String {
    let function = format!("fn {name}(");
    let lines: Vec<_> = code.lines().map(str::trim).collect();
    let Some(at) = lines.iter().position(|line| line.starts_with(&function)) else {
        return String::new();
    };
    let above = lines[..at].iter().rev().take_while(|line| line.starts_with("///") || line.starts_with("#["));
    let comments: Vec<_> = above.filter_map(|line| line.strip_prefix("/// ")).collect();
    comments.into_iter().rev().fold(String::new(), |text, line| text + " " + line)
}

fn arguments(names: &[String]) -> String {
    names.iter().map(|name| format!("{name}: u32")).collect::<Vec<_>>().join(", ")
}

/// The names of what a call is linear in, with an underscore where nothing that was measured depends on it.
fn used_names(call: &Measured) -> Vec<String> {
    let measured = [&call.time, &call.reads, &call.writes, &call.proof];
    mark_unused(&call.parameters, &measured.map(|analysis| &analysis.slopes[..]))
}

fn mark_unused(names: &[String], slopes: &[&[u128]]) -> Vec<String> {
    let is_used = |i: usize| slopes.iter().any(|slopes| slopes.get(i).is_some_and(|slope| *slope > 0));
    let mark = |(i, name): (usize, &String)| if is_used(i) { name.clone() } else { format!("_{name}") };
    names.iter().enumerate().map(mark).collect()
}

/// The weight of a call: what it takes always, and for each of what it is linear in.
fn sum(call: &Measured) -> Outcome<String> {
    let Measured { parameters, time, reads, writes, proof, .. } = call;
    let mut code = String::new();
    writeln!(code, "        Weight::from_parts({}, {})", digits(time.base), digits(proof.base))?;
    let of = |analysis: &Analysis, i: usize| analysis.slopes.get(i).copied().unwrap_or(0);
    for (i, name) in parameters.iter().enumerate() {
        let (time, proof) = (of(time, i), of(proof, i));
        if time > 0 || proof > 0 {
            let each = format!("Weight::from_parts({}, {})", digits(time), digits(proof));
            writeln!(code, "            .saturating_add({each}.saturating_mul({name}.into()))")?;
        }
    }
    if reads.base > 0 || writes.base > 0 {
        let always = format!("ParityDbWeight::get().reads_writes({}, {})", reads.base, writes.base);
        writeln!(code, "            .saturating_add({always})")?;
    }
    for (i, name) in parameters.iter().enumerate() {
        let (reads, writes) = (of(reads, i), of(writes, i));
        if reads > 0 || writes > 0 {
            let each = format!("ParityDbWeight::get().reads_writes({reads}, {writes})");
            writeln!(code, "            .saturating_add({each}.saturating_mul({name}.into()))")?;
        }
    }
    Ok(code)
}

/// With a gap after each three.
fn digits(number: u128) -> String {
    let plain = number.to_string();
    let mut grouped = String::new();
    for (i, digit) in plain.chars().enumerate() {
        if i > 0 && (plain.len() - i) % 3 == 0 {
            grouped.push('_');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_groups_of_three() {
        assert_eq!([0, 12, 123, 1_234, 1_234_567].map(digits), ["0", "12", "123", "1_234", "1_234_567"]);
    }

    #[test]
    fn the_functions_of_the_trait_are_found_and_no_others() {
        let code = "pub trait WeightInfo {\n    /// Of `a`.\n    fn a() -> Weight;\n    fn b(n: u32) -> Weight;\n}\n\n\
                    fn c() {}\n";
        assert_eq!(functions(code).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn what_a_weight_does_not_depend_on_is_marked_as_unused() {
        let names = ["b", "n"].map(String::from);
        let slopes: [&[u128]; 3] = [&[0, 0], &[0, 2], &[]];
        assert_eq!(arguments(&mark_unused(&names, &slopes)), "_b: u32, n: u32");
        assert_eq!(arguments(&names), "b: u32, n: u32");
    }

    #[test]
    fn worst_cases_are_taken_over_from_the_benchmarks() {
        let code = "    /// Worst case: all\n    /// at once.\n    #[benchmark]\n    fn a(n: Linear<0, 4>) {\n\n    fn b(";
        assert_eq!(documentation(code, "a"), " Worst case: all at once.");
        assert_eq!(documentation(code, "b"), "");
        assert_eq!(documentation(code, "c"), "");
    }
}
