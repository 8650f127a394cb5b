// SPDX-License-Identifier: Apache-2.0
//! Updates of the boot image: a newer image of the farmer's channel is put beside the one that runs, and tried once. It
//! is kept if its agent passes the self-test and follows the chain; otherwise the machine starts anew with the old one.

mod channel;
mod manifest;
mod medium;

use crate::{
    chain::{HeadAge, Snapshot},
    drivers::{
        pool::{MOUNT, UMOUNT},
        tools::run,
    },
    engine::observed::Observed,
};
use anyhow::{Context, Result, bail, ensure};
use channel::Channel;
use clap::Args;
use manifest::Manifest;
use medium::Medium;
use rand::Rng;
use std::{fs, future::pending, io::ErrorKind, path::Path, sync::Arc, time::Duration};
use tfgrid_client::units::parse_duration;
use tokio::{fs::File, sync::watch, task::spawn_blocking, time::sleep};
use tracing::{info, warn};

/// Folder in which `make image` writes release, number and key of the image.
const IMAGE: &str = "etc/zos";
/// There while the image has to prove itself (`zos-init`).
const TRIAL: &str = "/run/zos-boot/trial";
const MOUNT_POINT: &str = "/run/zos-medium";
/// The most time from the start to the first look at the channel, and between two.
const FIRST_LOOK: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_secs(3_600);
const PROVE_AGAIN: Duration = Duration::from_secs(10);

/// Where updates of the boot image come from.
#[derive(Clone, Debug, Args)]
pub struct UpdateArgs {
    /// Folder of a web server with updates of the boot image; without it there are none
    ///
    /// Nothing of it is used that isn't signed by the key of the image that runs. It is looked at once an hour.
    #[arg(long, env = "ZOS_CHANNEL", value_name = "URL")]
    pub channel: Option<Channel>,
    /// Longest time for which an update waits for the node to be empty; each node draws its own within it. The start
    /// stops workloads for a minute or two
    #[arg(long, env = "ZOS_UPDATE_WITHIN", value_name = "TIME", default_value = "24h", value_parser = parse_duration)]
    pub update_within: Duration,
}

/// The machine is to start anew, to try an image.
#[derive(Debug, thiserror::Error)]
#[error("the machine starts anew with the image {0}")]
pub struct StartAnew(String);

impl StartAnew {
    /// With this exit code of the agent, `zos-init` starts the machine anew.
    pub const EXIT_CODE: i32 = 97;
}

/// Version of what runs here: that of the boot image, else that of this agent. `root` is the system's root folder.
pub fn version(root: &Path) -> String {
    let release = fs::read_to_string(root.join(IMAGE).join("release"));
    release.map_or_else(|_| env!("CARGO_PKG_VERSION").into(), |text| text.trim().into())
}

/// Keeps the boot image up to date.
pub struct Updater {
    args: UpdateArgs,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    observed: watch::Receiver<Arc<Observed>>,
    /// Number of the image that runs.
    running: u64,
    /// Public half of the key that signs images.
    key: Vec<u8>,
}

impl Updater {
    /// `None` where the system isn't a boot image. `root` is its root folder.
    ///
    /// # Errors
    /// If the image doesn't say what it is.
    pub fn of(
        root: &Path,
        args: UpdateArgs,
        snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
        observed: watch::Receiver<Arc<Observed>>,
    ) -> Result<Option<Self>> {
        let folder = root.join(IMAGE);
        let number = match fs::read_to_string(folder.join("number")) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if args.channel.is_some() {
                    warn!("--channel is for the boot image: this agent is updated by its package");
                }
                return Ok(None);
            }
            number => number.context("can't read the number of the boot image")?,
        };
        let running = number.trim().parse().context("the number of the boot image isn't one")?;
        let key = fs::read(folder.join("key.der")).context("can't read the key of the boot image")?;
        Ok(Some(Self { args, snapshots, observed, running, key }))
    }

    /// Updates the image, until the machine is to start anew.
    ///
    /// # Errors
    /// [`StartAnew`] if it is.
    pub async fn run(mut self) -> Result<()> {
        // Then the self-test has passed and the chain is followed, so this image can be updated.
        if self.snapshots.wait_for(is_followed).await.is_err() {
            return Ok(());
        }
        while let Err(why) = self.prove().await {
            warn!("can't keep this boot image: {why:#}");
            sleep(PROVE_AGAIN).await;
        }
        let Some(channel) = self.args.channel.clone() else { return pending().await };
        let mut longest = FIRST_LOOK;
        loop {
            sleep(up_to(longest)).await;
            longest = LOOK_EVERY;
            match self.look(&channel).await {
                Ok(None) => {}
                Ok(Some(release)) => {
                    self.await_turn().await;
                    return Err(StartAnew(release).into());
                }
                Err(why) => warn!("can't update the boot image: {why:#}"),
            }
        }
    }

    /// Lets the boot loader start this image from now on.
    async fn prove(&self) -> Result<()> {
        if !Path::new(TRIAL).exists() {
            return Ok(());
        }
        let (medium, running) = (mount().await?, self.running);
        let kept = spawn_blocking(move || medium.keep(running)).await;
        unmount().await?;
        kept??;
        fs::remove_file(TRIAL).with_context(|| format!("can't remove {TRIAL}"))?;
        info!(version = version(Path::new("/")), "this boot image has proven itself");
        Ok(())
    }

    /// The version of a newer image that is to be tried.
    async fn look(&self, channel: &Channel) -> Result<Option<String>> {
        let mut file = Vec::new();
        channel.fetch(manifest::FILE, manifest::MAX_BYTES, &mut file).await?;
        let manifest = Manifest::verify(&file, &self.key)?;
        if manifest.number <= self.running {
            return Ok(None);
        }
        let medium = mount().await?;
        let put = self.put(medium, channel, &manifest).await;
        unmount().await?;
        put?;
        info!(version = manifest.release, "a newer boot image is to be tried");
        Ok(Some(manifest.release))
    }

    /// Puts an image on the medium, to be tried next.
    async fn put(&self, medium: Medium, channel: &Channel, manifest: &Manifest) -> Result<()> {
        let Manifest { number, bytes, release, .. } = manifest.clone();
        ensure!(
            medium.image(self.running).exists(),
            "the disk named zos isn't the one that this machine booted from"
        );
        if medium.is_next(number)? {
            return Ok(());
        }
        if medium.newest()?.is_some_and(|newest| number <= newest) {
            bail!("{release} failed here, or one after it: only a newer one is tried");
        }
        let (running, prepared) = (self.running, medium.clone());
        spawn_blocking(move || prepared.make_room(running)).await??;
        let image = medium.image(number);
        let fetched = async {
            let mut file = File::create(&image).await.context("can't create the image")?;
            channel.fetch(&manifest.image(), bytes, &mut file).await?;
            file.sync_all().await.context("can't write the image")?;
            let (manifest, image) = (manifest.clone(), image.clone());
            spawn_blocking(move || manifest.check(&image)).await?
        };
        if let Err(why) = fetched.await {
            let _ = fs::remove_file(&image);
            return Err(why);
        }
        spawn_blocking(move || medium.try_next(number)).await?
    }

    /// Returns when no workload is here, or at a time of this node's own.
    async fn await_turn(&mut self) {
        let turn = sleep(up_to(self.args.update_within));
        tokio::select! {
            () = turn => {}
            () = self.await_empty() => {}
        }
    }

    async fn await_empty(&mut self) {
        while !self.is_empty() {
            let changed = tokio::select! {
                changed = self.snapshots.changed() => changed,
                changed = self.observed.changed() => changed,
            };
            if changed.is_err() {
                return pending().await;
            }
        }
    }

    fn is_empty(&self) -> bool {
        let is_free = self.snapshots.borrow().as_ref().is_some_and(|known| known.contracts.is_empty());
        is_free && self.observed.borrow().is_empty()
    }
}

/// Whether the chain was read since the start of the agent.
fn is_followed(known: &Option<Arc<Snapshot>>) -> bool {
    known.as_ref().is_some_and(|known| known.age == HeadAge::New)
}

/// A time at random.
fn up_to(longest: Duration) -> Duration {
    longest.mul_f64(rand::rng().random_range(0.0..=1.0))
}

async fn mount() -> Result<Medium> {
    let device = medium::partition(Path::new("/"))?;
    let device = device.to_str().context("its name isn't text")?;
    fs::create_dir_all(MOUNT_POINT)?;
    // An agent that was killed has left it mounted.
    let _ = run(&UMOUNT, &["-q", MOUNT_POINT]).await;
    // It has the farm's ticket.
    let options = "nosuid,nodev,noexec,umask=0077,codepage=437,iocharset=ascii";
    let mounted = run(&MOUNT, &["-w", "-t", "vfat", "-o", options, device, MOUNT_POINT]).await;
    mounted.context("is the disk write-protected from which this machine boots?")?;
    Ok(Medium::new(MOUNT_POINT))
}

async fn unmount() -> Result<()> {
    run(&UMOUNT, &[MOUNT_POINT]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chain::{Head, fake::FakeChain},
        details::tests::system,
        engine::observed::ObservedContract,
    };
    use channel::tests::serve;
    use manifest::tests::{key, of, signed};
    use medium::tests::{count_try, medium};
    use std::collections::BTreeMap;
    use tempfile::TempDir;
    use tokio::time::timeout;

    fn args(channel: Option<Channel>) -> UpdateArgs {
        UpdateArgs { channel, update_within: Duration::ZERO }
    }

    /// The updater of a machine that runs image 1.
    fn updater() -> Updater {
        let (snapshots, observed) = (watch::channel(None).1, watch::channel(Arc::default()).1);
        Updater { args: args(None), snapshots, observed, running: 1, key: key() }
    }

    /// A snapshot of the chain without contracts on the node.
    fn empty(age: HeadAge) -> Arc<Snapshot> {
        let head = Head { number: 1, hash: [1; 32], timestamp_ms: 0 };
        let (limits, contracts) = (FakeChain::new().limits, BTreeMap::new());
        Arc::new(Snapshot { head, age, contracts, limits, grants: Default::default() })
    }

    /// Puts the image of a channel on the medium.
    async fn update(medium: &Medium, manifest: Vec<u8>, image: &[u8]) -> Result<()> {
        let manifest = Manifest::verify(&manifest, &key())?;
        let files = BTreeMap::from([(manifest.image(), image.to_vec())]);
        let (channel, serving) = serve(files).await;
        let put = updater().put(medium.clone(), &channel, &manifest).await;
        serving.abort();
        put
    }

    #[tokio::test]
    async fn a_newer_image_is_put_beside_the_one_that_runs() {
        let (_folder, medium) = medium();
        update(&medium, of(2, b"newer"), b"newer").await.unwrap();
        assert!(medium.is_next(2).unwrap() && medium.image(1).exists());
        assert_eq!(fs::read(medium.image(2)).unwrap(), b"newer");
        update(&medium, of(2, b"newer"), b"").await.expect("it is there, and waits for the start");
        update(&medium, of(3, b"newest"), b"newest").await.unwrap();
        assert!(medium.is_next(3).unwrap() && !medium.image(2).exists());
    }

    #[tokio::test]
    async fn an_image_that_failed_is_not_tried_again() {
        let (_folder, medium) = medium();
        update(&medium, of(2, b"bad"), b"bad").await.unwrap();
        count_try(&medium, 2);
        let why = update(&medium, of(2, b"bad"), b"bad").await.unwrap_err().to_string();
        assert_eq!(why, "0.2.0 failed here, or one after it: only a newer one is tried");
        assert!(!medium.is_next(2).unwrap());
        update(&medium, of(3, b"good"), b"good").await.unwrap();
        assert!(medium.is_next(3).unwrap());
    }

    #[tokio::test]
    async fn what_does_not_come_whole_is_never_tried() {
        let (_folder, medium) = medium();
        let manifest = || of(2, b"newer");
        for (image, why) in [
            (&b"new"[..], "0.2.0 came damaged"),
            (&b"newez"[..], "0.2.0 came damaged"),
            (&b"newer and more"[..], "it has more than 5 bytes"),
        ] {
            let error = format!("{:#}", update(&medium, manifest(), image).await.unwrap_err());
            assert!(error.contains(why), "{error}");
            assert!(!medium.image(2).exists() && medium.newest().unwrap() == Some(1));
        }
        update(&medium, manifest(), b"newer").await.unwrap();
        assert!(medium.is_next(2).unwrap());
    }

    #[tokio::test]
    async fn a_channel_offers_nothing_older_and_nothing_unsigned() {
        let updater = updater();
        let look = async |manifest: Vec<u8>| {
            let (channel, serving) = serve([(manifest::FILE.to_owned(), manifest)].into()).await;
            let looked = updater.look(&channel).await;
            serving.abort();
            looked.map_err(|why| format!("{why:#}"))
        };
        assert_eq!(look(of(0, b"older")).await, Ok(None));
        assert_eq!(look(of(1, b"same")).await, Ok(None));
        let mut forged = of(2, b"newer");
        *forged.last_mut().unwrap() = b' ';
        assert_eq!(
            look(forged).await.unwrap_err(),
            "the manifest isn't signed by the key of the image that runs"
        );
        let long = signed(&" ".repeat(5_000));
        assert!(look(long).await.unwrap_err().ends_with("it has more than 4096 bytes"));
    }

    #[tokio::test]
    async fn a_medium_of_another_machine_stays_as_it_is() {
        let (_folder, medium) = medium();
        let other = Updater { running: 7, ..updater() };
        let manifest = Manifest::verify(&of(8, b"newer"), &key()).unwrap();
        let (channel, serving) = serve(BTreeMap::new()).await;
        let why = other.put(medium.clone(), &channel, &manifest).await.unwrap_err().to_string();
        serving.abort();
        assert!(why.starts_with("the disk named zos isn't"), "{why}");
        assert!(medium.image(1).exists());
    }

    #[tokio::test]
    async fn an_update_waits_for_an_empty_node_or_its_turn() {
        let (_chain, snapshots) = watch::channel(Some(empty(HeadAge::New)));
        let contracts = Observed::from([(1, ObservedContract::default())]);
        let (machine, observed) = watch::channel(Arc::new(contracts));
        let mut updater = Updater { snapshots, observed, ..updater() };
        updater.await_turn().await;
        assert!(timeout(Duration::from_millis(50), updater.await_empty()).await.is_err());
        machine.send_replace(Arc::default());
        timeout(Duration::from_secs(10), updater.await_empty()).await.unwrap();
    }

    #[test]
    fn an_image_needs_the_chain_to_prove_itself() {
        assert!(is_followed(&Some(empty(HeadAge::New))));
        assert!(!is_followed(&Some(empty(HeadAge::Stored))) && !is_followed(&None));
    }

    #[test]
    fn only_a_boot_image_updates_itself() {
        let of = |root: &TempDir, channel: Option<&str>| {
            let channel = channel.map(|text| text.parse().unwrap());
            let (snapshots, observed) = (watch::channel(None).1, watch::channel(Arc::default()).1);
            Updater::of(root.path(), args(channel), snapshots, observed)
        };
        let debian = system(&[]);
        assert!(of(&debian, Some("https://a/")).unwrap().is_none());
        assert_eq!(version(debian.path()), env!("CARGO_PKG_VERSION"));
        let (number, key): (&str, &str) = ("etc/zos/number", "etc/zos/key.der");
        let whole = system(&[(number, b"17\n"), (key, b"key"), ("etc/zos/release", b"0.1.0 (1a2b3c4)\n")]);
        let updater = of(&whole, None).unwrap().unwrap();
        assert_eq!((updater.running, updater.key.as_slice()), (17, &b"key"[..]));
        assert_eq!(version(whole.path()), "0.1.0 (1a2b3c4)");
        for damaged in [system(&[(number, b"17")]), system(&[(number, b"x"), (key, b"key")])] {
            assert!(of(&damaged, None).is_err());
        }
    }
}
