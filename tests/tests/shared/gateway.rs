// SPDX-License-Identifier: Apache-2.0

//! A page behind a web gateway.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::{fs, process::Command, time::Duration};
use tfgrid_tests::{DOMAIN, GATEWAY, GREETING, Grid, shop_deployment, wait_for};

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

/// A file with the deployment of a published page.
fn deployment(grid: &Grid) -> Result<String> {
    let file = grid.run().folder().join("shop.json");
    fs::write(&file, shop_deployment(&grid.image).to_string())?;
    Ok(file.display().to_string())
}

pub fn a_page_is_published_under_a_name(grid: &mut Grid) -> Result<()> {
    let (user, node, file) = (&grid.user, grid.node.to_string(), deployment(grid)?);
    grid.farmer.makes_a_gateway(grid.node)?;
    let count = || anyhow::Ok(user.threebot(&["ps"])?["contracts"].as_array().map(Vec::len));
    let open = count()?;
    let not_held = |whose: &str| -> Result<()> {
        for command in ["plan", "deploy"] {
            let refused = user.threebot(&[command, "-f", &file, "--node", &node]).err();
            let refused = format!("{:#}", refused.context("a name of somebody else's was taken")?);
            ensure!(refused.contains("/workloads/3/data/name: the name"), "{refused}");
            ensure!(refused.contains(whose) && refused.contains("threebot name reserve"), "{refused}");
        }
        ensure!(count()? == open, "something was submitted");
        Ok(())
    };
    not_held("is free, and not yours yet")?;
    grid.farmer.threebot(&["deposit", "1"])?;
    grid.farmer.threebot(&["name", "reserve", "shop"])?;
    not_held("belongs to twin")?;
    grid.farmer.threebot(&["name", "release", "shop"])?;

    let listed = user.threebot(&["gateway", "list"])?;
    ensure!(listed["nodes"][0]["domain"] == DOMAIN, "{listed}");
    let name = user.threebot(&["name", "reserve", "shop"])?["contract"].clone();
    // Its environment would seal it, and releasing the name couldn't tell of its site.
    let deployed = user.threebot(&["deploy", "-f", &file, "--node", &node, "--plain"])?;
    ensure!(deployed["sites"]["shop"] == format!("https://shop.{DOMAIN}"), "{deployed}");
    let warned = deployed["plan"]["notes"].as_array().context("a plan has no notes")?;
    let slow = |note: &Value| note.as_str().is_some_and(|note| note.contains("no traffic is bought"));
    ensure!(warned.iter().any(slow), "{deployed}");
    let contract = deployed["contract"].to_string();
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

    let released = user.threebot(&["name", "release", "shop"])?;
    ensure!(released["contract"] == name && released["state"] == "closed", "{released}");
    ensure!(released["sites"] == json!([{ "contract": deployed["contract"], "site": "shop" }]), "{released}");
    wait_for("the name to be given up", LIMIT, || Ok(page(grid).is_err().then_some(())))?;
    user.threebot(&["cancel", &contract])?;
    Ok(())
}
