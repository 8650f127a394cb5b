// SPDX-License-Identifier: Apache-2.0
//! The file with the weights of a pallet.

use crate::{Measured, Options, Outcome, machine, text};
use frame_benchmarking::{Analysis, BenchmarkMetadata};
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

pub struct WeightsFile {
    path: PathBuf,
    old: String,
    /// Begins the implementation of the pallet's trait.
    implementation: String,
    /// The trait is in the file, too.
    has_trait: bool,
}

impl WeightsFile {
    /// Of a pallet of ours, or of the SDK's, whose weights are the runtime's.
    pub fn open(workspace: &Path, pallet: &str) -> Outcome<Self> {
        let own = pallet.strip_prefix("pallet_grid_");
        let (path, implementation) = match own {
            Some(name) => (format!("pallets/{name}/src/weights.rs"), "impl WeightInfo for () {\n".into()),
            None => {
                let path = format!("runtime/src/weights/{}.rs", short_name(pallet));
                (path, format!("impl {pallet}::WeightInfo for Weights {{\n"))
            }
        };
        let path = workspace.join(path);
        let old = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path, old, implementation, has_trait: own.is_some() })
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
        fs::write(&self.path, self.code(measured, options)?)?;
        eprintln!("wrote {}", self.path.display());
        Ok(())
    }

    fn code(&self, measured: &[Measured], options: &Options) -> Outcome<String> {
        let mut code = header(options);
        if self.has_trait {
            code += "/// Weight functions of the pallet.\npub trait WeightInfo {\n";
            for call in measured {
                writeln!(code, "    fn {}({}) -> Weight;", call.name, arguments(&call.parameters))?;
            }
            code += "}\n\n";
        } else {
            code += "/// Weights of the pallet's calls.\npub struct Weights;\n\n";
        }
        code += &self.implementation;
        code += &functions_of(measured)?;
        Ok(code)
    }
}

/// How a pallet is named on the command line, and its file.
pub fn short_name(pallet: &str) -> &str {
    pallet.trim_start_matches("pallet_").trim_start_matches("grid_")
}

/// The functions, and the end of their implementation.
fn functions_of(measured: &[Measured]) -> Outcome<String> {
    let mut code = String::new();
    for (i, call) in measured.iter().enumerate() {
        let blank_line = if i == 0 { "" } else { "\n" };
        let (name, arguments) = (&call.name, arguments(&used_names(call)));
        writeln!(code, "{blank_line}    fn {name}({arguments}) -> Weight {{\n{}    }}", sum(call)?)?;
    }
    code += "}\n";
    Ok(code)
}

fn header(options: &Options) -> String {
    format!(
        "// SPDX-License-Identifier: Apache-2.0\n\
         //! Weights of the calls, written by `make weights` from the benchmarks in `benchmarking.rs`.\n\
         //!\n\
         //! Measured with the wasm runtime in {} steps of {} repeats, on {}.\n\
         //! Reads and writes have the weights in `primitives/src/weights.rs`.\n\n\
         #![allow(missing_docs)]\n\n\
         use frame_support::weights::Weight;\n\
         use tfgrid_primitives::weights::DbWeight;\n\n",
        options.steps,
        options.repeat,
        machine::description(),
    )
}

/// Names of the functions in the first trait or implementation of a file.
fn functions(code: &str) -> impl Iterator<Item = &str> {
    let lines = code.lines().skip_while(|line| !line.contains("WeightInfo"));
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
        let always = format!("DbWeight::get().reads_writes({}, {})", reads.base, writes.base);
        writeln!(code, "            .saturating_add({always})")?;
    }
    for (i, name) in parameters.iter().enumerate() {
        let (reads, writes) = (of(reads, i), of(writes, i));
        if reads > 0 || writes > 0 {
            let each = format!("DbWeight::get().reads_writes({reads}, {writes})");
            writeln!(code, "            .saturating_add({each}.saturating_mul({name}.into()))")?;
        }
    }
    Ok(code)
}

/// Digits in groups of three.
pub fn digits(number: u128) -> String {
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
    fn only_functions_of_the_first_trait_are_found() {
        let code = "pub trait WeightInfo {\n    /// Of `a`.\n    fn a() -> Weight;\n    fn b(n: u32) -> Weight;\n}\n\n\
                    fn c() {}\n";
        assert_eq!(functions(code).collect::<Vec<_>>(), ["a", "b"]);
        let code = "pub struct Weights;\n\nimpl pallet_x::WeightInfo for Weights {\n    fn a() -> Weight {\n    }\n}\n";
        assert_eq!(functions(code).collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn pallets_have_short_names() {
        assert_eq!(["pallet_grid_twins", "pallet_balances"].map(short_name), ["twins", "balances"]);
    }

    #[test]
    fn parameters_without_a_slope_are_marked_as_unused() {
        let names = ["b", "n"].map(String::from);
        let slopes: [&[u128]; 3] = [&[0, 0], &[0, 2], &[]];
        assert_eq!(arguments(&mark_unused(&names, &slopes)), "_b: u32, n: u32");
        assert_eq!(arguments(&names), "b: u32, n: u32");
    }
}
