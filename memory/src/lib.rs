// SPDX-License-Identifier: Apache-2.0

//! Gives memory back to the system. The compiler of the runtime frees what it took, and so do each full block and a
//! hundred starts of machines, but glibc's allocator keeps it: nine tenths of what a node at rest has on its heaps.

use std::time::Duration;
use tokio::time::sleep;

/// Where there is little to give back, looking takes a millisecond.
const EVERY: Duration = Duration::from_secs(10);

/// Gives back what is free, again and again.
pub async fn give_back() {
    loop {
        sleep(EVERY).await;
        trim();
    }
}

#[allow(unsafe_code)]
fn trim() {
    // SAFETY: any thread may call it at any time; it touches free memory only.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn anonymous_kib() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn freed_memory_goes_back() {
        let mut pieces: Vec<Vec<u8>> = (0..262_144).map(|_| vec![1; 1_024]).collect();
        // Behind it the allocator gives back nothing by itself.
        let last = pieces.pop();
        drop(pieces);
        let before = anonymous_kib();
        trim();
        let after = anonymous_kib();
        assert!(before > after + 128 * 1_024, "{before} KiB, then {after}");
        drop(last);
    }
}
