// SPDX-License-Identifier: Apache-2.0
//! What this machine was like before the agent and its engine changed it: a purge puts that back.

use crate::{
    drivers::{
        dockerd::IPTABLES,
        limits::{PIPE_PAGES, SHARED},
        pool::RUN,
        tools::{Tool, run},
        uplink::IP,
    },
    store::Store,
    usage::BOOT,
};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use tracing::{info, warn};

const FILE: &str = "former.json";
/// Values of the kernel, by their files below `/proc/sys`, that agent or engine change beside the [`SHARED`] limits.
const FORWARDING: [&str; 2] = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];
/// Those of each network interface.
const INTERFACES: &str = "net/ipv6/conf";
const OF_INTERFACE: [&str; 2] = ["accept_ra", "proxy_ndp"];
const NAMESPACE: &str = "/proc/thread-self/ns/net";
const IP6TABLES: Tool = Tool { program: "ip6tables", package: "iptables" };
const USERDEL: Tool = Tool { program: "userdel", package: "passwd" };
const FAMILIES: [&Tool; 2] = [&IPTABLES, &IP6TABLES];
const TABLES: [&str; 3] = ["filter", "nat", "raw"];
/// Begins the names of Docker's chains.
const DOCKER: &str = "DOCKER";
/// The user whose subordinate ids are those of machines. Docker creates it.
const USER: &str = "dockremap";
/// A bridge that every engine has but a node's own.
const OTHERS_BRIDGE: &str = "docker0";

/// What agent and engine change.
#[derive(Debug, Serialize, Deserialize)]
pub struct Former {
    /// The boot: the next one resets all but the user.
    boot: String,
    /// The network namespace.
    network: String,
    /// Values of the kernel by their names.
    kernel: BTreeMap<String, String>,
    /// What is done with forwarded packets for which there is no rule, by the tool that tells it.
    policies: BTreeMap<String, String>,
    /// Whether there were Docker's chains: then they are another engine's.
    has_docker: bool,
    /// Whether there was the user.
    has_user: bool,
}

impl Former {
    /// Keeps how things are now, unless an earlier start since the last boot has kept them.
    ///
    /// # Errors
    /// If it can't be read or written.
    pub async fn remember(store: &Store) -> Result<()> {
        let now = Self::now().await?;
        let former = match store.read::<Self>(FILE)? {
            None => now,
            Some(known) if known.boot == now.boot => return Ok(()),
            Some(known) => Self { has_user: known.has_user, ..now },
        };
        store.write(FILE, &former)
    }

    /// Puts back what was kept, unless other nodes are on this machine.
    ///
    /// # Errors
    /// If the file is damaged. What can't be put back is told in the log.
    pub async fn restore(store: &Store) -> Result<()> {
        let Some(former) = store.read::<Self>(FILE)? else { return Ok(()) };
        if fs::read_dir(RUN).is_ok_and(|mut nodes| nodes.next().is_some()) {
            info!("limits of the kernel, Docker's chains and its user stay: {RUN} has other nodes");
            return Ok(());
        }
        former.put_back().await;
        Ok(())
    }

    /// How things are.
    ///
    /// # Errors
    /// If the kernel doesn't tell.
    pub async fn now() -> Result<Self> {
        let interfaces = fs::read_dir(file(INTERFACES)).into_iter().flatten().flatten();
        let of_interfaces = interfaces.flat_map(|interface| {
            let interface = interface.file_name().to_string_lossy().into_owned();
            OF_INTERFACE.map(|name| format!("{INTERFACES}/{interface}/{name}"))
        });
        let shared = SHARED.map(|(name, _)| name).into_iter().chain([PIPE_PAGES]);
        let names = shared.chain(FORWARDING).map(str::to_owned).chain(of_interfaces);
        let (mut policies, mut has_docker) = (BTreeMap::new(), false);
        for family in FAMILIES {
            let rules = rules(family, "filter").await;
            if let Some(policy) = rules.lines().find_map(|rule| rule.strip_prefix("-P FORWARD ")) {
                policies.insert(family.program.to_owned(), policy.to_owned());
            }
            has_docker |= !removal(&rules).is_empty();
        }
        Ok(Self {
            boot: fs::read_to_string(BOOT).with_context(|| format!("can't read {BOOT}"))?,
            network: namespace()?,
            // A kernel without it has nothing to be changed.
            kernel: names.filter_map(|name| Some((name.clone(), value(&name)?))).collect(),
            policies,
            has_docker,
            has_user: has_user(),
        })
    }

    /// Puts this back.
    pub async fn put_back(&self) {
        let is_of_others = self.has_docker || run(&IP, &["link", "show", OTHERS_BRIDGE]).await.is_ok();
        let is_here = namespace().is_ok_and(|here| here == self.network) && !is_of_others;
        for (name, former) in &self.kernel {
            let differs = value(name).is_some_and(|value| value != *former);
            if !differs || (name.starts_with("net/") && !is_here) {
                continue;
            }
            info!(name, former, "putting back a value of the kernel");
            if let Err(error) = fs::write(file(name), former) {
                warn!("can't put {former} back to {}: {error}", file(name).display());
            }
        }
        if is_here {
            for family in FAMILIES {
                self.put_back_rules(family).await;
            }
        }
        if !is_of_others && !self.has_user && has_user() {
            info!("removing the user {USER}");
            if let Err(error) = run(&USERDEL, &[USER]).await {
                warn!("the user {USER} stays: {error:#}");
            }
        }
    }

    async fn put_back_rules(&self, family: &Tool) {
        for table in TABLES {
            let rules = rules(family, table).await;
            let mut steps = removal(&rules);
            let policy = self.policies.get(family.program).filter(|_| table == "filter");
            if let Some(policy) = policy.filter(|policy| !rules.contains(&format!("-P FORWARD {policy}"))) {
                steps.push(vec!["-P", "FORWARD", policy.as_str()]);
            }
            for step in steps {
                if let Err(error) = run(family, &[&["-w", "-t", table][..], step.as_slice()].concat()).await {
                    warn!("a part of Docker's firewall stays: {error:#}");
                }
            }
        }
    }
}

/// The rules of a table as commands; none where there is no such table.
async fn rules(family: &Tool, table: &str) -> String {
    run(family, &["-w", "-t", table, "-S"]).await.unwrap_or_default()
}

/// The steps that remove Docker's chains, and before them what leads to them, from a table with these rules.
fn removal(rules: &str) -> Vec<Vec<&str>> {
    let rules: Vec<Vec<&str>> = rules.lines().map(|rule| rule.split_whitespace().collect()).collect();
    let is_dockers = |name: &&str| name.starts_with(DOCKER);
    let chains = rules.iter().filter_map(|rule| match rule.as_slice() {
        ["-N", chain] => Some(*chain).filter(is_dockers),
        _ => None,
    });
    let ways = rules.iter().filter_map(|rule| match rule.as_slice() {
        ["-A", chain, rest @ ..] if !is_dockers(chain) => {
            let leads = rest.windows(2).any(|words| matches!(words, ["-j" | "-g", to] if is_dockers(to)));
            leads.then(|| [&["-D", *chain][..], rest].concat())
        }
        _ => None,
    });
    let emptied = chains.clone().map(|chain| vec!["-F", chain]);
    let removed = chains.map(|chain| vec!["-X", chain]);
    ways.chain(emptied).chain(removed).collect()
}

fn file(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name)
}

fn value(name: &str) -> Option<String> {
    Some(fs::read_to_string(file(name)).ok()?.trim().to_owned())
}

fn namespace() -> Result<String> {
    let namespace = fs::read_link(NAMESPACE).with_context(|| format!("can't read {NAMESPACE}"))?;
    Ok(namespace.to_string_lossy().into_owned())
}

fn has_user() -> bool {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    users.lines().any(|user| user.split(':').next() == Some(USER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_go_after_what_leads_to_them() {
        let rules = "-P INPUT ACCEPT\n-P FORWARD DROP\n-N DOCKER\n-N DOCKER-USER\n-N MINE\n\
                     -A FORWARD -j DOCKER-USER\n-A FORWARD -o zb7 -j DOCKER\n-A FORWARD -j MINE\n\
                     -A DOCKER-USER -j RETURN\n";
        let steps: Vec<_> = removal(rules).into_iter().map(|step| step.join(" ")).collect();
        assert_eq!(
            steps,
            [
                "-D FORWARD -j DOCKER-USER",
                "-D FORWARD -o zb7 -j DOCKER",
                "-F DOCKER",
                "-F DOCKER-USER",
                "-X DOCKER",
                "-X DOCKER-USER"
            ]
        );
        assert!(removal("-P INPUT ACCEPT\n-N MINE\n-A FORWARD -j MINE\n").is_empty());
    }

    #[tokio::test]
    async fn what_was_first_is_kept_until_the_next_boot() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let first = async |boot: &str| {
            let kernel = [("net/ipv4/ip_forward".into(), "7".into())].into();
            let now = Former::now().await.unwrap();
            let boot = if boot.is_empty() { now.boot.clone() } else { boot.into() };
            store.write(FILE, &Former { boot, kernel, has_user: false, ..now }).unwrap();
            Former::remember(&store).await.unwrap();
            store.read::<Former>(FILE).unwrap().unwrap()
        };
        let kept = first("").await;
        assert_eq!((kept.kernel["net/ipv4/ip_forward"].as_str(), kept.has_user), ("7", false));
        let kept = first("another").await;
        assert_ne!(kept.kernel["net/ipv4/ip_forward"], "7");
        assert!(!kept.has_user, "the agent made it before this boot");
    }
}
