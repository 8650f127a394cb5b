// SPDX-License-Identifier: Apache-2.0

use crate::{
    Authority, Chain, Host, LogReceiver, OtherNode, Person, Registry, Run, Steps, TestImage, World, binary,
    free_port, remember_firewall,
};
use anyhow::Result;
use serde_json::{Value, json};
use std::{fs, thread};

const HOSTS: [&str; 4] = ["node-1", "node-2", "node-3", "laptop"];
const AGENTS: [&str; 3] = ["agent", "agent-2", "agent-3"];

/// A grid of three nodes on hosts of their own, with a laptop from which people use it. The third node can be a
/// gateway, and has a public interface.
pub struct ThreeNodes<'a> {
    pub run: &'a Run,
    pub steps: &'a Steps,
    pub chain: Chain,
    pub registry: Registry,
    pub image: String,
    pub world: World,
    pub authority: Authority,
    pub farmer: Person,
    pub user: Person,
    pub nodes: Vec<OtherNode>,
}

impl<'a> ThreeNodes<'a> {
    /// Starts everything and waits until all nodes serve.
    pub fn start(run: &'a Run, steps: &'a Steps) -> Result<Self> {
        Self::start_with(run, steps, &[])
    }

    /// The same, with these images in the registry, too.
    pub fn start_with(run: &'a Run, steps: &'a Steps, images: &[TestImage]) -> Result<Self> {
        remember_firewall(run)?;
        let (registry, image) = steps
            .take("start an image registry and push an image", || Registry::start_with_images(run, images))?;
        // Blocks at an interval below a slot's would make the chain's time run faster than the nodes' heartbeats.
        let chain = steps.take("start a chain", || Chain::start(run, free_port()?, None))?;
        let world =
            steps.take("make the internet: a router, and networks of three nodes and a laptop", || {
                let world = World::start(run, &HOSTS)?;
                world.reaches(chain.rpc())?;
                world.reaches(registry.address())?;
                Ok(world)
            })?;
        for (name, host) in HOSTS.iter().zip(&world.hosts) {
            steps.note(format_args!("{name}: {}", host.ip));
        }
        let gateway = world.hosts[2].ip;
        let authority = steps.take("start a name server and a certificate authority on it", || {
            world.on_internet(|| Authority::start(run, World::SERVER, gateway))
        })?;
        let [farmer, user] = ["//Alice", "//Bob"].map(|key| Person::new(key, &chain.url(), run.folder()));
        let laptop = laptop(&world);
        let ticket = steps.take("//Alice opens a farm and a boot ticket, //Bob deposits 100 TFT", || {
            thread::scope(|scope| {
                let joining = scope.spawn(|| laptop.on(|| user.joins_with_credit()));
                let ticket = laptop.on(|| {
                    let ticket = farmer.opens_a_farm(3)?;
                    farmer.deposits()?;
                    Ok(ticket)
                });
                joining.join().expect("a command's failure is an error")?;
                ticket
            })
        })?;
        let nodes = steps.take("boot three agents with the ticket", || {
            let nodes = boot(run, &world, &authority, &chain.url(), &ticket)?;
            laptop.on(|| nodes.iter().try_for_each(|node| farmer.waits_until_served_by(node.id)))?;
            Ok(nodes)
        })?;
        for (name, node) in HOSTS.iter().zip(&nodes) {
            steps.note(format_args!("{name} is node {} of the grid", node.id));
        }
        Ok(Self { run, steps, chain, registry, image, world, authority, farmer, user, nodes })
    }

    /// Gives the third node its public address, and this domain for names.
    pub fn makes_a_gateway(&self, domain: &str) -> Result<()> {
        let Host { ip, router, .. } = &self.world.hosts[2];
        let (node, address, router) = (self.nodes[2].id.to_string(), format!("{ip}/24"), router.to_string());
        let config = ["node", "public-config", &node, "--ipv4", &address, "--gateway", &router];
        self.asks(&self.farmer, &[&config[..], &["--domain", domain]].concat())?;
        Ok(())
    }

    /// Calls `act` on the laptop.
    pub fn on_laptop<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        laptop(&self.world).on(act)
    }

    /// Runs `threebot` on the laptop.
    pub fn asks(&self, person: &Person, args: &[&str]) -> Result<Value> {
        self.on_laptop(|| person.threebot(args))
    }

    /// Deploys on a host's node.
    pub fn deploys(
        &self,
        person: &Person,
        host: usize,
        name: &str,
        body: &Value,
        more: &[&str],
    ) -> Result<Value> {
        let (file, node) = (self.file(name, body)?, self.nodes[host].id.to_string());
        self.asks(person, &[&["deploy", "-f", &file, "--node", &node][..], more].concat())
    }

    /// A file with this content.
    pub fn file(&self, name: &str, content: &Value) -> Result<String> {
        let file = self.run.folder().join(format!("{name}.json"));
        fs::write(&file, content.to_string())?;
        Ok(file.display().to_string())
    }
}

/// A volume for contracts without machines: the chain takes none that reserves nothing.
pub fn small_volume() -> Value {
    json!({ "name": "data", "type": "volume", "data": { "size": 16 << 20 } })
}

/// A part of the private network `site`.
pub fn site_network(part: u8) -> Value {
    let range = format!("10.20.{part}.0/24");
    json!({ "name": "site", "type": "network", "data": { "subnet": "10.20.0.0/16", "range": range } })
}

fn laptop(world: &World) -> &Host {
    &world.hosts[3]
}

/// Boots an agent on each host but the laptop. The last one is a gateway, and has a public interface.
fn boot(
    run: &Run,
    world: &World,
    authority: &Authority,
    chain: &str,
    ticket: &str,
) -> Result<Vec<OtherNode>> {
    // All have these, and start at the same time.
    LogReceiver::certificate(run)?;
    run.note_agent(&binary("zos-agent")?)?;
    let gateway =
        [authority.arguments(), vec!["--gateway-bind".into(), world.hosts[2].ip.to_string()]].concat();
    let name_server = World::SERVER.to_string();
    let common = ["--dns", &name_server];
    let more: Vec<&str> = gateway.iter().map(String::as_str).chain(["--public-interface", "eth0"]).collect();
    let options = [common.to_vec(), common.to_vec(), [&common[..], &more[..]].concat()];
    thread::scope(|scope| {
        let starts = AGENTS.into_iter().zip(&world.hosts).zip(&options).map(|((name, host), options)| {
            scope.spawn(move || {
                host.on(|| OtherNode::start(run, name, (chain, ticket), host.ip.into(), options))
            })
        });
        let starts: Vec<_> = starts.collect();
        starts.into_iter().map(|start| start.join().expect("a failure is an error")).collect()
    })
}
