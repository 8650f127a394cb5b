// SPDX-License-Identifier: Apache-2.0
//! What the kernel has mounted.

use crate::drivers::DriverError;
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

/// Every mount point of this process's namespace.
pub struct Mounts(BTreeSet<PathBuf>);

impl Mounts {
    /// Whether something is mounted there.
    pub fn contains(&self, path: &Path) -> bool {
        self.0.contains(path)
    }
}

/// Asks the kernel.
pub fn read() -> Result<Mounts, DriverError> {
    let path = "/proc/self/mountinfo";
    let text =
        fs::read(path).map_err(|error| DriverError::transient(format!("can't read {path}: {error}")))?;
    Ok(parse(&text))
}

/// The fifth word of each line is the mount point (proc(5)).
fn parse(text: &[u8]) -> Mounts {
    let points = text.split(|&byte| byte == b'\n').filter_map(|line| line.split(|&byte| byte == b' ').nth(4));
    Mounts(points.map(|point| PathBuf::from(OsString::from_vec(unescape(point)))).collect())
}

/// The kernel writes blanks and backslashes as a backslash and three octal digits.
fn unescape(word: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| first == b'\\').and_then(|digits| {
            digits.iter().try_fold(0u8, |sum, &digit| {
                let digit = digit.checked_sub(b'0').filter(|d| *d < 8)?;
                sum.checked_mul(8)?.checked_add(digit)
            })
        });
        match octal {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_with_their_blanks() {
        let mounts = parse(
            b"29 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
              99 29 7:0 / /var/lib/zos/my\\040data/mnt/7-data rw - ext4 /dev/loop0 rw\n\
              100 29 7:0 / /odd\\134\\9 rw - ext4 /dev/loop0 rw\n",
        );
        assert!(mounts.contains(Path::new("/")));
        assert!(mounts.contains(Path::new("/var/lib/zos/my data/mnt/7-data")));
        assert!(mounts.contains(Path::new("/odd\\\\9")));
        assert!(!mounts.contains(Path::new("/var/lib/zos")));
    }

    #[test]
    fn the_kernel_says_that_proc_is_mounted() {
        assert!(read().unwrap().contains(Path::new("/proc")));
    }
}
