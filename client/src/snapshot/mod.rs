// SPDX-License-Identifier: Apache-2.0
//! Snapshots of volumes and of machines' roots: how a tree of files goes over a stream of the peer protocol
//! (`docs/FORMATS.md` §8.1), and what is kept of it (§11).
//!
//! A sender walks its tree in [`Step`]s, which a [`Batcher`] puts together; the receiver answers each batch with the
//! chunks that it wants ([`wanted_bits`]), and gets their content. Both ends follow along with a [`Position`], which
//! refuses what no tree goes on with. A [`Manifest`] has the steps of a snapshot and the packs that its chunks are in.

mod manifest;
mod tree;

pub use manifest::{Manifest, ManifestError, PACK_BYTES, SignedManifest, Stored};
pub use tree::{
    BATCH_CHUNKS, Batcher, CHUNK_BYTES, CONTENT_BYTES, ChunkHash, ImageId, Item, Kind, MAX_ATTRIBUTES_BYTES,
    MAX_BATCH_BYTES, MAX_ID, MAX_NAME_BYTES, MAX_PATH_BYTES, Part, Position, Step, TreeError, chunk_hash,
    is_attribute, is_wanted, parent_and_name, wanted_bits,
};
