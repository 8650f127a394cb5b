// SPDX-License-Identifier: Apache-2.0

//! Publishes an application of two machines on two nodes by a web gateway on a third, each in a network of its own.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::{
    env,
    fs::{self, Permissions},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    os::unix::fs::PermissionsExt,
    process::ExitCode,
    time::Duration,
};
use tfgrid_client::wireguard::{key_text, new_secret, public_key};
use tfgrid_tests::{
    Forwarded, Inside, Joined, MIB, Steps, ThreeNodes, asks_for_help, kill_programs, kill_wireguard,
    on_a_run_beside_others, site_network, small_volume, text, wait_for,
};

const HELP: &str = "\
Publishes an application of two machines on two nodes by a web gateway on a third.

Three nodes and a laptop have networks of their own, joined by a router, which is
the internet here. Each step is checked; everything is removed afterwards, also on
Ctrl-C.

Usage: demo-network";

/// Domain of the gateway, and one of the user's own.
const GATEWAY_DOMAIN: &str = "gw1.example.org";
const PAGES: [&str; 2] = ["https://shop.gw1.example.org/", "https://www.shop.example.net/"];
/// A machine's address, in the network of node 3.
const PUBLIC: Ipv4Addr = Ipv4Addr::new(185, 69, 163, 20);
const WEB: &str = "10.20.1.5";
const DB: &str = "10.20.2.5";
/// Of the machine with a public address, and a domain of its page.
const FILES: &str = "10.20.4.5";
const FILES_DOMAIN: &str = "files.example.net";
const HTTPD: &str = "exec httpd -f -p 80 -h /www";
/// What the database has, and what goes over the internet in clear.
const ORDERS: &str = "orders-7c51e0aa";
const IN_CLEAR: &str = "clear-20bb94f3";
const DOWNLOAD_BYTES: usize = 16 << 20;
/// Limits for a page to be there, for what was killed to be back, and for everything to be gone.
const PUBLISHED_WITHIN: Duration = Duration::from_secs(60);
const HEALED_WITHIN: Duration = Duration::from_secs(60);
const GONE_WITHIN: Duration = Duration::from_secs(60);
const REPORTED_WITHIN: Duration = Duration::from_secs(90);
const CLOSED_WITHIN: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    if asks_for_help(HELP) {
        return ExitCode::SUCCESS;
    }
    match tell(&Steps::aloud()) {
        Ok(()) => {
            println!("demo-network: ok");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("demo-network: failed  {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn tell(steps: &Steps) -> Result<()> {
    ensure!(env::args().len() == 1, "demo-network takes no arguments: see demo-network --help");
    on_a_run_beside_others("demo-network", |run| {
        let mut demo = Demo { grid: ThreeNodes::start(&run, steps)?, laptop_key: new_secret() };
        demo.tell()
    })
}

struct Demo<'a> {
    grid: ThreeNodes<'a>,
    /// The laptop's own, for WireGuard.
    laptop_key: [u8; 32],
}

impl Demo<'_> {
    fn tell(&mut self) -> Result<()> {
        self.offers_addresses()?;
        let db = self.deploys_the_application()?;
        self.take("fetch the page under both names over HTTPS, as a browser on the laptop does", |demo| {
            PAGES.iter().try_for_each(|url| demo.until_page(url, PUBLISHED_WITHIN))
        })?;
        self.nothing_passes_in_clear()?;
        self.strangers_reach_nothing()?;
        self.has_a_public_address()?;
        self.take("the laptop reaches the database by `threebot forward`", |demo| {
            let page = demo.grid.on_laptop(|| Forwarded::open(&demo.grid.user, &db, "0:db:80")?.page())?;
            ensure!(page.contains(ORDERS), "the database answers {page:?}");
            Ok(())
        })?;
        self.laptop_joins()?;
        self.heals()?;
        self.ends()
    }

    /// Farmers' settings: the node's address and domain, an address for contracts.
    fn offers_addresses(&mut self) -> Result<()> {
        let what = format!("//Alice makes node-3 a gateway for *.{GATEWAY_DOMAIN}, and offers {PUBLIC}");
        self.take(&what, |demo| {
            demo.grid.makes_a_gateway(GATEWAY_DOMAIN)?;
            let (offered, router) = (format!("{PUBLIC}/24"), demo.grid.world.hosts[2].router.to_string());
            let offer = ["farm", "add-ip", "1", "--ipv4", &offered, "--gateway", &router];
            demo.grid.asks(&demo.grid.farmer, &offer)?;
            Ok(())
        })
    }

    /// Returns the database's contract.
    fn deploys_the_application(&mut self) -> Result<String> {
        self.take("//Bob takes the name \"shop\": `threebot name reserve shop`", |demo| {
            demo.grid.asks(&demo.grid.user, &["name", "reserve", "shop"])
        })?;
        let what = "//Bob deploys an application: web on node-1, db on node-2, sites on node-3";
        let deployed = self.take(what, |demo| {
            let file = demo.grid.file("shop", &demo.application())?;
            demo.grid.asks(&demo.grid.user, &["deploy", "-f", &file])
        })?;
        let parts = deployed["parts"].as_array().context("the answer has no parts")?;
        for part in parts {
            let (name, result) = (text(&part["part"])?, &part["result"]);
            self.grid.steps.note(format_args!("{name}: contract {}: {result}", part["contract"]));
        }
        let db = parts.iter().find(|part| part["part"] == "db").context("the answer has no part db")?;
        Ok(db["contract"].to_string())
    }

    fn application(&self) -> Value {
        let mut entrance = site_network(1);
        entrance["data"]["peers"] =
            json!([{ "name": "laptop", "public_key": key_text(&public_key(&self.laptop_key)) }]);
        let web = format!(
            "/bin/busybox mkdir -p /www/cgi-bin; cd /www/cgi-bin; echo '#!/bin/sh
            echo Content-Type: text/plain; echo; echo the shop has
            ip=$(/bin/busybox nslookup -type=a db.site.internal | grep \"^Address: \")
            /bin/busybox timeout 3 /bin/busybox wget -q -O - http://${{ip#Address: }}/' >index.cgi
            /bin/busybox chmod +x index.cgi; {HTTPD}"
        );
        let site = json!({ "network": "site", "backends": [format!("http://{WEB}:80")] });
        let (mut by_name, mut by_domain) = (site.clone(), site);
        by_name["name"] = "shop".into();
        by_domain["fqdn"] = "www.shop.example.net".into();
        let db = self.machine("db", DB, &page(ORDERS));
        json!({ "version": 1, "name": "shop", "parts": {
            "web": { "node": self.grid.nodes[0].id, "workloads": [entrance, self.machine("web", WEB, &web)] },
            "db": { "node": self.grid.nodes[1].id, "workloads": [site_network(2), db] },
            "sites": { "node": self.grid.nodes[2].id, "workloads": [
                site_network(3),
                small_volume(),
                { "name": "shop", "type": "gateway-name-proxy", "data": by_name },
                { "name": "www", "type": "gateway-fqdn-proxy", "data": by_domain },
            ] },
        } })
    }

    /// A machine in the network `site`.
    fn machine(&self, name: &str, ip: &str, script: &str) -> Value {
        let mut machine = self.lone_machine(name, script);
        machine["data"]["interfaces"] = json!([{ "network": "site", "ip": ip }]);
        machine
    }

    fn lone_machine(&self, name: &str, script: &str) -> Value {
        json!({ "name": name, "type": "zmachine", "data": {
            "image": self.grid.image, "cpu": 1, "memory": 64 * MIB, "rootfs": 64 * MIB,
            "entrypoint": ["/bin/sh", "-c", script], "stop_seconds": 0,
            "health": { "http": { "port": 80 } },
        } })
    }

    fn nothing_passes_in_clear(&mut self) -> Result<()> {
        let run = self.grid.run;
        self.take("capture what passes the router: nothing of the page is there in clear", |demo| {
            demo.grid.world.captures(run)?;
            let [from, to] = [0, 1].map(|host: usize| demo.grid.world.hosts[host].ip);
            demo.grid.world.hosts[0].on(|| {
                UdpSocket::bind((from, 0))?.send_to(IN_CLEAR.as_bytes(), (to, 9))?;
                Ok(())
            })?;
            for url in PAGES {
                let page = demo.grid.on_laptop(|| demo.grid.authority.page(url))?;
                ensure!(page.contains(ORDERS), "{url} is {page:?}");
            }
            let passed = demo.grid.world.passed()?;
            let holds = |wanted: &str| passed.windows(wanted.len()).any(|window| window == wanted.as_bytes());
            ensure!(holds(IN_CLEAR), "what goes in clear wasn't captured");
            ensure!(!holds(ORDERS), "the page passed in clear");
            Ok(())
        })
    }

    fn strangers_reach_nothing(&mut self) -> Result<()> {
        let what = "//Alice's machine in a network of the same name on node-1 reaches none of it";
        self.take(what, |demo| {
            let machine = demo.machine("stranger", "10.20.1.6", &page("stranger"));
            let body = json!({ "version": 1, "workloads": [site_network(1), machine] });
            demo.grid.deploys(&demo.grid.farmer, 0, "stranger", &body, &[])?;
            let stranger = Inside::machine(&demo.grid.nodes[0].agent, "stranger")?;
            for ip in [WEB, DB] {
                if let Ok(page) = stranger.page_at(ip) {
                    bail!("{ip} is reached: {page:?}");
                }
            }
            for name in ["web", "db"] {
                ensure!(stranger.page(name).is_err(), "{name} is known");
            }
            ensure!(stranger.page("stranger")?.contains("stranger"), "it reaches nothing at all");
            demo.grid.asks(&demo.grid.farmer, &["cancel", "--all"])?;
            Ok(())
        })
    }

    fn has_a_public_address(&mut self) -> Result<()> {
        let what = format!("//Bob's machine on node-3 has {PUBLIC}: port 80 is open, 81 is not");
        let contract = self.take(&what, |demo| {
            demo.grid.world.counts(PUBLIC)?;
            let script = format!(
                "/bin/busybox mkdir /www; echo public >/www/index.html
                /bin/busybox head -c {DOWNLOAD_BYTES} /dev/zero >/www/zeros
                httpd -p 81; {HTTPD}"
            );
            let mut machine = demo.machine("public", FILES, &script);
            machine["data"]["public_ip"] = true.into();
            machine["data"]["ports"] = json!(["80/tcp"]);
            let site = json!({ "name": "files", "type": "gateway-fqdn-proxy", "data": {
                "fqdn": FILES_DOMAIN, "network": "site", "backends": [format!("http://{FILES}:80")] } });
            let body = json!({ "version": 1, "workloads": [site_network(4), machine, site] });
            let deployed = demo.grid.deploys(&demo.grid.user, 2, "public", &body, &["--traffic-gb", "1"])?;
            demo.grid.on_laptop(|| {
                let page = wait_for("the page at a public address", PUBLISHED_WITHIN, || {
                    Ok(demo.grid.authority.page(&format!("http://{PUBLIC}/")).ok())
                })?;
                ensure!(page.contains("public"), "the page is {page:?}");
                let closed = SocketAddr::from((PUBLIC, 81));
                ensure!(TcpStream::connect_timeout(&closed, CLOSED_WITHIN).is_err(), "{closed} is open");
                Ok(())
            })?;
            Ok(deployed["contract"].to_string())
        })?;
        let what =
            "download from it, also through the gateway: the chain charges what is counted, within 1 %";
        self.take(what, |demo| {
            let site = format!("https://{FILES_DOMAIN}/");
            demo.grid.on_laptop(|| {
                let is_up = || Ok(demo.grid.authority.page(&site).is_ok().then_some(()));
                wait_for(&site, PUBLISHED_WITHIN, is_up)
            })?;
            for url in [format!("http://{PUBLIC}/zeros"), format!("{site}zeros")] {
                let downloaded = demo.grid.on_laptop(|| demo.grid.authority.page(&url))?.len();
                ensure!(downloaded == DOWNLOAD_BYTES, "{url} has {downloaded} bytes");
            }
            demo.charges_for(&contract, demo.grid.world.counted()? + DOWNLOAD_BYTES as u64)
        })
    }

    /// Waits until the traffic that a contract has used of its 1 GB is this, within 1 % of one download.
    fn charges_for(&self, contract: &str, bytes: u64) -> Result<()> {
        let mut used = 0;
        let charged = wait_for("the node to report its traffic", REPORTED_WITHIN, || {
            let shown = self.grid.asks(&self.grid.user, &["show", contract])?;
            let left = shown["traffic_left"].as_u64().context("no traffic is shown")?;
            used = 1_000_000_000 - left;
            Ok((used.abs_diff(bytes) * 100 <= DOWNLOAD_BYTES as u64).then_some(()))
        });
        charged.with_context(|| format!("router and laptop counted {bytes} bytes, the chain {used}"))?;
        self.grid.steps.note(format_args!("router and laptop counted {bytes} bytes, the chain {used}"));
        Ok(())
    }

    /// By WireGuard, over node-1.
    fn laptop_joins(&mut self) -> Result<()> {
        let what =
            "the laptop joins the network: `threebot net join site`, and opens the database by its name";
        self.take(what, |demo| {
            let [key, config] = ["laptop.key", "site.conf"].map(|name| demo.grid.run.folder().join(name));
            fs::write(&key, key_text(&demo.laptop_key))?;
            fs::set_permissions(&key, Permissions::from_mode(0o600))?;
            let (key, out) = (key.display().to_string(), config.display().to_string());
            let join = ["net", "join", "site", "--private-key", &key, "--out", &out];
            let joined = demo.grid.asks(&demo.grid.user, &join)?;
            let page = demo
                .grid
                .on_laptop(|| Joined::start(demo.grid.run, &config, text(&joined["ip"])?)?.page("db"))?;
            ensure!(page.contains(ORDERS), "the database answers {page:?}");
            Ok(())
        })
    }

    /// Kills what makes the page, each in turn.
    fn heals(&mut self) -> Result<()> {
        let run = self.grid.run;
        for (host, whose) in [(0, "node-1's"), (2, "the gateway's")] {
            let what = format!("kill {whose} agent: the pages are still there; started again, it deploys");
            self.take(&what, |demo| {
                demo.grid.nodes[host].agent.kill()?;
                PAGES.iter().try_for_each(|url| demo.until_page(url, Duration::ZERO))?;
                let ThreeNodes { world, nodes, .. } = &mut demo.grid;
                world.hosts[host].on(|| nodes[host].agent.resume(run))?;
                let body = json!({ "version": 1, "workloads": [small_volume()] });
                demo.grid.deploys(&demo.grid.user, host, "after", &body, &[]).map(drop)
            })?;
        }
        self.take("kill WireGuard on node-2: the page comes back", |demo| {
            kill_wireguard(&demo.grid.nodes[1].agent)?;
            demo.until_page(PAGES[0], HEALED_WITHIN)
        })?;
        self.take("kill node-2's engine: the page comes back", |demo| {
            let agent = &demo.grid.nodes[1].agent;
            for (program, config) in [("dockerd", "dockerd.json"), ("containerd", "containerd.toml")] {
                let config = agent.run_folder()?.join(config).display().to_string();
                ensure!(kill_programs(program, &config)? > 0, "no {program} runs with {config}");
            }
            demo.until_page(PAGES[0], HEALED_WITHIN)?;
            wait_for("the engine to be back", HEALED_WITHIN, || {
                Ok(agent.engine()?.docker(&["ps", "--quiet"]).is_ok_and(|ids| !ids.is_empty()).then_some(()))
            })
        })?;
        self.take("cut node-2's cable: the page is gone; mend it: the page comes back", |demo| {
            demo.grid.world.cuts("node-2", true)?;
            demo.until_no_page(PAGES[0])?;
            demo.grid.world.cuts("node-2", false)?;
            demo.until_page(PAGES[0], HEALED_WITHIN)
        })?;
        self.take("kill the gateway's proxy: both pages come back", |demo| {
            let config = demo.grid.nodes[2].agent.run_folder()?.join("gateway/haproxy.cfg");
            let killed = kill_programs("haproxy", &config.display().to_string())?;
            ensure!(killed > 0, "no proxy runs with {}", config.display());
            PAGES.iter().try_for_each(|url| demo.until_page(url, HEALED_WITHIN))
        })
    }

    fn ends(&mut self) -> Result<()> {
        self.take("//Bob cancels everything: the nodes remove it, and the page is gone", |demo| {
            demo.grid.asks(&demo.grid.user, &["cancel", "--all"])?;
            for node in &demo.grid.nodes {
                let engine = node.agent.engine()?;
                wait_for("a node to remove its machines", GONE_WITHIN, || {
                    Ok(engine.docker(&["ps", "--all", "--quiet"])?.is_empty().then_some(()))
                })?;
            }
            demo.until_no_page(PAGES[0])
        })
    }

    fn take<T>(&mut self, what: &str, act: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let steps = self.grid.steps;
        steps.take(what, || act(self))
    }

    /// Waits for the application's page at this address.
    fn until_page(&self, url: &str, within: Duration) -> Result<()> {
        let mut last = String::new();
        let reached = self.grid.on_laptop(|| {
            wait_for(url, within, || {
                let page = self.grid.authority.page(url);
                last = format!("{page:?}");
                Ok(page.is_ok_and(|page| page.contains(ORDERS)).then_some(()))
            })
        });
        reached.with_context(|| format!("the last answer: {last}"))
    }

    /// Waits until what is at this address isn't the application's page.
    fn until_no_page(&self, url: &str) -> Result<()> {
        self.grid.on_laptop(|| {
            wait_for("the page to be gone", GONE_WITHIN, || {
                let page = self.grid.authority.page(url);
                Ok((!page.is_ok_and(|page| page.contains(ORDERS))).then_some(()))
            })
        })
    }
}

/// Serves a page.
fn page(words: &str) -> String {
    format!("/bin/busybox mkdir /www; echo {words} >/www/index.html; {HTTPD}")
}
