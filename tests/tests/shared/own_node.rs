// SPDX-License-Identifier: Apache-2.0

//! A farmer who looks at its node from afar.

use crate::peer::shown;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fs;
use tfgrid_tests::{Grid, MIB};

/// Name of a machine, which only its owner and its node know.
const NAME: &str = "quiet-otter";
/// Value in its environment, which only they know, too.
const SECRET: &str = "plain-heron-9c41e7d2";

/// A machine whose deployment is sealed, as it has an environment.
fn sealed(image: &str) -> Value {
    let says = format!("echo {SECRET}; exec /bin/busybox sleep 1000");
    let machine = json!({
        "image": image, "cpu": 0.1, "memory": 32 * MIB, "rootfs": 64 * MIB,
        "entrypoint": ["/bin/busybox", "sh", "-c", says],
        "env": { "PATH": "/bin", "DB_PASSWORD": SECRET },
    });
    json!({ "version": 1, "workloads": [{ "name": NAME, "type": "zmachine", "data": machine }] })
}

pub fn a_farmer_sees_its_node_and_nothing_of_tenants(grid: &mut Grid) -> Result<()> {
    let (user, farmer, node) = (&grid.user, &grid.farmer, grid.node.to_string());
    let file = grid.run().folder().join("hidden.json");
    let deploy = |image: &str| {
        fs::write(&file, sealed(image).to_string())?;
        user.threebot(&["deploy", "-f", &file.display().to_string(), "--node", &node, "--no-pin"])
    };
    let deployed = deploy(&grid.image)?;
    ensure!(deployed["body"].as_str().is_some_and(|body| body.starts_with("sealed, ")), "{deployed}");
    let contract = deployed["contract"].to_string();
    let missing = grid.registry.missing_image();
    let refused = deploy(&missing).err().context("an image that isn't there runs")?;
    ensure!(format!("{refused:#}").contains("ImageNotFound"), "{refused:#}");
    ensure!(grid.agent.log().contains(NAME), "the node's log has nothing to be withheld");

    let log = shown(farmer, &["node", "logs", &node])?;
    for line in ["this node", "deployed", "rejected"] {
        ensure!(log.contains(line), "the farmer doesn't read {line:?} in {log}");
    }
    ensure!(log.contains(&format!("contract={contract}")), "{log}");
    ensure!(shown(farmer, &["node", "logs", &node, "--tail", "1"])?.lines().count() == 1);
    let status = farmer.threebot(&["node", "status", &node])?;
    ensure!(status["node"] == grid.node && status["uptime_s"].is_u64(), "{status}");
    for name in ["agent", "container engine", "firewall", "self-test", "peer endpoint", "chain"] {
        let findings = status["findings"].as_array().context("no findings")?;
        let is_ok = |finding: &Value| finding["name"] == name && finding["state"] == "ok";
        ensure!(findings.iter().any(is_ok), "{name}: {status}");
    }
    let registry = grid.image.split('/').next().context("an image without a registry")?;
    for hidden in [NAME, SECRET, registry] {
        ensure!(!log.contains(hidden) && !status.to_string().contains(hidden), "{hidden}: {log}{status}");
    }
    let refused = user.threebot(&["node", "status", &node]).err().context("a tenant sees the node")?;
    ensure!(format!("{refused:#}").contains("this device isn't one of twin"), "{refused:#}");
    user.threebot(&["cancel", &contract]).map(drop)
}
