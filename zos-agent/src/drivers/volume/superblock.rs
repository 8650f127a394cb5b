// SPDX-License-Identifier: Apache-2.0
//! Reads the size of an ext4 file system from its superblock.

use std::{
    fs::File,
    io::{self, ErrorKind, Read, Seek, SeekFrom},
    path::Path,
};

const OFFSET: u64 = 1024;
const MAGIC: u16 = 0xef53;

/// Size in bytes of the file system in this file.
pub fn size(image: &Path) -> io::Result<u64> {
    let mut file = File::open(image)?;
    file.seek(SeekFrom::Start(OFFSET))?;
    let mut block = [0u8; 1024];
    file.read_exact(&mut block)?;
    parse(&block).ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "it has no ext4 file system"))
}

fn parse(block: &[u8; 1024]) -> Option<u64> {
    let u32_at = |at: usize| Some(u32::from_le_bytes(block.get(at..at + 4)?.try_into().ok()?));
    let magic = u16::from_le_bytes(block.get(0x38..0x3a)?.try_into().ok()?);
    if magic != MAGIC {
        return None;
    }
    let blocks = u64::from(u32_at(0x150)?) << 32 | u64::from(u32_at(0x4)?);
    let block_size = 1024u64.checked_shl(u32_at(0x18)?)?;
    blocks.checked_mul(block_size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_size_is_the_one_given_to_mkfs() {
        let dir = tempfile::tempdir().unwrap();
        for mib in [16u64, 17, 1024] {
            let image = dir.path().join(format!("{mib}.img"));
            File::create(&image).unwrap().set_len(mib << 20).unwrap();
            assert!(size(&image).is_err());
            let status = Command::new("/sbin/mkfs.ext4").args(["-q", "-F"]).arg(&image).status().unwrap();
            assert!(status.success());
            assert_eq!(size(&image).unwrap(), mib << 20);
        }
    }
}
