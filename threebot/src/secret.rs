// SPDX-License-Identifier: Apache-2.0
//! Secrets from people: asked on the terminal without showing them, or read from where a program puts them.

use crate::{cli::Global, keyring::KeyFile};
use anyhow::{Context, Result, bail};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal},
};

/// The most bytes of a secret.
const MAX_BYTES: u64 = 4_096;

/// The passphrase of a key that exists.
pub fn passphrase(global: &Global, prompt: &str) -> Result<String> {
    match global.passphrase_fd {
        Some(fd) => from_fd(fd),
        None => asked(global, prompt),
    }
}

/// The passphrase for a new key. It is asked for twice.
pub fn new_passphrase(global: &Global, name: &str) -> Result<String> {
    if let Some(fd) = global.passphrase_fd {
        return from_fd(fd);
    }
    let passphrase = asked(global, &format!("New passphrase of the key {name}: "))?;
    if asked(global, "The same again: ")? != passphrase {
        bail!(KeyFile::Differ);
    }
    Ok(passphrase)
}

/// A secret URI: from the terminal, or else the first line of stdin.
pub fn secret_uri() -> Result<String> {
    if io::stdin().is_terminal() {
        return rpassword::prompt_password("Phrase, 0x seed or other secret URI: ")
            .context("can't ask for the key");
    }
    first_line(io::stdin().lock()).context("can't read the key from stdin")
}

fn asked(global: &Global, prompt: &str) -> Result<String> {
    if global.json {
        bail!(KeyFile::NoTerminal);
    }
    rpassword::prompt_password(prompt).map_err(|_| KeyFile::NoTerminal.into())
}

/// The first line of what the caller has opened.
fn from_fd(fd: u32) -> Result<String> {
    let opened = File::open(format!("/dev/fd/{fd}")).and_then(|file| first_line(BufReader::new(file)));
    Ok(opened.map_err(|source| KeyFile::NoPassphrase { fd, source })?)
}

fn first_line(reader: impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.take(MAX_BYTES).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).into())
}
