// SPDX-License-Identifier: Apache-2.0

//! Ends the node while its disk has room left. The database can't write to a full disk, and the system kills a node
//! that opens it there, without a word in its log.

use rustix::fs::statvfs;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::sleep;
use tracing::error;

const CHECK_EVERY: Duration = Duration::from_secs(5);

/// Fails if the file system of `folder`, which need not exist yet, has less than `least` MiB free. The error says what
/// to do.
pub fn ensure_room(folder: &Path, least: u64) -> Result<(), String> {
    let Some(there) = folder.ancestors().find(|folder| folder.exists()) else { return Ok(()) };
    let space =
        statvfs(there).map_err(|error| format!("can't tell what {} has free: {error}", there.display()))?;
    let free = space.f_bavail.saturating_mul(space.f_frsize) >> 20;
    if free >= least {
        return Ok(());
    }
    Err(format!(
        "{} has {free} MiB free, and the database needs {least}: free some space, then start the node again; nothing \
         is lost. --least-free-disk sets the limit",
        there.display()
    ))
}

/// Ends when there is less than that, with a message in the log.
pub async fn watch(folder: PathBuf, least: u64) {
    loop {
        if let Err(why) = ensure_room(&folder, least) {
            error!("the node stops: {why}");
            return;
        }
        sleep(CHECK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_measured_where_the_folder_will_be() {
        let folder = std::env::temp_dir().join("not/there/yet");
        ensure_room(&folder, 0).unwrap();
        let error = ensure_room(&folder, u64::MAX).unwrap_err();
        assert!(error.contains(" MiB free") && error.contains("--least-free-disk"), "{error}");
    }

    #[test]
    fn a_disk_that_is_full_ends_the_watch() {
        futures::executor::block_on(watch(std::env::temp_dir(), u64::MAX));
    }
}
