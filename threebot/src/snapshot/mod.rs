// SPDX-License-Identifier: Apache-2.0
//! Snapshots of volumes and roots in a place of the user's (`docs/FORMATS.md` §11). All that there is to know of them
//! is in the place.

mod packs;
mod place;
mod restoring;
mod s3;
mod taking;

pub use place::Place;
pub use restoring::{Restored, restore, start_all, stop_all};
pub use taking::{Around, Of, Taken, take};

use anyhow::{Context, Result, bail, ensure};
use packs::Packs;
use place::is_object_name;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tfgrid_client::{
    primitives::{ContractId, PublicKey, UnixSeconds},
    sealing::{Recipient, SealKey},
    snapshot::{CHUNK_BYTES, ChunkHash, ImageId, Manifest, Position, SignedManifest, Stored},
};
use tokio::task::spawn_blocking;

/// The last part of the name of an object that makes a snapshot whole.
const MANIFEST: &str = "manifest";
/// The part of a time in a name that tells seconds: `20261128T065500`.
const SECONDS_LENGTH: usize = 15;
/// Limit of a manifest as it is in a place.
const MAX_MANIFEST_BYTES: u64 = 4 << 30;
/// What a snapshot that isn't whole has written is left alone for so long: it may be on its way.
const UNFINISHED_FOR: Duration = Duration::from_secs(24 * 3_600);

/// What seals snapshots, opens them, and vouches for them.
pub struct Keys {
    /// Opens them.
    pub identity: SealKey,
    /// They are sealed to these keys, and to the identity's.
    pub recipients: Vec<Recipient>,
    /// Devices whose snapshots are trusted.
    pub trusted: Vec<PublicKey>,
}

/// A snapshot in a place, by its name: `CONTRACT/WORKLOAD/TIME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Snapshot {
    pub contract: ContractId,
    pub workload: String,
    /// `20261128T065500123Z`
    pub time: String,
}

/// What was found right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    pub items: usize,
    /// Of content, without zeros that take no room.
    pub bytes: u64,
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.contract, self.workload, self.time)
    }
}

impl FromStr for Snapshot {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<_> = text.split('/').collect();
        let [contract, workload, time] = parts[..] else {
            bail!("{text:?} is no name of a snapshot: `threebot snapshot list` has them");
        };
        let contract = contract.parse().with_context(|| format!("{contract:?} is no id of a contract"))?;
        ensure!(is_object_name(text), "{text:?} is no name of a snapshot");
        Ok(Self { contract, workload: workload.to_owned(), time: time.to_owned() })
    }
}

impl Snapshot {
    /// One that is taken now.
    fn now(contract: ContractId, workload: &str) -> Self {
        Self { contract, workload: workload.to_owned(), time: time(SystemTime::now()) }
    }

    /// When it was taken, in seconds since 1970; `None` if its name says no time.
    pub fn taken_at(&self) -> Option<UnixSeconds> {
        let seconds = self.time.get(..SECONDS_LENGTH)?;
        let at = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%S", seconds).ok()?;
        let at = jiff::tz::TimeZone::UTC.to_timestamp(at).ok()?;
        at.as_second().try_into().ok()
    }

    /// The name of one of its objects.
    fn object(&self, name: impl fmt::Display) -> String {
        format!("{self}/{name}")
    }

    /// What the names of all snapshots of its volume begin with.
    fn volume(&self) -> String {
        format!("{}/{}", self.contract, self.workload)
    }
}

/// A time as it is written in names, which then are in its order.
fn time(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let milliseconds = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(milliseconds).unwrap_or(jiff::Timestamp::MAX);
    at.strftime("%Y%m%dT%H%M%S%3fZ").to_string()
}

/// The whole snapshots of a contract, or of all contracts, in the order of contracts, volumes and times.
pub async fn list(place: &Place, contract: Option<ContractId>) -> Result<Vec<Snapshot>> {
    let names = place.list(contract.map(|contract| contract.to_string()).unwrap_or_default()).await?;
    let mut snapshots: Vec<_> = names.iter().filter_map(|name| whole(name)).collect();
    snapshots.sort();
    Ok(snapshots)
}

/// The snapshot that this object makes whole.
fn whole(object: &str) -> Option<Snapshot> {
    object.strip_suffix(MANIFEST)?.strip_suffix('/')?.parse().ok()
}

/// The last whole snapshot of a volume.
pub async fn last(place: &Place, contract: ContractId, workload: &str) -> Result<Option<Snapshot>> {
    let all = list(place, Some(contract)).await?;
    Ok(all.into_iter().rfind(|snapshot| snapshot.workload == workload))
}

/// Reads a snapshot's manifest, and sees that a trusted device vouches for it under its name.
async fn manifest(place: &Place, keys: &Keys, snapshot: &Snapshot) -> Result<Manifest> {
    let sealed = place.get(snapshot.object(MANIFEST), MAX_MANIFEST_BYTES).await?;
    let (identity, trusted, name) = (keys.identity.clone(), keys.trusted.clone(), snapshot.to_string());
    let read = move || {
        let plain = identity.open_file(&sealed)?;
        let manifest = SignedManifest::open(&plain, &trusted)?;
        ensure!(manifest.name == name, "it is that of the snapshot {}", manifest.name);
        ensure!(manifest.packs.iter().all(|name| is_object_name(name)), "it names what can't be in a place");
        Ok(manifest)
    };
    let read = spawn_blocking(read).await?;
    read.with_context(|| format!("the manifest of the snapshot {snapshot} can't be used"))
}

/// The image from which a snapshot differs, if it is that of a machine's root.
pub async fn image_of(place: &Place, keys: &Keys, snapshot: &Snapshot) -> Result<Option<ImageId>> {
    Ok(manifest(place, keys, snapshot).await?.image())
}

/// Checks all of a snapshot by its content.
pub async fn verify(place: &Place, keys: &Keys, snapshot: &Snapshot) -> Result<Verified> {
    let manifest = manifest(place, keys, snapshot).await?;
    let mut verified = Verified { items: 0, bytes: 0 };
    let mut chunks: BTreeMap<u32, BTreeSet<(u32, u32, ChunkHash)>> = BTreeMap::new();
    let mut position = Position::default();
    for stored in &manifest.steps {
        let bytes = position.step(&stored.step())?;
        match stored {
            Stored::Item(_) => verified.items += 1,
            Stored::Zeros(_) | Stored::Image(_) | Stored::Gone(_) => {}
            Stored::Chunks { pack, offset, hashes } => {
                verified.bytes += bytes;
                let of_pack = chunks.entry(*pack).or_default();
                of_pack.extend(located(*offset, bytes, hashes).map(|(at, length, hash)| (at, length, *hash)));
            }
        }
    }
    let mut packs = Packs::new(place, keys, &manifest.packs);
    for (pack, chunks) in chunks {
        let content = packs.get(pack).await?;
        for (at, length, hash) in chunks {
            content.chunk(at, length, &hash)?;
        }
    }
    Ok(verified)
}

/// Where each chunk of a run of so many bytes is, and its length.
fn located(offset: u32, bytes: u64, hashes: &[ChunkHash]) -> impl Iterator<Item = (u32, u32, &ChunkHash)> {
    let chunk = CHUNK_BYTES as u64;
    hashes.iter().enumerate().map(move |(index, hash)| {
        let before = index as u64 * chunk;
        // Within a pack, as its manifest was checked.
        (offset + before as u32, bytes.saturating_sub(before).min(chunk) as u32, hash)
    })
}

/// Deletes a snapshot, and all that no other one of its volume needs.
pub async fn remove(place: &Place, keys: &Keys, snapshot: &Snapshot) -> Result<()> {
    let objects = place.list(snapshot.volume()).await?;
    let others: Vec<_> =
        objects.iter().filter_map(|name| whole(name)).filter(|other| other != snapshot).collect();
    // First, so that nothing is deleted where one can't be read.
    let mut needed = BTreeSet::new();
    for other in &others {
        needed.extend(manifest(place, keys, other).await?.packs);
    }
    place.delete(snapshot.object(MANIFEST)).await?;
    let old = time(SystemTime::now().checked_sub(UNFINISHED_FOR).unwrap_or(UNIX_EPOCH));
    for name in objects {
        let Some(of) = name.rsplit_once('/').and_then(|(of, _)| of.parse::<Snapshot>().ok()) else {
            continue;
        };
        let is_past = of == *snapshot || others.contains(&of) || of.time < old;
        if is_past && !name.ends_with(MANIFEST) && !needed.contains(&name) {
            place.delete(name).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_their_times() {
        assert_eq!(time(UNIX_EPOCH), "19700101T000000000Z");
        let later = UNIX_EPOCH + Duration::from_millis(951_782_399_007);
        assert_eq!(time(later), "20000228T235959007Z");
        let snapshot = Snapshot { contract: 7, workload: "my-data".into(), time: time(later) };
        assert_eq!(snapshot.to_string().parse::<Snapshot>().unwrap(), snapshot);
        assert_eq!(whole(&snapshot.object(MANIFEST)), Some(snapshot.clone()));
        assert_eq!(whole(&snapshot.object(0)), None);
        for wrong in ["7/data", "x/data/t", "7/../t", "7/data/t/manifest", ""] {
            assert!(wrong.parse::<Snapshot>().is_err(), "{wrong}");
        }
    }
}
