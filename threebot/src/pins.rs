// SPDX-License-Identifier: Apache-2.0
//! Images by their digests: what a tag stands for is asked of its registry once, before a version is submitted. Images
//! that take credentials stay as they are: whoever knows a digest may get at the content on a node that has it, and
//! bodies are public.

use crate::{deployment::Reservation, many::answers};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};
use tfgrid_client::deployment::{Deployment, ImageReference, WorkloadData, Zmachine};
use ureq::{Agent, Body, http::Response};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const MAX_TOKEN_BYTES: u64 = 1 << 16;
/// What names an image for several kinds of machines, and for one.
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
                        application/vnd.oci.image.manifest.v1+json, \
                        application/vnd.docker.distribution.manifest.list.v2+json, \
                        application/vnd.docker.distribution.manifest.v2+json";

/// Gives machines the digests with which they run already, where their images have the same tags.
pub fn keep(next: &mut Deployment, active: &Deployment) {
    for (name, machine) in machines_of(next) {
        if let Some(runs) = image_of(active, &name)
            && runs.strip_prefix(machine.image.as_str()).is_some_and(|rest| rest.starts_with('@'))
        {
            machine.image = runs.into();
        }
    }
}

/// A reservation with its images pinned, and what to say about those that aren't. `active` runs at present.
pub async fn pinned(
    reservation: Reservation,
    active: Option<&Deployment>,
    no_pin: bool,
) -> Result<(Reservation, Vec<String>)> {
    let mut deployment = reservation.deployment.clone();
    if let Some(active) = active {
        keep(&mut deployment, active);
    }
    let notes = if no_pin { Vec::new() } else { pin(vec![(&mut deployment, active)]).await? };
    if deployment == reservation.deployment {
        return Ok((reservation, notes));
    }
    let body = deployment.to_body().context("can't pin the images: --no-pin leaves them as they are")?;
    Ok((Reservation::new(deployment, body, reservation.resources), notes))
}

/// Pins images of deployments, each with what it replaces: all but those with credentials, and those that run as they
/// are. Answers with what to say about those that couldn't be pinned.
///
/// # Errors
/// If a registry says that it doesn't have an image, also one that has a digest.
pub async fn pin(wanted: Vec<(&mut Deployment, Option<&Deployment>)>) -> Result<Vec<String>> {
    let mut machines = Vec::new();
    for (deployment, active) in wanted {
        machines.extend(to_ask(deployment, active));
    }
    let images: BTreeSet<String> = machines.iter().map(|machine| machine.image.clone()).collect();
    let asked = images.into_iter().map(|image| async move {
        let asking = tokio::task::spawn_blocking(move || (exact(&image), image));
        let (exact, image) = asking.await.context("the question to a registry was interrupted")?;
        anyhow::Ok((image, exact))
    });
    let told: BTreeMap<String, Result<String>> = answers(asked).await?.into_iter().collect();
    let is_missing = |exact: &Result<String>| exact.as_ref().is_err_and(|error| error.is::<Missing>());
    let missing = told.iter().filter_map(|(image, exact)| is_missing(exact).then_some(image.as_str()));
    let missing: Vec<&str> = missing.collect();
    ensure!(
        missing.is_empty(),
        "images that their registries don't have: {}; correct name, tag or digest, or go on without asking with \
         --no-pin",
        missing.join(", ")
    );
    for machine in machines {
        if let Some(Ok(exact)) = told.get(&machine.image) {
            machine.image.clone_from(exact);
        }
    }
    let note = |(image, exact): (String, Result<String>)| {
        let why = exact.err().filter(|_| !has_digest(&image))?;
        Some(format!("the digest of {image} isn't known here ({why:#}): the node pins it when it pulls it"))
    };
    Ok(told.into_iter().filter_map(note).collect())
}

fn machines_of(deployment: &mut Deployment) -> impl Iterator<Item = (String, &mut Zmachine)> {
    deployment.workloads.iter_mut().filter_map(|workload| match &mut workload.data {
        WorkloadData::Zmachine(machine) => Some((workload.name.clone(), machine)),
        _ => None,
    })
}

/// The image of a machine.
fn image_of<'a>(deployment: &'a Deployment, name: &str) -> Option<&'a str> {
    deployment.workloads.iter().find(|workload| workload.name == name).and_then(|workload| {
        match &workload.data {
            WorkloadData::Zmachine(machine) => Some(machine.image.as_str()),
            _ => None,
        }
    })
}

fn has_digest(image: &str) -> bool {
    image.contains('@')
}

/// The machines whose images registries are asked for.
fn to_ask<'a>(deployment: &'a mut Deployment, active: Option<&Deployment>) -> Vec<&'a mut Zmachine> {
    let runs = |name: &str, image: &str| active.and_then(|active| image_of(active, name)) == Some(image);
    let is_asked = |name: &str, machine: &Zmachine| machine.registry.is_none() && !runs(name, &machine.image);
    let machines = machines_of(deployment).filter(|(name, machine)| is_asked(name, machine));
    machines.map(|(_, machine)| machine).collect()
}

/// A registry doesn't have an image.
#[derive(Debug, thiserror::Error)]
#[error("the registry doesn't have it")]
struct Missing;

/// The reference with the digest that its registry tells, where it has none.
fn exact(image: &str) -> Result<String> {
    let reference: ImageReference = image.parse()?;
    let digest = digest(&reference)?;
    if has_digest(image) {
        return Ok(image.into());
    }
    let exact = format!("{image}@{digest}");
    exact.parse::<ImageReference>().context("with its digest the reference is refused")?;
    Ok(exact)
}

fn digest(image: &ImageReference) -> Result<String> {
    let repository = image.repository();
    let (host, path) = repository.split_once('/').context("it names no registry")?;
    let is_here = is_loopback(image.host());
    let scheme = if is_here { "http" } else { "https" };
    let server = if host == "docker.io" { "registry-1.docker.io" } else { host };
    let version = image.digest().or(image.tag()).context("it has no tag")?;
    let url = format!("{scheme}://{server}/v2/{path}/manifests/{version}");
    let agent = agent(is_here);
    let mut response = ask(&agent, &url, None)?;
    if response.status() == 401 {
        let challenge = header(&response, "www-authenticate").context("it doesn't say what it asks for")?;
        let proof = authorization(&agent, &challenge, scheme)?;
        response = ask(&agent, &url, Some(&proof))?;
    }
    ensure!(response.status() != 404, Missing);
    ensure!(response.status().is_success(), "{host} answers {}", response.status());
    header(&response, "docker-content-digest").with_context(|| format!("{host} tells no digest"))
}

/// As engines do, registries on this computer are asked without TLS.
fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

fn agent(is_here: bool) -> Agent {
    let config = Agent::config_builder().timeout_global(Some(ANSWER_WITHIN)).http_status_as_error(false);
    let config = if is_here { config.proxy(None) } else { config };
    config.build().into()
}

fn ask(agent: &Agent, url: &str, proof: Option<&str>) -> Result<Response<Body>> {
    let request = agent.head(url).header("Accept", ACCEPTED);
    let request = match proof {
        Some(proof) => request.header("Authorization", proof),
        None => request,
    };
    request.call().with_context(|| format!("can't ask {url}"))
}

fn header(response: &Response<Body>, name: &str) -> Option<String> {
    Some(response.headers().get(name)?.to_str().ok()?.to_owned())
}

/// What a registry takes as proof from everyone, as its challenge says.
fn authorization(agent: &Agent, challenge: &str, scheme: &str) -> Result<String> {
    let kind = challenge.split_whitespace().next().unwrap_or_default();
    ensure!(kind.eq_ignore_ascii_case("bearer"), "it asks for a login");
    let realm = parameter(challenge, "realm").context("it names no place for tokens")?;
    ensure!(realm.starts_with(&format!("{scheme}://")), "it gives tokens at {realm}, without TLS");
    let mut request = agent.get(realm);
    for name in ["service", "scope"] {
        if let Some(value) = parameter(challenge, name) {
            request = request.query(name, value);
        }
    }
    let mut response = request.call().with_context(|| format!("can't ask {realm}"))?;
    ensure!(response.status().is_success(), "{realm} answers {}", response.status());
    let text = response.body_mut().with_config().limit(MAX_TOKEN_BYTES).read_to_string()?;
    let answer: Value = serde_json::from_str(&text).with_context(|| format!("{realm} answers no JSON"))?;
    let token = ["token", "access_token"].into_iter().find_map(|name| answer[name].as_str());
    Ok(format!("Bearer {}", token.with_context(|| format!("{realm} gives no token"))?))
}

/// The value of a parameter such as `realm="…"`.
fn parameter<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = challenge.split_once(&format!("{name}=\""))?;
    after.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{BufRead, BufReader, Write},
        net::{SocketAddr, TcpListener},
        thread,
    };

    const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    /// A registry that wants a token, which everyone gets, and has the image `web:1`.
    fn registry() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                let has_token = request.iter().any(|line| line.ends_with("Bearer t"));
                let (status, header, body) = if request[0].starts_with("GET /token?service=here&scope=web") {
                    ("200 OK", String::new(), r#"{"token":"t"}"#)
                } else if !has_token {
                    let at = format!(r#"Bearer realm="http://{address}/token",service="here",scope="web""#);
                    ("401 Unauthorized", format!("www-authenticate: {at}\r\n"), "")
                } else if request[0].starts_with("HEAD /v2/web/manifests/1 ") {
                    ("200 OK", format!("docker-content-digest: {DIGEST}\r\n"), "")
                } else if request[0].starts_with("HEAD /v2/broken/") {
                    ("500 Internal Server Error", String::new(), "")
                } else {
                    ("404 Not Found", String::new(), "")
                };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\n{header}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        address
    }

    /// A machine with this image, and maybe credentials for it.
    fn deployment(image: &str, is_private: bool) -> Deployment {
        let registry = if is_private { r#","registry":{"user":"me","password":"sesame"}"# } else { "" };
        let json = format!(
            r#"{{"version":1,"workloads":[{{"name":"web","type":"zmachine","data":{{
                "image":"{image}","cpu":1,"memory":16777216{registry}}}}}]}}"#
        );
        Deployment::parse(json.as_bytes()).unwrap()
    }

    async fn pinned_alone(image: &str) -> (String, Vec<String>) {
        let mut deployment = deployment(image, false);
        let notes = pin(vec![(&mut deployment, None)]).await.unwrap();
        (image_of(&deployment, "web").unwrap().to_owned(), notes)
    }

    #[tokio::test]
    async fn a_tag_becomes_the_digest_that_its_registry_tells() {
        let image = format!("{}/web:1", registry());
        assert_eq!(pinned_alone(&image).await, (format!("{image}@{DIGEST}"), vec![]));
    }

    #[tokio::test]
    async fn what_a_registry_does_not_tell_is_left_to_the_node() {
        let address = registry();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let broken = (format!("{address}/broken:1"), "answers 500");
        for (image, why) in [broken, (format!("{free}/web:1"), "can't ask http://")] {
            let (left, notes) = pinned_alone(&image).await;
            assert!(left == image && notes.len() == 1 && notes[0].contains(why), "{left}: {notes:?}");
            let exact = format!("{image}@{DIGEST}");
            assert_eq!(pinned_alone(&exact).await, (exact, vec![]), "there is nothing to be said of it");
        }
    }

    #[tokio::test]
    async fn an_image_that_its_registry_does_not_have_is_refused() {
        let address = registry();
        for image in [format!("{address}/web:2"), format!("{address}/web:1@{DIGEST}")] {
            let error = pin(vec![(&mut deployment(&image, false), None)]).await.unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("images that their registries don't have: {image};")),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn images_that_run_are_not_asked_for() {
        let (tagged, exact) = ("example.org/web:1".to_owned(), format!("example.org/web:1@{DIGEST}"));
        let active = deployment(&exact, false);
        let mut next = deployment(&tagged, false);
        keep(&mut next, &active);
        assert_eq!(image_of(&next, "web"), Some(exact.as_str()));
        assert_eq!(pin(vec![(&mut next, Some(&active))]).await.unwrap(), Vec::<String>::new());
        let mut other = deployment("example.org/web:11", false);
        keep(&mut other, &active);
        assert_eq!(image_of(&other, "web"), Some("example.org/web:11"));
        let (mut next, active) = (deployment(&tagged, false), deployment(&tagged, false));
        assert_eq!(pin(vec![(&mut next, Some(&active))]).await.unwrap(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn digests_of_private_images_are_not_told() {
        let image = format!("{}/web:1", registry());
        let mut private = deployment(&image, true);
        assert_eq!(pin(vec![(&mut private, None)]).await.unwrap(), Vec::<String>::new());
        assert_eq!(image_of(&private, "web"), Some(image.as_str()));
    }

    #[test]
    fn tokens_without_tls_are_refused() {
        let challenge = r#"Bearer realm="http://example.org/token""#;
        let error = authorization(&agent(true), challenge, "https").unwrap_err();
        assert!(error.to_string().ends_with("without TLS"), "{error}");
        let error = authorization(&agent(true), "Basic realm=\"x\"", "https").unwrap_err();
        assert_eq!(error.to_string(), "it asks for a login");
    }
}
