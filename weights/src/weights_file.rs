// SPDX-License-Identifier: Apache-2.0
//! The file `weights.rs` of a pallet.

use crate::{Measured, Options, Outcome, text};
use frame_benchmarking::{Analysis, BenchmarkMetadata};
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

pub struct WeightsFile {
    path: PathBuf,
    old: String,
}

impl WeightsFile {
    pub fn open(workspace: &Path, pallet: &str) -> Outcome<Self> {
        let path = workspace.join("pallets").join(pallet).join("src/weights.rs");
        let old = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path, old })
    }

    /// Fails if the pallet's trait has a function that no benchmark measures.
    pub fn ensure_complete(&self, benchmarks: &[BenchmarkMetadata]) -> Outcome<()> {
        let names: Vec<_> = benchmarks.iter().map(|benchmark| text(&benchmark.name)).collect();
        let missing: Vec<_> = functions(&self.old).filter(|name| !names.iter().any(|n| n == name)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(format!("{}: no benchmark is named {}", self.path.display(), missing.join(", ")).into())
    }

    pub fn write(&self, measured: &[Measured], options: &Options) -> Outcome<()> {
        fs::write(&self.path, weights(measured, options)?)?;
        eprintln!("wrote {}", self.path.display());
        Ok(())
    }
}

fn weights(measured: &[Measured], options: &Options) -> Outcome<String> {
    let mut code = header(options);
    code += "/// Weight functions of the pallet.\npub trait WeightInfo {\n";
    for call in measured {
        writeln!(code, "    fn {}({}) -> Weight;", call.name, arguments(&call.parameters))?;
    }
    code += "}\n\nimpl WeightInfo for () {\n";
    for (i, call) in measured.iter().enumerate() {
        let blank_line = if i == 0 { "" } else { "\n" };
        let (name, arguments) = (&call.name, arguments(&used_names(call)));
        writeln!(code, "{blank_line}    fn {name}({arguments}) -> Weight {{\n{}    }}", sum(call)?)?;
    }
    code += "}\n";
    Ok(code)
}

fn header(options: &Options) -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    format!(
        "// SPDX-License-Identifier: Apache-2.0\n\
         //! Weights of the calls, written by `make weights` from the benchmarks in `benchmarking.rs`.\n\
         //!\n\
         //! Measured with the wasm runtime in {} steps of {} repeats, on {}.\n\
         //! Reads and writes have the SDK's weights for ParityDb.\n\n\
         #![allow(missing_docs)]\n\n\
         use frame_support::weights::{{Weight, constants::ParityDbWeight}};\n\n",
        options.steps,
        options.repeat,
        model.trim_start_matches([':', ' ', '\t']),
    )
}

/// Names of the functions in the trait of a `weights.rs`.
fn functions(code: &str) -> impl Iterator<Item = &str> {
    let lines = code.lines().skip_while(|line| !line.contains("trait WeightInfo"));
    let lines = lines.take_while(|line| !line.starts_with('}'));
    lines.filter_map(|line| line.trim().strip_prefix("fn ")?.split('(').next())
}

fn arguments(names: &[String]) -> String {
    names.iter().map(|name| format!("{name}: u32")).collect::<Vec<_>>().join(", ")
}

/// Parameters of a call, with an underscore before those on which no measurement depends.
fn used_names(call: &Measured) -> Vec<String> {
    let measured = [&call.time, &call.reads, &call.writes, &call.proof];
    mark_unused(&call.parameters, &measured.map(|analysis| &analysis.slopes[..]))
}

fn mark_unused(names: &[String], slopes: &[&[u128]]) -> Vec<String> {
    let is_used = |i: usize| slopes.iter().any(|slopes| slopes.get(i).is_some_and(|slope| *slope > 0));
    let mark = |(i, name): (usize, &String)| if is_used(i) { name.clone() } else { format!("_{name}") };
    names.iter().enumerate().map(mark).collect()
}

/// Expression for the weight of a call: its base, and a slope for each parameter.
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

/// Digits in groups of three.
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
    fn only_functions_of_the_trait_are_found() {
        let code = "pub trait WeightInfo {\n    /// Of `a`.\n    fn a() -> Weight;\n    fn b(n: u32) -> Weight;\n}\n\n\
                    fn c() {}\n";
        assert_eq!(functions(code).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn parameters_without_a_slope_are_marked_as_unused() {
        let names = ["b", "n"].map(String::from);
        let slopes: [&[u128]; 3] = [&[0, 0], &[0, 2], &[]];
        assert_eq!(arguments(&mark_unused(&names, &slopes)), "_b: u32, n: u32");
        assert_eq!(arguments(&names), "b: u32, n: u32");
    }
}
