// SPDX-License-Identifier: Apache-2.0
//! Rules beside Docker's, which lets nothing pass but packets of its own containers.

use super::{dockerd::IPTABLES, tools::run};
use anyhow::{Context, Result};
use std::fs;

/// Docker's chain for the rules of others.
const DOCKER_USER: &str = "DOCKER-USER";

/// Rules for packets that this host forwards, as `iptables` writes them.
pub struct Forwarding(pub [&'static [&'static str]; 2]);

impl Forwarding {
    /// Whether Docker lets these packets pass. Without its chain, there is no Docker that refuses them.
    pub async fn is_allowed(&self) -> bool {
        if run(&IPTABLES, &["-w", "-n", "-L", DOCKER_USER]).await.is_err() {
            return true;
        }
        for rule in self.0 {
            if run(&IPTABLES, &[&["-w", "-C", DOCKER_USER][..], rule].concat()).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Lets this host forward packets, and Docker pass these.
    ///
    /// # Errors
    /// If a tool fails.
    pub async fn allow(&self) -> Result<()> {
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("can't let this host forward packets")?;
        if self.is_allowed().await {
            return Ok(());
        }
        for rule in self.0 {
            run(&IPTABLES, &[&["-w", "-I", DOCKER_USER][..], rule].concat()).await?;
        }
        Ok(())
    }

    /// Takes the rules back.
    pub async fn forbid(&self) {
        for rule in self.0 {
            // It may be missing, as may the chain.
            while run(&IPTABLES, &[&["-w", "-D", DOCKER_USER][..], rule].concat()).await.is_ok() {}
        }
    }
}
