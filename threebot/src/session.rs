// SPDX-License-Identifier: Apache-2.0
//! A connection to the chain and the caller's key.

use crate::cli::Global;
use anyhow::{bail, Context, Result};
use std::fs;
use tfgrid_client::{parse_suri, primitives::TwinId, AccountId32, At, GridClient, Keypair};

pub struct Session {
    pub grid: GridClient,
    pub key: Keypair,
    /// Where the chain is.
    pub url: String,
    /// Whether a machine listens.
    pub json: bool,
}

impl Session {
    /// Reads the key and connects, in this order: a wrong key needs no chain.
    pub async fn open(global: &Global) -> Result<Self> {
        let key = read_key(global)?;
        let grid = GridClient::connect(&global.url).await?;
        Ok(Self { grid, key, url: global.url.clone(), json: global.json })
    }

    pub fn account(&self) -> AccountId32 {
        self.key.public_key().to_account_id()
    }

    /// The caller's twin at a block.
    pub async fn twin(&self, at: &At) -> Result<TwinId> {
        match at.twin_of(&self.account()).await? {
            Some(twin) => Ok(twin),
            None => bail!(
                "the account {} has no twin yet: create one with `threebot twin create`",
                self.account()
            ),
        }
    }
}

fn read_key(global: &Global) -> Result<Keypair> {
    let suri = match (&global.key, &global.key_file) {
        (Some(suri), _) => suri.clone(),
        (None, Some(file)) => {
            fs::read_to_string(file).with_context(|| format!("can't read the key file {}", file.display()))?
        }
        (None, None) => bail!(
            "no key: give one with --key, --key-file or TFGRID_KEY; on a development chain //Bob will do"
        ),
    };
    Ok(parse_suri(suri.trim())?)
}
