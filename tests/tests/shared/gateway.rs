// SPDX-License-Identifier: Apache-2.0

//! A page behind a web gateway.

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::{fs, process::Command, time::Duration};
use tfgrid_tests::{GATEWAY, GREETING, Grid, page_deployment, wait_for};

const DOMAIN: &str = "gw1.example.org";
const LIMIT: Duration = Duration::from_secs(60);

/// The page at `https://shop.gw1.example.org`, with the certificate of the node's own authority.
fn page(grid: &Grid) -> Result<String> {
    let authority = grid.agent.data().join("gateway/authority.crt");
    let host = format!("shop.{DOMAIN}");
    let output = Command::new("curl")
        .args(["-sSf", "-m", "5", "--resolve", &format!("{host}:443:{GATEWAY}"), "--cacert"])
        .arg(authority)
        .arg(format!("https://{host}/"))
        .output()
        .context("can't run curl")?;
    if !output.status.success() {
        bail!("no page: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A file with the deployment of a page in a private network, published under a name.
fn deployment(grid: &Grid) -> Result<String> {
    let mut body = page_deployment(&grid.image, 1);
    body["workloads"][1]["data"]["interfaces"] = json!([{ "network": "backend", "ip": "10.20.1.5" }]);
    let more = [
        json!({ "name": "backend", "type": "network",
                "data": { "subnet": "10.20.0.0/16", "range": "10.20.1.0/24" } }),
        json!({ "name": "shop", "type": "gateway-name-proxy",
                "data": { "name": "shop", "network": "backend", "backends": ["http://10.20.1.5:80"] } }),
    ];
    body["workloads"].as_array_mut().context("no workloads")?.extend(more);
    let file = grid.run().folder().join("shop.json");
    fs::write(&file, body.to_string())?;
    Ok(file.display().to_string())
}

pub fn a_page_is_published_under_a_name(grid: &mut Grid) -> Result<()> {
    let (user, node, file) = (&grid.user, grid.node.to_string(), deployment(grid)?);
    let config = ["--ipv4", "185.69.166.10/24", "--gateway", "185.69.166.1", "--domain", DOMAIN];
    grid.farmer.threebot(&[&["node", "public-config", &node][..], &config].concat())?;
    let refused = user.threebot(&["deploy", "-f", &file, "--node", &node]).err();
    let refused = format!("{:#}", refused.context("a name that nobody holds was published")?);
    ensure!(refused.contains("/workloads/3/data/name"), "{refused}");

    let name = user.threebot(&["name", "shop"])?["contract"].to_string();
    let contract = user.threebot(&["deploy", "-f", &file, "--node", &node])?["contract"].to_string();
    let mut last = None;
    let published = wait_for("the page to be published", LIMIT, || {
        let page = page(grid);
        let is_it = page.as_ref().is_ok_and(|page| page.starts_with(GREETING));
        last = Some(page);
        Ok(is_it.then_some(()))
    });
    published.with_context(|| format!("the last answer: {last:?}"))?;
    // The node says that it runs before its report is on the chain.
    wait_for("the site's address on the chain", LIMIT, || {
        let url = &user.threebot(&["show", &contract])?["result"]["shop"]["url"];
        Ok((*url == format!("https://shop.{DOMAIN}")).then_some(()))
    })?;

    user.threebot(&["cancel", &name])?;
    wait_for("the name to be given up", LIMIT, || Ok(page(grid).is_err().then_some(())))?;
    user.threebot(&["cancel", &contract])?;
    Ok(())
}
