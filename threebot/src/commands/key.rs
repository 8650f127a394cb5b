// SPDX-License-Identifier: Apache-2.0
//! `threebot key`

use crate::{
    cli::Global,
    consent::Consent,
    keyring::{KeyInfo, Keyring, parse_key_name},
    output::Answer,
    secret,
    session::NoKey,
};
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tfgrid_client::{Scheme, StoredKey, new_phrase};

#[derive(Subcommand)]
pub enum Key {
    /// Make a key and keep it encrypted on this computer
    ///
    /// Its phrase is shown once: write it down, it alone brings the key back. The first key is the default.
    #[command(after_help = "\
Examples:
  threebot key new main                          asks for a passphrase
  threebot key new bot --passphrase-fd 3 3<file  takes it from a file")]
    New(NewKey),
    /// Keep a key that you have, encrypted; its secret URI is asked for, or read from stdin
    ///
    /// A secret URI is a phrase of 12 to 24 words or a 0x seed, with derivations such as //farm.
    Import(NewKey),
    /// Show a key's account, which others may know
    Show {
        /// The key's name [default: the default key]
        #[arg(value_parser = parse_key_name)]
        name: Option<String>,
        /// Show its secret URI, too; asks for the passphrase
        #[arg(long)]
        secret: bool,
    },
    /// List your keys
    List,
    /// Let commands use this key unless they are given another
    Use {
        /// The key's name
        #[arg(value_parser = parse_key_name)]
        name: String,
    },
    /// Remove a key from this computer: then its phrase alone brings it back
    Remove {
        /// The key's name
        #[arg(value_parser = parse_key_name)]
        name: String,
        #[command(flatten)]
        consent: Consent,
    },
}

#[derive(Args)]
pub struct NewKey {
    /// Its name: letters, digits, - and _
    #[arg(value_parser = parse_key_name)]
    name: String,
    /// How it signs: sr25519, as wallets do, or ed25519
    #[arg(long, default_value = "sr25519")]
    scheme: Scheme,
}

impl Key {
    pub fn run(self, global: &Global) -> Result<Answer> {
        let keys = Keyring::of_user()?;
        match self {
            Self::New(new) => {
                keys.ensure_free(&new.name)?;
                let phrase = new_phrase();
                let info = add(&keys, &new, &phrase, global)?;
                let text = format!(
                    "{}\n\n  {phrase}\n\nThis phrase is shown once. Write it down and keep it secret: it alone brings \
                     the key back.",
                    text(&info)
                );
                // Programs' output ends up in logs.
                Ok(Answer::new(text, value(&info)))
            }
            Self::Import(new) => {
                keys.ensure_free(&new.name)?;
                answer(&add(&keys, &new, secret::secret_uri()?.trim(), global)?)
            }
            Self::Show { name, secret } => {
                let name = name.or_else(|| keys.default_key()).ok_or(NoKey)?;
                let info = keys.info(&name)?;
                if !secret {
                    keys.read(&name)?;
                    return answer(&info);
                }
                let key = keys.open(&name, global)?;
                let mut value = value(&info);
                value["secret_uri"] = key.suri().into();
                Ok(Answer::new(format!("{}\n\n  {}", text(&info), key.suri()), value))
            }
            Self::List => {
                let infos = keys.list()?;
                let values: Vec<Value> = infos.iter().map(value).collect();
                Ok(Answer::new(table(&infos), json!({ "keys": values })))
            }
            Self::Use { name } => {
                keys.set_default(&name)?;
                answer(&keys.info(&name)?)
            }
            Self::Remove { name, consent } => {
                let info = keys.info(&name)?;
                let what =
                    format!("{} goes from this computer: its phrase alone brings it back", text(&info));
                consent.ask_offline(global.json, &what)?;
                keys.remove(&name)?;
                Ok(Answer::new(format!("the key {name} is removed"), json!({ "name": name })))
            }
        }
    }
}

fn add(keys: &Keyring, new: &NewKey, suri: &str, global: &Global) -> Result<KeyInfo> {
    let key = StoredKey::new(new.scheme, suri)?;
    keys.add(&new.name, &key, secret::new_passphrase(global, &new.name)?)?;
    keys.info(&new.name)
}

fn answer(info: &KeyInfo) -> Result<Answer> {
    Ok(Answer::new(text(info), value(info)))
}

fn text(KeyInfo { name, scheme, account, is_default }: &KeyInfo) -> String {
    let default = if *is_default { ", the default" } else { "" };
    format!("key {name}: {account} ({scheme}{default})")
}

fn table(infos: &[KeyInfo]) -> String {
    match infos {
        [] => "no keys: `threebot key new NAME` makes one".into(),
        infos => infos.iter().map(text).collect::<Vec<_>>().join("\n"),
    }
}

fn value(KeyInfo { name, scheme, account, is_default }: &KeyInfo) -> Value {
    json!({ "name": name, "scheme": scheme, "account": account, "default": is_default })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_listed_with_its_account() {
        let info = |name: &str, is_default| KeyInfo {
            name: name.into(),
            scheme: "sr25519".into(),
            account: "5Grw".into(),
            is_default,
        };
        let text = table(&[info("bot", false), info("main", true)]);
        assert_eq!(text, "key bot: 5Grw (sr25519)\nkey main: 5Grw (sr25519, the default)");
        assert_eq!(
            value(&info("main", true)),
            json!({ "name": "main", "scheme": "sr25519", "account": "5Grw", "default": true })
        );
        assert!(table(&[]).starts_with("no keys"));
    }
}
