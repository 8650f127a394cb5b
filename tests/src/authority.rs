// SPDX-License-Identifier: Apache-2.0

use crate::{Process, Run, wait_for};
use anyhow::{Context, Result, bail};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::json;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
    time::Duration,
};

const START_LIMIT: Duration = Duration::from_secs(15);
const PORT: u16 = 14000;
/// Where the authority hands out its root certificate.
const MANAGEMENT_PORT: u16 = 15000;
const NAME_SERVER_PORT: u16 = 53;
/// Where the name server is told of records.
const RECORDS_PORT: u16 = 8055;

/// A certificate authority that speaks ACME, with a name server for which all names lead to one address.
pub struct Authority {
    at: Ipv4Addr,
    own: PathBuf,
    root: PathBuf,
    resolv_conf: PathBuf,
    _processes: [Process; 2],
}

impl Authority {
    /// Starts both at the address `at` of the calling thread's network.
    pub fn start(run: &Run, at: Ipv4Addr, names_lead_to: Ipv4Addr) -> Result<Self> {
        let folder = run.subfolder("authority")?;
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([at.to_string()])?;
        let (own, key) = (folder.join("own.pem"), folder.join("own.key"));
        fs::write(&own, cert.pem())?;
        fs::write(&key, signing_key.serialize_pem())?;
        let config = folder.join("pebble.json");
        let content = json!({ "pebble": {
            "listenAddress": format!("{at}:{PORT}"),
            "managementListenAddress": format!("{at}:{MANAGEMENT_PORT}"),
            "certificate": own, "privateKey": key, "httpPort": 80, "tlsPort": 443,
        } });
        fs::write(&config, content.to_string())?;
        let resolv_conf = folder.join("resolv.conf");
        fs::write(&resolv_conf, format!("nameserver {at}\n"))?;

        let names_at = format!("{at}:{NAME_SERVER_PORT}");
        let name_server = Process::start(
            run,
            "name-server",
            Command::new("pebble-challtestsrv")
                .args(["-defaultIPv4", &names_lead_to.to_string(), "-defaultIPv6", "", "-dns01", &names_at])
                .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
                .args(["-management", &format!("{at}:{RECORDS_PORT}")]),
        )?;
        let mut pebble = Process::start(
            run,
            "authority",
            Command::new("pebble")
                .arg("-config")
                .arg(&config)
                .args(["-dnsserver", &names_at])
                // Without pauses and errors on purpose.
                .env("PEBBLE_VA_NOSLEEP", "1")
                .env("PEBBLE_WFE_NONCEREJECT", "0"),
        )?;
        wait_for("the certificate authority", START_LIMIT, || {
            pebble.ensure_running()?;
            let is_up = |port| TcpStream::connect(SocketAddr::from((at, port))).is_ok();
            Ok([PORT, MANAGEMENT_PORT, RECORDS_PORT].into_iter().all(is_up).then_some(()))
        })?;
        let root = folder.join("root.pem");
        let mut fetch = Command::new("curl");
        fetch.args(["-sSf", "-m", "5", "--noproxy", "*", "--cacert"]).arg(&own);
        fs::write(&root, output(fetch.arg(format!("https://{at}:{MANAGEMENT_PORT}/roots/0")))?)?;
        Ok(Self { at, own, root, resolv_conf, _processes: [name_server, pebble] })
    }

    /// What makes an agent's gateway use both.
    pub fn arguments(&self) -> Vec<String> {
        let (at, own) = (self.at, self.own.display());
        [
            ("--gateway-dns", at.to_string()),
            ("--acme-directory", format!("https://{at}:{PORT}/dir")),
            ("--acme-root", own.to_string()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
    }

    /// What `curl` gets in the calling thread's network, if this name server and this authority are the ones that it
    /// trusts.
    pub fn page(&self, url: &str) -> Result<String> {
        let mut browser = Command::new("unshare");
        browser
            .args(["--mount", "sh", "-c", r#"mount --bind "$0" /etc/resolv.conf && exec curl "$@""#])
            .arg(&self.resolv_conf)
            .args(["-sSf", "-m", "10", "--noproxy", "*", "--cacert"])
            .arg(&self.root)
            .arg(url);
        output(&mut browser)
    }
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().context("can't run `curl`: run `make setup`")?;
    if !output.status.success() {
        bail!("no page: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}
