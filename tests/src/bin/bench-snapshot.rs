// SPDX-License-Identifier: Apache-2.0

//! Measures snapshots of a volume on a grid of its own, beside a plain copy of what is in it.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};
use tfgrid_tests::{Grid, MIB, Options, Steps, asks_for_help, on_a_grid, text, wait_for};

const HELP: &str = "\
Measures snapshots of a volume on a grid of its own, beside a plain copy of what
is in it.

Usage: bench-snapshot [MIB]

  MIB  how much the volume holds, 1024 if it isn't given";

/// Bytes of a page of a database.
const PAGE_BYTES: u64 = 8 * 1024;
/// Of so many pages, one changes.
const ONE_IN: u64 = 100;
const START_LIMIT: Duration = Duration::from_secs(60);
const IDENTITY: &str = "AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SWRYDWG";

fn main() -> Result<()> {
    if asks_for_help(HELP) {
        return Ok(());
    }
    let mib = match &env::args().skip(1).collect::<Vec<_>>()[..] {
        [] => 1_024,
        [mib] => mib.parse().context(HELP)?,
        _ => bail!(HELP),
    };
    let options = Options { ignores_others: true, ..Options::default() };
    on_a_grid("bench-snapshot", options, &Steps::silent(), |grid| measure(grid, mib))
}

fn measure(grid: &Grid, mib: u64) -> Result<()> {
    let identity = grid.run().folder().join("bench.key");
    fs::write(&identity, IDENTITY)?;
    fs::set_permissions(&identity, fs::Permissions::from_mode(0o600))?;
    let identity = identity.display().to_string();
    let place = grid.run().folder().join("place").display().to_string();
    let at = ["--place", &place, "--identity", &identity];
    let [first, second, third] = [deploy(grid, mib)?, deploy(grid, mib)?, deploy(grid, mib)?];
    let user = &grid.user;

    let fill = format!("dd if=/dev/urandom of=/data/db bs=1M count={mib}");
    user_runs(grid, &first, &fill)?;
    let begun = Instant::now();
    let whole = user.threebot(&[&["snapshot", "take", &first][..], &at].concat())?;
    told("all of it", mib, begun, &whole["snapshots"][0])?;

    let pages = mib * MIB / PAGE_BYTES / ONE_IN;
    // One after the other, each at another place.
    let change = format!(
        "n=0; while [ $n -lt {pages} ]; do dd if=/dev/urandom of=/data/db bs={PAGE_BYTES} count=1 conv=notrunc \
         seek=$((n * {ONE_IN})) 2>/dev/null; n=$((n + 1)); done"
    );
    user_runs(grid, &first, &change)?;
    let begun = Instant::now();
    let changed = user.threebot(&[&["snapshot", "take", &first][..], &at].concat())?;
    told("1 % of its pages changed", mib, begun, &changed["snapshots"][0])?;

    let name = text(&changed["snapshots"][0]["snapshot"])?;
    let begun = Instant::now();
    user.threebot(&[&["restore", &second, name, "--no-wait"][..], &at].concat())?;
    let restored = rate(mib, begun);
    wait_for("the machine to run again", START_LIMIT, || Ok(user_runs(grid, &second, "true").ok()))?;
    let file = grid.run().folder().join("db");
    let file = file.display().to_string();
    user.threebot(&["cp", &second, "m:/data/db", &file])?;
    let begun = Instant::now();
    user.threebot(&["cp", &third, &file, "m:/data/db"])?;
    let copied = rate(mib, begun);
    println!(
        "{mib} MiB: restore {restored:.0} MiB/s, cp {copied:.0} MiB/s: {:.0} %",
        100.0 * restored / copied
    );
    Ok(())
}

/// A machine that does nothing, with a volume that has room for so much.
fn deploy(grid: &Grid, mib: u64) -> Result<String> {
    let machine = json!({
        "image": grid.image, "cpu": 2, "memory": 256 * MIB, "rootfs": 64 * MIB,
        "mounts": [{ "name": "data", "path": "/data" }],
        "entrypoint": ["/bin/sh", "-c", "exec busybox sleep 100000"], "stop_seconds": 0,
    });
    let body = json!({ "version": 1, "workloads": [
        { "name": "data", "type": "zmount", "data": { "size": (mib + mib / 4 + 64) * MIB } },
        { "name": "m", "type": "zmachine", "data": machine },
    ]});
    let file = grid.run().folder().join("bench.json");
    fs::write(&file, body.to_string())?;
    let file = file.display().to_string();
    let deployed = grid.user.threebot(&["deploy", "-f", &file, "--node", &grid.node.to_string()])?;
    Ok(deployed["contract"].to_string())
}

fn user_runs(grid: &Grid, contract: &str, script: &str) -> Result<()> {
    let mut command = grid.user.command()?;
    let output = command.args(["exec", contract, "m", "--", "/bin/busybox", "sh", "-c", script]).output()?;
    ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn told(what: &str, mib: u64, begun: Instant, taken: &Value) -> Result<()> {
    let moved = taken["moved_bytes"].as_u64().context("nothing says how much moved")?;
    println!(
        "snapshot of {mib} MiB, {what}: {:.1} s, {:.1} MiB moved",
        begun.elapsed().as_secs_f64(),
        moved as f64 / MIB as f64
    );
    Ok(())
}

fn rate(mib: u64, begun: Instant) -> f64 {
    mib as f64 / begun.elapsed().as_secs_f64()
}
