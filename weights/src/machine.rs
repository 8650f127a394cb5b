// SPDX-License-Identifier: Apache-2.0
//! Description of this machine for files of weights.

use std::{fs, thread};

/// Its processor, cores and memory.
pub fn description() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cores = thread::available_parallelism().map_or(0, usize::from);
    describe(&read("/proc/cpuinfo"), cores, &read("/proc/meminfo"))
}

fn describe(cpus: &str, cores: usize, memory: &str) -> String {
    let field = |text: &str, name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        value.map_or("unknown".into(), |value| value.trim_matches([':', ' ', '\t']).to_owned())
    };
    let kib = field(memory, "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0.0);
    format!("{}, {cores} cores, {:.0} GiB", field(cpus, "model name"), kib / 1024.0 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_processor_cores_and_memory() {
        let (cpus, memory) = ("processor\t: 0\nmodel name\t: AMD EPYC\n", "MemTotal:       24689272 kB\n");
        assert_eq!(describe(cpus, 2, memory), "AMD EPYC, 2 cores, 24 GiB");
    }
}
