// SPDX-License-Identifier: Apache-2.0
//! What the proxy serves, and how that is changed while it runs: through its socket.

use super::config::Files;
use anyhow::{Context, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tfgrid_client::deployment::MAX_BACKENDS;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

/// Limit for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The most bytes of commands in one line; the proxy takes 16 KiB.
const MAX_LINE_BYTES: usize = 8_192;
/// Bit of a server's state: it was taken out.
const FORCED_OUT: u32 = 1;

/// How often it is reloaded: clients see each of them.
const RELOAD_EVERY: Duration = Duration::from_secs(10);
/// Reloads that may come at once.
const RELOADS_AT_ONCE: u32 = 3;
/// Processes of earlier reloads, each with its last connections, beside which it is reloaded less often.
const MANY_OLD: usize = 3;
const RELOAD_BESIDE_OLD_EVERY: Duration = Duration::from_secs(60);

/// Entries of a map.
pub type Entries = BTreeMap<String, String>;

/// What the proxy is to serve, or serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Serving {
    /// Servers of backends that have some.
    pub servers: BTreeMap<String, Vec<SocketAddr>>,
    /// Maps by their files.
    pub maps: BTreeMap<PathBuf, Entries>,
}

/// Which reloads there have been.
#[derive(Default)]
pub struct Reloads {
    /// When the next one is due at the latest.
    next: Option<Instant>,
    last: Option<Instant>,
}

impl Reloads {
    /// Whether there may be one now, beside so many old processes; it counts then.
    pub fn take(&mut self, now: Instant, old: usize) -> bool {
        let next = self.next.map_or(now, |next| next.max(now));
        let is_due = next <= now + RELOAD_EVERY * (RELOADS_AT_ONCE - 1);
        let is_long_ago = self.last.is_none_or(|last| now - last >= RELOAD_BESIDE_OLD_EVERY);
        let may = is_due && (old < MANY_OLD || is_long_ago);
        if may {
            (self.next, self.last) = (Some(next + RELOAD_EVERY), Some(now));
        }
        may
    }
}

/// A running proxy.
pub struct Socket<'a> {
    path: &'a Path,
}

impl<'a> Socket<'a> {
    pub fn new(path: &'a Path) -> Self {
        Self { path }
    }

    /// Sends a command and returns the answer.
    ///
    /// # Errors
    /// If the proxy doesn't run or doesn't answer.
    pub async fn ask(&self, command: &str) -> Result<String> {
        let asking = async {
            let mut stream = UnixStream::connect(self.path).await?;
            stream.write_all(format!("{command}\n").as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let answer =
            timeout(ANSWER_WITHIN, asking).await.context("the web gateway's proxy doesn't answer")?;
        answer.with_context(|| format!("can't ask the web gateway's proxy at {}", self.path.display()))
    }

    /// Sends commands, as many as fit in a line.
    ///
    /// # Errors
    /// As [`Socket::ask`].
    pub async fn tell(&self, commands: &[String]) -> Result<()> {
        let mut line = String::new();
        for command in commands {
            if line.len() + command.len() > MAX_LINE_BYTES {
                self.ask(&std::mem::take(&mut line)).await?;
            }
            if !line.is_empty() {
                line.push(';');
            }
            line.push_str(command);
        }
        if !line.is_empty() {
            self.ask(&line).await?;
        }
        Ok(())
    }

    /// The hash of the structure that it runs with.
    ///
    /// # Errors
    /// As [`Socket::ask`].
    pub async fn structure(&self) -> Result<String> {
        let info = self.ask("show info").await?;
        let hash = info.lines().find_map(|line| line.strip_prefix("description: "));
        Ok(hash.unwrap_or_default().to_owned())
    }

    /// What it serves now.
    ///
    /// # Errors
    /// As [`Socket::ask`].
    pub async fn serving(&self, files: &Files) -> Result<Serving> {
        let servers = servers(&self.ask("show servers state").await?);
        let mut maps = BTreeMap::new();
        for file in [files.hosts(), files.passthrough(), files.challenges()] {
            let answer = self.ask(&format!("show map {}", file.display())).await?;
            maps.insert(file, entries(&answer));
        }
        Ok(Serving { servers, maps })
    }

    /// Certificates that it has.
    ///
    /// # Errors
    /// As [`Socket::ask`].
    pub async fn certificates(&self) -> Result<BTreeSet<PathBuf>> {
        let answer = self.ask("show ssl cert").await?;
        // A transaction of an agent that was killed meanwhile stands in the way of all others.
        for file in answer.lines().filter_map(|line| line.strip_prefix('*')) {
            self.ask(&format!("abort ssl cert {file}")).await?;
        }
        Ok(answer.lines().filter(|line| line.starts_with('/')).map(PathBuf::from).collect())
    }

    /// Gives it the certificate of a host, or another one.
    ///
    /// # Errors
    /// If it doesn't take it.
    pub async fn set_certificate(&self, files: &Files, host: &str, pem: &str, is_new: bool) -> Result<()> {
        let file = files.certificate(host);
        let file = file.display();
        if is_new {
            self.ask(&format!("new ssl cert {file}")).await?;
        }
        // An empty line would end it.
        let lines: Vec<&str> = pem.lines().filter(|line| !line.trim().is_empty()).collect();
        self.ask(&format!("set ssl cert {file} <<\n{}\n", lines.join("\n"))).await?;
        let answer = self.ask(&format!("commit ssl cert {file}")).await?;
        anyhow::ensure!(
            answer.contains("Success"),
            "the proxy refuses the certificate of {host}: {}",
            answer.trim()
        );
        if is_new {
            self.ask(&format!("add ssl crt-list {} <<\n{file} {host}\n", files.list().display())).await?;
        }
        Ok(())
    }

    /// Takes a host's certificate away.
    ///
    /// # Errors
    /// As [`Socket::ask`].
    pub async fn drop_certificate(&self, files: &Files, file: &Path) -> Result<()> {
        let list = files.list();
        self.ask(&format!("del ssl crt-list {} {}", list.display(), file.display())).await?;
        self.ask(&format!("del ssl cert {}", file.display())).await?;
        Ok(())
    }

    /// Bytes in and out of each backend since its process started.
    ///
    /// # Errors
    /// As [`Socket::ask`].
    pub async fn traffic(&self) -> Result<BTreeMap<String, (u64, u64)>> {
        Ok(traffic(&self.ask("show stat -1 2 -1").await?))
    }
}

fn servers(answer: &str) -> BTreeMap<String, Vec<SocketAddr>> {
    let mut servers: BTreeMap<String, Vec<SocketAddr>> = BTreeMap::new();
    for line in answer.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let (Some(backend), Some(ip), Some(state), Some(port)) =
            (words.get(1), words.get(4), words.get(6), words.get(18))
        else {
            continue;
        };
        let (Ok(ip), Ok(port), Ok(state)) = (ip.parse::<IpAddr>(), port.parse(), state.parse::<u32>()) else {
            continue;
        };
        if state & FORCED_OUT == 0 && !ip.is_unspecified() {
            servers.entry((*backend).to_owned()).or_default().push(SocketAddr::new(ip, port));
        }
    }
    servers
}

fn entries(answer: &str) -> Entries {
    let entry = |line: &str| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    };
    answer.lines().filter_map(entry).collect()
}

fn traffic(answer: &str) -> BTreeMap<String, (u64, u64)> {
    let read = |line: &str| {
        let words: Vec<&str> = line.split(',').collect();
        Some((words.first()?.to_string(), (words.get(8)?.parse().ok()?, words.get(9)?.parse().ok()?)))
    };
    answer.lines().filter(|line| !line.starts_with('#')).filter_map(read).collect()
}

/// Commands from what is served to what is to be served. A host that goes is taken from its map before its servers are,
/// and a new one comes into the map after its servers are there.
pub fn commands(there: &Serving, wanted: &Serving) -> Vec<String> {
    let nothing = Entries::new();
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for (file, entries) in &wanted.maps {
        let present = there.maps.get(file).unwrap_or(&nothing);
        let file = file.display();
        for host in present.keys().filter(|host| !entries.contains_key(*host)) {
            first.push(format!("del map {file} {host}"));
        }
        for (host, route) in entries {
            match present.get(host) {
                Some(present) if present == route => {}
                Some(_) => last.push(format!("set map {file} {host} {route}")),
                None => last.push(format!("add map {file} {host} {route}")),
            }
        }
    }
    let mut servers = Vec::new();
    let backends: BTreeSet<&String> = there.servers.keys().chain(wanted.servers.keys()).collect();
    for backend in backends {
        let (old, new) = (there.servers.get(backend), wanted.servers.get(backend));
        if old == new {
            continue;
        }
        let (old, new) =
            (old.map(Vec::as_slice).unwrap_or_default(), new.map(Vec::as_slice).unwrap_or_default());
        for slot in 0..old.len().max(new.len()) {
            let server = format!("{backend}/s{slot}");
            match (old.get(slot), new.get(slot)) {
                (old, Some(address)) if old != Some(address) => servers.extend([
                    format!("set server {server} addr {} port {}", address.ip(), address.port()),
                    format!("enable health {server}"),
                    format!("set server {server} state ready"),
                ]),
                (Some(_), None) => servers.extend([
                    format!("set server {server} state maint"),
                    format!("shutdown sessions server {server}"),
                    format!("set server {server} addr 0.0.0.0 port 0"),
                ]),
                _ => {}
            }
        }
    }
    [first, servers, last].concat()
}

/// Commands that close all connections to these backends.
pub fn closing(backends: impl Iterator<Item = String>) -> Vec<String> {
    let close = |backend: String| {
        (0..MAX_BACKENDS).map(move |slot| format!("shutdown sessions server {backend}/s{slot}"))
    };
    backends.flat_map(close).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state\n\
        13 http.0 1 s0 10.20.1.5 2 4 1 1 3 6 3 2 6 0 0 0 - 8080 - 0 0 - - 0\n\
        13 http.0 2 s1 0.0.0.0 0 5 1 1 21 1 0 0 14 0 0 0 - 0 - 0 0 - - 0\n\
        14 http.1 1 s0 2001:db8::1 0 1 1 1 3 6 3 0 6 0 0 0 - 80 - 0 0 - - 0\n\n";

    fn serving(host: Option<(&str, &str)>, server: Option<&str>) -> Serving {
        Serving {
            servers: server
                .map(|server| ("http.0".to_owned(), vec![server.parse().unwrap()]))
                .into_iter()
                .collect(),
            maps: [(
                "/run/hosts.map".into(),
                host.map(|(host, route)| (host.to_owned(), route.to_owned())).into_iter().collect(),
            )]
            .into(),
        }
    }

    #[test]
    fn answers_of_the_proxy_are_read() {
        let expected = [("http.0".to_owned(), vec!["10.20.1.5:8080".parse().unwrap()])].into();
        assert_eq!(servers(STATE), expected);
        assert_eq!(
            entries("0x5566 a.example http.0:1:2:3:4\n\n"),
            [("a.example".to_owned(), "http.0:1:2:3:4".to_owned())].into()
        );
        let stat = "# pxname,svname,…\nhttp.0,BACKEND,0,0,0,0,1,2,300,400,0,\n";
        assert_eq!(traffic(stat), [("http.0".to_owned(), (300, 400))].into());
    }

    #[test]
    fn a_name_is_mapped_after_its_servers_are_there() {
        let (nothing, site) =
            (serving(None, None), serving(Some(("a.example", "http.0:1")), Some("10.20.1.5:8080")));
        let expected = [
            "set server http.0/s0 addr 10.20.1.5 port 8080",
            "enable health http.0/s0",
            "set server http.0/s0 state ready",
            "add map /run/hosts.map a.example http.0:1",
        ];
        assert_eq!(commands(&nothing, &site), expected);
        let expected = [
            "del map /run/hosts.map a.example",
            "set server http.0/s0 state maint",
            "shutdown sessions server http.0/s0",
            "set server http.0/s0 addr 0.0.0.0 port 0",
        ];
        assert_eq!(commands(&site, &nothing), expected);
        assert!(commands(&site, &site).is_empty());
    }

    #[test]
    fn connections_to_all_servers_of_a_backend_are_closed() {
        let told = closing(["http.3".to_owned()].into_iter());
        assert_eq!(told.len(), MAX_BACKENDS);
        assert_eq!(told.last().unwrap(), "shutdown sessions server http.3/s3");
    }

    #[test]
    fn a_backend_that_moves_drops_no_request() {
        let site = |server| serving(Some(("a.example", "http.0:1")), Some(server));
        let told = commands(&site("10.20.1.5:8080"), &site("10.20.1.6:8080"));
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(
            told.iter().all(|command| !command.contains("maint") && !command.contains("map")),
            "{told:?}"
        );
    }

    #[test]
    fn reloads_are_three_at_once_and_then_one_in_ten_seconds() {
        let (mut reloads, begun) = (Reloads::default(), Instant::now());
        let mut take = |after_s| reloads.take(begun + Duration::from_secs(after_s), 2);
        let expected = [(0, true), (1, true), (2, true), (3, false), (9, false), (10, true), (11, false)];
        for (after_s, may) in expected {
            assert_eq!(take(after_s), may, "{after_s}");
        }
        assert_eq!([100, 100, 100, 100].map(take), [true, true, true, false]);
    }

    #[test]
    fn beside_many_old_processes_a_reload_waits_a_minute() {
        let (mut reloads, begun) = (Reloads::default(), Instant::now());
        let mut take = |after_s, old| reloads.take(begun + Duration::from_secs(after_s), old);
        for (after_s, old, may) in
            [(0, 3, true), (59, 3, false), (60, 3, true), (70, 3, false), (70, 2, true), (129, 9, false)]
        {
            assert_eq!(take(after_s, old), may, "{after_s} {old}");
        }
    }
}
