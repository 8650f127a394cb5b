// SPDX-License-Identifier: Apache-2.0
//! Fetches images within the size that the contract allows, with time limits.

use super::{contains_any, failure};
use crate::drivers::{DriverError, ImageRules, pool::Pool};
use bollard::{
    Docker,
    errors::Error,
    models::CreateImageInfo,
    query_parameters::{
        CreateImageOptions, CreateImageOptionsBuilder, ListImagesOptions, PruneImagesOptionsBuilder,
        RemoveImageOptions,
    },
};
use futures::StreamExt;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use tfgrid_client::deployment::{ImageError, ImageReference};
use tfgrid_primitives::{FailureCode, report::download_ms, units::MIB};
use tokio::time::timeout;
use tracing::{debug, info};

/// Longest silence of a registry.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// Limit for a whole image, beside [`download_ms`] of the layers that the registry has announced: as long as the
/// chain waits for an image that fills the contract's disk.
const FETCH_TIMEOUT: Duration = Duration::from_secs(1800);
const IMAGE_FIELD: &str = "/data/image";
/// Parts of a registry's message that it doesn't have the image.
const MISSING: [&str; 4] = ["manifest unknown", "name unknown", "no matching manifest", "http 404"];
/// Parts of a registry's message that it doesn't give the image to a node, which has no credentials.
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

/// The reference that the engine gets. If there are both a tag and a digest, the tag is dropped.
pub fn engine_reference(image: &str) -> Result<String, DriverError> {
    let parsed = parse(image)?;
    Ok(match parsed.digest() {
        Some(digest) => format!("{}@{digest}", parsed.repository()),
        None => parsed.to_string(),
    })
}

/// Ensures that the image is on the engine. An image with a digest is fetched once, since it can't change; a
/// tag is fetched each time unless `rules.keep`. All images in the pool together have at most their share of it.
pub async fn pull(
    docker: &Docker,
    image: &str,
    rules: ImageRules,
    pool: Option<&Pool>,
) -> Result<(), DriverError> {
    let ImageRules { limit, keep } = rules;
    let parsed = parse(image)?;
    let reference = engine_reference(image)?;
    if (keep || parsed.digest().is_some()) && docker.inspect_image(&reference).await.is_ok() {
        return check_size(docker, &reference, limit).await;
    }
    let room = match pool {
        Some(pool) => room(docker, pool.share()?.images, limit).await?,
        None => u64::MAX,
    };
    info!(image, "fetching");
    let fetched = async {
        fetch(docker, &parsed, image, limit.min(room), pool).await?;
        check_size(docker, &reference, limit.min(room)).await
    };
    match fetched.await {
        Err(DriverError::Invalid { code: FailureCode::ImageTooLarge, .. }) if room < limit => {
            Err(DriverError::Invalid {
                code: FailureCode::NodeFull,
                field: "",
                message: format!("images have {} MiB left on this node", room / MIB),
            })
        }
        other => other,
    }
}

/// Bytes that images may still use. Unused ones are removed if there are fewer than `wanted`. Layers that images have
/// in common are counted with each.
async fn room(docker: &Docker, share: u64, wanted: u64) -> Result<u64, DriverError> {
    let left = async || {
        let images = docker.list_images(None::<ListImagesOptions>).await;
        let images = images.map_err(|error| failure("list", "images", error))?;
        let sizes = images.iter().map(|image| u64::try_from(image.size).unwrap_or(0));
        Ok::<_, DriverError>(share.saturating_sub(sizes.fold(0, u64::saturating_add)))
    };
    let room = left().await?;
    if room >= wanted {
        return Ok(room);
    }
    let all = HashMap::from([("dangling", vec!["false"])]);
    let pruned = docker.prune_images(Some(PruneImagesOptionsBuilder::default().filters(&all).build())).await;
    pruned.map_err(|error| failure("remove", "unused images", error))?;
    left().await
}

fn parse(image: &str) -> Result<ImageReference, DriverError> {
    image.parse().map_err(|rule: ImageError| DriverError::Invalid {
        code: FailureCode::BodyInvalid,
        field: IMAGE_FIELD,
        message: format!("{image:?}: {rule}"),
    })
}

async fn fetch(
    docker: &Docker,
    parsed: &ImageReference,
    image: &str,
    limit: u64,
    pool: Option<&Pool>,
) -> Result<(), DriverError> {
    let version = parsed.digest().or(parsed.tag()).unwrap_or_default();
    let options: CreateImageOptions =
        CreateImageOptionsBuilder::default().from_image(&parsed.repository()).tag(version).build();
    let mut progress = Box::pin(docker.create_image(Some(options), None, None));
    let mut layers = HashMap::new();
    let begun = Instant::now();
    loop {
        let item = timeout(SILENCE_TIMEOUT, progress.next()).await.map_err(|_| {
            DriverError::transient(format!("the registry of {image} was silent for {SILENCE_TIMEOUT:?}"))
        })?;
        // On an error the stream is dropped, and the engine stops fetching.
        let announced = match item {
            None => return Ok(()),
            Some(Err(error)) => {
                // The engine has removed the part that it got: was there room for an image within the limit?
                let is_large = is_disk_full(&error.to_string())
                    && free_bytes(docker).await.is_some_and(|free| free >= limit);
                return Err(pull_failure(image, error, is_large.then_some(limit)));
            }
            Some(Ok(info)) => check_layers(&mut layers, info, limit)?,
        };
        if pool.is_some_and(|pool| pool.is_low().unwrap_or(false)) {
            let message = format!("it unpacks to more than the {} MiB allowed", limit / MIB);
            return Err(invalid_image(FailureCode::ImageTooLarge, message));
        }
        let most = FETCH_TIMEOUT.saturating_add(Duration::from_millis(download_ms(announced)));
        if begun.elapsed() > most {
            return Err(DriverError::transient(format!("fetching {image} took more than {most:?}")));
        }
    }
}

fn is_disk_full(message: &str) -> bool {
    contains_any(message, &["no space left on device"])
}

/// Free space on the engine's disk; `None` if this can't be seen from here.
async fn free_bytes(docker: &Docker) -> Option<u64> {
    let disk = rustix::fs::statvfs(docker.info().await.ok()?.docker_root_dir?).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
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

async fn check_size(docker: &Docker, reference: &str, limit: u64) -> Result<(), DriverError> {
    let inspected = docker.inspect_image(reference).await.map_err(|e| failure("inspect", reference, e))?;
    let size = inspected.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
    if size <= limit {
        return Ok(());
    }
    remove(docker, reference).await;
    Err(too_large(size, limit))
}

/// Removes the image, unless a container uses it.
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

/// Tells what the owner must change from a registry that can't be reached or is overloaded. `exceeded` is as in
/// [`no_room`].
fn pull_failure(image: &str, error: Error, exceeded: Option<u64>) -> DriverError {
    let (status, message) = match &error {
        Error::DockerResponseServerError { status_code, message } => (*status_code, message.as_str()),
        Error::DockerStreamError { error } => (0, error.as_str()),
        _ => return failure("fetch", image, error),
    };
    if let Some(full) = no_room(message, exceeded) {
        return full;
    }
    if matches!(status, 401 | 403) || contains_any(message, &DENIED) {
        return invalid_image(FailureCode::ImageDenied, message);
    }
    if status == 404 || contains_any(message, &MISSING) || (status == 0 && message.contains("not found")) {
        return invalid_image(FailureCode::ImageNotFound, message);
    }
    failure("fetch", image, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::ProgressDetail;

    #[test]
    fn a_failed_pull_is_the_owners_or_passes() {
        let code = |error| match pull_failure("x", error, None) {
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
        let exceeded = pull_failure("x", Error::DockerStreamError { error: full.into() }, Some(MIB));
        assert!(matches!(exceeded, DriverError::Invalid { code: FailureCode::ImageTooLarge, .. }));
        let quota = Some(FailureCode::ImageTooLarge);
        assert_eq!(answer(500, "write /var/lib/docker/tmp/x: disk quota exceeded"), quota);

        assert_eq!(answer(500, "Get http://x/v2/: dial tcp: connect: connection refused"), None);
        assert_eq!(answer(500, "toomanyrequests: You have reached your pull rate limit"), None);
        assert_eq!(streamed("received unexpected HTTP status: 503 Service Unavailable"), None);
        assert_eq!(code(Error::RequestTimeoutError), None);
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
        let reference = |image: &str| engine_reference(image).unwrap();
        assert_eq!(reference("localhost:5000/web:1"), "localhost:5000/web:1");
        assert_eq!(reference(&format!("localhost/web:1@{digest}")), format!("localhost/web@{digest}"));
    }
}
