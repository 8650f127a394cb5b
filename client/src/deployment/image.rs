// SPDX-License-Identifier: Apache-2.0
//! References to OCI images: `host[:port]/path[:tag][@digest]`.

use std::{fmt, str::FromStr};

/// The most bytes of a reference.
const MAX_BYTES: usize = 256;

/// A reference that names its registry, and what to take from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageReference {
    /// Host and optional port of the registry.
    pub registry: String,
    /// Repository in the registry.
    pub path: String,
    /// A name that may move.
    pub tag: Option<String>,
    /// The content itself. Where both stand, the digest decides.
    pub digest: Option<ImageDigest>,
}

/// `sha256:` or `sha512:` and that many bits in lowercase hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageDigest(String);

impl ImageReference {
    /// The reference without tag and digest.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.registry, self.path)
    }
}

impl FromStr for ImageReference {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_BYTES {
            return Err("an image reference has at most 256 bytes");
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse()?)),
            None => (text, None),
        };
        let (registry, rest) = name.split_once('/').ok_or(NO_REGISTRY)?;
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        check_registry(registry)?;
        check_path(path)?;
        if let Some(tag) = tag {
            check_tag(tag)?;
        } else if digest.is_none() {
            return Err("an image reference needs a tag or a digest, such as `:1.2` or `@sha256:…`");
        }
        Ok(Self { registry: registry.into(), path: path.into(), tag: tag.map(Into::into), digest })
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for ImageDigest {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (algorithm, hex) = text.split_once(':').unwrap_or((text, ""));
        let length = match algorithm {
            "sha256" => 64,
            "sha512" => 128,
            _ => return Err("a digest starts with `sha256:` or `sha512:`"),
        };
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if hex.len() != length || !hex.bytes().all(is_hex) {
            return Err("a digest is 64 (sha256) or 128 (sha512) lowercase hex digits");
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ImageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const NO_REGISTRY: &str =
    "an image reference starts with its registry's host, such as `docker.io/` or `127.0.0.1:5000/`";

/// A host is told from a path by a dot, a port or the name `localhost`.
fn check_registry(registry: &str) -> Result<(), &'static str> {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (registry, None),
    };
    if !(host.contains('.') || port.is_some() || host == "localhost") {
        return Err(NO_REGISTRY);
    }
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if !host.split('.').all(label) {
        return Err("the registry's host has letters, digits, hyphens and dots");
    }
    match port.map(u16::from_str) {
        None | Some(Ok(1..)) => Ok(()),
        Some(_) => Err("the registry's port is a number from 1 to 65535"),
    }
}

/// Components of lowercase letters and digits, joined by `.`, `_`, `__` or hyphens.
fn check_path(path: &str) -> Result<(), &'static str> {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let component = |part: &str| {
        let separators = part.split(|c: char| c.is_ascii() && alphanumeric(c as u8));
        !part.is_empty()
            && part.bytes().next().is_some_and(alphanumeric)
            && part.bytes().last().is_some_and(alphanumeric)
            && separators
                .filter(|s| !s.is_empty())
                .all(|s| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
    };
    if path.split('/').all(component) {
        Ok(())
    } else {
        Err(
            "an image's path has lowercase letters and digits, joined by single dots, underscores, hyphens and slashes",
        )
    }
}

fn check_tag(tag: &str) -> Result<(), &'static str> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let valid = tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-');
    if valid {
        Ok(())
    } else {
        Err(
            "a tag has up to 128 letters, digits, underscores, dots and hyphens, and starts with neither of the last two",
        )
    }
}
