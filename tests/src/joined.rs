// SPDX-License-Identifier: Apache-2.0

use crate::{Process, Run, http, wait_for};
use anyhow::{Context, Result, ensure};
use std::{fs, net::IpAddr, path::Path, process::Command, time::Duration};

const INTERFACE: &str = "laptop";
const LIMIT: Duration = Duration::from_secs(60);

/// WireGuard of a computer that has joined the private network `site`, until this is dropped.
pub struct Joined {
    _daemon: Process,
    name_server: String,
}

impl Joined {
    /// Starts it on the calling thread's network, with this address and the file that `threebot net join` wrote.
    pub fn start(run: &Run, config: &Path, ip: &str) -> Result<Self> {
        let text = fs::read_to_string(config)?;
        let name_server = text.lines().find_map(|line| line.strip_prefix("DNS = ")?.split(',').next());
        let name_server = name_server.context("there is no name server")?.to_owned();
        // `wg` knows nothing of addresses.
        let is_for_wg = |line: &&str| !["Address", "DNS", "MTU"].iter().any(|word| line.starts_with(word));
        let conf = config.with_extension("wg");
        fs::write(&conf, text.lines().filter(is_for_wg).collect::<Vec<_>>().join("\n"))?;
        let daemon = Process::start(run, "wireguard", Command::new("wireguard-go").args(["-f", INTERFACE]))?;
        wait_for("WireGuard of the laptop", LIMIT, || {
            let shown = Command::new("wg").args(["show", INTERFACE]).output()?;
            Ok(shown.status.success().then_some(()))
        })?;
        for line in [
            format!("wg setconf {INTERFACE} {}", conf.display()),
            format!("ip address add {ip}/32 dev {INTERFACE}"),
            format!("ip link set {INTERFACE} up"),
            format!("ip route add 10.20.0.0/16 dev {INTERFACE}"),
        ] {
            let mut words = line.split(' ');
            let program = words.next().context("no program")?;
            ensure!(Command::new(program).args(words).status()?.success(), "{line}");
        }
        Ok(Self { _daemon: daemon, name_server })
    }

    /// Waits for the page of the machine with this name, from the calling thread's network.
    pub fn page(&self, machine: &str) -> Result<String> {
        wait_for("the page of a machine by its name", LIMIT, || Ok(self.ask(machine)))
    }

    fn ask(&self, machine: &str) -> Option<String> {
        let name = format!("{machine}.site.internal");
        let asked =
            Command::new("busybox").args(["nslookup", "-type=a", &name, &self.name_server]).output().ok()?;
        let answer = String::from_utf8_lossy(&asked.stdout).into_owned();
        let address = answer.lines().filter_map(|line| line.strip_prefix("Address: ")).next_back()?;
        http::get((address.parse::<IpAddr>().ok()?, 80).into(), "/").ok()
    }
}
