// SPDX-License-Identifier: Apache-2.0
//! The image that a channel offers, signed by the key of the boot image that runs (`docs/IMAGE.md`, Updates).

use anyhow::{Context, Result, anyhow, ensure};
use rustix::fs::{Advice, fadvise};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::{fs::File, io::Read, path::Path};
use tfgrid_primitives::units::MIB;
use tokio_rustls::rustls::{SignatureScheme, crypto::ring, pki_types::SignatureVerificationAlgorithm};

/// Its name in the channel.
pub const FILE: &str = "manifest";
/// The most bytes of it.
pub const MAX_BYTES: u64 = 4096;
/// The most bytes of an image: the boot medium holds two.
pub const MAX_IMAGE_BYTES: u64 = 180 * MIB;

/// An image that can be had.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    /// Its version, for people.
    pub release: String,
    /// Higher than that of every image before it.
    pub number: u64,
    /// Its size.
    pub bytes: u64,
    /// Its hash, in hex.
    pub sha256: String,
}

impl Manifest {
    /// Reads a manifest that `key` has signed: the public half of an RSA key (PKCS #1, DER).
    ///
    /// # Errors
    /// If it isn't signed by that key, or names an image that is too large.
    pub fn verify(file: &[u8], key: &[u8]) -> Result<Self> {
        let text = str::from_utf8(file).context("the manifest isn't text")?;
        let (signature, signed) = text.split_once('\n').context("the manifest has no signature")?;
        let signature = hex::decode(signature).map_err(|_| anyhow!("the manifest's signature isn't hex"))?;
        let verified = algorithm()?.verify_signature(key, signed.as_bytes(), &signature);
        verified.map_err(|_| anyhow!("the manifest isn't signed by the key of the image that runs"))?;
        let manifest: Self =
            serde_json::from_str(signed).context("the manifest is of no form that is known")?;
        ensure!(
            manifest.bytes <= MAX_IMAGE_BYTES,
            "{} has {} bytes, and an image may have {MAX_IMAGE_BYTES}",
            manifest.release,
            manifest.bytes
        );
        Ok(manifest)
    }

    /// Name of the image in the channel.
    pub fn image(&self) -> String {
        format!("zos-{}.efi", self.number)
    }

    /// Reads an image from its medium.
    ///
    /// # Errors
    /// If it can't be read, or isn't the one of this manifest.
    pub fn check(&self, image: &Path) -> Result<()> {
        let mut file = File::open(image).with_context(|| format!("can't read {}", image.display()))?;
        // So that the bytes come from the medium, not from memory.
        fadvise(&file, 0, None, Advice::DontNeed)?;
        let (mut hash, mut piece) = (Sha256::new(), vec![0; 1 << 16]);
        loop {
            match file.read(&mut piece).with_context(|| format!("can't read {}", image.display()))? {
                0 => break,
                read => hash.update(&piece[..read]),
            }
        }
        let found = hex::encode(hash.finalize());
        ensure!(found == self.sha256, "{} came damaged, with the hash {found}", self.release);
        Ok(())
    }
}

/// The algorithm of `openssl dgst -sha256 -sign` with an RSA key.
fn algorithm() -> Result<&'static dyn SignatureVerificationAlgorithm> {
    let known = ring::default_provider().signature_verification_algorithms.mapping;
    let found = known.iter().find(|(scheme, _)| *scheme == SignatureScheme::RSA_PKCS1_SHA256);
    found.and_then(|(_, algorithms)| algorithms.first().copied()).context("there is no RSA")
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use serde_json::json;
    use std::fs;
    use tokio_rustls::rustls::{
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
        sign::SigningKey,
    };

    /// Bytes of an RSA key of 2048 bits in its SubjectPublicKeyInfo, after which PKCS #1 begins.
    const SPKI_HEADER_BYTES: usize = 24;

    fn signer() -> std::sync::Arc<dyn SigningKey> {
        let key = PrivatePkcs8KeyDer::from(include_bytes!("test-key.der").as_slice());
        ring::sign::any_supported_type(&PrivateKeyDer::from(key)).unwrap()
    }

    /// The public half of the key that signs here.
    pub fn key() -> Vec<u8> {
        signer().public_key().unwrap()[SPKI_HEADER_BYTES..].to_vec()
    }

    /// A manifest as `make image` writes it.
    pub fn signed(text: &str) -> Vec<u8> {
        let signer = signer().choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).unwrap();
        let signature = hex::encode(signer.sign(text.as_bytes()).unwrap());
        format!("{signature}\n{text}").into_bytes()
    }

    /// The manifest of an image with this content.
    pub fn of(number: u64, image: &[u8]) -> Vec<u8> {
        let sha256 = hex::encode(Sha256::digest(image));
        let (release, bytes) = (format!("0.{number}.0"), image.len());
        signed(&json!({ "release": release, "number": number, "bytes": bytes, "sha256": sha256 }).to_string())
    }

    #[test]
    fn a_manifest_of_another_key_or_content_is_refused() {
        let (manifest, key) = (of(2, b"image"), key());
        let read = Manifest::verify(&manifest, &key).unwrap();
        assert_eq!((read.release.as_str(), read.number, read.bytes), ("0.2.0", 2, 5));
        assert_eq!(read.image(), "zos-2.efi");

        let why = |manifest: &[u8], key: &[u8]| Manifest::verify(manifest, key).unwrap_err().to_string();
        let other = String::from_utf8(manifest.clone()).unwrap().replace("0.2.0", "0.3.0");
        let unsigned = "the manifest isn't signed by the key of the image that runs";
        assert_eq!(why(other.as_bytes(), &key), unsigned);
        let mut another = key.clone();
        another[100] ^= 1;
        assert_eq!(why(&manifest, &another), unsigned);
        assert_eq!(why(&manifest, b""), unsigned);
        assert_eq!(why(b"00", &key), "the manifest has no signature");
        assert_eq!(why(b"xy\n{}", &key), "the manifest's signature isn't hex");
        assert_eq!(why(&signed("{}"), &key), "the manifest is of no form that is known");
    }

    #[test]
    fn a_manifest_of_a_later_form_is_read() {
        let text = json!({ "release": "1", "number": 1, "bytes": 1, "sha256": "00", "more": [] }).to_string();
        assert_eq!(Manifest::verify(&signed(&text), &key()).unwrap().number, 1);
    }

    #[test]
    fn an_image_that_is_too_large_is_refused() {
        let text = json!({ "release": "1", "number": 1, "bytes": MAX_IMAGE_BYTES + 1, "sha256": "00" });
        let why = Manifest::verify(&signed(&text.to_string()), &key()).unwrap_err().to_string();
        assert_eq!(why, "1 has 188743681 bytes, and an image may have 188743680");
    }

    #[test]
    fn only_the_image_that_is_meant_passes() {
        let manifest = Manifest::verify(&of(2, b"image"), &key()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("2.efi");
        fs::write(&file, "image").unwrap();
        manifest.check(&file).unwrap();
        for damaged in ["imag", "imagE", ""] {
            fs::write(&file, damaged).unwrap();
            let why = manifest.check(&file).unwrap_err().to_string();
            assert!(why.starts_with("0.2.0 came damaged, with the hash "), "{why}");
        }
        assert!(manifest.check(&folder.path().join("none")).is_err());
    }
}
