// SPDX-License-Identifier: Apache-2.0
//! Images by their digests: what a tag stands for is asked of its registry once, before a version is submitted.

use crate::{deployment::Reservation, many::answers};
use anyhow::{Context, Result, anyhow, bail, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};
use tfgrid_client::deployment::{
    Deployment, ImageReference, Registry, Secrets, Text, WorkloadData, Zmachine,
};
use ureq::{Agent, Body, http::Response};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const MAX_TOKEN_BYTES: u64 = 1 << 16;
/// What names an image for several kinds of machines, and for one.
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
                        application/vnd.oci.image.manifest.v1+json, \
                        application/vnd.docker.distribution.manifest.list.v2+json, \
                        application/vnd.docker.distribution.manifest.v2+json";

/// An image without a digest, and who asks for it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    image: String,
    login: Option<Login>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Login {
    user: String,
    password: String,
}

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

/// Pins images of deployments, each with what it replaces: all but those with a digest, and those that run as they are.
/// Answers with what to say about those that couldn't be pinned.
pub async fn pin(wanted: Vec<(&mut Deployment, Option<&Deployment>)>) -> Result<Vec<String>> {
    let mut machines = Vec::new();
    for (deployment, active) in wanted {
        machines.extend(unpinned(deployment, active));
    }
    let questions: BTreeSet<Question> = machines.iter().map(|(_, question)| question.clone()).collect();
    let asked = questions.into_iter().map(|question| async move {
        let asking = tokio::task::spawn_blocking(move || (exact(&question), question));
        let (exact, question) = asking.await.context("the question to a registry was interrupted")?;
        anyhow::Ok((question, exact.map_err(|error| format!("{error:#}"))))
    });
    let told: BTreeMap<Question, Result<String, String>> = answers(asked).await?.into_iter().collect();
    let mut notes = BTreeSet::new();
    for (machine, question) in machines {
        match told.get(&question) {
            Some(Ok(exact)) => machine.image.clone_from(exact),
            Some(Err(why)) => {
                notes.insert(format!(
                    "the digest of {} isn't known here ({why}): the node pins it when it pulls it",
                    machine.image
                ));
            }
            None => {}
        }
    }
    Ok(notes.into_iter().collect())
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

fn unpinned<'a>(
    deployment: &'a mut Deployment,
    active: Option<&Deployment>,
) -> Vec<(&'a mut Zmachine, Question)> {
    let secrets = match &deployment.secrets {
        Some(Secrets::Open(secrets)) => secrets.clone(),
        Some(Secrets::Sealed(_)) | None => BTreeMap::new(),
    };
    let question = |(name, machine): (String, &'a mut Zmachine)| {
        let runs = active.and_then(|active| image_of(active, &name)) == Some(machine.image.as_str());
        if runs || machine.image.contains('@') {
            return None;
        }
        let login = machine.registry.as_ref().and_then(|registry| login(registry, &secrets));
        let question = Question { image: machine.image.clone(), login };
        Some((machine, question))
    };
    machines_of(deployment).filter_map(question).collect()
}

fn login(registry: &Registry, secrets: &BTreeMap<String, String>) -> Option<Login> {
    let text = |text: &Text| match text {
        Text::Plain(text) => Some(text.clone()),
        Text::Secret { secret } => secrets.get(secret).cloned(),
    };
    Some(Login { user: text(&registry.user)?, password: text(&registry.password)? })
}

/// The reference with the digest that its registry tells.
fn exact(Question { image, login }: &Question) -> Result<String> {
    let reference: ImageReference = image.parse()?;
    let exact = format!("{image}@{}", digest(&reference, login.as_ref())?);
    exact.parse::<ImageReference>().context("with its digest the reference is refused")?;
    Ok(exact)
}

fn digest(image: &ImageReference, login: Option<&Login>) -> Result<String> {
    let repository = image.repository();
    let (host, path) = repository.split_once('/').context("it names no registry")?;
    let is_here = is_loopback(image.host());
    let scheme = if is_here { "http" } else { "https" };
    let server = if host == "docker.io" { "registry-1.docker.io" } else { host };
    let tag = image.tag().context("it has no tag")?;
    let url = format!("{scheme}://{server}/v2/{path}/manifests/{tag}");
    let agent = agent(is_here);
    let mut response = ask(&agent, &url, None)?;
    if response.status() == 401 {
        let challenge = header(&response, "www-authenticate").context("it doesn't say how to log in")?;
        let proof = authorization(&agent, &challenge, login, scheme)?;
        response = ask(&agent, &url, Some(&proof))?;
    }
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

/// What a registry takes as proof, as its challenge says.
fn authorization(agent: &Agent, challenge: &str, login: Option<&Login>, scheme: &str) -> Result<String> {
    let basic = login.map(|Login { user, password }| {
        format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
    });
    let kind = challenge.split_whitespace().next().unwrap_or_default();
    if kind.eq_ignore_ascii_case("basic") {
        return basic.context("it asks for a login");
    }
    let realm = parameter(challenge, "realm").context("it names no place for a login")?;
    if !realm.starts_with(&format!("{scheme}://")) {
        bail!("it asks to log in at {realm}, without TLS");
    }
    let mut request = agent.get(realm);
    for name in ["service", "scope"] {
        if let Some(value) = parameter(challenge, name) {
            request = request.query(name, value);
        }
    }
    if let Some(basic) = &basic {
        request = request.header("Authorization", basic);
    }
    let mut response = request.call().with_context(|| format!("can't log in at {realm}"))?;
    ensure!(response.status().is_success(), "{realm} answers {}", response.status());
    let text = response.body_mut().with_config().limit(MAX_TOKEN_BYTES).read_to_string()?;
    let answer: Value = serde_json::from_str(&text).with_context(|| format!("{realm} answers no JSON"))?;
    let token = ["token", "access_token"].into_iter().find_map(|name| answer[name].as_str());
    Ok(format!("Bearer {}", token.ok_or_else(|| anyhow!("{realm} gives no token"))?))
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

    /// A registry that wants a token, which it gives to this user, for the image `web:1`.
    fn registry() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let basic = BASE64_STANDARD.encode("me:sesame");
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                let has = |end: &str| request.iter().any(|line| line.ends_with(end));
                let (status, header, body) = if request[0].starts_with("GET /token?service=here&scope=web") {
                    let token = if has(&basic) { r#"{"token":"t"}"# } else { "{}" };
                    ("200 OK", String::new(), token)
                } else if !has("Bearer t") {
                    let at = format!(r#"Bearer realm="http://{address}/token",service="here",scope="web""#);
                    ("401 Unauthorized", format!("www-authenticate: {at}\r\n"), "")
                } else if request[0].starts_with("HEAD /v2/web/manifests/1 ") {
                    ("200 OK", format!("docker-content-digest: {DIGEST}\r\n"), "")
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

    fn deployment(image: &str, password: &str) -> Deployment {
        let json = format!(
            r#"{{"version":1,"secrets":{{"word":"{password}"}},"workloads":[{{"name":"web","type":"zmachine","data":{{
                "image":"{image}","cpu":1,"memory":16777216,
                "registry":{{"user":"me","password":{{"secret":"word"}}}}}}}}]}}"#
        );
        Deployment::parse(json.as_bytes()).unwrap()
    }

    async fn pinned_alone(image: &str, password: &str) -> (String, Vec<String>) {
        let mut deployment = deployment(image, password);
        let notes = pin(vec![(&mut deployment, None)]).await.unwrap();
        (image_of(&deployment, "web").unwrap().to_owned(), notes)
    }

    #[tokio::test]
    async fn a_tag_becomes_a_digest_also_behind_a_login() {
        let image = format!("{}/web:1", registry());
        assert_eq!(pinned_alone(&image, "sesame").await, (format!("{image}@{DIGEST}"), vec![]));
    }

    #[tokio::test]
    async fn what_a_registry_does_not_tell_is_left_to_the_node() {
        let address = registry();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for (image, password, why) in [
            (format!("{address}/web:1"), "wrong", "gives no token"),
            (format!("{address}/web:2"), "sesame", "answers 404"),
            (format!("{free}/web:1"), "sesame", "can't ask http://"),
        ] {
            let (left, notes) = pinned_alone(&image, password).await;
            assert!(left == image && notes.len() == 1 && notes[0].contains(why), "{left}: {notes:?}");
        }
    }

    #[tokio::test]
    async fn images_that_run_or_have_a_digest_are_not_asked_for() {
        let (tagged, exact) = ("example.org/web:1".to_owned(), format!("example.org/web:1@{DIGEST}"));
        let active = deployment(&exact, "x");
        let mut next = deployment(&tagged, "x");
        keep(&mut next, &active);
        assert_eq!(image_of(&next, "web"), Some(exact.as_str()));
        assert_eq!(pin(vec![(&mut next, None)]).await.unwrap(), Vec::<String>::new());
        let (mut next, active) = (deployment(&tagged, "x"), deployment(&tagged, "y"));
        assert_eq!(pin(vec![(&mut next, Some(&active))]).await.unwrap(), Vec::<String>::new());
        let mut other = deployment("example.org/web:11", "x");
        keep(&mut other, &active);
        assert_eq!(image_of(&other, "web"), Some("example.org/web:11"));
    }

    #[test]
    fn logins_without_tls_are_refused() {
        let challenge = r#"Bearer realm="http://example.org/token""#;
        let error = authorization(&agent(true), challenge, None, "https").unwrap_err();
        assert!(error.to_string().ends_with("without TLS"), "{error}");
        let error = authorization(&agent(true), "Basic realm=\"x\"", None, "https").unwrap_err();
        assert_eq!(error.to_string(), "it asks for a login");
    }
}
