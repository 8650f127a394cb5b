// SPDX-License-Identifier: Apache-2.0
//! A connection to the chain and the caller's key.

use crate::{
    cli::Global,
    foreseen::Foreseen,
    keyring::{KeyFile, Keyring, is_key_name},
    output::{Usage, warn},
    team::{self, Signed},
    time::{exact_moment, now, stretch},
};
use anyhow::{Context, Result, bail};
use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use subxt::transactions::Payload;
use tfgrid_client::{
    AccountId32, GridAt, GridClient, Included, Keypair, Scheme, StoredKey, Team, api,
    primitives::{Balance, TwinId, UnixSeconds},
    team::all_of,
};

/// How far the newest finalized block may be from this computer's clock.
const CLOCKS_DIFFER_SECONDS: u64 = 600;

pub struct Session {
    pub grid: GridClient,
    key: Option<Keypair>,
    /// Whose account the caller acts for, if it isn't that of the key.
    team: Option<Team>,
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
        let (key, team) = (read_key(global)?, team_of(global)?);
        let session = Self { key: Some(key.pair().clone()), ..Self::anonymous(global).await? };
        if !global.allow_development_key && key.is_development_key()? && session.grid.is_live().await? {
            bail!(DevelopmentKey);
        }
        match team {
            Some(team) => session.acting_for(team),
            None => Ok(session),
        }
    }

    /// The same for the account of a team.
    ///
    /// # Errors
    /// If the key isn't one of its signatories.
    pub fn acting_for(self, team: Team) -> Result<Self> {
        let own = self.key()?.account();
        if !team.signatories().contains(&own) {
            let text = format!("your key's account {own} isn't one of the signatories of {}", team.account());
            bail!(Usage::new(text));
        }
        Ok(Self { team: Some(team), ..self })
    }

    /// For a caller who only reads about this account, or else about that of the key.
    pub async fn about(global: &Global, account: Option<AccountId32>) -> Result<(Self, AccountId32)> {
        let of_team = || Ok::<_, anyhow::Error>(team_of(global)?.map(|team| team.account()));
        if let Some(account) = account.map_or_else(of_team, |account| Ok(Some(account)))? {
            return Ok((Self::anonymous(global).await?, account));
        }
        let session = Self::open(global).await?;
        let account = session.account()?;
        Ok((session, account))
    }

    /// For a caller who only reads.
    pub async fn anonymous(global: &Global) -> Result<Self> {
        let grid = GridClient::connect(&global.chain).await?;
        let head_ms = grid.finalized().await?.timestamp_ms().await?;
        if let Some(difference) = clocks_differ(head_ms / 1_000, now()) {
            warn(&difference, global.json);
        }
        Ok(Self { grid, key: None, team: None, chain: global.chain.clone(), json: global.json })
    }

    /// The caller's own key, also where the caller acts for a team.
    pub fn key(&self) -> Result<&Keypair> {
        Ok(self.key.as_ref().ok_or(NoKey)?)
    }

    /// Signs a call with the caller's key and waits until it is finalized.
    ///
    /// # Errors
    /// [`team::Proposed`] if the caller acts for a team, and others must sign before the call is made.
    pub async fn submit(&self, what: &str, call: &impl Payload) -> Result<Included> {
        let Some(team) = &self.team else { return Ok(self.grid.submit(what, call, self.key()?).await?) };
        match team::propose(self, what, team, call).await? {
            Signed::Made(included) => Ok(included),
            Signed::Awaits(proposed) => bail!(proposed),
        }
    }

    /// The same after a deposit into the caller's credit, if there is one: both are made, or neither.
    pub async fn submit_after(
        &self,
        deposit: Option<Balance>,
        what: &str,
        call: &impl Payload,
    ) -> Result<Included> {
        let Some(amount) = deposit else { return self.submit(what, call).await };
        let at = self.grid.finalized().await?;
        let deposit = api::transactions().billing().deposit(self.twin(&at).await?, amount);
        let calls = vec![at.encoded("deposit", &deposit)?, at.encoded(what, call)?];
        self.submit(what, &all_of(calls)).await
    }

    /// The most that a call costs the caller's account, in 1e-7 TFT; nothing is sent. That of a team pays no fees.
    pub async fn fee(&self, what: &str, call: &impl Payload) -> Result<Balance> {
        if self.team.is_some() {
            return Ok(0);
        }
        Ok(self.grid.fee(what, call, self.key()?).await?)
    }

    /// The account that the caller acts for: the key's own, or that of the team.
    pub fn account(&self) -> Result<AccountId32> {
        self.team.as_ref().map_or_else(|| self.key().map(Keypair::account), |team| Ok(team.account()))
    }

    /// Fails where the caller acts for a team: `what` is signed by one key.
    pub fn ensure_alone(&self, what: &str) -> Result<()> {
        match &self.team {
            None => Ok(()),
            Some(_) => bail!(Usage::new(format!("{what} is signed by one key: leave out --team"))),
        }
    }

    /// The caller's twin at a block.
    pub async fn twin(&self, at: &GridAt) -> Result<TwinId> {
        let account = self.account()?;
        match at.twin_of(&account).await? {
            Some(twin) => Ok(twin),
            None => bail!(Foreseen::new(
                "Twins.NoTwin",
                format!("the account {account} has no twin yet: create one with `threebot twin create`")
            )),
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

/// A warning if the newest finalized block and this computer's clock differ. The first block has no time.
fn clocks_differ(head: UnixSeconds, now: UnixSeconds) -> Option<String> {
    if head == 0 || head.abs_diff(now) <= CLOCKS_DIFFER_SECONDS {
        return None;
    }
    let order = if head < now { "behind" } else { "ahead of" };
    Some(format!(
        "the newest finalized block is of {}, {} {order} this computer's clock: the node of --chain is behind or \
         makes no blocks, or the clock is wrong",
        exact_moment(head),
        stretch(head.abs_diff(now))
    ))
}

/// The team that is named.
fn team_of(global: &Global) -> Result<Option<Team>> {
    global.team.as_ref().map(|name| Keyring::of_user()?.team(name)).transpose()
}

/// The key of the first of these that is there: --key, --key-file, TFGRID_KEY, TFGRID_KEY_FILE, the default of
/// `threebot key`.
pub fn read_key(global: &Global) -> Result<StoredKey> {
    let variable = |name| env::var_os(name);
    let text = if let Some(text) = &global.key {
        text.clone()
    } else if let Some(file) = &global.key_file {
        return key_in(file);
    } else if let Some(text) = variable("TFGRID_KEY") {
        text.into_string().ok().context(Usage::new("TFGRID_KEY isn't UTF-8"))?
    } else if let Some(file) = variable("TFGRID_KEY_FILE") {
        return key_in(&PathBuf::from(file));
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

/// The key whose secret a file has. Names aren't taken: an error would tell a short secret as one that is unknown.
fn key_in(file: &Path) -> Result<StoredKey> {
    let key = StoredKey::new(Scheme::Sr25519, read_key_file(file)?.trim());
    key.with_context(|| format!("can't use the key file {}", file.display()))
}

/// The text of a key file.
///
/// # Errors
/// If it can't be read, or others can read it.
pub fn read_key_file(file: &Path) -> Result<String> {
    let name = file.display();
    let unreadable = |source| KeyFile::Unreadable { file: name.to_string(), source };
    let mode = fs::metadata(file).map_err(unreadable)?.permissions().mode();
    let credentials = env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    if !is_private(mode, file, credentials.as_deref()) {
        bail!(KeyFile::Public(name.to_string()));
    }
    Ok(fs::read_to_string(file).map_err(unreadable)?)
}

/// Whether a file with this mode is its user's alone. In its folder of credentials, systemd lets a service's user in
/// by an access control list, which shows as a right of the group; others don't get into the folder.
fn is_private(mode: u32, file: &Path, credentials: Option<&Path>) -> bool {
    let is_credential = credentials.is_some_and(|folder| folder.is_absolute() && file.starts_with(folder));
    let rights_of_others = if is_credential { 0o037 } else { 0o077 };
    mode & rights_of_others == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_wrong_is_told() {
        let now = 1_700_000_000;
        for head in [0, now, now - 600, now + 600] {
            assert_eq!(clocks_differ(head, now), None, "{head}");
        }
        assert!(clocks_differ(now - 7_200, now).unwrap().contains("2 h 0 min behind this computer's clock"));
        assert!(
            clocks_differ(now + 7_200, now).unwrap().contains("2 h 0 min ahead of this computer's clock")
        );
    }

    #[test]
    fn a_credential_of_systemd_is_private() {
        let (folder, file) =
            (Path::new("/run/credentials/heal.service"), "/run/credentials/heal.service/key");
        let is_private = |mode, file: &str, folder| is_private(mode, Path::new(file), folder);
        assert!(is_private(0o100_440, file, Some(folder)) && is_private(0o100_400, file, None));
        for (mode, file, folder) in [
            (0o100_440, file, None),
            (0o100_440, "/etc/heal/key", Some(folder)),
            (0o100_440, "key", Some(Path::new(""))),
            (0o100_444, file, Some(folder)),
            (0o100_460, file, Some(folder)),
        ] {
            assert!(!is_private(mode, file, folder), "{mode:o} {file}");
        }
    }
}
