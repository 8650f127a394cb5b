// SPDX-License-Identifier: Apache-2.0
//! A connection to the chain and the caller's key.

use crate::cli::Global;
use anyhow::{Context, Result, bail};
use std::fs;
use subxt::transactions::Payload;
use tfgrid_client::{AccountId32, At, GridClient, Included, Keypair, parse_suri, primitives::TwinId};

pub struct Session {
    pub grid: GridClient,
    key: Option<Keypair>,
    /// Where the chain is.
    pub chain: String,
    /// Whether a machine listens.
    pub json: bool,
}

impl Session {
    /// Reads the key and connects, in this order: a wrong key needs no chain. Who only looks needs none.
    pub async fn open(global: &Global, needs_key: bool) -> Result<Self> {
        let key = match read_key(global)? {
            None if needs_key => bail!(NO_KEY),
            key => key,
        };
        let grid = GridClient::connect(&global.chain).await?;
        Ok(Self { grid, key, chain: global.chain.clone(), json: global.json })
    }

    /// The caller's key.
    pub fn key(&self) -> Result<&Keypair> {
        self.key.as_ref().context(NO_KEY)
    }

    /// Signs a call with it and waits until it is finalized.
    pub async fn submit(&self, what: &str, call: &impl Payload) -> Result<Included> {
        Ok(self.grid.submit(what, call, self.key()?).await?)
    }

    pub fn account(&self) -> Result<AccountId32> {
        Ok(self.key()?.public_key().to_account_id())
    }

    /// The caller's twin at a block.
    pub async fn twin(&self, at: &At) -> Result<TwinId> {
        let account = self.account()?;
        match at.twin_of(&account).await? {
            Some(twin) => Ok(twin),
            None => bail!("the account {account} has no twin yet: create one with `threebot twin create`"),
        }
    }
}

const NO_KEY: &str =
    "no key: give one with --key, --key-file or TFGRID_KEY; on a development chain //Bob will do";

fn read_key(global: &Global) -> Result<Option<Keypair>> {
    let suri = match (&global.key, &global.key_file) {
        (Some(suri), _) => suri.clone(),
        (None, Some(file)) => {
            fs::read_to_string(file).with_context(|| format!("can't read the key file {}", file.display()))?
        }
        (None, None) => return Ok(None),
    };
    Ok(Some(parse_suri(suri.trim())?))
}
