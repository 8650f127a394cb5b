// SPDX-License-Identifier: Apache-2.0
//! Fetches images within the size that the contract allows, with time limits.

use super::{contains_any, failure, is_engine_trouble, names::IMAGES};
use crate::drivers::{Credentials, DriverError, ImageRules, MachineSpec, pool::Pool};
use bollard::{
    Docker,
    auth::DockerCredentials,
    errors::Error,
    models::{CreateImageInfo, ImageInspect, ImageSummary},
    query_parameters::{
        CreateImageOptions, CreateImageOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptions,
        ListImagesOptionsBuilder, RemoveImageOptions, TagImageOptionsBuilder,
    },
};
use futures::StreamExt;
use std::{
    collections::{BTreeSet, HashMap},
    env::consts::ARCH,
    fmt,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};
use tfgrid_client::deployment::{ImageError, ImageReference};
use tfgrid_primitives::{FailureCode, net::is_public, report::download_ms, units::MIB};
use tokio::time::timeout;
use tracing::{debug, info};

/// Longest silence of a registry.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// Least bytes that a registry must send in [`SILENCE_TIMEOUT`] while nothing else happens to the image.
const LEAST_BYTES: u64 = MIB;
/// Limit for a whole image, beside [`download_ms`] of the layers that the registry has announced: as long as the
/// chain waits for an image that fills the contract's disk.
const FETCH_TIMEOUT: Duration = Duration::from_secs(1800);
const IMAGE_FIELD: &str = "/data/image";
/// Parts of a registry's message that it doesn't have the image.
const MISSING: [&str; 3] = ["manifest unknown", "name unknown", "http 404"];
/// Parts of an engine's message that the image is for other machines.
const OTHER_PLATFORM: [&str; 2] = ["no matching manifest", "does not match the specified platform"];
/// Parts of an engine's message that it didn't get what it asked for by its digest, or that it can't unpack that.
const CORRUPT: [&str; 5] = [
    "verification failed",
    "does not match digest",
    "don't match image configuration",
    "decompression stream",
    "failed to register layer",
];
/// Parts of a registry's message that it was asked too often.
const BUSY: [&str; 3] = ["toomanyrequests", "too many requests", "http 429"];
/// Parts of a registry's message that it doesn't give the image with these credentials or none.
const DENIED: [&str; 8] = [
    "unauthorized",
    "authentication required",
    "no basic auth credentials",
    "access denied",
    "access to the resource is denied",
    "forbidden",
    "http 401",
    "http 403",
];

/// The engine and the rules by which images get there.
pub struct Images<'a> {
    /// Its API.
    pub docker: &'a Docker,
    /// The storage pool, if images are in it.
    pub pool: Option<&'a Pool>,
    /// Whether a registry may have a private address.
    pub private_registries: bool,
}

impl Images<'_> {
    /// Ensures that the engine has the machine's image under `name`, and that the registry has given it to the
    /// machine's owner. With `rules.keep` that is what `name` says. Otherwise the registry is asked, however much of
    /// the image is here. Returns whether it was. When room is short, images that no container uses are removed unless
    /// one of their names is `wanted`.
    pub async fn pull(
        &self,
        spec: &MachineSpec,
        name: &str,
        rules: ImageRules,
        wanted: &BTreeSet<String>,
    ) -> Result<bool, DriverError> {
        let ImageRules { limit, keep } = rules;
        let image = parse(&spec.container.image)?;
        if let (true, Ok(kept)) = (keep, self.docker.inspect_image(name).await) {
            return check_size(&kept, limit).map(|()| false);
        }
        if !self.private_registries && is_private(image.host()) {
            return Err(private_registry(image.host()));
        }
        let room = match self.pool {
            Some(pool) => self.room(pool.share()?.images, limit, wanted).await?,
            None => u64::MAX,
        };
        info!(contract = spec.id.contract, machine = %spec.id, "fetching its image");
        match self.fetch(spec, &image, name, limit.min(room)).await {
            Err(DriverError::Invalid { code: FailureCode::ImageTooLarge, .. }) if room < limit => {
                Err(DriverError::Invalid {
                    code: FailureCode::NodeFull,
                    field: "",
                    message: format!("images have {} MiB left on this node", room / MIB),
                })
            }
            other => other.map(|()| true),
        }
    }

    /// Bytes that images may still use. If there are fewer than `wanted_room`, unused images are removed until there
    /// are as many, the one first whose use is longest ago. Layers that images have in common are counted with each.
    async fn room(
        &self,
        share: u64,
        wanted_room: u64,
        wanted: &BTreeSet<String>,
    ) -> Result<u64, DriverError> {
        let images = self.docker.list_images(None::<ListImagesOptions>).await;
        let images = images.map_err(|error| failure("list", "images", error))?;
        let size = |image: &ImageSummary| u64::try_from(image.size).unwrap_or(0);
        let mut used = images.iter().map(size).fold(0, u64::saturating_add);
        if share.saturating_sub(used) >= wanted_room {
            return Ok(share - used);
        }
        for image in self.unused(images, wanted).await? {
            if share.saturating_sub(used) >= wanted_room {
                break;
            }
            if remove_image(self.docker, &image).await {
                used = used.saturating_sub(size(&image));
            }
        }
        Ok(share.saturating_sub(used))
    }

    /// Images that no container uses and nobody wants, the one first whose use is longest ago.
    async fn unused(
        &self,
        images: Vec<ImageSummary>,
        wanted: &BTreeSet<String>,
    ) -> Result<Vec<ImageSummary>, DriverError> {
        let options = ListContainersOptionsBuilder::default().all(true).build();
        let containers = self.docker.list_containers(Some(options)).await;
        let containers = containers.map_err(|error| failure("list", "containers", error))?;
        let in_use: BTreeSet<_> = containers.into_iter().filter_map(|container| container.image_id).collect();
        let mut unused = Vec::new();
        for image in images {
            if in_use.contains(&image.id) || image.repo_tags.iter().any(|name| wanted.contains(name)) {
                continue;
            }
            let metadata = self.docker.inspect_image(&image.id).await.ok().and_then(|found| found.metadata);
            unused.push((metadata.and_then(|metadata| metadata.last_tag_time), image));
        }
        unused.sort_by(|(first, _), (second, _)| first.cmp(second));
        Ok(unused.into_iter().map(|(_, image)| image).collect())
    }

    async fn fetch(
        &self,
        spec: &MachineSpec,
        image: &ImageReference,
        name: &str,
        limit: u64,
    ) -> Result<(), DriverError> {
        let reference = engine_reference(image);
        // Only the engine knows whether the node is full, not a registry.
        let refused = |error| match pull_failure(spec, error, None, self.private_registries) {
            DriverError::Invalid { code: FailureCode::NodeFull, message, .. } => {
                DriverError::transient(message)
            }
            other => other,
        };
        if image.digest().is_some() {
            // The engine takes what it has by its digest, whoever fetched it, and asks no registry.
            let asked = self.docker.inspect_registry_image(&reference, credentials(spec)).await;
            asked.map_err(refused)?;
        }
        let digest = self.download(spec, image, limit).await?;
        // The tag may have moved again.
        let exact = format!("{}@{digest}", image.repository());
        let found = self.docker.inspect_image(&exact).await.map_err(|e| failure("inspect", &exact, e))?;
        let fits = check_platform(&found).and_then(|()| check_size(&found, limit));
        if let Err(error) = fits {
            remove(self.docker, &reference).await;
            remove(self.docker, &exact).await;
            return Err(error);
        }
        tag(self.docker, &exact, name).await.map_err(|error| failure("name the image", &exact, error))
    }

    /// Downloads the image's layers, with time limits; returns its digest.
    async fn download(
        &self,
        spec: &MachineSpec,
        image: &ImageReference,
        limit: u64,
    ) -> Result<String, DriverError> {
        let version = image.digest().or(image.tag()).unwrap_or_default();
        let options: CreateImageOptions =
            CreateImageOptionsBuilder::default().from_image(&image.repository()).tag(version).build();
        let mut progress = Box::pin(self.docker.create_image(Some(options), None, credentials(spec)));
        let (mut layers, mut digest) = (HashMap::new(), image.digest().map(str::to_owned));
        let (begun, mut pace) = (Instant::now(), Pace::new());
        loop {
            let item = timeout(SILENCE_TIMEOUT, progress.next()).await.map_err(|_| {
                DriverError::transient(format!("the registry of {image} was silent for {SILENCE_TIMEOUT:?}"))
            })?;
            // On an error the stream is dropped, and the engine stops fetching.
            let announced = match item {
                None => {
                    return digest.ok_or_else(|| {
                        DriverError::transient(format!("the engine told no digest of {image}"))
                    });
                }
                Some(Err(error)) => {
                    // The engine has removed the part that it got: was there room for an image within the limit?
                    let is_large = is_disk_full(&error.to_string())
                        && free_bytes(self.docker).await.is_some_and(|free| free >= limit);
                    let exceeded = is_large.then_some(limit);
                    return Err(pull_failure(spec, error, exceeded, self.private_registries));
                }
                Some(Ok(info)) => {
                    let told = info.status.as_deref().and_then(|status| status.strip_prefix("Digest: "));
                    digest = told.map(str::to_owned).or(digest);
                    if !pace.is_kept(&info) {
                        return Err(DriverError::transient(format!(
                            "the registry of {image} sent less than {} MiB in {SILENCE_TIMEOUT:?}",
                            LEAST_BYTES / MIB
                        )));
                    }
                    check_layers(&mut layers, info, limit)?
                }
            };
            if self.pool.is_some_and(Pool::is_full) {
                let message = format!("it unpacks to more than the {} MiB allowed", limit / MIB);
                return Err(invalid_image(FailureCode::ImageTooLarge, message));
            }
            let most = FETCH_TIMEOUT.saturating_add(Duration::from_millis(download_ms(announced)));
            if begun.elapsed() > most {
                return Err(DriverError::transient(format!("fetching {image} took more than {most:?}")));
            }
        }
    }
}

/// Tells what the owner must change from a registry that can't be reached or is overloaded. `exceeded` is as in
/// [`no_room`]. No message has the owner's password, even if the registry repeats it.
fn pull_failure(
    spec: &MachineSpec,
    error: Error,
    exceeded: Option<u64>,
    private_registries: bool,
) -> DriverError {
    let (status, message) = match &error {
        Error::DockerResponseServerError { status_code, message } => (*status_code, message),
        Error::DockerStreamError { error } => (0, error),
        _ => return failure("fetch", &spec.container.image, error),
    };
    let message = match &spec.registry {
        Some(registry) => message.replace(&registry.password, "…"),
        None => message.clone(),
    };
    if let Some(address) = refused_address(&message).filter(|_| !private_registries) {
        return private_registry(&address.to_string());
    }
    if let Some(full) = no_room(&message, exceeded) {
        return full;
    }
    let later = || DriverError::transient(format!("can't fetch {}: {message}", spec.container.image));
    if status == 429 || is_busy(&message, &spec.container.image) {
        return DriverError::transient(format!(
            "the registry of {} limits how often it is asked, which passes; credentials may raise the limit: {message}",
            spec.container.image
        ));
    }
    if contains_any(&message, &CORRUPT) && !is_engine_trouble(&message, "") {
        // The way from the registry may be the cause.
        let message = format!("the registry's content isn't what its digest says, or is no image: {message}");
        return DriverError::Refused { code: FailureCode::ImageNotFound, field: IMAGE_FIELD, message };
    }
    if contains_any(&message, &OTHER_PLATFORM) {
        return invalid_image(FailureCode::ImageNotFound, other_platform(&message));
    }
    if matches!(status, 401 | 403) || contains_any(&message, &DENIED) {
        return invalid_image(FailureCode::ImageDenied, message);
    }
    if status == 404 || contains_any(&message, &MISSING) || (status == 0 && message.contains("not found")) {
        return invalid_image(FailureCode::ImageNotFound, message);
    }
    later()
}

/// Whether the registry says that it was asked too often. The message repeats the image's name: what that has doesn't
/// count.
fn is_busy(message: &str, image: &str) -> bool {
    let (message, image) = (message.to_lowercase(), image.to_lowercase());
    BUSY.iter().any(|sign| message.contains(sign) && !image.contains(sign))
}

/// The reference that the engine gets. If there are both a tag and a digest, the tag is dropped.
fn engine_reference(image: &ImageReference) -> String {
    match image.digest() {
        Some(digest) => format!("{}@{digest}", image.repository()),
        None => image.to_string(),
    }
}

fn parse(image: &str) -> Result<ImageReference, DriverError> {
    let invalid =
        |why: &dyn fmt::Display| invalid_image(FailureCode::BodyInvalid, format!("{image:?}: {why}"));
    let parsed: ImageReference = image.parse().map_err(|rule: ImageError| invalid(&rule))?;
    if parsed.host() == IMAGES {
        return Err(invalid(&"this host names the node's own images"));
    }
    Ok(parsed)
}

fn credentials(spec: &MachineSpec) -> Option<DockerCredentials> {
    let Credentials { user, password } = spec.registry.clone()?;
    Some(DockerCredentials { username: Some(user), password: Some(password), ..Default::default() })
}

/// Whether the name of a registry's host is or means an address that isn't public.
fn is_private(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse().is_ok_and(|address: IpAddr| !is_public(address))
}

fn private_registry(host: &str) -> DriverError {
    let message = format!("the node doesn't fetch images from private addresses ({host})");
    invalid_image(FailureCode::BodyInvalid, message)
}

/// The address that isn't public to which the engine couldn't connect: the firewall refuses that.
fn refused_address(message: &str) -> Option<IpAddr> {
    let (_, rest) = message.split_once("dial tcp ")?;
    let to: SocketAddr = rest.split(": ").next()?.parse().ok()?;
    (!is_public(to.ip()) && !message.contains(": lookup ")).then_some(to.ip())
}

/// Names the image anew, which counts as a use of it.
pub async fn tag(docker: &Docker, image: &str, name: &str) -> Result<(), Error> {
    let (repository, tag) = name.rsplit_once(':').unwrap_or((name, ""));
    docker.tag_image(image, Some(TagImageOptionsBuilder::default().repo(repository).tag(tag).build())).await
}

/// Images with names of this pattern.
pub async fn named(docker: &Docker, pattern: &str) -> Result<Vec<ImageSummary>, DriverError> {
    let filters = HashMap::from([("reference", vec![pattern])]);
    let images =
        docker.list_images(Some(ListImagesOptionsBuilder::default().filters(&filters).build())).await;
    images.map_err(|error| failure("list", "images", error))
}

/// Removes all names of an image, and with the last one the image; returns whether it is gone. What a container uses
/// stays.
pub async fn remove_image(docker: &Docker, image: &ImageSummary) -> bool {
    for name in image.repo_tags.iter().chain(&image.repo_digests) {
        remove(docker, name).await;
    }
    remove(docker, &image.id).await;
    docker.inspect_image(&image.id).await.is_err()
}

fn is_disk_full(message: &str) -> bool {
    contains_any(message, &["no space left on device"])
}

/// Free space on the engine's disk; `None` if this can't be seen from here.
async fn free_bytes(docker: &Docker) -> Option<u64> {
    let disk = rustix::fs::statvfs(docker.info().await.ok()?.docker_root_dir?).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// How fast a download goes on: one that is kept open for its own sake holds what others wait for.
struct Pace {
    since: Instant,
    /// Bytes of each layer so far.
    layers: HashMap<String, u64>,
    /// Bytes of all when the time began.
    before: u64,
}

impl Pace {
    fn new() -> Self {
        Self { since: Instant::now(), layers: HashMap::new(), before: 0 }
    }

    /// Whether enough has come since the time began. Layers that are unpacked begin it anew.
    fn is_kept(&mut self, info: &CreateImageInfo) -> bool {
        let current = info.progress_detail.as_ref().and_then(|detail| detail.current);
        match (info.status.as_deref(), &info.id, current.and_then(|bytes| u64::try_from(bytes).ok())) {
            (Some("Downloading"), Some(layer), Some(bytes)) => {
                self.layers.insert(layer.clone(), bytes);
            }
            (Some("Downloading" | "Waiting"), ..) => {}
            _ => self.begin(),
        }
        if self.since.elapsed() < SILENCE_TIMEOUT {
            return true;
        }
        let is_kept = self.sum().saturating_sub(self.before) >= LEAST_BYTES;
        self.begin();
        is_kept
    }

    fn begin(&mut self) {
        (self.since, self.before) = (Instant::now(), self.sum());
    }

    fn sum(&self) -> u64 {
        self.layers.values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }
}

/// Size of the layers that are announced; fails once it exceeds the limit. These are compressed sizes: the
/// unpacked image is larger still.
fn check_layers(
    layers: &mut HashMap<String, u64>,
    info: CreateImageInfo,
    limit: u64,
) -> Result<u64, DriverError> {
    let total =
        info.progress_detail.and_then(|detail| detail.total).and_then(|total| u64::try_from(total).ok());
    if let (Some(layer), Some(total), Some("Downloading")) = (info.id, total, info.status.as_deref()) {
        layers.insert(layer, total);
    }
    let sum = layers.values().fold(0u64, |sum, size| sum.saturating_add(*size));
    if sum > limit { Err(too_large(sum, limit)) } else { Ok(sum) }
}

fn check_size(image: &ImageInspect, limit: u64) -> Result<(), DriverError> {
    let size = image.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
    if size <= limit { Ok(()) } else { Err(too_large(size, limit)) }
}

/// An image that isn't a list of several is fetched whatever it is for.
fn check_platform(image: &ImageInspect) -> Result<(), DriverError> {
    let has = image.architecture.as_deref().unwrap_or_default();
    let runs = match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    if has.is_empty() || has == runs {
        return Ok(());
    }
    Err(invalid_image(FailureCode::ImageNotFound, other_platform(&format!("it is for {has}"))))
}

fn other_platform(why: &str) -> String {
    format!("the image isn't for the architecture of this node, {ARCH}: {why}")
}

/// Removes this name of an image, and with the last one the image unless a container uses it.
pub async fn remove(docker: &Docker, reference: &str) {
    if let Err(error) = docker.remove_image(reference, None::<RemoveImageOptions>, None).await {
        debug!(reference, "can't remove the image: {error}");
    }
}

fn too_large(size: u64, limit: u64) -> DriverError {
    let message = format!("at least {} MiB, {} MiB are allowed", size.div_ceil(MIB), limit / MIB);
    invalid_image(FailureCode::ImageTooLarge, message)
}

fn invalid_image(code: FailureCode, message: impl Into<String>) -> DriverError {
    DriverError::Invalid { code, field: IMAGE_FIELD, message: message.into() }
}

/// The failure if the engine says that a disk or a quota is full. The disk was filled by an image of more bytes than
/// `exceeded`, or else is too full for what the contract may use.
pub fn no_room(message: &str, exceeded: Option<u64>) -> Option<DriverError> {
    if contains_any(message, &["disk quota exceeded"]) {
        return Some(invalid_image(FailureCode::ImageTooLarge, message));
    }
    is_disk_full(message).then(|| match exceeded {
        Some(limit) => {
            invalid_image(FailureCode::ImageTooLarge, format!("more than the {} MiB allowed", limit / MIB))
        }
        None => DriverError::Invalid { code: FailureCode::NodeFull, field: "", message: message.into() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::{ContainerSpec, WorkloadId};
    use bollard::models::ProgressDetail;

    fn spec(registry: Option<Credentials>) -> MachineSpec {
        MachineSpec {
            id: WorkloadId { contract: 7, name: "web".into() },
            version: 1,
            pointer: String::new(),
            restart: Default::default(),
            is_held: false,
            registry,
            attachment: Default::default(),
            public: None,
            container: ContainerSpec::default(),
            hash: "a".into(),
        }
    }

    #[test]
    fn a_connection_that_the_firewall_refuses_is_told_apart() {
        let failure = |private_registries, message: &str| {
            pull_failure(
                &spec(None),
                Error::DockerStreamError { error: message.into() },
                None,
                private_registries,
            )
        };
        let to =
            |address: &str| format!("Get \"http://x/v2/\": dial tcp {address}: connect: connection refused");
        for private in ["127.0.0.1:80", "169.254.169.254:80", "[::1]:443", "[::ffff:10.0.0.1]:443"] {
            let error = failure(false, &to(private));
            assert!(
                matches!(error, DriverError::Invalid { code: FailureCode::BodyInvalid, .. }),
                "{error:?}"
            );
            assert!(error.to_string().starts_with("the node doesn't fetch images from private addresses"));
            assert!(matches!(failure(true, &to(private)), DriverError::Transient(_)), "{private}");
        }
        let lookup =
            "Get \"https://x/v2/\": dial tcp: lookup x on 10.0.0.2:53: dial tcp 10.0.0.2:53: i/o timeout";
        for passing in [to("1.1.1.1:443"), lookup.into()] {
            assert!(matches!(failure(false, &passing), DriverError::Transient(_)), "{passing}");
        }
    }

    #[test]
    fn a_private_host_is_known_by_its_name() {
        for private in ["localhost", "a.localhost", "127.0.0.1", "10.1.2.3", "::1", "169.254.169.254"] {
            assert!(is_private(private), "{private}");
        }
        for public in ["docker.io", "1.1.1.1", "localhost.example"] {
            assert!(!is_private(public), "{public}");
        }
    }

    #[test]
    fn an_error_does_not_repeat_the_password() {
        let spec = spec(Some(Credentials { user: "u".into(), password: "sesame".into() }));
        for message in ["denied: sesame is wrong", "503: sesame", "manifest unknown: sesame"] {
            let error = pull_failure(&spec, Error::DockerStreamError { error: message.into() }, None, true);
            assert!(!format!("{error:?} {error}").contains("sesame"), "{error:?}");
        }
        assert!(!format!("{spec:?}").contains("sesame"));
    }

    #[test]
    fn an_image_for_other_machines_is_refused() {
        let image = |architecture: &str| ImageInspect {
            architecture: Some(architecture.into()),
            ..Default::default()
        };
        for other in ["s390x", "386"] {
            let error = check_platform(&image(other)).unwrap_err().to_string();
            assert!(
                error.contains("isn't for the architecture of this node") && error.contains(other),
                "{error}"
            );
        }
        assert!(check_platform(&image("")).is_ok());
        assert!(["amd64", "arm64"].iter().any(|one| check_platform(&image(one)).is_ok()));
    }

    #[test]
    fn a_failed_pull_is_the_owners_or_passes() {
        let spec = spec(None);
        let code = |error| match pull_failure(&spec, error, None, true) {
            DriverError::Invalid { code, .. } => Some(code),
            _ => None,
        };
        let answer = |status_code, message: &str| {
            code(Error::DockerResponseServerError { status_code, message: message.into() })
        };
        let streamed = |message: &str| code(Error::DockerStreamError { error: message.into() });

        let missing = Some(FailureCode::ImageNotFound);
        assert_eq!(answer(404, "manifest for x not found: manifest unknown"), missing);
        assert_eq!(answer(500, "error parsing HTTP 404 response body: invalid character"), missing);
        assert_eq!(streamed("manifest unknown"), missing);
        assert_eq!(streamed("no matching manifest for linux/amd64 in the manifest list entries"), missing);

        let denied = Some(FailureCode::ImageDenied);
        assert_eq!(answer(500, "Head \"https://x/v2/y/manifests/1\": no basic auth credentials"), denied);
        assert_eq!(answer(500, "unauthorized: authentication required"), denied);
        assert_eq!(answer(404, "pull access denied for x, repository does not exist"), denied);
        assert_eq!(answer(500, "unexpected status from HEAD request to x: 403 Forbidden"), denied);
        assert_eq!(streamed("denied: requested access to the resource is denied"), denied);

        let full = "failed to register layer: write /a: no space left on device";
        assert_eq!(streamed(full), Some(FailureCode::NodeFull));
        let exceeded = pull_failure(&spec, Error::DockerStreamError { error: full.into() }, Some(MIB), true);
        assert!(matches!(exceeded, DriverError::Invalid { code: FailureCode::ImageTooLarge, .. }));
        let quota = Some(FailureCode::ImageTooLarge);
        assert_eq!(answer(500, "write /var/lib/docker/tmp/x: disk quota exceeded"), quota);

        assert_eq!(answer(500, "Get http://x/v2/: dial tcp: connect: connection refused"), None);
        let limited = "toomanyrequests: You have reached your pull rate limit. You may increase the limit by \
                       authenticating: unauthorized";
        assert_eq!(answer(500, limited), None);
        let told = |message: &str| {
            let failed = Error::DockerStreamError { error: message.into() };
            pull_failure(&spec, failed, None, true).to_string().contains("limits how often")
        };
        assert!(told(limited) && !told("received unexpected HTTP status: 503 Service Unavailable"));
        let tried_again = |message: &str| {
            let failed = Error::DockerStreamError { error: message.into() };
            matches!(pull_failure(&spec, failed, None, true), DriverError::Refused { .. })
        };
        assert!(tried_again("filesystem layer verification failed for digest sha256:aa"));
        assert!(tried_again("failed to register layer: unexpected EOF"));
        assert!(!tried_again("failed to register layer: context canceled"));
        assert!(tried_again("failed to register layer: open /context canceled: not a directory"));
        assert_eq!(streamed("received unexpected HTTP status: 503 Service Unavailable"), None);
        assert_eq!(code(Error::RequestTimeoutError), None);
    }

    #[test]
    fn a_missing_image_is_missing_whatever_its_name() {
        for name in BUSY.iter().filter(|name| !name.contains(' ')) {
            let image = format!("localhost/{name}:1");
            let message = format!("manifest for {image} not found: manifest unknown");
            let container = ContainerSpec { image, ..Default::default() };
            let spec = MachineSpec { container, ..spec(None) };
            let error = Error::DockerResponseServerError { status_code: 404, message };
            let failed = pull_failure(&spec, error, None, true);
            let is_missing = matches!(failed, DriverError::Invalid { code: FailureCode::ImageNotFound, .. });
            assert!(is_missing, "{failed:?}");
        }
    }

    #[test]
    fn a_denied_image_is_denied_whatever_its_name() {
        let container = ContainerSpec { image: "quay.io/me/unauthorized:1".into(), ..Default::default() };
        let spec = MachineSpec { container, ..spec(None) };
        let message = "unauthorized: access to the requested resource is not authorized".into();
        let error = Error::DockerResponseServerError { status_code: 500, message };
        let failed = pull_failure(&spec, error, None, true);
        let is_denied = matches!(failed, DriverError::Invalid { code: FailureCode::ImageDenied, .. });
        assert!(is_denied, "{failed:?}");
    }

    #[test]
    fn a_download_that_exceeds_its_limit_is_stopped() {
        let mut layers = HashMap::new();
        let mut take = |layer: &str, status: &str, total| {
            let info = CreateImageInfo {
                id: Some(layer.into()),
                status: Some(status.into()),
                progress_detail: Some(ProgressDetail { current: Some(1), total: Some(total) }),
                ..Default::default()
            };
            check_layers(&mut layers, info, 100).ok()
        };
        assert_eq!(take("a", "Downloading", 60), Some(60));
        assert_eq!(take("a", "Downloading", 60), Some(60));
        assert_eq!(take("b", "Extracting", 60), Some(60));
        assert_eq!(take("b", "Downloading", 40), Some(100));
        assert_eq!(take("c", "Downloading", 1), None);
    }

    #[test]
    fn a_digest_overrides_a_tag() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let reference = |image: &str| engine_reference(&image.parse().unwrap());
        assert_eq!(reference("localhost:5000/web:1"), "localhost:5000/web:1");
        assert_eq!(reference(&format!("localhost/web:1@{digest}")), format!("localhost/web@{digest}"));
    }
}
