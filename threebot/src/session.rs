// SPDX-License-Identifier: Apache-2.0
//! A connection to the chain and the caller's key.

use crate::{cli::Global, output::warn};
use anyhow::{Context, Result, bail};
use std::{
    env, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use subxt::transactions::Payload;
use tfgrid_client::{
    AccountId32, GridAt, GridClient, Included, Keypair, is_development_key, parse_suri,
    primitives::{Balance, TwinId},
};

pub struct Session {
    pub grid: GridClient,
    key: Option<Keypair>,
    /// RPC address of the chain.
    pub chain: String,
    /// Whether answers are JSON.
    pub json: bool,
}

/// There is no key for a command that needs one.
#[derive(Debug, thiserror::Error)]
#[error("no key: give one with --key, --key-file or TFGRID_KEY; on a development chain //Bob will do")]
pub struct NoKey;

/// A key file that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("can't read the key file {file}: {source}")]
pub struct KeyFile {
    file: String,
    source: io::Error,
}

/// A key of the public development phrase, on a chain where TFT have a value.
#[derive(Debug, thiserror::Error)]
#[error(
    "this key comes from the public development phrase: everybody can empty its account. Use a key of your own, or \
     --allow-development-key if you mean it"
)]
pub struct DevelopmentKey;

impl Session {
    /// For a caller who acts: reads the key before anything is connected.
    pub async fn open(global: &Global) -> Result<Self> {
        let suri = read_key(global)?;
        let key = parse_suri(&suri)?;
        let session = Self { key: Some(key), ..Self::anonymous(global).await? };
        if !global.allow_development_key && is_development_key(&suri)? && session.grid.is_live().await? {
            bail!(DevelopmentKey);
        }
        Ok(session)
    }

    /// For a caller who only reads.
    pub async fn anonymous(global: &Global) -> Result<Self> {
        let grid = GridClient::connect(&global.chain).await?;
        Ok(Self { grid, key: None, chain: global.chain.clone(), json: global.json })
    }

    /// The caller's key.
    pub fn key(&self) -> Result<&Keypair> {
        Ok(self.key.as_ref().ok_or(NoKey)?)
    }

    /// Signs a call with the caller's key and waits until it is finalized.
    pub async fn submit(&self, what: &str, call: &impl Payload) -> Result<Included> {
        Ok(self.grid.submit(what, call, self.key()?).await?)
    }

    /// The most that a call costs the caller's account, in 1e-7 TFT; nothing is sent.
    pub async fn fee(&self, what: &str, call: &impl Payload) -> Result<Balance> {
        Ok(self.grid.fee(what, call, self.key()?).await?)
    }

    pub fn account(&self) -> Result<AccountId32> {
        Ok(self.key()?.public_key().to_account_id())
    }

    /// The caller's twin at a block.
    pub async fn twin(&self, at: &GridAt) -> Result<TwinId> {
        let account = self.account()?;
        match at.twin_of(&account).await? {
            Some(twin) => Ok(twin),
            None => bail!("the account {account} has no twin yet: create one with `threebot twin create`"),
        }
    }

    /// `twin`, or else the caller's.
    pub async fn twin_or_own(&self, at: &GridAt, twin: Option<TwinId>) -> Result<TwinId> {
        match twin {
            Some(twin) => Ok(twin),
            None => self.twin(at).await,
        }
    }
}

/// The key of the first of these that is there: --key, --key-file, TFGRID_KEY, TFGRID_KEY_FILE.
fn read_key(global: &Global) -> Result<String> {
    let variable = |name| env::var_os(name);
    let suri = if let Some(suri) = &global.key {
        suri.clone()
    } else if let Some(file) = &global.key_file {
        read_key_file(file, global.json)?
    } else if let Some(suri) = variable("TFGRID_KEY") {
        suri.into_string().ok().context("TFGRID_KEY isn't UTF-8")?
    } else if let Some(file) = variable("TFGRID_KEY_FILE") {
        read_key_file(&PathBuf::from(file), global.json)?
    } else {
        bail!(NoKey)
    };
    Ok(suri.trim().into())
}

/// The text of a key file. Warns of one that others can read.
pub fn read_key_file(file: &Path, json: bool) -> Result<String> {
    let name = file.display();
    let unreadable = |source| KeyFile { file: name.to_string(), source };
    let text = fs::read_to_string(file).map_err(unreadable)?;
    let mode = fs::metadata(file).map_err(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        warn(&format!("others can read the key file {name}: `chmod 600 {name}` keeps them out"), json);
    }
    Ok(text)
}
