// SPDX-License-Identifier: Apache-2.0
//! A connection to the chain and the caller's key.

use crate::{
    cli::Global,
    keyring::{KeyFile, Keyring, is_key_name},
};
use anyhow::{Context, Result, bail};
use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use subxt::transactions::Payload;
use tfgrid_client::{
    AccountId32, GridAt, GridClient, Included, Keypair, Scheme, StoredKey,
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
#[error(
    "no key: make one with `threebot key new NAME`, or give one with --key, --key-file or TFGRID_KEY; on a development \
     chain //Bob will do"
)]
pub struct NoKey;

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
        let key = read_key(global)?;
        let session = Self { key: Some(key.pair().clone()), ..Self::anonymous(global).await? };
        if !global.allow_development_key && key.is_development_key()? && session.grid.is_live().await? {
            bail!(DevelopmentKey);
        }
        Ok(session)
    }

    /// For a caller who only reads about this account, or else about that of the key.
    pub async fn about(global: &Global, account: Option<AccountId32>) -> Result<(Self, AccountId32)> {
        if let Some(account) = account {
            return Ok((Self::anonymous(global).await?, account));
        }
        let session = Self::open(global).await?;
        let account = session.account()?;
        Ok((session, account))
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
        Ok(self.key()?.account())
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

/// The key of the first of these that is there: --key, --key-file, TFGRID_KEY, TFGRID_KEY_FILE, the default of
/// `threebot key`.
pub fn read_key(global: &Global) -> Result<StoredKey> {
    let variable = |name| env::var_os(name);
    let text = if let Some(text) = &global.key {
        text.clone()
    } else if let Some(file) = &global.key_file {
        read_key_file(file)?
    } else if let Some(text) = variable("TFGRID_KEY") {
        text.into_string().ok().context("TFGRID_KEY isn't UTF-8")?
    } else if let Some(file) = variable("TFGRID_KEY_FILE") {
        read_key_file(&PathBuf::from(file))?
    } else if let Some(name) = Keyring::of_user().ok().and_then(|keys| keys.default_key()) {
        name
    } else {
        bail!(NoKey)
    };
    match text.trim() {
        name if is_key_name(name) => Keyring::of_user()?.open(name, global),
        suri => Ok(StoredKey::new(Scheme::Sr25519, suri)?),
    }
}

/// The text of a key file.
///
/// # Errors
/// If it can't be read, or others can read it.
pub fn read_key_file(file: &Path) -> Result<String> {
    let name = file.display();
    let unreadable = |source| KeyFile::Unreadable { file: name.to_string(), source };
    let mode = fs::metadata(file).map_err(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        bail!(KeyFile::Public(name.to_string()));
    }
    Ok(fs::read_to_string(file).map_err(unreadable)?)
}
