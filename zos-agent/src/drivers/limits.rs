// SPDX-License-Identifier: Apache-2.0
//! Limits of the kernel that all machines share, since it counts them by a user of the host. One machine could use them
//! up for all others and for the host. They are raised so far that the machine's own limits of memory and processes end
//! first: what these count is charged to them.

use std::{fs, io::ErrorKind, path::Path};
use tracing::{info, warn};

/// Files below `/proc/sys`, and the value of each below which it is raised.
pub const SHARED: [(&str, i64); 6] = [
    ("fs/inotify/max_user_instances", i32::MAX as i64),
    ("fs/inotify/max_user_watches", i32::MAX as i64),
    ("fs/epoll/max_user_watches", i64::MAX),
    // Each container has a key.
    ("kernel/keys/maxkeys", i32::MAX as i64),
    ("kernel/keys/maxbytes", i32::MAX as i64),
    // The most that Linux has.
    ("kernel/pid_max", 1 << 22),
];
/// Pages in pipes of one user, above which new pipes get less room.
pub const PIPE_PAGES: &str = "fs/pipe-user-pages-soft";

/// Raises the shared limits until the next boot.
pub fn raise() {
    for (name, least) in SHARED {
        change(name, least, |limit| limit < least);
    }
    // 0 is no limit.
    change(PIPE_PAGES, 0, |limit| limit != 0);
}

fn change(name: &str, value: i64, is_due: impl Fn(i64) -> bool) {
    let path = Path::new("/proc/sys").join(name);
    let changed = fs::read_to_string(&path).and_then(|before| {
        // A number that doesn't fit is above all of these.
        if !before.trim().parse().is_ok_and(is_due) {
            return Ok(());
        }
        info!(name, before = before.trim(), now = value, "raising a limit that all machines share");
        fs::write(&path, value.to_string())
    });
    match changed {
        // A kernel without it counts nothing there.
        Err(error) if error.kind() != ErrorKind::NotFound => {
            warn!("one machine can use up {} for all, which can't be raised: {error}", path.display());
        }
        _ => {}
    }
}
