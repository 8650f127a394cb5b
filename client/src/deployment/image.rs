// SPDX-License-Identifier: Apache-2.0
//! References to OCI images: `host[:port]/path[:tag][@digest]`.

use oci_spec::distribution::{ParseError, Reference};
use std::{fmt, str::FromStr};

/// The most bytes of a reference.
const MAX_BYTES: usize = 256;

/// An OCI reference that names its registry, and a tag or a digest. Nothing is filled in, but that images
/// of `docker.io` without a folder are in its `library`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageReference(Reference);

/// Why a text isn't an image reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ImageError {
    #[error("an image reference has at most {MAX_BYTES} bytes")]
    TooLong,
    #[error("an image reference starts with its registry's host, such as `docker.io/` or `127.0.0.1:5000/`")]
    NoRegistry,
    #[error("an image reference needs a tag or a digest, such as `:1.2` or `@sha256:…`")]
    NoVersion,
    #[error("the registry's port is a number from 1 to 65535")]
    Port,
    #[error("an image reference is `host[:port]/path[:tag][@digest]`: {0}")]
    Malformed(String),
    #[error("a digest is `sha256:` and 64, or `sha512:` and 128, lowercase hex digits")]
    Digest,
}

impl ImageReference {
    /// The reference without tag and digest.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.0.registry(), self.0.repository())
    }

    /// Name or address of the registry's host, without its port.
    pub fn host(&self) -> &str {
        let registry = self.0.registry();
        let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// A name that may move.
    pub fn tag(&self) -> Option<&str> {
        self.0.tag()
    }

    /// The hash of the content. If there are both, the digest decides and not the tag.
    pub fn digest(&self) -> Option<&str> {
        self.0.digest()
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ImageReference {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        if text.len() > MAX_BYTES {
            return Err(ImageError::TooLong);
        }
        let (host, rest) = text.split_once('/').ok_or(ImageError::NoRegistry)?;
        check_host(host)?;
        if !rest.contains([':', '@']) {
            return Err(ImageError::NoVersion);
        }
        let reference: Reference = text.parse()?;
        // OCI allows other algorithms, and hex in capitals, which no registry finds.
        let known = |digest: &str| {
            let is_known = digest.starts_with("sha256:") || digest.starts_with("sha512:");
            is_known && !digest.bytes().any(|b| b.is_ascii_uppercase())
        };
        if !reference.digest().is_none_or(known) {
            return Err(ImageError::Digest);
        }
        // OCI's tags are ASCII; the library's expression takes letters of any script.
        if !text.is_ascii() {
            return Err(ParseError::TagInvalidFormat.into());
        }
        Ok(Self(reference))
    }
}

impl From<ParseError> for ImageError {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::DigestInvalidFormat
            | ParseError::DigestInvalidLength
            | ParseError::DigestUnsupported => Self::Digest,
            other => Self::Malformed(other.to_string()),
        }
    }
}

/// A host is told from a path by a dot, a port or the name `localhost`.
fn check_host(host: &str) -> Result<(), ImageError> {
    let (name, port) = host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    if name.contains('_') || !(name.contains('.') || port.is_some() || name == "localhost") {
        return Err(ImageError::NoRegistry);
    }
    match port.map(u16::from_str) {
        None | Some(Ok(1..)) => Ok(()),
        Some(_) => Err(ImageError::Port),
    }
}
