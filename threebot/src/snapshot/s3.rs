// SPDX-License-Identifier: Apache-2.0
//! A bucket of S3, with what a presigned address allows: no header has a secret.

use anyhow::{Context, Result, bail, ensure};
use rusty_s3::{Bucket as Signer, Credentials, S3Action, UrlStyle};
use std::{env, fmt, time::Duration};
use ureq::{
    Agent, Body,
    http::{Response, StatusCode},
};
use url::Url;

/// Time for which a request may be sent after it was signed.
const SIGNED_FOR: Duration = Duration::from_secs(300);
/// Limit for a request.
const DONE_WITHIN: Duration = Duration::from_secs(300);
/// Limit of a page of a list, and of the names in a list.
const MAX_PAGE_BYTES: u64 = 16 << 20;
const MAX_NAMES: usize = 4_000_000;
/// Limit of what is read of an error.
const MAX_ERROR_BYTES: u64 = 64 << 10;
/// The longest code of one that is told.
const MAX_CODE_BYTES: usize = 64;
/// Characters of an address that the XML of a list writes otherwise: no key would be found by a prefix with one.
const XML_WRITES: [char; 2] = ['&', '\''];

/// A bucket, and the beginning of the names of what is kept there.
pub struct Bucket {
    signer: Signer,
    credentials: Credentials,
    agent: Agent,
    /// Empty, or with `/` at its end.
    prefix: String,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({self})")
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.signer.base_url(), self.prefix)
    }
}

impl Bucket {
    /// Reads `https://HOST/BUCKET` or `https://HOST/BUCKET/PREFIX`, and the credentials from the environment.
    pub fn parse(text: &str) -> Result<Self> {
        let credentials = Credentials::from_env()
            .context("a bucket needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment")?;
        let region = env::var("AWS_REGION").unwrap_or_else(|_| "us-east-1".into());
        Self::new(text, credentials, region)
    }

    fn new(text: &str, credentials: Credentials, region: String) -> Result<Self> {
        let mut endpoint = Url::parse(text).with_context(|| format!("{text} isn't an address"))?;
        let is_plain = endpoint.query().is_none() && endpoint.fragment().is_none();
        // Addresses are told in errors.
        let has_login = !endpoint.username().is_empty() || endpoint.password().is_some();
        ensure!(is_plain && !has_login, "an address of a bucket is https://HOST/BUCKET");
        let path = endpoint.path().trim_matches('/').to_owned();
        let (bucket, prefix) = path.split_once('/').unwrap_or((&path, ""));
        ensure!(!bucket.is_empty(), "{text} names no bucket: write https://HOST/BUCKET");
        ensure!(!prefix.contains(XML_WRITES), "{text}: what is after the bucket's name can't have & or '");
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        endpoint.set_path("/");
        let signer = Signer::new(endpoint, UrlStyle::Path, bucket.to_owned(), region)
            .map_err(|error| anyhow::anyhow!("{text} isn't the address of a bucket: {error}"))?;
        // A redirect would lead the requests of this computer elsewhere, also into its own network.
        let config = Agent::config_builder().timeout_global(Some(DONE_WITHIN)).max_redirects(0);
        let config = config.http_status_as_error(false).build();
        Ok(Self { signer, credentials, agent: Agent::new_with_config(config), prefix })
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let object = self.object(name);
        let action = self.signer.put_object(Some(&self.credentials), &object);
        ensure_done(&mut self.agent.put(action.sign(SIGNED_FOR).as_str()).send(bytes)?)
    }

    pub(super) fn get(&self, name: &str, most: u64) -> Result<Vec<u8>> {
        let object = self.object(name);
        let action = self.signer.get_object(Some(&self.credentials), &object);
        let mut answer = self.agent.get(action.sign(SIGNED_FOR).as_str()).call()?;
        ensure_done(&mut answer)?;
        Ok(answer.body_mut().with_config().limit(most).read_to_vec()?)
    }

    pub(super) fn delete(&self, name: &str) -> Result<()> {
        let object = self.object(name);
        let action = self.signer.delete_object(Some(&self.credentials), &object);
        let mut answer = self.agent.delete(action.sign(SIGNED_FOR).as_str()).call()?;
        if answer.status() == StatusCode::NOT_FOUND { Ok(()) } else { ensure_done(&mut answer) }
    }

    pub(super) fn list(&self, under: &str) -> Result<Vec<String>> {
        let prefix = if under.is_empty() { self.prefix.clone() } else { format!("{}{under}/", self.prefix) };
        let mut names: Vec<String> = Vec::new();
        loop {
            // The list of a bucket is what its own address answers.
            let mut action = self.signer.get_object(Some(&self.credentials), "");
            let query = action.query_mut();
            query.insert("list-type", "2");
            query.insert("prefix", prefix.clone());
            if let Some(last) = names.last() {
                query.insert("start-after", format!("{}{last}", self.prefix));
            }
            let mut answer = self.agent.get(action.sign(SIGNED_FOR).as_str()).call()?;
            ensure_done(&mut answer)?;
            let page = answer.body_mut().with_config().limit(MAX_PAGE_BYTES).read_to_string()?;
            let before = names.len();
            names.extend(keys(&page).filter_map(|key| Some(key.strip_prefix(&self.prefix)?.to_owned())));
            ensure!(names.len() <= MAX_NAMES, "there are more than {MAX_NAMES} objects");
            if !page.contains("<IsTruncated>true</IsTruncated>") {
                return Ok(names);
            }
            ensure!(names.len() > before, "it says that its list goes on, and doesn't go on with it");
        }
    }

    fn object(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// Fails with the reason, unless it has done what was asked.
fn ensure_done(answer: &mut Response<Body>) -> Result<()> {
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let said = answer.body_mut().with_config().limit(MAX_ERROR_BYTES).read_to_string().unwrap_or_default();
    let code = said.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    let is_code =
        |code: &&str| code.len() <= MAX_CODE_BYTES && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let code = code.map(|(code, _)| code).filter(is_code);
    let code = code.unwrap_or("without a code");
    let advice = match status {
        _ if code == "NoSuchBucket" => "is the bucket's name right?",
        StatusCode::NOT_FOUND => "it isn't there",
        StatusCode::FORBIDDEN => "are the credentials right, and do they allow it?",
        _ if status.is_redirection() => "redirects aren't followed, name the address where the bucket is",
        _ => "try again later",
    };
    bail!("it answers {status} ({code}): {advice}")
}

/// The keys in a page of a list. Neither prefixes nor names of objects have a character that XML writes otherwise.
fn keys(page: &str) -> impl Iterator<Item = &str> {
    page.split("<Key>").skip(1).filter_map(|rest| Some(rest.split_once("</Key>")?.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Place;
    use std::{
        collections::BTreeMap,
        io::{BufRead, BufReader, Read, Write},
        net::{TcpListener, TcpStream},
        sync::Arc,
        thread,
    };

    const SECRET: &str = "a secret of nobody";

    /// A bucket in memory that answers requests which are signed with the secret, one after the other.
    fn server() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let base = address.clone();
        thread::spawn(move || {
            let mut objects = BTreeMap::new();
            for stream in listener.incoming() {
                answer(stream.unwrap(), &base, &mut objects);
            }
        });
        address
    }

    fn answer(mut stream: TcpStream, base: &str, objects: &mut BTreeMap<String, Vec<u8>>) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut first = String::new();
        reader.read_line(&mut first).unwrap();
        let mut words = first.split_whitespace();
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().unwrap();
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let url = Url::parse(&format!("{base}{target}")).unwrap();
        let (status, content) = if is_signed(method, base, &url) {
            respond(method, &url, body, objects)
        } else {
            (403, Vec::new())
        };
        let head =
            format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", content.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&content).unwrap();
    }

    /// Whether the signature is that of the same request, signed here.
    fn is_signed(method: &str, base: &str, url: &Url) -> bool {
        let pair =
            |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let (Some(signature), Some(date)) = (pair("X-Amz-Signature"), pair("X-Amz-Date")) else {
            return false;
        };
        let date = format!(
            "{}-{}-{}T{}:{}:{}Z",
            &date[..4],
            &date[4..6],
            &date[6..8],
            &date[9..11],
            &date[11..13],
            &date[13..15]
        );
        let at = date.parse().unwrap();
        let bucket = Signer::new(base.parse().unwrap(), UrlStyle::Path, "backups", "us-east-1").unwrap();
        let credentials = Credentials::new("user", SECRET);
        let object = url.path().strip_prefix("/backups/").unwrap();
        let signed = match method {
            "PUT" => bucket.put_object(Some(&credentials), object).sign_with_time(SIGNED_FOR, &at),
            "DELETE" => bucket.delete_object(Some(&credentials), object).sign_with_time(SIGNED_FOR, &at),
            _ => {
                let mut action = bucket.get_object(Some(&credentials), object);
                for (name, value) in url.query_pairs().filter(|(name, _)| !name.starts_with("X-Amz-")) {
                    action.query_mut().insert(name.into_owned(), value.into_owned());
                }
                action.sign_with_time(SIGNED_FOR, &at)
            }
        };
        signed.query_pairs().any(|(name, value)| name == "X-Amz-Signature" && value == signature)
    }

    fn respond(
        method: &str,
        url: &Url,
        body: Vec<u8>,
        objects: &mut BTreeMap<String, Vec<u8>>,
    ) -> (u16, Vec<u8>) {
        let key = url.path().strip_prefix("/backups/").unwrap().to_owned();
        let pair =
            |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        match method {
            "PUT" => {
                objects.insert(key, body);
                (200, Vec::new())
            }
            "DELETE" => (if objects.remove(&key).is_some() { 204 } else { 404 }, Vec::new()),
            _ if key.is_empty() => {
                let (prefix, after) = (pair("prefix").unwrap(), pair("start-after").unwrap_or_default());
                let mut found = objects.keys().filter(|key| key.starts_with(&prefix) && **key > after);
                // Two a page.
                let page: Vec<_> = found.by_ref().take(2).map(|key| format!("<Key>{key}</Key>")).collect();
                let more = found.next().is_some();
                let page = format!("<X><IsTruncated>{more}</IsTruncated>{}</X>", page.concat());
                (200, page.into_bytes())
            }
            _ => objects.get(&key).map_or((404, Vec::new()), |content| (200, content.clone())),
        }
    }

    fn place(address: &str, secret: &str) -> Place {
        let credentials = Credentials::new("user", secret);
        let bucket =
            Bucket::new(&format!("{address}/backups/mine"), credentials, "us-east-1".into()).unwrap();
        Place::Bucket(Arc::new(bucket))
    }

    /// A place that answers each request with this status and page.
    fn answering(status: String, page: &'static str) -> Place {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = place(&format!("http://{}", listener.local_addr().unwrap()), SECRET);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 4_096];
                assert!(stream.read(&mut request).unwrap() > 0);
                let length = page.len();
                let head =
                    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                stream.write_all(format!("{head}{page}").as_bytes()).unwrap();
            }
        });
        place
    }

    #[tokio::test]
    async fn a_bucket_keeps_lists_and_deletes() {
        let address = server();
        let place = place(&address, SECRET);
        let names = ["7/data/a/0", "7/data/a/1", "7/data/a/2", "7/data/a/3", "7/data/a/manifest"];
        for name in names.into_iter().chain(["71/data/b/0"]) {
            place.put(name.into(), name.as_bytes().to_vec()).await.unwrap();
        }
        assert_eq!(place.list("7".into()).await.unwrap(), names);
        assert_eq!(place.list(String::new()).await.unwrap().len(), 6);
        assert_eq!(place.get("7/data/a/1".into(), 100).await.unwrap(), b"7/data/a/1");
        assert!(place.get("7/data/a/1".into(), 5).await.is_err());
        for _ in 0..2 {
            place.delete("7/data/a/1".into()).await.unwrap();
        }
        assert!(place.get("7/data/a/1".into(), 100).await.is_err());
        assert_eq!(place.to_string(), format!("{address}/backups/mine/"));
    }

    #[tokio::test]
    async fn a_list_that_breaks_off_is_an_error() {
        let place = answering("200 OK".into(), "<X><IsTruncated>true</IsTruncated></X>");
        let told = format!("{:#}", place.list(String::new()).await.unwrap_err());
        assert!(told.contains("its list goes on"), "{told}");
    }

    #[tokio::test]
    async fn a_redirect_of_a_bucket_is_told_and_not_followed() {
        let inside = TcpListener::bind("127.0.0.1:0").unwrap();
        let location = format!("http://{}/inside", inside.local_addr().unwrap());
        let place = answering(format!("307 X\r\nlocation: {location}"), "");
        let name = || "7/data/a/0".to_owned();
        for error in [
            place.put(name(), Vec::new()).await.unwrap_err(),
            place.get(name(), 10).await.unwrap_err(),
            place.delete(name()).await.unwrap_err(),
            place.list(String::new()).await.unwrap_err(),
        ] {
            let told = format!("{error:#}");
            assert!(told.contains("307") && told.contains("redirects aren't followed"), "{told}");
        }
        inside.set_nonblocking(true).unwrap();
        assert!(inside.accept().is_err(), "somebody came");
    }

    #[tokio::test]
    async fn a_missing_bucket_is_told() {
        let place = answering("404 X".into(), "<Error><Code>NoSuchBucket</Code></Error>");
        for error in [
            place.list(String::new()).await.unwrap_err(),
            place.put("7/data/a/0".into(), Vec::new()).await.unwrap_err(),
        ] {
            let told = format!("{error:#}");
            assert!(told.contains("404") && told.ends_with("is the bucket's name right?"), "{told}");
        }
    }

    #[tokio::test]
    async fn an_upload_that_is_cut_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = place(&format!("http://{}", listener.local_addr().unwrap()), SECRET);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut begin = [0; 100];
                stream.unwrap().read_exact(&mut begin).unwrap();
            }
        });
        let error = place.put("7/data/a/0".into(), vec![1; 8 << 20]).await.unwrap_err();
        assert!(format!("{error:#}").contains("can't write 7/data/a/0"), "{error:#}");
    }

    #[tokio::test]
    async fn a_bucket_that_refuses_the_credentials_is_told() {
        let place = place(&server(), "another secret");
        let error = format!("{:#}", place.put("7/data/a/0".into(), vec![1]).await.unwrap_err());
        assert!(error.contains("can't write 7/data/a/0") && error.contains("403"), "{error}");
        assert!(error.contains("are the credentials right"), "{error}");
        assert!(!error.contains("X-Amz-Signature") && !error.contains("another secret"), "{error}");
    }

    #[test]
    fn only_a_code_of_what_a_bucket_says_is_told() {
        for said in [format!("<Code>{}</Code>", "a".repeat(65)), "<Code>\u{1b}[2J</Code>".into(), "x".into()]
        {
            let mut answer = Response::builder().status(500).body(Body::builder().data(said)).unwrap();
            let told = ensure_done(&mut answer).unwrap_err().to_string();
            assert!(told.ends_with("(without a code): try again later"), "{told}");
        }
    }

    #[test]
    fn an_address_without_a_bucket_or_with_a_login_is_refused() {
        for wrong in [
            "https://s3.example.org",
            "https://s3.example.org/",
            "https://u:p@s3.example.org/b",
            "https://:p@s3.example.org/b",
            "https://s3.example.org/b/a&b",
            "https://s3.example.org/b/owner's",
            "x",
        ] {
            let credentials = Credentials::new("user", SECRET);
            assert!(Bucket::new(wrong, credentials, "us-east-1".into()).is_err(), "{wrong}");
        }
    }
}
