// SPDX-License-Identifier: Apache-2.0
//! What is kept of a snapshot beside its chunks.

use super::{ChunkHash, ImageId, Item, Position, Step, TreeError};
use crate::peer::Device;
use codec::{Decode, DecodeAll, Encode};
use iroh::{EndpointId, Signature};
use tfgrid_primitives::{ContractId, PublicKey};

/// Plain bytes of a pack at most.
pub const PACK_BYTES: usize = 2 << 20;
/// What is signed begins with it, so that nothing else that a device signs is a manifest.
const DOMAIN: &[u8] = b"tfgrid/snapshot/1";

/// A snapshot: the steps through its tree, and where their chunks are.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Manifest {
    /// Name of the snapshot, such as `7/data/20261128T065500123Z`.
    pub name: String,
    /// Contract of which it is.
    pub contract: ContractId,
    /// Name of its volume, or machine, in the deployment.
    pub workload: String,
    /// The instant whose content it has, in milliseconds since 1970.
    pub at_ms: u64,
    /// Names of the packs that its chunks are in, those of earlier snapshots among them.
    pub packs: Vec<String>,
    /// The steps through the tree, the root first.
    pub steps: Vec<Stored>,
}

/// A step through a tree, with the place of its chunks.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Stored {
    /// [`Step::Item`].
    Item(Item),
    /// [`Step::Zeros`].
    Zeros(u64),
    /// [`Step::Chunks`] that follow each other in a pack.
    Chunks {
        /// Index in [`Manifest::packs`].
        pack: u32,
        /// Where the first one begins in the plain pack.
        offset: u32,
        /// Their hashes.
        hashes: Vec<ChunkHash>,
    },
    /// [`Step::Image`].
    Image(ImageId),
    /// [`Step::Gone`].
    Gone(Vec<u8>),
}

/// A manifest, and which device vouches for it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SignedManifest {
    manifest: Vec<u8>,
    signer: PublicKey,
    signature: [u8; 64],
}

/// A manifest that isn't one.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It can't be read.
    #[error("its manifest can't be read: {0}")]
    Unreadable(#[from] codec::Error),
    /// Nobody vouches for it.
    #[error("it hasn't the signature of the device {}, which it names: somebody has changed it", hex::encode(.0))]
    Signature(PublicKey),
    /// Somebody else vouches for it.
    #[error(
        "it was signed by the device {device}, which isn't one of yours: if you trust what that device took, name it \
         with --signed-by {device}",
        device = hex::encode(.0)
    )]
    Foreign(PublicKey),
    /// The tree is none.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Chunks are in no pack.
    #[error("a chunk is in no pack that its manifest names")]
    Place,
}

impl Manifest {
    /// The manifest, for which this device vouches by its signature.
    pub fn sign(&self, device: &Device) -> SignedManifest {
        let manifest = self.encode();
        let signature = device.sign(&[DOMAIN, &manifest].concat());
        SignedManifest { manifest, signer: device.public(), signature }
    }

    /// The image from which the tree differs, if it is a machine's root.
    pub fn image(&self) -> Option<ImageId> {
        match self.steps.first() {
            Some(Stored::Image(image)) => Some(*image),
            _ => None,
        }
    }

    /// The whole tree is one, and each chunk in a pack.
    fn check(&self) -> Result<(), ManifestError> {
        let mut position = Position::default();
        for stored in &self.steps {
            let bytes = position.step(&stored.step())?;
            if let Stored::Chunks { pack, offset, .. } = stored {
                let is_named = (*pack as usize) < self.packs.len();
                if !is_named || u64::from(*offset) + bytes > PACK_BYTES as u64 {
                    return Err(ManifestError::Place);
                }
            }
        }
        Ok(position.end()?)
    }
}

impl Stored {
    /// The step, without where its chunks are.
    pub fn step(&self) -> Step {
        match self {
            Self::Item(item) => Step::Item(item.clone()),
            Self::Zeros(chunks) => Step::Zeros(*chunks),
            Self::Chunks { hashes, .. } => Step::Chunks(hashes.clone()),
            Self::Image(image) => Step::Image(*image),
            Self::Gone(path) => Step::Gone(path.clone()),
        }
    }
}

impl SignedManifest {
    /// The bytes that [`Self::open`] reads.
    pub fn encoded(&self) -> Vec<u8> {
        self.encode()
    }

    /// Reads and checks a manifest for which one of these devices vouches.
    ///
    /// # Errors
    /// If it is damaged, or of another device.
    pub fn open(bytes: &[u8], trusted: &[PublicKey]) -> Result<Manifest, ManifestError> {
        let signed = Self::decode_all(&mut &*bytes)?;
        let message = [DOMAIN, &signed.manifest].concat();
        let signature = Signature::from_bytes(&signed.signature);
        let is_signed = EndpointId::from_bytes(&signed.signer)
            .is_ok_and(|signer| signer.verify(&message, &signature).is_ok());
        if !is_signed {
            return Err(ManifestError::Signature(signed.signer));
        }
        if !trusted.contains(&signed.signer) {
            return Err(ManifestError::Foreign(signed.signer));
        }
        let manifest = Manifest::decode_all(&mut &*signed.manifest)?;
        manifest.check()?;
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Kind;

    fn manifest() -> Manifest {
        let item = |path: &str, kind| {
            let (changed, attributes) = ((7, 8), vec![(b"user.a".to_vec(), b"b".to_vec())]);
            Stored::Item(Item {
                path: path.into(),
                kind,
                mode: 0o755,
                user: 1,
                group: 2,
                changed,
                attributes,
            })
        };
        Manifest {
            name: "7/data/20260101T000000000Z".into(),
            contract: 7,
            workload: "data".into(),
            at_ms: 1,
            packs: vec!["7/data/20260101T000000000Z/0".into()],
            steps: vec![
                item("", Kind::Folder),
                item("file", Kind::File(3 * 8_192)),
                Stored::Zeros(1),
                Stored::Chunks { pack: 0, offset: 9, hashes: vec![[1; 32], [2; 32]] },
                item("pipe", Kind::Pipe),
                item("link", Kind::Link(b"../../etc/passwd".to_vec())),
                item("same", Kind::Same(b"file".to_vec())),
            ],
        }
    }

    #[test]
    fn a_manifest_is_read_as_it_was_signed() {
        let device = Device::generate();
        let signed = manifest().sign(&device).encode();
        assert_eq!(SignedManifest::open(&signed, &[device.public()]).unwrap(), manifest());
    }

    #[test]
    fn a_manifest_of_another_device_is_refused() {
        let (device, own) = (Device::generate(), Device::generate());
        let signed = manifest().sign(&device).encode();
        let error = SignedManifest::open(&signed, &[own.public()]).unwrap_err();
        assert!(matches!(error, ManifestError::Foreign(key) if key == device.public()), "{error}");
        let forged = SignedManifest { signer: own.public(), ..manifest().sign(&device) }.encode();
        let error = SignedManifest::open(&forged, &[own.public()]).unwrap_err();
        assert!(matches!(error, ManifestError::Signature(_)), "{error}");
    }

    #[test]
    fn a_damaged_manifest_is_refused_wherever_it_is_damaged() {
        let device = Device::generate();
        let signed = manifest().sign(&device).encode();
        for at in 0..signed.len() {
            let mut damaged = signed.clone();
            damaged[at] ^= 1;
            assert!(SignedManifest::open(&damaged, &[device.public()]).is_err(), "byte {at} has changed");
            assert!(SignedManifest::open(&signed[..at], &[device.public()]).is_err(), "cut to {at} bytes");
        }
    }

    #[test]
    fn hostile_manifests_are_refused() {
        let device = Device::generate();
        let refused = |change: &dyn Fn(&mut Manifest)| {
            let mut hostile = manifest();
            change(&mut hostile);
            SignedManifest::open(&hostile.sign(&device).encode(), &[device.public()]).unwrap_err()
        };
        let path = refused(&|hostile| {
            let Stored::Item(item) = &mut hostile.steps[1] else { panic!("no item") };
            item.path = b"../file".to_vec();
        });
        assert!(matches!(path, ManifestError::Tree(TreeError::Path(_))), "{path}");
        assert!(matches!(refused(&|hostile| hostile.packs.clear()), ManifestError::Place));
        let beyond = refused(&|hostile| {
            let Stored::Chunks { offset, .. } = &mut hostile.steps[3] else { panic!("no chunks") };
            *offset = u32::MAX;
        });
        assert!(matches!(beyond, ManifestError::Place), "{beyond}");
        let short = refused(&|hostile| drop(hostile.steps.remove(2)));
        assert!(matches!(short, ManifestError::Tree(TreeError::Length)), "{short}");
        assert!(matches!(refused(&|hostile| hostile.steps.clear()), ManifestError::Tree(TreeError::Root)));
    }
}
