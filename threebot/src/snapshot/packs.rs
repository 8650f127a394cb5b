// SPDX-License-Identifier: Apache-2.0
//! Packs: many chunks in one sealed object.

use super::{Keys, Place};
use anyhow::{Context, Result, ensure};
use std::{collections::VecDeque, sync::Arc};
use tfgrid_client::snapshot::{ChunkHash, PACK_BYTES, chunk_hash};
use tokio::task::spawn_blocking;

/// Bytes of packs that are kept in memory: chunks that changed lie in others than their neighbours.
const KEPT_BYTES: usize = 128 << 20;
/// Limit of a pack as it is in a place, with what age adds for each of many keys.
const MAX_SEALED_BYTES: u64 = PACK_BYTES as u64 + (1 << 20);

/// The packs of a manifest, as they are read.
pub(super) struct Packs<'a> {
    place: &'a Place,
    keys: &'a Keys,
    names: &'a [String],
    /// The last ones that were used, the latest first.
    kept: VecDeque<(u32, Pack)>,
}

/// A plain pack. Clones are the same.
#[derive(Clone)]
pub(super) struct Pack {
    name: String,
    plain: Arc<Vec<u8>>,
}

impl<'a> Packs<'a> {
    pub(super) fn new(place: &'a Place, keys: &'a Keys, names: &'a [String]) -> Self {
        Self { place, keys, names, kept: VecDeque::new() }
    }

    /// The pack with this number.
    pub(super) async fn get(&mut self, number: u32) -> Result<Pack> {
        if let Some(at) = self.kept.iter().position(|(kept, _)| *kept == number) {
            let found = self.kept.remove(at).context("a pack that was found")?;
            let pack = found.1.clone();
            self.kept.push_front(found);
            return Ok(pack);
        }
        let name = self.names.get(number as usize).context("a pack that the manifest doesn't name")?.clone();
        let sealed = self.place.get(name.clone(), MAX_SEALED_BYTES).await?;
        let identity = self.keys.identity.clone();
        let plain = spawn_blocking(move || identity.open_file(&sealed)).await?;
        let plain = plain.with_context(|| format!("the pack {name} can't be used"))?;
        ensure!(plain.len() <= PACK_BYTES, "the pack {name} is longer than a pack");
        let pack = Pack { name, plain: Arc::new(plain) };
        self.kept.push_front((number, pack.clone()));
        self.drop_old(KEPT_BYTES);
        Ok(pack)
    }

    /// Keeps no more than so many bytes, or the latest pack.
    fn drop_old(&mut self, most: usize) {
        let mut bytes = 0;
        let fits = |(_, pack): &&(u32, Pack)| {
            bytes += pack.plain.len();
            bytes <= most
        };
        let fitting = self.kept.iter().take_while(fits).count();
        self.kept.truncate(fitting.max(1));
    }
}

impl Pack {
    /// The chunk at this place, which must have this hash.
    pub(super) fn chunk(&self, at: u32, length: u32, hash: &ChunkHash) -> Result<&[u8]> {
        let (at, length) = (at as usize, length as usize);
        let chunk = at.checked_add(length).and_then(|end| self.plain.get(at..end));
        let chunk = chunk.filter(|chunk| chunk_hash(chunk) == *hash);
        chunk.with_context(|| format!("the pack {} has another content than its snapshot", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_client::sealing::SealKey;

    #[test]
    fn packs_are_kept_by_their_bytes() {
        let place = Place::Folder("nowhere".into());
        let identity = SealKey::new(&[7; 32]).unwrap();
        let keys = Keys { identity, recipients: Vec::new(), trusted: Vec::new() };
        let mut packs = Packs::new(&place, &keys, &[]);
        let pack = || Pack { name: String::new(), plain: Arc::new(vec![0; 10]) };
        packs.kept.extend((0..10).map(|number| (number, pack())));
        packs.drop_old(45);
        assert_eq!(packs.kept.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1, 2, 3]);
        packs.drop_old(5);
        assert_eq!(packs.kept.len(), 1);
    }
}
