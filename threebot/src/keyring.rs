// SPDX-License-Identifier: Apache-2.0
//! The keys that this user has by name: encrypted files in the configuration folder.

use crate::{cli::Global, device::config_folder, durable, output::Usage, secret};
use anyhow::{Context, Result, bail};
use std::{fs, io, os::unix::fs::PermissionsExt, path::PathBuf};
use tfgrid_client::{AccountId32, StoredKey, Team, stored_key::StoredKeyError};

/// The most characters of a key's name.
const MAX_NAME: usize = 32;

/// A key that can't be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyFile {
    #[error("can't read the key file {file}: {source}")]
    Unreadable { file: String, source: io::Error },
    #[error("others can read the key file {0}: `chmod 600 {0}` keeps them out")]
    Public(String),
    #[error("can't open the key file {file}: {source}")]
    Locked { file: String, source: StoredKeyError },
    #[error(
        "can't open the key file {file}: its {bytes} bytes aren't an age file with a passphrase; put a copy of the key \
         there, or remove it with `threebot key remove {name}` and import its phrase"
    )]
    NotAKey { name: String, file: String, bytes: usize },
    #[error("you have no key named {0:?}: `threebot key list` lists those that you have")]
    Unknown(String),
    #[error("you have a key named {0:?} already: `threebot key remove {0}` removes it")]
    Taken(String),
    #[error(
        "the key asks for its passphrase: run this on a terminal without --json, or give --passphrase-fd"
    )]
    NoTerminal,
    #[error("can't read the passphrase from file descriptor {fd}: {source}")]
    NoPassphrase { fd: u32, source: io::Error },
    #[error("the two passphrases differ: nothing was done")]
    Differ,
}

/// The folder of the keys: `NAME.age` is a key, `NAME.account` its public half, `default` names one of them.
/// `NAME.team` is a team: how many must sign, and below it the signatories, one a line.
pub struct Keyring {
    folder: PathBuf,
}

/// What is known of a key without its passphrase.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyInfo {
    pub name: String,
    /// `sr25519` or `ed25519`; empty if its file is missing.
    pub scheme: String,
    pub account: String,
    pub is_default: bool,
}

/// Whether a text names a key: 1 to 32 letters, digits, - and _. No secret URI does.
pub fn is_key_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(allowed)
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && !text.starts_with("0x")
}

/// The name of a key.
pub fn parse_key_name(text: &str) -> Result<String, String> {
    if is_key_name(text) {
        return Ok(text.into());
    }
    // It may be a secret that stands in the wrong place.
    Err(format!("a key's name has 1 to {MAX_NAME} letters, digits, - and _, and doesn't begin with 0x"))
}

impl Keyring {
    pub fn of_user() -> Result<Self> {
        Ok(Self { folder: config_folder("keep keys")?.join("threebot/keys") })
    }

    /// The default key's name, if there is one.
    pub fn default_key(&self) -> Option<String> {
        let name = fs::read_to_string(self.folder.join("default")).ok()?;
        Some(name.trim().into()).filter(|name: &String| is_key_name(name))
    }

    /// The key with this name; asks for its passphrase.
    pub fn open(&self, name: &str, global: &Global) -> Result<StoredKey> {
        let file = self.existing(name)?;
        let shown = file.display().to_string();
        let metadata =
            fs::metadata(&file).map_err(|source| KeyFile::Unreadable { file: shown.clone(), source })?;
        let mode = metadata.permissions().mode();
        if mode & 0o077 != 0 {
            bail!(KeyFile::Public(shown));
        }
        let sealed = self.read(name)?;
        let passphrase = secret::passphrase(global, &format!("Passphrase of the key {name}: "))?;
        let key = StoredKey::decrypt(&sealed, passphrase);
        Ok(key.map_err(|source| KeyFile::Locked { file: shown, source })?)
    }

    /// The encrypted file of a key.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, KeyFile> {
        let path = self.existing(name)?;
        let file = path.display().to_string();
        match fs::read(path) {
            Ok(sealed) if StoredKey::is_key_file(&sealed) => Ok(sealed),
            Ok(other) => Err(KeyFile::NotAKey { name: name.into(), file, bytes: other.len() }),
            Err(source) => Err(KeyFile::Unreadable { file, source }),
        }
    }

    /// Keeps a new key. The first one is the default.
    pub fn add(&self, name: &str, key: &StoredKey, passphrase: String) -> Result<()> {
        self.ensure_free(name)?;
        let sealed = key.encrypt(passphrase)?;
        durable::create_folder(&self.folder)?;
        let account = format!("{} {}\n", key.scheme().name(), key.pair().account());
        durable::replace(&self.account_file(name), account.as_bytes())?;
        let file = self.file(name);
        durable::write_new(&file, &sealed)
            .with_context(|| format!("can't write the key file {}", file.display()))?;
        if self.default_key().is_none() {
            self.set_default(name)?;
        }
        Ok(())
    }

    pub fn set_default(&self, name: &str) -> Result<()> {
        self.existing(name)?;
        durable::replace(&self.folder.join("default"), format!("{name}\n").as_bytes())
    }

    /// Removes a key for good.
    pub fn remove(&self, name: &str) -> Result<()> {
        let file = self.existing(name)?;
        fs::remove_file(&file).with_context(|| format!("can't remove the key file {}", file.display()))?;
        let _ = fs::remove_file(self.account_file(name));
        if self.default_key().as_deref() == Some(name) {
            let default = self.folder.join("default");
            fs::remove_file(&default).with_context(|| format!("can't remove {}", default.display()))?;
        }
        Ok(())
    }

    /// What is known of a key without its passphrase.
    pub fn info(&self, name: &str) -> Result<KeyInfo> {
        self.existing(name)?;
        let text = fs::read_to_string(self.account_file(name)).unwrap_or_default();
        let (scheme, account) = text.trim().split_once(' ').unwrap_or_default();
        Ok(KeyInfo {
            name: name.into(),
            scheme: scheme.into(),
            account: account.into(),
            is_default: self.default_key().as_deref() == Some(name),
        })
    }

    /// All keys, by name.
    pub fn list(&self) -> Result<Vec<KeyInfo>> {
        self.names("age")?.iter().map(|name| self.info(name)).collect()
    }

    /// The names of the files with this extension, in order.
    fn names(&self, extension: &str) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(error).with_context(|| format!("can't read {}", self.folder.display()));
            }
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.with_context(|| format!("can't read {}", self.folder.display()))?;
            let name = entry.file_name().into_string().ok();
            let name = name.as_deref().and_then(|name| name.rsplit_once('.'));
            names.extend(name.filter(|(_, of)| *of == extension).map(|(name, _)| name.to_owned()));
        }
        names.retain(|name| is_key_name(name));
        names.sort_unstable();
        Ok(names)
    }

    /// Keeps a new team.
    pub fn add_team(&self, name: &str, team: &Team) -> Result<()> {
        let file = self.team_file(name);
        let signatories = team.signatories().iter().map(|account| format!("{account}\n"));
        let text = format!("{}\n{}", team.threshold(), signatories.collect::<String>());
        durable::create_folder(&self.folder)?;
        match durable::write_new(&file, text.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let text = format!(
                    "you have a team named {name:?} already: `threebot team remove {name}` removes it"
                );
                bail!(Usage::new(text))
            }
            written => written.with_context(|| format!("can't write the team file {}", file.display())),
        }
    }

    /// The team with this name.
    pub fn team(&self, name: &str) -> Result<Team> {
        let file = self.team_file(name);
        let text = match fs::read_to_string(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = format!(
                    "you have no team named {name:?}: `threebot team list` lists those that you have"
                );
                bail!(Usage::new(text))
            }
            read => read.with_context(|| format!("can't read the team file {}", file.display()))?,
        };
        let damaged = || format!("the team file {} is damaged: make the team anew", file.display());
        let mut lines = text.lines();
        let threshold = lines.next().and_then(|line| line.parse().ok()).with_context(damaged)?;
        let signatories: Result<Vec<AccountId32>, _> = lines.map(str::parse).collect();
        Team::new(signatories.with_context(damaged)?, threshold).with_context(damaged)
    }

    /// All teams, by name.
    pub fn teams(&self) -> Result<Vec<(String, Team)>> {
        self.names("team")?.into_iter().map(|name| self.team(&name).map(|team| (name, team))).collect()
    }

    pub fn remove_team(&self, name: &str) -> Result<()> {
        self.team(name)?;
        let file = self.team_file(name);
        fs::remove_file(&file).with_context(|| format!("can't remove the team file {}", file.display()))
    }

    /// Fails if a key has this name.
    pub fn ensure_free(&self, name: &str) -> Result<()> {
        if self.file(name).exists() {
            bail!(KeyFile::Taken(name.into()));
        }
        Ok(())
    }

    fn existing(&self, name: &str) -> Result<PathBuf, KeyFile> {
        let file = self.file(name);
        if file.exists() { Ok(file) } else { Err(KeyFile::Unknown(name.into())) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name).with_extension("age")
    }

    fn account_file(&self, name: &str) -> PathBuf {
        self.folder.join(name).with_extension("account")
    }

    fn team_file(&self, name: &str) -> PathBuf {
        self.folder.join(name).with_extension("team")
    }

    #[cfg(test)]
    fn at(folder: &std::path::Path) -> Self {
        Self { folder: folder.join("keys") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;
    use std::path::Path;
    use tfgrid_client::Scheme;

    /// The options of a command that gets this passphrase.
    fn global(folder: &Path, passphrase: &str) -> (Global, fs::File) {
        let file = folder.join("passphrase");
        fs::write(&file, format!("{passphrase}\n")).unwrap();
        let opened = fs::File::open(&file).unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&opened).to_string();
        (Cli::try_parse_from(["threebot", "--passphrase-fd", &fd, "ps"]).unwrap().global, opened)
    }

    fn kind_of(error: anyhow::Error) -> KeyFile {
        error.downcast().expect("another error")
    }

    #[test]
    fn a_key_is_kept_for_its_user_and_opened_with_its_passphrase() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keyring::at(folder.path());
        assert_eq!((keys.list().unwrap(), keys.default_key()), (Vec::new(), None));
        let key = StoredKey::new(Scheme::Ed25519, "//Alice").unwrap();
        keys.add("main", &key, "secret".into()).unwrap();
        assert!(matches!(kind_of(keys.add("main", &key, "x".into()).unwrap_err()), KeyFile::Taken(_)));
        let file = keys.file("main");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let info = KeyInfo {
            name: "main".into(),
            scheme: "ed25519".into(),
            account: key.pair().account().to_string(),
            is_default: true,
        };
        assert_eq!(keys.list().unwrap(), [info]);

        let (right, _open) = global(folder.path(), "secret");
        assert_eq!(keys.open("main", &right).unwrap().suri(), "//Alice");
        let (wrong, _open) = global(folder.path(), "Secret");
        assert!(matches!(kind_of(keys.open("main", &wrong).unwrap_err()), KeyFile::Locked { .. }));

        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(kind_of(keys.open("main", &right).unwrap_err()), KeyFile::Public(_)));
        keys.remove("main").unwrap();
        assert!(matches!(kind_of(keys.open("main", &right).unwrap_err()), KeyFile::Unknown(_)));
        assert_eq!((keys.list().unwrap(), keys.default_key()), (Vec::new(), None));
    }

    #[test]
    fn a_damaged_key_file_is_refused_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keyring::at(folder.path());
        fs::create_dir(&keys.folder).unwrap();
        let file = keys.file("main");
        fs::write(&file, "//Alice").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let (options, _open) = global(folder.path(), "secret");
        let error = keys.open("main", &options).unwrap_err().to_string();
        assert!(error.contains("can't open the key file") && !error.contains("Alice"), "{error}");
        assert_eq!(fs::read_to_string(file).unwrap(), "//Alice");
    }

    #[test]
    fn the_default_is_replaced_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keyring::at(folder.path());
        fs::create_dir(&keys.folder).unwrap();
        for name in ["main", "other"] {
            fs::write(keys.file(name), "").unwrap();
        }
        keys.set_default("main").unwrap();
        let before = fs::File::open(keys.folder.join("default")).unwrap();
        keys.set_default("other").unwrap();
        assert_eq!(io::read_to_string(before).unwrap(), "main\n", "nobody sees a part of it");
        assert_eq!(keys.default_key().unwrap(), "other");
    }

    #[test]
    fn a_team_is_kept_and_a_damaged_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keyring::at(folder.path());
        let why = |error: anyhow::Error| format!("{error:#}");
        assert!(why(keys.team("shop").unwrap_err()).contains("no team named \"shop\""));
        assert!(keys.teams().unwrap().is_empty());
        let team = Team::new([1, 2, 3].map(|n| AccountId32([n; 32])).into(), 2).unwrap();
        keys.add_team("shop", &team).unwrap();
        assert_eq!(keys.teams().unwrap(), [("shop".to_owned(), team.clone())]);
        assert!(why(keys.add_team("shop", &team).unwrap_err()).contains("already"));
        // Neither is a key.
        assert_eq!(keys.list().unwrap(), Vec::new());
        for text in ["", "2\n", "x\n", "2\n5Grw\n"] {
            fs::write(keys.team_file("shop"), text).unwrap();
            assert!(why(keys.team("shop").unwrap_err()).contains("is damaged"), "{text:?}");
        }
        keys.add_team("other", &team).unwrap();
        keys.remove_team("other").unwrap();
        assert!(keys.team("other").is_err());
    }

    #[test]
    fn no_secret_is_a_name() {
        for name in ["main", "Farm-2", "a", "my_key", &"a".repeat(32)] {
            assert!(is_key_name(name), "{name}");
        }
        let seed = format!("0x{}", "ab".repeat(32));
        for text in
            ["", "//Alice", "/soft", "-x", "_x", "0xab", "two words", "a.b", "..", &"a".repeat(33), &seed]
        {
            assert!(!is_key_name(text), "{text}");
        }
        assert!(!parse_key_name("legal winner").unwrap_err().contains("winner"));
    }
}
