// SPDX-License-Identifier: Apache-2.0

//! Rows of a contract's volume and a file of its machine, kept in a folder of their owner, and put into a new
//! contract.

use crate::{
    peer::{shown, until_state, with_site},
    sealed::write_identity,
};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt, path::Path};
use tfgrid_tests::{Grid, Person, text};

const ROWS: &str = "1|first row\n2|second row\n";
const LATER_ROWS: &str = "1|first row\n";
/// A key of nobody's.
const OTHER_IDENTITY: &str = "AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SWRYDWG";

/// Where an owner keeps snapshots, and the key that opens them.
struct Kept {
    place: String,
    identity: String,
}

impl Kept {
    /// Runs `threebot` with the place and the key.
    fn threebot(&self, person: &Person, args: &[&str]) -> Result<Value> {
        let more = ["--place", &self.place, "--identity", &self.identity];
        person.threebot(&[args, &more].concat())
    }

    /// The reason for which that is refused.
    fn refused(&self, person: &Person, args: &[&str]) -> Result<String> {
        let refused = self.threebot(person, args).err().with_context(|| format!("{args:?} isn't refused"))?;
        Ok(format!("{refused:#}"))
    }
}

fn write_rows(user: &Person, contract: &str, file: &Path, rows: &str) -> Result<()> {
    fs::write(file, rows)?;
    user.threebot(&["cp", contract, &file.display().to_string(), "web:/data/rows"]).map(drop)
}

fn rows(user: &Person, contract: &str, file: &Path) -> Result<String> {
    user.threebot(&["cp", contract, "web:/data/rows", &file.display().to_string()])?;
    Ok(fs::read_to_string(file)?)
}

pub fn a_snapshot_is_restored_in_a_new_contract(grid: &mut Grid) -> Result<()> {
    let folder = grid.run().folder();
    let identity = folder.join("snapshots.key");
    write_identity(&identity)?;
    let identity = identity.display().to_string();
    let kept = Kept { place: folder.join("place").display().to_string(), identity };
    with_site(grid, |grid, first| {
        with_site(grid, |grid, second| restores(grid, &kept, &first.contract, &second.contract))
    })
}

fn restores(grid: &Grid, kept: &Kept, first: &str, second: &str) -> Result<()> {
    let (user, file) = (&grid.user, grid.run().folder().join("rows"));
    write_rows(user, first, &file, ROWS)?;
    let around =
        ["--machine", "web", "--before", "echo before >> /data/log", "--after", "echo after >> /data/log"];
    let taken = kept.threebot(user, &[&["snapshot", "take", first][..], &around].concat())?;
    let name = text(&taken["snapshots"][0]["snapshot"])?.to_owned();
    write_rows(user, first, &file, LATER_ROWS)?;
    let later = kept.threebot(user, &["snapshot", "take", first, "data"])?;
    ensure!(later["snapshots"][0]["since"] == name.as_str(), "{later}");
    let partly = kept.refused(user, &["snapshot", "take", first, "nothing", "data"])?;
    ensure!(partly.contains("no volume or machine nothing"), "{partly}");
    let listed = user.threebot(&["snapshot", "list", first, "--place", &kept.place])?;
    ensure!(listed["snapshots"].as_array().map(Vec::len) == Some(3), "{listed}");
    let verified = kept.threebot(user, &["snapshot", "verify", &name])?;
    ensure!(verified["items"].as_u64() > Some(1), "{verified}");

    write_rows(user, second, &file, "of the new contract\n")?;
    refuses(grid, kept, second, &name)?;
    ensure!(rows(user, second, &file)? == "of the new contract\n", "a refused restore has changed the rows");
    let restored = kept.threebot(user, &["restore", second, &name])?;
    ensure!(restored["started"][0] == "web", "{restored}");
    let at_once = user.threebot(&["status", second])?;
    ensure!(at_once["machines"]["web"]["state"] == "running", "{at_once}");
    ensure!(rows(user, second, &file)? == ROWS, "other rows are restored");
    user.threebot(&["cp", second, "web:/data/log", &file.display().to_string()])?;
    ensure!(fs::read_to_string(&file)? == "before\n", "the instant isn't between the commands");
    ensure!(shown(user, &["events", second])?.contains("its owner restores it"), "there is no event");

    a_root_is_restored(user, kept, first, second, &file).context("a root")?;
    kept.threebot(user, &["snapshot", "remove", &name])?;
    let again = kept.refused(user, &["restore", second, &name])?;
    ensure!(again.contains(&format!("has no snapshot {name}")), "{again}");
    let later = text(&later["snapshots"][0]["snapshot"])?;
    kept.threebot(user, &["snapshot", "verify", later]).map(drop)
}

/// A file that is in no volume.
fn a_root_is_restored(user: &Person, kept: &Kept, first: &str, second: &str, file: &Path) -> Result<()> {
    fs::write(file, "in the root\n")?;
    let shown = file.display().to_string();
    user.threebot(&["cp", first, &shown, "web:/note"])?;
    let taken = kept.threebot(user, &["snapshot", "take", first, "--roots"])?;
    let names = taken["snapshots"].as_array().context("nothing was taken")?;
    let names = names.iter().map(|it| text(&it["snapshot"])).collect::<Result<Vec<_>>>()?;
    let of = |workload: &str| {
        let begins = format!("{first}/{workload}/");
        names.iter().copied().find(|name| name.starts_with(&begins))
    };
    let (root, data) = (of("web").context("the root wasn't taken")?, of("data"));
    ensure!(data.is_some(), "{names:?}");
    let verified = kept.threebot(user, &["snapshot", "verify", root])?;
    ensure!(verified["items"].as_u64() > Some(1), "{verified}");
    kept.threebot(user, &["restore", second, root])?;
    until_state(user, second, "running")?;
    fs::write(file, "")?;
    user.threebot(&["cp", second, "web:/note", &shown])?;
    ensure!(fs::read_to_string(file)? == "in the root\n", "another root is restored");
    ensure!(rows(user, second, file)? == ROWS, "the volume isn't what it was");
    Ok(())
}

/// Strangers, other keys and damage are refused with the reason.
fn refuses(grid: &Grid, kept: &Kept, contract: &str, name: &str) -> Result<()> {
    let user = &grid.user;
    let stranger = kept.refused(&grid.farmer, &["restore", contract, name])?;
    ensure!(stranger.contains("device"), "{stranger}");

    let other = grid.run().folder().join("other.key");
    fs::write(&other, OTHER_IDENTITY)?;
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600))?;
    let other = Kept { place: kept.place.clone(), identity: other.display().to_string() };
    let foreign = other.refused(user, &["restore", contract, name])?;
    ensure!(foreign.contains("isn't sealed to your key"), "{foreign}");

    let pack = Path::new(&kept.place).join(name).join("0");
    let whole = fs::read(&pack)?;
    let mut damaged = whole.clone();
    *damaged.last_mut().context("the pack is empty")? ^= 1;
    fs::write(&pack, damaged)?;
    let reason = kept.refused(user, &["restore", contract, name])?;
    ensure!(reason.contains("it is damaged") && reason.contains("stays as it was"), "{reason}");
    until_state(user, contract, "running")?;
    Ok(fs::write(&pack, whole)?)
}
