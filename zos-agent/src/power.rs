// SPDX-License-Identifier: Apache-2.0
//! Obeys the farmer's power target: an empty node falls asleep, and wakes others of its farm.

use crate::{
    chain::{Chain, Snapshot},
    clock::unix_ms,
    engine::observed::Observed,
};
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};
use tfgrid_primitives::{NodeId, report::PowerState};
use tokio::{process::Command, sync::watch, time::sleep, time::timeout};
use tracing::{info, warn};

/// Names the node to wake.
const NODE_VARIABLE: &str = "ZOS_NODE";
/// Limit for a command. The clock stops while the machine sleeps.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(120);
/// Time in which the machine may still fall asleep after its command has ended.
const FALLS_ASLEEP_WITHIN: Duration = Duration::from_secs(30);
/// Time from a start, or the end of a sleep, to the next sleep.
const AWAKE_FOR: Duration = Duration::from_secs(300);
/// Less than the time after which a silent node counts as offline.
const ASKS_FOR: Duration = Duration::from_secs(120);
const WAKE_EVERY: Duration = Duration::from_secs(60);

/// The farmer's commands for sleep.
#[derive(Clone, Debug, Default, Args)]
pub struct PowerArgs {
    /// Program that suspends this machine or shuts it down. It runs without arguments when the farmer wants the node to
    /// sleep (`set_power_target` on the chain) and no contract is left on it
    ///
    /// Only a node with such a program can be asked to sleep. Another node of the farm must be able to wake it.
    #[arg(long, env = "ZOS_SLEEP_COMMAND", value_name = "FILE")]
    pub sleep_command: Option<PathBuf>,
    /// Program that wakes another node of the farm, whose id it finds in ZOS_NODE, such as by wake-on-LAN
    #[arg(long, env = "ZOS_WAKE_COMMAND", value_name = "FILE")]
    pub wake_command: Option<PathBuf>,
}

/// Puts this machine to sleep and wakes others.
pub struct Power {
    chain: Arc<dyn Chain>,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    observed: watch::Receiver<Arc<Observed>>,
    falls_asleep: watch::Sender<bool>,
    commands: PowerArgs,
    falls_asleep_within: Duration,
    awake_until: Instant,
    /// Until when the chain may take that the node sleeps.
    asks_until: Option<Instant>,
    next_wake: Instant,
}

impl Power {
    /// Tells `falls_asleep` whether the chain is to learn that the node sleeps.
    pub fn new(
        chain: Arc<dyn Chain>,
        snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
        observed: watch::Receiver<Arc<Observed>>,
        falls_asleep: watch::Sender<bool>,
        commands: PowerArgs,
    ) -> Self {
        let now = Instant::now();
        Self {
            chain,
            snapshots,
            observed,
            falls_asleep,
            commands,
            falls_asleep_within: FALLS_ASLEEP_WITHIN,
            awake_until: now + AWAKE_FOR,
            asks_until: None,
            next_wake: now,
        }
    }

    /// Follows the chain, for ever.
    pub async fn run(mut self) {
        while self.snapshots.changed().await.is_ok() {
            if let Err(why) = self.step().await {
                warn!("can't obey the farmer's power target: {why:#}");
            }
        }
    }

    async fn step(&mut self) -> Result<()> {
        let Some(snapshot) = self.snapshots.borrow_and_update().clone() else { return Ok(()) };
        if let Some(command) = self.commands.wake_command.clone() {
            self.wake_others(&command, &snapshot).await?;
        }
        let Some(command) = self.commands.sleep_command.clone() else { return Ok(()) };
        let power = self.chain.power(&snapshot.head).await?;
        let is_asleep = power.state == PowerState::Standby;
        // The word of one endpoint that is behind puts nobody's machines to sleep.
        let is_empty = power.contracts == 0
            && snapshot.contracts.is_empty()
            && self.observed.borrow().is_empty()
            && snapshot.may_destroy(unix_ms()).is_ok();
        let is_wanted = power.target == PowerState::Standby && is_empty;
        if self.asks_until.is_some_and(|until| until <= Instant::now()) && !is_asleep {
            // Without heartbeats the node would be offline, and may not sleep then.
            warn!("the chain doesn't take that this node sleeps: staying awake");
            self.awake_until = Instant::now() + AWAKE_FOR;
        }
        let falls_asleep = is_wanted && self.awake_until <= Instant::now();
        self.asks_until = falls_asleep.then(|| self.asks_until.unwrap_or_else(|| Instant::now() + ASKS_FOR));
        self.falls_asleep.send_if_modified(|sent| std::mem::replace(sent, falls_asleep) != falls_asleep);
        if falls_asleep && is_asleep {
            self.fall_asleep(&command).await?;
        }
        Ok(())
    }

    /// Returns once the machine is awake. The next heartbeat tells the chain.
    async fn fall_asleep(&mut self, command: &Path) -> Result<()> {
        info!(command = %command.display(), "nothing runs here, and the farmer wants this machine to sleep");
        let ended = run(command, None).await;
        if ended.is_ok() {
            sleep(self.falls_asleep_within).await;
            info!("awake");
        }
        self.awake_until = Instant::now() + AWAKE_FOR;
        self.asks_until = None;
        self.falls_asleep.send_replace(false);
        ended
    }

    async fn wake_others(&mut self, command: &Path, snapshot: &Snapshot) -> Result<()> {
        if Instant::now() < self.next_wake {
            return Ok(());
        }
        self.next_wake = Instant::now() + WAKE_EVERY;
        for node in self.chain.nodes_to_wake(&snapshot.head).await? {
            info!(node, "waking a node of the farm");
            if let Err(why) = run(command, Some(node)).await {
                warn!(node, "{why:#}");
            }
        }
        Ok(())
    }
}

async fn run(program: &Path, node: Option<NodeId>) -> Result<()> {
    let shown = program.display();
    let mut command = Command::new(program);
    command.kill_on_drop(true).stdin(Stdio::null()).envs(node.map(|node| (NODE_VARIABLE, node.to_string())));
    let output = timeout(COMMAND_TIMEOUT, command.output()).await;
    let output = output.with_context(|| format!("{shown} took more than {COMMAND_TIMEOUT:?}"))?;
    let output = output.with_context(|| format!("can't run {shown}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{shown} failed ({}): {}", output.status, complaint.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{Head, HeadAge, fake::FakeChain};
    use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt};
    use tempfile::TempDir;

    /// A program that notes each of its runs with the node that it is to wake.
    fn program(folder: &TempDir, name: &str) -> (PathBuf, PathBuf) {
        let (file, runs) = (folder.path().join(name), folder.path().join(format!("{name}.runs")));
        let script = format!("#!/bin/sh\necho \"run $ZOS_NODE\" >>{}\n", runs.display());
        fs::write(&file, script).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).unwrap();
        (file, runs)
    }

    /// A node that can fall asleep, and the file with the runs of its command.
    fn sleeper(folder: &TempDir) -> (PowerArgs, PathBuf) {
        let (command, runs) = program(folder, "sleep");
        (PowerArgs { sleep_command: Some(command), wake_command: None }, runs)
    }

    fn runs(file: &Path) -> String {
        fs::read_to_string(file).unwrap_or_default()
    }

    fn power(chain: &FakeChain, commands: PowerArgs) -> (Power, watch::Receiver<bool>) {
        let head = Head { number: 1, hash: [1; 32], timestamp_ms: unix_ms() };
        let snapshot = Snapshot {
            head,
            age: HeadAge::New,
            contracts: BTreeMap::new(),
            limits: chain.limits,
            grants: Default::default(),
        };
        let snapshots = watch::channel(Some(Arc::new(snapshot))).1;
        let (falls_asleep, told) = watch::channel(false);
        (
            Power::new(
                Arc::new(chain.clone()),
                snapshots,
                watch::channel(Arc::default()).1,
                falls_asleep,
                commands,
            ),
            told,
        )
    }

    #[tokio::test]
    async fn an_empty_node_sleeps_once_the_chain_knows_it() {
        let (folder, chain) = (tempfile::tempdir().unwrap(), FakeChain::new());
        let (sleeper, sleeps) = sleeper(&folder);
        let (mut power, told) = power(&chain, sleeper);
        chain.set_power(PowerState::Standby, PowerState::Up);

        power.step().await.unwrap();
        assert!(!*told.borrow(), "a machine that has just started stays awake");
        (power.awake_until, power.falls_asleep_within) = (Instant::now(), Duration::ZERO);
        power.step().await.unwrap();
        assert!(*told.borrow() && runs(&sleeps).is_empty());
        chain.set_power(PowerState::Standby, PowerState::Standby);
        power.step().await.unwrap();
        assert_eq!((runs(&sleeps).as_str(), *told.borrow()), ("run \n", false));
        power.step().await.unwrap();
        assert_eq!(runs(&sleeps), "run \n", "it has just woken");
    }

    #[tokio::test]
    async fn a_rented_node_stays_awake() {
        let (folder, chain) = (tempfile::tempdir().unwrap(), FakeChain::new());
        let (sleeper, _) = sleeper(&folder);
        let (mut power, told) = power(&chain, sleeper);
        power.awake_until = Instant::now();
        chain.set_power(PowerState::Standby, PowerState::Up);
        chain.rent();
        power.step().await.unwrap();
        assert!(!*told.borrow());
    }

    #[tokio::test]
    async fn a_node_whose_sleep_the_chain_does_not_take_stays_awake() {
        let (folder, chain) = (tempfile::tempdir().unwrap(), FakeChain::new());
        let (sleeper, sleeps) = sleeper(&folder);
        let (mut power, told) = power(&chain, sleeper);
        power.awake_until = Instant::now();
        chain.set_power(PowerState::Standby, PowerState::Up);
        power.step().await.unwrap();
        assert!(*told.borrow());
        power.asks_until = Some(Instant::now());
        power.step().await.unwrap();
        assert!(!*told.borrow() && runs(&sleeps).is_empty());
    }

    #[tokio::test]
    async fn a_node_without_a_command_or_a_target_stays_awake() {
        let (folder, chain) = (tempfile::tempdir().unwrap(), FakeChain::new());
        chain.set_power(PowerState::Standby, PowerState::Standby);
        let (mut without, told) = power(&chain, PowerArgs::default());
        without.awake_until = Instant::now();
        without.step().await.unwrap();
        assert!(!*told.borrow());

        chain.set_power(PowerState::Up, PowerState::Up);
        let (sleeper, sleeps) = sleeper(&folder);
        let (mut with, told) = power(&chain, sleeper);
        with.awake_until = Instant::now();
        with.step().await.unwrap();
        assert!(!*told.borrow() && runs(&sleeps).is_empty());
    }

    #[tokio::test]
    async fn sleeping_nodes_are_woken_once_a_minute() {
        let (folder, chain) = (tempfile::tempdir().unwrap(), FakeChain::new());
        let (wake_command, wakes) = program(&folder, "wake");
        let (mut power, _told) =
            power(&chain, PowerArgs { sleep_command: None, wake_command: Some(wake_command) });
        chain.set_nodes_to_wake(&[4, 9]);
        power.step().await.unwrap();
        power.step().await.unwrap();
        assert_eq!(runs(&wakes), "run 4\nrun 9\n");
    }

    #[tokio::test]
    async fn a_command_that_fails_is_told_with_its_words() {
        let error = run(Path::new("/bin/false"), None).await.unwrap_err().to_string();
        assert!(error.starts_with("/bin/false failed (exit status: 1)"), "{error}");
        let error = run(Path::new("/no/such"), None).await.unwrap_err().to_string();
        assert_eq!(error, "can't run /no/such");
    }
}
