// SPDX-License-Identifier: Apache-2.0
//! Pools on disks, in files and in folders.

use super::*;

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_disk_that_holds_data_is_never_formatted() {
    let (data, node) = (tempfile::tempdir().unwrap(), rand::random());
    let (full, blank) = (Disk::new(), Disk::new());
    stdout(Command::new("mkfs.ext4").args(["-q", &full.device]));
    for place in [full.device.clone(), format!("{},{}", blank.device, full.device)] {
        let error = open(&data, &place, node).await.unwrap_err();
        assert!(error.contains("holds data (ext4)") && error.contains("wipefs --all"), "{error}");
    }
    assert_eq!((full.signatures().as_str(), blank.signatures().as_str()), ("ext4", ""));
    let error = open(&data, "/dev/no-such-disk", node).await.unwrap_err();
    assert!(error.contains("there is no /dev/no-such-disk"), "{error}");
}

/// A file system of 64 KiB in memory. It ends on drop.
struct Small(TempDir);

impl Small {
    fn new() -> Self {
        let small = Self(tempfile::tempdir().unwrap());
        let options = ["-t", "tmpfs", "-o", "size=64k", "zos-small"];
        stdout(Command::new("mount").args(options).arg(small.0.path()));
        small
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_full_data_folder_keeps_the_last_state() {
    let folder = Small::new();
    let store = Store::open(folder.0.path().join("state")).unwrap();
    store.write("a.json", &"before").unwrap();
    let padding = folder.0.path().join("padding");
    assert!(fs::write(&padding, vec![1; 128 << 10]).is_err(), "it isn't full");
    let error = store.write("a.json", &"after").unwrap_err();
    assert!(format!("{error:#}").contains("No space left"), "{error:#}");
    assert_eq!(store.read::<String>("a.json").unwrap().as_deref(), Some("before"));
    fs::remove_file(padding).unwrap();
    store.write("a.json", &"after").unwrap();
    assert_eq!(store.read::<String>("a.json").unwrap().as_deref(), Some("after"));
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_pool_on_disks_is_used_again_and_removed() {
    let (data, node) = (tempfile::tempdir().unwrap(), rand::random());
    let (one, two) = (Disk::new(), Disk::new());
    let place = format!("{},{}", one.device, two.device);
    let pool = open(&data, &place, node).await.unwrap();
    let folder = pool.volumes().join("7-data");
    pool.ensure_subvolume(&folder, 16 * MIB).await.unwrap();
    fs::write(folder.join("note"), "mine").unwrap();
    open(&data, &place, node).await.unwrap();

    unmount(&pool);
    let error = pool.check().await.unwrap_err().to_string();
    assert!(error.contains("is gone"), "{error}");
    two.disconnect();
    let error = open(&data, &one.device, node).await.unwrap_err();
    assert!(error.contains("is a disk of the pool missing"), "{error}");
    two.connect();
    let other = open(&data, &place, rand::random()).await.unwrap_err();
    assert!(other.contains("belongs to the node with the key"), "{other}");
    let pool = open(&data, &place, node).await.unwrap();
    assert_eq!(fs::read_to_string(folder.join("note")).unwrap(), "mine");
    assert_eq!(pool.subvolume(&folder).unwrap().unwrap().limit, 16 * MIB);

    pool.remove().await.unwrap();
    assert_eq!((one.signatures() + &two.signatures()).as_str(), "");
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn what_streams_have_left_goes_with_the_next_start() {
    let (data, node) = (tempfile::tempdir().unwrap(), rand::random());
    let pool = open(&data, "4GiB", node).await.unwrap();
    let of_engine = pool.engine().join("docker/1.1/btrfs/new");
    let left = [pool.volumes().with_file_name("snapshots").join("7-data"), of_engine.join("7-web")];
    fs::create_dir_all(&of_engine).unwrap();
    for path in &left {
        stdout(Command::new("btrfs").args(["subvolume", "create"]).arg(path));
    }
    Pools { ssd: pool.clone(), hdd: None }.clear_snapshots().await;
    let still: Vec<_> = left.iter().filter(|path| path.exists()).collect();
    pool.remove().await.unwrap();
    assert!(still.is_empty(), "{still:?}");
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_pool_in_a_file_grows_and_does_not_shrink() {
    let (data, node) = (tempfile::tempdir().unwrap(), rand::random());
    let pool = open(&data, "4GiB", node).await.unwrap();
    let before = pool.share().unwrap().offered;
    let pool = open(&data, "8GiB", node).await.unwrap();
    assert!(pool.share().unwrap().offered >= before + (3 << 30));
    let error = open(&data, "4GiB", node).await.unwrap_err();
    assert!(error.contains("can't shrink"), "{error}");
    pool.remove().await.unwrap();
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_folder_on_btrfs_can_be_the_pool() {
    let host = Host::new().await;
    let (data, node): (_, [u8; 32]) = (tempfile::tempdir().unwrap(), rand::random());
    let folder = host.pool.volumes().with_file_name(format!("folder-{}", hex::encode(&node[..4])));
    let place = folder.to_str().unwrap();
    let pool = open(&data, place, node).await.unwrap();
    let volume = pool.volumes().join("7-data");
    pool.ensure_subvolume(&volume, 16 * MIB).await.unwrap();
    assert!(pool.share().unwrap().offered > 0);
    pool.remove().await.unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    fs::remove_dir(&folder).unwrap();
}
