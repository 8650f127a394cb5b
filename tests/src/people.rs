// SPDX-License-Identifier: Apache-2.0

use crate::{GREETING, binary, http, repository, wait_for};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, SystemTime},
};
use tfgrid_client::peer::Device;

const PAGE_LIMIT: Duration = Duration::from_secs(10);

/// A person with a key, who uses the grid with the public tools.
#[derive(Clone, Debug)]
pub struct Person {
    key: String,
    chain: String,
    device: PathBuf,
}

impl Person {
    /// The person with a development key such as `//Alice`, whose device's key is in a file of `folder`.
    pub fn new(key: &str, chain: &str, folder: &Path) -> Self {
        let device = folder.join(format!("device{}", key.replace('/', "-")));
        Self { key: key.into(), chain: chain.into(), device }
    }

    /// The same person, who reaches the chain at another address.
    pub fn at(&self, chain: &str) -> Self {
        Self { chain: chain.into(), ..self.clone() }
    }

    /// File with the key of the device.
    pub fn device(&self) -> &Path {
        &self.device
    }

    /// The key of the device.
    pub fn device_key(&self) -> Result<Device> {
        let text = fs::read_to_string(&self.device);
        let text = text.with_context(|| format!("can't read {}", self.device.display()))?;
        let seed = hex::decode(text.trim())?.try_into().ok().context("a seed has 32 bytes")?;
        Ok(Device::from_seed(&seed))
    }

    /// `threebot` with this person's key and device.
    pub fn command(&self) -> Result<Command> {
        let mut command = Command::new(binary("threebot")?);
        command.args(["--chain", &self.chain, "--key", &self.key]).env("TFGRID_DEVICE", &self.device);
        Ok(command)
    }

    /// Runs `threebot` with this person's key; returns its JSON output.
    pub fn threebot(&self, args: &[&str]) -> Result<Value> {
        answer(self.command()?.arg("--json").args(args))
    }

    /// Runs a script of `tests/js` with this person's key; returns its JSON output.
    pub fn script(&self, name: &str, args: &[&str]) -> Result<Value> {
        let mut command = Command::new("node");
        command
            .arg(repository().join("tests/js").join(name))
            .args(["--url", &self.chain, "--key", &self.key, "--json"])
            .args(args);
        answer(&mut command)
    }

    /// Runs an example of another language with this person's key and this image; returns its JSON output.
    pub fn example(&self, program: &Path, script: &str, image: &str) -> Result<Value> {
        let mut command = Command::new(program);
        command.arg(repository().join("examples").join(script));
        answer(command.args(["--chain", &self.chain, "--key", &self.key, "--image", image]))
    }

    /// Submits the scripts' web server and waits until its node has deployed it.
    pub fn deploys_a_site(&self, node: u64, image: &str) -> Result<Site> {
        let args = ["--node", &node.to_string(), "--image", image, "--greeting", GREETING];
        let answer = self.script("submit-contract.mjs", &args)?;
        let submitted_at = answer["submitted_at"].as_u64().context("the script gave no time")?;
        Ok(Site {
            contract: answer["contract"].to_string(),
            result: answer["result"].clone(),
            submitted_at: SystemTime::UNIX_EPOCH + Duration::from_millis(submitted_at),
        })
    }
}

/// A contract with the scripts' web server on it.
#[derive(Clone, Debug)]
pub struct Site {
    /// Contract id.
    pub contract: String,
    /// The result that its node has reported.
    pub result: Value,
    /// Time of submission.
    pub submitted_at: SystemTime,
}

impl Site {
    /// Fetches its page and checks it. The page has three lines: the greeting, the mount of the disk, and the
    /// mark that the disk got when it was new.
    pub fn page(&self) -> Result<String> {
        let page = page_of(&self.result["web"])?;
        let mut lines = page.lines();
        ensure!(lines.next() == Some(GREETING), "the page of contract {} is {page:?}", self.contract);
        let mount = lines.next().unwrap_or_default();
        ensure!(mount.starts_with("/dev/loop") && mount.contains(" /data btrfs "), "/data is {mount:?}");
        Ok(page)
    }
}

/// Fetches the page of a workload; `workload` is its part of the reported result.
pub fn page_of(workload: &Value) -> Result<String> {
    let ip: Ipv4Addr = text(&workload["ip"])?.parse().context("the ip isn't IPv4")?;
    wait_for(&format!("the page at http://{ip}/"), PAGE_LIMIT, || {
        Ok(http::get(SocketAddr::from((ip, 80)), "/").ok())
    })
}

/// The text in a value.
pub fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("{value} isn't a text"))
}

/// Units of 1e-7 TFT in an amount with seven decimals, as the scripts print it.
pub fn tft_units(amount: &Value) -> Result<u128> {
    let digits = text(amount)?.replace('.', "");
    digits.parse().with_context(|| format!("{amount} isn't an amount of TFT"))
}

/// Units of 1e-7 TFT in an amount in units, as `threebot` prints it.
pub fn units(amount: &Value) -> Result<u128> {
    text(amount)?.parse().with_context(|| format!("{amount} isn't an amount in units"))
}

/// Runs a line of a shell to its end on a terminal, which `script` makes, and types `y` there.
pub fn with_a_yes(script: &mut Command, line: &str) -> Result<Output> {
    script.args(["-qec", line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = script.spawn().context("can't run script")?;
    running.stdin.take().context("script has no stdin")?.write_all(b"y\n")?;
    Ok(running.wait_with_output()?)
}

/// Runs a command to its end; returns its JSON output.
pub fn answer(command: &mut Command) -> Result<Value> {
    let shown = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ");
    let output = command.output().with_context(|| format!("can't run `{shown}`"))?;
    ensure!(
        output.status.success(),
        "`{shown}` ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("`{shown}` printed no JSON: {:?}", String::from_utf8_lossy(&output.stdout)))
}
